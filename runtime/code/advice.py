"""What whoever made a release should know of the processes that live on: notes for its report, made when it is live.

A server's `init` has run long ago. When its new text sets an attribute that the old one did not, the living servers lack it,
and the first message that needs it crashes them. Whether they do is looked up in the living states themselves: a default of
the class, a property, a slot or a `code_change` that has set it are an answer. Only what `init` sets under all circumstances
counts: what stands under an `if` may be missing on purpose.

A module that has its first `__vsn__` brings states into form from a version that nobody named: code_change is given None.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runtime import kernel

from .commit import Commit
from .journal import MISSING
from .plan import ModulePlan, Plan, Verdict
from .spread import namespace_of
from .subjects import states_of

__all__ = ["advice"]

_SLICE = 500
"""Processes looked at between two pauses."""
_INITS = ("init", "__init__")


class _Setting(NamedTuple):
    """What the new `init` of a class sets, and the former one did not."""

    cls: type
    init: str
    names: tuple[str, ...]


# API


def advice(commit: Commit, pause: Callable[[], None] = lambda: None) -> list[str]:
    """Return the notes on a release that has just become live, while its plan is still there. `pause`: between slices."""
    settings = [one for module in commit.plan.modules.values() for one in _settings(module)]
    notes = _first_versions(commit) if commit.migrated else []
    return [*notes, *(_lacking(settings, commit.plan, pause) if settings else ())]


# Internals


def _first_versions(commit: Commit) -> list[str]:
    if commit.plan.direction != "up":
        return []
    return [
        f"{name} has its first __vsn__: code_change is called with None for states of before (`case None | 1:`)"
        for name, (old, new) in commit.plan.vsn_changes.items()
        if old is None and new is not None and _has_code_change(commit.plan.modules[name])
    ]


def _has_code_change(module: ModulePlan) -> bool:
    bodies = [step.unit.node.body for step in module.steps if isinstance(step.unit.node, ast.ClassDef)]
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "code_change" for body in bodies for node in body
    )


def _settings(module: ModulePlan) -> Iterator[_Setting]:
    namespace = namespace_of(module.name) or {}
    for step in module.steps:
        cls = namespace.get(step.unit.name)
        if step.class_plan is None or not isinstance(cls, type) or hasattr(cls, "__getattr__"):
            continue
        for member in step.class_plan.steps:
            if member.unit.name not in _INITS or member.verdict is Verdict.KEEP:
                continue
            before = _set_by(cls, member.old.node) if member.old is not None else set()
            names = [name for name in _set_by(cls, member.unit.node) if name not in before]
            if names:
                yield _Setting(cls, member.unit.name, tuple(names))


def _set_by(cls: type, node: ast.stmt) -> dict[str, None] | set[str]:
    """Return the attributes of its first argument that a function sets whatever happens, in order."""
    if not isinstance(node, ast.FunctionDef) or not (arguments := [*node.args.posonlyargs, *node.args.args]):
        return set()
    found: dict[str, None] = {}
    for target in _targets(node.body):
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            name = target.attr
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            if target.value.id == arguments[0].arg:
                found[name] = None
    return found


def _targets(body: Iterable[ast.stmt]) -> Iterator[ast.expr]:
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from target.elts if isinstance(target, (ast.Tuple, ast.List)) else (target,)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield statement.target
        elif isinstance(statement, ast.With):
            yield from _targets(statement.body)


def _lacking(settings: list[_Setting], plan: Plan, pause: Callable[[], None]) -> list[str]:
    """Look at all processes for states that lack what their `init` sets now."""
    living: Counter[_Setting] = Counter()
    lacking: dict[_Setting, Counter[str]] = {one: Counter() for one in settings}
    for number, process in enumerate(kernel.processes(), 1):
        for state in states_of(process.behaviour) if _has_begun(process) else ():
            for one in settings:
                if _runs(type(state), one):
                    living[one] += 1
                    lacking[one].update(
                        n for n in one.names if inspect.getattr_static(state, n, MISSING) is MISSING
                    )
        if not number % _SLICE:
            pause()
    return [_note(one, lacking[one], living[one], plan) for one in settings if lacking[one]]


def _has_begun(process: kernel.Process) -> bool:
    """Tell whether a process is past the beginning of its init: before, it has nothing yet."""
    return type(getattr(process.control, "start", None)) is not tuple


def _runs(kind: type, setting: _Setting) -> bool:
    """Tell whether objects of a class, when they are made, come by the `init` of a base (one that it has: not as `register` says)."""
    if setting.cls not in kind.__mro__:
        return False
    for cls in kind.__mro__[: kind.__mro__.index(setting.cls)]:
        init = cls.__dict__.get(setting.init)
        if init is not None and "super" not in getattr(getattr(init, "__code__", None), "co_names", ()):
            return False
    return True


def _note(one: _Setting, lacking: Counter[str], living: int, plan: Plan) -> str:
    number = max(lacking.values())
    names = " and ".join(", ".join(map(repr, lacking)).rsplit(", ", 1))
    if number == living:
        who = "the living process does" if living == 1 else f"the {living:,} living processes do"
    else:
        who = f"{number:,} of {living:,} living processes do"
    owner = next((c for c in one.cls.__mro__ if "code_change" in c.__dict__), object)
    if owner.__module__.partition(".")[0] in ("runtime", "builtins"):
        what = "give the class a default or write code_change"
    elif one.cls.__module__ in plan.vsn_changes:
        what = f"set {'it' if len(lacking) == 1 else 'them'} in code_change, too, or give the class a default"
    else:
        what = "change __vsn__, so that code_change is called, or give the class a default"
    return f"{one.cls.__qualname__}.{one.init} sets {names}, which {who} not have: {what}"
