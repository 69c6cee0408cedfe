"""Taking messages out of one's own mailbox, in order or by choice.

`p.q` is what arrived since the last look, `p.cur` what was taken out of it and not used yet. A selective receive leaves
the skipped messages in `p.cur`, in order, and looks only at new mail after each wait. A *receive mark* says "nothing
that was here before this moment can match": the search starts behind it (OTP's receive optimisation for a fresh ref).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent

from . import clock, scheduler
from .scheduler import DEADQ, RECV, TIMEOUT, Killed, NotAProcess, Process, Worker, defy, suspend, yield_

__all__ = ["Mark", "receive", "receive_every", "receive_mark", "receive_match"]


class Mark:
    """A place in the caller's mailbox. Use once, soon; a mark that no longer holds costs a full search, no more."""

    __slots__ = ("box", "last", "length")

    def __init__(self, box: deque[Any]) -> None:
        self.box = box
        self.length = len(box)
        self.last = box[-1] if box else None

    def start(self, box: deque[Any]) -> int:
        """Return how many messages at the head of `box` need no look."""
        n = self.length
        return n if box is self.box and len(box) >= n and (n == 0 or box[n - 1] is self.last) else 0


def receive(timeout: float | None = None) -> Any:
    """Return the oldest message; block until there is one. After `timeout` seconds (0: at once) return TIMEOUT."""
    me = getcurrent()
    p = _caller(me)
    me.receives -= 1
    if me.receives < 0:
        yield_()
    box = p.cur
    if box:
        return box.popleft()
    timer = None
    try:
        while True:
            q = p.q
            if q is not None:
                if q is DEADQ:
                    defy(me, p)
                p.q = None
                if len(q) == 1:
                    return q[0]
                box = _take(p, q)
                return box.popleft()
            if timeout is not None:
                if timer is None:
                    if timeout <= 0:
                        return TIMEOUT
                    timer = clock.after(timeout, _time_over, p)
                elif timer.fired:
                    return TIMEOUT
            p.wait = RECV
            suspend(p, me)
    finally:
        if timer is not None:
            timer.cancel()


def receive_match(
    match: Callable[[Any], bool], timeout: float | None = None, mark: Mark | None = None
) -> Any:
    """Return the oldest message for which `match(message)` is true, leaving all others in their order.

    Blocks; after `timeout` seconds returns TIMEOUT. `mark` (from `receive_mark`) skips all mail older than it.
    """
    me = getcurrent()
    p = _caller(me)
    box = p.cur
    if box is None:
        box = p.cur = deque()
    seen = mark.start(box) if mark is not None else 0
    timer = None
    try:
        while True:
            if p.q is not None:
                if p.q is DEADQ:
                    defy(me, p)
                new, p.q = p.q, None
                box.extend(new)
                _watch(p, box)
            found, message = _search(box, seen, match)
            if found:
                return message
            seen = len(box)
            if timeout is not None:
                if timer is None:
                    if timeout <= 0:
                        return TIMEOUT
                    timer = clock.after(timeout, _time_over, p)
                elif timer.fired:
                    return TIMEOUT
            p.wait = RECV
            suspend(p, me)
            box = p.cur if p.cur is not None else box  # dead meanwhile: the next look at p.q tells
    finally:
        if timer is not None:
            timer.cancel()


def receive_every(match: Callable[[Any], bool], mark: Mark | None = None) -> list[Any]:
    """Take all messages that are there and for which `match(message)` is true, oldest first; with `mark`, newer than it.

    One pass over those it looks at, however many it takes. Never blocks.
    """
    me = getcurrent()
    p = _caller(me)
    q = p.q
    if q is not None:
        if q is DEADQ:
            defy(me, p)
        p.q = None
        _take(p, q)
    box = p.cur
    if not box:
        return []
    new = [box.pop() for _ in range(len(box) - (mark.start(box) if mark is not None else 0))]
    new.reverse()
    kept = new  # also if `match` raises
    try:
        wanted = [match(message) for message in new]
        kept = [message for message, yes in zip(new, wanted, strict=True) if not yes]
    finally:
        box.extend(kept)
    return [message for message, yes in zip(new, wanted, strict=True) if yes]


def receive_mark() -> Mark:
    """Mark the caller's mailbox: messages that are in it now need no look in a later `receive_match(mark=…)`."""
    p = _caller(getcurrent())
    if p.q:
        new, p.q = p.q, None
        _take(p, new)
    if p.cur is None:
        p.cur = deque()
    return Mark(p.cur)


# ----------------------------------------------------------------------------------------------------- internals


def _caller(me: Any) -> Process:
    p = getattr(me, "proc", None)
    if p is None:
        raise NotAProcess
    assert isinstance(me, Worker)
    return p  # type: ignore[no-any-return]


def _take(p: Process, q: Any) -> deque[Any]:
    """Move what arrived behind what was kept."""
    box = p.cur
    if box:
        box.extend(q)
    else:
        box = p.cur = q if q.__class__ is deque else deque(q)
    _watch(p, box)
    return box


def _watch(p: Process, box: deque[Any]) -> None:
    if len(box) >= scheduler.mailbox_alarm_at or p.extra is not None:
        scheduler.mailbox_check(p, box)
        if p.q is DEADQ:  # whoever heard the alarm ended it
            raise Killed(p.reason)


def _search(box: deque[Any], seen: int, match: Callable[[Any], bool]) -> tuple[bool, Any]:
    """Find the first match at or behind `seen` and take it out. Rotating keeps each step O(1)."""
    n = len(box)
    if seen >= n:
        return False, None
    box.rotate(-seen)
    found, message = False, None
    at = seen
    try:
        while at < n:
            if match(box[0]):
                message = box.popleft()
                found = True
                break
            box.rotate(-1)
            at += 1
    finally:
        box.rotate(at)  # also when `match` raises: the order stands
    return found, message


def _time_over(p: Process) -> None:
    if p.wait is RECV:
        scheduler.resume(p)
