"""Registered names: one process per name, one name per process. Free again before anybody hears of the death.

A *via name* is one that something else resolves (a registry, say): an object that takes messages as an alias does. It
goes wherever a name goes; this table knows nothing of it, and `process.name` stays None.
"""

from __future__ import annotations

from typing import Any, Protocol

from .identity import Pid
from .scheduler import DEADQ, BadName, Process, names

__all__ = ["Name", "NameTaken", "ViaName", "register", "registered", "unregister", "whereis"]


class ViaName(Protocol):
    """What a via name offers. A call to it goes to `take()`; a message is given to it by `append`."""

    @property
    def q(self) -> Any:
        """Itself: that tells it from a process."""

    def append(self, message: Any, /) -> None:
        """Send `message` on. Raises BadName."""

    def take(self) -> Process | None:
        """The process of this name, if there is one."""

    def check_free(self) -> None:
        """Raise ValueError or BadName if no new process can have it now."""

    def claim(self, pid: Process, /) -> None:
        """Give it to `pid`. Raises as check_free."""


Name = str | ViaName


class NameTaken(ValueError):
    """The name belongs to another living process, `pid`."""

    def __init__(self, name: str, pid: Process) -> None:
        super().__init__(f"the name {name!r} is taken by {pid!r}")
        self.name = name
        self.pid = pid


def register(name: str, pid: Process) -> None:
    """Give `pid` a name. Source: erlang:register/2.

    Raises:
        NameTaken: another process has it (`.pid`).
        ValueError: `pid` is dead or has a name already, or `name` is no usable name.
        TypeError: `pid` is no pid.
    """
    _check(name)
    owner = names.get(name)
    if owner is not None and owner is not pid:
        raise NameTaken(name, owner)
    if not isinstance(pid, Pid):
        raise TypeError(f"cannot register {name!r}: {pid!r} is no pid")
    if pid.q is DEADQ:
        raise ValueError(f"cannot register {name!r}: the process {pid!r} is dead")
    if pid.name is not None and pid.name != name:
        raise ValueError(f"cannot register {name!r}: {pid!r} is registered as {pid.name!r} already")
    if owner is pid:
        raise NameTaken(name, pid)
    names[name] = pid
    pid.name = name


def unregister(name: str) -> None:
    """Free a name. Raises BadName if nobody has it."""
    pid = names.pop(name, None)
    if pid is None:
        raise BadName(name)
    pid.name = None


def whereis(name: Name) -> Process | None:
    """Return the process that has this name, or None. Raises ValueError for what can be no name."""
    if isinstance(name, str):
        return names.get(name)
    if not hasattr(name, "take"):
        _check(name)
    return name.take()


def registered() -> list[str]:
    """Return all names in use, sorted."""
    return sorted(names)


# ----------------------------------------------------------------------------------------------------- internals


def check_free(name: Name) -> None:
    """Raise what `claim` would raise for a fresh process."""
    if not isinstance(name, str):
        if not hasattr(name, "claim"):
            _check(name)
        name.check_free()
        return
    _check(name)
    owner = names.get(name)
    if owner is not None:
        raise NameTaken(name, owner)


def claim(name: Name, pid: Process) -> None:
    """Give a new process its name, of either kind."""
    if isinstance(name, str):
        register(name, pid)
    else:
        name.claim(pid)


def _check(name: Any) -> None:
    if not isinstance(name, str) or not name or name == "undefined":
        raise ValueError(f"{name!r} is no name for a process: use a non-empty string other than 'undefined'")
