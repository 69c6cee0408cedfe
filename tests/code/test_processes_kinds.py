"""State machines, event handlers and connections in a release."""

from __future__ import annotations

import pytest

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.journal import Journal
from runtime.code.processes import quiesce
from runtime.net import Line, Protocol
from runtime.otp import EventHandler, EventManager, GenStateMachine, event_manager
from runtime.otp import state_machine as machines
from runtime.otp.gen_server import call
from runtime.otp.state_machine import Keep, NextState, StateTimeout
from tests.net.helpers import Client, listening

UP = {__name__: ("1", "2")}
DOWN = {__name__: ("2", "1")}


def release(changed=UP, direction="up", then=None):
    journal = Journal()

    def commit():
        try:
            if direction == "down" and then is not None:
                count = quiesced.migrate(journal, direction)
                then()
                return count
            if then is not None:
                then()
            return quiesced.migrate(journal, direction)
        except BaseException:
            journal.roll_back()
            raise

    with quiesce(changed, 1) as quiesced:
        return quiesced.step(commit)


# -------------------------------------------------------------------------------------------------- state machines


class Door(GenStateMachine):
    def init(self, fail=False):
        self.log, self.fail = [], fail
        return NextState("shut", StateTimeout(60, "tired"))

    def shut(self, kind, content):
        return self.say(kind, "shut")

    def say(self, kind, what):
        self.log.append(what)
        return Keep(machines.Reply(kind, (what, list(self.log)))) if isinstance(kind, kernel.Call) else None

    def code_change(self, old_version, extra):
        self.log.append(old_version)
        if self.fail:
            raise ValueError("no such door")
        return NextState("wide" if old_version == "1" else "shut")


def wide(self, kind, content):
    return self.say(kind, "wide")


@pytest.fixture
def door():
    pids = []

    def start(*args):
        pids.append(Door.start(*args))
        return pids[-1]

    yield start
    for pid in pids:
        kernel.exit(pid, "kill")
    if hasattr(Door, "wide"):
        del Door.wide


def test_a_machine_changes_its_state_and_its_data(door):
    pid = door()
    assert call(pid, "x") == ("shut", ["shut"])
    assert release(then=lambda: setattr(Door, "wide", wide)) == 1
    assert call(pid, "x") == ("wide", ["shut", "1", "wide"])
    assert release(DOWN, "down", then=lambda: delattr(Door, "wide")) == 1
    assert call(pid, "x") == ("shut", ["shut", "1", "wide", ("down", "1"), "shut"])
    kernel.exit(pid, "kill")


def test_a_state_that_the_new_code_does_not_know_is_refused(door):
    pid = door()
    with pytest.raises(Refused, match="wide"):
        release()
    assert call(pid, "x") == ("shut", ["shut"])
    kernel.exit(pid, "kill")


def test_when_one_machine_fails_all_are_in_their_old_state(door):
    pids = [door(n == 3) for n in range(5)]
    with pytest.raises(Refused, match="no such door"):
        release(then=lambda: setattr(Door, "wide", wide))
    del Door.wide
    for pid in pids:
        assert call(pid, "x") == ("shut", ["shut"])
        kernel.exit(pid, "kill")


def test_a_machine_without_code_change_must_be_in_a_state_that_there_is(door):
    pid = door()
    old, code_change = Door.shut, Door.code_change
    try:
        del Door.code_change
        with pytest.raises(Refused, match="shut"):
            release(then=lambda: delattr(Door, "shut"))
    finally:
        Door.shut, Door.code_change = old, code_change
    assert call(pid, "x") == ("shut", ["shut"])
    kernel.exit(pid, "kill")


class Modes(GenStateMachine):
    def init(self):
        return NextState("one")

    def one(self, kind, content):
        return Keep(machines.Reply(kind, "one"))

    def code_change(self, old_version, extra):
        return None


def test_the_callback_mode_is_looked_up_again_both_ways():
    pid = Modes.start()
    assert call(pid, "x") == "one"

    def handle_event(self, kind, content, state):
        return Keep(machines.Reply(kind, ("all", state)))

    release(then=lambda: setattr(Modes, "handle_event", handle_event))
    assert call(pid, "x") == ("all", "one")
    release(DOWN, "down", then=lambda: delattr(Modes, "handle_event"))
    assert call(pid, "x") == "one"
    kernel.exit(pid, "kill")


