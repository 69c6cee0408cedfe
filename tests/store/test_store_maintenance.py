"""Backup, restore, check, compaction, damage: what an operator meets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import kernel
from runtime.kernel import receive_match, self_, send, spawn_monitor
from runtime.store import Committed, CorruptRecord, Put, StoreCorrupt, StoreError, Unknown, hooks
from runtime.store.lmdb_engine import open_store
from runtime.store.maintenance import check, restore

MARK = b"find me in the file"


def command(*arguments):
    """Run the command line: status, output, error text."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime.store", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def flip(engine, what=MARK):
    """Damage every copy of these bytes on the disk, as a bad sector would."""
    path = Path(engine.path, "data.mdb")
    data = path.read_bytes()
    at, count = data.find(what), 0
    with path.open("r+b") as file:
        while at >= 0:
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))
            count += 1
            at = data.find(what, at + 1)
    assert count


def damaged(engine):
    with engine.store() as store:
        store.open_shard(3, "me").commit(
            [
                Put("a", b"1", b"sound"),
                Put("a", b"2", MARK),
                Put("a", b"3", b"sound"),
                Put("b", b"2", b"sound"),
            ]
        )
    flip(engine)


def test_a_damaged_record_is_named_and_never_served(engine):
    damaged(engine)
    seen = []
    hooks.on_alarm.append(lambda name, raised, info: seen.append((name, info["kind"], info["key"])))
    try:
        with engine.store() as store:
            shard = store.open_shard(3, "me")
            with pytest.raises(CorruptRecord) as caught:
                shard.get("a", b"2")
            assert (caught.value.shard, caught.value.kind, caught.value.key) == (3, "a", b"2")
            assert seen == [("store_corrupt_record", "a", b"2")]
            with pytest.raises(CorruptRecord):
                shard.scan("a")
            keys = []
            assert [rec.key for rec in shard.scan("a", damaged=keys)] == [b"1", b"3"]
            assert keys == [b"2"]
            with pytest.raises(CorruptRecord):
                shard.commit([Put("a", b"1", b"x"), Put("a", b"2", b"x", 2)])
            assert shard.get("a", b"1").val == b"sound"
            shard.commit([Put("a", b"2", b"written anew")])
            assert [rec.val for rec in shard.scan("a")] == [b"sound", b"written anew", b"sound"]
    finally:
        hooks.on_alarm.pop()


def test_check_names_damaged_records_by_key(engine, tmp_path):
    damaged(engine)
    report = check(engine.path)
    assert [(error.shard, error.kind, error.key) for error in report.damaged] == [(3, "a", b"2")]
    assert report.records == {"a": 3, "b": 1}
    status, _, error = command("check", engine.path)
    assert status == 1
    assert "shard 3, a b'2'" in error
    status, _, error = command("backup", engine.path, tmp_path / "backup")
    assert status == 1
    assert "damaged" in error
    assert not (tmp_path / "backup").exists()
    assert command("backup", engine.path, tmp_path / "backup", "--damaged-too")[0] == 0


@pytest.mark.slow
def test_a_backup_made_while_writing_is_whole_and_can_be_restored(engine, tmp_path):
    place = tmp_path / "backups" / "one"
    me = self_()
    with engine.store() as store:
        shard = store.open_shard(0, "me")

        def write():
            n = 0
            while not kernel.get("stop"):
                shard.commit([Put("a", b"%06d" % n, b"x" * 100), Put("b", b"%06d" % n, b"y" * 100)])
                n += 1
                if n == 50:
                    send(me, "going")
                if kernel.receive(0) == "stop":
                    return

        writer, ref = spawn_monitor(write)
        receive_match(lambda m: m == "going")
        report = store.backup(str(place))
        assert "0 damaged" in report
        send(writer, "stop")
        receive_match(lambda m: getattr(m, "ref", None) is ref)
        total = len(shard.scan("a", limit=10_000))
        with pytest.raises(StoreError, match="exists"):
            store.backup(str(place))
        with pytest.raises(StoreError, match="in use"):
            restore(str(place), engine.path)
    status, out, _ = command("restore", place, engine.path)
    assert status == 0
    assert "before-restore" in out
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        keys = [rec.key for rec in shard.scan("a", limit=10_000)]
        assert 50 <= len(keys) <= total
        assert keys == [b"%06d" % n for n in range(len(keys))]
        assert keys == [rec.key for rec in shard.scan("b", limit=10_000)]


