"""What lies in the store: the kinds of records, their keys and their values. The one place that knows.

| kind     | key                          | value                                               | lives                   |
|----------|------------------------------|-----------------------------------------------------|-------------------------|
| account  | user                         | `Account`                                           | until deleted           |
| queue    | user NUL number (8 bytes BE) | `Envelope` or `ReceiptEntry`, waiting for the device | until acknowledged      |
| cursor   | user                         | `Cursor`: what is gone from the queue               | as the account          |
| dedupe   | user NUL sender NUL client id | `Seen`: the answer that was given to the sender     | 7 days, then swept      |
| aside    | user NUL number (8 bytes BE) | as in `queue`: taken and never acknowledged          | until an operator looks |

All records of a user lie in the user's shard, so one batch changes them together or not at all.

The queue's numbers are gap-free and never used twice, also across restarts and with an empty queue, without
a write per message. Invariant, in every committed state: the queue holds exactly the numbers cursor.acked + 1 … last.
It holds because a number is put in the batch that stores its entry, entries leave from the head only, and the cursor is
written in the batch that deletes them. So the last number is found by probing (`DeliveryQueue`), in some 10 reads.

Values are msgpack arrays: fields are only ever added at the end, with a default.
"""

from __future__ import annotations

from typing import ClassVar, Final, Union

import msgspec

__all__ = [
    "ACCOUNT", "ASIDE", "CURSOR", "DEDUPE", "QUEUE", "Account", "Cursor", "Entry", "Envelope", "ReceiptEntry", "Seen",
    "account_key", "dedupe_key", "encode", "prefix_end", "queue_key", "queue_prefix", "read_account", "read_cursor",
    "read_entry", "read_seen", "seq_of",
]  # fmt: skip

# types

ACCOUNT: Final = "account"
QUEUE: Final = "queue"
CURSOR: Final = "cursor"
DEDUPE: Final = "dedupe"
ASIDE: Final = "aside"


class Account(msgspec.Struct, frozen=True, array_like=True):
    """Who may log in as a user. No secret: only what verifies one (SCRAM, RFC 5802)."""

    user: str
    device: str
    "id of the one device"
    epoch: int
    "grows with each registration; tokens and sessions of an older one are void"
    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int
    device_name: str = ""
    created: int = 0
    "ms since 1970, of the first registration"
    registered: int = 0
    "ms since 1970, of this device"
    not_before: int = 0
    "resume tokens issued up to this time (ms) are void: set at logout"

    def __repr__(
        self,
    ) -> str:  # the keys are no passwords, but they are nobody's business in a crash report either
        return f"Account(epoch={self.epoch}, …)"


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=0):
    """A message that waits for its recipient's device. `body` is opaque."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset({"body"})

    message: int
    sender: str
    kind: str
    body: bytes
    time: int
    "ms since 1970: when it was accepted"
    total: int
    "bytes of bodies ever queued for this user, this one included: makes the queue's size a subtraction"


class ReceiptEntry(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """News of messages that this user sent: `who` has got or read them."""

    who: str
    status: str
    messages: tuple[int, ...]
    time: int
    total: int
    high: int = 0
    "the highest message id given to this user when it was written"


Entry = Union[Envelope, ReceiptEntry]  # noqa: UP007 - msgspec wants the plain form


class Cursor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the queue begins. `acked`, `total` and `message` move when entries are deleted; see the head."""

    acked: int = 0
    total: int = 0
    "`total` of the entry `acked`"
    message: int = 0
    "no message id up to this is given again to this user"
    sent: int = 0
    "the highest number a device was given, as of the last write; only counts `takes`"
    takes: int = 0
    "how often in a row a device took the head of the queue and vanished"


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer to a client id."""

    message: int
    time: int


# API

encode = msgspec.msgpack.Encoder().encode
read_account = msgspec.msgpack.Decoder(Account).decode
read_entry = msgspec.msgpack.Decoder(Entry).decode
read_cursor = msgspec.msgpack.Decoder(Cursor).decode
read_seen = msgspec.msgpack.Decoder(Seen).decode


def account_key(user: str) -> bytes:
    """Key of a user's account and cursor."""
    return user.encode()


def queue_prefix(user: str) -> bytes:
    """What all queue keys of a user begin with; also those of `aside` and `dedupe`. A user id holds no NUL."""
    return user.encode() + b"\0"


def queue_key(prefix: bytes, seq: int) -> bytes:
    """Key of one entry; keys sort as their numbers do."""
    return prefix + seq.to_bytes(8, "big")


def seq_of(key: bytes) -> int:
    """The number in a queue key."""
    return int.from_bytes(key[-8:], "big")


def dedupe_key(prefix: bytes, sender: str, client_id: bytes) -> bytes:
    """Key of the answer to `sender`'s message with this client id."""
    return b"%b%b\0%b" % (prefix, sender.encode(), client_id)


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix` (which ends with NUL)."""
    return prefix[:-1] + b"\x01"
