"""The Application behaviour, and what is said about applications: infos, messages, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from runtime.config import Config, Key
from runtime.kernel import Pid

__all__ = [
    "AlreadyLoaded", "AlreadyRunning", "Application", "ApplicationError", "ApplicationInfo", "NodeEnds", "NotLoaded",
    "NotStarted", "StartFailed", "StillRunning", "check_application", "name_of",
]  # fmt: skip

# Types


class Application:
    """A unit that starts and stops as a whole. Subclass it, name it, and start its top supervisor in `start`.

    `applications` are those it needs running before: names, or classes (then `ensure_all_started` loads them too).
    `schema` and `config_file` are its settings, checked before anything starts; `env` is for settings without a
    schema. `migrations` are its steps from one form of stored records to the next, only ever appended to
    (`runtime.store.migrate`). `hints` are (command, words) pairs: what a person may do next, shown when the node has
    started. `start_phases` are (phase, arguments) pairs; `start_phase` is called for each after `start`.
    """

    name: ClassVar[str] = ""
    description: ClassVar[str] = ""
    applications: ClassVar[Sequence[str | type[Application]]] = ()
    env: ClassVar[Mapping[str, Any]] = {}
    schema: ClassVar[Sequence[Key]] = ()
    migrations: ClassVar[Sequence[str]] = ()
    config_file: ClassVar[str] = ""
    start_phases: ClassVar[Sequence[tuple[str, Any]]] = ()
    hints: ClassVar[Sequence[tuple[str, str]]] = ()

    @classmethod
    def config_problems(cls, config: Config) -> Mapping[str, str]:  # noqa: ARG003 - for those who override it
        """Check what concerns several settings at once, before anything starts: {key: what is wrong with it}.

        `tools/run --check` calls it too. Each text goes on after `key = value`: "must be below chat.x".
        """
        return {}

    def start(self, start_type: str, config: Config) -> Pid | tuple[Pid, Any]:
        """Start the top supervisor with a start_link and return its pid, or (pid, state). Called by the master.

        `start_type` is `normal` (takeover and failover come with more nodes). The state is handed to the
        callbacks of the stop.
        """
        raise NotImplementedError

    def start_phase(self, phase: str, start_type: str, args: Any) -> None:
        """Do one phase of a start in several; all processes run already."""

    def prep_stop(self, state: Any) -> Any:
        """Called before the tree is stopped: stop accepting, tell clients. Returns the state for `stop`."""
        return state

    def stop(self, state: Any) -> None:
        """Clean up after the tree has ended, for whatever reason."""

    def config_change(
        self, changed: Mapping[str, Any], new: Mapping[str, Any], removed: Sequence[str]
    ) -> None:
        """Take over settings that changed while running. Called by the process that reloads the configuration."""


class ApplicationInfo(NamedTuple):
    """One application as `which_applications` tells it. `pid` is the top supervisor's."""

    name: str
    description: str
    status: str
    start_type: str | None
    pid: Pid | None


class NodeEnds(NamedTuple):
    """Message to the node: an application whose start type binds the node to it has ended."""

    application: str
    start_type: str
    reason: Any


class ApplicationError(Exception):
    """A request that the controller refuses; `.name` is the application."""

    words = "cannot be used"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"application {name} {self.words}")


class NotLoaded(ApplicationError):
    words = "is not loaded"


class AlreadyLoaded(ApplicationError):
    words = "is loaded already"


class AlreadyRunning(ApplicationError):
    words = "is started already"


class StillRunning(ApplicationError):
    words = "is running: stop it first"


class NotStarted(ApplicationError):
    """An application is not running, where that is required: `.name`; OTP's `{not_started, Dep}`."""

    words = "is not started"


class StartFailed(ApplicationError):
    """`.reason` is why: an exit reason, or an ApplicationError such as NotStarted of a dependency."""

    def __init__(self, name: str, reason: Any) -> None:
        super().__init__(name)
        self.reason = reason
        self.args = (f"application {name} could not start: {reason}",)


# API


def check_application(cls: Any) -> None:
    """Raise TypeError or ValueError, naming the field, if a class cannot be an application."""
    if not (isinstance(cls, type) and issubclass(cls, Application)):
        raise TypeError(f"{cls!r} is no subclass of Application")
    if not isinstance(cls.name, str) or not cls.name:
        raise ValueError(f"{cls.__qualname__} has no name")
    if not isinstance(cls.env, Mapping):
        raise TypeError(f"{cls.__qualname__}.env={cls.env!r}: want a mapping")
    if isinstance(cls.applications, str) or not isinstance(cls.applications, Sequence):
        raise TypeError(
            f"{cls.__qualname__}.applications={cls.applications!r}: want a tuple of names or classes"
        )
    for needed in cls.applications:
        if not isinstance(needed, str) and not (isinstance(needed, type) and issubclass(needed, Application)):
            raise TypeError(
                f"{cls.__qualname__}.applications: {needed!r} is neither a name nor an application"
            )
    for phase in cls.start_phases:
        if not (isinstance(phase, tuple) and len(phase) == 2):
            raise TypeError(f"{cls.__qualname__}.start_phases: {phase!r} is no (phase, arguments)")


def name_of(application: str | type[Application]) -> str:
    """Return the name of an application given by name or by class."""
    return application if isinstance(application, str) else application.name
