"""What looking costs: each function runs in a Python of its own, with and without the observers in the same run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from runtime import kernel
from runtime.kernel import KILL, call, exit, receive_match, run, send, sleep, spawn, spawn_callback, yield_
from runtime.observe import alarm_sender, alarms, metrics, snapshot, sysmon, tracing
from runtime.observe.alarm_sender import AlarmSender, Ways
from runtime.otp import stop
from runtime.otp.gen_server import GenServer

__all__ = ["hot_path", "looks", "traces"]


class _Echo(GenServer):
    def handle_call(self, request: Any, sender: Any) -> Any:
        return request

    def handle_info(self, message: Any) -> None:
        pass


class _Idle:
    def on_message(self, process: Any, message: Any) -> None:
        pass


def hot_path(messages: int, pairs: int, processes: int) -> dict[str, float]:
    """Calls and sends without and with everything on, in turns: percent that it takes longer, the median of the pairs."""
    found: dict[str, float] = {}

    def main() -> None:
        crowd = [spawn_callback(_Idle()) for _ in range(processes)]
        gc.collect()
        gc.freeze()
        server = _Echo.start()
        assert server is not None
        _traffic(server, messages)
        ratios, off, on = [], [], []
        for turn in range(pairs):
            # Which comes first alternates: a machine that grows slower or faster favours neither.
            order = (False, True) if turn % 2 else (True, False)
            seconds = {}
            for is_on in order:
                observers = _observe() if is_on else []
                seconds[is_on] = _traffic(server, messages)
                for pid in observers:
                    _end(pid)
            off.append(seconds[False])
            on.append(seconds[True])
            ratios.append(seconds[True] / seconds[False])
        found["percent"] = (statistics.median(ratios) - 1) * 100
        found["off"] = statistics.median(off) / messages * 1e9
        found["on"] = statistics.median(on) / messages * 1e9
        for pid in crowd:
            exit(pid, KILL)

    run(main)
    return found


def looks(processes: int, repeats: int) -> dict[str, float]:
    """What a dashboard does each second, on a node with very many processes: milliseconds, and the longest stall of others."""
    found: dict[str, float] = {}

    def main() -> None:
        for _ in range(processes):
            spawn_callback(_Idle())
        gc.collect()
        gc.freeze()
        work: dict[str, Callable[[], Any]] = {
            "processes": lambda: snapshot.processes(100, "mailbox"),
            "memory": lambda: snapshot.processes(100, "memory"),
            "tree": snapshot.tree,
            "summary": snapshot.node_summary,
            "metrics": metrics.text,
        }
        for name, look in work.items():
            look()
            spent, stalls = [], []
            for _ in range(repeats):
                begin = time.thread_time()
                look()
                spent.append(time.thread_time() - begin)
                stalls.append(_stall(look))
            found[name] = statistics.median(spent) * 1000
            found[f"{name}_stall"] = max(stalls) * 1000

    run(main)
    # Of one second: what the page asks for each second; the list by memory and the metrics are asked for now and then.
    found["share"] = (found["processes"] + found["tree"] + found["summary"]) / 10
    found["stall"] = max(value for key, value in found.items() if key.endswith("_stall"))
    return found


def traces(messages: int, pairs: int) -> dict[str, float]:
    """Messages before a trace, during one of another process, during one of the server itself, and after: nanoseconds."""
    found: dict[str, float] = {}

    def main() -> None:
        server, other = _Echo.start(), _Echo.start()
        assert server is not None
        assert other is not None
        _traffic(server, messages)
        figures: dict[str, list[float]] = {"before": [], "other": [], "on": [], "after": []}
        for _ in range(pairs):
            figures["before"].append(_traffic(server, messages))
            trace = tracing.start(other, n=1, seconds=600, send=False)
            figures["other"].append(_traffic(server, messages))
            tracing.stop(trace)
            few = min(messages, 5_000)
            trace = tracing.start(server, n=100_000, seconds=600, send=False)
            figures["on"].append(_traffic(server, few) * messages / few)
            tracing.stop(trace)
            kernel.receive_every(lambda _: True)
            figures["after"].append(_traffic(server, messages))
        for name, seconds in figures.items():
            found[name] = statistics.median(seconds) / messages * 1e9
        found["percent"] = (statistics.median(
            b / a for a, b in zip(figures["before"], figures["after"], strict=True)
        ) - 1) * 100  # fmt: skip
        found["added"] = (found["on"] - found["before"]) / 1000

    run(main)
    return found


# Internals


def _traffic(server: Any, messages: int) -> float:
    """Seconds of processor time for so many messages, with all that happens meanwhile: calls one by one, bursts of sends."""
    begin = time.thread_time()
    for _ in range(messages // 20):
        call(server, 1)
        for number in range(18):
            send(server, number)
    call(server, 1)
    return time.thread_time() - begin


def _observe() -> list[Any]:
    keeper = alarms.start_link()
    monitor = sysmon.Sysmon.start_link(sysmon.Limits(), ".", name=sysmon.NAME)
    sender = AlarmSender.start_link(Ways(), name=alarm_sender.NAME)
    return [spawn(_page), sender, monitor, keeper]


def _page() -> None:
    """What a dashboard and a scraper ask for, as often as they do."""
    while True:
        snapshot.node_summary()
        snapshot.processes(50, "mailbox")
        snapshot.tree()
        metrics.text()
        sleep(1.0)


def _end(pid: Any) -> None:
    if isinstance(pid.behaviour, GenServer):
        stop(pid)
    else:
        exit(pid, KILL)


def _stall(look: Callable[[], Any]) -> float:
    """The longest that another process waits for its turn during a look."""
    going = [True]
    longest = [0.0]

    def other() -> None:
        last = time.perf_counter()
        while going:
            yield_()
            now = time.perf_counter()
            longest[0] = max(longest[0], now - last)
            last = now

    _, ref = kernel.spawn_monitor(other)
    yield_()
    look()
    yield_()
    going.clear()
    receive_match(lambda message: message.__class__ is kernel.Down and message.ref is ref)
    return longest[0]
