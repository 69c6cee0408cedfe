"""What the dashboard shows, view by view: each takes the request's query and returns plain data, from runtime.observe.

    look("processes", {"sort": "mailbox", "limit": "100"}, {})

Reads only, bounded, in slices. `memory` is what one open view remembers between two looks (see `http_live`); a view returns
None when there is nothing new for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime import code, kernel
from runtime.admin import commands, http_history
from runtime.admin.commands.here import running
from runtime.admin.recent_log import since
from runtime.admin.tables import Table
from runtime.kernel import CallError
from runtime.observe import health, snapshot

__all__ = ["ASKED", "LOOKS", "NotThere", "head", "look"]

_MAX_ROWS: Final = 500
_ALARMS: Final = 200
_LOGS: Final = 400
_LOG_CHARS: Final = 1_000_000
"""Of all entries of one look: a flood of long reports must not become megabytes for each page."""

# Types

Query = Mapping[str, str]
Memory = dict[str, Any]


class NotThere(LookupError):
    """What was asked for does not exist (any more): a sentence."""


# API


def look(name: str, query: Query, memory: Memory) -> Any:
    """Return what a view shows. Raises NotThere."""
    found = LOOKS.get(name)
    if found is None:
        raise NotThere(f"there is no view {name!r:.40}")
    return found(query, memory)


def head() -> dict[str, Any]:
    """Return what stands at the top of every view."""
    ups = snapshot.alarms()
    watched = snapshot.node_summary()
    node = running()
    return {
        "node": kernel.node(), "phase": getattr(node, "phase", ""), "ready": health.ready(node).ok,
        "alarms": len(ups),
        "worst": max((_RANK.get(one.level, 0) for one in ups), default=0),
        "release": watched["release"], "probation": bool(watched["probation"]),
    }  # fmt: skip


# Views


def _home(query: Query, memory: Memory) -> Any:
    last = http_history.newest()
    if memory and last.get("time") == memory.get("time"):
        return None
    found: dict[str, Any] = {"samples": [last] if last else []}
    if not memory:
        found["samples"] = http_history.history()
    memory["time"] = last.get("time")
    ready = health.ready(running())
    node = snapshot.node_summary()
    found |= {
        "node": {key: node[key] for key in _NODE},
        "ready": ready.ok,
        "reasons": ready.reasons,
        "alarms": snapshot.alarms()[:8],
        "applications": snapshot.applications(),
        "mailboxes": [row for row in snapshot.processes(6, sort="mailbox") if row.mailbox],
    }
    return found


def _processes(query: Query, memory: Memory) -> Any:
    sort, text = query.get("sort", "mailbox"), query.get("filter", "")[:200]
    is_reversed = query.get("reverse") == "1"
    rows = snapshot.processes(_limit(query, 100), sort=sort, filter=text, reverse=is_reversed)
    return {"rows": rows, "total": kernel.process_count(), "sorts": list(snapshot.SORTS)}


def _process(query: Query, memory: Memory) -> Any:
    who = query.get("pid", "")[:300]
    found = snapshot.process(who)
    if found is None:
        raise NotThere(f"there is no living process {who}")
    return found


def _tree(query: Query, memory: Memory) -> Any:
    return {"trees": snapshot.tree(children=_limit(query, 24), nodes=1_500)}


def _alarms(query: Query, memory: Memory) -> Any:
    ready = health.ready(running())
    ups = snapshot.alarms()
    more = max(0, len(ups) - _ALARMS)
    return {"alarms": ups[:_ALARMS], "more": more, "ready": ready.ok, "reasons": ready.reasons[:_ALARMS]}


def _releases(query: Query, memory: Memory) -> Any:
    found: dict[str, Any] = {"releases": snapshot.releases(_limit(query, 60)), "mode": "off"}
    try:
        status = code.status()
        found |= {
            "mode": status.mode, "busy": status.busy, "waiting": status.waiting, "probation": status.probation,
            "alarmed": status.alarmed,
        }  # fmt: skip
    except CallError:  # live code is off, or its server is being started
        pass
    return found


def _lingering(query: Query, memory: Memory) -> Any:
    """Not part of a live view: it looks at every object of the node in one piece."""
    try:
        return {"lingering": [snapshot.plain(one) for one in code.lingering()[:100]]}
    except CallError:
        return {"lingering": []}


def _connections(query: Query, memory: Memory) -> Any:
    return {
        "listeners": snapshot.listeners(),
        "connections": snapshot.connections(_limit(query, 100)),
        "tables": _own_tables(),
    }


def _logs(query: Query, memory: Memory) -> Any:
    entries = since(memory.get("after", 0), query.get("level", "info"), _LOGS, _LOG_CHARS)
    if not entries and memory:
        return None
    memory["after"] = entries[-1].number if entries else 0
    rows = [(one.number, logging.getLevelName(one.level).lower(), one.at, one.text) for one in entries]
    # By the life the page knows whether the numbers go on from those it has.
    return {"life": kernel.node_creation(), "entries": rows}


def _store(query: Query, memory: Memory) -> Any:
    return snapshot.store_info()


LOOKS: Final[dict[str, Callable[[Query, Memory], Any]]] = {
    "home": _home,
    "processes": _processes,
    "process": _process,
    "tree": _tree,
    "alarms": _alarms,
    "releases": _releases,
    "lingering": _lingering,
    "connections": _connections,
    "logs": _logs,
    "store": _store,
}
ASKED: Final = frozenset({"lingering"})
"""What is only shown when it is asked for, not followed."""

# Internals

_RANK = {"debug": 0, "info": 0, "warning": 1, "error": 2, "critical": 3}
_NODE = (
    "node", "creation", "pid", "python", "uptime", "release", "memory_limit", "descriptor_limit", "disk_share", "stacks",
    "zombies",
)  # fmt: skip
_TABLES = ("sessions",)
"""Commands of applications' themes (`commands.add`) that are tables of their users: shown below the connections."""


def _limit(query: Query, usual: int) -> int:
    given = query.get("limit", "")
    return (
        max(1, min(int(given), _MAX_ROWS))
        if given.isascii() and given.isdigit() and len(given) < 6
        else usual
    )


def _own_tables() -> list[dict[str, Any]]:
    found = []
    for theme, functions in commands.table().items():
        for name in _TABLES:
            function = functions.get(name)
            if function is None:
                continue
            try:
                table = function()
            except Exception as error:  # noqa: BLE001 - an application's; the rest must be seen all the same
                found.append(
                    {"theme": theme, "name": name, "columns": [], "rows": [], "note": str(error)[:300]}
                )
                continue
            found.append(_as_rows(theme, name, table))
    return found


def _as_rows(theme: str, name: str, table: Any) -> dict[str, Any]:
    rows = list(table)[:_MAX_ROWS] if isinstance(table, (list, tuple)) else []
    columns = [column.head or column.name for column in table.columns] if isinstance(table, Table) else []
    cells = []
    if isinstance(table, Table):
        cells = [[_cell(column, row) for column in table.columns] for row in rows]
    return {
        "theme": theme,
        "name": name,
        "columns": columns,
        "rows": cells,
        "note": getattr(table, "note", ""),
    }


def _cell(column: Any, row: Any) -> str:
    from runtime.admin.tables import field

    value = field(row, column.name)
    if value is None:
        return ""
    return str(column.show(value) if column.show is not None else value)[:300]
