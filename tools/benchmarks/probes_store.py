"""The store beside what it stands on: fdatasync, and sqlite in its durable mode. A Python of its own for each figure.

Records are 200 bytes under a key of a user and a number, as messages are.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from runtime.kernel import run, send, sleep, spawn_callback
from runtime.store import Committed, Put
from runtime.store.lmdb_engine import LmdbShard, open_store

__all__ = ["appends", "gets", "one_writer", "sqlite_appends", "sqlite_gets", "sqlite_one_writer"]

_VALUE = bytes(range(200))
_SHARDS = 64
_KIND = "message"


class _Writer:
    """Appends in a closed loop: the next record when the last one is durable."""

    __slots__ = ("count", "key", "shard")

    def __init__(self, shard: LmdbShard, user: int) -> None:
        self.shard = shard
        self.key = user.to_bytes(8, "big")
        self.count = 0

    def on_message(self, process: Any, message: Any) -> None:
        if message.__class__ is Committed:
            self.count += 1
        elif message is not None:
            raise RuntimeError(f"not committed: {message!r}")
        key = self.key + self.count.to_bytes(8, "big")
        self.shard.commit_request([Put(_KIND, key, _VALUE)], None)


class _Pong:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        send(message, process)


def appends(path: str, writers: int, seconds: float, busy: bool) -> dict[str, float]:
    """Durable records a second. `busy`: processes send each other messages without a pause on the same loop."""

    def body() -> float:
        store = open_store(path, _SHARDS)
        shards = [store.open_shard(n, "bench") for n in range(_SHARDS)]
        made = [_Writer(shards[n % _SHARDS], n) for n in range(writers)]
        for writer in made:
            send(spawn_callback(writer), None)
        if busy:
            for _ in range(10):
                send(spawn_callback(_Pong()), spawn_callback(_Pong()))
        sleep(min(0.5, seconds / 2))
        start, before = time.perf_counter(), sum(writer.count for writer in made)
        sleep(seconds)
        return (sum(writer.count for writer in made) - before) / (time.perf_counter() - start)

    return {"rate": run(body)}


def one_writer(path: str, count: int) -> dict[str, float]:
    """Medians in milliseconds, in turns of 20: `commit` of one record, and a write of 4 KB with fdatasync beside it."""
    commits: list[float] = []
    syncs: list[float] = []

    def body() -> None:
        store = open_store(os.path.join(path, "store"), _SHARDS)
        shard = store.open_shard(0, "bench")
        file = os.open(os.path.join(path, "file"), os.O_WRONLY | os.O_CREAT, 0o600)
        page = _VALUE * 20 + bytes(96)
        for n in range(count):
            start = time.perf_counter()
            shard.commit([Put(_KIND, n.to_bytes(16, "big"), _VALUE)])
            commits.append(time.perf_counter() - start)
            if n % 20 == 19:
                for _ in range(20):
                    start = time.perf_counter()
                    os.write(file, page)
                    os.fdatasync(file)
                    syncs.append(time.perf_counter() - start)
        store.close()

    run(body)
    return {"commit": statistics.median(commits) * 1e3, "fdatasync": statistics.median(syncs) * 1e3}


def gets(path: str, records: int, count: int) -> dict[str, float]:
    """Microseconds to read one of `records` by its key, each time another."""

    def body() -> float:
        store = open_store(path, _SHARDS)
        shard = store.open_shard(0, "bench")
        keys = [n.to_bytes(16, "big") for n in range(records)]
        for at in range(0, records, 1000):
            shard.commit([Put(_KIND, key, _VALUE) for key in keys[at : at + 1000]])
        used = _read(lambda key: shard.get(_KIND, key), keys, count)
        store.close()
        return used

    return {"us": run(body)}


def sqlite_appends(path: str, writers: int, seconds: float) -> dict[str, float]:
    """sqlite's durable records a second at its best: one transaction for all `writers`' records at a time."""
    database = _sqlite(path)
    user_keys = [user.to_bytes(8, "big") for user in range(writers)]
    count, start, end, number = 0, 0.0, 0.0, 0
    while not end or time.perf_counter() < end:
        if not end and number == 3:
            start = time.perf_counter()
            end, count = start + seconds, 0
        rows = [(user + number.to_bytes(8, "big"), _VALUE) for user in user_keys]
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO record VALUES (?, ?)", rows)
        database.execute("COMMIT")
        count += writers
        number += 1
    return {"rate": count / (time.perf_counter() - start)}


def sqlite_one_writer(path: str, count: int) -> dict[str, float]:
    """The median, in milliseconds, of a transaction of one record."""
    database = _sqlite(path)
    samples = []
    for n in range(count):
        start = time.perf_counter()
        database.execute("INSERT INTO record VALUES (?, ?)", (n.to_bytes(16, "big"), _VALUE))
        samples.append(time.perf_counter() - start)
    return {"commit": statistics.median(samples) * 1e3}


def sqlite_gets(path: str, records: int, count: int) -> dict[str, float]:
    """Microseconds of a SELECT by primary key."""
    database = _sqlite(path)
    keys = [n.to_bytes(16, "big") for n in range(records)]
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO record VALUES (?, ?)", [(key, _VALUE) for key in keys])
    database.execute("COMMIT")
    query = "SELECT value FROM record WHERE key = ?"
    return {"us": _read(lambda key: database.execute(query, (key,)).fetchone(), keys, count)}


# internals


def _read(get: Callable[[bytes], Any], keys: list[bytes], count: int) -> float:
    wanted = random.Random(1).choices(keys, k=count)
    for key in wanted[: count // 5]:
        get(key)
    start = time.perf_counter()
    for key in wanted:
        if get(key) is None:
            raise RuntimeError("a record is missing")
    return (time.perf_counter() - start) / count * 1e6


def _sqlite(path: str) -> Any:
    import sqlite3

    database = sqlite3.connect(os.path.join(path, "peer.sqlite"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE record (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    return database
