"""PartitionSupervisor: one child spec, several children, each request to the one that its key belongs to.

    PartitionSupervisor.start_link(DynamicSupervisor, name="sessions", partitions=8)
    start_child(PartitionVia("sessions", user_id), spec)

For a server that is a bottleneck because it blocks: a dynamic supervisor whose children take long to start, a server that
waits for others. The same key comes to the same partition for as long as the node runs.

Source: Elixir PartitionSupervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from runtime import kernel
from runtime.kernel import NORMAL, NOPROC, CallError, Process

from . import proc_lib
from .child_process import NotStarted, start_process
from .child_spec import ChildSpec, Strategy, SupFlags, to_spec
from .last_rites import LastRites
from .outcome import StartError
from .supervision import ChildInfo, Counts
from .supervisor import Supervisor
from .supervisor import count_children as _count
from .supervisor import which_children as _which
from .via import ViaName

__all__ = [
    "PartitionSupervisor",
    "PartitionVia",
    "count_children",
    "partition_of",
    "partitions",
    "stop",
    "which_children",
]

DEFAULT_PARTITIONS = 8
"""Not the number of cores, as in Elixir: a partition here is for not waiting, not for computing in parallel."""

# --------------------------------------------------------------------------------------------------------- types


class PartitionSupervisor(Supervisor):
    """Starts the supervisor's process; `PartitionVia` finds its children."""

    @classmethod
    def start_link(  # type: ignore[override]  # it is given all it needs
        cls,
        child: Any,
        *,
        name: Any,
        partitions: int = DEFAULT_PARTITIONS,
        with_arguments: Callable[[tuple[Any, ...], int], tuple[Any, ...]] | None = None,
        strategy: Strategy = "one_for_one",
        intensity: int = 3,
        period: float = 5.0,
    ) -> Process:
        """Start `partitions` children of one spec under a supervisor linked to the caller.

        `child`: a ChildSpec, or a class or what else a supervisor takes; its id is replaced by the partition's number.
        `with_arguments(args, partition)` returns the arguments for one partition. `name` is required: a registered name
        or a via name.

        Raises: ValueError, TypeError, BadFlags, BadChildSpec, before there is a process; StartError; AlreadyStarted (`.pid`).
        """
        if name is None or name == "":
            raise ValueError("a PartitionSupervisor is known by its name: name=... is required")
        if not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1:
            raise ValueError(f"partitions={partitions!r}: want an int, 1 or more")
        if with_arguments is not None and not callable(with_arguments):
            raise TypeError(f"with_arguments={with_arguments!r}: want a function of (arguments, partition)")
        flags = SupFlags(strategy, intensity, period)
        template = to_spec(child, needs_id=False)
        pid = super().start_link(_Partitions(name, partitions), flags, template, with_arguments, name=name)
        assert pid is not None  # its init never ignores
        return pid

    def init(
        self,
        table: _Partitions,
        flags: SupFlags,
        child: ChildSpec,
        with_arguments: Callable[[tuple[Any, ...], int], tuple[Any, ...]] | None,
    ) -> Any:
        table.open(kernel.self_())
        specs = []
        function, args, kwargs = child.start
        for n in range(len(table.pids)):
            own = args if with_arguments is None else tuple(with_arguments(args, n))
            start = (_start_partition, (table, n, (function, own, kwargs)))
            specs.append(
                ChildSpec(
                    n, start, child.restart, child.shutdown, child.type, child.modules, child.significant
                )
            )
        return flags, specs


@dataclass(frozen=True, slots=True)
class PartitionVia(ViaName):
    """The partition of the supervisor `name` that `key` belongs to: an int by its remainder, all else by its hash."""

    name: Any
    key: Hashable

    def whereis(self) -> Process | None:
        """The child of that partition; a dead one while it is being started again: messages are dropped, calls fail."""
        table = _tables.get(self.name)
        return None if table is None else table.pids[_index(self.key, len(table.pids))]


# ----------------------------------------------------------------------------------------------------------- API


def partitions(name: Any) -> int:
    """Return how many partitions there are. Raises CallError(noproc) if no such supervisor runs."""
    return len(_table(name).pids)


def partition_of(name: Any, key: Hashable) -> int:
    """Return the number of the partition that `key` belongs to. Raises CallError(noproc)."""
    return _index(key, partitions(name))


def which_children(name: Any) -> list[ChildInfo]:
    """Return the children in the order of their partitions, whose numbers are their ids. Blocks the supervisor."""
    return sorted(_which(name), key=lambda child: child.id)


def count_children(name: Any) -> Counts:
    """Return how many specs, living processes, supervisors and workers there are."""
    return _count(name)


def stop(name: Any, reason: Any = NORMAL, timeout: float | None = None) -> None:
    """Stop the supervisor and all partitions, and wait. As proc_lib.stop."""
    proc_lib.stop(name, reason, timeout)


# ----------------------------------------------------------------------------------------------------- internals


class _Partitions(LastRites):
    """Where the children are. Known by the supervisor's name as long as that lives."""

    __slots__ = ("name", "pids")

    def __init__(self, name: Any, count: int) -> None:
        self.name = name
        self.pids: list[Process | None] = [None] * count

    def __repr__(self) -> str:
        return f"<partitions of {self.name!r}>"

    def open(self, supervisor: Process) -> None:
        if _tables.get(self.name) is not self:  # init runs again when code changes
            self.watch(supervisor)
            _tables[self.name] = self

    def died(self, _reason: Any) -> None:
        if _tables.get(self.name) is self:
            del _tables[self.name]


_tables: dict[Any, _Partitions] = {}


def _start_partition(table: _Partitions, partition: int, start: Any) -> Any:
    """Start function of a partition: the child's own, and a note of its pid."""
    try:
        pid, result = start_process(start)
    except NotStarted as error:
        raise StartError(error.reason) from None
    table.pids[partition] = pid if isinstance(pid, Process) else None
    return result


def _table(name: Any) -> _Partitions:
    table = _tables.get(name)
    if table is None:
        raise CallError(NOPROC, name)
    return table


def _index(key: Hashable, count: int) -> int:
    return abs(key) % count if isinstance(key, int) else hash(key) % count
