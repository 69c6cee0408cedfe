"""Protocols that tell a test what they see, listeners for one test, and bare clients."""

from __future__ import annotations

import os
import socket as plain_socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
from gevent import socket

from runtime.kernel import TIMEOUT, Call, call, receive, receive_match, reply, self_, send
from runtime.net import Length4, Line, Listener, ListenerConfig, Protocol, listener

LIMIT = 1 << 20


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


class Echo(Protocol):
    """Sends every frame back; a few payloads are orders."""

    framing = Length4(LIMIT)

    def frames(self, conn, frames):
        for payload in frames:
            if payload == b"crash":
                raise RuntimeError("as told")
            conn.write(payload)
            if payload == b"close":
                conn.close()


class Teller(Protocol):
    """Sends (event, conn, detail) to the process `to` for everything that happens."""

    framing = Length4(LIMIT)

    def __init__(self, to):
        self.to = to

    def connected(self, conn):
        send(self.to, ("connected", conn, None))

    def frames(self, conn, frames):
        send(self.to, ("frames", conn, frames))

    def info(self, conn, message):
        if isinstance(message, Call):
            reply(message, message.request(conn))
        elif callable(message):
            message(conn)
        else:
            send(self.to, ("info", conn, message))

    def bad_frame(self, conn, error, head):
        send(self.to, ("bad_frame", conn, (error.kind, head)))
        conn.write(b"bad")

    def writable(self, conn, ready):
        send(self.to, ("writable", conn, ready))

    def draining(self, conn, seconds):
        send(self.to, ("draining", conn, seconds))

    def closed(self, conn, reason):
        send(self.to, ("closed", conn, reason))


class Sleeper(Teller):
    """Blocks in `frames` until it is told to go on."""

    def frames(self, conn, frames):
        send(self.to, ("frames", conn, frames))
        receive_match(lambda m: m == "go on")


class LineTeller(Teller):
    framing = Line(100)


class Greeter(Teller):
    def connected(self, conn):
        conn.write(b"hello")
        super().connected(conn)


def event(name: str, timeout: float = 10.0) -> Any:
    """Wait for an event of a Teller: return (conn, detail)."""
    got = receive_match(lambda m: isinstance(m, tuple) and m[0] == name, timeout=timeout)
    assert got is not TIMEOUT, f"no event {name!r}"
    return got[1], got[2]


def nothing_waits() -> None:
    assert receive(timeout=0) is TIMEOUT


@contextmanager
def listening(protocol: Any = Echo, **config: Any) -> Iterator[Any]:
    """A listener for the block; `args` makes Tellers tell the test."""
    config.setdefault("name", "test")
    if isinstance(protocol, type) and issubclass(protocol, Teller):
        config.setdefault("args", {"to": self_()})
    config.setdefault("drain_timeout", 0.2)
    pid = Listener.start_link(ListenerConfig(protocol=protocol, **config))
    try:
        yield pid
    finally:
        if pid.alive:
            listener.stop(pid)


class Client:
    """A bare blocking client (blocks its process only)."""

    def __init__(self, where: Any, tls: Any = None, name: str = "localhost", receive_buffer: int = 0) -> None:
        port = where if isinstance(where, int) else listener.port(where)
        self.sock: Any = socket.socket()
        self.sock.settimeout(10)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect(("127.0.0.1", port))
        except BaseException:
            self.sock.close()
            raise
        if tls is not None:
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname=name)
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *payloads: bytes) -> None:
        self.sock.sendall(b"".join(map(frame, payloads)))

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def exactly(self, size: int) -> bytes:
        parts = []
        while size:
            data = self.sock.recv(min(size, 1 << 16))
            if not data:
                raise EOFError(b"".join(parts))
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def frame(self) -> bytes:
        return self.exactly(struct.unpack(">I", self.exactly(4))[0])

    def rest(self) -> bytes:
        """All that comes until the peer's end."""
        parts = []
        while data := self.sock.recv(1 << 16):
            parts.append(data)
        return b"".join(parts)

    def is_cut(self) -> bool:
        """Wait for the peer to end or reset the connection."""
        with suppress(ConnectionError):
            return self.rest() == b""
        return True

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def sockets() -> int:
    """Descriptors of this process that are sockets."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += os.readlink(entry).startswith("socket:")  # noqa: PTH115
    return count


def in_connection(conn: Any, fn: Any) -> Any:
    """Run `fn(conn)` in the process of a Teller's connection."""
    return call(conn.pid, fn)


def until(condition: Any, timeout: float = 10.0) -> None:
    """Wait for a change that the other end makes; runs the loop, and leaves virtual time standing still."""
    end = monotonic() + timeout
    while not condition():
        assert monotonic() < end, "still not true"
        gevent.sleep(0.001)


def small_send_buffer(conn: Any) -> None:
    conn._socket.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_SNDBUF, 4096)
