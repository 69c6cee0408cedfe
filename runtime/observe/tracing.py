"""Traces: what is sent to a process and by it, what it does with that, how it ends; who calls a function and what comes of it.

    for event in follow("<42@evergreen@localhost>", n=50, seconds=10): ...
    for event in follow("apps.chat.domain.users.find", n=5): ...

    receive   a message came to a traced process (also what it never takes out of its mailbox)
    send      a traced process sent a message, or asked (call)
    exit      a traced process ended
    in, out, state   what `sys` sees of a server: the message as it is handled, the answer, the state after it (`state=True`)
    call, return, raise   a traced function; `seconds` it took, waiting included
    gone      a release of code has no such function any more; end: the trace is over, and why

Each trace is a process, and is over after `n` events, after `seconds`, when whoever asked for it ends, or by `stop`. Then
everything is as it was. While nothing is traced there is nothing to pay: mailboxes (`kernel.tap`) and functions
(`trace_points`) are exchanged for others that tell. Tracing what processes *send* makes every send of the node slower by a
microsecond or two for as long as it lasts. Messages and states are shown as everywhere: through the format_status of the
server that gets or has them, without the secret fields of their classes (`bodies=True`: whole). A trace survives the reload of what it traces, and its death.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from runtime import kernel
from runtime.kernel import CallError, Down, Process, Timeout, calls, scheduler
from runtime.observe import snapshot, trace_points
from runtime.observe.texts import brief, kind_of, message_text, pid_text, state_text
from runtime.observe.trace_points import NotTraceable
from runtime.otp import sys
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply, Stop

__all__ = ["MAX_EVENTS", "MAX_SECONDS", "NotTraceable", "TraceEvent", "follow", "start", "stop"]

MAX_EVENTS = 100_000
MAX_SECONDS = 3_600.0
_MAX_THINGS = 20
_SYS_TIMEOUT = 1.0
_SEEN_BY_SYS = ("supervisor", "server", "state machine")
_CHARS = 500
_PROCESS_KINDS = ("receive", "send", "exit", "state")

# Types


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing that happened, and the message to whoever traces. `time`: seconds of the epoch.

    `who`: the process it is about (of a function: the one that called). `other`: the sender, the receiver, the function.
    """

    time: float
    kind: str
    who: str
    other: str
    text: str
    seconds: float = 0.0

    @property
    def is_end(self) -> bool:
        """The trace is over; `text` says why."""
        return self.kind == "end"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a trace is to do."""

    things: tuple[Any, ...]
    kinds: frozenset[str]
    n: int
    seconds: float
    to: Process
    by: Process | None
    bodies: bool

    __handed_over__: ClassVar[bool] = True


class _Over:
    """To itself: the count is reached."""

    __slots__ = ()


class Tracer(GenServer):
    """The process of one trace. What tells it runs elsewhere: `note` may be called on any stack, and in any thread."""

    def init(self, asked: _Asked) -> NoReply:
        self.asked = asked
        self.me = kernel.self_()
        self.left = asked.n
        self.is_over = False
        self.traced: dict[Process, Any] = {}
        self.listeners: list[Any] = []
        self.taps: list[tuple[Process, Any]] = []
        self.owner = kernel.monitor(asked.to)
        self.thread = threading.get_ident()
        self.timer = kernel.start_timer(asked.seconds, self.me, "time is up")
        processes = [one for one in asked.things if isinstance(one, Process)]
        for thing in asked.things:
            if not isinstance(thing, Process):
                self._point(thing, self._on_call)
        for process in processes:
            self.traced[process] = kernel.monitor(process)
            if "receive" in asked.kinds:
                self._tap(process)
        if "send" in asked.kinds and processes:
            self._point(scheduler.send, self._on_send)
            self._point(calls.Call.__init__, self._on_ask)
        return NoReply(continue_="states")

    def handle_continue(self, _value: Any) -> None:
        if "state" not in self.asked.kinds:
            return
        for process in [one for one in self.traced if kind_of(one) in _SEEN_BY_SYS]:
            try:
                sys.install(process, self._on_sys(process), None, id=self.me, timeout=_SYS_TIMEOUT)
            except CallError as error:
                if kernel.is_alive(process):
                    self.note("lost", pid_text(process), "", f"sys cannot see it: {brief(error.reason)}")

    def handle_info(self, message: Any) -> Any:
        kind = message.__class__
        if kind is TraceEvent:
            kernel.send(self.asked.to, message)
        elif kind is _Over:
            return self._end(f"{self.asked.n} events")
        elif kind is Timeout:
            return self._end(f"{self.asked.seconds:g} s are over")
        elif kind is Down and message.ref is self.owner:
            return Stop("normal")
        elif kind is Down and self.traced.get(message.pid) is message.ref:
            del self.traced[message.pid]
            if "exit" in self.asked.kinds:
                self.note("exit", pid_text(message.pid), "", brief(message.reason, 4, _CHARS))
            if not self.traced and not any(not isinstance(one, Process) for one in self.asked.things):
                kernel.send(self.me, _Ended())
        elif kind is _Ended:
            return self._end("what was traced has ended")
        return None

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "stop":
            kernel.reply(sender, None)
            return self._end("stopped")
        raise ValueError(f"unknown request {request!r}")

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: everything is as it was. (From the kernel: must not block.)"""
        if hasattr(self, "timer"):
            self._leave()

    # what tells; on any stack

    def note(self, kind: str, who: str, other: str, text: str, seconds: float = 0.0) -> None:
        """Something happened: send it to this process, if there is still room. Never blocks, never raises."""
        if self.is_over or self.left <= 0:
            return
        self.left -= 1
        event = TraceEvent(time.time(), kind, who, other, text, seconds)
        # Not by `send`, which may be what is traced.
        if threading.get_ident() != self.thread:
            kernel.post(self.me, event)
            if not self.left:
                kernel.post(self.me, _Over())
            return
        scheduler.deliver(self.me, event)
        if not self.left:
            scheduler.deliver(self.me, _Over())

    def _on_call(self, kind: str, function: str, value: Any, seconds: float) -> None:
        who = _caller()
        if self.left <= 0 or (self.asked.by is not None and who is not self.asked.by):
            return
        if kind == "call":
            text = _arguments(*value, secrets=self.asked.bodies)
        elif kind == "raise":
            text = f"{type(value).__name__}: {brief(value, 2)}"
        else:
            text = value if kind == "gone" else brief(value, 4, _CHARS, secrets=self.asked.bodies)
        self.note(kind, pid_text(who) if who is not None else "outside", function, text, seconds)

    def _on_send(self, kind: str, _function: str, value: Any, _seconds: float) -> None:
        who = _caller()
        if kind == "call" and who in self.traced and who is not None:
            dest, message = value[0][:2]
            if message.__class__ is not TraceEvent:
                self.note("send", pid_text(who), pid_text(dest), self._text(dest, message))

    def _on_ask(self, kind: str, _function: str, value: Any, _seconds: float) -> None:
        who = _caller()
        if kind == "call" and who in self.traced and who is not None:
            _, _, dest, request = value[0][:4]
            text = self._text(dest, request)
            self.note("send", pid_text(who), pid_text(dest), f"call {text}")

    def _tap(self, process: Process) -> None:
        name = pid_text(process)

        def heard(sender: Any, message: Any) -> None:
            # What a trace tells of is no event: two who trace each other would go on about that for ever.
            if sender is not self.me and self.left > 0 and message.__class__ is not TraceEvent:
                other = pid_text(sender) if sender is not None else "outside"
                self.note("receive", name, other, self._text(process, message))

        kernel.tap(process, heard)
        self.taps.append((process, heard))

    def _on_sys(self, process: Process) -> Any:
        name = pid_text(process)

        def seen(_state: Any, event: Any, _shown: Any) -> Any:
            if self.is_over:
                return sys.DONE
            if isinstance(event, sys.In):
                text = f"{event.kind} {self._text(process, event.message)}"
                self.note("in", name, pid_text(event.sender) if event.sender else "", text)
            elif isinstance(event, sys.Out):
                text = self._text(process, event.message)
                self.note("out", name, pid_text(event.to) if event.to else "", text)
                self.note("state", name, "", self._state(process, event.state))
            elif isinstance(event, sys.NewState):
                self.note("state", name, "", self._state(process, event.state))
            return None

        return seen

    def _text(self, process: Any, message: Any) -> str:
        """A message as whoever gets it, or answers by it, lets it be seen."""
        if not isinstance(process, Process):
            process = snapshot.find(process)
        return message_text(process, message, _CHARS, secrets=self.asked.bodies)

    def _state(self, process: Process, state: Any) -> str:
        return brief(state, 4, _CHARS, secrets=True) if self.asked.bodies else state_text(process)[:_CHARS]

    # its end

    def _point(self, fn: Any, listener: Any) -> None:
        trace_points.add(fn, listener)
        self.listeners.append(listener)

    def _end(self, why: str) -> Stop:
        self._leave()
        kernel.send(self.asked.to, TraceEvent(time.time(), "end", "", "", why))
        return Stop("normal")

    def _leave(self) -> None:
        self.is_over = True
        kernel.cancel_timer(self.timer)
        for listener in self.listeners:
            trace_points.drop(listener)
        for process, listener in self.taps:
            kernel.untap(process, listener)
        # sys's function takes itself out at its next event; asking for it could wait.
        self.listeners, self.taps = [], []


