"""Supervisors after a release: the flags and child specs of changed code take effect.

What a supervisor works by is what its class's `init` returned when it was started. When a release changes the module
that the class, or a base of it, is defined in, `init` is asked again, in the supervisor's own process, and the answer
merged: flags are replaced; a child whose id is still there keeps its process and gets the new spec, for its next start;
one whose id is gone runs on under its old spec until it is stopped; a new one is *not* started. That is OTP's
supervisor:code_change; what is new or gone is reported, for whoever made the release to start or stop.

This is done after the step, for a supervisor may be in the middle of starting a child, for as long as that takes: it is
not made to wait, nor waited for. One that is asked and fails keeps its flags and specs.

Source: OTP supervisor, code_change/3; supervisor_SUITE code_change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from runtime import kernel
from runtime.kernel import CallError, Crash, Process
from runtime.otp import sys
from runtime.otp.supervision import SupervisorServer

__all__ = ["Refreshed", "refresh"]

_SLICE = 1_000
"""Processes looked at between two pauses."""

# --------------------------------------------------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one supervisor."""

    pid: Process
    supervisor: str
    """Its class, as `module:Class`."""
    new: tuple[Any, ...] = ()
    """Ids of children that the new code names: known now, not started (`restart_child` does)."""
    gone: tuple[Any, ...] = ()
    """Ids of children that the new code does not name any more: they stay until they are stopped."""
    error: str | None = None
    """Why it keeps its flags and specs; None: it has the new ones."""

    def __str__(self) -> str:
        notes = [f"new, not started: {', '.join(map(repr, self.new))} ({self._how()})"] if self.new else []
        notes += [f"no longer named, still there: {', '.join(map(repr, self.gone))}"] if self.gone else []
        notes += [self.error] if self.error else []
        return f"{self.supervisor} {self.pid!r}: {'; '.join(notes) or 'flags and specs are those of the new code'}"

    def _how(self) -> str:
        """The command that starts the new children: to be pasted, so by the number, which no other process ever has."""
        calls = "; ".join(f"supervisor.restart_child(pid({self.pid.number}), {id!r})" for id in self.new)
        return f'to start: tools/shell -c "from runtime.otp import supervisor; {calls}"'


# ----------------------------------------------------------------------------------------------------------- API


def refresh(
    modules: Collection[str], timeout: float = 5.0, pause: Callable[[], None] = lambda: None
) -> list[Refreshed]:
    """Ask the supervisors whose classes are defined in `modules` for their flags and child specs again.

    `pause` is called now and then while they are looked for.
    Blocks the caller, a process or the main program, for at most `timeout` seconds. One that is still busy then is
    reported so, and takes the new ones as soon as it is not. Those that end meanwhile are left out.
    """
    found = []
    for number, process in enumerate(kernel.processes(), 1):
        behaviour = process.behaviour
        if isinstance(behaviour, SupervisorServer) and _is_concerned(behaviour, modules):
            found.append((process, behaviour))
        if not number % _SLICE:
            pause()
    if not found:
        return []
    try:
        kernel.self_()
    except kernel.NotAProcess:
        return kernel.run(_refresh, found, timeout)  # type: ignore[no-any-return]
    return _refresh(found, timeout)


# ----------------------------------------------------------------------------------------------------- internals


def _is_concerned(server: SupervisorServer, modules: Collection[str]) -> bool:
    kind = getattr(server, "kind", None)  # not there before its init, which then runs in the new code
    return kind is not None and any(base.__module__ in modules for base in kind.__mro__)


def _refresh(found: list[tuple[Process, SupervisorServer]], timeout: float) -> list[Refreshed]:
    here = kernel.alias()
    ref = kernel.make_ref()
    waiting = dict(found)
    # Each is asked by a process of its own, which goes on waiting for one that is busy when nobody else does.
    for process, server in found:
        kernel.spawn(_ask, here, ref, process, server)
    answers: dict[Process, Refreshed | None] = {}
    deadline = kernel.clock.now() + timeout
    while waiting:
        left = max(0.0, deadline - kernel.clock.now())
        message = kernel.receive_match(lambda m: type(m) is tuple and len(m) == 3 and m[0] is ref, left)
        if message is kernel.TIMEOUT:
            break
        _, process, answer = message
        answers[process] = answer
        del waiting[process]
    kernel.unalias(here)
    for process, server in waiting.items():
        answers[process] = Refreshed(
            process, _name(server), error="busy; it takes the new flags and specs when it has time"
        )
    return [answer for process, _ in found if (answer := answers[process]) is not None]


def _ask(dest: Any, ref: Any, process: Process, server: SupervisorServer) -> None:
    told: list[Any] = []

    def again(state: Any) -> Any:
        """Runs in the supervisor."""
        told.append(server.code_change(None, None))
        return state

    answer: Refreshed | None
    try:
        sys.replace_state(process, again, None)
        answer = (
            None if told[0] is None else Refreshed(process, _name(server), *told[0])
        )  # None: it has no init
    except CallError:
        answer = None  # it has ended
    except sys.CallbackFailed as failed:
        crash = failed.crash
        said = f"{crash.error}: {crash.message}" if isinstance(crash, Crash) else repr(crash)
        answer = Refreshed(
            process, _name(server), error=f"keeps its flags and specs: init failed with {said}"
        )
    kernel.send(dest, (ref, process, answer))


def _name(server: SupervisorServer) -> str:
    return f"{server.kind.__module__}:{server.kind.__qualname__}"
