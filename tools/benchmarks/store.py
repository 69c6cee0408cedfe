"""The group `store`: durable records, on the disk that a node here would use."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from collections.abc import Iterator
from typing import Any

from tools.benchmarks.lab import Lab
from tools.benchmarks.model import Row, case

__all__: list[str] = []

_PROBES = "probes_store"
_SQLITE = "sqlite, WAL, FULL"


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    better = more.pop("better", "lower")
    return Row(group="store", key=key, name=name, unit=unit, what=what, target=target, better=better, **more)


@contextmanager
def _directory(lab: Lab) -> Iterator[str]:
    path = lab.scratch / "store"
    path.mkdir()
    try:
        yield str(path)
    finally:
        shutil.rmtree(path)


def _measure(lab: Lab, function: str, field: str, **parameters: Any) -> float:
    with _directory(lab) as path:
        return float(lab.probe(f"{_PROBES}:{function}", path=path, **parameters)[field])


@case(
    _row(
        "appends", "durable appends, 256 writers", "/s",
        "256 processes append records of 200 bytes, each the next one when the last is on disk", 80_000,
        better="higher", peers=(f"{_SQLITE}, 256 a transaction",),
    ),
    _row(
        "appends_busy", "durable appends, 256 writers, loop busy", "/s",
        "the same while other processes of the node send messages without a pause", 40_000, better="higher",
    ),
)  # fmt: skip
def appends(lab: Lab) -> None:
    seconds = lab.pick(0.2, 1.5, 5.0)
    for _ in lab.rounds(5):
        lab.value("appends", _measure(lab, "appends", "rate", writers=256, seconds=seconds, busy=False))
        lab.peer(
            "appends", f"{_SQLITE}, 256 a transaction",
            lambda: _measure(lab, "sqlite_appends", "rate", writers=256, seconds=seconds),
        )  # fmt: skip
        lab.value("appends_busy", _measure(lab, "appends", "rate", writers=256, seconds=seconds, busy=True))


@case(
    _row(
        "one_writer", "one writer's commit", "ms", "median time of `commit` for one record, nobody else writing",
        peers=("fdatasync of 4 KB", _SQLITE),
    ),
    _row(
        "one_writer_ratio", "one writer's commit, against fdatasync", "times",
        "the same divided by the median of write and fdatasync of one page to a file, in turns on the same disk", 2,
    ),
)  # fmt: skip
def one_writer(lab: Lab) -> None:
    count = lab.pick(20, 600, 3000)
    for _ in lab.rounds(5):
        with _directory(lab) as path:
            found = lab.probe(f"{_PROBES}:one_writer", path=path, count=count)
        lab.value("one_writer", found["commit"])
        lab.value("one_writer_ratio", found["commit"] / found["fdatasync"])
        lab.peer("one_writer", "fdatasync of 4 KB", lambda found=found: found["fdatasync"])  # type: ignore[misc]
        lab.peer("one_writer", _SQLITE, lambda: _measure(lab, "sqlite_one_writer", "commit", count=count))


@case(
    _row(
        "get", "point read", "µs", "read one of 10,000 records by its key, checksum verified, in the reading process itself",
        peers=(_SQLITE,),
    )
)  # fmt: skip
def get(lab: Lab) -> None:
    sizes = {"records": lab.pick(1000, 10_000, 10_000), "count": lab.pick(1000, 50_000, 200_000)}
    for _ in lab.rounds(5):
        lab.value("get", _measure(lab, "gets", "us", **sizes))
        lab.peer("get", _SQLITE, lambda: _measure(lab, "sqlite_gets", "us", **sizes))
