"""Engines under the contract's tests: the same tests run on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.store.lmdb_engine import LmdbStore, open_store


class LmdbUnderTest:
    """Opens the LMDB engine on one directory, again and again."""

    name = "lmdb"

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    @contextmanager
    def store(self, nshards: int = 8, **options: Any) -> Iterator[LmdbStore]:
        store = open_store(self.path, nshards, **{"reserve": 1 << 16, "map_initial": 1 << 20} | options)
        try:
            yield store
        finally:
            store.close()

    def other_process(self, body: str) -> list[str]:
        """Arguments of a process of its own that runs `body` with `shard` opened."""
        program = f"""
from runtime import kernel
from runtime.store import *
from runtime.store.lmdb_engine import open_store
def main():
    shard = open_store({self.path!r}, 8).open_shard(1, "other")
    {body.strip()}
kernel.run(main)
"""
        return ["-c", program]


@pytest.fixture(params=[LmdbUnderTest], ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param(tmp_path / "store")
