"""What can be done to processes through the operations' table: the same commands as in the admin shell, by a pid's text.

`who` is a pid as printed, a number or a name. Each is in the audit with what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.admin.commands import CannotDo, acting, node_state
from runtime.admin.operations import Denied, Operations, Request
from runtime.admin.shell_views import pretty
from runtime.kernel import CallError
from runtime.observe import snapshot
from runtime.otp import sys
from runtime.otp.supervisor_errors import StartChildError

__all__ = ["add_to"]

# API


def add_to(table: Operations) -> None:
    """Add the operations."""
    table.add(
        "suspend",
        _answering(_suspend),
        changes=True,
        doc="hold a server: {who, sure: also one that the node needs}",
    )
    table.add("resume", _answering(_resume), changes=True, doc="let a suspended server go on: {who}")
    table.add(
        "kill",
        _answering(_kill),
        changes=True,
        doc="end a process: {who, sure: also one that the node needs}",
    )
    table.add("restart", _answering(_restart), changes=True, doc="stop and start a supervisor's child: {who}")
    table.add("state", _answering(_state), doc="ask a server for its state: {who}", audited=False)
    table.add(
        "log_level", _answering(_log_level), changes=True, doc="set a level of the log: {level, module}"
    )


# Internals


def _answering(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    def answering(request: Request) -> Any:
        try:
            return handler(request)
        except CannotDo as error:
            raise Denied("refused", str(error)) from None
        except CallError as error:
            raise Denied("no answer", f"it does not answer: {error.reason!r:.300}") from None
        except StartChildError as error:
            raise Denied(
                "not started", f"it was stopped and cannot be started again: {error!s:.500}"
            ) from None

    return answering


def _who(request: Request) -> str:
    who = request.arg("who", str)[:300]
    request.what = who
    return who  # type: ignore[no-any-return]


def _suspend(request: Request) -> str:
    who = _who(request)
    acting.suspend(who, 3.0, sure=request.arg("sure", bool, False))
    return f"{who} is suspended: it takes no messages until it is resumed"


def _resume(request: Request) -> str:
    who = _who(request)
    acting.resume(who, 3.0)
    return f"{who} goes on"


def _kill(request: Request) -> str:
    return acting.kill(_who(request), sure=request.arg("sure", bool, False))


def _restart(request: Request) -> str:
    return acting.restart(_who(request))


def _state(request: Request) -> str:
    """The state as its own format_status shows it; what is no server has none to ask for."""
    who = _who(request)
    seen = snapshot.process(who)
    if seen is None:
        raise Denied("unknown", f"there is no living process {who}")
    if seen.row.type not in _SERVERS:
        raise Denied("no server", f"{seen.row.pid} is a {seen.row.type}: it takes no such question")
    return pretty(sys.get_status(snapshot.find(who), 2.0).state, 100)[:50_000]


def _log_level(request: Request) -> list[dict[str, str]]:
    level, module = request.arg("level", str), request.arg("module", str, "")
    # Loggers stay, with one for each part of their name.
    if len(module) > _LOGGER or not all(part.isidentifier() for part in module.split(".") if module):
        raise Denied(
            "arguments", f"there is no logger {module!r:.80}: want a module's name, or evergreen.crash"
        )
    request.what = f"{module or 'all others'}: {level}"
    return list(node_state.log(level, module))


_LOGGER = 200
_SERVERS = ("server", "state machine", "supervisor")
