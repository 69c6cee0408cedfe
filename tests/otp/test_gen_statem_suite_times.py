"""gen_statem_SUITE, second half: time-outs, hibernation, the parent rule, enter_loop, sys, reports, requests."""

from __future__ import annotations


import pytest

from runtime.kernel import (
    KILL,
    NORMAL,
    SHUTDOWN,
    CallError,
    Exit,
    Shutdown,
    cast,
    exit,
    is_alive,
    receive,
    self_,
    send,
    sleep,
    spawn,
)
from runtime.kernel import clock as kernel_clock
from runtime.otp import (
    StartError,
    call,
    proc_lib,
    receive_response,
    send_request,
    stop,
    sys,
)
from runtime.otp.state_machine import (
    BadReturnFromStateFunction,
    EventTimeout,
    Hibernate,
    Keep,
    NamedTimeout,
    NextEvent,
    NextState,
    Postpone,
    Repeat,
    Reply,
    StateTimeout,
    Stop,
    enter_loop,
)
from runtime.testing import settle
from tests.support.servers import Reports, in_helper, running


from tests.support.machines import (
    Anyhow,
    AnyhowEnter,
    Do,
    Named,
    NamedEnter,
    Trapper,
    Vault,
    exercise,
    labels,
    seen,
    state_of,
)


@pytest.fixture(params=[Named, Anyhow])
def machine(request):
    return request.param


@pytest.fixture(params=[NamedEnter, AnyhowEnter])
def entering(request):
    return request.param


@pytest.fixture
def reports(caplog):
    return Reports(caplog)


# ------------------------------------------------------------------------------------------------------ time-outs


def test_event_timeout(machine, clock):
    """gen_statem_SUITE event_timeout: comes after that time without any event, once; and can be of zero seconds."""
    with running(machine) as pid:
        cast(pid, Do("x", Keep(EventTimeout(1.0, "t"))))
        clock.advance(0.9)
        assert sys.get_state(pid)[1]["seen"] == [("idle", "cast", "x")]
        clock.advance(0.2)
        assert sys.get_state(pid)[1]["seen"][1:] == [("idle", "timeout", "t")]
        clock.advance(9)
        assert len(seen(pid)) == 2


@pytest.mark.parametrize("how", ["cast", "info", "call", "named timeout", "inserted"])
def test_event_timeout_is_cancelled_by_any_event(machine, clock, how):
    """OTP A2: any event cancels it: a message, another time-out, an inserted event."""
    actions = {"named timeout": [NamedTimeout("n", 0.5)], "inserted": [NextEvent("internal", 1)]}.get(how, [])
    with running(machine) as pid:
        cast(pid, Do("x", Keep(EventTimeout(1.0, "never"), *actions)))
        clock.advance(0.6)
        if how in {"cast", "info"}:
            (cast if how == "cast" else send)(pid, "y")
        elif how == "call":
            call(pid, "seen")
        clock.advance(9)
        assert "never" not in labels(pid)
        assert sys.get_status(pid).more["timeouts"] == ()


def test_event_timeout_is_not_cancelled_by_system_messages(machine, clock):
    """OTP A2: system messages are no events; while suspended the time-out waits."""
    with running(machine, NextState("idle", EventTimeout(1.0, "t"))) as pid:
        clock.advance(0.5)
        sys.get_status(pid)
        sys.suspend(pid)
        clock.advance(1)
        assert sys.get_state(pid)[1]["seen"] == []
        sys.resume(pid)
        assert labels(pid) == ["t"]


def test_state_timeout(machine, clock):
    """gen_statem_SUITE state_timeout: survives events, Keep, Repeat and NextState to the same; a change cancels it."""
    with running(machine) as pid:
        cast(pid, Do("x", Keep(StateTimeout(1.0, "t1"))))
        for result in (Keep(), Repeat(), NextState("idle"), None):
            cast(pid, Do("y", result))
        clock.advance(1)
        assert labels(pid) == ["x", "y", "y", "y", "y", "t1"]
        cast(pid, Do("x", Keep(StateTimeout(1.0, "t2"))))
        cast(pid, Do("go", NextState("busy")))
        clock.advance(5)
        assert "t2" not in labels(pid)
        cast(
            pid, Do("x", NextState("idle", StateTimeout(1.0, "t3")))
        )  # started with the change: of the new state
        clock.advance(1)
        assert seen(pid)[-1] == ("idle", "state_timeout", "t3")


