"""What static and dynamic supervisors share: the process that serves requests and hears of ends.

A supervisor is a GenServer, so `sys`, `stop` and the parent's exit work on it as on any server. Its children live in
an engine of their own (`StaticChildren`, `DynamicChildren`), which knows nothing of messages; this process knows
nothing of strategies. Any exit of the parent ends it, also a normal one; one of a stranger is ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakSet

from runtime import kernel
from runtime.kernel import SHUTDOWN, Call, Exit, Pid, Process, Shutdown, fail, send, send_after
from runtime.otp.child_spec import SpecError
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply, Stop
from runtime.otp.reprieve import Reprieve
from runtime.otp.supervisor_errors import SupervisorError

__all__ = [
    "RESTARTING",
    "Ask",
    "ChildInfo",
    "Children",
    "Counts",
    "SupervisorServer",
    "TryAgain",
    "ask",
    "supervisors",
]

_log = logging.getLogger("evergreen.supervisor")

# ---------------------------------------------------------------- types

RESTARTING: Final = "restarting"
_NAME_TAKEN: Final = 0.2
"""Seconds until the next attempt at a child whose name, or whose own child's name, another process still has."""


class ChildInfo(NamedTuple):
    """One child in `which_children`: pid is None when it does not run, RESTARTING while its start is tried again."""

    id: Any
    pid: Any
    type: str
    modules: tuple[str, ...] | str


class Counts(NamedTuple):
    """`count_children`: specs known; processes alive; children by type, running or not."""

    specs: int
    active: int
    supervisors: int
    workers: int


class TryAgain:
    """A supervisor's message to itself: try once more to start this child (an id, or the pid it had).

    `reason`: why the last attempt failed. `is_free`: this one costs no restart of the budget.
    """

    __slots__ = ("is_free", "key", "reason")

    def __init__(self, key: Any, reason: Any = None, *, is_free: bool = False) -> None:
        self.key = key
        self.reason = reason
        self.is_free = is_free

    def send_to(self, supervisor: Pid) -> None:
        """Let the supervisor try in its next turn; where another has the child's name, a little later, for that one may be
        at its end: the child of a supervisor that was killed is. (OTP tries at once, and is soon out of restarts.)
        """
        if _is_name_taken(self.reason):
            send_after(_NAME_TAKEN, supervisor, self)
        else:
            send(supervisor, self)


class Ask:
    """A request to a supervisor: the engine's method by name, and its arguments."""

    __slots__ = ("arguments", "operation")

    def __init__(self, operation: str, *arguments: Any) -> None:
        self.operation = operation
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"{self.operation}{self.arguments!r}"


class Children(Protocol):
    """What the process needs of an engine, besides the operations that are asked for by name."""

    def exited(self, pid: Pid, reason: Any, /) -> bool:
        """A linked process ended. False: the supervisor must end, with reason shutdown."""

    def try_again(self, attempt: TryAgain, /) -> bool:
        """The next attempt at a child whose start failed. False: the supervisor must end."""

    def reprieved(self, reprieve: Reprieve, /) -> bool:
        """A reprieve is over: start what waited for it. False: nothing was mended, and the supervisor must end."""

    def stop_all(self) -> None:
        """Stop all children; the supervisor ends."""


class SupervisorServer(GenServer):
    """The process of every supervisor. A subclass's `init` calls `begin` and sets `children`."""

    kind: type
    """The public class that was started: what people look for in a report, rather than this one."""
    children: Any = None
    """The engine; None until init has come that far."""

    def begin(self, kind: type) -> Process:
        """Trap exits, and be known as a `kind`. Returns the own pid."""
        kernel.trap_exit(True)
        self.kind = kind
        # As proc_lib notes it for a plain process.
        kernel.put("$initial_call", f"{kind.__module__}:{kind.__qualname__}.init")
        me = kernel.self_()
        _supervisors.add(me)
        return me

    def handle_call(self, request: Any, sender: Call) -> Any:
        if request.__class__ is not Ask or request.operation not in _OPERATIONS:
            # Not a crash, as in OTP: one stray call must not take a tree down.
            fail(sender, ("bad_call", request))
            return NoReply()
        try:
            return getattr(self.children, request.operation)(*request.arguments)
        except (SupervisorError, SpecError) as error:
            error.__traceback__ = None
            return _Refused(error)

    def handle_info(self, message: Any) -> Any:
        kind = message.__class__
        if kind is Exit:
            if self.children.exited(message.sender, message.reason):
                return None
        elif kind is TryAgain:
            if self.children.try_again(message):
                return None
        elif kind is Reprieve:
            if self.children.reprieved(message):
                return None
        else:
            _log.error("supervisor %r: unexpected message %.500r", kernel.self_(), message)
            return None
        return Stop(SHUTDOWN)

    def handle_cast(self, request: Any) -> None:
        _log.error("supervisor %r: unexpected cast %.500r", kernel.self_(), request)

    def terminate(self, reason: Any) -> None:
        if self.children is not None:
            self.children.stop_all()

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        # Specs hold arguments, and those may hold secrets; the children's own reports tell what is needed.
        if "state" in status:
            status["state"] = {"children": repr(self.children)}
        return status

    def code_subjects(self) -> tuple[()]:
        """What a release of code may have to bring into form: nothing; flags and specs are asked for again instead."""
        return ()

    def system_status(self) -> dict[str, Any]:
        return {**super().system_status(), "module": f"{self.kind.__module__}:{self.kind.__qualname__}"}


# ---------------------------------------------------------------- for the API's functions


def ask(supervisor: Any, operation: str, *arguments: Any) -> Any:
    """Put a request to a supervisor; raise what it refuses. Blocks until it answers, however long a start takes.

    Exits: CallError, noproc if it is not alive, or the reason that it ends with meanwhile.
    """
    answer = kernel.call(supervisor, Ask(operation, *arguments), None)
    if answer.__class__ is _Refused:
        raise answer.error
    return answer


def supervisors() -> list[Process]:
    """Return all living supervisors of this node, the oldest first, without asking anybody. O(supervisors)."""
    return sorted((p for p in _supervisors if kernel.is_alive(p)), key=lambda p: p.number)


# ---------------------------------------------------------------- internals

_supervisors: WeakSet[Process] = WeakSet()
"""All there are: to be found without a look at every process."""
_OPERATIONS: Final = frozenset(
    {
        "start_child",
        "terminate_child",
        "restart_child",
        "delete_child",
        "get_childspec",
        "which_children",
        "count_children",
    }
)


class _Refused:
    """An answer that is raised where it was asked for."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def _is_name_taken(reason: Any) -> bool:
    while True:
        if isinstance(reason, Shutdown):
            reason = reason.term
        elif isinstance(reason, tuple) and reason[:1] == ("failed_to_start_child",):
            reason = reason[-1]
        else:
            return isinstance(reason, tuple) and reason[:1] == ("already_started",)
