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
from collections.abc import Iterator
from types import CellType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .journal import MISSING
from .removed import retire_removed
from .snapshot import Snapshot
from .spread import namespace_of

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["Twin", "become", "class_of", "exchange", "may_leak", "remember", "suspect", "unregister"]

_LARGEST = 10_000
"""Entries of a table that is remembered, or looked through for a definition that was removed."""
_HARMLESS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering", "unique", "verify"})
"""Decorators that keep no reference to the class."""
_ATOMS = (str, bytes, int, float, bool)
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
            if isinstance(value, type) and value.__module__ == name:
                commit.journal.undo(_restore_class, value, dict(value.__dict__))
            for inner in _within(value, name):
                snapshot.keep([inner])
            if not isinstance(value, _UNTOUCHED) and type(value).__module__ not in _WEAK:
                snapshot.take(value)
    commit.journal.undo(snapshot.restore)


def suspect(commit: Commit, new: Any, old: Any) -> None:
    """Note that some table may have caught `new`; if the release fails it gets `old` again, with MISSING nothing."""
    if not commit.twins:
        commit.journal.undo(_exchange, commit, commit.twins)
    commit.twins.append(Twin(new, old))


def become(commit: Commit, new: Any, old: Any) -> None:
    """Note that `new` is thrown away: at the end of the step whoever has caught it gets `old` instead."""
    suspect(commit, new, old)
    commit.twins[-1].is_thrown_away = True


def exchange(commit: Commit) -> None:
    """Give the living ones to all who have caught a throw-away. One walk over the heap, whatever their number.

    Where a dict has caught one under a key, other keys that lead to the living one are from the statement as it was: a
    route's former path. They go, unless some other statement may have put them there.
    """
    stale: list[tuple[dict[Any, Any], Any]] = []
    _exchange(commit, [twin for twin in commit.twins if twin.is_thrown_away], stale)
    for table, key in stale:
        if key in table and not _is_mentioned(commit, table[key]):
            commit.journal.item(table, key, MISSING)


def unregister(commit: Commit, gone: Any) -> None:
    """A definition was removed: the tables of modules and their classes that it was put into do not have it."""
    retire_removed(commit, gone)
    for name in commit.importer.modules:
        for value in list((namespace_of(name) or {}).values()):
            _remove(commit, value, gone)
            inside = [*_within(value, name), *_own_tables(commit, value)]
            is_found = [_remove(commit, inner, gone) for inner in inside]
            forget = getattr(value, "_clear_cache", None)  # a singledispatch remembers what it has found
            if forget is not None and isinstance(value, FunctionType) and any(is_found):
                commit.journal.undo(forget)
                forget()


def _own_tables(commit: Commit, value: Any) -> list[Any]:
    """What an object of a managed class holds itself: the receivers of a signal, the handlers of a hub."""
    if isinstance(value, _UNTOUCHED) or type(value).__module__ not in commit.importer.modules:
        return []
    return list(getattr(value, "__dict__", {}).values())


def _remove(commit: Commit, table: Any, gone: Any) -> bool:
    """Take `gone` out of a table; tell whether it was there."""
    if type(table) not in (dict, list, set) or not 0 < len(table) <= _LARGEST:
        return False
    if type(table) is dict:
        keys = [key for key, value in table.items() if value is gone]
        for key in keys:
            commit.journal.item(table, key, MISSING)
        return bool(keys)
    if not any(value is gone for value in table):
        return False
    commit.journal.container(table)
    kept = [value for value in table if value is not gone]
    table.clear()
    table.extend(kept) if type(table) is list else table.update(kept)
    return True


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


class Twin:
    """A definition that ran again, and the living one."""

    __slots__ = ("is_thrown_away", "new", "old")  # no tuple: that would be found as one that has caught it

    def __init__(self, new: Any, old: Any) -> None:
        self.new = new
        self.old = old
        self.is_thrown_away = False


# Internals


def _restore_class(cls: type, kept: dict[str, Any]) -> None:
    """Take back what somebody has put on a class from outside: `Handler.codec = ...`"""
    for name in cls.__dict__.keys() - kept.keys():
        type.__delattr__(cls, name)
    for name, value in kept.items():
        if cls.__dict__.get(name, MISSING) is not value:
            type.__setattr__(cls, name, value)


def _within(value: Any, module: str) -> Iterator[Any]:
    """What a class or function of a module holds itself."""
    if isinstance(value, type) and value.__module__ == module:
        yield from list(value.__dict__.values())
    elif isinstance(value, FunctionType):
        yield from value.__dict__.values()
        # A singledispatch keeps its registrations in a cell of a function that it has as an attribute.
        for fn in (value, *(inner for inner in value.__dict__.values() if isinstance(inner, FunctionType))):
            for cell in fn.__closure__ or ():
                try:
                    yield cell.cell_contents
                except ValueError:
                    continue


