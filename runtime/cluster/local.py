"""The cluster of one node: every shard is here, a message is a function call.

`send` does not copy and does not encode: the callee gets the caller's object, so send immutable values or give them up
(as between processes). Its cost is one dict lookup and the call of `callbacks.handle`.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from runtime.cluster.contract import Callbacks, CallTimeout, Cluster, NoRoute, Reply, Stale
from runtime.kernel import TIMEOUT, alias, receive_mark, receive_match, send, unalias

__all__ = ["LocalCluster", "home_shard"]

_CACHE: Final = 100_000  # ids whose shard is remembered; about 100 bytes each


def home_shard(id: str, nshards: int) -> int:
    """BLAKE2b (8 bytes, big-endian) of the id, mod `nshards`. Part of the data's format: never to be changed."""
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big") % nshards


class LocalCluster:
    """contract.Cluster for one node. `nshards` is the store's, fixed when the data directory was made.

    Invariant: `_routes` holds every "shard:K" that is owned, "node:<name>", and topics that were used; empty while
    stopped.
    """

    def __init__(self, name: str, nshards: int) -> None:
        if nshards < 1:
            raise ValueError(f"number of shards {nshards}: at least 1")
        self.name = name
        self.nshards = nshards
        self._callbacks: Callbacks | None = None
        self._routes: dict[str, Callable[[str, Any, Reply | None], None]] = {}
        self._owned: frozenset[int] = frozenset()
        self._shards: dict[str, int] = {}
        self._table: dict[str, tuple[Any, int]] = {}
        self._revision = 0
        self._watchers: dict[object, tuple[str, Callable[[str, Any, int], None]]] = {}

    # --- life --------------------------------------------------------------------------------------------------

    def start(self, callbacks: Callbacks) -> None:
        """Acquire every shard, then open the routes. Raises what `acquire` raises, with the others released again."""
        if self._callbacks is not None:
            raise RuntimeError(f"the cluster of {self.name} is started already")
        self._callbacks = callbacks
        taken: list[int] = []
        try:
            for shard in range(self.nshards):
                callbacks.acquire(shard)
                taken.append(shard)
                self._owned = frozenset(taken)
                self._routes[f"shard:{shard}"] = self._handle
        except BaseException:
            self._release(taken)
            raise
        self._routes[f"node:{self.name}"] = self._handle
        callbacks.members_changed((self.name,), ())

    def stop(self) -> None:
        """Close the routes and release every shard. Idempotent."""
        if self._callbacks is not None:
            self._release(sorted(self._owned))
            self._watchers.clear()

    def members(self) -> tuple[str, ...]:
        return (self.name,) if self._callbacks is not None else ()

    def owned(self) -> frozenset[int]:
        return self._owned

    def valid(self) -> bool:
        """Whether it is started: alone, nobody can take a shard away."""
        return self._callbacks is not None

    # --- messages ----------------------------------------------------------------------------------------------

    def shard_of(self, id: str) -> int:
        try:
            return self._shards[id]
        except KeyError:
            shards = self._shards
            if len(shards) >= _CACHE:
                shards.clear()  # hashing again costs 1 µs; keeping order of use would cost it at each hit
            shard = shards[id] = home_shard(id, self.nshards)
            return shard

    def send(self, dest: str, data: Any) -> None:
        """Call `callbacks.handle(dest, data, None)` here and now. What it raises comes to the sender."""
        try:
            handle = self._routes[dest]
        except KeyError:
            handle = self._topic(dest)
        handle(dest, data, None)

    def call(self, dest: str, data: Any, timeout: float = 5.0) -> Any:
        try:
            handle = self._routes[dest]
        except KeyError:
            handle = self._topic(dest)
        here = alias(once=True)
        mark = receive_mark()
        answer = _Answer(here)
        try:
            handle(dest, data, answer)
            if answer.value is not TIMEOUT:  # answered on the spot
                unalias(here)
                receive_match(lambda message: message is answer, 0.0, mark)
                return answer.value
            if receive_match(lambda message: message is answer, timeout, mark) is TIMEOUT:
                raise CallTimeout(dest, timeout)
        finally:
            unalias(here)
        return answer.value

    # --- the shared table --------------------------------------------------------------------------------------

    def get(self, key: str) -> tuple[Any, int] | None:
        return self._table.get(key)

    def put(self, key: str, val: Any, rev: int = -1) -> int:
        _, current = self._table.get(key, (None, 0))
        if rev not in (-1, current):
            raise Stale(key, rev, current)
        self._revision += 1
        revision = self._revision
        if val is None:
            self._table.pop(key, None)
        else:
            self._table[key] = (val, revision)
        for prefix, fn in list(self._watchers.values()):
            if key.startswith(prefix):
                fn(key, val, revision)
        return revision

    def watch(self, prefix: str, fn: Callable[[str, Any, int], None]) -> Callable[[], None]:
        token = object()
        self._watchers[token] = (prefix, fn)
        for key, (val, revision) in sorted(self._table.items()):
            if key.startswith(prefix):
                fn(key, val, revision)

        def unwatch() -> None:
            self._watchers.pop(token, None)

        return unwatch

    # --- internals ---------------------------------------------------------------------------------------------

    def _handle(self, dest: str, data: Any, reply: Reply | None) -> None:
        # Not bound once: live code may swap the class of the callbacks.
        assert self._callbacks is not None
        self._callbacks.handle(dest, data, reply)

    def _topic(self, dest: str) -> Callable[[str, Any, Reply | None], None]:
        if not dest.startswith("topic:") or self._callbacks is None:
            raise NoRoute(dest)
        return self._handle

    def _release(self, shards: list[int]) -> None:
        callbacks, self._callbacks = self._callbacks, None
        self._routes.clear()
        assert callbacks is not None
        for shard in reversed(shards):
            self._owned -= {shard}
            callbacks.release(shard, "stop")


class _Answer:
    """The reply of one call, and the message that carries it."""

    __slots__ = ("_to", "value")

    def __init__(self, to: Any) -> None:
        self._to = to
        self.value: Any = TIMEOUT

    def __call__(self, value: Any) -> None:
        if self.value is TIMEOUT:
            self.value = value
            send(self._to, self)


if TYPE_CHECKING:

    def _conforms(cluster: LocalCluster) -> Cluster:
        return cluster
