"""The store contract: what every engine does, in types and errors. No engine, no I/O, no kernel in here.

Theory of operation
-------------------
A *shard* is the home of many users or groups: all durable facts of one user lie in one shard, so one batch
changes them together or not at all. Whoever opens a shard gets a *token* greater than every earlier one and
from then on every older handle is `Fenced`: two owners of one shard can never both commit.

A record is found by (shard, kind, key) and carries a *version*: the number of the commit that wrote it.
Versions of a key only ever grow, also across a delete, so a version is never seen twice (no A-B-A).

A commit is durable on return. It may be made in two forms: `commit` blocks the calling process only;
`commit_request` returns at once and its answer (`Committed` or `CommitFailed`) comes as a message to the calling
process, many in flight, answered in the order of the requests. Reads see only what is committed: a batch that is
still in flight is invisible to `get` and `scan`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

__all__ = [
    "ABSENT", "ANY", "MAX_BATCH", "MAX_KEY", "MAX_KIND", "MAX_OPS", "MAX_SCAN", "MAX_VALUE", "BadBatch",
    "CommitFailed", "Committed", "Conflict", "CorruptRecord", "Del", "Fenced", "MigrationFailed", "NewerSchema", "Op", "Put", "Rec",
    "ShardCountMismatch", "ShardStore", "Store", "StoreCorrupt", "StoreError", "StoreFull", "StoreLocked",
    "Unavailable", "Unknown", "check_ops",
]  # fmt: skip

# --- types -----------------------------------------------------------------------------------------------------

ANY: Final = -1
"""No expectation: write or delete whatever is there."""
ABSENT: Final = 0
"""The key must not be there (insert only). Real versions start at 1."""

MAX_KIND: Final = 32  # bytes; LMDB allows 511 for shard + kind + key together (layout.py)
MAX_KEY: Final = 400  # bytes
MAX_VALUE: Final = 16 << 20  # bytes; bigger things (media) are files, not records
MAX_OPS: Final = 10_000  # per batch: one batch holds up every other one for as long as it is written
MAX_BATCH: Final = (
    32 << 20
)  # bytes of values per batch: about a second of the writer, which everybody waits for
MAX_SCAN: Final = 10_000  # records: a scan runs on the loop without a yield


class Put(NamedTuple):
    """Write a record. `expect`: ANY, ABSENT (insert only), or the version the key must have now."""

    kind: str
    key: bytes
    val: bytes
    expect: int = ANY


class Del(NamedTuple):
    """Delete a record. Idempotent: with ANY, deleting what is not there is no error."""

    kind: str
    key: bytes
    expect: int = ANY


Op = Put | Del


class Rec(NamedTuple):
    """A record as read; `version` is what `expect` compares with."""

    key: bytes
    val: bytes
    version: int


class Committed(NamedTuple):
    """Message: the batch sent with `tag` is durable; all records it put have this `version`."""

    tag: Any
    version: int


class CommitFailed(NamedTuple):
    """Message: the batch sent with `tag` was not applied (`Unknown`: may or may not have been)."""

    tag: Any
    error: StoreError


class ShardStore(Protocol):
    """A shard, opened by its owner. Not to be shared between operating-system threads."""

    @property
    def shard(self) -> int: ...
    @property
    def token(self) -> int: ...

    def commit(self, ops: Sequence[Op], timeout: float = 30.0) -> int:
        """Apply all of `ops`, in order, or none; durable on return. Blocks the calling process only.

        Returns the version of the records it put. `timeout` is in seconds.

        Raises:
            Fenced, Conflict, StoreFull, CorruptRecord, Unavailable: nothing was applied.
            Unknown: the engine went away or `timeout` passed before the answer; the batch may be durable.
            BadBatch: a malformed operation; nothing was sent.
        """

    def commit_request(self, ops: Sequence[Op], tag: Any) -> None:
        """Like `commit`, but returns at once: `Committed` or `CommitFailed` comes to the calling process.

        Answers come in the order of the requests of this store. `tag` is handed back as it is.
        Raises only BadBatch; every other failure is a `CommitFailed` message.
        """

    def get(self, kind: str, key: bytes) -> Rec | None:
        """Read the committed record, or None. Does not block. Raises CorruptRecord, Unavailable."""

    def scan(
        self,
        kind: str,
        lo: bytes = b"",
        hi: bytes | None = None,
        limit: int = 1000,
        damaged: list[bytes] | None = None,
    ) -> list[Rec]:
        """Read the records with lo <= key < hi in ascending order of bytes, at most `limit` (<= MAX_SCAN).

        `hi` None: to the end of the kind. A damaged record raises CorruptRecord, unless a list is given as
        `damaged`: then its key is appended there, and the scan goes on without it.
        """


class Store(Protocol):
    """A store of `nshards` shards; that number is fixed when the store is made."""

    @property
    def nshards(self) -> int: ...

    def open_shard(self, shard: int, owner: str) -> ShardStore:
        """Take the shard over: the new token is durable on return and every older handle is Fenced.

        Blocks the calling process. Raises ValueError for a shard out of range, StoreFull, Unavailable, Unknown.
        """

    def close(self) -> None:
        """Finish what is in flight and close. Idempotent. Every handle is Unavailable from now on."""


# --- errors ----------------------------------------------------------------------------------------------------


class StoreError(Exception):
    """The store refuses or cannot. `args` hold exactly the constructor's arguments (they cross processes)."""


