"""User processes on a real store: started on demand, ended when idle, fenced; and the sweeper behind them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.chat.domain import messages as m
from apps.chat.domain import records
from apps.chat.domain.credentials import derive_keys
from apps.chat.domain.ids import now_ms
from apps.chat.domain.records import DEDUPE, Seen
from apps.chat.domain.settings import DeliverySettings
from apps.chat.domain.sweeper import Sweeper
from runtime.kernel import TIMEOUT, receive_match, self_, spawn
from runtime.otp import sys
from runtime.store import Put
from runtime.testing import until
from tests.chat.world import World, end, world

ANNA, BOB = "+33612000001", "+33612000002"


def person(made: World, user: str) -> None:
    made.homes.claim(user, "test", *derive_keys("key"))


def submit(made: World, n: int, prev: bytes | None = None) -> None:
    send = SimpleNamespace(id=n.to_bytes(16, "big"), kind="text", body=b"x")
    made.homes.send(BOB, m.Submit(ANNA, self_(), [send], prev))


def expect(kind: type, timeout: float = 10.0) -> Any:
    got = receive_match(lambda one: isinstance(one, kind), timeout)
    assert got is not TIMEOUT, kind
    return got


def test_a_user_process_is_started_when_it_is_needed_and_is_one(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        assert made.homes.find(BOB) is None
        person(made, BOB)
        first = made.homes.find(BOB)
        end(first)
        made.homes._users.clear()
        for n in range(20):
            spawn(submit_from, made, n, self_())
        answered = 0
        while answered < 20:
            answered += len(expect(m.Accepted).items)
        assert made.homes.find(BOB) not in (None, first)
        assert made.homes.info()["users"] == 1


def submit_from(made: World, n: int, to: Any) -> None:
    send = SimpleNamespace(id=n.to_bytes(16, "big"), kind="text", body=b"x")
    made.homes.send(BOB, m.Submit(ANNA, to, [send]))


def test_nobody_is_started_for_a_name_that_has_no_account(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        submit(made, 1)
        assert expect(m.RefusedSends).code == "no_such_user"
        made.homes.send(BOB, m.Receipts(ANNA, "read", (1,), 0, self_(), 5))
        assert expect(m.Taken).ref == 5
        assert made.homes.find(BOB) is None


@pytest.mark.slow
def test_an_idle_user_process_ends_and_nothing_is_lost_by_that(tmp_path: Path) -> None:
    with world(tmp_path, delivery=DeliverySettings(user_idle=0.0)) as made:
        person(made, BOB)
        submit(made, 1)
        first = expect(m.Accepted).items
        until(lambda: made.homes.find(BOB) is None)
        assert BOB not in made.homes._users, "it ended in order"
        submit(made, 1)
        assert expect(m.Accepted).items == first


def test_a_sender_whose_earlier_message_is_unknown_is_asked_again(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        person(made, BOB)
        submit(made, 2, prev=(1).to_bytes(16, "big"))
        assert expect(m.Again).user == BOB
        submit(made, 1)
        expect(m.Accepted)
        submit(made, 2, prev=(1).to_bytes(16, "big"))
        expect(m.Accepted)


def test_a_fenced_shard_acts_no_more_and_its_next_life_goes_on(tmp_path: Path) -> None:
    """CLUSTER: fenced means that the shard's supervisor exits with `fenced`."""
    with world(tmp_path) as made:
        person(made, BOB)
        before = made.homes.find(BOB)
        home = made.homes._home(BOB)
        made.store.open_shard(home.shard, "somebody else")
        submit(made, 1)
        until(lambda: before is not None and not before.alive)
        assert before is not None
        assert home.supervisor is not None
        until(lambda: made.homes._home(BOB) is not home)
        assert home.supervisor.reason == "fenced"
        submit(made, 1)
        expect(m.Accepted)


def test_state_and_reports_show_no_secret_and_no_content(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        person(made, BOB)
        submit(made, 1)
        expect(m.Accepted)
        shown = repr(sys.get_status(made.homes.find(BOB)))
        assert ANNA not in shown
        assert "stored_key" not in shown
        assert made.homes.shown(BOB) != BOB


def test_old_answers_are_swept_and_fresh_ones_stay(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        person(made, BOB)
        home = made.homes._home(BOB)
        prefix = records.queue_prefix(BOB)
        old, fresh = now_ms() - 8 * 86_400_000, now_ms() - 6 * 86_400_000
        ops = []
        for n in range(300):
            seen = records.encode(Seen(n, old if n % 2 else fresh))
            ops.append(Put(DEDUPE, records.dedupe_key(prefix, ANNA, n.to_bytes(16, "big")), seen))
        home.store.commit(ops)
        sweeper = Sweeper.start_link(made.homes)
        assert sweeper is not None
        state: Any = sweeper.behaviour
        walk = Sweeper()
        walk.homes, walk.todo, walk.at, walk.deleted = made.homes, [home], b"", 0
        steps = 1
        while walk.step():
            steps += 1
        assert (walk.deleted, steps) == (150, 2)
        left = [records.read_seen(one.val).time for one in home.store.scan(DEDUPE)]
        assert left == [fresh] * 150
        assert state.deleted == 0
        end(sweeper)