def _exchange(
    commit: Commit, twins: list[Twin], stale: list[tuple[dict[Any, Any], Any]] | None = None
) -> None:
    # Not journalled: before the release the old ones were there, and `remember` has noted the tables within reach.
    tuples = [Twin(was, made) for was, made in _put(commit, twins, stale)]
    _put(commit, tuples)  # `("/path", handler)` in a list of routes


def _put(
    commit: Commit, twins: list[Twin], stale: list[tuple[dict[Any, Any], Any]] | None = None
) -> list[tuple[Any, Any]]:
    """Exchange the twins in what holds them; return the tuples among that, each with what should stand for it."""
    if not twins:
        return []
    by_id = {id(twin.new): twin for twin in twins}
    found = []
    for holder in gc.get_referrers(*[twin.new for twin in twins]):
        if commit.journal.knows(holder) or isinstance(holder, _UNTOUCHED):
            continue
        if type(holder) is tuple:
            held = [by_id[id(item)] for item in holder if id(item) in by_id]
            is_gone = any(twin.old is MISSING for twin in held)
            found.append((holder, MISSING if is_gone else tuple(_living(by_id, item) for item in holder)))
        elif isinstance(holder, (list, dict, set)):
            if stale is not None and type(holder) is dict:
                stale += [(holder, key) for key in _former_keys(holder, twins)]
            _in_table(holder, by_id)
        elif "__dict__" in dir(type(holder)):
            _in_table(vars(holder), by_id)
    return found


def _is_mentioned(commit: Commit, made: Any) -> bool:
    """Tell whether a statement at top level, here or where it is imported, does something with a definition."""
    module, name = made.__module__, made.__qualname__
    places = [(module, name)]
    places += [
        (user, local) for user, original, local in commit.importers.get(module, ()) if original == name
    ]
    for place, local in places:
        for unit in commit.version(place).units:
            if not (unit.is_function or unit.is_class) and local in unit.loads:
                return True
    return False


def _former_keys(table: dict[Any, Any], twins: list[Twin]) -> list[Any]:
    """The keys under which a table has a living definition, where its statement has just put its twin under another."""
    if len(table) > _LARGEST:
        return []
    items = table.items()
    caught = {id(twin.old) for twin in twins if any(item is twin.new for _, item in items)}
    keys = [key for key, item in items if id(item) in caught]
    if not keys or class_of(table) is not None:
        return []
    is_namespace = any(getattr(one, "__dict__", None) is table for one in gc.get_referrers(table))
    return [] if is_namespace else keys


def _in_table(holder: Any, by_id: dict[int, Twin]) -> None:
    items = dict.values(holder) if isinstance(holder, dict) else holder
    for twin in [by_id[id(item)] for item in items if id(item) in by_id]:
        if isinstance(holder, list):
            _in_list(holder, twin.new, twin.old)
        elif isinstance(holder, set):
            holder.discard(twin.new)
            holder.update([] if twin.old is MISSING else [twin.old])
        elif holder is not getattr(twin.new, "__dict__", None):
            _in_dict(holder, twin.new, twin.old)


def _living(by_id: dict[int, Twin], item: Any) -> Any:
    return by_id[id(item)].old if id(item) in by_id else item


def _in_list(holder: list[Any], new: Any, old: Any) -> None:
    if old is MISSING or any(_is_same(item, old) for item in holder):
        holder[:] = [item for item in holder if item is not new]
    else:
        holder[:] = [old if item is new else item for item in holder]


def _in_dict(holder: dict[Any, Any], new: Any, old: Any) -> None:
    for key in [key for key, item in dict.items(holder) if item is new]:
        owner = class_of(holder)
        if owner is not None:  # past the class, its cache of attributes would not notice
            type.__delattr__(owner, key) if old is MISSING else type.__setattr__(owner, key, old)
        elif old is MISSING:
            dict.__delitem__(holder, key)
        else:
            dict.__setitem__(holder, key, old)


def _is_same(a: Any, b: Any) -> bool:
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(_is_same(x, y) for x, y in zip(a, b, strict=True))
    return a is b or (type(a) is type(b) and isinstance(a, _ATOMS) and a == b)


def class_of(namespace: dict[Any, Any]) -> type | None:
    """Return the class whose dict this is."""
    if "__module__" not in namespace or "__doc__" not in namespace:
        return None
    found = (holder for holder in gc.get_referrers(namespace) if isinstance(holder, type))
    return next((cls for cls in found if cls.__dict__.keys() == namespace.keys()), None)
