"""Hearing what is sent to a process, for traces: nothing anywhere to pay for one that is not tapped.

As for the count of senders (`watermarks`), the mailbox itself is replaced: by one that tells of each message as it comes.
The first message to an empty mailbox passes through the process's `push`, which is replaced too. What was in the mailbox
before is not told of; while the mailbox alarm goes up, a message or two may be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from greenlet import getcurrent

from .hooks import call
from .scheduler import DEADQ, Process
from .watermarks import CountingMailbox, count

__all__ = ["tap", "untap"]

Listener = Callable[[Any, Any], None]
"""listener(sender, message): the sender a process or None; on the sender's stack, or in the hub: short, no waiting."""

# ----------------------------------------------------------------------------------------------------------- API


def tap(process: Process, listener: Listener) -> None:
    """Call `listener(sender, message)` for each message sent to `process` from now on, until `untap`."""
    own = _taps.get(process)
    if own is None:
        own = _taps[process] = _Tap(process)
        own.install()
    own.listeners = (*own.listeners, listener)


def untap(process: Process, listener: Listener) -> None:
    """Undo `tap`; also when the process is dead; again: nothing."""
    own = _taps.get(process)
    if own is None:
        return
    own.listeners = tuple(one for one in own.listeners if one is not listener)
    if not own.listeners:
        del _taps[process]
        own.uninstall()


# ----------------------------------------------------------------------------------------------------- internals


class _Tap:
    """What stands in for a process's `push`. Below a counting one, when there is such: that sees to itself."""

    __slots__ = ("below", "listeners", "process", "push")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.listeners: tuple[Listener, ...] = ()
        self.below: Callable[[Process], None] = process.push
        self.push = self._push  # one object, to be known by

    def install(self) -> None:
        p = self.process
        if p.extra is not None and p.extra.push is not None:
            self.below, p.extra.push = p.extra.push, self.push
        else:
            p.push = self.push
        if p.q is not None and p.q is not DEADQ:
            p.q = _TappedMailbox(p.q, self)

    def uninstall(self) -> None:
        p = self.process
        if p.push is self.push:
            p.push = self.below
        elif p.extra is not None and p.extra.push is self.push:
            p.extra.push = self.below

    def tell(self, message: Any) -> None:
        sender = getattr(getcurrent(), "proc", None)
        for listener in self.listeners:
            call([listener], sender, message)

    def _push(self, entry: Any) -> None:
        p = self.process
        if entry is p and self.listeners:  # else it is its place in the queue, when it gives way
            q = p.q
            if q.__class__ is list or (q.__class__ is CountingMailbox and len(q) == 1):
                p.q = _TappedMailbox(q, self)
                for message in q:
                    self.tell(message)
        self.below(entry)


class _TappedMailbox(CountingMailbox):
    """A mailbox that tells of each message, and counts senders while the alarm is up."""

    __slots__ = ("tap",)

    def __init__(self, messages: Iterable[Any], own: _Tap) -> None:
        super().__init__(messages, {})
        self.tap = own

    def append(self, message: Any) -> None:
        extra = self.tap.process.extra
        if extra is not None and extra.senders is not None:
            count(extra.senders)
        self.tap.tell(message)
        super(CountingMailbox, self).append(message)


_taps: dict[Process, _Tap] = {}
