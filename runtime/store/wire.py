"""What the node and the writer process say to each other over their socket pair. Sans-IO.

A frame is a 4-byte big-endian length and one msgpack value. First the node sends `Settings`, the writer answers
`Opened` or `Refused`. From then on

    node -> writer    [confirmed, request, request, …]     request = [seq, shard, token, ops] (a commit)
                                                                    or [seq, shard, nil, owner] (open a shard)
    writer -> node    [last, full, {seq: answer}]

Requests are numbered 1, 2, 3… within a *session* (one life of the node's store). Every request up to `last` is
answered; one without an entry in the map was committed with version `base + seq`. An answer is a token (int, for an
open) or an error ([class name, …arguments]). So the reply to a thousand commits is a dozen bytes.

Invariant: a request is applied at most once. The writer stores `last`, and the answers the node has not confirmed,
in the same transaction as the effects; a new writer is sent every unanswered request again, and answers those it
finds done from there.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from runtime.store import contract

__all__ = [
    "Answer", "Frames", "Opened", "Pipeline", "Refused", "Reply", "Settings", "decode", "encode_frame",
    "error_from_wire", "error_to_wire",
]  # fmt: skip

# --- types -----------------------------------------------------------------------------------------------------

Answer = int | list[Any]  # a token, or an error as [class name, …arguments]
Reply = tuple[int, bool, dict[int, Answer]]  # last, full, answers


class Settings(msgspec.Struct):
    """What the writer needs to open the store. `migrations`: see migrate.py. Sizes in bytes, 0 = no limit."""

    path: str
    session: str
    nshards: int
    migrations: list[str]
    map_initial: int
    max_size: int
    reserve: int
    lock_timeout: float
    check_upto: int = 0


class Opened(msgspec.Struct, tag=True):
    """The writer serves: `base` + seq is the version of a commit, requests up to `last` were applied before."""

    pid: int
    nshards: int
    schema: int
    base: int
    last: int


class Refused(msgspec.Struct, tag=True):
    """The store cannot be opened; the writer ends."""

    error: list[Any]


_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">IBIBQ")  # length, array32, count, uint64, confirmed
_FRAME: Final = 1 << 20  # bytes a frame may reach before the next is begun: the writer can start on the first

_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.decode
_decode_reply = msgspec.msgpack.Decoder(Reply).decode


# --- API -------------------------------------------------------------------------------------------------------


def encode_frame(value: Any) -> bytes:
    """One frame with any msgpack value."""
    data = _encode(value)
    return _LENGTH.pack(len(data)) + data


def error_to_wire(error: contract.StoreError) -> list[Any]:
    """The error as plain values."""
    return [type(error).__name__, *error.args]


def error_from_wire(value: list[Any]) -> contract.StoreError:
    """The error again, of the same class with the same arguments."""
    kind = getattr(contract, value[0])
    assert issubclass(kind, contract.StoreError)
    error: contract.StoreError = kind(*value[1:])
    return error


class Frames:
    """Cuts a byte stream into frames; keeps the tail of an unfinished one."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """All frames that are complete now."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        while len(buffer) - at >= 4:
            end = at + 4 + _LENGTH.unpack_from(buffer, at)[0]
            if end > len(buffer):
                break
            frames.append(bytes(buffer[at + 4 : end]))
            at = end
        if at:
            del buffer[:at]
        return frames


class Pipeline:
    """The node's end: numbers requests, keeps the unanswered ones, makes frames, matches answers.

    Invariant: `waiting` holds the requests answered + 1 … answered + len(waiting), oldest first; `unsent` the newest
    of them, encoded, that are in no frame yet; `size` is the bytes of those in `waiting`.
    """

    __slots__ = ("answered", "full", "size", "unsent", "waiting")

    def __init__(self) -> None:
        self.answered = 0
        self.full = False
        self.size = 0
        self.unsent: deque[bytes] = deque()
        self.waiting: deque[tuple[bytes, Any, Any]] = deque()  # encoded request, who waits, its tag

    def add(self, shard: int, token: int | None, body: Any, who: Any, tag: Any) -> None:
        """Append a request: the ops of a commit, or with token None the owner who opens the shard."""
        waiting = self.waiting
        part = _encode((self.answered + len(waiting) + 1, shard, token, body))
        waiting.append((part, who, tag))
        self.size += len(part)
        self.unsent.append(part)

    def resend(self) -> None:
        """A new writer is there: all that is unanswered goes into the next frames."""
        self.unsent = deque(part for part, _, _ in self.waiting)

    def take(self) -> bytes:
        """The next frame, of at most about 1 MiB; b"" when nothing is unsent."""
        unsent = self.unsent
        parts: list[bytes] = []
        size = 0
        while unsent and size < _FRAME:
            part = unsent.popleft()
            parts.append(part)
            size += len(part)
        if not parts:
            return b""
        # Written by hand, so that each request is encoded once, also when it is sent again.
        return _HEAD.pack(14 + size, 0xDD, len(parts) + 1, 0xCF, self.answered) + b"".join(parts)

    def answers(self, frame: bytes) -> Iterator[tuple[Any, Any, int, Answer | None]]:
        """Yield (who, tag, seq, answer) for each request that this reply answers; None: committed."""
        last, self.full, special = _decode_reply(frame)
        waiting = self.waiting
        while self.answered < last:
            part, who, tag = waiting.popleft()
            self.size -= len(part)
            self.answered += 1
            yield who, tag, self.answered, special.get(self.answered) if special else None
