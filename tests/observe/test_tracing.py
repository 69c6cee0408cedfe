"""Traces: what they see, that they end, and that nothing is left of them: in every way that they may end."""

from __future__ import annotations

import sys as interpreter
import threading

import pytest

import runtime.admin.shell_evaluator  # noqa: F401 - what is not loaded is not found
from runtime import kernel
from runtime.code.engine import Engine
from runtime.code.roots import Roots
from runtime.kernel import (
    KILL,
    call,
    cast,
    exit,
    receive,
    scheduler,
    self_,
    send,
    set_watermarks,
    spawn,
    spawn_callback,
    spawn_opt,
)
from runtime.kernel import hooks
from runtime.observe import trace_points, tracing
from runtime.observe.tracing import NotTraceable, TraceEvent, follow, start
from runtime.otp import stop
from runtime.otp.gen_server import GenServer
from runtime.testing import settle, until


class Adder(GenServer):
    def init(self):
        self.sum = 0

    def handle_call(self, request, sender):
        self.sum += double(request)
        return self.sum

    def handle_cast(self, request):
        self.sum = request

    def handle_info(self, message):
        pass


class Sink:
    def on_message(self, process, message):
        pass


class Talkative:
    """Its text comes from the function that is traced."""

    def __repr__(self):
        return f"Talkative({double(2)})"


def double(n, *, times=2):
    return n * times


def failing(text):
    raise LookupError(text)


def outer(n):
    def inner(k):
        return n + k

    return inner


def seen(trace):
    """All that a trace has told its owner by now."""
    settle()
    return [
        (e.kind, e.who, e.other, e.text) for e in kernel.receive_every(lambda m: m.__class__ is TraceEvent)
    ]


def untouched():
    assert scheduler.send.__code__ is scheduler.send_checked.__code__  # as all messages are checked here
    assert double.__code__.co_varnames == ("n", "times")
    assert not trace_points._points
    assert trace_points._on_release not in hooks.on_release
    assert not kernel.taps._taps


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    untouched()


def test_messages_calls_and_the_end_of_a_process():
    adder = Adder.start(name="adder")
    me = repr(self_())
    trace = start("adder", seconds=60)
    call(adder, 1)
    cast(adder, 5)
    send(adder, "word")
    stop(adder)
    events = seen(trace)
    assert ("receive", "<adder@nonode>", me, "call 1") in events
    assert ("receive", "<adder@nonode>", me, "cast 5") in events
    assert ("receive", "<adder@nonode>", me, "'word'") in events
    assert events[-2] == ("exit", "<adder@nonode>", "", "'normal'")
    assert events[-1] == ("end", "", "", "what was traced has ended")
    assert not kernel.is_alive(trace)


def test_what_a_process_sends_and_asks():
    adder = Adder.start(name="adder")

    def talk():
        receive()
        send("adder", ("a", "b"))
        cast(adder, 2)
        call(adder, 3)

    pid = spawn(talk)
    start(pid, seconds=60, receive=False)
    send(pid, "go")
    send(adder, "of somebody else")
    events = seen(pid)
    assert [(kind, other, text) for kind, _, other, text in events[:3]] == [
        ("send", "adder", "('a', 'b')"), ("send", "<adder@nonode>", "cast 2"), ("send", "<adder@nonode>", "call 3"),
    ]  # fmt: skip
    assert [event[0] for event in events[3:]] == ["exit", "end"]
    stop(adder)


def test_sys_through_the_same_door():
    adder = Adder.start(name="adder")
    trace = start("adder", seconds=60, receive=False, send=False, state=True)
    settle()
    call(adder, 4)
    cast(adder, 1)
    events = [(kind, text) for kind, _, _, text in seen(trace)]
    assert events == [
        ("in", "call 4"), ("out", "8"), ("state", "{'sum': 8}"), ("in", "cast 1"), ("state", "{'sum': 1}"),
    ]  # fmt: skip
    tracing.stop(trace)
    assert seen(trace)[-1][3] == "stopped"
    send(adder, "the next message takes the function out")
    settle()
    assert adder.control is None or adder.control.debug is None
    stop(adder)


def test_sys_is_not_asked_of_what_does_not_know_it():
    pid = spawn(receive)
    trace = start(pid, seconds=60, state=True)
    settle()
    assert kernel.is_alive(pid)
    assert pid.mailbox_length == 0
    exit(pid, KILL)
    seen(trace)


def test_calls_returns_and_exceptions_of_functions():
    held = double
    trace = start([double, f"{__name__}.failing"], seconds=60)
    assert held(3, times=4) == 12
    assert double(n=1) == 2
    with pytest.raises(LookupError, match="on purpose"):
        failing("on purpose")
    events = [(kind, other.rpartition(".")[2], text) for kind, _, other, text in seen(trace)]
    assert events == [
        ("call", "double", "3, times=4"), ("return", "double", "12"), ("call", "double", "n=1"), ("return", "double", "2"),
        ("call", "failing", "'on purpose'"), ("raise", "failing", "LookupError: LookupError('on purpose')"),
    ]  # fmt: skip
    tracing.stop(trace)
    seen(trace)


