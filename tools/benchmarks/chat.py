"""The group `chat`: a whole node over TLS, as its users meet it. The load generator is a process of its own.

Each case has a node of its own with fresh data. "One core": the node and its store's writer are bound to one processor,
the load generator to the others. CPU figures count all processes of the server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tools.benchmarks import constants as known
from tools.benchmarks.lab import ROOT, Lab
from tools.benchmarks.model import Row, case
from tools.benchmarks.proc import pin

__all__: list[str] = []

# Limits that protect a node in the world would stop a load generator that is one address.
_SETTINGS = (
    "chat.registration.per_address=1000000",
    "chat.registration.per_prefix=1000000",
    "chat.native.port=0",
    "admin.http_port=0",
    "log.level=warning",
    "code.mode=off",  # whoever works on apps/ meanwhile must not change what is measured
)


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    better = more.pop("better", "higher")
    return Row(group="chat", key=key, name=name, unit=unit, what=what, target=target, better=better, **more)


class _Node:
    """A node over successive processes on one data directory, and the load generator aimed at it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.directory = lab.scratch
        self.accounts = self.directory / "accounts.json"
        self.pid = self.port = 0
        self._starts = 0

    @contextmanager
    def up(self) -> Iterator[_Node]:
        self._starts += 1
        command = [
            sys.executable,
            "-m",
            "runtime.node",
            "--config",
            str(ROOT / "etc" / "node.toml"),
            "--json-ready",
        ]
        for setting in (*_SETTINGS, f"node.data_dir={self.directory / 'var'}"):
            command += ["--set", setting]
        self._output = self.directory / f"node-{self._starts}.out"
        with self.lab.launched(command, "node", 60.0, self._output) as child:
            self.pid, self.port = child.pid, int(child.ready["native_port"])
            yield self

    def load(
        self, mode: str, *options: object, cpus: set[int] | None = None, limit: float = 150.0
    ) -> dict[str, Any]:
        """Run the load generator to its end."""
        command = [sys.executable, "-m", "apps.chat.client.load", mode, "--accounts", str(self.accounts)]
        command += ["--port", str(self.port), "--pid", str(self.pid), "--json", "--limit", str(limit - 10)]
        command += map(str, options)
        if cpus:
            command = [sys.executable, "-c", _BOUND, ",".join(map(str, cpus)), *command]
        with self.lab.launched(command, f"load {mode}", limit) as child:
            return child.ready

    def register(self, count: int) -> None:
        self.load("register", "--count", count, "--pins", self._output)


# Binds itself to processors, then becomes the command: set before the program starts, it holds for all its threads.
_BOUND = "import os, sys; os.sched_setaffinity(0, set(map(int, sys.argv[1].split(',')))); os.execv(sys.argv[2], sys.argv[2:])"


