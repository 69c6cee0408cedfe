"""The clients' side of the connections that are measured: plain Python, epoll, no runtime. A process of its own."""

from __future__ import annotations

import gc
import os
import select
import socket
import ssl
import sys
import time
from typing import Any

from tools.benchmarks.proc import cpu_seconds
from tools.benchmarks.probe import ready

__all__ = ["flood", "hold", "numbered", "paced"]

_LIMIT = 60.0  # seconds for all connections to be made


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connect(port: int, tls: ssl.SSLContext | None) -> Any:
    sock: Any = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(sock) if tls else sock


def paced(port: int, seconds: float, interval: float = 0.001, size: int = 64) -> dict[str, float]:
    """One connection, a frame every `interval` seconds on time: latencies in milliseconds, late starts included."""
    gc.disable()
    sock = _connect(port, None)
    frame = size.to_bytes(4, "big") + b"x" * size
    latencies = []
    for _ in range(50):
        sock.sendall(frame)
        sock.recv(4096)
    start = time.perf_counter()
    due = start
    while due < start + seconds:
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        began = time.perf_counter()
        sock.sendall(frame)
        got = 0
        while got < len(frame):
            got += len(sock.recv(4096))
        latencies.append(time.perf_counter() - began)
        due = max(due + interval, time.perf_counter() - interval)
    latencies.sort()
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: latencies[int(share * (len(latencies) - 1))] * 1e3 for name, share in at.items()}


def hold(port: int, tls: bool, warm: int, count: int) -> None:
    """Open `warm` connections; then, for each line on standard input, `count` more; hold them all.

    Says ready after each step. Each connection has had one frame sent back before it counts.
    """
    context = _context() if tls else None
    held = [_echoed(port, context) for _ in range(warm)]
    ready(open=len(held))
    for _ in sys.stdin:
        held += [_echoed(port, context) for _ in range(count)]
        ready(open=len(held))


def _echoed(port: int, context: ssl.SSLContext | None) -> Any:
    sock = _connect(port, context)
    sock.sendall(b"\0\0\0\x04ping")
    assert sock.recv(100) == b"\0\0\0\x04ping"
    return sock


def flood(
    port: int, pid: int, tls: bool, connections: int, batch: int, seconds: float, size: int = 145
) -> dict[str, float]:
    """Every connection keeps `batch` frames under way, written at once when all of the last have come back.

    Returns frames a second, frames for each CPU-second of the server (`pid`), and this client's own CPU share.
    """
    context = _context() if tls else None
    blob = (size.to_bytes(4, "big") + b"x" * size) * batch
    whole = len(blob)
    epoll = select.epoll()
    socks: dict[int, Any] = {}
    missing: dict[int, int] = {}
    for _ in range(connections):
        sock = _connect(port, context)
        sock.setblocking(False)
        fd = sock.fileno()
        socks[fd], missing[fd] = sock, whole
        epoll.register(fd, select.EPOLLIN)
    for sock in socks.values():
        sock.send(blob)
    frames = 0
    mark = (0, 0.0, 0.0, 0.0)
    started = time.perf_counter()
    warm, end = started + min(0.5, seconds / 2), 0.0
    want = (ssl.SSLWantReadError, BlockingIOError)
    while True:
        now = time.perf_counter()
        if not end and now >= warm:
            mark, end = (frames, cpu_seconds(pid), time.process_time(), now), now + seconds
        elif end and now >= end:
            break
        for fd, _ in epoll.poll(1.0):
            sock = socks[fd]
            left = missing[fd]
            try:
                while left > 0:
                    left -= len(sock.recv(65536))
            except want:
                pass
            if left <= 0:
                frames += batch
                left = whole
                if sock.send(blob) != whole:
                    raise RuntimeError("the kernel took a part of a batch: use smaller ones")
            missing[fd] = left
    count, used, own = frames - mark[0], cpu_seconds(pid) - mark[1], time.process_time() - mark[2]
    took = time.perf_counter() - mark[3]
    return {
        "rate": count / took,
        "per_cpu_second": count / used,
        "server_share": used / took,
        "client_share": own / took,
    }


def numbered(port: int, connections: int, rate: int) -> None:
    """Open TLS connections, and from the first line on standard input to the second send numbered frames, `rate` a second in
    all, one connection after the other. Reports what was dropped, lost, and answered twice or out of order.

    An answer is the frame with the server's version, four bytes, behind it.
    """
    gc.disable()
    context = _context()
    lines: dict[int, _Line] = {}
    epoll = select.epoll()
    for _ in range(connections):
        line = _Line(_connect(port, context))
        lines[line.sock.fileno()] = line
        epoll.register(line.sock.fileno(), select.EPOLLIN)
    ready(open=len(lines))
    os.read(0, 100)
    epoll.register(0, select.EPOLLIN)
    order = list(lines.values())
    due, at, end = time.perf_counter(), 0, 0.0
    while True:
        now = time.perf_counter()
        if end and (now > end or all(line.is_closed or line.answered == line.sent for line in order)):
            break
        while not end and due <= now:
            order[at % len(order)].send(now)
            at += 1
            due += 1 / rate
        for fd, _ in epoll.poll(0.01 if end else max(0.0, due - now)):
            if fd == 0:
                epoll.unregister(0)
                end = time.perf_counter() + 10.0
            elif not lines[fd].read():
                epoll.unregister(fd)
    latencies = sorted(seconds for line in order for seconds in line.latencies) or [0.0]
    ready(
        sent=sum(line.sent for line in order),
        dropped=sum(line.is_closed for line in order),
        lost=sum(line.sent - line.answered for line in order),
        doubled=sum(line.doubled for line in order),
        version=max(line.version for line in order),
        p99=latencies[int(0.99 * (len(latencies) - 1))] * 1e3,
        longest=latencies[-1] * 1e3,
    )


class _Line:
    """One connection, with its numbers. `answered`: numbers answered so far, each once and in order."""

    def __init__(self, sock: Any) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.sent = self.answered = self.doubled = self.version = 0
        self.is_closed = False
        self.latencies: list[float] = []
        self._times: list[float] = []
        self._tail = b""

    def send(self, now: float) -> None:
        if self.is_closed:
            return
        self.sent += 1
        self._times.append(now)
        try:
            self.sock.send(b"\0\0\0\x08" + self.sent.to_bytes(8, "big"))
        except OSError:
            self.is_closed = True

    def read(self) -> bool:
        """Take what has come; False at the end of the connection."""
        try:
            while data := self.sock.recv(65536):
                self._tail += data
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        except OSError:
            self.is_closed = True
        else:
            self.is_closed = True
        now = time.perf_counter()
        while len(self._tail) >= 16:
            number, version = (
                int.from_bytes(self._tail[4:12], "big"),
                int.from_bytes(self._tail[12:16], "big"),
            )
            self._tail = self._tail[16:]
            if number == self.answered + 1:
                self.answered = number
                self.version = version
                self.latencies.append(now - self._times[number - 1])
            else:
                self.doubled += 1
        return not self.is_closed
