"""The cluster contract, told once for every engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.cluster import CallTimeout, LocalCluster, NoRoute, Stale, home_shard
from runtime.kernel import Down, receive, receive_match, self_, send, spawn, spawn_monitor
from runtime.testing import settle

GOLDEN = [3709, 2697, 692, 3011]


def test_start_acquires_every_shard_and_stop_releases_it(make_cluster, owner):
    cluster = make_cluster()
    assert (cluster.members(), cluster.owned(), cluster.valid()) == ((), frozenset(), False)
    cluster.start(owner)
    assert sorted(owner.log) == [*(("acquire", shard) for shard in range(8)), ("members", ("n1",), ())]
    assert (cluster.members(), cluster.owned(), cluster.valid()) == (("n1",), frozenset(range(8)), True)
    owner.log.clear()
    cluster.stop()
    cluster.stop()
    assert sorted(owner.log) == [("release", shard, "stop") for shard in range(8)]
    assert (cluster.members(), cluster.owned(), cluster.valid()) == ((), frozenset(), False)
    cluster.start(owner)
    assert len(cluster.owned()) == 8
    cluster.stop()


def test_an_owner_that_refuses_a_shard_fails_the_start_and_gives_the_others_back(make_cluster, owner):
    cluster = make_cluster()

    def acquire(shard):
        if shard == 5:
            raise RuntimeError("no")

    owner.acquire = acquire
    with pytest.raises(RuntimeError, match="no"):
        cluster.start(owner)
    assert [entry[1] for entry in owner.log if entry[0] == "release"] == [4, 3, 2, 1, 0]
    assert not cluster.valid()
    with pytest.raises(NoRoute):
        cluster.send("shard:0", "data")


def test_a_second_start_is_refused(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)
    with pytest.raises(RuntimeError, match="started"):
        cluster.start(owner)
    cluster.stop()


@pytest.mark.parametrize("dest", ["shard:0", "shard:7", "node:n1", "topic:code"])
def test_send_hands_the_very_object_over(make_cluster, owner, dest):
    cluster = make_cluster()
    cluster.start(owner)
    owner.log.clear()
    data = object()
    cluster.send(dest, data)
    assert owner.log == [("handle", dest, data)]
    cluster.stop()


@pytest.mark.parametrize(
    "dest", ["shard:8", "shard:-1", "shard:", "shard:01", "node:n2", "n1", "", "queue:x"]
)
def test_no_route_is_said_at_once(make_cluster, owner, dest):
    cluster = make_cluster()
    cluster.start(owner)
    with pytest.raises(NoRoute) as caught:
        cluster.send(dest, "data")
    assert caught.value.dest == dest
    with pytest.raises(NoRoute):
        cluster.call(dest, "data")
    cluster.stop()
    for known in ("shard:0", "node:n1", "topic:code"):
        with pytest.raises(NoRoute):
            cluster.send(known, "data")


def test_call_answered_on_the_spot_and_later_by_another_process(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)
    owner.answer = lambda dest, data, reply: reply((dest, data))
    send(self_(), "older mail")
    assert cluster.call("shard:1", "question") == ("shard:1", "question")
    owner.answer = lambda dest, data, reply: spawn(reply, data * 2)
    assert cluster.call("shard:1", "question") == "questionquestion"
    owner.answer = lambda dest, data, reply: spawn(reply, None)
    assert cluster.call("shard:1", "nothing is an answer too") is None
    assert receive() == "older mail"
    cluster.stop()


def test_a_call_in_time_or_unknown_and_a_late_answer_vanishes(make_cluster, owner, clock):
    cluster = make_cluster()
    cluster.start(owner)
    kept = []
    owner.answer = lambda dest, data, reply: kept.append(reply)

    def caller():
        with pytest.raises(CallTimeout) as caught:
            cluster.call("shard:0", "question", timeout=2.0)
        assert caught.value.dest == "shard:0"
        assert receive() == "the next mail, not the late answer"

    pid, _ = spawn_monitor(caller)
    clock.advance(1.9)
    assert kept
    clock.advance(0.2)
    kept[0]("late")
    send(pid, "the next mail, not the late answer")
    assert receive_match(lambda m: isinstance(m, Down)).reason == "normal"
    cluster.stop()


def test_the_first_answer_counts(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)

    def answer(dest, data, reply):
        reply(1)
        reply(2)

    owner.answer = answer
    assert cluster.call("shard:0", "question") == 1
    settle()
    send(self_(), "next")
    assert receive() == "next"
    cluster.stop()


def test_an_error_in_the_owner_comes_to_the_sender(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)

    def answer(dest, data, reply):
        raise KeyError(data)

    owner.answer = answer
    with pytest.raises(KeyError):
        cluster.send("shard:0", "x")
    with pytest.raises(KeyError):
        cluster.call("shard:0", "x")
    cluster.stop()


def test_a_message_to_a_user_process_by_its_shard(make_cluster, owner):
    """What the chat does: the owner hands it to the process that is the user's."""
    cluster = make_cluster()
    me = self_()
    users = {}
    owner.answer = lambda dest, data, reply: send(users[data[0]], data[1])
    cluster.start(owner)

    def user():
        send(me, ("got", receive()))

    users["u1"], ref = spawn_monitor(user)
    cluster.send(f"shard:{cluster.shard_of('u1')}", ("u1", "hello"))
    assert receive() == ("got", "hello")
    assert receive().ref is ref
    cluster.stop()


