"""The groups of one scope of `pg`: who is in which, how often; who is told. Knows nothing of calls and scopes' processes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Literal, NamedTuple

from runtime import kernel
from runtime.kernel import Process, Ref, send

from .last_rites import LastRites

__all__ = ["Discover", "GroupChange", "Joined", "Left", "Synced", "Table"]

# --------------------------------------------------------------------------------------------------------- types


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

    def __init__(self, table: Table, process: Process) -> None:
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

    def __init__(self, table: Table, process: Process, only: tuple[Hashable] | None) -> None:
        self.table = table
        self.only = only
        self.ref = kernel.make_ref()
        self.watch(process)

    def died(self, reason: Any) -> None:
        self.table.unsubscribe(self.ref)


class Table:
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
