"""The engine of live code: plan a release, find what it touches, wait for the processes it concerns, and take the step.

Theory of operation. A release is worked out in slices while everything else runs (`planning`). Then the processes whose
states change their shape stop taking messages (`processes`), the heap is walked in slices for functions and instances
(`heap`), and in one callback of the loop the release becomes live or is undone (`commit`). Nobody ever sees half of it.

The engine knows nothing of files, keys, logs or probation: it turns texts into running code. Not to be called twice at
once; the code server sees to that.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

from runtime import kernel

from .advice import advice
from .commit import Commit, Kept
from .errors import Refused
from .heap import Heap, collect_young, uncollected
from .importer import Importer
from .lingering import Retired
from .merge import LayoutChanged
from .plan import Change, Direction, Plan, Sources
from .planning import make_plan, read_imports
from .processes import quiesce
from .results import results_of_before
from .roots import Roots
from .structs import is_struct
from .subjects import callbacks_of
from .supervisors import Refreshed, refresh
from .version import ModuleVersion

__all__ = ["Engine", "Report", "give_way"]

_RETRY = 0.002
"""Seconds between two looks at whether the step can be taken."""
_HOLD = 0.5
"""Seconds that new jobs of the thread pool are kept waiting for those that have begun."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a release did."""

    modules: list[str]
    added: list[str]
    deleted: list[str]
    changes: list[Change]
    kept: list[Kept]
    """Values made from something that changed, which were not made again because making them may have effects."""
    warnings: list[str]
    migrated: int = 0
    """Processes whose states were brought into a new form."""
    seconds: dict[str, float] = field(default_factory=dict)
    """plan, quiesce, look (the walk over the heap, in slices), step (all stood still for so long), total."""
    supervisors: list[Refreshed] = field(default_factory=list)
    """Those that were asked for their flags and child specs again; what is worth knowing of them is in `warnings` too."""
    since: float = 0.0
    """When the step was taken (the kernel's clock): what ran after it ran the new code."""


