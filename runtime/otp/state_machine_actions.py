"""What a state machine's callbacks return: a result, and the actions that go with it. Types only.

    return NextState("open", Reply(kind, "ok"), StateTimeout(10.0, "close"))

Results are final classes, told apart by their exact class; an action is checked where it is made, so a mistake shows
with the line that made it. Only a Reply happens at once, in its place among the actions; the others are collected, and
of several of one sort the last one counts (NextEvent: all, in order).

Source: OTP gen_statem, types action() and state_callback_result().
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, Final, Literal

from runtime.kernel import Call

from . import outcome

__all__ = [
    "ACTIONS", "CAST", "ENTER", "EVENT_TIMEOUT", "INFO", "INTERNAL", "NAMED_TIMEOUT", "RESULTS", "STATE_TIMEOUT", "TIMEOUTS",
    "Action", "EventKind", "EventTimeout", "Hibernate", "Keep", "NamedTimeout", "NextEvent", "NextState", "Postpone", "Repeat",
    "Reply", "Result", "StateTimeout", "Stop",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------- kinds of event

CAST: Final = "cast"
INFO: Final = "info"
INTERNAL: Final = "internal"
ENTER: Final = "enter"
EVENT_TIMEOUT: Final = "timeout"
STATE_TIMEOUT: Final = "state_timeout"
NAMED_TIMEOUT: Final = "timeout"
"""First half of the kind of a named time-out: `("timeout", name)`."""

EventKind = (
    Call
    | Literal["cast", "info", "internal", "enter", "timeout", "state_timeout"]
    | tuple[Literal["timeout"], Hashable]
)
"""What kind of event it is. Of a call: the open Call itself, to be answered now or later."""

# ---------------------------------------------------------------------------------------------------------- results


class _Result:
    __slots__ = ("actions",)

    def __init__(self, *actions: Action) -> None:
        self.actions = actions

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.actions))})"


class Keep(_Result):
    """Stay in the state. Without actions: the same as returning None."""

    __slots__ = ()


class Repeat(_Result):
    """Stay in the state, and make its enter call once more (with `state_enter`; without: as Keep). It is no change of
    state: postponed events stay postponed and the state time-out runs on.
    """

    __slots__ = ()


class NextState(_Result):
    """Go to `state`. If it equals the present one, this is Keep."""

    __slots__ = ("state",)

    def __init__(self, state: Hashable, *actions: Action) -> None:
        self.actions = actions
        self.state = state

    def __repr__(self) -> str:
        return f"NextState({', '.join(map(repr, (self.state, *self.actions)))})"


class Stop(outcome.Stop):
    """End with `reason`: the `replies` are sent first, then terminate runs, then the exit.

    (A GenServer's Stop is taken too; its `reply` goes to the call being handled.)
    """

    __slots__ = ("replies",)

    def __init__(self, reason: Any = "normal", *replies: Reply) -> None:
        super().__init__(reason)
        self.replies = replies

    def __repr__(self) -> str:
        return f"Stop({', '.join(map(repr, (self.reason, *self.replies)))})"


Result = Keep | Repeat | NextState | Stop | None
RESULTS: Final = frozenset({Keep, Repeat, NextState, Stop})

# ---------------------------------------------------------------------------------------------------------- actions


class Reply:
    """Answer `call`, at once: the one being handled, or one kept from before."""

    __slots__ = ("call", "value")

    def __init__(self, call: Call, value: Any) -> None:
        self.call = call
        self.value = value

    def __repr__(self) -> str:
        return f"Reply({self.call!r}, {self.value!r})"


class Postpone:
    """Put the event back until the state changes; then it comes again, before anything newer."""

    __slots__ = ("flag",)

    def __init__(self, flag: bool = True) -> None:
        self.flag = flag

    def __repr__(self) -> str:
        return "Postpone()" if self.flag else "Postpone(False)"


class Hibernate:
    """Show as hibernated until the next event. A status only: an idle process has no stack or heap to shrink."""

    __slots__ = ("flag",)

    def __init__(self, flag: bool = True) -> None:
        self.flag = flag

    def __repr__(self) -> str:
        return "Hibernate()" if self.flag else "Hibernate(False)"


class NextEvent:
    """Insert an event, to be handled next, before all that is queued. Of any kind but "enter"; usually "internal"."""

    __slots__ = ("content", "kind")

    def __init__(self, kind: EventKind, content: Any = None) -> None:
        if not (kind.__class__ is Call or kind in _INSERTABLE or _is_named(kind)):
            raise ValueError(f"NextEvent: {kind!r} is no kind of event that can be inserted")
        self.kind = kind
        self.content = content

    def __repr__(self) -> str:
        return f"NextEvent({self.kind!r}, {self.content!r})"


class _Timeout:
    """Start, replace, cancel or update the one time-out of its kind."""

    __slots__ = ("absolute", "content", "kind", "seconds")

    kind: EventKind
    seconds: float | Literal["update"] | None
    """None: cancel."""

    def _set(self, kind: EventKind, seconds: float, content: Any, absolute: bool) -> None:
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or not (seconds >= 0 or absolute)
        ):
            raise ValueError(f"{type(self).__name__}: {seconds!r}: want seconds >= 0")
        if math.isnan(seconds):
            raise ValueError(f"{type(self).__name__}: {seconds!r}: want seconds")
        self.kind = kind
        self.seconds = None if seconds == math.inf else seconds
        self.content = content
        self.absolute = absolute

    @classmethod
    def _other(cls, kind: EventKind, seconds: Literal["update"] | None, content: Any = None) -> Any:
        action = cls.__new__(cls)
        action.kind = kind
        action.seconds = seconds
        action.content = content
        action.absolute = False
        return action

    def __repr__(self) -> str:
        name = f"{self.kind[1]!r}, " if isinstance(self.kind, tuple) else ""
        if self.seconds is None:
            return f"{type(self).__name__}.cancel({name.removesuffix(', ')})"
        if self.seconds == "update":
            return f"{type(self).__name__}.update({name}{self.content!r})"
        absolute = ", absolute=True" if self.absolute else ""
        return f"{type(self).__name__}({name}{self.seconds!r}, {self.content!r}{absolute})"


class EventTimeout(_Timeout):
    """After `seconds` without any event: an event of kind "timeout". Any event cancels it, also an inserted one.

    `seconds` of 0: once everything queued inside the machine is done, before the mailbox; infinity: never.
    `absolute`: `seconds` is a reading of `runtime.kernel.clock.now()`; one in the past comes behind what is in the mailbox.
    """

    __slots__ = ()

    def __init__(self, seconds: float, content: Any = None, *, absolute: bool = False) -> None:
        self._set(EVENT_TIMEOUT, seconds, content, absolute)

    @classmethod
    def cancel(cls) -> EventTimeout:
        """Stop it, if it runs."""
        return cls._other(EVENT_TIMEOUT, None)  # type: ignore[no-any-return]

    @classmethod
    def update(cls, content: Any) -> EventTimeout:
        """As the others' update. But the event being handled has cancelled it: so it comes at once, as with 0 seconds."""
        return cls._other(EVENT_TIMEOUT, "update", content)  # type: ignore[no-any-return]


class StateTimeout(_Timeout):
    """After `seconds` in this state: an event of kind "state_timeout". Only a change of state cancels it. Else as
    EventTimeout.
    """

    __slots__ = ()

    def __init__(self, seconds: float, content: Any = None, *, absolute: bool = False) -> None:
        self._set(STATE_TIMEOUT, seconds, content, absolute)

    @classmethod
    def cancel(cls) -> StateTimeout:
        """Stop it, if it runs."""
        return cls._other(STATE_TIMEOUT, None)  # type: ignore[no-any-return]

    @classmethod
    def update(cls, content: Any) -> StateTimeout:
        """Change its content and not its time; if it does not run, it comes at once (as with 0 seconds)."""
        return cls._other(STATE_TIMEOUT, "update", content)  # type: ignore[no-any-return]


class NamedTimeout(_Timeout):
    """After `seconds`: an event of kind `("timeout", name)`. Nothing cancels it but its name. Else as EventTimeout."""

    __slots__ = ()

    def __init__(
        self, name: Hashable, seconds: float, content: Any = None, *, absolute: bool = False
    ) -> None:
        self._set(_named(name), seconds, content, absolute)

    @classmethod
    def cancel(cls, name: Hashable) -> NamedTimeout:
        """Stop the one of this name, if it runs."""
        return cls._other(_named(name), None)  # type: ignore[no-any-return]

    @classmethod
    def update(cls, name: Hashable, content: Any) -> NamedTimeout:
        """Change its content and not its time; if it does not run, it comes at once (as with 0 seconds)."""
        return cls._other(_named(name), "update", content)  # type: ignore[no-any-return]


Action = Reply | Postpone | Hibernate | NextEvent | EventTimeout | StateTimeout | NamedTimeout
TIMEOUTS: Final = frozenset({EventTimeout, StateTimeout, NamedTimeout})
ACTIONS: Final = frozenset({Reply, Postpone, Hibernate, NextEvent, *TIMEOUTS})

# -------------------------------------------------------------------------------------------------------- internals

_INSERTABLE: Final = frozenset({CAST, INFO, INTERNAL, EVENT_TIMEOUT, STATE_TIMEOUT})


def _named(name: Hashable) -> EventKind:
    hash(name)  # raises here, and not when the machine looks for it
    return (NAMED_TIMEOUT, name)


def _is_named(kind: Any) -> bool:
    return isinstance(kind, tuple) and len(kind) == 2 and kind[0] == NAMED_TIMEOUT
