"""GenStateMachine at its edges: mistakes of callbacks at every point, and what a failure must not take with it."""

from __future__ import annotations

import pytest
from gevent import GreenletExit

from runtime.kernel import KILLED, Crash, Exit, ProcessExit, cast, receive, trap_exit
from runtime.otp import GenServer, proc_lib, stop, sys
from runtime.otp import Reply as ServerReply
from runtime.otp.state_machine import (
    BadActionFromStateFunction,
    BadReturnFromStateFunction,
    GenStateMachine,
    Inner,
    Keep,
    NamedTimeout,
    NextEvent,
    NextState,
    Postpone,
    Postponed,
    StateTimeout,
    enter_loop,
)
from runtime.otp.sys import CallbackFailed
from tests.support.machines import Anyhow, Do, Named, end_of, labels, seen, state_of
from tests.support.servers import Reports


@pytest.fixture
def reports(caplog):
    return Reports(caplog)


def enters(cls, state):
    """A process that makes itself a machine in `state`."""
    machine = object.__new__(cls)
    machine.watcher = None
    enter_loop(machine, state)


@pytest.mark.parametrize(
    ("cls", "state", "kind"),
    [
        (Named, ["list"], BadReturnFromStateFunction),
        (Anyhow, [], BadReturnFromStateFunction),
        (Named, "nowhere", Crash),
    ],
)
def test_enter_loop_with_a_state_that_can_be_none_says_so(cls, state, kind, reports):
    """gen_statem_SUITE enter_loop: bad state. The report is made before the machine was in any state."""
    trap_exit(True)
    pid = proc_lib.spawn_link(enters, cls, state)
    end = receive()
    assert end.__class__ is Exit
    assert end.sender is pid
    assert end.reason.__class__ is kind
    if kind is Crash:
        assert "nowhere" in str(end.reason)


@pytest.mark.parametrize("base", [GenStateMachine])
def test_a_machine_with_an_init_that_never_runs_is_refused(base):
    """As GenServer: `__init__` is not called, so one that defines it is told when the class is made."""
    with pytest.raises(TypeError, match="never called"):
        type("Wrong", (base,), {"__init__": lambda self: None})


@pytest.mark.parametrize("cls", [Named, GenServer])
def test_what_takes_a_greenlet_down_is_no_failure_of_terminate(cls):
    """kernel.INTERPRETER_EXITS: who catches everything must raise these again, in terminate too."""

    class Interrupted(cls):
        def terminate(self, reason):
            raise GreenletExit

    trap_exit(True)
    pid = Interrupted.start_link()
    sys.terminate(pid)
    assert receive() == Exit(pid, KILLED)


@pytest.mark.parametrize("bad", [{1: "no name"}, {"seen": [], 2: 3}])
def test_replace_state_that_cannot_be_set_changes_nothing(bad):
    """sys:replace_state/2: a failure leaves the old state in force, also when it shows half-way."""
    pid = Named.start()
    cast(pid, Do("a", NextState("busy")))
    before = sys.get_state(pid)
    with pytest.raises(CallbackFailed):
        sys.replace_state(pid, lambda state: ("idle", bad))
    assert sys.get_state(pid) == before
    assert labels(pid) == ["a"]
    stop(pid)


@pytest.mark.parametrize("cls", [Named, Anyhow])
def test_a_format_status_that_exits_neither_hides_nor_replaces_the_reason(cls, reports):
    """gen_statem_SUITE error_format_status: a failing hook must not change how the process ends."""

    class Exits(cls):
        def format_status(self, status):
            raise ProcessExit("from format_status")

    reason = end_of(Exits, 17)
    assert reason == BadReturnFromStateFunction(17)


@pytest.mark.parametrize(
    "make",
    [lambda: NamedTimeout([], 1.0), lambda: NamedTimeout.cancel({}), lambda: NamedTimeout.update([], 1)],
)
def test_a_name_that_cannot_be_one_is_an_error_where_it_is_made(make):
    """An action is checked where it is made: so is the name of a time-out."""
    with pytest.raises(TypeError):
        make()


def test_debug_options_see_the_machines_own_events():
    """gen_statem sys_debug: also what is inserted, postponed and taken up again, in the order it happens."""
    pid = Named.start()
    sys.log(pid, 100)
    cast(pid, Do("later", {"idle": Keep(Postpone())}))
    cast(pid, Do("go", NextState("busy", NextEvent("internal", "own"), NamedTimeout("t", 0.0, "zero"))))
    assert labels(pid) == ["later", "go", "own", "later", "zero"]
    shown = [
        (type(event).__name__, event.kind, getattr(event.content, "label", event.content))
        for event in sys.get_log(pid)
        if isinstance(event, Inner | Postponed)
    ]
    assert shown == [
        ("Postponed", "cast", "later"),
        ("Inner", "internal", "own"),
        ("Inner", "cast", "later"),
        ("Inner", ("timeout", "t"), "zero"),
    ]
    sys.no_debug(pid)
    cast(pid, Do("quiet", Keep(NextEvent("internal", "own"))))
    assert labels(pid)[-2:] == ["quiet", "own"]
    stop(pid)


def test_a_debug_function_that_fails_on_an_own_event_is_removed_and_the_machine_goes_on():
    """sys:install: a function that raises is removed, wherever the event came from."""
    pid = Named.start()

    def picky(state, event, _data):
        if isinstance(event, Inner):
            raise ValueError("not that")
        return state

    sys.install(pid, picky)
    cast(pid, Do("x", Keep(NextEvent("internal", "own"))))
    assert labels(pid) == ["x", "own"]
    assert sys.get_status(pid).debug == {}
    stop(pid)


def test_a_servers_reply_is_no_action():
    """`Reply` of a GenServer and of a state machine are two: the wrong one is a bad action, not a silent nothing."""
    reason = end_of(Named, lambda _m, _k: Keep(ServerReply("ok")))
    assert reason.__class__ is BadActionFromStateFunction
    assert repr(reason.action) == "Reply('ok')"


def test_ten_thousand_timeouts_of_zero_happen_in_order():
    """Zero time-outs are events of the machine's own: in the order they were asked for, each O(1)."""
    n = 10_000
    pid = Anyhow.start()
    cast(pid, Do("start", Keep(*(NamedTimeout(i, 0.0, i) for i in range(n)))))
    assert labels(pid) == ["start", *range(n)]
    stop(pid)


def test_a_state_timeout_of_zero_beats_what_is_queued_and_ends_with_the_state(clock):
    """gen_statem: a zero time-out comes before the mailbox; the change of state that it makes leaves no timer."""
    pid = Named.start()
    for label in ("one", "two"):
        cast(pid, Do(label, Keep(StateTimeout(0.0, Do(f"after {label}", {"idle": NextState("busy")})))))
    assert labels(pid) == ["one", "after one", "two", "after two"]
    assert state_of(pid) == "busy"
    assert seen(pid)[1][1] == "state_timeout"
    stop(pid)


def test_a_machine_that_waits_holds_no_queue():
    """An idle machine is two small objects: what it needed for events of its own is gone when these are done."""
    pid = Named.start()
    cast(pid, Do("x", NextState("busy", NextEvent("internal", "own"), NamedTimeout("t", 0.0, "zero"))))
    assert labels(pid) == ["x", "own", "zero"]
    assert (pid.control.queue, pid.control.zero) == (None, None)
    stop(pid)