class _Ended:
    """To itself, behind the events that are on their way: nothing is left to trace."""

    __slots__ = ()


# API


def start(
    what: Any, *, n: int = 100, seconds: float = 10.0, receive: bool = True, send: bool = True, exit: bool = True,
    state: bool = False, by: Any = None, to: Process | None = None, bodies: bool = False,
) -> Process:  # fmt: skip
    """Start a trace of a process or a function, or of several, and return its process. Does not block.

    `what`: a pid, also as text, a registered name; a function, a method, or its name (`module.function`). `to` (default: the
    caller) gets TraceEvents, the last of kind "end". `by`: only calls of functions by that process. `bodies`: show also what
    a server's format_status, or a class's `__secret_fields__`, hides.
    Raises NotTraceable, before anything is done; ValueError for limits that are none.
    """
    if not 0 < n <= MAX_EVENTS or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(
            f"want 1 to {MAX_EVENTS:,} events and up to {MAX_SECONDS:g} seconds, not {n} and {seconds}"
        )
    whats = list(what) if isinstance(what, (list, set, frozenset)) else [what]
    if not 0 < len(whats) <= _MAX_THINGS:
        raise ValueError(f"want 1 to {_MAX_THINGS} things to trace, not {len(whats)}")
    things = tuple(_thing(one) for one in whats)
    caller = None
    if by is not None:
        caller = snapshot.find(by)
        if caller is None:
            raise NotTraceable(f"there is no living process {by!r}")
    kinds = frozenset(k for k, on in zip(_PROCESS_KINDS, (receive, send, exit, state), strict=True) if on)
    asked = _Asked(things, kinds, n, seconds, to if to is not None else kernel.self_(), caller, bodies)
    pid = Tracer.start(asked)
    assert pid is not None  # it never ignores
    return pid


