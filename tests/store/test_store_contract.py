"""The store contract, told once for every engine."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from runtime.kernel import Down, receive, receive_match, send, spawn_monitor, self_
from runtime.store import (
    ABSENT,
    BadBatch,
    CommitFailed,
    Committed,
    Conflict,
    Del,
    Fenced,
    Put,
    ShardCountMismatch,
    Unavailable,
)


def test_versions_of_a_key_grow_also_across_a_delete(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        seen = []
        for _ in range(3):
            version = shard.commit([Put("a", b"k", b"v")])
            assert shard.get("a", b"k").version == version
            seen.append(version)
            shard.commit([Del("a", b"k")])
            assert shard.get("a", b"k") is None
        assert seen == sorted(set(seen))
        assert seen[0] > ABSENT


def test_scan_is_ordered_bounded_and_half_open(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        keys = [b"", b"\0", b"a", b"a\0", b"ab", b"b", b"\xfe", b"\xff", b"\xff\xff"]
        shard.commit([Put("a", key, key) for key in reversed(keys)])
        shard.commit([Put("A", b"x", b"before"), Put("b", b"x", b"after")])
        assert [rec.key for rec in shard.scan("a")] == keys
        assert [rec.key for rec in shard.scan("a", b"a", b"b")] == [b"a", b"a\0", b"ab"]
        assert [rec.key for rec in shard.scan("a", b"a", limit=2)] == [b"a", b"a\0"]
        assert shard.scan("a", b"b", b"b") == []
        assert shard.scan("nothing") == []
        with pytest.raises(ValueError, match="limit"):
            shard.scan("a", limit=0)


def test_delete_is_idempotent(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Del("a", b"never")])
        shard.commit([Put("a", b"k", b"v")])
        shard.commit([Del("a", b"k"), Del("a", b"k")])
        shard.commit([Del("a", b"k")])
        assert shard.get("a", b"k") is None


def test_absent_holds_once_and_again_after_delete(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        first = shard.commit([Put("a", b"k", b"1", ABSENT)])
        with pytest.raises(Conflict) as caught:
            shard.commit([Put("a", b"k", b"2", ABSENT)])
        assert (caught.value.key, caught.value.expected, caught.value.found) == (b"k", ABSENT, first)
        shard.commit([Del("a", b"k")])
        shard.commit([Put("a", b"k", b"3", ABSENT)])
        assert shard.get("a", b"k").val == b"3"


def test_compare_and_set_on_put_and_delete(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        one = shard.commit([Put("a", b"k", b"1")])
        two = shard.commit([Put("a", b"k", b"2", one)])
        for stale in (Put("a", b"k", b"x", one), Del("a", b"k", one), Put("a", b"none", b"x", two)):
            with pytest.raises(Conflict):
                shard.commit([stale])
        assert shard.get("a", b"k") == (b"k", b"2", two)
        shard.commit([Del("a", b"k", two)])
        assert shard.get("a", b"k") is None


def test_operations_of_a_batch_see_those_before_them(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Put("a", b"k", b"1", ABSENT), Del("a", b"k"), Put("a", b"k", b"2", ABSENT)])
        assert shard.get("a", b"k").val == b"2"
        with pytest.raises(Conflict):
            shard.commit([Del("a", b"k"), Put("a", b"new", b"v"), Put("a", b"new", b"v", ABSENT)])
        assert shard.get("a", b"k").val == b"2"


def test_a_conflict_aborts_its_whole_batch_and_no_other(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Put("a", b"taken", b"v")])
        shard.commit_request([Put("a", b"1", b"v")], 1)
        shard.commit_request(
            [Put("a", b"2", b"v"), Put("a", b"taken", b"x", ABSENT), Put("a", b"3", b"v")], 2
        )
        shard.commit_request([Put("a", b"4", b"v"), Put("a", b"2", b"w", ABSENT)], 3)
        one, two, three = receive(), receive(), receive()
        assert (type(one), one.tag) == (Committed, 1)
        assert (type(two), two.tag, type(two.error)) == (CommitFailed, 2, Conflict)
        assert (type(three), three.tag) == (Committed, 3)
        assert [rec.key for rec in shard.scan("a")] == [b"1", b"2", b"4", b"taken"]
        assert shard.get("a", b"2").val == b"w"


def test_tokens_grow_and_the_older_handle_is_fenced(engine):
    with engine.store() as store:
        old, other = store.open_shard(0, "old"), store.open_shard(1, "old")
        new = store.open_shard(0, "new")
        assert new.token > old.token
        with pytest.raises(Fenced) as caught:
            old.commit([Put("a", b"k", b"old")])
        assert (caught.value.shard, caught.value.token, caught.value.current) == (0, old.token, new.token)
        old.commit_request([Put("a", b"k", b"old")], "tag")
        assert isinstance(receive().error, Fenced)
        new.commit([Put("a", b"k", b"new")])
        other.commit([Put("a", b"k", b"other")])
        assert old.get("a", b"k").val == b"new"
        newest = new.token
    with engine.store() as store:
        assert store.open_shard(0, "later").token > newest


def test_an_open_fences_what_is_requested_after_it_not_before(engine):
    with engine.store() as store:
        old = store.open_shard(0, "old")
        old.commit_request([Put("a", b"before", b"v")], "before")
        store.open_shard(0, "new")
        old.commit_request([Put("a", b"after", b"v")], "after")
        assert isinstance(receive(), Committed)
        assert isinstance(receive(), CommitFailed)


def test_shards_are_isolated(engine):
    with engine.store() as store:
        shards = [store.open_shard(number, "me") for number in range(8)]
        for shard in shards:
            shard.commit([Put("a", b"k", b"%d" % shard.shard, ABSENT)])
        shards[3].commit([Del("a", b"k")])
        assert [len(shard.scan("a")) for shard in shards] == [1, 1, 1, 0, 1, 1, 1, 1]
        assert shards[7].get("a", b"k").val == b"7"
        for wrong in (-1, 8):
            with pytest.raises(ValueError, match="shard"):
                store.open_shard(wrong, "me")


def test_binary_and_empty_values_and_keys(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        values = {
            b"": b"",
            b"\0": b"\0",
            bytes(range(256)): bytes(range(256)) * 40,
            b"k" * 400: b"v" * 1_000_000,
        }
        shard.commit([Put("ключ", key, val) for key, val in values.items()])
        assert {rec.key: rec.val for rec in shard.scan("ключ")} == values
        assert all(shard.get("ключ", key).val == val for key, val in values.items())


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [Put("a", b"k" * 401, b"")],
        [Put("a", "text", b"")],
        [Put("a", b"k", "text")],
        [Put("a", b"k", b"", -2)],
        [Put("", b"k", b"")],
        [Put("a\0b", b"k", b"")],
        [Put("a" * 33, b"k", b"")],
        [Put("a", b"k", b"v"), ("a", b"k", b"v", -1)],
        [Put("a", b"k", b"v" * ((16 << 20) + 1))],
    ],
)
def test_a_malformed_batch_is_the_callers_mistake(engine, ops):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for commit in (lambda: shard.commit(ops), lambda: shard.commit_request(ops, 1)):
            with pytest.raises(BadBatch):
                commit()
        assert shard.scan("a") == []


def test_batches_of_500(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for start in range(0, 2000, 500):
            shard.commit([Put("a", b"%06d" % n, b"v" * 50) for n in range(start, start + 500)])
        assert [rec.key for rec in shard.scan("a", limit=5000)] == [b"%06d" % n for n in range(2000)]
        with pytest.raises(Conflict):
            shard.commit([Del("a", b"%06d" % n) for n in range(499)] + [Put("a", b"000500", b"", ABSENT)])
        assert len(shard.scan("a", limit=5000)) == 2000


def test_concurrent_writers_each_count_up_by_compare_and_set(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Put("a", b"n", b"0")])
        retries = itertools.count()

        def count_up():
            for _ in range(5):
                while True:
                    rec = shard.get("a", b"n")
                    try:
                        shard.commit([Put("a", b"n", b"%d" % (int(rec.val) + 1), rec.version)])
                        break
                    except Conflict:
                        next(retries)

        refs = {spawn_monitor(count_up)[1] for _ in range(8)}
        while refs:
            down = receive_match(lambda m: isinstance(m, Down))
            assert down.reason == "normal"
            refs.discard(down.ref)
        assert shard.get("a", b"n").val == b"40"


def test_requests_are_answered_in_order_to_their_own_process(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        me = self_()

        def writer(name):
            for n in range(100):
                shard.commit_request([Put("a", b"%s%d" % (name, n), b"v")], (name, n))
            send(me, [receive().tag for _ in range(100)])

        for name in (b"x", b"y", b"z"):
            spawn_monitor(writer, name)
        lists = [receive_match(lambda m: isinstance(m, list)) for _ in range(3)]
        assert sorted(lists) == [[(name, n) for n in range(100)] for name in (b"x", b"y", b"z")]
        for _ in range(3):
            assert receive_match(lambda m: isinstance(m, Down)).reason == "normal"


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.soak)])
def test_answered_is_durable_after_kill_9_in_another_process(engine, rounds):
    """Commits until it is killed in mid-flight; every one that was answered is there afterwards, whole, once."""
    body = """
    done = start = len(shard.scan("a", limit=10_000)) - 1
    for n in range(start + 1, 1_000_000):
        shard.commit_request([Put("a", b"%06d" % n, b"x" * 200, ABSENT), Put("b", b"%06d" % n, b"")], n)
        while n - done >= 16: done = kernel.receive().tag; print(done, flush=True)"""
    for turn in range(rounds):
        arguments = engine.other_process(body)
        with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
            first = last = int(process.stdout.readline())
            while last < first + 100:
                last = int(process.stdout.readline())
            process.kill()
            for line in process.stdout:
                last = int(line) if line.endswith("\n") else last
        with engine.store() as store:
            shard = store.open_shard(1, "next")
            keys = [rec.key for rec in shard.scan("a", limit=10_000)]
            assert len(keys) > last
            assert keys == [b"%06d" % n for n in range(len(keys))]
            assert keys == [rec.key for rec in shard.scan("b", limit=10_000)]  # whole, answered or not
            assert all(rec.val == b"x" * 200 for rec in shard.scan("a", limit=10_000))
            assert shard.token == 2 * (turn + 1)


def test_closed_is_unavailable_in_every_form(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        shard.commit([Put("a", b"k", b"v")])
    with pytest.raises(Unavailable):
        shard.commit([Put("a", b"k", b"v")])
    with pytest.raises(Unavailable):
        shard.get("a", b"k")
    with pytest.raises(Unavailable):
        store.open_shard(0, "me")
    shard.commit_request([Put("a", b"k", b"v")], 1)
    assert isinstance(receive().error, Unavailable)
    store.close()


def test_close_finishes_what_is_in_flight(engine):
    with engine.store() as store:
        shard = store.open_shard(0, "me")
        for n in range(500):
            shard.commit_request([Put("a", b"%03d" % n, b"v")], n)
    assert [receive() for _ in range(500)] == [Committed(n, 2 + n) for n in range(500)]
    with engine.store() as store:
        assert len(store.open_shard(0, "me").scan("a")) == 500


def test_the_number_of_shards_is_fixed(engine):
    with engine.store(nshards=8):
        pass
    with pytest.raises(ShardCountMismatch) as caught, engine.store(nshards=16):
        pass
    assert (caught.value.found, caught.value.asked) == (8, 16)
    with engine.store(nshards=8):
        pass
