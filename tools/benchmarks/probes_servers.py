"""Echo servers: ours, and a greenlet for each connection. Each is a process of its own until its input ends.

Frames are a 4-byte length and the payload; both servers send every frame back. With `actors`, that many pairs of
actors (our processes; greenlets with queues) send each other messages without a pause while the server serves.
"""

from __future__ import annotations

import ssl
from typing import Any

from runtime.kernel import loop, receive, run, send, spawn_callback
from runtime.net import Length4, Listener, ListenerConfig, Protocol, TLSConfig, listener
from tools.benchmarks.probe import leave, ready

__all__ = ["Echo", "greenlets", "ours"]

_INPUT = 0  # standard input: its end is ours


class Echo(Protocol):
    """Send every frame back."""

    framing = Length4(65536)

    def frames(self, conn: Any, frames: list[bytes]) -> None:
        for frame in frames:
            conn.write(frame)


class _Pong:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        send(message, process)


def ours(certificate: str | None = None, key: str | None = None, actors: int = 0) -> None:
    """A listener of runtime.net."""

    def body() -> None:
        tls = TLSConfig(certificate, key) if certificate and key else None
        config = ListenerConfig(name="echo", protocol=Echo, tls=tls, backlog=4096, idle_timeout=None)
        pid = Listener.start_link(config)
        for _ in range(actors):
            send(spawn_callback(_Pong()), spawn_callback(_Pong()))
        ready(port=listener.port(pid))
        receive()

    watcher = loop().io(_INPUT, 1)
    watcher.start(leave)
    run(body)


def greenlets(certificate: str | None = None, key: str | None = None, actors: int = 0) -> None:
    """gevent's StreamServer: a greenlet for each connection, `sendall` for each frame."""
    import gevent
    from gevent import queue
    from gevent.server import StreamServer

    def echo(sock: Any, _address: Any) -> None:
        buffer = b""
        try:
            while data := sock.recv(65536):
                buffer = buffer + data if buffer else data
                at = 0
                while len(buffer) - at >= 4:
                    end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
                    if end > len(buffer):
                        break
                    sock.sendall(buffer[at:end])
                    at = end
                buffer = buffer[at:]
        except OSError:
            pass
        finally:
            sock.close()

    def pong(mine: Any, other: Any) -> None:
        while True:
            other.put(mine.get())

    options: dict[str, Any] = {}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.num_tickets = 0
        from gevent.ssl import SSLContext

        own = SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate, key)
        own.num_tickets = 0
        options["ssl_context"] = own
    server = StreamServer(("127.0.0.1", 0), echo, backlog=4096, **options)
    server.start()
    for _ in range(actors):
        a: Any = queue.Queue()
        b: Any = queue.Queue()
        gevent.spawn(pong, a, b)
        gevent.spawn(pong, b, a)
        a.put(1)
    watcher = gevent.get_hub().loop.io(_INPUT, 1)
    watcher.start(leave)
    ready(port=server.server_port)
    server.serve_forever()
