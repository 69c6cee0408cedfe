"""Commands that act on processes: suspend, resume, replace_state, kill, restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime import kernel
from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.kernel import CALLING_SELF, KILL, TIMEOUT_REASON, CallError, Process
from runtime.observe import snapshot
from runtime.otp import dynamic_supervisor, supervisor, sys
from runtime.otp.dynamic_children import DynamicChildren
from runtime.otp.static_children import StaticChildren
from runtime.otp.supervision import RESTARTING, SupervisorServer, supervisors

__all__ = ["kill", "replace_state", "restart", "resume", "suspend"]

_VITAL = ("init", "node_services", "admin", "observers", "store", "janitor", "application_controller")
"""Without these there is no node: whoever ends one ends all, or the way in."""
_WAY_IN = ("init", "node_services", "application_controller", "admin", "admin_listeners", "shells")
"""While one of these is suspended, nothing is started, or nobody gets in."""

_WATCHING = ("alarms", "sysmon")
"""While one of these is suspended, nobody hears what is wrong. One that ends is started anew; nobody does so for one that stands still."""
_MISSED = ("shells", "sysmon")
"""Started anew when they end; but every shell ends with the one, and the subscriptions to the other."""
_NOT_HELD = frozenset({*_VITAL, *_WAY_IN, *_WATCHING})
_SYSTEM = ("server", "supervisor", "state machine")

# API


def suspend(who: Any, timeout: float = 5.0, *, sure: bool = False) -> None:
    """Hold a server, until `resume`.

    `suspend("alarm_sender")`.

    It takes nothing but system messages; its mailbox grows meanwhile. What the node, the way into it, or its alarms cannot be
    without is held only with `sure=True`; a shell that is attached already can resume it.
    """
    pid = here.process(who)
    here.seconds(timeout)
    if not sure and (pid.name in _NOT_HELD or _leads_up(pid)):
        raise CannotDo(
            f"while {pid!r} stands still, so does the node, or the way into it, or who watches it: "
            f"suspend({str(who)!r}, sure=True) if that is meant"
        )
    _ask(pid, sys.suspend, pid, timeout)


def resume(who: Any, timeout: float = 5.0) -> None:
    """Let a suspended server go on.

    `resume("alarm_sender")`.
    """
    pid = here.process(who)
    _ask(pid, sys.resume, pid, here.seconds(timeout))


def replace_state(who: Any, change: Callable[[Any], Any], timeout: float = 5.0) -> Any:
    """Replace a server's state by `change(state)`.

    `change` runs in that server; a GenServer's state is a dict of its fields.
    `replace_state("counter", lambda state: {**state, "count": 0})`. If it fails, nothing has changed.
    """
    pid = here.process(who)
    if not callable(change):
        raise CannotDo(f"a state is changed by a function, such as lambda state: state, not by {change!r}")
    try:
        return _ask(pid, sys.replace_state, pid, change, here.seconds(timeout))
    except sys.CallbackFailed as error:
        raise CannotDo(
            f"the state of {pid!r} is what it was, since the change failed: {error.crash!r}"
        ) from None


def kill(who: Any, reason: Any = KILL, *, sure: bool = False) -> str:
    """End a process.

    `kill("alarm_sender")`, `kill(<42@node>, "shutdown")`.

    At once (reason "kill"), or by an exit signal with another reason, which it may trap.

    Its supervisor starts it again if its restart type says so. What the node cannot be without is ended only with
    `sure=True`.
    """
    pid = here.process(who)
    if not sure and (pid.name in _VITAL or _leads_up(pid)):
        raise CannotDo(
            f"the node, or the way into it, ends with {pid!r}: kill({str(who)!r}, sure=True) if that is meant"
        )
    if not sure and pid.name in _MISSED:
        lost = "every shell" if pid.name == "shells" else "the watch over the node"
        raise CannotDo(f"{lost} ends with {pid!r}: kill({str(who)!r}, sure=True) if that is meant")
    told = repr(pid)
    kernel.exit(pid, reason)
    if not kernel.is_alive(pid):
        return f"{told} has ended"
    return f"{told} was sent {reason!r}, and lives"


def restart(who: Any, under: Any = None) -> str:
    """Stop a supervisor's child in order, and start it again; start one that does not run.

    `restart("alarm_sender")`, `restart("admin_keeper", under="observers")`.

    `who`: a process, or a child's id in its supervisor, which may have ended or never run; `under`: that supervisor, where
    several have such a child. By its spec: its `shutdown`, its start function. Blocks until both are done. Of a dynamic
    supervisor's children only permanent ones can be.
    """
    here.need_life()
    found = snapshot.find(who) if under is None else None
    if found is None:
        boss, child = _child(who, under)
        if child.pid is None:
            return f"{child.spec.id!r} was started under {boss!r}: {supervisor.restart_child(boss, child.spec.id)!r}"
        if child.pid is RESTARTING:
            raise CannotDo(f"{child.spec.id!r} is being restarted by {boss!r} at this moment")
        found = child.pid
    return _again(found)


def _again(pid: Process) -> str:
    boss = _supervisor_of(pid)
    if boss is None:
        raise CannotDo(f"{pid!r} is no supervisor's child: nobody would start it again")
    told = repr(pid)
    behaviour: Any = boss.behaviour
    if isinstance(behaviour.children, DynamicChildren):
        spec = dynamic_supervisor.get_childspec(boss, pid)
        if spec.restart != "permanent":
            raise CannotDo(
                f"{told} is {spec.restart}, under {boss!r}: it would not be started again; kill() ends it"
            )
        kernel.exit(pid, KILL)
        return f"{told} was ended; {boss!r} starts it again"
    for child in supervisor.which_children(boss):
        if child.pid is pid:
            supervisor.terminate_child(boss, child.id)
            started = supervisor.restart_child(boss, child.id)
            return f"{told} was stopped; in its place runs {started!r}"
    raise CannotDo(f"{told} has just ended")


# Internals


def _child(id_: Any, under: Any) -> tuple[Process, Any]:
    """The supervisor and its record of the child that it knows by that id. Raises CannotDo unless there is just one."""
    within = here.process(under) if under is not None else None
    found = []
    for boss in supervisors():
        engine: Any = getattr(boss.behaviour, "children", None)
        if isinstance(engine, StaticChildren) and within in (None, boss):
            found += [
                (boss, child) for child in list(engine.by_id.values()) if str(id_) == str(child.spec.id)
            ]
    if not found:
        where = f"{within!r} has no child" if within is not None else "no supervisor has a child"
        raise CannotDo(f"there is no living process {id_!r}, and {where} of that id: tree() shows them")
    if len(found) > 1:
        bosses = ", ".join(repr(boss) for boss, _ in found[:20])
        raise CannotDo(
            f"several supervisors have a child {id_!r}: {bosses}; restart({id_!r}, under=...) takes one"
        )
    return found[0]


def _ask(pid: Process, operation: Callable[..., Any], *args: Any) -> Any:
    """Ask in a system message; what takes none is said to."""
    try:
        return operation(*args)
    except CallError as error:
        row = snapshot.row(pid)
        if row is None:
            raise CannotDo(f"{pid!r} has ended") from None
        if error.reason == CALLING_SELF:
            raise CannotDo("that is this shell's own process: it cannot answer itself") from None
        if error.reason != TIMEOUT_REASON:
            raise
        raise CannotDo(
            f"{pid!r} does not answer: it is a {row.type}, in {row.current}"
            + ("" if row.type in _SYSTEM else ", and takes no system messages")
        ) from None


def _supervisor_of(pid: Process) -> Process | None:
    """The supervisor that has `pid` as a child."""
    for boss in kernel.process_info(pid, "links")["links"]:  # type: ignore[index]  # it lives, or just did
        behaviour = getattr(boss, "behaviour", None)
        if isinstance(behaviour, SupervisorServer) and boss.number < pid.number:
            known = supervisor.which_children(boss)
            if any(child.pid is pid for child in known):
                return boss  # type: ignore[no-any-return]
    return None


def _leads_up(pid: Process) -> bool:
    """Tell whether `pid` is the top of an application: the node ends with a permanent one."""
    return any(row.pid == repr(pid) for row in snapshot.applications())
