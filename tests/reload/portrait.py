"""What a program is, as text: everything that can be reached by name from its modules.

`portrait(modules)` is a flat dict, path -> text, so that the difference between a program that was changed while it ran
and one that was started cold from the same sources reads as a list of places. Functions are compared to the byte and to
the line, classes by their dict, bases and order of resolution, values by what they are; and that two paths lead to one
object (a table's entry and a function) counts too. Objects of others (the standard library's) are only named.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import logging
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

__all__ = ["differences", "portrait"]

# What the import system puts in, and what CPython keeps for itself.
_MODULE_SKIP = {
    "__builtins__",
    "__cached__",
    "__file__",
    "__loader__",
    "__path__",
    "__spec__",
    "__warningregistry__",
}
_CLASS_SKIP = {"__dict__", "__weakref__", "_abc_impl", "__msgspec_cache__"}
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...), range, Path)
_HIDDEN = object()
"""The value of an empty closure cell, an unset slot."""

# ----------------------------------------------------------------------------------------------------------- API


def portrait(modules: Mapping[str, types.ModuleType], skip: Iterable[str] = ()) -> dict[str, str]:
    """Describe `modules` (those under test, by name). `skip`: names of modules' variables that are state."""
    return _Painter(modules, set(skip)).paint()


def differences(live: Mapping[str, str], cold: Mapping[str, str]) -> list[str]:
    """The places where two portraits differ, as lines."""
    lines = []
    for path in sorted(live.keys() | cold.keys()):
        mine, other = live.get(path, "(nothing)"), cold.get(path, "(nothing)")
        if mine != other:
            lines.append(f"{path}: live {mine:.300} | cold {other:.300}")
    return lines


# ----------------------------------------------------------------------------------------------------- internals


