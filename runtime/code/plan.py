"""What a release will do, worked out beforehand: nothing is touched here, and whatever is wrong is refused here.

For each changed module its new source is compiled, its statements are paired with those that run, and each gets a
verdict:

    keep      stands as before; at most its line numbers moved: only code objects are exchanged
    swap      only bodies of functions differ: likewise
    annotate  only the annotation of a variable differs: that alone is evaluated
    class     a class that is there already: member by member, or rebuilt and merged into the living one
    execute   new or different: the statement runs, and what it binds is merged into what was there

Verdicts are about the module alone. What follows from them (a constant derived from a changed one, in this module or
another) is found in the step, when it is known which values did change.
"""

from __future__ import annotations

import ast
import enum
import importlib
import importlib.util
import sys
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal

from . import codes, syntax
from .errors import Refused, refused_syntax
from .importer import Importer
from .units import Pairing, Unit, bound_together, pair
from .version import ModuleVersion

__all__ = [
    "Change",
    "ClassPlan",
    "Direction",
    "ModulePlan",
    "Plan",
    "Sources",
    "Step",
    "Verdict",
    "is_made_from",
    "make_plan",
    "read_imports",
]

Sources = Mapping[str, str | None]
"""Path relative to the base directory -> the new text; None: the file is deleted."""
Direction = Literal["up", "down"]


_SLICE = 16
"""Statements compared between two pauses."""

# Types


