"""What the hub half of a connection tells the connection's process: small messages, most of them one object for all.

    READABLE    frames lie in the inbox; sent only when it was empty, so at most one is in the mailbox
    ENDED       the peer sends no more                     Bad         the input broke the framing
    CROWDED     more is queued than the peer should owe    ROOMY       no longer
    UP          the prelude is done                        GONE        the socket is closed; nothing follows

The listener and callers speak to the same process: Drain, and the request AWAIT_UP.
"""

from __future__ import annotations

from typing import Final

from runtime.net.framing import FramingError

__all__ = ["AWAIT_UP", "CROWDED", "ENDED", "GONE", "READABLE", "ROOMY", "UP", "Bad", "Drain", "Signal"]


class Signal:
    """A message of the hub half to the connection's process."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<net {self.name}>"


UP, READABLE, ENDED = Signal("up"), Signal("readable"), Signal("ended")
CROWDED, ROOMY, GONE = Signal("crowded"), Signal("roomy"), Signal("gone")
AWAIT_UP: Final = Signal("await up")
"""A request (`call`) that is answered when the connection is up."""


class Bad:
    """The input broke the framing."""

    __slots__ = ("error",)

    def __init__(self, error: FramingError) -> None:
        self.error = error


class Drain:
    """The listener stops: the protocol has `seconds` to finish."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
