"""Our engine as the cases of live code see one.

An adapter is a class `Engine` with
    name, caps      of caps: rollback, watch, processes, selfcheck, lingering
    start(h)        before any module of the case is imported; h.root is on sys.path
    loaded(h)       before each push
    push(h, files)  {relative path: new text or None}; the files are on disk already. Returns a Result; never raises
    rollback(h)     back by one push; puts the files back, too. Returns a Result
    watch(h)        watches h.root by itself: an object with `.stop()` and `.batches`
    lingering(h)    who still runs old code: [{"greenlet": ..., "function": "module.name", ...}]
    rt(h)           processes whose callbacks are a module's functions (`Callbacks` below)

This file also runs alone, under any runner that puts a module `h` with `Result` on sys.path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent

if str(Path(__file__).resolve().parents[2]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
try:
    from h import Result
except ImportError:
    from tests.reload.harness import Result

from runtime import kernel
from runtime.code.engine import Engine as CodeEngine
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from runtime.code.watch import WatchConfig, Watcher
from runtime.otp import sys as otp_sys
from runtime.otp.gen_server import GenServer, stop
from runtime.otp.outcome import Reply

__all__ = ["Engine"]

LOADED_BY = os.getpid()

# --------------------------------------------------------------------------------------------------------- types


class Engine:
    name = "evergreen"
    caps = frozenset({"rollback", "watch", "processes", "selfcheck", "lingering"})

    def start(self, h: Any) -> None:
        if os.getpid() != LOADED_BY:
            gevent.reinit()  # the loop belongs to the process that loaded this file
        self.roots = Roots(Path(h.root))
        self.engine = CodeEngine(self.roots, quiesce=5.0)
        self.engine.install()
        self.before: list[dict[str, str | None]] = []
        """What each push replaced, the last one last: a roll-back pushes that, downwards."""

    def loaded(self, h: Any) -> None:
        pass

    def push(self, h: Any, files: Mapping[str, str | None]) -> Any:
        before = {path: h.prev.get(path) for path in files}
        result = self._push(files, "up")
        if result.ok:
            self.before.append(before)
        return result

    def rollback(self, h: Any) -> Any:
        before = self.before[-1]
        for path, text in before.items():
            h._write(path, text)
        result = self._push(before, "down")
        if result.ok:
            self.before.pop()
        return result

    def lingering(self, h: Any) -> list[dict[str, Any]]:
        return [
            {
                "greenlet": one.who,
                "function": f"{one.module}.{one.function}",
                "sha": one.sha,
                "line": one.line,
            }
            for one in self.engine.retired.lingering()
        ]

    def watch(self, h: Any) -> Watching:
        return Watching(self)

    def rt(self, h: Any) -> Processes:
        return Processes()

    def _push(self, files: Mapping[str, str | None], direction: Any) -> Any:
        try:
            return Result(True, info={"report": self.engine.push(files, direction=direction)})
        except Refused as refusal:
            return Result(False, [refusal], {"refused": refusal})


class Watching:
    """The watcher of watch mode, on an engine without the rest of a node."""

    def __init__(self, engine: Engine) -> None:
        self.batches = 0
        self.engine = engine.engine
        config = WatchConfig()
        self.pid = kernel.run(Watcher.start, engine.roots, config, self.engine.running, self._push, print)

    def stop(self) -> None:
        kernel.run(stop, self.pid)

    def _push(self, batch: Mapping[str, str | None]) -> None:
        self.engine.push(batch)
        self.batches += 1


class Callbacks(GenServer):
    """A server whose callbacks are functions of a module: init(arg), handle_call(message, state), handle_cast,
    code_change(old, state, extra). Each module gets a subclass that is its own by name, so that a new version of
    the module is a new version of the server.
    """

    module = ""
    state: Any

    def init(self, arg: Any) -> None:
        self.state = sys.modules[self.module].init(arg)

    def handle_call(self, request: Any, sender: Any) -> Any:
        answer, self.state = sys.modules[self.module].handle_call(request, self.state)
        return Reply(answer)

    def handle_cast(self, request: Any) -> None:
        self.state = sys.modules[self.module].handle_cast(request, self.state)

    def code_change(self, old_version: Any, extra: Any) -> None:
        change = getattr(sys.modules[self.module], "code_change", None)
        if change is not None:
            self.state = change(old_version, self.state, extra)


class Processes:
    """Start, call and look at processes from anywhere: also from the main program, which is none."""

    def __init__(self) -> None:
        self.kinds: dict[str, type[Callbacks]] = {}

    def spawn(self, module: str, arg: Any) -> kernel.Process:
        if module not in self.kinds:
            self.kinds[module] = type("Server", (Callbacks,), {"__module__": module, "module": module})
        pid = kernel.run(self.kinds[module].start, arg)
        assert pid is not None
        return pid  # type: ignore[no-any-return]

    def call(self, pid: kernel.Process, message: Any, timeout: float = 2) -> Any:
        return kernel.run(kernel.call, pid, message, timeout)

    def cast(self, pid: kernel.Process, message: Any) -> None:
        kernel.cast(pid, message)

    def alive(self, pid: kernel.Process) -> bool:
        return kernel.is_alive(pid)

    def state(self, pid: kernel.Process) -> Any:
        return kernel.run(otp_sys.get_state, pid)["state"]
