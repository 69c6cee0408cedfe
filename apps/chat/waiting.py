"""How much waits in the store for devices, of all users of this node, whether their processes run or not.

There is no counter: one would have to be exact over every crash, and queues are written by thousands of processes. What is
there can be counted, though: queue by queue, a few records where few wait, and where many do, by the gap-free numbers of
their entries (`records`), some twenty reads. A microsecond or two for each short queue's entry, in slices that let others
run.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from apps.chat.domain import records
from apps.chat.domain.queue_state import probe
from apps.chat.domain.records import QUEUE
from runtime.observe.slices import Breather
from runtime.store.contract import CorruptRecord

if TYPE_CHECKING:
    from apps.chat.domain.homes import HomeShard
    from runtime.store.contract import ShardStore

__all__ = ["Waiting", "count"]

_STEP = 64
"""Records of one look; a queue that is longer is measured by its numbers."""

# Types


class Waiting(NamedTuple):
    """`users` have `entries` waiting, messages and receipts; counting took `seconds`. As of no single moment."""

    users: int
    entries: int
    seconds: float


# API


def count(shards: Iterable[HomeShard]) -> Waiting:
    """Count. Gives way while it works. Raises StoreError when the store cannot be read."""
    began = monotonic()
    breather = Breather()
    users = entries = 0
    for home in list(shards):
        store, at, before = home.store, b"", b""
        while found := store.scan(QUEUE, at, None, _STEP, []):
            entries += len(found)
            for record in found:
                user = _user_of(record.key)
                users += user != before
                before = user
            at = found[-1].key + b"\0"
            if len(found) == _STEP and _user_of(found[0].key) == before:
                entries += _beyond(store, before, records.seq_of(found[-1].key))
                at = records.prefix_end(before + b"\0")
            breather.take()
    return Waiting(users, entries, monotonic() - began)


# Internals


def _user_of(key: bytes) -> bytes:
    return key[:-9]


def _beyond(store: ShardStore, user: bytes, seq: int) -> int:
    """How many entries there are after that number."""
    prefix = user + b"\0"

    def exists(number: int) -> bool:
        try:
            return store.get(QUEUE, records.queue_key(prefix, number)) is not None
        except CorruptRecord:
            return True

    return probe(seq, exists) - seq
