"""The cases of OTP's sys_SUITE as far as sys is built: state, status, suspension, code change, special processes."""

from __future__ import annotations

import pytest

from runtime.kernel import (
    NOPROC,
    NORMAL,
    TIMEOUT_REASON,
    CallError,
    Exit,
    ProcessExit,
    call,
    cast,
    exit,
    is_alive,
    process_info,
    receive,
    self_,
    send,
    sleep,
    spawn,
    trap_exit,
)
from runtime.otp import GenServer, NoReply, proc_lib, send_request, stop, sys, wait_response
from runtime.testing import settle
from tests.support.servers import Puppet, running


def refused(fn, *args):
    with pytest.raises(CallError) as failure:
        fn(*args)
    return failure.value.reason


# ------------------------------------------------------------------------------------------------------ 85 suspend


def test_suspend_calls_time_out_and_resume_serves_them(clock):
    """sys_SUITE suspend: calls to a suspended server time out; what came is served after resume, in order."""
    with running(Puppet) as pid:
        sys.suspend(pid)
        me = self_()
        spawn(lambda: send(me, refused(call, pid, "too late", 1.0)))
        clock.advance(2)
        assert receive(0) == TIMEOUT_REASON
        for n in range(200):
            (cast if n % 2 else send)(pid, n)
        asked = send_request(pid, "hello")
        settle()
        assert sys.get_state(pid)["seen"] == []
        assert sys.get_status(pid).held == 202
        sys.resume(pid)
        assert wait_response(asked, 5.0) == ("echo", "hello")
        assert [event[1] for event in sys.get_state(pid)["seen"]] == list(range(200))
        assert sys.get_status(pid).held == 0


def test_suspend_and_resume_are_idempotent():
    """sys_SUITE suspend: twice is once; resume of a running process is nothing."""
    with running(Puppet) as pid:
        sys.resume(pid)
        sys.suspend(pid)
        sys.suspend(pid)
        assert sys.get_status(pid).status == "suspended"
        sys.resume(pid)
        assert sys.get_status(pid).status == "running"
        assert call(pid, 1) == ("echo", 1)
        assert pid.control is None


def test_suspend_holds_what_was_queued_behind_it():
    """OTP A4: in order: messages before the suspend are handled, those behind it wait; new ones come after them."""
    with running(Puppet) as pid:
        send(pid, 1)
        asked = send_request(pid, sys.SystemRequest("suspend"))
        send(pid, 2)
        wait_response(asked)
        settle()
        assert sys.get_state(pid)["seen"] == [("info", 1)]
        send(pid, 3)
        resumed = send_request(pid, sys.SystemRequest("resume"))
        send(pid, 4)
        wait_response(resumed)
        assert [event[1] for event in call(pid, "seen")] == [1, 2, 3, 4]


def test_suspend_held_messages_may_end_the_server():
    """Ours: a failure while held messages are worked off is reported once and ends the server."""
    with running(Puppet) as pid:
        sys.suspend(pid)
        send(pid, lambda server: 1 / 0)
        send(pid, "never seen")
        settle()
        sys.resume(pid)
        settle()
        assert pid.reason.error == "ZeroDivisionError"


def test_system_messages_with_100_000_queued():
    """OTP A4: a system message is taken in order, behind whatever is queued, and still comes through."""
    with running(Puppet) as pid:
        for n in range(100_000):
            send(pid, n)
        assert len(sys.get_state(pid, None)["seen"]) == 100_000


def test_system_message_while_a_callback_blocks(clock):
    """OTP A4: default time limit 5 s; a server inside a callback answers after it."""
    with running(Puppet) as pid:
        cast(pid, lambda _: sleep(8))
        settle()
        me = self_()
        spawn(lambda: send(me, refused(sys.get_state, pid)))
        spawn(lambda: send(me, sys.get_status(pid, 10.0).status))
        clock.advance(6)
        assert receive(0) == TIMEOUT_REASON
        clock.advance(3)
        assert receive(0) == "running"


@pytest.mark.parametrize("fn", [sys.get_state, sys.get_status, sys.suspend, sys.resume, sys.terminate])
def test_noproc(fn):
    """sys_SUITE: noproc for the dead and for unknown names."""
    dead = spawn(lambda: None)
    settle()
    assert refused(fn, dead) == NOPROC
    assert refused(fn, "nobody_here") == NOPROC


# ---------------------------------------------------------------------------------------------------- status and state


def test_get_status_fields():
    """sys:get_status/1: module, process dictionary, running or suspended, parent, name."""
    trap_exit(True)
    pid = Puppet.start_link(name="stated")
    status = sys.get_status(pid)
    assert (status.pid, status.name, status.parent) == (pid, "stated", self_())
    assert status.module == "tests.support.servers:Puppet"
    assert (status.status, status.hibernated, status.dictionary) == ("running", False, {})
    assert status.state == {"seen": [], "sender": None, "watcher": None}
    stop(pid)


def test_state_of_a_slotted_server():
    """Ours: a server whose class has slots shows and replaces these."""

    class Slotted(GenServer):
        __slots__ = ("a", "b")

        def init(self):
            self.a = 1

    with running(Slotted) as pid:
        assert sys.get_state(pid) == {"a": 1}
        assert sys.replace_state(pid, lambda s: {"b": 2}) == {"b": 2}
        assert sys.get_state(pid) == {"b": 2}


