"""Lazy deadlines for very many connections: no timer is armed or cancelled when a packet comes.

Each connection knows its own next deadline (from stamps that the hot path merely overwrites) and stands in one
bucket of this wheel, at or before that deadline. When the bucket is due the connection is asked: it acts, or
names its next deadline and moves on. So a connection that talks all the time is looked at once per time limit.
One loop timer serves all of them; buckets are `RESOLUTION` seconds wide, so a limit may end that much late.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil
from typing import Any, Protocol

from runtime.kernel import clock

__all__ = ["RESOLUTION", "Wheel", "wheel"]

RESOLUTION = 0.05
_SLICE = 500  # connections looked at in one go: some 0.5 ms


class _Timed(Protocol):
    """What stands in the wheel. `_bucket` is the wheel's: the bucket's number, 0 for none."""

    _bucket: int

    def _check_deadlines(self, now: float) -> float | None:
        """Act on what is overdue; return the next deadline, or None to leave the wheel."""
        ...


class Wheel:
    """Buckets of connections by due time.

    Invariants: item._bucket == n  <=>  item in buckets[n], n != 0; every bucket's number is in the heap; a timer
    is armed for the heap's head or an earlier time whenever there is a bucket.
    """

    __slots__ = ("_buckets", "_due", "_heap", "_timer")

    def __init__(self) -> None:
        self._buckets: dict[
            int, tuple[int, set[Any]]
        ] = {}  # the number again: one object for all in the bucket
        self._heap: list[int] = []
        self._timer: Any = None
        self._due = 0  # the bucket that the timer is armed for

    def __len__(self) -> int:
        return sum(len(bucket) for _, bucket in self._buckets.values())

    def due(self, item: _Timed, when: float) -> None:
        """See to it that `item` is asked at `when` (clock.now() seconds) or before. O(1); usually does nothing."""
        number = ceil(when / RESOLUTION)
        if item._bucket:
            if item._bucket <= number:
                return
            self.forget(item)
        self._put(item, number)

    def forget(self, item: _Timed) -> None:
        """Take `item` out, if it is in."""
        number, item._bucket = item._bucket, 0
        if number:
            bucket = self._buckets.get(number)
            if bucket is not None:
                bucket[1].discard(item)
                if not self._timer_is_needed():
                    self._disarm()

    def _put(self, item: _Timed, number: int) -> None:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = (number, set())
            heappush(self._heap, number)
        item._bucket = bucket[0]
        bucket[1].add(item)
        if self._timer is None or number < self._due:
            self._arm(number)

    def _timer_is_needed(self) -> bool:
        # Empty buckets at the head go at once, so that a node without connections holds no timer.
        heap, buckets = self._heap, self._buckets
        while heap and not buckets[heap[0]][1]:
            del buckets[heappop(heap)]
        return bool(heap)

    def _arm(self, number: int) -> None:
        self._disarm()
        self._due = number
        self._timer = clock.after(max(0.0, number * RESOLUTION - clock.now()), self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Hub: ask those who are due, at most a slice of them, then come back."""
        self._timer = None
        now = clock.now()
        present = int(now / RESOLUTION + 1e-6)  # the timer may be a rounding error early
        left = _SLICE
        try:
            while left and self._timer_is_needed() and self._heap[0] <= present:
                _, bucket = self._buckets[self._heap[0]]
                while bucket and left:
                    left -= 1
                    item = bucket.pop()
                    item._bucket = 0
                    deadline = item._check_deadlines(now)
                    if deadline is not None:
                        # Never into the present bucket again: a deadline in the past would spin here.
                        self.due(item, max(deadline, (present + 1) * RESOLUTION))
        finally:
            if self._timer_is_needed():
                self._arm(self._heap[0])


wheel = Wheel()
"""The one wheel of this loop."""
