"""Death: links, monitors, exit signals, stubborn stacks. OTP process_SUITE and monitor_SUITE, and what is on top."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import gevent
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runtime.kernel import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    Down,
    Exit,
    ProcessExit,
    check_invariants,
    demonitor,
    exit,
    hooks,
    is_alive,
    link,
    monitor,
    process_info,
    receive,
    register,
    self_,
    send,
    sleep,
    spawn,
    spawn_callback,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unlink,
    whereis,
)
from runtime.kernel.signals import Action, Origin, decide
from runtime.testing import settle


def forever() -> None:
    while True:
        receive()


def trapping_collector(to: Any) -> None:
    trap_exit(True)
    send(to, "trapping")
    while True:
        send(to, receive())


REASONS = (NORMAL, SHUTDOWN, "boom", KILLED, KILL)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("trapping", [False, True])
def test_t_exit_2_other(reason: str, trapping: bool) -> None:
    """process_SUITE t_exit_2_other and t_exit_2_other_normal: what exit/2 from another process does, for each reason."""
    me = self_()
    pid, _ = spawn_monitor(trapping_collector, me) if trapping else spawn_monitor(forever)
    if trapping:
        assert receive() == "trapping"
    settle()
    exit(pid, reason)
    action, carried = decide(Origin.EXIT, reason, trapping)
    if action is Action.DIE:
        assert receive()[1:] == (pid, carried)
    else:
        settle()
        assert is_alive(pid)
        assert receive(0) == (Exit(me, carried) if action is Action.MESSAGE else TIMEOUT)
        exit(pid, KILL)
        assert receive()[1:] == (pid, KILLED)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("trapping", [False, True])
def test_a_linked_process_hears_of_the_end(reason: str, trapping: bool) -> None:
    """OTP A1: the link rows of the table; `kill` as a link's reason is not special."""
    me = self_()

    def peer() -> None:
        if trapping:
            trap_exit(True)
        dying = spawn_link(lambda: receive())
        send(me, dying)
        send(me, receive())

    pid, ref = spawn_monitor(peer)
    dying = receive()
    dying_behaviour_end(dying, reason)
    action, carried = decide(Origin.LINK, reason, trapping)
    if action is Action.MESSAGE:
        assert receive() == Exit(dying, carried)
        assert receive() == Down(ref, pid, NORMAL)
    elif action is Action.DIE:
        assert receive() == Down(ref, pid, carried)
    else:
        settle()
        assert is_alive(pid)
        exit(pid, KILL)
        assert receive().reason == KILLED


def dying_behaviour_end(pid: Any, reason: Any) -> None:
    """Make a process end by itself with `reason`, as exit/1 would (not by a signal)."""
    from runtime.kernel import scheduler

    scheduler.die(pid, reason)


@pytest.mark.parametrize(("reason", "carried"), [(NORMAL, NORMAL), ("boom", "boom"), (KILL, KILLED)])
def test_suicide_exit(reason: str, carried: str) -> None:
    """process_SUITE normal_suicide_exit, abnormal_suicide_exit: exit(self(), R) ends the caller, also for normal."""
    _, _ = spawn_monitor(lambda: (exit(self_(), reason), send(self_(), "not reached"), receive()))
    assert receive().reason == carried


def test_t_exit_2_catch() -> None:
    """process_SUITE t_exit_2_catch: `except Exception` does not hold an exit signal to oneself back."""

    def tries() -> None:
        try:
            exit(self_(), "die")
        except Exception:
            raise AssertionError("caught") from None

    spawn_monitor(tries)
    assert receive().reason == "die"


def test_exit_twice() -> None:
    """process_SUITE exit_twice: the first reason counts."""
    pid, _ = spawn_monitor(forever)
    settle()
    exit(pid, "first")
    exit(pid, "second")
    assert receive().reason == "first"


def test_ways_of_dying() -> None:
    """OTP A1: return is normal, exit(R) is R, an exception is a crash with text."""
    spawn_monitor(lambda: None)
    assert receive().reason == NORMAL

    def leaves() -> None:
        raise ProcessExit(("any", "term"))

    spawn_monitor(leaves)
    assert receive().reason == ("any", "term")


