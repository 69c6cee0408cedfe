"""Registry: processes by key, in this node; as names, as groups, as subscribers.

    Registry.start_link("unique", name="users")              # in a supervisor, before those that use it
    registry.register("users", "ann", value="desk")          # the calling process, until it ends
    registry.lookup("users", "ann")                          # [Entry(pid, "desk")]
    User.start_link(name=Via("users", "bob"))                # as a name
    call(Via("users", "bob"), "hello")

    Registry.start_link("duplicate", name="topics")
    registry.dispatch("topics", "news", lambda entries: [send(pid, item) for pid, _ in entries])

Everything is done in the caller: a look-up is a dictionary read, never a call. Entries end with their process, before
anybody hears of its death. When the registry itself ends, the processes registered in it get an exit signal with its
reason, as if linked: what believes to be registered never outlives the table.

Keys are compared as dictionary keys are: 1, 1.0 and True are the same. They must be hashable.

Where this differs from Elixir: no partition processes (`partitions` splits the tables, nothing else), so `dispatch` is
never parallel; a dead process's entries are gone at once, not eventually; the exit signal takes the place of links, which
would cost every process a set and the registry a message for each death.

Source: Elixir Registry.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from runtime import kernel
from runtime.kernel import KILL, KILLED, BadName, Call, Down, Exit, Killed, NotAProcess, Process

from .child_spec import ChildSpec
from .gen_server import GenServer
from .outcome import NoReply
from .registry_lock import Acquire, Locks, Release
from .registry_table import (
    AlreadyRegistered,
    DuplicateTable,
    Entry,
    Registered,
    Row,
    Table,
    UniqueTable,
    Unregistered,
)
from .via import ViaName

__all__ = [
    "ANY", "AlreadyRegistered", "Entry", "Registered", "Registry", "Row", "UnknownRegistry", "Unregistered", "Via", "count",
    "count_match", "count_select", "delete_meta", "dispatch", "keys", "lock", "lookup", "match", "meta", "partitions",
    "put_meta", "register", "select", "unregister", "unregister_match", "update_value", "values", "whereis",
]  # fmt: skip

STRETCH = 1000
"""Entries looked at in one go; then `match` and `select` let the other processes run."""

# --------------------------------------------------------------------------------------------------------- types


class UnknownRegistry(BadName):
    """No registry of this name is running."""

    def __init__(self, name: Any) -> None:
        super().__init__(name)
        self.args = (f"unknown registry: none is running as {name!r}",)


class _Any:
    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""In a pattern: matches everything."""


@dataclass(frozen=True, slots=True)
class Via(ViaName):
    """The name `key` in a unique registry: give it where a registered name goes, also as `name=` of a start function.

    `value` is what a process that is started under this name is registered with; it is no part of the name.
    """

    registry: str
    key: Hashable
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Via) and other.registry == self.registry and other.key == self.key

    def __hash__(self) -> int:
        return hash((self.registry, self.key))

    def whereis(self) -> Process | None:
        """None also when there is no such registry: it may be about to be restarted."""
        return whereis(self.registry, self.key) if self.registry in _tables else None

    def check_free(self) -> None:
        _unique(self.registry, "a via name")
        holder = self.whereis()
        if holder is not None:
            raise AlreadyRegistered(self.registry, self.key, holder)

    def claim(self, pid: Process) -> None:
        _unique(self.registry, "a via name").add(self.key, pid, self.value)


class Registry:
    """Starts the process that a registry's tables live and end with; the functions of this module use them."""

    @classmethod
    def start_link(
        cls,
        keys: Literal["unique", "duplicate"] = "unique",
        *,
        name: str,
        partitions: int = 1,
        listeners: Iterable[Any] = (),
        meta: Mapping[Any, Any] | None = None,
    ) -> Process:
        """Start a registry linked to the caller, its parent.

        `keys`: "unique" (one process per key) or "duplicate". `listeners`: names or pids that get `Registered` and
        `Unregistered` messages; one that is not there misses them. `partitions`: dictionaries that share the keys, for a
        million of them and more: the longest pause, when one grows, is that much shorter; look-ups take 60 ns more.

        Raises: ValueError or TypeError, before there is a process; AlreadyStarted (`.pid`).
        """
        if keys not in ("unique", "duplicate"):
            raise ValueError(f"keys={keys!r}: want 'unique' or 'duplicate'")
        if not isinstance(name, str) or not name:
            raise ValueError(f"name={name!r}: a registry is known by its name, a non-empty string")
        if not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1:
            raise ValueError(f"partitions={partitions!r}: want an int, 1 or more")
        if isinstance(listeners, str) or not isinstance(listeners, Iterable):
            raise TypeError(f"listeners={listeners!r}: want a tuple or list of names or pids")
        listeners = tuple(listeners)
        for listener in listeners:
            if not (isinstance(listener, str) and listener) and not hasattr(listener, "q"):
                raise TypeError(f"listeners: {listener!r} is neither a name nor a pid")
        kind = UniqueTable if keys == "unique" else DuplicateTable
        table = kind(name, partitions, listeners, dict(meta or {}))
        pid = _Server.start_link(table, name=name)
        assert pid is not None  # its init never ignores
        return pid

    @classmethod
    def child_spec(
        cls, keys: Literal["unique", "duplicate"] = "unique", *, name: str, **options: Any
    ) -> ChildSpec:
        """Return the spec of a registry under a supervisor: arguments as start_link, id = name."""
        return ChildSpec(name, (cls.start_link, (keys,), {"name": name, **options}))


