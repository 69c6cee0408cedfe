"""A crash dump: all that can be seen of a node in one file, for somebody who looks at it later, elsewhere.

    write("var/crash/now.dump", reason="asked for")        # in the node
    dump = Dump.open("var/crash/now.dump")                 # anywhere: tools/shell --dump FILE
    dump.processes(20, sort="mailbox")                     # the functions of runtime.observe.snapshot

The file: one line of magic, then msgpack, compressed. Within: when, why, the node's figures and metrics, processes (all up
to a bound, those with the longest mailboxes, a name or a stack first and in detail, with the heads of their messages), the
tree, alarms, children's failures, the log's last reports, applications, releases, connections, the store, and the stacks of
all threads and processes. States and messages as format_status shows them: what it hides is hidden here too. Mode 0600 all the same.
"""

from __future__ import annotations

import errno
import linecache
import os
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack

from runtime import kernel
from runtime.observe import failures, metrics, snapshot
from runtime.observe.aside import TooLate, aside
from runtime.observe.dump_types import detail_of, made, tree_of
from runtime.observe.slices import Breather, sliced
from runtime.observe.snapshot_types import (
    AlarmRow, ApplicationRow, ProcessDetail, ProcessRow, ReleaseRow, TreeNode, plain,
)  # fmt: skip
from runtime.observe.texts import pid_text
from runtime.otp.reports import PASSED_ON

__all__ = ["Dump", "NoDump", "add", "collect", "write"]

_MAGIC = b"evergreen crash dump 1\n"
_ROWS = 10_000
_DETAILS = 300
_STACKS = 1_000
_FRAMES = 30
_CONNECTIONS = 1_000
_MOST = 500_000_000
"""Bytes of a dump, unpacked; one of 10,000 processes has some 20 million."""
_STALE = 3_600.0
_PATIENCE = 300.0
"""Seconds until a disk that does not take a dump is given up."""

# Types


class NoDump(ValueError):
    """A file that is no crash dump, or a damaged one: a sentence."""


class Dump:
    """A crash dump that was read: the functions of `runtime.observe.snapshot` as methods, and `reason`, `stacks`, `metrics`, `missing`."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self.reason = str(facts.get("reason", ""))
        self.time = float(facts.get("time", 0.0))
        self.stacks: list[dict[str, Any]] = list(facts.get("stacks", ()))
        """{who, lines}: of threads, processes and bare greenlets."""
        self.metrics: dict[str, float] = dict(facts.get("metrics", {}))
        self.failures: list[dict[str, Any]] = list(facts.get("failures", ()))
        self.gave_up: list[dict[str, Any]] = list(facts.get("gave_up", ()))
        """Supervisors that gave up, as failures.GaveUp."""
        self.missing: list[str] = list(facts.get("missing", ()))
        """What could not be read or written, and why."""
        self._rows = [made(ProcessRow, one) for one in facts.get("processes", ())]
        self._details = {one["row"]["number"]: one for one in facts.get("details", ())}
        self.SORTS = _SORTS

    @classmethod
    def open(cls, path: str | Path) -> Dump:
        """Read a file that `write` made. Raises NoDump, OSError."""
        data = Path(path).read_bytes()
        if not data.startswith(_MAGIC):
            raise NoDump(f"{path} is no crash dump")
        try:
            facts = msgpack.unpackb(
                _unpressed(data[len(_MAGIC) :]), strict_map_key=False, unicode_errors="surrogatepass"
            )
            dump = cls(facts)
            # Whatever else could be wrong with it is better said now than by a command.
            for look in (dump.tree, dump.applications, dump.alarms, dump.releases, dump.node_summary):
                look()
            for one in dump._details:
                dump.process(one)
        except Exception as error:  # noqa: BLE001 - msgpack and zlib have a dozen kinds of their own, and a file any content
            raise NoDump(f"{path} is damaged: {type(error).__name__}: {error}") from None
        return dump

    def processes(
        self, limit: int = 100, sort: str = "number", filter: str = "", *, reverse: bool = False
    ) -> list[ProcessRow]:
        """As snapshot.processes; of a node with very many, only those that the dump has."""
        key, largest_first = _SORTS.get(sort, _SORTS["number"])
        found = [row for row in self._rows if _matches(row, filter)]
        return sorted(found, key=key, reverse=largest_first != reverse)[:limit]

    def process(self, who: Any, heads: int = 20) -> ProcessDetail | None:
        """As snapshot.process; of one that is not in detail in the dump, what its line says."""
        row = self.find(who)
        if row is None:
            return None
        known = self._details.get(row.number)
        if known is not None:
            return detail_of({**known, "messages": known["messages"][:heads]})
        return ProcessDetail(
            row=row, trap_exit=False, links=(), monitors=(), monitored_by=(), ancestors=(), dictionary={},
            watermarks=(0, 0), alarmed=False, senders=(), messages=(), stack=(), state="", heap=0,
        )  # fmt: skip

    def find(self, who: Any) -> ProcessRow | None:
        """Return the line of a process: given by its number, its name, or as it is printed."""
        if isinstance(who, ProcessRow):
            return who
        for row in self._rows:
            if who in (row.pid, row.number, row.name) or (isinstance(who, str) and who == str(row.number)):
                return row
            if (
                isinstance(who, str)
                and row.pid.startswith("<")
                and who == f"<{row.number}@{row.pid.partition('@')[2]}"
            ):
                return row
        return None

    def tree(self, children: int = 100, nodes: int = 5_000, root: Any = None) -> list[TreeNode]:
        """As snapshot.tree, with as many children as the dump has. `root`: a pid, name or id."""
        trees = [tree_of(one) for one in self._facts.get("tree", ())]
        if root is None:
            return trees
        wanted = getattr(root, "pid", root)
        waiting = list(trees)
        for node in waiting:
            if wanted in (node.pid, node.name, node.id, node.number):
                return [node]
            waiting.extend(node.children)
        return []

    def node_summary(self) -> dict[str, Any]:
        """As snapshot.node_summary, of the moment of the dump, with `reason`."""
        return {**self._facts.get("summary", {}), "reason": self.reason}

    def applications(self) -> list[ApplicationRow]:
        """As snapshot.applications."""
        return [made(ApplicationRow, one) for one in self._facts.get("applications", ())]

    def connections(self, limit: int = 100) -> list[dict[str, Any]]:
        """As snapshot.connections."""
        return list(self._facts.get("connections", ()))[:limit]

    def listeners(self) -> list[dict[str, Any]]:
        """As snapshot.listeners."""
        return list(self._facts.get("listeners", ()))

    def store_info(self, name: str = "store") -> dict[str, Any]:
        """As snapshot.store_info."""
        return dict(self._facts.get("store", {}))

    def reports(self) -> list[dict[str, Any]] | None:
        """The last records of the log, the oldest first: {number, level, at, text}; None if nothing kept them."""
        found = self._facts.get("reports")
        return None if found is None else list(found)

    def commands(self) -> dict[str, list[str]]:
        """The names of the shell's commands in that node, by theme."""
        return dict(self._facts.get("commands", {}))

    def alarms(self) -> list[AlarmRow]:
        """As snapshot.alarms."""
        return [made(AlarmRow, one) for one in self._facts.get("alarms", ())]

    def releases(self, limit: int = 200) -> list[ReleaseRow]:
        """As snapshot.releases."""
        return [made(ReleaseRow, one) for one in self._facts.get("releases", ())][:limit]


