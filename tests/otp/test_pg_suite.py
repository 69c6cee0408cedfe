"""The cases of OTP's pg_SUITE that one node can show; other nodes are stood for by processes that speak their part."""

from __future__ import annotations

import random
from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import KILL, NOPROC, CallError, Down, RemotePid, exit, receive, self_, send, spawn
from runtime.otp import pg, proc_lib, sys
from runtime.otp.outcome import AlreadyStarted
from runtime.otp.supervisor import Supervisor, SupFlags, which_children
from runtime.testing import settle

SCOPE = "pg_test"


class Idle:
    """A process without a stack, to be a member."""

    def on_message(self, process, message):
        pass


@contextmanager
def scope(name=SCOPE):
    pid = pg.start(name)
    try:
        yield pid
        if kernel.is_alive(pid):
            pg._tables[name]._check()
    finally:
        if kernel.is_alive(pid):
            proc_lib.stop(pid)
        assert name not in pg._tables


@contextmanager
def members(count):
    pids = [kernel.spawn_callback(Idle()) for _ in range(count)]
    try:
        yield pids
    finally:
        for pid in pids:
            exit(pid, KILL)
            assert not pid.monitored_by


def join(*args):
    return pg.join(*args, scope=SCOPE)


def leave(*args):
    return pg.leave(*args, scope=SCOPE)


def get(group):
    return pg.get_members(group, SCOPE)


def test_single():
    """pg_SUITE single: join twice is twice in the list; leave takes one; not_joined; no empty group stays."""
    with scope():
        assert join("a", self_()) is None
        join("a", self_())
        assert get("a") == pg.get_local_members("a", SCOPE) == [self_()] * 2
        assert pg.which_groups(SCOPE) == pg.which_local_groups(SCOPE) == ["a"]
        assert leave("a", self_()) is True
        assert get("a") == [self_()]
        assert leave("a", self_()) is True
        assert leave("a", self_()) is False
        assert (get("a"), pg.which_groups(SCOPE)) == ([], [])
        join("none", [])
        assert pg.which_groups(SCOPE) == []
        assert not self_().monitored_by


def test_single_lists():
    """pg_SUITE single: lists join and leave at once; leave is not_joined only if nobody of the list was in."""
    with scope(), members(3) as (a, b, c):
        join("g", [a, a, b])
        assert get("g") == [a, a, b]
        assert leave("g", [c, a]) is True
        assert get("g") == [a, b]
        assert leave("g", [c, c]) is False
        assert leave("g", [a, b, b]) is True
        assert pg.which_groups(SCOPE) == []


def test_default_scope_and_others_share_nothing():
    """pg: start_link/0 is the scope pg; a group of one scope is unknown in the other; a scope starts once."""
    with scope(), scope(pg.DEFAULT_SCOPE) as default:
        pg.join("g", self_())
        assert (pg.get_members("g"), get("g")) == ([self_()], [])
        with pytest.raises(AlreadyStarted) as taken:
            pg.start_link()
        assert taken.value.pid is default
        assert pg.get_members("g") == [self_()]


@pytest.mark.parametrize("group", [None, 0, "g", ("g", 1), frozenset({1})])
def test_any_hashable_is_a_group(group):
    """pg: a group is any term."""
    with scope():
        ref, now = pg.monitor(group, SCOPE)
        assert now == []
        join(group, self_())
        assert receive(0) == (ref, "join", group, (self_(),))
        assert pg.which_groups(SCOPE) == [group]
        with pytest.raises(TypeError, match="unhashable"):
            join([], self_())


def test_process_owner_check():
    """pg_SUITE process_owner_check: only processes of this node join; of a bad list nobody does."""
    with scope() as pid:
        remote = RemotePid("other", 7, 1)
        for act in (join, leave):
            with pytest.raises(pg.NotLocal) as refused:
                act("g", [self_(), remote])
            assert refused.value.pid == remote
        with pytest.raises(pg.NotLocal):
            join("g", ["name"])
        assert get("g") == []
        assert kernel.is_alive(pid)


