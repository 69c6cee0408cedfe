"""The system monitor: each alarm is raised by making its condition, and cleared by undoing it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    TIMEOUT,
    exit,
    is_alive,
    receive,
    receive_match,
    self_,
    send,
    set_watermarks,
    spawn,
    spawn_callback,
    start_watchdog,
    stop_watchdog,
    trap_exit,
    yield_,
)
from runtime.net import listener as net_listener
from runtime.net.alarms import NetAlarm
from runtime.net.alarms import on_alarm as net_alarms
from runtime.net.listener import Listener
from runtime.net.listener_config import ListenerConfig
from runtime.observe import alarms, probes, sysmon
from runtime.observe.alarms import get_alarms
from runtime.observe.sysmon import Limits, Sysmon, SystemMonitor
from runtime.otp import stop, sys
from runtime.store import Put
from runtime.store import hooks as store_hooks
from runtime.store.lmdb_engine import StoreConfig, StoreServer, store_of
from runtime.testing import settle, until

QUICK = Limits(
    interval=0.02, hold=0.05, event_for=0.1, lag_high=1e9, lag_low=1e8, run_queue_high=10**9, memory_high=2,
    descriptors_high=2, disk_high=2, disk_interval=0.02, store_stalled=1e9, busy_connections=10**9,
)  # fmt: skip
"""Looks often, and raises nothing by itself."""


@contextmanager
def watching(limits=QUICK, path="", store="store", **changes):
    keeper = alarms.start_link()
    monitor = Sysmon.start_link(replace(limits, **changes), path, store, name=sysmon.NAME)
    try:
        yield monitor
    finally:
        if is_alive(monitor):
            stop(monitor)
        stop(keeper)
        settle()


def ids():
    return [alarm.id for alarm in get_alarms()]


def comes(id_):
    """Wait until an alarm is up; return it."""
    return until(lambda: next((alarm for alarm in get_alarms() if alarm.id == id_), None))


def goes(id_):
    until(lambda: id_ not in ids())


def heard(kind):
    """Wait for what a subscriber hears of a kind: (pid, info)."""
    message = receive_match(lambda m: m.__class__ is SystemMonitor and m.kind == kind, 10)
    assert message is not TIMEOUT, kind
    return message.pid, message.info


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Deaf:
    """Takes its messages only after it was told to."""

    def on_message(self, process, message):
        if message == "block":
            kernel.receive_match(lambda m: m == "go on")


# ---------------------------------------------------------------------------------------------- long_message_queue


def test_a_long_mailbox_whose_senders_are_not_known_says_so(clock):
    """They are counted from the high mark on: who filled it before that is not known, and nobody is named."""
    with watching(interval=1.0, hold=5.0):
        pid = spawn_callback(Deaf(), name="deaf")
        set_watermarks(pid, 100, 10)
        send(pid, "block")
        settle()
        for number in range(150):
            send(pid, number)
        kernel.sweep()
        clock.advance(1.5)
        assert get_alarms()[0].description.endswith("; who sends them is not known yet")
        exit(pid, KILL)


def test_long_message_queue(clock):
    """system_monitor long_message_queue: raised past the high mark, by name, with where it is and who sends; cleared at
    the low one, with hysteresis.
    """
    with watching(interval=1.0, hold=5.0):
        sysmon.subscribe()
        pid = spawn_callback(Deaf(), name="deaf")
        set_watermarks(pid, 100, 10)
        send(pid, "block")
        settle()
        for number in range(150):
            send(pid, number)
        kernel.sweep()
        for number in range(50):
            send(pid, number)
        clock.advance(1.5)
        alarm = get_alarms()[0]
        assert alarm.id == ("long_message_queue", pid)
        assert "nobody" not in alarm.description
        assert "200 messages wait for <deaf@" in alarm.description
        assert "Deaf.on_message" in alarm.description
        assert f"from {self_()!r} 50" in alarm.description
        who, info = heard("long_message_queue")
        assert (who, info["raised"], info["length"]) == (pid, True, 200)
        assert info["senders"] == [(self_(), 50)]
        send(pid, "go on")
        clock.advance(1.5)
        assert ids() == [("long_message_queue", pid)]  # it may come back: not over yet
        clock.advance(5)
        assert ids() == []
        who, info = heard("long_message_queue")
        assert (who, info["raised"]) == (pid, False)
        exit(pid, KILL)


def test_a_flapping_mailbox_is_one_alarm(clock):
    with watching(interval=1.0, hold=5.0):
        sysmon.subscribe(kinds=["long_message_queue"])
        pid = spawn_callback(Deaf())
        set_watermarks(pid, 100, 10)
        for _ in range(4):
            send(pid, "block")
            settle()
            for number in range(150):
                send(pid, number)
            kernel.sweep()
            clock.advance(1.5)
            send(pid, "go on")
            clock.advance(2)
        assert len(ids()) == 1
        assert heard("long_message_queue")[1]["raised"]
        clock.advance(10)
        assert ids() == []
        assert not heard("long_message_queue")[1]["raised"]
        assert receive(0) is TIMEOUT
        exit(pid, KILL)


def test_the_alarm_of_a_mailbox_goes_with_its_process(clock):
    with watching(interval=1.0, hold=5.0):
        pid = spawn_callback(Deaf())
        set_watermarks(pid, 100, 10)
        send(pid, "block")
        settle()
        for number in range(150):
            send(pid, number)
        kernel.sweep()
        clock.advance(1.5)
        assert ids() == [("long_message_queue", pid)]
        exit(pid, KILL)
        clock.advance(1.5)
        assert ids() == []


def test_very_many_long_mailboxes_are_counted(clock, monkeypatch):
    monkeypatch.setattr(sysmon, "_MAX_MAILBOXES", 2)
    with watching(interval=1.0, hold=0.0):
        pids = [spawn_callback(Deaf()) for _ in range(5)]
        for pid in pids:
            set_watermarks(pid, 100, 10)
            send(pid, "block")
        settle()
        for pid in pids:
            for number in range(150):
                send(pid, number)
        kernel.sweep()
        clock.advance(1.5)
        assert len(ids()) == 3
        assert "3 more" in get_alarms()[0].description
        for pid in pids:
            exit(pid, KILL)
        clock.advance(2.5)
        assert ids() == []


# --------------------------------------------------------------------------------------------- computing too long


def test_long_schedule():
    """system_monitor long_schedule: a callback that computes without a pause is named with its function."""
    start_watchdog(0.06, None)
    try:
        with watching():
            sysmon.subscribe(kinds=["long_schedule"])
            hog = spawn(burn, 0.25)
            who, info = heard("long_schedule")
            assert (who, info["raised"]) == (hog, True)
            assert "burn" in info["function"]
            comes(("long_schedule", hog))
            goes(("long_schedule", hog))
    finally:
        stop_watchdog()


def test_loop_lag():
    """A timer that fires late: everybody waited."""
    with watching(lag_high=0.08, lag_low=0.07):
        sysmon.subscribe(kinds=["loop_lag"])
        spawn(burn, 0.3)
        _, info = heard("loop_lag")
        assert info["raised"]
        assert info["value"] >= 0.08
        assert not heard("loop_lag")[1]["raised"]
        goes("loop_lag")


def test_run_queue():
    """More processes want to run than can."""
    going = [True]

    def busy():
        while going:
            yield_()

    with watching(run_queue_high=200, run_queue_low=50):
        sysmon.subscribe(kinds=["run_queue"])
        pids = [spawn(busy) for _ in range(300)]
        assert heard("run_queue")[1]["value"] >= 200
        assert sysmon.figures().run_queue >= 200
        going.clear()
        assert not heard("run_queue")[1]["raised"]
        goes("run_queue")
        assert not any(map(is_alive, pids))


def test_zombie(clock):
    """A dead process whose stack does not let go: an event, and its alarm stays for a while after the last one."""

    def stubborn():
        while True:
            with suppress(BaseException):
                kernel.receive()

    def bury():
        pid = spawn(stubborn)
        settle()
        exit(pid, KILL)
        kernel.in_hub(lambda: None)
        until(lambda: kernel.process_info(pid) is None)
        return heard("zombie")[0] is pid

    with watching(interval=1.0, event_for=10.0):
        sysmon.subscribe(kinds=["zombie"])
        assert bury()
        clock.advance(7)
        assert ids() == ["zombies"]
        assert bury()
        clock.advance(7)
        assert ids() == ["zombies"]
        clock.advance(5)
        assert ids() == []
        assert receive(0) is TIMEOUT


# ----------------------------------------------------------------------------------------------------- the machine


def test_large_memory():
    """The program holds a large share of the memory that it may; mapped files do not count."""
    before = probes.memory()
    high, low = before.share + 48 * 2**20 / before.limit, before.share + 24 * 2**20 / before.limit
    with watching(memory_high=high, memory_low=low):
        until(lambda: sysmon.figures().memory)
        assert "large_memory" not in ids()
        ballast = b"x" * (96 * 2**20)
        assert "MiB of" in comes("large_memory").description
        assert sysmon.figures().memory >= before.used + 48 * 2**20
        del ballast
        goes("large_memory")


def test_memory_limit_is_the_smallest_that_binds():
    limits = [os.sysconf("SC_PHYS_PAGES") * resource.getpagesize(), *probes._cgroup_limits()]
    assert probes.memory().limit == min(limits)


def test_descriptors():
    """File descriptors near the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = probes.list_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 200, hard))
    opened = []
    try:
        with watching(
            descriptors_high=(used + 100) / (used + 200), descriptors_low=(used + 50) / (used + 200)
        ):
            opened = [os.dup(0) for _ in range(120)]
            assert "descriptors are open" in comes("descriptors").description
            while opened:
                os.close(opened.pop())
            goes("descriptors")
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_disk():
    """The disk that the data lies on fills up."""
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < 256 * 2**20:
        pytest.skip("needs a file system of its own with some space: /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        usage = shutil.disk_usage(folder)
        share = probes.disk_share(folder)
        high, low = (share + size * 2**20 / usage.total for size in (48, 24))
        with watching(path=folder, disk_high=high, disk_low=low):
            ballast = Path(folder, "ballast")
            ballast.write_bytes(b"x" * (96 * 2**20))
            alarm = comes(("disk", folder))
            assert folder in alarm.description
            ballast.unlink()
            goes(("disk", folder))


# ------------------------------------------------------------------------------------------- store and connections


def test_store_stalled(tmp_path):
    """A writer that answers no more while commits wait; over with the next answer."""
    server = StoreServer.start_link(StoreConfig(path=str(tmp_path / "store"), nshards=1), name="store")
    try:
        with watching(store_stalled=0.1):
            shard = store_of("store").open_shard(0, "test")
            writer = store_of("store").info().writer_pid
            os.kill(writer, signal.SIGSTOP)
            try:
                shard.commit_request([Put("k", b"1", b"v")], "tag")
                comes("store_stalled")
            finally:
                os.kill(writer, signal.SIGCONT)
            assert receive(10).tag == "tag"
            goes("store_stalled")
    finally:
        stop_store(server)


def test_store_slow_is_over_although_nobody_commits_any_more(tmp_path):
    """The last latency stays the newest on an idle node: the alarm does not."""
    server = StoreServer.start_link(StoreConfig(path=str(tmp_path / "store"), nshards=1), name="store")
    try:
        with watching(store_stalled=0.1, latency_high=0.1, latency_low=0.0):
            sysmon.subscribe(kinds=["store_slow"])
            shard = store_of("store").open_shard(0, "test")
            writer = store_of("store").info().writer_pid
            os.kill(writer, signal.SIGSTOP)
            try:
                shard.commit_request([Put("k", b"1", b"v")], "tag")
                comes("store_stalled")
            finally:
                os.kill(writer, signal.SIGCONT)
            told = [receive_match(lambda m: m.__class__ is sysmon.SystemMonitor, 10) for _ in range(2)]
            assert [one.info["raised"] for one in told] == [True, False]
            assert store_of("store").info().latency >= 0.1
    finally:
        stop_store(server)


def stop_store(server):
    kernel.trap_exit(True)
    exit(server, "shutdown")
    assert receive_match(lambda m: m.__class__ is kernel.Exit and m.sender is server, 10) is not TIMEOUT


def test_alarms_of_the_store_and_of_listeners_go_there():
    """What the floors below say by their hooks: one alarm each, cleared when they say so."""
    with watching():
        store_hooks.alarm("store_full", True, path="/data")
        store_hooks.alarm("store_full", True, path="/data")
        for alarm in (
            NetAlarm("native", "accept_rate", True, "too many", 1),
            NetAlarm("native", "per_address", True, "too many of one", 1),
        ):
            for listener in net_alarms:
                listener(alarm)
        settle()
        assert set(ids()) == {
            ("store_full", "/data"),
            ("net", "native", "accept_rate"),
            ("net", "native", "per_address"),
        }
        store_hooks.alarm("store_full", False, path="/data")
        for listener in net_alarms:
            listener(NetAlarm("native", "accept_rate", False, "too many", 7))
        goes(("store_full", "/data"))
        goes(("net", "native", "accept_rate"))
        assert ids() == [("net", "native", "per_address")]


def test_busy_connections():
    """A peer that does not read: its connection is named, until it reads or is closed."""
    listener = Listener.start_link(
        ListenerConfig(
            name="flood", host="127.0.0.1", port=0, protocol="tests.observe.flooding:Flood",
            write_limit=2**26, write_high=1000, write_low=100, write_policy="tell",
        ),
        name="flood",
    )  # fmt: skip
    client = socket.create_connection(("127.0.0.1", net_listener.port(listener)))
    try:
        with watching(busy_connections=1):
            sysmon.subscribe(kinds=["busy_connections"])
            alarm = comes("busy_connections")
            assert "1 connections" in alarm.description
            _, info = heard("busy_connections")
            assert next(iter(info["connections"].values())) > 1000
            client.close()
            goes("busy_connections")
            assert not heard("busy_connections")[1]["raised"]
    finally:
        client.close()
        kernel.trap_exit(True)
        stop_store(listener)
        settle()


# ------------------------------------------------------------------------------------------------ its own workings


def test_hysteresis_and_hold(clock, monkeypatch):
    """Between the marks nothing changes; below the low one it must stay for `hold`; what comes back is the same alarm."""
    value = [0]
    monkeypatch.setattr(probes, "run_queue", lambda: value[0])
    with watching(interval=1.0, hold=5.0, run_queue_high=100, run_queue_low=10):
        sysmon.subscribe(kinds=["run_queue"])

        def at(figure, seconds):
            value[0] = figure
            clock.advance(seconds)
            return "run_queue" in ids()

        assert not at(99, 3)
        assert at(100, 2)
        assert at(50, 60)  # between the marks
        assert at(10, 4)
        assert at(100, 2)  # back before `hold` was over
        assert at(5, 4)
        assert at(11, 10)  # not low enough: `hold` begins anew
        assert at(5, 4)
        assert not at(5, 3)
        assert [heard("run_queue")[1]["raised"] for _ in range(2)] == [True, False]
        assert receive(0) is TIMEOUT


def test_configure_takes_effect_at_once(clock, monkeypatch):
    monkeypatch.setattr(probes, "run_queue", lambda: 50)
    with watching(interval=1.0, hold=0.0, run_queue_high=100, run_queue_low=60):
        clock.advance(2)
        assert ids() == []
        sysmon.configure(replace(QUICK, interval=1.0, hold=0.0, run_queue_high=50, run_queue_low=10))
        clock.advance(2)
        assert ids() == ["run_queue"]
        sysmon.configure(replace(QUICK, interval=1.0, hold=0.0, run_queue_high=100, run_queue_low=60))
        clock.advance(2)
        assert ids() == []


def test_a_new_monitor_takes_over(clock):
    """After a crash of the monitor nothing hangs: what is over is cleared, what is not stays, no hook is left behind."""
    hooks_before = [list(hooks) for hooks in (kernel.hooks.on_mailbox, store_hooks.on_alarm, net_alarms)]
    keeper = alarms.start_link()
    limits = replace(QUICK, interval=1.0, hold=1.0, event_for=10.0)
    first = Sysmon.start(limits, name=sysmon.NAME)
    pid = spawn_callback(Deaf())
    set_watermarks(pid, 100, 10)
    send(pid, "block")
    settle()
    for number in range(150):
        send(pid, number)
    kernel.sweep()
    send(pid, "one more")
    alarms.set_alarm("loop_lag", "of old")
    alarms.set_alarm("stranger")
    clock.advance(1.5)
    exit(first, KILL)
    settle()
    assert [
        list(hooks) for hooks in (kernel.hooks.on_mailbox, store_hooks.on_alarm, net_alarms)
    ] == hooks_before
    second = Sysmon.start(limits, name=sysmon.NAME)
    clock.advance(20)
    assert set(ids()) == {("long_message_queue", pid), "stranger"}
    send(pid, "go on")
    clock.advance(5)
    assert ids() == ["stranger"]
    exit(pid, KILL)
    stop(second)
    stop(keeper)


def test_subscribers_choose_kinds_and_are_forgotten_when_they_end():
    with watching() as monitor:
        other = spawn(receive)
        sysmon.subscribe(other)
        sysmon.subscribe(kinds=["loop_lag"])
        assert len(kernel.process_info(monitor, "monitors")["monitors"]) >= 2
        exit(other, KILL)
        settle()
        assert list(sys.get_state(monitor)["subscribers"]) == [self_()]
        sysmon.unsubscribe()
        assert sys.get_state(monitor)["subscribers"] == {}


def net_alarm(raised):
    for hook in net_alarms:
        hook(NetAlarm(listener="l", kind="full", raised=raised, text="too many", times=1))


def test_alarms_of_sources_are_still_theirs_after_a_crash_of_the_monitor(clock):
    """Ours: what a listener or the store raised is cleared when it says so, whichever monitor hears that."""
    keeper = alarms.start_link()
    limits = replace(QUICK, interval=1.0, hold=1.0, event_for=10.0)
    first = Sysmon.start(limits, name=sysmon.NAME)
    net_alarm(True)
    store_hooks_say("store_full", True)
    alarms.set_alarm("store_stalled", "of old")
    alarms.set_alarm("zombies", "of old")
    settle()
    exit(first, KILL)
    settle()
    second = Sysmon.start(limits, name=sysmon.NAME)
    sysmon.subscribe()
    clock.advance(20)
    assert set(ids()) == {("net", "l", "full"), ("store_full", "p")}
    net_alarm(False)
    store_hooks_say("store_full", False)
    clock.advance(5)
    assert ids() == []
    told = []
    while (message := receive(0)) is not TIMEOUT:
        told.append((message.kind, message.info["raised"]))
    assert sorted(told) == [("net", False), ("store_full", False), ("store_stalled", False)]
    stop(second)
    stop(keeper)


def store_hooks_say(name, raised):
    for hook in store_hooks.on_alarm:
        hook(name, raised, {"path": "p"})


@pytest.mark.parametrize("lost", ["down", "queued"])
def test_what_changes_while_the_alarms_are_down_is_told_when_they_are_back(clock, lost):
    """Ours: neither a rise nor a fall is lost with the process `alarms`, nor with its mailbox; each is told once."""
    keeper = alarms.start_link()
    trap_exit(True)
    monitor = Sysmon.start(replace(QUICK, interval=1.0, hold=0.0), name=sysmon.NAME)
    sysmon.subscribe()
    net_alarm(True)
    settle()
    assert ids() == [("net", "l", "full")]
    if lost == "queued":
        sys.suspend(keeper)
    else:
        exit(keeper, KILL)
        settle()
    net_alarm(False)
    store_hooks_say("store_full", True)
    clock.advance(2.5)
    if lost == "queued":
        exit(keeper, KILL)
        settle()
    keeper = alarms.start_link()
    assert ids() == [("net", "l", "full")]
    clock.advance(2.5)
    assert ids() == [("store_full", "p")]
    told = [(kind, info["raised"]) for kind, info in said()]
    assert told == [("net", True), ("store_full", True), ("net", False)]
    stop(monitor)
    stop(keeper)


def said():
    """What a subscriber has heard so far: (kind, info)."""
    found = []
    while (message := receive(0)) is not TIMEOUT:
        if message.__class__ is SystemMonitor:
            found.append((message.kind, message.info))
    return found


@pytest.mark.parametrize(
    "wrong",
    [{"lag_low": 2.0}, {"memory_low": 0.9}, {"disk_low": -1}, {"interval": 0}, {"hold": -1.0}, {"disk_interval": 0.0}],
)  # fmt: skip
def test_limits_that_contradict_each_other_are_refused(wrong):
    """Ours: a clearing mark above the raising one would flap; a look every 0 s would never end."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


def test_callers_mistakes_do_not_reach_the_monitor():
    """Ours: STYLE, errors: a caller's mistake is an exception at the call."""
    with watching() as monitor:
        for wrong in (
            lambda: sysmon.subscribe("nobody"),
            lambda: sysmon.subscribe([]),
            lambda: sysmon.subscribe(kinds="loop_lag"),
            lambda: sysmon.configure({}),
            lambda: alarms.set_alarm("a", "b", level="high"),
        ):
            with pytest.raises(TypeError):
                wrong()
        settle()
        assert is_alive(monitor)
        assert ids() == []
