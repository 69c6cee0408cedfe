"""What sessions and user processes say to each other. Always by message: they may live on different nodes.

A user process is addressed by its user id through `Homes`, a session by its pid. Nothing here is answered twice, and
nothing here is trusted to arrive: whoever needs an answer asks again (all requests may be repeated harmlessly).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from apps.chat.domain.records import Entry

__all__ = [
    "Accepted", "AckUpTo", "Again", "Attach", "AttachRefused", "Attached", "Claim", "Claimed", "Deliveries", "Outgoing", "Receipts",
    "RefusedSends", "Replaced", "SignOff", "Submit", "Taken",
]  # fmt: skip


class Outgoing(Protocol):
    """A message as its sender gives it: the front door's own frame will do."""

    @property
    def id(self) -> bytes: ...
    @property
    def kind(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Message(msgspec.Struct, frozen=True):
    pass


# sender's session -> recipient's user process, and back


class Submit(Message, frozen=True):
    """Queue these for the user. Answered by Accepted, RefusedSends or Again to `session`, in time or never."""

    sender: str
    session: Any
    sends: Sequence[Outgoing]
    prev: bytes | None = None
    "client id of the sender's last send to this user that is still unanswered: it must be known, else Again"
    round: int = 0
    "grows when the session asks again; a refusal counts only for the latest, since an earlier one may yet be taken"


class Accepted(Message, frozen=True):
    """These are durable."""

    user: str
    items: list[tuple[bytes, int, int]]
    "(client id, message id, time in ms)"


class RefusedSends(Message, frozen=True):
    """These were not taken and nothing of them is kept."""

    user: str
    ids: list[bytes]
    code: str
    round: int
    retry_after: float | None = None


class Again(Message, frozen=True):
    """The user process is new and has not seen an earlier send: give it all unanswered ones, in order."""

    user: str


# a device's session <-> its own user process


class Attach(Message, frozen=True):
    """A device is here. Answered by Attached (then Deliveries flow) or AttachRefused."""

    session: Any
    epoch: int
    issued: int | None
    "ms since 1970 of the resume token, None after a login"
    received: int | None
    "deliver what comes after this number; None: after the last acknowledged"


class Attached(Message, frozen=True):
    process: Any
    "the user process, to be monitored"
    acked: int
    queued: int
    following: int
    "how many Deliveries follow as the backlog"
    device: str
    epoch: int


class AttachRefused(Message, frozen=True):
    code: str


class Deliveries(Message, frozen=True):
    """Entries with the numbers `first`, `first` + 1, … for the device."""

    first: int
    entries: Sequence[Entry]
    attempts: int = 1
    backlog_end: bool = False
    "the last of them is the last of the backlog"


class AckUpTo(Message, frozen=True):
    session: Any
    upto: int


class Replaced(Message, frozen=True):
    """Another session has taken over; end."""

    code: str


class SignOff(Message, frozen=True):
    """Make the device's resume tokens void."""

    session: Any


# user process -> user process; a reader's session -> the author's user process


class Receipts(Message, frozen=True):
    """`who` has got or read these messages of yours. Confirmed by Taken(ref) to `reply` (a user id or a pid)."""

    who: str
    status: str
    messages: tuple[int, ...]
    time: int
    reply: Any
    ref: int


class Taken(Message, frozen=True):
    """The receipts with this ref are durable (or there is nobody to tell)."""

    ref: int


# registration -> user process, and back


class Claim(Message, frozen=True):
    """Make the account this device's. Answered by Claimed(ref) to `reply` when it is durable."""

    reply: Any
    ref: Any
    device_name: str
    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int

    def __repr__(self) -> str:
        return f"Claim(ref={self.ref!r}, …)"


class Claimed(Message, frozen=True):
    ref: Any
    device: str
    epoch: int
