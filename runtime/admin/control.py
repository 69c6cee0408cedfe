"""The control socket: whoever may act as the node asks it to do things, and hears how they go.

Theory of operation: a listener on a Unix socket in the data directory (mode 0600; the kernel's word for the peer's uid must
be the node's own, root's, or one of `uids`), and, if configured, one over mutual TLS (the client's certificate must be of
the authority in `clients`). Both speak `wire`. A connection's process only reads and starts: each request runs in a
process of its own, monitored, so a long one holds up nobody and a crash ends nobody else.

    request ──▶ its process ──▶ audit record ──▶ answer          a crash: Down ──▶ audit record, answer "crash"

An operation that changes something outlives its client: half of it would be worse than all of it, and what came of it is
in the audit. The others end with their client. An idle connection is closed after a while; one with requests under way is
not: following a probation is one long silence.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.admin import wire
from runtime.admin.operations import Denied, Operation, Operations, Request, Who
from runtime.kernel import (
    SHUTDOWN,
    Down,
    Process,
    demonitor,
    exit,
    monitor,
    node,
    receive_match,
    spawn_opt,
    whereis,
)
from runtime.net import Connection, FramingError, Listener, ListenerConfig, Protocol, TLSConfig
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

__all__ = [
    "LISTENER",
    "TLS_LISTENER",
    "Audit",
    "Context",
    "Control",
    "start_link",
    "tls_listener",
    "unix_listener",
]

_log = logging.getLogger("evergreen.admin")

LISTENER = "admin"
TLS_LISTENER = "admin_tls"
_MOST = 16  # requests of one connection under way
_CONNECTIONS = 64
_IDLE = 120.0

# Types

Audit = Callable[[Who, str, str, str, bool], None]
"""(who, operation, what it is about, what came of it, whether it changes something). Runs in the request's process."""


def log_only(_who: Who, _operation: str, _what: str, _verdict: str, _changes: bool) -> None:
    """An audit that keeps nothing beyond what the log has anyway."""


@dataclass(frozen=True, slots=True)
class Context:
    """What all control connections of a node share. `uids`: users besides the node's own and root who may connect."""

    operations: Operations
    uids: frozenset[int] = frozenset()
    audit: Audit = field(default=log_only)


