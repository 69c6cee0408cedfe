"""What follows from a change: statements that stand as they were, but are made from something that is another now.

A statement runs again if it reads a name that changed and may be evaluated for nothing but its value (`purity`); a class
follows member by member; a block in which some parts follow, by these. Then modules follow those that they import, until
nothing changes any more.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .blocks import dependent_part, is_quiet
from .classes import follow_class, is_field_of_changed
from .purity import is_pure
from .spread import namespace_of, spread
from .statements import dependencies, run_statement
from .units import Unit, bound_together
from .version import ModuleVersion

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["follow", "follow_unit", "news", "reached", "remake"]

_ROUNDS = 20
"""Times that changes may travel round a circle of imports."""


def follow(commit: Commit, seen: dict[str, int]) -> None:
    """Let modules follow what changed in those that they import, until nothing does any more."""
    for _ in range(_ROUNDS):
        behind = [name for name in commit.importer.modules if news(commit, name) != seen.get(name, 0)]
        if not behind:
            return
        for name in behind:
            namespace = namespace_of(name)
            if namespace is None:
                seen[name] = news(commit, name)
                continue
            version = commit.importer.modules[name]
            commit.journal.namespace(namespace)
            together = reached(commit, version, version.units, namespace, set())
            last = {name: unit for unit in version.units for name in unit.names if name in together}
            for unit in version.units:
                if together.isdisjoint(unit.names):
                    follow_unit(commit, version, unit, namespace)
                else:
                    later = {name for name in unit.names if last.get(name, unit) is not unit}
                    run_statement(commit, version, unit, namespace, later)
            seen[name] = news(commit, name)  # what it has just changed itself is no news to it
            spread(commit, name)


def follow_unit(commit: Commit, version: ModuleVersion, unit: Unit, namespace: dict[str, Any]) -> None:
    """A statement that stands as it was: run it again if it is made from something that changed and may run."""
    depends, replaced = dependencies(commit, version.name, unit, namespace)
    if not depends and not is_field_of_changed(commit, version, unit, namespace.get(unit.name)):
        return
    if version.keep and version.keep.issuperset(unit.names) and unit.names:
        return
    if unit.is_assignment:
        value = unit.node.value  # type: ignore[attr-defined]
        if not replaced and value is not None and not is_pure(value, namespace):
            commit.keep(version.name, unit.name, unit)
            return
    elif unit.is_class:
        cls = namespace.get(unit.name)
        if isinstance(cls, type):
            follow_class(commit, version, unit, cls, namespace)
            return
    elif isinstance(unit.node, (ast.If, ast.Try)):
        if not (isinstance(unit.node, ast.If) and _decides_otherwise(commit, version, unit.node, namespace)):
            part = dependent_part(commit, version.name, unit, namespace)
            if part is None and isinstance(unit.node, ast.If) and is_pure(unit.node.test, namespace):
                return
            if part is None and not is_quiet(unit.node, namespace):
                commit.keep(version.name, unit.name or unit.kind.lower(), unit)
                return
            unit = part or unit
    elif not unit.is_function:
        if not unit.kind.startswith("Import"):
            commit.keep(version.name, unit.name or unit.kind.lower(), unit)
        return
    run_statement(commit, version, unit, namespace)
    commit.note(version.name, "follow", unit.name, unit.node.lineno)


def reached(
    commit: Commit, version: ModuleVersion, units: Sequence[Unit], namespace: dict[str, Any], moving: set[str]
) -> frozenset[str]:
    """Return the names that several statements bind, one of which follows a change: all of these run again, or none.

    `moving`: names that change for certain. So that `X = [A]` is there once more for `X += [B]` when B has changed.
    """
    several = bound_together(units)
    binders = [unit for unit in units if not several.isdisjoint(unit.names)]
    if not binders:
        return frozenset()
    for unit in units:  # in order: what follows now makes others follow
        if not moving.isdisjoint(unit.value_loads) or dependencies(commit, version.name, unit, namespace)[0]:
            moving = moving.union(unit.names)
    reached = {name for unit in binders for name in unit.names if name in moving}
    for unit in binders:
        value = getattr(unit.node, "value", None)
        if unit.is_assignment and value is not None and not is_pure(value, namespace):
            reached.difference_update(unit.names)
    return several & reached


def remake(commit: Commit) -> None:
    """Dataclasses derived from a dataclass that was made anew have its fields in their constructors."""
    sub: type
    for cls in commit.remade:  # grows meanwhile
        for sub in type.__subclasses__(cls):
            version = commit.importer.modules.get(sub.__module__)
            namespace = namespace_of(sub.__module__)
            if "__dataclass_fields__" not in sub.__dict__ or version is None or namespace is None:
                continue
            if namespace.get(sub.__name__) is not sub or sub in commit.remade:
                continue
            for unit in version.units:
                if unit.is_class and unit.name == sub.__name__:
                    commit.journal.namespace(namespace)
                    follow_class(commit, version, unit, sub, namespace, remake=True)


def news(commit: Commit, name: str) -> int:
    """Count what a module has to follow: its own changed names, and those of modules that it imports as such."""
    own = len(commit.changed.get(name, ())) + len(commit.replaced.get(name, ()))
    imported = commit.imported.get(name, frozenset())  # one that this very step imports is new anyway
    classes = sum(cls.__module__ in imported or cls.__module__ == name for cls, _ in commit.class_attributes)
    return own + classes + sum(len(commit.changed[other]) for other in imported & commit.changed.keys())


# Internals


def _decides_otherwise(
    commit: Commit, version: ModuleVersion, node: ast.If, namespace: dict[str, Any]
) -> bool:
    """Tell whether a condition at the top level has another outcome than it had: then the other branch counts.

    So it is with those in the branch that counts: `elif` is one.
    """
    if not is_pure(node.test, namespace):
        return False
    test = compile(ast.Expression(node.test), version.path, "eval", dont_inherit=True)
    before = commit.journal.namespace(namespace)
    outcome = bool(eval(test, namespace))  # noqa: S307 - the program's own source
    if bool(eval(test, dict(before))) != outcome:  # noqa: S307
        return True
    inner = [one for one in (node.body if outcome else node.orelse) if isinstance(one, ast.If)]
    return any(_decides_otherwise(commit, version, one, namespace) for one in inner)
