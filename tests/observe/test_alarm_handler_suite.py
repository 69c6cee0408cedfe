"""The cases of OTP's alarm_handler_SUITE, and what is on top: subscribers, one log line each."""

from __future__ import annotations

import logging
import random
from contextlib import contextmanager

import pytest

from runtime.kernel import (
    KILL, TIMEOUT, BadName, CallError, exit, is_alive, monitor, receive, self_, spawn, trap_exit, unlink, whereis,
)  # fmt: skip
from runtime.observe import alarms
from runtime.observe.alarms import (
    AlarmCleared,
    AlarmHandler,
    AlarmRaised,
    ClearAlarm,
    SetAlarm,
    clear_alarm,
    get_alarms,
    set_alarm,
    subscribe,
    swap,
    unsubscribe,
)
from runtime.otp import ChildSpec, EventHandler, Supervisor, SupFlags, event_manager, proc_lib, sys
from runtime.otp.event_manager import HandlerError
from runtime.testing import settle
from tests.observe.observing import lines_of


@pytest.fixture
def keeper():
    """Start and stop the alarms inside the test's own process."""

    class Keeper:
        def __enter__(self):
            self.pid = alarms.start_link()
            return self.pid

        def __exit__(self, *_):
            event_manager.stop(self.pid)

    return Keeper()


def ids():
    return [alarm.id for alarm in get_alarms()]


def test_set_alarm(keeper):
    """alarm_handler_SUITE set_alarm: get_alarms has every alarm that was set, the newest first."""
    with keeper:
        assert get_alarms() == []
        set_alarm("a", "first")
        set_alarm(("b", 2), ("why", "second"))
        set_alarm("c")
        assert ids() == ["c", ("b", 2), "a"]
        assert [alarm.description for alarm in get_alarms()] == ["", ("why", "second"), "first"]


def test_set_alarm_again_is_the_same_alarm(keeper):
    """Differs from OTP on purpose: one id is one alarm, with its newest description and its first time."""
    with keeper:
        set_alarm("a", "one")
        since = get_alarms()[0].since
        set_alarm("b")
        set_alarm("a", "two")
        assert ids() == ["b", "a"]
        again = get_alarms()[1]
        assert (again.description, again.since, again.times) == ("two", since, 2)


def test_clear_alarm(keeper):
    """alarm_handler_SUITE clear_alarm: only that one goes; clearing what is not up is nothing."""
    with keeper:
        for name in "abc":
            set_alarm(name)
        clear_alarm("b")
        clear_alarm("never set")
        assert ids() == ["c", "a"]
        set_alarm("b")
        assert ids() == ["b", "c", "a"]


def test_swap(keeper):
    """alarm_handler_SUITE swap: the new handler gets the alarms that are up, and all events from then on."""

    class Mine(AlarmHandler):
        def init(self, mark, *, previous=None):
            super().init(previous=previous)
            self.mark = mark

        def log(self, level, text, id_, what):
            pass

    class Alien(EventHandler):
        def init(self, *, previous):
            self.seen = [list(previous)]

        def handle_event(self, event):
            self.seen.append(event)

        def handle_call(self, request):
            return self.seen

    with keeper as pid:
        set_alarm("a")
        set_alarm("b")
        swap(Mine, "mark")
        assert event_manager.which_handlers(pid) == [Mine]
        assert ids() == ["b", "a"]
        clear_alarm("a")
        set_alarm("c")
        assert ids() == ["c", "b"]
        event_manager.swap_handler(pid, Mine, "swap", Alien)
        set_alarm("d", 4)
        clear_alarm("b")
        seen = event_manager.call(pid, Alien, "seen")
        assert seen == [["b", "c"], SetAlarm("d", 4, logging.WARNING, False), ClearAlarm("b", False)]
        with pytest.raises(HandlerError):
            get_alarms()


def test_every_alarm_and_its_clearing_is_logged_once(keeper):
    with keeper, lines_of("evergreen.alarms") as lines:
        for description in ("paper", "still", "still"):
            set_alarm("printer", description, level=logging.ERROR)
        clear_alarm("printer")
        clear_alarm("printer")
        set_alarm("quiet", "x", quiet=True)
        clear_alarm("quiet", quiet=True)
        set_alarm(("queue", 7), ("long", 3))
        settle()
        assert lines == [
            ("ERROR", "alarm printer: paper"),
            ("INFO", "alarm printer is over after 0 min 0 s"),
            ("WARNING", "alarm queue 7: ('long', 3)"),
        ]


def test_subscribers_hear_of_changes_only(keeper):
    with keeper:
        set_alarm("before")
        assert [alarm.id for alarm in subscribe()] == ["before"]
        subscribe()
        set_alarm("before", "again")
        set_alarm("a", "new")
        set_alarm("a", "newer")
        clear_alarm("before")
        clear_alarm("a")
        clear_alarm("a")
        settle()
        heard = []
        while (message := receive(0)) is not TIMEOUT:
            heard.append(message)
        assert heard == [AlarmRaised("a", "new"), AlarmCleared("before"), AlarmCleared("a")]
        unsubscribe()
        unsubscribe()
        set_alarm("b")
        settle()
        assert receive(0) is TIMEOUT


def test_a_subscriber_that_ends_is_forgotten(keeper):
    with keeper as pid:
        other = spawn(receive)
        subscribe(other)
        assert len(event_manager.which_handlers(pid)) == 2
        exit(other, "kill")
        settle()
        assert event_manager.which_handlers(pid) == [AlarmHandler]


