"""The debug options of a process: what happens in it, printed, kept, written, counted, or given to a function.

They live in the process's `control` slot and only there, so a process without any pays nothing: its slot is None, or its
engine's flag for special conditions is off. A behaviour that finds some hands each message to `Debug.run`, which lets
it handle the message as ever and sees what went in, which calls were answered, and what state that left. A special process
says what happens itself, by `sys.debug_event`.

Seen are messages and answers to calls (also later ones, at the process's next turn), as in OTP; not what a callback
sends by itself: only the kernel's `send` could tell, and every send of the node would pay for it.

The state in events is shown as format_status shows it. Messages and answers are shown as they are.

Source: OTP sys, handle_debug; sys_SUITE log, log_to_file, stats, trace, install.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import getLogger
from threading import Lock
from typing import Any, Final, Literal, NamedTuple

from runtime import kernel
from runtime.kernel import INTERPRETER_EXITS, Call, Cast, Process

from .reports import format_term

__all__ = [
    "DONE", "Debug", "DebugFunction", "In", "LogFile", "NewState", "Out", "Statistics",
    "debug_of", "keep", "print_line",
    "render_event",
]  # fmt: skip

_log = getLogger("evergreen.sys")

CHARS_LIMIT: Final = 1_000
"""Characters of one value in a line."""
MAX_OPEN: Final = 1_000
"""Unanswered calls that are watched for a late answer, the newest."""

# --------------------------------------------------------------------------------------------------------- types


class In(NamedTuple):
    """A message is being handled. `message` without its envelope; `sender`: who calls."""

    kind: Literal["call", "cast", "info"]
    message: Any
    sender: Process | None = None


class Out(NamedTuple):
    """A call was answered. `state` afterwards."""

    message: Any
    to: Process | None
    state: Any


class NewState(NamedTuple):
    """A message was handled, and nobody was answered."""

    state: Any


class _Done:
    __slots__ = ()

    def __repr__(self) -> str:
        return "DONE"


DONE: Final = _Done()
"""What an installed function returns to be removed."""

DebugFunction = Callable[[Any, Any, Any], Any]
"""function(its state, event, the process's state) -> its new state, or DONE. Runs in the process; must not block long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a process has done since its statistics were turned on."""

    start_time: datetime
    current_time: datetime
    busy: float
    """Seconds inside callbacks, waiting in them included: what comes nearest to reductions, which nobody counts here."""
    messages_in: int
    messages_out: int
    """Answers to calls."""


class LogFile:
    """A file of lines. Opened and written on the thread pool; closed at once, or by a write that is just under way.

    Without that rule a write could hit another file that has got the same descriptor meanwhile. Also closed when nobody
    has it any more: the process may have been killed while the thread opened it.
    """

    __slots__ = ("_closing", "_lock", "_writing", "fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self._lock = Lock()  # held for an assignment or two, so it may be taken in the hub too
        self._writing = self._closing = False
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, line: str) -> None:
        """Blocks the thread. Raises OSError."""
        data = line.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._closing:
                return
            self._writing = True
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        finally:
            with self._lock:
                self._writing = False
                self._end()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Does not block. Again: nothing."""
        with self._lock:
            self._closing = True
            self._end()

    def _end(self) -> None:
        if self._closing and not self._writing and self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


class Debug:
    """The options of one process that are on. It belongs to that process."""

    __slots__ = (
        "busy",
        "file",
        "functions",
        "inside",
        "kept",
        "messages_in",
        "messages_out",
        "open",
        "start",
        "trace",
    )

    def __init__(self) -> None:
        self.trace = False
        self.kept: deque[Any] | None = None
        self.file: LogFile | None = None
        self.functions: dict[Hashable, list[Any]] = {}
        """Id -> [function, its state]."""
        self.start: datetime | None = None
        """Statistics are on since then."""
        self.messages_in = self.messages_out = 0
        self.busy = 0.0
        self.inside = False
        """A message is being handled under `run`: the behaviour is to let it pass."""
        self.open: deque[tuple[Call, Process]] = deque(maxlen=MAX_OPEN)
        """Calls that are not answered yet, and their callers."""

    @property
    def is_on(self) -> bool:
        return bool(
            self.trace
            or self.kept is not None
            or self.file is not None
            or self.functions
            or self.start is not None
        )

    def run(self, special: Any, process: Process, message: Any, content: Any) -> None:
        """Let `special.on_message` handle a message, and say what happens. `content`: what the message stands for.

        The behaviour calls this instead of handling the message, which then comes to it again, with `inside` set.
        """
        self.event(special, process, _incoming(content))
        if message.__class__ is Call and message.process is not None:
            self.open.append((message, message.process))
        before = kernel.clock.now()
        self.inside = True
        answered = False
        try:
            special.on_message(process, message)
        finally:
            self.inside = False
            self.busy += kernel.clock.now() - before
            if self.open and kernel.is_alive(process):
                answered = self._answers(special, process)
        if not answered:
            self.event(special, process, NewState(self._state(special)))
        if not self.is_on:
            keep(special, process, None)

    def event(self, special: Any, process: Process, event: Any) -> None:
        """Pass an event through all options. One that fails is removed."""
        kind = event.__class__
        if kind is In:
            self.messages_in += 1
        elif kind is Out:
            self.messages_out += 1
        if self.kept is not None:
            self.kept.append(event)
        if self.trace:
            self.trace = _tried("trace", process, print_line, render_event(process, event))
        if self.file is not None and not _tried(
            "log_to_file", process, kernel.blocking, self.file.write, render_event(process, event) + "\n"
        ):
            self.close()
        for name, (function, state) in list(self.functions.items()):
            try:
                new = function(state, event, special.system_get_state())
            except INTERPRETER_EXITS:
                raise
            except BaseException as problem:  # noqa: BLE001 - who looks on must not bring the process down
                _log.warning("debug function %r of %r failed and is removed: %r", name, process, problem)
                new = DONE
            if new is DONE:
                self.functions.pop(name, None)
            elif name in self.functions:
                self.functions[name][1] = new

    def count(self, on: bool) -> None:
        """Turn statistics on, from zero, or off. On while they are on: nothing."""
        if not on:
            self.start = None
        elif self.start is None:
            self.start = datetime.now(UTC)
            self.messages_in = self.messages_out = 0
            self.busy = 0.0

    def statistics(self) -> Statistics | None:
        if self.start is None:
            return None
        return Statistics(
            start_time=self.start,
            current_time=datetime.now(UTC),
            busy=self.busy,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
        )

    def info(self) -> dict[str, Any]:
        """What get_status shows: the options that are on."""
        shown = {
            "trace": self.trace or None,
            "log": tuple(self.kept) if self.kept is not None else None,
            "log_to_file": self.file.path if self.file is not None else None,
            "statistics": self.statistics(),
            "install": tuple(self.functions) or None,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def close(self) -> None:
        """Let go of the file, if there is one."""
        file, self.file = self.file, None
        if file is not None:
            file.close()

    def on_exit(self, process: Process | None = None, reason: Any = None) -> None:
        """The process is dead."""
        self.close()

    def _answers(self, special: Any, process: Process) -> bool:
        """Say which calls have been answered meanwhile, by whomever; forget those that nobody waits for. Any answered?"""
        closed = [(call, caller) for call, caller in self.open if call.process is None]
        if not closed:
            return False
        self.open = deque([one for one in self.open if one[0].process is not None], MAX_OPEN)
        # A call has no field for "answered": one that failed has an error, and that of a caller who died or gave up
        # has no value. (None for somebody who gave up and lives is taken for an answer.)
        answers = [
            (call, caller)
            for call, caller in closed
            if call.error is None and (call.value is not None or kernel.is_alive(caller))
        ]
        for call, caller in answers:
            self.event(special, process, Out(call.value, caller, self._state(special)))
        return bool(answers)

    def _state(self, special: Any) -> Any:
        """The state as people may see it; None while only numbers are wanted."""
        if not (self.trace or self.functions) and self.kept is None and self.file is None:
            return None
        try:
            return special.system_status().get("state")
        except Exception as problem:  # noqa: BLE001 - who looks on must not bring the process down
            return f"system_status failed: {type(problem).__qualname__}"


# ------------------------------------------------------------------------------------------------- API: for sys alone


def debug_of(process: Process) -> Debug | None:
    """Return the options of a process, if any are on."""
    control = process.control
    return control if control.__class__ is Debug else getattr(control, "debug", None)


def keep(special: Any, process: Process, debug: Debug | None) -> None:
    """Put the options in the place of those that were: a behaviour knows where, a special process has nothing else in its slot."""
    old = debug_of(process)
    if old is not None and old is not debug:
        old.close()
    if hasattr(special, "system_set_debug"):
        special.system_set_debug(debug)
    else:
        process.control = debug


def print_line(line: str) -> None:
    """Print a line of `trace`. Standard output; a shell may put a function of its own in this one's place."""
    print(line, file=sys.stdout, flush=True)  # noqa: T201 - that is what trace does


def render_event(process: Process | None, event: Any) -> str:
    """Return the line for an event: bounded, without line breaks of its own."""
    kind = event.__class__
    if kind is In:
        what = {"call": "got call ", "cast": "got cast ", "info": "got "}[event.kind] + _short(event.message)
        if event.sender is not None:
            what += f" from {event.sender!r}"
    elif kind is Out:
        what = f"sent {_short(event.message)} to {event.to!r}, new state {_short(event.state)}"
    elif kind is NewState:
        what = f"new state {_short(event.state)}"
    else:
        what = _short(event)
    return f"*DBG* {process!r} {what}"


# ----------------------------------------------------------------------------------------------------- internals


def _incoming(message: Any) -> In:
    if message.__class__ is Call:
        return In("call", message.request, message.process)
    if message.__class__ is Cast:
        return In("cast", message.request)
    return In("info", message)


def _tried(option: str, process: Process, function: Callable[..., Any], *args: Any) -> bool:
    """Tell whether an option could do its work; if not, it is turned off."""
    try:
        function(*args)
    except Exception as problem:  # noqa: BLE001 - a full disk or a closed terminal is no fault of the process
        _log.warning("%s of %r failed and is turned off: %r", option, process, problem)
        return False
    return True


def _short(value: Any) -> str:
    return format_term(value, chars_limit=CHARS_LIMIT)
