"""EventManager at its edges: odd names and values, swaps that fail, owners that must hear of it."""

from __future__ import annotations

import pytest

from runtime.kernel import BadName, ProcessExit, is_alive, receive, register, self_, send, spawn, unregister
from runtime.otp import Fail, NoReply, Registry, Via, stop, sys
from runtime.otp.event_manager import (
    EventExit,
    EventHandler,
    EventManager,
    HandlerError,
    Remove,
    Swap,
    Swapped,
    add_handler,
    add_sup_handler,
    call,
    delete_handler,
    notify,
    swap_handler,
    swap_sup_handler,
    sync_notify,
    which_handlers,
)


class Plain(EventHandler):
    """Does what it is told: functions it gets, as arguments, events or requests, are called with it."""

    def init(self, play=None, *, previous=None):
        return play(self) if callable(play) else None

    def handle_event(self, event):
        return event(self) if callable(event) else None

    def handle_call(self, request):
        return request(self) if callable(request) else request


class Other(Plain):
    """Another class of handler."""


class Third(Plain):
    """A third one."""


class Unspeakable:
    """A value that cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


def test_a_manager_has_a_via_name():
    """gen_event:start_link({via, Module, Name}): wherever a name goes, for every function of the module."""
    names = Registry.start_link(name="event_names")
    name = Via("event_names", "news")
    pid = EventManager.start_link(name=name)
    heard = []
    add_handler(name, Plain)
    notify(name, lambda _h: heard.append("notified"))
    sync_notify(name, lambda _h: heard.append("synced"))
    assert heard == ["notified", "synced"]
    assert call(name, Plain, "echo") == "echo"
    swap_handler(name, Plain, "out", Other)
    assert which_handlers(name) == [Other]
    assert delete_handler(name, Other) is None
    stop(name)
    assert not is_alive(pid)
    with pytest.raises(BadName):
        notify(name, "nobody")
    stop(names)


def test_an_id_of_none_is_no_id():
    """A handler is called by its class, or (class, id): None as id is the class alone, under both names."""
    pid = EventManager.start()
    add_handler(pid, (Plain, None))
    assert which_handlers(pid) == [Plain]
    assert call(pid, (Plain, None), 1) == call(pid, Plain, 1) == 1
    delete_handler(pid, (Plain, None))
    add_handler(pid, Plain)
    swap_handler(pid, (Plain, None), "out", (Other, None))
    assert which_handlers(pid) == [Other]
    stop(pid)


@pytest.mark.parametrize("ask", [add_handler, delete_handler, lambda pid, name: call(pid, name, 1)])
def test_an_id_that_is_not_hashable_is_refused_before_anything_is_sent(ask):
    """Comparing two such ids may raise (arrays): in the manager that would be its end."""
    pid = EventManager.start()
    with pytest.raises(TypeError):
        ask(pid, (Plain, ["list"]))
    assert which_handlers(pid) == []
    stop(pid)


def test_a_handler_with_an_init_that_never_runs_is_refused():
    with pytest.raises(TypeError, match="never called"):
        type("Wrong", (EventHandler,), {"__init__": lambda self: None})


def test_a_swap_from_a_callback_keeps_the_place():
    """gen_event server_update, do_swap: the new handler takes the old one's place in the row; the API's swap is first."""
    pid = EventManager.start()
    for kind in (Third, Plain, (Third, "newest")):
        add_handler(pid, kind)
    sync_notify(pid, lambda h: Swap("out", Other) if type(h) is Plain else None)
    assert which_handlers(pid) == [(Third, "newest"), Other, Third]
    assert call(pid, Other, lambda _h: Swap("out", Plain, reply="swapped")) == "swapped"
    assert which_handlers(pid) == [(Third, "newest"), Plain, Third]
    swap_handler(pid, Plain, "out", Other)
    assert which_handlers(pid) == [Other, (Third, "newest"), Third]
    stop(pid)


@pytest.mark.parametrize("by", ["event", "call"])
def test_a_swap_from_a_callback_may_hibernate(by):
    """gen_event do_swap: `{ok, State, hibernate}` of the new handler's init counts."""
    pid = EventManager.start()
    add_handler(pid, Plain)
    swap = lambda _h: Swap("out", Other, lambda _new: NoReply(hibernate=True))  # noqa: E731
    if by == "event":
        sync_notify(pid, swap)
    else:
        call(pid, Plain, swap)
    assert sys.get_status(pid).hibernated
    stop(pid)


