"""Crash dumps: what was seen is what is read; a damaged file is said to be one; old ones go."""

from __future__ import annotations

import os
import resource
import signal
import threading
import zlib
from contextlib import contextmanager

import msgpack
import pytest

from runtime import kernel
from runtime.kernel import KILL, exit, receive, self_, send, spawn_opt
from runtime.observe import alarms, crash_dump, snapshot
from runtime.observe.crash_dump import Dump, NoDump, collect, write
from runtime.otp import stop
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.gen_server import GenServer
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle, until


@contextmanager
def scene():
    """A tree, an alarm, and a process with mail that it does not take."""
    boss = Supervisor.start_link_with(SupFlags(), [ChildSpec("alarms", (alarms.start_link, ()))], name="boss")
    pid = spawn_opt(lambda: kernel.receive_match(lambda m: m == "go on"), name="deaf")
    settle()
    alarms.set_alarm("printer", "out of paper", quiet=True)
    for number in range(30):
        send(pid, ("letter", number))
    settle()
    try:
        yield pid
    finally:
        exit(pid, KILL)
        stop(boss)


def test_a_dump_says_what_the_node_said(tmp_path):
    with scene() as deaf:
        path = write(tmp_path / "crash" / "one.dump", reason="a test")
        assert path.stat().st_mode & 0o777 == 0o600
        dump = Dump.open(path)
        assert dump.reason == "a test"
        assert dump.alarms() == snapshot.alarms()
        assert dump.processes(1, "mailbox")[0] == snapshot.row(deaf)
        assert dump.tree() == snapshot.tree(200, 20_000)
        assert dump.tree(root="alarms")[0].id == "alarms"
        assert dump.tree(root="nobody") == []
        seen = dump.process("deaf", heads=3)
        assert seen == snapshot.process("deaf", heads=3)
        assert seen.messages == tuple(f"('letter', {n})" for n in range(3))
        for who in ("deaf", repr(deaf), deaf.number, f"<{deaf.number}@nonode>", str(deaf.number)):
            assert dump.find(who).name == "deaf", who
        assert dump.find("nobody") is None
        assert dump.process("nobody") is None
        assert [row.name for row in dump.processes(10, filter="deaf")] == ["deaf"]
        assert dump.processes(5, "number") == dump.processes(99, "newest")[::-1][:5]
        assert dump.node_summary()["processes"] == kernel.process_count()
        assert dump.metrics["evergreen_longest_mailbox_messages"] == 30
        assert any(one["who"] == "thread MainThread" for one in dump.stacks)
        assert dump.applications() == dump.releases() == dump.connections() == dump.listeners() == []
        assert set(dump.SORTS) == set(snapshot.SORTS) - {"monitored_by"}


def test_the_stack_of_a_process_is_in_it(tmp_path):
    with scene():

        def waits_in_here():
            receive()

        pid = spawn_opt(waits_in_here, name="waiter")
        settle()
        dump = Dump.open(write(tmp_path / "one.dump"))
        assert any("waits_in_here" in line for line in dump.process("waiter").stack)
        assert any("waits_in_here" in "".join(one["lines"]) for one in dump.stacks)
        exit(pid, KILL)


def test_what_cannot_be_read_is_named_and_hides_nothing_else(monkeypatch):
    with scene():
        monkeypatch.setitem(crash_dump._PARTS, "tree", lambda: 1 / 0)
        facts = collect()
        assert facts["missing"] == ["tree: ZeroDivisionError: division by zero"]
        assert facts["alarms"]
        assert Dump(facts).tree() == []


def test_old_dumps_go_and_others_stay(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    for number in range(5):
        write(tmp_path / f"{number}.dump", keep=2)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["3.dump", "4.dump", "note.txt"]


def test_a_file_that_is_none_is_said_to_be_none(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(NoDump, match="no crash dump"):
        Dump.open(tmp_path / "text")
    whole = write(tmp_path / "one.dump").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-20] + b"x" * 20, whole[:30]):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(NoDump, match="is damaged"):
            Dump.open(tmp_path / "damaged")
    with pytest.raises(FileNotFoundError):
        Dump.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    "facts",
    [
        [], 7, {"processes": 7}, {"processes": [{}]}, {"processes": [7]}, {"details": [{}]}, {"tree": [{}]}, {"tree": 7},
        {"alarms": [{"id": 1}]}, {"metrics": 7}, {"stacks": 7}, {"time": "x"}, {"summary": 7}, {"releases": [[]]},
    ],
)  # fmt: skip
def test_a_file_of_somebody_else_is_refused_when_it_is_opened(tmp_path, facts):
    path = tmp_path / "foreign.dump"
    path.write_bytes(crash_dump._MAGIC + zlib.compress(msgpack.packb(facts)))
    with pytest.raises(NoDump, match="is damaged"):
        Dump.open(path)


