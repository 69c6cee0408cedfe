"""What the chat has done since the program began: plain integers, added to where it happens, read when somebody asks.

    counters.accepted += 3                       # in the process that did it
    counters.refused["queue_full"] += 1          # by reason

All processes of a node run in one thread and nothing here yields: so there is no lock, and an addition costs some 20 ns. The
object belongs to the module, not to the running chat: it outlives every process, a restart of the application, and live
code, which does not run `counters = …` again as long as that line stays what it is. Numbers that a later version adds start
from their class's default. A message costs its part of one addition for each commit, and some 100 ns when it is
acknowledged (its bucket): about 1 % of the quickest way there is, a long backlog, and far less of a single message's.

What they are called outside: `apps.chat.metrics`, docs/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["BUCKETS", "Counters", "counters"]

BUCKETS: Final = 31
"""Bounded buckets of the latency: number n holds what took less than 2**n milliseconds; the last one ends at 12 days."""


class Counters:
    """One per program. Everything only grows. Reasons are codes as they are told to the client."""

    pins = 0
    "PINs that were sent out"
    registered = 0
    "accounts that a device has claimed"
    accepted = 0
    "messages that are durable and were answered so; a repeated one is not counted again"
    delivered = 0
    "messages that a device has acknowledged"
    read = 0
    "messages that a reader has marked as read"
    set_aside = 0
    "messages that were taken and never acknowledged too often"
    waited_ms = 0
    "from accepted to delivered, of all `delivered` together"

    def __init__(self) -> None:
        self.pins_refused: Counter[str] = Counter()
        self.registrations_refused: Counter[str] = Counter()
        self.logins: Counter[str] = Counter()
        "`login` (by key) and `resume` (by token)"
        self.logins_refused: Counter[tuple[str, str]] = Counter()
        "(login or resume, reason)"
        self.refused: Counter[str] = Counter()
        "messages, by reason"
        self.waits = [0] * 64
        "`delivered` by the bits of the milliseconds that it took; a list, not a dictionary: half the time"

    def has_delivered(self, accepted: list[int], now: int) -> None:
        """A device has acknowledged messages that were accepted at these times. All in ms since 1970."""
        waits = self.waits
        total = 0
        for time in accepted:
            waited = now - time  # negative, when the wall clock was set back: then it counts by its amount
            waits[waited.bit_length()] += 1
            total += waited
        self.delivered += len(accepted)
        if total > 0:
            self.waited_ms += total


counters: Final = Counters()
