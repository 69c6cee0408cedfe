"""gen_statem_SUITE: starting, stopping, bad returns, event order, enter calls; in both callback modes."""

from __future__ import annotations


import pytest

from runtime.kernel import (
    KILL,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    Call,
    CallError,
    Crash,
    Down,
    Exit,
    ProcessExit,
    Shutdown,
    cast,
    exit,
    is_alive,
    receive,
    self_,
    send,
    spawn,
    trap_exit,
    whereis,
)
from runtime.otp import (
    AlreadyStarted,
    BadReturnValue,
    NoReply,
    RequestIds,
    StartError,
    call,
    send_request,
    stop,
    sys,
)
from runtime.otp import Stop as ServerStop
from runtime.otp.outcome import Undefined
from runtime.otp.registry import Registry, Via
from runtime.otp.state_machine import (
    BadActionFromStateFunction,
    BadReplyAction,
    BadReturnFromStateFunction,
    BadStateEnterAction,
    BadStateEnterReturn,
    EventTimeout,
    Fail,
    GenStateMachine,
    Ignore,
    Keep,
    NamedTimeout,
    NextEvent,
    NextState,
    Postpone,
    Repeat,
    Reply,
    StateTimeout,
    Stop,
    UnhandledEvent,
    UnknownState,
)
from runtime.testing import settle
from tests.support.servers import Reports, in_helper, running


