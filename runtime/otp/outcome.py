"""What a callback may return besides a plain value, and how a start can fail.

A `handle_call` that returns an ordinary value has replied with it. The classes here are for everything else. They are
final: the server tells them apart by their exact class. To reply with one of them, wrap it: `Reply(Stop("x"))`.

Time-outs have the two forms of OTP 28:
    timeout=5.0               plain: `handle_info(TIMEOUT)` if no message comes for 5 s. Zero loses to a message that is
                              already queued.
    timeout=(5.0, message)    action: `handle_info(message)` instead; and zero is handled at once, before anything queued.
Any message cancels either form; a system message (see `sys`) does not, and does not start it anew either.
"""

from __future__ import annotations

import difflib
import math
from typing import Any, Final, NamedTuple, Self

from .reports import format_term

__all__ = [
    "CONTROL", "UNSET", "AlreadyStarted", "BadReturnValue", "Fail", "Ignore", "MayBeNone", "NoReply", "Reply", "StartError", "Stop",
    "TimeoutSpec", "Undefined",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class _Unset:
    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""No value given, where None is a value."""

MayBeNone = Any
"""In a return type, `Process | MayBeNone`: None comes only from a class whose init returns Ignore(), and whoever uses such
a class knows. With `Process | None` a type checker would ask all others for a check that never fails.
"""

TimeoutSpec = float | tuple[float, Any] | None
"""Seconds (plain form), or (seconds, message) (action form), or None for never."""


class _Next:
    """What the server does after the callback: wait with a time-out, hibernate, or continue. At most one of
    `timeout` and `continue_`; `hibernate` goes with a time-out.
    """

    __slots__ = ("continue_", "hibernate", "timeout")

    def __init__(self, timeout: TimeoutSpec, hibernate: bool, continue_: Any) -> None:
        if timeout is not None:
            if continue_ is not UNSET:
                raise ValueError(
                    "timeout and continue_ exclude each other: handle_continue may return a time-out"
                )
            seconds = timeout[0] if isinstance(timeout, tuple) else timeout
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
                raise ValueError(f"timeout={timeout!r}: want seconds >= 0, (seconds, message) or None")
            if seconds == math.inf:
                timeout = None
        self.timeout = timeout
        self.hibernate = hibernate
        self.continue_ = continue_

    def _options(self) -> str:
        shown = []
        if self.timeout is not None:
            shown.append(f"timeout={self.timeout!r}")
        if self.hibernate:
            shown.append("hibernate=True")
        if self.continue_ is not UNSET:
            shown.append(f"continue_={self.continue_!r}")
        return ", ".join(shown)


class Reply(_Next):
    """Answer the caller with `value`, and go on as the options say. Only from handle_call."""

    __slots__ = ("value",)

    def __init__(
        self, value: Any, *, timeout: TimeoutSpec = None, hibernate: bool = False, continue_: Any = UNSET
    ) -> None:
        super().__init__(timeout, hibernate, continue_)
        self.value = value

    def __repr__(self) -> str:
        options = self._options()
        return f"Reply({self.value!r}{', ' + options if options else ''})"


class NoReply(_Next):
    """Go on without an answer (or, from init, cast, info and continue: go on as the options say).

    A caller that got no answer is answered later with `reply(sender, value)`, by any process.
    """

    __slots__ = ()

    def __init__(
        self, *, timeout: TimeoutSpec = None, hibernate: bool = False, continue_: Any = UNSET
    ) -> None:
        super().__init__(timeout, hibernate, continue_)

    def __repr__(self) -> str:
        return f"NoReply({self._options()})"


class Stop:
    """End with `reason`: `terminate(reason)` runs first, then `reply` is sent (from handle_call), then the exit.

    From init: the start fails with `reason`, and terminate does not run.
    """

    __slots__ = ("reason", "reply")

    def __init__(self, reason: Any = "normal", *, reply: Any = UNSET) -> None:
        self.reason = reason
        self.reply = reply

    def __repr__(self) -> str:
        return (
            f"Stop({self.reason!r})"
            if self.reply is UNSET
            else f"Stop({self.reason!r}, reply={self.reply!r})"
        )


class Ignore:
    """From init: there is nothing to run. The start returns None and the process ends normally."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Ignore()"


class Fail:
    """From init: the start fails with `reason`, as an expected thing: no crash report, and the process ends normally,
    so that a linked starter that does not trap exits lives on. OTP 26: `{error, Reason}`.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: Any) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Fail({self.reason!r})"


CONTROL: Final = frozenset({Reply, NoReply, Stop, Ignore, Fail})
"""The classes that are no ordinary reply."""


class _Value(NamedTuple):
    value: Any


class BadReturnValue(_Value):
    """Exit reason: a callback returned `value`, which means nothing there.

    `note` says to a person which callback it was and what that may return. It is no part of the reason: two with the
    same value are equal, and only the value travels.
    """

    _note: str

    def __new__(cls, value: Any, note: str = "") -> Self:
        self = super().__new__(cls, value)
        self._note = note
        return self

    def __repr__(self) -> str:
        return format_term(self)


class Undefined(NotImplementedError):
    """A message came for a callback that the server's class does not define (Erlang: undef)."""

    def __init__(self, server: object, callback: str) -> None:
        kind = type(server)
        names = [name for name in vars(kind) if name != callback and not name.startswith("_")]
        near = difflib.get_close_matches(callback, names, 1, 0.8)
        hint = f": it defines {near[0]}" if near else ""
        super().__init__(f"{kind.__module__}.{kind.__qualname__} defines no {callback}{hint}")


class StartError(Exception):
    """A process could not be started; it is gone, and its name is free again. `reason` says why: the reason it ended
    with, or "timeout" when it was too slow and therefore killed.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(f"start failed: {format_term(reason, chars_limit=1000)}")
        self.reason = reason


class AlreadyStarted(StartError):
    """The name belongs to the living process `pid`; nothing was started."""

    def __init__(self, pid: Any) -> None:
        Exception.__init__(self, f"already started: {pid!r} has this name")
        self.reason = ("already_started", pid)
        self.pid = pid