def test_get_and_put_with_revisions(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)
    assert cluster.get("k") is None
    one = cluster.put("k", "v1", 0)
    assert cluster.get("k") == ("v1", one)
    with pytest.raises(Stale) as caught:
        cluster.put("k", "v2", 0)
    assert (caught.value.key, caught.value.expected, caught.value.current) == ("k", 0, one)
    two = cluster.put("k", "v2", one)
    assert two > one
    with pytest.raises(Stale):
        cluster.put("k", "v3", one)
    three = cluster.put("k", "v3")
    cluster.put("k", None, three)
    assert cluster.get("k") is None
    with pytest.raises(Stale):
        cluster.put("k", "v4", three)
    assert cluster.put("k", "v4", 0) > three
    cluster.stop()


def test_watch_tells_what_is_and_what_changes_until_it_is_stopped(make_cluster, owner):
    cluster = make_cluster()
    cluster.start(owner)
    cluster.put("a/1", "x")
    cluster.put("b/1", "x")
    seen = []
    unwatch = cluster.watch("a/", lambda key, val, rev: seen.append((key, val)))
    cluster.put("a/2", "y")
    cluster.put("b/2", "y")
    cluster.put("a/1", None)
    unwatch()
    unwatch()
    cluster.put("a/3", "z")
    assert seen == [("a/1", "x"), ("a/2", "y"), ("a/1", None)]
    cluster.stop()


def test_the_home_shard_is_the_same_everywhere_and_for_ever(make_cluster):
    """These numbers are on disks: they must never change."""
    assert [home_shard(id, 4096) for id in ("+33612345678", "alice", "", "группа")] == GOLDEN
    program = "from runtime.cluster import home_shard; print(home_shard('alice', 4096))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(other.stdout) == GOLDEN[1]
    cluster = make_cluster()
    assert [cluster.shard_of("alice") for _ in range(2)] == [home_shard("alice", 8)] * 2
    assert {cluster.shard_of(f"user{n}") for n in range(1000)} == set(range(8))


def test_the_cache_of_home_shards_is_bounded(monkeypatch):
    monkeypatch.setattr("runtime.cluster.local._CACHE", 100)
    cluster = LocalCluster("n1", 8)
    for n in range(1000):
        assert cluster.shard_of(str(n)) == home_shard(str(n), 8)
        assert len(cluster._shards) <= 100
