"""Migrations: from one schema of an application's records to the next.

A store's *schema* is 1 when it is made without migrations, and one more for each migration in the application's
ordered list: the list `["apps.chat.migrations:add_devices"]` makes schema 2. A list is only ever appended to.
A migration is a function named "module:function" that takes a `Migration` and runs in the writer process, before the
store is served, in one transaction with the new schema number: it happens whole or not at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lmdb
import msgspec

from runtime.store import layout
from runtime.store.contract import MigrationFailed, Rec, StoreFull
from runtime.store.environment import Environment, Meta
from runtime.store.layout import META_SCHEMA

__all__ = ["Migration", "migrate", "schema_of"]


class Migration:
    """What a migration may do. Valid only while it runs."""

    def __init__(self, txn: Any, nshards: int, version: int) -> None:
        self._txn = txn
        self._version = version
        self.nshards = nshards

    def scan(self, shard: int, kind: str) -> Iterator[Rec]:
        """Every record of the kind, in order. Records may be changed while it runs. Raises layout.Damaged."""
        prefix = layout.record_prefix(shard, kind)
        at, end = prefix, layout.end_of_kind(prefix)
        with self._txn.cursor() as cursor:
            while cursor.set_range(at) and (full := cursor.key()) < end:
                version, val = layout.unpack(full, cursor.value())
                yield Rec(full[len(prefix) :], val, version)
                at = full + b"\0"

    def get(self, shard: int, kind: str, key: bytes) -> Rec | None:
        full = layout.record_prefix(shard, kind) + key
        raw = self._txn.get(full)
        if raw is None:
            return None
        version, val = layout.unpack(full, raw)
        return Rec(key, val, version)

    def put(self, shard: int, kind: str, key: bytes, val: bytes) -> None:
        full = layout.record_prefix(shard, kind) + key
        self._txn.put(full, layout.pack(full, self._version, val))

    def delete(self, shard: int, kind: str, key: bytes) -> None:
        self._txn.delete(layout.record_prefix(shard, kind) + key)


def schema_of(migrations: Sequence[str]) -> int:
    """The schema that this list of migrations leads to."""
    return 1 + len(migrations)


def migrate(environment: Environment, migrations: Sequence[str], version: int) -> None:
    """Run the migrations that the store has not seen; records they write get `version`.

    Raises MigrationFailed: those before it stay, the failed one left no trace.
    """
    for name in migrations[environment.meta.schema - 1 :]:
        try:
            step = _load(name)
            while not _run(environment, step, version):
                environment.grow(reserve=False)
        except StoreFull:
            raise
        except (
            Exception
        ) as error:  # whatever foreign code raises, the operator is told which migration it was
            raise MigrationFailed(name, f"{type(error).__name__}: {error}") from error


def _load(name: str) -> Callable[[Migration], Any]:
    module, _, function = name.partition(":")
    found: Callable[[Migration], Any] = getattr(importlib.import_module(module), function)
    return found


def _run(environment: Environment, step: Callable[[Migration], Any], version: int) -> bool:
    old = environment.meta
    meta = Meta(old.format, old.schema + 1, old.nshards)
    try:
        with environment.env.begin(write=True) as txn:
            step(Migration(txn, meta.nshards, version))
            txn.put(META_SCHEMA, layout.pack(META_SCHEMA, 0, msgspec.msgpack.encode(meta)))
    except lmdb.MapFullError:
        return False
    environment.meta = meta
    return True
