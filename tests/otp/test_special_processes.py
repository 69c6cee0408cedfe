"""A special process, worked out: a bounded buffer with a receive loop of its own that is a good citizen of the tree.

It is started by proc_lib, so that its starter waits for it and it has ancestors and a crash report. It takes system
messages (`sys.is_system`, `sys.handle`), ends with its parent, and says what happens (`sys.debug_event`). Why not a
GenServer: it takes messages in the order that suits it. While the buffer is full it leaves "put" in its mailbox, and
while it is empty "get": the waiting room is the mailbox, and nobody is refused.

It keeps a stack while it waits, as every plain process does (7 KB); there is nothing to hibernate.
"""

from __future__ import annotations

from collections import deque

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL, NORMAL, SHUTDOWN, Call, Crash, Exit, ProcessExit, call, exit, is_alive, receive, receive_match, reply, self_,
    send, trap_exit, whereis,
)  # fmt: skip
from runtime.otp import (
    BRUTAL_KILL, ChildSpec, StartError, Supervisor, SupFlags, proc_lib, send_request, stop, sys, wait_response, which_children,
)  # fmt: skip
from runtime.otp.sys import In, NewState, Out
from runtime.testing import settle
from tests.support.servers import Reports


class Buffer:
    """The example. State: `size` and `items`."""

    @classmethod
    def start_link(cls, size, name=None):
        return proc_lib.start_link(cls._init, self_(), size, name=name)

    @classmethod
    def _init(cls, parent, size):
        if size < 1:
            proc_lib.init_fail(f"size {size}")
        trap_exit(True)  # to end in order with its parent
        self = cls()
        self.parent, self.size, self.items = parent, size, deque()
        proc_lib.init_ack()
        self.loop()

    def loop(self):
        while True:
            message = receive_match(self.is_welcome)
            if sys.is_system(message):
                sys.handle(message, self, self.parent)
            elif message.__class__ is Exit:
                self.system_terminate(message.reason)
            elif message.__class__ is Call and message.caller is not None:
                self.serve(message, message.caller)

    def is_welcome(self, message):
        """Tell whether to take a message now. The rest stays where it is, in order."""
        if sys.is_system(message):
            return True
        if message.__class__ is Exit:
            return message.sender is self.parent
        if message.__class__ is not Call:
            return False
        return bool(self.items) if message.request == "get" else len(self.items) < self.size

    def serve(self, request, caller):
        sys.debug_event(self, In("call", request.request, caller))
        if request.request == "get":
            answer = self.items.popleft()
        else:
            _put, item = request.request
            self.items.append(item)
            answer = None
        reply(request, answer)
        sys.debug_event(self, Out(answer, caller, tuple(self.items)))

    # What sys needs

    def system_get_state(self):
        return tuple(self.items)

    def system_replace_state(self, change):
        items = tuple(change(tuple(self.items)))
        if len(items) > self.size:
            raise ValueError("too many")
        self.items = deque(items)
        return items

    def system_code_change(self, module, old_version, extra):
        self.size = int(extra)

    def system_status(self):
        return {"state": f"{len(self.items)} of {self.size}"}

    def system_terminate(self, reason):
        raise ProcessExit(reason)


@pytest.fixture
def buffer():
    """Start one, linked to the test."""

    def start(size=2):
        trap_exit(True)
        return Buffer.start_link(size)

    return start


def test_special_process_does_its_own_work(buffer):
    """sys_SUITE special_process: it serves; what it does not want yet waits in order."""
    pid = buffer(2)
    puts = [send_request(pid, ("put", n)) for n in range(4)]
    settle()
    assert [put.process is None for put in puts] == [True, True, False, False]
    assert [call(pid, "get") for _ in range(4)] == [0, 1, 2, 3]
    got = send_request(pid, "get")
    call(pid, ("put", "x"))
    assert wait_response(got) == "x"
    stop(pid)
    assert receive(0) == kernel.Response(puts[0])
    for _ in range(3):
        receive(0)
    assert receive(0) == Exit(pid, NORMAL)


def test_special_process_state_and_status(buffer):
    """sys_SUITE special_process: get_state, replace_state and get_status; a change that fails changes nothing."""
    pid = buffer()
    call(pid, ("put", 1))
    assert sys.get_state(pid) == (1,)
    assert sys.replace_state(pid, lambda items: (*items, 2)) == (1, 2)
    for bad in (lambda items: (*items, 3), lambda items: 1 / 0, lambda items: exit(self_(), "odd")):
        with pytest.raises(sys.CallbackFailed):
            sys.replace_state(pid, bad)
    assert sys.get_state(pid) == (1, 2)
    status = sys.get_status(pid)
    assert (status.pid, status.status, status.state, status.parent) == (pid, "running", "2 of 2", self_())
    assert status.module == f"{__name__}:Buffer"
    assert status.debug == {}
    stop(pid)
    assert receive(0) == Exit(pid, NORMAL)


def test_special_process_is_suspended(buffer):
    """sys_SUITE special_process, suspend: it serves nothing but system messages, then goes on where it was."""
    pid = buffer(1)
    sys.suspend(pid)
    sys.suspend(pid)
    asked = send_request(pid, ("put", 1))
    settle()
    assert (sys.get_state(pid), sys.get_status(pid).status) == ((), "suspended")
    with pytest.raises(kernel.CallError) as failure:
        call(pid, ("put", 2), 0.01)
    assert failure.value.reason == "timeout"
    sys.change_code(pid, "buffer", 1, extra=5)
    sys.resume(pid)
    sys.resume(pid)
    wait_response(asked)
    assert (sys.get_state(pid), sys.get_status(pid).state) == ((1,), "1 of 5")
    with pytest.raises(sys.NotSuspended):
        sys.change_code(pid, "buffer", 1, extra=6)
    stop(pid)
    assert receive(0) == Exit(pid, NORMAL)