def test_members_vanish_with_their_process():
    """pg: a process that ends is in no group any more, as soon as anybody can know of it."""
    with scope(), members(2) as (a, b):
        join("g", [a, b, a])
        join("h", [a])
        watch = kernel.monitor(a)
        ref, _ = pg.monitor_scope(SCOPE)
        exit(a, KILL)
        assert get("g") == [b]
        assert pg.which_groups(SCOPE) == ["g"]
        assert {receive(0), receive(0), receive(0)} == {
            Down(watch, a, "killed"),
            (ref, "leave", "g", (a, a)),
            (ref, "leave", "h", (a,)),
        }
        pg._tables[SCOPE]._check()


def test_leave_exit_race():
    """pg_SUITE leave_exit_race: leave and exit in either order do no harm; a dead process does not join."""
    with scope() as pid:
        for turn in range(100):
            member = kernel.spawn_callback(Idle())
            join("g", [member, member])
            if turn % 2:
                spawn(exit, member, KILL)
                assert leave("g", member) in (True, False)
            else:
                spawn(leave, "g", member)
                exit(member, KILL)
            join("g", member)
            settle()
            leave("g", member)
            exit(member, KILL)
            assert (get("g"), pg.which_groups(SCOPE)) == ([], [])
            assert leave("g", member) is False
        assert kernel.is_alive(pid)
        assert not pg._tables[SCOPE].members


def test_scope_restart():
    """pg_SUITE scope_restart: a scope that starts anew knows nobody; members live on and join again."""
    with members(1) as (pid,):
        with scope() as first:
            join("g", [pid, pid])
            pg.monitor_scope(SCOPE)
            exit(first, KILL)
            assert (get("g"), pg.get_local_members("g", SCOPE), pg.which_groups(SCOPE)) == ([], [], [])
            assert kernel.is_alive(pid)
            assert not pid.monitored_by
            assert not self_().monitored_by
            with pytest.raises(CallError) as failure:
                join("g", pid)
            assert failure.value.reason == NOPROC
        with scope():
            assert get("g") == []
            join("g", pid)
            assert get("g") == [pid]


def test_scope_under_a_supervisor_comes_back():
    """pg_SUITE scope_restart: killed under a supervisor, it is there again, empty."""
    kernel.trap_exit(True)
    sup = Supervisor.start_link_with(SupFlags(), [pg.child_spec(SCOPE)])
    join("g", self_())
    first = which_children(sup)[0].pid
    exit(first, KILL)
    settle()
    assert kernel.whereis(SCOPE) not in (None, first)
    assert get("g") == []
    join("g", self_())
    assert get("g") == [self_()]
    proc_lib.stop(sup)
    assert receive(0) == kernel.Exit(sup, "normal")


def test_monitor_scope():
    """pg_SUITE monitor_scope: the state first, then each change, in order; monitors stack; demonitor flushes."""
    with scope(), members(2) as (a, b):
        join("g", [a, a])
        first, groups = pg.monitor_scope(SCOPE)
        assert groups == {"g": [a, a]}
        second, _ = pg.monitor_scope(SCOPE)
        join("h", [b, b])
        leave("g", [a])
        expected = [("join", "h", (b, b)), ("leave", "g", (a,))]
        seen = [receive(0) for _ in range(4)]
        assert [m[1:] for m in seen if m.ref is first] == expected
        assert [m[1:] for m in seen if m.ref is second] == expected
        leave("g", b)  # was no member: no news
        assert receive(0) is kernel.TIMEOUT
        leave("h", b)
        send(self_(), "mine")
        leave("h", b)
        assert pg.demonitor(first, SCOPE) is True
        assert pg.demonitor(first, SCOPE) is False
        assert pg.demonitor(second, SCOPE) is True
        join("h", a)
        assert receive(0) == "mine"
        assert receive(0) is kernel.TIMEOUT


