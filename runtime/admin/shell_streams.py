"""Where a shell's `print` goes, and what its `input` and `os.fork` do, while all else in the node keeps its own streams.

One interpreter has one `sys.stdout`. While shells are attached a switch stands there: what an evaluating process writes
goes to its shell, what anybody else writes to where it went before. Nobody reads standard input: a shell that did would
hold the node until somebody typed at the node's own terminal.

A forked copy of a node would serve the same sockets and hold the same store: while shells are attached, the child of any
`os.fork` ends before it runs a line. (`subprocess` does not fork in that sense, and works.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from runtime import kernel
from runtime.kernel import NotAProcess, Process, clock

__all__ = ["MAX_OUTPUT", "Output", "close_streams", "open_streams", "streams"]

MAX_OUTPUT: Final = 1_000_000
"""Characters that one evaluation may write; what is more is counted and dropped."""
_PIECE: Final = 32_000
_SOON: Final = 0.05

# Types


class Output:
    """What one evaluation writes, on its way to the terminal in pieces. Bounded: beyond `MAX_OUTPUT` it only counts."""

    def __init__(self, emit: Callable[[str], None], soon: Callable[[], None]) -> None:
        self._emit = emit
        self._soon = soon
        self._parts: list[str] = []
        self._size = 0
        self._told = 0.0
        self._awaited = False
        self.left = MAX_OUTPUT
        self.dropped = 0

    def write(self, text: str) -> int:
        """Take a text. Never blocks, never fails."""
        size = len(text)
        if size > self.left:
            self.dropped += size - self.left
            text = text[: self.left]
        self.left -= len(text)
        if text:
            self._parts.append(text)
            self._size += len(text)
            if self._size >= _PIECE or clock.now() - self._told >= _SOON:
                self.flush()
            elif not self._awaited:
                self._awaited = True
                self._soon()
        return size

    def flush(self) -> None:
        """Send what is there."""
        self._awaited = False
        if self._parts:
            text, self._parts, self._size = "".join(self._parts), [], 0
            self._told = clock.now()
            for at in range(0, len(text), _PIECE):
                self._emit(text[at : at + _PIECE])


class _Switch:
    """Stands in the place of sys.stdout or sys.stderr; all but writing is the original's."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def write(self, text: str) -> int:
        output = _mine()
        if output is None:
            return self.original.write(text)  # type: ignore[no-any-return]
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return output.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        output = _mine()
        if output is None:
            self.original.flush()

    def isatty(self) -> bool:
        return _mine() is None and self.original.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _NoInput:
    """Stands in the place of sys.stdin."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def _read(self, name: str, *args: Any) -> Any:
        if _mine() is not None:
            raise EOFError("a shell has no standard input: what is typed goes to the prompt")
        return getattr(self.original, name)(*args)

    def read(self, *args: Any) -> Any:
        return self._read("read", *args)

    def readline(self, *args: Any) -> Any:
        return self._read("readline", *args)

    def readlines(self, *args: Any) -> Any:
        return self._read("readlines", *args)

    def fileno(self) -> Any:
        return self._read("fileno")  # builtins.input asks: no short cut past `readline`

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


# API

streams: Final[dict[Process, Output]] = {}
"""The evaluating processes, and where each writes at the moment."""


def open_streams() -> None:
    """One more shell is attached."""
    global _attached
    if not _attached:
        sys.stdout, sys.stderr, sys.stdin = _Switch(sys.stdout), _Switch(sys.stderr), _NoInput(sys.stdin)
    _attached += 1


def close_streams() -> None:
    """One shell less; with the last, everything is as it was."""
    global _attached
    _attached -= 1
    if not _attached:
        for name in ("stdout", "stderr", "stdin"):
            switch = getattr(sys, name)
            if isinstance(switch, (_Switch, _NoInput)):
                setattr(sys, name, switch.original)


# Internals

_attached = 0


def _mine() -> Output | None:
    if not streams:
        return None
    try:
        return streams.get(kernel.self_())
    except NotAProcess:
        return None


def _end_copy() -> None:
    if _attached:
        os._exit(0)


os.register_at_fork(after_in_child=_end_copy)
