"""Elixir's async_stream, restated: the same cases for linked and unlinked tasks, with and without a supervisor."""

from __future__ import annotations

from itertools import count, islice

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    TIMEOUT,
    Crash,
    Exit,
    ProcessExit,
    exit,
    is_alive,
    process_info,
    receive,
    self_,
    send,
)
from runtime.otp import GenServer, call, stop
from runtime.otp import task_supervisor as supervised
from runtime.otp.task import Exited, Ok, StreamTimeout, async_stream
from runtime.otp.task_supervisor import TaskSupervisor
from runtime.testing import settle
from tests.support.crashers import Later


@pytest.fixture(params=["plain", "supervised", "nolink"])
def stream(request):
    """async_stream of one kind; its supervisor, if any, is `.sup`."""

    def plain(items, fn, **options):
        return async_stream(items, fn, **options)

    def under(function):
        def run(items, fn, **options):
            if run.sup is None:
                run.sup = TaskSupervisor.start_link()
                kernel.unlink(run.sup)
            return function(run.sup, items, fn, **options)

        return run

    run = {
        "plain": plain,
        "supervised": under(supervised.async_stream),
        "nolink": under(supervised.async_stream_nolink),
    }[request.param]
    run.sup = None
    run.linked = request.param != "nolink"
    return run


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """Reports of the failures that the tests want."""


def after(stream):
    """Nothing is left with the consumer, nor under the supervisor."""
    settle()
    assert receive(0) is TIMEOUT
    info = process_info(self_(), "links", "monitors")
    assert info["links"] == []
    assert info["monitors"] == []
    assert not self_().monitored_by
    if stream.sup is not None:
        assert supervised.children(stream.sup) == []
        stop(stream.sup)


def oks(values):
    return [Ok(value) for value in values]


class Gate:
    """Tasks that end when they are told, and say when they began."""

    def __init__(self):
        self.pids = {}
        self.began = []

    def __call__(self, item):
        self.pids[item] = self_()
        self.began.append(item)
        kernel.receive_match(lambda m: m == "go")
        return item * 10

    def open(self, *items):
        for item in items:
            send(self.pids[item], "go")
            settle()


class Pulled:
    """A lazy source that notes what was taken from it, by whom."""

    def __init__(self, items):
        self.source = iter(items)
        self.items = []

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.source)
        self.items.append(item)
        return item


def test_streams_an_enumerable(stream):
    """async_stream "streams an enumerable with fun", "... without leaking tasks"."""
    assert list(stream(range(1, 5), lambda n: n * 2)) == oks([2, 4, 6, 8])
    assert list(stream([], str)) == []
    after(stream)


def test_streams_with_slowest_first(stream, clock):
    """async_stream "streams an enumerable with slowest first": ordered as the items, or by their ends."""

    def nap(seconds):
        kernel.sleep(seconds)
        return seconds

    ordered = Later(lambda: list(stream([4, 3, 2, 1], nap)))
    unordered = Later(lambda: list(stream([4, 3, 2, 1], nap, ordered=False)))
    clock.advance(4)
    assert ordered.result() == oks([4, 3, 2, 1])
    assert unordered.result() == oks([1, 2, 3, 4])
    after(stream)


def test_streams_with_exits(stream):
    """async_stream "streams an enumerable with exits": one result each, for a consumer that traps; no Exit beside it."""
    kernel.trap_exit(stream.linked)

    def ends(reason):
        kernel.yield_()
        raise ProcessExit(reason)

    assert list(stream(["1", "normal", "3"], ends)) == [Exited("1"), Exited("normal"), Exited("3")]
    after(stream)


def test_exits_are_gone_with_their_results(stream):
    """async_stream: with each result its Exit is gone; and with the iterator those of results that nobody took."""
    kernel.trap_exit(stream.linked)
    gate = Gate()

    def ends(n):
        if n:
            gate(n)
        raise ProcessExit(n)

    results = stream([0, 1, 2], ends, timeout=None)
    assert next(results) == Exited(0)
    assert receive(0) is TIMEOUT
    gate.open(1, 2)
    results.close()
    after(stream)


