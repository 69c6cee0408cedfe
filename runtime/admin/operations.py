"""The table of what can be asked over the control socket; every room that has something to offer adds its own.

    table = Operations()
    table.add("restart", handler, changes=True, doc="restart an application: {name}")

    def handler(request: Request) -> Any:          # runs in a process of its own, may block
        request.progress("stopping", name=...)     # an event to whoever asked
        return {"done": True}                      # plain values: the answer; or raise Denied(kind, sentence)

A handler that crashes ends its own process only: the client is told, and the report is in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Denied", "Handler", "Operation", "Operations", "Request", "Who"]

# Types


class Denied(Exception):
    """An operation says no: `kind` for programs, `str()` for people, `more` plain values that belong to it."""

    def __init__(self, kind: str, text: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.more = dict(more or {})


class Who(NamedTuple):
    """Who asks. `is_local`: over the Unix socket, as a user that the node trusts as itself."""

    name: str
    is_local: bool

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Request:
    """A request under way. `what` is for the audit: a handler may say more precisely what it is about.

    `connection`: what it came over (a runtime.net.Connection); its requests end or go on with it, see `control`.
    """

    name: str
    args: Mapping[str, Any]
    who: Who
    emit: Callable[[dict[str, Any]], None]
    what: str = ""
    is_answered: bool = False
    connection: Any = None

    def progress(self, stage: str, **facts: Any) -> None:
        """Tell the client how far it is; plain values. Never blocks; a client that is gone does not matter."""
        self.emit({"stage": stage, **facts})

    def arg(self, name: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """Return an argument of the type wanted. Raises Denied("arguments") if it is missing or another."""
        value = self.args.get(name, default)
        if value is ...:
            raise Denied("arguments", f"{self.name}: the argument {name} is missing")
        if not isinstance(value, kind) and value is not default:
            raise Denied(
                "arguments", f"{self.name}: the argument {name} must not be a {type(value).__name__}"
            )
        return value


Handler = Callable[[Request], Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry. `changes`: it acts; it then goes on when its client leaves, and its audit record is durable.

    `audited` False: it keeps an audit of its own, or is of no interest.
    """

    name: str
    handler: Handler
    changes: bool
    doc: str
    audited: bool = True


class Operations:
    """The table. Filled while the node starts; looked up for each request."""

    def __init__(self) -> None:
        self._table: dict[str, Operation] = {}
        self.add("operations", self._describe, doc="what can be asked here")

    def add(
        self, name: str, handler: Handler, *, changes: bool = False, doc: str = "", audited: bool = True
    ) -> None:
        """Add an operation. Raises ValueError when there is one of that name."""
        if name in self._table:
            raise ValueError(f"there is an operation {name!r} already")
        self._table[name] = Operation(name, handler, changes, doc, audited)

    def remove(self, name: str) -> None:
        """Take an operation out; requests under way finish. One that is not there is no error."""
        self._table.pop(name, None)

    def find(self, name: str) -> Operation | None:
        """Return an operation, None if there is none of that name."""
        return self._table.get(name)

    def names(self) -> list[str]:
        """Return all names, in order."""
        return sorted(self._table)

    def _describe(self, request: Request) -> list[dict[str, Any]]:
        table = self._table
        return [{"name": n, "changes": table[n].changes, "doc": table[n].doc} for n in self.names()]
