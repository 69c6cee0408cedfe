"""What goes over the control socket: frames of four bytes of length and a MessagePack map. The same on both ends.

    node    {"hello": 1, "node": name, "pid": ..., "operations": [names]}      once, first
    client  {"id": 7, "op": "push", "args": {...}}                             several may be under way
    node    {"id": 7, "event": {"stage": "planned", ...}}                      any number, while it works
    node    {"id": 7, "ok": true, "result": ...}                               the end, or:
            {"id": 7, "ok": false, "kind": "base", "text": "...", "more": {...}}

An answer with "id": 0 concerns the connection, which the node then closes.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from runtime.net.framing import Length4

__all__ = ["HELLO", "MAX_FRAME", "BadMessage", "decode", "encode", "framing", "request"]

HELLO: Final = 1
"""The version of this protocol."""
MAX_FRAME: Final = 24 * 2**20
"""Bytes of one frame, both ways: a bundle at its limit fits."""
framing: Final = Length4(MAX_FRAME)

_MANY = 100_000  # entries of one list or map
_ALL = 1_000_000  # and of all of them: 24 MB of lists in lists would be gigabytes of objects

# Types


class BadMessage(ValueError):
    """The peer sent what is no message; `str()` is a sentence."""


# API


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as bytes, without the length before it. Values without a plain form go as their `str()`.

    Half a surrogate pair, which UTF-8 has no bytes for, goes as Python writes it.
    """
    return msgpack.packb(message, use_bin_type=True, default=str, unicode_errors="backslashreplace")  # type: ignore[no-any-return]


def decode(data: bytes) -> dict[str, Any]:
    """Read a message. Raises BadMessage; nothing else."""
    left = _ALL

    def counted(values: Any) -> Any:
        nonlocal left
        left -= 1 + len(values)
        if left < 0:
            raise ValueError("too many values")
        return values

    try:
        found = msgpack.unpackb(
            data, raw=False, max_array_len=_MANY, max_map_len=_MANY, list_hook=counted, object_hook=counted
        )
    except Exception as error:  # noqa: BLE001 - whatever strange bytes make msgpack raise, they are no message
        raise BadMessage(f"this is no MessagePack ({type(error).__name__})") from None
    if type(found) is not dict:
        raise BadMessage(f"a message is a map, not a {type(found).__name__}")
    return found


def request(message: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    """Return (id, operation, arguments) of a client's message. Raises BadMessage."""
    number, name, arguments = message.get("id"), message.get("op"), message.get("args", {})
    if type(number) is not int or not 0 < number < 1 << 31:
        raise BadMessage("a request has an id, a whole number above 0")
    if type(name) is not str or type(arguments) is not dict or not all(type(key) is str for key in arguments):
        raise BadMessage('a request has the form {"id": 7, "op": "name", "args": {...}}')
    return number, name, arguments
