"""Registered names: one process per name, one name per process. Free again before anybody hears of the death."""

from __future__ import annotations

from .scheduler import DEADQ, BadName, Process, names

__all__ = ["NameTaken", "register", "registered", "unregister", "whereis"]


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
    """
    _check(name)
    owner = names.get(name)
    if owner is not None and owner is not pid:
        raise NameTaken(name, owner)
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


def whereis(name: str) -> Process | None:
    """Return the process that has this name, or None."""
    return names.get(name)


def registered() -> list[str]:
    """Return all names in use, sorted."""
    return sorted(names)


# ----------------------------------------------------------------------------------------------------- internals


def check_free(name: str) -> None:
    """Raise what `register` would raise for a fresh process."""
    _check(name)
    owner = names.get(name)
    if owner is not None:
        raise NameTaken(name, owner)


def _check(name: str) -> None:
    if not isinstance(name, str) or not name or name == "undefined":
        raise ValueError(f"{name!r} is no name for a process: use a non-empty string other than 'undefined'")
