"""receive_every, watch and unwatch: what the floors above need of mailboxes and deaths, without reaching inside."""

from __future__ import annotations

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    TIMEOUT,
    Killed,
    disconnect,
    exit,
    process_info,
    receive,
    receive_every,
    receive_mark,
    receive_match,
    self_,
    send,
    spawn,
    spawn_link,
    trap_exit,
    unwatch,
    watch,
)
from runtime.testing import settle


class Witness:
    def __init__(self):
        self.heard = []

    def failed(self, reason):
        self.heard.append(reason)


def test_receive_every_takes_all_that_match_and_leaves_the_rest_in_order():
    me = self_()
    for n in range(5):
        send(me, n)
    assert receive_match(lambda m: m == 1) == 1  # now some are set aside, and some will be new
    for n in range(5, 9):
        send(me, n)
    assert receive_every(lambda m: m % 2 == 0) == [0, 2, 4, 6, 8]
    assert receive_every(lambda m: m % 2 == 0) == []
    assert [receive(0) for _ in range(4)] == [3, 5, 7, TIMEOUT]
    assert receive_every(lambda m: True) == []


def test_receive_every_behind_a_mark_looks_at_newer_mail_only():
    for n in range(3):
        send(self_(), n)
    mark = receive_mark()
    for n in range(3, 7):
        send(self_(), n)
    looked = []
    assert receive_every(lambda m: looked.append(m) or m % 2 == 0, mark) == [4, 6]
    assert looked == [3, 4, 5, 6]
    assert receive_match(lambda m: m == 1) == 1  # the mark does not hold any more: a full search
    assert receive_every(lambda m: True, mark) == [0, 2, 3, 5]


def test_receive_every_with_a_match_that_raises_takes_nothing():
    for message in (1, "two", 3):
        send(self_(), message)
    with pytest.raises(TypeError):
        receive_every(lambda m: m > 0)
    assert [receive(0) for _ in range(4)] == [1, "two", 3, TIMEOUT]


def test_receive_every_in_a_dead_process_unwinds_it():
    ends = []

    def dies():
        try:
            exit(self_(), KILL)
        finally:
            try:
                receive_every(lambda m: True)
            except Killed:
                ends.append("unwound")
                raise

    spawn(dies)
    settle()
    assert ends == ["unwound"]


def test_a_watcher_is_told_at_the_moment_of_the_death():
    told, not_told = Witness(), Witness()
    pid = spawn(receive)
    watch(pid, told)
    watch(pid, told)
    watch(pid, not_told)
    unwatch(pid, not_told)
    unwatch(pid, not_told)
    exit(pid, "why")
    assert told.heard == ["why"]
    assert not_told.heard == []
    unwatch(pid, told)
    with pytest.raises(ValueError, match="is dead"):
        watch(pid, told)


def test_the_last_watcher_leaves_nothing_behind():
    pid = spawn(receive)
    witness = Witness()
    watch(pid, witness)
    unwatch(pid, witness)
    assert pid.monitored_by is None
    exit(pid, KILL)
    assert witness.heard == []


def test_disconnect_unlinks_two_processes_unheard():
    trap_exit(True)
    pid = spawn_link(receive)
    disconnect(self_(), pid)
    disconnect(self_(), pid)
    assert process_info(pid, "links") == {"links": []}
    exit(pid, KILL)
    assert receive(0) is kernel.TIMEOUT
