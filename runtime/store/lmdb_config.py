"""How the LMDB engine is configured, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreConfig", "StoreInfo"]


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """How to open a store. Sizes in bytes, durations in seconds."""

    path: str
    nshards: int = 64
    """Fixed when the store is made; another number is refused later."""
    migrations: tuple[str, ...] = ()
    """"module:function" names, only ever appended to: runtime.store.migrate."""
    map_initial: int = 64 << 20
    """The file's size limit to begin with; it doubles by itself."""
    max_size: int = 0
    """Refuse writes beyond this size (StoreFull); 0: no limit but the disk's."""
    reserve: int = 4 << 20
    """Space kept back, so that deletes go on when the disk or `max_size` is full."""
    check_upto: int = 256 << 20
    """A file of at most this size is read page by page at each start (0.1 s per 100 MB); 0: never."""
    start_timeout: float = 60.0
    """Opening, waiting for the last owner, and migrations together."""
    lock_timeout: float = 10.0
    """How long the last owner may take to go away before the store counts as in use."""
    max_pending: int = 100_000
    """Unanswered commits; beyond, they are refused as Unavailable."""
    max_pending_bytes: int = 256 << 20
    """And their bytes: each is kept until it is answered."""


@dataclass(frozen=True)
class StoreInfo:
    """What the store looks like now. Sizes in bytes, durations in seconds."""

    path: str
    nshards: int
    schema: int
    writer_pid: int
    writer_restarts: int
    pending: int
    """Commits that are not answered yet."""
    pending_bytes: int
    answered: int
    groups: int
    """Transactions they were answered by: answered / groups is the size of a group."""
    version: int
    latency: float
    """From sending to durable, of one commit a moment ago."""
    stalled: float
    """How long nothing was answered although commits wait; above 2, disk or writer hang (alarm store_stalled)."""
    full: bool
    map_size: int
    used: int
