"""What live code costs: each function runs in a Python of its own, changes a module there again and again, and measures.

The module that changes is written to a scratch directory, for the peers read files. `engine` says who changes it:
"ours", "reload" (importlib.reload) or "jurigged".
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime import code
from runtime.code.check import Checker
from runtime.code.engine import Engine
from runtime.code.probation import Limits
from runtime.code.release_log import ReleaseLog
from runtime.code.releaser import Releaser
from runtime.code.roots import Roots
from runtime.code.server import NAME, CodeServer
from runtime.code.watch import WatchConfig, Watcher
from runtime.kernel import KILL, call, exit, loop, receive, run, self_, send, sleep, spawn, yield_
from runtime.net import Listener, ListenerConfig, TLSConfig, listener
from runtime.testing import settle
from tools.benchmarks.probe import leave, ready
from tools.benchmarks.proc import resident

__all__ = ["check", "door", "edit", "growth", "migrate", "save", "struct", "swap"]

_NAME = "subject"


# who changes the module


class _Ours:
    def __init__(self, path: str) -> None:
        self.engine = Engine(Roots(path))
        self.engine.install()

    def push(self, text: str, direction: Any = "up") -> Any:
        return self.engine.push({f"{_NAME}.py": text}, direction=direction)


class _Reload:
    def __init__(self, path: str) -> None:
        self.file = Path(path, f"{_NAME}.py")

    def push(self, text: str) -> Any:
        self.file.write_text(text)
        importlib.invalidate_caches()
        importlib.reload(sys.modules[_NAME])


class _Jurigged:
    def __init__(self, path: str) -> None:
        from jurigged.register import registry

        self.file = Path(path, f"{_NAME}.py")
        self.registry = registry
        registry.prepare(_NAME, str(self.file))
        logging.getLogger("jurigged").setLevel(logging.CRITICAL)

    def push(self, text: str) -> Any:
        self.file.write_text(text)
        self.registry.get(str(self.file)).refresh()


_ENGINES: dict[str, Callable[[str], Any]] = {"ours": _Ours, "reload": _Reload, "jurigged": _Jurigged}


def _begin(path: str, engine: str, text: str) -> tuple[Any, Any]:
    """The engine, and the module, imported."""
    sys.dont_write_bytecode = True  # importlib.reload trusts a cached one of the same second and size
    file = Path(path, f"{_NAME}.py")
    file.write_text(text)
    sys.path.insert(0, path)
    changer = _ENGINES[engine](path)
    return changer, importlib.import_module(_NAME)


def _body(number: int, version: int) -> str:
    return (
        f"def f{number}(x):\n    total = x + {version}\n    for part in (1, 2):\n        total += part\n"
        f"    return {version}\n\n\n"
    )


def _functions(count: int, version: int) -> str:
    """A module of `count` functions, of which every body says another version, and a server that uses one."""
    bodies = "".join(_body(n, version) for n in range(count))
    return f"from runtime.otp.gen_server import GenServer\n\n\n{bodies}{_SERVER}"


_SERVER = """class Server(GenServer):
    def init(self):
        self.n = 0

    def handle_call(self, request, sender):
        self.n += 1
        return f0(self.n)
"""


# how long the others stand still


class _Ticker:
    """A process that only gives way: the longest time between two of its turns is what everybody waits."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.pid = spawn(self._run)
        yield_()

    def _run(self) -> None:
        last = time.perf_counter()
        while True:
            yield_()
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def take(self) -> float:
        found, self.longest = self.longest, 0.0
        return found


def swap(path: str, engine: str, functions: int, processes: int, pushes: int) -> dict[str, float]:
    """Milliseconds of the commit, of the whole push, and of the longest stall; `stale`: held functions that stay old.

    A peer has no commit apart: its whole call is one. Medians of `pushes`.
    """

    def body() -> dict[str, float]:
        changer, module = _begin(path, engine, _functions(functions, 0))
        pids = [module.Server.start() for _ in range(processes)]
        held = [getattr(module, f"f{n}") for n in range(functions)]
        settle()
        gc.collect()
        ticker = _Ticker()
        commits, totals, stalls = [], [], []
        for version in range(1, pushes + 2):
            ticker.take()
            start = time.perf_counter()
            report = changer.push(_functions(functions, version))
            total = time.perf_counter() - start
            yield_()
            stalls.append(ticker.take())
            totals.append(total)
            commits.append(report.seconds["step"] if report is not None else total)
        exit(ticker.pid, KILL)
        stale = sum(f(1) != version for f in held)
        if not stale and call(pids[-1], None) != version:
            raise RuntimeError("a process runs the old code")
        # The first push is a warm-up.
        found = {"commit": commits[1:], "total": totals[1:], "stall": stalls[1:]}
        return {name: statistics.median(values) * 1e3 for name, values in found.items()} | {"stale": stale}

    return run(body)  # type: ignore[no-any-return]


