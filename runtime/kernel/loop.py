"""The event loop, for the rooms that put their own watchers on it (connections, the store's socket)."""

from __future__ import annotations

from typing import Any

from . import scheduler

__all__ = ["loop"]


def loop() -> Any:
    """Return the loop: `io(fd, events)`, `timer(seconds)`, `signal(number)`, `async_()`, `run_callback(fn)`.

    A watcher's callback runs in the hub: it must not block, and what it raises ends up on standard error.
    """
    return scheduler.loop
