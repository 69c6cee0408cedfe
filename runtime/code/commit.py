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

import linecache
import sys
from collections.abc import Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Protocol

from runtime import kernel

from .applying import apply, empty_package, fill_package, turn_package
from .errors import Refused, said
from .failure import forget_imports, line_in, refusal_of
from .following import follow, news, remake
from .forwarding import FORWARD
from .functions import swap, update_docs
from .heap import Heap
from .importer import Importer, show_source
from .journal import MISSING, Journal
from .merge import renew_instance_checks
from .plan import Change, ModulePlan, Plan
from .registries import Twin, exchange, unregister
from .snapshot import Snapshot
from .spread import namespace_of, spread
from .structs import Remaking
from .units import Unit
from .version import ModuleVersion

__all__ = ["Commit", "Kept", "Migration"]

_LONGEST = 5.0
"""Seconds that the code of a release may take in the step: top levels, decorators, self-checks, code_change."""


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
        self.since = 0.0
        """When the step was taken, by the kernel's clock."""
        self.limit = _LONGEST
        """Seconds after which code that runs in the step is ended, and the release refused."""
        self.selfchecks = True
        """Whether `__selfcheck__` runs in the step; not when it did aside."""
        self._edited: set[int] = set()
        versions = {**importer.modules, **{n: m.new for n, m in plan.modules.items()}, **plan.added}
        self.importers = _importers(versions)
        self._versions = versions
        self.imported = {name: version.imports - {name} for name, version in versions.items()}

    # ------------------------------------------------------------------------------------------------- the step

    def run(self, migration: Migration | None = None, extra: Any = None) -> None:
        """Do it. Runs in the hub. Raises Refused, with nothing changed."""
        before, loaded = dict(self.importer.modules), set(sys.modules)
        self.journal.undo(self.importer.modules.update, before)
        self.journal.undo(self.importer.modules.clear)
        self.importer.stage(self.plan.sources, self.plan.added)
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
            self.importer.stage({}, {})
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
        for module in plan.modules.values():
            turn_package(self, module)
        for version in plan.added.values():
            fill_package(self, version)
        for module in plan.modules.values():
            self._swap(module)
        seen: dict[str, int] = {}
        for module in plan.modules.values():
            has_more = apply(self, module)
            spread(self, module.name)
            self.importer.modules[module.name] = module.new
            seen[module.name] = 0 if has_more else news(self, module.name)
        for name in plan.added:  # made of what is in force now
            seen[name] = news(self, name)
        remake(self)
        follow(self, seen)
        for name in plan.deleted:
            self._delete_module(name)
        exchange(self)
        renew_instance_checks(self)
        if self.structs:
            remaking = Remaking(self, self.structs)
            for holder in self.heap.take_holders():
                remaking.exchange(holder)
            for process in kernel.processes():  # mail has come since the walk passed their boxes
                if not (
                    process.cur
                    or process.q
                    or process.behaviour.__class__ is kernel.Gate
                    or _keeps_mail(process)
                ):
                    continue
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

    def _delete_module(self, name: str) -> None:
        module = sys.modules.get(name)
        self.importer.modules.pop(name, None)
        if module is None:
            return
        staying = self.importer.modules.keys() - self.plan.deleted.keys()
        if any(other.startswith(f"{name}.") for other in staying):
            empty_package(self, name)
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


def _keeps_mail(process: kernel.Process) -> bool:
    return getattr(process.control, "held", None) is not None


def _importers(versions: Mapping[str, ModuleVersion]) -> dict[str, list[tuple[str, str, str]]]:
    """Who has names of a module: module -> (importer, name there, name here)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, version in versions.items():
        for base, original, local in version.bindings:
            found.setdefault(base, []).append((name, original, local))
    return found


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
