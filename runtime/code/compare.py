"""Two versions of a module, statement by statement: what is to be done about each of the new ones."""

from __future__ import annotations

import ast
import sys
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import codes, syntax
from .blocks import definitions_in
from .plan import Change, ClassPlan, ModulePlan, Step, Verdict
from .units import Pairing, Unit, bound_together, pair
from .version import ModuleVersion

__all__ = ["compare", "is_made_from"]

_SLICE = 16
"""Statements compared between two pauses."""
_SHAPING = frozenset(
    {
        "__class_getitem__", "__eq__", "__ge__", "__gt__", "__hash__", "__init__", "__init_subclass__", "__le__", "__lt__",
        "__match_args__", "__new__", "__post_init__", "__repr__", "__setattr__", "__delattr__", "__getstate__", "__setstate__",
    }
)  # fmt: skip
"""Members that a decorator or metaclass looks at, or makes itself when they are missing."""

# API


def compare(
    old: ModuleVersion, new: ModuleVersion, changes: list[Change], pause: Callable[[], None]
) -> ModulePlan:
    """Return what leads from `old` to `new`, and add it to `changes` in words. `pause` is called between slices."""
    old.read(pause)
    pause()
    pairing = pair(old.units, new.units, pause)
    before, after = old.codes, new.codes
    module = sys.modules.get(new.name)
    namespace = module.__dict__ if module is not None else {}
    plan = ModulePlan(new.name, old, new, [], pairing.removed, frozenset())
    compare = _Comparison(old, new, before, after, plan, namespace, pause)
    for number, (was, unit) in enumerate(pairing.pairs):
        if not number % _SLICE:
            pause()
        plan.steps.append(compare.step(was, unit, namespace.get(unit.name), unit.name))
    plan.together = _together(pairing, plan.steps)
    changes += _describe(plan)
    return plan


def is_made_from(living: type, node: ast.ClassDef, touched: Sequence[Unit]) -> bool:
    """Tell whether a class is made from the statements `touched` of its body, so that it must be made again: fields of a
    dataclass, members of an enumeration, slots.
    """
    if any("__slots__" in unit.names for unit in touched):
        return True
    transformed = (
        bool(node.decorator_list)
        or type(living) not in (type, ABCMeta)
        or "__slots__" in living.__dict__
        or hasattr(living, "_fields")
        or hasattr(living, "__struct_fields__")
    )
    if not transformed:
        return False
    if (
        hasattr(living, "__dataclass_fields__")
        and ast.get_docstring(node) is None
        and any(u.is_text for u in touched)
    ):
        return True  # a dataclass without a docstring is given one
    return any(
        not (unit.is_function or unit.is_class or unit.is_text) or not _SHAPING.isdisjoint(unit.names)
        for unit in touched
    )


# Internals


