"""What a listener is told, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.net.alarms import NetAlarm
from runtime.net.limits import Rate
from runtime.net.options import Options
from runtime.net.tls import TLSConfig

__all__ = ["ListenerConfig", "ListenerInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig(Options):
    """A listener and the limits of its connections (see Options). `name` is unique in the node.

    - `host`: an address or name of this machine, or "unix:/path": a Unix socket, made with mode 0600 (`Connection.credentials`
      tells who is there; limits per address then hold for all its clients together).
    - `accept_rate`: connections per second (a number, or Rate with a burst); `address_rate`: the same per address.
    - `max_connections`, `per_address`: at the same time. IPv6 addresses count by their /64.
    - `proxy_protocol`: every connection begins with a PROXY v2 header; `proxy_trusted`: networks that may send one,
      all others are refused.
    - `drain_timeout`: seconds for the connections at an orderly stop; the supervisor's `shutdown` must be longer.
    - `on_alarm`: called at the first crossing of a limit, and when it is over for `alarm_cooldown` seconds.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    tls: TLSConfig | None = None
    backlog: int = 1024
    max_connections: int | None = None
    per_address: int | None = None
    accept_rate: float | Rate | None = None
    address_rate: float | Rate | None = None
    proxy_protocol: bool = False
    proxy_trusted: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    drain_timeout: float = 4.0
    alarm_cooldown: float = 60.0
    on_alarm: Callable[[NetAlarm], None] | None = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        for key in ("max_connections", "per_address"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key} must be at least 1 or None, not {value!r}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0 to 65535, not {self.port!r}")
        if self.host.startswith("unix:") and (self.port or self.proxy_protocol):
            raise ValueError(f"{self.host} has no port, and no PROXY header comes there")


@dataclass(frozen=True, slots=True)
class ListenerInfo:
    """A look at a listener. Counts are since its connections' owner started; they survive a crash of the listener."""

    name: str
    host: str
    port: int
    protocol: str
    is_tls: bool
    is_accepting: bool
    connections: int
    addresses: int
    accepted: int
    refused: int
    failed: int
    alarms: tuple[str, ...]
