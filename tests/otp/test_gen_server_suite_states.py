"""gen_server_SUITE, second half: time-outs, missing callbacks, the parent rule, hibernation, enter_loop, status, state."""

from __future__ import annotations


import pytest

from runtime.kernel import (
    KILL,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    CallError,
    Crash,
    Down,
    Exit,
    ProcessExit,
    exit,
    is_alive,
    receive,
    register,
    self_,
    send,
    spawn,
    spawn_monitor,
    trap_exit,
)
from runtime.otp import (
    NoReply,
    Reply,
    Stop,
    call,
    cast,
    enter_loop,
    proc_lib,
    stop,
    sys,
)
from runtime.testing import settle
from tests.support.servers import Bare, LeakyVault, Puppet, Reports, Trapper, Vault, raiser, returner, running


@pytest.fixture
def reports(caplog):
    return Reports(caplog)


# ------------------------------------------------------------------------------- 64, 65 event time-outs


def wait_for(spec):
    return lambda _server: NoReply(timeout=spec)


@pytest.mark.parametrize("spec", [1.0, (1.0, "ding")])
@pytest.mark.parametrize("source", ["init", "call", "cast", "info"])
def test_handle_event_timeout(spec, source, clock):
    """gen_server_SUITE handle_event_timeout: comes once, after that time without a message."""
    expected = ("info", TIMEOUT if spec == 1.0 else "ding")
    with running(Puppet, wait_for(spec) if source == "init" else None) as pid:
        if source == "call":
            assert call(pid, returner(Reply("yes", timeout=spec))) == "yes"
        elif source == "cast":
            cast(pid, wait_for(spec))
        elif source == "info":
            send(pid, wait_for(spec))
        clock.advance(0.9)
        sys_seen = sys.get_state(pid)["seen"]
        assert expected not in sys_seen
        clock.advance(0.2)
        assert sys.get_state(pid)["seen"][-1] == expected
        clock.advance(10)
        assert call(pid, "seen").count(expected) == 1


@pytest.mark.parametrize("spec", [1.0, (1.0, "ding")])
@pytest.mark.parametrize("deliver", [cast, send], ids=["cast", "info"])
def test_handle_event_timeout_any_message_cancels(spec, deliver, clock):
    """gen_server_SUITE handle_event_timeout_plain: any message cancels it."""
    with running(Puppet, wait_for(spec)) as pid:
        clock.advance(0.9)
        deliver(pid, "interrupt")
        clock.advance(10)
        assert [event[1] for event in call(pid, "seen")] == ["interrupt"]


def test_handle_event_timeout_plain_system_messages_do_not_cancel(clock):
    """gen_server_SUITE handle_event_timeout_plain: a system message does not cancel."""
    with running(Puppet, wait_for(1.0)) as pid:
        clock.advance(0.5)
        sys.get_state(pid)
        sys.get_status(pid)
        sys.suspend(pid)
        sys.resume(pid)
        clock.advance(0.6)
        assert sys.get_state(pid)["seen"] == [("info", TIMEOUT)]


def test_handle_event_timeout_while_suspended_comes_after_resume(clock):
    """OTP A4: suspended, a server serves system messages only; its time-out waits too."""
    with running(Puppet, wait_for(1.0)) as pid:
        sys.suspend(pid)
        clock.advance(5)
        assert sys.get_state(pid)["seen"] == []
        sys.resume(pid)
        assert call(pid, "seen") == [("info", TIMEOUT)]


def test_handle_event_timeout_does_not_outlive_the_next_one(clock):
    """OTP A2: a newer time-out takes the older one's place."""
    with running(Puppet, wait_for((1.0, "old"))) as pid:
        cast(pid, wait_for((3.0, "new")))
        clock.advance(10)
        assert [e for e in call(pid, "seen") if e[0] == "info"] == [("info", "new")]


