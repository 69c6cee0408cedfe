"""Applications: units that are started, stopped and configured as a whole, in order of what they depend on.

Theory of operation: the controller is one process that knows every application and never runs a callback. Each
running application has a *master* process of its own: it calls `start`, is the parent of the top supervisor, calls
`prep_stop`, ends the tree, calls `stop`. A callback that hangs or crashes therefore hurts one master, and
the controller ends that master (and the tree) when the time allowed for a stop is over.

    loaded -> starting -> running -> stopping -> loaded

What an application that ends by itself does to the node, by its start type: temporary: a report, no more; transient:
`normal` is only reported, every other reason takes the node down, `shutdown` of an exhausted supervisor included;
permanent: any end takes the node down. `stop` by a caller never does.

Environment, the later one winning: `env` of the class, configuration file, command line (those two arrive resolved, as a
`runtime.config.Config`), `set_env`. Differs from OTP: values of `set_env` outlive a reload of the application.
Source: OTP application, application_controller, application_master; application_SUITE shutdown_timeout,
shutdown_deadlock, config_change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from runtime.config import Config
from runtime.kernel import NOPROC, CallError, Pid, Process, call, clock, whereis
from runtime.otp.application_behaviour import (
    AlreadyLoaded, AlreadyRunning, Application, ApplicationError, ApplicationInfo, NodeEnds, NotLoaded, NotStarted,
    StartFailed, StillRunning, check_application, name_of,
)  # fmt: skip
from runtime.otp.application_controller import (
    GRACE, ChangeConfig, Controller, Dependencies, GetEnv, Infos, Load, SetEnv, Start, Stop, Unload, UnsetEnv,
)  # fmt: skip

__all__ = [
    "CONTROLLER", "AlreadyLoaded", "AlreadyRunning", "Application", "ApplicationError", "ApplicationInfo", "NodeEnds",
    "NotLoaded", "NotStarted", "StartFailed", "StillRunning", "change_config", "ensure_all_started", "get_all_env",
    "get_env", "load", "loaded_applications", "set_env", "start", "start_controller", "stop", "stop_all", "unload",
    "unset_env", "which_applications",
]  # fmt: skip

CONTROLLER = "application_controller"
_log = logging.getLogger("evergreen.application")
_START_TYPES = ("temporary", "transient", "permanent")

# API


def start_controller(node: Pid | None = None) -> Process:
    """Start the controller, linked to the caller; `node` is sent NodeEnds when an application binds it to do so."""
    pid = Controller.start_link(node, name=CONTROLLER)
    assert pid is not None
    return pid


def load(application: type[Application], config: Mapping[str, Any] | None = None) -> None:
    """Make an application known, with its settings.

    Raises: AlreadyLoaded; ValueError or TypeError if the class is not what an application must be, and whatever making its
    object raises: here, so that the controller never runs a line of it.
    """
    check_application(application)
    _ask(Load(application(), _as_config(config)))


def unload(name: str) -> None:
    """Forget an application that is not running. Raises NotLoaded, StillRunning."""
    _ask(Unload(_named(name)))


def start(name: str, start_type: str = "temporary") -> None:
    """Start a loaded application; blocks until its `start` and all start phases are done.

    Raises:
        NotLoaded, AlreadyRunning.
        StartFailed: `.reason` is NotStarted(dependency), or why its start function failed.
        ValueError: no such start type; nothing was done.
    """
    _check_start_type(start_type)
    _ask(Start(_named(name), start_type))


def ensure_all_started(
    application: str | type[Application],
    start_type: str = "temporary",
    config: Mapping[str, Any] | None = None,
) -> list[str]:
    """Start an application after all that it needs; return the names that this call started, in order.

    Classes are loaded as needed, with `config`. If one fails, those that this call started are stopped again.

    Raises:
        StartFailed: `.name` is the one that failed, perhaps a dependency. NotLoaded.
        ValueError, TypeError: no such start type; a class that can be no application (see `load`).
    """
    _check_start_type(start_type)
    started: list[str] = []
    try:
        _ensure(application, start_type, config, started, ())
    except Exception:  # whatever it is: it goes on below
        for name in reversed(started):
            with suppress(NotStarted, NotLoaded):  # ended by itself meanwhile
                stop(name)
        raise
    return started


def stop(name: str, timeout: float | None = None) -> None:
    """Stop an application: `prep_stop`, its tree in order, `stop`. Blocks until it has ended.

    After `timeout` seconds (None: as long as its supervisors allow) what is left of it is killed, so that a deadlocked
    supervisor or callback cannot hold it up. Never takes the node down. Raises NotLoaded, NotStarted.
    """
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout={timeout!r}: want 0 seconds or more, or None")
    _ask(Stop(_named(name), timeout))


def stop_all(timeout: float) -> list[str]:
    """Stop all running applications, the last started first, within `timeout` seconds in all; return their names."""
    deadline = clock.now() + timeout
    stopped = []
    infos = which_applications()
    # One that hangs may not use up the others' time: a share of it is kept for each of those still to come.
    share = timeout / (2 * max(1, len(infos)))
    for after, info in zip(range(len(infos) - 1, -1, -1), infos, strict=True):
        allowed = max(0.0, deadline - share * after - clock.now())
        grace = min(GRACE, allowed / 4)
        try:
            _ask(Stop(info.name, allowed - grace, grace))
        except (NotStarted, NotLoaded):  # ended by itself meanwhile
            continue
        stopped.append(info.name)
    return stopped


def which_applications() -> list[ApplicationInfo]:
    """List the running applications, the last started first."""
    return [info for info in _infos() if info.status == "running"]


def loaded_applications() -> list[ApplicationInfo]:
    """List all known applications: running ones first, the last started first."""
    return _infos()


def get_env(name: str, key: str, default: Any = None) -> Any:
    """Return one setting of an application; `default` when it has none of that name. Raises NotLoaded."""
    return get_all_env(name).get(key, default)


def get_all_env(name: str) -> Config:
    """Return all settings of an application. Raises NotLoaded."""
    found: Config = _ask(GetEnv(_named(name)))
    return found


def set_env(name: str, key: str, value: Any) -> None:
    """Set one setting above file and command line, for an application that may be loaded later."""
    _ask(SetEnv(_named(name), _named(key), value))


def unset_env(name: str, key: str) -> None:
    """Take back what `set_env` set: file, command line and class count again (OTP forgets theirs, too)."""
    _ask(UnsetEnv(_named(name), _named(key)))


def change_config(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Exception]:
    """Give applications (by name) new file and command line settings; call `config_change` of those running.

    The callbacks run in the calling process, one after the other; returns the exceptions that they raised, by name.
    Those settings stay changed all the same (as in OTP).
    """
    failed: dict[str, Exception] = {}
    for app, changed, new, removed in _ask(
        ChangeConfig({name: _as_config(values) for name, values in config.items()})
    ):
        try:
            app.config_change(changed, new, removed)
        except Exception as error:  # noqa: BLE001 - one application must not keep the others from their settings
            _log.exception("application %s: config_change failed", app.name)
            failed[app.name] = error
    return failed


# Internals


def _ask(request: Any) -> Any:
    if whereis(CONTROLLER) is None:
        raise CallError(NOPROC, CONTROLLER)
    answer = call(CONTROLLER, request, None)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _named(name: Any) -> str:
    """Return a name; what is none is its caller's mistake, and must not reach the controller."""
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name: want a string")
    return name


