"""One step of the loop: work that no process, timer or socket may interrupt.

A callback of the hub runs between two turns of everything else, and gevent itself forbids it to wait: what tries to
block there raises. So whatever is done in one step is seen by nobody until all of it is done. Live code is put in
this way.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Final, TypeVar

import gevent
from gevent.event import AsyncResult
from gevent.exceptions import BlockingSwitchOutError
from greenlet import getcurrent

from .scheduler import DEADQ, NotAProcess, run_callback

__all__ = ["BLOCKED", "pause", "step"]

BLOCKED: Final = (BlockingSwitchOutError, NotAProcess)
"""What a step raises that tries to wait: by gevent's means, or by the kernel's (call, receive, sleep, blocking)."""

T = TypeVar("T")

# ----------------------------------------------------------------------------------------------------------- API


def step(fn: Callable[[], T]) -> T:
    """Run `fn()` in one callback of the hub and return its result; what it raises is raised here.

    Blocks the caller, a process or the main program, until the loop comes to it. Everything else stands still while
    `fn` runs, so it must be short; the garbage collector is off. `fn` runs as no process: `self_()` raises, and so does
    whatever waits (see BLOCKED); `send` and `spawn` work. If the caller is killed before `fn` begins, it never runs.
    """
    job = _Job(fn)
    run_callback(job.run)
    try:
        return job.result.get()  # type: ignore[no-any-return]  # gevent has no types
    finally:
        job.fn = None


def pause(seconds: float) -> None:
    """Block the caller, a process or the main program, for `seconds` of real time, whatever the virtual clock says."""
    gevent.sleep(seconds)


# ----------------------------------------------------------------------------------------------------- internals


class _Job:
    __slots__ = ("caller", "fn", "result")

    def __init__(self, fn: Callable[[], Any]) -> None:
        self.caller = getattr(getcurrent(), "proc", None)
        self.fn: Callable[[], Any] | None = fn
        self.result: AsyncResult[Any] = AsyncResult()

    def run(self) -> None:
        if self.fn is None or (self.caller is not None and self.caller.q is DEADQ):  # its caller has gone
            return
        was_on = gc.isenabled()
        gc.disable()
        try:
            self.result.set(self.fn())
        except BaseException as error:  # noqa: BLE001 - it is raised again, at the caller
            self.result.set_exception(error, exc_info=(type(error), error, error.__traceback__))
        finally:
            if was_on:
                gc.enable()
