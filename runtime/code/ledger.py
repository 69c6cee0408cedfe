"""What goes wrong in a node, kept for a while: crashes, restarts, hogs, logged errors, alarms; how late timers fire; and
whose code the node is busy with.

Theory of operation: a handler of the log, a hook of the kernel and a timer write here all the time, so that what comes after
a release can be compared with what was before it. An incident knows which managed files had to do with it:

    crash      a process ended by an exception: the files of its traceback
    restart    a supervisor saw a child end: the same, and the file of the child's start function
    shutdown   a supervisor gave up, or would have (restart intensity): of the last child, and of the crashes in its reason,
               its own and those that it met in a callee or below
    hog        a callback held the node: the files on its stack; when it is killed for it later, that is the same one
    error      a log record of level error or above: the file that logged it, and those of its traceback
    alarm      an alarm rose: of the process that it names, if it names one; else it may be anybody's
    load       likewise, but that there is much to do: as often a crowd of clients as slower code

Crashes, and what follows from them, have a kind as well (see `kinds`): one that was never seen before a release may be its
fault although no changed file is in the traceback, but one that uses what was changed.

How busy code is, is found by samples: the watchdog's signal comes 20 times a second, and notes which managed files are on
the stack just then. That costs some microseconds a sample, and nothing where nothing happens.

Crashes and restarts are known by their reports, as whoever reads the log knows them: with `log.level` or `log.levels` above
error, they are not made.

This runs in the hub, in whatever process, in other threads, and (hogs) in a signal's handler: it only appends to a bounded
queue and posts one message. Of a storm the oldest incidents are forgotten: what is counted is then too little.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final, NamedTuple, TypeVar

from runtime import kernel
from runtime.code.kinds import Kind, Kinds, kind_of
from runtime.code.roots import Roots
from runtime.kernel import NOPROC, CallError, Crash, Process, Shutdown, clock, hooks
from runtime.otp.outcome import StartError
from runtime.otp.reports import CrashReport
from runtime.otp.reprieve import GiveUp
from runtime.otp.supervisor_report import MAX_RESTARTS, Offender, SupervisorReport

__all__ = ["ANYWHERE", "NOTED", "Incident", "Ledger", "misses_process"]

NOTED: Final = "code_noted"
"""Message to the process: there are incidents that it has not seen."""
ANYWHERE: Final = "*"
"""In `files`: nobody knows whose it is."""

_KEPT = 10_000
_SAMPLE = 0.1
_DEAD = 1_000
_STACKS = 1_000
_WORST = 20
_SAME = 0.1
"""Two reports about one callback agree so well on when it began. (seconds)"""
_DEEP = 50
"""Parts of an exit reason that are looked at."""
_FILE = re.compile(r'File "([^"]+)"')
_ENVIRONMENT = (
    "busy_connections", "certificate", "code_", "crash_loop", "descriptors", "disk", "long_schedule", "net", "store",
)  # fmt: skip
"""Alarms (how their ids begin) that no release raises, or that are counted as something else."""
_LOAD: Final = frozenset({"loop_lag", "run_queue"})
"""Alarms about how much there is to do."""
_OPERATORS: Final = frozenset({"alarm_sender", "control", "dashboard"})
"""Likewise, by the whole word: a webhook that does not answer, the way in, its port."""

T = TypeVar("T", bound=tuple[Any, ...])

# Types


class Incident(NamedTuple):
    """`at`: the kernel's clock; `files`: absolute paths, or ANYWHERE; `text`: one line for people; `kinds`: see there."""

    at: float
    kind: str
    files: frozenset[str]
    text: str
    kinds: frozenset[Kind] = frozenset()


class _Cause(NamedTuple):
    """Why a process ended: the managed files of its traceback, and the kind of its failure."""

    files: frozenset[str]
    kinds: frozenset[Kind]


_NOTHING: Final = _Cause(frozenset(), frozenset())