# API


def write(path: str | Path, *, reason: str = "", keep: int = 0) -> Path:
    """Write a dump of this node, and return its path. Blocks the calling process only; outside one, everything.

    The file is there whole or not at all. `keep`: of the dumps in its folder only so many, the newest, stay; 0: all.
    Raises OSError.
    """
    data = _packed(collect(reason))
    place = Path(path)
    try:
        kernel.self_()
    except kernel.NotAProcess:
        failed = _put(place, data, keep)
    else:
        try:
            failed = aside(_put, place, data, keep, name="crash dump", patience=_PATIENCE)
        except TooLate:
            failed = OSError(errno.ETIMEDOUT, "the disk takes very long, and may still take it", str(place))
    if failed is not None:
        raise failed
    return place


def collect(reason: str = "") -> dict[str, Any]:
    """Return what a dump holds, as plain values. Whatever cannot be read is left out, and named in `missing`."""
    facts: dict[str, Any] = {"time": time.time(), "reason": reason, "missing": []}
    for name, look in _PARTS.items():
        try:
            facts[name] = plain(look())
        except PASSED_ON:
            raise
        except BaseException as error:  # noqa: BLE001 - a dump is made when things are broken: take what there is
            facts["missing"].append(f"{name}: {type(error).__name__}: {error}")
    return facts


def add(name: str, look: Callable[[], Any]) -> None:
    """Have every dump hold `look()` as well, plain values under that name. Again: in the last one's place."""
    _PARTS[name] = look


# Internals


def _unpressed(data: bytes) -> bytes:
    """Unpack, up to a bound: a small file may pretend to be many GB."""
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(data, _MOST)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError(f"more than {_MOST:,} bytes" if unpacker.unconsumed_tail else "it is cut off")
    return found


def _packed(facts: dict[str, Any]) -> bytes:
    """As msgpack's packb, with breath: that would hold the interpreter for a tenth of a second, in whatever thread.

    A part that cannot be packed is left out, and named.
    """
    missing = list(facts["missing"])
    done: list[bytes] = []
    for name, part in facts.items():
        if name != "missing":
            try:
                done.append(b"".join([_pack(name), _pack_part(part, Breather())]))
            except PASSED_ON:
                raise
            except BaseException as error:  # noqa: BLE001 - memory may be what there is no more of: take what there is
                missing.append(f"{name}: {type(error).__name__}: {error}")
    done.append(_pack("missing") + _pack(missing))
    return b"".join([_packer.pack_map_header(len(done)), *done])


