"""What our processes can do: each function runs in a Python of its own and returns one figure (microseconds, bytes)."""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

from runtime.kernel import (
    KILL, ProcessExit, exit, is_alive, link, monitor, receive, receive_match, run, self_, send, spawn, spawn_callback,
)  # fmt: skip
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.gen_server import GenServer, call, cast
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle
from tools.benchmarks.proc import resident
from tools.benchmarks.probe import median_of

__all__ = ["calls", "casts", "crashes", "hub", "memory", "ping_pong", "ring", "spawns"]


# messages


class _Pong:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        send(message, process)


class _Ping:
    __slots__ = ("left", "owner", "peer")

    def on_message(self, process: Any, message: Any) -> None:
        self.left -= 1
        if self.left:
            send(self.peer, process)
        else:
            send(self.owner, None)


def ping_pong(count: int) -> dict[str, float]:
    """Microseconds a round trip: two messages, two callback processes."""

    def measure() -> float:
        ping = _Ping()
        ping.left, ping.owner, ping.peer = count, self_(), spawn_callback(_Pong())
        pid = spawn_callback(ping)
        start = time.perf_counter()
        send(ping.peer, pid)
        receive()
        return (time.perf_counter() - start) / count * 1e6

    return {"us": run(median_of, measure)}


class _Node:
    __slots__ = ("next", "owner")

    def on_message(self, process: Any, message: Any) -> None:
        if message:
            send(self.next, message - 1)
        else:
            send(self.owner, None)


def ring(size: int, hops: int) -> dict[str, float]:
    """Microseconds a hop: one token runs around `size` callback processes."""

    def measure() -> float:
        nodes = [_Node() for _ in range(size)]
        pids = [spawn_callback(node) for node in nodes]
        for index, node in enumerate(nodes):
            node.next, node.owner = pids[(index + 1) % size], self_()
        start = time.perf_counter()
        send(pids[0], hops)
        receive()
        used = time.perf_counter() - start
        for pid in pids:
            exit(pid, KILL)
        return used / hops * 1e6

    return {"us": run(median_of, measure)}


# servers


class _Counter(GenServer):
    def init(self) -> None:
        self.n = 0

    def handle_call(self, request: Any, sender: Any) -> int:
        self.n += 1
        return self.n

    def handle_cast(self, request: Any) -> None:
        self.n += 1


def calls(count: int, queued: int) -> dict[str, float]:
    """Microseconds a call of a GenServer, with an empty mailbox and with `queued` messages in the caller's, in turns."""

    def measure(server: Any) -> float:
        start = time.perf_counter()
        for _ in range(count):
            call(server, None)
        return (time.perf_counter() - start) / count * 1e6

    def caller(owner: Any, server: Any, backlog: int) -> None:
        for _ in range(backlog):
            send(self_(), None)
        measure(server)
        send(owner, "ready")
        while receive_match(lambda message: message is not None):
            send(owner, measure(server))

    def body() -> dict[str, float]:
        server = _Counter.start()
        callers = {name: spawn(caller, self_(), server, n) for name, n in (("idle", 0), ("queued", queued))}
        for _ in callers:
            receive()
        samples: dict[str, list[float]] = {name: [] for name in callers}
        for _ in range(5):
            for name, pid in callers.items():
                send(pid, "go")
                samples[name].append(receive())
        return {name: statistics.median(found) for name, found in samples.items()}

    return run(body)  # type: ignore[no-any-return]


def casts(count: int) -> dict[str, float]:
    """Microseconds a cast, sent and handled: batches of 1,000, each awaited by a call."""

    def body() -> float:
        server = _Counter.start()

        def measure() -> float:
            start = time.perf_counter()
            for _ in range(count // 1000):
                for _ in range(1000):
                    cast(server, None)
                call(server, None)
            return (time.perf_counter() - start) / (count // 1000 * 1000) * 1e6

        return median_of(measure)

    return {"us": run(body)}


# life and death


class _Once:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        message.left -= 1
        if not message.left:
            send(message.owner, None)
        raise ProcessExit


class _Batch:
    __slots__ = ("left", "owner")


def spawns(count: int, batch: int = 1000) -> dict[str, float]:
    """Microseconds to spawn a callback process, send it a message, and have it exit; `batch` at a time."""

    def measure() -> float:
        once = _Once()
        total = _Batch()
        total.owner = self_()
        start = time.perf_counter()
        for _ in range(count // batch):
            total.left = batch
            for _ in range(batch):
                send(spawn_callback(once), total)
            receive()
        return (time.perf_counter() - start) / (count // batch * batch) * 1e6

    return {"us": run(median_of, measure)}


class _Idle:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0

    def on_message(self, process: Any, message: Any) -> None:
        self.n += 1


def memory(kind: str, count: int) -> dict[str, float]:
    """Bytes of resident memory for each of `count` processes that have handled one message and wait for the next."""

    def make() -> Any:
        return spawn_callback(_Idle()) if kind == "plain" else _Counter.start()

    def body() -> float:
        pids: list[Any] = [make() for _ in range(1000)]  # pools, caches, the first arenas
        settle()
        gc.collect()
        before = resident()
        pids += [make() for _ in range(count)]
        for pid in pids:
            cast(pid, None)
        settle()
        gc.collect()
        assert all(pid.behaviour.n == 1 for pid in pids)
        return (resident() - before) / count

    return {"bytes": run(body)}


def hub(count: int) -> dict[str, float]:
    """Milliseconds to kill a process that `count` others are linked to, until all of them are dead."""

    class Linked:
        def on_message(self, process: Any, message: Any) -> None:
            link(message)

    def measure() -> float:
        idle = _Idle()
        center = spawn_callback(idle)
        pids = [spawn_callback(Linked(), center) for _ in range(count)]
        settle()
        monitor(pids[-1])
        start = time.perf_counter()
        exit(center, KILL)
        receive()
        used = time.perf_counter() - start
        assert not any(is_alive(pid) for pid in pids)
        return used * 1e3

    return {"ms": run(median_of, measure)}


class _Fragile:
    __slots__ = ()

    def on_message(self, process: Any, message: Any) -> None:
        raise ValueError("boom")


class _FragileServer(GenServer):
    def handle_info(self, message: Any) -> None:
        raise ValueError("boom")


def crashes(kind: str, batch: int, batches: int) -> dict[str, float]:
    """Microseconds from a child's crash until its supervisor's new child is up; `batch` children crash at once.

    The children are those of one supervisor, one_for_one; what is written about it is not part of it.
    """
    fragile = _Fragile()
    up: list[Any] = []
    wanted = 0
    owner: Any = None

    def start() -> Any:
        nonlocal wanted
        pid = _FragileServer.start_link() if kind == "server" else spawn_callback(fragile, link=True)
        up.append(pid)
        wanted -= 1
        if not wanted:
            send(owner, None)
        return pid

    def body() -> float:
        nonlocal wanted, owner
        specs = [ChildSpec(n, (start, ())) for n in range(batch)]
        Supervisor.start_link_with(SupFlags(intensity=10**9, period=1.0), specs)
        owner = self_()
        samples = []
        for _ in range(batches + 1):
            children = up[:]
            up.clear()
            wanted = batch
            begin = time.perf_counter()
            for pid in children:
                send(pid, None)
            receive()
            samples.append((time.perf_counter() - begin) / batch * 1e6)
        return statistics.median(samples[1:])

    return {"us": run(body)}