def _cores() -> tuple[set[int], set[int]]:
    """The server's one processor and the load generator's others; on a machine with one, both have that."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[0]}, set(mine[1:]) or {mine[0]}


def _check(lab: Lab, key: str, found: dict[str, Any]) -> None:
    """Say what makes a figure doubtful."""
    faults = {
        name: found[name]
        for name in ("lost", "repeated", "refused", "unanswered", "dropped", "failed")
        if found.get(name)
    }
    if faults:
        lab.note(key, "faults", "faults: " + ", ".join(f"{count} {name}" for name, count in faults.items()))
    if found.get("load_cpu_share", 0) > 0.9:
        lab.note(
            key,
            "load",
            f"the load generator used {found['load_cpu_share']:.0%} of its core: it may be the limit",
        )
    share = found.get("server_cpu_share")
    if share is not None and share < 0.8 and not found.get("rate"):
        lab.note(
            key,
            "share",
            f"the server's processes were on a processor {share:.0%} of the time: they waited for the disk or the load",
        )


# messages


@case(
    _row(
        "messages", "durable 1:1 with receipts, one core", "/s",
        "messages of 50 bytes over TLS, 100 pairs, 10 under way each; each counts when it was accepted (on disk), delivered, "
        "acknowledged, and its receipt is back; node and store writer on one processor, the load generator on another", 20_000,
        constants=(known.EJABBERD_MESSAGES, known.PROSODY_MESSAGES),
    ),
    _row(
        "messages_cpu", "durable 1:1 with receipts, CPU", "µs", "CPU time of all server processes for each such message", 45,
        better="lower", constants=(known.EJABBERD_CPU, known.PROSODY_CPU),
    ),
    _row(
        "messages_free", "durable 1:1 with receipts, not bound", "/s",
        "the same without binding: node, store writer and load generator share all processors",
        constants=(known.EJABBERD_MESSAGES, known.PROSODY_MESSAGES),
    ),
)  # fmt: skip
def messages(lab: Lab) -> None:
    pairs, seconds = lab.pick(3, 100, 100), lab.pick(0.3, 2.0, 10.0)
    options = (
        "--pairs",
        pairs,
        "--window",
        10,
        "--seconds",
        seconds,
        "--warmup",
        lab.pick(0.1, 0.7, 2.0),
        "--receipts",
    )
    server, others = _cores()
    every = server | others
    if server == others:
        lab.note("messages", "cores", "one processor only: the load generator shares it")
    with _Node(lab).up() as node:
        node.register(2 * pairs)
        for _ in lab.rounds(5):
            pin(node.pid, server)
            found = node.load("chat", *options, cpus=others)
            lab.value("messages", found["messages_per_second"])
            lab.value("messages_cpu", found["server_cpu_us_per_message"])
            _check(lab, "messages", found)
            pin(node.pid, every)
            found = node.load("chat", *options)
            lab.value("messages_free", found["messages_per_second"])


@case(
    _row(
        "p50", "1,000 messages a second, p50", "ms", "from the sender's write to the recipient's read, 100 pairs, TLS, receipts",
        better="lower", constants=(known.EJABBERD_P50, known.PROSODY_P50),
    ),
    _row("p95", "1,000 messages a second, p95", "ms", "the same", better="lower", constants=(known.EJABBERD_P95, known.PROSODY_P95)),
    _row(
        "p99", "1,000 messages a second, p99", "ms", "the same", 10,
        better="lower", constants=(known.EJABBERD_P99, known.PROSODY_P99),
    ),
    _row(
        "accepted_p99", "1,000 messages a second, accepted, p99", "ms", "from the sender's write until it reads that its message is on disk",
        better="lower",
    ),
)  # fmt: skip
def latency(lab: Lab) -> None:
    pairs, seconds = lab.pick(3, 100, 100), lab.pick(0.3, 2.5, 10.0)
    options = (
        "--pairs",
        pairs,
        "--rate",
        lab.pick(50, 1000, 1000),
        "--seconds",
        seconds,
        "--warmup",
        lab.pick(0.1, 1.0, 2.0),
    )
    with _Node(lab).up() as node:
        node.register(2 * pairs)
        for _ in lab.rounds(5):
            found = node.load("chat", *options, "--receipts")
            for key in ("p50", "p95", "p99"):
                lab.value(key, found["latency_ms"][key])
            lab.value("accepted_p99", found["accepted_latency_ms"]["p99"])
            _check(lab, "p99", found)


# many people


@case(
    _row(
        "idle", "idle logged-in user, TLS", "KB",
        "memory of all server processes for each logged-in user: connection, session, user process; measured on a node that "
        "has just started, the kernel's socket buffers not counted", 25, better="lower",
        constants=(known.EJABBERD_IDLE_LOGIN, known.PROSODY_IDLE_LOGIN),
    )
)  # fmt: skip
def idle(lab: Lab) -> None:
    count = lab.pick(10, 400, 3000)
    node = _Node(lab)
    with node.up():
        node.register(count + 1)  # `idle` logs one in before it looks at the memory
    for _ in lab.rounds(3):
        with node.up():  # a new process: registering has left user processes and caches behind
            found = node.load("idle", "--count", count, "--hold", lab.pick(0.1, 1.0, 3.0))
        lab.memory("idle", found["bytes_per_connection"] / 1024)
        _check(lab, "idle", found)


@case(
    _row(
        "logins", "login storm", "/s", "connect, TLS handshake, SCRAM login, close; 50 at a time", 1000,
        constants=(known.EJABBERD_LOGINS, known.PROSODY_LOGINS),
    ),
    _row("logins_cpu", "login storm, CPU", "µs", "CPU time of all server processes for each login", better="lower"),
)  # fmt: skip
def logins(lab: Lab) -> None:
    accounts, count = lab.pick(10, 200, 1000), lab.pick(20, 1000, 5000)
    with _Node(lab).up() as node:
        node.register(accounts)
        for _ in lab.rounds(5):
            found = node.load("login", "--count", count, "--concurrency", lab.pick(5, 50, 50))
            lab.value("logins", found["logins_per_second"])
            lab.value("logins_cpu", found["server_cpu_us_per_login"])
            _check(lab, "logins", found)


# people who are away


@case(
    _row(
        "stored", "offline messages stored", "/s", "100 people write to 100 who are away, 10 under way each, until all is on disk", 20_000,
        constants=(known.EJABBERD_STORED, known.PROSODY_STORED),
    ),
    _row(
        "drained", "offline messages delivered", "/s", "the 100 log in and get them in order, acknowledging", 20_000,
        constants=(known.EJABBERD_DRAINED, known.PROSODY_DRAINED),
    ),
    _row("stored_cpu", "offline messages stored, CPU", "µs", "CPU time of all server processes for each", better="lower"),
    _row("drained_cpu", "offline messages delivered, CPU", "µs", "CPU time of all server processes for each", better="lower"),
)  # fmt: skip
def offline(lab: Lab) -> None:
    pairs, count = lab.pick(3, 100, 100), lab.pick(30, 50_000, 100_000)
    with _Node(lab).up() as node:
        node.register(2 * pairs)
        for _ in lab.rounds(3):
            found = node.load("offline", "--pairs", pairs, "--messages", count)
            lab.value("stored", found["stored_per_second"])
            lab.value("drained", found["drained_per_second"])
            lab.value("stored_cpu", found["store_cpu_us_per_message"])
            lab.value("drained_cpu", found["drain_cpu_us_per_message"])
            _check(lab, "stored", found)