def test_when_a_later_machine_fails_the_earlier_ones_have_their_mode_back():
    good, bad = Modes.start(), Modes.start()
    bad.behaviour.bad = True

    def code_change(self, old_version, extra):
        if hasattr(self, "bad"):
            raise ValueError

    before, Modes.code_change = Modes.code_change, code_change
    try:
        with quiesce(UP, 1) as quiesced:

            def commit():
                Modes.handle_event = lambda self, kind, content, state: None
                try:
                    with pytest.raises(Refused):
                        quiesced.migrate(Journal())
                finally:
                    del Modes.handle_event
                return good.control.by_name

            assert quiesced.step(commit) is True
    finally:
        Modes.code_change = before
    assert call(good, "x") == "one"
    kernel.exit(good, "kill")
    kernel.exit(bad, "kill")


# -------------------------------------------------------------------------------------------------- event handlers


class Logs(EventHandler):
    def init(self, fail=False):
        self.seen, self.fail = [], fail

    def handle_event(self, event):
        self.seen.append(event)

    def handle_call(self, request):
        return self.seen

    def code_change(self, old_version, extra):
        self.seen.append(old_version)
        if self.fail:
            raise ValueError


class Other(Logs):
    pass


Other.code_change = lambda self, old_version, extra: self.seen.append("other")
Other.__module__ = "another.module"


def test_the_handlers_of_the_module_are_changed_the_manager_is_not():
    pid = EventManager.start()
    event_manager.add_handler(pid, Logs)
    event_manager.add_handler(pid, (Logs, 2))
    assert release() == 1, "processes are counted, not handlers"
    event_manager.notify(pid, "event")
    for name in (Logs, (Logs, 2)):
        assert event_manager.call(pid, name, "seen") == ["1", "event"]
    event_manager.add_handler(pid, (Logs, 3), True)
    with pytest.raises(Refused):
        release()
    assert event_manager.call(pid, Logs, "seen") == ["1", "event"]
    kernel.exit(pid, "kill")


def test_an_event_manager_without_such_handlers_is_left_alone():
    pid = EventManager.start()
    event_manager.add_handler(pid, Other)
    with quiesce({"elsewhere": (1, 2)}, 1) as quiesced:
        assert list(quiesced) == []
    kernel.exit(pid, "kill")


# ----------------------------------------------------------------------------------------------------- connections


class Counting(Protocol):
    framing = Line(100)

    def connected(self, conn):
        self.count, self.told = 0, []
        opened.append(conn)

    def frames(self, conn, frames):
        for frame in frames:
            self.count += 1
            conn.write_raw(frame + b" %d\n" % self.count)

    def code_change(self, old_version, extra):
        self.told.append(old_version)
        self.count += 100

    def closed(self, conn, reason):
        ended.append(reason)


opened, ended = [], []


def test_a_connections_protocol_is_changed_and_its_socket_lives_through():
    with listening(Counting) as pid, Client(pid) as client:
        client.raw(b"one\n")
        assert client.exactly(6) == b"one 1\n"
        with quiesce(UP, 1) as quiesced:
            client.raw(b"two\nthree\n")
            kernel.pause(0.02)
            assert opened[-1].protocol.count == 1
            assert quiesced.step(lambda: quiesced.migrate(Journal())) == 1
        assert client.exactly(8) == b"two 102\n"
        assert client.exactly(10) == b"three 103\n"
        assert opened[-1].protocol.told == ["1"]


def test_a_connection_that_gets_its_protocol_meanwhile_takes_part():
    """Its first message, by which the protocol is made, comes after the gates were closed."""
    with listening(Counting) as pid:
        with quiesce(UP, 1) as quiesced, Client(pid) as client:
            client.raw(b"one\n")
            assert client.exactly(6) == b"one 1\n"
            assert quiesced.step(lambda: quiesced.migrate(Journal())) == 1
            client.raw(b"two\n")
            quiesced.release()
            assert client.exactly(8) == b"two 102\n"


def test_a_handler_that_is_added_meanwhile_takes_part():
    pid = EventManager.start()
    with quiesce(UP, 1) as quiesced:
        event_manager.add_handler(pid, Logs)
        assert quiesced.step(lambda: quiesced.migrate(Journal())) == 1
    assert event_manager.call(pid, Logs, "seen") == ["1"]
    kernel.exit(pid, "kill")


def test_a_held_connection_that_is_killed_lets_go_of_its_socket():
    with listening(Counting) as pid, Client(pid) as client:
        client.raw(b"one\n")
        assert client.exactly(6) == b"one 1\n"
        with quiesce(UP, 1) as quiesced:
            conn = opened[-1]
            kernel.exit(conn.pid, "kill")
            assert client.sock.recv(10) == b""
            assert quiesced.step(lambda: quiesced.migrate(Journal())) == 0
        assert not conn.is_open
