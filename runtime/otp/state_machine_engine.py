"""The engine of GenStateMachine: everything that says in which order a state machine's events happen lives here.

Theory of operation
-------------------
An event is a kind and a content. What comes from the mailbox is one event; handling it may leave more, which are all
handled before the mailbox is looked at again. After each event:

    1. the actions of the result are gone through in order; replies go out at once, the others are collected;
    2. the state is changed; the enter call, if the machine has them and this was a change or a Repeat, may add actions;
    3. a postponed event goes to the end of `postponed`; on a change of state all of these, oldest first, go to the front
       of `queue`, and the state time-out is cancelled;
    4. time-outs are started, replaced, cancelled, updated; those of 0 seconds go to `zero`;
    5. inserted events go to the front of `queue`, so before the postponed ones;
    6. the next event is the first of `queue`, else the first of `zero`, else one from the mailbox. Any event cancels the
       event time-out, also one that waits in `zero`.

Invariants
    between two messages `queue` and `zero` are None.
    timers[kind] is the only time-out of its kind; one that has fired but is not there any more was overtaken.
    `unusual` is set  <=>  a message has to be looked at before it may be handled: at the start, while suspended,
                           hibernated, debugged, or with an event time-out running.

Source: OTP gen_statem (loop_state_transition and what follows it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from runtime import kernel
from runtime.kernel import (
    INTERPRETER_EXITS,
    NORMAL,
    Call,
    Cast,
    Crash,
    Exit,
    Process,
    ProcessExit,
    is_failure,
    reply,
)  # fmt: skip

from . import outcome, proc_lib
from .outcome import UNSET, Fail, Ignore
from .proc_lib import Acknowledged, Failed
from .state_machine_actions import (
    CAST,
    ENTER,
    EVENT_TIMEOUT,
    INFO,
    INTERNAL,
    STATE_TIMEOUT,
    TIMEOUTS,
    Hibernate,
    Keep,
    NextEvent,
    NextState,
    Postpone,
    Repeat,
    Reply,
)  # fmt: skip
from .state_machine_errors import (
    UnknownState,
    bad_action,
    bad_enter_action,
    bad_enter_return,
    bad_first_return,
    bad_reply,
    bad_return,
    bad_state,
)  # fmt: skip
from .state_machine_record import Due, Engine, Event, Inner, Postponed
from .state_machine_report import report_failure
from .sys import SystemRequest, serve

if TYPE_CHECKING:
    from .state_machine import GenStateMachine

__all__ = [
    "admit", "begin", "check_state", "enter_first", "failed", "finish", "go_on", "special", "system",
]  # fmt: skip

BATCH = 64
"""Events of its own that a machine may handle before other processes get their turn."""
_FIRST: Event = (INTERNAL, "init", False)
"""What is being handled while init's actions are carried out."""
_FIRST_ENTER: Event = (INTERNAL, "init", False)
"""The same, in the first state's enter call."""

# --------------------------------------------------------------------------------------------------------- types


class _Plan:
    """What the actions of one event, and of the enter calls after it, add up to."""

    __slots__ = ("hibernate", "inserted", "postpone", "timeouts")

    def __init__(self) -> None:
        self.postpone = False
        self.hibernate = False
        self.inserted: list[Event] = []
        self.timeouts: dict[Any, Any] = {}


class _Ended(ProcessExit):
    """The end of a machine, its terminate and its reports done: passes through the callbacks' stack untouched."""


# ------------------------------------------------------------------------------------------- API: for GenStateMachine


def begin(machine: GenStateMachine, process: Process, engine: Engine, call: Call) -> None:
    """The first message: run init, tell the starter, and enter the first state."""
    args = engine.start
    assert args is not None
    engine.start = None
    engine.refresh()
    result: Any = None
    try:
        result = machine.init(*args)
        if result.__class__ is NextState:
            engine.look_up_mode(type(machine))
            check_state(machine, engine, result.state)
            machine._machine_state = result.state
    except BaseException as error:
        if isinstance(error, INTERPRETER_EXITS):
            raise
        reason = error.reason if isinstance(error, ProcessExit) else Crash(error)
        proc_lib.report_crash(process, reason)
        raise _Ended(reason) from None
    kind = result.__class__
    if kind is NextState:
        reply(call, Acknowledged())
        enter_first(machine, process, engine, result)
        return
    if kind is Ignore or kind is Fail:
        reply(call, Failed(result if kind is Ignore else result.reason))
        raise _Ended(NORMAL)
    reason = result.reason if isinstance(result, outcome.Stop) else bad_first_return(machine, result)
    proc_lib.report_crash(process, reason)
    raise _Ended(reason)


