"""No space: a clear error to the caller, nothing lost, an alarm, deletes go on, and recovery without a restart."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from runtime.kernel import receive
from runtime.store import CommitFailed, Committed, Del, Put, StoreFull, hooks

pytestmark = pytest.mark.slow
BLOCK = b"x" * 900  # four to a page


@pytest.fixture
def full_alarms():
    seen = []

    def note(name, raised, info):
        if name == "store_full":
            seen.append(raised)

    hooks.on_alarm.append(note)
    yield seen
    hooks.on_alarm.remove(note)


def fill(shard, limit=20_000):
    """Commit block after block until one is refused; the keys that were answered as durable, and the refusal."""
    for n in range(0, limit, 20):
        for m in range(n, n + 20):
            shard.commit_request([Put("a", b"%06d" % m, BLOCK)], m)
        answers = [receive() for _ in range(20)]
        if any(isinstance(answer, CommitFailed) for answer in answers):
            done = [answer.tag for answer in answers if isinstance(answer, Committed)]
            errors = [answer.error for answer in answers if isinstance(answer, CommitFailed)]
            return [*range(n), *done], errors
    raise AssertionError("it never got full")


def keys(shard):
    return [int(rec.key) for rec in shard.scan("a", limit=10_000) if rec.val == BLOCK]


def delete_all_over(shard, done):
    """Delete in one batch in so many pages that the free ones do not suffice: LMDB copies each page it changes."""
    gone = done[:: len(done) // 90]
    shard.commit([Del("a", b"%06d" % n) for n in gone])
    return [n for n in done if n not in gone]


def assert_emptied_and_served_again(shard, done, alarms):
    """Delete in a full store until writes go through again."""
    assert alarms == [True]
    done = delete_all_over(shard, done)
    assert keys(shard) == done
    for start in range(0, len(done), 50):
        mark = Put("cursor", b"me", b"%030d" % start)  # as a queue does: how far it is emptied
        shard.commit([*(Del("a", b"%06d" % n) for n in done[start : start + 50]), mark])
    assert keys(shard) == []
    shard.commit([Put("a", b"%06d" % 1, BLOCK)])
    assert keys(shard) == [1]
    assert alarms == [True, False]


def test_at_max_size_writes_are_refused_and_deletes_make_room(engine, full_alarms):
    with engine.store(max_size=2 << 20, reserve=1 << 19) as store:
        shard = store.open_shard(0, "me")
        done, errors = fill(shard)
        assert {type(error) for error in errors} == {StoreFull}
        assert "size limit" in str(errors[0])
        assert len(done) > 1000
        assert keys(shard) == done
        assert store.info().full
        with pytest.raises(StoreFull):
            shard.commit([Put("b", b"k", BLOCK * 100)])
        assert store.open_shard(1, "opening goes on").token == 1
        assert_emptied_and_served_again(shard, done, full_alarms)
        assert not store.info().full
    assert Path(engine.path, "data.mdb").stat().st_size <= (2 << 20) + (1 << 19)


def test_one_batch_that_is_too_big_does_not_turn_its_neighbours_away(engine, full_alarms):
    with engine.store(max_size=2 << 20, reserve=1 << 19) as store:
        shard = store.open_shard(0, "me")
        shard.commit_request([Put("a", b"before", b"v")], 1)
        shard.commit_request([Put("a", b"huge", b"x" * (4 << 20))], 2)
        shard.commit_request([Put("a", b"after", b"v")], 3)
        assert [type(receive()) for _ in range(3)] == [Committed, CommitFailed, Committed]
        assert [rec.key for rec in shard.scan("a")] == [b"after", b"before"]
        assert not store.info().full


def test_a_disk_that_takes_no_more_and_then_does_again(engine, full_alarms):
    """The operating system refuses (EFBIG, by a limit on the writer): the same path as ENOSPC."""
    with engine.store(reserve=0) as store:
        shard = store.open_shard(0, "me")
        limit = (
            Path(engine.path, "data.mdb").stat().st_size + (1 << 20) + 1000
        )  # not a whole page: a write cut short
        resource.prlimit(store.info().writer_pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        done, errors = fill(shard)
        assert {type(error) for error in errors} == {StoreFull}
        assert keys(shard) == done
        for _ in range(3):
            with pytest.raises(StoreFull):
                shard.commit([Put("b", b"k", BLOCK * 200)])
        assert full_alarms == [True]
        resource.prlimit(
            store.info().writer_pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        shard.commit([Put("b", b"k", BLOCK * 200)])
        assert full_alarms == [True, False]
        assert keys(shard) == done
        assert store.info().writer_restarts == 0
    with engine.store() as store:
        assert keys(store.open_shard(0, "me")) == done


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True
    ).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_file_system_lives_on_its_ballast_and_recovers(engine, small_disk, full_alarms):
    engine.path = str(small_disk / "store")
    with engine.store(reserve=1 << 19) as store:
        shard = store.open_shard(0, "me")
        other = small_disk / "somebody else's"
        other.write_bytes(b"x" * (1 << 20))
        done, errors = fill(shard)
        assert {type(error) for error in errors} == {StoreFull}
        assert keys(shard) == done
        assert full_alarms == [True]
        done = delete_all_over(shard, done)
        assert not Path(engine.path, "ballast").exists()
        with pytest.raises(StoreFull):
            shard.commit([Put("b", b"k", BLOCK * 400)])
        other.unlink()
        shard.commit([Put("b", b"k", BLOCK * 400)])
        assert full_alarms == [True, False]
        assert keys(shard) == done
        assert store.info().writer_restarts == 0
        assert Path(engine.path, "ballast").stat().st_size == 1 << 19
