"""Tables that definitions put themselves into: by a decorator, a metaclass, `__init_subclass__`, a call at the top level.

A definition that runs again makes a throw-away twin, which is merged into the living function or class; but a registry
has caught the twin by then. `become` puts the living one in its place, wherever a table or an attribute holds the twin; a
list that has the living one already does not get it twice.

A release that is refused must leave no entry. What a statement fills cannot be known, so before the first one runs,
`remember` notes what is in the tables within reach: of managed modules, their classes, the objects and functions at their
top level, and the tables in those. Larger ones than `_LARGEST` are state rather than registries, and are left out:
copying them would hold everybody up. Only tables that did change are filled again.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Iterator
from types import CellType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .journal import MISSING
from .snapshot import Snapshot
from .spread import namespace_of

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["become", "may_leak", "remember", "unregister"]

_LARGEST = 10_000
"""Entries of a table that is remembered, or looked through for a definition that was removed."""
_HARMLESS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering", "unique", "verify"})
"""Decorators that keep no reference to the class."""
_UNTOUCHED = (ModuleType, type, FunctionType, CellType, FrameType)
_WEAK = frozenset({"weakref", "_weakrefset", "_weakref"})
"""Modules of tables that lose entries by themselves."""


def remember(commit: Commit) -> None:
    """Note the contents of all tables within reach, once for each release."""
    if commit.tables is not None:
        return
    commit.tables = snapshot = Snapshot((), largest=_LARGEST)
    for name in commit.importer.modules:
        namespace = namespace_of(name)
        if namespace is None:
            continue
        commit.journal.namespace(namespace)
        for value in list(namespace.values()):
            snapshot.keep([value])
            for inner in _within(value, name):
                snapshot.keep([inner])
            if not isinstance(value, _UNTOUCHED) and type(value).__module__ not in _WEAK:
                snapshot.take(value)
    commit.journal.undo(snapshot.restore)


def become(commit: Commit, new: Any, old: Any) -> None:
    """Let whoever has caught `new`, which is thrown away, have `old` instead; with MISSING, nothing."""
    _exchange(commit, new, old, _exchange)


def unregister(commit: Commit, gone: Any) -> None:
    """A decorated definition was removed: modules' tables that a decorator may have put it into do not have it."""
    for name in commit.importer.modules:
        namespace = namespace_of(name) or {}
        for table in list(namespace.values()):
            if type(table) not in (dict, list, set) or not 0 < len(table) <= _LARGEST:
                continue
            if type(table) is dict:
                for key in [key for key, value in table.items() if value is gone]:
                    commit.journal.item(table, key, MISSING)
            elif any(value is gone for value in table):
                commit.journal.container(table)
                kept = [value for value in table if value is not gone]
                table.clear()
                table.extend(kept) if type(table) is list else table.update(kept)


def may_leak(node: ast.ClassDef, new: type) -> bool:
    """Tell whether making the class may have put it into some registry, so that a walk over all holders is due."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name not in _HARMLESS:
            return True
    if type(new).__module__ not in ("abc", "builtins", "enum", "typing"):
        return True
    own = getattr(new.__init_subclass__, "__func__", None)
    return own is not None and own.__module__ not in ("enum", "typing")


# Internals


def _within(value: Any, module: str) -> Iterator[Any]:
    """What a class or function of a module holds itself."""
    if isinstance(value, type) and value.__module__ == module:
        yield from list(value.__dict__.values())
    elif isinstance(value, FunctionType):
        yield from value.__dict__.values()
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                continue


def _exchange(commit: Commit, new: Any, old: Any, in_tuple: Callable[..., None] | None = None) -> None:
    # Not journalled: before the release the old one was there, and `remember` has noted the tables within reach.
    for holder in gc.get_referrers(new):
        if commit.journal.knows(holder) or isinstance(holder, _UNTOUCHED):
            continue
        if isinstance(holder, list):
            _in_list(holder, new, old)
        elif isinstance(holder, dict):
            if holder is not getattr(new, "__dict__", None):
                _in_dict(holder, new, old)
        elif isinstance(holder, set):
            if new in holder:
                holder.discard(new)
                if old is not MISSING:
                    holder.add(old)
        elif type(holder) is tuple:
            if in_tuple is not None:  # `("/path", handler)` in a list of routes
                made = MISSING if old is MISSING else tuple(old if item is new else item for item in holder)
                in_tuple(commit, holder, made)
        elif isinstance(own := getattr(holder, "__dict__", None), dict):  # of `list[C]` that is the list's: no dict
            _in_dict(own, new, old)


def _in_list(holder: list[Any], new: Any, old: Any) -> None:
    if old is MISSING or any(_is_same(item, old) for item in holder):
        holder[:] = [item for item in holder if item is not new]
    else:
        holder[:] = [old if item is new else item for item in holder]


def _in_dict(holder: dict[Any, Any], new: Any, old: Any) -> None:
    for key in [key for key, item in dict.items(holder) if item is new]:
        owner = _class_of(holder)
        if owner is not None:  # past the class, its cache of attributes would not notice
            type.__delattr__(owner, key) if old is MISSING else type.__setattr__(owner, key, old)
        elif old is MISSING:
            dict.__delitem__(holder, key)
        else:
            dict.__setitem__(holder, key, old)


def _is_same(a: Any, b: Any) -> bool:
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
    return a is b


def _class_of(namespace: dict[Any, Any]) -> type | None:
    """Return the class whose dict this is."""
    if "__module__" not in namespace or "__doc__" not in namespace:
        return None
    found = (holder for holder in gc.get_referrers(namespace) if isinstance(holder, type))
    return next((cls for cls in found if cls.__dict__.keys() == namespace.keys()), None)
