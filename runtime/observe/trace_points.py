"""Functions that are traced: their code object is swapped for one that tells of calls and then runs the old code.

Whoever holds the function, under whatever name, calls the new code, and nobody pays when nothing is traced. One point per
function, however many traces listen; the code goes back when the last one leaves. Around a release of live code all
functions are themselves again (`kernel.hooks.on_release`), and afterwards the points are put in anew, by name: into the new
code, or nowhere when the name has gone.

Calls in other threads are told of, too. A function that is called while a call of it is being told (a traced `__repr__`) is
not told of.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from types import CodeType, FunctionType, MethodType
from typing import Any

from runtime.kernel import hooks

__all__ = ["NotTraceable", "add", "drop", "resolve"]

Listener = Callable[[str, str, Any, float], None]
"""listener(kind, function, value, seconds): "call" with (args, kwargs), "return" with the result, "raise" with the
exception, "gone" with a sentence. On the caller's stack and in its thread: short, no waiting."""
_HOOK = "the trace point"
_IN_SIGNALS = (
    "runtime.kernel.watchdog", "runtime.kernel.limits", "runtime.kernel.hooks", "runtime.admin.shell_evaluator",
)  # fmt: skip
"""Modules whose functions the watchdog's signal runs."""

# Types


class NotTraceable(ValueError):
    """There is no such function, or it has no code of its own (a builtin, a class): a sentence."""


class _Point:
    """A function whose code tells of calls. `name`: `module.function`."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.module, self.path = fn.__module__, fn.__qualname__
        self.listeners: tuple[Listener, ...] = ()
        self.code: CodeType | None = None
        self.swapped: CodeType | None = None
        self.original: Any = None
        self.is_telling = False

    @property
    def name(self) -> str:
        return f"{self.module}.{self.path}"

    def install(self) -> None:
        fn = self.fn
        self.code = fn.__code__
        self.original = FunctionType(self.code, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
        self.original.__kwdefaults__ = fn.__kwdefaults__
        self.original.__qualname__ = fn.__qualname__
        fn.__code__ = self.swapped = _wrapper(self.code, self.called)

    def uninstall(self) -> None:
        """The function runs its own code again; what somebody else has put there meanwhile stays."""
        if self.code is not None and self.fn.__code__ is self.swapped:
            self.fn.__code__ = self.code
        self.code = None

    def again(self) -> bool:
        """Find the function by its name, as it is now, and put the point in. False: there is none any more."""
        if "<locals>" not in self.path:
            try:
                self.fn = resolve(self.name)
            except NotTraceable:
                return False
        self.install()
        return True

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        original = self.original
        if self.is_telling or not self.listeners:
            return original(*args, **kwargs)
        self._tell("call", (args, kwargs), 0.0)
        begin = perf_counter()
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            self._tell("raise", error, perf_counter() - begin)
            raise
        self._tell("return", value, perf_counter() - begin)
        return value

    def _tell(self, kind: str, value: Any, seconds: float) -> None:
        if self.is_telling:
            return
        self.is_telling = True
        try:
            for listener in self.listeners:
                hooks.call([listener], kind, self.name, value, seconds)
        finally:
            self.is_telling = False


# API


def add(fn: FunctionType, listener: Listener) -> None:
    """Tell `listener` of each call of `fn`, what it returned or raised, and how long that took (waiting included)."""
    point = _points.get(fn)
    if point is None:
        point = _Point(fn)
        point.install()
        _points[fn] = point
        if _on_release not in hooks.on_release:
            hooks.on_release.append(_on_release)
    point.listeners = (*point.listeners, listener)


def drop(listener: Listener) -> None:
    """Tell `listener` no more, of any function; whose last one it was gets its code back. Again: nothing."""
    for point in list(_points.values()):
        point.listeners = tuple(one for one in point.listeners if one != listener)
        if not point.listeners:
            del _points[point.fn]
            point.uninstall()
    if not _points and _on_release in hooks.on_release:
        hooks.on_release.remove(_on_release)


def resolve(what: Any) -> FunctionType:
    """Return the function: given itself, a method, or as `module.function`, `module.Class.method`, `module:Class.method`.

    Imports nothing: what is not loaded is not called either. Raises NotTraceable.
    """
    found = _by_name(what) if isinstance(what, str) else what
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, MethodType):
        found = found.__func__
    if isinstance(found, FunctionType):
        if found.__module__ in _IN_SIGNALS:
            raise NotTraceable(
                f"{what!r} runs in a signal's handler, between any two steps of others: nothing can be told from there"
            )
        if found.__module__ == __name__:
            raise NotTraceable(
                f"{what!r} is what traces are made with: to tell of its calls it would call itself"
            )
        return found
    if found is None:
        raise NotTraceable(f"there is no {what!r} among the loaded modules")
    kind = "a class: name one of its methods" if isinstance(found, type) else f"a {type(found).__name__}"
    raise NotTraceable(f"{what!r} has no Python code to trace: it is {kind}")


# Internals

_points: dict[FunctionType, _Point] = {}


def _by_name(name: str) -> Any:
    parts = name.replace(":", ".").split(".")
    for size in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:size]))
        if module is None:
            continue
        found: Any = module
        for part in parts[size:]:
            kinds = found.__mro__ if isinstance(found, type) else (found,)
            found = next((vars(kind)[part] for kind in kinds if part in vars(kind)), None)
            if found is None or not hasattr(found, "__dict__"):
                break
        if found is not None:
            return found
    return None


def _on_release(begins: bool) -> None:
    points = list(_points.values())
    if begins:
        for point in points:
            point.uninstall()
        return
    _points.clear()
    for point in points:
        if point.again():
            other = _points.get(point.fn)
            if other is None:
                _points[point.fn] = point
            else:  # two that are one now
                other.listeners = (*other.listeners, *point.listeners)
        else:
            for listener in point.listeners:
                hooks.call([listener], "gone", point.name, "the release has no such function any more", 0.0)
    if not _points and _on_release in hooks.on_release:
        hooks.on_release.remove(_on_release)


def _wrapper(old: CodeType, called: Callable[..., Any]) -> CodeType:
    """Make code that calls `called(args, kwargs)`, for a function with as many cells as `old` has.

    `called` stands among the constants: such code has no globals of its own. It says it is in the file of the old one, so
    that whoever judges by that (the watchdog does) judges alike.
    """
    cells = len(old.co_freevars)
    template = _templates.get(cells)
    if template is None:
        names = ", ".join(f"c{n}" for n in range(cells))
        text = (
            f"def outer({names}):\n def inner(*args, **kwargs):\n  if 0: ({names})\n"
            f"  hook = {_HOOK!r}\n  return hook(args, kwargs)\n return inner\n"
        )
        outer = next(c for c in compile(text, "<trace>", "exec").co_consts if isinstance(c, CodeType))
        template = _templates[cells] = next(c for c in outer.co_consts if isinstance(c, CodeType))
    constants = tuple(called if one == _HOOK else one for one in template.co_consts)
    return template.replace(
        co_consts=constants, co_name=old.co_name, co_qualname=old.co_qualname, co_filename=old.co_filename,
        co_firstlineno=old.co_firstlineno,
    )  # fmt: skip


_templates: dict[int, CodeType] = {}
