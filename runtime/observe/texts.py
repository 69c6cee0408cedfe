"""Values as short texts: pids, messages, states; whatever is in them, nothing raises and nothing is long."""

from __future__ import annotations

from typing import Any

from runtime.kernel import Call, Cast, Crash, Pid, Process, mailboxes
from runtime.otp.gen_server import GenServer
from runtime.otp.reports import PASSED_ON, format_term
from runtime.otp.server_state import fields, shown_status
from runtime.otp.state_machine import GenStateMachine
from runtime.otp.supervision import SupervisorServer

__all__ = [
    "brief",
    "function_of",
    "heads",
    "is_suspended",
    "kind_of",
    "message_text",
    "pid_text",
    "state_text",
]

_STATE_CHARS = 8_000

# API


def pid_text(who: Any) -> str:
    """Return a process as it is printed; of anything else a short text."""
    return repr(who) if isinstance(who, Pid) else who if isinstance(who, str) else brief(who, 2, 100)


def brief(value: Any, depth: int = 3, chars: int = 300, *, secrets: bool = False) -> str:
    """Return a text of at most `chars` characters, whatever the value's repr does. `secrets`: as for `format_term`."""
    try:
        if isinstance(value, Call):
            return f"call {format_term(value.request, depth, chars - 5, secrets=secrets)}"
        if isinstance(value, Cast):
            return f"cast {format_term(value.request, depth, chars - 5, secrets=secrets)}"
        if isinstance(value, Crash):
            return _cut(f"{type(value.exception).__name__}: {value.message}", chars)
        return format_term(value, depth, chars, secrets=secrets)
    except PASSED_ON:
        raise
    except BaseException as error:  # noqa: BLE001 - somebody's repr may raise anything
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def kind_of(p: Process) -> str:
    """Say what runs in a process, in a word: supervisor, server, state machine, connection, process."""
    behaviour = p.behaviour
    if isinstance(behaviour, SupervisorServer):
        return "supervisor"
    if isinstance(behaviour, GenServer):
        return "server"
    if isinstance(behaviour, GenStateMachine):
        return "state machine"
    word = _KINDS.get(type(behaviour).__name__)
    return word if word is not None else "process" if hasattr(behaviour, "fn") else "callback"


def state_text(p: Process) -> str:
    """Return the state of a server or state machine as its format_status shows it, cut; empty for what has none."""
    behaviour: Any = p.behaviour
    try:
        if isinstance(behaviour, GenServer):
            shown = shown_status(behaviour, state=fields(behaviour)).get("state")
        elif isinstance(behaviour, GenStateMachine):
            known = shown_status(behaviour, state=getattr(behaviour, "state", None), data=fields(behaviour))  # type: ignore[arg-type]  # it takes any object
            shown = (known.get("state"), known.get("data"))
        else:
            return ""
        return format_term(shown, 6, _STATE_CHARS)
    except PASSED_ON:
        raise
    except BaseException as error:  # noqa: BLE001 - fields are the user's, and so may be what reads them
        return f"<it cannot be shown: {type(error).__name__}>"


def is_suspended(p: Process) -> bool:
    """Tell whether somebody has suspended a process (`sys.suspend`)."""
    return getattr(p.control, "suspended", False) is True


def heads(p: Process, count: int, chars: int = 300) -> tuple[str, ...]:
    """Return the first messages of a mailbox, cut, a server's as its format_status shows them."""
    waiting = tuple(m for box in mailboxes(p) for m, _ in zip(box, range(count), strict=False))[:count]
    behaviour: Any = p.behaviour
    if waiting and isinstance(behaviour, (GenServer, GenStateMachine)):
        try:
            waiting = tuple(shown_status(behaviour, messages=waiting).get("messages") or ())  # type: ignore[arg-type]
        except PASSED_ON:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's
            waiting = (f"<they cannot be shown: {type(error).__name__}>",)
    return tuple(brief(message, 4, chars) for message in waiting[:count])


def message_text(p: Any, message: Any, chars: int = 300, *, secrets: bool = False) -> str:
    """Return a message to or from a process as `heads` shows those that wait: through its format_status, if it has one.

    Of a message that this hides, only the kind: `Submit(…)`. `secrets`: all of it.
    """
    behaviour: Any = getattr(p, "behaviour", None)
    if not secrets and isinstance(behaviour, (GenServer, GenStateMachine)):
        try:
            shown = tuple(shown_status(behaviour, messages=(message,)).get("messages") or ())  # type: ignore[arg-type]
        except PASSED_ON:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's
            return f"<it cannot be shown: {type(error).__name__}>"
        if len(shown) != 1:
            inner = getattr(message, "request", message) if isinstance(message, (Call, Cast)) else message
            word = "call " if isinstance(message, Call) else "cast " if isinstance(message, Cast) else ""
            return f"{word}{type(inner).__name__}(…)"
        message = shown[0]
    return brief(message, 4, chars, secrets=secrets)


def function_of(fn: Any) -> str:
    """Return `module.function` of a function."""
    return f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"


# Internals

_KINDS = {"Connection": "connection", "TLSConnection": "connection"}


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 3] + "..."
