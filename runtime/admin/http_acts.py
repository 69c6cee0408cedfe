"""Acting through the dashboard: the operations of the control socket that fit, each in a process of its own, in the same audit.

Whoever has the token counts as the node's user: the token lies in a file that only that user can read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from runtime.admin.control import Audit
from runtime.admin.operations import Denied, Operation, Operations, Request, Who
from runtime.kernel import Crash, Down, receive_match, spawn_opt

__all__ = ["ACTS", "act"]

_log = logging.getLogger("evergreen.admin")
ACTS: Final = (
    "confirm", "diff", "kill", "log_level", "restart", "resume", "rollback", "state", "suspend",
)  # fmt: skip
"""What the dashboard offers. Shells and pushes (which need a signed bundle) stay with the socket."""

# API


def act(table: Operations, audit: Audit, name: str, args: Mapping[str, Any], who: Who) -> Any:
    """Do an operation and return its result. Blocks until it is done; if the caller ends meanwhile, it is done all the same.

    Raises Denied.
    """
    operation = table.find(name) if name in ACTS else None
    if operation is None:
        raise Denied("unknown", f"there is no operation {name!r:.40} here")
    request = Request(name, args, who, _unheard)
    outcome: list[Any] = []
    _, ref = spawn_opt(_run, operation, request, audit, outcome, monitor=True, label=f"dashboard {name}")
    down: Down = receive_match(lambda message: isinstance(message, Down) and message.ref == ref)
    if not outcome:
        # Of an exception it has told itself; it may also have been ended from outside, in the middle.
        if not isinstance(down.reason, Crash):
            spawn_opt(
                _note, operation, request, audit, f"ended: {down.reason!r:.300}", label="dashboard audit"
            )
        raise Denied("crash", f"{name} crashed: {down.reason!r:.300}; the report is in the node's log")
    if isinstance(outcome[0], Denied):
        raise outcome[0]
    return outcome[0]


# Internals


def _unheard(_event: dict[str, Any]) -> None:
    """The stages of a rollback: the page follows the releases anyway."""


def _run(operation: Operation, request: Request, audit: Audit, outcome: list[Any]) -> None:
    """The life of the operation's process."""
    try:
        found = operation.handler(request)
        verdict = "ok"
    except Denied as denied:
        found = denied.with_traceback(None)
        verdict = f"refused ({denied.kind}): {denied}"
    except Exception as error:
        _note(operation, request, audit, f"crashed: {error!r:.300}")
        raise
    _note(operation, request, audit, verdict)
    outcome.append(found)


def _note(operation: Operation, request: Request, audit: Audit, verdict: str) -> None:
    if operation.audited:
        level = logging.INFO if operation.changes else logging.DEBUG
        _log.log(level, "%s: %s %s: %s", request.who, request.name, request.what, verdict)
        audit(request.who, request.name, request.what, verdict, operation.changes)
