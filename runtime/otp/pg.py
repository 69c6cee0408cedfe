"""pg: named groups of processes. Join, leave, and ask who is there.

    pg.start_link()                                   # the default scope; under a supervisor: pg.child_spec()
    pg.join("lobby", self_())
    for pid in pg.get_members("lobby"):               # a dictionary read in the caller, no call
        send(pid, "hello")
    ref, pids = pg.monitor("lobby")                   # from now on: GroupChange(ref, "join" | "leave", group, pids)

A group is there while it has members: none is made, and none is ever empty. A process joins as often as it likes and is
as often in the list; it must leave as often, or end, and is then gone before anybody hears of its death. Scopes share
nothing; a scope is a process, known by its name. When it ends, so do its groups: members join again.

With other nodes: each scope is to find the scopes of its name there, and say `Discover` to them. They then tell each
other their own members once (`Synced`) and every change after that (`Joined`, `Left`), and a peer that goes down takes
its members along. All writes go through the scope's process, so that every peer gets them in one order.

Where this differs from OTP: members end with their process at once, not eventually; the order of members is that of
joining; a change is a named tuple with a tuple of pids; `leave` returns False for not_joined.

Source: OTP pg; pg_SUITE.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from runtime import kernel
from runtime.kernel import Call, Down, Pid, Process, Ref, send

from .child_spec import ChildSpec
from .gen_server import GenServer
from .pg_table import Discover, GroupChange, Joined, Left, Synced, Table

__all__ = [
    "DEFAULT_SCOPE", "Discover", "GroupChange", "Joined", "Left", "NotLocal", "Synced", "child_spec", "demonitor",
    "get_local_members", "get_members", "join", "leave", "monitor", "monitor_scope", "start", "start_link",
    "which_groups", "which_local_groups",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types

DEFAULT_SCOPE: Final = "pg"


class NotLocal(ValueError):
    """Only processes of this node join and leave here; `pid` is none, and nothing was done."""

    def __init__(self, pid: Any) -> None:
        super().__init__(f"{pid!r} is no process of this node")
        self.pid = pid


# ------------------------------------------------------------------------------------------------- API: the scope


def start_link(scope: str = DEFAULT_SCOPE) -> Process:
    """Start a scope linked to the caller, its parent, and registered under its name. Raises AlreadyStarted (`.pid`)."""
    _checked_scope(scope)
    pid = _Scope.start_link(scope, name=scope)
    assert pid is not None  # its init never ignores
    return pid


def start(scope: str = DEFAULT_SCOPE) -> Process:
    """As start_link, without a link."""
    _checked_scope(scope)
    pid = _Scope.start(scope, name=scope)
    assert pid is not None
    return pid


def child_spec(scope: str = DEFAULT_SCOPE) -> ChildSpec:
    """Return the spec of a scope under a supervisor."""
    return ChildSpec(scope, (start_link, (scope,)))


# --------------------------------------------------------------------------------------------- API: joining, leaving
# These block until the scope's process has done it. Exits: CallError noproc when the scope does not run.


def join(group: Hashable, pids: Pid | Iterable[Pid], scope: str = DEFAULT_SCOPE) -> None:
    """Add processes of this node to a group, once more each. One that is dead already is passed over.

    Raises: NotLocal, TypeError (a group that is not hashable); nobody has joined then.
    """
    kernel.call(scope, _Join(_hashable(group), _local(pids)), None)


def leave(group: Hashable, pids: Pid | Iterable[Pid], scope: str = DEFAULT_SCOPE) -> bool:
    """Take processes of this node out of a group, once each. False: not one of them was in it. Raises as `join`."""
    return kernel.call(scope, _Leave(_hashable(group), _local(pids)), None)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------------------- API: reading
# Done in the caller. A scope that does not run has no groups.


def get_members(group: Hashable, scope: str = DEFAULT_SCOPE) -> list[Any]:
    """Return the members on all nodes, those of this one first. O(members); none: []."""
    table = _tables.get(scope)
    found = table.groups.get(group) if table is not None else None
    return found.local.pids() + found.remote.pids() if found is not None else []


def get_local_members(group: Hashable, scope: str = DEFAULT_SCOPE) -> list[Any]:
    """Return the members on this node."""
    table = _tables.get(scope)
    found = table.groups.get(group) if table is not None else None
    return found.local.pids() if found is not None else []


def which_groups(scope: str = DEFAULT_SCOPE) -> list[Hashable]:
    """Return the groups that have members."""
    table = _tables.get(scope)
    return list(table.groups) if table is not None else []


def which_local_groups(scope: str = DEFAULT_SCOPE) -> list[Hashable]:
    """Return the groups that have members on this node."""
    table = _tables.get(scope)
    return [name for name, group in table.groups.items() if group.local] if table is not None else []


# ------------------------------------------------------------------------------------------------- API: monitoring


def monitor_scope(scope: str = DEFAULT_SCOPE) -> tuple[Ref, dict[Hashable, list[Any]]]:
    """Return all groups with their members; each later change comes to the caller as a GroupChange with the ref.

    Monitors stack. One ends with its caller, by `demonitor`, or with the scope (which nobody is told: monitor that too).
    """
    return kernel.call(scope, _Monitor(None), None)  # type: ignore[no-any-return]


def monitor(group: Hashable, scope: str = DEFAULT_SCOPE) -> tuple[Ref, list[Any]]:
    """As `monitor_scope`, of one group, which may be one that is not there yet: returns (ref, members)."""
    return kernel.call(scope, _Monitor((_hashable(group),)), None)  # type: ignore[no-any-return]


def demonitor(ref: Ref, scope: str = DEFAULT_SCOPE) -> bool:
    """End a monitor, and remove its messages from the mailbox. False: there was none."""
    if not isinstance(ref, Ref):
        raise TypeError(f"{ref!r} is no reference of a monitor")
    found = kernel.call(scope, _Demonitor(ref), None)
    while (
        kernel.receive_match(lambda m: m.__class__ is GroupChange and m.ref is ref, 0) is not kernel.TIMEOUT
    ):
        pass
    return found  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------- internals


class _Join(NamedTuple):
    group: Hashable
    pids: tuple[Process, ...]


class _Leave(NamedTuple):
    group: Hashable
    pids: tuple[Process, ...]


class _Monitor(NamedTuple):
    only: tuple[Hashable] | None
    """The group, in a tuple since it may be None; or None: all."""


class _Demonitor(NamedTuple):
    ref: Ref


class _Scope(GenServer):
    """The process of a scope."""

    def init(self, scope: str) -> None:
        self.scope = scope
        self.table = Table(kernel.self_())
        _tables[scope] = self.table

    def handle_call(self, request: Any, sender: Call) -> Any:
        kind = request.__class__
        table = self.table
        if kind is _Join:
            return table.join(request.group, request.pids)
        if kind is _Leave:
            return table.leave(request.group, request.pids)
        if kind is _Monitor and sender.process is not None:
            ref = table.subscribe(sender.process, request.only)
            if request.only is not None:
                return ref, get_members(request.only[0], self.scope)
            return ref, {name: get_members(name, self.scope) for name in table.groups}
        if kind is _Demonitor:
            return table.unsubscribe(request.ref)
        return super().handle_call(request, sender)

    def handle_info(self, message: Any) -> Any:
        table = self.table
        kind = message.__class__
        if kind is Discover:
            if message.peer not in table.peers:
                self._add_peer(message.peer)
                send(message.peer, Discover(table.scope))
            own = tuple([(name, tuple(g.local.pids())) for name, g in table.groups.items() if g.local])
            send(message.peer, Synced(table.scope, own))
        elif kind is Synced:
            if message.peer not in table.peers:
                self._add_peer(message.peer)
            table.sync(message.peer, message.groups)
        elif kind is Down:
            if message.pid in table.peers:
                table.sync(message.pid, ())
                del table.peers[message.pid]
        elif kind in _CHANGES:
            if message.peer in table.peers:  # else it is one whose end we have heard of already
                _CHANGES[kind](table, message.group, message.pids, message.peer)
        else:
            super().handle_info(message)

    def _add_peer(self, peer: Any) -> None:
        self.table.peers[peer] = {}
        kernel.monitor(peer)

    def on_exit(self, process: Process, reason: Any) -> None:
        """Called at death, whatever the cause."""
        table = _tables.get(getattr(self, "scope", ""))
        if table is not None and table.scope is process:
            del _tables[self.scope]
            table.close()


_CHANGES: Final[Mapping[Any, Callable[..., None]]] = {Joined: Table.add, Left: Table.remove}
_tables: dict[str, Table] = {}


def _checked_scope(scope: Any) -> None:
    if not isinstance(scope, str) or not scope:
        raise ValueError(f"scope={scope!r}: want a name, a non-empty string")


def _hashable(group: Hashable) -> Hashable:
    hash(group)
    return group


def _local(pids: Pid | Iterable[Pid]) -> tuple[Process, ...]:
    given = (pids,) if isinstance(pids, Pid) else tuple(pids)
    for pid in given:
        if not isinstance(pid, Process):
            raise NotLocal(pid)
    return given  # type: ignore[return-value]  # all of them are