def edit(path: str, functions: int, processes: int, pushes: int) -> dict[str, float]:
    """Milliseconds of the whole push of a module of which one function changes, and of the longest stall."""

    def body() -> dict[str, float]:
        changer, module = _begin(path, "ours", _functions(functions, 0))
        for _ in range(processes):
            module.Server.start()
        settle()
        gc.collect()
        ticker = _Ticker()
        totals, stalls = [], []
        for version in range(1, pushes + 2):
            new = _functions(functions, 0).replace(_body(functions // 2, 0), _body(functions // 2, version))
            ticker.take()
            start = time.perf_counter()
            changer.push(new)
            totals.append(time.perf_counter() - start)
            yield_()
            stalls.append(ticker.take())
        exit(ticker.pid, KILL)
        found = {"total": totals[1:], "stall": stalls[1:]}
        return {name: statistics.median(values) * 1e3 for name, values in found.items()} | {
            "lines": new.count("\n")
        }

    return run(body)  # type: ignore[no-any-return]


_STRUCT = """import msgspec
from runtime.otp.gen_server import GenServer


class Frame(msgspec.Struct):
    number: int
{fields}

class Server(GenServer):
    def init(self, number):
        self.frame = Frame(number)

    def handle_call(self, request, sender):
        return len(self.frame.__struct_fields__)
"""


def struct(path: str, processes: int, pushes: int) -> dict[str, float]:
    """Milliseconds for which processes are held whose Structs gain a field, and of the longest stall of another."""

    def body() -> dict[str, float]:
        changer, module = _begin(path, "ours", _STRUCT.format(fields=""))
        pids = [module.Server.start(number) for number in range(processes)]
        settle()
        gc.collect()
        ticker = _Ticker()
        held, stalls = [], []
        for number in range(1, pushes + 2):
            fields = "".join(f"    field{n}: int = {n}\n" for n in range(number))
            ticker.take()
            report = changer.push(_STRUCT.format(fields=fields))
            yield_()
            stalls.append(ticker.take())
            held.append(sum(report.seconds[part] for part in ("quiesce", "look", "step")))
            if call(pids[number % processes], None) != number + 1:
                raise RuntimeError("a process has an instance of the class before")
        exit(ticker.pid, KILL)
        return {
            name: statistics.median(values[1:]) * 1e3 for name, values in (("held", held), ("stall", stalls))
        }

    return run(body)  # type: ignore[no-any-return]


_OLD = """from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Server(GenServer):
    def init(self):
        self.items = ["a", "b", "a"]

    def handle_call(self, request, sender):
        return self.items.count("a")
"""
_NEW = """from runtime.otp.gen_server import GenServer

__vsn__ = 2


class Server(GenServer):
    def init(self):
        self.counts = {"a": 2, "b": 1}

    def handle_call(self, request, sender):
        return self.counts["a"]

    def code_change(self, old_version, extra):
        if old_version == 1:
            self.counts = {item: self.items.count(item) for item in self.items}
            del self.items
        else:
            self.items = [item for item, count in self.counts.items() for _ in range(count)]
            del self.counts
"""


def migrate(path: str, processes: int, pushes: int) -> dict[str, float]:
    """Milliseconds of the step that migrates all states, of the whole push, and of the longest stall; up and down in turns."""

    def body() -> dict[str, float]:
        changer, module = _begin(path, "ours", _OLD)
        pids = [module.Server.start() for _ in range(processes)]
        settle()
        gc.collect()
        ticker = _Ticker()
        steps, totals, stalls = [], [], []
        for number in range(pushes + 1):
            is_up = number % 2 == 0
            ticker.take()
            report = changer.push(_NEW if is_up else _OLD, direction="up" if is_up else "down")
            yield_()
            stalls.append(ticker.take())
            if report.migrated != processes or call(pids[number % processes], None) != 2:
                raise RuntimeError(f"{report.migrated} of {processes} states were migrated")
            steps.append(report.seconds["step"])
            totals.append(report.seconds["total"])
        exit(ticker.pid, KILL)
        found = {"step": steps[1:], "total": totals[1:], "stall": stalls[1:]}
        return {name: statistics.median(values) * 1e3 for name, values in found.items()}

    return run(body)  # type: ignore[no-any-return]


def growth(path: str, engine: str, pushes: int) -> dict[str, float]:
    """What a thousand pushes leave behind: objects, bytes of memory; and how much slower the last tenth is than the first."""

    def body() -> dict[str, float]:
        changer, _ = _begin(path, engine, _functions(20, 0))
        texts = [_functions(20, 1), _functions(20, 2) + "\n\nLIMIT = 5\nSQUARE = LIMIT * LIMIT\n"]
        for number in range(100):  # caches, pools, the first arenas
            changer.push(texts[number % 2])
        gc.collect()
        objects, memory = len(gc.get_objects()), resident()
        times = []
        for number in range(pushes):
            start = time.perf_counter()
            changer.push(texts[number % 2])
            times.append(time.perf_counter() - start)
        gc.collect()
        tenth = max(1, pushes // 10)
        return {
            "objects": (len(gc.get_objects()) - objects) * 1000 / pushes,
            "bytes": (resident() - memory) * 1000 / pushes,
            "slower": statistics.median(times[-tenth:]) / statistics.median(times[:tenth]),
            "ms": statistics.median(times) * 1e3,
        }

    return run(body)  # type: ignore[no-any-return]


def save(path: str, modules: int, count: int) -> dict[str, float]:
    """Milliseconds from the end of a save (a new file renamed into the old one's place) until a caller gets the new answer.

    With all that a node does in between: watcher, plan, check aside, step, release log on disk.
    """
    tree = Path(path, "tree")
    tree.mkdir()
    (tree / "__init__.py").write_text("")
    for number in range(modules):
        (tree / f"m{number}.py").write_text(_functions(20, 0))
    sys.path.insert(0, path)

    def body() -> dict[str, float]:
        engine = Engine(Roots(path, ["tree"]))
        engine.install()
        loaded = [importlib.import_module(f"tree.m{number}") for number in range(modules)]
        releaser = Releaser(engine, ReleaseLog.open(Path(path, "log")), checker=Checker(engine.roots))
        releaser.begin()
        CodeServer.start_link(releaser, Limits(), "watch", name=NAME)
        Watcher.start_link(
            engine.roots, WatchConfig(), engine.running, lambda batch: code.push(batch, kind="watch"), print
        )
        times = []
        for number in range(1, count + 3):
            sleep(0.5)  # let the watcher come to rest, as a developer does
            module = loaded[number % modules]
            file = tree / f"m{number % modules}.py"
            file.with_suffix(".new").write_text(_functions(20, number))
            file.with_suffix(".new").replace(file)
            start = time.perf_counter()
            while module.f0(1) != number:
                sleep(0.001)
                if time.perf_counter() > start + 20.0:
                    raise RuntimeError("the save did not go live")
            times.append(time.perf_counter() - start)
        return {"ms": statistics.median(times[2:]) * 1e3}

    return run(body)  # type: ignore[no-any-return]


def check(count: int) -> dict[str, float]:
    """Milliseconds of a check aside of all that the chat is made of, one module changed each time; the first checks not counted."""
    from tools.benchmarks.lab import ROOT

    def body() -> dict[str, float]:
        roots = Roots(ROOT, ["apps"])
        sources: dict[str, str | None] = {path: roots.path_of(path).read_text() for path in roots.files()}
        changed = "apps/chat/domain/delivery.py"
        text = sources[changed]
        modules = [roots.module_of(path) for path in sources if not path.endswith("__main__.py")]
        checker = Checker(roots)
        times = []
        for number in range(count + 3):
            sources[changed] = f"{text}\nNUMBER = {number}\n"
            start = time.perf_counter()
            checker.check(sources, modules, [roots.module_of(changed)], limit=30.0)
            times.append(time.perf_counter() - start)
        checker.stop()
        return {"ms": statistics.median(times[3:]) * 1e3, "modules": len(modules)}

    return run(body)  # type: ignore[no-any-return]


# under traffic

_DOOR = """from runtime.net import Length4, Protocol

__vsn__ = {vsn}
VERSION = {version}


class Door(Protocol):
    framing = Length4(65536)

    def connected(self, conn):
        self.{field} = 0

    def frames(self, conn, frames):
        self.{field} += len(frames)
        for frame in frames:
            conn.write(frame + VERSION.to_bytes(4, "big"))

    def code_change(self, old_version, extra):
        if hasattr(self, "{other}"):
            self.{field} = self.{other}
            del self.{other}
"""


def _door(version: int) -> str:
    """Every tenth version has another form of state, which all connections are brought into."""
    vsn = version // 10
    field, other = ("count", "counted") if vsn % 2 else ("counted", "count")
    return _DOOR.format(vsn=vsn, version=version, field=field, other=other)


def door(path: str, certificate: str, key: str) -> None:
    """A TLS server whose protocol is live code. Each line on standard input is a number of pushes to do, with a report."""

    def body() -> None:
        changer, _ = _begin(path, "ours", _door(0))
        me = self_()
        config = ListenerConfig(
            name="door",
            protocol=f"{_NAME}:Door",
            tls=TLSConfig(certificate, key),
            backlog=4096,
            idle_timeout=None,
        )
        pid = Listener.start_link(config)

        def told() -> None:
            line = os.read(0, 100)
            if not line:
                leave()
            send(me, int(line))

        watcher = loop().io(0, 1)
        watcher.start(told)
        ready(port=listener.port(pid))
        version = 0
        while True:
            totals, stalls, migrated = [], [], 0
            ticker = _Ticker()
            for _ in range(receive()):
                version += 1
                ticker.take()
                report = changer.push(_door(version))
                totals.append(report.seconds["total"])
                stalls.append(ticker.take())
                migrated += report.migrated
            exit(ticker.pid, KILL)
            ready(
                version=version,
                migrated=migrated,
                stall=max(stalls) * 1e3,
                push=statistics.median(totals) * 1e3,
            )

    run(body)