def test_handle_event_timeout_overtaken_does_not_disturb_the_next_one(clock):
    """OTP A2: a zero time-out that lost to a queued message neither fires nor cancels what that message asked for."""

    def start(_server):
        send(self_(), wait_for((5.0, "new")))
        return NoReply(timeout=0)

    with running(Puppet, start) as pid:
        clock.advance(10)
        assert [e[1] for e in call(pid, "seen")][1:] == ["new"]


def test_handle_event_timeout_overtaken_leaves_no_timer():
    """Ours: cancelled and outlived time-outs hold no timer (the leak check looks)."""
    with running(Puppet, wait_for(1000.0)) as pid:
        cast(pid, wait_for((2000.0, "x")))
        cast(pid, wait_for(3000.0))
        stop(pid)


def test_handle_event_timeout_of_a_killed_server_leaves_no_timer():
    """OTP A1: a timer to a dead process disappears (the leak check looks)."""
    with running(Puppet, wait_for(1000.0)) as pid:
        exit(pid, KILL)
        assert pid.reason == "killed"


def test_infinite_timeout_is_none():
    """Ours: an infinite time-out never comes, and arms nothing."""
    with running(Puppet, wait_for(float("inf"))) as pid:
        assert call(pid, returner(Reply(1, timeout=(float("inf"), "x")))) == 1
        assert pid.control is None


def test_start_event_timeout_zero():
    """gen_server_SUITE start_event_timeout_zero, handle_event_timeout_zero: the plain 0 loses to queued messages, the
    action form fires before them."""

    def start(spec):
        def play(_server):
            send(self_(), "queued")
            return NoReply(timeout=spec)

        return play

    with running(Puppet, start(0)) as pid:
        assert call(pid, "seen") == [("info", "queued")]
    with running(Puppet, start((0, "now"))) as pid:
        assert call(pid, "seen") == [("info", "now"), ("info", "queued")]
    with running(Puppet, wait_for(0)) as pid:
        settle()
        assert call(pid, "seen") == [("info", TIMEOUT)]


@pytest.mark.parametrize("deliver", [cast, send], ids=["cast", "info"])
def test_handle_event_timeout_zero(deliver):
    """gen_server_SUITE handle_event_timeout_zero: the same from the other callbacks."""
    for spec, expected in ((0, ["queued"]), ((0, "now"), ["now", "queued"])):
        with running(Puppet) as pid:
            deliver(pid, wait_for(spec))
            send(pid, "queued")
            assert [event[1] for event in call(pid, "seen")][1:] == expected


@pytest.mark.parametrize("bad", [-1, "soon", (-1, "x"), True, float("nan")])
def test_bad_timeout_is_an_error_at_the_callback(bad):
    """Ours: an impossible time-out raises where it is made, naming the value."""
    with pytest.raises(ValueError, match="timeout"):
        NoReply(timeout=bad)


# ------------------------------------------------------------------------------- 66, 67 undefined callbacks


def test_undef_handle_info_warns_and_lives(reports):
    """gen_server_SUITE undef_handle_info: a message nobody handles: a warning, and the server lives."""
    with running(Bare) as pid:
        send(pid, "hello")
        settle()
        assert is_alive(pid)
        assert reports.labels() == ["gen_server"]
        assert "handle_info" in reports.texts()
        (report,) = reports.of("gen_server")
        assert (report.pid, report.message) == (pid, "hello")


def test_undef_in_handle_info_crashes():
    """gen_server_SUITE undef_in_handle_info: an undefined name inside handle_info is a crash like any other."""
    with running(Puppet) as pid:
        send(pid, lambda server: server.no_such_method())
        settle()
        assert isinstance(pid.reason, Crash)
        assert pid.reason.error == "AttributeError"


@pytest.mark.parametrize("callback", ["handle_call", "handle_cast", "handle_continue"])
def test_undef_handle_call_cast_continue_crash(callback):
    """gen_server_SUITE undef_handle_call, undef_handle_cast, undef_handle_continue: crash undef."""

    class Continuing(Bare):
        def init(self):
            return NoReply(continue_="x")

    if callback == "handle_continue":
        pid = Continuing.start()
    else:
        pid = Bare.start()
        if callback == "handle_cast":
            cast(pid, "x")
        else:
            with pytest.raises(CallError):
                call(pid, "x")
    settle()
    assert isinstance(pid.reason, Crash)
    assert pid.reason.error == "runtime.otp.outcome.Undefined"
    assert callback in pid.reason.message


