"""The clients' side of the connections that are measured: plain Python, epoll, no runtime. A process of its own."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import sys
import time
from typing import Any

from tools.benchmarks.proc import cpu_seconds
from tools.benchmarks.probe import ready

__all__ = ["flood", "hold", "paced"]

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
