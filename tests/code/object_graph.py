"""What a program is made of, object by object: to tell whether a refused release has left the very same program.

`graph(modules)` describes every object that is reached from the modules: a function by its code, defaults and
attributes, a class by its dict, bases and subclasses, a container by its items in order, an instance by its fields. All
of them by identity, so that an equal copy in the place of what was there is a difference. Unlike tests.reload.portrait,
which compares two programs.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["Graph", "differences", "graph"]

_OF_THE_MACHINE = {
    "__builtins__",
    "__loader__",
    "__spec__",
    "__cached__",
    "__dict__",
    "__weakref__",
    "_abc_impl",
}
_ATOMS = (int, float, complex, str, bytes, bool, type(None))
_OF_A_FUNCTION = (
    "__code__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__closure__",
    "__doc__",
    "__name__",
    "__qualname__",
)


class _Node(NamedTuple):
    value: Any  # held: an id means something only while its object lives
    path: str
    content: Any


Graph = dict[int, _Node]


def graph(modules: Iterable[types.ModuleType]) -> Graph:
    """Describe all that is reached from `modules` without leaving them for another module's classes and functions."""
    modules = list(modules)
    ours = {module.__name__ for module in modules}
    found: Graph = {}
    work: list[tuple[str, Any]] = [(module.__name__, module) for module in modules]
    while work:
        path, value = work.pop()
        if id(value) in found or type(value) in _ATOMS or _is_foreign(value, ours):
            continue
        parts = list(_parts(value))
        found[id(value)] = _Node(value, path, (id(type(value)), [(name, _key(part)) for name, part in parts]))
        work += [(f"{path}{name}", part) for name, part in parts]
    return found


def differences(before: Graph, after: Graph) -> list[str]:
    """The places where the two differ, as lines."""
    lines = []
    for key, node in before.items():
        if key not in after:
            lines.append(f"{node.path} is gone: {node.value!r:.100}")
        elif after[key].content != node.content:
            was, now = dict(node.content[1]), dict(after[key].content[1])
            names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
            lines.append(f"{node.path} differs in {names[:5] or 'the order'}: {node.value!r:.100}")
    lines += [f"{node.path} is new: {node.value!r:.100}" for key, node in after.items() if key not in before]
    return lines


def _key(value: Any) -> Any:
    return (type(value), value) if type(value) in _ATOMS else id(value)


def _is_foreign(value: Any, ours: set[str]) -> bool:
    if isinstance(value, types.ModuleType):
        return value.__name__ not in ours
    if isinstance(value, type):
        return value.__module__ not in ours
    if isinstance(value, types.FunctionType):
        return value.__module__ not in ours and value.__globals__.get("__name__") not in ours
    return isinstance(value, types.BuiltinFunctionType) or type(value).__module__ in ("greenlet", "weakref")


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, types.CodeType):
        return
    if isinstance(value, types.FunctionType):
        yield from ((f"!{name}", getattr(value, name)) for name in _OF_A_FUNCTION)
        yield from ((f".{name}", part) for name, part in vars(value).items())
    elif isinstance(value, type):
        # Their order is no promise: what was deleted and comes back is the last.
        space = sorted((name, part) for name, part in vars(value).items() if name not in _OF_THE_MACHINE)
        yield from ((f".{name}", part) for name, part in space if name != "__abstractmethods__")
        yield from ((f"<base {n}>", base) for n, base in enumerate(value.__bases__))
        yield from sorted((f"<subclass {id(sub):x}>", sub) for sub in type.__subclasses__(value))
        yield "<metaclass>", type(value)
        if "__abstractmethods__" in vars(value):
            yield "<abstract>", " ".join(sorted(value.__abstractmethods__))
    elif isinstance(value, dict):
        yield from ((f"{{{name!r:.40}}}", part) for name, part in dict.items(value))
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{n}]", part) for n, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from sorted((f"{{{part!r:.40}}}", part) for part in value)
    elif isinstance(value, types.CellType):
        try:
            yield "!", value.cell_contents
        except ValueError:
            return
    elif hasattr(value, "__dict__") and type(value).__module__ not in ("functools", "types"):
        space = vars(value).items()
        yield from ((f".{name}", part) for name, part in space if name not in _OF_THE_MACHINE)
    else:
        yield from ((f"~{n}", part) for n, part in enumerate(gc.get_referents(value)))
