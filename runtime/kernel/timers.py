"""Messages at a later time: send_after, start_timer, cancel, read. Source: erlang:send_after/3, start_timer/3."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal, NamedTuple

from greenlet import getcurrent

from . import clock, scheduler
from .death import is_alive
from .scheduler import Process, send, suspend

__all__ = ["Timeout", "Timer", "cancel_timer", "read_timer", "send_after", "sleep", "start_timer"]


class Timer:
    """A message that will be sent. Also its reference in the `Timeout` that start_timer delivers."""

    __slots__ = ("dest", "due", "handle")

    def __init__(self, dest: Any, seconds: float) -> None:
        self.dest = dest
        self.due = clock.now() + seconds
        self.handle: clock.Handle | None = None

    def __repr__(self) -> str:
        return f"<timer to {self.dest!r}>"


class Timeout(NamedTuple):
    """What start_timer delivers: Erlang's {timeout, TimerRef, Msg}."""

    ref: Timer
    message: Any


def send_after(seconds: float, dest: Any, message: Any) -> Timer:
    """Send `message` to `dest` (pid or name) in `seconds`. Never blocks. A name is looked up when the time comes;
    a process that is gone by then gets nothing, and nobody an error.
    """
    timer = Timer(dest, _checked(seconds))
    timer.handle = clock.after(seconds, _fire, timer, message)
    return timer


def start_timer(seconds: float, dest: Any, message: Any) -> Timer:
    """Like send_after, but what arrives is Timeout(timer, message), which tells one timer from another."""
    timer = Timer(dest, _checked(seconds))
    timer.handle = clock.after(seconds, _fire, timer, Timeout(timer, message))
    return timer


def cancel_timer(timer: Timer) -> float | Literal[False]:
    """Stop a timer. Returns the seconds it had left, or False if it had fired, was cancelled, or its process died."""
    left = read_timer(timer)
    if timer.handle is not None:
        timer.handle.cancel()
        timer.handle = None
    return left


def read_timer(timer: Timer) -> float | Literal[False]:
    """Return the seconds a timer has left, or False if it will not deliver anything."""
    handle = timer.handle
    if handle is None or not handle.active:
        return False
    if isinstance(timer.dest, Process) and not is_alive(timer.dest):
        return False
    return max(0.0, timer.due - clock.now())


def sleep(seconds: float) -> None:
    """Block the calling process for `seconds`; messages wait meanwhile. (timer:sleep/1)"""
    p = scheduler.self_()
    me = getcurrent()
    token: list[Process | None] = [p]
    handle = clock.after(seconds, _awake, token)
    try:
        while token[0] is not None:
            p.wait = token
            suspend(p, me)
    finally:
        handle.cancel()
        token[0] = None


def _checked(seconds: float) -> float:
    if not isinstance(seconds, int | float) or not seconds >= 0:
        raise ValueError(f"a timer takes seconds >= 0, not {seconds!r}")
    return float(seconds)


def _fire(timer: Timer, message: Any) -> None:
    timer.handle = None
    with suppress(scheduler.BadName):  # the name is free by now: as to a dead process
        send(timer.dest, message)


def _awake(token: list[Process | None]) -> None:
    p, token[0] = token[0], None
    if p is not None and p.wait is token:
        scheduler.resume(p)
