"""What commands look at and act on: this node, or, in `tools/shell --dump`, a crash dump."""

from __future__ import annotations

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
    "running",
    "set_look",
    "set_node",
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


# Internals

_node: Any = None
_look: Any = snapshot
