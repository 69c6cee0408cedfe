"""The step: a planned release becomes live, all of it or nothing.

It runs in one callback of the loop, where no process runs and nothing can wait: gevent itself raises when something
tries to block there. Order:

    1. on the way down, process states are migrated first: the newer code knows how
    2. functions of which only the body or the lines differ get their new code, in all modules
    3. module by module, in the order of imports: changed statements run, classes are merged, what is derived follows
    4. modules that import something that changed: what is derived there follows, until nothing more does
    5. deleted modules leave; `__reload__` of instances and `__selfcheck__` of modules run
    6. on the way up, process states are migrated

Whatever fails, the journal takes everything back, within the same callback.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import sys
from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Protocol

from runtime import kernel

from .blocks import dependent_part, is_quiet
from .classes import change_class, follow_class
from .errors import Refused, said
from .failure import forget_imports, line_in, refusal_of
from .functions import FORWARD, swap, update_docs
from .heap import Heap
from .importer import Importer, show_source
from .journal import MISSING, Journal
from .merge import renew_instance_checks
from .plan import Change, ModulePlan, Plan, Step, Verdict
from .purity import is_pure
from .registries import Twin, exchange, unregister
from .snapshot import Snapshot
from .spread import namespace_of, spread, take_by_star
from .statements import annotate, dependencies, run_statement, undo_statement
from .structs import Remaking
from .units import Unit, bound_together, unannotated
from .version import ModuleVersion

__all__ = ["Commit", "Kept", "Migration"]

_OF_THE_MODULE = frozenset(
    {"__annotations__", "__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)  # fmt: skip
_LONGEST = 5.0
"""Seconds that the code of a release may take in the step: top levels, decorators, self-checks, code_change."""
_ROUNDS = 20
"""Times that changes may travel round a circle of imports."""


class Kept(NamedTuple):
    """A value that was made from something that changed, and was not made again: making it may have effects."""

    module: str
    name: str
    line: int
    because: str


class Migration(Protocol):
    """The processes whose states change their shape; see `processes`."""

    def migrate(self, journal: Journal, direction: str, extra: Any) -> int:
        """Bring all states into their new form, or raise; return how many."""


class Commit:
    """One release on its way into the living program. Used once."""

    def __init__(self, importer: Importer, plan: Plan, heap: Heap) -> None:
        self.journal = Journal()
        self.importer = importer
        self.plan = plan
        self.heap = heap
        self.changed: dict[str, set[str]] = {}
        """Names that mean another object now, by module."""
        self.replaced: dict[str, set[str]] = {}
        """Those of them that are classes whose instances stay with the old one."""
        self.removed: dict[str, dict[str, Any]] = {}
        self.class_attributes: set[tuple[type, str]] = set()
        self.at_rest = False
        """Whether all processes rest that have to do with classes whose instances change their layout."""
        self.structs: dict[type, type] = {}
        """Structs that were replaced while instances are alive."""
        self.twins: list[Twin] = []
        """Definitions that ran again, which some registry may have caught."""
        self.tables: Snapshot | None = None
        """What is in the tables within reach of the program; None: nothing has run yet that could fill one."""
        self.remade: list[type] = []
        """Classes that were made anew: what decorators made for classes derived from them is made again, too."""
        self.changes: list[Change] = []
        self.kept: dict[tuple[str, str], Kept] = {}
        self.warnings: list[str] = []
        self.retired: list[tuple[CodeType | type, str, str]] = []
        """Code that is old now, and classes that were removed: (code, module, version's sha)."""
        self.migrated = 0
        self.limit = _LONGEST
        """Seconds after which code that runs in the step is ended, and the release refused."""
        self.selfchecks = True
        """Whether `__selfcheck__` runs in the step; not when it did aside."""
        self._edited: set[int] = set()
        versions = {**importer.modules, **{n: m.new for n, m in plan.modules.items()}, **plan.added}
        self.importers = _importers(versions)
        self._versions = versions
        self._imported = {name: version.imports - {name} for name, version in versions.items()}

    # ------------------------------------------------------------------------------------------------- the step

    def run(self, migration: Migration | None = None, extra: Any = None) -> None:
        """Do it. Runs in the hub. Raises Refused, with nothing changed."""
        before, loaded = dict(self.importer.modules), set(sys.modules)
        self.journal.undo(self.importer.modules.update, before)
        self.journal.undo(self.importer.modules.clear)
        self.importer.stage(self.plan.sources)
        try:
            with kernel.limited(self.limit):
                self._run(migration, extra)
        except BaseException as error:
            self.journal.roll_back()
            forget_imports(self.importer.roots, loaded)
            if isinstance(error, (Refused, KeyboardInterrupt)):
                raise
            # Also of a SystemExit: what is loaded does not end the node.
            versions = [
                *(m.new for m in self.plan.modules.values()),
                *self.plan.added.values(),
                *before.values(),
            ]
            raise refusal_of(error, versions, self.limit) from error
        finally:
            self.importer.stage({})
            self.heap.functions.clear()
        for plan in self.plan.modules.values():
            show_source(plan.new)
        for version in self.plan.deleted.values():
            linecache.cache.pop(version.path, None)

    def _run(self, migration: Migration | None, extra: Any) -> None:
        plan = self.plan
        self._check_base()
        self.heap.look_again()
        if migration is not None and plan.direction == "down":
            self.migrated = migration.migrate(self.journal, "down", extra)
        for version in plan.added.values():
            self._fill_package(version)
        for module in plan.modules.values():
            self._swap(module)
        seen: dict[str, int] = {}
        for module in plan.modules.values():
            self._apply(module)
            spread(self, module.name)
            self.importer.modules[module.name] = module.new
            seen[module.name] = self._news(module.name)
        for name in plan.added:  # made of what is in force now
            seen[name] = self._news(name)
        self._remake()
        self._follow(seen)
        for name in plan.deleted:
            self._delete_module(name)
        exchange(self)
        renew_instance_checks(self)
        if self.structs:
            remaking = Remaking(self, self.structs)
            for holder in self.heap.take_holders():
                remaking.exchange(holder)
            for process in kernel.processes():  # mail has come since the walk passed their boxes
                for box in kernel.mailboxes(process):
                    for message in box:
                        if isinstance(message, (kernel.Call, kernel.Cast)):
                            remaking.exchange(message)
                    remaking.exchange(box)
        self._clear_caches()
        self._reload_instances()
        if self.selfchecks and plan.direction == "up":  # the way back must not hang on one
            for name in plan.modules:
                self._check(name)
        if migration is not None and plan.direction == "up":
            self.migrated = migration.migrate(self.journal, "up", extra)

    def _check_base(self) -> None:
        """The plan was made for what ran then. Somebody may have imported one of its modules since, in its old form."""
        running = self.importer.modules
        for name, module in self.plan.modules.items():
            if running.get(name) is not module.old:
                raise _stale(name, module.new)
        for name, version in self.plan.added.items():
            if name in running and running[name].source != version.source:
                raise _stale(name, version)

    # ------------------------------------------------------------------------------------------------- notes

    def mark(self, module: str, name: str, *, replaced: bool = False) -> None:
        """Note that a name means another object from now on."""
        self.changed.setdefault(module, set()).add(name)
        if replaced:
            self.replaced.setdefault(module, set()).add(name)

    def note(self, module: str, kind: str, name: str, line: int | None = None) -> None:
        self.changes.append(Change(module, kind, name, line))

    def keep(self, module: str, name: str, unit: Unit) -> None:
        """Note that a derived value is kept."""
        because = (
            ", ".join(sorted(self.changed.get(module, set()) & unit.value_loads)) or "what it is made from"
        )
        self.kept[module, name] = Kept(module, name, unit.node.lineno, because)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def retire(self, code: CodeType, fn: FunctionType) -> None:
        """Note that `code` is old: frames that began with it may linger."""
        self._edited.add(id(fn))
        if code.co_filename == FORWARD:
            return
        module = fn.__globals__.get("__name__", "")
        plan = self.plan.modules.get(module)
        version = plan.old if plan is not None else self.importer.modules.get(module)
        if version is not None:
            self.retired.append((code, module, version.sha))

    def version(self, module: str) -> ModuleVersion:
        """Return what a module is after this release."""
        return self._versions[module]

    # ------------------------------------------------------------------------------------------------- parts

    def _swap(self, module: ModulePlan) -> None:
        for old, new in module.swaps:
            for fn in self.heap.functions.get(id(old), ()):
                if fn.__code__ is old:
                    doc = fn.__doc__
                    swap(self, fn, old, new)
                    if fn.__doc__ != doc:
                        update_docs(self, _named(module.name, fn.__qualname__), fn, doc)

    def _apply(self, module: ModulePlan) -> None:
        """Bring one module of the release up to date."""
        living = sys.modules[module.name]
        namespace = living.__dict__
        self.journal.namespace(namespace)
        for name in module.reshaped:
            self.mark(module.name, name)
        last = {
            name: step.unit for step in module.steps for name in step.unit.names if name in module.together
        }
        units = [step.unit for step in module.steps if step.verdict in (Verdict.KEEP, Verdict.SWAP)]
        moving = {
            name for step in module.steps if step.verdict is Verdict.EXECUTE for name in step.unit.names
        }
        self._uncover(module, namespace)
        together = module.together | self._reached(module.new, units, namespace, moving)
        for step in module.steps:
            later = {name for name in step.unit.names if last.get(name, step.unit) is not step.unit}
            self._take(module.new, step, namespace, together, later)
        still = {name for step in module.steps for name in step.unit.names}
        for unit in module.removed:
            for name in unit.names:
                if name in still or name not in namespace or name in _OF_THE_MODULE:
                    continue
                if _is_submodule(
                    namespace[name], f"{module.name}.{name}"
                ):  # an attribute by its own import, too
                    continue
                self.removed.setdefault(module.name, {})[name] = gone = namespace.pop(name)
                self.note(module.name, "delete", name)
                if unit.is_class or getattr(unit.node, "decorator_list", None):
                    unregister(self, gone)
                take_by_star(self, module.new, name)
            undo_statement(self, unit, namespace)
        self._tidy(module, namespace)

    def _uncover(self, module: ModulePlan, namespace: dict[str, Any]) -> None:
        """A name that hid a built-in goes first: what is made with it is made with the built-in now."""
        still = {name for step in module.steps for name in step.unit.names}
        for unit in module.removed:
            for name in unit.names:
                if name in namespace and name not in still and hasattr(builtins, name):
                    self.removed.setdefault(module.name, {})[name] = namespace.pop(name)
                    self.mark(module.name, name)

    def _fill_package(self, version: ModuleVersion) -> None:
        """A folder that was imported without an `__init__` gets one: it fills the module that is there."""
        living = sys.modules.get(version.name)
        if living is None or version.name in self.importer.modules:
            return
        namespace = living.__dict__
        self.journal.namespace(namespace)
        spec = self.importer.find_spec(version.name)
        if spec is not None:
            namespace.update(
                __spec__=spec,
                __loader__=spec.loader,
                __file__=version.path,
                __path__=spec.submodule_search_locations or [],
            )
        exec(version.code, namespace)  # noqa: S102 - the program's own source
        self.importer.modules[version.name] = version
        for name in namespace.keys() - self.journal.namespace(namespace).keys():
            self.mark(version.name, name)

    def _remake(self) -> None:
        """Dataclasses derived from a dataclass that was made anew have its fields in their constructors."""
        sub: type
        for cls in self.remade:  # grows meanwhile
            for sub in type.__subclasses__(cls):
                version = self.importer.modules.get(sub.__module__)
                namespace = namespace_of(sub.__module__)
                if "__dataclass_fields__" not in sub.__dict__ or version is None or namespace is None:
                    continue
                if namespace.get(sub.__name__) is not sub or sub in self.remade:
                    continue
                for unit in version.units:
                    if unit.is_class and unit.name == sub.__name__:
                        self.journal.namespace(namespace)
                        follow_class(self, version, unit, sub, namespace, remake=True)

    def _take(
        self,
        version: ModuleVersion,
        step: Step,
        namespace: dict[str, Any],
        together: frozenset[str],
        later: set[str],
    ) -> None:
        unit = step.unit
        if step.class_plan is not None:
            cls: Any = namespace.get(unit.name)
            was: Any = self.journal.namespace(namespace).get(unit.name)
            if isinstance(cls, type) and was is cls:
                change_class(self, version, step.class_plan, cls, namespace)
            else:
                run_statement(self, version, unit, namespace, later)
        elif step.verdict is Verdict.ANNOTATE:
            annotate(self, version, unit, namespace)
        elif step.verdict is Verdict.EXECUTE:
            run_statement(self, version, unit, namespace, later)
            self.note(version.name, "define" if unit.is_function or unit.is_class else "execute", unit.name or unit.kind, unit.node.lineno)  # fmt: skip
        elif version.keep and version.keep.issuperset(unit.names) and unit.names:
            return
        elif not together.isdisjoint(unit.names):
            run_statement(self, version, unit, namespace, later)
        else:
            self._follow_unit(version, unit, namespace)

    def _follow_unit(self, version: ModuleVersion, unit: Unit, namespace: dict[str, Any]) -> None:
        """A statement that stands as it was: run it again if it is made from something that changed and may run."""
        depends, replaced = dependencies(self, version.name, unit, namespace)
        if not depends:
            return
        if version.keep and version.keep.issuperset(unit.names) and unit.names:
            return
        if unit.is_assignment:
            value = unit.node.value  # type: ignore[attr-defined]
            if not replaced and value is not None and not is_pure(value, namespace):
                self.keep(version.name, unit.name, unit)
                return
        elif unit.is_class:
            cls = namespace.get(unit.name)
            if isinstance(cls, type):
                follow_class(self, version, unit, cls, namespace)
                return
        elif isinstance(unit.node, (ast.If, ast.Try)):
            if not (isinstance(unit.node, ast.If) and self._decides_otherwise(version, unit.node, namespace)):
                part = dependent_part(self, version.name, unit, namespace)
                if part is None and is_pure(getattr(unit.node, "test", unit.node), namespace):
                    return
                if part is None and not is_quiet(unit.node, namespace):
                    self.keep(version.name, unit.name or unit.kind.lower(), unit)
                    return
                unit = part or unit
        elif not unit.is_function:
            if not unit.kind.startswith("Import"):
                self.keep(version.name, unit.name or unit.kind.lower(), unit)
            return
        run_statement(self, version, unit, namespace)
        self.note(version.name, "follow", unit.name, unit.node.lineno)

    def _reached(
        self, version: ModuleVersion, units: Sequence[Unit], namespace: dict[str, Any], moving: set[str]
    ) -> frozenset[str]:
        """Return the names that several statements bind, one of which follows a change: all of these run again, or none.

        `moving`: names that change for certain. So that `X = [A]` is there once more for `X += [B]` when B has changed.
        """
        several = bound_together(units)
        binders = [unit for unit in units if not several.isdisjoint(unit.names)]
        if not binders:
            return frozenset()
        for unit in units:  # in order: what follows now makes others follow
            if (
                not moving.isdisjoint(unit.value_loads)
                or dependencies(self, version.name, unit, namespace)[0]
            ):
                moving = moving.union(unit.names)
        reached = {name for unit in binders for name in unit.names if name in moving}
        for unit in binders:
            value = getattr(unit.node, "value", None)
            if unit.is_assignment and value is not None and not is_pure(value, namespace):
                reached.difference_update(unit.names)
        return several & reached

    def _decides_otherwise(self, version: ModuleVersion, node: ast.If, namespace: dict[str, Any]) -> bool:
        """Tell whether a condition at the top level has another outcome than it had: then the other branch counts."""
        if not is_pure(node.test, namespace):
            return False
        test = compile(ast.Expression(node.test), version.path, "eval", dont_inherit=True)
        before = self.journal.namespace(namespace)
        return bool(eval(test, dict(before))) != bool(eval(test, namespace))  # noqa: S307 - the program's own source

    def _follow(self, seen: dict[str, int]) -> None:
        """Let modules follow what changed in those that they import, until nothing does any more."""
        for _ in range(_ROUNDS):
            behind = [name for name in self.importer.modules if self._news(name) != seen.get(name, 0)]
            if not behind:
                return
            for name in behind:
                namespace = namespace_of(name)
                if namespace is None:
                    seen[name] = self._news(name)
                    continue
                version = self.importer.modules[name]
                self.journal.namespace(namespace)
                together = self._reached(version, version.units, namespace, set())
                last = {name: unit for unit in version.units for name in unit.names if name in together}
                for unit in version.units:
                    if together.isdisjoint(unit.names):
                        self._follow_unit(version, unit, namespace)
                    else:
                        later = {name for name in unit.names if last.get(name, unit) is not unit}
                        run_statement(self, version, unit, namespace, later)
                seen[name] = self._news(name)  # what it has just changed itself is no news to it
                spread(self, name)

    def _news(self, name: str) -> int:
        """Count what a module has to follow: its own changed names, and those of modules that it imports as such."""
        own = len(self.changed.get(name, ())) + len(self.replaced.get(name, ()))
        imported = self._imported.get(name, frozenset())  # one that this very step imports is new anyway
        classes = sum(
            cls.__module__ in imported or cls.__module__ == name for cls, _ in self.class_attributes
        )
        return own + classes + sum(len(self.changed[other]) for other in imported & self.changed.keys())

    def _tidy(self, module: ModulePlan, namespace: dict[str, Any]) -> None:
        """What a module says about itself: its doc, and the annotations of variables that are gone."""
        first = module.new.units[0].node if module.new.units else None
        doc = _docstring(first)
        if doc != _docstring(module.old.units[0].node if module.old.units else None):
            namespace["__doc__"] = doc
        annotations = namespace.get("__annotations__")
        if annotations is not None:
            old = [*module.removed, *(step.old for step in module.steps if step.old)]
            gone = unannotated(old, [step.unit for step in module.steps])
            self.journal.container(annotations)
            for name in gone:
                annotations.pop(name, None)
            if gone and not annotations:
                del namespace["__annotations__"]

    def _delete_module(self, name: str) -> None:
        module = sys.modules.get(name)
        self.importer.modules.pop(name, None)
        if module is None:
            return
        self.journal.undo(sys.modules.__setitem__, name, module)
        del sys.modules[name]
        for value in list(module.__dict__.values()):
            if isinstance(value, (type, FunctionType)) and value.__module__ == name:
                unregister(self, value)
        parent, _, leaf = name.rpartition(".")
        namespace = namespace_of(parent)
        if namespace is not None and namespace.get(leaf) is module:
            self.journal.item(namespace, leaf, MISSING)

    def _clear_caches(self) -> None:
        """What functools caches keep of a function that changed is stale."""
        for cache in self.heap.caches:
            if id(getattr(cache, "__wrapped__", None)) in self._edited:
                cache.cache_clear()
        self.heap.caches.clear()

    def _reload_instances(self) -> None:
        """Instances of a changed class that wants to know: `__reload__(self, old_vsn)`."""
        for module in self.plan.modules.values():
            namespace = namespace_of(module.name) or {}
            for step in module.steps:
                cls = namespace.get(step.unit.name)
                if step.class_plan is None or not isinstance(cls, type) or "__reload__" not in cls.__dict__:
                    continue
                for instance in self.heap.instances(cls):
                    if hasattr(instance, "__dict__"):
                        self.journal.container(instance.__dict__)
                    instance.__reload__(module.old.vsn)

    def _check(self, name: str) -> None:
        check = sys.modules[name].__dict__.get("__selfcheck__")
        if check is None:
            return
        try:
            check()
        except Exception as error:
            raise Refused(
                f"its self-check failed: {said(error)}", kind="selfcheck", module=name,
                path=self.plan.modules[name].new.relative, line=line_in(error, self.plan.modules[name].new.path),
            ) from error  # fmt: skip


# Internals


def _importers(versions: Mapping[str, ModuleVersion]) -> dict[str, list[tuple[str, str, str]]]:
    """Who has names of a module: module -> (importer, name there, name here)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, version in versions.items():
        for base, original, local in version.bindings:
            found.setdefault(base, []).append((name, original, local))
    return found


def _is_submodule(value: Any, name: str) -> bool:
    return isinstance(value, ModuleType) and value.__name__ == name and sys.modules.get(name) is value


def _docstring(node: Any) -> str | None:
    value = getattr(getattr(node, "value", None), "value", None)
    return value if isinstance(value, str) and type(node).__name__ == "Expr" else None


def _named(module: str, qualname: str) -> Any:
    """Return what stands under a function's qualified name now: itself, or a wrapper around it."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        if isinstance(found, (ModuleType, type)):
            found = found.__dict__.get(part)
        else:
            return None
    return found


def _stale(name: str, version: ModuleVersion) -> Refused:
    return Refused(
        "was loaded or changed while the release was being prepared", kind="base", module=name, path=version.relative,
        hint="push it again",
    )  # fmt: skip