def ruin(path, how):
    data = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
        case "noise":
            path.write_bytes(os.urandom(len(data)))
        case "cut off":
            path.write_bytes(data[: len(data) // 2])
        case "schema record":
            path.write_bytes(data.replace(b"\x00schema", b"\x00schemX"))
        case "text":
            path.write_bytes(b"not a store\n" * 2000)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["empty", "missing", "noise", "cut off", "schema record", "text"])
def test_a_ruined_file_is_refused_with_the_command_that_helps(engine, tmp_path, how):
    backup = tmp_path / "backup"
    with engine.store() as store:
        store.open_shard(0, "me").commit([Put("a", b"%d" % n, b"x" * 4000) for n in range(100)])
        store.backup(str(backup))
    data = Path(engine.path, "data.mdb")
    ruin(data, how)
    before = data.read_bytes() if data.exists() else None
    with pytest.raises(StoreCorrupt) as caught, engine.store():
        pass
    assert (data.read_bytes() if data.exists() else None) == before
    advice = str(caught.value)
    words = f"python -m runtime.store restore {backup} {engine.path}"
    assert words in advice
    assert command(*words.split()[3:])[0] == 0
    with engine.store() as store:
        assert len(store.open_shard(0, "me").scan("a")) == 100


def ruin_page(engine):
    """Zero the page of the tree in which one of many records lies."""
    with engine.store() as store:
        shard = store.open_shard(3, "me")
        shard.commit([Put("a", b"%03d" % n, MARK if n == 150 else b"x" * 500) for n in range(300)])
    path = Path(engine.path, "data.mdb")
    data = path.read_bytes()
    at = data.rindex(MARK) // 4096 * 4096
    path.write_bytes(data[:at] + bytes(4096) + data[at + 4096 :])


def test_a_ruined_page_is_found_at_start_and_by_every_command(engine, tmp_path):
    """LMDB may abort the process that reads it: that is the writer, or the command's child, never the node."""
    ruin_page(engine)
    with pytest.raises(StoreCorrupt, match="python -m runtime.store restore"), engine.store():
        pass
    for arguments in (
        ["check", engine.path],
        ["backup", engine.path, tmp_path / "b"],
        ["compact", engine.path],
    ):
        status, _, error = command(*arguments)
        assert status == 1
        assert "python -m runtime.store restore" in error


@pytest.mark.slow
def test_a_ruined_page_ends_the_store_with_advice_when_it_is_written_to(engine):
    """Reading it is refused too; everything else is served until then."""
    kernel.trap_exit(True)
    ruin_page(engine)
    store = open_store(engine.path, 8, check_upto=0)
    shard = store.open_shard(3, "me")
    assert shard.get("a", b"000")
    with pytest.raises(StoreCorrupt):
        shard.get("a", b"150")
    shard.commit([Put("a", b"000", b"still served")])
    with pytest.raises(Unknown):
        shard.commit([Put("a", b"150", b"x")])
    ended = receive_match(lambda m: isinstance(m, kernel.Exit) and m.sender is store.pid)
    assert isinstance(ended.reason, StoreCorrupt)
    assert "python -m runtime.store restore" in str(ended.reason)


def test_a_damaged_token_fences_everyone_and_the_next_open_mends_it(engine):
    with engine.store() as store:
        store.open_shard(3, "a very long name of an owner")
        before = store.open_shard(3, "a very long name of an owner").token
    flip(engine, b"a very long name of an owner")
    with engine.store() as store:
        shard = store.open_shard(3, "next")
        assert shard.token > before
        shard.commit([Put("a", b"k", b"v")])
    assert check(engine.path).is_sound


@pytest.mark.parametrize("what", [b"\x00session", b"\x00schema"])
def test_a_damaged_meta_record_is_refused_at_start(engine, what):
    with engine.store() as store:
        store.open_shard(3, "me")
    path = Path(engine.path, "data.mdb")
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(what, at + 1)) >= 0:
        data[at + len(what) + 8] ^= 1  # within the version, which the checksum covers
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="python -m runtime.store restore"), engine.store():
        pass


@pytest.mark.slow
def test_command_line_stat_check_compact(engine, tmp_path):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for n in range(3):
            shard.commit_request([Put("a", b"%d" % n, b"x" * 100_000)], n)
            assert isinstance(kernel.receive(), Committed)
        status, out, _ = command("stat", engine.path)
        assert status == 0
        assert "version      4" in out
        status, _, error = command("compact", engine.path)
        assert status == 1
        assert "in use" in error
    assert command("check", engine.path)[:2] == (0, "3 a records read, 0 damaged\n")
    assert command("compact", engine.path)[0] == 0
    assert command("check", engine.path)[0] == 0
    status, _, error = command("check", tmp_path / "nothing here")
    assert (status, "no store" in error) == (1, True)
    assert not (tmp_path / "nothing here").exists()
