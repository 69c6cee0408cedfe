"""What waits in the store, counted: short queues and long ones, neighbours whose names begin alike, damaged records."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from apps.chat import waiting
from apps.chat.domain import records
from apps.chat.domain.records import QUEUE
from runtime.store.contract import Put, StoreError
from runtime.store.lmdb_engine import open_store


@contextmanager
def opened(tmp_path):
    store = open_store(str(tmp_path / "store"), 2)
    yield [SimpleNamespace(store=store.open_shard(shard, "test")) for shard in range(2)]
    store.close()


def fill(home, user, first, last):
    prefix = records.queue_prefix(user)
    home.store.commit([Put(QUEUE, records.queue_key(prefix, n), b"x") for n in range(first, last + 1)])


def test_queues_of_every_length_are_counted(tmp_path, monkeypatch):
    with opened(tmp_path) as homes:
        assert waiting.count(homes)[:2] == (0, 0)
        lengths = [1, 2, 63, 64, 65, 127, 128, 129, 500, 1]
        for number, length in enumerate(lengths):
            fill(homes[number % 2], f"+336{'1' * number}", 7, 6 + length)
        homes[0].store.commit([Put("queuf", b"other\0" + bytes(8), b"x"), Put("account", b"+336", b"x")])
        assert waiting.count(homes)[:2] == (len(lengths), sum(lengths))
        reads = []
        get = type(homes[0].store).get
        monkeypatch.setattr(type(homes[0].store), "get", lambda *args: (reads.append(1), get(*args))[1])
        for first in range(1, 5000, 500):
            fill(homes[1], "+4470", first, first + 499)
        assert waiting.count(homes)[:2] == (len(lengths) + 1, sum(lengths) + 5000)
        assert len(reads) < 150, "a long queue is measured, not read"


def test_a_store_that_has_gone_is_said(tmp_path):
    store = open_store(str(tmp_path / "store"), 1)
    homes = [SimpleNamespace(store=store.open_shard(0, "test"))]
    store.close()
    with pytest.raises(StoreError):
        waiting.count(homes)
