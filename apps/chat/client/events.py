"""What a client's session is told and tells: its states, its identity, and what can happen to it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apps.chat.native.frames import (
    Accepted,
    Backlog,
    BacklogEnd,
    Deliver,
    PinSent,
    Read,
    Ready,
    Receipt,
    Refused,
    Registered,
    Welcome,
)

__all__ = [
    "Ended",
    "Event",
    "Failed",
    "Identity",
    "LocalProtocolError",
    "ReadTold",
    "Repeated",
    "State",
    "TokenRenewed",
    "TooBig",
]

# types


class LocalProtocolError(Exception):
    """The caller asked for something that this state does not allow."""


class TooBig(LocalProtocolError):
    """The body is larger than the server takes; nothing of it was kept."""


class State(enum.Enum):
    OFFLINE = "offline"
    GREETING = "greeting"
    GREETED = "greeted"
    LOGIN = "login"
    PROVING = "proving"
    RESUMING = "resuming"
    READY = "ready"


@dataclass(frozen=True)
class Identity:
    """Who we are to the server. `key` is the device key; `token` resumes without a login."""

    user: str
    device: str
    key: str
    token: str = ""


@dataclass(frozen=True)
class TokenRenewed:
    """Keep this resume token from now on ("" = the old one is void)."""

    token: str


@dataclass(frozen=True)
class Failed:
    """A request was refused: `what` is pin, register, login, or other."""

    what: str
    code: str
    text: str
    retry: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class Ended:
    """This connection is over by the protocol's word. `final`: coming back by ourselves is pointless."""

    code: str
    text: str
    retry_after: float | None = None
    final: bool = False


@dataclass(frozen=True)
class Repeated:
    """Something came again and was not shown again."""

    seq: int


@dataclass(frozen=True)
class ReadTold:
    """The server has this read mark for good."""

    read: Read


Event = (
    Welcome
    | PinSent
    | Registered
    | Ready
    | Accepted
    | Refused
    | Deliver
    | Receipt
    | Backlog
    | BacklogEnd
    | TokenRenewed
    | Failed
    | Ended
    | Repeated
    | ReadTold
)