def test_links_are_a_set_and_unlink_undoes_them() -> None:
    """OTP A1: link twice is one link; one unlink removes it."""
    pid = spawn(forever)
    link(pid)
    link(pid)
    assert process_info(pid, "links") == {"links": [self_()]}
    unlink(pid)
    assert process_info(pid, "links") == {"links": []}
    exit(pid, KILL)
    link(self_())
    assert process_info(self_(), "links") == {"links": []}


def test_link_to_the_dead() -> None:
    """OTP A1: Exit noproc as a message when trapping, else the caller ends with noproc."""
    pid, _ = spawn_monitor(lambda: None)
    receive()
    trap_exit(True)
    link(pid)
    assert receive() == Exit(pid, NOPROC)
    trap_exit(False)
    spawn_monitor(lambda: link(pid))
    assert receive().reason == NOPROC


def test_mon_1_and_monitors_stack() -> None:
    """monitor_SUITE mon_1: Down by pid and by name, noproc at once for the dead; two monitors give two Downs."""
    pid = spawn(forever)
    register("watched", pid)
    first, second, named = monitor(pid), monitor(pid), monitor("watched")
    exit(pid, "gone")
    got = {receive() for _ in range(3)}
    assert got == {Down(first, pid, "gone"), Down(second, pid, "gone"), Down(named, "watched", "gone")}
    late = monitor(pid)
    assert receive() == Down(late, pid, NOPROC)
    nobody = monitor("nobody")
    assert receive() == Down(nobody, "nobody", NOPROC)


def test_named_down() -> None:
    """monitor_SUITE named_down: the name is free when the Down arrives, so it can be taken at once."""
    me = self_()

    class Named:
        def on_message(self, process: Any, message: Any) -> None:
            raise ProcessExit("bye")

    pid = spawn_callback(Named(), name="busy_name")
    hooked: list[Any] = []

    def watcher() -> None:
        monitor(pid)
        send(me, "watching")
        receive()
        hooked.append(whereis("busy_name"))
        send(me, "done")

    spawn(watcher)
    assert receive() == "watching"
    send(pid, "go")
    assert receive() == "done"
    assert hooked == [None]


def test_list_cleanup() -> None:
    """monitor_SUITE list_cleanup: monitors and monitored_by are empty again, whoever dies first."""
    target = spawn(forever)
    watcher = spawn(lambda: (monitor(target), receive()))
    settle()
    assert process_info(target, "monitored_by") == {"monitored_by": [watcher]}
    assert process_info(watcher, "monitors") == {"monitors": [target]}
    exit(watcher, KILL)
    assert process_info(target, "monitored_by") == {"monitored_by": []}
    monitor(target)
    exit(target, KILL)
    assert process_info(self_(), "monitors") == {"monitors": []}
    receive()


def test_a_chain_of_20000_links_falls_without_recursion() -> None:
    """KERNEL-MEASURED 5: propagation is iterative."""

    class Idle:
        def on_message(self, process: Any, message: Any) -> None: ...

    from runtime.kernel.death import connect

    chain = [spawn_callback(Idle()) for _ in range(20_000)]
    for a, b in itertools.pairwise(chain):
        connect(a, b)
    monitor(chain[-1])
    exit(chain[0], "domino")
    assert receive().reason == "domino"
    assert not any(is_alive(p) for p in chain)


def test_killing_an_idle_process_runs_no_code_of_it_but_on_exit() -> None:
    """RUNTIME 1: death is a table transition; `on_exit` lets go of what is not memory."""
    ended: list[Any] = []

    class Port:
        def on_message(self, process: Any, message: Any) -> None:
            raise AssertionError("must not run")

        def on_exit(self, process: Any, reason: Any) -> None:
            ended.append((process, reason))

    pid = spawn_callback(Port())
    exit(pid, "closed")
    assert ended == [(pid, "closed")]


# ---------------------------------------------------------------------------------------------- stubborn processes