from tests.support.machines import (
    Anyhow,
    AnyhowEnter,
    Do,
    Named,
    NamedEnter,
    answer,
    end_of,
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


# ---------------------------------------------------------------------------------------------------- start


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", [None, "stm"])
def test_start1_6_8_9(machine, linked, name):
    """gen_statem_SUITE start1, start6, start8, start9: anonymous or with a name, linked or not; the name is taken once."""
    start = machine.start_link if linked else machine.start
    pid = start(name=name)
    if name:
        assert whereis(name) is pid
        with pytest.raises(AlreadyStarted) as info:
            machine.start_link(name=name)
        assert info.value.pid is pid
        exercise(name)
    exercise(pid)
    stop(pid)
    assert whereis("stm") is None


def test_start_monitor(machine):
    """gen_statem_SUITE start_monitor: the Down of a machine started so."""
    pid, ref = machine.start_monitor()
    stop(pid)
    assert receive(0) == Down(ref, pid, NORMAL)
    pid, ref = machine.start_monitor(NextState("idle", NextEvent("internal", Do("x", Stop("early")))))
    assert receive(0) == Down(ref, pid, "early")


def test_start2(machine):
    """gen_statem_SUITE start2: ended by a call that stops it with a reply."""
    pid = machine.start()
    assert call(pid, Do("stop", lambda _m, k: Stop(SHUTDOWN, Reply(k, "stopped")))) == "stopped"
    assert not is_alive(pid)


class Slow(Named):
    def init(self):
        receive()


def test_start3(machine):
    """gen_statem_SUITE start3: a time limit that is kept, and one that is not."""
    with running(machine, timeout=5.0) as pid:
        exercise(pid)
    with pytest.raises(StartError) as info:
        Slow.start(name="slow", timeout=0.005)
    assert info.value.reason == "timeout"
    assert whereis("slow") is None


def test_start4(machine):
    """gen_statem_SUITE start4: init ignores."""
    assert machine.start(Ignore()) is None
    assert machine.start_monitor(Ignore()) is None


def test_start5(machine):
    """gen_statem_SUITE start5: init stops: the start fails with that reason; Fail is an expected failure."""
    trap_exit(True)
    for result in (Stop("stopped"), ServerStop("stopped"), Fail("stopped")):
        for start in (machine.start, machine.start_link):
            with pytest.raises(StartError) as info:
                start(result)
            assert info.value.reason == "stopped"
    assert receive(0) is TIMEOUT  # no Exit came


@pytest.mark.parametrize("bad", ["idle", 17, Keep(), NoReply()])
def test_init_bad_return(machine, bad):
    """gen_statem_SUITE abnormal: what init may not return fails the start."""
    with pytest.raises(StartError) as info:
        machine.start(bad)
    assert info.value.reason == BadReturnValue(bad)


def test_init_without_a_return_fails():
    """Ours: an init that forgets to say the first state is no machine in the state None."""

    class Forgetful(Named):
        def init(self):
            self.x = 1

    with pytest.raises(StartError) as info:
        Forgetful.start()
    assert info.value.reason == BadReturnValue(None)


def test_start11(machine):
    """gen_statem_SUITE start11: a stopped machine's name is free at once, by pid or by name."""
    for by_name in (False, True, False):
        pid = machine.start_link(name="stm")
        stop("stm" if by_name else pid)


def test_start12_stop7(machine):
    """gen_statem_SUITE start12, stop7: under a via name: found, taken once, free when it has stopped."""
    reg = Registry.start_link("unique", name="reg")
    name = Via("reg", "my_stm")
    pid = machine.start(name=name)
    with pytest.raises(AlreadyStarted) as info:
        machine.start(name=name)
    assert info.value.pid is pid
    exercise(name)
    stop(name)
    assert not is_alive(pid)
    with pytest.raises(CallError):
        stop(name)
    stop(reg)


# ----------------------------------------------------------------------------------------------------- stop


def test_stop1_to_stop5(machine):
    """gen_statem_SUITE stop1 to stop5: normal, another reason, a bad time limit, by name; a second time is noproc."""
    pid = machine.start(None, None, self_())
    stop(pid)
    assert receive(0) == ("terminate", "idle", NORMAL)
    with pytest.raises(CallError) as info:
        stop(pid)
    assert info.value.reason == "noproc"
    pid = machine.start(name="to_stop")
    with pytest.raises(ValueError, match="timeout"):
        stop(pid, "other", -1)
    assert is_alive(pid)
    stop("to_stop", "other_reason", None)
    assert pid.reason == "other_reason"


def test_shutdown(machine):
    """gen_statem_SUITE shutdown: a linked machine ends with {shutdown, reason}: the Exit says so, and nothing is reported."""
    trap_exit(True)
    pid = machine.start_link()
    exercise(pid)
    assert call(pid, Do("x", lambda _m, k: Stop(Shutdown("r"), Reply(k, "stopped")))) == "stopped"
    assert receive(1) == Exit(pid, Shutdown("r"))
    with pytest.raises(CallError):
        call(pid, "hej")


def test_stop_and_reply(machine):
    """gen_statem_SUITE stop_and_reply: all replies in order, then terminate, then the exit."""
    trap_exit(True)
    pid = machine.start_link(None, None, self_())
    first = send_request(pid, Do("first"))  # not answered yet
    second = send_request(pid, Do("second", lambda m, k: setattr(m, "kept", k)))
    settle()
    cast(pid, Do("end", lambda m, _k: Stop("reason", Reply(first, "reply1"), Reply(m.kept, "reply2"))))
    settle()
    assert [type(m).__name__ for m in (receive(0), receive(0))] == ["Response", "Response"]
    assert receive(0) == ("terminate", "idle", "reason")
    assert receive(0) == Exit(pid, "reason")
    assert (first.value, second.value) == ("reply1", "reply2")


def test_stop_of_a_gen_server_is_taken(machine):
    """Ours: the Stop of a GenServer ends a machine too, and its reply goes to the present call."""
    pid = machine.start()
    assert call(pid, Do("x", ServerStop("normal", reply="bye"))) == "bye"
    assert not is_alive(pid)


def test_exit_in_a_callback_ends_with_that_reason(machine):
    """OTP A2: exit(R) in a callback; terminate runs."""

    def leave(_m, _k):
        raise ProcessExit("gone")

    pid, _ = machine.start_monitor(None, None, self_())
    cast(pid, Do("x", leave))
    assert receive(1) == ("terminate", "idle", "gone")
    assert receive(1).reason == "gone"


# ------------------------------------------------------------------------------------------------- abnormal


def test_abnormal1(machine, clock):
    """gen_statem_SUITE abnormal1, abnormal1clean, abnormal1dirty: a call times out; the late answer leaves nothing."""
    with running(machine, name="abnormal1") as pid:
        late = Do("ask", lambda m, k: Keep(NamedTimeout("later", 1.0, Do("now", lambda _m, _k: Keep(Reply(k, "delayed"))))))  # fmt: skip
        helper = in_helper(lambda: call("abnormal1", late, 10.0))
        clock.advance(1)
        assert receive(0) == (helper, "delayed")
        helper = in_helper(lambda: call("abnormal1", late, 0.5))
        clock.advance(0.6)
        assert receive(0) == (helper, ("failed", "timeout"))
        clock.advance(1)
        assert labels(pid)[-1] == "now"


@pytest.mark.parametrize("bad", ["badreturn", 17, Reply(None, 1), ("next", "busy")])
def test_abnormal2(machine, bad):
    """gen_statem_SUITE abnormal2: a bad return ends the machine: the caller's error and the Exit carry it."""
    trap_exit(True)
    pid = machine.start_link()
    with pytest.raises(CallError) as info:
        call(pid, Do("x", bad))
    assert info.value.reason == BadReturnFromStateFunction(bad)
    assert receive(1) == Exit(pid, BadReturnFromStateFunction(bad))


@pytest.mark.parametrize("bad", ["badaction", None, Postpone, Reply("nobody", 1)])
def test_abnormal3(machine, bad):
    """gen_statem_SUITE abnormal3: a bad action ends the machine."""
    reason = end_of(machine, Keep(bad))
    assert type(reason) is BadActionFromStateFunction and reason.action is bad


def test_abnormal4(machine):
    """gen_statem_SUITE abnormal4: a bad action beside a change of state: ends in the new state."""
    pid, _ = machine.start_monitor(None, None, self_())
    cast(pid, Do("x", NextState("busy", "badaction")))
    assert receive(1)[:2] == ("terminate", "busy")
    assert receive(1).reason == BadActionFromStateFunction("badaction")


@pytest.mark.parametrize("bad", ["badreply", Postpone(), Reply("nobody", 1)])
def test_bad_reply_action(machine, bad):
    """OTP A2: among the replies of a Stop only replies may be."""
    reason = end_of(machine, Stop("normal", bad))
    assert type(reason) is BadReplyAction and reason.action is bad


def test_state_that_is_no_string_or_not_hashable():
    """OTP A2: a state function's state is a name; handle_event's is any value, here: any hashable one."""
    assert type(end_of(Named, NextState(17))) is BadReturnFromStateFunction
    assert type(end_of(Anyhow, NextState(["list"]))) is BadReturnFromStateFunction
    with running(Anyhow) as pid:
        cast(pid, Do("x", NextState(("any", 17))))
        assert state_of(pid) == ("any", 17)


@pytest.mark.parametrize(
    ("state", "error"), [("nowhere", UnknownState), ("start", ValueError), ("state", ValueError)]
)
def test_state_without_a_method_is_refused_when_entered(state, error):
    """Ours: OTP's undef, but where the mistake is; and no state can have the name of a method of the base class."""
    reason = end_of(Named, NextState(state))
    assert type(reason.exception) is error
    assert state in reason.message


def test_raise_is_a_crash(machine):
    """OTP A2: an exception in a callback: terminate, and the caller gets the crash."""

    def fail(_m, _k):
        raise KeyError("oops")

    pid = machine.start(None, None, self_())
    with pytest.raises(CallError) as info:
        call(pid, Do("x", fail))
    assert isinstance(info.value.reason, Crash) and isinstance(info.value.reason.exception, KeyError)
    assert receive(0)[:2] == ("terminate", "idle")


# ------------------------------------------------------------------------------------- undefined, unhandled


class Picky(GenStateMachine):
    def init(self):
        return NextState("idle", NextEvent("internal", "start"))

    def idle(self, kind, content):
        match kind, content:
            case "internal", "start":
                return None
            case Call(), "ping":
                return Keep(Reply(kind, "pong"))
            case _:
                return self.unhandled(kind, content)


class Empty(GenStateMachine):
    callback_mode = "handle_event"

    def init(self):
        return NextState(1)


@pytest.mark.parametrize("cls", [Picky, Empty])
@pytest.mark.parametrize("kind", ["call", "cast", "internal", "timeout", ("timeout", "n")])
def test_unhandled_event_is_a_crash(cls, kind):
    """gen_statem_SUITE undef_handle_event: an event that nobody handles ends the machine."""

    class Pushed(cls):
        def init(self):
            return NextState(
                super().init().state, *([] if kind in {"call", "cast"} else [NextEvent(kind, "what")])
            )

    pid = Pushed.start()
    if kind == "call":
        with pytest.raises(CallError):
            call(pid, "what")
    elif kind == "cast":
        cast(pid, "what")
    settle()
    assert type(pid.reason.exception) is UnhandledEvent
    assert "what" not in pid.reason.message  # it may be a secret


@pytest.mark.parametrize("cls", [Picky, Empty])
def test_unhandled_info_is_a_warning(cls, reports):
    """OTP A2, as with GenServer: a message that nobody handles: a warning with the state, and the machine lives."""
    with running(cls) as pid:
        send(pid, "hello")
        settle()
        assert is_alive(pid)
        (report,) = reports.of("state_machine")
        assert (report.pid, report.message, report.state) == (pid, "hello", state_of(pid))
        if cls is Picky:
            assert call(pid, "ping") == "pong"


def test_undef_init():
    """gen_statem_SUITE undef_init: no init, no start."""
    with pytest.raises(StartError) as info:
        GenStateMachine.start()
    assert type(info.value.reason.exception) is Undefined


def test_undef_terminate(reports):
    """gen_statem_SUITE undef_terminate1, undef_terminate2: no terminate, no trouble."""
    for reason in (NORMAL, "other"):
        pid = Empty.start()
        stop(pid, reason)
        assert pid.reason == reason


def test_undef_in_terminate(machine):
    """gen_statem_SUITE undef_in_terminate: a terminate that fails gives the exit its reason."""

    class Failing(machine):
        def terminate(self, reason):
            raise LookupError("in terminate")

    pid = Failing.start()
    with pytest.raises(CallError) as info:
        stop(pid)
    assert isinstance(info.value.reason.exception, LookupError)


def test_callback_mode():
    """gen_statem_SUITE callback_mode: said by the class, or seen by what it defines; a bad one is an error at once."""

    class Both(Named):
        callback_mode = "state_functions"

        def handle_event(self, kind, content, state):
            raise AssertionError("not in this mode")

    with running(Both) as pid:
        assert call(pid, "seen") == []
        assert sys.get_status(pid).more["callback_mode"] == "state_functions"
    with running(Anyhow) as pid:
        assert sys.get_status(pid).more["callback_mode"] == "handle_event"
    with pytest.raises(TypeError, match="callback_mode"):
        type("Bad", (Named,), {"callback_mode": "handle_events"})


def test_state_is_read_only(machine):
    """Ours: only results change the state."""
    with running(machine) as pid:
        with pytest.raises(CallError) as info:
            call(pid, Do("x", lambda m, _k: setattr(m, "state", "busy")))
        assert isinstance(info.value.reason.exception, AttributeError)


# ---------------------------------------------------------------------------------------------- event order


def test_event_order(machine):
    """gen_statem_SUITE event_order: after a change of state: inserted events, then postponed ones, oldest first; an
    event time-out of zero beside them never comes, since they cancel it."""
    with running(machine) as pid:
        for label in ("p1", "p2"):
            cast(pid, Do(label, {"idle": Keep(Postpone())}))
        inserted = [NextEvent("internal", Do(label)) for label in ("i1", "i2")]
        change = lambda _m, k: NextState("busy", *inserted, EventTimeout(0, Do("never")), Reply(k, "ok"))  # noqa: E731
        assert call(pid, Do("change", change)) == "ok"
        assert seen(pid) == [
            ("idle", "cast", "p1"),
            ("idle", "cast", "p2"),
            ("idle", "call", "change"),
            ("busy", "internal", "i1"),
            ("busy", "internal", "i2"),
            ("busy", "cast", "p1"),
            ("busy", "cast", "p2"),
        ]


def test_event_order_whole(entering):
    """OTP A2: enter call, inserted, postponed, zero time-outs, mailbox."""
    enters = {"busy": Keep(NamedTimeout("from enter", 0, Do("z3")))}
    with running(entering, None, enters) as pid:
        cast(pid, Do("p1", {"idle": Keep(Postpone())}))
        cast(pid, Do("change", NextState("busy", StateTimeout(0, Do("z1")), NamedTimeout("n", 0, Do("z2")), NextEvent("info", Do("i1")))))  # fmt: skip
        cast(pid, Do("mail"))
        assert seen(pid)[3:] == [
            ("busy", "enter", "idle"),
            ("busy", "info", "i1"),
            ("busy", "cast", "p1"),
            ("busy", "state_timeout", "z1"),
            ("busy", ("timeout", "n"), "z2"),
            ("busy", ("timeout", "from enter"), "z3"),
            ("busy", "cast", "mail"),
        ]


def test_postpone_until_the_state_changes(machine):
    """gen_statem_SUITE postpone: neither Keep nor Repeat nor NextState to the same state brings a postponed event back."""
    with running(machine) as pid:
        cast(pid, Do("p", {"idle": Keep(Postpone()), "busy": NextState("done", Postpone()), "done": None}))
        for result in (Keep(), Repeat(), NextState("idle"), None):
            cast(pid, Do("other", result))
        assert labels(pid) == ["p", "other", "other", "other", "other"]
        assert sys.get_status(pid).more["postponed"][0][0] == "cast"
        cast(pid, Do("go", NextState("busy")))
        assert seen(pid)[5:] == [("idle", "cast", "go"), ("busy", "cast", "p"), ("done", "cast", "p")]
        assert sys.get_status(pid).more["postponed"] == ()


def test_postponed_events_come_before_those_inserted_earlier(machine):
    """OTP A2: on a change of state the postponed go to the front of all that waits inside the machine."""
    with running(machine) as pid:
        cast(pid, Do("p", {"idle": Keep(Postpone())}))
        cast(
            pid,
            Do("x", Keep(NextEvent("internal", Do("go", NextState("busy"))), NextEvent("internal", "later"))),
        )
        assert labels(pid) == ["p", "x", "go", "p", "later"]


def test_postponed_calls_are_answered_later(machine):
    """gen_statem_SUITE postpone: a call waits for the state that answers it; older ones first."""
    with running(machine) as pid:
        ids = RequestIds()
        for n in range(3):
            ids.send(pid, Do(n, {"idle": Keep(Postpone()), "busy": answer(n * n)}), n)
        cast(pid, Do("go", NextState("busy")))
        got = [ids.receive(1.0) for _ in range(3)]
        assert sorted((a.label, a.value) for a in got) == [(0, 0), (1, 1), (2, 4)]
        assert labels(pid) == [0, 1, 2, "go", 0, 1, 2]


def test_postponed_call_whose_caller_has_gone_is_skipped(machine, clock):
    """Ours, as with GenServer: nobody waits for the work any more, so it is not done. An answered one comes again, as in OTP."""
    with running(machine) as pid:
        helper = in_helper(lambda: call(pid, Do("lock", Keep(Postpone())), 1.0))
        settle()
        assert call(pid, Do("both", {"idle": lambda _m, k: Keep(Reply(k, 1), Postpone())})) == 1
        clock.advance(2)
        assert receive(0) == (helper, ("failed", "timeout"))
        cast(pid, Do("go", NextState("busy")))
        assert labels(pid) == ["lock", "both", "go", "both"]


def test_postpone_last_one_counts(machine):
    """OTP A2: of several actions of one sort the last counts."""
    with running(machine) as pid:
        cast(pid, Do("a", Keep(Postpone(), Postpone(False))))
        cast(pid, Do("go", NextState("busy")))
        assert labels(pid) == ["a", "go"]


@pytest.mark.parametrize("kind", ["cast", "info", "internal", "timeout", "state_timeout", ("timeout", "x")])
def test_next_events(machine, kind):
    """gen_statem_SUITE next_events, event_types: events of every kind can be inserted; they come before the mailbox."""
    with running(machine) as pid:
        cast(pid, Do("x", Keep(NextEvent(kind, "first"), NextEvent(kind, "second"))))
        cast(pid, "mail")
        assert seen(pid)[1:] == [("idle", kind, "first"), ("idle", kind, "second"), ("idle", "cast", "mail")]


def test_event_types_call_inserted(machine):
    """gen_statem_SUITE event_types: a call passed on as an inserted call is answered from there."""
    with running(machine) as pid:
        inner = Do("inner", answer("deep"))
        assert call(pid, Do("outer", lambda _m, k: Keep(NextEvent(k, inner)))) == "deep"
        assert [entry[1:] for entry in seen(pid)] == [("call", "outer"), ("call", "inner")]


def test_next_event_from_init(machine):
    """gen_statem_SUITE next_events: actions of init come before any message; to postpone there means nothing."""
    first = NextState("idle", NextEvent("internal", "boot"), StateTimeout(0, "z"), Postpone())
    pid = machine.start(first)
    cast(pid, "mail")
    cast(pid, Do("go", NextState("busy")))
    assert labels(pid)[:3] == ["boot", "z", "mail"]
    assert len(labels(pid)) == 4
    stop(pid)


def test_next_event_inserts_before_what_was_inserted(machine):
    """OTP A2: newly inserted events come before those inserted earlier."""
    with running(machine) as pid:
        deep = Do("a", Keep(NextEvent("internal", "a1"), NextEvent("internal", "a2")))
        cast(pid, Do("x", Keep(NextEvent("internal", deep), NextEvent("internal", "b"))))
        assert labels(pid) == ["x", "a", "a1", "a2", "b"]


@pytest.mark.parametrize("bad", ["enter", "casting", 17, ("timeout",), None])
def test_next_event_of_no_kind_is_an_error_at_the_callback(bad):
    """Ours: an impossible event raises where it is made."""
    with pytest.raises(ValueError, match="NextEvent"):
        NextEvent(bad, 1)


def test_many_own_events_let_others_run(machine):
    """Ours: a machine that feeds itself does not hold the processor."""

    def again(m, _k):
        m.seen.clear()
        return Keep(NextEvent("internal", Do("again", again)))

    with running(machine) as pid:
        me = self_()
        cast(pid, Do("x", again))
        spawn(lambda: send(me, "ran"))
        assert receive(5) == "ran"
        assert is_alive(pid)
        exit(pid, KILL)


# -------------------------------------------------------------------------------------------------- enter calls


def test_state_enter(entering):
    """gen_statem_SUITE state_enter: in the first state, on change and on repeat; not for NextState to the same or Keep."""
    with running(entering) as pid:
        for result in (Keep(), NextState("idle"), Repeat(), NextState("busy"), Repeat()):
            cast(pid, Do("x", result))
        assert seen(pid) == [
            ("idle", "enter", "idle"),
            ("idle", "cast", "x"),
            ("idle", "cast", "x"),
            ("idle", "cast", "x"),
            ("idle", "enter", "idle"),
            ("idle", "cast", "x"),
            ("busy", "enter", "idle"),
            ("busy", "cast", "x"),
            ("busy", "enter", "busy"),
        ]


def test_no_enter_calls_unless_asked_for(machine):
    """gen_statem_SUITE state_enter: without `state_enter` there are none, and Repeat is Keep."""
    with running(machine) as pid:
        cast(pid, Do("x", NextState("busy")))
        cast(pid, Do("y", Repeat()))
        assert labels(pid) == ["x", "y"]


def test_start_returns_before_the_first_enter_call(entering):
    """OTP A2: init has run when start returns; the enter call comes after it, before any message."""
    enters = {"idle": lambda m, _k: send(m.watcher, ("entered", m.state)) and None}
    pid = entering.start(None, enters, self_())
    cast(pid, "mail")
    assert receive(1) == ("entered", "idle")
    assert [entry[1] for entry in seen(pid)] == ["enter", "cast"]
    stop(pid)


def test_state_enter_may_repeat_reply_and_set_timeouts(entering, clock):
    """gen_statem_SUITE state_enter: an enter call may repeat itself, reply, start time-outs and stay."""

    def enter(m, _k):
        m.times = getattr(m, "times", 0) + 1
        return Repeat() if m.times < 3 else NextState("busy", Reply(m.kept, m.times), StateTimeout(1.0, "t"))

    with running(entering, None, {"busy": enter}) as pid:
        assert call(pid, Do("x", lambda m, k: setattr(m, "kept", k) or NextState("busy"))) == 3
        clock.advance(1)
        assert [entry[1:] for entry in seen(pid)][2:] == [
            ("enter", "idle"), ("enter", "idle"), ("enter", "idle"), ("state_timeout", "t"),
        ]  # fmt: skip


@pytest.mark.parametrize("bad", [NextState("done"), "bad", 17])
def test_state_enter_bad_return(entering, bad):
    """OTP A2: an enter call cannot change the state; the machine ends in the state it was entering."""
    pid, _ = entering.start_monitor(None, {"busy": bad}, self_())
    cast(pid, Do("x", NextState("busy")))
    assert receive(1)[:2] == ("terminate", "busy")
    assert receive(1).reason == BadStateEnterReturn(bad)


@pytest.mark.parametrize("bad", [Postpone(), NextEvent("internal", 1)])
def test_state_enter_bad_action(entering, bad):
    """OTP A2: an enter call can neither postpone nor insert events."""
    reason = end_of(entering, NextState("busy"), args=(None, {"busy": Keep(bad)}))
    assert reason == BadStateEnterAction(bad)


def test_state_enter_may_stop(entering):
    """OTP A2: an enter call can stop the machine."""
    assert end_of(entering, NextState("busy"), args=(None, {"busy": Stop("done here")})) == "done here"