def test_undef_init_and_terminate_have_defaults():
    """gen_server_SUITE undef_terminate1, undef_terminate2: no terminate is no error, for any reason."""
    for reason in (NORMAL, "other"):
        pid = Bare.start()
        stop(pid, reason)
        assert pid.reason == reason


def test_undef_code_change_error_and_old_code_runs_on():
    """gen_server_SUITE undef_code_change: an error to the caller; the server goes on as it was."""
    with running(Puppet) as pid:
        sys.suspend(pid)
        with pytest.raises(sys.CallbackFailed) as failure:
            sys.change_code(pid, "module", "v1", "extra")
        assert failure.value.crash.error.endswith("Undefined")
        sys.resume(pid)
        assert call(pid, 1) == ("echo", 1)


# ---------------------------------------------------------------------------------------------------- parent rule


def test_parent_exit_ends_a_trapping_server():
    """OTP A2 parent rule: {'EXIT', Parent, R} in a trapping server: terminate(R), exit R."""
    watcher = self_()

    def parent():
        pid = Trapper.start_link(None, watcher)
        send(watcher, pid)
        receive()
        raise ProcessExit("parent gone")

    boss = spawn(parent)
    pid = receive(5)
    send(boss, "go")
    assert receive(5) == ("terminate", "parent gone")
    settle()
    assert pid.reason == "parent gone"


def test_parent_exit_kills_a_server_that_does_not_trap():
    """OTP A2 parent rule: not trapping: killed by the signal; terminate is not called."""
    watcher = self_()

    def parent():
        send(watcher, Puppet.start_link(None, watcher))
        raise ProcessExit("parent gone")

    spawn(parent)
    pid = receive(5)
    settle()
    assert pid.reason == "parent gone"
    assert receive(0) is TIMEOUT


def test_exit_of_others_goes_to_handle_info():
    """OTP A2 parent rule: EXIT of others is an ordinary message, from an unlinked starter too."""
    with running(Trapper) as pid:
        exit(pid, "from the starter, who is no parent")
        stranger = spawn(lambda: exit(pid, "from a stranger"))
        settle()
        assert call(pid, "seen") == [
            ("info", Exit(self_(), "from the starter, who is no parent")),
            ("info", Exit(stranger, "from a stranger")),
        ]


def test_parent_exit_ends_a_suspended_server():
    """OTP A4: suspended, a server serves system messages and its parent's EXIT."""
    trap_exit(True)
    pid = Trapper.start_link(None, self_())
    sys.suspend(pid)
    send(pid, "held")
    exit(pid, "enough")
    assert receive(5) == ("terminate", "enough")
    assert receive(5) == Exit(pid, "enough")


def test_kill_runs_no_terminate():
    """OTP A1: kill cannot be trapped; a callback that is killed does not run terminate."""
    with running(Trapper, None, self_()) as pid:
        cast(pid, lambda _: receive())
        settle()
        receive(0)
        exit(pid, KILL)
        settle()
        assert pid.reason == "killed"
        assert receive(0) is TIMEOUT


# ---------------------------------------------------------------------------------------------------- 68 hibernate


def test_hibernate_returns_after_system_messages():
    """gen_server_SUITE hibernate: from init, call, cast, info, continue; ordinary messages wake it, system ones do not."""
    sleepy = returner(NoReply(hibernate=True))
    with running(Puppet, sleepy) as pid:
        assert sys.get_status(pid).hibernated
        assert sys.get_status(pid).hibernated
        sys.suspend(pid)
        sys.resume(pid)
        assert sys.get_status(pid).hibernated
        assert call(pid, 1) == ("echo", 1)
        assert not sys.get_status(pid).hibernated
        assert call(pid, returner(Reply("zzz", hibernate=True))) == "zzz"
        assert sys.get_status(pid).hibernated
        for deliver in (cast, send):
            deliver(pid, "awake")
            assert not sys.get_status(pid).hibernated
            deliver(pid, sleepy)
            assert sys.get_status(pid).hibernated
        cast(pid, returner(NoReply(continue_=sleepy)))
        assert sys.get_status(pid).hibernated


