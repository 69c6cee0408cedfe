"""Which values were computed by a function whose body has changed: they stay, and the report says so.

A function that is edited keeps its identity, so nothing that was made *of* it has to follow. What it has *computed* at
import (`TABLE = build()`, `MAIN = Service()`) would be another after a cold start; but calling it again may open a second
connection, or lose what the first result has gathered since. It is for people to decide: they are told the name and the
line, and a save that touches that line runs it again. Told are results of calls that stand there by name, at the top level
or in the body of a class, and of those that call what they are given (`sorted(names, key=rank)`); for a class its `__init__`
counts. What such a function calls in its turn is not gone after.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from . import syntax
from .commit import Commit, Kept
from .plan import ModulePlan, Verdict
from .spread import namespace_of

__all__ = ["results_of_before"]

_CALLED = re.compile(r"(\w+)\s*\(")
_WORD = re.compile(r"\w+")
_CALLERS = frozenset(
    {
        "accumulate", "dropwhile", "filter", "filterfalse", "groupby", "map", "max", "min", "nlargest", "nsmallest", "reduce",
        "sorted", "starmap", "takewhile",
    }
)  # fmt: skip
"""Functions of Python's own that call one which they are given: `sorted(names, key=rank)`."""
_MAKERS = frozenset({"__init__", "__new__", "__post_init__"})
_PART_OF_IT = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


# API


def results_of_before(commit: Commit, pause: Callable[[], None] = lambda: None) -> list[Kept]:
    """Return what was computed by functions that a release has changed in place. Its plan must still be there; no step
    waits for this. `pause`: between modules.
    """
    edited = {name: names for name, plan in commit.plan.modules.items() if (names := _edited(commit, plan))}
    if not edited:
        return []
    told = {(change.module, change.name) for change in commit.changes} | commit.kept.keys()
    found: list[Kept] = []
    for name, version in commit.importer.modules.items():
        plan = commit.plan.modules.get(name)
        if name in commit.plan.added or (name not in edited and edited.keys().isdisjoint(version.imports)):
            continue
        pause()
        mine = edited.get(name, set()) | {
            local
            for base, names in edited.items()
            for importer, there, local in commit.importers.get(base, ())
            if importer == name and there in names
        }
        wanted, called = mine.union(*edited.values()), set(_CALLED.findall(version.source))
        if wanted.isdisjoint(called) and (
            called.isdisjoint(_CALLERS) or wanted.isdisjoint(_WORD.findall(version.source))
        ):
            continue
        was_read = version.has_syntax
        version.read(pause)
        ran = (
            {id(step.unit) for step in plan.steps if step.verdict is Verdict.EXECUTE}
            if plan is not None
            else set()
        )
        together = plan.together if plan is not None else frozenset()
        for unit in version.units:
            if (
                id(unit) in ran
                or not together.isdisjoint(unit.names)
                or version.keep.intersection(unit.names)
            ):
                continue
            for label, value, line in _values(unit.node, unit.name):
                callee = next(_callees(value, mine, edited, namespace_of(name) or {}), None)
                if callee is not None and (name, label) not in told and (name, unit.name) not in told:
                    found.append(Kept(name, label, line, callee))
        if not was_read:
            version.forget_syntax(pause)
    return found


# Internals


def _edited(commit: Commit, plan: ModulePlan) -> set[str]:
    """Return the names of functions of a module that do something else now, and of classes that make objects otherwise."""
    found = {
        old.co_qualname.removesuffix(f".{old.co_name}") if old.co_name in _MAKERS else old.co_qualname
        for old, new in plan.swaps
        if _does(old) != _does(new)
    }
    for step in plan.steps:
        if step.old is None or step.verdict is Verdict.KEEP:
            continue
        value = getattr(step.unit.node, "value", None)
        if step.unit.is_function or (step.unit.is_assignment and isinstance(value, ast.Lambda)):
            if step.verdict is Verdict.EXECUTE:
                found.add(step.unit.name)
        elif step.class_plan is not None and any(
            member.unit.name in _MAKERS and member.verdict is Verdict.EXECUTE
            for member in step.class_plan.steps
        ):
            found.add(step.unit.name)
    return found - commit.changed.get(plan.name, set())


def _does(code: CodeType) -> tuple[Any, ...]:
    """What a function does, but for its doc, its lines, and the functions that it makes: those are changed in place, too."""
    first = 0 if code.co_name.startswith("<") else 1
    consts = [c for c in code.co_consts[first:] if not isinstance(c, CodeType)]
    parts = [_does(c) for c in code.co_consts if isinstance(c, CodeType) and c.co_name in _PART_OF_IT]
    return (code.co_code, code.co_names, code.co_varnames, code.co_freevars, repr(consts), parts)


def _values(node: ast.stmt, name: str) -> Iterator[tuple[str, ast.expr, int]]:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        yield name, node.value, node.lineno
    elif isinstance(node, ast.ClassDef):
        for member in node.body:
            bound = "=".join(syntax.bound_names(member))
            yield from _values(member, f"{name}.{bound}") if not isinstance(member, ast.ClassDef) else ()


def _callees(
    value: ast.expr, mine: set[str], edited: dict[str, set[str]], namespace: dict[str, Any]
) -> Iterator[str]:
    """Which edited functions an expression calls, or has called: by a name here, or by that of their module."""
    open_: list[ast.AST] = [value]
    while open_:
        node = open_.pop()
        if isinstance(node, ast.Lambda):  # runs when it is called
            continue
        open_.extend(ast.iter_child_nodes(node))
        if not isinstance(node, ast.Call):
            continue
        run = [node.func]
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in _CALLERS:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            open_.extend(one.body for one in given if isinstance(one, ast.Lambda))
            run += given
        for called in run:
            if isinstance(called, ast.Name) and called.id in mine:
                yield called.id
            elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                owner = namespace.get(called.value.id)
                if isinstance(owner, ModuleType) and called.attr in edited.get(owner.__name__, ()):
                    yield f"{called.value.id}.{called.attr}"