def test_monitor_of_a_group():
    """pg_SUITE monitor: one group only, which need not be there yet; gone when the subscriber is."""
    with scope(), members(1) as (a,):
        ref, now = pg.monitor("g", SCOPE)
        assert now == []
        join("other", a)
        join("g", a)
        exit(a, KILL)
        assert [receive(0), receive(0), receive(0)] == [
            (ref, "join", "g", (a,)),
            (ref, "leave", "g", (a,)),
            kernel.TIMEOUT,
        ]
        subscriber = spawn(lambda: (pg.monitor("g", SCOPE), pg.monitor_scope(SCOPE)))
        settle()
        assert not kernel.is_alive(subscriber)
        assert list(pg._tables[SCOPE].subscriptions) == [ref]
        pg.demonitor(ref, SCOPE)
        assert not pg._tables[SCOPE].of_group
        assert not self_().monitored_by


def test_thundering_herd():
    """pg_SUITE thundering_herd: many joins, leaves and deaths at once cost each what few do. Counted, not timed."""
    work = []
    with scope():
        for count in (500, 5_000):
            with members(count) as pids, steps() as counted:
                for pid in pids:
                    join("g", pid)
                join("g", pids)
                leave("g", pids)
                for pid in pids:
                    exit(pid, KILL)
                settle()
                assert get("g") == []
            work.append(counted[0] / count)
    assert 50 < work[1] < work[0] * 1.5


@contextmanager
def steps():
    """Count calls of functions, Python's and C's; and the operations inside dictionaries, which are O(1), not at all."""
    import sys as interpreter

    counted = [0]

    def count(_frame, event, _arg):
        counted[0] += 1

    interpreter.setprofile(count)
    try:
        yield counted
    finally:
        interpreter.setprofile(None)


def test_thundering_herd_scans_nothing():
    """pg_SUITE thundering_herd: no operation looks through the other members: their equality is never asked for."""
    asked = []

    class Asking(tuple):
        __slots__ = ()

        def __eq__(self, other):
            asked.append(other)
            return super().__eq__(other)

        __hash__ = tuple.__hash__

    with scope(), members(300) as pids:
        groups = [Asking((n,)) for n in range(300)]
        for pid, group in zip(pids, groups, strict=True):
            join(group, pid)
        for pid in pids:
            exit(pid, KILL)
        assert len(asked) < 3 * 300
        assert pg.which_groups(SCOPE) == []


def test_suspended_scope_reads_and_forgets_the_dead():
    """Ours: reads need no scope process, deaths neither; joins wait."""
    with scope() as pid, members(2) as (a, b):
        join("g", [a, b])
        sys.suspend(pid)
        asked = kernel.request(pid, pg._Join("g", (b,)))
        exit(a, KILL)
        settle()
        assert get("g") == [b]
        sys.resume(pid)
        kernel.wait_response(asked)
        assert get("g") == [b, b]


def test_random_joins_leaves_and_deaths():
    """Ours: against a plain model."""
    rng = random.Random(1)
    with scope():
        model: dict[str, list] = {}
        alive = []
        for _ in range(2_000):
            if len(alive) < 5:
                alive.append(kernel.spawn_callback(Idle()))
            pid, group = rng.choice(alive), rng.choice("abc")
            what = rng.random()
            if what < 0.5:
                join(group, pid)
                model.setdefault(group, []).append(pid)
            elif what < 0.9:
                assert leave(group, pid) is (pid in model.get(group, []))
                if pid in model.get(group, []):
                    model[group].remove(pid)
            else:
                exit(pid, KILL)
                alive.remove(pid)
                model = {name: [p for p in pids if p is not pid] for name, pids in model.items()}
            assert {name: sorted(get(name)) for name in pg.which_groups(SCOPE)} == {
                name: sorted(pids) for name, pids in model.items() if pids
            }
        pg._tables[SCOPE]._check()
        for pid in alive:
            exit(pid, KILL)


# ------------------------------------------------------------------------------------- another node, by messages

FAR = [RemotePid("far", n, 1) for n in range(4)]


def said_by(pid):
    """What the scope `pid` said to us, the stand-in of its peer."""
    settle()
    heard = []
    while (message := receive(0)) is not kernel.TIMEOUT:
        assert message.peer is pid
        heard.append(message)
    return heard


