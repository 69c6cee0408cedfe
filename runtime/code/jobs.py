"""A job of the code server: what is asked, the worker process that does it, and what is answered and told.

A job is done by one worker, which blocks (plan, check, quiesce, disk). When the server ends, so does the worker: nothing of
its release is live, or all of it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.probation import Limits, Probation
from runtime.code.release_log import Release
from runtime.code.releaser import Done, Releaser
from runtime.kernel import Call, Process, Ref

__all__ = ["Answer", "CodeEvent", "Finished", "Job", "Status", "Work", "way_back"]

_AGAIN = 1.0
_TRIES = 5
"""How often a rollback is tried while a process is busy, and the pause between. (seconds)"""

# Types


@dataclass(frozen=True, slots=True)
class Job:
    """What the worker does: `work(releaser, limits)` returns the answer, or raises Refused. `name`: for `status`."""

    name: str
    work: Callable[[Releaser, Limits], Any]
    by: str = ""
    probation: Probation | None = None
    """Whose limits were passed; None: somebody asked for it."""
    why: str = ""

    __handed_over__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Status:
    """What the code server is at. `busy`: the job under way; `waiting`: names of those after it."""

    mode: str
    release: Release
    busy: str
    waiting: tuple[str, ...]
    probation: dict[str, Any] | None
    """What is watched, and where it stands; see `Probation.shown`."""
    alarmed: str
    """Why a rollback was refused, when one was; empty otherwise."""

    __handed_over__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CodeEvent:
    """Message to subscribers. `kind`: live, refused, rolled_back, passed, confirmed, stuck."""

    kind: str
    release: Release | None
    text: str

    __handed_over__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets: a value, or the Refused to raise."""

    value: Any
    error: Refused | None

    __handed_over__: ClassVar[bool] = True


@dataclass(slots=True)
class Work:
    """A job in the queue or under way; `sender` is None when nobody waits for an answer."""

    job: Job
    sender: Call | None
    pid: Process | None = None
    ref: Ref | None = None

    def start(self, releaser: Releaser, limits: Limits) -> None:
        """Let a process of its own do it; the calling one gets a Finished, or the Down of `ref`."""
        self.pid, self.ref = kernel.spawn_monitor(_do, kernel.self_(), self.job, releaser, limits)


@dataclass(frozen=True, slots=True)
class Finished:
    """Message of the worker: the job's value, or why it was refused."""

    value: Any
    error: Refused | None

    __handed_over__: ClassVar[bool] = True


# API


def way_back(probation: Probation, why: str) -> Job:
    """Return the rollback of a release that passed its limits. While a process is busy, it is tried again."""

    def work(releaser: Releaser, _: Limits) -> Done:
        for attempt in range(_TRIES):
            try:
                return releaser.rollback(probation.back_to, by="probation", why=why, verdict="bad")
            except Refused as error:
                if error.kind != "busy" or attempt == _TRIES - 1:
                    releaser.judge(probation.release, "bad", f"{why}; its rollback was refused: {error}")
                    raise
                kernel.sleep(_AGAIN)
        raise AssertionError

    return Job("rollback", work, by="probation", probation=probation, why=why)


# Internals


def _do(server: Process, job: Job, releaser: Releaser, limits: Limits) -> None:
    """The worker."""
    try:
        finished = Finished(job.work(releaser, limits), None)
    except Refused as error:
        finished = Finished(None, error.with_traceback(None))
    kernel.send(server, finished)
