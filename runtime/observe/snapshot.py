"""A look at the node: processes, tree, connections, alarms, releases, as plain data. Reads only; never raises; bounded.

    processes(20, sort="mailbox")        process("<42@node>")        tree()        node_summary()

Nobody is asked: everything is read where it lies, so a process that hangs is seen like any other, and nothing waits for an
answer. Long looks are done in slices (`slices`) that let the others run; so a list is no photograph of one moment. Called
outside a process (at the end of the node), it is.

The same functions as methods, on what was written at another time: `crash_dump.Dump`.
"""

from __future__ import annotations

import heapq
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runtime import kernel
from runtime.kernel import Process, clock, scheduler, watermarks
from runtime.net.connections import Connections
from runtime.observe import alarms as alarm_list
from runtime.observe import busy, probes, texts
from runtime.observe.heap import reached
from runtime.observe.slices import Breather, living, sliced
from runtime.observe.snapshot_types import (
    AlarmRow, ApplicationRow, ProcessDetail, ProcessRow, ReleaseRow, TreeNode, plain,
)  # fmt: skip
from runtime.observe.snapshot_tree import tree
from runtime.observe.sysmon_types import Figures
from runtime.observe.texts import brief, is_suspended, kind_of, pid_text, state_text
from runtime.otp.application import CONTROLLER
from runtime.otp.application_controller import Controller

__all__ = [
    "SORTS", "AlarmRow", "ApplicationRow", "ProcessDetail", "ProcessRow", "ReleaseRow", "TreeNode",
    "alarm_counts", "alarm_name", "alarms",
    "applications", "connections", "find", "listeners", "may_have_mail", "node_summary", "plain", "process", "processes", "releases",
    "row", "store_info", "tree",
]  # fmt: skip

MAX_ROWS = 10_000
_HEADS = 20
_HEAD_CHARS = 300

# API: processes


def processes(
    limit: int = 100, sort: str = "number", filter: str = "", *, reverse: bool = False
) -> list[ProcessRow]:
    """List at most `limit` processes, the most interesting first: the longest mailbox, the most memory, the oldest.

    `sort`: one of SORTS (anything else: number). `filter`: only those with this text, in any case, in pid, name, label,
    initial call or type; `=waiting` and the like: with that status. `reverse`: the other end of the list.
    Gives way while it looks: some 30 ns for each process there is by mailbox, a microsecond or two by the others, 3 us with
    a filter.
    """
    limit = max(0, min(limit, MAX_ROWS))
    breather = Breather()
    best = _best(limit, sort if sort in SORTS else "number", _matcher(filter), reverse, breather)
    return [found for p in sliced(best, breather=breather) if (found := row(p)) is not None]


def process(who: Any, heads: int = _HEADS) -> ProcessDetail | None:
    """Look at one process, given as in `find`; None if there is none. `heads`: so many messages of its mailbox are shown."""
    p = find(who)
    line = row(p) if p is not None else None
    if p is None or line is None:
        return None
    extra = p.extra
    marks = (extra.watermarks if extra is not None else None) or watermarks.default_watermarks()
    known = p.pdict or {}
    return ProcessDetail(
        row=line,
        trap_exit=p.trap,
        links=_pids(p.links or ()),
        monitors=_pids((p.monitors or {}).values()),
        monitored_by=_pids(w[0] for w in (p.monitored_by or {}).values() if w is not None),
        ancestors=_pids(known.get("$ancestors", ())),
        dictionary={brief(k, 2, 100): brief(v, 3, _HEAD_CHARS) for k, v in list(known.items())[:100]},
        watermarks=marks,
        alarmed=bool(extra is not None and extra.alarmed),
        senders=tuple((pid_text(s), n) for s, n in kernel.top_senders(p, 10)),
        messages=texts.heads(p, heads, _HEAD_CHARS),
        stack=tuple(_looked(p, "current_stacktrace")),
        state=state_text(p),
        heap=reached(p.behaviour) + reached(p.pdict) if p.behaviour is not None else 0,
    )


