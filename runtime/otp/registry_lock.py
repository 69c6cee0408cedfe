"""The locks of a registry: at most one process holds a key's lock at a time, the others wait in the order they came.

Kept by the registry's process, since somebody must wait and somebody must notice a holder that dies; registering and
looking up ask neither. The keys of locks are a namespace of their own.

Invariant: a key is in `held` while somebody holds its lock, and only then does anybody wait for it.
Invariant: every holder is monitored, once for each lock.

Source: Elixir Registry.lock/3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from runtime import kernel
from runtime.kernel import Call, Process, Ref

__all__ = ["Acquire", "Locks", "Release"]

# --------------------------------------------------------------------------------------------------------- types


class Acquire(NamedTuple):
    """Call: answered with True when the caller has the lock, with False if it has it already."""

    key: Hashable


class Release(NamedTuple):
    """Cast: `holder` lets go."""

    key: Hashable
    holder: Process


class _Held(NamedTuple):
    holder: Process
    ref: Ref
    waiting: deque[Call]


class Locks:
    """All locks of one registry."""

    def __init__(self) -> None:
        self.held: dict[Hashable, _Held] = {}

    def acquire(self, key: Hashable, call: Call) -> None:
        """Answer `call` when its caller has the lock."""
        held = self.held.get(key)
        if held is None:
            self._grant(key, call, deque())
        elif held.holder is call.process:  # it would wait for itself
            kernel.reply(call, False)
        else:
            held.waiting.append(call)

    def release(self, key: Hashable, holder: Process) -> None:
        """Pass the lock on. Nothing, if `holder` does not have it (any more)."""
        held = self.held.get(key)
        if held is None or held.holder is not holder:
            return
        kernel.demonitor(held.ref, flush=True)
        self._next(key, held.waiting)

    def down(self, ref: Ref) -> None:
        """A holder has ended: what it held is free."""
        for key, held in list(self.held.items()):
            if held.ref is ref:
                self._next(key, held.waiting)

    def _next(self, key: Hashable, waiting: deque[Call]) -> None:
        del self.held[key]
        while waiting:
            call = waiting.popleft()
            if call.process is not None:  # else its caller has gone
                self._grant(key, call, waiting)
                return

    def _grant(self, key: Hashable, call: Call, waiting: deque[Call]) -> None:
        holder = call.process
        assert holder is not None
        self.held[key] = _Held(holder, kernel.monitor(holder), waiting)
        kernel.reply(call, True)
