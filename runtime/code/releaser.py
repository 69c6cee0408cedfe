"""One release from beginning to end: plan, check aside, step, release log; and the way back.

    push        what differs from what runs ─▶ plan ─▶ check in a child ─▶ step ─▶ log       any failure: nothing has changed
    rollback    what differs from an earlier release ─▶ plan ─▶ step ("down") ─▶ log

What the texts of a node are is in `managed`, what the log says of earlier releases in `earlier`.

It is called by one process at a time, the code server's worker, which may block. A release counts when it stands in the
log: if the disk does not take it, it is taken back. A way back is not: whoever goes back has a reason, and the log follows
when it can. What was refused is kept in the log as well, with the reason.

A worker that is killed between step and log leaves what runs without a name; `reconcile` gives it one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from runtime import kernel
from runtime.code import earlier, managed
from runtime.code.check import Checker
from runtime.code.engine import Engine, Report
from runtime.code.errors import Refused
from runtime.code.heap import uncollected
from runtime.code.kinds import Kinds
from runtime.code.known_bad import known_bad
from runtime.code.plan import Direction, Plan
from runtime.code.release_log import ENDED, Release, ReleaseLog, UnknownRelease, outcome
from runtime.code.report_text import notes_of

__all__ = ["Done", "Progress", "Releaser"]

_log = logging.getLogger("evergreen.code")
Progress = Callable[..., None]
"""Called as progress(stage, **facts) from the worker; must not block."""

_NOTES, _NOTE = 20, 500
"""How many lines of notes the log keeps of a release, and how much of each."""

# Types


class Done(NamedTuple):
    """A release that took effect in place of `left`. `report` is None when nothing was different."""

    release: Release
    report: Report | None
    left: Release


def goes_down(changes: Mapping[str, tuple[Any, Any]]) -> bool:
    """Tell whether all versions of states that change become lower: `code_change` is asked for the way back then."""
    return bool(changes) and all(
        isinstance(old, (int, float)) and (new is None or (isinstance(new, (int, float)) and new < old))
        for old, new in changes.values()
    )


def direction_of(changes: Mapping[str, tuple[Any, Any]], by_age: Direction) -> Direction:
    """Return which way states go: as their versions say, and by the age of the releases where these say nothing.

    A release that is gone back to may be the newer form: what lies between may have been a way back itself.
    """
    if goes_down(changes):
        return "down"
    if changes and all(
        isinstance(new, (int, float)) and (old is None or (isinstance(old, (int, float)) and old < new))
        for old, new in changes.values()
    ):
        return "up"
    return by_age


class Releaser:
    """`from_log`: the release log, and not the tree, says what this node runs (push mode).

    `chosen`: the release that somebody named for this start, in place of the last good one.
    `entries`: modules that a cold start imports first. `checks`: releases are imported aside first, by `checker`.
    `current` is the release that runs.
    """

    __handed_over__: ClassVar[bool] = True

    def __init__(
        self,
        engine: Engine,
        log: ReleaseLog,
        *,
        from_log: bool = False,
        chosen: Release | None = None,
        entries: Sequence[str] = (),
        checker: Checker | None = None,
    ) -> None:
        self.engine = engine
        self.log = log
        self.from_log = from_log
        self.chosen = chosen
        self.entries = tuple(entries)
        self.checker = checker
        self.checks = checker is not None
        self.kinds = Kinds()
        """What has failed in this node so far; here, since the code server may be started anew."""
        self._current: Release | None = None
        self.replaced: Mapping[str, str | None] = {}
        """{path: sha256, None: not there} of what ran until a push or a rollback from elsewhere put something in its place.

        A tree that still has exactly this has not been edited since: watch mode leaves such files alone until they change.
        """

    @property
    def current(self) -> Release:
        """The release that runs. Raises RuntimeError before `begin`."""
        if self._current is None:
            raise RuntimeError("no release runs yet")
        return self._current

    @property
    def has_begun(self) -> bool:
        """Tell whether it is known what runs."""
        return self._current is not None

    def begin(self, result: str = "good") -> Release:
        """Note what the node has booted with. Blocks on files: in a thread, or before the loop runs.

        `result`: what it is at first, when it is not what was found good last: "probation", or there is none.
        """
        good = self.log.last_good()
        known = good if self.from_log else self.log.current()
        whole = managed.whole(self.engine, {})
        if self.chosen is not None and (known is None or known.id != self.chosen.id):
            self._current = self._start_from(self.chosen, known, whole, result)
        elif known is not None and (self.from_log or self._is_of_tree(known, managed.id_of(whole))):
            self._current = known
        else:
            is_good = good is None or good.id == managed.id_of(whole)
            self._current = self.log.add(
                kind="boot", files=whole, base=known.id if known else "", by="node", must=False,
                result="good" if is_good else result,
            )  # fmt: skip
        for other in self.log.releases():
            if other.result == "probation" and other.number != self._current.number:
                self.log.judge_or_remember(other, "rolled_back", ENDED)
        if not self.from_log:
            warning = known_bad(self.log, {path: managed.digest_of(text) for path, text in whole.items()})
            if warning:
                _log.warning("%s", warning)
        if self.from_log and self.engine.importer.release is None:  # the first start: it was of the tree
            self.engine.install(whole)
        return self._current

    def reconcile(self, result: str = "good") -> Release | None:
        """Give what runs a name, if it is not the release that it should be: the worker was killed on its way to the log.

        Returns that release, None when all is as it should be. Blocks on files: in a thread.
        """
        running, files = self.engine.running(), self.current.files
        found = sorted(path for path, sha in running.items() if files.get(path) != sha)
        if not found:
            return None
        sources = {version.relative: version.source for version in list(self.engine.modules.values())}
        managed.rest(self.engine, {path: sources[path] for path in found})
        self._current = self.log.add(
            kind="push", files=managed.whole(self.engine, {}), base=self.current.id, by="node", result=result, must=False,
            note="its push was interrupted when it was live already",
        )  # fmt: skip
        return self._current

    # in the worker

    def plan(
        self, sources: Mapping[str, str | None], direction: Direction = "up", base: str | None = None
    ) -> Plan:
        """Return what `sources` would change. Raises Refused."""
        self._same_base(base)
        return self.engine.plan(
            managed.split(self.engine, managed.different(self.engine, self.current, sources))[0],
            direction=direction,
        )

    def push(
        self, sources: Mapping[str, str | None], *, kind: str, by: str = "", note: str = "", base: str | None = None,
        check: bool = True, extra: Any = None, result: str = "good", force: bool = False, progress: Progress | None = None,
    ) -> Done:  # fmt: skip
        """Make `sources` live and return the release. `base`: the id that the caller believes to run. Raises Refused.

        What was taken back is refused with kind "bad" unless `force`; what a developer saves (kind "watch") is warned of.
        """
        tell = progress or _nothing
        self._same_base(base)
        sources = managed.different(self.engine, self.current, sources)
        if not sources:
            return Done(self.current, None, self.current)
        bad = self.log.found_bad(managed.id_with(self.current, sources))
        if bad is not None and kind != "watch" and not force:
            raise Refused(
                f"this is release {bad} again, which was taken back: {bad.why}", kind="bad",
                hint="change it; or push it all the same with --force (force=True): it is on probation then",
            )  # fmt: skip
        try:
            tell("plan", files=len(sources))
            live, resting = managed.split(self.engine, sources)
            before = managed.texts_of(self.engine, sources)
            with uncollected():
                plan = self.engine.plan(live)
                if goes_down(
                    plan.vsn_changes
                ):  # an old file was saved again: its states are of the older form
                    plan = self.engine.plan(live, direction="down")
                self._needs_entries(plan)
                aside = check and self.checks and not plan.is_empty
                if aside:
                    tell("check", modules=len(plan.modules) + len(plan.added))
                    self._check(plan, sources)
                tell("apply", modules=list(plan.modules))
                report = self.engine.apply(plan, extra=extra, selfchecks=not aside)
            managed.rest(self.engine, resting)
        except Refused as error:
            self._keep_refused(sources, kind, by, note, error)
            raise
        release = self._keep(sources, live, before, report, kind=kind, by=by, note=note, result=result)
        left, self._current = self.current, release
        self._note_replaced(left, release, kind)
        if bad is not None and kind == "watch":
            _log.warning("what is saved now is release %s again, which was taken back: %s", bad, bad.why)
        tell("live", release=release.id)
        return Done(release, report, left)

    def rollback(
        self, to: str | int | Release | None = None, *, by: str = "", why: str = "", note: str = "",
        verdict: str = "rolled_back", extra: Any = None, force: bool = False, result: str = "good",
        progress: Progress | None = None,
    ) -> Done:  # fmt: skip
        """Go back to an earlier release (None: the newest before that was not taken back), states included; note `verdict` on this one.

        One that was itself taken back is gone to with `force` only. It is `result` at first, then, and nothing is held against
        the one that is left. Raises Refused, with kind "base" when there is no such release, "bad" when it was taken back.
        """
        tell = progress or _nothing
        leaving = self.current
        target = earlier.target(self.log, leaving, to)
        bad = (
            self.log.found_bad(target.id) if verdict != "bad" else None
        )  # who goes back by itself has nowhere else to go
        if bad is not None and not force:
            raise Refused(
                f"release {target} was taken back{f' as {bad}' if bad.number != target.number else ''}: {bad.why}",
                kind="bad",
                hint="name another one; or go there all the same with --force (force=True): it is on probation then",
            )
        texts = earlier.texts_in_log(self.log, target)
        running = self.engine.running()
        sources: dict[str, str | None] = {path: None for path in running if path not in texts}
        hashes = target.files
        sources |= {
            path: text
            for path, text in texts.items()
            if running.get(path, leaving.files.get(path)) != hashes[path]
        }
        by_age: Direction = "down" if earlier.age(self.log, target) < earlier.age(self.log, leaving) else "up"
        tell("plan", files=len(sources))
        live, resting = managed.split(self.engine, sources)
        with uncollected():
            plan = self.engine.plan(live, direction=by_age)
            back = direction_of(plan.vsn_changes, by_age)
            if back != by_age:
                plan = self.engine.plan(live, direction=back)
            tell("apply", modules=list(plan.modules))
            replaced = self.replaced
            self._note_replaced(
                leaving, target, "rollback"
            )  # by the time that a watcher can see what runs then
            try:
                report = self.engine.apply(plan, extra=extra)
            except BaseException:
                self.replaced = replaced
                raise
        managed.rest(self.engine, resting)
        release = kernel.blocking(
            lambda: self.log.add(
                kind="rollback", files=texts, base=leaving.id, by=by, why=why,
                note=f"back to {target}" + (f": {note}" if note else ""),
                seconds=dict(report.seconds), migrated=report.migrated, notes=_notes(report), must=False,
                result=_after_rollback(target, bad, result),
            )
        )  # fmt: skip
        self._current = release
        if bad is None:
            said = f": {note}" if note else ""
            leaving = self.judge(leaving, verdict, why or f"rolled back by {by or 'somebody'}{said}")
        tell("live", release=release.id)
        return Done(release, report, leaving)

    def judge(self, release: Release, result: str, why: str = "") -> Release:
        """Note what became of a release; a log that cannot be written is said, and does not undo what happened."""
        judged = kernel.blocking(outcome, self.log.judge_or_remember, release, result, why)
        if isinstance(judged, UnknownRelease):  # forgotten meanwhile
            return release
        if self._current is not None and judged.number == self._current.number:
            self._current = judged
        return judged  # type: ignore[no-any-return]

    # internals

    def _is_of_tree(self, known: Release, id_: str) -> bool:
        """Is this what the tree has, and either judged, or still to be?"""
        return known.id == id_ and (known.result == "probation" or self.log.found_bad(id_) is None)

    def _start_from(
        self, chosen: Release, instead: Release | None, whole: Mapping[str, str], result: str
    ) -> Release:
        why = f"the node was started from {chosen}, as named by its operator"
        bad = self.log.found_bad(chosen.id)
        release = self.log.add(
            kind="rollback", files=whole, base=instead.id if instead is not None else "", by="operator",
            note=f"back to {chosen}", why=why, must=False, result="good" if bad is None else result,
        )  # fmt: skip
        if bad is not None:
            trial = "; it is on probation" if release.result == "probation" else ""
            _log.warning("this start is from release %s, which was taken back: %s%s", chosen, bad.why, trial)
        elif instead is not None:
            self.log.judge_or_remember(instead, "rolled_back", why)
        return release

    def _note_replaced(self, left: Release, release: Release, kind: str) -> None:
        """Remember what the tree may still have of what was just replaced; a saved file is the tree's own."""
        changed = {p for p in {*left.files, *release.files} if left.files.get(p) != release.files.get(p)}
        replaced = {path: sha for path, sha in self.replaced.items() if path not in changed}
        if kind != "watch":
            replaced |= {path: left.files.get(path) for path in changed}
        self.replaced = replaced

    def _needs_entries(self, plan: Plan) -> None:
        for name in self.entries:
            if name in plan.deleted:
                raise Refused(
                    "an application of this node is in it (node.applications): it could not start from this release",
                    kind="deleted", module=name, hint="keep the module; or take the application out, and restart the node",
                )  # fmt: skip

    def _same_base(self, base: str | None) -> None:
        if base is not None and base != self.current.id:
            raise Refused(
                f"it was made for release {base}, but {self.current} runs",
                kind="base",
                hint="look at the difference, and push again",
            )

    def _check(self, plan: Plan, sources: Mapping[str, str | None]) -> None:
        assert self.checker is not None
        release = self.engine.importer.release
        whole = {
            **(release or {}),
            **{v.relative: v.source for v in self.engine.modules.values()},
            **sources,
        }
        gone = set(plan.deleted)
        order = dict.fromkeys([*self.entries, *self.engine.modules, *plan.added])
        modules = [name for name in order if name not in gone]
        self.checker.check(whole, modules, [*plan.modules, *plan.added], disk=release is None)

    def _keep(
        self, sources: Mapping[str, str | None], live: Iterable[str], before: Mapping[str, str | None], report: Report,
        **more: Any,
    ) -> Release:  # fmt: skip
        base = self.current
        kept = kernel.blocking(
            outcome,
            lambda: self.log.add(
                files=managed.whole(self.engine, sources), base=base.id, seconds=dict(report.seconds), migrated=report.migrated,
                notes=_notes(report), **more,
            ),
        )  # fmt: skip
        if isinstance(kept, Release):
            return kept
        try:
            self.engine.push({path: before[path] for path in live}, direction="down")
        except Refused as error:
            raise Refused(
                f"the release log cannot be written ({kept}), and the release could not be taken back either: {error}",
                hint="it runs without a place in the log, and a restart of the node is without it: make room, and push again",
            ) from None
        managed.rest(self.engine, before)
        raise Refused(
            f"the release log cannot be written, so it was taken back: {kept}",
            hint="make room on the disk under data_dir, and push again",
        )

    def _keep_refused(
        self, sources: Mapping[str, str | None], kind: str, by: str, note: str, error: Refused
    ) -> None:
        base = self.current.id
        kept = kernel.blocking(
            outcome,
            lambda: self.log.add(
                kind=kind, files=managed.whole(self.engine, sources), base=base, by=by, note=note, result="refused", why=str(error)
            ),
        )  # fmt: skip
        if isinstance(kept, Exception):
            _log.warning(
                "the release log cannot be written, so it does not say that this was refused: %s", kept
            )


# Internals


def _after_rollback(target: Release, bad: Release | None, result: str) -> str:
    """What a release is at first that was gone back to: one that was not found good is not so now, either."""
    if bad is not None:
        return result
    return "probation" if target.result == "probation" else "good"


def _notes(report: Report) -> list[str]:
    """Return what the log keeps of a report's notes."""
    return [note[:_NOTE] for note in notes_of(report)[:_NOTES]]


def _nothing(*_: Any, **__: Any) -> None:
    pass
