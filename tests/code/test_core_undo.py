"""A refused release changes nothing: whatever fails, wherever it fails.

A release of every kind of edit at once is made to fail at one call after the other, of those that are made in its step
(the engine's own and the program's); each time in a fork of its own. Afterwards the program must be made of the very
same objects with the same contents, and the release must go through when nothing fails.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import linecache
import math
import os
import sys
import tempfile
import traceback
import types
from pathlib import Path
from typing import Any

import gevent
import pytest

from runtime import kernel
from runtime.code import commit
from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from tests.code import object_graph, rich_program
from tests.reload.children import Nursery

pytestmark = pytest.mark.plain

ENGINE = str(Path(commit.__file__).parent)


class Injected(Exception):
    pass


class Failing:
    """Raises Injected at the `at`th call of a step's functions. `calls`: how many there were."""

    def __init__(self, folder: Path, at: float) -> None:
        self.folders = (ENGINE, str(folder))
        self.at = at
        self.calls = 0
        self.where = ""
        self.is_step = False

    def __call__(self, frame: types.FrameType, event: str, _arg: Any) -> None:
        is_all = frame.f_code is commit.Commit._run.__code__
        if is_all and event in ("call", "return"):
            self.is_step = event == "call"
        if not self.is_step or event != "call" or not frame.f_code.co_filename.startswith(self.folders):
            return
        self.calls += 1
        if (
            self.calls >= self.at and not frame.f_code.co_flags & inspect.CO_GENERATOR
        ):  # there nobody may hear it
            self.is_step = False
            stack = [f"{f.f_code.co_filename}:{line}" for f, line in traceback.walk_stack(frame)]
            self.where = " < ".join(stack[:8])
            raise Injected(f"at call {self.calls}")


def fail_everywhere(direction: str, steps: int) -> list[str]:
    """In a child: return what a release left behind when it failed, and where that was."""
    gevent.reinit()
    sys.setrecursionlimit(5000)
    trees = [rich_program.tree(0), rich_program.tree(1)]
    before, after = trees if direction == "up" else reversed(trees)
    folder = Path(tempfile.mkdtemp())
    for relative, text in before.items():
        (folder / relative).parent.mkdir(exist_ok=True)
        (folder / relative).write_text(text)
    sys.path.insert(0, str(folder))
    engine = Engine(Roots(folder))
    engine.install()
    program = (
        importlib.import_module("top"),
        importlib.import_module("server"),
        importlib.import_module("pkg"),
    )
    holder = types.ModuleType("holder")
    holder.held = rich_program.held(*program[:2])  # type: ignore[attr-defined]
    holder.servers = [kernel.run(program[1].Server.start, n).behaviour for n in range(3)]  # type: ignore[attr-defined]
    files = {path: after.get(path) for path in {**before, **after} if before.get(path) != after.get(path)}

    def look() -> tuple[object_graph.Graph, Any]:
        gevent.sleep(0.001)  # what has ended lets go
        gc.collect()
        modules = [sys.modules[name] for name in rich_program.NAMES if name in sys.modules]
        shown = {path: entry for path, entry in linecache.cache.items() if path.startswith(str(folder))}
        books = (
            dict(engine.modules),
            engine.running(),
            shown,
            [module.__name__ for module in modules],
            len(sys.meta_path),
        )
        return object_graph.graph([*modules, holder]), books

    def push(at: float) -> Failing:
        failing = Failing(folder, at)
        sys.setprofile(failing)
        try:
            engine.push(files, direction=direction)  # type: ignore[arg-type]
        except Refused as refused:
            assert "Injected" in str(refused), refused
        finally:
            sys.setprofile(None)
        return failing

    calls = _in_a_fork(lambda: push(math.inf).calls)
    was, books = look()
    for n in range(steps):
        failing = push(1 + n * (calls - 100) // steps)
        now, then = look()
        found = object_graph.differences(was, now) + (["the books differ"] if then != books else [])
        if found:
            return [*found[:20], failing.where]
    assert not push(math.inf).where
    assert server_count(holder.servers) == [100, 101, 102]
    return []


def server_count(servers: list[Any]) -> list[int]:
    return [server.count for server in servers]


def _in_a_fork(count: Any) -> int:
    """What `count()` returns, in a child of our own, so that its release is none here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        gevent.reinit()
        os.write(writing, str(count()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return int(pipe.read())


@pytest.fixture
def nursery():
    with Nursery() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_fails_anywhere_in_the_step_leaves_nothing(nursery, direction):
    found = nursery.run("tests.code.test_core_undo:fail_everywhere", direction, 20, limit=60.0)
    assert not found, "\n".join(found)


@pytest.mark.soak
@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_fails_anywhere_in_the_step_leaves_nothing_many(nursery, direction):
    found = nursery.run("tests.code.test_core_undo:fail_everywhere", direction, 1000, limit=1200.0)
    assert not found, "\n".join(found)
