"""Limits of a connection. One frozen object is shared by all connections of a listener."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.net.protocol import Protocol

__all__ = ["Options", "keep_alive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations are seconds, sizes bytes. 0 or None switches a time limit off.

    - `handshake_timeout`: from accept (or connect) until TLS stands, PROXY header included.
    - `idle_timeout`: nothing received. (What we send does not count: a dead peer's kernel takes it for a while.)
    - `frame_timeout`: a frame was begun and is not finished.
    - `keepalive`: after so long a silence the peer's kernel is asked whether it is there; one that answers nothing, to
      that or to data, for twice as long is gone (`reset`). Costs a packet each way and no work of ours.
    - `linger`: for the last bytes and the peer's goodbye at close.
    - `read_high`, `read_low`: reading stops when the process has more than this unhandled, and goes on below that.
    - `write_high`, `write_low`: `Protocol.writable` is told. `write_limit`: beyond it the connection is closed.
    - `write_timeout`: the peer took nothing for so long; with `write_policy="close"` also: the queue stayed above
      `write_high` for so long. Closed as `slow_reader`.
    """

    protocol: str | type[Protocol]
    args: dict[str, Any] = field(default_factory=dict)
    handshake_timeout: float = 10.0
    idle_timeout: float | None = 300.0
    frame_timeout: float | None = 30.0
    keepalive: float | None = 60.0
    linger: float = 5.0
    read_high: int = 128 * 1024
    read_low: int = 32 * 1024
    write_high: int = 256 * 1024
    write_low: int = 64 * 1024
    write_limit: int = 4 * 1024 * 1024
    write_timeout: float = 30.0
    write_policy: Literal["close", "tell"] = "close"

    def __post_init__(self) -> None:
        if not 0 <= self.read_low <= self.read_high:
            raise ValueError(f"read_low {self.read_low} must not be above read_high {self.read_high}")
        if not 0 <= self.write_low <= self.write_high <= self.write_limit:
            raise ValueError(
                f"write_low {self.write_low}, write_high {self.write_high}, write_limit {self.write_limit}: must rise"
            )
        if self.write_policy not in ("close", "tell"):
            raise ValueError(f"write_policy is 'close' or 'tell', not {self.write_policy!r}")
        if self.handshake_timeout <= 0 or self.linger < 0 or self.write_timeout <= 0:
            raise ValueError("handshake_timeout and write_timeout must be above 0, linger not below")


def keep_alive(sock: socket.socket, seconds: float | None) -> None:
    """Let the kernel look after silent and vanished peers (Options.keepalive). Accepted sockets inherit it."""
    if sock.family == socket.AF_UNIX:
        return  # on one machine the kernel always knows
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(seconds))
    whole = max(1, round(seconds or 0))
    for name, value in (
        ("TCP_KEEPIDLE", whole),
        ("TCP_KEEPINTVL", max(1, whole // 4)),
        ("TCP_KEEPCNT", 4),
        # Probes are not sent while data is on its way: this ends what would be sent again for a quarter of an hour.
        ("TCP_USER_TIMEOUT", 2000 * whole if seconds else 0),
    ):
        option = getattr(socket, name, None)  # not every system has each
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
