"""What commands look at and act on: this node, or, in `tools/shell --dump`, a crash dump."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

from runtime.observe import snapshot

__all__ = [
    "CannotDo",
    "is_dump",
    "look",
    "need_life",
    "node",
    "not_in_dump",
    "process",
    "rows",
    "running",
    "seconds",
    "set_look",
    "set_node",
    "text",
]

# Types


class CannotDo(Exception):
    """A command cannot do what was asked: a sentence. Shown without a traceback."""


# API


def set_node(node: Any) -> None:
    """Say which node this is: the object that `runtime.node.current()` returns."""
    global _node
    _node = node


def set_look(look: Any) -> None:
    """Look at something else than the living node: an object with the functions of `runtime.observe.snapshot`."""
    global _look
    _look = look


def node() -> Any:
    """Return the node. Raises CannotDo where there is none."""
    need_life()
    if _node is None:
        raise CannotDo("there is no running node here")
    return _node


def running() -> Any:
    """Return the node, None where there is none."""
    return _node


def is_dump() -> bool:
    """Tell whether what is looked at is no living node."""
    return _look is not snapshot


def need_life() -> None:
    """Raise CannotDo where a dump is looked at: nothing happens in it any more."""
    if is_dump():
        raise CannotDo("this is a dump: nothing happens in it any more, it can only be looked at")


def not_in_dump(name: str) -> str:
    """Say that a command needs a living node."""
    return f"{name}() needs a living node; this is a dump, in which nothing happens any more: help() lists what looks at it"


def look() -> Any:
    """Return what answers looks: the module runtime.observe.snapshot, or a dump."""
    return _look


def process(who: Any) -> Any:
    """Return a living process, however it was named: as a pid, a number, a name, or as it is printed. Raises CannotDo."""
    need_life()
    found = snapshot.find(who)
    if found is None:
        raise CannotDo(f"there is no living process {who!r}")
    return found


def rows(n: Any) -> int:
    """Return how many rows are wanted. Raises CannotDo for what is no such number."""
    if type(n) is not int or n < 0:
        raise CannotDo(f"{n!r} is no number of rows, such as 20")
    return n


def seconds(value: Any) -> float:
    """Return a time in seconds. Raises CannotDo for what is none, or below 0."""
    if type(value) not in (int, float) or not isfinite(value) or value < 0:
        raise CannotDo(f"{value!r} is no time in seconds, such as 5.0")
    return float(value)


def text(value: Any, what: str) -> str:
    """Return a text, or a path as one. Raises CannotDo for what is none. `what`: "a filter", for the sentence."""
    if not isinstance(value, str | Path):
        raise CannotDo(f"{what} is a text, not {value!r}")
    return str(value)


# Internals

_node: Any = None
_look: Any = snapshot
