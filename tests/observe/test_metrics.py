"""The metrics: what /metrics answers is what docs/metrics.md promises; health and its reasons; levels of the log."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from runtime import kernel
from runtime.kernel import KILL, exit, send, spawn_callback
from runtime.node_errors import explain
from runtime.net import Listener, ListenerConfig
from runtime.observe import alarms, failures, health, log_levels, metrics
from runtime.observe.log_levels import get_levels, set_level
from runtime.otp import dynamic_supervisor, stop
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.gen_server import GenServer
from runtime.otp.supervisor import Supervisor
from runtime.store.lmdb_engine import StoreConfig, StoreServer
from runtime.testing import settle

DOC = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Deaf:
    def on_message(self, process, message):
        kernel.receive_match(lambda m: m == "never")


def documented():
    return {
        name: (kind, labels)
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) \|", DOC.read_text(), re.M)
    }


def test_every_metric_is_documented_and_every_documented_one_is_in_the_source():
    known = {name: found for name, found in documented().items() if name.startswith("evergreen_")}
    for family in metrics.collect():
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        assert known[name][0] == family.type, name
        for sample in family.samples:
            assert ", ".join(sorted(sample.labels)) in (", ".join(sorted(known[name][1].split(", "))), ""), (
                sample
            )
    source = Path(metrics.__file__).read_text()
    for name in known:
        stem = re.sub("_(total|info)$", "", name.removeprefix("evergreen_"))
        assert f'"{stem}"' in source or f'"evergreen_{stem}"' in source, name


def test_the_text_is_what_prometheus_reads():
    pids = [spawn_callback(Deaf()) for _ in range(3)]
    for pid in pids:
        send(pid, "block")
    settle()
    for number in range(50):
        send(pids[0], number)
    send(pids[1], 1)
    found = {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}
    assert found["evergreen_processes"].samples[0].value == kernel.process_count()
    assert found["evergreen_longest_mailbox_messages"].samples[0].value == 50
    seen = metrics.values()
    everybody = kernel.process_count()
    assert seen['evergreen_mailbox_messages_bucket{le="100.0"}'] == everybody
    assert seen['evergreen_mailbox_messages_bucket{le="10.0"}'] == everybody - 1
    assert seen['evergreen_mailbox_messages_bucket{le="0.0"}'] == everybody - 2
    assert seen["evergreen_mailbox_messages_gsum"] == 51
    for pid in pids:
        exit(pid, KILL)


def test_failures_of_children_are_counted_by_child():
    failures.install()
    try:
        boss = Supervisor.start_link_with(
            SupFlags(intensity=100), [ChildSpec("weak", (kernel.spawn_link, (kernel.receive,)))], name="boss"
        )
        for _ in range(3):
            (child,) = kernel.process_info(boss, "links")["links"][-1:]
            exit(child, "weak knees")
            settle()
        assert metrics.values()['evergreen_child_failures_total{child="weak",supervisor="boss"}'] >= 3
        assert failures.table["boss", "weak"].reason == "'weak knees'"
        stop(boss)
    finally:
        failures.remove()


class Frail(GenServer):
    pass


def test_a_child_that_is_started_by_its_class_is_named_by_it():
    """As in the supervisor's report: GenServer.start_link would be any of them."""
    failures.install()
    try:
        boss = Supervisor.start_link_with(
            SupFlags(), [ChildSpec("frail", (Frail.start_link, ()))], name="boss"
        )
        (child,) = kernel.process_info(boss, "links")["links"][-1:]
        exit(child, "weak knees")
        settle()
        assert failures.table["boss", "frail"].start == f"{__name__}:Frail.start_link"
        stop(boss)
    finally:
        failures.remove()


def _weak():
    raise LookupError("weak knees")


def _rung(name, inner, **options):
    """A supervisor with one child, as a child spec's start."""
    return Supervisor.start_link_with(SupFlags(**options), [inner], name=name)


