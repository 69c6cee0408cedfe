"""Finding what a release must touch among all living objects: functions by their code, caches, instances.

Functions sit in tables, closures, partials, timers: no index of ours could know them all, the garbage collector does.
A walk over all its objects inside the step would stop the node (some 50 ns each), so the walk is done before it, in
slices, with collections off: whatever is born afterwards is then in the youngest generation, which is all that the
step itself looks through.

`gc.freeze()` hides objects from this walk, so it is undone first.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable
from types import FrameType, FunctionType
from typing import Any

from runtime import kernel

from .structs import is_struct, leads_to, may_lead

__all__ = ["Heap", "instances_of"]

_SLICE = 20_000
"""Objects looked at between two pauses: about half a millisecond."""
_HOLDERS_SLICE = 1_000
"""Likewise, when the referents of each are looked at, too."""
_HAS_GC = 1 << 14
_NO_HOLDERS = (FrameType, FunctionType, tuple, frozenset)
"""Types whose objects are not changed in place: tuples are exchanged at their own holders."""
_LRU = type(functools.lru_cache(lambda: None))


class Heap:
    """The functions that run one of `codes` (by id), the lru_caches, the instances of `classes` and their subclasses, and
    whoever holds an instance of one of `structs`.
    """

    def __init__(
        self, codes: Iterable[int], classes: Iterable[type] = (), structs: Iterable[type] = ()
    ) -> None:
        self._codes = frozenset(codes)
        self._classes = family(classes)
        self._structs = family(structs)
        self.functions: dict[int, list[FunctionType]] = {}
        self.caches: list[Any] = []
        self.holders: list[Any] = []
        self._class_dicts: set[int] = set()
        self._look: dict[type, bool] = {}
        """Whether an object of a type may lead to an instance of one of `structs`: most cannot."""
        self._instances: dict[int, Any] = {}

    def look(self, pause: Callable[[], None]) -> None:
        """Walk all objects, in slices. The caller has collections off until the step is over."""
        gc.unfreeze()
        pile = gc.get_objects()
        size = _HOLDERS_SLICE if self._structs else _SLICE
        while pile:
            self._sort(pile[-size:])
            del pile[-size:]
            if pile:
                pause()

    def look_again(self) -> None:
        """Walk the objects born since; in the step."""
        self._sort(gc.get_objects(generation=0))

    def instances(self, cls: type) -> list[Any]:
        """Return the living instances of `cls` and its subclasses; `cls` need not be among those looked for."""
        if (
            cls not in self._classes
            or not all(c.__flags__ & _HAS_GC for c in family([cls]))
            or _is_struct(cls)
        ):
            return instances_of(cls)
        wanted = family([cls])
        return [o for o in self._instances.values() if type(o) in wanted]

    def take_holders(self) -> list[Any]:
        """Return who holds an instance of one of `structs`, and forget them."""
        found = [o for o in self.holders if id(o) not in self._class_dicts]
        self.holders = []
        return found

    def count(self, cls: type) -> int:
        """Count the living instances of `cls` and its subclasses, but for those that only this walk has kept alive."""
        wanted = family([cls])
        for key in [key for key, o in self._instances.items() if type(o) in wanted]:
            del self._instances[key]
        return len(instances_of(cls))

    def _sort(self, objects: list[Any]) -> None:
        codes, classes, functions = self._codes, self._classes, self.functions
        for o in objects:
            kind = type(o)
            if kind is FunctionType:
                key = id(o.__code__)
                if key in codes:
                    functions.setdefault(key, []).append(o)
            elif kind is _LRU:
                self.caches.append(o)
            elif kind in classes:
                self._instances[id(o)] = o
        if self._structs:
            self._find_holders(objects)

    def _find_holders(self, objects: list[Any]) -> None:
        wanted, look, get = self._structs, self._look, self._look.get
        own = {id(self.holders), id(self.caches), id(self._instances), id(objects)}
        for o in objects:
            kind = type(o)
            if kind in _NO_HOLDERS or id(o) in own:
                continue
            referents = gc.get_referents(o)
            if isinstance(o, type):  # its dict must not be written to behind its back
                self._class_dicts.update(id(r) for r in referents if type(r) is dict)
            for r in referents:
                is_of_interest = get(type(r))
                if is_of_interest is None:
                    is_of_interest = look[type(r)] = may_lead(type(r), wanted)
                if is_of_interest and leads_to(r, wanted):
                    self.holders.append(o)
                    break


def family(classes: Iterable[type]) -> set[type]:
    """Return the classes and all their subclasses."""
    found = set(classes)
    open_ = list(found)
    sub: type
    while open_:
        for sub in type.__subclasses__(open_.pop()):
            if sub not in found:
                found.add(sub)
                open_.append(sub)
    return found


def instances_of(cls: type) -> list[Any]:
    """Return the living instances of `cls` and its subclasses, by a walk over everything.

    Objects that the collector does not track (no fields of their own, or nothing in them that could make a cycle) are
    found through whoever holds them.
    """
    wanted = family([cls])
    if all(c.__flags__ & _HAS_GC for c in wanted) and not _is_struct(cls):
        return [o for o in gc.get_objects() if type(o) in wanted]
    found: dict[int, Any] = {}
    for holder in gc.get_objects():
        for o in (holder, *gc.get_referents(holder)):
            if type(o) in wanted:
                found[id(o)] = o
    for _, top in kernel.stacks():  # the frames of a stack that waits are no objects of the collector's
        frame: FrameType | None = top
        while frame is not None:
            for o in frame.f_locals.values():
                if type(o) in wanted:
                    found[id(o)] = o
            frame = frame.f_back
    return list(found.values())


def _is_struct(cls: type) -> bool:
    """A msgspec Struct is tracked by the collector only while one of its fields holds a container."""
    return is_struct(cls)