def find(who: Any) -> Process | None:
    """Return a living process: given itself, its number, its registered name, or as it is printed (`<42@node>`)."""
    if isinstance(who, Process):
        return who if who.q is not scheduler.DEADQ else None
    if isinstance(who, int):
        return scheduler.table.get(who)
    if not isinstance(who, str):
        return None
    text = who.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
        text, _, node = text.rpartition("@") if "@" in text else (text, "", kernel.node())
        # The node's own name holds an @: <42@evergreen@localhost>. A narrow screen has … in its place.
        whole = f"{text}@{node}"
        own = "@" + kernel.node()
        if node not in (kernel.node(), "…"):
            if not whole.endswith(own):
                return None
            text = whole[: -len(own)]
    if text.isdigit() and int(text) in scheduler.table:
        return scheduler.table[int(text)]
    return scheduler.names.get(text)


def row(p: Process) -> ProcessRow | None:
    """Return the line of one process; None if it is dead."""
    extra = p.extra
    info = kernel.process_info(p, *_KEYS)
    if info is None:
        return None
    parent = scheduler.table.get(p.parent)
    return ProcessRow(
        pid=repr(p),
        number=p.number,
        name=p.name,
        label="" if extra is None or extra.label is None else brief(extra.label, 2, 100),
        type=kind_of(p),
        initial_call=_initial(p),
        current=info["current_function"],
        status="suspended" if is_suspended(p) else info["status"],
        waits_for=info["waits_for"] or "",
        mailbox=p.mailbox_length,
        links=len(p.links or ()),
        monitors=len(p.monitors or ()),
        memory=info["memory"],
        priority=extra.priority if extra is not None else "normal",
        parent=pid_text(parent) if parent is not None else None,
        cpu=busy.share(p.number),
    )


# API: the node


