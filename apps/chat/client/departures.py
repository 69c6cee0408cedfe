"""What we promised to send: messages and read marks, kept until the server has answered for good.

Theory of operation. A message is in `outbox` until the server said Accepted or Refused (for good), a read mark until Done.
Both are sent again with the same id on the next connection, and after a while on the same one: the server's process that was
about to answer may have died while our connection lived. Answers that stay away are asked for ever more slowly
(`RESEND_AFTER`, doubled up to a minute); the first Accepted ends that.

At most `SEND_WINDOW` messages are under way. A refusal that may pass holds back all that goes to the same person: their order
is a promise. What is larger than the server takes is not even tried.

Invariants (`check`): every id in flight is in the outbox; every ref that was sent is that of a read mark.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from apps.chat.client.events import Event, ReadTold
from apps.chat.native.frames import Limits, Read, Refused, Send

__all__ = ["SEND_WINDOW", "Departures"]

# types

SEND_WINDOW: Final = 64
"Messages sent and not answered yet, at most; the rest waits here."
RESEND_AFTER: Final = 10.0
_SLOWEST: Final = 60.0


class Departures:
    """One account's departures, over successive connections. `next_ref` gives numbers that no other request has."""

    _resend_at: float
    _resend_after: float

    def __init__(self, outbox: Iterable[Send], reads: Iterable[Read], next_ref: Callable[[], int]) -> None:
        self.outbox: OrderedDict[bytes, Send] = OrderedDict((send.id, send) for send in outbox)
        self._next_ref = next_ref
        self._too_big: list[Send] = []
        self._reads: OrderedDict[int, Read] = OrderedDict()
        for read in reads:
            self.add_read(read)
        self.reset()

    # API

    def reset(self) -> None:
        """The connection is gone: nothing is under way."""
        self._in_flight: set[bytes] = set()
        self._paused: dict[str, float] = {}
        self._reads_sent: set[int] = set()
        self._resend_after = RESEND_AFTER
        self._resend_at = 0.0

    def add(self, message: Send) -> None:
        """Promise a message. The same id twice is once."""
        self.outbox.setdefault(message.id, message)

    def add_read(self, read: Read) -> None:
        """Promise a read mark."""
        ref = self._next_ref()
        self._reads[ref] = Read(read.to, read.messages, ref)

    def due_reads(self, now: float) -> list[Read]:
        """Return the read marks to be sent now; they count as sent."""
        due = [read for ref, read in self._reads.items() if ref not in self._reads_sent]
        if due:
            self._expect_answers(now)
            self._reads_sent.update(read.ref for read in due)
        return due

    def due_sends(self, now: float, limits: Limits | None) -> list[Send]:
        """Return the messages to be sent now; they count as sent."""
        for to in [to for to, at in self._paused.items() if at <= now]:
            del self._paused[to]
        due: list[Send] = []
        room = SEND_WINDOW - len(self._in_flight)
        if room <= 0 or len(self.outbox) == len(self._in_flight):
            return due
        self._expect_answers(now)
        for message in self.outbox.values():
            if message.id in self._in_flight or message.to in self._paused:
                continue
            if limits is not None and len(message.body) > limits.max_body:
                # Not even tried: a frame beyond the limit ends the connection, and would do so on every one.
                self._too_big.append(message)
                continue
            self._in_flight.add(message.id)
            due.append(message)
            room -= 1
            if room == 0:
                break
        for message in self._too_big:
            self.outbox.pop(message.id, None)
        return due

    def accepted(self, id_: bytes) -> bool:
        """The server has this message for good; tell whether that is news."""
        self._in_flight.discard(id_)
        self._resend_after = RESEND_AFTER
        return self.outbox.pop(id_, None) is not None

    def refused(self, frame: Refused, now: float) -> bool:
        """The server does not take this message, or not now; tell whether it is one of ours."""
        self._in_flight.discard(frame.id)
        message = self.outbox.get(frame.id)
        if message is None:
            return False
        if frame.retry:
            # Those after it to the same person wait as well: their order is a promise.
            pause = now + max(0.2, frame.retry_after or 1.0)
            self._paused[message.to] = max(pause, self._paused.get(message.to, 0.0))
        else:
            del self.outbox[frame.id]
        return True

    def told(self, ref: int, events: list[Event]) -> None:
        """The server has the read mark with this ref for good, if it is one's."""
        read = self._reads.pop(ref, None)
        self._reads_sent.discard(ref)
        if read is not None:
            events.append(ReadTold(Read(read.to, read.messages)))

    def lose_patience(self, now: float) -> bool:
        """Tell whether answers are overdue; if so, all that is unanswered counts as not sent."""
        if not (self._in_flight or self._reads_sent) or now < self._resend_at:
            return False
        self._resend_after = min(self._resend_after * 2, _SLOWEST)
        self._in_flight.clear()
        self._reads_sent.clear()
        return True

    def refuse_too_big(self, limits: Limits | None, events: list[Event]) -> None:
        """Say what was not tried: as the server would have refused it."""
        if self._too_big and limits is not None:
            text = f"this server takes messages of up to {limits.max_body} bytes"
            events += [Refused(message.id, "too_big", text) for message in self._too_big]
            self._too_big.clear()

    def deadlines(self, now: float) -> list[float]:
        """When there is something to do by itself."""
        if self._too_big:
            return [now]
        times = [at for at in self._paused.values() if at > now]
        if self._in_flight or self._reads_sent:
            times.append(self._resend_at)
        return times

    def check(self, *, is_ready: bool) -> None:
        """Assert the invariants (for tests)."""
        assert is_ready or not self._in_flight
        assert self._in_flight <= set(self.outbox)
        assert self._reads_sent <= set(self._reads)

    # internals

    def _expect_answers(self, now: float) -> None:
        if not self._in_flight and not self._reads_sent:
            self._resend_at = now + self._resend_after