@pytest.fixture
def zombies() -> Any:
    buried: list[Any] = []
    hooks.on_zombie.append(buried.append)
    yield buried
    hooks.on_zombie.remove(buried.append)


def _receives_for_ever() -> None:
    while True:
        try:
            receive()
        except BaseException:
            pass


def _sleeps_for_ever() -> None:
    while True:
        try:
            gevent.sleep(1000)
        except BaseException:
            pass


@pytest.mark.parametrize("body", [_receives_for_ever, _sleeps_for_ever])
def test_a_stubborn_process_is_dead_at_once_and_its_stack_is_buried(body: Any, zombies: list[Any]) -> None:
    """On top: `except BaseException` for ever: dead at once, name free, links and monitors told, an alarm names it."""
    trap_exit(True)
    pid = spawn_link(body)
    ref = monitor(pid)
    register("stubborn", pid)
    settle()
    exit(pid, KILL)
    assert not is_alive(pid)
    assert whereis("stubborn") is None
    assert {receive(0), receive(0)} == {Exit(pid, KILLED), Down(ref, pid, KILLED)}
    sleep(0.01)
    assert zombies == [pid]
    send(pid, "nothing happens")
    trap_exit(False)


def test_a_blocking_finally_does_not_hold_the_death_up() -> None:
    """On top: links and monitors are told while the dead stack still unwinds; it can do nothing as a process."""
    me, steps = self_(), []

    def body() -> None:
        try:
            receive()
        finally:
            steps.append("finally")
            send(me, "sent by a dead stack")
            receive(0.001)
            steps.append("not reached: the dead cannot block")

    pid, ref = spawn_monitor(body)
    settle()
    exit(pid, "stop")
    assert receive(0) == Down(ref, pid, "stop")
    settle()
    assert steps == ["finally"]
    assert receive(0) == "sent by a dead stack"


def test_a_process_killed_in_gevent_io_unwinds() -> None:
    """A kill reaches a process that waits in gevent's own I/O, and leaves the worker usable."""
    undone: list[str] = []

    def body() -> None:
        try:
            gevent.sleep(1000)
        finally:
            undone.append("finally")

    pid, _ = spawn_monitor(body)
    sleep(0.001)
    exit(pid, "enough")
    assert receive().reason == "enough"
    sleep(0.001)
    assert undone == ["finally"]


# ---------------------------------------------------------------------------------- random links against the table


