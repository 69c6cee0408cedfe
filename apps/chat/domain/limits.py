"""Limits that fill and drain with time: buckets, allowances per key, growing delays. Plain values on a given clock.

Every table here is bounded: when it is full, what has recovered is dropped first, then the oldest. Times are monotonic
seconds (`runtime.kernel.clock.now`), given by the caller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable

__all__ = ["Allowance", "GrowingDelay", "OncePerMinute", "TokenBucket", "network_of"]


class TokenBucket:
    """A mean rate with bursts. Taking more than there is goes into debt, and says for how long."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; return the seconds until the bucket is out of debt again, 0.0 when it is not in debt."""
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - amount
        self._at = now
        self._tokens = tokens
        return 0.0 if tokens >= 0 else -tokens / self._rate


class Allowance:
    """So many per window and key (`limit` at once, then one each `window / limit` seconds)."""

    def __init__(self, limit: int, window: float, keys_max: int = 100_000) -> None:
        self._limit = limit
        self._window = window
        self._keys_max = keys_max
        self._full_at: dict[Hashable, float] = {}  # key -> when its allowance is whole again

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `key` may take one; 0.0 now."""
        step = self._window / self._limit
        return max(0.0, self._full_at.get(key, now) - now - (self._window - step))

    def take(self, key: Hashable, now: float) -> None:
        """Take one."""
        full_at = max(self._full_at.pop(key, now), now) + self._window / self._limit
        if len(self._full_at) >= self._keys_max:
            self._full_at = {k: t for k, t in self._full_at.items() if t > now}
            while len(self._full_at) >= self._keys_max:
                del self._full_at[next(iter(self._full_at))]
        self._full_at[key] = full_at

    def __len__(self) -> int:
        return len(self._full_at)


class GrowingDelay:
    """After `free` failures in a row each further one doubles a delay, from `first` to `longest` seconds."""

    def __init__(self, free: int, first: float, longest: float, keys_max: int = 100_000) -> None:
        self._free = free
        self._first = first
        self._longest = longest
        self._keys_max = keys_max
        self._failures: dict[Hashable, tuple[int, float]] = {}  # key -> (failures, free again at)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until `key` may try again; 0.0 now."""
        entry = self._failures.get(key)
        return max(0.0, entry[1] - now) if entry is not None else 0.0

    def failed(self, key: Hashable, now: float) -> float:
        """Count a failure; return the seconds until the next try."""
        count, until = self._failures.pop(key, (0, now))
        if now - until > self._longest * 10:
            count = 0  # long ago
        count += 1
        over = count - self._free
        delay = 0.0 if over < 0 else min(self._longest, self._first * 2.0 ** min(over, 60))
        if len(self._failures) >= self._keys_max:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (count, now + delay)
        return delay

    def succeeded(self, key: Hashable) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)


class OncePerMinute:
    """Says whether something about a key has not been said within the last minute."""

    def __init__(self, every: float = 60.0, keys_max: int = 10_000) -> None:
        self._every = every
        self._keys_max = keys_max
        self._said: dict[Hashable, float] = {}

    def first(self, key: Hashable, now: float) -> bool:
        """True once per key and minute."""
        if now - self._said.get(key, -1e9) < self._every:
            return False
        self._said.pop(key, None)
        if len(self._said) >= self._keys_max:
            del self._said[next(iter(self._said))]
        self._said[key] = now
        return True


def network_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64 (a customer has that many)."""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
