"""What a changed name means elsewhere: `from m import X` made a second name for the same thing, and it must follow.

Functions and classes change in place, so their twins need nothing. A constant is another object afterwards: the twins
are bound to it, however often it was passed on, and they count as changed in their modules, so that what is derived from
them there is made again.
"""

from __future__ import annotations

import ast
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commit import Commit
    from .version import ModuleVersion

__all__ = ["propagate", "spread", "take_by_star"]

_ATOMS = (int, str, float, bytes, tuple, frozenset, bool, type(None))
_FOLLOWED = (*_ATOMS, FunctionType, type, ModuleType)
"""What a module's `__getattr__` may give, for it to be given again to who imported it."""
_DEEPEST = 16
"""Times a name may be passed on from module to module."""


def propagate(commit: Commit, module: str, name: str, old: Any, new: Any, depth: int = 0) -> None:
    """Bind `new` wherever `old` was imported as `name` from `module`."""
    if depth > _DEEPEST:
        return
    replaced = name in commit.replaced.get(module, ())
    for user, original, local in commit.importers.get(module, ()):
        if original not in (name, "*") or user == module:
            continue
        here = name if original == "*" else local
        namespace = namespace_of(user)
        if namespace is None or here not in namespace:
            continue
        before = commit.journal.namespace(namespace).get(here)
        if not (
            _is_same(namespace[here], old) or _is_same(before, old)
        ):  # it means something else there by now
            continue
        namespace[here] = new
        commit.mark(user, here, replaced=replaced)
        commit.note(user, "follow", here)
        propagate(commit, user, here, old, new, depth + 1)


def spread(commit: Commit, module: str) -> None:
    """Mark the names that importers have for what changed in `module`; give star importers what it has more or less of."""
    _ask_again(commit, module)
    changed = commit.changed.get(module, set())
    replaced = commit.replaced.get(module, set())
    for user, original, local in commit.importers.get(module, ()):
        if user == module:
            continue
        if original != "*":
            if original in changed and local not in commit.changed.get(user, ()):
                commit.mark(user, local, replaced=original in replaced)
            continue
        namespace, source = namespace_of(user), namespace_of(module)
        if namespace is None or source is None:
            continue
        commit.journal.namespace(namespace)
        before, after = _public(commit.journal.namespace(source), commit), _public(source)
        for name in after - before:
            if name not in namespace and name in source:
                namespace[name] = source[name]
                commit.mark(user, name)
        for name in before - after:
            value = commit.journal.namespace(source).get(name)
            if name in namespace and namespace[name] is value and name not in commit.version(user).names:
                commit.removed.setdefault(user, {})[name] = namespace.pop(name)
        for name in changed:
            if name in namespace and name not in commit.changed.get(user, ()):
                commit.mark(user, name, replaced=name in replaced)


def take_by_star(commit: Commit, version: ModuleVersion, name: str) -> bool:
    """A module has lost its own `name`: one that it takes by a star import comes to light. Return whether there is one."""
    namespace = namespace_of(version.name)
    has_come = False
    for base, original, _ in version.bindings:
        source = namespace_of(base)
        if original == "*" and namespace is not None and source is not None and name in _public(source):
            if name in source:
                namespace[name] = source[name]
                commit.mark(version.name, name)
                has_come = True
    return has_come


def namespace_of(module: str) -> dict[str, Any] | None:
    """Return the namespace of a module that is loaded."""
    found = sys.modules.get(module)
    return found.__dict__ if isinstance(found, ModuleType) else None


def _ask_again(commit: Commit, module: str) -> None:
    """Names that were imported from `module`, and that only its `__getattr__` has, or had, are asked for again.

    What it makes anew for whoever asks stays as it is: only plain values, functions, classes and modules follow.
    """
    source = namespace_of(module)
    if source is None or module not in commit.plan.modules:
        return
    before = commit.journal.namespace(source)
    if "__getattr__" not in source and "__getattr__" not in before:
        return
    for user, original, local in commit.importers.get(module, ()):
        namespace = namespace_of(user)
        if original == "*" or (original in source and original in before) or namespace is None:
            continue
        if local not in namespace or not _is_only_import(commit.version(user), local):
            continue
        try:
            new = getattr(sys.modules[module], original)
        except AttributeError:
            continue  # a cold start says it better
        old = namespace[local]
        if not _is_same(old, new) and isinstance(new, _FOLLOWED):
            commit.journal.namespace(namespace)
            namespace[local] = new
            commit.mark(user, local)
            commit.note(user, "follow", local)
            propagate(commit, user, local, old, new)


def _is_only_import(version: ModuleVersion, name: str) -> bool:
    """Tell whether no statement but one import binds a name."""
    units = [unit for unit in version.units if name in unit.names]
    return len(units) == 1 and isinstance(units[0].node, ast.ImportFrom)


def _is_same(a: Any, b: Any) -> bool:
    """Tell whether a twin still is what was imported. An equal constant may be another object after a roll-back."""
    return a is b or (type(a) is type(b) and isinstance(a, _ATOMS) and a == b)


def _public(namespace: dict[str, Any], before: Commit | None = None) -> set[str]:
    """The names that a star import takes; or took, before the release."""
    exported = namespace.get("__all__")
    if before is not None:
        exported = before.journal.original(exported)
    return set(exported) if exported is not None else {name for name in namespace if not name.startswith("_")}
