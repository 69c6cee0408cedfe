"""Ids of messages: 63-bit numbers that grow with time.

Layout: 41 bits of milliseconds since 2025 (until 2094), 12 bits of the recipient's shard, 10 bits of a counter. More than
1,024 in a millisecond borrow from the next one. A shard has one owner, so two nodes never make the same id; a user
process also lets no id of a user go back (`Cursor.message`), so a clock that was set back makes none twice for a device.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["MessageIds", "now_ms"]

_EPOCH_MS = 1_735_689_600_000  # 2025-01-01


def now_ms() -> int:
    """Milliseconds since 1970, by the wall clock."""
    return time.time_ns() // 1_000_000


class MessageIds:
    """Gives ids for one node. Shared by its user processes: it never yields, so nobody sees it half done."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._last = 0

    def next(self, shard: int, now: int | None = None) -> int:
        """Return a fresh id for a message to a user of `shard`. `now`: the time in ms, if it is at hand."""
        tick = ((self._clock() if now is None else now) - _EPOCH_MS) << 10
        if tick <= self._last:
            tick = self._last + 1
        self._last = tick
        return (tick >> 10 << 22) | (shard & 0xFFF) << 10 | (tick & 0x3FF)