class _Comparison:
    """Two versions of a module, statement by statement."""

    def __init__(
        self,
        old: ModuleVersion,
        new: ModuleVersion,
        before: codes.Index,
        after: codes.Index,
        plan: ModulePlan,
        namespace: Mapping[str, Any],
        pause: Callable[[], None],
    ) -> None:
        self.old, self.new, self.before, self.after, self.plan = old, new, before, after, plan
        self.namespace = namespace
        self.pause = pause
        self.other_future = old.flags != new.flags

    def step(self, was: Unit | None, unit: Unit, living: Any, qualname: str) -> Step:
        verdict = self._verdict(was, unit, living)
        step = Step(verdict, was, unit)
        if (
            self.other_future
            and verdict in (Verdict.KEEP, Verdict.SWAP)
            and unit.node.__class__ in (ast.If, ast.Try)
        ):
            step.part = definitions_in(unit, self.namespace)
            step.verdict = verdict if step.part is None else Verdict.EXECUTE
        if verdict is Verdict.CLASS:
            assert was is not None
            step.class_plan = self._class_plan(was, unit, living, qualname)
        elif step.verdict in (Verdict.KEEP, Verdict.SWAP):
            assert was is not None
            self._swaps(was.node, unit.node)
        elif was is not None and was.is_function and unit.is_function:
            self._swaps(was.node, unit.node, inside=True)
        return step

    def _verdict(self, was: Unit | None, unit: Unit, living: Any) -> Verdict:
        if unit.names and self.new.keep.issuperset(unit.names) and was is not None:
            return Verdict.KEEP
        if was is None or self.new.reset.intersection(unit.names):
            return Verdict.EXECUTE
        if (
            self.other_future
            and not (unit.is_class and isinstance(living, type))
            and (unit.is_function or unit.is_class)
        ):
            return Verdict.EXECUTE
        if (
            self.other_future
            and isinstance(unit.node, ast.AnnAssign)
            and unit.value_digest == was.value_digest
        ):
            return Verdict.ANNOTATE  # the value may be what the program has collected since
        if was.text == unit.text and not self.other_future:
            return Verdict.KEEP
        if unit.is_class and was.is_class and isinstance(living, type):
            return Verdict.CLASS if was.digest != unit.digest or self.other_future else Verdict.KEEP
        if was.kind == unit.kind and was.shell == unit.shell:
            if was.digest == unit.digest:
                return Verdict.KEEP
            return Verdict.EXECUTE if self._reshaped(was.node, unit.node) else Verdict.SWAP
        if was.is_assignment and unit.is_assignment and was.value_digest == unit.value_digest:
            return Verdict.ANNOTATE if isinstance(unit.node, ast.AnnAssign) else Verdict.KEEP
        return Verdict.EXECUTE

    def _reshaped(self, a: ast.AST, b: ast.AST) -> bool:
        """Tell whether some function has other cells than before: `super()` came or went."""
        for x, y in zip(syntax.functions_in(a), syntax.functions_in(b), strict=False):
            old, new = codes.select(self.before, x), codes.select(self.after, y)
            if old is not None and new is not None and not codes.same_closure(old, new):
                return True
        return False

    def _swaps(self, a: ast.AST, b: ast.AST, *, inside: bool = False) -> None:
        """Note which code takes whose place. `inside`: only that of functions which the functions have made."""
        both = zip(syntax.functions_in(a), syntax.functions_in(b), strict=False)
        for number, (x, y) in enumerate(both, 1):
            if not number % _SLICE:
                self.pause()
            old, new = codes.select(self.before, x), codes.select(self.after, y)
            if old is None or new is None or old is new:
                continue
            if not inside:
                self.plan.swaps.append((old, new))
            nested, reshaped = codes.pair_nested(old, new)
            self.plan.swaps += nested
            if reshaped and isinstance(x, ast.FunctionDef):
                self.plan.reshaped.add(x.name)

    def _class_plan(self, was: Unit, unit: Unit, living: type, qualname: str) -> ClassPlan:
        assert isinstance(was.node, ast.ClassDef)
        assert isinstance(unit.node, ast.ClassDef)
        self.pause()
        pairing = pair(self.old.body_of(was.node), self.new.body_of(unit.node), self.pause)
        steps = []
        for number, (before, after) in enumerate(pairing.pairs, 1):
            if not number % _SLICE:
                self.pause()
            member = living.__dict__.get(after.name)
            steps.append(self.step(before, after, member, f"{qualname}.{after.name}"))
        moved = (Verdict.EXECUTE, Verdict.ANNOTATE, Verdict.CLASS)
        touched = [
            u for s in steps if s.verdict in moved for u in (s.unit, s.old) if u is not None
        ] + pairing.removed
        rebuild = _header(was.node) != _header(unit.node) or is_made_from(living, unit.node, touched)
        rebuild = (
            rebuild
            or self.other_future
            or any(s.class_plan is not None and s.class_plan.rebuild for s in steps)
        )
        return ClassPlan(qualname, unit.node, steps, pairing.removed, rebuild, _together(pairing, steps))


def _header(node: ast.ClassDef) -> list[str]:
    return [
        *map(syntax.digest, node.bases), "|", *map(syntax.digest, node.keywords), "|",
        *map(syntax.digest, node.decorator_list),
    ]  # fmt: skip


def _together(pairing: Pairing, steps: Iterable[Step]) -> frozenset[str]:
    units = [unit for _, unit in pairing.pairs]
    moving = {name for step in steps if step.verdict is Verdict.EXECUTE for name in step.unit.names}
    # One of two definitions of a name was removed: the other stands as it was, but what is bound may not be its value.
    lost = {name for unit in pairing.removed for name in unit.names}
    return (bound_together(units) & moving) | lost.intersection(name for unit in units for name in unit.names)


def _describe(plan: ModulePlan) -> list[Change]:
    found = []

    def walk(steps: Iterable[Step], prefix: str) -> None:
        for step in steps:
            unit = step.unit
            name = prefix + (unit.name or unit.kind.lower())
            line = unit.node.lineno
            if step.class_plan is not None:
                if step.class_plan.rebuild:
                    found.append(Change(plan.name, "class", name, line))
                else:
                    walk(step.class_plan.steps, f"{name}.")
                    found.extend(
                        Change(plan.name, "delete", f"{name}.{gone}")
                        for unit in step.class_plan.removed for gone in unit.names
                    )  # fmt: skip
            elif step.verdict is Verdict.SWAP:
                found.append(Change(plan.name, "swap", name, line))
            elif step.verdict is Verdict.ANNOTATE:
                found.append(Change(plan.name, "annotate", name, line))
            elif step.verdict is Verdict.EXECUTE:
                kind = "define" if unit.is_function or unit.is_class else "execute"
                found.append(Change(plan.name, "member" if prefix else kind, name, line))

    walk(plan.steps, "")
    still = {name for step in plan.steps for name in step.unit.names}
    found += [Change(plan.name, "delete", n) for unit in plan.removed for n in unit.names if n not in still]
    return found
