"""check_messages: send immutable values or give them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from runtime.kernel import MutableMessage, call, cast, check_messages, receive, self_, send, spawn


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    check_messages(True)
    yield
    check_messages(False)


@dataclass(frozen=True)
class Frozen:
    part: Any


@dataclass
class Thawed:
    part: Any


class Given(NamedTuple):
    parts: list[int]


Given.__handed_over__ = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value", [1, "a", b"b", (1, (2, None)), frozenset({1}), Frozen((1, 2)), Given([1]), object()]
)
def test_values_that_cannot_change_pass(value: Any) -> None:
    """RUNTIME 1: send immutable values or give them up."""
    send(self_(), value)
    assert receive() is value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([1], "message"),
        ((1, {2: 3}), r"message\[1\]"),
        (Frozen((0, {1})), r"message.part\[1\]"),
        (Thawed(1), "message"),
    ],
)
def test_values_that_can_change_are_refused_and_the_place_is_named(value: Any, path: str) -> None:
    """RUNTIME 1: check_messages verifies."""
    with pytest.raises(MutableMessage, match=path):
        send(self_(), value)
    with pytest.raises(MutableMessage):
        cast(self_(), value)
    sink = spawn(lambda: receive())
    with pytest.raises(MutableMessage, match="request"):
        call(sink, value)
    send(sink, "end")


def test_off_costs_and_checks_nothing() -> None:
    check_messages(False)
    send(self_(), [1])
    assert receive() == [1]