class BadBatch(StoreError, ValueError):
    """The caller's mistake, found before anything was sent: says which operation and what is allowed."""


class Fenced(StoreError):
    """A newer owner has opened the shard: stop acting for it. (shard, our token, the current token)"""

    def __init__(self, shard: int, token: int, current: int) -> None:
        super().__init__(shard, token, current)
        self.shard, self.token, self.current = shard, token, current

    def __str__(self) -> str:
        return f"shard {self.shard}: token {self.token} is fenced by {self.current}"


class Conflict(StoreError):
    """An expected version did not hold; `found` is the version that is there, ABSENT (0) if none."""

    def __init__(self, kind: str, key: bytes, expected: int, found: int) -> None:
        super().__init__(kind, key, expected, found)
        self.kind, self.key, self.expected, self.found = kind, key, expected, found

    def __str__(self) -> str:
        return f"{self.kind} {self.key!r}: expected version {self.expected}, found {self.found}"


class Unavailable(StoreError):
    """The store does not serve now; nothing was applied, trying again later is safe."""


class Unknown(StoreError):
    """The outcome is not known: the batch may or may not be durable. Read, then decide."""


class StoreFull(StoreError):
    """No space: nothing was applied, nothing was lost. Deletes go on; writes do again when space comes back."""


class CorruptRecord(StoreError):
    """This record's bytes do not fit its checksum; it is never served. Writing or deleting it repairs it."""

    def __init__(self, shard: int, kind: str, key: bytes) -> None:
        super().__init__(shard, kind, key)
        self.shard, self.kind, self.key = shard, kind, key

    def __str__(self) -> str:
        return f"damaged record: shard {self.shard}, {self.kind} {self.key!r} does not fit its checksum"


class StoreCorrupt(StoreError):
    """The store's file itself is damaged. The text names the command that restores a backup."""

    def __init__(self, path: str, why: str, backup: str | None = None) -> None:
        super().__init__(path, why, backup)
        self.path, self.why, self.backup = path, why, backup

    def __str__(self) -> str:
        source = self.backup or "BACKUP_DIRECTORY"
        return (
            f"the store in {self.path} is damaged ({self.why}); nothing was changed. Restore the last backup with: "
            f"{sys.executable} -m runtime.store restore {source} {self.path}"
        )


class NewerSchema(StoreError):
    """The store was written by a newer version of the software; refused, nothing was touched."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(path, found, known)
        self.path, self.found, self.known = path, found, known

    def __str__(self) -> str:
        return f"the store in {self.path} has schema {self.found}, this software knows up to {self.known}"


class MigrationFailed(StoreError):
    """A migration raised: the store is as it was before it. (name of the migration, what it raised)"""


class ShardCountMismatch(StoreError):
    """The number of shards is fixed when the store is made; another one was asked for."""

    def __init__(self, path: str, found: int, asked: int) -> None:
        super().__init__(path, found, asked)
        self.path, self.found, self.asked = path, found, asked

    def __str__(self) -> str:
        return f"the store in {self.path} was made with {self.found} shards, the configuration asks for {self.asked}"


class StoreLocked(StoreError):
    """Another process owns the store (its pid, 0 if not known)."""

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(path, pid)
        self.path, self.pid = path, pid

    def __str__(self) -> str:
        return f"the store in {self.path} is in use by process {self.pid or 'unknown'}"


# --- API -------------------------------------------------------------------------------------------------------


def check_ops(ops: Sequence[Op]) -> None:
    """Refuse a malformed batch with BadBatch, before any side effect. Cheap: it runs for each commit."""
    if not ops or len(ops) > MAX_OPS:
        raise BadBatch(f"a batch holds 1 to {MAX_OPS} operations, not {len(ops)}")
    size = 0
    for op in ops:
        kind = type(op)
        key = op.key if kind is Put or kind is Del else None
        if (
            type(key) is not bytes
            or len(key) > MAX_KEY
            or type(op.expect) is not int
            or not ANY <= op.expect < _VERSIONS
        ):
            raise BadBatch(
                f"not an operation: {str(op)[:200]} (Put or Del, key of at most {MAX_KEY} bytes, expect >= -1)"
            )
        if kind is Put:
            val = op.val  # type: ignore[union-attr]
            if type(val) is not bytes or len(val) > MAX_VALUE:
                raise BadBatch(f"value of {op.kind} {key!r}: bytes of at most {MAX_VALUE} are allowed")
            size += len(val)
        if op.kind not in _KINDS:
            _check_kind(op.kind)
    if size > MAX_BATCH:
        raise BadBatch(f"a batch of {size} bytes: at most {MAX_BATCH} are allowed, together")


# --- internals -------------------------------------------------------------------------------------------------

_VERSIONS: Final = 1 << 63  # what a version is below, in the file and on the wire
_KINDS: set[str] = set()  # kinds already found well formed: a cache, bounded by what the code names


def _check_kind(kind: str) -> None:
    if not isinstance(kind, str) or not kind or "\0" in kind or len(kind.encode()) > MAX_KIND:
        raise BadBatch(f"kind {kind!r}: a name of 1 to {MAX_KIND} bytes without NUL is allowed")
    if len(_KINDS) < 1000:
        _KINDS.add(kind)