def _pack_part(part: Any, breather: Breather) -> bytes:
    parts: list[bytes] = []

    def pack(value: Any) -> None:
        if type(value) is list:
            parts.append(_packer.pack_array_header(len(value)))
            for one in value:
                pack(one)
        elif type(value) is dict and "children" in value:
            parts.append(_packer.pack_map_header(len(value)))
            for key, one in value.items():
                parts.append(_pack(key))
                pack(one)
        else:
            parts.append(_pack(value))
            breather.take()

    pack(part)
    return b"".join(parts)


# Names of files, and what is printed of anything, may have half a surrogate pair in them.
_packer = msgpack.Packer(default=str, unicode_errors="surrogatepass")
_pack = _packer.pack


def _put(place: Path, packed: bytes, keep: int) -> OSError | None:
    """In a thread, which would print what is raised."""
    try:
        data = _MAGIC + zlib.compress(packed, 1)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(".new", f"{place.name}.", place.parent)  # mode 0600
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        if keep:
            _forget(place.parent, keep)
    except OSError as error:
        return error.with_traceback(None)
    except MemoryError:
        return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(place))
    return None


def _forget(folder: Path, keep: int) -> None:
    """Remove all but the newest dumps, and what was left half-written by a program that was killed."""
    found = []
    for one in (*folder.glob("*.dump"), *folder.glob("*.dump.*.new")):
        with suppress(OSError):  # gone meanwhile
            found.append((one.suffix == ".dump", one.stat().st_mtime, one))
    dumps = sorted(one for one in found if one[0])
    for _, _, old in [
        *dumps[:-keep],
        *(one for one in found if not one[0] and one[1] < time.time() - _STALE),
    ]:
        with suppress(OSError):
            old.unlink()


def _chosen() -> list[ProcessRow]:
    found = {
        row.number: row for sort in ("mailbox", "stack", "name") for row in snapshot.processes(_DETAILS, sort)
    }
    for row in snapshot.processes(_ROWS):
        found.setdefault(row.number, row)
    return list(found.values())


def _details() -> list[ProcessDetail]:
    numbers = dict.fromkeys(
        row.number for sort in ("mailbox", "stack", "name") for row in snapshot.processes(_DETAILS, sort)
    )
    return [one for number in sliced(numbers, 1) if (one := snapshot.process(number)) is not None]


def _stacks() -> list[dict[str, Any]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    threads = [(f"thread {names.get(i, i)}", _places(frame)) for i, frame in sys._current_frames().items()]
    found = threads
    breather = Breather()
    # Bare greenlets are searched for among all objects, in one piece: at the end of a node that harms nobody any more.
    for who, frame in sliced(islice(kernel.stacks(not breather.is_useful), _STACKS), breather=breather):
        name = pid_text(who) if isinstance(who, kernel.Pid) else f"greenlet {type(who).__name__}"
        found.append((name, _places(frame)))
    return [{"who": who, "lines": [_line(*place, breather) for place in places]} for who, places in found]


def _places(frame: Any) -> list[tuple[str, int, str]]:
    """Where a stack is, the innermost last; without the texts of the lines, which are in files."""
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < _FRAMES:
        found.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
        frame = frame.f_back
    return found[::-1]


def _line(file: str, number: int, function: str, breather: Breather) -> str:
    breather.take()
    source = linecache.getline(file, number).strip()
    return f'  File "{file}", line {number}, in {function}\n' + (f"    {source}\n" if source else "")


def _failures() -> list[dict[str, Any]]:
    return [
        {
            "supervisor": key.supervisor,
            "child": key.child,
            "count": one.count,
            "reason": one.reason,
            "pid": one.pid,
        }
        for key, one in list(failures.table.items())
    ]


_PARTS: dict[str, Any] = {
    "summary": snapshot.node_summary,
    "processes": _chosen,
    "details": _details,
    "tree": lambda: snapshot.tree(200, 20_000),
    "alarms": snapshot.alarms,
    "failures": _failures,
    "gave_up": lambda: [one._asdict() for one in list(failures.gave_up)],
    "applications": snapshot.applications,
    "releases": snapshot.releases,
    "listeners": snapshot.listeners,
    "connections": lambda: snapshot.connections(_CONNECTIONS),
    "store": snapshot.store_info,
    "metrics": metrics.values,
    "stacks": _stacks,
}

_SORTS: dict[str, tuple[Any, bool]] = {
    "number": (lambda row: row.number, False),
    "newest": (lambda row: row.number, True),
    "mailbox": (lambda row: row.mailbox, True),
    "memory": (lambda row: row.memory, True),
    "cpu": (lambda row: row.cpu, True),
    "links": (lambda row: row.links, True),
    "monitors": (lambda row: row.monitors, True),
    "stack": (lambda row: row.waits_for != "", True),
    "name": (lambda row: row.name or "\U0010ffff", False),
    "initial_call": (lambda row: row.initial_call, False),
    "current": (lambda row: row.current, False),
    "status": (lambda row: row.status, False),
}


def _matches(row: ProcessRow, text: str) -> bool:
    if not text:
        return True
    if text.startswith("="):
        return row.status == text[1:].lower()
    wanted = text.lower()
    return any(
        wanted in one.lower() for one in (row.pid, str(row.number), row.label, row.initial_call, row.type)
    )
