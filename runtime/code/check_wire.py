"""What the node, the checking child and its forks say to each other. Sans-IO.

A frame is a 4-byte big-endian length and one msgpack value. Over the socket pair between node and child:

    node -> child    Settings, once; then Check, Check, …       child -> node    Ready, once; then Passed | Failed

A fork that does one check writes to its parent over a pipe: `At` when it begins with a module, so that the parent knows
where it hung or died, and at the end one `Outcome`.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

__all__ = [
    "At",
    "Check",
    "Failed",
    "Frames",
    "Outcome",
    "Passed",
    "Ready",
    "Settings",
    "Syntax",
    "decode",
    "encode_frame",
]

LARGEST: Final = 1 << 30  # bytes of a frame: more is no frame but a stream that lost its way

# --- node and child --------------------------------------------------------------------------------------------


class Settings(msgspec.Struct):
    """How the child is to look: the node's search path, where managed code lies, what it may take for a check.

    `base` and `folders` as Roots has them. `memory`: bytes a check may allocate; `output`: bytes of what it prints that
    are kept, and `flood`: bytes after which it is ended.
    """

    path: list[str]
    base: str
    folders: list[str]
    preload: list[str]
    memory: int
    output: int
    flood: int


class Ready(msgspec.Struct, tag=True):
    """The child has imported what it was told to, and takes checks."""

    pid: int


class Check(msgspec.Struct):
    """Import `modules` in this order out of `sources` (relative path: text, None: deleted); then the self-checks.

    `limit`: seconds for all of it. `disk`: whether managed modules that are not in `sources` are taken from the disk.
    """

    number: int
    sources: dict[str, str | None]
    modules: list[str]
    changed: list[str]
    limit: float
    disk: bool


class Passed(msgspec.Struct, tag=True):
    """All is well: seconds of each module's own top level (without what it imports), and of each self-check."""

    imports: dict[str, float]
    selfchecks: dict[str, float]
    output: str = ""
    number: int = 0


class Syntax(msgspec.Struct):
    """What a SyntaxError says beyond its message and line."""

    error: str
    column: int | None
    text: str | None
    end_line: int | None
    end_column: int | None


class Failed(msgspec.Struct, tag=True):
    """The first thing that was wrong. `kind`: as runtime.code.errors.KINDS. `path` is relative to the base, `line` 0: not known.

    `traceback` is trimmed to what is managed code's doing; `output`: what was printed.
    """

    kind: str
    module: str
    path: str
    line: int
    text: str
    traceback: str = ""
    syntax: Syntax | None = None
    output: str = ""
    number: int = 0


Answer = Ready | Passed | Failed

# --- child and fork --------------------------------------------------------------------------------------------


class At(msgspec.Struct, tag=True):
    """The fork begins with this module's top level, or (`selfcheck`) with its self-check; "": with neither."""

    module: str
    selfcheck: bool = False


class Outcome(msgspec.Struct, tag=True):
    """The end of a check. `learn`: packages that the next check is spared if the child imports them now, in this order.

    `codes`: what was compiled, marshalled, by relative path.
    """

    answer: Passed | Failed
    learn: list[str]
    codes: dict[str, bytes]


# --- frames ----------------------------------------------------------------------------------------------------

_LENGTH: Final = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.decode


def encode_frame(value: Any) -> bytes:
    """One frame with any of the above."""
    data = _encode(value)
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Cuts a byte stream into frames; keeps the tail of an unfinished one."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """All frames that are complete now. Raises ValueError when this cannot be a stream of frames."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            size = _LENGTH.unpack_from(buffer, at)[0]
            if size > LARGEST:
                raise ValueError(f"a frame of {size} bytes")
            end = at + _LENGTH.size + size
            if end > len(buffer):
                break
            frames.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        del buffer[:at]
        return frames
