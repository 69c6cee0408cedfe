"""Making a living class what a newly made one is, in place: instances, subclasses and whoever holds the class notice nothing.

Members move over one by one; methods that are held by bound methods or callbacks are patched, so that these run new
code. What cannot be moved is the layout of instances: slots, the fields of a tuple or struct. With no instance alive the
new class takes the name; otherwise the release is refused, with their number.

CPython does not let the bases of a direct subclass of `object` be assigned. Such a class is replaced, and its instances
are given the new class. Classes that derive from a base of the runtime's do not have that problem. A class that moved to
another module is replaced likewise: what it is now is another object, made there.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import gc
import sys
import types
from abc import ABC, ABCMeta, update_abstractmethods
from collections.abc import Callable, Collection, Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from .enums import merge_enum, values_known
from .errors import Refused
from .forwarding import forward, lead_on
from .functions import inner_functions, patch, redecorated
from .journal import MISSING
from .registries import class_of
from .structs import answer_for_new_fields, can_follow, is_struct

if TYPE_CHECKING:
    from .commit import Commit

__all__ = [
    "LayoutChanged",
    "merge_class",
    "move_class",
    "renew_abstract",
    "renew_instance_checks",
    "set_member",
]

_OF_THE_TYPE = frozenset(
    {"__dict__", "__weakref__", "_abc_impl", "__slots__", "__module__", "__qualname__", "__firstlineno__"}
)


class LayoutChanged(Refused):
    """Instances of another layout are alive. They may go when the callbacks that hold them have finished."""

    def __init__(self, module: str, cls: type, count: int) -> None:
        super().__init__(
            f"{cls.__qualname__}: the layout of its instances changes (slots, bases, or the fields of a tuple or struct), and "
            f"{count} of them {'is' if count == 1 else 'are'} alive",
            kind="layout", module=module,
            hint="let them go first, make a new class beside the old one, or restart the node",
        )  # fmt: skip
        self.cls = cls


def merge_class(
    commit: Commit, module: str, old: type, new: type, *,
    keep: Collection[str] = (), gone: Collection[str] | None = None,
) -> bool:  # fmt: skip
    """Make `old` what `new` is. False: it cannot be, and `new` is to take its place.

    `keep` names members that stay as they are, `gone` those that the new source does not have; None: find out.
    Raises LayoutChanged.
    """
    if issubclass(old, enum.Enum) and issubclass(new, enum.Enum):
        merge_enum(commit, module, old, new, set_member, _lost(old, new) if gone is None else gone)
        return True
    if can_follow(old, new):
        if not commit.at_rest:
            raise LayoutChanged(module, old, 0)
        answer_for_new_fields(commit, old, new)
        commit.structs[old] = new
        _retarget(commit, module, old, new)
        commit.note(module, "replace", old.__qualname__)
        return False
    if _layout(old) != _layout(new) or is_struct(new):
        alive = commit.heap.count(old)
        if alive:
            raise LayoutChanged(module, old, alive)
        _retarget(commit, module, old, new)
        commit.note(module, "replace", old.__qualname__)
        return False
    if type(old) is not type(new):
        try:
            commit.journal.attribute(old, "__class__", type(new))
        except TypeError:  # from or to `type` itself
            _replace(commit, module, old, new)
            return False
    if old.__bases__ != new.__bases__:
        try:
            commit.journal.attribute(old, "__bases__", new.__bases__)
        except TypeError:
            _replace(commit, module, old, new)
            return False
    _adopt_cells(new, old)
    for name in _lost(old, new) if gone is None else [n for n in old.__dict__ if n in gone or _is_made(n)]:
        if name not in new.__dict__ and name in old.__dict__ and name not in _OF_THE_TYPE:
            commit.journal.class_attribute(old, name, MISSING)
    if old.__dict__.get("__slots__") != new.__dict__.get("__slots__"):  # the same names, otherwise said
        commit.journal.class_attribute(old, "__slots__", new.__dict__.get("__slots__", MISSING))
    fields = _new_fields(old, new)
    for name, value in list(new.__dict__.items()):
        if name in _OF_THE_TYPE or name in keep or type(value) is types.MemberDescriptorType:
            continue
        if isinstance(value, types.MethodType) and value.__self__ is new:
            value = types.MethodType(value.__func__, old)  # noqa: PLW2901
        set_member(commit, old, name, value)
    _fill_in(commit, old, fields)
    return True


def move_class(commit: Commit, old: type, new: type) -> None:
    """`old` is `new` in another module now: its instances and subclasses follow, held methods run the new code.

    Raises LayoutChanged when there are instances, and they cannot.
    """
    where = f"{old.__module__}.{old.__qualname__} moved to {new.__module__}"
    if issubclass(old, enum.Enum):
        commit.warn(f"{where}: its members are others now, and who holds one of before has that")
        return
    if _layout(old) != _layout(new) or is_struct(old):
        alive = commit.heap.count(old)
        if alive:
            raise LayoutChanged(old.__module__, old, alive)
        return
    for name, value in list(new.__dict__.items()):
        after = dict(inner_functions(value))
        for part, fn in inner_functions(old.__dict__.get(name)):
            # Not patched: its globals are those of the module it was in.
            if fn.__module__ == old.__module__ and part in after:
                forward(commit, fn, after[part])
    _replace(
        commit,
        old.__module__,
        old,
        new,
        f"{where}, and its instances with it; who holds the class in a tuple or closure has the old one",
    )


def set_member(commit: Commit, cls: type, name: str, value: Any) -> None:
    """Put one member into a living class; what it was before, and is held elsewhere, runs the new code."""
    current = cls.__dict__.get(name, MISSING)
    if current is value:
        return
    namespace = sys.modules[cls.__module__].__dict__ if cls.__module__ in sys.modules else {}
    if isinstance(current, type) and isinstance(value, type):
        if (current.__module__, current.__qualname__) == (value.__module__, value.__qualname__):
            known = values_known(current)
            if merge_class(commit, cls.__module__, current, value):
                if known is not None and known != [member.value for member in current.__members__.values()]:  # type: ignore[attr-defined]
                    commit.class_attributes.add((cls, name))
                return
    elif type(current) is type(value) and not _is_alias(cls, name, current, value):
        if isinstance(current, FunctionType):
            if patch(commit, current, value) or redecorated(commit, current, value, namespace):
                return
        if _settle_inside(commit, current, value):
            return
    if not _is_alias(cls, name, current, value):
        lead_on(commit, current, value, f"{cls.__qualname__}.{name}", namespace, is_member=True)
    commit.journal.class_attribute(cls, name, value)
    if not callable(value) or isinstance(value, type):
        commit.class_attributes.add((cls, name))
    set_name = getattr(type(value), "__set_name__", None)
    if set_name is not None and not isinstance(value, functools.cached_property):
        set_name(value, cls, name)


def _is_alias(cls: type, name: str, *members: Any) -> bool:
    """Tell whether a name of a class meant, or means now, a method that has a name of its own there."""
    return any(
        isinstance(fn, FunctionType) and fn.__name__ != name and cls.__dict__.get(fn.__name__) is fn
        for fn in members
    )


def renew_abstract(commit: Commit, cls: type) -> None:
    """Work out anew which methods of an abstract class and its subclasses are still to be defined."""
    if not isinstance(cls, ABCMeta):
        return
    commit.journal.attribute(cls, "__abstractmethods__", cls.__abstractmethods__)
    sub: type
    update_abstractmethods(cls)  # type: ignore[arg-type]
    for sub in cls.__subclasses__():
        renew_abstract(commit, sub)


class _Anything(ABC):  # noqa: B024
    """Registering with any abstract class makes all of them ask again about what they have denied."""


def renew_instance_checks(commit: Commit) -> None:
    """Abstract classes remember who is an instance; a class may have changed since."""
    if not any(module.steps_touch_classes for module in commit.plan.modules.values()):
        return
    _Anything.register(type("_", (), {}))
    for name in commit.importer.modules:
        module = sys.modules.get(name)
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, ABCMeta):
                value._abc_caches_clear()  # type: ignore[attr-defined]


# Internals


def _layout(cls: type) -> tuple[Any, ...]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(sorted(slots))
    fields = getattr(cls, "_fields", None) if issubclass(cls, tuple) else None
    return cls.__basicsize__, cls.__itemsize__, cls.__dictoffset__, cls.__weakrefoffset__, names, fields


def _is_made(name: str) -> bool:
    """A special method is often made by a decorator (an ordering, `__match_args__`): without it, it goes."""
    return name.startswith("__") and name.endswith("__")


def _lost(old: type, new: type) -> list[str]:
    """Members that the new class does not have, but for functions that others have put into the old one."""
    namespace = sys.modules[old.__module__].__dict__ if old.__module__ in sys.modules else {}
    return [
        name
        for name, value in old.__dict__.items()
        if name not in new.__dict__
        and not (
            isinstance(value, FunctionType)
            and value.__globals__ is not namespace
            and value.__module__ != old.__module__
        )
    ]


def _adopt_cells(new: type, old: type) -> None:
    """`super()` and `__class__` in the new class's methods, and what a decorator made for it, mean the living class."""
    for cell in _cells(new):
        if _content(cell) is new:
            cell.cell_contents = old