def node_summary() -> dict[str, Any]:
    """Return the node's figures. Totals (`turns`, `messages`, `crashes`...) are counts since its start: two looks tell rates."""
    seen = _figures()
    used = probes.memory()
    tables = _tables()
    owners = [owner for _, owner in tables]
    current = _current_release()
    return {
        "node": kernel.node(),
        "creation": kernel.node_creation(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "time": time.time(),
        "uptime": time.monotonic() - _started,
        "processes": kernel.process_count(),
        "spawned": _spawned(),
        "run_queue": probes.run_queue(),
        "stacks": len(scheduler.workers),
        "loop_lag": seen.lag,
        "memory": used.used,
        "memory_limit": used.limit,
        "descriptors": probes.count_descriptors() or seen.descriptors,
        "descriptor_limit": probes.descriptor_limit(),
        "disk_share": seen.disk,
        "cpu_seconds": time.process_time(),
        "connections": sum(len(owner.table) for owner in owners),
        "accepted": sum(owner.accepted for owner in owners),
        "turns": scheduler.turns,
        "messages": scheduler.turns + scheduler.batched,
        "crashes": scheduler.Stat.crashes,
        "zombies": scheduler.Stat.zombies,
        "alarms": len(alarm_list.peek()),
        "release": current,
        "probation": _probation(),
        "threads_busy": kernel.thread_jobs(),
        "names": len(scheduler.names),
    }


def applications() -> list[ApplicationRow]:
    """List the known applications, the running ones first, as they were started."""
    p = scheduler.names.get(CONTROLLER)
    controller = p.behaviour if p is not None else None
    if not isinstance(controller, Controller) or not hasattr(controller, "loaded"):
        return []
    names = [*controller.order, *(name for name in controller.loaded if name not in controller.order)]
    found = [(name, controller.loaded[name]) for name in names if name in controller.loaded]
    return [
        ApplicationRow(
            name=name,
            description=str(getattr(one.app, "description", "")),
            status=one.status,
            start_type=one.start_type or "",
            pid=pid_text(one.top) if one.top is not None else None,
        )
        for name, one in found
    ]


def connections(limit: int = 100) -> list[dict[str, Any]]:
    """Describe at most `limit` connections of all listeners: {listener, pid, peer, protocol, age, bytes_in, ...}."""
    found: list[dict[str, Any]] = []
    for name, owner in _tables():
        for conn in sliced(list(owner.table)):
            if len(found) >= limit:
                return found
            if getattr(conn, "pid", None) is None:
                continue
            info = conn.info()
            line = {key: getattr(info, key) for key in info.__slots__}
            line |= {"listener": name, "pid": pid_text(info.pid), "peer": f"{info.peer[0]}:{info.peer[1]}"}
            found.append(line)
    return found


def listeners() -> list[dict[str, Any]]:
    """Describe the listeners: {name, connections, addresses, accepted, refused, failed, is_open}."""
    return [
        {
            "name": name, "connections": len(owner.table), "addresses": len(owner.by_address),
            "accepted": owner.accepted, "refused": owner.refused, "failed": owner.failed, "is_open": owner.socket is not None,
        }
        for name, owner in _tables()
    ]  # fmt: skip


def store_info(name: str = "store") -> dict[str, Any]:
    """Describe the store: sizes in bytes, `latency` and `stalled` in seconds; {} when there is none."""
    p = scheduler.names.get(name)
    server: Any = p.behaviour if p is not None else None
    if p is None or not hasattr(server, "link") or not hasattr(server, "info"):
        return {}
    try:
        info = server.info()
    except Exception as error:  # noqa: BLE001 - a store that is just going away may not answer
        return {"path": "", "error": str(error)}
    return plain(info)  # type: ignore[no-any-return]


def alarms(limit: int = 1_000) -> list[AlarmRow]:
    """List the alarms that are up, the newest first, at most `limit`. Gives way while it works."""
    return [
        AlarmRow(
            id=alarm_list.id_text(one.id),
            name=alarm_name(one.id),
            description=one.description
            if isinstance(one.description, str)
            else brief(one.description, 4, 2_000),
            level=_LEVELS.get(one.level, str(one.level)),
            since=one.since,
            times=one.times,
        )
        for one in sliced(alarm_list.peek()[:limit])
    ]


def may_have_mail(p: Process) -> bool:
    """Tell, for less than its `mailbox_length`, whether a process can have mail at all; what is kept back from it is mail."""
    return (
        p.q is not None or p.cur is not None or p.control is not None or p.behaviour.__class__ is kernel.Gate
    )


def alarm_counts() -> dict[tuple[str, str], int]:
    """How many alarms are up, by (name, level)."""
    found: Counter[tuple[str, str]] = Counter()
    for one in sliced(alarm_list.peek(), 256):
        found[alarm_name(one.id), _LEVELS.get(one.level, str(one.level))] += 1
    return found


def alarm_name(id_: Any) -> str:
    """The kind of an alarm: the first word of its id, as a short text."""
    name = id_[0] if isinstance(id_, tuple) and id_ else id_
    return name[:100] if isinstance(name, str) else brief(name, 2, 100)


def releases(limit: int = 200) -> list[ReleaseRow]:
    """List the newest releases, the newest first; [] without live code."""
    releaser = _releaser()
    if releaser is None:
        return []
    try:
        running = releaser.current.number
    except RuntimeError:  # the first one is being made
        running = 0
    return [
        ReleaseRow(
            id=one.id, base=one.base, number=one.number, time=one.time, by=one.by, note=one.note, kind=one.kind,
            result=one.result, why=one.why, files=len(one.files), seconds=dict(one.seconds), migrated=one.migrated,
            is_current=one.number == running,
        )
        for one in sliced(releaser.log.releases()[-limit:][::-1])
    ]  # fmt: skip


# Internals

_started = time.monotonic()
_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


def _spawned() -> int:
    """How many processes have been: what the counter would give next, without taking it. Its repr is `count(42)`."""
    return int(repr(scheduler.next_number.__self__)[6:-1]) - 1  # type: ignore[attr-defined]


_KEYS = ("current_function", "status", "waits_for", "memory")


def _best(
    limit: int, sort: str, wanted: Callable[[Process], bool] | None, reverse: bool, breather: Breather
) -> Iterator[Process]:
    """The first `limit` processes in that order; of equal ones the oldest first. Gives way all the time."""
    key = SORTS[sort]
    heap: list[tuple[Any, int, Process]] = []
    for block in living(breather) if limit else ():
        chosen = block
        if len(heap) >= limit and not reverse and wanted is None:
            if sort == "number":
                break  # they come by number
            if sort == "mailbox":
                chosen = [p for p in block if may_have_mail(p)]
        for p in sliced(chosen, 32, breather):
            if wanted is not None and not wanted(p):
                continue
            entry = (_Reversed(key(p)) if reverse else key(p), -p.number, p)
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            elif heap[0] < entry:
                heapq.heapreplace(heap, entry)
    found = []
    while heap:  # the worst first
        found.append(heapq.heappop(heap)[2])
        if not len(found) & 31:
            breather.take()
    return reversed(found)


def _looked(p: Process, key: str, default: Any = ()) -> Any:
    info = kernel.process_info(p, key)
    return default if info is None else info[key]


def _mailbox(p: Process) -> Any:
    return p.mailbox_length


def _initial(p: Process) -> str:
    known = p.pdict.get("$initial_call") if p.pdict else None
    return known if isinstance(known, str) else str(_looked(p, "initial_call", ""))


SORTS: dict[str, Callable[[Process], Any]] = {
    "number": lambda p: -p.number,
    "newest": lambda p: p.number,
    "mailbox": _mailbox,
    "memory": lambda p: _looked(p, "memory", 0),
    "cpu": lambda p: busy.share(p.number),
    "links": lambda p: len(p.links or ()),
    "monitors": lambda p: len(p.monitors or ()),
    "monitored_by": lambda p: len(p.monitored_by or ()),
    "stack": lambda p: p.g is not None,
    "name": lambda p: _Backwards(p.name or "\U0010ffff"),
    "initial_call": lambda p: _Backwards(_initial(p)),
    "current": lambda p: _Backwards(_looked(p, "current_function", "")),
    "status": lambda p: _Backwards(_looked(p, "status", "")),
}
"""What a list of processes can be sorted by."""


class _Backwards(str):
    """A text that sorts from Z to A, for a list of which the largest come first."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


class _Reversed:
    """A key for the other end of the list."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return bool(self.key == other.key)  # type: ignore[attr-defined]  # only ever among themselves

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.key < self.key)