def test_state_timeout_zero_is_cancelled_by_a_change_before_it(machine):
    """OTP A2: a zero time-out that waits behind an event which changes the state does not come."""
    with running(machine) as pid:
        go = Do("go", NextState("busy"))
        cast(
            pid,
            Do("x", Keep(StateTimeout(0, "never"), NamedTimeout("n", 0, "comes"), NextEvent("internal", go))),
        )
        assert labels(pid) == ["x", "go", "comes"]


def test_generic_timers(machine, clock):
    """gen_statem_SUITE generic_timers: named ones survive everything, run side by side, and replace their like."""
    with running(machine) as pid:
        cast(
            pid,
            Do(
                "x",
                Keep(NamedTimeout("a", 1.0, "a1"), NamedTimeout("b", 2.0, "b1"), NamedTimeout(("c", 1), 3.0)),
            ),
        )
        cast(pid, Do("go", NextState("busy")))
        cast(pid, Do("y", Keep(NamedTimeout("a", 4.0, "a2"))))
        clock.advance(10)
        assert seen(pid)[3:] == [
            ("busy", ("timeout", "b"), "b1"),
            ("busy", ("timeout", ("c", 1)), None),
            ("busy", ("timeout", "a"), "a2"),
        ]


def test_timeout_last_of_a_kind_counts(machine, clock):
    """OTP A2: among the actions of one result the last time-out of a kind counts."""
    with running(machine) as pid:
        cast(
            pid,
            Do("x", Keep(NamedTimeout("a", 0, "a1"), NamedTimeout("b", 0, "b"), NamedTimeout("a", 0, "a2"))),
        )
        assert labels(pid) == ["x", "b", "a2"]
        cast(pid, Do("y", Keep(StateTimeout(1, "s"), StateTimeout.cancel())))
        clock.advance(2)
        assert labels(pid)[3:] == ["y"]


def test_timeout_cancel_and_update(machine, clock):
    """gen_statem_SUITE timeout_cancel_and_update: cancel; new content at the old time; update of none comes at once."""
    with running(machine) as pid:
        cast(
            pid,
            Do(
                "x",
                Keep(StateTimeout(1.0, "old"), NamedTimeout("n", 1.0, "old"), NamedTimeout("c", 1.0, "c")),
            ),
        )
        clock.advance(0.5)
        cast(pid, Do("y", Keep(StateTimeout.update("s"), NamedTimeout.update("n", "new"), NamedTimeout.cancel("c"), EventTimeout.cancel())))  # fmt: skip
        clock.advance(0.4)
        assert labels(pid) == ["x", "y"]
        clock.advance(0.1)
        assert labels(pid) == ["x", "y", "s", "new"]
        clock.advance(9)
        cast(pid, Do("z", Keep(NamedTimeout.update("n", "at once"))))
        cast(pid, "mail")
        assert labels(pid)[4:] == ["z", "at once", "mail"]
        cast(pid, Do("z", Keep(EventTimeout.update("e"))))
        cast(pid, "mail")
        assert seen(pid)[7:] == [("idle", "cast", "z"), ("idle", "timeout", "e"), ("idle", "cast", "mail")]


def test_timeout_update_of_one_that_has_fired(machine, clock):
    """OTP A2: fired and not handled yet, it still takes a new content, or is cancelled."""

    def play(_m, _k):
        sleep(5)  # the time-outs fire meanwhile
        return Keep(NamedTimeout.update("n", "new"), NamedTimeout.cancel("c"))

    with running(machine, NextState("idle", NamedTimeout("n", 1, "old"), NamedTimeout("c", 2, "c"))) as pid:
        cast(pid, Do("x", play))
        clock.advance(10)
        assert labels(pid) == ["x", "new"]


def test_infinite_timeout_cancels(machine, clock):
    """OTP A2: infinity is no time-out, and takes a running one away."""
    with running(machine) as pid:
        cast(pid, Do("x", Keep(NamedTimeout("n", 1.0, "t"))))
        cast(pid, Do("y", Keep(NamedTimeout("n", float("inf"), "t"))))
        clock.advance(5)
        assert labels(pid) == ["x", "y"]


