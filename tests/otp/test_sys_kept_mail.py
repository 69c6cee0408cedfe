"""What is kept back from a suspended process, or one behind a gate, is its mail: to be seen, weighed, and warned of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runtime.kernel import (
    KILL,
    Gate,
    exit as send_exit,
    hooks,
    mailboxes,
    process_info,
    receive_match,
    send,
    set_watermarks,
    spawn,
    top_senders,
    unlink,
)  # fmt: skip
from runtime.otp import GenServer, sys
from runtime.otp.event_manager import EventManager
from runtime.otp.state_machine import GenStateMachine, Keep, NextState
from runtime.testing import settle

MANY = 20_000


class Server(GenServer):
    def init(self) -> None:
        self.seen: list[Any] = []
        self.left: list[int] = []

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)
        self.left.append(process_length(self))


class Machine(GenStateMachine):
    def init(self) -> Any:
        self.seen: list[Any] = []
        self.left: list[int] = []
        return NextState("open")

    def open(self, kind: str, content: Any) -> Any:
        self.seen.append(content)
        self.left.append(process_length(self))
        return Keep()


def process_length(behaviour: Any) -> int:
    from runtime.kernel import self_

    return self_().mailbox_length


@pytest.fixture
def alarms() -> Iterator[list[Any]]:
    seen: list[Any] = []

    def note(process: Any, high: bool) -> None:
        seen.append((process, high))

    hooks.on_mailbox.append(note)
    yield seen
    hooks.on_mailbox.remove(note)


def by_sys(pid: Any) -> Callable[[], None]:
    sys.suspend(pid)
    return lambda: sys.resume(pid, None)


def by_gate(pid: Any) -> Callable[[], None]:
    gate = Gate()
    gate.close(pid)
    return lambda: gate.open(pid)


HELD = pytest.mark.parametrize("hold", [by_sys, by_gate])
KINDS = pytest.mark.parametrize("kind", [Server, Machine])


@HELD
@KINDS
def test_a_held_process_has_its_mail(kind: Any, hold: Any, alarms: list[Any]) -> None:
    """OTP: the messages of a suspended process are in its message queue; process_info says how many, and which."""
    pid = kind.start()
    object_ = pid.behaviour
    before = process_info(pid, "memory")
    assert before is not None
    go_on = hold(pid)
    for n in range(MANY):
        send(pid, n)
    settle()
    send(pid, "newest")
    info = process_info(pid, "message_queue_len", "messages", "memory")
    assert info is not None
    assert info["message_queue_len"] == pid.mailbox_length == MANY + 1
    assert info["messages"] == [*range(MANY), "newest"]
    assert info["memory"] > before["memory"] + 8 * MANY
    assert [message for box in mailboxes(pid) for message in box] == info["messages"]
    assert alarms == [(pid, True)]
    go_on()
    settle()
    assert object_.seen == [*range(MANY), "newest"]
    assert object_.left[0] >= MANY - 1  # those that are still to come are seen as well
    assert alarms == [(pid, True), (pid, False)]
    assert process_info(pid, "message_queue_len", "messages") == {"message_queue_len": 0, "messages": []}
    send_exit(pid, KILL)


@HELD
@KINDS
def test_few_at_a_time_raise_the_alarm_too_and_name_who_sends(
    kind: Any, hold: Any, alarms: list[Any]
) -> None:
    """No batch is ever long here: each message is taken and kept at once."""
    pid = kind.start()
    set_watermarks(pid, high=10, low=2)
    go_on = hold(pid)
    for n in range(30):
        talker = spawn(send, pid, n)
        settle()
        assert alarms == ([] if n < 9 else [(pid, True)])
    assert len(top_senders(pid, 100)) == 20
    assert talker in dict(top_senders(pid, 100))
    go_on()
    settle()
    assert alarms == [(pid, True), (pid, False)]
    send_exit(pid, KILL)


@KINDS
def test_suspended_behind_a_gate_the_older_mail_is_first(kind: Any) -> None:
    pid = kind.start()
    object_ = pid.behaviour
    resume = by_sys(pid)
    send(pid, 1)
    settle()
    open_gate = by_gate(pid)
    send(pid, 2)
    settle()
    send(pid, 3)
    assert process_info(pid, "messages") == {"messages": [1, 2, 3]}
    assert pid.mailbox_length == 3
    assert [list(box) for box in mailboxes(pid)] == [[1], [2], [3]]
    open_gate()
    settle()
    assert pid.mailbox_length == 3
    resume()
    settle()
    assert object_.seen == [1, 2, 3]
    send_exit(pid, KILL)


@KINDS
def test_a_held_process_may_die_of_its_own_alarm(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears that a mailbox is too long may end its process there and then."""
    pid = kind.start()
    set_watermarks(pid, high=10, low=2)
    monkeypatch.setattr(hooks, "on_mailbox", [lambda process, high: send_exit(process, KILL)])
    by_sys(pid)
    for n in range(30):
        send(pid, n)
        settle()
    assert not pid.alive
    assert pid.mailbox_length == 0


def test_an_event_manager_too() -> None:
    pid = EventManager.start_link()
    sys.suspend(pid)
    for n in range(5):
        send(pid, n)
    settle()
    assert pid.mailbox_length == 5
    sys.resume(pid)
    settle()
    assert pid.mailbox_length == 0
    unlink(pid)
    send_exit(pid, KILL)


def test_one_that_goes_on_is_as_if_nothing_had_been() -> None:
    """It has nothing special about it any more, so its messages take the short way again."""
    pid = Server.start()
    go_on = by_sys(pid)
    send(pid, 1)
    settle()
    go_on()
    settle()
    assert pid.control is None
    assert pid.behaviour.seen == [1]
    send_exit(pid, KILL)


class Shaker(GenServer):
    """Waits inside a callback for the second half of what somebody says to it."""

    def init(self) -> None:
        self.pairs: list[Any] = []

    def handle_info(self, message: Any) -> None:
        self.pairs.append((message, receive_match(lambda m: m == ("answer", message), 1.0)))


class ShakingMachine(GenStateMachine):
    def init(self) -> Any:
        self.pairs: list[Any] = []
        return NextState("open")

    def open(self, kind: str, content: Any) -> Any:
        self.pairs.append((content, receive_match(lambda m: m == ("answer", content), 1.0)))


@HELD
@pytest.mark.parametrize("kind", [Shaker, ShakingMachine])
def test_a_receive_of_a_callbacks_own_finds_what_came_while_held(kind: Any, hold: Any, clock: Any) -> None:
    """OTP: what a suspended process was sent is in its message queue, so a receive in a callback sees it afterwards."""
    pid = kind.start()
    go_on = hold(pid)
    for message in (1, 2, ("answer", 2), ("answer", 1)):
        send(pid, message)
        settle()  # one at a time: each is taken and kept by itself
    go_on()
    clock.advance(5)
    assert pid.behaviour.pairs == [(1, ("answer", 1)), (2, ("answer", 2))]
    send_exit(pid, KILL)
