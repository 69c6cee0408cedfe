"""The rule for messages: send immutable values, or give them up. Here it can be checked.

Messages are shared, not copied. A sender that goes on changing what it sent changes what the receiver sees. With
`[runtime] check_messages = true` (tests, development) every message is looked through as it is sent, and one that holds
a list, dict, set, bytearray or unfrozen dataclass is refused, naming the place. A class of messages whose sender gives
its contents up says so with the class attribute `__handed_over__ = True`. Objects of other classes pass: only the
standard containers are so easily shared by mistake.

Off, the check costs nothing: turning it on puts other code in `send`, rather than a test into everybody's way.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from . import calls, scheduler

__all__ = ["MutableMessage", "check_messages", "verify"]

_MUTABLE = (list, dict, set, bytearray)
_DEPTH = 20


class MutableMessage(TypeError):
    """A message holds something that its sender could still change; `path` says where."""

    def __init__(self, path: str, value: Any) -> None:
        super().__init__(
            f"{path} is a {type(value).__name__}, which can change after it was sent: send a tuple, a frozenset or "
            "a frozen dataclass, or give its class `__handed_over__ = True` if the sender lets go of it"
        )
        self.path = path


def check_messages(on: bool = True) -> None:
    """Turn the check of every message on or off, for the whole node. Requests of calls and casts are checked too."""
    scheduler.send.__code__ = _CHECKED if on else _PLAIN
    calls.Call.__init__ = _checked_init if on else _plain_init  # type: ignore[method-assign]


def verify(message: Any, path: str = "message") -> None:
    """Raise MutableMessage if `message` holds a standard container that can change."""
    _verify(message, path, _DEPTH)


def _verify(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _PLAIN_TYPES or depth == 0 or getattr(kind, "__handed_over__", False):
        return
    if isinstance(value, _MUTABLE):
        raise MutableMessage(path, value)
    if isinstance(value, tuple | frozenset):
        for n, item in enumerate(value):
            _verify(item, f"{path}[{n}]", depth - 1)
    elif kind is calls.Cast:
        _verify(value.request, f"{path}.request", depth - 1)
    elif dataclasses.is_dataclass(kind) and not isinstance(value, scheduler.Process):
        if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise MutableMessage(path, value)
        for field in dataclasses.fields(kind):
            _verify(getattr(value, field.name), f"{path}.{field.name}", depth - 1)


_PLAIN_TYPES = frozenset({type(None), bool, int, float, complex, str, bytes, calls.Call, scheduler.Process})
_PLAIN = scheduler.send.__code__
_CHECKED = scheduler.send_checked.__code__
_plain_init = calls.Call.__init__


def _checked_init(self: calls.Call, process: Any, dest: Any, request: Any, due: float | None) -> None:
    verify(request, "request")
    _plain_init(self, process, dest, request, due)


scheduler.verify_message = verify
