"""Live code: save a file or push a release, and the running node executes it. All or nothing, and there is a way back.

    from runtime import code

    code.push({"apps/chat/domain/users.py": text}, by="anna")     # -> Release, or raises code.Refused
    code.rollback()                                               # states included
    code.releases(); code.current(); code.diff("7f3c2a", "1bd2a0"); code.status()

The names are those of `runtime.code.api`; they load when they are first asked for. How it works: `engine` (a release becomes
live in one step), `releaser` (from plan to log), `server` (one after the other, and probation), `watch` (from saved files).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403

_NAMES = (
    "CodeEvent", "Lingering", "Refused", "Release", "Status", "configure", "confirm", "current", "diff", "is_loaded", "lingering", "plan",
    "purge", "push", "releaser", "releases", "rollback", "soft_purge", "status", "subscribe", "unsubscribe", "which",
)  # fmt: skip
__all__ = list(_NAMES)


class _Package(ModuleType):
    """Some words are both a room of this package and something to ask for (`plan`, `lingering`).

    The import system would put the room under the name when it is loaded; here the name is what to ask for. The room is
    still found by `from runtime.code.plan import ...`.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _NAMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
