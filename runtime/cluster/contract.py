"""The cluster contract: where shards live, and messages to wherever that is. Two engines, this one text.

A *destination* is a string: "node:N" (that node), "shard:K" (the node that owns shard K now), "topic:T" (every node).
Its home shard is a user's or group's address for life: `shard_of(id)` = BLAKE2b(id) mod `nshards`.

`call` without an answer says nothing about what was done: CallTimeout is an unknown outcome. `get`, `put`, `watch` are
a small table shared by the nodes (placement, flags, code versions); whatever is in there can be lost and rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

__all__ = ["CallTimeout", "Callbacks", "Cluster", "ClusterError", "NoRoute", "Reason", "Reply", "Stale"]

# --- types -----------------------------------------------------------------------------------------------------

Reason = Literal["handoff", "stop", "lost"]
"""Why a shard is released: given to another node in order; this node stops; fenced or cut off (act no more, at once)."""

Reply = Callable[[Any], None]
"""Answers a call; the first answer counts, later ones vanish. May be kept and called later, from any process."""


class Callbacks(Protocol):
    """What the owner of the shards does. Called in the process that causes it; must not block for long."""

    def acquire(self, shard: int) -> None:
        """This node owns the shard from now on: start its supervisor. Raising refuses it."""

    def release(self, shard: int, why: Reason) -> None:
        """This node no longer owns the shard: end everything that acts for it."""

    def handle(self, dest: str, data: Any, reply: Reply | None) -> None:
        """A message for `dest` came to this node. `reply` is None for a send. Must not block."""

    def members_changed(self, up: Sequence[str], down: Sequence[str]) -> None:
        """Nodes came and went."""


class Cluster(Protocol):
    """A node's view of the cluster."""

    @property
    def name(self) -> str: ...
    @property
    def nshards(self) -> int: ...

    def start(self, callbacks: Callbacks) -> None:
        """Join. Acquires this node's shards before it returns."""

    def stop(self) -> None:
        """Release every shard (`stop`) and leave. Idempotent."""

    def members(self) -> tuple[str, ...]:
        """Names of the nodes that are up."""

    def owned(self) -> frozenset[int]:
        """The shards that this node owns now."""

    def valid(self) -> bool:
        """Whether this node may still act as an owner: its lease has not run out."""

    def shard_of(self, id: str) -> int:
        """The home shard of a user or group. Cheap; the same on every node and for ever."""

    def send(self, dest: str, data: Any) -> None:
        """Hand `data` to `dest`. Never blocks. Raises NoRoute at once when nobody is there."""

    def call(self, dest: str, data: Any, timeout: float = 5.0) -> Any:
        """Ask `dest` and return its answer. Blocks the calling process; seconds. Raises NoRoute, CallTimeout."""

    def get(self, key: str) -> tuple[Any, int] | None:
        """The (value, revision) of a key of the shared table."""

    def put(self, key: str, val: Any, rev: int = -1) -> int:
        """Set a key, None deletes it; returns the new revision. `rev`: -1 any, 0 create, n compare-and-set.

        Raises Stale (with the current revision) when it does not hold.
        """

    def watch(self, prefix: str, fn: Callable[[str, Any, int], None]) -> Callable[[], None]:
        """Call fn(key, value or None, revision) for each key there is and at each change; returns the way to stop."""


# --- errors ----------------------------------------------------------------------------------------------------


class ClusterError(Exception):
    """The cluster cannot do what was asked."""


class NoRoute(ClusterError):
    """Nobody is there to take a message for this destination; it was not sent."""

    def __init__(self, dest: str) -> None:
        super().__init__(dest)
        self.dest = dest

    def __str__(self) -> str:
        return f"no route to {self.dest!r}"


class CallTimeout(ClusterError):
    """No answer in time; whether the callee acted is unknown."""

    def __init__(self, dest: str, timeout: float) -> None:
        super().__init__(dest, timeout)
        self.dest, self.timeout = dest, timeout

    def __str__(self) -> str:
        return f"no answer from {self.dest!r} within {self.timeout:g} s"


class Stale(ClusterError):
    """A compare-and-set met another revision: `current` (0: the key is not there)."""

    def __init__(self, key: str, expected: int, current: int) -> None:
        super().__init__(key, expected, current)
        self.key, self.expected, self.current = key, expected, current

    def __str__(self) -> str:
        return f"{self.key!r}: expected revision {self.expected}, found {self.current}"
