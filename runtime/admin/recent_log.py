"""The last few hundred things that the node logged, kept in memory for `reports()`."""

from __future__ import annotations

import logging
from collections import deque
from itertools import count
from typing import Final, NamedTuple

from runtime.observe.log_format import HumanFormatter

__all__ = ["Entry", "RecentLog", "recent", "since"]

_KEPT: Final = 500
_CHARS: Final = 20_000

# Types


class Entry(NamedTuple):
    """One record. `number` rises by one with each, whatever the clock does; `at`: seconds of the epoch."""

    number: int
    level: int
    at: float
    text: str


class RecentLog(logging.Handler):
    """Keeps lines as they would be written. Of INFO and below it keeps few, so that they do not push out what matters."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = None  # appending to a deque is one step, and a lock held by a process would hold the loop
        self.setFormatter(HumanFormatter(False))
        self.serious: deque[Entry] = deque(maxlen=_KEPT)
        self.others: deque[Entry] = deque(maxlen=_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record. What cannot be formatted is the log's own handler's to complain of."""
        try:
            text = self.format(record)[:_CHARS]
        except Exception:  # noqa: BLE001 - anybody's arguments
            return
        kept = self.serious if record.levelno >= logging.WARNING else self.others
        kept.append(Entry(next(_numbers), record.levelno, record.created, text))


# API


def recent(n: int, level: str) -> list[str]:
    """Return the last `n` entries of at least that level, oldest first. Raises ValueError for a level there is not."""
    least = logging.getLevelNamesMapping().get(level.upper())
    if least is None:
        raise ValueError(f"there is no level {level!r}")
    found = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecentLog):
            found += [entry for entry in [*handler.serious, *handler.others] if entry.level >= least]
    found.sort()
    return [entry.text for entry in found[-n:]] if n > 0 else []


def since(after: int, level: str, most: int, chars: int) -> list[Entry]:
    """Return the last `most` entries with a number above `after`, the oldest first; of more than `chars`, the newest.

    `level`: the least; one that there is not counts as info.
    """
    least = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    found = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecentLog):
            for kept in (handler.serious, handler.others):
                for entry in reversed(list(kept)):
                    if entry.number <= after:
                        break
                    if entry.level >= least:
                        found.append(entry)
    found.sort(reverse=True)
    fitting: list[Entry] = []
    for entry in found[:most]:
        chars -= len(entry.text)
        if chars < 0 and fitting:
            break
        fitting.append(entry)
    fitting.reverse()
    return fitting


# Internals

_numbers = count(1)
