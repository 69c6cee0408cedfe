"""The user's end of a shell, without the terminal: attach, evaluate, complete, interrupt, over one connection.

Plain blocking sockets, one input at a time. Ctrl-C is caught only while an input runs: the first asks the node to interrupt
it, the second to kill what runs it, the third gives up waiting.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from runtime.admin.client import Client, NotConnected, OperationFailed

__all__ = ["Gone", "ShellLink"]

_SOON = 10.0
_TYPING = 1.0

# Types


class Gone(Exception):
    """The shell ended at the node, which lives: a sentence. Another one can be attached."""


class ShellLink:
    """One attached shell. Raises NotConnected when the node goes away, Gone when only the shell does."""

    is_node = True

    def __init__(self, client: Client) -> None:
        self.client = client
        self.hello = client.hello
        self.number = 0
        self._attached = 0
        if "shell.attach" not in client.hello["operations"]:
            raise OperationFailed("unknown", "this node has no shell", {})
        self.attach()

    def attach(self) -> None:
        """Attach a shell, a new one if there was one."""
        self._attached = self.client.send("shell.attach", timeout=_SOON)
        while True:
            answer = self.client.read(_SOON)
            if answer.get("id") not in (self._attached, 0):
                continue
            event = answer.get("event")
            if event is None:
                raise OperationFailed(str(answer.get("kind")), str(answer.get("text")), {})
            if event.get("stage") == "attached":
                self.number = event["shell"]
                return

    def evaluate(
        self, code: str, *, width: int = 100, form: str = "screen", on_event: Callable[[Any], None]
    ) -> dict[str, Any]:
        """Evaluate an input, hand its events to `on_event`, and return its answer. Raises KeyboardInterrupt at the third Ctrl-C."""
        number = self.client.send(
            "shell.eval", {"shell": self.number, "code": code, "width": width, "form": form}
        )
        interrupts = 0
        with _interrupts() as pipe:
            while True:
                if not self.client.pending():
                    ready, _, _ = select.select([self.client.fileno(), pipe], [], [])
                    if pipe in ready:
                        os.read(pipe, 100)
                        interrupts += 1
                        if interrupts > 2:
                            raise KeyboardInterrupt
                        self.client.send("shell.interrupt", {"shell": self.number})
                        continue
                answer = self._read(None)
                if answer.get("id") != number:
                    continue
                if "event" in answer:
                    on_event(answer["event"])
                elif answer.get("ok"):
                    result: dict[str, Any] = answer["result"]
                    if result["kind"] == "gone":
                        raise Gone(result["text"])
                    return result
                else:
                    raise OperationFailed(str(answer.get("kind")), str(answer.get("text")), {})

    def complete(self, text: str) -> tuple[int, list[str]]:
        """Ask what may stand at the end of `text`: from where on, and the names. Empty when the node is busy."""
        number = self.client.send("shell.complete", {"shell": self.number, "text": text}, timeout=_SOON)
        until = monotonic() + _TYPING
        while True:
            if not self.client.pending():
                left = until - monotonic()
                if left <= 0 or not select.select([self.client.fileno()], [], [], left)[0]:
                    return len(text), []  # its answer is passed over when it comes
            answer = self._read(_SOON)
            if answer.get("id") == number:
                result = answer.get("result") or {"start": len(text), "names": []}
                return result["start"], result["names"]

    def check(self) -> None:
        """Read what came without being asked for: the end of the shell. Call it when the descriptor can be read."""
        self._read(_SOON)

    def _read(self, timeout: float | None) -> dict[str, Any]:
        answer = self.client.read(timeout)
        if answer.get("id") == self._attached and "event" not in answer:
            result: Mapping[str, Any] = answer.get("result") or {}
            raise Gone(f"the shell ended: {result.get('reason') or answer.get('text')}")
        if answer.get("id") == 0:
            raise NotConnected(str(answer.get("text")))
        return answer


# Internals


@contextmanager
def _interrupts() -> Iterator[int]:
    """A pipe that can be read when Ctrl-C was pressed."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def note(*_: object) -> None:
        with suppress(BlockingIOError):
            os.write(writing, b"c")

    before: Any = None
    is_main = True
    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: nobody presses Ctrl-C here
        is_main = False
    try:
        yield reading
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
        os.close(reading)
        os.close(writing)