def test_special_process_with_100_000_queued(buffer):
    """OTP A4: it serves system messages in order; a loop that receives by choice even before what it does not want."""
    pid = buffer(1)
    call(pid, ("put", 0))
    for n in range(100_000):
        send(pid, n)  # never welcome
    assert sys.get_state(pid) == (0,)
    sys.suspend(pid)
    assert sys.get_status(pid).status == "suspended"
    sys.log(pid)
    sys.resume(pid)
    assert call(pid, "get") == 0
    assert sys.get_log(pid)[0] == In("call", "get", self_())
    stop(pid)
    assert receive(0) == Exit(pid, NORMAL)


def test_special_process_has_debug_options(buffer, tmp_path, capsys):
    """sys_SUITE special_process with trace, log, log_to_file, statistics, install: as on any behaviour."""
    pid = buffer()
    path = tmp_path / "events.log"
    seen = []
    me = self_()
    sys.trace(pid, True)
    sys.log(pid)
    sys.log_to_file(pid, path)
    sys.statistics(pid, True)
    sys.install(pid, lambda own, event, state: seen.append((own, event, state)) or own + 1, 0)
    call(pid, ("put", "a"))
    events = [In("call", ("put", "a"), me), Out(None, me, ("a",))]
    assert sys.get_log(pid) == events
    assert seen == [(0, events[0], ()), (1, events[1], ("a",))]
    assert path.read_text().splitlines() == capsys.readouterr().out.splitlines()
    counted = sys.get_statistics(pid)
    assert (counted.messages_in, counted.messages_out) == (1, 1)
    sys.no_debug(pid)
    assert pid.control is None
    call(pid, "get")
    assert (len(seen), sys.get_log(pid), capsys.readouterr().out) == (2, [], "")
    sys.log_to_file(pid, path)
    exit(pid, KILL)  # the file goes with it: leak checks are for descriptors too
    assert receive(0) == Exit(pid, "killed")


def test_special_process_may_say_anything():
    """OTP sys, handle_debug: an event is any value; one that fails a function removes that, and nothing else."""

    class Teller(Buffer):
        def serve(self, request, caller):
            sys.debug_event(self, ("served", request.request))
            reply(request, "ok")
            sys.debug_event(self, NewState(1))

    trap_exit(True)
    pid = Teller.start_link(1)
    sys.install(pid, lambda *_: 1 / 0)
    assert call(pid, "put") == "ok"
    assert pid.control is None
    sys.log(pid)
    call(pid, "put")
    assert sys.get_log(pid) == [("served", "put"), NewState(1)]
    stop(pid)
    assert receive(0) == Exit(pid, NORMAL)


@pytest.mark.parametrize("suspended", [False, True])
def test_special_process_ends_with_its_parent(suspended):
    """OTP special processes: the parent's exit ends it, with the parent's reason, suspended or not."""
    me = self_()

    def parent():
        trap_exit(True)
        send(me, Buffer.start_link(1))
        raise ProcessExit(receive())

    starter = kernel.spawn(parent)
    pid = receive(5)
    if suspended:
        sys.suspend(pid)
    send(starter, SHUTDOWN)
    settle()
    assert pid.reason == SHUTDOWN
    assert not is_alive(starter)


def test_special_process_in_a_tree(caplog):
    """OTP special processes: under a supervisor it is restarted, reported and stopped like any other child."""
    reports = Reports(caplog)
    trap_exit(True)
    sup = Supervisor.start_link_with(
        SupFlags(intensity=2),
        [
            ChildSpec("buffer", (Buffer.start_link, (2, "buffer"))),
            ChildSpec("other", (Buffer.start_link, (2,)), shutdown=BRUTAL_KILL),
        ],
    )
    first = whereis("buffer")
    call("buffer", ("put", 1))
    with pytest.raises(kernel.CallError) as failure:
        call("buffer", ("put", 1, "too many"))  # its own fault
    assert isinstance(failure.value.reason, Crash)
    settle()
    assert whereis("buffer") is not first
    assert sys.get_state("buffer") == ()
    assert sorted(reports.labels()) == ["crash", "supervisor"]
    (crash,) = reports.of("crash")
    assert crash.ancestors[0] is sup
    assert crash.initial_call.endswith("Buffer._init")
    assert len(which_children(sup)) == 2
    stop(sup)
    assert receive(0) == Exit(sup, NORMAL)
    assert whereis("buffer") is None


def test_special_process_that_does_not_start():
    """proc_lib_SUITE init_fail: the starter gets the reason, and nothing is left."""
    trap_exit(True)
    with pytest.raises(StartError) as failure:
        Buffer.start_link(0, name="never")
    assert failure.value.reason == "size 0"
    assert whereis("never") is None
    assert receive(0) is kernel.TIMEOUT


def test_terminate_and_stop_by_sys(buffer):
    """sys:terminate/2 and proc_lib:stop: it ends with the reason that was given."""
    pid = buffer()
    sys.terminate(pid, "enough")
    assert receive(5) == Exit(pid, "enough")
