"""What a release will do, as it was worked out beforehand: for each statement of the new source a verdict.

    keep      stands as before; at most its line numbers moved: only code objects are exchanged
    swap      only bodies of functions differ: likewise
    annotate  only the annotation of a variable differs: that alone is evaluated
    class     a class that is there already: member by member, or rebuilt and merged into the living one
    execute   new or different: the statement runs, and what it binds is merged into what was there

`planning` makes a plan, `compare` gives the verdicts, `commit` carries it out.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal

from .units import Unit
from .version import ModuleVersion

__all__ = ["Change", "ClassPlan", "Direction", "ModulePlan", "Plan", "Sources", "Step", "Verdict"]

Sources = Mapping[str, str | None]
"""Path relative to the base directory -> the new text; None: the file is deleted."""
Direction = Literal["up", "down"]

_SLICE = 16
"""Statements dropped between two pauses."""

# Types


class Verdict(enum.Enum):
    KEEP = "keep"
    SWAP = "swap"
    ANNOTATE = "annotate"
    CLASS = "class"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changes, for people to read."""

    module: str
    kind: str
    """swap, define, member, class, execute, delete, import, annotate, follow."""
    name: str
    line: int | None = None


@dataclass(slots=True)
class Step:
    """One statement of the new source and what is to be done about it."""

    verdict: Verdict
    old: Unit | None
    unit: Unit
    class_plan: ClassPlan | None = None
    part: Unit | None = None
    """What of it runs, if not all does."""


@dataclass(slots=True)
class ClassPlan:
    """A class that is there already."""

    qualname: str
    node: ast.ClassDef
    steps: list[Step]
    removed: list[Unit]
    rebuild: bool
    """Its statement runs as a whole, and the new class is merged into the old: decorators, bases, fields or slots differ."""
    together: frozenset[str]


@dataclass(slots=True)
class ModulePlan:
    """One module that is there already."""

    name: str
    old: ModuleVersion
    new: ModuleVersion
    steps: list[Step]
    removed: list[Unit]
    together: frozenset[str]
    """Names that several statements bind, one of which changes: all of these run again, in order (overloads, `X += …`)."""
    swaps: list[tuple[CodeType, CodeType]] = field(default_factory=list)

    @property
    def steps_touch_classes(self) -> bool:
        return any(step.class_plan is not None for step in self.steps)

    reshaped: set[str] = field(default_factory=set)
    """Functions that make functions of another shape from now on: what was made with them is made again."""

    def forget(self, pause: Callable[[], None]) -> None:
        """Drop the syntax trees, in slices, since to free them takes its time, too. The release is live."""
        _drop(self.steps, pause)
        self.removed.clear()
        self.swaps.clear()


@dataclass(slots=True)
class Plan:
    """A release, ready to be committed."""

    modules: dict[str, ModulePlan]
    """In the order of their imports: a module after those that it imports."""
    added: dict[str, ModuleVersion]
    deleted: dict[str, ModuleVersion]
    sources: dict[str, str | None]
    direction: Direction
    changes: list[Change] = field(default_factory=list)
    followers: list[str] = field(default_factory=list)
    """Modules that are not part of it, but import what may change."""

    @property
    def vsn_changes(self) -> dict[str, tuple[Any, Any]]:
        """The modules whose `__vsn__` changes: (old, new). A module that has none on one side counts, too."""
        return {name: (m.old.vsn, m.new.vsn) for name, m in self.modules.items() if m.old.vsn != m.new.vsn}

    @property
    def is_empty(self) -> bool:
        return not (self.modules or self.added or self.deleted)


# Internals


def _drop(steps: list[Step], pause: Callable[[], None]) -> None:
    while steps:
        for step in steps[-_SLICE:]:
            if step.class_plan is not None:
                _drop(step.class_plan.steps, pause)
            for unit in (step.old, step.unit):
                body = unit.node.body if unit is not None and isinstance(unit.node, ast.ClassDef) else []
                while len(body) > _SLICE:
                    del body[-_SLICE:]
                    pause()
        del steps[-_SLICE:]
        pause()