def test_hibernate_with_timeout(clock):
    """gen_server_SUITE hibernate: the 2025 form with a time limit: sleeps, and is woken by it."""
    with running(Puppet, returner(NoReply(hibernate=True, timeout=(1.0, "wake")))) as pid:
        assert sys.get_status(pid).hibernated
        clock.advance(2)
        assert not sys.get_status(pid).hibernated
        assert call(pid, "seen") == [("info", "wake")]


# --------------------------------------------------------------------------------------------- 69 spec_init, otp_5854


def self_initialised(name=None, outcome=None, claim=None):
    """A process that registers and acknowledges by itself, then serves."""

    def body():
        if name is not None:
            register(name, self_())
        server = Puppet()
        server.init()
        proc_lib.init_ack()
        enter_loop(server, outcome, name=claim if claim is not None else name)

    return body


def test_spec_init_enter_loop_serves():
    """gen_server_SUITE spec_init: anonymous and registered; the process is a server like any other."""
    for name in (None, "spec_init"):
        pid = proc_lib.start(self_initialised(name))
        assert call(name or pid, 1) == ("echo", 1)
        cast(pid, "c")
        assert sys.get_state(pid)["seen"] == [("cast", "c")]
        sys.suspend(pid)
        sys.resume(pid)
        stop(pid, SHUTDOWN)
        assert pid.reason == SHUTDOWN


def test_spec_init_enter_loop_with_outcome(clock):
    """gen_server_SUITE spec_init: the options of init: timeout, hibernate, continue."""
    pid = proc_lib.start(self_initialised(outcome=NoReply(timeout=1.0)))
    clock.advance(2)
    assert call(pid, "seen") == [("info", TIMEOUT)]
    stop(pid)
    pid = proc_lib.start(self_initialised(outcome=NoReply(continue_="c")))
    assert call(pid, "seen") == [("continue", "c")]
    stop(pid)
    pid = proc_lib.start(self_initialised(outcome=NoReply(hibernate=True)))
    assert sys.get_status(pid).hibernated
    stop(pid)


def test_spec_init_parent_exit(clock):
    """gen_server_SUITE spec_init: the parent rule holds there too."""
    trap_exit(True)
    me = self_()

    def body():
        trap_exit(True)
        server = Puppet()
        server.init(None, me)
        proc_lib.init_ack()
        enter_loop(server)

    pid = proc_lib.start_link(body)
    exit(pid, "enough")
    assert receive(5) == ("terminate", "enough")
    assert receive(5) == Exit(pid, "enough")


def test_otp_5854_enter_loop_checks_name_and_ancestry(reports):
    """gen_server_SUITE otp_5854: exits when not started by proc_lib, or not registered as it claims."""
    pid, ref = spawn_monitor(lambda: enter_loop(Puppet()))
    assert receive(5) == Down(ref, pid, "process_was_not_started_by_proc_lib")
    trap_exit(True)
    pid = proc_lib.start_link(self_initialised(claim="not_mine"))
    assert receive(5) == Exit(pid, "process_not_registered")
    with running(Puppet, name="taken"):
        pid = proc_lib.start_link(self_initialised(claim="taken"))
        assert receive(5) == Exit(pid, "process_not_registered")


# --------------------------------------------------------------------------------------------- 70 format_status


def test_call_format_status():
    """gen_server_SUITE call_format_status: get_status shows what format_status returns; the state itself is whole."""
    with running(Vault, "xyzzy") as pid:
        assert sys.get_status(pid).state["secret"] == "***"
        assert "xyzzy" not in repr(sys.get_status(pid))
        assert sys.get_state(pid)["secret"] == "xyzzy"
        sys.suspend(pid)
        assert sys.get_status(pid).state["secret"] == "***"