class Links(RuleBasedStateMachine):
    """Random spawns, links, monitors, traps and signals, each made by the process it is of, against a model that knows only
    the table, and that links are a set and monitors are counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pids: list[Any] = []
        self.alive: set[int] = set()
        self.trap: set[int] = set()
        self.links: set[frozenset[int]] = set()
        self.monitors: dict[Any, tuple[int, int]] = {}
        """By reference: who watches whom."""
        self.exits: dict[int, list[Any]] = {}
        self.downs: dict[int, list[Any]] = {}

    def teardown(self) -> None:
        for pid in self.pids:
            exit(pid, KILL)

    def some(self, data: st.DataObject, among: Any) -> Any:
        return data.draw(st.sampled_from(sorted(among)))

    def do(self, n: int, act: Any) -> Any:
        """Let process n do it; return what came of it."""
        box: list[Any] = []
        send(self.pids[n], lambda: box.append(act()))
        settle()
        return box[0] if box else None

    @rule(trapping=st.booleans())
    def spawn_one(self, trapping: bool) -> None:
        n = len(self.pids)
        self.pids.append(spawn_callback(_Keeps()))
        self.alive.add(n)
        self.exits[n], self.downs[n] = [], []
        self.do(n, lambda: trap_exit(trapping))
        if trapping:
            self.trap.add(n)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), trapping=st.booleans())
    def trap_or_not(self, data: st.DataObject, trapping: bool) -> None:
        n = self.some(data, self.alive)
        self.do(n, lambda: trap_exit(trapping))
        (self.trap.add if trapping else self.trap.discard)(n)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def link_two(self, data: st.DataObject) -> None:
        """Also to the dead: noproc, as an Exit if it traps, else as an error; and to oneself: nothing."""
        a, b = self.some(data, self.alive), self.some(data, range(len(self.pids)))
        if b in self.alive:
            self.do(a, lambda: link(self.pids[b]))
            if a != b:
                self.links.add(frozenset((a, b)))
        elif a in self.trap:
            self.do(a, lambda: link(self.pids[b]))
            self.exits[a].append(NOPROC)

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def unlink_two(self, data: st.DataObject) -> None:
        a, b = self.some(data, map(tuple, map(sorted, self.links)))
        self.do(a, lambda: unlink(self.pids[b]))
        self.links.discard(frozenset((a, b)))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def monitor_one(self, data: st.DataObject) -> None:
        """Also of the dead: a Down with noproc at once."""
        a, b = self.some(data, self.alive), self.some(data, range(len(self.pids)))
        if a == b:
            return
        ref = self.do(a, lambda: monitor(self.pids[b]))
        if b in self.alive:
            self.monitors[ref] = (a, b)
        else:
            self.downs[a].append((ref, NOPROC))

    @precondition(lambda self: self.monitors)
    @rule(data=st.data())
    def demonitor_one(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(list(self.monitors)))
        a, _ = self.monitors.pop(ref)
        self.do(a, lambda: demonitor(ref))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), reason=st.sampled_from(REASONS), own=st.booleans())
    def signal(self, data: st.DataObject, reason: str, own: bool) -> None:
        n = self.some(data, self.alive)
        if own:
            self.do(n, lambda: exit(self_(), reason))
        else:
            exit(self.pids[n], reason)
        self._deliver(n, Origin.SELF if own else Origin.EXIT, reason)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def end(self, data: st.DataObject, reason: str) -> None:
        """By itself: whatever the reason, nobody asks the table about it."""
        n = self.some(data, self.alive)

        def ends() -> None:
            raise ProcessExit(reason)

        self.do(n, ends)
        self._dies(n, reason)

    def _deliver(self, n: int, origin: Origin, reason: Any) -> None:
        if n not in self.alive:
            return
        action, carried = decide(origin, reason, n in self.trap)
        if action is Action.MESSAGE:
            self.exits[n].append(carried)
        elif action is Action.DIE:
            self._dies(n, carried)

    def _dies(self, n: int, reason: Any) -> None:
        self.alive.discard(n)
        peers = [next(iter(pair - {n})) for pair in self.links if n in pair]
        self.links = {pair for pair in self.links if n not in pair}
        for ref, (a, b) in list(self.monitors.items()):
            if n in (a, b):
                del self.monitors[ref]
                if n == b and a in self.alive:
                    self.downs[a].append((ref, reason))
        for peer in peers:
            self._deliver(peer, Origin.LINK, reason)

    @invariant()
    def agrees(self) -> None:
        settle()
        check_invariants()
        for n, pid in enumerate(self.pids):
            assert is_alive(pid) == (n in self.alive)
            if n in self.alive:
                assert sorted(pid.behaviour.exits) == sorted(self.exits[n])
                assert Counter(pid.behaviour.downs) == Counter(self.downs[n])
                linked = {self.pids.index(other) for other in process_info(pid, "links")["links"]}  # type: ignore[index]
                assert linked == {next(iter(pair - {n})) for pair in self.links if n in pair}
                watched = process_info(pid, "monitors")["monitors"]  # type: ignore[index]
                assert Counter(map(self.pids.index, watched)) == Counter(
                    b for a, b in self.monitors.values() if a == n
                )


class _Keeps:
    """Does what it is told, and keeps the reasons it hears of."""

    def __init__(self) -> None:
        self.exits: list[Any] = []
        self.downs: list[Any] = []

    def on_message(self, process: Any, message: Any) -> None:
        if isinstance(message, Exit):
            self.exits.append(message.reason)
        elif isinstance(message, Down):
            self.downs.append((message.ref, message.reason))
        else:
            message()


@pytest.mark.slow
def test_random_links_and_signals_follow_the_table() -> None:
    """OTP A1 under random use: who lives, who dies, and which Exit and Down arrive, follow from the exit-signal table alone."""
    run_state_machine_as_test(
        Links, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
