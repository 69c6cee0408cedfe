"""Running one statement of the new source in the living module, and merging what it binds into what was there.

The statement is compiled alone, at its own lines, and executed in the module's own namespace: globals are right by
birth. Then each name that it bound is settled: if the old thing can become the new one it stays, with all who hold it;
if not, the new one takes the name, old functions forward to it, and those who imported the name get it too.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Collection, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from . import codes
from .forwarding import forward, inside, lead_bodies_on, lead_on, origin
from .merge import merge_class, move_class
from .functions import is_elsewhere, patch, redecorated, wraps_own
from .journal import MISSING
from .registries import become, may_leak, remember, suspect
from .removed import has_moved, retire_removed
from .spread import propagate
from .structs import is_struct
from .units import Unit, definition_of
from .version import ModuleVersion

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["annotate", "compile_statement", "dependencies", "run_statement", "settle", "undo_statement"]

CONTAINERS = (dict, list, set)
_ATOMS = (int, float, complex, str, bytes, bool, type(None))
_LRU = type(functools.lru_cache(lambda: None))


def compile_statement(version: ModuleVersion, node: ast.stmt) -> CodeType:
    """Compile one statement, with the functions' code objects of the whole file in it.

    So a function is made of the very code that a cold start makes it of (the compiler of 3.11 treats calls on names that
    are imported at the top differently), and that a later release looks for.
    """
    tree = ast.Module(body=[node], type_ignores=[])
    code: CodeType = compile(tree, version.path, "exec", flags=version.flags, dont_inherit=True)
    return codes.with_functions_of(code, version.codes)


def run_statement(
    commit: Commit, version: ModuleVersion, unit: Unit, namespace: dict[str, Any], later: Collection[str] = ()
) -> None:
    """Execute `unit` in the living module and settle what it binds, but for the names that are bound again `later`."""
    before = commit.journal.namespace(namespace)
    # What an earlier statement of this very release has made was not there before it, but others may have it already. A
    # function bound over another (`def _` for each registration) is another, as in a cold start.
    begun = {
        name: namespace[name]
        for name in unit.names
        if name in namespace and name not in before and not isinstance(namespace[name], FunctionType)
    }
    remember(commit)
    save_containers(commit, unit.loads.union(unit.names), namespace)
    if "__annotations__" in namespace and isinstance(unit.node, ast.AnnAssign):
        commit.journal.container(namespace["__annotations__"])
    exec(compile_statement(version, unit.node), namespace)  # noqa: S102 - the program's own source
    for name in dict.fromkeys(unit.names):
        old, new = before.get(name, begun.get(name, MISSING)), namespace.get(name, MISSING)
        if new is MISSING or old is new:
            continue
        made = unit if isinstance(new, type) and is_struct(new) else definition_of(unit, name)
        decorated = bool(getattr(made.node, "decorator_list", None))
        if decorated:  # it may have put it somewhere that is not remembered
            suspect(commit, new, old)
        if old is MISSING:  # new; or a scratch name, which is deleted at the end of the top level
            commit.mark(version.name, name)
        elif name not in later:
            settle(commit, version, made, name, old, new, namespace)


def save_containers(commit: Commit, names: Iterable[str], namespace: dict[str, Any]) -> None:
    """A statement may fill the tables that it reads, however large: remember what they hold."""
    for name in names:
        value = namespace.get(name)
        if type(value) in CONTAINERS:
            commit.journal.container(value)


def annotate(commit: Commit, version: ModuleVersion, unit: Unit, namespace: dict[str, Any]) -> None:
    """Evaluate the annotation of a variable, and leave its value alone."""
    assert isinstance(unit.node, ast.AnnAssign)
    bare = ast.AnnAssign(unit.node.target, unit.node.annotation, None, unit.node.simple)
    ast.copy_location(bare, unit.node)
    commit.journal.namespace(namespace)
    if "__annotations__" in namespace:
        commit.journal.container(namespace["__annotations__"])
    exec(compile_statement(version, bare), namespace)  # noqa: S102


def undo_statement(commit: Commit, unit: Unit, namespace: dict[str, Any]) -> None:
    """A statement is gone from the source: take back an item that it put into a table, which binds no name. The code of
    a function that has left is old.
    """
    node = unit.node
    if unit.is_function:
        retire_removed(commit, commit.removed.get(namespace["__name__"], {}).get(unit.name))
    if not (
        isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript)
    ):
        return
    target = node.targets[0]
    if isinstance(target.value, ast.Name) and isinstance(target.slice, ast.Constant):
        table = namespace.get(target.value.id)
        if type(table) is dict and target.slice.value in table:
            commit.journal.item(table, target.slice.value, MISSING)


def dependencies(commit: Commit, module: str, unit: Unit, namespace: dict[str, Any]) -> tuple[bool, bool]:
    """Tell whether the statement was made from something that has changed, and whether from a class that was replaced."""
    changed = commit.changed.get(module)
    replaced = commit.replaced.get(module)
    if replaced and not replaced.isdisjoint(unit.value_loads):
        return True, True
    if changed and not changed.isdisjoint(unit.value_loads):
        return True, False
    if commit.changed or commit.class_attributes:
        for name, attribute in unit.attribute_loads:
            owner = namespace.get(name)
            if isinstance(owner, ModuleType):
                if attribute in commit.replaced.get(owner.__name__, ()):
                    return True, True
                if attribute in commit.changed.get(owner.__name__, ()):
                    return True, False
            elif isinstance(owner, type) and (owner, attribute) in commit.class_attributes:
                return True, False
    return False, False


def settle(
    commit: Commit, version: ModuleVersion, unit: Unit, name: str, old: Any, new: Any, namespace: dict[str, Any]
) -> None:  # fmt: skip
    """`name` meant `old`, and the statement has bound it to `new`: decide which of them stays, and tell who else has it."""
    if _settle_function(commit, version.name, unit, name, old, new, namespace):
        return
    if isinstance(old, type) and isinstance(new, type) and old.__qualname__ == new.__qualname__:
        if old.__module__ == new.__module__ == version.name and _makes(unit.node, new):
            if merge_class(commit, version.name, old, new):
                namespace[name] = old
                if isinstance(unit.node, ast.ClassDef) and may_leak(unit.node, new):
                    become(commit, new, old)
            else:
                commit.mark(version.name, name, replaced=True)
                propagate(commit, version.name, name, old, new)
            return
        if has_moved(commit, old, new):
            move_class(commit, old, new)
        elif old.__module__ == version.name != new.__module__:
            retire_removed(commit, old)
    elif type(old) is type(new) and type(old) in CONTAINERS and unit.is_assignment:
        _refill(commit, old, new)
        namespace[name] = old
        commit.mark(version.name, name)
        return
    if type(old) is type(new) and isinstance(old, _ATOMS) and old == new:
        return
    commit.mark(version.name, name, replaced=isinstance(old, type) and isinstance(new, type))
    propagate(commit, version.name, name, old, new)


# Internals


def _makes(node: ast.stmt, cls: type) -> bool:
    """Tell whether a statement makes a class of the module again under its name. Nobody looks for instances of a Struct
    that a block has made, so those are never exchanged.
    """
    return isinstance(node, (ast.ClassDef, ast.Assign, ast.AnnAssign)) or (
        isinstance(node, (ast.If, ast.Try)) and not is_struct(cls)
    )


def _settle_function(
    commit: Commit, module: str, unit: Unit, name: str, old: Any, new: Any, namespace: dict[str, Any]
) -> bool:
    """Return whether the old thing is a function (or a cache around one) that now does what the new one does."""
    if isinstance(new, FunctionType) and _return_to_origin(commit, module, unit, name, old, new, namespace):
        return True
    if isinstance(old, _LRU):
        return _settle_cache(commit, module, name, old, new, namespace)
    if not isinstance(old, FunctionType):
        if unit.is_function:
            lead_on(commit, old, new, name, namespace)
        return False
    if isinstance(new, FunctionType) and redecorated(commit, old, new, namespace):
        _stay(commit, unit, name, old, new, namespace)
        return True
    if old.__globals__ is not namespace and not (
        unit.is_function and (wraps_own(old, namespace) or inside(old, name, namespace))
    ):
        return False  # another module's function under a name here: it was not edited
    if unit.is_assignment and is_elsewhere(old, name):
        return False  # the name was an alias: what it meant stays what it is
    is_alias = unit.is_assignment and isinstance(new, FunctionType) and is_elsewhere(new, name)
    if (
        isinstance(new, FunctionType)
        and new.__globals__ is namespace
        and not is_alias
        and patch(commit, old, new)
    ):
        _stay(commit, unit, name, old, new, namespace)
        return True
    forward(commit, old, new)
    lead_bodies_on(commit, old, new, name, namespace)
    commit.mark(module, name)
    propagate(commit, module, name, old, new)
    return True


def _return_to_origin(
    commit: Commit, module: str, unit: Unit, name: str, old: Any, new: FunctionType, namespace: dict[str, Any]
) -> bool:
    """A decorator goes that an earlier release has put on: the plain function of before gets its name back."""
    first = origin(old, namespace)
    if first is None or new.__globals__ is not namespace or new.__closure__ or not patch(commit, first, new):
        return False
    wrapper = old.__wrapped__ if isinstance(old, _LRU) else old
    if isinstance(wrapper, FunctionType):
        if wrapper is old or wrapper.__globals__ is namespace:
            forward(commit, wrapper, first)
    else:
        lead_on(commit, old, first, name, namespace)
    if isinstance(old, _LRU):
        old.cache_clear()
    _stay(commit, unit, name, first, new, namespace)
    commit.mark(module, name)
    propagate(commit, module, name, old, first)
    return True


def _stay(commit: Commit, unit: Unit, name: str, old: Any, new: Any, namespace: dict[str, Any]) -> None:
    """The old function is what others hold: it keeps the name, also where a decorator has put the new one."""
    namespace[name] = old
    if getattr(unit.node, "decorator_list", None) and sys.getrefcount(new) > _UNHELD:
        become(commit, new, old)


_UNHELD = 5
"""References to a function that nobody but the callers of `_stay` has."""


def _settle_cache(
    commit: Commit, module: str, name: str, old: Any, new: Any, namespace: dict[str, Any]
) -> bool:
    """A functools cache holds the new function from now on; it keeps the name, unless it has another size or goes."""
    before, after = old.__wrapped__, new.__wrapped__ if isinstance(new, _LRU) else new
    if not (isinstance(before, FunctionType) and before.__globals__ is namespace):
        return False
    patched = isinstance(after, FunctionType) and patch(commit, before, after)
    if not patched:
        forward(commit, before, after)
    old.cache_clear()
    if isinstance(new, _LRU) and old.cache_parameters() == new.cache_parameters():
        namespace[name] = old
        return True
    if patched and not isinstance(
        new, _LRU
    ):  # the cache is gone, and the function inside is what the name means
        namespace[name] = before
        commit.mark(module, name)
        propagate(commit, module, name, old, before)
        return True
    return False


def _refill(commit: Commit, old: Any, new: Any) -> None:
    commit.journal.container(old)
    if isinstance(old, list):
        old[:] = new
    else:
        content = new.copy()
        old.clear()
        old.update(content)
