"""Looking at processes without touching them: process_info, the process list, the invariants.

Everything here only reads, never blocks, and never raises for a process that is already dead (it answers None).
Source: erlang:process_info/1,2; erlang:processes/0.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from itertools import chain, takewhile
from types import FrameType
from typing import Any

from greenlet import getcurrent, greenlet

from . import scheduler
from .identity import Pid, RemotePid, _is_here
from .scheduler import DEADQ, IO, RECV, YIELD, Extra, Process, self_

__all__ = ["check_invariants", "erase", "get", "pid_from_wire", "process_count", "process_frame", "process_info", "processes", "put", "set_label", "stacks"]  # fmt: skip

DEFAULT_KEYS = (
    "registered_name", "current_function", "initial_call", "label", "status", "message_queue_len", "links",
    "dictionary", "trap_exit", "priority", "parent", "group_leader", "memory",
)  # fmt: skip
"""What process_info gives when no key is asked for; all but the dictionary are O(1) or O(links)."""

# ----------------------------------------------------------------------------------------------------------- API


def processes(after: int = 0) -> Iterator[Process]:
    """Yield every living process of this node, oldest first; those that start or end meanwhile may be missed.

    `after`: only those with a higher number, so started later. O(those).
    """
    if after:
        numbers = list(takewhile(lambda number: number > after, reversed(scheduler.table)))[::-1]
    else:
        numbers = list(scheduler.table)
    for number in numbers:
        p = scheduler.table.get(number)
        if p is not None:
            yield p


def process_count() -> int:
    """Return how many processes live here. O(1)."""
    return len(scheduler.table)


def process_info(pid: Pid, *keys: str) -> dict[str, Any] | None:
    """Return what is known of a process, as a dict with the keys asked for; None if it is dead.

    Besides the default ones: messages, monitors, monitored_by, current_stacktrace, watermarks, number.
    `messages` and `dictionary` are copies of the containers, not of what is in them.

    Raises ValueError for an unknown key.
    """
    p = pid
    if not isinstance(p, Process) or p.q is DEADQ:
        return None
    unknown = [key for key in keys if key not in _READERS]
    if unknown:
        raise ValueError(f"process_info has no {unknown[0]!r}; it has {', '.join(sorted(_READERS))}")
    return {key: _READERS[key](p) for key in keys or DEFAULT_KEYS}


def pid_from_wire(wire: tuple[str, int, int]) -> Pid:
    """Return the pid that `Pid.to_wire` described: the process itself if it lives here, else a RemotePid."""
    if _is_here(wire):
        p = scheduler.table.get(wire[1])
        if p is not None:
            return p
    return RemotePid(*wire)


def process_frame(pid: Process) -> FrameType | None:
    """Return the innermost frame of a process's own code, past the kernel's; None when it has no stack."""
    return _frame(pid)


def stacks(everywhere: bool = True) -> Iterator[tuple[Any, FrameType]]:
    """Yield every stack of this thread with who runs on it: a process (maybe dead), or the bare greenlet.

    First the kernel's own, the caller's among them. The others, `everywhere`, are searched for among all objects: some
    30 ns each, 50 ms with 1.5 million.
    """
    me = getcurrent()
    yield getattr(me, "proc", None) or me, sys._getframe(1)
    kernels = [*scheduler.workers, *scheduler.graveyard]
    for g in kernels:
        if g.gr_frame is not None and g.proc is not None:
            yield g.proc, g.gr_frame
    if not everywhere:
        return
    known = {id(me), *map(id, kernels)}
    for g in [o for o in gc.get_objects() if isinstance(o, greenlet) and id(o) not in known]:
        if g.gr_frame is not None:
            yield g, g.gr_frame


def put(key: Any, value: Any) -> Any:
    """Store a value in the caller's process dictionary; return the old one or None."""
    p = self_()
    if p.pdict is None:
        p.pdict = {}
    old = p.pdict.get(key)
    p.pdict[key] = value
    return old


def get(key: Any, default: Any = None) -> Any:
    """Return a value of the caller's process dictionary."""
    p = self_()
    return default if p.pdict is None else p.pdict.get(key, default)


def erase(key: Any) -> Any:
    """Remove a value from the caller's process dictionary; return it or None."""
    p = self_()
    return None if p.pdict is None else p.pdict.pop(key, None)


def set_label(label: Any) -> None:
    """Give the calling process a label that lists and reports show (OTP 27: proc_lib:set_label/1)."""
    p = self_()
    if p.extra is None:
        p.extra = Extra()
    p.extra.label = label


