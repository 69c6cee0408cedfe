"""DynamicSupervisor: a supervisor of many children that come and go, each with its own spec.

    users = DynamicSupervisor.start_link(max_children=100_000, name="users")
    pid = start_child(users, User.child_spec(name, restart="temporary"))

It starts with no children. They are known by pid (ids are ignored), stand for themselves (one_for_one), and stop all at
once when the supervisor ends, with one timer per distinct shutdown time: stopping 100,000 takes as long as the slowest.

Scaling: starting a child blocks the supervisor until the child's init is done; keep inits short (put the rest into
handle_continue) or use several supervisors. A running temporary child costs one dictionary entry here.

Source: Elixir DynamicSupervisor; OTP supervisor, simple_one_for_one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from runtime.kernel import NORMAL, Name, Process
from runtime.otp import proc_lib
from runtime.otp.child_spec import BadFlags, ChildSpec, Restart, Shutdown, SupFlags, class_spec, to_spec
from runtime.otp.dynamic_children import DynamicChildren
from runtime.otp.outcome import MayBeNone
from runtime.otp.supervision import ChildInfo, Counts, SupervisorServer, ask
from runtime.otp.supervisor_errors import MaxChildren, NotFound, StartChildError

__all__ = [
    "DynamicSupervisor",
    "MaxChildren",
    "NotFound",
    "StartChildError",
    "count_children",
    "get_childspec",
    "start_child",
    "stop",
    "terminate_child",
    "which_children",
]

# ---------------------------------------------------------------- types


class DynamicSupervisor:
    """Starts the process; the functions of this module talk to it."""

    _child_type: Final = "supervisor"

    @classmethod
    def start_link(
        cls,
        *,
        max_children: int | None = None,
        intensity: int = 3,
        period: float = 5.0,
        extra_arguments: Iterable[Any] = (),
        name: Name | None = None,
    ) -> Process:
        """Start a supervisor linked to the caller, its parent.

        `max_children`: no more than these at a time, those being restarted included (None: without limit).
        `extra_arguments` come before the arguments of each child's own spec. `period` is seconds.

        Raises: BadFlags, before there is a process; AlreadyStarted (`.pid`).
        """
        flags = SupFlags("one_for_one", intensity, period)
        if max_children is not None and (
            not isinstance(max_children, int) or isinstance(max_children, bool) or max_children < 0
        ):
            raise BadFlags("max_children", max_children, "an int, 0 or more, or None")
        if isinstance(extra_arguments, (str, bytes)) or not isinstance(extra_arguments, Iterable):
            raise BadFlags("extra_arguments", extra_arguments, "a tuple or list")
        pid: Process = _DynamicServer.start_link(cls, flags, max_children, tuple(extra_arguments), name=name)
        return pid

    @classmethod
    def child_spec(
        cls, *, id: Hashable = None, restart: Restart = "permanent", shutdown: Shutdown = None, **start: Any
    ) -> ChildSpec:
        """Return the spec of a child that `start_link(**start)` starts, a supervisor. As GenServer.child_spec."""
        return class_spec(cls, (), start, id=id, restart=restart, shutdown=shutdown)


# ---------------------------------------------------------------- API


def start_child(sup: Any, spec: Any) -> Process | MayBeNone:
    """Start a child of `spec`: a ChildSpec, a class, (class, args), (class, args, kwargs) or a mapping; its id is
    ignored, and a mapping may lack it.

    Blocks the caller *and* the supervisor until the child's start function returns. Returns the child's pid, the
    (pid, extra) that the start function gave, or None when the child chose not to run: then nothing is kept.

    Raises:
        MaxChildren: there are as many as there may be.
        BadChildSpec: before anything is started; says which key and value.
        StartChildError: the start function failed (`.reason`); nothing is kept.
    Exits: noproc if `sup` is not alive.
    """
    return ask(sup, "start_child", to_spec(spec, needs_id=False))


def terminate_child(sup: Any, pid: Any) -> None:
    """Stop a child by its `shutdown`, and forget it; it may also be one that is being restarted (by its last pid).

    Blocks the caller and the supervisor until it is gone. Raises: NotFound, for any other pid.
    """
    ask(sup, "terminate_child", pid)


def get_childspec(sup: Any, pid: Any) -> ChildSpec:
    """Return a child's spec. A temporary child's has no arguments any more. Raises: NotFound."""
    return ask(sup, "get_childspec", pid)  # type: ignore[no-any-return]


def which_children(sup: Any) -> list[ChildInfo]:
    """Return all children (ids are None). O(children), and blocks the supervisor for that long."""
    return ask(sup, "which_children")  # type: ignore[no-any-return]


def count_children(sup: Any) -> Counts:
    """Return how many children, living processes, supervisors and workers there are. O(children)."""
    return ask(sup, "count_children")  # type: ignore[no-any-return]


def stop(sup: Any, reason: Any = NORMAL, timeout: float | None = None) -> None:
    """Stop the supervisor and all its children, and wait. As proc_lib.stop."""
    proc_lib.stop(sup, reason, timeout)


# ---------------------------------------------------------------- internals


class _DynamicServer(SupervisorServer):
    """The process of a DynamicSupervisor."""

    def init(
        self, kind: type[DynamicSupervisor], flags: SupFlags, max_children: int | None, extra: tuple[Any, ...]
    ) -> None:
        me = self.begin(kind)
        self.children = DynamicChildren(me, me.name or me, flags, max_children, extra)

    def code_change(self, old_version: Any, extra: Any) -> None:
        """Nothing to bring into form: every child carries its own spec."""
