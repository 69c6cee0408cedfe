"""What states were before code_change touched them, and how to make them so again.

code_change works on the state itself: it runs in one step of the loop, so nobody sees it half done, and whatever else
holds a list or dict of the state goes on holding the same one afterwards. So that a failure leaves no trace, what it
may touch is copied before: an object's fields, and in them the containers, however deep, and the objects of the
modules that the release changes. All else (sockets, pids, objects of other modules) is shared, and a code_change that
alters such a thing must mean it: that is not undone.

A container that many states share is copied once. Restoring fills the very objects again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from math import inf
from operator import is_
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

__all__ = ["Snapshot"]


class _Kind(NamedTuple):
    """How objects of one class are kept."""

    copy: Callable[[Any], Any] | None
    """Of a container."""
    refill: Callable[[Any, Any], None] | None
    values: Callable[[Any], Iterable[Any]] | None
    """What is in it that may be a container too."""
    has_fields: bool


class Snapshot:
    """Contents of objects at the time of `take`."""

    __slots__ = ("_contents", "_dicts", "_kinds", "_largest", "_members", "_modules", "_seen", "_slots")

    def __init__(self, modules: Collection[str], largest: float = inf) -> None:
        """`modules`: whose objects are copied field by field, wherever they are met. Containers with more than `largest`
        entries are left out.
        """
        self._modules = modules
        self._largest = largest
        self._seen: dict[int, Any] = {}
        """What was looked at, by id, and held: the id of something that has died may be another's."""
        self._contents: list[tuple[Callable[[Any, Any], None], Any, Any]] = []
        self._dicts: list[tuple[Any, dict[str, Any]]] = []
        self._members: list[tuple[Any, list[tuple[MemberDescriptorType, Any]]]] = []
        self._kinds: dict[type, _Kind | None] = dict(_BASIC)
        self._slots: dict[type, tuple[MemberDescriptorType, ...]] = {}

    def take(self, subject: Any) -> None:
        """Remember the fields of `subject` and what is in them. Twice is once."""
        if id(subject) not in self._seen:
            self._seen[id(subject)] = subject
            self._walk(self._fields(subject))

    def keep(self, values: Iterable[Any]) -> None:
        """Remember those of `values` that are containers, and what is in them."""
        self._walk(values)

    def restore(self) -> None:
        """Make everything as it was."""
        for subject, fields in self._dicts:
            if subject.__dict__ is not fields:
                subject.__dict__ = fields
        for refill, container, content in self._contents:
            if not _is_unchanged(container, content):
                refill(container, content)
        for subject, members in self._members:
            for member, value in members:
                if value is not _UNSET:
                    member.__set__(subject, value)
                elif _get(member, subject) is not _UNSET:
                    member.__delete__(subject)

    def _fields(self, subject: Any) -> Iterable[Any]:
        """Keep the fields of an object; return their values."""
        found: list[Any] = []
        fields = getattr(subject, "__dict__", None)
        if isinstance(fields, dict):  # `list[int]` shows that of list, a view
            self._dicts.append((subject, fields))
            self._contents.append((_refill_dict, fields, fields.copy()))
            found.extend(fields.values())
        cls = type(subject)
        members = self._slots.get(cls)
        if members is None:
            members = self._slots[cls] = _members_of(cls)
        if members:
            kept = [(member, _get(member, subject)) for member in members]
            self._members.append((subject, kept))
            found.extend(value for _, value in kept)
        return found

    def _walk(self, values: Iterable[Any]) -> None:
        kinds, seen = self._kinds, self._seen
        work = [values]
        while work:
            for value in work.pop():
                cls = type(value)
                try:
                    kind = kinds[cls]
                except KeyError:
                    kind = kinds[cls] = self._kind_of(cls)
                if kind is None or id(value) in seen:
                    continue
                if kind.copy is not None and len(value) > self._largest:
                    continue
                seen[id(value)] = value
                if kind.copy is not None and kind.refill is not None:
                    self._contents.append((kind.refill, value, kind.copy(value)))
                if kind.values is not None:
                    work.append(kind.values(value))
                if kind.has_fields:
                    work.append(self._fields(value))

    def _kind_of(self, cls: type) -> _Kind | None:
        """Tell how objects of a class that is none of the basic ones are kept; None: not at all."""
        has_fields = any(c.__module__ in self._modules for c in cls.__mro__) and not issubclass(cls, type)
        for base in cls.__mro__:
            basic = _BASIC.get(base)
            if basic is not None:
                return basic._replace(has_fields=has_fields or "__dict__" in dir(cls))
        return _Kind(None, None, None, has_fields=True) if has_fields else None


# ----------------------------------------------------------------------------------------------------- internals

_UNSET: Final = object()


def _is_unchanged(container: Any, content: Any) -> bool:
    """Tell whether a container holds what it held, in order: then it is left alone, somebody may be walking through it."""
    if len(container) != len(content):
        return False
    if isinstance(container, set | bytearray):
        return bool(container == content)
    if isinstance(container, OrderedDict):
        return all(a is b and x is y for (a, x), (b, y) in zip(_items(container), content, strict=True))
    if isinstance(container, dict):
        return all(map(is_, dict.keys(container), content)) and all(
            map(is_, dict.values(container), content.values())
        )
    return all(map(is_, type(content).__iter__(content), _plain_iter(container)))


def _plain_iter(container: Any) -> Any:
    return list.__iter__(container) if isinstance(container, list) else deque.__iter__(container)


def _refill_dict(container: dict[Any, Any], content: dict[Any, Any]) -> None:
    dict.clear(container)
    dict.update(container, content)


def _items(container: OrderedDict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(OrderedDict.items(container))


def _refill_ordered(container: OrderedDict[Any, Any], content: list[tuple[Any, Any]]) -> None:
    OrderedDict.clear(container)
    OrderedDict.update(container, content)


def _refill_list(container: Any, content: Any) -> None:
    container[:] = content


def _refill_set(container: set[Any], content: set[Any]) -> None:
    set.clear(container)
    set.update(container, content)


def _refill_deque(container: deque[Any], content: list[Any]) -> None:
    deque.clear(container)
    deque.extend(container, content)


_BASIC: Final[dict[type, _Kind]] = {
    dict: _Kind(dict.copy, _refill_dict, dict.values, has_fields=False),
    OrderedDict: _Kind(_items, _refill_ordered, OrderedDict.values, has_fields=False),
    list: _Kind(list.copy, _refill_list, list.__iter__, has_fields=False),
    set: _Kind(set, _refill_set, None, has_fields=False),
    deque: _Kind(list, _refill_deque, deque.__iter__, has_fields=False),
    bytearray: _Kind(bytes, _refill_list, None, has_fields=False),
    tuple: _Kind(None, None, tuple.__iter__, has_fields=False),
}


def _members_of(cls: type) -> tuple[MemberDescriptorType, ...]:
    """The slots of a class and its bases."""
    return tuple(
        value
        for base in cls.__mro__
        if "__slots__" in base.__dict__
        for value in base.__dict__.values()
        if type(value) is MemberDescriptorType
    )


def _get(member: MemberDescriptorType, subject: Any) -> Any:
    try:
        return member.__get__(subject)
    except AttributeError:
        return _UNSET
