"""The delivery queue against a model: random sends, commits, failures, acknowledgements, cut connections and crashes.

What must hold at the end: each accepted message reaches the device's user exactly once, none that was refused does, the
order of each sender's messages is the order in which they were sent, every sender has the receipt of each delivered
message, and the queue is empty.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.chat.domain import messages as m
from apps.chat.domain import records
from apps.chat.domain.delivery import DeliveryQueue
from apps.chat.domain.ids import MessageIds
from apps.chat.domain.records import Envelope
from apps.chat.domain.settings import DeliverySettings
from apps.chat.native.outbox import Outbox
from runtime.store import Conflict, Unavailable
from tests.chat.world import MemoryShard

pytestmark = pytest.mark.plain

SETTINGS = DeliverySettings(window=4, recent=3, takes_max=10_000, queue_count=1000)


class Sender:
    """Somebody who writes to bob: a session's outbox and what its client has heard."""

    def __init__(self, machine: DeliveryMachine, name: str) -> None:
        self.name = name
        self.order: list[bytes] = []
        self.accepted: dict[bytes, int] = {}
        self.refused: set[bytes] = set()
        self.receipts: set[int] = set()
        self.outbox = Outbox(
            SimpleNamespace(send=lambda user, message: machine.mailbox.append(message)), self, name
        )  # type: ignore[arg-type]

    def told(self, message: Any, now: float) -> None:
        out: list[Any] = []
        if isinstance(message, m.Accepted):
            self.outbox.accepted(message, out, now)
            for frame in out:
                assert self.accepted.setdefault(frame.id, frame.message) == frame.message, (
                    "two answers for one id"
                )
        elif isinstance(message, m.RefusedSends):
            self.outbox.refused(message, out, now)
            self.refused |= {frame.id for frame in out}
        elif isinstance(message, m.Again):
            self.outbox.again(message.user, now)


class Device:
    """Bob's device: what it has stored survives its connections."""

    def __init__(self) -> None:
        self.stored: list[Envelope] = []
        self.received = 0
        self.sent = 0  # by the session that is on; what it may acknowledge

    def told(self, message: Any) -> None:
        if isinstance(message, m.Deliveries):
            seq = message.first
            for entry in message.entries:
                if seq > self.received:
                    assert seq == self.received + 1, "a gap"
                    self.received = seq
                    if isinstance(entry, Envelope):
                        self.stored.append(entry)
                seq += 1
            self.sent = max(self.sent, seq - 1)


class DeliveryMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.shard = MemoryShard()
        self.now = 100.0
        self.ids = MessageIds()
        self.mailbox: list[Any] = []
        self.ops: list[Any] | None = None
        self.counter = 0
        self.device = Device()
        self.session: object | None = None
        self.senders = {name: Sender(self, name) for name in ("alice", "carol")}
        self.to_confirm: list[int] = []
        self.queue = self.fresh()

    def fresh(self) -> DeliveryQueue:
        return DeliveryQueue("bob", self.shard, SETTINGS, self.ids, self.now)  # type: ignore[arg-type]

    # the world

    @rule(name=st.sampled_from(["alice", "carol"]), n=st.integers(1, 5))
    def send(self, name: str, n: int) -> None:
        sender = self.senders[name]
        for _ in range(n):
            self.counter += 1
            cid = self.counter.to_bytes(16, "big")
            sender.order.append(cid)
            sender.outbox.add(SimpleNamespace(id=cid, to="bob", kind="text", body=b"x" * (self.counter % 7)))  # type: ignore[arg-type]
        sender.outbox.submit(self.now)

    @rule(n=st.integers(1, 4))
    def work(self, n: int) -> None:
        for message in self.mailbox[:n]:
            if isinstance(message, m.Submit):
                self.queue.submit(message)
            elif isinstance(message, m.Receipts):
                self.queue.receipts(message)
        del self.mailbox[:n]
        self.flush()

    @rule()
    def repeat_an_old_send(self) -> None:
        """A client that lost the answer sends again, on a new connection: the outbox knows nothing of it."""
        for sender in self.senders.values():
            if sender.accepted:
                cid = sorted(sender.accepted)[self.counter % len(sender.accepted)]
                send = SimpleNamespace(id=cid, kind="text", body=b"again")
                self.mailbox.append(m.Submit(sender.name, sender, [send]))

    @precondition(lambda self: self.ops is not None)
    @rule(fails=st.booleans())
    def commit(self, fails: bool) -> None:
        assert self.ops is not None
        ops, self.ops = self.ops, None
        if fails and self.counter % 3 == 0:
            self.queue.failed(Unavailable("no"), self.now)
            self.now += 2
        else:
            try:
                self.shard.apply(ops)
            except Conflict as error:
                self.queue.failed(error, self.now)
            else:
                self.queue.committed(self.now)
        self.flush()

    @rule(resume=st.booleans())
    def connect(self, resume: bool) -> None:
        self.session = object()
        received = min(self.device.received, self.queue.durable) if resume else None
        assert self.queue.attach(self.session, received, "d", 1, None, self.now)
        self.device.sent = max(self.queue.acked, received or 0)
        self.flush()

    @rule()
    def disconnect(self) -> None:
        if self.session is not None:
            self.queue.detach(self.session, self.now)
            self.session = None
            self.flush()

    @rule(back=st.integers(0, 3))
    def acknowledge(self, back: int) -> None:
        if self.session is not None:
            self.queue.ack(self.session, min(self.device.received, self.device.sent) - back, self.now)
            self.flush()

    @rule(n=st.integers(0, 3), lost=st.booleans())
    def confirm(self, n: int, lost: bool) -> None:
        refs, self.to_confirm = self.to_confirm[:n], self.to_confirm[n:]
        if not lost:
            for ref in refs:
                self.queue.taken(ref, self.now)
        self.flush()

    @rule(applied=st.booleans())
    def crash(self, applied: bool) -> None:
        """The user process dies; a commit in flight may or may not have become durable."""
        ops, self.ops = self.ops, None
        if ops is not None and applied:
            try:
                self.shard.apply(ops)
            except Conflict:
                pass
        self.mailbox.clear()
        self.queue = self.fresh()
        if self.session is not None:  # its session attaches to the next one
            self.queue.attach(self.session, self.device.sent, "d", 1, None, self.now)
            self.flush()

    @rule(seconds=st.sampled_from([1.0, 6.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for sender in self.senders.values():
            sender.outbox.tick(self.now)
        self.queue.tick(self.now)
        self.flush()

    def flush(self) -> None:
        ops = self.queue.flush(self.now)
        if ops is not None:
            assert self.ops is None, "two batches in flight"
            self.ops = ops
        out, self.queue.out = self.queue.out, []
        for dest, message in out:
            if isinstance(dest, Sender):
                dest.told(message, self.now)
            elif dest is self.session and dest is not None:
                self.device.told(message)
            elif isinstance(dest, str) and isinstance(message, m.Receipts):
                assert message.status == "delivered"
                self.senders[dest].receipts |= set(message.messages)
                self.to_confirm.append(message.ref)

    # what must hold

    @invariant()
    def marks_hold(self) -> None:
        if hasattr(self, "queue"):
            self.queue.check()
            keys = [records.seq_of(key) for key in self.shard.keys("queue")]
            assert keys == list(range(keys[0], keys[0] + len(keys))) if keys else True, (
                "the stored queue has a gap"
            )

    @invariant()
    def nothing_is_answered_before_it_is_durable(self) -> None:
        if hasattr(self, "queue"):
            durable = {key[-16:] for key in self.shard.keys("dedupe")}
            for sender in self.senders.values():
                assert set(sender.accepted) <= durable

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        if self.session is None:
            self.connect(resume=False)
        for _ in range(2000):
            self.now += 6.0
            for sender in self.senders.values():
                sender.outbox.tick(self.now)
            self.queue.tick(self.now)
            self.work(100)
            if self.ops is not None:
                self.commit(fails=False)
            self.acknowledge(back=0)
            self.confirm(n=100, lost=False)
            done = not any(sender.outbox.is_waiting for sender in self.senders.values())
            if done and not self.mailbox and self.ops is None and self.queue.released == self.queue.assigned:
                break
        else:
            raise AssertionError(f"it does not come to rest: {self.queue.info()}")
        assert not self.shard.keys("queue")
        for sender in self.senders.values():
            shown = [entry for entry in self.device.stored if entry.sender == sender.name]
            by_id = {message: cid for cid, message in sender.accepted.items()}
            assert len({entry.message for entry in shown}) == len(shown), "shown twice"
            assert [by_id[entry.message] for entry in shown] == [
                c for c in sender.order if c in sender.accepted
            ]
            assert set(sender.accepted) | sender.refused == set(sender.order)
            assert sender.receipts == {entry.message for entry in shown}


def test_delivery_is_exactly_once_and_in_order_whatever_happens() -> None:
    """CHAT §2: no acknowledged message is lost, none shown twice; per pair, the order of acceptance."""
    run_state_machine_as_test(
        DeliveryMachine,
        settings=settings(
            max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