def test_a_small_file_that_would_be_huge_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(crash_dump, "_MOST", 1_000_000)
    path = tmp_path / "bomb.dump"
    path.write_bytes(crash_dump._MAGIC + zlib.compress(bytes(50_000_000)))
    with pytest.raises(NoDump, match="more than 1,000,000 bytes"):
        Dump.open(path)


def test_half_a_surrogate_pair_is_no_reason_for_having_no_dump(tmp_path):
    pid = spawn_opt(receive, label="\ud800")
    settle()
    assert Dump.open(write(tmp_path / "one.dump")).process(pid.number).row.label == "'\\ud800'"
    facts = collect("\ud800")
    (tmp_path / "two").write_bytes(crash_dump._MAGIC + zlib.compress(crash_dump._packed(facts)))
    assert Dump.open(tmp_path / "two").reason == "\ud800"
    exit(pid, KILL)


def test_what_cannot_be_packed_is_named_and_hides_nothing_else(tmp_path, monkeypatch):
    class Odd:
        def __str__(self):
            raise RuntimeError

    monkeypatch.setitem(crash_dump._PARTS, "store", lambda: {"used": Odd()})
    dump = Dump.open(write(tmp_path / "one.dump"))
    assert dump.store_info() == {}
    assert dump.missing[0].startswith("store: RuntimeError")
    assert dump.processes(1)


def test_without_memory_or_descriptors_it_is_an_os_error(tmp_path, monkeypatch):
    """Whoever writes one at the end of a node expects that, and goes on to stop the rest in order."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            write(tmp_path / "one.dump")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def none_left(data, level):
        raise MemoryError

    monkeypatch.setattr(crash_dump.zlib, "compress", none_left)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        write(tmp_path / "one.dump")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(tmp_path / "one.dump")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_threads_that_hang_keep_no_dump_from_being_made(tmp_path):
    """What it is made for may be that all threads of the pool are taken."""
    gone = threading.Event()
    stuck = [kernel.spawn(lambda: kernel.blocking(gone.wait, 30)) for _ in range(100)]
    until(lambda: kernel.thread_jobs() >= 100)
    try:
        assert Dump.open(write(tmp_path / "one.dump")).processes(1)
    finally:
        gone.set()
        until(lambda: not any(pid.alive for pid in stuck))


def test_two_at_once_into_one_file(tmp_path):
    """As two people do who type crashdump() in the same second: the file is one of them, and whole."""
    done = []
    for _ in range(4):
        kernel.spawn(lambda: done.append(write(tmp_path / "one.dump")))
    until(lambda: len(done) == 4)
    assert Dump.open(tmp_path / "one.dump").processes(1)
    assert [one.name for one in tmp_path.iterdir()] == ["one.dump"]
    assert (tmp_path / "one.dump").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_program_left_half_written_goes(tmp_path):
    old, new = tmp_path / "1.dump.abc.new", tmp_path / "2.dump.def.new"
    for one in (old, new):
        one.write_bytes(b"half")
    os.utime(old, (0, 0))
    write(tmp_path / "3.dump", keep=1)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["2.dump.def.new", "3.dump"]


class Vault(GenServer):
    def init(self):
        self.key = "open sesame"

    def handle_info(self, message):
        receive()

    def format_status(self, status):
        return {key: "hidden" if key != "messages" else ("hidden",) for key in status}


def test_what_format_status_hides_is_in_no_dump(tmp_path):
    pid = Vault.start(name="vault")
    for _ in range(3):
        send(pid, "open sesame")
    settle()
    raw = write(tmp_path / "one.dump").read_bytes()
    data = zlib.decompress(raw[len(crash_dump._MAGIC) :])
    assert b"hidden" in data
    assert b"sesame" not in data
    exit(pid, KILL)


def test_a_huge_state_makes_no_huge_dump(tmp_path):
    pids = [spawn_opt(receive, label="x" * 1_000_000) for _ in range(20)]
    kernel.put("huge", ["y" * 1_000] * 10_000)
    settle()
    assert len(zlib.decompress(write(tmp_path / "one.dump").read_bytes()[len(crash_dump._MAGIC) :])) < 200_000
    kernel.erase("huge")
    for pid in pids:
        exit(pid, KILL)


def test_a_disk_that_takes_no_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "one.dump")
    assert self_().alive
