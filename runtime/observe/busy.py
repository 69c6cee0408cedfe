"""Which processes keep the node busy: looked at twenty times a second, by the watchdog's tick, which is there anyway.

    install()                      # while the system monitor runs
    share(process)                 # 0.4: it had 40 % of the node's one thread in the last ten seconds

Nothing is counted on the way of a message. A tick that finds a process at work counts as the twentieth of a second for it;
so a share is right to some percent, of what takes much, and 0 of most. Work in threads (`blocking`) is not seen, nor what
the loop itself does. Without the watchdog (in tests, in other programs) nothing is seen.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from runtime.kernel import NotAProcess, clock, hooks, self_
from runtime.kernel.watchdog import TICK

__all__ = ["WINDOW", "install", "remove", "share"]

WINDOW: Final = 10.0
"""Seconds that a share is of."""

# API


def install() -> None:
    """Begin to look, from nothing; again: nothing."""
    global _since
    if _look not in hooks.on_tick:
        _since = clock.now()
        hooks.on_tick.append(_look)


def remove() -> None:
    """Look no more; what was seen is forgotten."""
    global _counted
    if _look in hooks.on_tick:
        hooks.on_tick.remove(_look)
    _seen.clear()
    _counted = (0.0, {})


def share(number: int) -> float:
    """Return the part of the node's time that a process, given by its number, had within the last `WINDOW` seconds: 0 to 1."""
    global _counted
    if not _seen:
        return 0.0
    now = clock.now()
    if not 0.0 <= now - _counted[0] < TICK:  # a list asks for each of its rows
        _counted = now, Counter(found for at, found in list(_seen) if now - at <= WINDOW)
    return min(1.0, _counted[1].get(number, 0) * TICK / max(TICK, min(WINDOW, now - _since)))


# Internals

_seen: deque[tuple[float, int]] = deque(maxlen=int(WINDOW / TICK) + 1)
"""(when, process's number), of the ticks that found one at work."""
_counted: tuple[float, Mapping[int, int]] = (0.0, {})
"""When they were counted last, and how many ticks found each."""
_since = 0.0


def _look(_frame: Any) -> None:
    """In the signal's handler, between any two steps of what reads this: it only appends."""
    try:
        _seen.append((clock.now(), self_().number))
    except NotAProcess:
        pass
