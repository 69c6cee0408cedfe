"""Counts of what supervisors reported: which child failed how often, when, and why at last.

Kept from `install` to `remove`, by (supervisor, child's id); of very many children, those after the first thousand are
counted together. A failure costs a microsecond or two; nothing else does.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from runtime.kernel import clock
from runtime.observe.texts import brief, function_of, pid_text
from runtime.otp.child_spec import ChildSpec
from runtime.otp.supervisor_report import on_failure

__all__ = ["Child", "Failed", "install", "remove", "table"]

_MAX = 1_000
_TIMES = 100
_WORDS = 200

# Types


class Child(NamedTuple):
    """Whose failures are counted: the supervisor's name or pid, and the child's id, as texts."""

    supervisor: str
    child: str


class Failed:
    """The failures of one child. `times`: of the last hundred, in seconds of the runtime's clock."""

    __slots__ = ("context", "count", "pid", "reason", "start", "times")

    def __init__(self) -> None:
        self.count = 0
        self.times: deque[float] = deque(maxlen=_TIMES)
        self.context = ""
        self.reason = ""
        self.pid = ""
        self.start = ""

    def within(self, seconds: float, now: float) -> int:
        """How many failures there were in the last `seconds`, as far as a hundred."""
        return sum(1 for at in reversed(self.times) if now - at <= seconds)


OTHERS = Child("others", "others")
table: dict[Child, Failed] = {}
"""All that is known. Only to look."""

# API


def install() -> None:
    """Begin to count, from nothing; again: nothing."""
    if _note not in on_failure:
        table.clear()
        on_failure.append(_note)


def remove() -> None:
    """Count no more."""
    if _note in on_failure:
        on_failure.remove(_note)


# Internals


def _note(supervisor: Any, context: str, reason: Any, pid: Any, spec: ChildSpec, count: int) -> None:
    if context == "shutdown":  # the supervisor gives up: the child's own failure has been counted
        return
    key = Child(
        pid_text(supervisor)[:100], spec.id[:100] if isinstance(spec.id, str) else brief(spec.id, 2, 100)
    )
    found = table.get(key)
    if found is None:
        found = table.setdefault(key if len(table) < _MAX else OTHERS, Failed())
    found.count += count
    found.times.append(clock.now())
    found.context, found.reason, found.pid = context, brief(reason, 3, _WORDS), pid_text(pid)
    found.start = function_of(spec.start[0])
