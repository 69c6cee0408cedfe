"""Functions in place: an old function object runs new code, or hands its calls on to what has taken its place.

Three ways, from the least to the most that changes:

    swap     only the body differs: the function gets the new code object, nothing else.
    patch    the definition ran again and made a new function: code, defaults, annotations, doc and attributes move over
             into the old one, which stays. Needs the same cells: a function's closure cannot be exchanged.
    forward  the new thing has another shape (other cells, another decorator, a class): the old function's code becomes
             a trampoline that calls it (`forwarding`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from . import codes
from .forwarding import forward, remember_function

if TYPE_CHECKING:
    from .commit import Commit

__all__ = [
    "copy_appearance", "inner_functions", "is_elsewhere", "patch", "patch_wrapper", "redecorated", "swap", "update_docs",
    "wraps_own",
]  # fmt: skip

_ATOMS = (int, str, float, bool, bytes, type(None), tuple, frozenset)
_STACKED = 6
"""Decorators on one function that are looked through."""


def swap(commit: Commit, fn: FunctionType, old: CodeType, new: CodeType) -> None:
    """Let `fn` run `new` instead of `old`, which it does now."""
    if len(new.co_freevars) != len(fn.__closure__ or ()):
        return
    docs = _doc_of(old), _doc_of(new)
    commit.journal.undo(setattr, fn, "__code__", old)
    fn.__code__ = new
    if docs[0] != docs[1] and fn.__doc__ == docs[0]:
        commit.journal.attribute(fn, "__doc__", docs[1])
    if not codes.same_code(old, new):
        commit.retire(old, fn)


def patch(commit: Commit, old: FunctionType, new: FunctionType) -> bool:
    """Make `old` what `new` is, and return True; False when their closures do not allow it."""
    before, after = old.__code__.co_freevars, new.__code__.co_freevars
    if old is new:
        return True
    if before != after or len(old.__closure__ or ()) != len(new.__closure__ or ()):
        return False
    for name, a, b in zip(after, old.__closure__ or (), new.__closure__ or (), strict=True):
        if name != "__class__" and not _same_cell(a, b):
            return False
    remember_function(commit, old)
    commit.retire(old.__code__, old)
    old.__code__ = new.__code__
    old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
    copy_appearance(old, new)
    return True


def is_elsewhere(fn: FunctionType, name: str) -> bool:
    """Tell whether a function has a place of its own in its module, by its qualified name, that is not `name`."""
    if fn.__qualname__ == name:
        return False
    found: Any = sys.modules.get(fn.__module__)
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is fn


def redecorated(commit: Commit, old: FunctionType, new: FunctionType, namespace: dict[str, Any]) -> bool:
    """Bring the wrapper `old` up to date, if `new` is the same decorator's around a newer function.

    The wrapper stays, with whatever it has counted or cached in its cells, and the function inside becomes the new one.
    """
    if old.__code__ is not new.__code__ or not old.__closure__ or not new.__closure__:
        return False
    for a, b in zip(old.__closure__, new.__closure__, strict=True):
        try:
            x, y = a.cell_contents, b.cell_contents
        except ValueError:
            return False
        if x is y or (type(x) is type(y) and isinstance(x, _ATOMS) and x == y):
            continue
        if not (_owned(x, namespace) and _owned(y, namespace) and x.__qualname__ == y.__qualname__):
            return False
    inside, newer = _inside(old, namespace), _inside(new, namespace)
    if inside is None or newer is None:
        return False
    patched = patch(commit, inside, newer) or redecorated(commit, inside, newer, namespace)
    patch_wrapper(commit, old, new)
    if not patched:
        forward(commit, inside, newer)
        for cell in old.__closure__:
            if cell.cell_contents is inside:
                commit.journal.attribute(cell, "cell_contents", newer)
        _share_annotations(old, new, newer)
        if old.__dict__.get("__wrapped__") is inside:
            old.__dict__["__wrapped__"] = newer
    return True


def patch_wrapper(commit: Commit, old: FunctionType, new: FunctionType) -> None:
    """Copy what a wrapper shows of the function inside, but for the function."""
    remember_function(commit, old)
    old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
    wrapped = old.__dict__.get("__wrapped__")
    copy_appearance(old, new)
    if wrapped is not None:
        old.__dict__["__wrapped__"] = wrapped


def copy_appearance(old: FunctionType, new: FunctionType) -> None:
    """Copy doc, annotations and attributes. Those that only `old` has were set at run time, and stay; but special ones
    (`__isabstractmethod__`, `__wrapped__`) are a decorator's.
    """
    old.__doc__ = new.__doc__
    annotations = dict(new.__annotations__)
    old.__annotations__.clear()  # the very dict: functools.wraps shares it with wrappers
    old.__annotations__.update(annotations)
    for name in [n for n in old.__dict__ if n.startswith("__") and n not in new.__dict__]:
        del old.__dict__[name]
    old.__dict__.update(new.__dict__)


def update_docs(
    commit: Commit, shown: Any, fn: FunctionType, before: str | None, seen: frozenset[int] = frozenset()
) -> bool:
    """Wrappers have copied a docstring outwards: let them follow. `shown` is what stands under the name, or a part of it.

    Returns whether it leads to `fn`. A wrapper that holds it in a cell or an attribute alone has copied nothing, but may have
    one inside that has.
    """
    if shown is fn:
        return True
    if shown is None or id(shown) in seen or len(seen) > _STACKED:
        return False
    seen = seen | {id(shown)}
    copied = shown.fget if isinstance(shown, property) else _wrapped(shown)
    cells = [_content(cell) for cell in getattr(shown, "__closure__", None) or ()]
    held = [one for one in (*cells, *getattr(shown, "__dict__", {}).values()) if one is not copied]
    was = before if copied is fn else getattr(copied, "__doc__", None)
    if update_docs(commit, copied, fn, before, seen):
        now = getattr(copied, "__doc__", None)
        if getattr(shown, "__doc__", None) == was != now:
            commit.journal.attribute(shown, "__doc__", now)
        return True
    made = [one for one in held if callable(one) and not isinstance(one, type)]
    return True in [update_docs(commit, one, fn, before, seen) for one in made]


def inner_functions(member: Any) -> Iterator[tuple[str, FunctionType]]:
    """Yield the plain functions that a class member is made of, each with what part of it that is."""
    if isinstance(member, FunctionType):
        yield "function", member
    elif isinstance(member, (staticmethod, classmethod)):
        if isinstance(member.__func__, FunctionType):
            yield "function", member.__func__
    elif isinstance(member, property):
        for part in ("fget", "fset", "fdel"):
            if isinstance(getattr(member, part), FunctionType):
                yield part, getattr(member, part)
    elif isinstance(member, (functools.cached_property, functools.partialmethod)):
        if isinstance(member.func, FunctionType):
            yield "function", member.func


def wraps_own(wrapper: FunctionType, namespace: dict[str, Any]) -> bool:
    """Tell whether a decorator's function from elsewhere holds one of this module."""
    return _owned(wrapper.__dict__.get("__wrapped__"), namespace) or _wraps(wrapper, namespace)


