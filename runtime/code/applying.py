"""One module of the release, brought up to date statement by statement, in the step.

Before it, functions of which only the body differs have their new code already; after it, `following` lets others follow.
"""

from __future__ import annotations

import builtins
import sys
from importlib.machinery import ModuleSpec, NamespaceLoader
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .classes import change_class
from .following import follow_unit, reached
from .plan import ModulePlan, Step, Verdict
from .registries import unregister
from .spread import take_by_star
from .statements import annotate, run_statement, undo_statement
from .units import unannotated
from .version import ModuleVersion

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["apply", "empty_package", "fill_package", "turn_package"]

_OF_THE_MODULE = frozenset(
    {"__annotations__", "__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)  # fmt: skip


def apply(commit: Commit, module: ModulePlan) -> bool:
    """Bring one module of the release up to date. Return whether its own statements may have to follow once more: a name has
    another meaning since they ran.
    """
    living = sys.modules[module.name]
    namespace = living.__dict__
    commit.journal.namespace(namespace)
    for name in module.reshaped:
        commit.mark(module.name, name)
    last = {name: step.unit for step in module.steps for name in step.unit.names if name in module.together}
    units = [step.unit for step in module.steps if step.verdict in (Verdict.KEEP, Verdict.SWAP)]
    moving = {name for step in module.steps if step.verdict is Verdict.EXECUTE for name in step.unit.names}
    _uncover(commit, module, namespace)
    together = module.together | reached(commit, module.new, units, namespace, moving)
    for step in module.steps:
        later = {name for name in step.unit.names if last.get(name, step.unit) is not step.unit}
        _take(commit, module.new, step, namespace, together, later)
    still = {name for step in module.steps for name in step.unit.names}
    come = False
    for unit in module.removed:
        for name in unit.names:
            if name in still or name not in namespace or name in _OF_THE_MODULE:
                continue
            if _is_submodule(namespace[name], f"{module.name}.{name}"):  # an attribute by its own import, too
                continue
            commit.removed.setdefault(module.name, {})[name] = gone = namespace.pop(name)
            commit.note(module.name, "delete", name)
            if unit.is_class or getattr(unit.node, "decorator_list", None):
                unregister(commit, gone)
            come = take_by_star(commit, module.new, name) or come
        undo_statement(commit, unit, namespace)
    _tidy(commit, module, namespace)
    return come


def fill_package(commit: Commit, version: ModuleVersion) -> None:
    """A folder that was imported without an `__init__` gets one: it fills the module that is there."""
    living = sys.modules.get(version.name)
    if living is None or version.name in commit.importer.modules:
        return
    namespace = living.__dict__
    commit.journal.namespace(namespace)
    _introduce(commit, version, namespace)
    exec(version.code, namespace)  # noqa: S102 - the program's own source
    commit.importer.modules[version.name] = version
    for name in namespace.keys() - commit.journal.namespace(namespace).keys():
        commit.mark(version.name, name)


def empty_package(commit: Commit, name: str) -> None:
    """The way back from `fill_package`: nothing is left but the modules within."""
    namespace = sys.modules[name].__dict__
    commit.journal.namespace(namespace)
    for own, value in list(namespace.items()):
        if _is_submodule(value, f"{name}.{own}") or own in (
            "__builtins__",
            "__name__",
            "__package__",
            "__path__",
        ):
            continue
        del namespace[own]
        if isinstance(value, (type, FunctionType)) and value.__module__ == name:
            unregister(commit, value)
    spec = ModuleSpec(name, NamespaceLoader(name, [], lambda *_: None), is_package=True)
    spec.submodule_search_locations = namespace["__path__"]
    namespace.update(__doc__=None, __spec__=spec, __loader__=spec.loader)


def turn_package(commit: Commit, module: ModulePlan) -> None:
    """A module that becomes a package, or one that becomes a module: before anything of the release imports from it."""
    if module.old.path == module.new.path:
        return
    namespace = sys.modules[module.name].__dict__
    commit.journal.namespace(namespace)
    _introduce(commit, module.new, namespace)


# Internals


def _introduce(commit: Commit, version: ModuleVersion, namespace: dict[str, Any]) -> None:
    """Let a living module be what the import system makes of a file in another place."""
    spec = commit.importer.find_spec(version.name, _path_of_parent(version.name))
    if spec is None or spec.origin != version.path:
        return
    namespace.update(
        __spec__=spec,
        __loader__=spec.loader,
        __file__=spec.origin,
        __cached__=spec.cached,
        __package__=spec.parent,
    )
    if spec.submodule_search_locations is not None:
        namespace["__path__"] = spec.submodule_search_locations
    else:
        namespace.pop("__path__", None)


def _path_of_parent(name: str) -> Any:
    parent = sys.modules.get(name.rpartition(".")[0])
    return getattr(parent, "__path__", None)


def _take(
    commit: Commit,
    version: ModuleVersion,
    step: Step,
    namespace: dict[str, Any],
    together: frozenset[str],
    later: set[str],
) -> None:
    unit = step.unit
    if step.class_plan is not None:
        cls: Any = namespace.get(unit.name)
        was: Any = commit.journal.namespace(namespace).get(unit.name)
        if isinstance(cls, type) and was is cls:
            change_class(commit, version, step.class_plan, cls, namespace)
        else:
            run_statement(commit, version, unit, namespace, later)
    elif step.verdict is Verdict.ANNOTATE:
        annotate(commit, version, unit, namespace)
    elif step.verdict is Verdict.EXECUTE:
        run_statement(commit, version, step.part or unit, namespace, later)
        commit.note(version.name, "define" if unit.is_function or unit.is_class else "execute", unit.name or unit.kind, unit.node.lineno)  # fmt: skip
    elif version.keep and version.keep.issuperset(unit.names) and unit.names:
        return
    elif not together.isdisjoint(unit.names):
        run_statement(commit, version, unit, namespace, later)
    else:
        follow_unit(commit, version, unit, namespace)


def _uncover(commit: Commit, module: ModulePlan, namespace: dict[str, Any]) -> None:
    """A name that hid a built-in goes first: what is made with it is made with the built-in now."""
    still = {name for step in module.steps for name in step.unit.names}
    for unit in module.removed:
        for name in unit.names:
            if name in namespace and name not in still and hasattr(builtins, name):
                commit.removed.setdefault(module.name, {})[name] = namespace.pop(name)
                commit.mark(module.name, name)


def _tidy(commit: Commit, module: ModulePlan, namespace: dict[str, Any]) -> None:
    """What a module says about itself: its doc, and the annotations of variables that are gone."""
    first = module.new.units[0].node if module.new.units else None
    doc = _docstring(first)
    if doc != _docstring(module.old.units[0].node if module.old.units else None):
        namespace["__doc__"] = doc
    annotations = namespace.get("__annotations__")
    if annotations is not None:
        old = [*module.removed, *(step.old for step in module.steps if step.old)]
        gone = unannotated(old, [step.unit for step in module.steps])
        commit.journal.container(annotations)
        for name in gone:
            annotations.pop(name, None)
        if gone and not annotations:
            del namespace["__annotations__"]


def _is_submodule(value: Any, name: str) -> bool:
    return isinstance(value, ModuleType) and value.__name__ == name and sys.modules.get(name) is value


def _docstring(node: Any) -> str | None:
    value = getattr(getattr(node, "value", None), "value", None)
    return value if isinstance(value, str) and type(node).__name__ == "Expr" else None
