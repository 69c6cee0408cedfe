"""Supervisor: a process that starts others, keeps them running, and stops them in order.

    class Chat(Supervisor):
        def init(self, config):
            return SupFlags(strategy="rest_for_one", intensity=3, period=5.0), [
                ChildSpec("registry", (Registry.start_link, (config,))),
                ChildSpec("listener", (Listener.start_link, (config.port,)), shutdown=10.0),
            ]

    pid = Chat.start_link(config, name="chat")

Children start in the order of the list and stop in the reverse one. When one ends that should not have (`restart`), the
supervisor starts it again, and by the `strategy` its siblings too: one_for_one none, one_for_all all, rest_for_one those
after it. More than `intensity` restarts within `period` seconds are a failure of the whole: the supervisor stops what
is left and ends with reason shutdown, for its own supervisor to decide.

simple_one_for_one is for many children of one spec: `start_child(sup, args)` appends `args` to the spec's, children are
known by pid only, and they stop all at once. (See `dynamic_supervisor` for children of several specs.)

Where this differs from OTP: `period` counts fractions of seconds; a call that is no request of a supervisor fails for
its caller instead of ending the supervisor; a living child that sends its supervisor an exit signal is not taken for
dead; starting an id that is being restarted is `Restarting`; before it gives up, it may be told to wait (`reprieve`: live code
takes a bad release back), with the child `RESTARTING`.

Source: OTP supervisor; supervisor_SUITE.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from runtime.kernel import Name, Process, Shutdown
from runtime.otp.child_spec import Shutdown as ShutdownTime
from runtime.otp.child_spec import (
    BRUTAL_KILL,
    INFINITY,
    BadChildSpec,
    BadFlags,
    ChildSpec,
    Restart,
    SpecError,
    SupFlags,
    check_specs,
    class_spec,
    to_flags,
    to_spec,
)
from runtime.otp.dynamic_children import SimpleChildren
from runtime.otp.outcome import AlreadyStarted, BadReturnValue, Ignore, MayBeNone, StartError, Stop, Undefined
from runtime.otp.static_children import StaticChildren
from runtime.otp.supervision import RESTARTING, ChildInfo, Counts, SupervisorServer, ask
from runtime.otp.supervisor_errors import (
    AlreadyPresent,
    NotFound,
    NotSupported,
    Restarting,
    Running,
    StartChildError,
    SupervisorError,
)

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "RESTARTING",
    "AlreadyPresent",
    "AlreadyStarted",
    "BadChildSpec",
    "BadFlags",
    "ChildInfo",
    "ChildSpec",
    "Counts",
    "NotFound",
    "NotSupported",
    "Restarting",
    "Running",
    "StartChildError",
    "SupFlags",
    "Supervisor",
    "SupervisorError",
    "check_childspecs",
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]

# ---------------------------------------------------------------- types


class Supervisor:
    """Base class of supervisors: override `init`. The object lives in the supervisor's process."""

    _child_type: Final = "supervisor"

    @classmethod
    def start_link(cls, *args: Any, name: Name | None = None) -> Process | MayBeNone:
        """Start a supervisor linked to the caller, its parent, and all its first children.

        Blocks until every child's start function has returned. Returns the pid, or None when init returned Ignore().

        Raises:
            StartError: `.reason` is Shutdown(("failed_to_start_child", id, why)) when a child did not start (those
                before it were stopped again); ("start_spec", BadChildSpec) or ("supervisor_data", BadFlags) when
                init returned something wrong (nothing was started); a Crash when it raised.
            AlreadyStarted: the name is taken (`.pid`).
        Source: OTP supervisor:start_link/2,3.
        """
        return _StaticServer.start_link(cls, args, name=name)

    @staticmethod
    def start_link_with(flags: Any, specs: Iterable[Any], name: Name | None = None) -> Process:
        """Start a supervisor without a class of its own, from flags and specs (or mappings).

        Raises, besides what start_link raises: BadFlags, BadChildSpec, before there is a process.
        """
        good = to_flags(flags)
        children = list(check_specs(specs, good).values())
        pid = _StaticServer.start_link(_Given, (good, children), name=name)
        assert pid is not None  # _Given never ignores
        return pid

    @classmethod
    def child_spec(
        cls, *args: Any, id: Hashable = None, restart: Restart = "permanent", shutdown: ShutdownTime = None,
        significant: bool = False, **start: Any,
    ) -> ChildSpec:  # fmt: skip
        """Return the spec of a child that `start_link(*args, **start)` starts, a supervisor. As GenServer.child_spec."""
        return class_spec(
            cls, args, start, id=id, restart=restart, shutdown=shutdown, significant=significant
        )

    def init(self, *args: Any) -> Any:
        """Return (SupFlags(...), [children]), or Ignore(). Runs again at code_change.

        A child is a ChildSpec or what becomes one: a mapping, a class (`Registry`), (class, args) or (class, args,
        kwargs), as in `(Counter, (0,), {"name": "c"})`.
        """
        if type(self) is Supervisor:
            raise TypeError(
                "Supervisor itself starts nothing: give a class of your own an init, or use start_link_with(flags, specs)"
            )
        raise Undefined(self, "init")


# ---------------------------------------------------------------- API


