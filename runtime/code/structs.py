"""msgspec Structs that gain optional fields, or lose some, while instances of them are alive.

A Struct's fields are laid out in C: neither the class nor an instance can be changed in place, so a new class takes the
name, and every living instance is made anew and exchanged wherever it is held. That is what a protocol needs most often,
and refusing it while a single message is under way would mean never.

The processes of all modules that have to do with the class are at rest meanwhile, so no callback is in the middle of
telling one frame from another. Who holds an instance is found by the walk over the heap (`heap`), in slices, before the
step. Held directly or through tuples; in containers, attributes, cells, classes and other Structs. An instance that only
C code or a foreign stack holds stays what it is, and answers for a new field with its default.

Not so for a field without a default: then living instances are counted, and the release refused if there are any.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Collection
from types import CellType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["DEEPEST", "Remaking", "answer_for_new_fields", "can_follow", "is_struct", "leads_to", "may_lead"]

DEEPEST = 6
"""Tuples within tuples that are looked into."""


def is_struct(cls: type) -> bool:
    return hasattr(cls, "__struct_fields__")


def can_follow(old: type, new: type) -> bool:
    """Tell whether an instance of `old` can become one of `new`: every field that only the new has is optional."""
    if not (is_struct(old) and is_struct(new)):
        return False
    had = set(old.__struct_fields__)  # type: ignore[attr-defined]
    return all(field.name in had or not field.required for field in msgspec.structs.fields(new))


def answer_for_new_fields(commit: Commit, old: type, new: type) -> None:
    """Give the class that goes the defaults of the fields that it has not, so that what is left of it has them."""
    had = set(old.__struct_fields__)  # type: ignore[attr-defined]
    for field in msgspec.structs.fields(new):
        if field.name not in had:
            if field.default_factory is not msgspec.NODEFAULT:
                commit.journal.class_attribute(old, field.name, _Made(field.default_factory))
            else:
                commit.journal.class_attribute(old, field.name, field.default)


def may_lead(kind: type, wanted: Collection[type]) -> bool:
    """Tell whether `leads_to` may say yes to an object of a type."""
    return kind in wanted or kind in (frozenset, dict) or issubclass(kind, tuple) or is_struct(kind)


def leads_to(value: Any, wanted: Collection[type], depth: int = 0) -> bool:
    """Tell whether `value` is an instance of one of `wanted`, or holds one in a way that the collector does not see."""
    kind = type(value)
    if kind in wanted:
        return True
    if depth > DEEPEST:
        return False
    if kind in (tuple, frozenset) or (isinstance(value, tuple)):
        return any(leads_to(item, wanted, depth + 1) for item in value)
    if (kind is dict or is_struct(kind)) and not gc.is_tracked(value):
        return any(leads_to(item, wanted, depth + 1) for item in gc.get_referents(value))
    return False


class Remaking:
    """The exchange of all instances of some classes for such of the classes in their place. In the step."""

    def __init__(self, commit: Commit, replaced: dict[type, type]) -> None:
        self._journal = commit.journal
        self._replaced = replaced
        self._made: dict[int, tuple[Any, Any]] = {}
        """By id of the old instance: it, so that the id stays its own, and the new one. Holders go on sharing one."""

    def exchange(self, holder: Any) -> None:
        """Exchange what `holder` holds itself."""
        kind = type(holder)
        if kind is dict:
            for key, value in list(holder.items()):
                if (new := self.remade(value)) is not value:
                    self._journal.item(holder, key, new)
        elif kind in (list, deque):
            for i, value in enumerate(holder):
                if (new := self.remade(value)) is not value:
                    self._journal.undo(holder.__setitem__, i, value)
                    holder[i] = new
        elif kind is set:
            changed = {id(v): (v, new) for v in holder if (new := self.remade(v)) is not v}
            if changed:
                self._journal.container(holder)
                for value, new in changed.values():
                    holder.discard(value)
                    holder.add(new)
        elif kind is CellType:
            if (new := self.remade(holder.cell_contents)) is not holder.cell_contents:
                self._journal.attribute(holder, "cell_contents", new)
        elif isinstance(holder, type):
            for name, value in list(holder.__dict__.items()):
                if (new := self.remade(value)) is not value:
                    self._journal.class_attribute(holder, name, new)
        elif is_struct(kind):
            self._exchange_fields(holder)
        elif kind not in (tuple, frozenset) and not isinstance(holder, tuple):
            self._exchange_attributes(holder)

    def remade(self, value: Any) -> Any:
        """Return what stands for `value` from now on: mostly itself."""
        kind = type(value)
        if kind in self._replaced:
            known = self._made.get(id(value))
            if known is None:
                new = self._replaced[kind]
                had = set(kind.__struct_fields__)
                fields = {n: self.remade(getattr(value, n)) for n in new.__struct_fields__ if n in had}  # type: ignore[attr-defined]
                known = self._made[id(value)] = value, new(**fields)
            return known[1]
        if kind is tuple or kind is frozenset or isinstance(value, tuple):
            items = [self.remade(item) for item in value]
            if all(a is b for a, b in zip(items, value, strict=True)):
                return value
            return (
                kind(items)
                if kind in (tuple, frozenset)
                else kind._make(items)
                if hasattr(kind, "_make")
                else value
            )
        if (kind is dict or is_struct(kind)) and not gc.is_tracked(value):
            self.exchange(value)
        return value

    def _exchange_fields(self, holder: Any) -> None:
        for name in type(holder).__struct_fields__:
            value = getattr(holder, name)
            if (new := self.remade(value)) is not value:
                self._journal.undo(msgspec.structs.force_setattr, holder, name, value)
                msgspec.structs.force_setattr(holder, name, new)

    def _exchange_attributes(self, holder: Any) -> None:
        names = set(getattr(holder, "__dict__", ()))
        for cls in type(holder).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            names.update((slots,) if isinstance(slots, str) else slots)
        for name in names - {"__dict__", "__weakref__"}:
            try:
                value = object.__getattribute__(holder, name)
                if (new := self.remade(value)) is value:
                    continue
                object.__setattr__(holder, name, new)
            except (AttributeError, TypeError):  # an empty slot, or nothing that can be set from here
                continue
            self._journal.undo(object.__setattr__, holder, name, value)


class _Made:
    """A field whose default is made for each instance, read from one that does not have it."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self.factory()
