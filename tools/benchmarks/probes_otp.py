"""What the behaviours cost: each function runs in a Python of its own and returns its figures."""

from __future__ import annotations

import gc
import time
from typing import Any

from runtime.kernel import call, exit, receive, run, send, spawn_callback
from runtime.otp import registry, task
from runtime.otp.registry import Registry
from runtime.otp.state_machine import GenStateMachine, NextState
from tools.benchmarks.probe import median_of
from tools.benchmarks.proc import resident

__all__ = ["lookups", "million", "state_events", "tasks"]


def lookups(count: int) -> dict[str, float]:
    """Microseconds a look-up of one key among a thousand, in the caller."""

    def body() -> float:
        Registry.start_link("unique", name="bench")
        for n in range(1000):
            registry.register("bench", n)

        def measure() -> float:
            lookup = registry.lookup
            start = time.perf_counter()
            for n in range(count):
                lookup("bench", n % 1000)
            return (time.perf_counter() - start) / count * 1e6

        return median_of(measure)

    return {"us": run(body)}


class _Switch(GenStateMachine):
    def init(self) -> NextState:
        return NextState("off")

    def off(self, kind: Any, content: Any) -> NextState:
        return NextState("on")

    def on(self, kind: Any, content: Any) -> Any:
        if content is not None:
            send(content, "done")
        return NextState("off")


def state_events(count: int) -> dict[str, float]:
    """Microseconds an event that changes the state, cast to a state machine and handled."""

    def body() -> float:
        from runtime.kernel import cast, self_

        machine = _Switch.start_link()
        assert machine is not None

        def measure() -> float:
            start = time.perf_counter()
            for _ in range(count // 2 - 1):
                cast(machine, None)
                cast(machine, None)
            cast(machine, None)
            cast(machine, self_())
            receive()
            return (time.perf_counter() - start) / count * 1e6

        return median_of(measure)

    return {"us": run(body)}


def tasks(count: int) -> dict[str, float]:
    """Microseconds for a task: started, run, awaited."""

    def body() -> float:
        def measure() -> float:
            start = time.perf_counter()
            for n in range(count):
                task.await_(task.async_(abs, n))
            return (time.perf_counter() - start) / count * 1e6

        return median_of(measure)

    return {"us": run(body)}


class _Idle:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        pass


def million(count: int) -> dict[str, float]:
    """Seconds to start `count` processes that have handled a message each and wait; bytes for each of them; that one of
    them answers; seconds to end them all.
    """

    class Answers:
        def on_message(self, process: Any, message: Any) -> None:
            from runtime.kernel import reply

            reply(message, message.request)

    def body() -> dict[str, float]:
        gc.disable()
        before = resident()
        start = time.perf_counter()
        idle = _Idle()
        pids = [spawn_callback(idle, None) for _ in range(count)]
        last = spawn_callback(Answers())
        assert call(last, 1, None) == 1  # behind all the others
        started = time.perf_counter() - start
        size = (resident() - before) / count
        start = time.perf_counter()
        for pid in pids:
            exit(pid, "kill")
        ended = time.perf_counter() - start
        return {"seconds": started, "bytes": size, "end": ended}

    return run(body)
