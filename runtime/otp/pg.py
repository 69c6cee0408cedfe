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
from typing import Any, Final, Literal, NamedTuple

from runtime import kernel
from runtime.kernel import Call, Down, Pid, Process, Ref, send

from .child_spec import ChildSpec
from .gen_server import GenServer
from .last_rites import LastRites

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


class GroupChange(NamedTuple):
    """The message of `monitor` and `monitor_scope`. `pids`: one for each time that it joined or left."""

    ref: Ref
    change: Literal["join", "leave"]
    group: Hashable
    pids: tuple[Any, ...]


class Discover(NamedTuple):
    """Between the scopes of one name on several nodes: here I am, `peer`; tell me your members."""

    peer: Any


class Synced(NamedTuple):
    """All members of the peer's own node: (group, pids) of each of its groups, in place of what it said before."""

    peer: Any
    groups: tuple[tuple[Hashable, tuple[Any, ...]], ...]


class Joined(NamedTuple):
    """These processes of the peer's node joined."""

    peer: Any
    group: Hashable
    pids: tuple[Any, ...]


class Left(NamedTuple):
    """These processes of the peer's node left, or ended."""

    peer: Any
    group: Hashable
    pids: tuple[Any, ...]


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


class _Bag(dict[Any, int]):
    """How often each process is in a group. `size`: of all together, so that the usual once-each is seen at once."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def put(self, pid: Any) -> None:
        self[pid] = self.get(pid, 0) + 1
        self.size += 1

    def take(self, pid: Any) -> bool:
        n = self.get(pid, 0)
        if n == 0:
            return False
        if n == 1:
            del self[pid]
        else:
            self[pid] = n - 1
        self.size -= 1
        return True

    def pids(self) -> list[Any]:
        return list(self) if self.size == len(self) else [pid for pid, n in self.items() for _ in range(n)]


class _Group:
    __slots__ = ("local", "remote")

    def __init__(self) -> None:
        self.local = _Bag()
        self.remote = _Bag()


class _Member(LastRites):
    """A process of this node that is in some group; `groups`: how often in each."""

    __slots__ = ("groups", "table")

    def __init__(self, table: _Table, process: Process) -> None:
        self.table = table
        self.groups = _Bag()
        self.watch(process)

    def died(self, reason: Any) -> None:
        table, process = self.table, self.process
        table.members.pop(process, None)
        for group in list(self.groups):
            table.remove(group, (process,) * self.groups[group], of=None)


class _Subscription(LastRites):
    """Somebody who is told of changes: of the group `only`, or of all."""

    __slots__ = ("only", "ref", "table")

    def __init__(self, table: _Table, process: Process, only: tuple[Hashable] | None) -> None:
        self.table = table
        self.only = only
        self.ref = kernel.make_ref()
        self.watch(process)

    def died(self, reason: Any) -> None:
        self.table.unsubscribe(self.ref)


class _Table:
    """The groups of a scope. Written by its process, and by a death; read by everybody.

    Invariants (`_check`): a group in `groups` has a member; a local member's own count of a group is the group's of it; a
    group's remote members are the sum of what the peers said.
    """

    def __init__(self, scope: Process) -> None:
        self.scope = scope
        self.groups: dict[Hashable, _Group] = {}
        self.members: dict[Process, _Member] = {}
        self.peers: dict[Any, dict[Hashable, _Bag]] = {}
        self.subscriptions: dict[Ref, _Subscription] = {}
        self.of_all: dict[Ref, _Subscription] = {}
        self.of_group: dict[Hashable, dict[Ref, _Subscription]] = {}

    def __repr__(self) -> str:
        return f"<{len(self.groups)} groups, {len(self.members)} local members, {len(self.peers)} peers>"

    def join(self, group: Hashable, pids: tuple[Process, ...]) -> None:
        living = []
        for pid in pids:
            if not kernel.is_alive(pid):
                continue
            member = self.members.get(pid)
            if member is None:
                member = self.members[pid] = _Member(self, pid)
            member.groups.put(group)
            living.append(pid)
        self.add(group, tuple(living), of=None)

    def leave(self, group: Hashable, pids: tuple[Process, ...]) -> bool:
        gone = []
        for pid in pids:
            member = self.members.get(pid)
            if member is not None and member.groups.take(group):
                gone.append(pid)
                if not member.groups:
                    member.unwatch()
                    del self.members[pid]
        self.remove(group, tuple(gone), of=None)
        return bool(gone)

    def add(self, name: Hashable, pids: tuple[Any, ...], of: Any) -> None:
        """Put members in, those of the peer `of` or (None) our own, and tell whoever wants to know."""
        if not pids:
            return
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = _Group()
        bags = (group.local,) if of is None else (group.remote, self.peers[of].setdefault(name, _Bag()))
        for bag in bags:
            for pid in pids:
                bag.put(pid)
        self._tell("join", name, pids, of)

    def remove(self, name: Hashable, pids: tuple[Any, ...], of: Any) -> None:
        """Take members out; those that are not in are passed over."""
        group = self.groups.get(name)
        if group is None or not pids:
            return
        if of is None:
            gone = tuple([pid for pid in pids if group.local.take(pid)])
        else:
            said = self.peers[of].get(name, _Bag())
            gone = tuple([pid for pid in pids if said.take(pid) and group.remote.take(pid)])
            if not said:
                self.peers[of].pop(name, None)
        if not group.local and not group.remote:
            del self.groups[name]
        if gone:
            self._tell("leave", name, gone, of)

    def sync(self, peer: Any, groups: Iterable[tuple[Hashable, tuple[Any, ...]]]) -> None:
        """Make a peer's members those of `groups`; what stays is no change."""
        wanted: dict[Hashable, _Bag] = {}
        for name, pids in groups:
            bag = wanted.setdefault(name, _Bag())
            for pid in pids:
                bag.put(pid)
        for name, bag in list(self.peers[peer].items()):
            stays = wanted.get(name, _Bag())
            self.remove(name, tuple([pid for pid in bag.pids() if not stays.take(pid)]), peer)
        for name, bag in wanted.items():
            self.add(name, tuple(bag.pids()), peer)

    def subscribe(self, process: Process, only: tuple[Hashable] | None) -> Ref:
        one = _Subscription(self, process, only)
        self.subscriptions[one.ref] = one
        (self.of_all if only is None else self.of_group.setdefault(only[0], {}))[one.ref] = one
        return one.ref

    def unsubscribe(self, ref: Ref) -> bool:
        one = self.subscriptions.pop(ref, None)
        if one is None:
            return False
        one.unwatch()
        if one.only is None:
            del self.of_all[ref]
        else:
            of_this = self.of_group[one.only[0]]
            del of_this[ref]
            if not of_this:
                del self.of_group[one.only[0]]
        return True

    def close(self) -> None:
        """The scope has ended: nobody's death matters to it any more."""
        for one in [*self.members.values(), *self.subscriptions.values()]:
            one.unwatch()

    def _tell(
        self, change: Literal["join", "leave"], group: Hashable, pids: tuple[Any, ...], of: Any
    ) -> None:
        for some in (self.of_all, self.of_group.get(group)):
            for ref, one in (some or {}).items():
                send(one.process, GroupChange(ref, change, group, pids))
        if of is None and self.peers:
            news = (Joined if change == "join" else Left)(self.scope, group, pids)
            for peer in self.peers:
                send(peer, news)

    def _check(self) -> None:
        """Assert the invariants. For tests."""
        for name, group in self.groups.items():
            assert group.local or group.remote, f"{name!r} is empty"
            for pid, n in group.local.items():
                assert self.members[pid].groups[name] == n, f"{pid!r} is in {name!r} {n} times"
            for pid, n in group.remote.items():
                said = sum(groups.get(name, {}).get(pid, 0) for groups in self.peers.values())
                assert said == n, f"{pid!r} of another node is in {name!r} {n} times, its peers say {said}"
            assert group.local.size == sum(group.local.values())
            assert group.remote.size == sum(group.remote.values())
        for pid, member in self.members.items():
            assert kernel.is_alive(pid), f"{pid!r} is dead"
            assert member in (pid.monitored_by or ()), f"the death of {pid!r} would not be noticed"
            assert member.groups, f"{pid!r} is in no group"
            assert all(pid in self.groups[name].local for name in member.groups)


class _Scope(GenServer):
    """The process of a scope."""

    def init(self, scope: str) -> None:
        self.scope = scope
        self.table = _Table(kernel.self_())
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


_CHANGES: Final[Mapping[Any, Callable[..., None]]] = {Joined: _Table.add, Left: _Table.remove}
_tables: dict[str, _Table] = {}


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
