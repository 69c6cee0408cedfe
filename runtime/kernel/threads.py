"""The border to operating-system threads: work that blocks goes out, results and messages come in."""

from __future__ import annotations

import pickle  # noqa: F401 - said at the pool
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool, _WorkerGreenlet

from .scheduler import hub, loop, run_callback, self_, send

__all__ = ["blocking", "busy_threads", "hold_threads", "in_hub", "post", "thread_jobs", "thread_work"]


def blocking(fn: Callable[..., Any], *args: Any) -> Any:
    """Run `fn(*args)` in a thread and return its result; blocks only the calling process.

    For what truly blocks (files, name look-ups, libraries of others): about 60 us a call. `fn` must not touch processes.
    If the caller is killed meanwhile, the thread ends its work and the result is dropped.

    Raises what `fn` raises; whether that is worth a line in the log is the caller's to say.
    """
    self_()
    value, error = hub.threadpool.apply(_caught, (fn, *args))
    if error is not None:
        try:
            raise error
        finally:
            del error  # its trace has this frame: no circle
    return value


def post(dest: Any, message: Any) -> None:
    """Send `message` to `dest` from another thread. Never blocks."""
    loop.run_callback_threadsafe(send, dest, message)


def in_hub(fn: Callable[..., Any], *args: Any) -> None:
    """Call `fn(*args)` in the hub, soon, once. It must neither block nor raise."""
    run_callback(fn, *args)


def busy_threads() -> int:
    """Return how many jobs of the thread pool (`blocking`, name look-ups, files) have a thread, or are next. O(1)."""
    pool = hub._threadpool
    return 0 if pool is None else len(pool)


def thread_jobs() -> int:
    """Return how many jobs there are for the thread pool, with those that wait to be let in. O(1)."""
    pool = hub._threadpool
    # gevent's pool lets in as many as it has threads; the callers of the others wait at its semaphore.
    return 0 if pool is None else len(pool) + pool._available_worker_threads_greenlet_sem.linkcount()


def thread_work() -> list[str]:
    """Return what each job that has a thread is, for a person: "function, at file:line". O(stacks of the threads)."""
    found = []
    for at in sys._current_frames().values():
        frame: Any = at
        while frame is not None and frame.f_code is not _RUN_TASK:
            frame = frame.f_back
        fn = frame.f_locals.get("func") if frame is not None else None
        if fn is _caught:
            fn = frame.f_locals["args"][0]
        if fn is not None:
            place = (
                ""
                if at is frame or at.f_code is _caught.__code__
                else f", at {at.f_code.co_filename}:{at.f_lineno}"
            )
            found.append(f"{getattr(fn, '__qualname__', repr(fn))}{place}")
    return found


@contextmanager
def hold_threads(seconds: float) -> Iterator[None]:
    """Within the `with`, new jobs of the thread pool wait with their callers; those that have begun go on.

    So that a moment comes when no thread works, however many jobs are asked for. It ends by itself after `seconds`, for
    a job that takes longer than that must not hold up all others. Does not block; not to be nested.
    """
    _Pool.gate.clear()
    timer = loop.timer(seconds)
    timer.start(_Pool.gate.set)
    try:
        yield
    finally:
        timer.close()
        _Pool.gate.set()


# ----------------------------------------------------------------------------------------------------- internals


def _caught(fn: Callable[..., Any], *args: Any) -> tuple[Any, Exception | None]:
    """Run in the thread: an exception as a value, since gevent prints the trace of one that is raised, handled or not."""
    try:
        return fn(*args), None
    except Exception as error:  # noqa: BLE001 - it goes on in the caller
        return None, error


_RUN_TASK: Final = _WorkerGreenlet._WorkerGreenlet__run_task.__code__
"""The frame of gevent's whose `func` is the job."""


class _Pool(ThreadPool):  # type: ignore[misc]  # gevent has no types
    """gevent's own, with a gate in front. Name look-ups and gevent's files go through it as `blocking` does."""

    gate = Event()
    gate.set()

    def spawn(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        while not self.gate.is_set():
            self.gate.wait()
        return super().spawn(fn, *args, **kwargs)


gevent.config.threadpool = _Pool
# When a job raises, gevent hands that on with pickle, imported just then: without a descriptor to read it by, the result would
# be lost, and the caller wait for ever. So it is imported here.
