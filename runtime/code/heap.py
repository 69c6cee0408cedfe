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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import compress, filterfalse
from types import FrameType, FunctionType
from typing import Any

from runtime import kernel

from .structs import DEEPEST, is_struct, leads_to, may_lead

__all__ = ["Heap", "collect_young", "instances_of", "uncollected"]

_SLICE = 8_000
"""Objects looked at between two pauses: about half a millisecond."""
_HOLDERS_SLICE = 2_000
"""Likewise, when their referents are looked at, too."""
_YOUNG = 3_000
"""Objects that are young together at most."""
_BUNCH = 128
"""Objects whose referents are looked at together: seldom is one of interest among them."""
_NO_WAY, _IS_ONE, _THROUGH, _UNTRACKED = range(4)
"""An object may lead nowhere; be what is looked for; hold it, as a tuple does; or do so if the collector does not track it."""
_HAS_GC = 1 << 14
_MANY = 5_000
"""Referents after which there is a pause at once."""
_NO_HOLDERS = (FrameType, FunctionType, tuple, frozenset)
"""Types whose objects are not changed in place: tuples are exchanged at their own holders."""
_LRU = type(functools.lru_cache(lambda: None))


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector from running by itself: to look through syntax trees, many objects and none of them garbage, would
    take it long. Who makes them calls `collect_young` between slices.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def collect_young() -> None:
    """Have the collector look through the youngest objects, when there are as many as it can do in half a millisecond."""
    if gc.get_count()[0] > _YOUNG:
        gc.collect(0)


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
        self._class_dicts: dict[int, type] = {}
        """Whose a dict is, by its id."""
        self._ways: dict[type, int] = {}
        self._instances: dict[int, Any] = {}
        self._collections = -1

    def look(self, pause: Callable[[], None]) -> None:
        """Walk all objects, in slices. The caller has collections off until the step is over."""
        gc.unfreeze()
        gc.collect(0)
        self._collections = _collections()
        size = _HOLDERS_SLICE if self._structs else _SLICE
        for generation in (2, 1):
            pause()
            pile = gc.get_objects(generation=generation)
            while pile:
                pause()
                self._sort(pile[-size:], pause)
                del pile[-size:]

    def look_again(self) -> None:
        """Walk the objects born since; in the step."""
        # Somebody may have collected all the same: then those born since are among the old ones.
        untouched = self._collections == _collections()
        self._sort(gc.get_objects(generation=0) if untouched else gc.get_objects(), lambda: None)

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
        # The dict of a class must not be written to behind its back.
        found = [self._class_dicts.get(id(o), o) for o in self.holders]
        self.holders = []
        return found

    def count(self, cls: type) -> int:
        """Count the living instances of `cls` and its subclasses, but for those that only this walk has kept alive."""
        wanted = family([cls])
        for key in [key for key, o in self._instances.items() if type(o) in wanted]:
            del self._instances[key]
        return len(instances_of(cls))

    def _sort(self, objects: list[Any], pause: Callable[[], None]) -> None:
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
            self._find_holders(objects, pause)

    def _find_holders(self, objects: list[Any], pause: Callable[[], None]) -> None:
        kinds = {kind: issubclass(kind, type) for kind in set(map(type, objects))}
        if any(kinds.values()):
            for cls in objects:
                if kinds[type(cls)]:
                    self._class_dicts.update((id(r), cls) for r in gc.get_referents(cls) if type(r) is dict)
        possible = [o for o in objects if type(o) not in _NO_HOLDERS]
        own = {id(self.holders), id(self.caches), id(self._instances), id(objects), id(possible)}
        for start in range(0, len(possible), _BUNCH):
            bunch = possible[start : start + _BUNCH]
            held = gc.get_referents(*bunch)
            if self._some_lead(held):
                wanted = self._structs
                for o in bunch:
                    if id(o) not in own and any(leads_to(r, wanted) for r in gc.get_referents(o)):
                        self.holders.append(o)
            if len(held) > _MANY:  # a table of all processes, say
                pause()

    def _some_lead(self, values: list[Any]) -> bool:
        """Tell whether `leads_to` says yes to one of `values`. Asked for many together, as it mostly does not."""
        for _ in range(DEEPEST + 1):
            kinds = list(map(type, values))
            ways = {kind: self._way(kind) for kind in set(kinds)}
            found = set(ways.values())
            if _IS_ONE in found:
                return True
            inner: list[Any] = []
            if _THROUGH in found:
                inner += compress(
                    values, map({k for k, way in ways.items() if way == _THROUGH}.__contains__, kinds)
                )
            if _UNTRACKED in found:
                some = compress(
                    values, map({k for k, way in ways.items() if way == _UNTRACKED}.__contains__, kinds)
                )
                inner += filterfalse(gc.is_tracked, some)
            if not inner:
                return False
            values = gc.get_referents(*inner)
        return True

    def _way(self, kind: type) -> int:
        """Return how an object of a type may lead to an instance of one of `structs`."""
        way = self._ways.get(kind)
        if way is None:
            if kind in self._structs:
                way = _IS_ONE
            elif not may_lead(kind, self._structs):
                way = _NO_WAY
            else:
                way = _THROUGH if issubclass(kind, (tuple, frozenset)) else _UNTRACKED
            self._ways[kind] = way
        return way


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


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
    objects = gc.get_objects()
    for start in range(0, len(objects), _BUNCH):
        bunch = objects[start : start + _BUNCH]
        held = gc.get_referents(*bunch)
        if not wanted.isdisjoint(map(type, bunch)) or not wanted.isdisjoint(map(type, held)):
            found.update((id(o), o) for o in (*bunch, *held) if type(o) in wanted)
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