@pytest.mark.parametrize("by", ["event", "call", "stranger"])
def test_an_owner_hears_that_the_handler_swapped_in_did_not_come_up(by):
    """gen_event do_swap, report_terminate: first {swapped, New, Owner}, then that the new one failed: it supervises nothing."""
    pid = EventManager.start()
    add_sup_handler(pid, Plain)
    refuse = lambda _new: Fail("no room")  # noqa: E731
    swap = lambda _h: Swap("out", Other, refuse)  # noqa: E731
    if by == "event":
        sync_notify(pid, swap)
    elif by == "call":
        call(pid, Plain, swap)
    else:
        me = self_()

        def stranger():
            with pytest.raises(HandlerError):
                swap_handler(pid, Plain, "out", Other, refuse)
            send(me, "tried")

        spawn(stranger)
        assert receive(5) == EventExit(pid, Plain, Swapped(Other, me))
        assert receive(5) == EventExit(pid, Other, "no room")
        assert receive(5) == "tried"
        assert which_handlers(pid) == []
        stop(pid)
        return
    assert receive(5) == EventExit(pid, Plain, Swapped(Other, self_()))
    assert receive(5) == EventExit(pid, Other, "no room")
    assert which_handlers(pid) == []
    stop(pid)


def test_who_swaps_himself_hears_of_a_failure_once():
    """swap_sup_handler: the caller gets the error; a message besides would be the same news twice."""
    pid = EventManager.start()
    add_sup_handler(pid, Plain)
    with pytest.raises(HandlerError) as info:
        swap_sup_handler(pid, Plain, "out", Other, lambda _new: Fail("no room"))
    assert info.value.reason == "no room"
    assert receive(5) == EventExit(pid, Plain, Swapped(Other, self_()))
    stop(pid)
    assert receive(0).__class__ is not EventExit


@pytest.mark.parametrize("how", ["init", "call", "id"])
def test_a_value_that_cannot_be_shown_is_no_harm_to_the_manager(how):
    """A reason or id may be any value, and its repr may do anything: the manager lives."""
    pid = EventManager.start()
    name = (Plain, Unspeakable()) if how == "id" else Plain
    with pytest.raises(HandlerError) as info:
        if how == "init":
            add_handler(pid, name, lambda _h: Fail(Unspeakable()))
        elif how == "call":
            add_handler(pid, name)
            call(pid, name, lambda _h: Fail(Unspeakable()))
        else:
            delete_handler(pid, name)
    assert str(info.value)
    assert is_alive(pid)
    assert which_handlers(pid) == []
    stop(pid)


def test_a_failing_handler_whose_format_status_exits_is_no_harm_to_the_manager(caplog):
    """The report of a handler runs its format_status in the manager."""

    class Exits(Plain):
        def format_status(self, status):
            raise ProcessExit("from format_status")

    pid = EventManager.start()
    add_handler(pid, Exits)
    sync_notify(pid, lambda _h: 17)
    assert is_alive(pid)
    assert which_handlers(pid) == []
    stop(pid)


@pytest.mark.parametrize("forgotten", [Remove, Swap, NoReply, Fail])
def test_a_control_value_without_its_parentheses_is_a_bad_return(forgotten):
    """As in a GenServer's handle_call: no such class is an answer."""
    pid = EventManager.start()
    add_handler(pid, Plain)
    with pytest.raises(HandlerError):
        call(pid, Plain, lambda _h: forgotten)
    assert which_handlers(pid) == []
    stop(pid)


def test_names_of_the_managers_own():
    """A name given later works as one from the start."""
    pid = EventManager.start()
    register("late_name", pid)
    add_handler("late_name", Plain)
    assert which_handlers("late_name") == [Plain]
    unregister("late_name")
    with pytest.raises(BadName):
        notify("late_name", 1)
    stop(pid)


def test_two_handlers_of_one_name():
    """gen_event add_handler: nothing is refused (Elixir's old GenEvent said already_added); the newest is found first."""
    pid = EventManager.start()
    heard = []
    for n in (1, 2):
        add_handler(pid, Plain, lambda handler, n=n: setattr(handler, "n", n))
    assert which_handlers(pid) == [Plain, Plain]
    sync_notify(pid, lambda handler: heard.append(handler.n))
    assert heard == [2, 1]
    assert call(pid, Plain, lambda handler: handler.n) == 2
    delete_handler(pid, Plain)
    assert call(pid, Plain, lambda handler: handler.n) == 1
    delete_handler(pid, Plain)
    with pytest.raises(HandlerError, match="not_found"):
        delete_handler(pid, Plain)
    stop(pid)
