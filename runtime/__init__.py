"""Evergreen's runtime: Erlang/OTP's processes, links, monitors and supervisors for Python, on greenlets.

The public names of the kernel and of the behaviours, in one place: `from runtime import GenServer, Supervisor, call, run`.
They load when they are first asked for: the store's writer process and the chat client import rooms of this house
without wanting an event loop.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kernel import *  # noqa: F403
    from .otp import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for `from runtime import *`
        return __dir__()
    if name.startswith("__"):
        raise AttributeError(name)
    if (
        find_spec(f"{__name__}.{name}") is not None
    ):  # a room of the house: the import system loads it by itself
        hint = "; the node's name is runtime.kernel.node()" if name == "node" else ""
        raise AttributeError(f"{__name__}.{name} is a module, to be imported by its name{hint}")
    for room in _rooms():
        if name in room.__all__:
            value = globals()[name] = getattr(room, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({name for room in _rooms() for name in room.__all__})


def _rooms() -> tuple[Any, Any]:
    return import_module(f"{__name__}.otp"), import_module(f"{__name__}.kernel")
