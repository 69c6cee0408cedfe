"""A node's services under one supervisor, its signals, and the settings that tune the interpreter and the kernel."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NamedTuple

from runtime import kernel
from runtime.cluster.local import LocalCluster
from runtime.config import Config
from runtime.kernel import TIMEOUT, Pid, Process, hooks, send
from runtime.node_logging import NodeLog
from runtime.observe import alarm_sender, alarms, sysmon
from runtime.observe.alarm_sender import AlarmSender, Ways
from runtime.observe.log_handler import LogGate
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply
from runtime.otp.supervisor import Supervisor
from runtime.store.lmdb_engine import StoreConfig, StoreServer, store_of

__all__ = ["Janitor", "Signal", "Signals", "Tuning", "start_services"]

_log = logging.getLogger("evergreen.node")
_STORE_STOP = 15.0
_ECHO = 0.3
"""Seconds within which the same signal is the same wish; nobody presses Ctrl-C twice in that."""

# Types


class Signal(NamedTuple):
    """Message to init: the operating system sent this."""

    number: int

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    @property
    def is_reload(self) -> bool:
        return self.number == signal.SIGHUP


class Signals:
    """Brings SIGTERM, SIGINT and SIGHUP to a process as `Signal` messages; the second stop ends the program at once.

    The handler runs between two bytecodes of whatever is being computed, maybe in the middle of the scheduler: it may
    only touch an async watcher, whose callback then runs in the hub. That also wakes a loop that waits.
    Rejected: the loop's own signal watchers, which do not fire while a callback computes without end: just then the
    operator's second Ctrl-C must work.
    """

    _numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self, dest: Pid) -> None:
        self._dest = dest
        self._waiting: deque[int] = deque()
        self._stops = 0
        self._last = (0, 0.0)
        self._watcher = kernel.loop().async_()
        self._watcher.start(self._deliver)
        self._before = [(number, signal.signal(number, self._handle)) for number in self._numbers]

    def close(self) -> None:
        """Give the signals back; but none may end the program in the middle of its last words."""
        for number, _ in self._before:
            signal.signal(number, signal.SIG_IGN)
        self._watcher.close()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            # One wish may come twice: `timeout` and some inits send a signal to the process and then to its group.
            now = time.monotonic()
            (before, at), self._last = self._last, (number, now)
            if number == before and now - at < _ECHO:
                return
            self._stops += 1
            if self._stops > 1:
                os.write(2, b"evergreen: stopped at once\n")
                os._exit(128 + number)
        self._waiting.append(number)
        self._watcher.send()

    def _deliver(self) -> None:
        while self._waiting:
            send(self._dest, Signal(self._waiting.popleft()))


class Tuning:
    """Settings of the interpreter and the kernel; applied at the start and at each reload."""

    def __init__(self) -> None:
        self._gc_before = gc.get_threshold()
        self._hooks: list[tuple[list[Any], Callable[..., None]]] = [
            (hooks.on_hog, _on_hog),  # all others have alarms: runtime.observe.sysmon
        ]
        for listeners, listener in self._hooks:
            listeners.append(listener)

    def apply(self, config: Config) -> None:
        kill = config.number("runtime.hog_kill")
        kernel.start_watchdog(config.number("runtime.hog_warn"), kill if kill > 0 else None)
        kernel.set_default_watermarks(
            config.integer("runtime.mailbox_high"), config.integer("runtime.mailbox_low")
        )
        kernel.check_messages(config.flag("runtime.check_messages"))
        # A full collection looks at every object there is: with a schedule of ours, Python's own is put off.
        full = config.number("runtime.gc_full_every")
        gc.set_threshold(config.integer("runtime.gc_young"), 20, 10_000 if full else 50)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, NodeLog):
                handler.tune(config)
        # One descriptor for each connection: take what the system allows.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        janitor = kernel.whereis("janitor")
        if janitor is not None:
            kernel.cast(janitor, full)
        sysmon.configure(_limits(config))
        alarm_sender.configure(_ways(config))

    def undo(self) -> None:
        kernel.stop_watchdog()
        kernel.check_messages(False)
        gc.set_threshold(*self._gc_before)
        for listeners, listener in self._hooks:
            listeners.remove(listener)


class Janitor(GenServer):
    """Looks at the mailboxes of blocked processes every second, and collects garbage now and then."""

    def init(self, gc_full_every: float) -> NoReply:
        self.gc_full_every = gc_full_every
        self.collected = kernel.clock.now()
        return NoReply(timeout=1.0)

    def handle_cast(self, request: float) -> NoReply:
        self.gc_full_every = request
        return NoReply(timeout=1.0)

    def handle_info(self, message: Any) -> NoReply:
        if message is TIMEOUT:
            kernel.sweep()
            if 0 < self.gc_full_every <= kernel.clock.now() - self.collected:
                gc.collect()
                self.collected = kernel.clock.now()
        return NoReply(timeout=1.0)


# API


def start_services(node: Any, migrations: list[str], more: Sequence[ChildSpec] = ()) -> Process:
    """Start alarms, system monitor, store, janitor and `more`, linked to the caller; fill `node.store` and `node.cluster`.

    The cluster is not started yet: who owns the shards' processes, an application, does that with its callbacks.

    Raises StartError with the store's error inside. A service that ends takes all of them down (intensity 0): nobody
    may go on with a handle on a store that is gone.
    """
    config = node.config
    store = StoreConfig(
        path=str(node.data_dir / "store"),
        nshards=config.integer("cluster.shards"),
        migrations=tuple(migrations),
        map_initial=config.integer("store.map_initial"),
        max_size=config.integer("store.max_size"),
        reserve=config.integer("store.reserve"),
        start_timeout=config.number("store.start_timeout"),
        check_upto=config.integer("store.check_upto"),
        max_pending=config.integer("store.max_pending"),
        max_pending_bytes=config.integer("store.max_pending_bytes"),
    )
    specs = [
        # First up and last down: whatever the others meet is heard of.
        ChildSpec(
            "observers", (_start_observers, (config, str(node.data_dir))), type="supervisor", shutdown=5.0
        ),
        ChildSpec("store", (StoreServer.start_link, (store,)), shutdown=_STORE_STOP),
        ChildSpec(
            "janitor", (Janitor.start_link, (config.number("runtime.gc_full_every"),), {"name": "janitor"})
        ),
    ]
    pid = Supervisor.start_link_with(SupFlags(intensity=0), [*specs, *more], name="node_services")
    node.store = store_of("store")
    node.cluster = LocalCluster(node.name, config.integer("cluster.shards"))
    return pid


# Internals


def _start_observers(config: Config, data_dir: str) -> Process | None:
    """What looks after the node may fail now and then without ending it."""
    specs = [
        ChildSpec("alarms", (alarms.start_link, ())),
        ChildSpec("sysmon", (sysmon.Sysmon.start_link, (_limits(config), data_dir), {"name": sysmon.NAME})),
        ChildSpec("alarm_sender", (AlarmSender.start_link, (_ways(config),), {"name": alarm_sender.NAME})),
    ]
    specs += [
        ChildSpec("log", (LogGate.start_link, (handler,), {"name": "log"}))
        for handler in logging.getLogger().handlers
        if isinstance(handler, NodeLog)
    ]
    return Supervisor.start_link_with(
        SupFlags(strategy="rest_for_one", intensity=5, period=60.0), specs, name="observers"
    )


def _limits(config: Config) -> sysmon.Limits:
    return config.into(sysmon.Limits, "alarms")


def _ways(config: Config) -> Ways:
    return config.into(Ways, "alarms")


def _on_hog(report: Any) -> None:
    what = "was ended: it held" if report.killed else "holds"
    _log.warning(
        "%s %s the node for %.2f s without giving way, in %s\n%s",
        report.pid or "a callback of the loop",
        what,
        report.seconds,
        report.function,
        report.stack,
    )