def test_absolute_timeout(machine, clock):
    """OTP A2: an absolute time is a reading of the clock; one in the past comes behind what is in the mailbox."""
    with running(machine) as pid:
        due = kernel_clock.now() + 3
        cast(pid, Do("x", Keep(NamedTimeout("n", due, "t", absolute=True))))
        clock.advance(2.9)
        assert labels(pid) == ["x"]
        clock.advance(0.1)
        assert labels(pid) == ["x", "t"]
        cast(pid, Do("y", Keep(StateTimeout(due, "late", absolute=True))))
        cast(pid, "mail")
        settle()
        assert labels(pid)[2:] == ["y", "mail", "late"]


@pytest.mark.parametrize("bad", [-1, "soon", True, float("nan"), None])
def test_bad_timeout_is_an_error_at_the_callback(bad):
    """Ours: an impossible time-out raises where it is made."""
    for make in (EventTimeout, StateTimeout, lambda seconds: NamedTimeout("n", seconds)):
        with pytest.raises(ValueError, match="seconds"):
            make(bad)


def test_timeouts_leave_no_timer(machine):
    """OTP A1: however the machine ends, its timers go (the leak check looks)."""
    for end in (
        lambda pid: exit(pid, KILL),
        stop,
        lambda pid: cast(pid, Do("x", "bad")),
        lambda pid: cast(pid, Do("x", Stop())),
    ):
        pid = machine.start(NextState("idle", EventTimeout(99), StateTimeout(99), NamedTimeout("n", 99)))
        cast(pid, Do("x", Keep(NamedTimeout("m", 99), NamedTimeout("n", 98), StateTimeout.cancel())))
        settle()
        end(pid)
        settle()
        assert not is_alive(pid)


# ------------------------------------------------------------------------------------------------------ hibernate


def test_hibernate(machine):
    """gen_statem_SUITE hibernate: from init and from any event; any event wakes it, a system message does not."""
    with running(machine, NextState("idle", Hibernate())) as pid:
        settle()
        assert sys.get_status(pid).hibernated
        assert sys.get_status(pid).hibernated
        cast(pid, "wake")
        assert not sys.get_status(pid).hibernated
        assert call(pid, Do("x", lambda _m, k: NextState("busy", Reply(k, 1), Hibernate()))) == 1
        assert sys.get_status(pid).hibernated
        cast(pid, Do("y", Keep(Hibernate(), NextEvent("internal", "then"))))  # an event comes: no hibernation
        assert not sys.get_status(pid).hibernated
        cast(pid, Do("y", Keep(Hibernate(), Hibernate(False))))
        assert not sys.get_status(pid).hibernated


# ---------------------------------------------------------------------------------------- parent, enter_loop


def test_parent_exit():
    """OTP A2: the parent's Exit ends a machine that traps, through terminate; a stranger's is an info event."""
    me = self_()

    def starter():
        send(me, Trapper.start_link(None, None, me))
        receive()

    parent = spawn(starter)
    pid = receive(1)
    exit(pid, "stranger")
    assert labels(pid) == [Exit(self_(), "stranger")]
    exit(parent, "boss")
    assert receive(1) == ("terminate", "idle", "boss")
    settle()
    assert pid.reason == "boss"


def test_parent_exit_while_suspended():
    """OTP A4: a suspended machine still obeys its parent."""
    me = self_()

    def starter():
        send(me, Trapper.start_link(None, None, me))
        receive()

    parent = spawn(starter)
    pid = receive(1)
    sys.suspend(pid)
    exit(parent, "boss")
    assert receive(1) == ("terminate", "idle", "boss")


def test_starter_of_an_unlinked_machine_is_no_parent():
    """OTP A2: started without link, an Exit of the starter is an ordinary message."""
    pid = Trapper.start()
    exit(pid, "hello")
    assert labels(pid) == [Exit(self_(), "hello")]
    stop(pid)


