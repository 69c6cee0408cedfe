"""Completing names without running anything of what they name: no property, no `__getattr__`, no `__dir__`.

What stands before the cursor is read backwards: `a.b.c` is followed through modules, classes, slots and instances' own
dicts, for as long as looking is reading memory; anything else (calls, subscripts, descriptors) has no completions. Inside
a string that is the first argument of a call, registered names are offered; inside a call, names of arguments.
"""

from __future__ import annotations

import builtins
import keyword
import re
import types
from itertools import islice
from typing import Any, Final

from runtime import kernel
from runtime.admin.shell_code import CHECKPOINT
from runtime.observe.slices import sliced

__all__ = ["complete"]

_MOST: Final = 500
_BACK: Final = 400
"""Characters before the cursor that are looked at: the search takes their square."""
_PATH: Final = re.compile(r"(?:(?:[^\W\d]\w*)\s*\.\s*)*(?:[^\W\d]\w*)?\Z")
_STRING: Final = re.compile(r"\(\s*(['\"])([^'\"()\n]*)\Z")
_CALL: Final = re.compile(r"((?:[^\W\d]\w*\s*\.\s*)*[^\W\d]\w*)\s*\(([^()]*)\Z")
_UNKNOWN: Final = object()

# API


def complete(namespace: dict[str, Any], text: str) -> tuple[int, list[str]]:
    """Return where in `text` what can be completed begins, and what may stand there, in order. Never raises or blocks."""
    string = _STRING.search(text)
    if string is not None:
        # In slices: there may be a name for each of 200,000 processes.
        names = [name for name in map(str, sliced(kernel.registered(), 256)) if name.startswith(string[2])]
        return string.start(2), sorted(names)[:_MOST]
    found = _PATH.search(text, max(0, len(text) - _BACK))
    path = re.sub(r"\s", "", found[0]) if found is not None else ""
    before = text[: len(text) - len(found[0])] if found is not None else text
    if before.rstrip().endswith((".", ")", "]", "}", "'", '"')) and "." in path[:1] + before.rstrip()[-1:]:
        return len(text), []
    owner, dot, prefix = path.rpartition(".")
    start = len(text) - len(prefix)
    if dot:
        value = _follow(namespace, owner.split("."))
        names = [] if value is _UNKNOWN else _names_in(value)
    else:
        names = [f"{name}=" for name in _arguments(namespace, text)] if prefix or "(" in text else []
        names += [*namespace, *vars(builtins), *keyword.kwlist]
    return start, _fitting(names, prefix)


# Internals


def _is_a(value: Any, kind: type) -> bool:
    """As isinstance, which asks the value for its `__class__`."""
    return issubclass(type(value), kind)


def _mro(cls: type) -> Any:
    return type.__dict__["__mro__"].__get__(cls)


def _dict_of(cls: type) -> Any:
    return type.__getattribute__(cls, "__dict__")


def _fitting(names: list[str], prefix: str) -> list[str]:
    fits = {name for name in names if name.startswith(prefix) and name != CHECKPOINT}
    if not prefix.startswith("_"):
        fits = {name for name in fits if not name.startswith("_")}
    # What is an argument of the call stands first, what is private last.
    return list(
        islice(sorted(fits, key=lambda name: (not name.endswith("="), name.startswith("_"), name)), _MOST)
    )


def _follow(namespace: dict[str, Any], path: list[str]) -> Any:
    value = namespace.get(path[0], getattr(builtins, path[0], _UNKNOWN))
    for name in path[1:]:
        if value is _UNKNOWN:
            break
        value = _read(value, name)
    return value


def _read(value: Any, name: str) -> Any:
    """An attribute, if reading it runs nothing."""
    if _is_a(value, types.ModuleType):
        return types.ModuleType.__getattribute__(value, "__dict__").get(name, _UNKNOWN)
    found = _static(value, name)
    kind = type(found)
    if kind is types.MemberDescriptorType and not _is_a(value, type):  # a slot
        try:
            return found.__get__(value)
        except AttributeError:
            return _UNKNOWN
    if kind in (staticmethod, classmethod):
        return found.__func__
    if found is _UNKNOWN or isinstance(found, types.FunctionType):
        return found
    is_descriptor = any("__get__" in _dict_of(cls) for cls in _mro(kind) if cls is not object)
    return _UNKNOWN if is_descriptor else found


def _static(value: Any, name: str) -> Any:
    """As inspect.getattr_static, which lets a metaclass's `__getattribute__` run."""
    if _is_a(value, type):
        return next((_dict_of(cls)[name] for cls in _mro(value) if name in _dict_of(cls)), _UNKNOWN)
    of_class = next((_dict_of(cls)[name] for cls in _mro(type(value)) if name in _dict_of(cls)), _UNKNOWN)
    if of_class is not _UNKNOWN and any("__set__" in _dict_of(cls) for cls in _mro(type(of_class))):
        return of_class  # a data descriptor goes before the instance's own
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return of_class
    return own.get(name, of_class) if type(own) is dict else of_class


def _names_in(value: Any) -> list[str]:
    if _is_a(value, types.ModuleType):
        own = types.ModuleType.__getattribute__(value, "__dict__")
        public = own.get("__all__")
        extra = [name for name in public if isinstance(name, str)] if isinstance(public, list | tuple) else []
        return [*own, *extra]
    names: list[str] = []
    classes = _mro(value) if _is_a(value, type) else _mro(type(value))
    for cls in classes:
        names += [name for name in _dict_of(cls) if isinstance(name, str)]
    if not _is_a(value, type):
        try:
            own = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return names
        if type(own) is dict:
            names += [name for name in own if isinstance(name, str)]
    return names


def _arguments(namespace: dict[str, Any], text: str) -> list[str]:
    """Names of the arguments of the function whose call the cursor is in."""
    call = _CALL.search(text, max(0, len(text) - _BACK))
    if call is None or re.search(r"=\s*[\w.]*\Z", call[2]):
        return []
    function = _follow(namespace, re.sub(r"\s", "", call[1]).split("."))
    if _is_a(function, types.MethodType):
        function = function.__func__
    if not _is_a(function, types.FunctionType):
        return []
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [name for name in names if name not in ("self", "cls")]