def _cells(cls: type) -> Iterable[Any]:
    for value in list(cls.__dict__.values()):
        for _, fn in _with_wrapped(inner_functions(value)):
            yield from fn.__closure__ or ()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _retarget(commit: Commit, module: str, old: type, new: type) -> None:
    """A class that gives way to another: its methods, which others hold bound, run the new ones' code."""
    for cell in {id(c): c for c in _cells(old)}.values():
        if _content(cell) is old:
            commit.journal.undo(setattr, cell, "cell_contents", old)
            cell.cell_contents = new
    for name, value in list(new.__dict__.items()):
        current = old.__dict__.get(name)
        if (
            isinstance(current, FunctionType)
            and isinstance(value, FunctionType)
            and current.__module__ == module
        ):
            if current.__globals__ is not value.__globals__:
                continue  # it moved to another module, and leads there
            if patch(commit, current, value):
                type.__setattr__(new, name, current)  # so that the next release finds it
            else:
                forward(commit, current, value)
        elif (
            old.__module__ == new.__module__
            and type(current) is type(value)
            and _settle_inside(commit, current, value)
        ):
            type.__setattr__(new, name, current)
        elif current is not None and old.__module__ == new.__module__ == module and module in sys.modules:
            namespace = sys.modules[module].__dict__
            lead_on(commit, current, value, f"{old.__qualname__}.{name}", namespace, is_member=True)