def start_child(sup: Any, spec: Any) -> Process | MayBeNone:
    """Start `spec` under `sup` and keep it there: a ChildSpec, a class, (class, args), (class, args, kwargs), a mapping.

    Blocks the caller *and* the supervisor until the child's start function returns. Returns the child's pid, the
    (pid, extra) that the start function gave, or None when the child chose not to run; a temporary child that does
    so is not remembered. Under simple_one_for_one `spec` is a tuple: the last arguments of the common spec. Under a
    DynamicSupervisor ids are ignored, and a mapping needs none.

    Raises:
        AlreadyStarted: the id is taken by a running child (`.pid`).
        AlreadyPresent: the id is known but not running; use `restart_child`.
        Restarting: the id is known and its start is being tried again.
        BadChildSpec: before anything is started; says which key and value.
        StartChildError: the start function failed (`.reason`); nothing is kept.
    Exits: noproc if `sup` is not alive.
    Source: OTP supervisor:start_child/2; supervisor_SUITE child_adm, child_specs.
    """
    # What only the supervisor's kind tells: a tuple may be (class, args) or arguments, and who needs no id.
    is_open = isinstance(spec, (tuple, list)) or (isinstance(spec, Mapping) and "id" not in spec)
    return ask(sup, "start_child", spec if is_open else to_spec(spec))


def terminate_child(sup: Any, key: Any) -> None:
    """Stop a child, known by its id (under simple_one_for_one: its pid), by its `shutdown`.

    Blocks the caller and the supervisor until the child is gone. The spec is kept for `restart_child`, a temporary
    child's is dropped. A child that does not run, or whose start is being tried again, is no error.

    Raises: NotFound; NotSupported for an id under simple_one_for_one.
    """
    ask(sup, "terminate_child", key)


def restart_child(sup: Any, id: Any) -> Process | MayBeNone:
    """Start a child that was terminated or has ended. Returns as `start_child`.

    Raises: NotFound; Running; Restarting; StartChildError (the spec is kept); NotSupported.
    """
    return ask(sup, "restart_child", id)


def delete_child(sup: Any, id: Any) -> None:
    """Forget a child that does not run. Raises: NotFound; Running; Restarting; NotSupported."""
    ask(sup, "delete_child", id)


def get_childspec(sup: Any, key: Any) -> ChildSpec:
    """Return a child's spec, by id or pid. A running temporary child's has no arguments any more. Raises: NotFound."""
    return ask(sup, "get_childspec", key)  # type: ignore[no-any-return]


def which_children(sup: Any) -> list[ChildInfo]:
    """Return all children, the last started first. O(children), and blocks the supervisor for that long."""
    return ask(sup, "which_children")  # type: ignore[no-any-return]


def count_children(sup: Any) -> Counts:
    """Return how many specs, living processes, supervisors and workers there are. O(children)."""
    return ask(sup, "count_children")  # type: ignore[no-any-return]


def check_childspecs(specs: Iterable[Any], flags: Any = None) -> None:
    """Raise BadChildSpec if `specs` are not good together (under `flags`, if given). Starts nothing."""
    check_specs(specs, None if flags is None else to_flags(flags))


# ---------------------------------------------------------------- internals


class _Given(Supervisor):
    """The class of supervisors that have none."""

    def init(self, *args: Any) -> Any:
        return args


class _StaticServer(SupervisorServer):
    """The process of a Supervisor. Fields: also the user's object, and the arguments of its init."""

    def init(self, kind: type[Supervisor], args: tuple[Any, ...]) -> Any:
        me = self.begin(kind)
        self.module = kind()
        self.args = args
        given = self.module.init(*args)
        if given.__class__ is Ignore:
            return given
        if (
            not isinstance(given, tuple) or len(given) != 2
        ):  # None too: a forgotten return is no wish not to run
            note = f"{kind.__qualname__}.init may return (SupFlags(...), [children]) or Ignore()"
            return Stop(BadReturnValue(given, note))
        try:
            flags = to_flags(given[0])
            specs = check_specs(given[1], flags)
        except SpecError as error:
            return Stop(_refusal(error))
        name = me.name or me
        if flags.strategy == "simple_one_for_one":
            (template,) = specs.values()
            self.children = SimpleChildren(me, name, flags, template)
            return None
        self.children = StaticChildren(me, name, flags)
        try:
            self.children.start_all(specs.values())
        except StartError as error:
            return Stop(Shutdown(error.reason))
        return None

    def code_change(self, old_version: Any, extra: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Ask the class again, and merge. Raises what is wrong with the answer; then all is as it was.

        Returns the ids that are new, and not started, and those that are gone, and go on as long as they run.
        """
        given = self.module.init(*self.args)
        if given.__class__ is Ignore:
            return (), ()
        if not isinstance(given, tuple) or len(given) != 2:
            raise TypeError(f"{type(self.module).__qualname__}.init returned {given!r:.200}")
        flags = to_flags(given[0])
        if (flags.strategy == "simple_one_for_one") != isinstance(self.children, SimpleChildren):
            raise BadFlags(
                "strategy", flags.strategy, "no change to or from simple_one_for_one in a running tree"
            )
        return self.children.change(flags, given[1])  # type: ignore[no-any-return]  # an engine is any object here


def _refusal(error: SpecError) -> tuple[str, SpecError]:
    error.__traceback__ = None
    return ("supervisor_data" if isinstance(error, BadFlags) else "start_spec", error)