def test_a_consumer_that_is_quicker_than_its_tasks(stream, crashes):
    """async_stream: linked all the same, though the consumer goes on before the task's first step."""
    gate = Gate()
    consumer = kernel.spawn_opt(lambda: list(stream([1], gate, timeout=None)), priority="high")
    settle()
    (task,) = gate.pids.values()
    assert (consumer in process_info(task, "links")["links"]) == stream.linked
    exit(task, "boom")
    settle()
    assert consumer.reason == ("boom" if stream.linked else "normal")
    after(stream)


def test_a_consumer_that_does_not_trap_ends_with_a_linked_task(stream, crashes):
    """async_stream: a crash comes through the link; async_stream_nolink: it is one result."""
    gate = Gate()

    def fn(item):
        return gate(item) if item else 1 / 0

    got = []
    consumer = kernel.spawn(lambda: got.extend(stream([1, 0, 2], fn)))
    settle()
    if stream.linked:
        assert isinstance(consumer.reason, Crash)
        assert not any(is_alive(pid) for pid in gate.pids.values())
    else:
        gate.open(1, 2)
        assert isinstance(got[1].reason.exception, ZeroDivisionError)
        assert (got[0], got[2]) == (Ok(10), Ok(20))
    after(stream)


def test_zip_input_on_exit(stream):
    """async_stream "... :zip_input_on_exit": a failure says for which item."""
    kernel.trap_exit(stream.linked)

    def ends(reason):
        raise ProcessExit(reason)

    got = list(islice(stream(range(1, 9), ends, zip_input_on_exit=True), 4))
    assert got == [Exited((n, n)) for n in range(1, 5)]
    after(stream)


# --------------------------------------------------------------------------------------------------- concurrency


@pytest.mark.parametrize("ordered", [True, False])
def test_is_bounded_and_pulls_only_when_there_is_room(stream, ordered):
    """async_stream: :max_concurrency tasks at a time; an endless lazy source is asked only for what can run."""
    gate = Gate()
    source = Pulled(count(1))
    got = []
    results = stream(source, gate, max_concurrency=3, ordered=ordered, timeout=None)
    assert source.items == []

    def consume():
        for result in results:
            got.append(result.value)
            if len(got) == 4:
                break
        results.close()

    consumer = kernel.spawn(consume)
    settle()
    assert source.items == [1, 2, 3] == gate.began
    gate.open(2)
    assert source.items == [1, 2, 3, 4]
    assert got == ([] if ordered else [20])
    gate.open(1)
    assert source.items == [1, 2, 3, 4, 5]
    assert got == ([10, 20] if ordered else [20, 10])
    gate.open(3, 4)
    assert len(got) == 4
    assert not is_alive(consumer)
    assert not any(is_alive(pid) for pid in gate.pids.values())
    assert len(source.items) <= 7
    after(stream)


def test_results_that_wait_for_their_turn_are_bounded(stream):
    """async_stream: while the first task is slow, no more than twice max_concurrency are asked for."""
    gate = Gate()
    source = Pulled(count(1))
    results = stream(source, lambda n: gate(n) if n == 1 else n * 10, max_concurrency=3, timeout=None)
    got = []
    kernel.spawn(lambda: got.extend(islice(results, 8)))
    settle()
    assert got == []
    assert source.items == [1, 2, 3, 4, 5, 6]
    gate.open(1)
    assert got == oks([n * 10 for n in range(1, 9)])
    results.close()
    after(stream)


def test_a_slow_consumer_holds_back_the_source(stream):
    """async_stream: back-pressure: nothing is pulled while the consumer does something else."""
    source = Pulled(range(100))
    for ordered in (True, False):
        results = stream(source, str, max_concurrency=2, ordered=ordered)
        next(results)
        before = len(source.items)
        settle()
        assert len(source.items) == before <= 4 + (0 if ordered else 4)
        results.close()
    after(stream)


def test_the_source_runs_in_the_consumer(stream):
    """async_stream: the items are made by the consumer; its own error ends the stream, and all its tasks."""
    gate = Gate()

    def items():
        assert self_() is me
        yield 1
        yield 2
        raise LookupError("no more")

    me = self_()
    with pytest.raises(LookupError, match="no more"):
        list(stream(items(), gate, timeout=None))
    settle()
    after(stream)


# ------------------------------------------------------------------------------------------------------- stopping


