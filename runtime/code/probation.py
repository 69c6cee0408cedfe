"""Probation: for a while after a release, is anything worse than it was before?

| what is counted                                          | limit                  |
|----------------------------------------------------------|------------------------|
| crashes with a changed file in their traceback           | `max_crashes` more     |
| children of supervisors that ended by changed code       | `max_restarts` more    |
| supervisors out of restarts over a child of changed code | one                    |
| callbacks that held the node, a changed file on the stack| `max_hogs` more        |
| alarms raised (not those of what is around the code; of  | `max_alarms` more      |
| much to do, while changed code is at work more)          |                        |
| errors logged by changed code, or with it in the trace   | `max_errors` more      |
| how late timers fire, on average: everybody waits, and   |                        |
| changed code is at work for more of the time than before | `max_lag` later        |
| the share of its time that the node is in changed code   | `max_busy` more        |

In crashes, restarts, supervisors and logged errors, "changed code" is also code that uses it: a module that imports a changed
one, directly or indirectly, is in the traceback, and the failure is of a kind (exception and innermost function) that the
node had not seen before the release. So a rename that breaks unchanged callers is noticed; what failed before, and what fails
in code that has nothing to do with the release, is not held against it.

"More" than in as long a time before the release: what failed three times a minute before may do so again. (A node that has
not been up for so long has its time before counted up, so that one that is noisy from its start is not held against the
release.) A limit of 0 is never passed. More work is not slower code: when the node's other code has more to do by some
factor, changed code may have so too.

Releases that follow each other within their probations are *stages* of one: the files of all are watched, what went wrong
since the first counts, and a breach goes back to before it, for none has been found good. A stage whose own time is up is
good, and the next one is the first.

Keys: code.probation, code.watch_probation, code.max_crashes, code.max_restarts, code.max_hogs, code.max_alarms,
code.max_errors, code.max_lag, code.max_busy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from runtime.code.ledger import ANYWHERE, Incident, Ledger
from runtime.code.report_text import seconds_text

__all__ = ["Limits", "Probation", "Stage"]

_LAG_SAMPLES = 20
"""Fewer say nothing about how late timers are: two seconds' worth."""
_BUSY_SAMPLES = 60
"""Nor about who is busy: three seconds' worth."""
_COVERED = 5.0
_LATELY = 5.0
"""Seconds for which a crash may be why somebody else misses a process."""
_FACTOR = 4.0
"""A time before that is at least so long (seconds) is counted up, to so many times what it was."""
_NOISE = 0.02
"""Of the time; a smaller share says nothing about how much work there is."""
_SAID: tuple[tuple[str, str, str, str], ...] = (
    ("crash", "max_crashes", "crash in changed code", "crashes in changed code"),
    (
        "shutdown",
        "",
        "supervisor out of restarts over changed code",
        "supervisors out of restarts over changed code",
    ),
    ("hog", "max_hogs", "callback of changed code held the node", "callbacks of changed code held the node"),
    ("restart", "max_restarts", "child ended by changed code", "children ended by changed code"),
    ("alarm", "max_alarms", "alarm", "alarms"),
    ("error", "max_errors", "error logged by changed code", "errors logged by changed code"),
)

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a release may do. Seconds, counts and (`max_busy`) a share of 1, see above; `probation` 0: none."""

    probation: float = 60.0
    watch_probation: float = 10.0
    max_crashes: int = 3
    max_restarts: int = 5
    max_hogs: int = 1
    max_alarms: int = 1
    max_errors: int = 10
    max_lag: float = 0.05
    max_busy: float = 0.4

    def length(self, kind: str) -> float:
        """Return how long a release of this kind is on probation (seconds; 0: not at all)."""
        return self.watch_probation if kind in ("watch", "boot") else self.probation

    def first(self, kind: str) -> str:
        """Return what a release of this kind is at first: on probation, if there is one."""
        return "probation" if self.length(kind) > 0 else "good"


class Stage(NamedTuple):
    """A release on probation: `files` are the absolute paths of its modules, `users` those of the modules that import them;
    `since` is the kernel's clock.
    """

    release: Any
    files: frozenset[str]
    since: float
    length: float
    users: frozenset[str] = frozenset()

    @property
    def end(self) -> float:
        """When its time is up."""
        return self.since + self.length


class _Before(NamedTuple):
    """How it was before the first stage."""

    seconds: float
    counts: dict[str, int]
    lag: float
    busy: float
    others: float


@dataclass(slots=True)
class Probation:
    """One release, the last of `stages`, with those that it followed. `back_to`: the release that ran before the first."""

    ledger: Ledger
    limits: Limits
    back_to: Any
    stages: tuple[Stage, ...]
    _before: _Before = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._look_back()

    @property
    def release(self) -> Any:
        """The release that runs."""
        return self.stages[-1].release

    @property
    def earlier(self) -> tuple[Any, ...]:
        """Those that it followed, oldest first."""
        return tuple(stage.release for stage in self.stages[:-1])

    @property
    def since(self) -> float:
        """Since when what goes wrong counts (the kernel's clock)."""
        return self.stages[0].since

    @property
    def length(self) -> float:
        """How long the longest of them is watched (seconds)."""
        return max(stage.length for stage in self.stages)

    @property
    def files(self) -> frozenset[str]:
        """Absolute paths of the changed modules of all of them."""
        return frozenset().union(*(stage.files for stage in self.stages))

    @property
    def users(self) -> frozenset[str]:
        """Absolute paths of the modules that import them, of all."""
        return frozenset().union(*(stage.users for stage in self.stages))

    def followed_by(self, stage: Stage) -> Probation:
        """Return the probation of a release that comes within this one."""
        return Probation(self.ledger, self.limits, self.back_to, (*self.stages, stage))

    def until(self, id_: str) -> tuple[Stage, ...]:
        """Return the stages up to that of a release; none if it is not one of them."""
        ids = [stage.release.id for stage in self.stages]
        return self.stages[: ids.index(id_) + 1] if id_ in ids else ()

    def take_good(self, now: float) -> list[Any]:
        """Take out the first stages whose own time is up while later ones go on; return their releases."""
        good = []
        while len(self.stages) > 1 and self.stages[0].end <= now:
            good.append(self.stages[0].release)
            self.back_to, self.stages = self.stages[0].release, self.stages[1:]
        if good:
            self._before = self._look_back()
        return good

    def is_over(self, now: float) -> bool:
        """Tell whether the time is up."""
        return self.left(now) <= 0

    def left(self, now: float) -> float:
        """Return how many seconds are left."""
        return max(0.0, max(stage.end for stage in self.stages) - now)

    def breach(self, now: float, also: Incident | None = None) -> str:
        """Return a sentence about the first limit that is passed; empty while none is. `also`: as if this had happened."""
        found = self._found(now)
        if also is not None and self.ledger.concerns(also, self.since, self.files, self.users):
            found.setdefault(also.kind, []).append(also)
        for kind, key, one, many in _SAID:
            limit = getattr(self.limits, key) if key else 1
            after = found.get(kind, [])
            if limit and len(after) >= limit and len(after) - self._expected(kind) >= limit:
                return self._said(after, one if len(after) == 1 else many, kind)
        return self._late(now) or self._busy(now)

    def has_crashed_lately(self, now: float) -> bool:
        """Tell whether a process of changed code ended a moment ago: who needs it may miss it."""
        found = self._found(now)
        return any(one.at >= now - _LATELY for one in [*found.get("crash", ()), *found.get("restart", ())])

    def went_wrong(self, now: float) -> bool:
        """Tell whether anything at all was counted."""
        return any(self._found(now).values())

    def shown(self, now: float) -> dict[str, Any]:
        """Return what is watched, as plain data: for each the count now, before, the limit, and what was last."""
        found, before = self._found(now), self._before
        rows: dict[str, Any] = {
            kind: {
                "now": len(found.get(kind, ())),
                "before": before.counts.get(kind, 0),
                "limit": getattr(self.limits, key) if key else 1,
                "last": found[kind][-1].text if kind in found else "",
            }
            for kind, key, _, _ in _SAID
        }
        lag = self.ledger.lag(self.since, now + 1.0)[0]
        rows["lag"] = {"now": lag, "before": before.lag, "limit": self.limits.max_lag}
        busy = self.ledger.busy(self.since, now + 1.0, self.files)[0]
        rows["busy"] = {"now": busy, "before": before.busy, "limit": self.limits.max_busy}
        return {
            "release": self.release.id, "back_to": self.back_to.id, "left": self.left(now), "length": self.length,
            "files": sorted(self.files), "watched": rows,
        }  # fmt: skip

    # internals

    def _found(self, now: float) -> dict[str, list[Incident]]:
        found = self.ledger.between(self.since, now + 1.0, self.files, self.users)
        load = found.pop("load", [])
        if load and self._works_more(now):
            found["alarm"] = sorted(found.get("alarm", []) + load, key=itemgetter(0))
        return found

    def _works_more(self, now: float) -> bool:
        """Tell whether changed code has been seen at work for more of the time than before: else there is more to do, or the
        machine is short of time. Where nobody looks (no watchdog), it may be so.
        """
        more, _, samples = self._more_busy(now)
        return not samples or (samples >= _BUSY_SAMPLES and more > _NOISE)

    def _more_busy(self, now: float) -> tuple[float, float, int]:
        """Return by how much the share of the time in changed code has grown beyond that of all code, what it is, and of how
        many samples.
        """
        busy, others, samples = self.ledger.busy(self.since, now + 1.0, self.files)
        before = self._before
        more_work = max(1.0, others / before.others) if before.others > _NOISE else 1.0
        return busy - before.busy * more_work, busy, samples

    def _look_back(self) -> _Before:
        # Once, and kept: a storm of incidents pushes the old ones out of the ledger.
        until, files = self.since, self.files
        begin = max(until - self.length, self.ledger.opened)
        counts = {kind: len(found) for kind, found in self.ledger.between(begin, until, files).items()}
        counts["alarm"] = counts.get("alarm", 0) + counts.pop("load", 0)
        busy, others, _ = self.ledger.busy(begin, until, files)
        return _Before(max(0.0, until - begin), counts, self.ledger.lag(begin, until)[0], busy, others)

    def _expected(self, kind: str) -> float:
        before = self._before
        count = before.counts.get(kind, 0)
        return count * min(_FACTOR, self.length / before.seconds) if before.seconds >= _COVERED else count

    def _said(self, after: list[Incident], what: str, kind: str) -> str:
        took = seconds_text(max(after[-1].at - self.since, 0.0))
        before = f"{self._before.counts.get(kind, 0)} in the {seconds_text(self._before.seconds)} before"
        if all(self.files.isdisjoint(one.files) and ANYWHERE not in one.files for one in after):
            what = what.replace("changed code", "code that uses what was changed, of a new kind,")
        return f"{len(after)} {what} within {took} ({before}); the last: {after[-1].text}"

    def _late(self, now: float) -> str:
        late, samples = self.ledger.lag(self.since, now + 1.0)
        usual, limit = self._before.lag, self.limits.max_lag
        if not limit or samples < _LAG_SAMPLES or late - usual <= limit:
            return ""
        if not self._works_more(now):
            return ""
        return f"timers fire {seconds_text(late)} late on average ({seconds_text(usual)} before): the node is slow"

    def _busy(self, now: float) -> str:
        limit, before = self.limits.max_busy, self._before.busy
        more, busy, samples = self._more_busy(now)
        if not limit or samples < _BUSY_SAMPLES or more <= limit:
            return ""
        return f"the node is in changed code for {busy:.0%} of the time ({before:.0%} before): it has become slower"
