"""What is wrong with what a state machine's callback gave back, and what to write instead.

An exit reason has one field, the bad value, and a note beside it, which says to a person which callback it was and what
that may return. The note is no part of the reason: as with `outcome.BadReturnValue`, two with the same value are equal.

Source: OTP gen_statem's bad_return_from_state_function, bad_action_from_state_function and so on.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from runtime.kernel import Call

from . import outcome
from .reports import format_term
from .state_machine_actions import ACTIONS, RESULTS, EventKind, NextState, Reply

if TYPE_CHECKING:
    from .state_machine import GenStateMachine

__all__ = [
    "BadActionFromStateFunction", "BadReplyAction", "BadReturnFromStateFunction", "BadStateEnterAction",
    "BadStateEnterReturn", "UnhandledEvent", "UnknownState", "bad_action", "bad_enter_action", "bad_enter_return",
    "bad_first_return", "bad_reply", "bad_return", "bad_state",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class BadReturnFromStateFunction(outcome.BadReturnValue):
    """Exit reason: a callback returned `value`, which is no result, or goes to what can be no state."""


class BadStateEnterReturn(outcome.BadReturnValue):
    """Exit reason: an enter call returned `value`: a change of state, or no result."""


class _Action(NamedTuple):
    action: Any


class _BadAction(_Action):
    _note: str

    def __new__(cls, action: Any, note: str = "") -> Self:
        self = super().__new__(cls, action)
        self._note = note
        return self

    def __repr__(self) -> str:
        return format_term(self)


class BadActionFromStateFunction(_BadAction):
    """Exit reason: a result has an `action` that is none."""


class BadReplyAction(_BadAction):
    """Exit reason: a Stop has something among its replies that is no Reply to a Call."""


class BadStateEnterAction(_BadAction):
    """Exit reason: an enter call asked for an `action` it may not: to postpone, or to insert an event."""


class UnknownState(outcome.Undefined):
    """The machine was to enter a state that its class has no method for."""

    def __init__(self, machine: GenStateMachine, state: str) -> None:
        known = _states(machine)
        near = difflib.get_close_matches(state, known, 1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        NotImplementedError.__init__(
            self,
            f"{_name(machine, full=True)} has no state {state!r}{guess} (states: {', '.join(known) or 'none'})",
        )


class UnhandledEvent(NotImplementedError):
    """An event came that the machine does not handle in its state, and no mere message (OTP: function_clause)."""

    def __init__(self, machine: GenStateMachine, kind: EventKind) -> None:
        word = "call" if isinstance(kind, Call) else kind if isinstance(kind, str) else kind[0]
        super().__init__(f"{_name(machine, full=True)} handles no such {word} event in its state")
        self.kind = word


# ------------------------------------------------------------------------------------------------ API: for the engine
# `callback` is the name of the method that gave the bad thing back.


def bad_first_return(machine: GenStateMachine, value: Any) -> outcome.BadReturnValue:
    may = "NextState(first state, ...), Ignore(), Stop(reason) or Fail(reason)"
    return outcome.BadReturnValue(value, f"{_name(machine)}.init may return {may}{_parentheses(value)}")


def bad_return(machine: GenStateMachine, callback: str, value: Any) -> BadReturnFromStateFunction:
    may = "None, Keep(...), NextState(state, ...), Repeat(...) or Stop(reason, ...)"
    return BadReturnFromStateFunction(value, f"{_name(machine)}.{callback} may return {may}{_hint(value)}")


def bad_state(machine: GenStateMachine, state: Any, *, by_name: bool) -> BadReturnFromStateFunction:
    """What is no string, where states are methods; or not hashable."""
    want = "a string, the name of a method" if by_name else "a hashable value"
    return BadReturnFromStateFunction(NextState(state), f"a state of {_name(machine)} is {want}")


def bad_enter_return(machine: GenStateMachine, callback: str, value: Any) -> BadStateEnterReturn:
    may = "None, Keep(...), Repeat(...) or Stop(reason, ...)"
    hint = "" if value.__class__ is NextState else _hint(value)
    return BadStateEnterReturn(
        value, f"{_name(machine)}.{callback}, in an enter call, may return {may}{hint}"
    )


def bad_action(machine: GenStateMachine, callback: str, action: Any) -> BadActionFromStateFunction:
    if action.__class__ is Reply:
        why = "Reply(call, value) takes an open call: the kind of the event, or one kept from before"
    else:
        why = f"that is no action{_hint(action)}"
    return BadActionFromStateFunction(action, f"from {_name(machine)}.{callback}: {why}")


def bad_enter_action(machine: GenStateMachine, callback: str, action: Any) -> BadStateEnterAction:
    note = f"{_name(machine)}.{callback}, in an enter call, can neither postpone nor insert events"
    return BadStateEnterAction(action, note)


def bad_reply(machine: GenStateMachine, callback: str, action: Any) -> BadReplyAction:
    note = f"from {_name(machine)}.{callback}: Stop(reason, *replies) takes Reply(call, value), the call an open one"
    return BadReplyAction(action, note + ("" if action.__class__ is Reply else _hint(action)))


# ----------------------------------------------------------------------------------------------------- internals

_OF_SERVERS: Final[dict[Any, str]] = {
    outcome.Reply: "here it is runtime.otp.state_machine's Reply(call, value), inside a result: Keep(Reply(kind, value))",
    outcome.NoReply: "here it is None or Keep(...)",
    outcome.Stop: "here it is Stop(reason, *replies) of runtime.otp.state_machine",
}


def _name(machine: GenStateMachine, *, full: bool = False) -> str:
    kind = type(machine)
    return f"{kind.__module__}.{kind.__qualname__}" if full else kind.__qualname__


def _hint(bad: Any) -> str:
    """Say what to write instead of something that is no result, or no action, if that can be guessed."""
    if isinstance(bad, type):
        return _parentheses(bad)
    kind = type(bad)
    if kind in _OF_SERVERS:
        return f"; {kind.__name__} is a GenServer's: {_OF_SERVERS[kind]}"
    if kind in ACTIONS:
        return f"; {kind.__name__} is an action, which goes into a result: Keep({kind.__name__}(...))"
    if kind in RESULTS:
        return f"; {kind.__name__} is a result, and no action: return it by itself"
    return ""


def _parentheses(bad: Any) -> str:
    return f"; want an object: {bad.__name__}(...), with its parentheses" if isinstance(bad, type) else ""


def _states(machine: GenStateMachine) -> list[str]:
    """The methods that can handle the events of a state, as far as their arguments tell."""
    found = []
    for name in dir(type(machine)):
        method = getattr(type(machine), name, None)
        if name.startswith("_") or name in machine._reserved or not inspect.isfunction(method):
            continue
        try:
            inspect.signature(method).bind(machine, "cast", None)
        except TypeError:
            continue
        found.append(name)
    return found
