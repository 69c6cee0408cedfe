"""Crash dumps: what was seen is what is read; a damaged file is said to be one; old ones go."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import KILL, exit, receive, self_, send, spawn_opt
from runtime.observe import alarms, crash_dump, snapshot
from runtime.observe.crash_dump import Dump, NoDump, collect, write
from runtime.otp import stop
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle


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


def test_a_disk_that_takes_no_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "one.dump")
    assert self_().alive