class Engine:
    """Live code for the modules under `roots`. `quiesce`: seconds that a push waits for processes in the middle of
    something, and for jobs of the thread pool.
    """

    def __init__(self, roots: Roots, *, quiesce: float = 5.0) -> None:
        self.roots = roots
        self.quiesce = quiesce
        self.importer = Importer(roots)
        self.retired = Retired()
        self.former: dict[tuple[str, str], Any] = {}
        """What each class had as code_change before the last release of its module, under the same `__vsn__`."""

    # API

    @property
    def modules(self) -> dict[str, ModuleVersion]:
        """What runs now, by module name."""
        return self.importer.modules

    def install(self, sources: Mapping[str, str] | None = None) -> None:
        """Take part in imports: call it before any managed module is imported.

        With `sources` (relative path -> text) these are the code, and the files on disk play no part.
        """
        self.importer.install(sources)

    def uninstall(self) -> None:
        self.importer.uninstall()

    def running(self) -> dict[str, str]:
        """Return the sha256 of each managed module that is loaded, by relative path."""
        return {version.relative: version.sha for version in self.modules.values()}

    def warm(self) -> None:
        """Learn the imports of all loaded modules, in slices, so that the first release need not."""
        read_imports(self.importer, _between)

    def plan(self, sources: Sources, *, direction: Direction = "up") -> Plan:
        """Work out what `sources` would change. Touches nothing; gives way between slices. Raises Refused."""
        with uncollected():
            try:
                return make_plan(self.importer, sources, direction, _between)
            except Refused:
                self._forget_syntax()
                raise

    def apply(self, plan: Plan, *, extra: Any = None, selfchecks: bool = True) -> Report:
        """Make a plan live. Blocks until it is, or nothing of it is and Refused says why.

        `extra` is handed to every `code_change`. `selfchecks`: run them in the step; needless when they ran aside.
        """
        began = perf_counter()
        seconds = {"quiesce": 0.0, "look": 0.0, "step": 0.0}
        changed = plan.vsn_changes
        until = monotonic() + self.quiesce
        remade = _remade_structs(plan)
        users = {user for module in remade for user in self._users_of(module)}
        self._remember_callbacks(plan)
        held = quiesce(changed, self.quiesce, users, self.former) if changed or users else None
        seconds["quiesce"] = perf_counter() - began
        kernel.hooks.call(kernel.hooks.on_release, True)
        try:
            try:
                commit = self._attempt(plan, held, extra, selfchecks, until, seconds, at_rest=bool(remade))
            except LayoutChanged as error:
                # Callbacks may be at work with such instances: let those finish that could be. What is alive then is kept.
                if held is not None:
                    held.release()
                users |= self._users_of(error.cls.__module__)
                error.__traceback__ = None  # its frames hold instances, too
                held = quiesce(changed, max(0.0, until - monotonic()), users, self.former)
                seconds["quiesce"] = perf_counter() - began
                try:
                    commit = self._attempt(plan, held, extra, selfchecks, until, seconds, at_rest=True)
                except LayoutChanged as again:
                    again.__traceback__ = None
                    gc.collect()  # nobody may hold them any more but each other
                    commit = self._attempt(plan, held, extra, selfchecks, until, seconds, at_rest=True)
        except Refused:
            self._forget_syntax()
            raise
        finally:
            kernel.hooks.call(kernel.hooks.on_release, False)
            if held is not None:
                held.release()
        notes = advice(commit, give_way)
        if changed and held and not users and not commit.migrated:
            count = (
                "a process keeps its state" if len(held) == 1 else f"{len(held)} processes keep their states"
            )
            notes.append(
                f"{count} although __vsn__ of {', '.join(sorted(changed))} changes: no class of theirs has a code_change"
            )
        kept = [*commit.kept.values(), *results_of_before(commit, give_way)]
        self._forget_callbacks(plan)
        self._settle(plan, commit)
        supervisors = refresh(plan.modules, self.quiesce, give_way)
        noted = [str(one) for one in supervisors if one.new or one.gone or one.error]
        seconds["total"] = perf_counter() - began
        return Report(
            modules=list(plan.modules), added=sorted(plan.added), deleted=sorted(plan.deleted), changes=_told(plan, commit),
            kept=kept, warnings=[*commit.warnings, *notes, *noted], since=commit.since, migrated=commit.migrated,
            seconds=seconds, supervisors=supervisors,
        )  # fmt: skip

    def push(self, sources: Sources, *, direction: Direction = "up", extra: Any = None) -> Report:
        """Plan and apply. Rolling back is a push of the sources before, with direction "down"."""
        began = perf_counter()
        with uncollected():
            plan = self.plan(sources, direction=direction)
            planned = perf_counter() - began
            report = self.apply(plan, extra=extra)
        report.seconds["plan"] = planned
        report.seconds["total"] += planned
        return report

    # Internals

    def _attempt(
        self,
        plan: Plan,
        held: Any,
        extra: Any,
        selfchecks: bool,
        until: float,
        seconds: dict[str, float],
        *,
        at_rest: bool = False,
    ) -> Commit:
        """Walk the heap and take the step."""
        began = perf_counter()
        classes, structs = _classes_of(plan)
        codes = [id(old) for module in plan.modules.values() for old, _ in module.swaps]
        heap = Heap(codes, classes, [*structs, *_following_structs(plan)] if at_rest else ())
        with uncollected():  # until the step is over: what is born meanwhile stays in the youngest generation
            heap.look(give_way)
            seconds["look"] += perf_counter() - began
            commit = Commit(self.importer, plan, heap)
            commit.selfchecks = selfchecks
            commit.at_rest = at_rest

            def run() -> float | None:
                if kernel.busy_threads():
                    return None
                commit.since, start = kernel.clock.now(), perf_counter()
                commit.run(held, extra)
                return perf_counter() - start

            with kernel.hold_threads(_HOLD):
                while (taken := kernel.step(run) if held is None else held.step(run)) is None:
                    self._wait_for_threads(until)
        seconds["step"] = taken
        return commit

    def _remember_callbacks(self, plan: Plan) -> None:
        for name, module in plan.modules.items():
            if module.old.vsn is not None:
                self.former |= callbacks_of(name)

    def _forget_callbacks(self, plan: Plan) -> None:
        """The release is live: those of states that have another form now, and of classes that are not there any more, go."""
        for name, qualname in list(self.former):
            is_gone = name in plan.deleted or name in plan.vsn_changes
            if is_gone or not hasattr(sys.modules.get(name), qualname):
                del self.former[name, qualname]

    def _forget_syntax(self) -> None:
        """A refused plan has made the trees of what runs, and nobody needs them now."""
        for version in self.modules.values():
            if version.has_syntax:
                version.forget_syntax()

    def _users_of(self, module: str) -> set[str]:
        """Return the managed modules that may have to do with a module's classes: those that import it, however far."""
        found, open_ = {module}, [module]
        while open_:
            base = open_.pop()
            for name, version in self.modules.items():
                if name not in found and base in version.imports:
                    found.add(name)
                    open_.append(name)
        return found

    def _wait_for_threads(self, until: float) -> None:
        if monotonic() > until:
            count = kernel.busy_threads()
            raise Refused(
                f"{count} job{'s' * (count != 1)} of the thread pool did not finish within {self.quiesce:g} s"
                f" ({'; '.join(kernel.thread_work())})", kind="busy",
                hint="push again when they have, or allow more time with code.quiesce",
            )  # fmt: skip
        kernel.pause(_RETRY)

    def _settle(self, plan: Plan, commit: Commit) -> None:
        """The release is live: take it into the books."""
        release = self.importer.release
        if release is not None:
            for relative, text in plan.sources.items():
                if text is None:
                    release.pop(relative, None)
                else:
                    release[relative] = text
        for code, module, sha in commit.retired:
            self.retired.add(code, module, sha)
        for name in {*commit.changed, *plan.modules, *plan.added, *plan.followers}:
            version = self.modules.get(name)
            if version is not None and version.has_syntax:
                version.forget_syntax(give_way)
        for changed in plan.modules.values():
            give_way()
            changed.old.forget_syntax()
            give_way()
            changed.forget(give_way)


