"""gen_statem_SUITE: starting, stopping, event order, enter calls, time-outs, bad returns, sys, reports; both callback modes."""

from __future__ import annotations

from typing import Any

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
    reply,
    self_,
    send,
    sleep,
    spawn,
    trap_exit,
    whereis,
)
from runtime.kernel import clock as kernel_clock
from runtime.otp import (
    AlreadyStarted,
    BadReturnValue,
    NoReply,
    RequestIds,
    StartError,
    call,
    proc_lib,
    receive_response,
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
    Hibernate,
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
    enter_loop,
)
from runtime.testing import settle
from tests.support.servers import Reports, in_helper, running


class Do:
    """An event's content that says what the machine is to return: a result, a function of (machine, kind) that makes
    one, or a dict of either by state (no entry: None). `label` stands for it in what was seen.
    """

    def __init__(self, label: Any, play: Any = None) -> None:
        self.label = label
        self.play = play

    def __repr__(self) -> str:
        return f"Do({self.label!r})"


class Puppet(GenStateMachine):
    """Notes (state, kind, label) of all events in `seen`, and does what they say. `enters`: the same for enter calls."""

    def init(self, first: Any = None, enters: Any = None, watcher: Any = None) -> Any:
        self.seen: list[Any] = []
        self.enters = enters or {}
        self.watcher = watcher
        return first if first is not None else NextState("idle")

    def act(self, kind: Any, content: Any) -> Any:
        if isinstance(kind, Call) and content == "seen":
            reply(kind, list(self.seen))
            return None
        word = "call" if isinstance(kind, Call) else kind
        self.seen.append((self.state, word, content.label if isinstance(content, Do) else content))
        play = self.enters if kind == "enter" else content.play if isinstance(content, Do) else None
        if isinstance(play, dict):
            play = play.get(self.state)
        return play(self, kind) if callable(play) else play

    def terminate(self, reason: Any) -> None:
        if self.watcher is not None:
            send(self.watcher, ("terminate", self.state, reason))


class Named(Puppet):
    def idle(self, kind, content):
        return self.act(kind, content)

    def busy(self, kind, content):
        return self.act(kind, content)

    def done(self, kind, content):
        return self.act(kind, content)


class Anyhow(Puppet):
    def handle_event(self, kind, content, state):
        assert state == self.state
        return self.act(kind, content)


class NamedEnter(Named):
    state_enter = True


class AnyhowEnter(Anyhow):
    state_enter = True


class Trapper(Named):
    def init(self, *args):
        trap_exit(True)
        return super().init(*args)


class Vault(Named):
    """Hides a secret."""

    def init(self, secret):
        super().init()
        self.secret = secret
        return NextState("idle", NamedTimeout("t", 100.0, secret))

    def format_status(self, status):
        shown = {key: "redacted" for key in status}
        for key in ("state", "reason"):
            if key in status:
                shown[key] = status[key]
        if "data" in status:
            shown["data"] = dict(status["data"], secret="***", seen="***")
        return shown


@pytest.fixture(params=[Named, Anyhow])
def machine(request):
    return request.param


@pytest.fixture(params=[NamedEnter, AnyhowEnter])
def entering(request):
    return request.param


@pytest.fixture
def reports(caplog):
    return Reports(caplog)


def seen(pid) -> list[Any]:
    return list(call(pid, "seen"))


def labels(pid) -> list[Any]:
    return [entry[2] for entry in call(pid, "seen")]


def answer(value: Any, result: Any = Keep) -> Any:
    return lambda _m, kind: result(Reply(kind, value))


def state_of(pid) -> Any:
    return sys.get_state(pid)[0]


def end_of(cls, result, *, via=cast, args=()):
    """The reason that a machine ends with when an event returns `result`."""
    pid, ref = cls.start_monitor(*args)
    via(pid, Do("end", result))
    down = receive()
    assert down.ref is ref
    return down.reason


# ---------------------------------------------------------------------------------------------------- start


def exercise(pid):
    """The suite's do_func_test and do_sync_func_test: casts and calls in a row of states."""
    cast(pid, Do("hello", NextState("busy")))
    assert state_of(pid) == "busy"
    assert call(pid, Do("work", answer("worked"))) == "worked"
    assert call(pid, Do("over", lambda _m, k: NextState("done", Reply(k, "bye")))) == "bye"
    assert call(pid, Do("back", lambda _m, k: NextState("idle", Reply(k, "yes")))) == "yes"
    assert state_of(pid) == "idle"


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
    ("state", "error"), [("nowhere", Undefined), ("start", ValueError), ("state", ValueError)]
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
