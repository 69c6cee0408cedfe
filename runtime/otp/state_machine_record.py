"""What a state machine has besides its state and its fields: waiting events, time-outs, callback mode."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.kernel import Process

from .state_machine_actions import EVENT_TIMEOUT
from .sys_debug import Debug

if TYPE_CHECKING:
    from .state_machine import GenStateMachine

__all__ = ["Due", "Engine", "Event", "Inner", "Postponed"]

# --------------------------------------------------------------------------------------------------------- types

Event = tuple[Any, Any, bool]
"""Kind, content, and whether to skip it if its caller has gone by then."""


class Inner(NamedTuple):
    """What debug options see of an event that is no message: inserted, taken up again, or a time-out of 0 seconds."""

    kind: Any
    content: Any


class Postponed(NamedTuple):
    """What debug options see when an event is put back."""

    kind: Any
    content: Any


class Due:
    """A time-out that was started, and the message that it sends."""

    __slots__ = ("content", "handle", "kind")

    def __init__(self, kind: Any, content: Any) -> None:
        self.kind = kind
        self.content = content
        self.handle: Any = None

    def cancel(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None

    def __repr__(self) -> str:
        return f"<time-out {self.kind!r}: {self.content!r}>"


class Engine:
    """What a state machine has besides its state and its fields; in its process's `control` slot."""

    __slots__ = (
        "by_name", "current", "debug", "enters", "held", "hibernated", "linked", "postponed", "queue", "start", "suspended",
        "timers", "unusual", "zero",
    )  # fmt: skip

    def __init__(self, *, linked: bool, start: tuple[Any, ...] | None = None) -> None:
        self.linked = linked
        """Whoever started the process is its parent, whose exit ends it."""
        self.start = start
        """The arguments of init, before it has run."""
        self.unusual = start is not None
        self.by_name = True
        """Callback mode: one method per state, rather than handle_event."""
        self.enters = False
        self.current: Event | None = None
        """The event being handled, when it is not simply the message that came."""
        # None in a machine that waits: an empty deque is some 700 bytes.
        self.queue: deque[Event] | None = None
        self.zero: deque[Due] | None = None
        self.postponed: list[Event] = []
        self.timers: dict[Any, Due] = {}
        self.suspended = False
        self.held: deque[Any] | None = None
        """Ordinary messages that came while suspended, until it is resumed."""
        self.hibernated = False
        self.debug: Debug | None = None
        """The debug options that are on: see sys_debug."""

    def look_up_mode(self, cls: type[GenStateMachine]) -> None:
        """Take callback mode and enter calls from the class: at the start, and when its code has changed."""
        self.by_name = cls._is_by_name()
        self.enters = cls.state_enter

    @property
    def mode(self) -> str:
        return "state_functions" if self.by_name else "handle_event"

    def refresh(self) -> None:
        self.unusual = (
            self.suspended
            or self.hibernated
            or self.debug is not None
            or self.start is not None
            or EVENT_TIMEOUT in self.timers
        )

    def cancel(self, kind: Any) -> None:
        """Stop the time-out of this kind, if there is one, fired or not."""
        due = self.timers.pop(kind, None)
        if due is not None:
            due.cancel()
            if self.zero and due in self.zero:
                self.zero.remove(due)

    def on_exit(self, process: Process | None = None, _reason: Any = None) -> None:
        """The process is dead, or (None) about to be: let go of the timers."""
        for due in self.timers.values():
            due.cancel()
        if process is not None and self.debug is not None:
            self.debug.on_exit()
