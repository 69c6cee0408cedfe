"""Long looks in short slices: `for p in living(): ...` gives the others a turn every half millisecond.

What is looked at changes meanwhile: a process may be gone, or a new one missing. Outside a process (in the hub, at the end
of the node) nobody can be given a turn, and the look is one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

from runtime.kernel import NotAProcess, Process, scheduler, self_, yield_

__all__ = ["Breather", "living", "sliced"]

SLICE = 0.0005
"""Seconds of a look before others have a turn."""
_BLOCK = 512
_SPARSE = 8
"""With more numbers than so many times the living processes, it is quicker to copy than to look each up."""
T = TypeVar("T")

# API


class Breather:
    """`take()` gives way when the slice is over; cheap enough for every few items."""

    __slots__ = ("_may", "_until")

    def __init__(self) -> None:
        try:
            self._may = self_().q is not scheduler.DEADQ
        except NotAProcess:
            self._may = False
        self._until = monotonic() + SLICE

    @property
    def is_useful(self) -> bool:
        """Others can be given a turn: the caller is a process."""
        return self._may

    def take(self) -> None:
        """Let others run if it is their turn."""
        if self._may and monotonic() > self._until:
            yield_()
            self._until = monotonic() + SLICE


def living(breather: Breather | None = None) -> Iterator[list[Process]]:
    """Yield every living process, oldest first, in blocks of some hundred, with breath between them."""
    breather = breather or Breather()
    table, dead = scheduler.table, scheduler.DEADQ
    if not table:
        return
    first, last = next(iter(table)), next(reversed(table))
    if last - first < _SPARSE * len(table):
        # By their numbers: nothing to copy, which for 200,000 would take 4 ms in one piece.
        get = table.get
        for at in range(first, last + 1, _BLOCK):
            found = map(get, range(at, min(at + _BLOCK, last + 1)))
            yield [p for p in found if p is not None and p.q is not dead]
            breather.take()
        return
    everybody = list(table.values())
    everybody.reverse()
    breather.take()
    while everybody:
        block = everybody[-_BLOCK:]
        del everybody[-_BLOCK:]  # bit by bit: to let go of all at once takes as long as to take hold of them
        block.reverse()
        yield [p for p in block if p.q is not dead]
        breather.take()


def sliced(items: Iterable[T], every: int = 16, breather: Breather | None = None) -> Iterator[T]:
    """Yield the items, with breath after each `every`."""
    breather = breather or Breather()
    for number, item in enumerate(items, 1):
        yield item
        if not number % every:
            breather.take()
