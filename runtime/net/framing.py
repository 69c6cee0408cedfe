"""Cut a byte stream into frames: sans-IO splitters that hold nothing themselves.

A framing is an immutable value shared by every connection of a protocol. What is left of an unfinished
frame (the *tail*) is kept by the caller: `None` at a frame border, so an idle connection holds no buffer,
else a `bytearray` that `split` grows in place. A tail is never scanned or copied again until its frame is
complete: a peer that sends a large frame byte by byte costs one append per byte, not one copy of the frame.
"""

from __future__ import annotations

import struct
from typing import Protocol as Structural

__all__ = ["Framing", "FrameTooBig", "FramingError", "Length4", "Line", "Raw", "guess"]

_HEAD = 64  # bytes of the offending input kept by a FramingError: enough to recognise HTTP or TLS, bounded for logs


# types


class FramingError(Exception):
    """The peer broke the framing; the stream cannot be cut any further.

    `.kind` is "too_big" or "bad_length"; `.head` the first bytes (at most 64) of the offending frame, its header
    included; `.frames` the whole frames that stood before it in the same input, `.used` their bytes.
    """

    def __init__(self, kind: str, text: str, head: bytes, frames: list[bytes], used: int) -> None:
        super().__init__(text)
        self.kind = kind
        self.head = bytes(head[:_HEAD])
        self.frames = frames
        self.used = used


class FrameTooBig(ValueError):
    """We were asked to send a frame that the framing does not allow (our fault, not the peer's)."""


class Framing(Structural):
    """What a connection needs of a framing; any immutable object with these two methods will do."""

    def split(self, tail: bytearray | None, data: bytes) -> tuple[list[bytes], bytearray | None]:
        """Return the whole frames of `tail` + `data` and the new tail. `tail` is given up by the caller."""
        ...

    def pack(self, payload: bytes) -> bytes:
        """Return `payload` as one frame. Raises FrameTooBig."""
        ...


# API


class Length4:
    """Frames with a 4-byte big-endian length before each payload; the length does not count itself.

    `max_frame` (bytes of payload) is checked on the header alone, before any of the body is accepted, and the
    same limit holds for frames we send.
    """

    __slots__ = ("max_frame",)

    _header = struct.Struct(">I")

    def __init__(self, max_frame: int) -> None:
        if not 0 < max_frame < 1 << 32:
            raise ValueError(f"max_frame must be 1 to 4294967295, not {max_frame!r}")
        self.max_frame = max_frame

    def __repr__(self) -> str:
        return f"Length4({self.max_frame})"

    def split(self, tail: bytearray | None, data: bytes) -> tuple[list[bytes], bytearray | None]:
        """Cut by length. Raises FramingError("too_big") as soon as a header announces too much."""
        unpack = self._header.unpack_from
        if tail is not None:
            known = len(tail) >= 4  # then its header was checked when it came
            tail += data
            if len(tail) < 4 or (known and len(tail) < 4 + unpack(tail, 0)[0]):
                return [], tail
            data = bytes(tail)
        frames: list[bytes] = []
        position, end, limit = 0, len(data), self.max_frame
        while end - position >= 4:
            (size,) = unpack(data, position)
            stop = position + 4 + size
            if stop > end or size > limit:
                if size > limit:
                    text = f"a frame of {size} bytes was announced, {limit} is the limit"
                    raise FramingError("too_big", text, data[position : position + _HEAD], frames, position)
                break
            frames.append(data[position + 4 : stop])
            position = stop
        return frames, bytearray(data[position:]) if position < end else None

    def pack(self, payload: bytes) -> bytes:
        """Put the length before `payload`."""
        size = len(payload)
        if size > self.max_frame:
            raise FrameTooBig(f"a frame of {size} bytes to send, {self.max_frame} is the limit")
        return self._header.pack(size) + payload


class Line:
    """Frames that end with a line feed; a carriage return before it is dropped. Empty lines are frames.

    `max_line` counts the bytes before the line feed. `pack` ends each line with CR LF.
    """

    __slots__ = ("max_line",)

    def __init__(self, max_line: int) -> None:
        if max_line < 1:
            raise ValueError(f"max_line must be at least 1, not {max_line!r}")
        self.max_line = max_line

    def __repr__(self) -> str:
        return f"Line({self.max_line})"

    def split(self, tail: bytearray | None, data: bytes) -> tuple[list[bytes], bytearray | None]:
        """Cut at line feeds. Raises FramingError("too_big") once a line without an end has grown too long."""
        if tail is not None:
            tail += data
            if b"\n" not in data and len(tail) <= self.max_line:
                return [], tail
            data = bytes(tail)
        lines = data.split(b"\n")
        rest = lines.pop()
        limit, used = self.max_line, 0
        frames: list[bytes] = []
        for line in lines:
            if len(line) > limit:
                raise self._too_long(line, frames, used)
            frames.append(line[:-1] if line[-1:] == b"\r" else line)
            used += len(line) + 1
        if len(rest) > limit:
            raise self._too_long(rest, frames, used)
        return frames, bytearray(rest) if rest else None

    def _too_long(self, line: bytes, frames: list[bytes], used: int) -> FramingError:
        text = f"a line of more than {self.max_line} bytes"
        return FramingError("too_big", text, line[:_HEAD], frames, used)

    def pack(self, payload: bytes) -> bytes:
        """End `payload` with CR LF; it must not hold a line feed."""
        if len(payload) >= self.max_line or b"\n" in payload:
            raise FrameTooBig(
                f"a line of {len(payload)} bytes to send (or a line feed in it), {self.max_line} is the limit"
            )
        return payload + b"\r\n"


class Raw:
    """No framing: whatever one read brought is one frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Raw()"

    def split(self, tail: bytearray | None, data: bytes) -> tuple[list[bytes], bytearray | None]:
        """Hand `data` on as it is."""
        return [data], None

    def pack(self, payload: bytes) -> bytes:
        """Return `payload`."""
        return payload


def guess(head: bytes) -> str:
    """Name what a peer speaks by the first bytes of its input, for a log line: never the bytes themselves."""
    for prefix, name in _SIGNS:
        if head.startswith(prefix):
            return name
    return "something unknown"


_SIGNS = (
    (b"GET ", "HTTP"), (b"POST", "HTTP"), (b"HEAD", "HTTP"), (b"PUT ", "HTTP"), (b"OPTIONS", "HTTP"), (b"PRI ", "HTTP/2"),
    (b"\x16\x03", "TLS"), (b"<?xml", "XMPP"), (b"<stream", "XMPP"), (b"SSH-", "SSH"), (b"\r\n\r\n\x00\r\n", "the PROXY protocol"),
)  # fmt: skip
