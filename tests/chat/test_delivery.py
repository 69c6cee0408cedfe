"""The delivery queue, case by case: windows, re-sending, setting aside, limits, restarts."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from apps.chat.domain import messages as m
from apps.chat.domain import records
from apps.chat.domain.delivery import DeliveryQueue, Note
from apps.chat.domain.ids import MessageIds
from apps.chat.domain.settings import DeliverySettings
from runtime.store import Conflict, StoreFull
from tests.chat.world import MemoryShard

pytestmark = pytest.mark.plain


class Bench:
    """A queue, its store, and what it has said."""

    def __init__(self, shard: MemoryShard | None = None, **settings: Any) -> None:
        self.shard = shard or MemoryShard()
        self.now = 100.0
        self.settings = DeliverySettings(**{"resend_first": 2.0, **settings})
        self.queue = DeliveryQueue("bob", self.shard, self.settings, MessageIds(), self.now)  # type: ignore[arg-type]
        self.said: list[tuple[Any, Any]] = []

    def restart(self) -> Bench:
        return Bench(self.shard, **dataclasses.asdict(self.settings))

    def step(self) -> None:
        """Commit all there is."""
        while (ops := self.queue.flush(self.now)) is not None:
            self.shard.apply(ops)
            self.queue.committed(self.now)
            self.queue.check()
        self.said += self.queue.out
        self.queue.out = []

    def send(self, *ids: int, sender: str = "alice", size: int = 1) -> None:
        sends = [SimpleNamespace(id=n.to_bytes(16, "big"), kind="text", body=b"x" * size) for n in ids]
        self.queue.submit(m.Submit(sender, "alice-session", sends))
        self.step()

    def attach(self, session: str = "device", received: int | None = None) -> None:
        assert self.queue.attach(session, received, "d", 1, None, self.now)
        self.step()

    def take(self, kind: type) -> list[Any]:
        found = [message for _, message in self.said if isinstance(message, kind)]
        self.said = [pair for pair in self.said if not isinstance(pair[1], kind)]
        return found

    def delivered(self) -> list[tuple[int, int]]:
        """(number, attempt) of what the device was given since."""
        return [(d.first + n, d.attempts) for d in self.take(m.Deliveries) for n in range(len(d.entries))]

    def confirm(self) -> None:
        for receipts in self.take(m.Receipts):
            self.queue.taken(receipts.ref, self.now)
        self.wait(0.6)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.queue.tick(self.now)
        self.step()


def test_no_more_than_the_window_is_in_flight() -> None:
    bench = Bench(window=4)
    bench.attach()
    bench.send(*range(1, 11))
    assert [seq for seq, _ in bench.delivered()] == [1, 2, 3, 4]
    bench.queue.ack("device", 2, bench.now)
    bench.step()
    assert [seq for seq, _ in bench.delivered()] == [5, 6]
    assert len(bench.queue._window) == 4


def test_an_offline_queue_is_not_in_memory() -> None:
    bench = Bench()
    bench.send(*range(1, 500))
    assert not bench.queue._window
    assert bench.queue.queued == 499


def test_the_unacknowledged_is_sent_again_in_order_with_growing_delays() -> None:
    bench = Bench(resend_max=16.0)
    bench.attach()
    bench.send(1, 2, 3)
    assert bench.delivered() == [(1, 1), (2, 1), (3, 1)]
    gaps, last = [], bench.now
    for _ in range(6):
        due = bench.queue.deadline()
        assert due is not None
        bench.wait(due - bench.now + 0.001)
        gaps.append(bench.now - last)
        last = bench.now
        assert [seq for seq, _ in bench.delivered()] == [1, 2, 3]
    for gap, base in zip(gaps, [2, 4, 8, 16, 16, 16], strict=True):
        assert base <= gap <= base * 1.26
    bench.queue.ack("device", 3, bench.now)
    bench.confirm()
    bench.step()
    bench.confirm()
    assert bench.queue.deadline() is None


def test_entries_go_only_when_their_receipts_are_durable() -> None:
    bench = Bench()
    bench.attach()
    bench.send(1)
    bench.queue.ack("device", 1, bench.now)
    bench.step()
    assert bench.shard.keys("queue")
    (receipts,) = bench.take(m.Receipts)
    assert (receipts.who, receipts.status, len(receipts.messages)) == ("bob", "delivered", 1)
    bench.wait(5.1)
    (again,) = bench.take(m.Receipts)
    assert again == receipts
    bench.queue.taken(receipts.ref, bench.now)
    bench.step()
    assert bench.shard.keys("queue"), "it waits for company"
    due = bench.queue.deadline()
    assert due is not None
    bench.wait(due - bench.now)
    assert not bench.shard.keys("queue")


def test_numbers_never_come_twice_even_after_an_empty_queue_and_a_restart() -> None:
    bench = Bench()
    for round_ in range(1, 4):
        bench.attach()
        bench.send(round_)
        assert [seq for seq, _ in bench.delivered()] == [round_]
        bench.queue.ack("device", round_, bench.now)
        bench.step()
        bench.confirm()
        assert not bench.shard.keys("queue")
        bench = bench.restart()


def test_a_repeated_client_id_gives_the_same_answer_also_after_a_restart() -> None:
    bench = Bench()
    bench.send(7)
    ((first,),) = [accepted.items for accepted in bench.take(m.Accepted)]
    for again in (bench, bench.restart(), bench.restart()):
        sends = [SimpleNamespace(id=(7).to_bytes(16, "big"), kind="text", body=b"other")]
        again.queue.submit(m.Submit("alice", "alice-session", sends))
        while (ops := again.queue.flush(again.now)) is not None:
            try:
                again.shard.apply(ops)
                again.queue.committed(again.now)
            except Conflict as error:
                again.queue.failed(error, again.now)
        again.said += again.queue.out
        again.queue.out = []
        ((second,),) = [accepted.items for accepted in again.take(m.Accepted)]
        assert second == first
        assert len(again.shard.keys("queue")) == 1


def test_two_senders_may_use_the_same_client_id() -> None:
    bench = Bench()
    bench.send(7)
    bench.send(7, sender="carol")
    assert len(bench.shard.keys("queue")) == 2


def test_what_is_taken_and_never_acknowledged_is_set_aside_not_deleted() -> None:
    bench = Bench(takes_max=3)
    bench.send(1, 2)
    for round_ in range(3):
        device = f"device{round_}"  # one object: sessions are known by identity, as pids are
        bench.attach(device)
        assert [attempt for _, attempt in bench.delivered()] == [round_ + 1] * 2
        bench.queue.detach(device, bench.now)
        bench.step()
        if round_ == 1:
            bench = bench.restart()  # the count survives
    assert (None, Note("set_aside", 1)) in bench.said
    assert [records.seq_of(key) for key in bench.shard.keys("aside")] == [1]
    assert [records.seq_of(key) for key in bench.shard.keys("queue")] == [2]
    bench.attach("good")
    assert [seq for seq, _ in bench.delivered()] == [2]
    bench.queue.ack("good", 2, bench.now)
    bench.step()
    bench.confirm()
    assert bench.restart().queue.info()["acked"] == 2


def test_an_acknowledgement_takes_back_the_count() -> None:
    bench = Bench(takes_max=3)
    bench.send(1, 2, 3, 4, 5)
    for n in range(1, 5):
        device = f"device{n}"
        bench.attach(device)
        bench.queue.ack(device, n, bench.now)
        bench.step()
        bench.confirm()
        bench.queue.detach(device, bench.now)
        bench.step()
    assert not bench.shard.keys("aside")


def test_a_full_queue_refuses_and_tells_the_operator_once() -> None:
    bench = Bench(queue_bytes=100)
    bench.send(1, 2, size=40)
    bench.send(3, 4, size=40)
    assert [refused.ids for refused in bench.take(m.RefusedSends)] == [
        [(n).to_bytes(16, "big") for n in (3, 4)]
    ]
    bench.send(5, size=40)
    assert len([note for _, note in bench.said if isinstance(note, Note)]) == 1
    bench.send(6, size=20)
    assert len(bench.shard.keys("queue")) == 3
    bench.attach()
    bench.queue.ack("device", 3, bench.now)
    bench.step()
    bench.send(7, size=100)
    assert len(bench.take(m.RefusedSends)) == 1, "one was refused before, none now"


def test_a_refused_commit_refuses_the_senders_and_leaves_no_gap() -> None:
    bench = Bench()
    bench.attach()
    sends = [SimpleNamespace(id=n.to_bytes(16, "big"), kind="text", body=b"") for n in (1, 2)]
    bench.queue.submit(m.Submit("alice", "alice-session", sends))
    assert bench.queue.flush(bench.now) is not None
    bench.queue.submit(m.Submit("carol", "carol-session", sends))
    bench.queue.failed(StoreFull("no space"), bench.now)
    bench.queue.check()
    refused = [
        (dest, message.code) for dest, message in bench.queue.out if isinstance(message, m.RefusedSends)
    ]
    assert refused == [("alice-session", "unavailable")] * 2 + [("carol-session", "unavailable")] * 2
    bench.queue.out = []
    bench.now += 2
    bench.send(1)
    assert [seq for seq, _ in bench.delivered()] == [1]


def test_receipts_in_one_batch_share_an_entry() -> None:
    bench = Bench()
    for n in range(3):
        bench.queue.receipts(m.Receipts("carol", "delivered", (n,), 1, "carol", n))
    bench.queue.receipts(m.Receipts("carol", "read", (0,), 1, "carol", 9))
    bench.attach()
    entries = [entry for deliveries in bench.take(m.Deliveries) for entry in deliveries.entries]
    assert [(entry.status, entry.messages) for entry in entries] == [("delivered", (0, 1, 2)), ("read", (0,))]
    assert {taken.ref for taken in bench.take(m.Taken)} == {0, 1, 2, 9}
    assert len(bench.restart().shard.keys("queue")) == 2


def test_a_device_cannot_claim_what_it_was_never_sent() -> None:
    bench = Bench()
    bench.send(1)
    assert not bench.queue.attach("device", 2, "d", 1, None, bench.now)
    assert bench.queue.session is None


def test_ids_grow_also_when_the_clock_goes_back() -> None:
    times = iter([5_000, 4_000, 4_000, 6_000])
    ids = MessageIds(lambda: 1_735_689_600_000 + next(times))
    made = [ids.next(3) for _ in range(4)]
    assert made == sorted(set(made))
    assert all((one >> 10) & 0xFFF == 3 for one in made)


def test_the_last_number_is_found_by_probing() -> None:
    for count in (0, 1, 2, 3, 7, 8, 9, 100, 1000):
        bench = Bench()
        if count:
            bench.send(*range(1, count + 1))
        fresh = bench.restart()
        assert fresh.queue.durable == count
        assert fresh.queue.total == count
