"""Time for the runtime: a monotonic clock and one-shot timers, on the loop or, in tests, on virtual time.

Everything timed in the runtime asks here, never `time`, so that a test can advance hours without waiting.
Timers are the loop's own (257 ns to arm and cancel; a wheel or heap of ours was slower).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any

from .scheduler import loop

__all__ = ["Handle", "after", "now"]


class Handle:
    """A timer that was started; `cancel()` stops it (again: nothing)."""

    __slots__ = ("_args", "_fn", "_timer", "fired")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._fn: Callable[..., Any] | None = fn
        self._args = args
        self._timer: Any = None
        self.fired = False

    def __repr__(self) -> str:
        fn = self._fn
        what = "over" if fn is None else f"{getattr(fn, '__qualname__', fn)}{self._args!r}"
        return f"<timer: {what}>"

    @property
    def active(self) -> bool:
        return self._fn is not None

    def cancel(self) -> None:
        self._fn = None
        self._args = ()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()
            live.discard(self)

    def _fire(self) -> None:
        fn, args = self._fn, self._args
        if fn is not None:
            self.cancel()
            self.fired = True
            fn(*args)


class VirtualTime:
    """A clock that stands still until told to move. Installed by `runtime.testing`."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start
        self._heap: list[tuple[float, int, Handle]] = []
        self._next = count().__next__

    def add(self, due: float, handle: Handle) -> None:
        heapq.heappush(self._heap, (due, self._next(), handle))

    def next_due(self) -> float | None:
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire_next(self) -> None:
        due, _, handle = heapq.heappop(self._heap)
        self.time = max(self.time, due)
        handle._fire()

    def pending(self) -> int:
        return len(self.running())

    def running(self) -> list[Handle]:
        """Return the timers that are still to fire."""
        return [handle for _, _, handle in self._heap if handle.active]


def now() -> float:
    """Return the monotonic time in seconds."""
    return monotonic() if virtual is None else virtual.time


def after(seconds: float, fn: Callable[..., Any], *args: Any) -> Handle:
    """Call `fn(*args)` in the hub after `seconds`. It must not block nor raise. Returns the handle that cancels it."""
    if seconds != seconds:  # noqa: PLR0124 - not a number: the loop would spin on it
        raise ValueError(f"a timer takes seconds, not {seconds!r}")
    handle = Handle(fn, args)
    if virtual is None:
        handle._timer = timer = loop.timer(max(seconds, 0.0))
        timer.start(handle._fire)
        live.add(handle)
    else:
        virtual.add(virtual.time + max(seconds, 0.0), handle)
    return handle


virtual: VirtualTime | None = None
live: set[Handle] = set()
"""Timers of real time that are running: for the leak check and the node's figures."""