def test_two_scopes_find_each_other():
    """pg_SUITE two: a scope that is discovered tells its members and asks back; changes follow, in order."""
    with scope() as pid, members(2) as (a, b):
        join("g", [a, a])
        send(pid, pg.Discover(self_()))
        assert said_by(pid) == [pg.Discover(pid), pg.Synced(pid, (("g", (a, a)),))]
        send(pid, pg.Discover(self_()))
        assert said_by(pid) == [pg.Synced(pid, (("g", (a, a)),))]
        join("h", b)
        leave("g", a)
        exit(a, KILL)
        assert said_by(pid) == [pg.Joined(pid, "h", (b,)), pg.Left(pid, "g", (a,)), pg.Left(pid, "g", (a,))]
        third = kernel.spawn_callback(Idle())
        send(pid, pg.Synced(third, (("g", (FAR[0],)),)))
        send(pid, pg.Left(third, "g", (FAR[0],)))
        assert said_by(pid) == []  # each node speaks for its own members
        exit(third, KILL)


def test_group_leave():
    """pg_SUITE group_leave: members of another node come and go by what it says, and all go when it does."""
    with scope() as pid, members(1) as (a,):
        peer = kernel.spawn_callback(Idle())
        ref, _ = pg.monitor_scope(SCOPE)
        join("g", a)
        send(pid, pg.Synced(peer, (("g", (FAR[0], FAR[0])), ("h", (FAR[1],)))))
        settle()
        assert get("g") == [a, FAR[0], FAR[0]]
        assert pg.get_local_members("g", SCOPE) == [a]
        assert (pg.which_groups(SCOPE), pg.which_local_groups(SCOPE)) == (["g", "h"], ["g"])
        send(pid, pg.Joined(peer, "g", (FAR[2],)))
        send(pid, pg.Left(peer, "g", (FAR[0], FAR[3])))
        settle()
        assert get("g") == [a, FAR[0], FAR[2]]
        pg._tables[SCOPE]._check()
        exit(peer, KILL)
        settle()
        assert (get("g"), pg.which_groups(SCOPE)) == ([a], ["g"])
        send(pid, pg.Joined(peer, "g", (FAR[2],)))  # late: of a peer that is gone
        settle()
        assert get("g") == [a]
        changes = []
        while (message := receive(0)) is not kernel.TIMEOUT:
            changes.append(message[1:])
        assert changes == [
            ("join", "g", (a,)),
            ("join", "g", (FAR[0], FAR[0])),
            ("join", "h", (FAR[1],)),
            ("join", "g", (FAR[2],)),
            ("leave", "g", (FAR[0],)),
            ("leave", "g", (FAR[0], FAR[2])),
            ("leave", "h", (FAR[1],)),
        ]
        pg.demonitor(ref, SCOPE)


def test_sync_tells_only_what_differs():
    """pg: a peer that says its members again (after a pause of the connection) causes news of the difference only."""
    with scope() as pid:
        peer = kernel.spawn_callback(Idle())
        send(pid, pg.Synced(peer, (("g", (FAR[0], FAR[1])),)))
        settle()
        ref, _ = pg.monitor("g", SCOPE)
        send(pid, pg.Synced(peer, (("g", (FAR[1], FAR[2])),)))
        settle()
        assert [receive(0), receive(0), receive(0)] == [
            (ref, "leave", "g", (FAR[0],)),
            (ref, "join", "g", (FAR[2],)),
            kernel.TIMEOUT,
        ]
        exit(peer, KILL)
        settle()
        assert receive(0) == (ref, "leave", "g", (FAR[1], FAR[2]))
        pg.demonitor(ref, SCOPE)


def test_callers_mistakes_do_not_reach_the_scope():
    """pg_SUITE errors: bad arguments are the caller's; the scope and its groups live on."""
    with scope() as pid, members(1) as (a,):
        join("g", a)
        for wrong in (
            lambda: join([], a),
            lambda: leave({}, a),
            lambda: join("g", [a, "nobody"]),
            lambda: pg.monitor([], SCOPE),
            lambda: pg.demonitor([], SCOPE),
            lambda: pg.demonitor("ref", SCOPE),
        ):
            with pytest.raises((TypeError, ValueError)):
                wrong()
        assert kernel.is_alive(pid)
        assert get("g") == [a]
