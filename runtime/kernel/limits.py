"""A limit of time for code that is run in passing, in the middle of what must not be left: somebody's `__repr__` in a report.

Theory of operation: `limited` notes when what runs inside must be over, and on which stack it runs; the watchdog's signal
looks at that every 50 ms, and raises TookTooLong there. Only one limit is in force at a time: an inner one is part of the
outer one, and one that is entered on another stack (the former gave way inside) takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident, main_thread
from time import monotonic
from types import FrameType
from typing import Final

from greenlet import getcurrent

__all__ = ["Ended", "TookTooLong", "limited"]

_AGAIN: Final = 1.0
"""Seconds until code that has swallowed TookTooLong is raised the next one; and for those that clean up after the first."""

# types


class Ended(BaseException):
    """Raised from outside in code that is to give way: whoever catches everything lets this one pass. No Exception."""


class TookTooLong(Ended):
    """Raised in code that runs `limited`, past its limit."""


class limited:  # noqa: N801 - used as `with limited(1.0):`
    """Raise TookTooLong in what runs inside, if that takes longer; again and again, where it is swallowed.

    Only in frames outside of the runtime, only in the main thread, and only where the watchdog runs: without it there is
    no limit. Within another limit, and in a process that has a guard (which ends what holds the node), there is no further one.
    """

    __slots__ = ("_seconds", "_until", "_where", "is_over")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.is_over = False
        """TookTooLong has been raised."""

    def __enter__(self) -> limited:
        global now
        self._where = where = getcurrent()
        if get_ident() == _MAIN and (now is None or now._where is not where) and not is_guarded():
            self._until = monotonic() + self._seconds
            now = self
        return self

    def __exit__(self, *_: object) -> None:
        global now
        if now is self:
            now = None

    def check(self, frame: FrameType | None, runtime: str) -> bool:
        """Tell whether it holds for the stack that runs; raise TookTooLong there if it is over. From the signal's handler."""
        if self._where is not getcurrent():
            return False
        moment = monotonic()
        if moment >= self._until and frame is not None and not frame.f_code.co_filename.startswith(runtime):
            self.is_over = True
            self._until = moment + _AGAIN
            raise TookTooLong(f"{frame.f_code.co_qualname} in {frame.f_code.co_filename}:{frame.f_lineno}")
        return True


# internals

now: limited | None = None
"""The limit in force."""
is_guarded: Callable[[], bool] = bool
"""Tells whether the running process has a guard; the watchdog's."""
_MAIN: Final = main_thread().ident