@pytest.mark.parametrize("cls", [NamedEnter, AnyhowEnter])
def test_enter_loop(cls):
    """gen_statem_SUITE enter_loop: a process of its own making becomes a machine, with enter call and actions."""

    def body(name):
        machine = object.__new__(cls)
        machine.init()
        proc_lib.init_ack()
        enter_loop(machine, "busy", NextEvent("internal", "boot"), name=name)

    pid = proc_lib.start_link(body, "looper", name="looper")
    assert seen(pid) == [("busy", "enter", "busy"), ("busy", "internal", "boot")]
    assert call("looper", Do("x", lambda _m, k: NextState("idle", Reply(k, 1)))) == 1
    assert state_of(pid) == "idle"
    stop(pid)


def test_enter_loop_errors():
    """gen_statem_SUITE enter_loop: not for processes started by other means, nor with a name they do not have."""

    def body():
        enter_loop(object.__new__(Named), "idle", name="not_mine")

    pid = spawn(body)
    settle()
    assert pid.reason == "process_was_not_started_by_proc_lib"
    with pytest.raises(StartError) as info:
        proc_lib.start(body)
    assert info.value.reason == "process_not_registered"


# --------------------------------------------------------------------------------------------------- sys, reports


def test_sys1(machine):
    """gen_statem_SUITE sys1: suspended it takes no events; resumed it takes all of them, in order."""
    with running(machine) as pid:
        sys.suspend(pid)
        with pytest.raises(CallError) as info:
            call(pid, "seen", 0.01)
        assert info.value.reason == "timeout"
        cast(pid, "a")
        send(pid, "b")
        settle()
        assert sys.get_status(pid).status == "suspended"
        assert sys.get_status(pid).held == 3
        assert sys.get_state(pid)[1]["seen"] == []
        sys.resume(pid)
        cast(pid, "c")
        assert labels(pid) == ["a", "b", "c"]


def test_get_state(machine):
    """gen_statem_SUITE get_state: the state and the data, also while suspended."""
    with running(machine) as pid:
        expected = ("idle", {"seen": [], "enters": {}, "watcher": None})
        assert sys.get_state(pid) == expected
        sys.suspend(pid)
        assert sys.get_state(pid) == expected
        sys.resume(pid)


def test_replace_state(machine):
    """gen_statem_SUITE replace_state: both parts; a failing function or a bad state changes nothing."""
    with running(machine) as pid:
        cast(pid, Do("p", {"idle": Keep(Postpone())}))
        new = sys.replace_state(pid, lambda old: ("busy", dict(old[1], extra=1)))
        assert new[0] == "busy"
        assert sys.get_state(pid)[1]["extra"] == 1
        bad = [lambda old: old[1], lambda old: (["x"], old[1]), lambda old: ("busy", 1), lambda old: 1 / 0]
        for change in bad:
            with pytest.raises(sys.CallbackFailed):
                sys.replace_state(pid, change)
        assert sys.get_state(pid)[0] == "busy"
        assert labels(pid) == ["p"]  # no transition: nothing postponed comes back


def test_code_change(machine):
    """gen_statem_SUITE code_change: data and state brought into new form; failing, or a bad state: all stays."""

    class Changing(machine):
        def code_change(self, old_version, extra):
            self.version = (old_version, extra)
            if isinstance(extra, Exception):
                raise extra
            return extra

    with running(Changing) as pid:
        with pytest.raises(sys.NotSuspended):
            sys.change_code(pid, None, 1, None)
        sys.suspend(pid)
        for bad in (ValueError("x"), NextState(["unhashable"]), NextState("busy", Postpone()), "busy"):
            with pytest.raises(sys.CallbackFailed):
                sys.change_code(pid, None, 1, bad)
            state, data = sys.get_state(pid)
            assert state == "idle" and "version" not in data
        sys.change_code(pid, None, 1, None)
        assert sys.get_state(pid)[1]["version"] == (1, None)
        sys.change_code(pid, None, 1, NextState("busy"))
        sys.resume(pid)
        assert state_of(pid) == "busy"


def test_code_change_looks_the_callback_mode_up_again():
    """gen_statem_SUITE code_change: the callback mode is asked for again."""

    class Changing(Named):
        def code_change(self, old_version, extra):
            type(self).handle_event = lambda self, kind, content, state: Keep(Reply(kind, "new code"))

    with running(Changing) as pid:
        assert call(pid, "seen") == []
        sys.suspend(pid)
        sys.change_code(pid, None)
        sys.resume(pid)
        assert call(pid, "seen") == "new code"


