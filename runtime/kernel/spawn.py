"""Starting processes, and running one from the main program. Source: erlang:spawn/1, spawn_link, spawn_monitor, spawn_opt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gevent.event import AsyncResult
from gevent.exceptions import LoopExit
from greenlet import getcurrent

from . import names, scheduler, watermarks
from .death import connect
from .identity import Ref, make_ref
from .reasons import KILLED, NORMAL, Crash
from .scheduler import Behaviour, Extra, Process, ProcessExit, die, send, wake

__all__ = ["Alias", "Deadlock", "Priority", "alias", "run", "spawn", "spawn_callback", "spawn_link", "spawn_monitor", "spawn_opt", "unalias"]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types

Priority = Literal["low", "normal", "high", "max"]


class Deadlock(RuntimeError):
    """`run` waits for a process that waits for something that nothing can bring any more."""


class Alias:
    """An address of the calling process that can be switched off: what is sent to it afterwards vanishes.

    With `once`, the first message switches it off. Source: erlang:alias/1.
    """

    __slots__ = ("_once", "owner")

    def __init__(self, owner: Process, once: bool) -> None:
        self.owner: Process | None = owner
        self._once = once

    @property
    def q(self) -> Alias:
        return self

    def append(self, message: Any) -> None:
        owner = self.take()
        if owner is not None:
            send(owner, message)

    def take(self) -> Process | None:
        """The process it stands for, if it is in force; with `once` it is void from now on."""
        owner = self.owner
        if self._once:
            self.owner = None
        return owner


# ----------------------------------------------------------------------------------------------------------- API


def spawn(fn: Callable[..., Any], *args: Any) -> Process:
    """Start a plain process that runs `fn(*args)`, and return its pid. Does not block; `fn` starts at its turn.

    It ends with `normal` when `fn` returns, with the reason of a ProcessExit, or with Crash(exception).
    """
    return _launch(_Plain(fn, args), _START)


def spawn_link(fn: Callable[..., Any], *args: Any) -> Process:
    """Like `spawn`, linked to the caller before `fn` can run."""
    me = scheduler.living()
    p = _launch(_Plain(fn, args), _START)
    connect(me, p)
    return p


def spawn_monitor(fn: Callable[..., Any], *args: Any) -> tuple[Process, Ref]:
    """Like `spawn`, watched by the caller before `fn` can run. Returns (pid, ref)."""
    me = scheduler.living()
    p = _launch(_Plain(fn, args), _START)
    return p, _watch(me, p)


def spawn_opt(
    fn: Callable[..., Any],
    *args: Any,
    link: bool = False,
    monitor: bool = False,
    name: names.Name | None = None,
    priority: Priority = "normal",
    watermarks: tuple[int, int] | None = None,
    label: Any = None,
) -> Any:
    """Like `spawn`, with options. Returns the pid, or (pid, ref) with `monitor`.

    `watermarks`: (high, low) messages. Raises NameTaken, before anything runs, when `name` is taken.
    """
    return _start(_Plain(fn, args), (_START,), link, monitor, name, priority, watermarks, label)


def spawn_callback(
    behaviour: Behaviour,
    *first_messages: Any,
    link: bool = False,
    monitor: bool = False,
    name: names.Name | None = None,
    priority: Priority = "normal",
    watermarks: tuple[int, int] | None = None,
    label: Any = None,
) -> Any:
    """Start a callback process: for each message, `behaviour.on_message(process, message)` runs on a pooled stack.

    It holds no stack while it waits. `first_messages` are in its mailbox before anybody knows the pid.
    Returns the pid, or (pid, ref) with `monitor`. Options as in `spawn_opt`.
    """
    if not (link or monitor or name is not None or watermarks or label) and priority == "normal":
        return _launch(behaviour, *first_messages)
    return _start(behaviour, first_messages, link, monitor, name, priority, watermarks, label)


def alias(once: bool = False) -> Alias:
    """Return a fresh alias of the calling process: an address for `send` that `unalias` makes void."""
    return Alias(scheduler.self_(), once)


def unalias(a: Alias) -> bool:
    """Make an alias void. Returns whether it still was in force."""
    active, a.owner = a.owner is not None, None
    return active


def run(fn: Callable[..., Any], *args: Any) -> Any:
    """Run `fn(*args)` as a process from the main program; drive the loop until it ends; return what it returned.

    An exception of `fn` is raised here. Other processes live on in the background, but only run while somebody runs
    the loop. Raises Deadlock if `fn` waits and nothing is left that could wake it.
    """
    if getattr(getcurrent(), "proc", None) is not None:
        raise RuntimeError(
            "run() starts the first process from the main program; inside a process use spawn()"
        )
    result: AsyncResult[Any] = AsyncResult()

    def main() -> None:
        try:
            value = fn(*args)
        except ProcessExit as end:
            result.set(None) if end.reason == NORMAL else result.set_exception(_as_error(end.reason))
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller of run()
            trace = error.__traceback__
            result.set_exception(error, exc_info=(type(error), error, trace))
            raise ProcessExit("run failed") from None  # the caller of run() reports it; no crash report
        result.set(value)

    behaviour = _Main(main, ())
    behaviour.result = result
    process = _launch(behaviour, _START)
    try:
        return result.get()
    except LoopExit:
        die(process, KILLED)  # else it would come to life again in the next run
        raise Deadlock(
            "every process waits, and no timer, socket or other event is left to wake one"
        ) from None


# ----------------------------------------------------------------------------------------------------- internals


class _Plain:
    """The behaviour of a plain process: its one callback is the whole function."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fn = fn
        self.args: tuple[Any, ...] = args

    def on_message(self, process: Process, _message: Any) -> None:
        args, self.args = self.args, ()
        self.fn(*args)
        die(process, NORMAL)


