"""What runs on after it was removed from the source: functions and classes that something still holds.

Nothing is wrong with that, and nobody is ended for it; but no edit will ever reach them. So their code is noted as old, for
`lingering`, and a release that leaves processes on a removed class (it was renamed, perhaps) says how many.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from runtime import kernel

from .subjects import states_of

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["retire_removed"]

# API


def retire_removed(commit: Commit, gone: Any) -> None:
    """Note that a function or class of a module is not in its source any more. Anything else is passed by."""
    if not isinstance(gone, (FunctionType, type)):
        return
    module = gone.__module__
    plan = commit.plan.modules.get(module)
    version = plan.old if plan is not None else commit.plan.deleted.get(module)
    if version is None:
        return
    if isinstance(gone, FunctionType):
        commit.retired.append((gone.__code__, module, version.sha))
        return
    commit.retired.append((gone, module, version.sha))
    commit.retired += [
        (member.__code__, module, version.sha)
        for member in vars(gone).values()
        if isinstance(member, FunctionType) and member.__module__ == module
    ]
    number = _processes_of(gone)
    if number:
        what = f"removed class {module}.{gone.__qualname__}"
        text = (
            f"{number:,} processes run {what} until they end"
            if number > 1
            else f"1 process runs {what} until it ends"
        )
        commit.warn(f"{text}: runtime.code.lingering() tells which")


# Internals


def _processes_of(cls: type) -> int:
    """Count the processes whose state is of a class."""
    if not any(base.__module__.startswith("runtime.") for base in cls.__mro__):
        return 0  # nothing that a process could be of: do not look at all of them for every class that goes
    return sum(
        any(isinstance(state, cls) for state in states_of(process.behaviour))
        for process in kernel.processes()
    )
