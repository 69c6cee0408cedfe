"""The store against bad callers, hung disks, and the end of its tools at every step."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import kernel
from runtime.kernel import TIMEOUT, receive
from runtime.store import BadBatch, CommitFailed, Committed, CorruptRecord, Del, Put, Unavailable, hooks
from runtime.store.contract import MAX_BATCH
from runtime.store.environment import lock
from runtime.store.lmdb_engine import open_store
from runtime.testing import until


@pytest.fixture
def alarms():
    seen = []

    def note(name, raised, info):
        seen.append((name, raised))

    hooks.on_alarm.append(note)
    yield seen
    hooks.on_alarm.remove(note)


def test_what_cannot_be_written_down_is_the_callers_mistake_and_never_the_servers(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for op in (Put("a", b"k", b"v", 1 << 63), Del("a", b"k", 1 << 70), Del("a", b"k", -2)):
            with pytest.raises(BadBatch):
                shard.commit([op])
            with pytest.raises(BadBatch):
                shard.commit_request([op], 1)
        with pytest.raises(ValueError, match="surrogates"):
            store.open_shard(0, "\ud800")
        assert kernel.is_alive(store.pid)
        assert shard.commit([Put("a", b"k", b"v")])


def test_a_batch_that_would_hold_up_everybody_is_refused(engine):
    half = b"x" * (MAX_BATCH // 2)
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        with pytest.raises(BadBatch, match="at most"):
            shard.commit([Put("a", b"1", half), Put("a", b"2", half), Put("a", b"3", b"x")])
        assert shard.scan("a") == []


def test_bytes_that_wait_are_bounded_too(engine):
    with engine.store(max_pending_bytes=1 << 20) as store:
        shard = store.open_shard(0, "me")
        for n in range(6):
            shard.commit_request([Put("a", b"%d" % n, b"x" * 300_000)], n)
        assert 1 << 20 <= store.info().pending_bytes < 2 << 20
        answers = [receive() for _ in range(6)]
        assert [a.tag for a in answers if isinstance(a, CommitFailed)] == [4, 5]
        assert all(isinstance(a.error, Unavailable) for a in answers if isinstance(a, CommitFailed))
        assert store.info().pending_bytes == 0
        assert shard.commit([Put("a", b"k", b"v")])


def test_a_writer_that_hangs_raises_the_alarm_and_its_next_answer_clears_it(engine, clock, alarms):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        clock.advance(5.0)
        os.kill(store.info().writer_pid, signal.SIGSTOP)
        shard.commit_request([Put("a", b"k", b"v")], 1)
        clock.advance(1.9)
        assert alarms == []
        clock.advance(0.2)
        assert store.info().stalled > 2
        until(lambda: alarms == [("store_stalled", True)])
        shard.commit_request([Put("a", b"l", b"v")], 2)
        clock.advance(10.0)
        os.kill(store.info().writer_pid, signal.SIGCONT)
        assert [receive().tag, receive().tag] == [1, 2]
        assert alarms == [("store_stalled", True), ("store_stalled", False)]
        assert store.info().stalled == 0


def test_a_long_queue_that_moves_is_no_hang(engine, clock, alarms):
    asked = answered = 0
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for _ in range(20):
            while asked - answered < 10:
                shard.commit_request([Put("a", b"k", b"x" * 200_000)], asked)
                asked += 1
            clock.advance(0.5)
            answered += batch_of_answers()
            assert store.info().stalled < 2.0
        while answered < asked:
            answered += batch_of_answers()
        assert alarms == []


def batch_of_answers():
    """Answers come in real time, whatever the clock says: wait for one, and take what came with it."""
    assert isinstance(receive(), Committed)
    count = 1
    while (more := receive(0)) is not TIMEOUT:
        assert isinstance(more, Committed)
        count += 1
    return count


def test_a_damaged_record_that_is_read_again_and_again_is_told_once(engine, alarms):
    with engine.store() as store:
        store.open_shard(0, "me").commit([Put("a", b"k", b"find me")])
    path = Path(engine.path, "data.mdb")
    path.write_bytes(path.read_bytes().replace(b"find me", b"find ME"))
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for _ in range(3):
            with pytest.raises(CorruptRecord):
                shard.get("a", b"k")
    assert alarms == [("store_corrupt_record", True)]


def test_the_lock_holds_without_room_for_its_pid(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as on a full disk
    try:
        os.close(lock(str(tmp_path), 0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


ENDS_AT = """
import os, sys
from runtime.store import maintenance
left = int(sys.argv[1])
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.link"):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
maintenance.restore(*sys.argv[2:])
"""


@pytest.mark.slow
def test_a_restore_that_is_killed_at_any_step_leaves_a_store(engine, tmp_path):
    backup = str(tmp_path / "backup")
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Put("a", b"k", b"1")])
        store.backup(backup)
        shard.commit([Put("a", b"k", b"2")])
    seen = []
    for step in range(20):
        done = subprocess.run([sys.executable, "-c", ENDS_AT, str(step), backup, engine.path], check=False)
        assert Path(engine.path, "data.mdb").exists(), f"killed at step {step}"
        with engine.store() as store:
            seen.append(store.open_shard(0, "me").get("a", b"k").val)
        if not done.returncode:
            break
    assert not done.returncode
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {b"1", b"2"}


READER = """
import lmdb, sys
env = lmdb.open(sys.argv[1], readonly=True)
print("open", flush=True)
sys.stdin.read()
"""
COMPACTS = """
import subprocess, sys
from pathlib import Path
from runtime.store import maintenance
readers = []
def hook(event, arguments):
    if event == "os.rename" and Path(arguments[1]).name == "data.mdb" and not readers:
        readers.append(subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdin=sys.stdin, stdout=-1))
        readers[0].stdout.readline()
sys.addaudithook(hook)
maintenance.compact(sys.argv[1])
assert readers
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_reader_that_opens_in_the_middle_of_a_swap_does_not_mislead_the_next_writer(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for n in range(8):
            shard.commit([Put("a", b"%d" % n, b"v")])
    for _ in range(2):  # so that the old file's last transaction is once even, once odd
        with subprocess.Popen(
            [sys.executable, "-c", COMPACTS, engine.path, READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as swapper:
            assert swapper.stdout.readline() == b"done\n"
            store = open_store(engine.path, 8)
            shard = store.open_shard(0, "me")
            assert len(shard.scan("a")) == 8
            shard.commit([Put("a", b"0", b"again")])
            store.close()
            swapper.stdin.close()