def enter_first(machine: GenStateMachine, process: Process, engine: Engine, first: NextState) -> None:
    """Make the first enter call and do the first actions. `first.state` is in force already."""
    engine.current = _FIRST
    plan = _collect(machine, process, engine, None, first.actions, first.state)
    if engine.enters:
        plan = _enter(machine, process, engine, plan, machine._machine_state)
    _settle(process, engine, None, plan, changed=False)
    _work_off(machine, process, engine)


def admit(machine: GenStateMachine, process: Process, engine: Engine, message: Any) -> bool:
    """A message for a machine in some special condition. Return whether it is to be handled as usual."""
    if engine.start is not None:
        begin(machine, process, engine, message)
        return False
    debug = engine.debug
    if debug is not None and debug.inside:  # admitted already, and on its way through the debug options
        return True
    if isinstance(message, Call) and message.request.__class__ is SystemRequest:
        return True
    if engine.suspended:
        if message.__class__ is Exit and _is_parent(engine, process, message.sender):
            return True
        if engine.held is None:
            engine.held = deque()
        engine.held.append(message)
        kernel.kept(process, len(engine.held))
        return False
    due = engine.timers.get(EVENT_TIMEOUT)
    if message.__class__ is Call and message.process is None:  # skipped: no event, so it cancels nothing
        return False
    if message.__class__ is Due:
        if engine.timers.get(message.kind) is not message:
            return False  # overtaken
        if due is message:
            due = None
    if due is not None:
        engine.cancel(EVENT_TIMEOUT)
    engine.hibernated = False
    engine.refresh()
    if debug is not None:
        debug.run(machine, process, message, message.content if message.__class__ is Due else message)
        return False
    return True


def special(
    machine: GenStateMachine, process: Process, engine: Engine, message: Any
) -> tuple[Any, Any] | None:
    """Make an event of a time-out's or an Exit message; None: it is overtaken. The parent's Exit ends the machine."""
    if message.__class__ is Due:
        if engine.timers.get(message.kind) is not message:
            return None
        del engine.timers[message.kind]
        engine.refresh()
        return message.kind, message.content
    if _is_parent(engine, process, message.sender):
        finish(machine, process, engine, message.reason, (INFO, message, False))
    return INFO, message


def go_on(
    machine: GenStateMachine, process: Process, engine: Engine, kind: Any, content: Any, result: Any
) -> None:
    """Carry out the result of the event that came as a message, and then handle all events that this leaves."""
    engine.current = event = (kind, content, False)
    _transition(machine, process, engine, event, result)
    _work_off(machine, process, engine)


def failed(
    machine: GenStateMachine, process: Process, engine: Engine, message: Any, error: BaseException
) -> NoReturn:
    """A callback raised: turn it into an end with terminate and reports."""
    if isinstance(error, (*INTERPRETER_EXITS, _Ended)):
        raise error  # dead already, done already, or the interpreter's own business
    reason = error.reason if isinstance(error, ProcessExit) else Crash(error)
    finish(machine, process, engine, reason, engine.current or _event(message))


def finish(
    machine: GenStateMachine, process: Process, engine: Engine, reason: Any, event: Event | None = None
) -> NoReturn:
    """Run terminate, report, exit: in this order."""
    timeouts = tuple((due.kind, due.content) for due in engine.timers.values())
    engine.on_exit()
    try:
        machine.terminate(reason)
    except INTERPRETER_EXITS:
        raise
    except ProcessExit as exit_:
        reason = exit_.reason
    except BaseException as error:  # noqa: BLE001 - a failing terminate gives the exit its reason
        reason = Crash(error)
    if is_failure(reason):
        report_failure(machine, process, engine, reason, event, timeouts)
    raise _Ended(reason) from None


def system(machine: GenStateMachine, process: Process, engine: Engine, call: Call) -> None:
    """Serve a system message; on resume, what was held back is the oldest mail again."""
    was = engine.suspended
    now = serve(call, machine, process, suspended=was)
    if now == was:
        return
    engine.suspended = now
    engine.refresh()
    if now:
        return
    held, engine.held = engine.held, None
    if held:
        kernel.put_back(process, held)


