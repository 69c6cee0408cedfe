# pool.py
from collections import deque

from runtime import Call, ChildSpec, Down, DynamicSupervisor, NoReply, Process, Supervisor, SupFlags
from runtime import TypedServer, fail, handles_call, handles_cast, monitor, reply, self_, start_child


class Worker(TypedServer):
    """Counts words, and tells the pool when it has nothing to do."""

    def init(self) -> None:
        Pool.free("pool", self_())

    @handles_cast
    def count(self, text: str, asked: Call) -> None:
        if not text:
            raise ValueError("an empty text has no words")
        reply(asked, len(text.split()))
        Pool.free("pool", self_())


class Pool(TypedServer):
    """Gives each free worker one job; further jobs wait here."""

    def init(self, size: int) -> NoReply:
        self.idle: list[Process] = []
        self.waiting: deque[tuple[str, Call]] = deque()
        self.busy: dict[Process, Call] = {}
        return NoReply(continue_=size)

    def handle_continue(self, size: int) -> None:
        for _ in range(size):
            start_child("workers", Worker)

    @handles_call
    def count(self, text: str) -> int | NoReply:
        self.waiting.append((text, self.sender))
        self.hand_out()
        return NoReply()  # the worker answers

    @handles_cast
    def free(self, worker: Process) -> None:
        if self.busy.pop(worker, None) is None:
            monitor(worker)  # a new one: hear of its end
        self.idle.append(worker)
        self.hand_out()

    def hand_out(self) -> None:
        while self.idle and self.waiting:
            worker, (text, asked) = self.idle.pop(), self.waiting.popleft()
            self.busy[worker] = asked
            Worker.count(worker, text, asked)

    def handle_info(self, message: object) -> None:
        match message:
            case Down(pid=worker) if worker in self.idle:
                self.idle.remove(worker)
            case Down(pid=worker, reason=reason):  # it died of its job: say so to whoever asked
                fail(self.busy.pop(worker), reason)


class Words(Supervisor):
    def init(self, size: int) -> tuple[SupFlags, list[ChildSpec]]:
        return SupFlags("one_for_all"), [
            DynamicSupervisor.child_spec(name="workers", intensity=3, period=5.0),
            Pool.child_spec(size, name="pool"),
        ]
