"""Nothing grows with the number of releases: no functions, classes, code, notes or table entries stay behind.

A program with something of every kind goes up and down between two versions, with processes that migrate, a supervisor
that is refreshed, a stack that lingers in old code, and now and then a release that is refused. Then all objects there are
are counted by type, and the entries of all tables.
"""

from __future__ import annotations

import collections
import gc
import importlib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from tests.code import rich_program
from tests.reload.children import Nursery

pytestmark = pytest.mark.plain

WARM = 8
"""Releases after which everything is there that is made once."""
SPARE = 6
"""Objects of a type, or entries, that may be more for other reasons than growth."""
BROKEN = "\nraise RuntimeError('the top level of the last module fails')\n"
MORE = """
from runtime import kernel
from runtime.otp import ChildSpec, SupFlags, Supervisor
from server import Server
class Top(Supervisor):
    def init(self, arg):
        return SupFlags(intensity={n}), [ChildSpec("one", (Server.start_link, ({n},)))]
def wait_for(event):
    event.wait()
    return {n}
"""


def flip_and_count(flips: int) -> list[str]:
    """In a child: return what has grown, as lines."""
    gevent.reinit()
    trees = [rich_program.tree(n) | {"more.py": MORE.format(n=n + 1)} for n in (0, 1)]
    folder = Path(tempfile.mkdtemp())
    for relative, text in trees[0].items():
        (folder / relative).parent.mkdir(exist_ok=True)
        (folder / relative).write_text(text)
    sys.path.insert(0, str(folder))
    engine = Engine(Roots(folder))
    engine.install()
    top, server, more, _ = map(importlib.import_module, ("top", "server", "more", "pkg"))
    held = rich_program.held(top, server)
    servers = [kernel.run(server.Server.start, n) for n in range(5)]
    owner = kernel.spawn(_supervise, more)

    def flip(n: int) -> None:
        was, will = trees[n % 2], trees[(n + 1) % 2]
        event = gevent.event.Event()
        kernel.spawn(more.wait_for, event)
        gevent.sleep(0)
        if n % 3 == 0:
            failing = will | {"top.py": will["top.py"] + BROKEN}
            with pytest.raises(Refused, match="the last module fails"):
                engine.push(_difference(was, failing))
        engine.push(_difference(was, will), direction="down" if n % 2 else "up")
        assert engine.retired.lingering()
        event.set()

    for n in range(WARM):
        flip(n)
    kinds = _count()
    for n in range(WARM, WARM + flips):
        flip(n)
    grown = [
        f"{now - kinds[kind]} more of {kind}" for kind, now in _count().items() if now - kinds[kind] > SPARE
    ]
    if len(engine.retired) > 100:
        grown.append(f"{len(engine.retired)} notes of old code")
    assert held and all(map(kernel.is_alive, [*servers, owner]))
    return grown


def _supervise(more: Any) -> None:
    more.Top.start_link(None)
    kernel.receive()  # never comes: a supervisor goes with whoever has started it


def _difference(was: Mapping[str, str], will: Mapping[str, str]) -> dict[str, str | None]:
    return {path: will.get(path) for path in {**was, **will} if was.get(path) != will.get(path)}


def _count() -> collections.Counter[str]:
    gevent.sleep(0.01)
    for _ in range(3):
        gc.collect()
    counted: collections.Counter[str] = collections.Counter()
    for one in gc.get_objects():
        counted[f"{type(one).__module__}.{type(one).__name__}"] += 1
        if type(one) in (list, dict, set, collections.deque):
            counted[f"entry of a {type(one).__name__}"] += len(one)
    return counted


@pytest.fixture
def nursery():
    with Nursery() as running:
        yield running


@pytest.mark.slow
def test_nothing_grows_with_the_number_of_releases(nursery):
    assert nursery.run("tests.code.test_core_growth:flip_and_count", 20, limit=60.0) == []


@pytest.mark.soak
def test_nothing_grows_with_the_number_of_releases_many(nursery):
    assert nursery.run("tests.code.test_core_growth:flip_and_count", 400, limit=900.0) == []
