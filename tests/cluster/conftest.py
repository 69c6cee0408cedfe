"""Engines under the cluster contract's tests: the same tests run on each."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.cluster import LocalCluster


class Owner:
    """Callbacks that note what they are told, and answer by `answer`."""

    def __init__(self, answer: Any = None) -> None:
        self.log: list[Any] = []
        self.answer = answer

    def acquire(self, shard):
        self.log.append(("acquire", shard))

    def release(self, shard, why):
        self.log.append(("release", shard, why))

    def handle(self, dest, data, reply):
        self.log.append(("handle", dest, data))
        if self.answer is not None:
            self.answer(dest, data, reply)

    def members_changed(self, up, down):
        self.log.append(("members", tuple(up), tuple(down)))


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture(params=[LocalCluster], ids=["local"])
def make_cluster(request):
    """Make a cluster of one node named n1 with 8 shards."""
    return lambda: request.param("n1", 8)
