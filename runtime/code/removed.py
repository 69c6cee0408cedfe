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
    from .version import ModuleVersion

__all__ = ["has_moved", "retire_removed"]

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
    number = 0 if _is_defined_elsewhere(commit, gone) else _processes_of(gone)
    if number:
        what = f"removed class {module}.{gone.__qualname__}"
        text = (
            f"{number:,} processes run {what} until they end"
            if number > 1
            else f"1 process runs {what} until it ends"
        )
        commit.warn(f"{text}: runtime.code.lingering() tells which")


def has_moved(commit: Commit, old: type, new: type) -> bool:
    """Tell whether a release takes the definition of a class from one module, and puts one of its name into another."""
    home, there, name = old.__module__, new.__module__, old.__qualname__
    if home == there or name != new.__qualname__:
        return False
    left, entered = commit.plan.modules.get(home), commit.plan.modules.get(there)
    has_left = home in commit.plan.deleted or (left is not None and not _defines(left.new, name))
    has_entered = there in commit.plan.added or (entered is not None and not _defines(entered.old, name))
    return has_left and has_entered


# Internals


def _defines(version: ModuleVersion, name: str) -> bool:
    return any(unit.is_class and unit.name == name for unit in version.units)


def _is_defined_elsewhere(commit: Commit, cls: type) -> bool:
    """Tell whether the release has a class of that name in another module: then it moved, and its processes with it."""
    versions = [*(plan.new for plan in commit.plan.modules.values()), *commit.plan.added.values()]
    return any(_defines(one, cls.__qualname__) for one in versions if one.name != cls.__module__)


def _processes_of(cls: type) -> int:
    """Count the processes whose state is of a class."""
    if not any(base.__module__.startswith("runtime.") for base in cls.__mro__):
        return 0  # nothing that a process could be of: do not look at all of them for every class that goes
    return sum(
        any(isinstance(state, cls) for state in states_of(process.behaviour))
        for process in kernel.processes()
    )
