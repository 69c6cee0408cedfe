"""The code server as the control socket sees it: plain values out, releases in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from runtime import code, kernel
from runtime.code.errors import Refused
from runtime.code.plan import Plan
from runtime.code.release_log import Release, ReleaseLog
from runtime.code.roots import Roots
from runtime.code.subjects import Subjects
from runtime.kernel import NOPROC, CallError

__all__ = ["LiveCode"]

T = TypeVar("T")

_SLICE = 1_000
"""Processes looked at in one turn of the scheduler."""

# Types


class LiveCode:
    """What `push_operations` needs of the code server. All but `log` and `roots` is for processes, and may block."""

    def __init__(self, log: ReleaseLog, roots: Roots) -> None:
        self.log = log
        self.roots = roots

    def current(self) -> Release:
        """Return the release that runs. Raises Refused, as all of them, when the code server has ended."""
        return _asked(code.current)

    def status(self) -> dict[str, Any]:
        """Return what the code server is at; `probation` is empty when there is none."""
        now = _asked(code.status)
        return {
            "mode": now.mode, "busy": now.busy, "waiting": list(now.waiting), "probation": now.probation or {},
            "alarmed": now.alarmed,
        }  # fmt: skip

    def push(
        self,
        sources: Mapping[str, str | None],
        *,
        base: str,
        by: str,
        note: str,
        progress: Callable[..., None],
        force: bool = False,
    ) -> Release:
        """Make `sources` live if `base` still runs when its turn comes; `force`: also what was taken back. Raises Refused."""
        return _asked(code.push, sources, base=base, by=by, note=note, progress=progress, force=force)

    def rollback(
        self,
        release: int | None,
        *,
        by: str,
        progress: Callable[..., None],
        note: str = "",
        force: bool = False,
    ) -> Release:
        """Go back to the release with that number, or to the one before; `force`: also to one that was taken back.

        Raises Refused.
        """
        return _asked(code.rollback, release, by=by, note=note, progress=progress, force=force)

    def confirm(self) -> Release:
        """End the probation: the release that runs is good."""
        return _asked(code.confirm)

    def plan(self, sources: Mapping[str, str | None], *, base: str) -> dict[str, Any]:
        """Return what a push would change, as plain values: modules, names, and how many processes migrate."""
        plan = _asked(code.plan, sources, base=base)
        told = {*plan.modules, *plan.added, *plan.deleted}
        return {
            "modules": list(plan.modules),
            "added": sorted(plan.added),
            "deleted": sorted(plan.deleted),
            "changes": [[one.module, one.kind, one.name, one.line] for one in plan.changes],
            "vsn_changes": {module: list(pair) for module, pair in plan.vsn_changes.items()},
            "migrates": {module: _concerned(plan, module) for module in plan.vsn_changes},
            "resting": sorted(path for path in sources if self.roots.module_of(path) not in told),
        }


# Internals


def _asked(fn: Callable[..., T], *args: Any, **options: Any) -> T:
    try:
        return fn(*args, **options)
    except CallError as error:
        if error.reason != NOPROC:
            raise
        raise Refused(
            "the code server of this node has ended",
            kind="error",
            hint="the node's log says why; a restart brings it back",
        ) from None


def _concerned(plan: Plan, module: str) -> int:
    """How many processes keep state of a module, as they are now."""
    subjects = Subjects({module: plan.vsn_changes[module]})
    count = 0
    for number, process in enumerate(list(kernel.processes()), 1):
        count += bool(subjects.of(process.behaviour))
        if not number % _SLICE:
            kernel.yield_()
    return count
