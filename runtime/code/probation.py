"""Probation: for a while after a release, is anything worse than it was before?

| what is counted                                          | limit                  |
|----------------------------------------------------------|------------------------|
| crashes with a changed file in their traceback           | `max_crashes` more     |
| children of supervisors that ended by changed code       | `max_restarts` more    |
| supervisors that gave up over a child of changed code    | one                    |
| callbacks that held the node, a changed file on the stack| `max_hogs` more        |
| alarms raised (not those of disk, network and store)     | `max_alarms` more      |
| errors logged by changed code, or with it in the trace   | `max_errors` more      |
| how late timers fire, on average: everybody waits        | `max_lag` later        |

"More" than in as long a time before the release: what failed three times a minute before may do so again. A limit of 0 is
never passed. The probation of a release that follows another within its probation watches the files of both and goes back
to where the first one started: neither has been found good.

Keys: code.probation, code.watch_probation, code.max_crashes, code.max_restarts, code.max_hogs, code.max_alarms,
code.max_errors, code.max_lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.code.ledger import Ledger
from runtime.code.report_text import seconds_text

__all__ = ["Limits", "Probation"]

_LAG_SAMPLES = 20
"""Fewer say nothing about how late timers are: two seconds' worth."""
_SAID: tuple[tuple[str, str, str, str], ...] = (
    ("crash", "max_crashes", "crash in changed code", "crashes in changed code"),
    ("shutdown", "", "supervisor gave up over changed code", "supervisors gave up over changed code"),
    ("hog", "max_hogs", "callback of changed code held the node", "callbacks of changed code held the node"),
    ("restart", "max_restarts", "child ended by changed code", "children ended by changed code"),
    ("alarm", "max_alarms", "alarm", "alarms"),
    ("error", "max_errors", "error logged by changed code", "errors logged by changed code"),
)

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a release may do. Seconds and counts, see above; `probation` 0: none."""

    probation: float = 60.0
    watch_probation: float = 10.0
    max_crashes: int = 3
    max_restarts: int = 5
    max_hogs: int = 1
    max_alarms: int = 1
    max_errors: int = 10
    max_lag: float = 0.05

    def length(self, kind: str) -> float:
        """Return how long a release of this kind is on probation (seconds; 0: not at all)."""
        return self.watch_probation if kind == "watch" else self.probation


@dataclass(slots=True)
class Probation:
    """One release on probation. `release` and `back_to` are Releases; times are the kernel's clock."""

    ledger: Ledger
    limits: Limits
    release: Any
    back_to: Any
    files: frozenset[str]
    """Absolute paths of the changed modules."""
    since: float
    length: float
    earlier: tuple[Any, ...] = ()
    """Releases that this one followed within their probation."""

    def is_over(self, now: float) -> bool:
        """Tell whether the time is up."""
        return now >= self.since + self.length

    def left(self, now: float) -> float:
        """Return how many seconds are left."""
        return max(0.0, self.since + self.length - now)

    def breach(self, now: float) -> str:
        """Return a sentence about the first limit that is passed; empty while none is."""
        begin = self.since - self.length
        for kind, key, one, many in _SAID:
            limit = getattr(self.limits, key) if key else 1
            after = self.ledger.between(kind, self.since, now + 1.0, self.files)
            if not limit or len(after) < limit:
                continue
            before = len(self.ledger.between(kind, begin, self.since, self.files))
            if len(after) - before >= limit:
                took = seconds_text(max(after[-1].at - self.since, 0.0))
                what = f"{len(after)} {one if len(after) == 1 else many} within {took}"
                return f"{what} ({before} in the {self.length:g} s before); the last: {after[-1].text}"
        late, samples = self.ledger.lag(self.since, now + 1.0)
        if self.limits.max_lag and samples >= _LAG_SAMPLES:
            usual, _ = self.ledger.lag(begin, self.since)
            if late - usual > self.limits.max_lag:
                return f"timers fire {seconds_text(late)} late on average ({seconds_text(usual)} before): the node is slow"
        return ""

    def shown(self, now: float) -> dict[str, Any]:
        """Return what is watched, as plain data: for each kind the count now, before, and the limit."""
        begin = self.since - self.length
        rows: dict[str, Any] = {
            kind: {
                "now": len(self.ledger.between(kind, self.since, now + 1.0, self.files)),
                "before": len(self.ledger.between(kind, begin, self.since, self.files)),
                "limit": getattr(self.limits, key) if key else 1,
            }
            for kind, key, _, _ in _SAID
        }
        rows["lag"] = {
            "now": self.ledger.lag(self.since, now + 1.0)[0],
            "before": self.ledger.lag(begin, self.since)[0],
            "limit": self.limits.max_lag,
        }
        return {
            "release": self.release.id, "back_to": self.back_to.id, "left": self.left(now), "length": self.length,
            "files": sorted(self.files), "watched": rows,
        }  # fmt: skip
