"""Waiting between attempts: exponential, with jitter, obedient to the server's wish."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Delays between attempts, in seconds: 1, 2, 4 … up to `cap`, each shortened at random by up to half.

    The jitter is what keeps ten thousand clients of a restarted node from coming back in
    the same second. A server's `retry_after` is a floor, and gets its jitter on top, for
    the same reason.
    """

    def __init__(self, first: float = 1.0, cap: float = 60.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._cap = cap
        self._rng = rng or random.Random()
        self.attempts = 0

    def next(self, retry_after: float | None = None) -> float:
        """Return how long to wait before the next attempt, in seconds."""
        ceiling: float = min(self._cap, self._first * 2 ** min(self.attempts, 30))
        self.attempts += 1
        delay = ceiling * (0.5 + 0.5 * self._rng.random())
        if retry_after is not None and retry_after > 0:
            return retry_after + self._rng.random() * min(retry_after, ceiling)
        return delay

    def reset(self) -> None:
        """Start over: call when the server took us (not merely when TCP connected)."""
        self.attempts = 0
