"""What every process of a task knows: whom it works for, and what it runs."""

from __future__ import annotations

from typing import Any, Final

from runtime import kernel
from runtime.kernel import Process

__all__ = ["CALLERS", "callers", "introduce", "name_of"]

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


def name_of(fn: Any) -> str:
    """Return `module:function`."""
    inner = getattr(fn, "func", fn)  # of a partial
    name = getattr(inner, "__qualname__", None)
    return f"{getattr(inner, '__module__', '?')}:{name}" if name else type(inner).__qualname__