# ------------------------------------------------------------------------------------------- API: coming and going


def register(registry: str, key: Hashable, value: Any = None, *, pid: Process | None = None) -> None:
    """Register the calling process (or `pid`, a living one of this node) under `key` until it ends or unregisters.

    Raises:
        AlreadyRegistered: a unique registry's key belongs to `.pid`, also when that is the process itself.
        UnknownRegistry, ValueError (dead process), TypeError (key not hashable).
    """
    table = _table(registry)
    if pid is None:
        pid = kernel.self_()
        if not kernel.is_alive(pid):
            raise Killed(pid.reason)
    elif not isinstance(pid, Process):
        raise ValueError(f"{pid!r} is no process of this node")
    table.add(key, pid, value)


def unregister(registry: str, key: Hashable) -> None:
    """Remove all entries of the calling process under `key`. None is no error."""
    _table(registry).leave(key, kernel.self_())


def unregister_match(registry: str, key: Hashable, pattern: Any) -> None:
    """Remove those entries of the calling process under `key` whose value matches (see `match`)."""
    table, me, fits = _table(registry), kernel.self_(), _predicate(pattern)
    old = table.values(key, me)
    new = [value for value in old if not fits(value)]
    if len(new) != len(old):
        table.keep(key, me, new)


def update_value(registry: str, key: Hashable, change: Callable[[Any], Any]) -> tuple[Any, Any] | None:
    """Set the value of the calling process in a unique registry to `change(old)`. Returns (new, old).

    None, and `change` is not called, if the key is not the caller's. Raises ValueError for a duplicate registry.
    """
    table = _unique(registry, "update_value")
    me = kernel.self_()
    found = table.values(key, me)
    if not found:
        return None
    new = change(found[0])
    if not table.values(key, me):  # it unregistered meanwhile
        return None
    table.keep(key, me, [new])
    return new, found[0]


# ------------------------------------------------------------------------------------------------ API: looking up


def lookup(registry: str, key: Hashable) -> list[Entry]:
    """Return the entries under `key`: (pid, value), the oldest process first. O(entries), in the caller."""
    try:
        table = _tables[registry]
    except KeyError:
        raise UnknownRegistry(registry) from None
    return table.entries(key)


def whereis(registry: str, key: Hashable) -> Process | None:
    """Return the process that has `key` in a unique registry, or None."""
    found = _unique(registry, "whereis").entries(key)
    return found[0].pid if found else None


def keys(registry: str, pid: Process) -> list[Any]:
    """Return the keys of a process, oldest first; in a duplicate registry once for every entry."""
    return _table(registry).keys_of(pid)


def values(registry: str, key: Hashable, pid: Process) -> list[Any]:
    """Return the values of one process under `key`."""
    return _table(registry).values(key, pid)


def match(registry: str, key: Hashable, pattern: Any, limit: int | None = None) -> list[Entry]:
    """Return the entries under `key` whose value matches `pattern`, at most `limit`.

    A pattern is a predicate (any callable), or a value: ANY matches all, tuples match item by item, a dict matches one
    that has at least its items, all else by ==. Lets other processes run after every 1,000 entries.
    """
    fits = _predicate(pattern)
    return _collect((entry for entry in lookup(registry, key)), lambda entry: fits(entry.value), limit)


def count_match(registry: str, key: Hashable, pattern: Any) -> int:
    """Return how many entries `match` would."""
    return len(match(registry, key, pattern))


def select(registry: str, where: Callable[[Row], bool] | None = None, limit: int | None = None) -> list[Row]:
    """Return all entries, or those for which `where(row)` is true, as Row(key, pid, value), at most `limit`.

    O(all entries); lets other processes run after every 1,000: entries that come or go meanwhile may or may not be in.
    """
    return _collect(_table(registry).rows(), where, limit)


def count_select(registry: str, where: Callable[[Row], bool] | None = None) -> int:
    """Return how many entries `select` would."""
    return len(select(registry, where))


def count(registry: str) -> int:
    """Return how many entries there are. O(partitions)."""
    return _table(registry).count()