def test_a_supervisor_without_a_name_is_known_by_its_place(caplog):
    """A pid as label would be another series after each restart. Children of dynamic supervisors have no id."""
    caplog.set_level(logging.CRITICAL, "evergreen")
    failures.install()
    kernel.trap_exit(True)
    try:
        weak = ChildSpec("weak", (kernel.spawn_link, (_weak,)), restart="temporary")
        middle = ChildSpec("middle", (_rung, (None, weak)), type="supervisor")
        boss = Supervisor.start_link_with(SupFlags(), [middle], name="boss")
        settle()
        assert list(failures.table) == [("boss/middle", "weak")]
        alone = Supervisor.start_link_with(SupFlags(), [weak])
        settle()
        assert ("unnamed", "weak") in failures.table
        crowd = DynamicSupervisor.start_link(name="crowd")
        dynamic_supervisor.start_child(
            crowd, ChildSpec(None, (kernel.spawn_link, (_weak,)), restart="temporary")
        )
        settle()
        assert failures.table["crowd", "runtime.kernel.spawn.spawn_link"].count == 1
        for one in (boss, alone, crowd):
            stop(one)
    finally:
        failures.remove()


def test_who_gave_up_is_known_with_the_failure_that_was_one_too_many(caplog):
    caplog.set_level(logging.CRITICAL, "evergreen")
    failures.install()
    kernel.trap_exit(True)
    try:
        assert failures.last_words() == ""
        weak = ChildSpec("weak", (kernel.spawn_link, (_weak,)))
        middle = ChildSpec("middle", (_rung, ("middle_one", weak)), type="supervisor")
        boss = Supervisor.start_link_with(SupFlags(intensity=2, period=30.0), [middle], name="boss")
        assert kernel.receive(5).sender is boss
        assert [(one.supervisor, one.child) for one in failures.gave_up][-2:] == [
            ("middle_one", "weak"), ("boss", "middle"),
        ]  # fmt: skip
        said, _, trace = failures.last_words().partition("\n")
        assert said.startswith(
            "supervisor middle_one gave up (more than 1 restart in 5 s); its last child that failed: weak ("
        )
        assert "LookupError: weak knees" in said
        assert trace.startswith("Traceback (most recent call last):")
        assert trace.endswith("LookupError: weak knees")
        assert explain("shutdown") == failures.last_words()
        assert explain("odd") == "unexpected reason: 'odd'"
    finally:
        failures.remove()


def test_an_applications_metrics_join_and_one_that_fails_hides_no_other(caplog):
    metrics.add("good", lambda: [GaugeMetricFamily("chat_sessions", "Sessions", value=7)])
    metrics.add("bad", lambda: 1 / 0)
    try:
        with caplog.at_level(logging.CRITICAL + 1, logger="evergreen.metrics"):
            assert metrics.values()["chat_sessions"] == 7
    finally:
        metrics.remove("good")
        metrics.remove("bad")
        metrics.remove("bad")
    assert "chat_sessions" not in metrics.values()
    assert not any(name.startswith("python_") for name in metrics.values())


def test_labels_are_bounded_and_escaped():
    keeper = alarms.start_link()
    for number in range(150):
        alarms.set_alarm(f"lamp {number}", "dark", quiet=True)
    alarms.set_alarm('say "hi"\\\n\ud800' + "x" * 5_000, "?", quiet=True)
    settle()
    families = {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}
    found = {one.labels["name"]: one.value for one in families["evergreen_alarms"].samples}
    assert len(found) == 101
    assert found["others"] == 51
    assert max(map(len, found)) == 100
    assert sum(found.values()) == 151
    stop(keeper)


def test_an_applications_metric_that_cannot_be_written_hides_no_other(caplog):
    wrong = GaugeMetricFamily("wrong", "Wrong", labels=["a"])
    wrong.add_metric([7], 1)
    metrics.add("test", lambda: [wrong, GaugeMetricFamily("right", "Right", value=1)])
    try:
        text = metrics.text()
    finally:
        metrics.remove("test")
    assert b"\nright 1.0" in text
    assert b"evergreen_uptime_seconds" in text
    assert b"wrong{" not in text
    assert "the metric wrong cannot be written" in caplog.text