def test_undef_code_change(machine):
    """gen_statem_SUITE undef_code_change: an error for who asked; the machine runs on."""
    with running(machine) as pid:
        sys.suspend(pid)
        with pytest.raises(sys.CallbackFailed):
            sys.change_code(pid, None)
        sys.resume(pid)
        exercise(pid)


def test_call_format_status(clock):
    """gen_statem_SUITE call_format_status: get_status shows state, data, postponed and time-outs as format_status does."""
    with running(Vault, "s3cret") as pid:
        cast(pid, Do("s3cret", Keep(Postpone())))
        status = sys.get_status(pid)
        assert status.state[0] == "idle"
        assert status.state[1]["secret"] == "***"
        assert status.more["postponed"] == status.more["timeouts"] == "redacted"
        assert "s3cret" not in repr(status)


def test_error_format_status(reports):
    """gen_statem_SUITE error_format_status, terminate_crash_format: reports show state, event, queue and postponed."""
    pid = Named.start(name="crasher")
    cast(pid, Do("p", Keep(Postpone())))
    bad = Do("bad", "badreturn")
    with pytest.raises(CallError):
        call(pid, Do("x", Keep(NextEvent("internal", bad), NextEvent("cast", "next"), StateTimeout(50, "t"))))
    (report,) = reports.of("state_machine")
    assert report.name == "crasher"
    assert report.state == "idle"
    assert report.reason == BadReturnFromStateFunction("badreturn")
    assert report.last_event == ("internal", bad)
    assert report.queue == (("cast", "next"),)
    assert [kind for kind, _ in report.postponed] == ["cast"]
    assert report.timeouts == (("state_timeout", "t"),)
    assert "seen" in report.data
    assert report.module.endswith(":Named")
    (crash,) = reports.of("crash")
    assert crash.pid is pid and crash.reason == report.reason


def test_report_names_the_client(reports):
    """OTP A4: of a call, the caller and where it waits."""
    pid = Named.start()
    with pytest.raises(CallError):
        call(pid, Do("x", "badreturn"))
    (report,) = reports.of("state_machine")
    assert report.client is self_()
    assert report.last_event[0] == "call"
    assert "test_report_names_the_client" in report.client_stack


def test_error_format_status_hides_secrets(reports, clock):
    """gen_statem_SUITE error_format_status: nothing gets around format_status; if it fails, nothing is shown."""

    class Leaky(Vault):
        def format_status(self, status):
            raise RuntimeError(self.secret)

    for cls in (Vault, Leaky):
        pid = cls.start("s3cret")
        cast(pid, Do("s3cret", Keep(Postpone())))
        cast(pid, Do("s3cret", Keep("bad")))
        settle()
        assert not is_alive(pid)
    assert len(reports.of("state_machine")) == 2
    for kind in ("state_machine", "crash"):
        assert reports.of(kind)
    assert "s3cret" not in reports.texts()


def test_normal_end_is_not_reported(machine, reports):
    """OTP A2: normal, shutdown and {shutdown, _} are no failures."""
    for reason in (NORMAL, SHUTDOWN, Shutdown("x")):
        pid = machine.start()
        cast(pid, Do("x", Stop(reason)))
        settle()
        assert pid.reason == reason
    assert reports.labels() == []


# ------------------------------------------------------------------------------------------------ calls, requests


def test_send_request(machine):
    """gen_statem_SUITE send_request_*: answered later, by another event."""
    with running(machine) as pid:
        request = send_request(pid, Do("ask", lambda m, k: setattr(m, "kept", k)))
        cast(pid, Do("now", lambda m, _k: NextState("busy", Reply(m.kept, "late"))))
        assert receive_response(request, 1.0) == "late"


def test_request_whose_caller_has_gone_is_skipped(machine, clock):
    """Ours, as with GenServer: nobody waits: the event does not happen."""
    with running(machine) as pid:

        def block(_m, _k):
            sleep(2)
            return Keep(EventTimeout(3, "t"))

        cast(pid, Do("block", block))
        helper = in_helper(lambda: call(pid, "late", 1.0))
        clock.advance(1.5)
        assert receive(0) == (helper, ("failed", "timeout"))
        clock.advance(5)
        assert labels(pid) == ["block", "t"]  # it did not cancel a time-out either
