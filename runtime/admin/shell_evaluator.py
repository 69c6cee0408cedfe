"""The process in which a shell's inputs run: one after the other, with names and mailbox that last.

Whatever an input does is this process's own affair: it may wait, compute without end, print without end, raise anything,
end itself. A loop that was typed gives way by itself (`shell_code`); called code that does not is ended by the guard, when
its user presses Ctrl-C (which the node's loop cannot read then, so the guard looks at the socket itself) or leaves, and
after `HOLD` seconds in any case. C code that holds the interpreter is seen only when it returns, as everywhere.

    Job ──▶ evaluator ──▶ Done(number, answer)        or it ends, and the keeper hears that
"""

from __future__ import annotations

import select
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Final

from runtime import kernel
from runtime.admin.commands.here import CannotDo
from runtime.admin.shell_code import CHECKPOINT, Sources, compile_input
from runtime.admin.shell_streams import Output, streams
from runtime.admin.shell_views import plain, view
from runtime.code.asker import on_ask
from runtime.kernel import KILL, NotAProcess, Process, ProcessExit, receive_match, scheduler, self_, send
from runtime.observe.texts import brief

__all__ = ["GUEST_HOLD", "HOLD", "Done", "Evaluator", "Frame", "Interrupted", "Job", "current", "left"]

HOLD: Final = 2.0
"""Seconds for which an input may hold the node without giving way."""
GUEST_HOLD: Final = 0.5
"""Seconds for which what was typed may hold the node from within another process, or the loop."""
_TURN: Final = 0.001
"""Seconds until what was typed gives way; the shells that evaluate share them, so that thirty cost what one does."""
_GRACE: Final = 0.3
"""Seconds that handlers and `finally` have after an interrupt, before loops in them are interrupted too."""
_SWALLOWS: Final = 6
"""Interrupts, one each 50 ms, that an input which holds the node may swallow before its process is ended for good."""
_DEATHS: Final = 20
_TRACE: Final = 20_000
_SENTENCE: Final = 5_000
_KEY: Final = "$shell"

# Types


class Interrupted(kernel.Ended):
    """Raised in what a shell evaluates. Not an Exception: what catches those lets it pass."""


