"""What a supervisor reports: a child that ended, a start that failed, a shutdown that was not clean, progress.

Records go through `reports.emit` to the logger `evergreen.supervisor` (progress: `evergreen.progress`, at debug
level). A supervisor that restarts thousands asks first whether anybody listens.
Source: OTP supervisor and progress reports; supervisor:format_log/2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from runtime.kernel import hooks
from runtime.otp.child_spec import ChildSpec
from runtime.otp.reports import CHARS_LIMIT, DEPTH, Brief, Report, emit, format_term, render

__all__ = ["MAX_RESTARTS", "Offender", "ProgressReport", "SupervisorReport", "format_report", "on_failure"]

# ---------------------------------------------------------------- types

Context = Literal["start_error", "child_terminated", "shutdown", "shutdown_error"]

MAX_RESTARTS: Final = "reached_max_restart_intensity"
"""The reason in a `shutdown` report: one restart too many within the period."""


@dataclass(frozen=True, slots=True)
class Offender(Brief):
    """The child a report is about. `count` is more than 1 when one report speaks for many that are alike."""

    pid: Any
    id: Any
    start: Any
    restart: str
    shutdown: Any
    type: str
    count: int = 1

    @classmethod
    def of(cls, pid: Any, spec: ChildSpec, count: int = 1) -> Offender:
        function = spec.start[0]
        owner = getattr(function, "__self__", None)
        if isinstance(owner, type):
            # Counter.start_link: the class says more than GenServer, where the function is defined.
            name = f"{owner.__module__}:{owner.__qualname__}.{function.__name__}"
        else:
            qualname = getattr(function, "__qualname__", repr(function))
            name = f"{getattr(function, '__module__', '?')}:{qualname}"
        # Without the arguments of a temporary child: they are dropped, and None would read as "none needed".
        start = (name,) if spec.start[1] is None else (name, *spec.start[1])
        return cls(pid, spec.id, start, spec.restart, spec.shutdown, spec.type, count)

    def brief(self, depth: int, limit: int) -> str:
        """As `'worker' <5@nonode>, pool:Worker.start_link(0), permanent`."""
        id_ = "" if self.id is None else format_term(self.id, depth, limit)  # a dynamic supervisor's has none
        who = " ".join(filter(None, [id_, "" if self.pid is None else repr(self.pid)])) or "a child"
        arguments = ", ".join(format_term(one, depth - 1, limit) for one in self.start[1:])
        many = f", and {self.count - 1} more like it" if self.count > 1 else ""
        return f"{who}, {self.start[0]}({arguments}), {self.restart}{many}"[:limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorReport(Report):
    """A failure under a supervisor: while doing what (`context`), why (`reason`), and which child (`offender`)."""

    label: ClassVar[str] = "supervisor"
    title: ClassVar[str] = "supervisor report"

    supervisor: Any
    context: Context
    reason: Any
    offender: Offender


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport(Report):
    """A child is up."""

    label: ClassVar[str] = "progress"
    level: ClassVar[int] = logging.DEBUG
    title: ClassVar[str] = "progress report"

    supervisor: Any
    started: Offender


on_failure: list[Callable[[Any, Context, Any, Any, ChildSpec, int], None]] = []
"""Called with each failure, logged or not, in the supervisor's process: must be short, must not block."""

_failures: Final = logging.getLogger(f"evergreen.{SupervisorReport.label}")
_progress: Final = logging.getLogger(f"evergreen.{ProgressReport.label}")

# ---------------------------------------------------------------- API


def format_report(
    report: Report, *, depth: int = DEPTH, chars_limit: int = CHARS_LIMIT, single_line: bool = False
) -> str:
    """Return a report as text for people: no deeper than `depth`, no longer than `chars_limit` characters;
    `single_line` leaves no line break, for logs that are read line by line. Source: supervisor:format_log/2.
    """
    text = render(report, depth, chars_limit)
    if not single_line:
        return text
    head, *lines = (line.strip() for line in text.splitlines())
    return f"{head.strip('= ')}: {', '.join(lines)}"[:chars_limit]


# ---------------------------------------------------------------- for the supervisors


def report_failure(
    supervisor: Any, context: Context, reason: Any, pid: Any, spec: ChildSpec, count: int = 1
) -> None:
    """Report a failure under `supervisor`, unless the logger is off; tell whoever counts them."""
    if on_failure:
        hooks.call(on_failure, supervisor, context, reason, pid, spec, count)
    if _failures.isEnabledFor(logging.ERROR):
        offender = Offender.of(pid, spec, count)
        emit(SupervisorReport(supervisor=supervisor, context=context, reason=reason, offender=offender))


def report_progress(supervisor: Any, pid: Any, spec: ChildSpec) -> None:
    """Report that a child is up, if anybody debugs."""
    if _progress.isEnabledFor(logging.DEBUG):
        emit(ProgressReport(supervisor=supervisor, started=Offender.of(pid, spec)))