def test_unknown_system_request_is_refused():
    """sys: {error, unknown_system_msg}; the server lives."""
    with running(Puppet) as pid:
        with pytest.raises(ValueError, match="juggle"):
            sys._ask(pid, 1.0, "juggle")
        assert call(pid, 1) == ("echo", 1)


# -------------------------------------------------------------------------------------------------------- change_code


class Migrating(Puppet):
    def code_change(self, old_version, extra):
        self.version = (old_version, extra)
        del self.watcher
        if extra == "fail":
            raise ValueError("cannot")


def test_change_code_only_while_suspended():
    """sys:change_code/4: refused while running; while suspended it runs the callback."""
    with running(Migrating) as pid:
        with pytest.raises(sys.NotSuspended):
            sys.change_code(pid, "module", "v1", "extra")
        assert "version" not in sys.get_state(pid)
        sys.suspend(pid)
        sys.change_code(pid, "module", "v1", "extra")
        assert sys.get_status(pid).status == "suspended"
        sys.resume(pid)
        assert sys.get_state(pid)["version"] == ("v1", "extra")


def test_change_code_that_fails_changes_nothing():
    """sys:change_code/4: {error, Reason}: the old state stays and the process lives on."""
    with running(Migrating) as pid:
        sys.suspend(pid)
        before = sys.get_state(pid)
        with pytest.raises(sys.CallbackFailed, match="cannot"):
            sys.change_code(pid, "module", "v1", "fail")
        assert sys.get_state(pid) == before
        sys.resume(pid)
        assert call(pid, 1) == ("echo", 1)


# ---------------------------------------------------------------------------------------------------------- terminate


@pytest.mark.parametrize("suspended", [False, True])
def test_terminate_runs_the_callback(suspended):
    """sys:terminate/2: the process ends with that reason, after its terminate callback; ok to the caller first."""
    with running(Puppet, None, self_()) as pid:
        if suspended:
            sys.suspend(pid)
        sys.terminate(pid, "enough")
        assert receive(5) == ("terminate", "enough")
        settle()
        assert pid.reason == "enough"


# -------------------------------------------------------------------------------------------------- 87 special_process


class Loop:
    """A special process: a loop of its own that also takes system messages."""

    def __init__(self, parent, watcher):
        self.parent, self.watcher, self.handled = parent, watcher, []

    def run(self):
        trap_exit(True)
        proc_lib.init_ack()
        while True:
            message = receive()
            if sys.is_system(message):
                sys.handle(message, self, self.parent)
            elif message.__class__ is Exit and message.sender is self.parent:
                self.system_terminate(message.reason)
            else:
                self.handled.append(message)

    def system_get_state(self):
        return self.handled

    def system_replace_state(self, change):
        self.handled = change(self.handled)
        return self.handled

    def system_code_change(self, module, old_version, extra):
        self.handled = [(module, old_version, extra)]

    def system_status(self):
        return {"more": {"kind": "loop"}}

    def system_terminate(self, reason):
        send(self.watcher, ("terminated", reason))
        raise ProcessExit(reason)


@pytest.fixture
def loop():
    """Start a special process linked to the calling one."""

    def start():
        trap_exit(True)
        me = self_()
        return proc_lib.start_link(lambda: Loop(me, me).run())

    return start


def test_special_process_serves_sys(loop):
    """sys_SUITE special_process: get and replace state, status, suspend, change_code, resume, terminate on any loop."""
    pid = loop()
    send(pid, 1)
    assert sys.get_state(pid) == [1]
    assert sys.replace_state(pid, lambda s: [*s, "r"]) == [1, "r"]
    with pytest.raises(sys.CallbackFailed):
        sys.replace_state(pid, lambda s: 1 / 0)
    status = sys.get_status(pid)
    assert (status.status, status.more, status.parent) == ("running", {"kind": "loop"}, self_())
    sys.suspend(pid)
    sys.suspend(pid)
    send(pid, 2)
    settle()
    assert sys.get_state(pid) == [1, "r"]
    assert sys.get_status(pid).status == "suspended"
    assert process_info(pid, "message_queue_len")["message_queue_len"] == 1
    sys.change_code(pid, "m", "v", "x")
    sys.resume(pid)
    assert sys.get_state(pid) == [("m", "v", "x"), 2]
    stop(pid)
    assert receive(0) == ("terminated", NORMAL)
    assert receive(0) == Exit(pid, NORMAL)


def test_special_process_parent_exit_while_suspended(loop):
    """sys_SUITE special_process: suspended, it still ends with its parent."""
    pid = loop()
    sys.suspend(pid)
    exit(pid, "enough")
    assert receive(5) == ("terminated", "enough")
    assert receive(5) == Exit(pid, "enough")


def test_stop_a_special_process_while_suspended(loop):
    """proc_lib_SUITE stop: stop is sys:terminate and a wait for the end."""
    pid = loop()
    sys.suspend(pid)
    stop(pid, "enough", 5.0)
    assert receive(0) == ("terminated", "enough")
    assert not is_alive(pid)


def test_plain_outcome_survives_suspension(clock):
    """Ours: a time-out armed before the suspension still counts after it, if nothing else came."""
    with running(Puppet, lambda _: NoReply(timeout=(5.0, "ding"))) as pid:
        sys.suspend(pid)
        sys.resume(pid)
        clock.advance(6)
        assert call(pid, "seen") == [("info", "ding")]
