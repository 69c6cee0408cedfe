"""Who still runs old code.

A frame finishes on the code it began with. Most do within milliseconds; a loop in a plain process may stay for ever, on
code that nobody can read any more. A release notes the code objects that it replaced; the suspended stacks of all
processes, bare greenlets and threads tell who is still in one. A server that waits for messages has no frame and never
lingers.

A process whose server (or event handler, or protocol) is of a class that a release removed, renamed perhaps, runs old code
too, whenever it has something to do: no edit of the source will ever reach it. It is listed although it has no frame.

Nothing here keeps old code alive: when the last frame leaves it, it goes, and its note with it.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import KILL, Process

from .subjects import states_of

__all__ = ["Lingering", "Retired"]

_POLL = 0.02
"""Seconds between two looks at those that were given time to leave."""

# --------------------------------------------------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class Lingering:
    """A stack with a frame in old code: the innermost such frame. Or a process of a class that was removed."""

    who: Any
    """A pid; a greenlet that is no process's; or a thread's name."""
    function: str
    """With its class or outer function: `Session.run`. Or the removed class."""
    module: str
    sha: str
    """The version of the module that it is of."""
    line: int
    """In that version. Of a class: where its first method begins."""
    since: float
    """When the code was replaced, in seconds of time.monotonic()."""
    is_class: bool = False
    """It runs a class that was removed: `function`. It need not be doing anything just now."""

    @property
    def age(self) -> float:
        """Seconds since the code was replaced."""
        return monotonic() - self.since

    def __str__(self) -> str:
        where = f"{self.module}.{self.function}:{self.line} of {self.sha[:12]}"
        if self.is_class:
            return f"{self.who!r} is a process of {where}, a class removed {self.age:.0f} s ago"
        return f"{self.who!r} in {where}, replaced {self.age:.0f} s ago"


class _Note(NamedTuple):
    code: weakref.ref[Any]  # its callback takes the note away before the id can mean another object
    module: str
    sha: str
    since: float


class Retired:
    """The code objects that releases have replaced, and classes that they removed, as long as anything still holds them."""

    def __init__(self) -> None:
        self._notes: dict[int, _Note] = {}
        self._classes: dict[int, _Note] = {}

    def __len__(self) -> int:
        return len(self._notes)

    def add(self, code: CodeType | type, module: str, sha: str) -> None:
        """Note that `code`, with the functions nested in it, was replaced now, or a class removed; `sha`: its module's
        version.
        """
        key = id(code)
        if isinstance(code, type):
            gone = weakref.ref(code, lambda _: self._classes.pop(key, None))
            self._classes[key] = _Note(gone, module, sha, monotonic())
            return
        self._notes[key] = _Note(
            weakref.ref(code, lambda _: self._notes.pop(key, None)), module, sha, monotonic()
        )
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.add(constant, module, sha)

    def forget(self, code: CodeType) -> None:
        """Take an `add` back: the code is in force again."""
        self._notes.pop(id(code), None)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.forget(constant)

    def lingering(self, module: str | None = None) -> list[Lingering]:
        """Return who runs old code, of one module or of all, longest first. Does not block.

        Costs some 30 ns for each object there is (50 ms with 1.5 million), for greenlets that are no process's; nothing
        when no old code is left.
        """
        found: list[Lingering] = []
        if any(module in (None, note.module) for note in self._notes.values()):
            stacks = chain(kernel.stacks(), _threads())
            found = [one for who, frame in stacks if (one := self._look(who, frame, module)) is not None]
        known = {one.who for one in found}
        found += [one for one in self._of_removed_classes(module) if one.who not in known]
        return sorted(found, key=lambda one: one.since)

    def soft_purge(self, module: str) -> bool:
        """Tell whether nobody runs old code of `module` (Erlang: code:soft_purge/1). Ends nobody."""
        return not self.lingering(module)

    def purge(self, module: str, grace: float = 0.0) -> int:
        """End the processes that still run old code of `module` after `grace` seconds; return how many.

        Blocks for at most `grace`. They are killed, so whoever supervises them starts them again, in new code. The
        caller is never ended, nor are threads and greenlets that are no process's: they stay in `lingering`. Source:
        Erlang's code:purge/1, which gives no grace.
        """
        end = monotonic() + grace
        while victims := self._processes(module):
            left = end - monotonic()
            if left <= 0:
                break
            kernel.pause(min(_POLL, left))
        for process in victims:
            kernel.exit(process, KILL)
        kernel.pause(0)  # their stacks unwind
        return len(victims)

    def _processes(self, module: str) -> list[Process]:
        me = _me()
        found = [
            who
            for who, frame in kernel.stacks(everywhere=False)
            if isinstance(who, Process)
            and who is not me
            and kernel.is_alive(who)
            and self._look(who, frame, module)
        ]
        others = (one.who for one in self._of_removed_classes(module))
        return [*found, *(who for who in others if who is not me and who not in found)]

    def _look(self, who: Any, frame: FrameType | None, module: str | None) -> Lingering | None:
        while frame is not None:
            code = frame.f_code
            note = self._notes.get(id(code))
            if note is not None and module in (None, note.module):
                return Lingering(who, code.co_qualname, note.module, note.sha, frame.f_lineno, note.since)
            frame = frame.f_back
        return None

    def _of_removed_classes(self, module: str | None) -> list[Lingering]:
        """Return the living processes of a removed class, or of one derived from it."""
        notes = {key: note for key, note in self._classes.items() if module in (None, note.module)}
        if not notes:
            return []
        found = []
        for process in kernel.processes():
            for state in states_of(process.behaviour):
                cls = next((base for base in type(state).__mro__ if id(base) in notes), None)
                if cls is not None:
                    note = notes[id(cls)]
                    line = _line_of(cls)
                    found.append(
                        Lingering(
                            process, cls.__qualname__, note.module, note.sha, line, note.since, is_class=True
                        )
                    )
                    break
        return found


# ----------------------------------------------------------------------------------------------------- internals


def _line_of(cls: type) -> int:
    return min(
        (v.__code__.co_firstlineno for v in vars(cls).values() if isinstance(v, FunctionType)), default=1
    )


def _threads() -> Iterator[tuple[str, FrameType]]:
    me = threading.get_ident()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != me:
            yield f"thread {names.get(ident, ident)}", frame


def _me() -> Process | None:
    try:
        return kernel.self_()
    except kernel.NotAProcess:
        return None
