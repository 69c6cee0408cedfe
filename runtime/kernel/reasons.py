"""Exit reasons: plain values that say why a process ended.

Any value may be a reason. The well-known ones are strings, so that they print, compare and travel to other nodes
as they are. An exception that nobody caught becomes a `Crash`, which keeps what a person needs (class, message, where)
and nothing that keeps memory alive: a reason sits in EXIT and DOWN messages for as long as their receivers like,
and a live traceback would pin every local variable of the dead process.

Source: Erlang's exit reasons; `normal`, `shutdown` and `{shutdown, Term}` are the ones that are no failure.
"""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from . import hooks
from .limits import Ended, limited

__all__ = [
    "CALLING_SELF", "KILL", "KILLED", "NOCONNECTION", "NOPROC", "NORMAL", "SHUTDOWN", "TIMEOUT_REASON",
    "Crash", "Shutdown", "is_failure", "same_reason",
]  # fmt: skip

NORMAL: Final = "normal"
SHUTDOWN: Final = "shutdown"
KILL: Final = "kill"
KILLED: Final = "killed"
NOPROC: Final = "noproc"
NOCONNECTION: Final = "noconnection"
TIMEOUT_REASON: Final = "timeout"
CALLING_SELF: Final = "calling_self"

_MAX_FRAMES = 40
_LONGEST = 0.5
"""Seconds that an exception may take to say what it is."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """An orderly end with a word on why: Erlang's `{shutdown, Term}`. Not a failure, so no crash report."""

    term: Any = None


class Crash:
    """An exception that ended a process: its class, message and trace, without a live frame.

    The places are taken as (file, line, function); the text is made when somebody reads `trace`, since a crash
    that a supervisor repairs in microseconds should not pay for a page of text that nobody may look at.
    """

    __slots__ = ("_failed", "exception", "places", "reported")

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        self._failed = ""
        self.reported = False
        """A report has shown the trace; those that follow on the same failure need not."""
        self.places = _places(exception.__traceback__)
        _release(exception)

    @property
    def error(self) -> str:
        """The exception's class, as `module.Class` (builtins without their module)."""
        kind = type(self.exception)
        return (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )

    @property
    def message(self) -> str:
        """The exception as text; what its own `__str__` does, short of holding the interpreter, harms nobody."""
        if self._failed:
            return self._failed
        try:
            with limited(_LONGEST) as limit:
                return str(self.exception)
        except hooks.own_end:
            raise
        except (KeyboardInterrupt, Ended) as end:
            if not (limit.is_over and isinstance(end, Ended)):
                raise
            problem = "it took too long"
        except BaseException as error:  # noqa: BLE001 - a user's __str__ may raise anything; a report must still come out
            problem = type(error).__name__
        self._failed = f"<message not available: {problem}>"
        return self._failed

    @property
    def trace(self) -> str:
        """The traceback as text, newest call last, in Python's own form."""
        lines = ["Traceback (most recent call last):"]
        for file, line, function in self.places:
            lines.append(f'  File "{file}", line {line}, in {function}')
            source = linecache.getline(file, line).strip()
            if source:
                lines.append(f"    {source}")
        lines.append(f"{self.error}: {self.message}" if self.message else self.error)
        return "\n".join(lines)

    def __repr__(self) -> str:
        where = ""
        if self.places:
            file, line, function = self.places[-1]
            where = f" at {function} ({file}:{line})"
        return f"<Crash {self.error}: {self.message[:200]}{where}>"


def is_failure(reason: Any) -> bool:
    """Tell whether `reason` is an abnormal end: anything but normal, shutdown and Shutdown(term)."""
    if isinstance(
        reason, str
    ):  # only strings are compared: any value may be a reason, and its __eq__ may do anything
        return reason not in (NORMAL, SHUTDOWN)
    return reason.__class__ is not Shutdown


def same_reason(a: Any, b: Any) -> bool:
    """Tell whether two reasons are equal; if they cannot be compared (any value may be a reason), they are not."""
    if a is b:
        return True
    try:
        return bool(a == b)
    except Exception:  # noqa: BLE001 - a value's __eq__ may do anything
        return False


def _places(trace: TracebackType | None) -> tuple[tuple[str, int, str], ...]:
    places: list[tuple[str, int, str]] = []
    while trace is not None and len(places) < _MAX_FRAMES:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_HERE):  # the kernel's own frames tell the user nothing
            places.append((code.co_filename, trace.tb_lineno, code.co_qualname))
        trace = trace.tb_next
    return tuple(places)


def _release(exception: BaseException | None) -> None:
    """Drop the tracebacks of an exception and of those it came from: they hold frames, which hold everything."""
    todo, seen = [exception], 0
    while todo and seen < _MAX_FRAMES:
        one = todo.pop()
        if one is None:
            continue
        seen += 1
        BaseException.with_traceback(one, None)  # not by assignment: a frozen dataclass refuses it
        todo += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions


_HERE = __file__.rpartition("/")[0] + "/"
