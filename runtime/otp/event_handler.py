"""What lives in an EventManager: handlers, how they are called, and what their callbacks may ask for. Types only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from runtime.kernel import Process

from .outcome import Undefined
from .reports import Report, format_term

__all__ = [
    "MISSING", "EventExit", "EventHandler", "EventHandlerReport", "Handler", "HandlerError", "Remove", "Swap", "Swapped", "checked",
    "said",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class EventHandler:
    """Base class of handlers: override the callbacks you need. They run in the manager's process, and may block it.

    Event, call and info callbacks may return, besides what each says: NoReply(hibernate=True), Remove(), Swap(...).
    Anything else than that, or an exception, removes the handler with terminate(("error", reason)).
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines __init__, which is never called: a handler is set up by init(self, ...), "
                "in its manager's process"
            )

    def init(self, *args: Any, **swapped: Any) -> Any:
        """Set the state up. Return None | NoReply(hibernate=True) | Fail(reason): it is not added.

        When it comes in by a swap, the result of the old handler's terminate is given as the keyword `previous`:
        MISSING if the old one was not there, a Crash if its terminate failed.
        """

    def handle_event(self, event: Any) -> Any:
        """Handle what was given to `notify` or `sync_notify`. Return None."""
        raise Undefined(self, "handle_event")

    def handle_call(self, request: Any) -> Any:
        """Answer a `call` to this handler. Return the reply; Reply(value, hibernate=True), Remove(reply), Swap(reply=)."""
        raise Undefined(self, "handle_call")

    def handle_info(self, message: Any) -> Any:
        """Handle any other message that the manager got. Return None."""

    def terminate(self, reason: Any) -> Any:
        """Clean up: the handler is being removed. What it returns goes to whoever deleted it or comes in its place.

        `reason`: the argument of delete_handler or of the swap; "remove_handler" after Remove(); "stop" when the
        manager ends; ("stop", reason) when the owner of a supervised handler has ended; ("error", reason).
        """

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Bring the fields into the form that this code wants. If it raises, the old state stays.

        By whom it is called, and what it may do: see GenServer.code_change.
        """
        raise Undefined(self, "code_change")

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        """Return `status` (keys: state, message, reason) as people may see it, in get_status and in reports."""
        return status


Handler = type[EventHandler] | tuple[type[EventHandler], Any]
"""How a handler is called: its class, or (class, id), the id any hashable value. An id of None is none."""


class HandlerError(Exception):
    """A handler was not added, not found, or failed while it answered; `handler` and `reason` say which and why.

    `reason`: "not_found"; what `init` gave Fail; a Crash; a BadReturnValue; an exit reason.
    """

    def __init__(self, handler: Any, reason: Any) -> None:
        super().__init__(f"event handler {said(handler)}: {format_term(reason, chars_limit=1000)}")
        self.handler = handler
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EventExit:
    """Message to the owner of a supervised handler: it is gone. Erlang's {gen_event_EXIT, Handler, Reason}.

    `why`: "normal" (deleted, or removed itself), "shutdown" (the manager ends), Swapped(handler, owner), or the failure.
    """

    manager: Process
    handler: Any
    why: Any

    __handed_over__: ClassVar[bool] = True  # a reason may be any value


class Swapped(NamedTuple):
    """Why in an EventExit: `handler` took the place, supervised by `owner` (None: by nobody)."""

    handler: Any
    owner: Process | None


class Remove:
    """From a callback: remove this handler, after terminate("remove_handler")."""

    __slots__ = ("reply",)

    def __init__(self, reply: Any = None) -> None:
        self.reply = reply


class Swap:
    """From a callback: terminate(argument), then put `handler`, given `args`, in this one's place (and ownership).

    If its init fails, both are gone; the owner hears of both.
    """

    __slots__ = ("args", "argument", "handler", "reply")

    def __init__(self, argument: Any, handler: Handler, *args: Any, reply: Any = None) -> None:
        self.argument = argument
        self.handler = checked(handler)
        self.args = args
        self.reply = reply


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a swapped-in handler is told of one that was not there (Erlang: error)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHandlerReport(Report):
    """A handler failed and was removed. `state`, `last_message` and `reason` come from its format_status."""

    label: ClassVar[str] = "event_manager"
    level: ClassVar[int] = logging.ERROR
    title: ClassVar[str] = "event handler removed after a failure"

    handler: Any
    manager: Any
    module: str
    reason: Any
    last_message: Any
    state: Any


# ----------------------------------------------------------------------------------------------------------- API


def checked(handler: Any) -> Handler:
    """Return the handler's name, with an id only if it has one; or raise TypeError: before anything is sent."""
    kind, name = handler if isinstance(handler, tuple) and len(handler) == 2 else (handler, None)
    if not (isinstance(kind, type) and issubclass(kind, EventHandler)):
        raise TypeError(f"an event handler is a subclass of EventHandler, or (class, id), not {handler!r}")
    hash(
        name
    )  # raises: an id that cannot be a key cannot be compared safely, and the manager would end by it
    return kind if name is None else (kind, name)


def said(handler: Any) -> str:
    """Return how people read a handler's name; never raises."""
    kind, name = handler if isinstance(handler, tuple) and len(handler) == 2 else (handler, None)
    text = getattr(kind, "__qualname__", None) or format_term(kind, chars_limit=200)
    return text if name is None else f"{text}/{format_term(name, chars_limit=200)}"
