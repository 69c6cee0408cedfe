"""Figures of this program and its machine. Each is cheap and never blocks, but for those that say so."""

from __future__ import annotations

import datetime
import errno
import os
import re
import resource
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509

from runtime import kernel
from runtime.kernel import clock, scheduler
from runtime.net.connections import Connections

__all__ = [
    "BusyConnections",
    "Memory",
    "Sampler",
    "buried",
    "certificate_files",
    "certificates_left",
    "connection_owners",
    "count_descriptors",
    "descriptor_limit",
    "disk_share",
    "list_descriptors",
    "memory",
    "run_queue",
    "usual_descriptor",
]

_PAGE = resource.getpagesize()
_SAMPLE = 0.1
_LOOKED_AT = 5_000
"""Connections looked at in one go: some 0.5 ms."""
_SAMPLED = 100
_KIND = re.compile(r"^(socket|pipe):\[\d+\]$")

# types


class Memory(NamedTuple):
    """Bytes: what this program alone holds, and what it may (the machine's, or less where its cgroup says so)."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit


class Sampler:
    """How late a timer fires, and how long the run queue is then: the worst since the last look. Ten times a second."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._longest = 0
        self._due = 0.0
        self._timer: Any = None

    def start(self) -> None:
        self._due = clock.now() + _SAMPLE
        self._timer = clock.after(_SAMPLE, self._fire)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> tuple[float, int]:
        """Return (seconds of lag, processes waiting to run), and begin anew."""
        # What is overdue now counts too: whoever asks may have been held up by the same hog.
        worst = max(self._lag, clock.now() - self._due), max(self._longest, run_queue())
        self._lag, self._longest = 0.0, 0
        return worst

    def _fire(self) -> None:
        self._lag = max(self._lag, clock.now() - self._due)
        self._longest = max(self._longest, run_queue())
        self.start()


class BusyConnections:
    """Finds connections whose write queue is past its high mark, of all listeners, a bounded number of them a look.

    With more connections than that, a look sees only the next part of them, and the answer is as old as a round takes.
    """

    def __init__(self) -> None:
        self._round: list[Any] = []
        self._at = 0
        self._found: dict[Any, int] = {}

    def look(self) -> dict[Any, int]:
        """Return the busy connections' pids with the bytes that each has queued."""
        for conn in [conn for conn in self._found if not _is_busy(conn)]:
            del self._found[conn]
        if self._at >= len(self._round):
            self._at = 0
            self._round = [conn for owner in connection_owners() for conn in owner.table]
        for conn in islice(self._round, self._at, self._at + _LOOKED_AT):
            if _is_busy(conn):
                self._found[conn] = 0
        self._at += _LOOKED_AT
        if self._at >= len(self._round):
            self._round = []  # hold no closed connection until the next look
        return {conn.pid: conn.write_queue for conn in self._found}


# API


def connection_owners() -> list[Connections]:
    """Who holds the connections of each listener: their tables and counts."""
    found = [kernel.whereis(name) for name in kernel.registered() if name.endswith(".connections")]
    return [p.behaviour for p in found if p and isinstance(p.behaviour, Connections)]


def run_queue() -> int:
    """How many processes wait for their turn."""
    return len(scheduler.ready) + len(scheduler.low)


def buried() -> int:
    """How many stacks of dead processes did not let go."""
    return len(scheduler.graveyard)


def memory() -> Memory:
    """What this program uses without the files it has mapped: the system takes those pages back when it needs them."""
    fields = os.pread(_statm(os.getpid()), 200, 0).split()
    return Memory((int(fields[1]) - int(fields[2])) * _PAGE, _memory_limit())


def descriptor_limit() -> int:
    """How many file descriptors this program may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def count_descriptors() -> int:
    """How many file descriptors are open; 0 if the system does not tell (Linux before 6.2)."""
    return Path("/proc/self/fd").stat().st_size


def list_descriptors() -> int:
    """The same by reading them all. Blocks: call it in a thread."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError as error:
        if error.errno == errno.EMFILE:
            return descriptor_limit()
        raise


def usual_descriptor() -> str:
    """What most of the open descriptors are: a path, "sockets", "pipes" ...; "" if there is nothing most of them are.

    By a sample, so some 0.2 ms however many there are, and without a descriptor of its own.
    """
    count = count_descriptors() or descriptor_limit()
    kinds: Counter[str] = Counter()
    for number in range(0, count, max(1, count // _SAMPLED)):
        with suppress(OSError):  # this one is not open
            target = str(Path(f"/proc/self/fd/{number}").readlink())
            kinds[_KIND.sub(r"\1s", target)] += 1
    kind, seen = kinds.most_common(1)[0] if kinds else ("", 0)
    return kind if 2 * seen > kinds.total() else ""


def disk_share(path: str) -> float:
    """Part of the file system of `path` that is in use, as an ordinary user sees it. Blocks: call it in a thread."""
    stat = os.statvfs(path)
    used = stat.f_blocks - stat.f_bfree
    return used / max(used + stat.f_bavail, 1)


def certificate_files() -> list[str]:
    """The certificate files of all listeners, each once."""
    found: dict[str, None] = {}
    for owner in connection_owners():
        listener = owner._listener
        tls = getattr(getattr(listener and listener.behaviour, "config", None), "tls", None)
        if tls is not None:
            found[tls.certificate] = None
            found.update(dict.fromkeys(pair[0] for pair in tls.names.values()))
    return list(found)


def certificates_left(paths: Iterable[str]) -> list[tuple[str, float]]:
    """For how many seconds each file's first certificate is good; what cannot be read is left out (its listener says so).

    Blocks: call it in a thread.
    """
    now = datetime.datetime.now(datetime.UTC)
    found = []
    for path in paths:
        try:
            end = x509.load_pem_x509_certificates(Path(path).read_bytes())[0].not_valid_after_utc
        except (OSError, ValueError):
            continue
        found.append((path, (end - now).total_seconds()))
    return found


# internals


@cache
def _statm(_pid: int) -> int:
    """The open file, for good: when no descriptor is left, it is read still. Each program its own: a fork's is another."""
    return os.open("/proc/self/statm", os.O_RDONLY)


def _is_busy(conn: Any) -> bool:
    return bool(conn.is_open and conn.write_queue > conn.options.write_high)


@cache
def _memory_limit() -> int:
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE
    return min([total, *_cgroup_limits()])


def _cgroup_limits() -> list[int]:
    """Limits of the cgroup (version 2 or 1) that this program is in, as far as they can be seen from here."""
    found = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots, name = ["/sys/fs/cgroup"], "memory.max"
        elif "memory" in controllers.split(","):
            roots, name = ["/sys/fs/cgroup/memory"], "memory.limit_in_bytes"
        else:
            continue
        for place in (path, ""):  # inside a container its own group is the root
            try:
                text = Path(f"{roots[0]}{place}/{name}").read_text().strip()
            except OSError:
                continue
            if text.isdigit() and int(text) > 0:
                found.append(int(text))
    return found
