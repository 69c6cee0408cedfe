"""Processes in a release: bringing those to rest whose state changes its form, and changing it.

Theory of operation
-------------------
A release that changes the `__vsn__` of a module concerns every process that keeps an object of one of that module's
classes (or of a class derived from one) as its state: a server, a state machine, an event handler, a connection's
protocol. `quiesce` closes a gate before each (see runtime.kernel.gate): it finishes the callback it is in, and what comes
after that waits, in order. A held process that a running callback waits for, directly or through others, is let on until
it has answered; so processes that call each other come to rest as well.

`Quiesced.step` runs the release in one step of the loop, as soon as all of them are at rest. Those started meanwhile are
found first: one at rest takes part, one in the middle of its `init` is waited for. A process that has not begun its init
needs nothing; it begins in new code. `Quiesced.migrate`, called in that step, runs the code_change callbacks.

Not concerned: processes without an object that keeps their state (plain functions, tasks) and special processes with a
receive loop of their own, even if that takes system messages: nobody but their own stack knows their state. They finish
on the code they began with, `lingering` lists them, and `sys.change_code` is there for those that serve it. A process that
called `enter_loop` is a server like others. Supervisors have no state of this kind either: see runtime.code.supervisors.

What of a process is its state: see runtime.code.subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import PurePath
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar

from runtime import kernel
from runtime.kernel import Gate, Process
from runtime.otp import GenStateMachine

from .errors import Refused, said
from .snapshot import Snapshot
from .subjects import Direction, Former, Subjects, Versions

__all__ = ["Quiesced", "quiesce"]

T = TypeVar("T")

_SCANNED: Final = 5_000
"""Processes looked at in one step of the loop."""
_SHOWN: Final = 3
"""Busy processes that a refusal names."""
_PAUSES: Final = (0.0, 0.0, 0.001, 0.002, 0.005)
"""Seconds between two looks at those still busy; the last one repeats."""

# ----------------------------------------------------------------------------------------------------------- API


def quiesce(
    changed: Versions, limit: float, resting: Collection[str] = (), former: Former | None = None
) -> Quiesced:
    """Bring the processes to rest that keep state of the modules in `changed`, and hold them until `release`.

    Those of the modules in `resting` are held, too, but keep their states as they are. `former`: the code_change of classes
    that have lost theirs. Blocks the caller, a process or the main program, for at most `limit` seconds of real time.

    Raises Refused, kind "busy", naming each process, where it is and for how long, when some stay in a callback; then
    all have been released.
    """
    quiesced = Quiesced(changed, limit, resting, former)
    try:
        quiesced._wait()
    except BaseException:
        quiesced.release()
        raise
    return quiesced


class Quiesced:
    """The processes that a release concerns, held. Iterates over those alive. A context manager: releases at the end."""

    def __init__(
        self, changed: Versions, limit: float, resting: Collection[str] = (), former: Former | None = None
    ) -> None:
        self._changed = dict(changed)
        self._migrating = Subjects(self._changed, former)
        self._resting = {**dict.fromkeys(resting, (None, None)), **self._changed}
        self._subjects = Subjects(self._resting) if resting else self._migrating
        self._limit = limit
        self._deadline = monotonic() + limit
        self._gate = Gate()
        self._processes: dict[Process, None] = {}
        self._moving: dict[Process, float] = {}
        """Those to look at: not at rest yet, or let on. With the time since when each is known to be in a callback."""
        self._busy: list[Process] = []
        """Those that were not at rest at the last look."""
        self._others: list[Process] = []
        """Not concerned so far, but they may be when they go on: a connection that gets its protocol."""
        self._plain: dict[Process, Any] = {}
        """Plain processes, with their behaviour: they may yet enter the loop of a server."""
        self._machines: list[tuple[GenStateMachine, Process]] = []
        """Whose callback mode is to be looked up again."""
        self._source = kernel.processes()
        self._last = 0
        """The number of the newest process that was looked at."""

    def __iter__(self) -> Iterator[Process]:
        return (process for process in self._processes if kernel.is_alive(process))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __enter__(self) -> Quiesced:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()

    def step(self, fn: Callable[[], T]) -> T:
        """Run `fn()` in one step of the loop in which all these processes are at rest, also those started until then.

        Blocks, within the limit given to `quiesce`. Raises what `fn` raises, and Refused "busy" without having run it.
        """
        while True:
            done = kernel.step(lambda: (fn(),) if self._look() else None)
            if done is not None:
                return done[0]
            self._wait()

    def migrate(self, journal: Any, direction: Direction = "up", extra: Any = None) -> int:
        """Bring all states into their new form; return of how many processes a code_change ran. Call it in the step.

        Upwards it is called when the new code is in place, downwards before the old code is: the newer code knows both
        forms. `code_change(old_version, extra)` of each changed module is run on each object, bases first (downwards:
        last), and told the version of its own module, or ("down", the one it goes back to). An object whose class has
        none keeps its state. `journal.undo(fn)` is given what restores all of them.

        Raises Refused, kind "code_change"; then every state is what it was, its containers too.
        """
        snapshot = Snapshot(self._changed)
        undo: list[Callable[[], Any]] = [snapshot.restore]
        of, calls, behaviour = self._migrating.of, self._migrating.calls, self._gate.behaviour
        count = 0
        process: Any = None
        module: str | None = None
        try:
            for process in self._processes:
                if not _has_begun(process):
                    continue
                has_run = False
                for subject in of(behaviour(process)):
                    snapshot.take(subject)
                    result = None
                    for called in calls(subject, direction):
                        has_run = True
                        module = called.module
                        result = called.callback(subject, called.version, extra)
                    if isinstance(subject, GenStateMachine):
                        undo.append(subject.code_changed(process, result, in_place=direction == "up"))
                        self._machines.append((subject, process))
                count += has_run
        except BaseException as error:
            _undo(undo)
            if isinstance(error, Exception | kernel.ProcessExit | kernel.TookTooLong):
                raise self._failure(error, module, process, direction) from error
            raise
        journal.undo(lambda: _undo(undo))
        return count

    def release(self) -> None:
        """Let all go on, with what came meanwhile first and in order. Always called, once or more; does not block."""
        for machine, process in self._machines:
            machine.code_in_place(process)
        self._machines.clear()
        self._gate.open_all()

    # ------------------------------------------------------------------------------------------------ coming to rest

    def _wait(self) -> None:
        """Block until all are at rest."""
        looks = 0
        while not kernel.step(self._look):
            busy = self._busy
            if not busy:  # there are more processes to look at
                kernel.pause(0)
                continue
            me = _me()
            if me is not None and (me in busy or me in self._gate.reach(busy)):
                raise Refused(
                    f"{busy[0]!r} waits for this release in a callback, and the release changes its state",
                    kind="busy",
                    hint="Push from a process of its own, and do not wait for it in the callback.",
                )
            if monotonic() > self._deadline:
                raise self._refusal(busy)
            kernel.pause(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1

    def _look(self) -> bool:
        """In a step: hold those started since the last look. Return whether all are at rest."""
        done = self._scan()
        for process in self._gate.take_left():
            self._moving.setdefault(process, 0.0)
        now = monotonic()
        self._busy = [process for process in list(self._moving) if not self._settle(process, now)]
        for process in self._gate.reach(self._busy):
            if self._gate.is_closed(process) and process not in self._moving:
                self._gate.open(process)
                self._moving[process] = 0.0
        return done and not self._busy

    def _settle(self, process: Process, now: float) -> bool:
        """Tell whether a moving process is at rest in this step; hold it from now on if it has nothing left to do."""
        if not kernel.is_alive(process):
            del self._moving[process]
        elif not kernel.at_rest(process):
            self._moving[process] = self._moving[process] or now
            return False
        elif self._gate.is_closed(process) or not process.has_mail:
            self._gate.close(process)
            del self._moving[process]
        else:
            self._moving[process] = 0.0
        return True

    def _scan(self) -> bool:
        """Take in the processes that have not been looked at. Return False if there are more of them."""
        if not self._resting:
            return True
        others, self._others = self._others, []
        others += [p for p, behaviour in self._plain.items() if p.behaviour is not behaviour]
        for process in others:
            self._plain.pop(process, None)
            if kernel.is_alive(process):
                self._take(process)
        for _ in range(_SCANNED):
            found = next(self._source, None)
            if found is None:
                self._source = kernel.processes(after=self._last)
                found = next(self._source, None)
                if found is None:
                    return True
            self._last = found.number
            self._take(found)
        return False

    def _take(self, process: Process) -> None:
        """Hold a process if it is concerned."""
        behaviour = process.behaviour
        if self._subjects.of(behaviour):
            self._processes[process] = None
            self._gate.close(process)
            if process.g is not None:
                self._moving[process] = 0.0
        elif behaviour.__class__.__module__ == _PLAIN:
            self._plain[process] = behaviour
        elif self._subjects.may_come(behaviour):
            self._others.append(process)

    # ---------------------------------------------------------------------------------------------------- refusals

    def _refusal(self, busy: list[Process]) -> Refused:
        now = monotonic()
        lines, where = [], None
        for process in busy[:_SHOWN]:
            frame = _own_frame(process, self._resting)
            text = "an unknown place"
            if frame is not None:
                where = where or frame
                text = f"{_module(frame)}.{frame.f_code.co_qualname} ({_path(frame)}:{frame.f_lineno})"
            since = self._moving.get(process) or now
            lines.append(f"    {process!r} in {text}, for at least {now - since:.1f} s")
        if len(busy) > _SHOWN:
            lines.append(f"    and {len(busy) - _SHOWN} more")
        count = "a process" if len(busy) == 1 else f"{len(busy)} processes"
        return Refused(
            f"{count} whose state changes did not come to rest within {self._limit:g} s",
            kind="busy",
            module=_module(where) if where is not None else None,
            path=_path(where) if where is not None else None,
            line=where.f_lineno if where is not None else None,
            excerpt="\n".join(lines),
            hint="A callback that waits long keeps its process from changing: try again, or give it more time.",
        )

    def _failure(
        self, error: BaseException, module: str | None, process: Process, direction: Direction
    ) -> Refused:
        frame, line, trace = None, None, error.__traceback__
        while trace is not None:
            if frame is None or trace.tb_frame.f_globals.get("__name__") in self._changed:
                frame, line = trace.tb_frame, trace.tb_lineno
            trace = trace.tb_next
        told = self._migrating.version(module, direction) if module else None
        is_blocked = isinstance(error, kernel.BLOCKED)
        return Refused(
            f"code_change({told!r}) of {process!r} {'tried to wait or call' if is_blocked else 'raised'}: {said(error)}",
            kind="code_change",
            module=module,
            path=_path(frame) if frame is not None and frame.f_code is not _MIGRATE else None,
            line=line if frame is not None and frame.f_code is not _MIGRATE else None,
            hint="It runs between two turns of the scheduler, as no process: it may only bring the state into form."
            if is_blocked
            else "All states are what they were.",
        )


# ----------------------------------------------------------------------------------------------------- internals

_PLAIN: Final = kernel.spawn.__module__
"""Where the behaviours of plain processes are defined."""
_MIGRATE: Final = Quiesced.migrate.__code__


def _me() -> Process | None:
    try:
        return kernel.self_()
    except kernel.NotAProcess:
        return None


def _has_begun(process: Process) -> bool:
    """Tell whether a living process is past the beginning of its init: else it has no state yet."""
    return kernel.is_alive(process) and type(getattr(process.control, "start", None)) is not tuple


def _own_frame(process: Process, changed: Versions) -> FrameType | None:
    """Return the innermost frame of a process in one of the changed modules; else the innermost of all."""
    innermost = frame = kernel.process_frame(process)
    while frame is not None:
        if frame.f_globals.get("__name__") in changed:
            return frame
        frame = frame.f_back
    return innermost


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _path(frame: FrameType) -> str:
    """Return a frame's file as its module is imported, relative to where imports start: how all refusals name files."""
    path = PurePath(frame.f_code.co_filename)
    parts = path.parts
    names = _module(frame).split(".")
    for tail in (parts[-len(names) :], parts[-len(names) - 1 :]):
        inner = tail[:-1] if path.stem == "__init__" else (*tail[:-1], path.stem)
        if list(inner) == names:
            return PurePath(*tail).as_posix()
    return str(path)  # the main program, or made up by something


def _undo(undo: list[Callable[[], Any]]) -> None:
    while undo:
        undo.pop()()
