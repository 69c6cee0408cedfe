"""How fast things may happen: token buckets, and a bounded table of them for addresses."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

__all__ = ["AddressRates", "Rate", "TokenBucket", "address_key"]

_MAX_ADDRESSES = 16_384


class Rate:
    """`per_second` on average, `burst` at once. `Rate.of(100)` allows a burst of one second's worth."""

    __slots__ = ("burst", "per_second")

    def __init__(self, per_second: float, burst: float) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError(f"a rate needs per_second > 0 and burst >= 1, not {per_second!r}, {burst!r}")
        self.per_second = per_second
        self.burst = burst

    @classmethod
    def of(cls, value: float | Rate) -> Rate:
        """Return `value` as a Rate; a plain number is events per second."""
        return value if isinstance(value, Rate) else cls(value, max(1.0, value))

    def __repr__(self) -> str:
        return f"Rate({self.per_second:g}/s, burst {self.burst:g})"


class TokenBucket:
    """Tokens that come back with time. Sans-IO: the caller brings the clock."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now

    def take(self, now: float) -> float:
        """Take one token: return 0.0. If there is none, take nothing and return the seconds until there is one."""
        tokens = self._filled(now)
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0.0
        return (1.0 - tokens) / self._rate.per_second

    def spend(self, now: float) -> float:
        """Take one token, in advance if there is none, and return the seconds until the next may be taken."""
        self._tokens = tokens = self._filled(now) - 1.0
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate.per_second

    def _filled(self, now: float) -> float:
        rate = self._rate
        self._tokens = tokens = min(rate.burst, self._tokens + (now - self._at) * rate.per_second)
        self._at = now
        return tokens


class AddressRates:
    """One bucket per address, for the addresses seen last; a full table forgets the one unseen for longest."""

    __slots__ = ("_buckets", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Take one token of `key`'s; as TokenBucket.take."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, now)
            if len(self._buckets) > _MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)


def address_key(host: str) -> str:
    """Return what limits per address count by: the IPv4 address, or the /64 network of an IPv6 one.

    Whoever has one IPv6 address has 2**64 of them.
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
