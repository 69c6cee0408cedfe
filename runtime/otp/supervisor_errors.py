"""What a supervisor refuses, as typed exceptions with data (OTP: the `{error, Reason}` of supervisor's API)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from runtime.otp.child_spec import ChildSpec
from runtime.otp.outcome import AlreadyStarted
from runtime.otp.reports import format_term

__all__ = [
    "AlreadyPresent",
    "ChildAlreadyStarted",
    "MaxChildren",
    "NotFound",
    "NotSupported",
    "Restarting",
    "Running",
    "StartChildError",
    "SupervisorError",
]


class SupervisorError(Exception):
    """A supervisor refused a request; `.child` is the id or pid that it was about."""

    _says = "{child!r}: refused"

    def __init__(self, child: object = None) -> None:
        super().__init__(self._says.format(child=child))
        self.child = child


class ChildAlreadyStarted(SupervisorError, AlreadyStarted):
    """The id is taken by a running child: `.pid`. Caught as `AlreadyStarted` too, like a name that is taken."""

    def __init__(self, child: Hashable, pid: Any) -> None:
        Exception.__init__(self, f"child {child!r} is already started: {pid!r}")
        self.child = child
        self.pid = pid
        self.reason = ("already_started", pid)


class AlreadyPresent(SupervisorError):
    """The id is known but its child is not running: use `restart_child`, or `delete_child` first."""

    _says = "child {child!r} is already present but not running"


class NotFound(SupervisorError):
    """No such child here."""

    _says = "no child {child!r} under this supervisor"


class Running(SupervisorError):
    """The child runs: terminate it first."""

    _says = "child {child!r} is running"


class Restarting(SupervisorError):
    """The child's start has failed and is being tried again: terminate it first, or wait."""

    _says = "child {child!r} is being restarted"


class NotSupported(SupervisorError):
    """This kind of supervisor knows its children by pid only (OTP: `{error, simple_one_for_one}`)."""

    _says = "{child!r}: children of this supervisor have no id, only a pid"


class MaxChildren(SupervisorError):
    """The supervisor has as many children as it may have; those being restarted count."""

    _says = "already at max_children = {child!r}"


class StartChildError(SupervisorError):
    """The child's start function failed: `.reason`; `.spec` is the spec, None where all children share one."""

    def __init__(self, reason: Any, spec: ChildSpec | None = None) -> None:
        who = "child" if spec is None else f"child {spec.id!r}"
        Exception.__init__(self, f"{who} did not start: {format_term(reason, chars_limit=1000)}")
        self.child = None if spec is None else spec.id
        self.reason = reason
        self.spec = spec