def give_way() -> None:
    """Let everybody have a turn. A step of nothing would not: it is over before the run queue goes on."""
    try:
        kernel.yield_()
    except kernel.NotAProcess:  # a main program
        kernel.pause(0.0)


def _between() -> None:
    """Between two slices of work that makes many objects."""
    give_way()
    collect_young()


def _classes_of(plan: Plan) -> tuple[list[type], list[type]]:
    """The living classes whose instances may be needed: those that are changed in place, and Structs that are not."""
    found: list[type] = []
    structs: list[type] = []
    for module in plan.modules.values():
        living = sys.modules.get(module.name)
        for step in module.steps:
            cls = getattr(living, step.unit.name, None)
            if step.class_plan is not None and isinstance(cls, type):
                (structs if is_struct(cls) else found).append(cls)
    return found, structs


def _following_structs(plan: Plan) -> list[type]:
    """The Structs that may have to be exchanged because they have one of the release's as a field, or as a base."""
    found = []
    for name in (*plan.modules, *plan.followers):
        module = sys.modules.get(name)
        found += [
            value
            for value in getattr(module, "__dict__", {}).values()
            if isinstance(value, type) and value.__module__ == name and is_struct(value)
        ]
    return found


def _remade_structs(plan: Plan) -> set[str]:
    """The modules of Structs that are certainly exchanged: made anew, and no field is added that has no default.

    So the processes that have to do with them can be brought to rest at once, and not after a first step in vain.
    """
    return {
        module.name
        for module in plan.modules.values()
        for step in module.steps
        if step.class_plan is not None
        and step.class_plan.rebuild
        and is_struct(getattr(sys.modules.get(module.name), step.unit.name, type(None)))
        and all(
            isinstance(member.unit.node, ast.AnnAssign) and member.unit.node.value is not None
            for member in step.class_plan.steps
            if member.old is None and not member.unit.is_function
        )
    }


def _told(plan: Plan, commit: Commit) -> list[Change]:
    """What to tell people: the plan, and what followed from it."""
    planned = {(change.module, change.name) for change in plan.changes}
    return [*plan.changes, *(c for c in commit.changes if (c.module, c.name) not in planned)]
