"""Looks at the node: what lists, details and trees say, and that a long look lets the others run."""

from __future__ import annotations

import json
import time

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    exit,
    receive,
    receive_match,
    self_,
    send,
    set_watermarks,
    spawn,
    spawn_callback,
    spawn_opt,
)
from runtime.observe import metrics, snapshot
from runtime.observe.heap import reached
from runtime.otp import stop, sys
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor, start_child
from runtime.otp.gen_server import GenServer
from runtime.otp.state_machine import GenStateMachine, NextState
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle


class Keeper(GenServer):
    def init(self):
        self.secret, self.open = "pssst", [1, 2]

    def handle_cast(self, request):
        receive_match(lambda m: m == "go on")

    def handle_info(self, message):
        pass

    def format_status(self, status):
        if "state" in status:
            status["state"] = {**status["state"], "secret": "***"}
        if "messages" in status:
            status["messages"] = tuple(m for m in status["messages"] if m != "hidden")
        return status


class Door(GenStateMachine):
    def init(self):
        return NextState("shut")

    def shut(self, kind, content):
        return None


class Rude:
    """Whatever is asked of it fails."""

    def __repr__(self):
        raise LookupError("no")

    def on_message(self, process, message):
        pass


def waiting(name=None, **options):
    return spawn_opt(receive, name=name, **options)


def test_what_is_kept_back_from_a_suspended_server_is_its_mailbox():
    others = [Keeper.start() for _ in range(3)]
    held = Keeper.start()
    sys.suspend(held)
    for number in range(1_000):
        send(held, number)
    settle()
    try:
        first = snapshot.processes(1, "mailbox")[0]
        assert (first.number, first.mailbox) == (held.number, 1_000)
        assert metrics.values()["evergreen_longest_mailbox_messages"] == 1_000
        assert [row.number for row in snapshot.processes(9, filter="=suspended")] == [held.number]
        assert snapshot.process(held, heads=2).messages == ("0", "1")
    finally:
        for pid in (held, *others):
            exit(pid, KILL)


def test_processes_come_in_the_order_asked_for():
    first, second, third = waiting("b_one"), waiting(), waiting("a_two")
    settle()
    for number in range(3):
        send(second, number)
        spawn(receive)
    try:
        assert snapshot.processes(2, "mailbox")[0].number == second.number
        rows = snapshot.processes(1000, "number", "receive")
        assert [row.number for row in rows] == sorted(row.number for row in rows)
        assert [row.name for row in snapshot.processes(1000, "name", "receive")][:2] == ["a_two", "b_one"]
        assert snapshot.processes(1, "newest")[0].number > third.number
        assert next(row.number for row in snapshot.processes(3, "number", reverse=True)) > third.number
        assert snapshot.processes(5, filter=repr(first))[0].name == "b_one"
        assert snapshot.processes(0) == []
        assert len(snapshot.processes(2)) == 2
        assert all(row.status == "waiting" for row in snapshot.processes(10, filter="=waiting"))
        assert snapshot.processes(3, sort="nonsense")  # as by number
    finally:
        for p in kernel.processes():
            if p is not self_() and "receive" in kernel.process_info(p, "initial_call")["initial_call"]:
                exit(p, KILL)


def test_a_process_is_found_however_it_is_written():
    pid = waiting("hermit")
    for who in (
        pid,
        pid.number,
        "hermit",
        "<hermit@nonode>",
        f"<{pid.number}@nonode>",
        str(pid.number),
        f" {pid!r} ",
    ):
        assert snapshot.find(who) is pid, who
    for who in ("<hermit@elsewhere>", "nobody", -1, None, "<>", "", object()):
        assert snapshot.find(who) is None, who
    exit(pid, KILL)
    assert snapshot.find(pid) is None
    assert snapshot.process("hermit") is None
    assert snapshot.row(pid) is None


def test_names_of_nodes_with_an_at(monkeypatch):
    monkeypatch.setattr(kernel.identity, "_node", "evergreen@localhost")
    pid = waiting("hermit")
    assert repr(pid) == "<hermit@evergreen@localhost>"
    assert snapshot.find(repr(pid)) is pid
    assert snapshot.find(f"<{pid.number}@evergreen@localhost>") is pid
    assert snapshot.find(f"<{pid.number}@other@localhost>") is None
    exit(pid, KILL)


def test_details_show_what_format_status_shows():
    keeper = Keeper.start(name="keeper")
    set_watermarks(keeper, 10, 1)
    kernel.cast(keeper, "block")
    settle()
    send(keeper, "hidden")
    for number in range(12):
        send(keeper, number)
    kernel.sweep()
    send(keeper, "counted")
    seen = snapshot.process("keeper", heads=5)
    assert (seen.row.type, seen.row.mailbox, seen.row.waits_for) == ("server", 14, "receive")
    assert "Keeper.handle_cast" in seen.row.current
    assert any("handle_cast" in line for line in seen.stack)
    assert "***" in seen.state and "pssst" not in seen.state
    assert "'hidden'" not in seen.messages and seen.messages[0] == "0"
    assert len(seen.messages) <= 5
    assert (seen.alarmed, seen.watermarks, seen.senders) == (True, (10, 1), ((repr(self_()), 1),))
    assert seen.heap > 100
    json.dumps(snapshot.plain(seen))
    send(keeper, "go on")
    stop(keeper)


