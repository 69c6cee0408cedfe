"""Finding and ending callbacks that compute without end: a hog stops every other process, since nothing preempts it.

An interval timer's signal (SIGALRM, every 50 ms) looks at the scheduler in the main thread, between two bytecodes.
If neither the slice nor the loop has moved on since `hog_warn`, a report names the process, its function and its stack;
after `hog_kill` an exception is raised in it, which also breaks a `time.sleep`. Only when the kernel has nothing half
done: not in its own frames, and not in what they call in passing (a tuple's constructor, a value's `__eq__`); the next
tick tries again.
C code that holds the interpreter lock is seen only when it returns. Under a debugger the kill is off.

A step of the loop (`step`) is nobody's turn: it has a limit only if it sets one itself, with `limits.limited`; so may what
is run in the middle of what must not be left.

A process may also have a *guard*: a function that is asked at each tick for as long as the process holds the node, and
may end that earlier (a shell, whose user has pressed Ctrl-C).

Rejected: gevent's monitor thread (a tracer on each switch doubles its cost); a native thread with
PyThreadState_SetAsyncExc (slower to act, cannot break a sleep).
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from greenlet import getcurrent

from . import hooks, limits, scheduler
from .scheduler import Killed, Process, Worker

__all__ = [
    "Hog",
    "HogReport",
    "guard",
    "start_watchdog",
    "stop_watchdog",
    "unguard",
]

TICK = 0.05


class Hog(Exception):
    """Raised inside a callback that held the whole node for longer than `hog_kill` seconds."""


@dataclass(frozen=True, slots=True)
class HogReport:
    """Who held the loop, for how long, where, and whether it was killed. A callback of the hub itself is not seen."""

    pid: Process | None
    seconds: float
    function: str
    stack: str
    killed: bool


@dataclass(slots=True)
class _Watch:
    warn: float
    kill: float | None
    mark: Any = None
    since: float = 0.0
    warned: bool = False
    previous: Any = None


def start_watchdog(hog_warn: float = 0.1, hog_kill: float | None = 5.0) -> None:
    """Start watching (main thread only). Seconds until a hog is reported, and until it is killed (None: never)."""
    global _watch
    stop_watchdog()
    _watch = _Watch(hog_warn, None if sys.gettrace() is not None else hog_kill)
    _watch.previous = signal.signal(signal.SIGALRM, _tick)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)


def stop_watchdog() -> None:
    """Stop watching and give the signal back."""
    global _watch
    if _watch is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _watch.previous or signal.SIG_DFL)
        _watch = None


def guard(check: Callable[[float], BaseException | None]) -> None:
    """While the calling process holds the node, ask `check(seconds so far)` every 50 ms; what it returns is raised there.

    It runs in a signal's handler: no waiting, no sending. Until `unguard`, which must come before the process ends; only
    where the watchdog runs.
    """
    _guards[scheduler.self_()] = check


def unguard() -> None:
    """Undo `guard`."""
    _guards.pop(scheduler.self_(), None)


_watch: _Watch | None = None
_guards: dict[Process, Callable[[float], BaseException | None]] = {}
_KERNEL = str(Path(__file__).parent) + "/"
_RUNTIME = str(Path(__file__).parents[1]) + "/"


def _tick(_signum: int, frame: FrameType | None) -> None:
    watch = _watch
    if watch is None:
        return
    if hooks.on_tick:
        hooks.call(hooks.on_tick, frame)
    if limits.now is not None and limits.now.check(frame, _RUNTIME):
        return
    g = getcurrent()
    p = g.proc if isinstance(g, Worker) else None
    if p is None:
        watch.mark = None  # the hub waits for events, or a callback of its own is at work
        return
    # The loop's count too: a process that waits in gevent's I/O gives way without the run queue having a turn.
    mark = (scheduler.slice_end, p.number, scheduler.loop.iteration)
    now = monotonic()
    if mark != watch.mark:
        watch.mark, watch.since, watch.warned = mark, now, False
        return
    held = now - watch.since
    if not watch.warned and held >= watch.warn:
        watch.warned = True
        _report(p, held, frame, killed=False)
    check = _guards.get(p)
    if check is not None and frame is not None and _is_safe(frame):
        error = check(held)
        if error is not None:
            raise error
    if watch.kill is not None and held >= watch.kill and frame is not None and _is_safe(frame):
        _report(p, held, frame, killed=True)
        watch.mark = None
        if p.q is scheduler.DEADQ:
            raise Killed(p.reason)
        raise Hog(f"held the node for {held:.1f} s without giving way")


def _is_safe(frame: FrameType) -> bool:
    """Tell whether an exception may be raised here: the kernel's nearest frame is one that expects user code to raise."""
    if _in_kernel(frame):
        return False
    at: FrameType | None = frame
    while at is not None and not _in_kernel(at):
        at = at.f_back
    return at is None or at.f_code.co_name in _EXPECTANT


_EXPECTANT = frozenset({"_batch", "_drain", "_search", "call", "main", "on_message"})
"""Where the kernel calls user code: a message's turn, a predicate's, a hook's (`hooks.call`), and `run`'s function."""


def _is_guarded() -> bool:
    if not _guards:
        return False
    g = getcurrent()
    return isinstance(g, Worker) and g.proc in _guards


limits.is_guarded = _is_guarded


def _in_kernel(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_KERNEL)


def _report(p: Process, held: float, frame: FrameType | None, killed: bool) -> None:
    lines = traceback.format_stack(frame, 30) if frame is not None else []
    stack = "".join(line for line in lines if _KERNEL not in line)
    where = frame
    while where is not None and _in_kernel(where):
        where = where.f_back
    function = (
        "?"
        if where is None
        else f"{where.f_globals.get('__name__')}.{where.f_code.co_qualname}:{where.f_lineno}"
    )
    hooks.call(hooks.on_hog, HogReport(p, held, function, stack, killed))