def dispatch(registry: str, key: Hashable, fn: Callable[[list[Entry]], Any]) -> None:
    """Call `fn(entries)` with all entries under `key`, in the caller; not at all if there are none."""
    entries = lookup(registry, key)
    if entries:
        fn(entries)


def lock(registry: str, key: Hashable, fn: Callable[[], Any]) -> Any:
    """Call `fn()` in the caller and return its result, while nobody else is inside `lock` with the same key.

    For what takes more than one step (look up, start, register). Blocks until all that came before are done; `key` is a
    name of its own and has nothing to do with registered keys. A holder that ends lets go.

    Raises: UnknownRegistry; RuntimeError if the caller holds this lock already: it would wait for itself.
    Exits: CallError, when the registry ends while the caller waits.
    Source: Elixir Registry.lock/3.
    """
    hash(key)
    owner = _table(registry).owner
    if not kernel.call(owner, Acquire(key), None):
        raise RuntimeError(f"the caller holds the lock {key!r} of {registry!r} already")
    try:
        return fn()
    finally:
        kernel.cast(owner, Release(key, kernel.self_()))


# ------------------------------------------------------------------------------------------- API: the registry itself


def meta(registry: str, key: Hashable, default: Any = None) -> Any:
    """Return a value that was stored with the registry itself."""
    return _table(registry).meta.get(key, default)


def put_meta(registry: str, key: Hashable, value: Any) -> None:
    """Store a value with the registry itself."""
    _table(registry).meta[key] = value


def delete_meta(registry: str, key: Hashable) -> None:
    """Remove a value that was stored with the registry itself. None is no error."""
    _table(registry).meta.pop(key, None)


def partitions(registry: str) -> int:
    """Return how many dictionaries share the keys."""
    return _table(registry).partitions


# ----------------------------------------------------------------------------------------------------- internals

_tables: dict[str, Table] = {}
"""Invariant: name in here  <=>  its registry's process lives."""


class _Server(GenServer):
    """The tables' owner: but for the locks it does nothing but live. Traps exits so that only its parent ends it."""

    def init(self, table: Table) -> None:
        kernel.trap_exit(True)
        self.table: Table = table
        self.locks = Locks()
        table.owner = kernel.self_()
        _tables[table.name] = table

    def handle_call(self, request: Any, sender: Call) -> Any:
        if request.__class__ is not Acquire:
            return super().handle_call(request, sender)
        self.locks.acquire(request.key, sender)
        return NoReply()

    def handle_cast(self, request: Any) -> Any:
        if request.__class__ is not Release:
            return super().handle_cast(request)
        return self.locks.release(request.key, request.holder)

    def handle_info(self, message: Any) -> None:
        if message.__class__ is Down:
            self.locks.down(message.ref)
        elif message.__class__ is not Exit:
            super().handle_info(message)

    def on_exit(self, process: Process, reason: Any) -> None:
        """Called by the kernel at the death, however it comes."""
        table: Table | None = getattr(self, "table", None)
        if table is None:  # it died before init
            return
        if _tables.get(table.name) is table:
            del _tables[table.name]
        for pid in table.close():
            _end_with(pid, process, reason)


def _end_with(pid: Process, registry: Process, reason: Any) -> None:
    """What a link would do (kernel.signals has the table)."""
    if pid.trap:
        kernel.send(pid, Exit(registry, reason))
        return
    if isinstance(reason, str) and reason == KILL:
        reason = KILLED  # a link carries `kill` as any other reason; a signal of that name could not be told from it
    with suppress(Killed):  # it may be the very process that ended the registry: the others come all the same
        kernel.exit(pid, reason)


def _table(registry: str) -> Table:
    try:
        return _tables[registry]
    except KeyError:
        raise UnknownRegistry(registry) from None


def _unique(registry: str, what: str) -> Table:
    table = _table(registry)
    if not table.unique:
        raise ValueError(f"{registry!r} is a duplicate registry: {what} needs a unique one")
    return table


def _predicate(pattern: Any) -> Callable[[Any], bool]:
    return pattern if callable(pattern) else lambda value: _fits(pattern, value)


def _fits(pattern: Any, value: Any) -> bool:
    if pattern is ANY:
        return True
    if isinstance(pattern, tuple):
        return isinstance(value, tuple) and len(pattern) == len(value) and all(map(_fits, pattern, value))
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(
            k in value and _fits(p, value[k]) for k, p in pattern.items()
        )
    return bool(pattern == value)


def _collect(found: Iterable[Any], where: Callable[[Any], bool] | None, limit: int | None) -> list[Any]:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ValueError(f"limit={limit!r}: want an int, 0 or more, or None")
    result: list[Any] = []
    for n, one in enumerate(found, 1):
        if limit is not None and len(result) >= limit:
            break
        if where is None or where(one):
            result.append(one)
        if not n % STRETCH:
            with suppress(NotAProcess):
                kernel.yield_()
    return result
