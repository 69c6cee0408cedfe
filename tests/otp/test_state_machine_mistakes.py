"""What a state machine says of the mistakes that are made most: which callback, what it may return, what to write instead."""

from __future__ import annotations

import pytest

from runtime.kernel import (
    CallError, CallTimeout, call, cast, receive, receive_match, self_, send, spawn, trap_exit,
)  # fmt: skip
from runtime.otp import NoReply, StartError, Supervisor, SupFlags, stop, which_children
from runtime.otp import Reply as ServerReply
from runtime.otp import Stop as ServerStop
from runtime.otp.state_machine import (
    BadActionFromStateFunction,
    BadReplyAction,
    BadReturnFromStateFunction,
    BadStateEnterAction,
    BadStateEnterReturn,
    GenStateMachine,
    Keep,
    NextEvent,
    NextState,
    Postpone,
    Reply,
    Stop,
    UnknownState,
)
from runtime.testing import settle


class Door(GenStateMachine):
    """Does what an event's content says; `enter` is what its enter calls return."""

    state_enter = True
    enter = None

    def init(self, first=None):
        return NextState("locked") if first is None else first

    def locked(self, kind, content):
        if kind == "enter":
            return None
        return content(kind) if callable(content) and not isinstance(content, type) else content

    def open(self, kind, content):
        return self.enter if kind == "enter" else None

    def helper(self):
        """No state: it takes no event."""


class Anyhow(GenStateMachine):
    def init(self):
        return NextState(("locked", 1))

    def handle_event(self, kind, content, state):
        return content


def end_of_call(cls, play):
    """How a call that makes the machine do `play` fails."""
    pid = cls.start()
    with pytest.raises(CallError) as info:
        call(pid, play)
    settle()
    assert pid.reason == info.value.reason or pid.reason is info.value.reason
    return info.value.reason


MAY = "may return None, Keep(...), NextState(state, ...), Repeat(...) or Stop(reason, ...)"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (17, f"(value=17; Door.locked {MAY})"),
        (ServerReply(1), "Reply is a GenServer's: here it is runtime.otp.state_machine's Reply(call, value)"),
        (NoReply(), "NoReply is a GenServer's: here it is None or Keep(...)"),
        (lambda kind: Reply(kind, 1), "Reply is an action, which goes into a result: Keep(Reply(...))"),
        (Postpone(), "Postpone is an action, which goes into a result: Keep(Postpone(...))"),
        (lambda _kind: Keep, "want an object: Keep(...), with its parentheses"),
    ],
)
def test_a_bad_return_says_which_callback_and_what_it_may_return(bad, says):
    """OTP {bad_return_from_state_function, Value}; the note is no part of the reason."""
    reason = end_of_call(Door, (lambda kind: bad(kind)) if callable(bad) else bad)
    assert reason.__class__ is BadReturnFromStateFunction
    assert says in repr(reason)
    assert MAY in repr(reason)
    assert reason == BadReturnFromStateFunction(reason.value)


def test_a_bad_return_of_handle_event_names_it():
    assert "Anyhow.handle_event may return" in repr(end_of_call(Anyhow, 17))


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        (ServerReply(1), "from Door.locked: that is no action; Reply is a GenServer's"),
        (Reply("nobody", 1), "from Door.locked: Reply(call, value) takes an open call"),
        (Keep(), "Keep is a result, and no action: return it by itself"),
        (Postpone, "want an object: Postpone(...), with its parentheses"),
    ],
)
@pytest.mark.parametrize("result", [Keep, lambda action: NextState("open", action)])
def test_a_bad_action_says_where_it_is_from(actions, says, result):
    """Also beside a change of state: the callback is the one that returned it, not the new state's."""
    reason = end_of_call(Door, lambda _kind: result(actions))
    assert reason.__class__ is BadActionFromStateFunction
    assert says in repr(reason)
    assert reason == BadActionFromStateFunction(reason.action)


def test_a_bad_reply_of_a_stop_says_what_it_takes():
    reason = end_of_call(Door, lambda _kind: Stop("x", ServerReply(1)))
    assert reason.__class__ is BadReplyAction
    assert "from Door.locked: Stop(reason, *replies) takes Reply(call, value)" in repr(reason)
    assert "Reply is a GenServer's" in repr(reason)


