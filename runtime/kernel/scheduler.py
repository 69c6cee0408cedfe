"""The process record, the mailbox and the run queue: the hot core.

Theory of operation
-------------------
A process is a small slotted record. While it waits it has no greenlet and no mailbox object: `q` is None. Sending puts
a list into `q` and the record on the run queue. A pooled *worker* greenlet drains the run queue: it takes the record's
messages and calls `behaviour.on_message(process, message)` on its own stack.

When that call blocks, the worker stays with the process (`process.g`) and the run queue goes on by other means: straight
to the next suspended process, to an idle worker, or to the hub, which starts a new worker. Any number of workers may
exist; one drains at a time.

Every slice the drain parks behind a zero timer of the lowest priority: that forces one real poll, whose socket events
run first. (Rescheduling through `loop.run_callback` starves polls for 5 ms.) New workers are started from the hub only,
since a greenlet inherits the recursion depth of whoever starts it.

Mailbox states: None (empty) | list (short) | deque (backlog) | DEADQ (dead: append does nothing).
`cur` holds messages already taken out of `q`: what is left of the batch being handled, and what a selective receive
skipped.

Invariants
    ready is not empty  =>  a worker drains, or a kick is queued.
    p.g is not None     =>  p's stack is on that worker; nobody else runs p. `p.wait` says what it waits for:
                            RECV, IO (anything of gevent's), YIELD, a Call, or None (it may go on).
    p.q is DEADQ       <=>  p is dead: no name, no links, no monitors, not in `table`; it never comes back.

Rejected: counting reductions in send (40 ns on 43); a deque per idle mailbox (793 bytes); a global queue of
(process, message) pairs (no mailbox length per process); gevent's Queue and Greenlet (5 us and 10 KB for what takes
0.5 us and 0.3 KB here).

One file, past the usual size, because the hot paths share module globals: reading one through another module costs
more than the work it guards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from gevent.hub import get_hub
from greenlet import GreenletExit, getcurrent, greenlet


from . import hooks, identity
from .identity import Pid, RemotePid
from .reasons import KILLED, Crash

if TYPE_CHECKING:
    from .identity import Ref

__all__ = [
    "TIMEOUT",
    "BadName",
    "Behaviour",
    "Killed",
    "NotAProcess",
    "Process",
    "ProcessExit",
    "self_",
    "send",
    "yield_",
]

SLICE = 0.00025
"""Seconds the run queue may run before one real poll of the loop."""
CHUNK = 64
"""Messages a process may handle in one turn."""
MAX_IDLE = 256
"""Idle workers kept; each holds a stack of some 7 KB."""
MAX_RECEIVES = 1000
"""Messages a plain process may receive before it gives way."""
MAX_DEFIANCE = 3
"""Times a dead process is thrown out of a blocking call before its stack is buried."""

# --------------------------------------------------------------------------------------------------------- types


class Behaviour(Protocol):
    """What a callback process runs: any object with `on_message`. Looked up at each message, so live code swaps it."""

    def on_message(self, process: Process, message: Any, /) -> None:
        """Handle one message. May block. Raise ProcessExit(reason) to end the process.

        A behaviour may also have `on_exit(process, reason)`: called once at death, of whatever cause, wherever that is
        decided (also in the hub), to let go of what is not memory; it must not block, and it is no `terminate`.
        """


class _Sentinel:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"


TIMEOUT = _Sentinel("TIMEOUT")
"""What `receive` returns when its time is over."""
RECV = _Sentinel("receive")
IO = _Sentinel("io")
YIELD = _Sentinel("yield")


class ProcessExit(BaseException):
    """Raised by a process to end itself with `reason` (Erlang's exit/1). Not an Exception: let it pass."""

    def __init__(self, reason: Any = "normal") -> None:
        super().__init__(reason)
        self.reason = reason


class Killed(ProcessExit):
    """Thrown into the stack of a process that is already dead, to unwind it. Nothing it does can revive the process."""


hooks.own_end = (Killed,)
INTERPRETER_EXITS: tuple[type[BaseException], ...] = (Killed, KeyboardInterrupt, GreenletExit)
"""What passes through a callback but is no failure of its own: whoever catches everything must raise these again."""


class NotAProcess(RuntimeError):
    """A call that only a process can make was made outside one."""

    def __init__(self) -> None:
        super().__init__(
            "this must be called by a process: start one with runtime.run(function) or spawn(function)"
        )


class BadName(LookupError):
    """No process is registered under this name (Erlang: badarg)."""

    def __init__(self, name: Any) -> None:
        if isinstance(name, str) or hasattr(name, "take"):  # a name, or a via name
            says = f"no process is registered as {name!r}"
        else:
            says = f"{name!r} is no pid, registered name or alias"
            if name is None:
                says += ": did whereis find nobody, or init return Ignore()?"
            elif isinstance(name, type):
                says += f": want what {name.__qualname__}.start_link() returned, or its name"
        super().__init__(says)
        self.name = name


class _DeadQueue:
    __slots__ = ()

    def append(self, message: Any) -> None:
        pass

    def __len__(self) -> int:
        return 0


DEADQ: Any = _DeadQueue()
RemotePid.q = (
    DEADQ  # no node is connected, so a pid that is not of here is dead: what is sent to it is dropped
)


class Extra:
    """What few processes have: kept apart so that the others do not pay for it."""

    __slots__ = ("alarmed", "initial_call", "label", "priority", "push", "senders", "watermarks")

    def __init__(self) -> None:
        self.label: Any = None
        self.initial_call: Any = None
        self.priority = "normal"
        self.watermarks: tuple[int, int] | None = None
        self.alarmed = False
        self.senders: dict[Any, int] | None = None
        self.push: Any = None  # the process's own push while a counting one stands in for it


class Process(Pid):
    """A process of this node, and its own pid. Fields are the kernel's; look through `process_info`."""

    __slots__ = (
        "__weakref__", "behaviour", "control", "cur", "exc", "extra", "g", "links", "lost", "monitored_by", "monitors", "name",
        "number", "parent", "pdict", "push", "q", "reason", "trap", "wait",
    )  # fmt: skip

    def __init__(self, behaviour: Behaviour | None, parent: int = 0) -> None:
        self.q: Any = None
        self.cur: deque[Any] | None = None
        self.g: Worker | None = None
        self.wait: Any = None
        self.exc: BaseException | None = None
        self.behaviour = behaviour
        self.control: Any = None
        self.push: Callable[[Process], None] = push
        self.links: tuple[Process, ...] | set[Process] | None = None
        self.monitors: dict[Ref, Any] | None = None
        self.monitored_by: dict[Any, Any] | None = None
        self.trap = False
        self.lost = False  # its entry on the run queue was dropped while it was blocked
        self.reason: Any = None
        self.name: str | None = None
        self.pdict: dict[Any, Any] | None = None
        self.extra: Extra | None = None
        self.parent = parent
        self.number = n = next_number()
        table[n] = self

    @property
    def alive(self) -> bool:
        return self.q is not DEADQ

    @property
    def mailbox_length(self) -> int:
        """Messages waiting, those that are kept back from it included (see `gate.held`): O(1)."""
        q, cur = self.q, self.cur
        length = (len(q) if q is not None else 0) + (len(cur) if cur is not None else 0)
        for box in held(self):
            length += len(box)
        return length

    @property
    def has_mail(self) -> bool:
        """Tell whether its next turn has a message to take: one that is kept back is none."""
        return bool(self.q or self.cur)

    def __repr__(self) -> str:
        return f"<{self.name or self.number}@{identity.node()}>"


class _Turn:
    """The place of a yielding process in the run queue. Its own record may stand there already, further ahead, for each
    message that came to its empty mailbox; resumed by those it would be back at once, and the others would starve.
    """

    __slots__ = ("exc", "g", "q", "wait")

    def __init__(self, g: Worker) -> None:
        self.g: Worker | None = g
        self.q = self.wait = self.exc = None

    def __repr__(self) -> str:
        return f"{self.g.proc!r} (its turn)" if self.g is not None else "(a turn that is over)"


class Worker(greenlet):  # type: ignore[misc]  # greenlet has no types
    """A pooled stack. `proc` is the process it runs, if any."""

    __slots__ = ("defiance", "defier", "proc", "receives")

    def __init__(self) -> None:
        greenlet.__init__(self, None, hub)
        self.proc: Process | None = None
        self.receives = MAX_RECEIVES
        self.defiance = 0
        self.defier = 0
        workers.add(self)

    def switch_out(self) -> None:
        """Called by gevent's hub.switch() on the greenlet that is about to block: in a socket, an Event, a sleep."""
        global running, kicked
        running = False
        p = self.proc
        if p is not None:
            if p.q is DEADQ:
                defy(self, p)
            if p.g is None:
                p.g = self
                p.wait = IO
        if (ready or low) and not kicked:
            kicked = True
            run_callback(_kick)

    def run(self) -> None:
        global running
        try:
            _drain(self)
        finally:
            workers.discard(self)
            running = False  # also when an interrupt tears the worker down: the others must go on
            if ready or low:
                wake()


class Stat:
    """Counters of the scheduler, for whoever watches the node."""

    yields = 0
    workers_started = 0
    crashes = 0
    zombies = 0


# --------------------------------------------------------------------------------------------------------- state

hub = get_hub()
loop = hub.loop
hub_switch = hub.switch
run_callback = loop.run_callback
timer0 = loop.timer(0, priority=-2)  # the lowest priority of libev: socket events of that poll run first

table: dict[int, Process] = {}
"""Every living process by number."""
names: dict[str, Process] = {}
ready: deque[Process] = deque()
push = ready.append
low: deque[Process] = deque()
"""Processes of low priority: one of them is let in for every sixteen turns of the others."""
idle: list[Worker] = []
workers: set[Worker] = set()
graveyard: set[Worker] = set()
pending_calls: list[Any] = []
"""Calls made in this slice and maybe still open at its end; only those get a timer and a monitor."""

running = False
kicked = False
slice_end = 0.0
suspensions = 0
turns = 0
"""Times that a process was let run off the run queue. Counted by sixteens, so that a turn costs nothing more."""
batched = 0
"""Messages handled beyond the first of a turn: turns + batched are all messages, near enough."""
suspended = 0
"""Times that a process blocked."""
mailbox_alarm_at = 10_000
"""The lowest high watermark of any process: one comparison for a batch."""

next_number = count(1).__next__
_SIXTEEN = range(16)


def _unset(*_args: Any) -> None:
    raise RuntimeError("the kernel is not assembled: import runtime.kernel, not its parts")


# Set by the modules above this one when they load (death, calls, watermarks, messages, gate): imports point downwards.
die: Callable[[Process, Any], None] = _unset
arm_calls: Callable[[], None] = _unset
mailbox_check: Callable[[Process, Any], Any] = _unset
verify_message: Callable[[Any], None] = _unset
held: Callable[[Process], Any] = _unset

# ----------------------------------------------------------------------------------------------------------- API


def send(dest: Any, message: Any) -> Any:
    """Put `message` into a process's mailbox and return it. Never blocks.

    `dest` is a pid, a registered name or an alias. To a dead process: dropped, silently.

    Raises:
        BadName: no process has that name. Source: erlang:send/2.
    """
    try:
        q = dest.q
    except AttributeError:
        dest = resolve(dest)
        q = dest.q
    if q is None:
        dest.q = [message]
        dest.push(dest)
        if not running and not kicked:
            wake()
    else:
        q.append(message)
    return message


def send_checked(dest: Any, message: Any) -> Any:
    """`send` with the rule of `messages.verify` in front. Its code takes `send`'s place when the check is on."""
    verify_message(message)
    try:
        q = dest.q
    except AttributeError:
        dest = resolve(dest)
        q = dest.q
    if q is None:
        dest.q = [message]
        dest.push(dest)
        if not running and not kicked:
            wake()
    else:
        q.append(message)
    return message


def self_() -> Process:
    """Return the calling process (erlang:self/0).

    Raises:
        NotAProcess: the caller is none.
    """
    p = getattr(getcurrent(), "proc", None)
    if p is None:
        raise NotAProcess
    return p  # type: ignore[no-any-return]


def yield_() -> None:
    """Give way: go to the end of the run queue. Blocks until the turn comes round."""
    me = getcurrent()
    p = self_()
    me.receives = MAX_RECEIVES
    turn = _Turn(me)
    extra = p.extra
    (p.push if extra is None or extra.push is None else extra.push)(turn)  # type: ignore[arg-type]  # it looks like one
    p.wait = YIELD
    try:
        suspend(p, me)
    finally:
        turn.g = None  # if something else ended the wait, nobody may be resumed by it later
    if p.exc is not None:  # killed meanwhile, and the turn came first
        killed, p.exc = p.exc, None
        raise killed


# ----------------------------------------------------------------------------------------------------- internals


def deliver(p: Process, message: Any) -> None:
    """`send` for what the kernel itself says (Exit, Down): never checked, since a refusal would come half-way through
    a death. An exit reason may be any value.
    """
    q = p.q
    if q is None:
        p.q = [message]
        p.push(p)
        if not running and not kicked:
            wake()
    else:
        q.append(message)


def living() -> Process:
    """The caller, as `self_`; for what only a living process may do: a link or monitor of a dead one never goes away.

    Raises Killed in a dead process whose stack is still being unwound.
    """
    p = self_()
    if p.q is DEADQ:
        raise Killed(p.reason)
    return p


def resolve(dest: Any) -> Process:
    """Return the process that a name stands for; anything that takes messages (`q`) is returned as it is."""
    if isinstance(dest, str):
        p = names.get(dest)
        if p is None:
            raise BadName(dest)
        return p
    if isinstance(dest, tuple) and len(dest) == 2 and dest[1] == identity.node():  # (name, node)
        return resolve(dest[0])
    if not hasattr(dest, "q"):
        raise BadName(dest)
    return dest  # type: ignore[no-any-return]


def wake() -> None:
    """See to it that a worker drains the run queue."""
    global kicked
    if not kicked:
        kicked = True
        run_callback(_kick)


def resume(p: Process) -> None:
    """Let a suspended process go on: what it waited for is there."""
    p.wait = None
    p.push(p)
    if not running and not kicked:
        wake()


def _kick() -> None:
    """Start draining. Runs in the hub, whose stack is shallow."""
    global kicked, running, slice_end
    kicked = False
    if low and not ready:
        ready.extend(low)
        low.clear()
    if not ready:
        return
    if idle:
        worker = idle.pop()
    else:
        worker = Worker()
        Stat.workers_started += 1
    running = True
    slice_end = (
        monotonic() + SLICE
    )  # here too: a worker may hand over to others without ever passing its own loop
    worker.switch()


def _drain(me: Worker) -> None:
    """Take processes off the run queue until it is empty; the main loop of a worker."""
    global running, kicked, slice_end, suspensions, turns, suspended
    pop, now, park = ready.popleft, monotonic, hub_switch
    while True:
        running = True
        slice_end = now() + SLICE
        try:
            while True:
                for n in _SIXTEEN:  # noqa: B007 - read when the queue is found empty
                    p: Any = pop()
                    g = p.g
                    if g is None:
                        q = p.q
                        if not q:  # a spurious entry, or dead
                            continue
                        p.q = None
                        me.proc = p
                        try:
                            if len(q) == 1:
                                p.behaviour.on_message(p, q[0])
                            else:
                                _batch(p, q)
                        except BaseException as error:  # noqa: BLE001 - whatever a process raises is its exit reason
                            _ended(p, error)
                        if p.cur is not None:
                            _keep(p)
                        if p.g is not None:  # it blocked in gevent and came back; mail that came meanwhile
                            p.g = p.wait = None
                            if p.lost:
                                p.lost = False
                                p.push(p)
                    elif p.wait is None or (p.wait is RECV and p.q is not None):
                        p.g = None
                        me.proc = None
                        idle.append(me)
                        exc = p.exc
                        p.exc = p = q = None  # a parked stack must not pin a process
                        if exc is None:
                            g.switch()
                        else:
                            g.throw(exc)
                        g = exc = None
                        running = True
                    elif p.wait is not RECV:
                        p.lost = True
                turns += 16
                suspended += suspensions
                suspensions = 0
                if low:
                    push(low.popleft())
                if now() > slice_end:
                    if not ready:
                        break
                    Stat.yields += 1
                    if pending_calls:
                        arm_calls()
                    p = q = g = None
                    me.proc = None
                    idle.append(me)
                    kicked = True
                    timer0.start(_kick, update=False)
                    park()
                    running = True
                    slice_end = now() + SLICE
        except IndexError:
            turns += n  # the turns before the one that found nobody
            if ready:
                raise
        p = q = g = None
        if low:
            ready.extend(low)
            low.clear()
            continue
        if pending_calls:
            arm_calls()
            if ready:  # a call failed at once: its callee was dead
                continue
        me.proc = None
        if len(idle) >= MAX_IDLE:
            running = False
            return
        idle.append(me)
        park()


def _batch(p: Process, q: Any) -> None:
    """Handle up to CHUNK of several messages; what is left waits for the process's next turn."""
    global batched
    if q.__class__ is list:
        q = deque(q)
    if len(q) >= mailbox_alarm_at or p.extra is not None:
        q = mailbox_check(p, q)
        if p.q is DEADQ:  # whoever heard the alarm ended it
            return
    p.cur = q
    left = CHUNK
    while q and left:
        left -= 1
        p.behaviour.on_message(p, q.popleft())  # type: ignore[union-attr]
        q = p.cur  # a receive inside the callback may have taken in more; after a death it is None
        if not left & 15 and monotonic() > slice_end:
            break
    batched += CHUNK - left - 1
    p.cur = None
    new = p.q
    if new is DEADQ:
        return
    if q:
        if new is None:
            p.push(p)
        else:
            q.extend(new)
        p.q = q
    if p.extra is not None and p.extra.alarmed:
        mailbox_check(p, q or ())


def _keep(p: Process) -> None:
    """A callback that did a receive of its own left messages behind: they are the oldest of the mailbox."""
    box, p.cur = p.cur, None
    if box and p.q is not DEADQ:
        if p.q is not None:
            box.extend(p.q)
        p.q = box
        p.push(p)


def suspend(p: Process, me: Any) -> None:
    """Block `p`, which runs on the worker `me`, until its wait is over; run others meanwhile.

    The caller has set `p.wait` (RECV, a Call, or None to go to the end of the queue). Raises what was thrown in.
    """
    global suspensions, kicked, suspended
    if p.q is DEADQ:
        defy(me, p)
    p.g = me
    suspensions += 1
    try:
        if suspensions >= 16 and ready and monotonic() > slice_end:
            # Direct hand-over passes the drain loop by, so the slice must be checked here too.
            suspended += suspensions
            suspensions = 0
            Stat.yields += 1
            if pending_calls:
                arm_calls()
            kicked = True
            timer0.start(_kick, update=False)
            hub_switch()
        elif ready:
            n: Any = ready[0]
            g = n.g
            if g is not None and (n.wait is None or (n.wait is RECV and n.q is not None)):
                ready.popleft()
                n.g = None
                exc = n.exc
                n.exc = n = None
                if g is me:
                    if exc is not None:
                        raise exc
                elif exc is None:
                    g.switch()
                else:
                    g.throw(exc)
            elif idle:
                idle.pop().switch()
            else:
                hub_switch()
        else:
            if pending_calls:
                arm_calls()
            hub_switch()
    finally:  # an exception may have been thrown in: gevent.Timeout
        p.g = None
        p.wait = None
        if p.lost:  # mail came meanwhile
            p.lost = False
            p.push(p)


def defy(me: Worker, p: Process) -> None:
    """A dead process tries to block: throw it out again, and bury its stack if it will not go."""
    global running
    if me.defier != p.number:  # the count is of one process: a busy worker serves many that are unwound
        me.defier = p.number
        me.defiance = 0
    me.defiance += 1
    if me.defiance <= MAX_DEFIANCE:
        raise Killed(p.reason)
    Stat.zombies += 1
    graveyard.add(me)
    workers.discard(me)
    me.proc = None
    hooks.call(hooks.on_zombie, p)
    while True:
        running = False
        if ready or low:
            wake()
        greenlet.switch(hub)  # whoever resumes a buried stack gets the hub back, and nothing else


def _ended(p: Process, error: BaseException) -> None:
    """A callback raised: find the exit reason and end the process. The one place that catches everything.

    Nothing may escape from here, whatever the exception's class does: the worker would die and the process live on.
    """
    global running
    if p.q is DEADQ:
        _untrace(error, None)  # the thrower's C stack may still hold the exception
    elif isinstance(error, ProcessExit):
        _untrace(error, None)
        die(p, error.reason)
    elif isinstance(error, KeyboardInterrupt):
        die(p, "interrupted")
        running = False  # this stack is left for the main program's
        hub.handle_system_error(KeyboardInterrupt, error)
    elif isinstance(error, GreenletExit):
        die(p, KILLED)
    else:
        reason = Crash(error)
        Stat.crashes += 1
        hooks.call(hooks.on_crash, p, reason)
        die(p, reason)
    if isinstance(error, GreenletExit):  # somebody of gevent's, or the interpreter, takes the stack down
        p.g = None
        raise error


_untrace = BaseException.with_traceback  # not by assignment: a frozen dataclass refuses it
