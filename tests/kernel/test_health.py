"""Hogs, mailbox watermarks, threads: what keeps one process from harming all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.kernel import (
    Crash,
    HogReport,
    blocking,
    exit,
    hooks,
    post,
    receive,
    self_,
    send,
    set_watermarks,
    sleep,
    spawn,
    spawn_callback,
    spawn_monitor,
    start_watchdog,
    stop_watchdog,
    sweep,
    top_senders,
)
from runtime.testing import settle


@pytest.fixture
def hogs() -> Iterator[list[HogReport]]:
    reports: list[HogReport] = []
    hooks.on_hog.append(reports.append)
    yield reports
    hooks.on_hog.remove(reports.append)
    stop_watchdog()


def _computes() -> None:
    n = 0
    while True:
        n += 1


def _blocks_the_thread() -> None:
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize("body", [_computes, _blocks_the_thread])
def test_a_hog_is_reported_and_ended_and_the_node_lives(
    body: Any, hogs: list[HogReport], crashes: list[Any]
) -> None:
    """RUNTIME 1: after hog_warn a report with stack, pid and function; after hog_kill an exception ends the process."""
    start_watchdog(hog_warn=0.1, hog_kill=0.3)
    pid, _ = spawn_monitor(body)
    reason = receive(30).reason
    assert isinstance(reason, Crash)
    assert reason.error.endswith("Hog")
    assert [report.killed for report in hogs] == [False, True]
    assert hogs[0].pid is pid
    assert body.__name__ in hogs[0].function
    assert body.__name__ in hogs[0].stack
    assert crashes == [(pid, reason)]
    spawn(send, self_(), "alive")
    assert receive() == "alive"


def test_an_innocent_busy_node_is_not_reported(hogs: list[HogReport]) -> None:
    """Many short turns are no hog: the slice moves on."""
    start_watchdog(hog_warn=0.1, hog_kill=0.2)
    me = self_()

    class Ping:
        def __init__(self) -> None:
            self.n = 0

        def on_message(self, process: Any, message: Any) -> None:
            self.n += 1
            send(message if self.n < 200_000 else me, process)

    a, b = spawn_callback(Ping()), spawn_callback(Ping())
    send(a, b)
    receive()
    assert hogs == []
    for pid in (a, b):
        exit(pid, "kill")


class _Sink:
    def __init__(self) -> None:
        self.count = 0

    def on_message(self, process: Any, message: Any) -> None:
        self.count += 1
        if message == "block":
            receive_go()


def receive_go() -> None:
    from runtime.kernel import receive_match

    receive_match(lambda m: m == "go")


@pytest.fixture
def alarms() -> Iterator[list[Any]]:
    seen: list[Any] = []

    def note(process: Any, high: bool) -> None:
        seen.append((process, high))

    hooks.on_mailbox.append(note)
    yield seen
    hooks.on_mailbox.remove(note)


def test_a_long_mailbox_raises_one_alarm_and_clears_it_at_the_low_mark(alarms: list[Any]) -> None:
    """RUNTIME 2: high and low watermarks with hysteresis; the length is O(1) to read."""
    pid = spawn_callback(_Sink())
    set_watermarks(pid, high=100, low=10)
    for n in range(99):
        send(pid, n)
    settle()
    assert alarms == []
    for n in range(500):
        send(pid, n)
    assert pid.mailbox_length == 500
    settle()
    assert alarms == [(pid, True), (pid, False)]
    assert pid.behaviour.count == 599
    exit(pid, "kill")


def test_a_blocked_process_is_found_by_the_sweep_and_its_top_senders_are_named(alarms: list[Any]) -> None:
    """RUNTIME 2: the alarm names the top senders; a process that takes nothing out is found all the same."""
    pid = spawn_callback(_Sink())
    set_watermarks(pid, high=50, low=5)
    send(pid, "block")
    settle()
    for n in range(60):
        send(pid, n)
    sweep()
    assert alarms == [(pid, True)]
    sweep()
    assert alarms == [(pid, True)]
    talker = spawn(lambda: [send(pid, n) for n in range(30)] and receive())
    for n in range(10):
        send(pid, n)
    settle()
    assert top_senders(pid) == [(talker, 30), (self_(), 10)]
    send(pid, "go")
    settle()
    assert alarms == [(pid, True), (pid, False)]
    assert top_senders(pid) == []
    assert pid.behaviour.count == 101
    exit(pid, "kill")
    exit(talker, "kill")


@pytest.mark.plain
def test_watermarks_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="low < high"):
        set_watermarks(None, high=5, low=5)  # type: ignore[arg-type]


def test_what_blocking_work_raises_is_the_callers_and_is_not_printed_besides(capfd) -> None:
    """gevent#83: a traceback printed although the exception is handled."""

    def reads_what_is_not_there() -> None:
        raise FileNotFoundError("not there")

    with pytest.raises(FileNotFoundError, match="not there") as caught:
        blocking(reads_what_is_not_there)
    assert caught.traceback[-1].name == "reads_what_is_not_there"
    assert capfd.readouterr().err == ""


def test_blocking_work_runs_in_a_thread_and_the_others_go_on() -> None:
    """blocking(): only the caller waits; exceptions come back."""
    me = self_()
    released = threading.Event()
    spawn(lambda: send(me, blocking(released.wait, 10)))
    sleep(0.001)
    released.set()
    assert receive() is True
    with pytest.raises(ZeroDivisionError):
        blocking(lambda: 1 / 0)


def test_post_sends_from_another_thread() -> None:
    """post(): a message from a thread that is not the loop's."""
    thread = threading.Thread(target=post, args=(self_(), "from a thread"))
    thread.start()
    assert receive() == "from a thread"
    thread.join()
