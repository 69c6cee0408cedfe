"""What a look at the node returns: frozen dataclasses of plain values, which `plain` turns into what JSON and msgpack carry.

Pids are texts as printed (`<42@node>`, `<name@node>`); beside each, its `number`. Seconds, bytes, counts. Whatever a node
or a dump does not know is None, "" or 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from runtime.observe.slices import Breather

__all__ = [
    "AlarmRow",
    "ApplicationRow",
    "ProcessDetail",
    "ProcessRow",
    "ReleaseRow",
    "Row",
    "TreeNode",
    "plain",
]

# Types


class Row:
    """Fields by their names in brackets, too, as of a dict: `row["pid"]`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        if name in self.__dataclass_fields__:  # type: ignore[attr-defined]  # each of them is one
            return getattr(self, name)
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow(Row):
    """One process in a list. `type`: supervisor, server, process, connection...: by what it runs."""

    pid: str
    number: int
    name: str | None
    label: str
    type: str
    initial_call: str
    current: str
    """`module.function:line` where it is; where it waits, if it holds no stack."""
    status: str
    """running, runnable, waiting, suspended."""
    waits_for: str
    """receive, io, timer, `call to <...>`; empty when it only waits for messages, without a stack."""
    mailbox: int
    links: int
    monitors: int
    memory: int
    """Bytes of its record, mailbox and stack, estimated; not of what its state holds (see ProcessDetail.heap)."""
    priority: str
    parent: str | None
    cpu: float = 0.0
    """Part of the node's time that it had within the last ten seconds, 0 to 1, by samples (`runtime.observe.busy`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDetail(Row):
    """All that is known of one process without asking it. `row` is what the list shows."""

    row: ProcessRow
    trap_exit: bool
    links: tuple[str, ...]
    monitors: tuple[str, ...]
    monitored_by: tuple[str, ...]
    ancestors: tuple[str, ...]
    dictionary: Mapping[str, str]
    watermarks: tuple[int, int]
    alarmed: bool
    """Its mailbox is past the high mark; only then are senders counted."""
    senders: tuple[tuple[str, int], ...]
    """Who sent how many messages since then, most first."""
    messages: tuple[str, ...]
    """The heads of the first messages of its mailbox."""
    stack: tuple[str, ...]
    state: str
    """As format_status shows it, cut; empty for what is no server."""
    heap: int
    """Bytes reached from its state, stopping at shared things and at 10,000 objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode(Row):
    """A place in the supervision tree. `status`: running, restarting, stopped; `more`: children that are not in `children`.

    `strategy`, `restarts` (within `period` now), `intensity` and `period` are a supervisor's.
    """

    id: str
    pid: str | None
    number: int
    name: str | None
    type: str
    """application, supervisor, worker, process."""
    restart: str
    status: str
    mailbox: int
    initial_call: str
    strategy: str = ""
    restarts: int = 0
    intensity: int = 0
    period: float = 0.0
    children: tuple[TreeNode, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationRow(Row):
    """One application. `status`: loaded, starting, running, stopping."""

    name: str
    description: str
    status: str
    start_type: str
    pid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow(Row):
    """An alarm that is up. `name`: the first word of its id, by which to tell kinds apart; `since`: seconds of the epoch."""

    id: str
    name: str
    description: str
    level: str
    since: float
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow(Row):
    """A release of the release log. `is_current`: it runs; `changed`: files that differ from the one before it."""

    id: str
    base: str
    number: int
    time: float
    by: str
    note: str
    kind: str
    result: str
    why: str
    files: int
    seconds: Mapping[str, float]
    migrated: int
    is_current: bool


# API


def plain(value: Any) -> Any:
    """Return `value` with dataclasses as dicts and tuples as lists, all the way down. Gives way while it works."""
    return _plain(value, Breather())


# Internals


def _plain(value: Any, breather: Breather) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        breather.take()
        return {one.name: _plain(getattr(value, one.name), breather) for one in fields(value)}
    if isinstance(value, Mapping):
        breather.take()
        return {str(key): _plain(one, breather) for key, one in list(value.items())}
    if isinstance(value, (list, tuple)):
        return [_plain(one, breather) for one in (value if isinstance(value, tuple) else list(value))]
    return value