def test_shuts_down_unused_tasks(stream):
    """async_stream "shuts down unused tasks", "... without leaking messages": when the consumer takes no more."""
    gate = Gate()
    kernel.trap_exit(True)
    results = stream(range(4), lambda n: gate(n) if n else "first", timeout=None)
    assert next(results) == Ok("first")
    settle()
    assert gate.began == [1, 2, 3]
    results.close()
    assert not any(is_alive(pid) for pid in gate.pids.values())
    results = stream(range(4), lambda n: gate(n) if n else "first", timeout=None)
    next(results)
    del results
    settle()
    assert not any(is_alive(pid) for pid in gate.pids.values())
    after(stream)


@pytest.mark.parametrize("reason", [KILL, "boom", "normal"])
def test_tasks_end_with_their_consumer(stream, reason):
    """async_stream: the consumer is killed, or ends with the iterator still somewhere: no task survives it."""
    gate = Gate()
    kept = []

    def consume():
        kept.append(stream([0, 1, 2], lambda n: gate(n) if n else n, timeout=None))
        next(kept[0])
        if reason == "normal":
            receive(0)
            kernel.sleep(0)
            return
        receive()

    consumer = kernel.spawn(consume)
    settle()
    if reason == "normal":
        kernel.sleep(0.01)
    exit(consumer, reason)
    settle()
    assert not is_alive(consumer)
    assert gate.began == [1, 2]
    assert not any(is_alive(pid) for pid in gate.pids.values())
    kept.clear()
    after(stream)


def test_killed_while_it_waits(stream):
    """async_stream: the consumer is killed in the middle of waiting for a result."""
    gate = Gate()
    consumer = kernel.spawn(lambda: list(stream([1, 2], gate, timeout=None)))
    settle()
    exit(consumer, KILL)
    settle()
    assert [pid.reason for pid in gate.pids.values()] == ["killed", "killed"]
    after(stream)


def test_a_task_that_ends_the_consumer(stream):
    """async_stream: also then all its tasks end."""
    gate = Gate()
    consumers = []

    def fn(item):
        if item < 3:
            return gate(item)
        return exit(consumers[0], KILL)

    consumers.append(kernel.spawn(lambda: list(stream([1, 2, 3, 4], fn, timeout=None))))
    settle()
    assert consumers[0].reason == "killed"
    assert not any(is_alive(pid) for pid in gate.pids.values())
    after(stream)


def test_a_task_killed_by_somebody_is_one_result(stream):
    """async_stream: killed from outside: Exited("killed"), to a consumer that may know."""
    kernel.trap_exit(True)
    gate = Gate()
    killer = []

    def fn(item):
        if item == 2:
            exit(gate.pids[1], KILL)
            killer.append(self_())
            return "ok"
        return gate(item)

    assert list(stream([1, 2], fn)) == [Exited("killed"), Ok("ok")]
    after(stream)


def test_consuming_from_another_process(stream):
    """async_stream "consuming from another process": the one that takes the first result is the consumer, and stays it."""
    results = stream([1, 2, 3], lambda n: (n, kernel.get("$callers")[0]))
    consumer = None

    def consume():
        return self_(), list(results)

    done = Later(consume)
    consumer, got = done.result()
    assert got == oks([(n, consumer) for n in (1, 2, 3)])
    shared = stream([1, 2, 3], str)
    next(shared)
    stranger = Later(lambda: next(shared))
    with pytest.raises(RuntimeError, match="belongs to"):
        stranger.result()
    after(stream)


def test_mail_of_the_consumer_stays_as_it_is(stream):
    """async_stream: nothing of a stream is in the consumer's mailbox, and its own mail waits untouched."""
    for n in range(5):
        send(self_(), n)
    assert [r.value for r in stream(range(20), str, max_concurrency=3)] == [str(n) for n in range(20)]
    settle()
    assert process_info(self_(), "messages")["messages"] == [0, 1, 2, 3, 4]
    assert [receive(0) for _ in range(5)] == [0, 1, 2, 3, 4]
    after(stream)


def test_streams_in_a_server_and_in_each_other(stream):
    """async_stream: inside a callback, inside a task of another stream."""

    class Server(GenServer):
        def handle_call(self, request, sender):
            return [
                r.value
                for r in stream(range(request), lambda n: [r.value for r in async_stream(range(n), str)])
            ]

    pid = Server.start()
    assert call(pid, 3) == [[], ["0"], ["0", "1"]]
    stop(pid)
    after(stream)


# ------------------------------------------------------------------------------------------------------ time-outs


