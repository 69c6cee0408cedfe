"""A state machine as others see it: its state, fields and waiting events, as format_status shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from runtime import kernel
from runtime.kernel import Call, Process

from . import proc_lib, server_state
from .reports import CrashReport, Report, UnhandledMessage, emit, is_wanted
from .server_state import describe

if TYPE_CHECKING:
    from .state_machine import GenStateMachine
    from .state_machine_record import Engine, Event

__all__ = [
    "StateMachineReport", "UnhandledInfo", "fields", "report_failure", "report_unhandled", "set_fields",
    "shown_status",
]  # fmt: skip

STATE_SLOT: Final = "_machine_state"
"""Where a machine keeps its state: among its fields, but not one of its data."""

# --------------------------------------------------------------------------------------------------------- types


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMachineReport(Report):
    """A state machine ends by a failure: what it was doing. All that could hold a secret comes from format_status.

    Events are shown as (kind, content), a call's kind as "call".
    """

    label: ClassVar[str] = "state_machine"
    title: ClassVar[str] = "state machine terminating"

    name: Any
    pid: Any
    module: str
    reason: Any
    last_event: Any
    state: Any
    data: Any
    queue: Any
    """Events inserted or taken up again, not handled yet."""
    postponed: Any
    timeouts: Any
    callback_mode: str
    state_enter: bool
    client: Any = None
    """The pid of the caller whose request it was, if it was a call."""
    client_name: Any = None
    client_stack: str = ""
    """Where that caller waits, as text; empty when it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnhandledInfo(UnhandledMessage):
    """A state machine got a message that it does not handle in its state; it goes on."""

    label: ClassVar[str] = "state_machine"
    title: ClassVar[str] = "no state takes this message"

    state: Any


# ----------------------------------------------------------------------------------------------------------- API


def fields(machine: GenStateMachine) -> dict[str, Any]:
    """The data: the object's fields by name, a shallow copy."""
    found = server_state.fields(machine)  # type: ignore[arg-type]  # it takes any object
    found.pop(STATE_SLOT, None)
    return found


def set_fields(machine: GenStateMachine, new: Mapping[str, Any]) -> None:
    """Make `new` the machine's data: fields that it does not name go. If one cannot be set, nothing has changed."""
    state = machine._machine_state
    server_state.set_fields(machine, {**new, STATE_SLOT: state})  # type: ignore[arg-type]  # it takes any object


def shown_status(machine: GenStateMachine, **status: Any) -> Mapping[str, Any]:
    """Return `status` through the machine's format_status; if that fails, nothing of it is shown."""
    return server_state.shown_status(machine, **status)  # type: ignore[arg-type]  # it takes any object


def status_of(machine: GenStateMachine, engine: Engine) -> dict[str, Any]:
    """What get_status says of the machine."""
    shown = shown_status(
        machine, state=machine.state, data=fields(machine), postponed=_shown(engine.postponed),
        timeouts=tuple((due.kind, due.content) for due in engine.timers.values()),
    )  # fmt: skip
    return {
        "state": (shown["state"], shown["data"]),
        "hibernated": engine.hibernated,
        "held": len(engine.held or ()),
        "more": {
            "postponed": shown["postponed"],
            "timeouts": shown["timeouts"],
            "callback_mode": engine.mode,
            "state_enter": engine.enters,
        },
    }


def report_failure(
    machine: GenStateMachine, process: Process, engine: Engine, reason: Any, event: Event | None,
    timeouts: tuple[Any, ...],
) -> None:  # fmt: skip
    """Log the machine's report and its crash report; call it before the process dies."""
    if not (is_wanted(StateMachineReport) or is_wanted(CrashReport)):
        return
    client = event[0].process if event is not None and event[0].__class__ is Call else None
    shown = shown_status(
        machine, state=getattr(machine, STATE_SLOT, None), data=fields(machine), reason=reason,  # None: not yet in any
        event=_shown([event])[0] if event is not None else None, queue=_shown(engine.queue or ()),
        postponed=_shown(engine.postponed), timeouts=timeouts, messages=proc_lib.queued(process),
    )  # fmt: skip
    emit(
        StateMachineReport(
            name=process.name,
            pid=process,
            module=describe(machine),  # type: ignore[arg-type]  # it takes any object
            reason=shown["reason"],
            last_event=shown["event"],
            state=shown["state"],
            data=shown["data"],
            queue=shown["queue"],
            postponed=shown["postponed"],
            timeouts=shown["timeouts"],
            callback_mode=engine.mode,
            state_enter=engine.enters,
            client=client,
            client_name=client.name if client is not None else None,
            client_stack=server_state._stack(client),
        )
    )
    emit(proc_lib.crash_report(process, shown["reason"], messages=shown["messages"]))


def report_unhandled(machine: GenStateMachine, message: Any) -> None:
    """Log that the calling process, `machine`, got a message that it does not handle in its state."""
    if is_wanted(UnhandledInfo):
        me = kernel.self_()
        shown = shown_status(machine, message=message, state=machine.state)
        module = describe(machine)  # type: ignore[arg-type]  # it takes any object
        emit(
            UnhandledInfo(name=me.name, pid=me, module=module, message=shown["message"], state=shown["state"])
        )


# ----------------------------------------------------------------------------------------------------- internals


def _shown(events: Iterable[Event]) -> tuple[tuple[Any, Any], ...]:
    """Events as people read them."""
    return tuple(("call" if kind.__class__ is Call else kind, content) for kind, content, _ in events)
