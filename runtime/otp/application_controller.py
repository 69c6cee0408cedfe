"""The application controller: one process that knows every application and never runs a callback."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from runtime.config import Config
from runtime.kernel import (
    KILL, NORMAL, Call, Exit, Pid, Shutdown, cancel_timer, clock, exit, read_timer, reply, self_, send, send_after, trap_exit,
)  # fmt: skip
from runtime.otp import proc_lib
from runtime.otp.application_behaviour import (
    AlreadyLoaded, AlreadyRunning, Application, ApplicationInfo, NodeEnds, NotLoaded, NotStarted, StartFailed,
    StillRunning, name_of,
)  # fmt: skip
from runtime.otp.application_report import report_ended, report_started
from runtime.otp.application_master import Leave, Outcome, Started, Top, kill_all, run_master, started_by
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply

__all__ = [
    "GRACE", "ChangeConfig", "Controller", "Dependencies", "GetEnv", "Infos", "Load", "SetEnv", "Start", "Stop",
    "Unload", "UnsetEnv",
]  # fmt: skip

GRACE = 1.0
"""Seconds that a master has beyond the limit of a stop before it is killed."""
_log = logging.getLogger("evergreen.application")

# Types: requests of runtime.otp.application


@dataclass(frozen=True, slots=True)
class Load:
    __handed_over__: ClassVar[bool] = True  # a setting may be any value

    app: Application
    config: Config


class Unload(NamedTuple):
    name: str


class Start(NamedTuple):
    name: str
    start_type: str


class Stop(NamedTuple):
    """`grace`: seconds that the master has beyond the limit before it is killed; None: GRACE."""

    name: str
    timeout: float | None
    grace: float | None = None


class GetEnv(NamedTuple):
    name: str


@dataclass(frozen=True, slots=True)
class SetEnv:
    __handed_over__: ClassVar[bool] = True  # a setting may be any value

    name: str
    key: str
    value: Any


class UnsetEnv(NamedTuple):
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ChangeConfig:
    __handed_over__: ClassVar[bool] = True  # a setting may be any value

    config: dict[str, Config]


class Infos(NamedTuple):
    pass


class Dependencies(NamedTuple):
    name: str


class _Overdue(NamedTuple):
    """Timer to controller: a stop took longer than allowed."""

    name: str
    master: Pid


class _Loaded:
    """What the controller knows of one application."""

    def __init__(self, app: Application, config: Config) -> None:
        self.app = app
        self.config = config
        self.status = "loaded"
        self.start_type: str | None = None
        self.master: Pid | None = None
        self.top: Pid | None = None
        self.starters: list[Call] = []
        self.stoppers: list[Call] = []
        self.timer: Any = None


class Controller(GenServer):
    """Knows every application. Invariant: `order` holds the running ones, the last started last."""

    def init(self, node: Pid | None) -> None:
        trap_exit(True)
        self.node = node
        self.loaded: dict[str, _Loaded] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []

    def handle_call(self, request: Any, sender: Call) -> Any:
        handler = self._handlers.get(type(request))
        return handler(self, request, sender) if handler else ValueError(f"unknown request {request!r}")

    def handle_info(self, message: Any) -> None:
        kind = type(message)
        if kind is Started:
            self._started(message)
        elif kind is Top:
            if message.name in self.loaded:
                self.loaded[message.name].top = message.top
        elif kind is _Overdue:
            self._overdue(message)
        elif kind is Exit:
            for entry in self.loaded.values():
                if entry.master is message.sender:
                    self._ended(entry, message.reason)
                    return

    # Requests

    def _load(self, request: Load, _sender: Call) -> Any:
        name = request.app.name
        if name in self.loaded:
            return AlreadyLoaded(name)
        self.loaded[name] = _Loaded(request.app, request.config)
        return None

    def _unload(self, request: Unload, _sender: Call) -> Any:
        entry = self.loaded.get(request.name)
        if entry is None:
            return NotLoaded(request.name)
        if entry.status != "loaded":
            return StillRunning(request.name)
        del self.loaded[request.name]
        return None

    def _start(self, request: Start, sender: Call) -> Any:
        entry = self.loaded.get(request.name)
        if entry is None:
            return NotLoaded(request.name)
        if entry.status in ("running", "stopping"):
            return AlreadyRunning(request.name)
        if entry.status == "loaded":
            for dependency in map(name_of, entry.app.applications):
                needed = self.loaded.get(dependency)
                if (
                    needed is None or needed.status != "running"
                ):  # one that is being stopped is of no use either
                    return StartFailed(request.name, NotStarted(dependency))
            entry.status, entry.start_type = "starting", request.start_type
            entry.master = proc_lib.spawn_link(run_master, self_(), entry.app, self._env(request.name))
        entry.starters.append(sender)
        return NoReply()

    def _stop(self, request: Stop, sender: Call) -> Any:
        entry = self.loaded.get(request.name)
        if entry is None:
            return NotLoaded(request.name)
        if entry.master is None:
            return NotStarted(request.name)
        entry.stoppers.append(sender)
        if entry.status == "starting":
            # Nothing to prepare for a stop: it never ran. Its Started may be on the way and must not count any more, or
            # the kill would pass for a crash of a running application.
            entry.status = "stopping"
            self._kill(entry)
            return NoReply()
        entry.status = "stopping"
        deadline = None if request.timeout is None else clock.now() + request.timeout
        send(entry.master, Leave(deadline))
        if request.timeout is None:
            return NoReply()
        limit = request.timeout + (GRACE if request.grace is None else request.grace)
        if not self._sooner(entry, limit):
            if entry.timer is not None:
                cancel_timer(entry.timer)
            message = _Overdue(request.name, entry.master)
            entry.timer = send_after(limit, self_(), message)
        return NoReply()

    def _get_env(self, request: GetEnv, _sender: Call) -> Any:
        return self._env(request.name) if request.name in self.loaded else NotLoaded(request.name)

    def _set_env(self, request: SetEnv, _sender: Call) -> Any:
        self.settings.setdefault(request.name, {})[request.key] = request.value

    def _unset_env(self, request: UnsetEnv, _sender: Call) -> Any:
        own = self.settings.get(request.name, {})
        own.pop(request.key, None)
        if not own:
            self.settings.pop(request.name, None)

    def _change_config(self, request: ChangeConfig, _sender: Call) -> Any:
        calls = []
        for name, values in request.config.items():
            entry = self.loaded.get(name)
            if entry is None:
                continue
            before = self._env(name)
            entry.config = values
            changed, new, removed = before.difference(self._env(name))
            if entry.status == "running" and (changed or new or removed):
                calls.append((entry.app, changed, new, removed))
        return calls

    def _which(self, _request: Infos, _sender: Call) -> Any:
        running = list(reversed(self.order))
        names = running + [name for name in self.loaded if name not in self.order]
        return [
            ApplicationInfo(name, entry.app.description, entry.status, entry.start_type, entry.top)
            for name in names
            for entry in (self.loaded[name],)
        ]

    def _dependencies(self, request: Dependencies, _sender: Call) -> Any:
        entry = self.loaded.get(request.name)
        return list(entry.app.applications) if entry is not None else NotLoaded(request.name)

    _handlers: ClassVar[dict[type, Callable[[Any, Any, Call], Any]]] = {
        Load: _load,
        Unload: _unload,
        Start: _start,
        Stop: _stop,
        GetEnv: _get_env,
        SetEnv: _set_env,
        UnsetEnv: _unset_env,
        ChangeConfig: _change_config,
        Infos: _which,
        Dependencies: _dependencies,
    }

    # What masters and timers tell

    def _started(self, message: Started) -> None:
        entry = self.loaded[message.name]
        if entry.status != "starting":
            return
        entry.status, entry.top = "running", message.top
        self.order.append(message.name)
        report_started(entry.app, entry.start_type, message.top)
        self._answer(entry.starters, None)

    def _overdue(self, message: _Overdue) -> None:
        entry = self.loaded.get(message.name)
        if entry is not None and entry.master is message.master:
            _log.error("application %s: its stop took too long; killing what is left of it", message.name)
            self._kill(entry)

    def _ended(self, entry: _Loaded, reason: Any) -> None:
        """A master has ended, and with it its application."""
        name, status, start_type = entry.app.name, entry.status, entry.start_type
        if entry.timer is not None:
            cancel_timer(entry.timer)
        entry.status, entry.start_type, entry.master, entry.top, entry.timer = (
            "loaded",
            None,
            None,
            None,
            None,
        )
        if name in self.order:
            self.order.remove(name)
        inner = reason.term.reason if type(reason) is Shutdown and type(reason.term) is Outcome else reason
        self._answer(entry.starters, StartFailed(name, inner))
        self._answer(entry.stoppers, None)
        report_ended(entry.app, start_type, inner, was=status)
        if status == "starting":
            return
        if status == "stopping" or self.node is None:
            return
        if start_type == "permanent" or (start_type == "transient" and inner != NORMAL):
            send(self.node, NodeEnds(name, start_type, inner))

    def _kill(self, entry: _Loaded) -> None:
        # The tree first: killed by its parent's death alone it would still try to stop in order.
        roots = [root for root in (entry.top, entry.master) if root is not None]
        kill_all(started_by(*roots))
        for root in roots:
            exit(root, KILL)

    def _sooner(self, entry: _Loaded, seconds: float) -> bool:
        """Tell whether an earlier request's limit comes first: a later one must not stretch it."""
        left = read_timer(entry.timer) if entry.timer is not None else False
        return left is not False and left <= seconds

    def _answer(self, callers: list[Call], value: Any) -> None:
        for caller in callers:
            reply(caller, value)
        callers.clear()

    def _env(self, name: str) -> Config:
        entry = self.loaded[name]
        return Config({**entry.app.env, **entry.config}, entry.config.origins).merged(
            self.settings.get(name, {})
        )
