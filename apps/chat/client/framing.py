"""Frames on the client's side of the wire: cut out of the stream, and checked before they go into it."""

from __future__ import annotations

from typing import Final

from apps.chat.client.events import LocalProtocolError
from apps.chat.native.frames import FrameError, Send, decode_client, encode

__all__ = ["MAX_FRAME", "Splitter", "check"]

MAX_FRAME: Final = 16 * 2**20 + 4096

# API


class Splitter:
    """Cut a stream of bytes into frames (4-byte big-endian length each)."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max = max_frame
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are complete now. Raises FrameError for an absurd length."""
        buffer = self._buffer
        buffer += data
        frames, at, end = [], 0, len(buffer)
        while end - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > self._max:
                raise FrameError(f"the server announced a frame of {size} bytes: not our protocol")
            if end - at - 4 < size:
                break
            frames.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        del buffer[:at]
        return frames


def check(message: Send) -> None:
    """Raise LocalProtocolError if `message` breaks the protocol's own limits (address, kind, body)."""
    if not 0 < len(message.to) <= 64:
        raise LocalProtocolError("this cannot be sent: the recipient's address must have 1 to 64 characters")
    if not 0 < len(message.kind) <= 32:
        raise LocalProtocolError("this cannot be sent: the kind must have 1 to 32 characters")
    try:
        decode_client(encode(message))
    except FrameError as error:
        raise LocalProtocolError(
            f"this cannot be sent: {error.text.partition(': ')[2] or error.text}"
        ) from None
