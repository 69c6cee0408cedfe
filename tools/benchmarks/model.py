"""Rows, cases, and what becomes of their samples."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tools.benchmarks.lab import Lab

__all__ = ["GROUPS", "Beside", "Case", "Constant", "Result", "Row", "case", "cases", "times_better"]

GROUPS = ("kernel", "net", "store", "chat", "code", "observe")

# types


@dataclass(frozen=True, slots=True)
class Constant:
    """A peer's figure that was measured elsewhere or earlier: `source` says where, `how` what is special about it."""

    name: str
    value: float
    source: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `key` is unique in its group; `what` is the line of `--list`; `target` None: for information only."""

    group: str
    key: str
    name: str
    unit: str
    better: Literal["lower", "higher"]
    what: str
    target: float | None = None
    peers: tuple[str, ...] = ()
    """Names of the peers that are measured in the same run, the most important one first."""
    constants: tuple[Constant, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """A peer's figure in a result. `ratio`: how many times better ours is (above 1: we are)."""

    name: str
    value: float | None
    ratio: float | None
    source: str
    error: str | None = None


@dataclass(slots=True)
class Result:
    """A row's outcome. `value` None: it failed, and `error` says why."""

    row: Row
    samples: list[float] = field(default_factory=list)
    peer_samples: dict[str, list[float]] = field(default_factory=dict)
    peer_errors: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def value(self) -> float | None:
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> tuple[float, float] | None:
        return (min(self.samples), max(self.samples)) if self.samples else None

    @property
    def met(self) -> bool | None:
        """None: there is no target. A row that failed has not met its own."""
        row, value = self.row, self.value
        if row.target is None:
            return None
        if value is None:
            return False
        return value <= row.target if row.better == "lower" else value >= row.target

    @property
    def beside(self) -> list[Beside]:
        """The peers: measured ones first, in the row's order, then the constants."""
        better, value = self.row.better, self.value
        found = []
        for name in self.row.peers:
            samples = self.peer_samples.get(name)
            theirs = statistics.median(samples) if samples else None
            ratio = times_better(value, theirs, better)
            found.append(Beside(name, theirs, ratio, "measured in this run", self.peer_errors.get(name)))
        for constant in self.row.constants:
            ratio = times_better(value, constant.value, better)
            source = ", ".join(filter(None, (constant.source, constant.how)))
            found.append(Beside(constant.name, constant.value, ratio, source))
        return found


@dataclass(frozen=True, slots=True)
class Case:
    """What measures some rows together."""

    rows: tuple[Row, ...]
    measure: Callable[[Lab], None]

    @property
    def group(self) -> str:
        return self.rows[0].group


# API


def case(*rows: Row) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Register the function as what measures `rows`."""

    def register(measure: Callable[[Lab], None]) -> Callable[[Lab], None]:
        _cases.append(Case(rows, measure))
        return measure

    return register


def cases(groups: Any = GROUPS) -> list[Case]:
    """All cases of the groups, in their order. The groups' modules must be imported."""
    return [found for group in GROUPS if group in groups for found in _cases if found.group == group]


def times_better(ours: float | None, theirs: float | None, better: str) -> float | None:
    """How many times better ours is: above 1 we are."""
    if ours is None or theirs is None or ours <= 0 or theirs <= 0:
        return None
    return theirs / ours if better == "lower" else ours / theirs


# internals

_cases: list[Case] = []