def test_store_and_listener_have_their_figures(tmp_path):
    kernel.trap_exit(True)
    server = StoreServer.start_link(StoreConfig(path=str(tmp_path / "store"), nshards=1), name="store")
    door = Listener.start_link(
        ListenerConfig(name="door", protocol="tests.observe.flooding:Flood"), name="door"
    )
    try:
        seen = metrics.values()
        assert seen["evergreen_store_full"] == 0
        assert seen['evergreen_connections{listener="door"}'] == 0
        assert health.ready().ok
    finally:
        for pid in (door, server):
            exit(pid, "shutdown")
            kernel.receive_match(lambda m, pid=pid: m.__class__ is kernel.Exit and m.sender is pid, 10)


# ---------------------------------------------------------------------------------------------------------- health


class Stub:
    """What health needs of a node."""

    def __init__(self, phase, store=None):
        self.phase, self.store = phase, store


@pytest.mark.parametrize(
    ("node", "alive", "ready"),
    [
        (None, (), ()),
        (Stub("starting"), (), ("the node is starting",)),
        (Stub("stopping"), (), ("the node is stopping",)),
        (Stub("serving"), ("the node's services have ended",), ("the node's services have ended",)),
    ],
)
def test_reasons_of_health(node, alive, ready):
    assert health.alive(node).reasons == alive
    assert health.ready(node).reasons == ready
    assert health.ready(node).ok is (not ready)


def test_a_store_that_has_gone_and_alarms_are_told():
    keeper = alarms.start_link()
    alarms.set_alarm("printer", "out of paper", quiet=True)
    settle()
    found = health.ready(Stub("starting", store=object()))
    assert "the store has ended" in found.reasons
    assert found.alarms == ("printer: out of paper",)
    stop(keeper)


def test_a_listener_that_has_ended_makes_the_node_unready():
    node = Stub("starting")
    node.doors = [SimpleNamespace(name="native"), SimpleNamespace(name="http")]
    assert "listener native has ended" in health.ready(node).reasons
    assert not any("http" in reason for reason in health.ready(node).reasons)
    door = Listener.start_link(
        ListenerConfig(name="native", protocol="tests.observe.flooding:Flood"), name="native"
    )
    assert health.ready(node).reasons == ("the node is starting",)
    kernel.trap_exit(True)
    exit(door, "shutdown")
    kernel.receive_match(lambda m: m.__class__ is kernel.Exit, 10)
    assert "listener native has ended" in health.ready(node).reasons


# ---------------------------------------------------------------------------------------------------------- levels


def test_a_reload_outlasts_a_level_for_a_while(clock):
    """What was set for a while, of all loggers, does not come back after the configuration has said otherwise."""
    before = get_levels()[""]
    set_level("", "debug", seconds=60)
    log_levels.set_levels("error", {})
    clock.advance(100)
    assert get_levels()[""] == "error"
    set_level("", before)


def test_a_level_for_a_while_goes_back_by_itself(clock):
    set_level("some.room", "error")
    set_level("some.room", "debug", seconds=60)
    assert logging.getLogger("some.room").level == logging.DEBUG
    clock.advance(30)
    set_level("some.room", "info", seconds=60)  # the newer one counts
    clock.advance(40)
    assert get_levels()["some.room"] == "info"
    clock.advance(30)
    assert get_levels()["some.room"] == "error"
    set_level("some.room", None)
    assert logging.getLogger("some.room").level == logging.NOTSET
    assert not log_levels._timers
    before = get_levels()[""]
    set_level("", "debug", seconds=5)
    assert logging.getLogger().level == logging.DEBUG
    clock.advance(5)
    assert get_levels()[""] == before
    with pytest.raises(ValueError, match="cannot be None"):
        set_level("", None)