def test_methods_closures_and_names():
    inner = outer(5)
    trace = start([Adder.handle_call, inner], seconds=60)
    adder = Adder.start()
    assert call(adder, 1) == 2
    assert inner(2) == 7
    kinds = [(kind, other.rpartition(".")[2]) for kind, _, other, _ in seen(trace)]
    assert kinds == [
        ("call", "handle_call"),
        ("return", "handle_call"),
        ("call", "inner"),
        ("return", "inner"),
    ]
    tracing.stop(trace)
    seen(trace)
    assert inner(2) == 7
    stop(adder)
    for name in (f"{__name__}.Adder.handle_call", f"{__name__}:Adder.handle_call"):
        assert trace_points.resolve(name) is Adder.handle_call
    for wrong, words in (
        (f"{__name__}.nothing", "there is no"), ("no.such.module", "there is no"), (Adder, "a class"), (len, "builtin"),
        (f"{__name__}.Adder", "a class"), (99_999_999, "no living process"),
    ):  # fmt: skip
        with pytest.raises(NotTraceable, match=words):
            start(wrong)


def test_only_calls_of_one_process():
    pid = spawn_opt(lambda: (receive(), double(1)), name="one")
    trace = start(double, by="one", seconds=60)
    double(2)
    send(pid, "go")
    assert [text for kind, _, _, text in seen(trace) if kind == "call"] == ["1"]
    tracing.stop(trace)
    seen(trace)


def test_a_repr_that_calls_the_traced_function_does_not_go_round():
    trace = start(double, seconds=60)
    with pytest.raises(TypeError):
        double(Talkative())
    events = seen(trace)
    assert [event[0] for event in events] == ["call", "raise"]
    assert "Talkative(4)" in events[0][3]
    tracing.stop(trace)
    seen(trace)


def test_calls_in_other_threads():
    trace = start(double, seconds=60)
    thread = threading.Thread(target=double, args=(21,))
    thread.start()
    thread.join()
    found = []
    until(lambda: found.extend(seen(trace)) or len(found) >= 2)
    assert [(kind, who, text) for kind, who, _, text in found] == [
        ("call", "outside", "21"),
        ("return", "outside", "42"),
    ]
    tracing.stop(trace)
    seen(trace)


def test_a_trace_of_calls_in_threads_ends_with_its_count():
    trace = start(double, n=2, seconds=60)
    thread = threading.Thread(target=double, args=(21,))
    thread.start()
    thread.join()
    until(lambda: not kernel.is_alive(trace))
    assert seen(trace)[-1] == ("end", "", "", "2 events")


def test_who_traces_itself_twice_hears_no_echo():
    """What two traces tell the same process is no event for either."""
    first = start(kernel.self_(), n=1_000, seconds=60)
    second = start(kernel.self_(), n=1_000, seconds=60)
    send(kernel.self_(), "x")
    settle()
    assert kernel.receive_match(lambda m: m == "x", 1) == "x"
    events = kernel.receive_every(lambda m: m.__class__ is tracing.TraceEvent)
    assert len(events) == 5, "the second one's start, and x by each: sent and received"
    tracing.stop(first)
    tracing.stop(second)
    kernel.receive_every(lambda m: m.__class__ is tracing.TraceEvent)


def test_a_trace_of_a_trace():
    pid = spawn_callback(Sink())
    first = start(pid, seconds=60)
    second = start(first, seconds=60, n=50)
    for n in range(10):
        send(pid, n)
    settle()
    assert kernel.is_alive(first)
    assert kernel.is_alive(second)
    for trace in (second, first):
        tracing.stop(trace)
    kernel.receive_every(lambda m: m.__class__ is tracing.TraceEvent)
    exit(pid, KILL)


@pytest.mark.parametrize(
    "name",
    [
        "runtime.kernel.watchdog._tick", "runtime.kernel.limits.limited.check", "runtime.kernel.hooks.call",
        "runtime.admin.shell_evaluator.Evaluator._look",
    ],
)  # fmt: skip
def test_what_runs_in_a_signals_handler_is_not_traced(name):
    """It may be in the middle of the kernel's own work: nothing may be sent from there."""
    with pytest.raises(tracing.NotTraceable, match="signal's handler"):
        start(name)


@pytest.mark.parametrize("what", ["process", "function"])
def test_a_trace_ends_with_its_count(what):
    pid = spawn_callback(Sink())
    trace = start(pid if what == "process" else double, n=5, seconds=60, send=False)
    for n in range(50):
        send(pid, n)
        double(n)
    events = seen(trace)
    assert len(events) == 6
    assert events[-1] == ("end", "", "", "5 events")
    assert not kernel.is_alive(trace)
    exit(pid, KILL)


