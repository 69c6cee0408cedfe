"""What a session has sent on for its peer and not yet been answered.

Sends of one batch go to their recipients' user processes as one message each, in order. Each is kept until it is answered:
a user process that has died is asked again, for all of it in order (`Submit.prev` and `Again`, or `tick`). The user process
knows repeated ones, so asking again is always safe. Read marks that the peer wants confirmed are kept likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from apps.chat.domain import messages as m
from apps.chat.domain.counters import counters
from apps.chat.domain.ids import now_ms
from apps.chat.native import frames as f

if TYPE_CHECKING:
    from apps.chat.domain.homes import Homes

__all__ = ["Outbox"]

ASK_AGAIN: Final = 5.0  # seconds without an answer
READS_MAX: Final = 256  # unconfirmed read marks; beyond, the oldest is left to the client


class _Unanswered:
    """Sends to one recipient, in order."""

    __slots__ = ("round", "sends", "since")

    def __init__(self, now: float) -> None:
        self.sends: dict[bytes, f.Send] = {}
        self.round = 0
        self.since = now


class Outbox:
    """Sends and read marks of `user`; answers come to the process `me`."""

    def __init__(self, homes: Homes, me: Any, user: str) -> None:
        self._homes = homes
        self._me = me
        self._user = user
        self._gathered: dict[str, list[f.Send]] = {}
        self._unanswered: dict[str, _Unanswered] = {}
        self._reads: dict[int, tuple[f.Read, m.Receipts, float]] = {}
        self._ref = 0
        self.waiting = 0
        "sends without an answer"

    def add(self, frame: f.Send) -> None:
        """Take a send; it goes out with `submit`."""
        sends = self._gathered.get(frame.to)
        if sends is None:
            self._gathered[frame.to] = [frame]
        else:
            sends.append(frame)

    def submit(self, now: float) -> None:
        """Hand what has gathered to the recipients' user processes. May block while one starts."""
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, {}
        for to, sends in gathered.items():
            unanswered = self._unanswered.get(to)
            if unanswered is None:
                unanswered = self._unanswered[to] = _Unanswered(now)
                prev = None
            else:
                prev = next(reversed(unanswered.sends))
            kept = unanswered.sends
            before = len(kept)
            for send in sends:
                kept[send.id] = send
            self.waiting += len(kept) - before
            self._homes.send(to, m.Submit(self._user, self._me, sends, prev, unanswered.round))

    def read(self, frame: f.Read, now: float) -> None:
        """Tell the author."""
        self._ref += 1
        receipts = m.Receipts(self._user, "read", frame.messages, now_ms(), self._me, self._ref)
        if frame.ref:
            if len(self._reads) >= READS_MAX:
                del self._reads[next(iter(self._reads))]
            self._reads[self._ref] = (frame, receipts, now)
        self._homes.send(frame.to, receipts)

    def accepted(self, message: m.Accepted, out: list[Any], now: float) -> None:
        """The user process has these durable."""
        out.extend([f.Accepted(*item) for item in message.items])
        self._answered(message.user, [item[0] for item in message.items], now)

    def refused(self, message: m.RefusedSends, out: list[Any], now: float) -> None:
        """The user process, or whoever speaks for it, does not take these."""
        unanswered = self._unanswered.get(message.user)
        if unanswered is not None and message.round != unanswered.round:
            return  # they have been asked for again since, and may be taken yet
        counters.refused[message.code] += len(message.ids)
        retry, text = message.retry_after is not None, f.CODES.get(message.code, "")
        out.extend([f.Refused(id, message.code, text, retry, message.retry_after) for id in message.ids])
        self._answered(message.user, message.ids, now)

    def taken(self, ref: int) -> int:
        """A read mark is durable; return the client's ref, 0 if it wants no answer."""
        read = self._reads.pop(ref, None)
        return read[0].ref if read is not None else 0

    def again(self, user: str, now: float) -> None:
        """The user process is new: give it all, in order."""
        unanswered = self._unanswered.get(user)
        if unanswered is not None:
            unanswered.since = now
            unanswered.round += 1
            sends = list(unanswered.sends.values())
            self._homes.send(user, m.Submit(self._user, self._me, sends, None, unanswered.round))

    def tick(self, now: float) -> None:
        """Ask again for what has waited too long."""
        for user, unanswered in list(self._unanswered.items()):
            if now - unanswered.since >= ASK_AGAIN:
                self.again(user, now)
        for ref, (frame, receipts, since) in list(self._reads.items()):
            if now - since >= ASK_AGAIN:
                self._reads[ref] = (frame, receipts, now)
                self._homes.send(frame.to, receipts)

    @property
    def is_waiting(self) -> bool:
        return bool(self._unanswered or self._reads)

    def _answered(self, user: str, ids: list[bytes], now: float) -> None:
        unanswered = self._unanswered.get(user)
        if unanswered is None:
            return
        sends = unanswered.sends
        before = len(sends)
        for id in ids:
            sends.pop(id, None)
        self.waiting -= before - len(sends)
        unanswered.since = now
        if not sends:
            del self._unanswered[user]
