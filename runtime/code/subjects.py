"""Whose state a release changes: the objects that a process keeps it in, and their code_change callbacks.

The state of a process is its behaviour itself (a server, a machine), or what the behaviour's method `code_subjects()`
returns: an event manager's handlers, a connection's protocol (None: not made yet). Such an object is concerned when its class, or a base of
it, is defined in a module whose `__vsn__` changes. One whose callbacks are elsewhere than in its class names the modules
by a method `code_modules()`.

Each changed module's code_change is run, with the version of its own module. A class whose module has none, but which
inherits one from a changed module, is brought into form by that one. So a code_change does not call `super()`'s.

The way down is known to the newer code. Where a release in between has dropped a code_change and kept the `__vsn__`, the one
that was dropped is called: it brought the states into the form that they still have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import sys
from typing import Any, Literal, NamedTuple

from runtime.otp import EventManager

__all__ = ["Called", "Direction", "Former", "Subjects", "Versions", "callbacks_of", "states_of"]

Direction = Literal["up", "down"]
Versions = Mapping[str, tuple[Any, Any]]
"""By module: its `__vsn__` now, and in the release (None: it has none)."""

Former = Mapping[tuple[str, str], Callable[[Any, Any, Any], Any]]
"""By module and class name: the code_change that it had last, under the `__vsn__` that it has."""


class Called(NamedTuple):
    """One code_change to be called on an object."""

    module: str
    callback: Callable[[Any, Any, Any], Any]
    version: Any
    """Its first argument."""


def states_of(behaviour: Any) -> Iterable[Any]:
    """Return the objects that a process keeps its state in, given its behaviour."""
    return behaviour.code_subjects() or () if hasattr(type(behaviour), "code_subjects") else (behaviour,)


def callbacks_of(module: str) -> dict[tuple[str, str], Callable[[Any, Any, Any], Any]]:
    """Return the code_change of each class at the top level of a module that has one of its own."""
    return {
        (module, cls.__qualname__): cls.code_change  # type: ignore[attr-defined]  # just looked up
        for cls in list(getattr(sys.modules.get(module), "__dict__", {}).values())
        if isinstance(cls, type) and cls.__module__ == module and "code_change" in cls.__dict__
    }


class Subjects:
    """What one release concerns. Decided once for each class: it lives for one release."""

    __slots__ = ("_calls", "_changed", "_former", "_kinds")

    def __init__(self, changed: Versions, former: Former | None = None) -> None:
        self._changed = changed
        self._former = former or {}
        self._kinds: dict[type, bool | None] = {}
        """Whether behaviours of a class are concerned; None: ask each."""
        self._calls: dict[type, list[Called]] = {}

    def of(self, behaviour: Any) -> Iterable[Any]:
        """Return the objects of a process that this release concerns, given its behaviour."""
        kind = type(behaviour)
        try:
            known = self._kinds[kind]
        except KeyError:
            asks = hasattr(kind, "code_subjects") or hasattr(kind, "code_modules")
            known = self._kinds[kind] = None if asks else self._is_concerned(kind)
        if known is not None:
            return (behaviour,) if known else ()
        return [s for s in states_of(behaviour) if self._is_concerned(type(s)) or self._named(s)]

    def may_come(self, behaviour: Any) -> bool:
        """Tell whether a behaviour that this release does not concern now may have something that it does, soon."""
        kind = type(behaviour)
        if isinstance(behaviour, EventManager):
            return True
        return hasattr(kind, "code_subjects") and behaviour.code_subjects() is None

    def calls(self, subject: Any, direction: Direction) -> list[Called]:
        """Return what is to be called on an object, in order: bases first, downwards last.

        Looks the callbacks up in the classes as they are now. Empty: the object keeps its state.
        """
        kind = type(subject)
        known = self._calls.get(kind)
        if known is not None:
            return known
        calls = [
            Called(module, callback, self.version(module, direction))
            for callback, module in self._callbacks(kind, direction).items()
        ]
        if direction == "down":
            calls.reverse()
        if not hasattr(kind, "code_modules"):
            self._calls[kind] = calls
        elif not calls:
            calls = [
                Called(name, kind.code_change, self.version(name, direction)) for name in self._named(subject)
            ]
        return calls

    def version(self, module: str, direction: Direction) -> Any:
        """Return what a code_change of `module` is told: the version it comes from, or ("down", where it goes)."""
        now, then = self._changed[module]
        return now if direction == "up" else ("down", then)

    def _is_concerned(self, kind: type) -> bool:
        return any(base.__module__ in self._changed for base in kind.__mro__)

    def _named(self, subject: Any) -> list[str]:
        """Return the changed modules that an object names by code_modules."""
        if not hasattr(type(subject), "code_modules"):
            return []
        return [module for module in subject.code_modules() if module in self._changed]

    def _callbacks(self, kind: type, direction: Direction) -> dict[Callable[..., Any], str]:
        """Return the code_change functions of a class's changed modules, bases first, with the module of each.

        One that is inherited is there once. The runtime's own classes bring none.
        """
        found: dict[Callable[..., Any], str] = {}
        for base in reversed(kind.__mro__):
            if base.__module__ not in self._changed:
                continue
            owner = next((c for c in base.__mro__ if "code_change" in c.__dict__), None)
            if owner is not None and not owner.__module__.startswith("runtime."):
                found.setdefault(base.code_change, base.__module__)  # type: ignore[attr-defined]  # just looked up
            elif direction == "down" and (base.__module__, base.__qualname__) in self._former:
                found.setdefault(self._former[base.__module__, base.__qualname__], base.__module__)
        return found