def follow(what: Any, *, begun: Callable[[], None] | None = None, **options: Any) -> Iterator[TraceEvent]:
    """Yield the events of a trace as they come, the last of kind "end". Blocks for each; options as for `start`.

    `begun()` is called when the trace runs, before the first event.

    For a process: other messages stay in its mailbox. Leaving the loop ends the trace.
    """
    pid = start(what, **options)
    ref = kernel.monitor(pid)
    try:
        if begun is not None:
            begun()
        while True:
            event = kernel.receive_match(
                lambda m: m.__class__ is TraceEvent or (m.__class__ is Down and m.ref is ref)
            )
            if event.__class__ is Down:
                return
            yield event
            if event.is_end:
                return
    finally:
        kernel.demonitor(ref, flush=True)
        kernel.exit(pid, kernel.KILL)
        kernel.receive_every(lambda m: m.__class__ is TraceEvent)


def stop(trace: Process) -> None:
    """End a trace; who traces gets its end. Again: nothing. Blocks for an answer."""
    try:
        kernel.call(trace, "stop")
    except CallError:
        return


# Internals


def _thing(what: Any) -> Any:
    if isinstance(what, str):
        # A name with a dot may be either: a process first, as it is what is there now.
        found = snapshot.find(what)
        return found if found is not None else trace_points.resolve(what)
    if isinstance(what, (Process, int)):
        process = snapshot.find(what)
        if process is None:
            raise NotTraceable(f"there is no living process {what!r}")
        return process
    return trace_points.resolve(what)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any], *, secrets: bool) -> str:
    each = max(20, _CHARS // max(1, len(args) + len(kwargs)))
    said = [brief(one, 3, each, secrets=secrets) for one in args[:20]]
    said += [f"{name}={brief(one, 3, each, secrets=secrets)}" for name, one in list(kwargs.items())[:20]]
    return ", ".join(said)


def _caller() -> Process | None:
    try:
        return kernel.self_()
    except kernel.NotAProcess:
        return None
