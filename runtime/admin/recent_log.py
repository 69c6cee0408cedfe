"""The last few hundred things that the node logged, kept in memory for `reports()`."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from runtime.observe.log_format import HumanFormatter

__all__ = ["RecentLog", "recent", "since"]

_KEPT: Final = 500
_CHARS: Final = 20_000

# Types


class RecentLog(logging.Handler):
    """Keeps lines as they would be written. Of INFO and below it keeps few, so that they do not push out what matters."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = None  # appending to a deque is one step, and a lock held by a process would hold the loop
        self.setFormatter(HumanFormatter(False))
        self.serious: deque[tuple[int, float, str]] = deque(maxlen=_KEPT)
        self.others: deque[tuple[int, float, str]] = deque(maxlen=_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record. What cannot be formatted is the log's own handler's to complain of."""
        try:
            text = self.format(record)[:_CHARS]
        except Exception:  # noqa: BLE001 - anybody's arguments
            return
        (self.serious if record.levelno >= logging.WARNING else self.others).append(
            (record.levelno, record.created, text)
        )


# API


def recent(n: int, level: str) -> list[str]:
    """Return the last `n` entries of at least that level, oldest first. Raises ValueError for a level there is not."""
    least = logging.getLevelNamesMapping().get(level.upper())
    if least is None:
        raise ValueError(f"there is no level {level!r}")
    found = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecentLog):
            found += [entry for entry in [*handler.serious, *handler.others] if entry[0] >= least]
    found.sort(key=lambda entry: entry[1])
    return [text for _, _, text in found[-n:]] if n > 0 else []


def since(after: float, level: str, most: int) -> list[tuple[str, float, str]]:
    """Return (level, seconds of the epoch, text) of the last `most` entries later than `after`, oldest first.

    `level`: the least; one that there is not counts as info.
    """
    least = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    found = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecentLog):
            for kept in (handler.serious, handler.others):
                for entry in reversed(list(kept)):
                    if entry[1] <= after:
                        break
                    if entry[0] >= least:
                        found.append(entry)
    found.sort(key=lambda entry: entry[1])
    return [(logging.getLevelName(number).lower(), at, text) for number, at, text in found[-most:]]
