"""Mailbox length: the primary health figure, watched at no cost per message.

A mailbox is looked at when its process takes a batch out of it, and, for processes that block and take nothing, by
`sweep`, which only visits processes that hold a stack. What is kept back from a suspended process counts as its mailbox. Past the high watermark the alarm is raised once and the mailbox
is replaced by one that counts who sends (so the top senders are known exactly while it matters and nobody pays
otherwise); at the low watermark it is cleared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from greenlet import getcurrent

from . import hooks, scheduler
from .scheduler import DEADQ, Extra, Process

__all__ = ["default_watermarks", "kept", "set_default_watermarks", "set_watermarks", "sweep", "top_senders"]

_default = (10_000, 1_000)
_lowest_high = 10_000


class CountingMailbox(deque[Any]):
    """A mailbox that remembers how many messages came from whom."""

    __slots__ = ("senders",)

    def __init__(self, messages: Iterable[Any], senders: dict[Any, int]) -> None:
        super().__init__(messages)
        self.senders = senders

    def append(self, message: Any) -> None:
        count(self.senders)
        deque.append(self, message)


def set_default_watermarks(high: int, low: int) -> None:
    """Set the watermarks (messages) of every process that has none of its own."""
    global _default
    _default = check_watermarks(high, low)
    _lower(high, reset=True)


def default_watermarks() -> tuple[int, int]:
    """Return the watermarks (messages) of every process that has none of its own: (high, low)."""
    return _default


def set_watermarks(pid: Process, high: int, low: int) -> None:
    """Set the watermarks (messages) of one process."""
    marks = check_watermarks(high, low)
    if pid.extra is None:
        pid.extra = Extra()
    pid.extra.watermarks = marks
    _lower(high)


def top_senders(pid: Process, n: int = 3) -> list[tuple[Any, int]]:
    """Return who sent most to `pid` since its mailbox alarm was raised: [(pid or "outside", messages)], at most `n`."""
    counts = pid.extra.senders if pid.extra is not None else None
    if not counts:
        return []
    return sorted(counts.items(), key=lambda item: -item[1])[:n]


def sweep() -> None:
    """Check the mailboxes of the processes that hold a stack. Call it every second or so; O(such processes)."""
    for worker in list(scheduler.workers):
        p = worker.proc
        if p is not None and p.q:
            before = p.q
            after = check(p, before)
            if p.q is before:  # else whoever heard the alarm ended it
                p.q = after


def check(p: Process, q: Any) -> Any:
    """Raise or clear the alarm of `p`, whose waiting messages are `q`; return the mailbox to go on with."""
    extra = _judge(p, p.mailbox_length if q is p.q else len(q) + sum(map(len, scheduler.held(p))))
    if extra is not None and p.q is not DEADQ and not isinstance(q, CountingMailbox):
        p_senders = extra.senders
        assert p_senders is not None
        return CountingMailbox(q, p_senders)
    return q


def kept(p: Process, count: int) -> None:
    """Hear that messages are kept back from `p`, `count` of them by now: they are its mailbox, and may raise the alarm.

    To be called by whoever keeps them, from p's own turn, for each one. One comparison as long as they are few.
    """
    if count >= scheduler.mailbox_alarm_at or p.extra is not None:
        _judge(p, p.mailbox_length)


def _judge(p: Process, length: int) -> Extra | None:
    """Raise or clear the alarm of `p`; return its record while the alarm is up."""
    extra = p.extra
    high, low = (extra.watermarks if extra is not None else None) or _default
    if extra is None or not extra.alarmed:
        if length < high:
            return None
        if extra is None:
            extra = p.extra = Extra()
        extra.alarmed = True
        extra.senders = {}
        extra.push, p.push = p.push, _counting_push
        hooks.call(hooks.on_mailbox, p, True)
    elif length <= low:
        extra.alarmed = False
        extra.senders = None
        p.push, extra.push = extra.push, None
        hooks.call(hooks.on_mailbox, p, False)
        return None
    return extra


def _counting_push(p: Process) -> None:
    """Stands in for `p.push` while the alarm is up: the first message to an empty mailbox is counted here."""
    extra = p.extra
    assert extra is not None
    if extra.senders is not None and p.q.__class__ is list:
        count(extra.senders)
        p.q = CountingMailbox(p.q, extra.senders)  # and the rest of a burst by itself
    extra.push(p)


def count(senders: dict[Any, int]) -> None:
    """Count the caller, in the table of a process whose alarm is up."""
    sender = getattr(getcurrent(), "proc", None)
    key = sender if sender is not None else "outside"
    if key in senders or len(senders) < 1000:
        senders[key] = senders.get(key, 0) + 1


def check_watermarks(high: int, low: int) -> tuple[int, int]:
    """Return the marks, or raise ValueError."""
    if not 0 <= low < high:
        raise ValueError(f"mailbox watermarks need 0 <= low < high, not high={high}, low={low}")
    return (high, low)


def _lower(high: int, reset: bool = False) -> None:
    scheduler.mailbox_alarm_at = high if reset else min(scheduler.mailbox_alarm_at, high)


scheduler.mailbox_check = check