def check_state(machine: GenStateMachine, engine: Engine, state: Any) -> None:
    """Raise, with what is to be the exit reason, if `state` can be no state of this machine."""
    if engine.by_name and isinstance(state, str):
        if state in machine._reserved:
            raise ValueError(f"{state!r} can be no state with a method: GenStateMachine itself has that name")
        if not callable(getattr(type(machine), state, None)):
            raise UnknownState(machine, state)
        return
    if not engine.by_name:
        try:
            hash(state)
        except TypeError:
            pass
        else:
            return
    raise ProcessExit(bad_state(machine, state, by_name=engine.by_name))


# ----------------------------------------------------------------------------------------------------- internals


def _event(message: Any) -> Event | None:
    """The event that a message of the mailbox is."""
    kind = message.__class__
    if kind is Call:
        return message, message.request, False
    if kind is Cast:
        return CAST, message.request, False
    if kind is Due:
        return message.kind, message.content, False
    return None if message is None else (INFO, message, False)


def _word(kind: Any) -> Any:
    """A kind of event as people read it."""
    return "call" if kind.__class__ is Call else kind


def _ask(machine: GenStateMachine, engine: Engine, kind: Any, content: Any) -> Any:
    """Call the callback of the present state. (GenStateMachine.on_message has the same, written out.)"""
    state = machine._machine_state
    if engine.by_name:
        return getattr(machine.__class__, state)(machine, kind, content)
    return machine.handle_event(kind, content, state)


def _work_off(machine: GenStateMachine, process: Process, engine: Engine) -> None:
    """Handle the events that wait inside the machine, until there are none."""
    count = 0
    while True:
        if engine.queue:
            event = engine.queue.popleft()
        elif engine.zero:
            due = engine.zero.popleft()
            del engine.timers[due.kind]
            event = (due.kind, due.content, False)
        else:
            break
        kind, content, skip = event
        if skip and kind.process is None:
            continue  # its caller has gone: do not do the work
        engine.current = event
        if engine.debug is not None:
            engine.debug.event(machine, process, Inner(_word(kind), content))
        if EVENT_TIMEOUT in engine.timers:
            engine.cancel(EVENT_TIMEOUT)
        engine.hibernated = False
        result = _ask(machine, engine, kind, content)
        if result is not None:
            _transition(machine, process, engine, event, result)
        count += 1
        if not count % BATCH:
            kernel.yield_()
    engine.queue = engine.zero = engine.current = None
    engine.refresh()


def _transition(
    machine: GenStateMachine, process: Process, engine: Engine, event: Event, result: Any
) -> None:
    """Carry out what the callback returned for `event`."""
    old = machine._machine_state
    changed = enter = False
    sort = result.__class__
    if sort is NextState:
        new = result.state
        if not (new is old or new == old):
            check_state(machine, engine, new)
            machine._machine_state = new
            changed = enter = True
    elif sort is Repeat:
        enter = True
    elif sort is not Keep:
        _stop_or_bad(machine, process, engine, event, result)
    plan = _collect(machine, process, engine, None, result.actions, old)
    if enter and engine.enters:
        plan = _enter(machine, process, engine, plan, old)
    if engine.debug is not None and plan is not None and plan.postpone:
        engine.debug.event(machine, process, Postponed(_word(event[0]), event[1]))
    if changed or plan is not None:
        _settle(process, engine, event, plan, changed=changed)


def _enter(
    machine: GenStateMachine, process: Process, engine: Engine, plan: _Plan | None, old: Any
) -> _Plan | None:
    """Make the enter call of the present state, again for as long as it wants to be repeated."""
    count = 0
    state = machine._machine_state
    if engine.current is _FIRST:
        engine.current = _FIRST_ENTER
    while True:
        result = _ask(machine, engine, ENTER, old)
        if result is None:
            return plan
        sort = result.__class__
        if sort is NextState:
            if not (result.state is state or result.state == state):
                bad = bad_enter_return(machine, _callback(engine, state), result)
                finish(machine, process, engine, bad, engine.current)
        elif sort is not Keep and sort is not Repeat:
            _stop_or_bad(machine, process, engine, engine.current, result, entering=True)
        plan = _collect(machine, process, engine, plan, result.actions, state, entering=True)
        if sort is not Repeat:
            return plan
        count += 1
        if not count % BATCH:
            kernel.yield_()


