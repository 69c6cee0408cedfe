"""The wheel of deadlines and the token buckets, on virtual time."""

from __future__ import annotations

import pytest

from runtime.net.limits import AddressRates, Rate, TokenBucket
from runtime.net.wheel import RESOLUTION, Wheel


class Item:
    def __init__(self, *deadlines):
        self._bucket = 0
        self.deadlines = list(deadlines)
        self.asked = []

    def _check_deadlines(self, now):
        self.asked.append(now)
        return self.deadlines.pop(0) if self.deadlines else None


def test_an_item_is_asked_at_its_time_and_again_when_it_says_so(clock):
    wheel, start = Wheel(), clock.now()
    item = Item(start + 20)
    wheel.due(item, start + 10)
    clock.advance(9.9)
    assert item.asked == []
    clock.advance(0.2)
    assert len(item.asked) == 1
    clock.advance(9.7)
    assert len(item.asked) == 1
    clock.advance(0.2)
    assert len(item.asked) == 2
    assert len(wheel) == 0


def test_only_an_earlier_deadline_moves_an_item(clock):
    wheel, start = Wheel(), clock.now()
    item = Item()
    wheel.due(item, start + 10)
    wheel.due(item, start + 20)
    wheel.due(item, start + 5)
    clock.advance(5 + RESOLUTION)
    assert len(item.asked) == 1
    clock.advance(30)
    assert len(item.asked) == 1


def test_a_forgotten_item_is_not_asked_and_no_timer_is_left(clock):
    wheel = Wheel()
    items = [Item() for _ in range(10)]
    for n, item in enumerate(items):
        wheel.due(item, clock.now() + n)
    for item in items:
        wheel.forget(item)
        wheel.forget(item)
    assert len(wheel) == 0
    assert wheel._timer is None
    clock.advance(20)
    assert not any(item.asked for item in items)


def test_a_deadline_in_the_past_does_not_spin(clock):
    wheel, start = Wheel(), clock.now()
    item = Item(start - 5, start - 5)
    wheel.due(item, start - 10)
    clock.advance(1)
    assert len(item.asked) == 3
    assert item.asked[1] - item.asked[0] >= RESOLUTION * 0.9


def test_many_at_once_are_asked_in_slices(clock):
    wheel = Wheel()
    items = [Item() for _ in range(1700)]
    for item in items:
        wheel.due(item, clock.now() + 1)
    clock.advance(1 + RESOLUTION)
    assert all(len(item.asked) == 1 for item in items)


@pytest.mark.plain
def test_token_bucket():
    bucket = TokenBucket(Rate(2, 3), 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(0.0) == 0.5
    assert bucket.take(0.5) == 0.0
    assert bucket.take(0.5) == 0.5
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


@pytest.mark.plain
def test_spending_in_advance():
    bucket = TokenBucket(Rate(1, 2), 0.0)
    assert [bucket.spend(0.0), bucket.spend(0.0)] == [0.0, 1.0]
    assert bucket.spend(1.0) == 1.0
    with pytest.raises(ValueError, match="per_second"):
        Rate(0, 1)
    assert Rate.of(5).burst == 5


@pytest.mark.plain
def test_the_table_of_addresses_is_bounded():
    rates = AddressRates(Rate(1, 1))
    for n in range(20_000):
        rates.take(str(n), 0.0)
    assert len(rates) == 16_384
    assert rates.take("19999", 0.0) > 0
    assert rates.take("0", 0.0) == 0.0