def test_kinds_and_suspension():
    door, boss = Door.start(), Supervisor.start_link_with(SupFlags(), [])
    assert snapshot.row(door).type == "state machine"
    assert "shut" in snapshot.process(door).state
    assert snapshot.row(boss).type == "supervisor"
    sys.suspend(door)
    assert snapshot.row(door).status == "suspended"
    sys.resume(door)
    stop(door)
    stop(boss)


def test_nothing_that_a_process_holds_makes_a_look_fail():
    pid = spawn_callback(Rude(), name="rude", label=Rude())
    send(pid, Rude())
    assert snapshot.process(pid).messages == ("<Rude: repr raised LookupError>",)
    assert "Rude" in snapshot.row(pid).label
    exit(pid, KILL)


def test_the_tree_has_every_supervisor_and_says_how_each_child_is():
    weak = ChildSpec("gone", (lambda: None, ()), restart="temporary")
    boss = Supervisor.start_link_with(
        SupFlags(strategy="rest_for_one", intensity=3, period=9.0),
        [
            ChildSpec("keeper", (Keeper.start_link, (), {"name": "keeper"})),
            ChildSpec("many", (DynamicSupervisor.start_link, (), {"name": "many"}), type="supervisor"),
            weak,
            ChildSpec("idle", (lambda: None, ())),
        ],
        name="boss",
    )
    for _ in range(5):
        start_child("many", (Keeper, ()))
    exit(kernel.whereis("keeper"), KILL)
    settle()
    (top,) = [node for node in snapshot.tree(children=3) if node.id == "boss"]
    assert (top.strategy, top.intensity, top.period, top.restarts) == ("rest_for_one", 3, 9.0, 1)
    assert [(node.id, node.status, node.type) for node in top.children] == [
        ("keeper", "running", "worker"), ("many", "running", "supervisor"), ("idle", "stopped", "worker"),
    ]  # fmt: skip
    many = top.children[1]
    assert many.strategy == "dynamic"
    (alone,) = snapshot.tree(root=boss)
    assert alone.id == "boss"
    json.dumps(snapshot.plain(top))
    for _ in range(5):
        start_child("many", (Keeper, ()))
    (top,) = snapshot.tree(children=3, root=boss)
    assert (len(top.children[1].children), top.children[1].more) == (3, 2)
    stop(boss)


def test_figures_are_there_without_a_node():
    seen = snapshot.node_summary()
    assert seen["processes"] == kernel.process_count()
    before = seen["spawned"]
    exit(waiting(), KILL)
    assert snapshot.node_summary()["spawned"] == before + 1
    assert (
        snapshot.applications() == snapshot.connections() == snapshot.listeners() == snapshot.releases() == []
    )
    assert snapshot.store_info() == {}
    json.dumps(seen)


def test_messages_are_counted():
    """Turns and messages of batches: by sixteens and by batches, so a few are late."""

    class Sink:
        def on_message(self, process, message):
            pass

    pid = spawn_callback(Sink())
    before = snapshot.node_summary()["messages"]
    for _ in range(100):
        for number in range(100):
            send(pid, number)
        settle()
    assert 10_000 <= snapshot.node_summary()["messages"] - before < 11_500
    exit(pid, KILL)


@pytest.mark.parametrize(
    "look",
    [lambda: snapshot.processes(10, "memory"), lambda: snapshot.processes(10, "name", "x")],
)
def test_a_long_look_gives_way(look):
    """Others have their turns while thousands of processes are looked at."""
    pids = [spawn_callback(Rude()) for _ in range(40_000)]
    turns, going = [], [True]

    def other():
        while going:
            turns.append(time.perf_counter())
            kernel.yield_()

    pid = spawn(other)
    settle_once = len(turns)
    look()
    assert len(turns) > settle_once
    going.clear()
    for one in (*pids, pid):
        exit(one, KILL)


def test_a_table_with_few_living_among_many_numbers():
    """However sparse: everybody is seen, oldest first."""
    pids = []
    for _ in range(100):
        for dead in [spawn_callback(Rude()) for _ in range(50)]:
            exit(dead, KILL)
        pids.append(spawn_callback(Rude()))
    rows = snapshot.processes(1000, "number", "Rude")
    assert [row.number for row in rows] == [pid.number for pid in pids]
    for pid in pids:
        exit(pid, KILL)


def test_what_a_value_holds_is_measured_up_to_a_bound():
    assert reached(None) == 0
    assert 100_000 < reached({"a": b"x" * 100_000, "b": Keeper, "c": self_()}) < 110_000
    endless = []
    endless.append(endless)
    assert reached(endless) < 200
    assert reached([object() for _ in range(50_000)], limit=100) < 500_000
