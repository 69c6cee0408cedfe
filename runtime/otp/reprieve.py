"""Reprieve: a supervisor that has used up its restarts waits with giving up while somebody mends what makes it fail.

Theory of operation: before a supervisor gives up, it asks (`Hold.take`). Where nobody listens at `on_give_up`, the answer
is no, and it gives up as OTP says. Live code listens: the child may fail because of a release that it is about to take
back. Whoever says yes says for how many seconds at most, and calls `end` when it is done. Until then the reprieve is
*pending*, and any supervisor of the node that would give up has a share in it: what fails now may fail because of what is
missing there. None of them waits in the sense of blocking: the children concerned are RESTARTING, nobody starts them, and
the end comes as a message (the Reprieve).

    asked ──▶ pending ──▶ mended      all start their children again, with a fresh budget of restarts
                 └──────▶ not, or the time is up      all give up

A supervisor has a share in one and the same reprieve once. One whose mailbox is full of what happened before the end may
still come a moment late (`_LATE`, and while anybody listens): the end is told to it at once.

Invariant: at most one reprieve is pending in a node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Final, NamedTuple
from weakref import WeakSet

from runtime.kernel import Pid, clock, send
from runtime.otp.child_spec import ChildSpec

__all__ = ["GiveUp", "Hold", "Reprieve", "end", "on_give_up", "pending"]

_log = logging.getLogger("evergreen.supervisor")
_LATE: Final = 0.5
"""Seconds after a good end in which a supervisor may still have its share."""

# ---------------------------------------------------------------- types


class GiveUp(NamedTuple):
    """What is asked about: a supervisor (its name, or its pid), the child that failed once too often, and why it did."""

    supervisor: Any
    spec: ChildSpec
    reason: Any


class Reprieve:
    """One wait of the node's supervisors; also the message that tells them of its end.

    Invariant: `is_mended` is None as long as it is pending, and then only.
    """

    __slots__ = ("_sharers", "_timer", "about", "is_mended", "until")

    __handed_over__: ClassVar[bool] = True

    def __init__(self, about: GiveUp, seconds: float) -> None:
        self.about: GiveUp | None = about
        """Who asked first; None when it is over."""
        self.is_mended: bool | None = None
        self.until = clock.now() + seconds
        """When it is over at the latest; after a good end: until when one may come late."""
        self._sharers: WeakSet[Pid] = WeakSet()
        self._timer = clock.after(seconds, self._end, False)

    def share(self, supervisor: Pid) -> bool:
        """Take a supervisor in; it will get this object as a message. False: it comes too late, or once more."""
        if supervisor in self._sharers:
            return False
        if self.is_mended is not None:
            if clock.now() > self.until or not on_give_up:
                return False
            send(supervisor, self)
        self._sharers.add(supervisor)
        return True

    def _end(self, is_mended: bool) -> None:
        if self.is_mended is None:
            self.is_mended, self.about = is_mended, None
            self._timer.cancel()
            self.until = clock.now() + (_LATE if is_mended else -1.0)
            for supervisor in list(self._sharers):
                send(supervisor, self)


on_give_up: list[Callable[[GiveUp], float]] = []
"""Asked in the supervisor's process, while no reprieve is pending: for how many seconds may it wait (0: not at all)? Who
says more sees to it that `end` is called. Must be short, must not block, must not raise.
"""

# ---------------------------------------------------------------- API


def pending() -> GiveUp | None:
    """Return what the pending reprieve is about, as it was asked first; None: none is pending."""
    return _last.about if _last is not None else None


def end(is_mended: bool) -> None:
    """End the pending reprieve, if there is one: its supervisors start their children again, or give up."""
    if _last is not None:
        _last._end(is_mended)


# ---------------------------------------------------------------- for the supervisors' engines


class Hold:
    """The children of one supervisor that wait for the end of a reprieve. `keys`: ids, or the pids that they had.

    Invariant: a child whose key is here is RESTARTING; `_reprieve` is set until its message has been handled.
    """

    __slots__ = ("_me", "_name", "_reprieve", "keys")

    def __init__(self, me: Pid, name: Any) -> None:
        self._me = me
        self._name = name
        self._reprieve: Reprieve | None = None
        self.keys: dict[Hashable, None] = {}

    def take(self, key: Hashable, spec: ChildSpec, reason: Any) -> bool:
        """The supervisor would give up over this child: let it wait. False: it must not."""
        if self._reprieve is None:
            self._reprieve = _share(self._me, GiveUp(self._name, spec, reason))
            if self._reprieve is None:
                return False
            _log.warning(
                "supervisor %r would give up over its child %r; it waits for what is being mended, for %.1f s at most",
                self._name, spec.id, max(0.0, self._reprieve.until - clock.now()),
            )  # fmt: skip
        # Else the end is still to come, or lies in the mailbox behind what is handled now: this failure, too, is one of
        # before it.
        self.keys[key] = None
        return True

    def drop(self, key: Hashable) -> None:
        """This child waits no more: somebody stopped it, or it is restarted along with a sibling."""
        self.keys.pop(key, None)

    def over(self) -> tuple[Hashable, ...]:
        """The message of the end has come: return the keys of those that waited, and wait no more."""
        keys, self.keys, self._reprieve = tuple(self.keys), {}, None
        return keys


# ---------------------------------------------------------------- internals

_last: Reprieve | None = None
"""The pending one, or the one before."""


def _share(supervisor: Pid, about: GiveUp) -> Reprieve | None:
    global _last
    if _last is None or not _last.share(supervisor):
        seconds = max((ask(about) for ask in on_give_up), default=0.0)
        if seconds <= 0:
            return None
        _last = Reprieve(about, seconds)
        _last.share(supervisor)
    return _last