def _collect(
    machine: GenStateMachine, process: Process, engine: Engine, plan: _Plan | None, actions: Iterable[Any],
    state: Any, *, entering: bool = False,
) -> _Plan | None:  # fmt: skip
    """Go through actions: send the replies, note the rest in the plan, which is made when it is needed.

    `state`: the one whose callback returned them, which is not the present one after a change.
    """
    for action in actions:
        sort = action.__class__
        if sort is Reply:
            if action.call.__class__ is not Call:
                bad: Any = bad_action(machine, _callback(engine, state), action)
                finish(machine, process, engine, bad, engine.current)
            reply(action.call, action.value)
            continue
        if plan is None:
            plan = _Plan()
        if sort in TIMEOUTS:
            plan.timeouts.pop(action.kind, None)  # the last of a kind counts, and its place
            plan.timeouts[action.kind] = action
        elif sort is Hibernate:
            plan.hibernate = action.flag
        elif sort is Postpone:
            if entering and action.flag:
                bad = bad_enter_action(machine, _callback(engine, state), action)
                finish(machine, process, engine, bad, engine.current)
            plan.postpone = action.flag
        elif sort is NextEvent:
            if entering:
                bad = bad_enter_action(machine, _callback(engine, state), action)
                finish(machine, process, engine, bad, engine.current)
            plan.inserted.append((action.kind, action.content, False))
        else:
            bad = bad_action(machine, _callback(engine, state), action)
            finish(machine, process, engine, bad, engine.current)
    return plan


def _settle(
    process: Process, engine: Engine, event: Event | None, plan: _Plan | None, *, changed: bool
) -> None:
    """Steps 3 to 5 of the theory of operation."""
    if plan is not None and plan.postpone and event is not None:
        kind, content, _ = event
        # One that is answered already comes again nevertheless, as in OTP: who postpones it has more to do.
        engine.postponed.append((kind, content, kind.__class__ is Call and kind.process is not None))
    if changed:
        if engine.postponed:
            _put_first(engine, engine.postponed)
            engine.postponed.clear()
        engine.cancel(STATE_TIMEOUT)
    if plan is None:
        return
    for action in plan.timeouts.values():
        _set_timeout(process, engine, action)
    if plan.inserted:
        _put_first(engine, plan.inserted)
    engine.hibernated = plan.hibernate


def _put_first(engine: Engine, events: list[Event]) -> None:
    """Put events in front of those that wait, in their order."""
    if engine.queue:
        engine.queue.extendleft(reversed(events))
    else:
        engine.queue = deque(events)


def _set_timeout(process: Process, engine: Engine, action: Any) -> None:
    kind, seconds = action.kind, action.seconds
    if seconds == "update" and kind in engine.timers:
        engine.timers[kind].content = action.content
        return
    engine.cancel(kind)
    if seconds is None:
        return
    engine.timers[kind] = due = Due(kind, action.content)
    if seconds == "update" or (seconds == 0 and not action.absolute):
        if engine.zero is None:
            engine.zero = deque()
        engine.zero.append(due)
        return
    if action.absolute:
        seconds -= kernel.clock.now()
    if seconds <= 0:
        kernel.send(process, due)
    else:
        due.handle = kernel.clock.after(seconds, kernel.send, process, due)


def _stop_or_bad(
    machine: GenStateMachine, process: Process, engine: Engine, event: Event | None, result: Any, *,
    entering: bool = False,
) -> NoReturn:  # fmt: skip
    callback = _callback(engine, machine._machine_state)
    if not isinstance(result, outcome.Stop):
        bad = bad_enter_return if entering else bad_return
        finish(machine, process, engine, bad(machine, callback, result), event)
    for action in getattr(result, "replies", ()):
        if action.__class__ is not Reply or action.call.__class__ is not Call:
            finish(machine, process, engine, bad_reply(machine, callback, action), event)
        reply(action.call, action.value)
    if result.reply is not UNSET and event is not None and event[0].__class__ is Call:
        reply(event[0], result.reply)
    finish(machine, process, engine, result.reason, event)


def _callback(engine: Engine, state: Any) -> str:
    """The name of the callback that has just returned; `state` is the one that the machine was in."""
    if engine.current is _FIRST:
        return "init"
    return state if engine.by_name else "handle_event"


def _is_parent(engine: Engine, process: Process, sender: Any) -> bool:
    return engine.linked and sender.__class__ is Process and sender.number == process.parent
