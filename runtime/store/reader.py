"""Reading: the writer's environment, opened read-only in the node.

Every read is a transaction of its own that ends before the call returns (LMDB reuses its slot: about 1 µs). It is never
held across a yield: one that lives long keeps every page that was freed since, and the file grows without end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lmdb

from runtime.store import layout
from runtime.store.contract import MAX_SCAN, CorruptRecord, Rec, Unavailable
from runtime.store.environment import broken
from runtime.store.layout import Damaged, unpack

__all__ = ["Reader"]


class Reader:
    """Point reads and scans. `damage` is called with each damaged record met."""

    def __init__(self, path: str, damage: Callable[[CorruptRecord], None]) -> None:
        self.path = path
        self._damage = damage
        self._env: Any = None

    def open(self) -> None:
        """Open, or open again after the files were replaced (no yield between: nobody sees it closed)."""
        self.close()
        self._env = lmdb.open(
            self.path, readonly=True, create=False, map_size=0, readahead=False, max_spare_txns=4
        )

    def close(self) -> None:
        """Close; reads are Unavailable from now on. Idempotent."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def get(self, shard: int, kind: str, prefix: bytes, key: bytes) -> Rec | None:
        """Read one record. `prefix` is `layout.record_prefix(shard, kind)`."""
        full = prefix + key
        txn = self._begin()
        try:
            raw = txn.get(full)
        except lmdb.Error as error:
            raise broken(self.path, error) from error
        finally:
            txn.abort()
        if raw is None:
            return None
        try:
            version, val = unpack(full, raw)
        except Damaged:
            raise self._damaged(shard, kind, key) from None
        return Rec(key, val, version)

    def scan(
        self,
        shard: int,
        kind: str,
        prefix: bytes,
        lo: bytes,
        hi: bytes | None,
        limit: int,
        damaged: list[bytes] | None,
    ) -> list[Rec]:
        """Read a range in order; see contract.ShardStore.scan."""
        if not 0 < limit <= MAX_SCAN:
            raise ValueError(f"limit {limit}: 1 to {MAX_SCAN} are allowed")
        end = layout.end_of_kind(prefix) if hi is None else prefix + hi
        skip = len(prefix)
        found: list[Rec] = []
        txn = self._begin()
        try:
            with txn.cursor() as cursor:
                if not cursor.set_range(prefix + lo):
                    return found
                for full, raw in cursor.iternext():
                    if full >= end:
                        break
                    try:
                        version, val = unpack(full, raw)
                    except Damaged:
                        error = self._damaged(shard, kind, full[skip:])
                        if damaged is None:
                            raise error from None
                        damaged.append(error.key)
                        continue
                    found.append(Rec(full[skip:], val, version))
                    if len(found) == limit:
                        break
        except lmdb.Error as error:
            raise broken(self.path, error) from error
        finally:
            txn.abort()
        return found

    def info(self) -> dict[str, int]:
        """LMDB's figures: map_size, and `used` bytes of the file."""
        env = self._env
        if env is None:
            return {"map_size": 0, "used": 0}
        info = env.info()
        return {"map_size": info["map_size"], "used": (info["last_pgno"] + 1) * env.stat()["psize"]}

    # --- internals ---------------------------------------------------------------------------------------------

    def _begin(self) -> Any:
        env = self._env
        if env is None:
            raise Unavailable(f"the store in {self.path} is closed")
        try:
            return env.begin()
        except lmdb.MapResizedError:  # the writer has made the map bigger
            env.set_mapsize(0)
            return env.begin()
        except lmdb.Error as error:
            raise broken(self.path, error) from error

    def _damaged(self, shard: int, kind: str, key: bytes) -> CorruptRecord:
        error = CorruptRecord(shard, kind, key)
        self._damage(error)
        return error
