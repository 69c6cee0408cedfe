"""A module beside the live code is saved in watch mode: it is said that this takes a restart."""

from __future__ import annotations

import importlib
import os
import sys

import pytest

from runtime.code.roots import Roots
from runtime.code.unwatched import Unwatched
from runtime.code.watch import WatchConfig
from runtime.kernel import blocking
from runtime.testing import until
from tests.code.watched import Node, watching
from tests.observe.observing import lines_of

NAMES = ("engine_room", "engine_room.pump", "live_here", "live_here.thing")


@pytest.fixture
def base(tmp_path, monkeypatch):
    for name in NAMES:
        place = tmp_path / name.replace(".", "/")
        if "." in name:
            place.with_suffix(".py").write_text("X = 1\n")
        else:
            place.mkdir()
            (place / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    for name in NAMES:
        importlib.import_module(name)
    yield tmp_path
    for name in NAMES:
        del sys.modules[name]


def save(path, text):
    """With a time of its own: a file system may have coarse ones."""
    path.write_text(text)
    stamp = path.stat().st_mtime_ns + hash(text) % 1_000_000_000
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.plain
def test_what_differs_from_what_runs_is_told_once_for_each_content(base):
    outside = Unwatched(Roots(base, ["live_here"]))
    assert outside.look() == []
    pump = base / "engine_room" / "pump.py"
    save(base / "live_here" / "thing.py", "X = 2\n")
    assert outside.look() == []
    save(pump, "X = 2\n")
    assert outside.look() == ["engine_room/pump.py"]
    assert outside.look() == []
    os.utime(pump)
    assert outside.look() == []
    save(pump, "X = 33\n")
    assert outside.look() == ["engine_room/pump.py"]
    save(pump, "X = 1\n")
    assert outside.look() == []  # that is what runs
    pump.unlink()
    assert outside.look() == ["engine_room/pump.py"]
    assert outside.look() == []


@pytest.mark.plain
def test_many_are_counted(base):
    text = Unwatched(Roots(base, ["live_here"])).text([f"{n}.py" for n in range(7)])
    assert (
        text == "0.py, 1.py, 2.py, 3.py, 4.py and 2 more: outside of code.roots (live_here); takes a restart"
    )


def test_the_watcher_says_it_in_a_line(base):
    """As somebody who edits runtime/node.py and thinks that it runs."""
    node = Node(base)
    node.load("apps/a.py", "A = 1\n")
    config = WatchConfig(quiet=0.02, hold=0.05, look_every=0.05)
    with lines_of("evergreen.code") as lines, watching(node, config) as watcher:
        until(lambda: watcher.behaviour.outside._known)
        blocking(save, base / "engine_room" / "pump.py", "X = 2\n")
        until(lambda: len(lines) > 1)
    assert lines[1:] == [("WARNING", "engine_room/pump.py: outside of code.roots (apps); takes a restart")]
    assert node.batches == []
