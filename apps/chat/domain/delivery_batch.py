"""The parts that a delivery queue works with: a batch on its way to the store, a release on its way out."""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.chat.domain.messages import Outgoing, Receipts
from apps.chat.domain.records import Entry
from runtime.store import Op

__all__ = ["Batch", "Intent", "Mark", "Note", "Release"]

Intent = tuple[Any, str, Outgoing, int]
"""Session, sender, send, round: what a Submit asked for, one by one."""


class Note(NamedTuple):
    """Something the operator should know: `queue_full`, `set_aside`, `damaged`."""

    what: str
    seq: int


class Mark(NamedTuple):
    """A number in the queue, and the bytes ever queued up to it."""

    seq: int
    total: int


class Batch:
    """Operations that are committed together, and who is told then."""

    __slots__ = (
        "answers", "aside", "entries", "intents", "merge", "number", "ops", "receipts", "release", "taken",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.ops: list[Op] = []
        self.entries: list[Entry] = []
        self.receipts = 0  # among the entries: the others are messages
        self.intents: list[Intent | Receipts] = []  # to make the batch again
        self.answers: dict[Any, list[tuple[bytes, int, int]]] = {}
        self.taken: list[tuple[Any, int]] = []
        self.merge: dict[tuple[str, str], int] = {}  # (who, status) -> index in entries
        self.release: Mark | None = None
        self.aside = False


class Release:
    """Acknowledged entries up to `mark`; they go when no receipts are `waiting` (ref -> sender and message) any more."""

    __slots__ = ("mark", "retry_at", "waiting")

    def __init__(self, mark: Mark, waiting: dict[int, tuple[str, Receipts]], retry_at: float) -> None:
        self.mark = mark
        self.waiting = waiting
        self.retry_at = retry_at
