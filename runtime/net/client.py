"""Outgoing connections: the same machinery as accepted ones, from the other side."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from runtime.kernel import CallError, Crash, Process, Shutdown, call, clock, exit, spawn_callback
from runtime.kernel import KILL, TIMEOUT_REASON
from runtime.net.connection import Connection, TLSConnection
from runtime.net.names import look_up
from runtime.net.options import Options, keep_alive
from runtime.net.prelude import ConnectStep, Prelude, TLSStep
from runtime.net.protocol import Protocol
from runtime.net.signals import AWAIT_UP
from runtime.net.reasons import HANDSHAKE_TIMEOUT
from runtime.net.tls import ClientTLS, cached_client_context

__all__ = ["ConnectError", "connect"]


# types


class ConnectError(Exception):
    """No connection came up. `.reason`: a Failure (kind "connect", "tls", "name"…), "handshake_timeout" or "reset"."""

    def __init__(self, host: str, port: int, reason: Any) -> None:
        super().__init__(f"no connection to {host} port {port}: {reason}")
        self.reason = reason


# API


def connect(
    host: str,
    port: int,
    protocol: str | type[Protocol],
    *,
    tls: ClientTLS | ssl.SSLContext | None = None,
    args: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    wait: bool = True,
    server_name: str | None = None,
    **limits: Any,
) -> Process:
    """Open a connection and return its process; `pid.behaviour` is the Connection.

    Blocks the calling process until TLS stands and `protocol.connected` has returned; with `wait=False` only for
    the look-up of a name (in a thread): then `connected` or `closed` tells the protocol. The process is not linked.
    `timeout` (seconds) is for all of it; `limits` are fields of Options (idle_timeout, write_high…).

    Raises:
        ConnectError: it could not be reached, refused, failed the handshake, or took too long.
        CertificateError: our own CA or certificate files cannot be used.
    """
    options = Options(protocol=protocol, args=dict(args or {}), handshake_timeout=timeout, **limits)
    context = cached_client_context(tls) if isinstance(tls, ClientTLS) else tls
    name = server_name or (tls.server_name if isinstance(tls, ClientTLS) else None) or host
    end = clock.now() + timeout
    error: ConnectError | None = None
    for family, address in _addresses(host, port):
        try:
            pid = _start(family, address, options, context, name)
            if wait:
                _wait_up(pid, max(0.0, end - clock.now()), host, port)
            return pid
        except ConnectError as failed:
            error = failed
            if clock.now() >= end:
                break
    assert error is not None
    raise error


# internals


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        version = ipaddress.ip_address(host).version
        return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]
    except ValueError:
        pass
    try:
        found = look_up(host, port)
    except OSError as error:
        raise ConnectError(host, port, error.strerror or str(error)) from error
    return [(family, address) for family, _, _, _, address in found]


def _start(
    family: socket.AddressFamily, address: Any, options: Options, context: ssl.SSLContext | None, name: str
) -> Process:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # no descriptor left
        raise ConnectError(address[0], address[1], error.strerror or str(error)) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock, options.keepalive)
        try:
            sock.connect(address)
        except BlockingIOError:
            pass  # on its way
    except OSError as error:
        sock.close()
        raise ConnectError(address[0], address[1], error.strerror or str(error)) from error
    if context is None:
        conn = Connection(sock, address[0], address[1], options, None, Prelude(ConnectStep()))
    else:
        known = context
        steps = (ConnectStep(), TLSStep(lambda: known, server_side=False, name=name))
        conn = TLSConnection(sock, address[0], address[1], options, None, Prelude(*steps))
    conn.pid = pid = spawn_callback(conn)
    conn.begin()
    return pid  # type: ignore[no-any-return]


def _wait_up(pid: Process, seconds: float, host: str, port: int) -> None:
    try:
        # The connection's own time limit is to strike first: it knows the better reason.
        call(pid, AWAIT_UP, timeout=seconds + 1.0)
    except CallError as error:
        reason = error.reason
        if reason == TIMEOUT_REASON:
            exit(pid, KILL)
            reason = HANDSHAKE_TIMEOUT
        if isinstance(reason, Crash):
            raise
        raise ConnectError(host, port, reason.term if isinstance(reason, Shutdown) else reason) from None