@dataclass(frozen=True, slots=True)
class Job:
    """One input. `form`: "screen" or "json"; `emit` takes events for the terminal."""

    number: int
    code: str
    width: int
    form: str
    emit: Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a Job: a view, or {"kind": "none" | "error" | "interrupted" | "left", "text"}."""

    number: int
    answer: dict[str, Any]
    __handed_over__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Frame:
    """Message to the keeper: what was printed should go out soon."""

    number: int


class Evaluator:
    """What one shell's evaluating processes share: a crash costs the process, not the names.

    `connection` is the user's (a runtime.net.Connection), `who` is the user.
    """

    def __init__(self, number: int, namespace: dict[str, Any], connection: Any, who: str) -> None:
        self.number = number
        self.namespace = namespace
        self.who = who
        self.sources = Sources()
        self.connection = connection
        self.job: Job | None = None
        self.output: Output | None = None
        self.process: Process | None = None
        self.interrupted_at: float | None = None
        self._turn_ends = 0.0
        self._swallowed = 0
        self._thread = threading.get_ident()
        self._guest_turn: Any = None
        self._guest_since = 0.0
        namespace[CHECKPOINT] = self._checkpoint

    # API, for the keeper

    def run(self, keeper: Process) -> None:
        """The life of the process."""
        self.process = self_()
        kernel.put(_KEY, self)
        while True:
            try:
                self._serve(keeper)
            except Interrupted:
                pass  # it came between two inputs
            finally:
                self.job = None

    def interrupt(self) -> None:
        """End what is evaluated. Never blocks; what will not end, a kill ends."""
        self.interrupted_at = self.interrupted_at or monotonic()
        if self.process is not None:
            kernel.interrupt(self.process, Interrupted("interrupted"))

    def unread(self) -> int:
        """Bytes on their way to the user that the user's end has not taken."""
        return int(self.connection.write_queue)

    # internals

    def _serve(self, keeper: Process) -> None:
        job = receive_match(lambda message: message.__class__ is Job)
        self.interrupted_at = None
        send(keeper, Done(job.number, self._evaluate(job, keeper)))

    def _evaluate(self, job: Job, keeper: Process) -> dict[str, Any]:
        """Run an input to its end, whatever that is. Raises ProcessExit when the input ends the process."""
        output = Output(
            lambda text: job.emit({"stage": "out", "text": text}), lambda: send(keeper, Frame(job.number))
        )
        self.job, self.output = job, output
        assert self.process is not None
        streams[self.process] = output
        kernel.guard(self._look)
        try:
            try:
                return self._shown(job, self._value(job))
            except (ProcessExit, kernel.INTERPRETER_EXITS[2]):
                raise
            except SystemExit as error:
                return left(error.code)
            except Interrupted as error:
                return {"kind": "interrupted", "text": str(error)}
            except CannotDo as error:
                return {"kind": "error", "text": str(error)[:_SENTENCE], "error": "CannotDo"}
            except BaseException as error:  # noqa: BLE001 - whatever was typed may raise whatever there is
                return {"kind": "error", "text": self._trace(error), "error": type(error).__name__}
        except Interrupted as error:  # while a failure was being told of
            return {"kind": "interrupted", "text": str(error)}
        finally:
            kernel.unguard()
            streams.pop(self.process, None)
            self.output = None
            if output.dropped:
                job.emit({"stage": "dropped", "count": output.dropped})
            output.flush()

    def _value(self, job: Job) -> Any:
        name = f"<shell {self.number}:{job.number}>"
        self.sources.add(name, job.code)
        program = compile_input(job.code, name)
        self._swallowed = 0
        self._turn_ends = monotonic() + _TURN / max(1, len(streams))
        if self.interrupted_at is not None:
            raise Interrupted("interrupted")
        if program.body is not None:
            exec(program.body, self.namespace)  # noqa: S102 - this is what a shell is for
        return eval(program.last, self.namespace) if program.last is not None else None  # noqa: S307

    def _shown(self, job: Job, value: Any) -> dict[str, Any]:
        if job.form == "json":
            return {"kind": "json", "value": plain(value)}
        if value is None:
            return {"kind": "none"}
        self.namespace["_"] = value
        return view(value, job.width)

    def _trace(self, error: BaseException) -> str:
        """The failure as Python tells it, from the typed line on."""
        at = error.__traceback__
        mine = f"<shell {self.number}:"
        while at is not None and not at.tb_frame.f_code.co_filename.startswith(mine):
            at = at.tb_next
        lines = traceback.format_exception(type(error), error, at, limit=-12, chain=True)
        text = "".join(line for line in lines if CHECKPOINT not in line)
        return text[-_TRACE:].rstrip()

    # internals: called while an input runs

    def _checkpoint(self) -> None:
        """What typed loops call. Any process, or none, may run what was typed: only this one gives way.

        Elsewhere (a server's handler, a `__repr__` in somebody's report) it may be the middle of what must not be left,
        where the watchdog cannot end anything either: what holds the node there is ended from here.
        """
        now = monotonic()
        if now < self._turn_ends:
            return
        try:
            process = self_()
        except NotAProcess:
            process = None
        if process is not self.process or process is None:
            self._check_guest(process, now)
            return
        self._check_interrupt(now)
        kernel.yield_()
        self._turn_ends = monotonic() + _TURN / max(1, len(streams))

    def _check_guest(self, process: Process | None, now: float) -> None:
        if threading.get_ident() != self._thread:
            return
        # As the watchdog sees that nobody else has had a turn.
        turn = scheduler.slice_end, process, scheduler.loop.iteration
        if turn != self._guest_turn:
            self._guest_turn, self._guest_since = turn, now
        elif now - self._guest_since > GUEST_HOLD:
            raise kernel.Hog(f"held the node for {now - self._guest_since:.1f} s without giving way")

    def _check_interrupt(self, now: float) -> None:
        if self.job is not None and self.interrupted_at is not None and now > self.interrupted_at + _GRACE:
            raise Interrupted("interrupted")

    def _look(self, held: float) -> BaseException | None:
        """The guard: runs in a signal's handler while this process holds the node."""
        if self.interrupted_at is None and held < HOLD and not self._has_news():
            return None
        now = monotonic()
        if self.interrupted_at is None:
            self.interrupted_at = now
        elif now < self.interrupted_at + _GRACE and held < HOLD:
            return None
        if held >= HOLD:
            self._swallowed += 1
            if self._swallowed > _SWALLOWS:
                self._bury()
            return Interrupted(f"ended: it held the node for {held:.1f} s without giving way")
        return Interrupted("interrupted")

    def _bury(self) -> None:
        """End what swallows whatever is raised in it: the process dies, and its stack is put by for good.

        In the signal's handler, on that very stack: nothing of the kernel is half done here, or nobody had asked the guard.
        """
        assert self.process is not None
        kernel.unguard()
        streams.pop(self.process, None)
        for _ in range(_DEATHS):
            try:
                kernel.exit(self.process, KILL)
                kernel.yield_()
            except ProcessExit:
                pass  # the kernel buries who does not leave (`scheduler.defy`): from there is no way back

    def _has_news(self) -> bool:
        """Tell whether the user's socket has something that the loop, being held, does not read: Ctrl-C, or the end.

        While an input runs, a terminal sends nothing else.
        """
        fd = self.connection.fileno()
        if fd < 0:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))


# API


def left(code: Any) -> dict[str, Any]:
    """The answer to what ended by SystemExit(code), as Python takes it: a number is an exit code, anything else a text and 1."""
    if code is None or type(code) is int:
        return {"kind": "left", "text": "", "code": (code or 0) & 255}
    return {
        "kind": "left",
        "text": brief(code, 3, 1000) if not isinstance(code, str) else code[:1000],
        "code": 1,
    }


def current() -> Evaluator:
    """Return the shell that the calling process evaluates for. Raises RuntimeError in any other process."""
    found = kernel.get(_KEY)
    if found is None:
        raise RuntimeError("this works in a shell's own process only")
    return found  # type: ignore[no-any-return]


# Internals


def _user() -> str:
    """For whom the calling process evaluates; empty in any other process."""
    found = kernel.get(_KEY)
    return found.who if found is not None else ""


on_ask.append(_user)