def test_error_format_status(reports):
    """gen_server_SUITE error_format_status: reports too show only what format_status returns."""
    with running(Vault, "xyzzy") as pid:
        cast(pid, returner(Stop("bad")))
        send(pid, ("queued", "xyzzy"))
        settle()
        assert not is_alive(pid)
    assert reports.labels() == ["server", "crash"]
    assert reports.of("server")[0].state["secret"] == "***"
    assert reports.of("server")[0].last_message == "redacted"
    assert reports.of("crash")[0].messages == "redacted"
    assert "xyzzy" not in reports.texts()


def test_error_format_status_redacts_the_reason(reports):
    """gen_server_SUITE error_format_status: the reason too; whoever is linked or monitors gets the real one."""

    class Discreet(Vault):
        def format_status(self, status):
            return dict.fromkeys(status, "redacted")

    with running(Discreet, "xyzzy") as pid:
        cast(pid, returner(Stop(("bad", "xyzzy"))))
        settle()
        assert pid.reason == ("bad", "xyzzy")
    assert reports.labels() == ["server", "crash"]
    assert reports.of("server")[0].reason == reports.of("crash")[0].reason == "redacted"
    assert "xyzzy" not in reports.texts()


def test_terminate_crash_format(reports):
    """gen_server_SUITE terminate_crash_format: also when terminate is what crashes."""

    class Clumsy(Vault):
        def terminate(self, reason):
            raise ValueError("oops")

    with running(Clumsy, "xyzzy") as pid:
        with pytest.raises(CallError):
            stop(pid)
    assert reports.labels() == ["server", "crash"]
    assert reports.of("server")[0].state["secret"] == "***"
    assert reports.of("server")[0].reason.message == "oops"
    assert "xyzzy" not in reports.texts()


def test_crash_in_format_status(reports):
    """gen_server_SUITE crash_in_format_status: a hook that fails shows nothing of the state, and harms nobody."""
    with running(LeakyVault, "xyzzy") as pid:
        assert "format_status crashed" in sys.get_status(pid).state
        assert call(pid, 1) == ("echo", 1)
        cast(pid, raiser(ValueError("boom")))
        settle()
        assert not is_alive(pid)
    assert reports.labels() == ["server", "crash"]
    assert "format_status crashed" in reports.of("server")[0].state
    assert "xyzzy" not in reports.texts()


# --------------------------------------------------------------------------------------- 71 get_state, replace_state


def test_get_state_and_replace_state_also_while_suspended():
    """gen_server_SUITE get_state, replace_state: by pid and name, running and suspended."""
    with running(Puppet, name="stateful") as pid:
        for dest in (pid, "stateful"):
            assert sys.get_state(dest) == {"seen": [], "sender": None, "watcher": None}
            assert sys.replace_state(dest, lambda s: {**s, "x": 1})["x"] == 1
            sys.suspend(dest)
            assert sys.get_state(dest)["x"] == 1
            assert sys.replace_state(dest, lambda s: {**s, "x": 2})["x"] == 2
            sys.resume(dest)
            assert call(pid, lambda server: server.x) == 2
            sys.replace_state(dest, lambda s: {k: v for k, v in s.items() if k != "x"})
            assert not call(pid, lambda server: hasattr(server, "x"))


@pytest.mark.parametrize(
    "bad",
    [raiser(ValueError("no")), raiser(ProcessExit("no")), returner("no dict")],
    ids=["raise", "exit", "garbage"],
)
def test_replace_state_failing_function_changes_nothing(bad):
    """gen_server_SUITE replace_state: a failing fun changes nothing: callback_failed to the caller."""
    with running(Puppet) as pid:
        before = sys.get_state(pid)
        with pytest.raises(sys.CallbackFailed):
            sys.replace_state(pid, bad)
        assert sys.get_state(pid) == before
        assert call(pid, 1) == ("echo", 1)