# Internals


def _share_annotations(old: FunctionType, new: FunctionType, inside: FunctionType) -> None:
    """functools.wraps lets a wrapper and what it wraps have one dict: `old`, which stays, with what `new` would have held."""
    shared = new.__annotations__
    one: Any = inside
    for _ in range(_STACKED):
        if not isinstance(one, FunctionType) or one.__annotations__ is not shared:
            return
        one.__annotations__ = old.__annotations__
        one = one.__dict__.get("__wrapped__")


def _wrapped(wrapper: Any) -> Any:
    return getattr(wrapper, "__wrapped__", None) or getattr(wrapper, "func", None)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _doc_of(code: CodeType) -> str | None:
    # The compiler puts a docstring first among the constants, or None in its place. A lambda has neither.
    if code.co_name == "<lambda>" or not code.co_consts or not isinstance(code.co_consts[0], str):
        return None
    return code.co_consts[0]


def _same_cell(a: Any, b: Any) -> bool:
    try:
        return a.cell_contents is b.cell_contents
    except ValueError:
        return False


def _owned(value: Any, namespace: dict[str, Any]) -> bool:
    return isinstance(value, FunctionType) and value.__globals__ is namespace


def _wraps(wrapper: FunctionType, namespace: dict[str, Any], depth: int = 0) -> bool:
    for content in map(_content, wrapper.__closure__ or ()):
        if _owned(content, namespace):
            return True
        if isinstance(content, FunctionType) and depth < _STACKED and _wraps(content, namespace, depth + 1):
            return True
    return False


def _inside(wrapper: FunctionType, namespace: dict[str, Any]) -> FunctionType | None:
    for content in map(_content, wrapper.__closure__ or ()):
        if _owned(content, namespace):
            return content  # type: ignore[no-any-return]
    return None