class _Painter:
    def __init__(self, modules: Mapping[str, types.ModuleType], skip: set[str]) -> None:
        self.modules = modules
        self.skip = skip
        self.out: dict[str, str] = {}
        self.seen: dict[int, str] = {}
        self.kept: list[Any] = []
        """Everything in `seen`: an id means something only while its object lives."""

    def paint(self) -> dict[str, str]:
        for name in sorted(self.modules):
            for key, value in sorted(vars(self.modules[name]).items()):
                if key not in _MODULE_SKIP and key not in self.skip:
                    self.value(f"{name}.{key}", value)
        return self.out

    def ours(self, module: Any) -> bool:
        return isinstance(module, str) and module in self.modules

    def value(self, path: str, value: Any) -> None:
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            self.out[path] = f"{type(value).__name__} {value!r}"
        elif isinstance(value, (types.GenericAlias, types.UnionType)) or type(value).__module__ == "typing":
            self.out[path] = repr(value)
        elif isinstance(value, types.ModuleType):
            self.out[path] = f"module {value.__name__}"
        elif isinstance(value, types.CodeType):
            self.code(path, value)
        elif isinstance(value, (tuple, frozenset)):
            self.object(path, value)  # equal constants may be one object or two: the compiler's affair
        elif id(value) in self.seen:
            self.out[path] = "is " + self.seen[id(value)]
        else:
            self.seen[id(value)] = path
            self.kept.append(value)
            self.object(path, value)

    def object(self, path: str, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self.function(path, value)
        elif isinstance(value, type):
            self.klass(path, value)
        elif isinstance(value, (list, tuple)):
            self.out[path] = f"{_kind(value)} of {len(value)}"
            for n, item in enumerate(value):
                self.value(f"{path}[{n}]", item)
        elif isinstance(value, (dict, types.MappingProxyType)):
            self.mapping(path, value)
        elif isinstance(value, (set, frozenset)):
            self.out[path] = f"{_kind(value)} {sorted(map(self.short, value))}"
        else:
            self.thing(path, value)

    def mapping(self, path: str, value: Mapping[Any, Any]) -> None:
        self.out[path] = f"{_kind(value)} of {len(value)}"
        for key, item in sorted(value.items(), key=lambda pair: self.short(pair[0])):
            self.value(f"{path}{{{self.short(key)}}}", item)

    def function(self, path: str, fn: types.FunctionType) -> None:
        home = fn.__globals__.get("__name__")
        if not (self.ours(fn.__module__) or self.ours(home)):
            self.out[path] = f"function {fn.__module__}.{fn.__qualname__}"
            return
        self.out[path] = f"function {fn.__module__}.{fn.__qualname__} named {fn.__name__}, globals of {home}"
        if self.ours(home) and fn.__globals__ is not vars(self.modules[home]):
            self.out[path + ".globals"] = "not those of the module"
        self.code(path, fn.__code__)
        self.value(path + ".__doc__", fn.__doc__)
        for part in ("__defaults__", "__kwdefaults__", "__annotations__"):
            if getattr(fn, part):
                self.value(f"{path}.{part}", getattr(fn, part))
        for key, item in sorted(vars(fn).items()):
            self.value(f"{path}.{key}", item)
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            self.cell(f"{path}.<{name}>", fn, cell)

    def cell(self, path: str, fn: types.FunctionType, cell: types.CellType) -> None:
        try:
            value = cell.cell_contents
        except ValueError:
            self.out[path] = "empty"
            return
        made = fn.__code__.co_filename == "<string>"
        if made and path.endswith("<cls>") and id(value) not in self.seen:
            # dataclass(slots=True) makes a second class; its generated functions know the first, which nobody uses.
            self.out[path] = f"the class that {self.short(value)} was before it had slots"
        else:
            self.value(path, value)

    def code(self, path: str, code: types.CodeType) -> None:
        """As a cold start compiles it: names, constants, instructions, and the line of each."""
        self.out[path + ".code"] = (
            f"{code.co_qualname} {code.co_argcount}/{code.co_posonlyargcount}/{code.co_kwonlyargcount} "
            f"flags {code.co_flags:#x} vars {code.co_varnames} free {code.co_freevars} cell {code.co_cellvars} "
            f"names {code.co_names} consts {[self.short(c) for c in code.co_consts]} "
            f"{crc32(code.co_code):08x}"
        )
        # The table has the line and the columns of each instruction, counted from the first line.
        file = code.co_filename.rpartition("/")[2]
        self.out[path + ".lines"] = f"{file}:{code.co_firstlineno} {crc32(code.co_linetable):08x}"
        for n, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                self.code(f"{path}/{n}", constant)

    def klass(self, path: str, cls: type) -> None:
        if not self.ours(cls.__module__):
            self.out[path] = f"class {cls.__module__}.{cls.__qualname__}"
            return
        self.out[path] = (
            f"class {cls.__module__}.{cls.__qualname__} named {cls.__name__} of {self.short(type(cls))} "
            f"bases {[self.short(c) for c in cls.__bases__]} mro {[self.short(c) for c in cls.__mro__]}"
        )
        self.out[path + ".layout"] = f"{cls.__basicsize__} {cls.__itemsize__} {cls.__dictoffset__ != 0}"
        if isinstance(cls, abc.ABCMeta):
            self.out[path + ".abstract"] = f"{sorted(cls.__abstractmethods__)}"
        if isinstance(cls, enum.EnumMeta):
            self.out[path + ".order"] = f"{list(cls.__members__)} {cls._member_names_}"
        if dataclasses.is_dataclass(cls):
            self.out[path + ".order"] = f"{list(cls.__dataclass_fields__)}"
        for key, item in sorted(vars(cls).items()):
            if key not in _CLASS_SKIP:
                self.value(f"{path}.{key}", item)
        if type(cls).__module__ == "msgspec._core":
            config = {n: getattr(cls.__struct_config__, n) for n in dir(cls.__struct_config__) if n[0] != "_"}
            self.out[path + ".fields"] = f"{cls.__struct_fields__} {config}"

    def thing(self, path: str, value: Any) -> None:
        """An instance of anything."""
        self.out[path] = _kind(value)
        if isinstance(value, (staticmethod, classmethod)):
            self.value(path + ".of", value.__func__)
        elif isinstance(value, property):
            for part in ("fget", "fset", "fdel", "__doc__"):
                self.value(f"{path}.{part}", getattr(value, part))
        elif isinstance(value, functools._lru_cache_wrapper):
            self.out[path] += f" {value.cache_parameters()}"
            self.value(path + ".of", value.__wrapped__)
        elif isinstance(value, (functools.partial, functools.partialmethod)):
            for part in ("func", "args", "keywords"):
                self.value(f"{path}.{part}", getattr(value, part))
        elif isinstance(value, functools.cached_property):
            self.value(path + ".of", value.func)
        elif isinstance(value, types.MethodType):
            self.value(path + ".of", value.__func__)
            self.value(path + ".self", value.__self__)
        elif isinstance(value, enum.Enum):
            self.out[path] = f"member {self.short(type(value))}.{value._name_} {value._value_!r}"
            if isinstance(value, (int, str)):  # what it is itself, which may be another thing than its value
                own = int.__repr__(value) if isinstance(value, int) else str.__repr__(value)
                self.out[path] += f", itself {own}"
        elif isinstance(value, re.Pattern):
            self.out[path] += f" {value.pattern!r} {value.flags}"
        elif isinstance(value, logging.Logger):
            self.out[path] += f" {value.name}"
        elif isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            self.out[path] += f" {value.__name__}"
        elif isinstance(value, BaseException):
            self.value(path + ".args", value.args)
        elif self.ours(type(value).__module__) or isinstance(value, dataclasses.Field):
            self.fields(path, value)

    def fields(self, path: str, value: Any) -> None:
        for key, item in sorted(getattr(value, "__dict__", {}).items()):
            self.value(f"{path}.{key}", item)
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot.startswith("__"):
                    continue
                item = getattr(value, slot, _HIDDEN)
                if item is not _HIDDEN:
                    self.value(f"{path}.{slot}", item)

    def short(self, value: Any) -> str:
        """A value within a line: never an address."""
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, enum.Enum):
            return f"{type(value).__qualname__}.{value._name_}"
        if isinstance(value, types.CodeType):
            return f"<code {value.co_qualname}>"
        if isinstance(value, _PLAIN):
            return f"{value!r}"
        if isinstance(value, (tuple, list)):
            return f"({', '.join(map(self.short, value))})"
        if isinstance(value, (set, frozenset)):
            return f"{{{', '.join(sorted(map(self.short, value)))}}}"
        if isinstance(value, types.FunctionType):
            return f"<{value.__module__}.{value.__qualname__}>"
        return f"<{_kind(value)}>"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
