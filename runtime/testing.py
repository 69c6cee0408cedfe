"""Tools for testing code that runs on processes: virtual time, settling, leak checks.

`runtime.testing_plugin` makes them pytest's: each test a process, `clock` and `crashes` as fixtures.

    def test_retry(clock):
        server = Retrier.start_link()
        clock.advance(30)            # every timer due in the next 30 s fires, in order, at once
        assert call(server, "tries") == 4
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .kernel import (
    Process, check_invariants, clock, is_alive, pause, process_info, processes, registered, self_, unlink, yield_,
)  # fmt: skip
from .kernel import exit as exit_signal
from .kernel import scheduler as _scheduler
from .kernel.reasons import KILL

__all__ = ["Leaks", "VirtualClock", "leak_check", "settle", "until", "virtual_clock"]


class VirtualClock:
    """Time that stands still until `advance`. Only timers of the runtime obey it, not sockets and not threads."""

    def __init__(self) -> None:
        self._time = clock.VirtualTime()

    def now(self) -> float:
        return self._time.time

    def advance(self, seconds: float) -> None:
        """Let `seconds` (0 or more) pass: fire what comes due, in order, and let every process work off what that brings."""
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): time does not go back")
        settle()
        end = self._time.time + seconds
        while (due := self._time.next_due()) is not None and due <= end:
            self._time.fire_next()
            settle()
        self._time.time = end
        settle()


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Put the runtime on virtual time within the `with` block."""
    virtual = VirtualClock()
    before, clock.virtual = clock.virtual, virtual._time
    try:
        yield virtual
    finally:
        clock.virtual = before


def settle(turns: int = 100_000) -> None:
    """Run the other processes until all of them wait. Call it from a process.

    Raises AssertionError if they are still at it after `turns` rounds: then something loops.
    """
    me = self_()
    for _ in range(turns):
        if _scheduler.pending_calls:
            _scheduler.arm_calls()
        if not _scheduler.low and all(p is me for p in _scheduler.ready):
            return
        yield_()
    raise AssertionError(f"not settled after {turns} turns: {list(_scheduler.ready)[:5]!r} keep running")


def until(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait for `condition()` to become true and return it; looks again every 2 ms of real time.

    Only for what gives no event (another thread's or the operating system's doing). Raises AssertionError at `timeout`.
    """
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"still not true after {timeout} s: {condition}")
        pause(0.002)  # the loop runs on, and virtual time stands still
    return value


@dataclass
class Leaks:
    """What was there before a test, and `check()` for what it left behind."""

    numbers: set[int] = field(default_factory=lambda: set(_scheduler.table))
    names: set[str] = field(default_factory=lambda: set(registered()))
    timers: set[Any] = field(default_factory=lambda: set(_timers()))
    monitors: set[Any] = field(default_factory=lambda: set(self_().monitors or ()))

    def check(self) -> None:
        """Raise AssertionError naming every process, name, timer and monitor (of the process that asks) that is new and still
        there; end the processes.
        """
        left = self._processes()
        watched = [repr(p) for ref, p in (self_().monitors or {}).items() if ref not in self.monitors]
        names = [name for name in registered() if name not in self.names]
        timers = self._timers()
        check_invariants()
        shown = [f"{p!r} ({_what(p)})" for p in left]
        running = ", ".join(map(repr, timers))
        self.end()
        assert not left, f"processes left behind: {', '.join(shown)}"
        assert not names, f"names left behind: {names!r}"
        assert not timers, f"timers left running: {running}"
        assert not watched, f"monitors left, of {', '.join(watched)}: demonitor them, or wait for their Down"

    def end(self) -> None:
        """End the processes and timers that are new, whatever they are."""
        for p in self._processes():
            unlink(p)  # or the test dies with it, and says nothing
            exit_signal(p, KILL)
        for t in self._timers():
            t.cancel()
        settle()

    def _processes(self) -> list[Any]:
        me = self_()
        return [p for p in processes() if p.number not in self.numbers and p is not me]

    def _timers(self) -> list[Any]:
        return [t for t in _timers() if t not in self.timers]


def _timers() -> list[Any]:
    """Those that run, of real and of virtual time."""
    return [*clock.live, *(clock.virtual.running() if clock.virtual is not None else ())]


def _what(process: Process) -> str:
    info = process_info(process, "label", "initial_call")
    return "ended meanwhile" if info is None else str(info["label"] or info["initial_call"])


@contextmanager
def leak_check() -> Iterator[Leaks]:
    """Fail if the block leaves a process, a name, a timer or a monitor behind, or breaks an invariant of the kernel.

    A block that fails tells only why; what it leaves is ended too, so that the next test does not stumble over it.
    """
    leaks = Leaks()
    try:
        yield leaks
    except BaseException:  # also a test's skip, which is no Exception; it goes on below
        if is_alive(self_()):
            leaks.end()
        raise
    settle()
    leaks.check()