def test_without_the_process():
    """As in OTP, setting an alarm where none are kept is the caller's error."""
    with pytest.raises(BadName):
        set_alarm("a")
    with pytest.raises(CallError):
        get_alarms()


def test_an_id_that_cannot_be_one_is_refused_where_it_is_given(keeper):
    with keeper:
        with pytest.raises(TypeError):
            set_alarm(["a"])
        set_alarm(self_())
        assert ids() == [self_()]


def heard():
    found = []
    while (message := receive(0)) is not TIMEOUT:
        found.append(message)
    return found


class Top(Supervisor):
    def init(self):
        return SupFlags(intensity=1000), [ChildSpec("alarms", (alarms.start_link, ()))]


@contextmanager
def supervised():
    """The alarms under a supervisor, as in a node."""
    trap_exit(True)
    top = Top.start_link()
    try:
        yield top
    finally:
        unlink(top)
        proc_lib.stop(top)


def test_alarms_and_subscribers_outlive_a_crash():
    """Ours (OTP forgets both): what is wrong with the node has not gone away with the list of it."""
    with supervised():
        set_alarm("a", "first", level=logging.ERROR)
        set_alarm("b")
        subscribe()
        before = get_alarms()
        exit(whereis(alarms.NAME), KILL)
        settle()
        assert get_alarms() == before
        clear_alarm("a")
        set_alarm("b", "again")
        set_alarm("c", "new")
        settle()
        assert heard() == [AlarmCleared("a"), AlarmRaised("c", "new")]
        assert ids() == ["c", "b"]
        unsubscribe()
        exit(whereis(alarms.NAME), KILL)
        settle()
        assert event_manager.which_handlers(alarms.NAME) == [AlarmHandler]
    with supervised():  # another supervisor: a new node, for all one knows
        assert get_alarms() == []


def test_a_subscriber_that_died_with_the_alarms_is_forgotten():
    with supervised():
        other = spawn(receive)
        subscribe(other)
        keeper_pid = whereis(alarms.NAME)
        sys.suspend(keeper_pid)
        exit(other, KILL)
        exit(keeper_pid, KILL)
        settle()
        assert event_manager.which_handlers(alarms.NAME) == [AlarmHandler]
        assert alarms._kept.subscribers == {}


class Fragile(AlarmHandler):
    """Cannot stand one alarm."""

    def handle_event(self, event):
        super().handle_event(event)
        if isinstance(event, SetAlarm) and event.id == "poison":
            raise ValueError("poison")


def test_a_failing_handler_does_not_leave_the_node_without_alarms():
    """Ours (OTP goes on without any handler): the process ends and comes back, with its alarms, by its supervisor."""
    with supervised():
        set_alarm("a")
        swap(Fragile)
        ref = monitor(alarms.NAME)
        set_alarm("poison")
        down = receive(5)
        assert (down.ref, down.reason) == (ref, "the alarm handler failed")
        settle()
        assert event_manager.which_handlers(alarms.NAME) == [AlarmHandler]
        assert ids() == ["poison", "a"]


def test_what_is_cleared_between_list_and_subscription_is_told(keeper):
    """Ours: the end of every alarm in the list that `subscribe` returned is told, whatever comes in between."""
    with keeper as pid:
        for id_ in ("a", "b", "c"):
            set_alarm(id_)
        event_manager.add_handler(pid, (alarms._Subscriber, self_()), self_())
        up = frozenset(ids())  # as subscribe does it, with others in between
        clear_alarm("a")
        clear_alarm("b")
        set_alarm("b", "anew")
        event_manager.call(pid, (alarms._Subscriber, self_()), up)
        clear_alarm("c")
        clear_alarm("c")
        clear_alarm("stranger")
        settle()
        assert heard() == [AlarmRaised("b", "anew"), AlarmCleared("a"), AlarmCleared("c")]
        assert is_alive(pid)
        unsubscribe()


def test_an_alarm_set_again_takes_the_new_level(keeper):
    with keeper:
        set_alarm("a", "bad", level=logging.WARNING)
        set_alarm("a", "worse", level=logging.ERROR)
        assert [(alarm.level, alarm.times) for alarm in get_alarms()] == [(logging.ERROR, 2)]


@pytest.mark.parametrize("seed", range(5))
def test_list_and_subscriber_agree_whatever_comes_and_crashes(seed, caplog):
    """Ours: the list is what was set and not cleared, and a subscriber's own view of it is the same, after every step."""
    caplog.set_level(logging.CRITICAL)
    chance = random.Random(seed)
    up, view = set(), None
    with supervised():
        for _ in range(150):
            id_ = chance.choice("abcdef")
            match chance.choice(["set", "set", "clear", "clear", "crash", "subscribe", "unsubscribe"]):
                case "set":
                    set_alarm(id_)
                    up.add(id_)
                case "clear":
                    clear_alarm(id_)
                    up.discard(id_)
                case "crash":
                    exit(whereis(alarms.NAME), KILL)
                case "subscribe":
                    known = {alarm.id for alarm in subscribe()}
                    view = known if view is None else view
                case "unsubscribe":
                    unsubscribe()
                    heard()
                    view = None
            settle()
            for message in heard():
                (view.add if isinstance(message, AlarmRaised) else view.discard)(message.id)
            assert set(ids()) == up
            assert view is None or view == up
        unsubscribe()
