"""Who a process is: node, number and creation; and unique references.

A pid of this node *is* the process record (no table look-up on the way of a message). A pid of another node, or of an
earlier life of this one, is a `RemotePid`. Both compare, sort and print alike. The creation number grows each time a
node's name comes to life again, so that a pid of the former life never reaches a process of this one (OTP: creation).
"""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar

__all__ = ["Pid", "Ref", "RemotePid", "make_ref", "node", "node_creation", "set_node"]

# --------------------------------------------------------------------------------------------------------- types


class Pid:
    """A process's identity: `node`, `number`, `creation`. Ordered by these, in this order."""

    __slots__ = ()
    number: int

    @property
    def node(self) -> str:
        return _node

    @property
    def creation(self) -> int:
        return _creation

    def _key(self) -> tuple[str, int, int]:
        return (self.node, self.creation, self.number)

    def __lt__(self, other: Pid) -> bool:
        return self._key() < other._key() if isinstance(other, Pid) else NotImplemented

    def __le__(self, other: Pid) -> bool:
        return self._key() <= other._key() if isinstance(other, Pid) else NotImplemented

    def __gt__(self, other: Pid) -> bool:
        return self._key() > other._key() if isinstance(other, Pid) else NotImplemented

    def __ge__(self, other: Pid) -> bool:
        return self._key() >= other._key() if isinstance(other, Pid) else NotImplemented

    def to_wire(self) -> tuple[str, int, int]:
        """Return the form that travels between nodes: (node, number, creation)."""
        return (self.node, self.number, self.creation)


class RemotePid(Pid):
    """A pid whose process is not here: on another node, or of an earlier life of this node (then it is dead)."""

    __slots__ = ("_creation_", "_node_", "number")
    q: ClassVar[Any]
    """What takes its messages; set by the scheduler."""

    def __init__(self, node_name: str, number: int, creation: int) -> None:
        self._node_ = node_name
        self.number = number
        self._creation_ = creation

    @property
    def node(self) -> str:
        return self._node_

    @property
    def creation(self) -> int:
        return self._creation_

    def __eq__(self, other: object) -> bool:
        # Not equal to a local record: that is hashed by identity, and a pid of a living process decodes to the record.
        return isinstance(other, RemotePid) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"<{self.number}@{self._node_}>"


class Ref:
    """A value that equals nothing else, ordered by age. Monitors and timers are named by these."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = _next_ref()

    def __lt__(self, other: Ref) -> bool:
        return self.number < other.number if isinstance(other, Ref) else NotImplemented

    def __repr__(self) -> str:
        return f"<ref {self.number}@{_node}>"


# ----------------------------------------------------------------------------------------------------------- API


def node() -> str:
    """Return this node's name."""
    return _node


def node_creation() -> int:
    """Return which life of this node's name this is."""
    return _creation


def set_node(name: str, creation: int) -> None:
    """Name this node. Called once, at boot, before anything is spawned that other nodes may hear of."""
    global _node, _creation
    if not name or any(c.isspace() for c in name):
        raise ValueError(f"node name {name!r}: must not be empty or hold white space")
    _node, _creation = name, creation


def make_ref() -> Ref:
    """Return a new unique reference."""
    return Ref()


# ----------------------------------------------------------------------------------------------------- internals

_node = "nonode"
_creation = 0
_next_ref = count(1).__next__


def _is_here(wire: Any) -> bool:
    return bool(wire[0] == _node and wire[2] == _creation)