class Verdict(enum.Enum):
    KEEP = "keep"
    SWAP = "swap"
    ANNOTATE = "annotate"
    CLASS = "class"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changes, for people to read."""

    module: str
    kind: str
    """swap, define, member, class, execute, delete, import, annotate, follow."""
    name: str
    line: int | None = None


@dataclass(slots=True)
class Step:
    """One statement of the new source and what is to be done about it."""

    verdict: Verdict
    old: Unit | None
    unit: Unit
    class_plan: ClassPlan | None = None


@dataclass(slots=True)
class ClassPlan:
    """A class that is there already."""

    qualname: str
    node: ast.ClassDef
    steps: list[Step]
    removed: list[Unit]
    rebuild: bool
    """Its statement runs as a whole, and the new class is merged into the old: decorators, bases, fields or slots differ."""
    together: frozenset[str]


@dataclass(slots=True)
class ModulePlan:
    """One module that is there already."""

    name: str
    old: ModuleVersion
    new: ModuleVersion
    steps: list[Step]
    removed: list[Unit]
    together: frozenset[str]
    """Names that several statements bind, one of which changes: all of these run again, in order (overloads, `X += …`)."""
    swaps: list[tuple[CodeType, CodeType]] = field(default_factory=list)

    @property
    def steps_touch_classes(self) -> bool:
        return any(step.class_plan is not None for step in self.steps)

    reshaped: set[str] = field(default_factory=set)
    """Functions that make functions of another shape from now on: what was made with them is made again."""


@dataclass(slots=True)
class Plan:
    """A release, ready to be committed."""

    modules: dict[str, ModulePlan]
    """In the order of their imports: a module after those that it imports."""
    added: dict[str, ModuleVersion]
    deleted: dict[str, ModuleVersion]
    sources: dict[str, str | None]
    direction: Direction
    changes: list[Change] = field(default_factory=list)
    followers: list[str] = field(default_factory=list)
    """Modules that are not part of it, but import what may change."""

    @property
    def vsn_changes(self) -> dict[str, tuple[Any, Any]]:
        """The modules whose `__vsn__` changes: (old, new). A module that has none on one side counts, too."""
        return {name: (m.old.vsn, m.new.vsn) for name, m in self.modules.items() if m.old.vsn != m.new.vsn}

    @property
    def is_empty(self) -> bool:
        return not (self.modules or self.added or self.deleted)


# API


def make_plan(
    importer: Importer,
    sources: Sources,
    direction: Direction = "up",
    pause: Callable[[], None] = lambda: None,
) -> Plan:
    """Compare `sources` with what runs. `pause` is called between slices of work.

    Raises:
        Refused: with what is wrong and where. Source files that are as they were are no part of the plan.
    """
    read_imports(importer, pause)
    changed: dict[str, tuple[ModuleVersion, ModuleVersion]] = {}
    added: dict[str, ModuleVersion] = {}
    gone: dict[str, ModuleVersion] = {}
    roots = importer.roots
    for relative, text in sources.items():
        _check_name(importer, relative)
        name = roots.module_of(relative)
        running = importer.modules.get(name)
        if text is None:
            if running is not None and running.relative == relative:
                gone[name] = running
            continue
        if running is not None and running.source == text and running.relative == relative:
            continue
        pause()
        version = _compile(name, relative, str(roots.path_of(relative)), text, pause)
        if running is None:
            added[name] = version
        else:
            changed[name] = running, version
    gone = {
        name: version for name, version in gone.items() if name not in changed
    }  # a module become a package
    _check_deleted(importer, gone, changed)
    _import_foreign(importer, changed, added)
    plan = Plan({}, added, gone, dict(sources), direction)
    for name in _in_import_order(changed, added):
        pause()
        plan.modules[name] = _module_plan(*changed[name], plan.changes, pause)
    _warm(importer, plan, pause)
    plan.changes += [Change(name, "import", name) for name in added]
    plan.changes += [Change(name, "delete", name) for name in gone]
    return plan


def read_imports(importer: Importer, pause: Callable[[], None]) -> None:
    """Learn what each loaded module imports, in slices: who has to follow whom. Known from then on."""
    for version in list(importer.modules.values()):
        if not version.is_read:
            pause()
            version.forget_syntax()


# Internals


def _check_name(importer: Importer, relative: str) -> None:
    if importer.roots.owns_relative(relative):
        return
    if not relative.endswith(".py"):
        raise Refused(
            "is no Python source: a running node cannot load it", kind="extension", path=relative,
            hint="restart the node to change extension modules and other files",
        )  # fmt: skip
    raise Refused(
        f"is not under {', '.join(importer.roots.folders)}: not managed as live code", kind="unmanaged", path=relative,
        hint="restart the node to change the runtime itself or installed packages",
    )  # fmt: skip


def _compile(name: str, relative: str, path: str, text: str, pause: Callable[[], None]) -> ModuleVersion:
    try:
        return ModuleVersion(name, relative, path, text, pause)
    except (SyntaxError, ValueError) as error:
        raise refused_syntax(name, relative, text, error) from None


def _check_deleted(
    importer: Importer, gone: Mapping[str, ModuleVersion], changed: Mapping[str, tuple[Any, ModuleVersion]]
) -> None:
    if not gone:
        return
    staying = {n: v for n, v in importer.modules.items() if n not in gone} | {
        n: v for n, (_, v) in changed.items()
    }
    for name, version in gone.items():
        users = sorted(user for user, other in staying.items() if name in other.imports)
        if users:
            raise Refused(
                f"is deleted, but {', '.join(users[:3])} still {'imports' if len(users) == 1 else 'import'} it",
                kind="deleted", module=name, path=version.relative,
                hint="change these in the same release, or keep the file",
            )  # fmt: skip


def _import_foreign(
    importer: Importer,
    changed: Mapping[str, tuple[ModuleVersion, ModuleVersion]],
    added: Mapping[str, ModuleVersion],
) -> None:
    """Import what is not managed and not imported yet: now, since an import may take its time or block."""
    wanted = [(n, v.imports - o.imports) for n, (o, v) in changed.items()] + [
        (n, v.imports) for n, v in added.items()
    ]
    for name, imports in wanted:
        for other in sorted(imports):
            if not other or other in sys.modules or not _is_foreign(importer, other):
                continue
            try:
                importlib.import_module(other)
            except Exception as error:
                raise Refused(
                    f"import {other}: {type(error).__name__}: {error}", kind="import", module=name,
                ) from error  # fmt: skip


def _is_foreign(importer: Importer, name: str) -> bool:
    """Tell whether `name` is a module that exists and is not managed."""
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        if not _is_foreign(importer, parent):
            return False
        importlib.import_module(parent)
    if parent and not hasattr(sys.modules[parent], "__path__"):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and not (spec.origin and importer.roots.owns(spec.origin))


def _in_import_order(
    changed: Mapping[str, tuple[Any, ModuleVersion]], added: Mapping[str, ModuleVersion]
) -> list[str]:
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:  # done, or a circle: whoever began it comes last, as in a cold start
            return
        seen.add(name)
        version = changed[name][1] if name in changed else added[name]
        for other in version.imports_in_order:
            if other in changed or other in added:
                visit(other)
        if name in changed:  # a new one is imported by whoever needs it, which needs what it imports itself
            order.append(name)

    # sys.modules has them in the order in which their imports ended: who came last entered a circle first.
    ended = {name: number for number, name in enumerate(sys.modules)}
    for name in sorted(changed, key=lambda name: ended.get(name, 0), reverse=True):
        visit(name)
    return order


def _module_plan(
    old: ModuleVersion, new: ModuleVersion, changes: list[Change], pause: Callable[[], None]
) -> ModulePlan:
    pause()
    units = old.units
    pause()
    pairing = pair(units, new.units, pause)
    before, after = old.codes, new.codes
    module = sys.modules.get(new.name)
    namespace = module.__dict__ if module is not None else {}
    plan = ModulePlan(new.name, old, new, [], pairing.removed, frozenset())
    compare = _Comparison(old, new, before, after, plan)
    for number, (was, unit) in enumerate(pairing.pairs):
        if not number % _SLICE:
            pause()
        plan.steps.append(compare.step(was, unit, namespace.get(unit.name), unit.name))
    plan.together = _together(pairing, plan.steps)
    changes += _describe(plan)
    return plan


def _warm(importer: Importer, plan: Plan, pause: Callable[[], None]) -> None:
    """Read the modules that may have to follow, now: the step has no time for it."""
    moving = {
        name for name, m in plan.modules.items()
        if m.reshaped or any(s.verdict in (Verdict.EXECUTE, Verdict.CLASS) for s in m.steps)
    }  # fmt: skip
    open_ = list(moving)
    while open_:
        base = open_.pop()
        for name, version in importer.modules.items():
            if name not in moving and name not in plan.modules and base in version.imports:
                moving.add(name)
                open_.append(name)
                plan.followers.append(name)
                pause()
                _ = version.units


class _Comparison:
    """Two versions of a module, statement by statement."""

    def __init__(
        self,
        old: ModuleVersion,
        new: ModuleVersion,
        before: codes.Index,
        after: codes.Index,
        plan: ModulePlan,
    ) -> None:
        self.old, self.new, self.before, self.after, self.plan = old, new, before, after, plan
        self.other_future = codes.flags_of(old.code) != codes.flags_of(new.code)

    def step(self, was: Unit | None, unit: Unit, living: Any, qualname: str) -> Step:
        verdict = self._verdict(was, unit, living)
        step = Step(verdict, was, unit)
        if verdict is Verdict.CLASS:
            assert was is not None
            step.class_plan = self._class_plan(was, unit, living, qualname)
        elif verdict in (Verdict.KEEP, Verdict.SWAP):
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
            and (unit.is_function or unit.is_class or isinstance(unit.node, ast.AnnAssign))
        ):
            return Verdict.EXECUTE
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
        for x, y in zip(syntax.functions_in(a), syntax.functions_in(b), strict=False):
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
        pairing = pair(self.old.body_of(was.node), self.new.body_of(unit.node))
        steps = []
        for before, after in pairing.pairs:
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


_SHAPING = frozenset(
    {
        "__class_getitem__", "__eq__", "__ge__", "__gt__", "__hash__", "__init__", "__init_subclass__", "__le__", "__lt__",
        "__match_args__", "__new__", "__post_init__", "__repr__", "__setattr__", "__delattr__", "__getstate__", "__setstate__",
    }
)  # fmt: skip
"""Members that a decorator or metaclass looks at, or makes itself when they are missing."""


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
