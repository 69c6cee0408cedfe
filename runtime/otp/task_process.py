"""What every process of a task knows: whom it works for, and what it runs."""

from __future__ import annotations

from typing import Any, Final

from runtime import kernel
from runtime.kernel import Process

from .reports import format_term

__all__ = ["CALLERS", "callers", "check_function", "introduce", "name_of"]

CALLERS: Final = "$callers"
MAX_CALLERS = 32


def callers(process: Process) -> tuple[Any, ...]:
    """Return whom a task of `process` works for: the process, and whom that works for (`$callers`), nearest first.

    Ancestors say who *started* a process, which for a task may be a supervisor; callers say who wanted it.
    """
    return (process, *(process.pdict or {}).get(CALLERS, ()))[:MAX_CALLERS]


def introduce(fn: Any, who: tuple[Any, ...]) -> None:
    """Note both in the process dictionary; crash reports show what it runs."""
    kernel.put(CALLERS, who)
    kernel.put("$initial_call", name_of(fn))


def check_function(fn: Any) -> None:
    """Raise TypeError, before anything is started, for what cannot be called: the mistake is its caller's, not the task's."""
    if not callable(fn):
        raise TypeError(
            f"a task runs a function, not {format_term(fn, chars_limit=200)}: give the function and its arguments apart"
        )


def name_of(fn: Any) -> str:
    """Return `module:function`."""
    inner = getattr(fn, "func", fn)  # of a partial
    name = getattr(inner, "__qualname__", None)
    return f"{getattr(inner, '__module__', '?')}:{name}" if name else type(inner).__qualname__
