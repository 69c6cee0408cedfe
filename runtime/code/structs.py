"""msgspec Structs that gain optional fields, or lose some, while instances of them are alive.

A Struct's fields are laid out in C: neither the class nor an instance can be changed in place, so a new class takes the
name. That is what a protocol needs most often, and refusing it while a single message is under way would mean never. So:

    * the processes of all modules that have to do with the class are at rest during the step: no callback is in the
      middle of telling one frame from another;
    * messages that wait in mailboxes are made anew, of the new class: they will be told apart by it;
    * instances kept in states stay what they are, and answer for a new field with its default.

Not so for a field without a default: then living instances are counted, and the release refused if there are any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime import kernel
from runtime.kernel import Call, Cast

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["answer_for_new_fields", "can_follow", "is_struct", "remake_mail"]

_DEEPEST = 4
"""Structs and containers within a message that are looked into."""


def is_struct(cls: type) -> bool:
    return hasattr(cls, "__struct_fields__")


def can_follow(old: type, new: type) -> bool:
    """Tell whether an instance of `old` can stand for one of `new`: every field that only the new has is optional."""
    if not (is_struct(old) and is_struct(new)):
        return False
    had = set(old.__struct_fields__)  # type: ignore[attr-defined]
    return all(field.name in had or not field.required for field in msgspec.structs.fields(new))


def answer_for_new_fields(commit: Commit, old: type, new: type) -> None:
    """Give the class that goes the defaults of the fields that it has not, so that its instances have them."""
    had = set(old.__struct_fields__)  # type: ignore[attr-defined]
    for field in msgspec.structs.fields(new):
        if field.name not in had:
            if field.default_factory is not msgspec.NODEFAULT:
                commit.journal.class_attribute(old, field.name, _Made(field.default_factory))
            else:
                commit.journal.class_attribute(old, field.name, field.default)


def remake_mail(commit: Commit, replaced: dict[type, type]) -> None:
    """Exchange the messages of replaced classes in all mailboxes. In the step."""
    for process in kernel.processes():
        for box in kernel.mailboxes(process):
            for i, message in enumerate(box):
                if isinstance(message, (Call, Cast)):
                    request = _remade(message.request, replaced)
                    if request is not message.request:
                        commit.journal.attribute(message, "request", request)
                else:
                    made = _remade(message, replaced)
                    if made is not message:
                        commit.journal.undo(box.__setitem__, i, message)
                        box[i] = made


class _Made:
    """A field whose default is made for each instance, read from one that does not have it."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self.factory()


def _remade(value: Any, replaced: dict[type, type], depth: int = 0) -> Any:
    """Return `value` with what is of a replaced class made anew; the very value if there is nothing of the kind."""
    kind = type(value)
    if depth > _DEEPEST:
        return value
    if kind in replaced or is_struct(kind):
        parts = {name: getattr(value, name) for name in kind.__struct_fields__}
        made = {name: _remade(part, replaced, depth + 1) for name, part in parts.items()}
        if kind in replaced:
            new = replaced[kind]
            return new(**{name: made[name] for name in new.__struct_fields__ if name in made})  # type: ignore[attr-defined]
        return value if all(made[n] is parts[n] for n in parts) else kind(**made)
    if kind in (list, tuple):
        items = [_remade(item, replaced, depth + 1) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else kind(items)
    if kind is dict:
        entries = {key: _remade(item, replaced, depth + 1) for key, item in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries
    return value