class Control(Protocol):
    """One control connection. Invariant: `running` holds exactly the requests that have had no last answer yet."""

    framing = wire.framing

    def __init__(self, context: Context) -> None:
        self.context = context
        self.who: Who | None = None
        self.running: dict[Process, tuple[int, Operation, Request]] = {}

    # callbacks

    def connected(self, conn: Connection) -> None:
        who = self._admit(conn)
        if isinstance(who, str):
            _log.warning("refused: %s", who)
            self._answer(conn, {"id": 0, "ok": False, "kind": "denied", "text": who})
            conn.close("denied")
            return
        self.who = who
        names = self.context.operations.names()
        self._answer(conn, {"hello": wire.HELLO, "node": node(), "pid": os.getpid(), "operations": names})

    def frames(self, conn: Connection, frames: list[bytes]) -> None:
        for frame in frames:
            if self.who is None:
                return  # refused, and only not gone yet
            try:
                number, name, arguments = wire.request(wire.decode(frame))
            except wire.BadMessage as error:
                self._answer(conn, {"id": 0, "ok": False, "kind": "format", "text": str(error)})
                conn.close("bad message")
                return
            self._begin(conn, number, name, arguments)

    def info(self, conn: Connection, message: Any) -> None:
        if not isinstance(message, Down) or message.pid not in self.running:
            return
        number, operation, request = self.running.pop(message.pid)
        if not self.running:
            conn.set_idle_timeout(_IDLE)
        if not request.is_answered:
            text = f"{operation.name} crashed: {message.reason!r:.300}; the report is in the node's log"
            self._audit_aside(request, operation, text)
            self._answer(conn, {"id": number, "ok": False, "kind": "crash", "text": text})

    def bad_frame(self, conn: Connection, error: FramingError, head: bytes) -> None:
        self._answer(conn, {"id": 0, "ok": False, "kind": "format", "text": str(error)})

    def closed(self, conn: Connection, reason: Any) -> None:
        for pid, (_, operation, _) in self.running.items():
            if not operation.changes:
                exit(pid, SHUTDOWN)

    # internals

    def _admit(self, conn: Connection) -> Who | str:
        """Say who it is, or, as a text, why not."""
        found = conn.credentials
        if found is not None:
            if found.uid in (os.geteuid(), 0) or found.uid in self.context.uids:
                return Who(f"uid {found.uid} (pid {found.pid})", is_local=True)
            return f"uid {found.uid} may not control this node: its own user may (uid {os.geteuid()}), and admin.uids"
        tls = conn.tls_info
        if tls is None or not tls.peer_certificate:
            return "only a Unix socket or a client's certificate says who is there"
        pairs = [f"{name}={value}" for part in tls.peer_certificate["subject"] for name, value in part]
        return Who(f"certificate {','.join(pairs)} ({conn.peer[0]})", is_local=False)

    def _begin(self, conn: Connection, number: int, name: str, arguments: dict[str, Any]) -> None:
        operation = self.context.operations.find(name)
        problem = None
        if operation is None:
            problem = ("unknown", f"this node knows no operation {name[:60]!r}")
        elif len(self.running) >= _MOST:
            problem = ("busy", f"{_MOST} requests of this connection are under way: wait for one")
        elif any(number == other for other, _, _ in self.running.values()):
            problem = ("format", f"the request {number} is still under way: take another id")
        if operation is None or problem is not None:
            kind, text = problem or ("", "")
            self._answer(conn, {"id": number, "ok": False, "kind": kind, "text": text})
            return
        assert self.who is not None
        request = Request(
            name,
            arguments,
            self.who,
            lambda event: self._answer(conn, {"id": number, "event": event}),
            connection=conn,
        )
        pid, _ = spawn_opt(self._run, conn, number, operation, request, monitor=True, label=f"admin {name}")
        self.running[pid] = (number, operation, request)
        conn.set_idle_timeout(None)

    def _run(self, conn: Connection, number: int, operation: Operation, request: Request) -> None:
        """The life of a request's process."""
        try:
            answer = {"id": number, "ok": True, "result": operation.handler(request)}
            verdict = "ok"
        except Denied as denied:
            answer = {
                "id": number,
                "ok": False,
                "kind": denied.kind,
                "text": str(denied),
                "more": denied.more,
            }
            verdict = f"refused ({denied.kind}): {denied}"
        self._audit(request, operation, verdict)
        self._answer(conn, answer)
        request.is_answered = True

    def _audit(self, request: Request, operation: Operation, verdict: str) -> None:
        if not operation.audited:
            return
        level = logging.INFO if operation.changes else logging.DEBUG
        _log.log(level, "%s: %s %s: %s", request.who, request.name, request.what, verdict)
        self.context.audit(request.who, request.name, request.what, verdict, operation.changes)

    def _audit_aside(self, request: Request, operation: Operation, verdict: str) -> None:
        # The audit waits for the disk; the connection's process must not.
        spawn_opt(self._audit, request, operation, verdict, label="admin audit")

    def _answer(self, conn: Connection, message: dict[str, Any]) -> None:
        data = wire.encode(message)
        if len(data) > wire.MAX_FRAME:
            text = f"the answer has {len(data)} bytes, {wire.MAX_FRAME} is the limit: ask for less"
            data = wire.encode({"id": message.get("id", 0), "ok": False, "kind": "size", "text": text})
        conn.write(data)


# API


def unix_listener(path: str, context: Context) -> ListenerConfig:
    """Return the configuration of the listener at `path`."""
    return _listener(LISTENER, f"unix:{path}", 0, context, None)


def tls_listener(
    host: str, port: int, certificate: str, key: str, clients: str, context: Context
) -> ListenerConfig:
    """Return the configuration of the mutual-TLS listener; `clients` is the file of the authority of its clients."""
    return _listener(TLS_LISTENER, host, port, context, TLSConfig(certificate, key, client_ca=clients))


def start_link(listeners: list[ListenerConfig]) -> Process | None:
    """Start the listeners under a supervisor linked to the caller. Raises StartError with a ListenError inside.

    Blocks for some seconds when listeners of the same names are still draining: their supervisor was killed.
    """
    for config in listeners:
        _await_predecessor(config)
    specs = [
        ChildSpec(config.name, (Listener.start_link, (config,)), shutdown=config.drain_timeout + 2.0)
        for config in listeners
    ]
    return Supervisor.start_link_with(SupFlags(intensity=5, period=60.0), specs, name="admin_listeners")


# Internals


def _await_predecessor(config: ListenerConfig) -> None:
    owner = whereis(f"{config.name}.connections")
    if owner is not None:
        ref = monitor(owner)
        receive_match(
            lambda message: message.__class__ is Down and message.ref == ref, config.drain_timeout + 2.0
        )
        demonitor(ref, flush=True)


def _listener(name: str, host: str, port: int, context: Context, tls: TLSConfig | None) -> ListenerConfig:
    return ListenerConfig(
        name=name,
        host=host,
        port=port,
        protocol=Control,
        args={"context": context},
        tls=tls,
        max_connections=_CONNECTIONS,
        idle_timeout=_IDLE,
        frame_timeout=120.0,
        write_limit=2 * wire.MAX_FRAME,
        drain_timeout=1.0,
    )
