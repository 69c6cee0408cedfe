"""Enumerations in place: members keep their identity, take new values, and new ones join them.

A member that is a number or a string itself (IntEnum, StrEnum, IntFlag) cannot become another one: where that differs, the
new member takes the name, what is made of it at the top level follows, and the report says that who holds the former has it.
Combinations of flags are members, too: each is made again by the new class, and takes from there what it is.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from types import MethodType
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .functions import inner_functions
from .journal import MISSING

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["merge_enum", "values_known"]

_OF_THE_ENUM = frozenset(
    {
        "__dict__", "__firstlineno__", "__module__", "__new__", "__qualname__", "__weakref__", "_hashable_values_",
        "_member_map_", "_member_names_", "_new_member_", "_unhashable_values_", "_unhashable_values_map_",
        "_value2member_map_",
    }
)  # fmt: skip
_MSGSPEC = "__msgspec_cache__"
"""Where msgspec keeps, in an enumeration, which value is which member."""
_ATOMS: tuple[Any, ...] = (int, str, bytes, float, tuple, complex)


def merge_enum(
    commit: Commit, module: str, old: type[enum.Enum], new: type[enum.Enum],
    set_member: Callable[[Commit, type, str, Any], None],
    gone: Collection[str],
) -> None:  # fmt: skip
    """Make the living enumeration `old` what `new` is. A member that is gone stays what it is for whoever holds it.

    Raises Refused when the bases differ: members would be of another type.
    """
    if old.__bases__ != new.__bases__:
        raise Refused(
            f"the bases of the enumeration {old.__qualname__} change, and with them the type of its members",
            kind="layout", module=module, hint="make a new enumeration beside it, or restart the node",
        )  # fmt: skip
    members, newer = old._member_map_, new._member_map_
    _remember(commit, old, newer)
    combined = _combinations(old, new)
    known = values_known(old)
    if known is not None:  # by Structs and decoders
        commit.journal.class_attribute(old, _MSGSPEC, MISSING)
        if known != [member.value for member in newer.values()] and "." not in old.__qualname__:
            commit.mark(module, old.__qualname__)
    merged: dict[str, Any] = {}
    taken: dict[int, Any] = {}  # id of a new member -> what stands for it: an alias is the same member twice
    for name, member in newer.items():
        mine = taken.get(id(member))
        if mine is None:
            mine = members.get(name)
            if mine is None or mine in merged.values() or mine.name != name or _is_another(mine, member):
                if mine is not None and mine.name == name:
                    commit.warn(
                        f"{module}: {old.__qualname__}.{name} is another {old._member_type_.__name__} now: "  # type: ignore[attr-defined]
                        "who holds the member of before has that one"
                    )
                mine = member
                mine.__class__ = old
                mine.__dict__["__objclass__"] = old
            else:
                for attribute, value in member.__dict__.items():
                    if attribute != "__objclass__":
                        mine.__dict__[attribute] = value
                mine.__dict__.pop("_inverted_", None)  # remembered of what it was asked for
            taken[id(member)] = mine
        merged[name] = mine
    for name in members.keys() - merged.keys():
        if name in old.__dict__:
            commit.journal.class_attribute(old, name, MISSING)
    for name in list(old.__dict__):
        if name not in new.__dict__ and (name in gone or _is_sunder(name)):
            commit.journal.class_attribute(old, name, MISSING)
    for value in list(new.__dict__.values()):
        for _, fn in inner_functions(value):
            for free, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
                if free == "__class__":
                    cell.cell_contents = old
    for name, value in list(new.__dict__.items()):
        if name in _OF_THE_ENUM:
            continue
        if isinstance(value, MethodType) and value.__self__ is new:
            value = MethodType(value.__func__, old)  # noqa: PLW2901
        if name in newer:
            _set_member_attribute(commit, old, name, value, merged)
        else:
            set_member(commit, old, name, value)
    by_value: dict[Any, Any] = {}
    for mine in merged.values():
        try:
            by_value.setdefault(mine._value_, mine)
        except TypeError:  # an unhashable value is found by walking through the members
            continue
    members.clear()
    members.update(merged)
    old._value2member_map_.clear()
    old._value2member_map_.update(combined | by_value)
    old._member_names_[:] = new._member_names_


def values_known(cls: type) -> list[Any] | None:
    """Return the values of an enumeration that msgspec has decoders for; None: it has none, or the class is another."""
    if not issubclass(cls, enum.Enum) or _MSGSPEC not in cls.__dict__:
        return None
    return [member.value for member in cls._member_map_.values()]


def _set_member_attribute(
    commit: Commit, old: type[enum.Enum], name: str, value: Any, merged: dict[str, Any]
) -> None:
    current = old.__dict__.get(name, MISSING)
    wanted = merged[name] if isinstance(value, enum.Enum) else value
    if current is wanted:
        return
    if current is MISSING or isinstance(current, enum.Enum):
        commit.journal.class_attribute(old, name, wanted)
        if current is not MISSING:
            commit.class_attributes.add((old, name))


def _is_another(mine: enum.Enum, member: enum.Enum) -> bool:
    """Tell whether a member is, as the number or string that it is itself, not what the new one is."""
    base = next((base for base in _ATOMS if isinstance(mine, base)), None)
    return base is not None and not base.__eq__(mine, member)


def _combinations(old: type[enum.Enum], new: type[enum.Enum]) -> dict[Any, Any]:
    """Return the combinations of flags that were made at run time, by value, as what the new class makes of these values.

    They are singletons, too, and stay. One that the new class does not know leaves.
    """
    if not issubclass(old, enum.Flag):
        return {}
    found = {}
    named = {id(member) for member in old._member_map_.values()}
    for value, mine in old._value2member_map_.items():
        if id(mine) in named:
            continue
        try:
            fresh = new(value)
        except ValueError:
            continue
        if fresh._value_ != value:  # one of the flags is gone, and it conforms without
            continue
        for attribute in ("_inverted_", *fresh.__dict__):
            mine.__dict__.pop(attribute, None)
        mine.__dict__.update(fresh.__dict__, __objclass__=old)
        found[value] = mine
    return found


def _remember(commit: Commit, old: type[enum.Enum], newer: dict[str, Any]) -> None:
    journal = commit.journal
    journal.container(old._member_map_)
    journal.container(old._value2member_map_)
    journal.container(old._member_names_)
    for member in {
        id(member): member for of in (old._member_map_, old._value2member_map_) for member in of.values()
    }.values():
        journal.container(member.__dict__)
    for name in newer.keys() - old._member_map_.keys():
        journal.undo(_drop, old, name)


def _is_sunder(name: str) -> bool:
    return name.startswith("_") and name.endswith("_") and not name.startswith("__")


def _drop(cls: type, name: str) -> None:
    if name in cls.__dict__:
        type.__delattr__(cls, name)
