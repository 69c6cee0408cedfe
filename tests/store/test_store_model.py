"""The store against a model: whatever is done to it, it is a dict with versions."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from runtime.kernel import receive
from runtime.store import ABSENT, ANY, Committed, Conflict, Del, Fenced, Put

KEYS = st.sampled_from([b"", b"a", b"a\0", b"b", b"\xff"])
KINDS = st.sampled_from(["k", "k2", "л"])
EXPECT = st.sampled_from(["any", "absent", "right", "wrong"])
OPS = st.lists(st.tuples(st.booleans(), KINDS, KEYS, st.binary(max_size=20), EXPECT), min_size=1, max_size=5)


class Model(RuleBasedStateMachine):
    """Each example has a shard of its own in one store."""

    store = None
    shards = itertools.count()

    @initialize()
    def open(self):
        self.number = next(self.shards) % self.store.nshards
        self.shard = self.store.open_shard(self.number, "me")
        if old := [rec for kind in ("k", "k2", "л") for rec in [*self.shard.scan(kind)]]:
            raise AssertionError(f"a fresh shard holds {old}")
        self.records = {}
        self.sent = []

    def plan(self, ops):
        """The operations, and what the model becomes by them: None for a conflict."""
        after, out, fails = dict(self.records), [], False
        for is_put, kind, key, val, expect in ops:
            # What `right` means is known only if nothing before it in this batch wrote the key.
            fresh = (kind, key) in after and after[kind, key] is not None and after[kind, key][1] is None
            found = ABSENT if after.get((kind, key)) is None else after[kind, key][1]
            number = {"any": ANY, "absent": ABSENT, "right": ANY if fresh else found, "wrong": 1 << 40}[
                expect
            ]
            fails |= number != ANY and (fresh or number != found)
            out.append(Put(kind, key, val, number) if is_put else Del(kind, key, number))
            after[kind, key] = (val, None) if is_put else None
        return out, None if fails else after

    def settle(self, after, version):
        self.records = {
            name: (rec[0], version if rec[1] is None else rec[1])
            for name, rec in after.items()
            if rec is not None
        }

    @rule(ops=OPS)
    def commit(self, ops):
        out, after = self.plan(ops)
        if after is None:
            with pytest.raises(Conflict):
                self.shard.commit(out)
        else:
            self.settle(after, self.shard.commit(out))

    @rule(batches=st.lists(OPS, min_size=1, max_size=6), kill=st.sampled_from([False] * 11 + [True]))
    def requests_in_flight(self, batches, kill):
        """Without expectations of versions that are not known yet: the answers come later."""
        for tag, ops in enumerate(batches):
            self.shard.commit_request(
                [Put(kind, key, val) if is_put else Del(kind, key) for is_put, kind, key, val, _ in ops], tag
            )
        if kill:
            os.kill(self.store.info().writer_pid, signal.SIGKILL)
        for tag, ops in enumerate(batches):
            answer = receive()
            assert isinstance(answer, Committed)
            assert answer.tag == tag
            after = dict(self.records)
            for is_put, kind, key, val, _ in ops:
                after[kind, key] = (val, None) if is_put else None
            self.settle(after, answer.version)

    @rule()
    def take_over(self):
        old, self.shard = self.shard, self.store.open_shard(self.number, "next")
        with pytest.raises(Fenced):
            old.commit([Put("k", b"a", b"from the past")])

    @rule(kind=KINDS, lo=KEYS, hi=st.none() | KEYS, limit=st.integers(1, 5))
    def scan(self, kind, lo, hi, limit):
        expected = sorted(
            (key, *rec)
            for (other, key), rec in self.records.items()
            if other == kind and lo <= key and (hi is None or key < hi)
        )
        assert [tuple(rec) for rec in self.shard.scan(kind, lo, hi, limit)] == expected[:limit]

    @invariant()
    def every_record_is_as_the_model_says(self):
        for kind in ("k", "k2", "л"):
            for key in (b"", b"a", b"a\0", b"b", b"\xff"):
                rec = self.shard.get(kind, key)
                assert (None if rec is None else rec[1:]) == self.records.get((kind, key))


@pytest.mark.slow
def test_any_history_agrees_with_a_dict(engine):
    with engine.store(nshards=1000) as store:
        Model.store = store
        try:
            run_state_machine_as_test(
                Model,
                settings=settings(
                    max_examples=15,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            Model.store = None