def _with_wrapped(functions: Iterable[tuple[str, FunctionType]]) -> Iterable[tuple[str, FunctionType]]:
    for part, fn in functions:
        yield part, fn
        inside = fn.__dict__.get("__wrapped__")
        for _ in range(8):
            if not isinstance(inside, FunctionType):
                break
            yield part, inside
            inside = inside.__dict__.get("__wrapped__")


def _settle_inside(commit: Commit, current: Any, value: Any) -> bool:
    """Two members of one kind made of functions. True: the current one is up to date and stays."""
    before, after = dict(inner_functions(current)), dict(inner_functions(value))
    if not before or before.keys() != after.keys():
        return False
    patched = [patch(commit, before[part], after[part]) for part in before]
    for part, done in zip(before, patched, strict=True):
        if not done:
            forward(commit, before[part], after[part])
    return all(patched) and isinstance(current, (staticmethod, classmethod))


def _new_fields(old: type, new: type) -> list[dataclasses.Field[Any]]:
    if not (dataclasses.is_dataclass(old) and dataclasses.is_dataclass(new)):
        return []
    had = {f.name for f in dataclasses.fields(old)}
    return [
        f
        for f in dataclasses.fields(new)
        if f.name not in had and f.default_factory is not dataclasses.MISSING
    ]


def _fill_in(commit: Commit, cls: type, fields: list[dataclasses.Field[Any]]) -> None:
    """Living instances of a dataclass get a new field whose default is made for each."""
    if not fields:
        return
    for instance in commit.heap.instances(cls):
        attributes = getattr(instance, "__dict__", None)
        if attributes is None:
            continue
        for f in fields:
            if f.name not in attributes:
                factory: Callable[[], Any] = f.default_factory  # type: ignore[assignment]
                commit.journal.undo(attributes.pop, f.name, None)
                object.__setattr__(instance, f.name, factory())


def _takes_class(commit: Commit, instance: Any, new: type) -> bool:
    try:
        commit.journal.attribute(instance, "__class__", new, object.__setattr__)
    except TypeError:  # its dict or weak references lie elsewhere: a base without slots is between
        return False
    return True


def _replace(commit: Commit, module: str, old: type, new: type, why: str = "") -> None:
    """Bases cannot be assigned: move the subclasses, the instances, and whoever holds the class in a table."""
    sub: type
    _retarget(commit, module, old, new)
    for sub in type.__subclasses__(old):
        if sub is not new:
            bases = tuple(new if base is old else base for base in sub.__bases__)
            try:
                commit.journal.attribute(sub, "__bases__", bases)
            except TypeError:  # made anew in its turn, since its base means another class now
                continue
    for instance in commit.heap.instances(old):
        if type(instance) is old and not _takes_class(commit, instance, new):
            # Not within the `except`: the context of what is raised would hold the instance, and the next try find it alive.
            raise LayoutChanged(module, old, commit.heap.count(old))
    left = (
        vars(sys.modules[old.__module__])
        if new.__module__ != old.__module__ and old.__module__ in sys.modules
        else None
    )
    for holder in gc.get_referrers(old):
        # The module that it moves out of has a statement less, and so loses the old one's name.
        if commit.journal.knows(holder) or holder is left:
            continue
        if type(holder) is list:
            keys: list[Any] = [i for i, item in enumerate(holder) if item is old]
        elif type(holder) is dict:
            keys = [key for key, item in holder.items() if item is old]
        else:
            continue
        for key in keys:
            owner = class_of(holder) if type(holder) is dict else None
            if owner is None:
                commit.journal.item(holder, key, new)
            else:
                commit.journal.class_attribute(owner, key, new)
    commit.warn(
        why
        or f"{module}: {old.__qualname__} was replaced: its bases cannot be changed in place. Instances moved over; classes "
        f"that others hold in tuples or closures are the old one. Deriving it from a base class of yours avoids this."
    )