class _Main(_Plain):
    """What `run` runs: its caller hears of the end even if the function never came to run."""

    __slots__ = ("result",)
    result: AsyncResult[Any]

    def on_exit(self, _process: Process, reason: Any) -> None:
        if not self.result.ready():
            self.result.set_exception(_as_error(reason))


_START = None


def _launch(behaviour: Behaviour, *messages: Any) -> Process:
    me = getattr(getcurrent(), "proc", None)
    p = Process(behaviour, me.number if me is not None else 0)
    if messages:
        p.q = list(messages)
        p.push(p)
        if not scheduler.running and not scheduler.kicked:
            wake()
    return p


def _start(
    behaviour: Behaviour,
    messages: tuple[Any, ...],
    link: bool,
    monitor: bool,
    name: names.Name | None,
    priority: Priority,
    marks: tuple[int, int] | None,
    label: Any,
) -> Any:
    # All that can be wrong is found before there is a process.
    me = scheduler.living() if link or monitor else None
    if name is not None:
        names.check_free(name)
    if marks is not None:
        watermarks.check_watermarks(*marks)
    push = _PUSH.get(priority)
    if push is None:
        raise ValueError(f"priority {priority!r}: must be one of {', '.join(_PUSH)}")
    p = _launch(behaviour)
    p.push = push
    if priority != "normal" or label is not None:
        p.extra = Extra()
        p.extra.priority = priority
        p.extra.label = label
    if marks is not None:
        watermarks.set_watermarks(p, *marks)
    if name is not None:
        names.claim(name, p)
    if link and me is not None:
        connect(me, p)
    ref = _watch(me, p) if monitor and me is not None else None
    for message in messages:
        send(p, message)
    return (p, ref) if monitor else p


def _watch(me: Process, p: Process) -> Ref:
    ref = make_ref()
    p.monitored_by = {ref: (me, p)}
    if me.monitors is None:
        me.monitors = {}
    me.monitors[ref] = p
    return ref


def _as_error(reason: Any) -> BaseException:
    if isinstance(reason, Crash):
        return reason.exception
    return RuntimeError(f"the process that run() started ended with {reason!r}")


# A process of high priority goes to the head of the run queue; one of low priority waits in a queue of its own.
_PUSH: dict[str, Callable[[Process], None]] = {
    "low": scheduler.low.append,
    "normal": scheduler.push,
    "high": scheduler.ready.appendleft,
    "max": scheduler.ready.appendleft,
}
