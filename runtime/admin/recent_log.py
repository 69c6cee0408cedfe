"""The last few hundred things that the node logged, kept in memory for `reports()`, and in crash dumps."""

from __future__ import annotations

import logging
from collections import deque
from itertools import count
from typing import Any, Final, NamedTuple

from runtime.observe import crash_dump
from runtime.observe.log_format import HumanFormatter

__all__ = ["Entry", "RecentLog", "last", "recent", "since"]

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


def recent(n: int, level: str, kept: list[dict[str, Any]] | None = None) -> list[str]:
    """Return the last `n` entries of at least that level, oldest first. Raises ValueError for a level there is not.

    `kept`: of these, as `last` returned them at another time.
    """
    least = logging.getLevelNamesMapping().get(level.upper())
    if least is None:
        raise ValueError(f"there is no level {level!r}")
    entries = _all() if kept is None else kept
    found = [str(entry["text"]) for entry in entries if entry["level"] >= least]
    return found[-n:] if n > 0 else []


def last() -> list[dict[str, Any]] | None:
    """Return what is kept, the oldest first, as plain values; None where nothing is."""
    has_any = any(isinstance(handler, RecentLog) for handler in logging.getLogger().handlers)
    return _all() if has_any else None


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


def _all() -> list[dict[str, Any]]:
    found: list[Entry] = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecentLog):
            found += [*handler.serious, *handler.others]
    return [entry._asdict() for entry in sorted(found)]


crash_dump.add("reports", last)
_numbers = count(1)