def test_a_trace_ends_with_its_time(clock):
    trace = start(double, seconds=5)
    clock.advance(4)
    assert kernel.is_alive(trace)
    clock.advance(1)
    assert seen(trace) == [("end", "", "", "5 s are over")]
    assert not kernel.is_alive(trace)


def test_a_trace_ends_with_whoever_asked_for_it():
    pid = spawn_callback(Sink())

    def ask():
        start([pid, double], seconds=60)
        receive()

    owner = spawn(ask)
    settle()
    assert trace_points._points
    exit(owner, KILL)
    settle()
    untouched()
    send(pid, "as ever")
    exit(pid, KILL)


def test_a_trace_that_is_killed_leaves_nothing():
    pid = spawn_callback(Sink())
    trace = start([pid, double], seconds=60)
    settle()
    exit(trace, KILL)
    settle()
    untouched()
    exit(pid, KILL)


def test_leaving_the_loop_ends_the_trace():
    going = [True]

    def work():
        while going:
            double(1)
            kernel.yield_()

    spawn(work)
    events = follow(double, n=100_000, seconds=60)
    assert [next(events).kind for _ in range(3)] == ["call", "return", "call"]
    events.close()
    going.clear()
    settle()
    untouched()
    assert kernel.receive(0) is kernel.TIMEOUT


def test_two_traces_of_one_thing_end_by_turns():
    pid = spawn_callback(Sink())
    first = start([pid, double], seconds=60, send=False)
    second = start([pid, double], seconds=60, send=False)
    double(1)
    send(pid, "x")
    assert len(seen(first)) == 6
    tracing.stop(first)
    seen(first)
    double(1)
    send(pid, "x")
    assert len(seen(second)) == 3
    tracing.stop(second)
    seen(second)
    exit(pid, KILL)


@pytest.mark.parametrize("before", [True, False])
def test_messages_are_heard_while_the_mailbox_is_long_and_senders_are_counted(before):
    """The alarm's mailbox and the trace's are one, whichever came first."""

    class Blocked:
        def on_message(self, process, message):
            kernel.receive_match(lambda m: m == "go on")

    pid = spawn_callback(Blocked())
    set_watermarks(pid, 10, 1)
    send(pid, "block")
    settle()
    trace = start(pid, n=1000, seconds=60, send=False) if before else None
    for n in range(20):
        send(pid, n)
    kernel.sweep()
    assert pid.extra.alarmed
    if trace is None:
        trace = start(pid, n=1000, seconds=60, send=False)
    for n in range(5):
        send(pid, f"late {n}")
    texts = [text for _, _, _, text in seen(trace)]
    assert [text for text in texts if "late" in text] == [f"'late {n}'" for n in range(5)]
    assert len(texts) == (25 if before else 5)
    assert kernel.top_senders(pid) == [(self_(), 5)]
    send(pid, "go on")
    settle()
    tracing.stop(trace)
    seen(trace)
    exit(pid, KILL)
    settle()
    kernel.check_invariants()


def test_limits_are_checked_before_anything_is_done():
    for options in ({"n": 0}, {"n": 10**9}, {"seconds": 0}, {"seconds": 10**9}):
        with pytest.raises(ValueError, match="want 1 to"):
            start(double, **options)
    with pytest.raises(ValueError, match="things"):
        start([])
    with pytest.raises(NotTraceable, match="no living"):
        start(double, by="nobody")


# ------------------------------------------------------------------------------------------------------- live code


@pytest.fixture
def live(tmp_path, monkeypatch):
    """A module of live code, and how to change it."""
    path = tmp_path / "traced_subject.py"
    path.write_text("def f(n):\n    return n + 1\n\ndef g():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = Engine(Roots(str(tmp_path)))
    engine.install()
    import traced_subject

    yield traced_subject, lambda text: engine.push({"traced_subject.py": text})
    engine.uninstall()
    interpreter.modules.pop("traced_subject", None)


def test_a_trace_survives_the_reload_of_what_it_traces(live):
    module, push = live
    held = module.f
    trace = start([module.f, module.g], seconds=60)
    assert held(1) == 2
    push("def f(n):\n    return n + 100\n")
    assert held(1) == 101
    assert module.f(2) == 102
    events = [(kind, other.rpartition(".")[2], text) for kind, _, other, text in seen(trace)]
    assert [one for one in events if one[0] != "call"] == [
        ("return", "f", "2"), ("gone", "g", "the release has no such function any more"), ("return", "f", "101"),
        ("return", "f", "102"),
    ]  # fmt: skip
    tracing.stop(trace)
    seen(trace)
    assert held(1) == 101
    push("def f(n):\n    return n + 1000\n")
    assert held(1) == 1001