def _check_start_type(start_type: str) -> None:
    if start_type not in _START_TYPES:
        raise ValueError(f"start_type={start_type!r}: wanted one of {', '.join(_START_TYPES)}")


def _as_config(values: Mapping[str, Any] | None) -> Config:
    return values if isinstance(values, Config) else Config(values or {})


def _infos() -> list[ApplicationInfo]:
    found: list[ApplicationInfo] = _ask(Infos())
    return found


def _ensure(
    application: str | type[Application],
    start_type: str,
    config: Mapping[str, Any] | None,
    started: list[str],
    above: tuple[str, ...],
) -> None:
    name = name_of(application)
    if name in above:
        raise StartFailed(name, "it depends on itself: " + " -> ".join((*above, name)))
    known = {info.name: info for info in _infos()}
    if name not in known:
        if isinstance(application, str):
            raise NotLoaded(name) if not above else StartFailed(above[-1], NotLoaded(name))
        with suppress(AlreadyLoaded):  # by somebody else, meanwhile
            load(application, config)
    elif known[name].status == "running":
        return
    for dependency in _ask(Dependencies(name)):
        _ensure(dependency, start_type, config, started, (*above, name))
    try:
        start(name, start_type)
    except AlreadyRunning:  # by somebody else, meanwhile
        return
    started.append(name)