class Ledger:
    """The incidents of one node; `dest` is told of new ones. `open` starts listening, `close` ends it."""

    def __init__(self, roots: Roots, dest: Process, kinds: Kinds | None = None) -> None:
        self.roots = roots
        self.kinds = kinds if kinds is not None else Kinds()
        self.dest = dest
        self.incidents: deque[Incident] = deque(maxlen=_KEPT)
        self.lags: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """(when, seconds that a timer was late)."""
        self.samples: deque[tuple[float, frozenset[str]]] = deque(maxlen=_KEPT)
        """(when, managed files on the stack)."""
        self.opened = 0.0
        self._stacks: dict[frozenset[str], frozenset[str]] = {}
        self._base = str(roots.base) + "/"
        self._told = False
        self._dead: OrderedDict[Any, _Cause] = OrderedDict()
        self._hogged: tuple[Any, float] = (None, 0.0)
        """Who held the node last, and since when."""
        self._log = _Handler(self)
        self._timer: Any = None

    def open(self) -> None:
        """Start listening."""
        self.opened = clock.now()
        hooks.on_hog.append(self._hog)
        hooks.on_tick.append(self._tick)
        logging.getLogger().addHandler(self._log)
        self._arm()

    def close(self) -> None:
        """End listening. Must not block: it is called from the kernel."""
        hooks.on_hog.remove(self._hog)
        hooks.on_tick.remove(self._tick)
        logging.getLogger().removeHandler(self._log)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> None:
        """The process has been told and looks now."""
        self._told = False

    def between(
        self, since: float, until: float, files: frozenset[str], users: frozenset[str] = frozenset()
    ) -> dict[str, list[Incident]]:
        """Return the incidents in [since, until) that have to do with one of the files: by what they are, oldest first.

        And those of a kind that is new since then, if one of `users` had to do with it: files that use the others.
        """
        found: dict[str, list[Incident]] = {}
        for one in _latest(self.incidents, since):
            if one.at < until and self.concerns(one, since, files, users):
                found.setdefault(one.kind, []).append(one)
        for incidents in found.values():
            incidents.reverse()
        return found

    def concerns(
        self, one: Incident, since: float, files: frozenset[str], users: frozenset[str] = frozenset()
    ) -> bool:
        """Tell whether an incident has to do with one of the files, or is a new kind of failure of one of their users."""
        if not files.isdisjoint(one.files) or ANYWHERE in one.files:
            return True
        return not users.isdisjoint(one.files) and self.kinds.are_new(one.kinds, since)

    def lag(self, since: float, until: float) -> tuple[float, int]:
        """Return how late timers were in that time on average (seconds), and of how many samples.

        Without the worst twentieth: one pause (a machine that stood still, a full collection) is not a slow node.
        """
        found = sorted(late for at, late in _latest(self.lags, since) if at < until)
        usual = found[: len(found) - len(found) // _WORST]
        return (sum(usual) / len(usual) if usual else 0.0), len(found)

    def busy(self, since: float, until: float, files: frozenset[str]) -> tuple[float, float, int]:
        """Return the share of the time in which one of the files was on the stack, that in which only other managed ones
        were, and of how many samples.
        """
        theirs = others = count = 0
        for at, stack in _latest(self.samples, since):
            if at < until:
                count += 1
                if not files.isdisjoint(stack):
                    theirs += 1
                elif stack:
                    others += 1
        return (theirs / count, others / count, count) if count else (0.0, 0.0, 0)

    def alarm(self, id_: Any, description: Any) -> None:
        """Note that an alarm rose. Called by the process that hears of alarms."""
        first = id_[0] if isinstance(id_, tuple) and id_ else id_
        if isinstance(first, str) and (first.startswith(_ENVIRONMENT) or first in _OPERATORS):
            return
        files = frozenset({ANYWHERE})
        for part in id_ if isinstance(id_, tuple) else ():
            if isinstance(part, Process):
                files = self.of_process(part)
        self._note("load" if first in _LOAD else "alarm", files, f"{id_}: {description}")

    def of_process(self, process: Process) -> frozenset[str]:
        """The managed files whose code a process runs, as far as can be seen: of its behaviour's classes."""
        found: set[str] = set(self._dead.get(process, _NOTHING).files)
        for kind in type(process.behaviour).__mro__:
            found |= self._of_module(kind.__module__)
        return frozenset(found)

    def giving_up(self, about: GiveUp) -> Incident:
        """Return what it would be if this supervisor gave up; nothing is noted."""
        files, said = set(self._of_module(Offender.of(None, about.spec).start[0].partition(":")[0])), ""
        kinds: set[Kind] = set()
        for crash in _crashes(about.reason):
            own, more = self._cause(crash)
            files |= own
            kinds |= more
            said = said or (f": {self._said(crash, own)}" if own else "")
        return self._incident(
            "shutdown", files, _out_of_restarts(about.supervisor, about.spec.id) + said, kinds
        )

    def add(self, incident: Incident) -> None:
        """Note an incident, and tell the process."""
        self.kinds.note(incident.kinds, incident.at)
        self.incidents.append(incident)
        if not self._told:
            self._told = True
            kernel.post(self.dest, NOTED)

    # hooks

    def _crash(self, process: Any, crash: Crash) -> None:
        files, kinds = cause = self._cause(crash)
        if files:
            self._dead[process] = cause
            if len(self._dead) > _DEAD:
                self._dead.popitem(last=False)
            self._note("crash", files, self._said(crash, files), kinds)

    def _hog(self, report: Any) -> None:
        files = self._managed(_FILE.findall(report.stack))
        since = clock.now() - report.seconds
        who, before = self._hogged
        self._hogged = report.pid, since
        if report.killed and who is report.pid and abs(since - before) < _SAME:
            return
        if files:
            self._note("hog", files, f"{report.function} held the node for {report.seconds:.2f} s")

    def _tick(self, frame: FrameType | None) -> None:
        paths = set()
        while frame is not None:
            paths.add(frame.f_code.co_filename)
            frame = frame.f_back
        stack = self._managed(paths)
        if len(self._stacks) > _STACKS:
            self._stacks.clear()
        self.samples.append((clock.now(), self._stacks.setdefault(stack, stack)))

    def record(self, record: logging.LogRecord) -> None:
        """Note what is logged as an error: a supervisor's report, or anybody's record."""
        report = getattr(record, "report", None)
        if isinstance(report, CrashReport):
            if isinstance(report.reason, Crash):
                self._crash(report.pid, report.reason)
        elif isinstance(report, SupervisorReport):
            self._supervised(report)
        elif report is None:
            self._logged(record)

    # internals

    def _logged(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        trace = record.exc_info[2] if record.exc_info else None
        places = [(record.pathname, record.funcName)]
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append((code.co_filename, code.co_qualname))
            trace = trace.tb_next
        managed = self._managed(file for file, _ in places)
        if managed:
            file, function = next(place for place in reversed(places) if place[0] in managed)
            text = record.getMessage()[:300]
            name = type(error).__qualname__ if error is not None else "logged"
            # Its args, not its text: what a `__str__` does harms whoever logs.
            said = next((one for one in getattr(error, "args", ())[:1] if isinstance(one, str)), "")
            kind = kind_of(name, said, file, str(function))
            self._note("error", managed, f"{record.name}: {text}", {kind})

    def _cause(self, crash: Crash) -> _Cause:
        """The managed files that a crash passed through, and its kind, by the innermost of them."""
        files = self._managed(place[0] for place in crash.places)
        for file, _, function in reversed(crash.places):
            if file in files:
                return _Cause(files, frozenset({kind_of(crash.error, crash.message, file, function)}))
        return _NOTHING

    def _supervised(self, report: SupervisorReport) -> None:
        offender = report.offender
        cause = self._dead.get(offender.pid, _NOTHING)
        files, kinds = set(cause.files), set(cause.kinds)
        if isinstance(report.reason, Crash):
            own, more = self._cause(report.reason)
            files |= own
            kinds |= more
        if offender.start:
            files |= self._of_module(str(offender.start[0]).partition(":")[0])
        if not files:
            return
        if report.context == "shutdown" and report.reason == MAX_RESTARTS:
            self._note("shutdown", files, _out_of_restarts(report.supervisor, offender.id), kinds)
        elif report.context in ("child_terminated", "start_error"):
            self._note("restart", files, f"child {offender.id} of {report.supervisor} ended", kinds)

    def _note(self, kind: str, files: Iterable[str], text: str, kinds: Iterable[Kind] = ()) -> None:
        self.add(self._incident(kind, files, text, kinds))

    def _incident(self, kind: str, files: Iterable[str], text: str, kinds: Iterable[Kind] = ()) -> Incident:
        return Incident(clock.now(), kind, frozenset(files), text.replace("\n", " "), frozenset(kinds))

    def _said(self, crash: Crash, files: frozenset[str]) -> str:
        where = next((place for place in reversed(crash.places) if place[0] in files), None)
        place = f" in {where[2]} ({self._short(where[0])}:{where[1]})" if where else ""
        return f"{crash.error}: {crash.message}"[:300] + place

    def _managed(self, paths: Iterable[str]) -> frozenset[str]:
        # By the text alone: this is called for every crash, and `owns` asks the disk.
        return frozenset(
            path
            for path in paths
            if path.startswith(self._base) and self.roots.owns_relative(path[len(self._base) :])
        )

    def _of_module(self, name: str) -> frozenset[str]:
        file = getattr(sys.modules.get(name), "__file__", None)
        return self._managed([file]) if file else frozenset()

    def _short(self, path: str) -> str:
        return path.removeprefix(self._base)

    def _arm(self) -> None:
        self._due = clock.now() + _SAMPLE
        self._timer = clock.after(_SAMPLE, self._sample)

    def _sample(self) -> None:
        now = clock.now()
        self.lags.append((now, max(0.0, now - self._due)))
        self._arm()


# API


def misses_process(reason: Any) -> bool:
    """Tell whether an exit reason says that a process was not there."""
    return any(isinstance(one, str) and one == NOPROC for one in _parts(reason))


# Internals


def _latest(entries: deque[T], since: float) -> Iterator[T]:
    """The entries since then, the newest first. They are (nearly) in order; of a storm only the new part is looked at."""
    for entry in list(entries)[::-1]:
        if entry[0] < since:
            return
        yield entry


def _out_of_restarts(supervisor: Any, child: Any) -> str:
    return f"{supervisor}, whose child {child} ended too often"


def _crashes(reason: Any) -> Iterator[Crash]:
    """The crashes in an exit reason: a supervisor that did not start has its child's, a failed call its callee's."""
    return (one for one in _parts(reason) if isinstance(one, Crash))


def _parts(reason: Any) -> Iterator[Any]:
    todo, seen = [reason], 0
    while todo and seen < _DEEP:
        one = todo.pop()
        seen += 1
        yield one
        if isinstance(one, Crash):
            todo.append(one.exception)
        elif isinstance(one, Shutdown):
            todo.append(one.term)
        elif isinstance(one, (CallError, StartError)):
            todo.append(one.reason)
        elif isinstance(one, tuple):
            todo += one


class _Handler(logging.Handler):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.ERROR)
        self._ledger = ledger

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """None is needed: it appends to a queue; and what runs in the hub must not wait for one."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self._ledger.record(record)
