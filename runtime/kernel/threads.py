"""The border to operating-system threads: work that blocks goes out, results and messages come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .scheduler import hub, loop, run_callback, self_, send

__all__ = ["blocking", "in_hub", "post"]


def blocking(fn: Callable[..., Any], *args: Any) -> Any:
    """Run `fn(*args)` in a thread and return its result; blocks only the calling process.

    For what truly blocks (files, name look-ups, libraries of others): about 60 us a call. `fn` must not touch processes.
    If the caller is killed meanwhile, the thread ends its work and the result is dropped.
    """
    self_()
    return hub.threadpool.apply(fn, args)


def post(dest: Any, message: Any) -> None:
    """Send `message` to `dest` from another thread. Never blocks."""
    loop.run_callback_threadsafe(send, dest, message)


def in_hub(fn: Callable[..., Any], *args: Any) -> None:
    """Call `fn(*args)` in the hub, soon, once. It must neither block nor raise."""
    run_callback(fn, *args)
