"""A view that follows the node: server-sent events, as long as the page shows it.

    event: look        data: what the view shows, when it is another than before
    event: head        data: what stands above every view, likewise
    event: gone        data: {"text"}: there is nothing to show any more, and the stream ends

The page reads it with fetch, which can carry the token (EventSource cannot), and closes it when it is out of sight. A look
that takes long, since there are very many processes, is taken more seldom: all looks of one view together take no more than
a 25th of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final

import msgspec

from runtime.admin.http_looks import NotThere, head, look
from runtime.observe.slices import Breather, sliced
from runtime.observe.snapshot_types import plain
from runtime.observe.texts import brief

__all__ = ["encode", "follow"]

_EVERY: Final = 2.0
_SHARE: Final = 25
_SILENCE: Final = 10.0
"""After so long without news something is said all the same, for a peer that vanished without a word."""

# API


def encode(value: Any) -> bytes:
    """Return JSON of what views show, whatever is in it: what JSON cannot carry goes as text. Gives way while it works."""
    if not isinstance(value, dict):
        return _encoded(value)
    breather = Breather()
    parts = []
    for key, item in value.items():
        if isinstance(item, (list, tuple)):
            data = b"[%s]" % b",".join([_encoded(one) for one in sliced(item, 4, breather)])
        else:
            data = _encoded(item)
            breather.take()
        parts.append(b"%s:%s" % (_encoded(f"{key!s:.300}"), data))
    return b"{%s}" % b",".join(parts)


def follow(name: str, query: Mapping[str, str], wait: Callable[[float], bool]) -> Iterator[bytes]:
    """Yield the events of a view, until `wait(seconds)`, which is called between two looks, returns False: nobody is there."""
    memory: dict[str, Any] = {}
    told: dict[str, bytes] = {}
    spoken = monotonic()
    while True:
        began = monotonic()
        try:
            views = {"head": head(), "look": look(name, query, memory)}
        except NotThere as error:
            yield _event("gone", encode({"text": str(error)}))
            return
        took = monotonic() - began
        for kind, view in views.items():
            data = encode(view) if view is not None else told.get(kind, b"")
            if data and data != told.get(kind):
                told[kind] = data
                spoken = monotonic()
                yield _event(kind, data)
        if monotonic() - spoken > _SILENCE:
            spoken = monotonic()
            yield b": still here\n\n"
        if not wait(max(_EVERY, took * _SHARE)):
            return


# Internals

_DEPTH: Final = 20


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=brief)
    except (UnicodeError, OverflowError, TypeError, ValueError, RecursionError):
        # Half a surrogate pair (a file's name that is no UTF-8 has one), a number of more than 64 bits, an odd key.
        return msgspec.json.encode(_plainer(plain(value), _DEPTH))


def _plainer(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else brief(value)
    if depth <= 0:
        return "..."
    if isinstance(value, dict):
        return {_plainer(str(key), 1): _plainer(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plainer(one, depth - 1) for one in value]
    return _plainer(brief(value), 1)


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
