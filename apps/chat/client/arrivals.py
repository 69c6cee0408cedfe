"""What the server numbered for us: handed to the application once, in order, and acknowledged when it is stored.

Theory of operation. Messages and receipts carry the gap-free numbers of our queue at the server. Three marks run along them:

    _acked <= _done < _expected
       |        |        `- the next number to hand over; higher ones are held until it comes
       |        `- all up to here was taken by the application: may be acknowledged
       `- all up to here was acknowledged

A message reaches the application once: `_known` holds the ids of messages handed over, lately. Numbers alone would not do: a
server restored from a backup may use a number again. Nothing is acknowledged before the application said `taken`;
acknowledgements are cumulative and never pass a gap.

Invariants (`check`): the marks as drawn; held numbers are above the expected one; `_handed` are the numbers that the
application has and has not taken, in order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from apps.chat.client.events import Event, Repeated
from apps.chat.native.frames import Deliver, Receipt

__all__ = ["KNOWN", "Arrivals"]

# types

KNOWN: Final = 4096
"Message ids remembered: far more than a server may have in flight for one device."
GAP_PATIENCE: Final = 2.0
"Seconds for which a missing number is waited for."


class Arrivals:
    """One account's arrivals, over successive connections. `received`: the highest number ever handed over."""

    _expected: int
    _done: int
    _acked: int
    _gap_since: float

    def __init__(self, known: Iterable[int], received: int) -> None:
        self.received = received
        self._known: OrderedDict[int, None] = OrderedDict.fromkeys(known)
        self.reset()

    # API

    def reset(self) -> None:
        """The connection is gone: what was not taken comes again on the next one."""
        self._held: dict[int, Deliver | Receipt] = {}
        self._handed: deque[int] = deque()
        self._settled: set[int] = set()
        self._expected = 0
        self._done = self._acked = 0
        self._gap_since = 0.0

    def begin(self, acked: int, *, resumed: bool) -> None:
        """The session is ready; `acked` is what the server has as acknowledged."""
        if not resumed:
            self.received = acked
        # After a resume the server goes on after what we said we hold; otherwise after what we acknowledged.
        self._expected = max(self.received, acked) + 1
        self._done, self._acked = self._expected - 1, acked
        self.received = self._expected - 1

    def take(self, frame: Deliver | Receipt, now: float, events: list[Event]) -> None:
        """Take what came; append to `events` what the application is to have now."""
        if frame.seq > self._expected:
            # TLS keeps order, so a gap is the server's fault or a wire's under test. Wait a moment
            # for what is missing; then go on, for a lost number must not lock a user out.
            if not self._held:
                self._gap_since = now
            self._held[frame.seq] = frame
            return
        if frame.seq == self._expected:
            self._hand(frame, events)
            self._drain(now, events)
            return
        if isinstance(frame, Deliver) and frame.message not in self._known:
            # Late, after we gave up on the gap: better out of order than never.
            self._know(frame.message)
            events.append(frame)
            return
        if self._done:
            self._acked = min(self._acked, self._done - 1)  # our acknowledgement was lost: say it again
        events.append(Repeated(frame.seq))

    def give_up(self, now: float, events: list[Event]) -> None:
        """Go on after a gap, if it has been waited for long enough."""
        if self._held and now >= self._gap_since + GAP_PATIENCE:
            self._expected = min(self._held)
            self._done = self._expected - 1
            self._drain(now, events)

    def deadline(self) -> float | None:
        """When `give_up` has something to do; None: not as things are."""
        return self._gap_since + GAP_PATIENCE if self._held else None

    def taken(self, seq: int) -> None:
        """The application has stored and shown everything it was given up to `seq`."""
        while self._handed and self._handed[0] <= seq:
            self._settled.add(self._handed.popleft())
        self._advance()

    def acknowledge(self) -> int | None:
        """Return the number to be acknowledged now, each once; None: nothing new."""
        if self._done <= self._acked:
            return None
        self._acked = self._done
        return self._acked

    def check(self) -> None:
        """Assert the invariants (for tests)."""
        assert all(seq > self._expected for seq in self._held)
        assert self._acked <= self._done < max(1, self._expected)
        assert len(self._known) <= KNOWN

    # internals

    def _drain(self, now: float, events: list[Event]) -> None:
        while self._expected in self._held:
            self._hand(self._held.pop(self._expected), events)
        if self._held:
            for seq in [seq for seq in self._held if seq < self._expected]:
                del self._held[seq]
            self._gap_since = now

    def _hand(self, frame: Deliver | Receipt, events: list[Event]) -> None:
        self._expected = frame.seq + 1
        self.received = max(self.received, frame.seq)
        if isinstance(frame, Deliver):
            if frame.message in self._known:
                self._settle_repeated(frame.seq)
                events.append(Repeated(frame.seq))
                return
            self._know(frame.message)
        self._handed.append(frame.seq)
        events.append(frame)

    def _settle_repeated(self, seq: int) -> None:
        # Shown before (in another life, or on the last connection). If the application still holds
        # it from there, its number is waiting in _handed and this one follows it.
        self._settled.add(seq)
        self._advance()

    def _know(self, message: int) -> None:
        self._known[message] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _advance(self) -> None:
        while self._done + 1 in self._settled:
            self._done += 1
            self._settled.discard(self._done)
