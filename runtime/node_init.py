"""The process `init`: a node's life from the first service to the last.

Theory of operation: it starts the node's services (store, cluster, janitor) under one supervisor, the application controller, and,
in a process of its own so that a signal is always heard, the applications. Then it waits for whoever ends the node, and
stops everything in order, whatever has been started so far:

    boot ──▶ _Booted ──▶ serving ──▶ a signal, an application's end, a service's end ──▶ applications ──▶ cluster ──▶ services
      └────▶ _BootFailed ────────────────────────────────────────────────────────────────────┘

Which end gives which exit code is at the head of `runtime.node`. If the orderly stop itself hangs, a thread outside of
everything ends the program `node.stop_timeout` and 5 s later.

Invariant: whatever this process has started, `_stop` stops; it traps exits, so it outlives all of them.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import time
from typing import Any, NamedTuple

from runtime import certificates, kernel
from runtime.certificates import CertificateError, Certificates
from runtime.code.keys import KeyProblem
from runtime.config import Config, ConfigErrors
from runtime.kernel import (
    Crash,
    Exit,
    Pid,
    Process,
    exit,
    receive,
    self_,
    send,
    spawn_link,
    trap_exit,
    unlink,
)
from runtime.node_code import NodeCode
from runtime.node_config import load_node_config
from runtime.node_control import start_control
from runtime.node_errors import explain, sentence
from runtime.node_handle import Node, take_place
from runtime.node_identity import DataDirectory, DirectoryError, Identity
from runtime.node_keys import RESTART_KEYS
from runtime.node_logging import NodeLog
from runtime.node_screen import ready_line, say, screen
from runtime.node_services import Signal, Signals, Tuning, start_services
from runtime.observe import crash_dump
from runtime.otp import application
from runtime.otp.application import NodeEnds, StartFailed
from runtime.otp.child_process import stop_process
from runtime.otp.outcome import StartError

__all__ = ["Init", "run"]

_log = logging.getLogger("evergreen.node")
_APPLICATIONS_SHARE = 0.8
"""Part of the stop's time that the applications have; the rest is the store's, to finish what it has promised."""

# Types


class _Booted(NamedTuple):
    names: tuple[str, ...]


class _BootFailed(NamedTuple):
    name: str
    reason: Any


class Init:
    """The life of a node, run by the process `init`. Every method but the main program's belongs to that process."""

    def __init__(
        self,
        options: argparse.Namespace,
        config: Config,
        classes: list[type[application.Application]],
        directory: DataDirectory,
        identity: Identity,
        code: NodeCode | None,
    ) -> None:
        self.options = options
        self.classes = classes
        self.directory = directory
        self.identity = identity
        self.code = code
        self.log: NodeLog
        self.node = Node(identity, config, directory.path)
        self.node.code = code.handle() if code is not None else None
        self.tuning = Tuning()
        self.services: Process | None = None
        self.controller: Process | None = None
        self.boot: Process | None = None

    def run(self) -> int:
        self.log.hold_reports()
        trap_exit(True)
        kernel.register("init", self_())
        signals = Signals(self_())
        self.tuning.apply(self.node.config)
        take_place(self.node)
        try:
            code = self._start() or self._serve()
        finally:
            self._stop()
            signals.close()
            self.tuning.undo()
            take_place(None)
        return code

    def _start(self) -> int:
        """Start services and applications; return an exit code if that cannot be."""
        node = self.node
        try:
            migrations = [m for cls in self.classes for m in cls.migrations]
            more = [self.code.spec(node.config)] if self.code is not None else []
            self.services = start_services(node, migrations, more)
            self.directory.remember(self.identity)
            node.certificates = self._certificates(node.config)
            node.operations = start_control(
                node, self.services, self.code.control() if self.code is not None else None
            )
        except (StartError, CertificateError, DirectoryError, KeyProblem) as error:
            return self._refuse("", error)
        self.controller = application.start_controller(self_())
        for cls in self.classes:
            application.load(cls, self._settings(cls, node.config))
        self.boot = spawn_link(_boot, self_(), [cls.name for cls in self.classes])
        return 0

    def _serve(self) -> int:
        """Wait for what ends the node; return the exit code."""
        while True:
            message = receive()
            kind = type(message)
            if kind is _Booted:
                self.log.release_reports()
                self.node.phase = "serving"
                self._show(message.names)
            elif kind is _BootFailed:
                return self._refuse(f"application {message.name}: ", message.reason)
            elif kind is Signal:
                if message.is_reload:
                    self._reload()
                else:
                    _log.info("%s: stopping in order (again: at once)", message.name)
                    return 0
            elif kind is NodeEnds:
                return self._fatal(f"application {message.application} did: {self._explain(message.reason)}")
            elif kind is Exit and self._is_vital(message.sender):
                return self._fatal(self._culprit(message))
            elif kind is Exit and message.sender is self.boot and isinstance(message.reason, Crash):
                return self._refuse("", message.reason)

    def _fatal(self, why: str) -> int:
        """Say why the node ends, and write down all that can be seen of it, before the rest is stopped."""
        say(f"the node ends, because {why}")
        keep = self.node.config.integer("node.crash_dumps")
        if keep:
            name = time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}.dump"
            try:
                path = crash_dump.write(self.node.data_dir / "crash" / name, reason=why, keep=keep)
                say(f"crash dump: {path} (tools/shell --dump opens it)")
            except OSError as error:
                say(f"no crash dump could be written: {error}")
        return 1

    def _refuse(self, who: str, reason: Any) -> int:
        """Say why the node cannot start. The reports are only written when no sentence says it better."""
        self.log.release_reports(write=not sentence(reason))
        say(f"cannot start: {who}{self._explain(reason)}")
        return 1

    def _explain(self, reason: Any) -> str:
        edited = self.code.edited() if self.code is not None and not sentence(reason) else ""
        text = explain(reason, is_edited=bool(edited))
        return f"{text.rstrip()}\n{edited}" if edited else text

    def _culprit(self, end: Exit) -> str:
        store = getattr(self.node.store, "pid", None)
        if end.sender is self.services and store is not None and not kernel.is_alive(store):
            return f"its store did: {explain(store.reason)}"  # the supervisor's own reason is only `shutdown`
        return f"{end.sender} did: {explain(end.reason)}"

    def _is_vital(self, pid: Pid) -> bool:
        return pid is self.services or pid is self.controller

    def _show(self, names: tuple[str, ...]) -> None:
        node = self.node
        made = node.certificates
        try:
            if self.options.json_ready:
                ca = str(made.ca) if made and made.ca else None
                line = ready_line(
                    os.getpid(), node.name, node.doors, {"ca": ca, "data_dir": str(node.data_dir)}
                )
                print(line, flush=True)
                return
            rows = [
                ("node", f"{node.name}, life {node.creation}, pid {os.getpid()}"),
                ("data", f"{node.data_dir} ({node.config.integer('cluster.shards')} shards)"),
                ("certificate", _describe(made)),
                ("code", self.code.text() if self.code is not None else "off: a change takes a restart"),
                ("runs", ", ".join(names) or "no application: see node.applications"),
                *((door.name, f"{door.host}:{door.port}  {door.speaks}") for door in node.doors),
            ]
            hints = [hint for cls in self.classes for hint in cls.hints]
            print(screen(rows, "Evergreen is running", [*hints, ("Ctrl-C", "stop in order")]), flush=True)
        except OSError as error:  # nobody reads standard output
            _log.warning("the start message could not be written: %s", error)

    def _reload(self) -> None:
        """Take over changed settings; with any error in them, keep all as it is and say why."""
        node, options = self.node, self.options
        try:
            config, _ = load_node_config(options.config, options.set)
            made = self._certificates(config)
        except (ConfigErrors, CertificateError) as error:
            _log.error("reload refused, everything stays as it is: %s", error)
            return
        changed, _, _ = node.config.difference(config)
        late = sorted(name for name in changed if name.startswith(RESTART_KEYS))
        if late:
            _log.warning("these hold from the next start on: %s", ", ".join(late))
        node.config, node.certificates = config, made
        self.tuning.apply(config)
        if self.code is not None:
            self.code.take(config)
        application.change_config({cls.name: self._settings(cls, config) for cls in self.classes})
        _log.info("reloaded; changed: %s", ", ".join(sorted(changed)) or "nothing")

    def _stop(self) -> None:
        """Stop everything in order, within `node.stop_timeout` seconds, whatever has been started so far."""
        self.node.phase = "stopping"
        self.log.release_reports()
        unjudged = self.code.unjudged() if self.code is not None else ""
        if unjudged:
            _log.warning("%s", unjudged)
        limit = self.node.config.number("node.stop_timeout")
        # A thread of C that needs neither the interpreter nor the loop: the last guard against a stop that hangs.
        faulthandler.dump_traceback_later(limit + 5, exit=True)
        end = kernel.clock.now() + limit
        if self.boot is not None:
            unlink(self.boot)
            exit(self.boot, "kill")
        if self.controller is not None and kernel.is_alive(self.controller):
            for info in application.loaded_applications():
                if info.status == "starting":
                    application.stop(info.name, 0)
            application.stop_all(limit * _APPLICATIONS_SHARE)
            stop_process(self.controller, 1.0)
        if self.node.cluster is not None:
            self.node.cluster.stop()
        if self.services is not None and kernel.is_alive(self.services):
            stop_process(self.services, max(1.0, end - kernel.clock.now()))
        faulthandler.cancel_dump_traceback_later()
        _log.info("stopped")

    def _certificates(self, config: Config) -> Certificates:
        own = config.text("node.tls_certificate"), config.text("node.tls_key")
        return certificates.load(self.node.data_dir / "certificates", *own)

    def _settings(self, cls: type[application.Application], config: Config) -> Config:
        return config.only(key.name for key in cls.schema)


# API


def run(init: Init) -> int:
    """Run the node until it is stopped; return the exit code. For the main program; blocks."""
    log = init.log = NodeLog.start(init.node.config)
    try:
        kernel.set_node(init.identity.name, init.identity.creation)
        code: int = kernel.run(init.run)
        return code
    finally:
        kernel.stop_watchdog()  # if `init` was killed, nobody else has: its signal would end the program instead
        log.stop()


# Internals


def _boot(init: Pid, names: list[str]) -> None:
    """Start the applications: a process of its own, so that init hears signals meanwhile."""
    try:
        for name in names:
            application.ensure_all_started(name, "permanent")
    except StartFailed as error:
        send(init, _BootFailed(error.name, error.reason))
    except application.NotLoaded as error:
        send(init, _BootFailed(error.name, error))
    else:
        send(init, _Booted(tuple(info.name for info in reversed(application.which_applications()))))


def _describe(made: Certificates | None) -> str:
    if made is None:
        return "none"
    until = f"until {made.not_after:%Y-%m-%d}"
    return (
        f"for development, {until}; its authority: {made.ca}" if made.ca else f"{made.certificate}, {until}"
    )
