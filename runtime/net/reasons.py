"""Why a connection ended: what `Protocol.closed` is told, and what its process then exits with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from runtime.kernel import NORMAL, Shutdown

__all__ = [
    "BAD_FRAME", "HANDSHAKE_TIMEOUT", "IDLE", "PEER_CLOSED", "RESET", "SLOW_FRAME", "SLOW_READER",
    "Failure", "exit_reason",
]  # fmt: skip

PEER_CLOSED: Final = "peer_closed"
"""The peer ended its side, and all it had sent was handed over."""
RESET: Final = "reset"
"""The connection broke: reset, or the network gave up."""
IDLE: Final = "idle"
SLOW_READER: Final = "slow_reader"
"""The peer does not take what we send (write_timeout, write_limit)."""
SLOW_FRAME: Final = "slow_frame"
"""A frame was begun and not finished within frame_timeout."""
BAD_FRAME: Final = "bad_frame"
HANDSHAKE_TIMEOUT: Final = "handshake_timeout"

_OURS = frozenset((RESET, IDLE, SLOW_READER, SLOW_FRAME, BAD_FRAME, HANDSHAKE_TIMEOUT))


@dataclass(frozen=True, slots=True)
class Failure:
    """The connection never came up. `kind`: "tls", "alpn", "proxy" or "connect"; `detail`: what was wrong."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


def exit_reason(reason: Any) -> Any:
    """Return the exit reason of the process for a connection's reason.

    The network's faults are no crash: `Shutdown(reason)`. A peer that closes is `normal`.
    """
    if reason == PEER_CLOSED:
        return NORMAL
    if isinstance(reason, Failure) or reason in _OURS:
        return Shutdown(reason)
    return reason