def _matcher(text: str) -> Callable[[Process], bool] | None:
    if not text:
        return None
    if text.startswith("="):
        status = text[1:].lower()
        return lambda p: ("suspended" if is_suspended(p) else _looked(p, "status", "")) == status
    wanted = text.lower()

    def matches(p: Process) -> bool:
        extra = p.extra
        if wanted in repr(p).lower() or wanted in str(p.number) or wanted in _initial(p).lower():
            return True
        if extra is not None and extra.label is not None and wanted in str(extra.label).lower():
            return True
        return wanted in kind_of(p)

    return matches


def _pids(some: Iterable[Any], limit: int = 200) -> tuple[str, ...]:
    return tuple(pid_text(one) for one, _ in zip(some, range(limit), strict=False))


def _tables() -> list[tuple[str, Connections]]:
    """Who owns connections, by the listener's name."""
    return [(owner.name, owner) for owner in probes.connection_owners()]


def _figures() -> Figures:
    p = scheduler.names.get("sysmon")
    seen = getattr(p.behaviour, "seen", None) if p is not None else None
    return seen if isinstance(seen, Figures) else Figures()


def _releaser() -> Any:
    p = scheduler.names.get("code_server")
    return getattr(p.behaviour, "releaser", None) if p is not None else None


def _current_release() -> str:
    releaser = _releaser()
    try:
        return str(releaser.current) if releaser is not None else ""
    except Exception:  # noqa: BLE001 - before the first release there is none
        return ""


def _probation() -> dict[str, Any]:
    p = scheduler.names.get("code_server")
    watch = getattr(p.behaviour, "probation", None) if p is not None else None
    return watch.shown(clock.now()) if watch is not None else {}