def test_timeout_ends_the_consumer(stream, clock):
    """async_stream "... timeout": the consumer exits, and so do all tasks."""
    gate = Gate()

    def consume():
        with pytest.raises(StreamTimeout) as late:
            list(stream([1, 2], gate, timeout=0.5))
        return late.value.item, late.value.reason, is_alive(self_())

    consumer = Later(consume)
    clock.advance(0.4)
    assert not consumer.done
    clock.advance(0.2)
    assert consumer.result() == (1, "timeout", True)
    assert not any(is_alive(pid) for pid in gate.pids.values())
    after(stream)


def test_timeout_with_kill_task_and_zip_input_on_exit(stream, clock):
    """async_stream "with timeout and :zip_input_on_exit set to true", :on_timeout :kill_task: the consumer is unharmed."""

    def nap(seconds):
        kernel.trap_exit(True)
        kernel.sleep(seconds)
        return seconds

    options = {"timeout": 0.5, "on_timeout": "kill_task", "max_concurrency": 2}
    zipped = Later(lambda: list(stream([0.1, 100, 0.2], nap, zip_input_on_exit=True, **options)))
    plain = kernel.spawn(lambda: send(me, list(stream([0.1, 100], nap, **options))))
    me = self_()
    clock.advance(0.6)
    assert zipped.result() == [Ok(0.1), Exited((100, "timeout")), Ok(0.2)]
    assert receive(0) == [Ok(0.1), Exited("timeout")]
    assert plain.reason == "normal"
    assert clock._time.pending() == 0
    after(stream)


def test_a_late_task_is_killed_though_the_consumer_is_busy(stream, clock):
    """async_stream :on_timeout :kill_task: at its time, not when the consumer comes back."""
    gate = Gate()
    got = []

    def consume():
        for result in stream([0, 1], lambda n: gate(n) if n else n, timeout=1.0, on_timeout="kill_task"):
            got.append(result)
            kernel.sleep(10)

    consumer = kernel.spawn(consume)
    clock.advance(1.1)
    assert got == [Ok(0)]
    assert gate.pids[1].reason == "killed"
    clock.advance(20)
    assert got == [Ok(0), Exited("timeout")]
    assert consumer.reason == "normal"
    after(stream)


def test_one_that_was_in_time_stays_so(stream, clock):
    """async_stream: a result that waits for the consumer is not late."""

    def consume():
        results = stream([0, 1], str, timeout=1.0)
        first = next(results)
        kernel.sleep(10)
        return [first, *results]

    consumer = Later(consume)
    clock.advance(11)
    assert consumer.result() == oks(["0", "1"])
    after(stream)


def test_no_timeout(stream, clock):
    """async_stream :infinity."""
    consumer = Later(lambda: list(stream([1000], lambda s: kernel.sleep(s), timeout=None)))
    clock.advance(999)
    assert not consumer.done
    clock.advance(2)
    assert consumer.result() == [Ok(None)]
    after(stream)


def test_bad_options_are_refused_at_once(stream):
    """async_stream: before anything runs."""
    for options in (
        {"max_concurrency": 0},
        {"max_concurrency": 1.5},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"on_timeout": "x"},
    ):
        with pytest.raises(ValueError, match="want"):
            stream([], str, **options)
    after(stream)


def test_an_interrupted_wait_leaves_no_tick(stream):
    """async_stream: whatever breaks off a wait, the next message is not the stream's."""
    from runtime.otp.task_stream import _Stream

    gate = Gate()
    results = stream([0, 1], lambda n: gate(n) if n else n, timeout=None)
    next(results)
    settle()

    class Broken(Exception):
        pass

    def matches(self, message):
        if type(message).__name__ == "_Tick" and not broken:
            broken.append(1)
            raise Broken
        return original(self, message)

    broken = []
    original, _Stream._is_tick = _Stream._is_tick, matches
    try:
        kernel.spawn(lambda: send(gate.pids[1], "go"))
        with pytest.raises(Broken):
            next(results)
    finally:
        _Stream._is_tick = original
    after(stream)


def test_exits_of_others_are_kept(stream):
    """async_stream: only its own tasks' Exit messages are taken out."""
    kernel.trap_exit(True)
    other = kernel.spawn_link(lambda: None)

    def ends(reason):
        raise ProcessExit(reason)

    assert list(stream(["x"], ends)) == [Exited("x")]
    settle()
    assert receive(0) == Exit(other, "normal")
    after(stream)