@pytest.mark.parametrize(
    ("enter", "kind", "says"),
    [
        (NextState("locked"), BadStateEnterReturn, "Door.open, in an enter call, may return None, Keep(...)"),
        (5, BadStateEnterReturn, "Door.open, in an enter call, may return None, Keep(...)"),
        (
            Keep(Postpone()),
            BadStateEnterAction,
            "Door.open, in an enter call, can neither postpone nor insert",
        ),
        (Keep(NextEvent("cast")), BadStateEnterAction, "Door.open, in an enter call, can neither postpone"),
        (Keep(7), BadActionFromStateFunction, "from Door.open: that is no action"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_a_bad_enter_call_says_so(enter, kind, says, first):
    """OTP {bad_state_enter_return_from_state_function, _}: on a change of state, and of the first state."""
    trap_exit(True)
    cls = type("Door", (Door,), {"enter": enter})
    pid = cls.start_link(NextState("open" if first else "locked"))
    cast(pid, lambda _kind: NextState("open"))
    reason = receive(1).reason
    assert reason.__class__ is kind
    assert says in repr(reason)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (17, "Door.init may return NextState(first state, ...), Ignore(), Stop(reason) or Fail(reason)"),
        (NextState, "want an object: NextState(...), with its parentheses"),
        (NextState("lokced"), "Door has no state 'lokced'; did you mean 'locked'? (states: locked, open)"),
        (NextState(3), "a state of Door is a string, the name of a method"),
    ],
)
def test_a_bad_first_state_says_so(first, says):
    with pytest.raises(StartError) as info:
        Door.start(first)
    assert says in str(info.value)


def test_a_state_that_is_not_there_names_those_that_are():
    """OTP: undef. A method that could not take an event is no state."""
    reason = end_of_call(Door, lambda _kind: NextState("ajar"))
    assert type(reason.exception) is UnknownState
    assert str(reason.exception).endswith("Door has no state 'ajar' (states: locked, open)")


def test_a_servers_stop_answers_the_call():
    """A GenServer's Stop is taken: its `reply` goes to the call being handled."""
    pid = Door.start()
    assert call(pid, ServerStop("normal", reply="bye")) == "bye"


def test_a_call_that_no_branch_answers_is_said_by_its_time_out(clock):
    """gen_statem: a call that is not answered waits for its time limit; the error says that the callee is idle."""
    tester = self_()
    pid = Door.start(None, name="door")

    def asks():
        with pytest.raises(CallTimeout) as info:
            call(pid, lambda _kind: None, 2.0)
        send(tester, (info.value.idle, str(info.value)))

    spawn(asks)
    settle()
    clock.advance(2.0)
    idle, text = receive(0)
    assert idle
    assert text.endswith("; the callee is idle: it took the request, and did not answer it")
    stop(pid)


def test_a_call_to_one_that_is_busy_says_nothing_of_the_kind(clock):
    """It has not looked at the request yet."""
    tester = self_()
    pid = Door.start(None, name="door")
    cast(pid, lambda _kind: receive_match(lambda m: m == "go on") and None)

    def asks():
        with pytest.raises(CallTimeout) as info:
            call(pid, "x", 2.0)
        send(tester, info.value.idle)

    spawn(asks)
    settle()
    clock.advance(2.0)
    assert receive(0) is False
    send(pid, "go on")
    stop(pid)


def test_the_child_spec_of_a_machine_can_be_overridden():
    """As GenServer.child_spec (Elixir): a class in a supervisor's list is asked for its spec."""

    class Once(Door):
        @classmethod
        def child_spec(cls, *args, **options):
            return super().child_spec(*args, **{"restart": "temporary", "name": "once", **options})

    class Tree(Supervisor):
        def init(self):
            return SupFlags(), [Once]

    sup = Tree.start_link()
    assert Once.child_spec().restart == "temporary"
    assert [child.id for child in which_children(sup)] == ["once"]
    stop(sup)
