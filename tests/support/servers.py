"""Small servers for tests: they do what each message tells them, and note what happened to them. And what goes with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runtime.kernel import KILL, CallError, Process, exit, is_alive, self_, send, spawn, trap_exit
from runtime.otp import GenServer, StartError


class Puppet(GenServer):
    """Runs the functions it is sent, each with the server as its argument, and returns what they return.

    `init(play)` runs `play(server)`. What happens is appended to `seen` and, if `watcher` is set, sent to it. `sender` is the call being handled.
    """

    def init(self, play: Any = None, watcher: Process | None = None) -> Any:
        self.seen: list[Any] = []
        self.watcher = watcher
        self.sender: Any = None
        return play(self) if play is not None else None

    def note(self, *event: Any) -> None:
        self.seen.append(event)
        if self.watcher is not None:
            send(self.watcher, event)

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "seen":
            return list(self.seen)
        if not callable(request):
            return ("echo", request)
        self.sender = sender
        try:
            return request(self)
        finally:
            self.sender = None

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


class Reports:
    """What was reported so far, out of pytest's caplog."""

    def __init__(self, caplog: Any) -> None:
        caplog.set_level(logging.INFO, logger="evergreen")
        self.caplog = caplog

    def of(self, label: str) -> list[Any]:
        return [r.report for r in self.caplog.records if r.name == f"evergreen.{label}"]

    def labels(self) -> list[str]:
        names = [r.name for r in self.caplog.records]
        return [name.removeprefix("evergreen.") for name in names if name.startswith("evergreen.")]

    def texts(self) -> str:
        return "\n".join(r.getMessage() for r in self.caplog.records)

    def clear(self) -> None:
        self.caplog.clear()


def raiser(error: BaseException) -> Any:
    """Something for a puppet to do: raise."""

    def play(_server: Any) -> Any:
        raise error

    return play


def returner(value: Any) -> Any:
    """Something for a puppet to do: return `value`."""
    return lambda _server: value


def in_helper(fn: Any) -> Process:
    """Run fn in another process; what it returns, or the reason of its StartError or CallError, comes as (pid, it)."""
    me = self_()

    def body() -> None:
        try:
            result = fn()
        except (StartError, CallError) as error:
            result = ("failed", error.reason)
        send(me, (self_(), result))

    return spawn(body)


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
