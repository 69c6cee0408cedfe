"""The code server as the control socket sees it: plain values out, releases in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime import code, kernel
from runtime.code.plan import Plan
from runtime.code.release_log import Release, ReleaseLog
from runtime.code.roots import Roots
from runtime.code.subjects import Subjects

__all__ = ["LiveCode"]

_SLICE = 1_000
"""Processes looked at in one turn of the scheduler."""

# Types


class LiveCode:
    """What `push_operations` needs of the code server. All but `log` and `roots` is for processes, and may block."""

    def __init__(self, log: ReleaseLog, roots: Roots) -> None:
        self.log = log
        self.roots = roots

    def current(self) -> Release:
        """Return the release that runs."""
        return code.current()

    def status(self) -> dict[str, Any]:
        """Return what the code server is at; `probation` is empty when there is none."""
        now = code.status()
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
    ) -> Release:
        """Make `sources` live if `base` still runs when its turn comes. Raises Refused."""
        return code.push(sources, base=base, by=by, note=note, progress=progress)

    def rollback(self, release: int | None, *, by: str, progress: Callable[..., None]) -> Release:
        """Go back to the release with that number, or to the one before. Raises Refused."""
        return code.rollback(release, by=by, progress=progress)

    def confirm(self) -> Release:
        """End the probation: the release that runs is good."""
        return code.confirm()

    def plan(self, sources: Mapping[str, str | None], *, base: str) -> dict[str, Any]:
        """Return what a push would change, as plain values: modules, names, and how many processes migrate."""
        plan = code.plan(sources, base=base)
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


def _concerned(plan: Plan, module: str) -> int:
    """How many processes keep state of a module, as they are now."""
    subjects = Subjects({module: plan.vsn_changes[module]})
    count = 0
    for number, process in enumerate(list(kernel.processes()), 1):
        count += bool(subjects.of(process.behaviour))
        if not number % _SLICE:
            kernel.yield_()
    return count
