"""Gates: hold processes between two of their messages, so that what they are can be changed while they are at rest.

Theory of operation
-------------------
A gate is a behaviour that stands in the place of others. A process whose gate is closed finishes the callback it is in;
messages after that go to the gate, which keeps them in order. Opening it puts the behaviour back and the kept messages
in front of newer ones. A process is *at rest* when it is not in a callback; in a step of the loop (`step`) nothing can
begin one.

A callback that is still running may wait for a held process (a call, a request, the end of a child), directly or
through others: then neither would ever come to rest. `reach` tells which these are, for them to be let on.

An Exit of its parent is let through by opening the gate: whoever stops a process has a time limit for that, after which
it would be killed and what it was holding would be lost.

Invariant: p.behaviour is the gate  <=>  p is in `_behind` and alive.

Rejected: suspending by system messages, as OTP does (a round trip per process, and it waits behind full mailboxes);
taking the process off the run queue (the rest of its batch would still be handled).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn

from greenlet import getcurrent

from . import hooks, scheduler
from .death import Exit
from .receive import receive
from .scheduler import DEADQ, RECV, Behaviour, Process, self_, wake
from .watermarks import kept

__all__ = ["Gate", "at_rest", "become", "held", "mailboxes", "put_back"]

# --------------------------------------------------------------------------------------------------------- types


class Gate:
    """Holds any number of processes. Its methods neither block nor give way."""

    __slots__ = ("_behind", "_held", "_left")

    def __init__(self) -> None:
        self._behind: dict[Process, Behaviour] = {}
        self._held: dict[Process, list[Any]] = {}
        self._left: list[Process] = []

    def close(self, process: Process) -> None:
        """From its next message on, hold `process`. One that is held already, dead, or held by another gate: nothing."""
        behaviour = process.behaviour
        if behaviour is not None and behaviour.__class__ is not Gate:
            self._behind[process] = behaviour
            process.behaviour = self

    def open(self, process: Process) -> None:
        """Let `process` go on, with what came meanwhile, in order. One that is not held: nothing."""
        behaviour = self._behind.pop(process, None)
        if behaviour is None:
            return
        process.behaviour = behaviour
        held = self._held.pop(process, None)
        if held:
            put_back(process, held)

    def open_all(self) -> None:
        """Let all go on. O(processes held)."""
        for process in list(self._behind):
            self.open(process)

    def is_closed(self, process: Process) -> bool:
        """Tell whether this gate holds `process`."""
        return process in self._behind

    def behaviour(self, process: Process) -> Any:
        """Return the behaviour that `process` has, held or not; None: it is dead."""
        return self._behind.get(process, process.behaviour)

    def reach(self, waiting: Iterable[Process]) -> set[Process]:
        """Return all that one of `waiting` waits for, directly or through others: calls, requests, awaited ends."""
        seen: set[Process] = set()
        work = list(waiting)
        while work:
            for peer in _waits_for(work.pop()):
                if peer.__class__ is Process and peer not in seen:  # else it is not of here
                    seen.add(peer)
                    work.append(peer)
        return seen

    def take_left(self) -> list[Process]:
        """Return those that have been let go on by their parent's Exit since the last time."""
        left, self._left = self._left, []
        return left

    # ------------------------------------------------------------------------------------------------- callbacks

    def on_message(self, process: Process, message: Any) -> None:
        box = self._held.setdefault(process, [])
        box.append(message)
        kept(process, len(box))
        if message.__class__ is Exit and getattr(message.sender, "number", None) == process.parent:
            self.open(process)
            self._left.append(process)

    def on_exit(self, process: Process, reason: Any) -> None:
        """The process is dead: what it held is dropped, and its own behaviour hears of it."""
        self._held.pop(process, None)
        behaviour: Any = self._behind.pop(process, None)
        if hasattr(type(behaviour), "on_exit"):
            hooks.call([behaviour.on_exit], process, reason)


# ----------------------------------------------------------------------------------------------------------- API


def held(process: Process) -> tuple[Any, ...]:
    """Return the lists and deques of what is kept back from a suspended process, or one behind a gate, oldest first.

    A behaviour that takes messages out of the mailbox to keep them for later has them in `process.control.held` (None:
    none), and tells `watermarks.kept` of each: so they are still mail to whoever looks at it, and can raise its alarm.
    """
    own = getattr(process.control, "held", None)
    behaviour = process.behaviour
    if behaviour.__class__ is not Gate:
        return () if own is None else (own,)
    return tuple(box for box in (own, behaviour._held.get(process)) if box is not None)


def mailboxes(process: Process) -> Iterator[Any]:
    """Yield the lists and deques in which a process's messages wait, oldest first: to look through, or to exchange some."""
    yield from held(process)
    for box in (process.cur, process.q):
        if isinstance(box, list | deque):
            yield box


def put_back(process: Process, held: Iterable[Any]) -> None:
    """Make `held`, what was kept back from a process, the oldest mail in its mailbox again.

    There it is as if it had never left: a `receive` inside a callback finds it too.
    """
    if getattr(getcurrent(), "proc", None) is process:  # in its own turn: before the rest of its batch
        box = process.cur
        process.cur = deque(held)
        process.cur.extend(box or ())
        return
    q = process.q
    if q is DEADQ:
        return
    process.q = deque(held)
    process.q.extend(q or ())
    process.push(process)  # once too often is once for nothing
    if not scheduler.running and not scheduler.kicked:
        wake()


def at_rest(process: Process) -> bool:
    """Tell whether `process` is in no callback. Of the running process itself: call it in a step. O(1), or O(stack)."""
    g = process.g
    if g is None:
        return True
    if process.wait is not RECV:
        return False
    frame = g.gr_frame
    while frame is not None and frame.f_code is not _BECOME:
        if not frame.f_globals.get("__name__", "").startswith(_KERNEL):
            return False  # a receive of a callback's own
        frame = frame.f_back
    return frame is not None


def become(behaviour: Behaviour) -> NoReturn:
    """Hand the caller's messages to `behaviour` from now on, on the stack that the caller has. Never returns."""
    process = self_()
    process.behaviour = behaviour
    while True:
        message = receive()
        process.behaviour.on_message(process, message)


# ----------------------------------------------------------------------------------------------------- internals

_BECOME: Final = become.__code__
_KERNEL: Final = __name__.rpartition(".")[0] + "."


def _waits_for(process: Process) -> Iterator[Any]:
    """Yield what may have to act before `process` goes on."""
    wait = process.wait
    dest = getattr(wait, "dest", None)
    if dest is not None:  # a call
        yield dest
    elif wait is RECV and process.monitors:  # open requests, and ends that it wants to see
        yield from process.monitors.values()


scheduler.held = held