def check_invariants() -> None:
    """Raise AssertionError, saying what is wrong, if the kernel's tables contradict each other. For tests."""
    for number, p in scheduler.table.items():
        assert p.number == number, f"{p!r} is filed under {number}"
        assert p.q is not DEADQ, f"{p!r} is dead but in the table"
        for peer in p.links or ():
            assert p in (peer.links or ()), f"{p!r} is linked to {peer!r}, but not back"
        for ref, target in (p.monitors or {}).items():
            assert ref in (target.monitored_by or ()), (
                f"{p!r} monitors {target!r} by {ref!r}, which does not know it"
            )
        for ref, watcher in (p.monitored_by or {}).items():
            if watcher is not None:
                owner = watcher[0]
                assert ref in (owner.monitors or ()), (
                    f"{p!r} believes to be monitored by {owner!r} ({ref!r}), which does not"
                )
        if p.name is not None:
            assert scheduler.names.get(p.name) is p, (
                f"{p!r} has the name {p.name!r}, the table says otherwise"
            )
        if p.q is not None and p.g is None and not scheduler.running and p not in scheduler.ready:
            assert p in scheduler.low or scheduler.kicked, f"{p!r} has mail and is not on the run queue"
    for name, p in scheduler.names.items():
        assert p.q is not DEADQ, f"the name {name!r} belongs to a dead process"
        assert p.name == name, f"{p!r} does not know its name {name!r}"


# ----------------------------------------------------------------------------------------------------- internals


def _status(p: Process) -> str:
    if p.g is None:
        if getattr(getcurrent(), "proc", None) is p:
            return "running"
        return "waiting" if p.q is None else "runnable"
    if p.wait is None or p.wait is YIELD:
        return "runnable"
    return "running" if getcurrent() is p.g else "waiting"


def _frame(p: Process) -> FrameType | None:
    """Return the innermost frame of the process's own code, if it has a stack."""
    if getattr(getcurrent(), "proc", None) is p:
        frame: FrameType | None = sys._getframe()
    else:
        frame = p.g.gr_frame if p.g is not None else None
    while frame is not None and "/runtime/kernel/" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame


def _current_function(p: Process) -> str:
    frame = _frame(p)
    if frame is not None:
        return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}:{frame.f_lineno}"
    kind = type(p.behaviour)
    return f"{kind.__module__}.{kind.__qualname__}.on_message"


def _stacktrace(p: Process) -> list[str]:
    frame = _frame(p)
    if frame is None:
        return []
    lines = traceback.format_stack(frame, 30)
    return [line.rstrip() for line in lines if "/runtime/kernel/" not in line]


def _initial_call(p: Process) -> str:
    if p.extra is not None and p.extra.initial_call is not None:
        return str(p.extra.initial_call)
    fn = getattr(p.behaviour, "fn", None)
    thing = fn if fn is not None else type(p.behaviour)
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', repr(thing))}"


def _messages(p: Process) -> list[Any]:
    return [*chain(*scheduler.held(p)), *(p.cur or ()), *(p.q or ())]


def _memory(p: Process) -> int:
    """Bytes of the kernel's own record, its mailbox and its stack; not of what the behaviour holds."""
    total = sys.getsizeof(p)
    for part in (
        p.q,
        p.cur,
        p.links,
        p.monitors,
        p.monitored_by,
        p.pdict,
        p.extra,
        p.behaviour,
        *scheduler.held(p),
    ):
        if part is not None:
            total += sys.getsizeof(part)
    return total + (7_200 if p.g is not None else 0)


def _waits_for(p: Process) -> str | None:
    if p.g is None or p.wait is None or p.wait is YIELD:
        return None
    if p.wait is RECV:
        return "receive"
    if p.wait is IO:
        return "io"
    dest = getattr(p.wait, "dest", None)
    return f"call to {dest!r}" if dest is not None else "timer"


_READERS: dict[str, Any] = {
    "current_function": _current_function,
    "current_stacktrace": _stacktrace,
    "dictionary": lambda p: dict(p.pdict or {}),
    "group_leader": lambda _: None,
    "initial_call": _initial_call,
    "label": lambda p: p.extra.label if p.extra is not None else None,
    "links": lambda p: sorted(p.links or ()),
    "memory": _memory,
    "message_queue_len": lambda p: p.mailbox_length,
    "messages": _messages,
    "monitored_by": lambda p: sorted({w[0] for w in (p.monitored_by or {}).values() if w is not None}),
    "monitors": lambda p: list((p.monitors or {}).values()),
    "number": lambda p: p.number,
    "parent": lambda p: scheduler.table.get(p.parent),
    "priority": lambda p: p.extra.priority if p.extra is not None else "normal",
    "registered_name": lambda p: p.name,
    "status": _status,
    "trap_exit": lambda p: p.trap,
    "waits_for": _waits_for,
    "watermarks": lambda p: p.extra.watermarks if p.extra is not None else None,
}
