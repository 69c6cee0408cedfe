"""What is said about applications: one is up, one has ended, one could not start. Structured records, as all reports.

The logger is `evergreen.application`. Source: OTP application_controller's progress and exit reports.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from runtime.kernel import NORMAL, Pid, node
from runtime.otp.application_behaviour import Application
from runtime.otp.reports import Report, emit, is_wanted

__all__ = [
    "ApplicationEnded", "ApplicationFailed", "ApplicationNotStarted", "ApplicationReport", "ApplicationStarted",
    "report_ended", "report_started",
]  # fmt: skip

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationReport(Report):
    """What these reports share."""

    label: ClassVar[str] = "application"

    application: str
    description: str
    start_type: str | None
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationStarted(ApplicationReport):
    """Progress: `start` and all phases are done. `supervisor` is the top one."""

    level: ClassVar[int] = logging.INFO
    title: ClassVar[str] = "application started"

    supervisor: Pid


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationEnded(ApplicationReport):
    """It was stopped, or came to its end with `normal`."""

    level: ClassVar[int] = logging.INFO
    title: ClassVar[str] = "application ended"

    reason: Any
    asked: bool
    """Somebody asked for the stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationFailed(ApplicationReport):
    """It ran, and ended by a failure: its top supervisor did, with `reason`."""

    level: ClassVar[int] = logging.ERROR
    title: ClassVar[str] = "application failed"

    reason: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationNotStarted(ApplicationReport):
    """Its `start` or a start phase failed; what had been started is stopped."""

    level: ClassVar[int] = logging.ERROR
    title: ClassVar[str] = "application could not start"

    reason: Any


# API


def report_started(app: Application, start_type: str | None, supervisor: Pid) -> None:
    """Report progress: an application is up."""
    if is_wanted(ApplicationStarted):
        emit(ApplicationStarted(**_about(app, start_type), supervisor=supervisor))


def report_ended(app: Application, start_type: str | None, reason: Any, *, was: str) -> None:
    """Report the end of an application whose status `was` that."""
    if was == "starting":
        emit(ApplicationNotStarted(**_about(app, start_type), reason=reason))
    elif was != "stopping" and reason != NORMAL:
        emit(ApplicationFailed(**_about(app, start_type), reason=reason))
    elif is_wanted(ApplicationEnded):
        emit(ApplicationEnded(**_about(app, start_type), reason=reason, asked=was == "stopping"))


# Internals


def _about(app: Application, start_type: str | None) -> dict[str, Any]:
    return {
        "application": app.name,
        "description": app.description,
        "start_type": start_type,
        "node": node(),
    }
