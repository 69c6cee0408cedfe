"""Small servers for tests: they do what each message tells them, and note what happened to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runtime.kernel import KILL, Process, exit, is_alive, send, trap_exit
from runtime.otp import GenServer


class Puppet(GenServer):
    """Runs the functions it is sent, each with the server as its argument, and returns what they return.

    `init(play)` runs `play(server)`. What happens is appended to `seen` and, if `watcher` is set, sent to it.
    """

    def init(self, play: Any = None, watcher: Process | None = None) -> Any:
        self.seen: list[Any] = []
        self.watcher = watcher
        return play(self) if play is not None else None

    def note(self, *event: Any) -> None:
        self.seen.append(event)
        if self.watcher is not None:
            send(self.watcher, event)

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "seen":
            return list(self.seen)
        self.sender = sender
        return request(self) if callable(request) else ("echo", request)

    def handle_cast(self, request: Any) -> Any:
        self.note("cast", request)
        return request(self) if callable(request) else None

    def handle_info(self, message: Any) -> Any:
        self.note("info", message)
        return message(self) if callable(message) else None

    def handle_continue(self, value: Any) -> Any:
        self.note("continue", value)
        return value(self) if callable(value) else None

    def terminate(self, reason: Any) -> None:
        self.note("terminate", reason)


class Trapper(Puppet):
    """A puppet that traps exits."""

    def init(self, play: Any = None, watcher: Process | None = None) -> Any:
        trap_exit(True)
        return super().init(play, watcher)


class Bare(GenServer):
    """Defines no callback at all."""


class Vault(Puppet):
    """Has a secret, and a format_status that hides it."""

    def init(self, secret: str) -> None:
        super().init()
        self.secret = secret

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        state = dict(status["state"], secret="***")
        return {key: ("redacted" if key != "reason" else status[key]) for key in status} | {"state": state}


class LeakyVault(Vault):
    """Has a secret, and a format_status that fails."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError(self.secret)


@contextmanager
def running(cls: type[GenServer], *args: Any, **options: Any) -> Iterator[Process]:
    """Start an unlinked server for the block, and end it afterwards if it still lives."""
    pid = cls.start(*args, **options)
    assert pid is not None
    try:
        yield pid
    finally:
        if is_alive(pid):
            exit(pid, KILL)
