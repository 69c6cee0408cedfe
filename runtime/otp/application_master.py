"""The master of one application: the parent of its tree, and the only process that calls its callbacks.

It always ends with `Shutdown(Outcome(reason))`: how the application ended is the controller's to judge, and
no failure of the master.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from runtime.config import Config
from runtime.kernel import (
    KILL,
    KILLED,
    NORMAL,
    Crash,
    Exit,
    Killed,
    Pid,
    Process,
    ProcessExit,
    Shutdown,
    clock,
    exit,
    is_alive,
    link,
    processes,
    receive,
    same_reason,
    self_,
    send,
    set_label,
    trap_exit,
    yield_,
)
from runtime.otp.application_behaviour import Application
from runtime.otp.child_process import stop_process
from runtime.otp.child_spec import INFINITY
from runtime.otp.outcome import StartError

__all__ = ["Leave", "Outcome", "Started", "Top", "kill_all", "run_master", "started_by"]

_log = logging.getLogger("evergreen.application")

# Types


class Started(NamedTuple):
    """Master to controller: `start` and all phases are done."""

    name: str
    top: Pid


class Top(NamedTuple):
    """Master to controller: the tree that must be ended when the master has to be killed."""

    name: str
    top: Pid


class Leave(NamedTuple):
    """Controller to master: stop the application, before `deadline`."""

    deadline: float | None


class Outcome(NamedTuple):
    """How the application ended, inside the master's exit reason."""

    reason: Any


# API


def run_master(controller: Pid, app: Application, config: Config) -> NoReturn:
    """Start the application, tell the controller, and stay until it has ended. The body of the master process."""
    trap_exit(True)
    set_label(f"application {app.name}")
    top, state = _start_tree(controller, app, config)
    send(controller, Started(app.name, top))
    while True:
        message = receive()
        if type(message) is Leave:
            _leave(app, top, state, message.deadline)
            raise _end(NORMAL)
        if type(message) is Exit and message.sender is top:
            _guard(app, "stop", app.stop, state)
            raise _end(message.reason)
        if type(message) is Exit and message.sender is controller:
            _leave(app, top, state, None)
            raise _end(message.reason)


def started_by(*roots: Pid) -> list[Process]:
    """Return the living processes that `roots` started, that these started, and so on, oldest first. O(all processes).

    Those of a process that has ended before are not found.
    """
    below = {root.number for root in roots}
    found = []
    for process in processes():  # oldest first: a parent comes before its children
        if process.parent in below:
            below.add(process.number)
            found.append(process)
    return found


def kill_all(found: list[Process]) -> None:
    """Kill what is left of an application: the newest first, so that nobody hears of a parent's end and begins to tidy up."""
    for process in reversed(found):
        exit(process, KILL)


# Internals


def _end(reason: Any) -> ProcessExit:
    return ProcessExit(Shutdown(Outcome(reason)))


def _start_tree(controller: Pid, app: Application, config: Config) -> tuple[Pid, Any]:
    top: Pid | None = None
    state: Any = None
    try:
        result: Any = app.start("normal", config)
        found, state = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        if not isinstance(found, Process):
            raise ProcessExit(("bad_return_value", result))
        top = found
        link(top)  # it is, after a start_link; one started without could end and nobody would notice
        send(controller, Top(app.name, top))
        for phase, args in app.start_phases:
            app.start_phase(phase, "normal", args)
    except Killed:
        raise
    except (StartError, ProcessExit) as error:
        reason = error.reason
    except Exception as error:  # noqa: BLE001 - however it fails, the controller hears why
        reason = Crash(error)
    else:
        return top, state
    if top is not None:
        stop_process(top, INFINITY)
        _guard(app, "stop", app.stop, state)
    raise _end(reason)


def _leave(app: Application, top: Pid, state: Any, deadline: float | None) -> None:
    state = _guard(app, "prep_stop", app.prep_stop, state)
    rest: list[Process] = []
    if is_alive(top):
        left = INFINITY if deadline is None else max(0.0, deadline - clock.now())
        if same_reason(stop_process(top, left), KILLED):
            _log.error("application %s: its supervisor did not stop in time and was killed", app.name)
            rest = started_by(top, self_())
    _guard(app, "stop", app.stop, state)
    if rest:
        yield_()  # one turn for those who end in order now, having heard of the kill; whoever waits by then may for ever
        kill_all(rest)


def _guard(app: Application, what: str, callback: Callable[[Any], Any], state: Any) -> Any:
    """Call back; a callback that fails is reported and holds nothing up."""
    try:
        return callback(state)
    except Killed:
        raise
    except (Exception, ProcessExit):  # noqa: BLE001 - a stop goes on
        _log.exception("application %s: %s failed", app.name, what)
        return state
