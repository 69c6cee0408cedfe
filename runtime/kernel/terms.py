"""The wire form of dynamic terms: what a message, an exit reason or a recorded value looks like outside this program.

msgpack, with extension types for what it does not know: tuples (as themselves, not as lists), pids, and the exit
reasons that are objects. Frames whose shape is fixed (the chat's, the store's) are declared structs instead, which are
checked as they are decoded; this is for terms whose shape only sender and receiver know: pushes, other nodes, dumps.

A pid that comes home is the process itself. A Crash travels as its text: an exception's class may not exist elsewhere.
Decoding never calls anything of the sender's: only the types below can come out.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from .identity import Pid
from .inspect import pid_from_wire
from .reasons import Crash, Shutdown

__all__ = ["BadTerm", "RemoteCrash", "decode_term", "encode_term"]

_TUPLE: Final = 1
_PID: Final = 2
_SHUTDOWN: Final = 3
_CRASH: Final = 4


class BadTerm(ValueError):
    """A value that has no wire form, or bytes that are no term."""


class RemoteCrash(Exception):
    """An exception of another program: `error` (class), its message, and `trace` as text."""

    def __init__(self, error: str, message: str, trace: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.trace = trace


def encode_term(term: Any) -> bytes:
    """Return the wire form of `term`. Raises BadTerm, naming the type, for a value that has none."""
    try:
        return _pack(term)
    except (TypeError, OverflowError, RecursionError, ValueError) as error:
        raise BadTerm(f"no wire form: {error}") from None


def decode_term(data: bytes) -> Any:
    """Return the term that `data` encodes. Raises BadTerm for anything else; never runs foreign code."""
    try:
        return _unpack(data)
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
        raise BadTerm(f"these bytes are no term: {error}") from None


def _pack(term: Any) -> bytes:
    packed: bytes = msgpack.packb(term, default=_extend, strict_types=True, use_bin_type=True)
    return packed


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, ext_hook=_extension, strict_map_key=False, raw=False)


def _extend(value: Any) -> msgpack.ExtType:
    if isinstance(value, Pid):
        return msgpack.ExtType(_PID, _pack(list(value.to_wire())))
    if isinstance(value, tuple):
        return msgpack.ExtType(_TUPLE, _pack(list(value)))
    if isinstance(value, Shutdown):
        return msgpack.ExtType(_SHUTDOWN, _pack(value.term))
    if isinstance(value, Crash):
        return msgpack.ExtType(_CRASH, _pack([value.error, value.message, value.trace]))
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__}")


def _extension(code: int, data: bytes) -> Any:
    value = _unpack(data)
    if code == _TUPLE:
        return tuple(value)
    if code == _PID:
        node, number, creation = value
        if not (isinstance(node, str) and isinstance(number, int) and isinstance(creation, int)):
            raise ValueError("a pid is (node, number, creation)")
        return pid_from_wire((node, number, creation))
    if code == _SHUTDOWN:
        return Shutdown(value)
    if code == _CRASH:
        error, message, trace = value
        return Crash(RemoteCrash(str(error), str(message), str(trace)))
    raise ValueError(f"unknown extension type {code}")
