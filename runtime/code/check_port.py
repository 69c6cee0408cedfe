"""The port: the process that owns the checking child, as Erlang's ports own programs.

It starts the child, talks with it by watchers on the loop, starts another when it has died with a check in hand, and
takes it along when it ends itself. One check at a time. Nothing here blocks but the wait for a child that ends, and that
in a thread.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from runtime import kernel
from runtime.code.check_wire import Answer, Check, Failed, Frames, Ready, Settings, decode, encode_frame
from runtime.kernel import NORMAL, Call, Exit, Process, ProcessExit, clock, send

__all__ = ["START", "STOP", "Port", "Request", "search_path"]

_STARTING: Final = 30.0  # seconds that a child may take to come up: it imports the runtime, on a busy machine
_GRACE: Final = 5.0  # seconds past the limit in which the child ends a check that hangs; then the child hangs
_TRIES: Final = 2
_READ: Final = 1 << 18
_BUFFER: Final = 1 << 20
_ROOT: Final = str(Path(__file__).resolve().parents[2])

START: Final = "start"
STOP: Final = "stop"


@dataclass(frozen=True)
class Request:
    """A call's: one check. `limit` in seconds."""

    __handed_over__: ClassVar[bool] = True

    sources: dict[str, str | None]
    modules: list[str]
    changed: list[str]
    limit: float
    disk: bool


@dataclass(frozen=True)
class _Heard:
    """From the loop: a frame of the child, or None at the end of the stream."""

    generation: int
    frame: bytes | None


@dataclass(frozen=True)
class _Late:
    generation: int
    number: int


def search_path() -> list[str]:
    """The node's `sys.path`, for another process."""
    return [entry or str(Path.cwd()) for entry in sys.path]


class Port:
    """`settings`: asked for each child; `parent`: at whose end it ends. One check at a time; the others wait in `_queue`.

    Invariant: `_child` is there as long as `_sock` is; `_current` is the call whose check the child works on, or will as
    soon as it is ready.
    """

    def __init__(self, settings: Callable[[], Settings], parent: Process) -> None:
        self.ready: int | None = None
        self._settings = settings
        self._parent = parent
        self._pid: Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._watchers: list[Any] = []
        self._timer: Any = None
        self._frames = Frames()
        self._rest = memoryview(b"")
        self._generation = 0
        self._number = 0
        self._tries = 0
        self._current: Call | None = None
        self._why = ""
        """Why no child could be started."""
        self._queue: deque[Call] = deque()

    def on_message(self, process: Process, message: Any) -> None:
        if isinstance(message, Call):
            self._called(message)
        elif isinstance(message, _Heard):
            if message.generation == self._generation:
                self._heard(message.frame)
        elif isinstance(message, _Late):
            if (message.generation, message.number) == (self._generation, self._number):
                self._lost("it did not answer")
        elif message == START:
            kernel.trap_exit(True)
            self._pid = process
            self._launch()
        elif isinstance(message, Exit) and message.sender is self._parent:
            self._end()
            raise ProcessExit(message.reason)

    def on_exit(self, process: Process, reason: Any) -> None:
        child = self._child
        self._disconnect()
        if child is not None:  # killed, with no turn left to wait in
            child.kill()
            self._child = None
            kernel.spawn(kernel.blocking, child.wait)

    # --- internals ----------------------------------------------------------------------------------------------

    def _called(self, call: Call) -> None:
        if call.request == STOP:
            self._end()
            kernel.reply(call, None)
            raise ProcessExit(NORMAL)
        self._queue.append(call)
        self._next()

    def _next(self) -> None:
        while self._current is None and self._queue:
            call = self._queue.popleft()
            if call.caller is not None:  # else it was given up
                self._current = call
                self._tries = 0
        if self._current is None:
            return
        if self._sock is None and not self._launch():
            call, self._current = self._current, None
            kernel.reply(call, Failed("check", "", "", 0, f"the check could not be done: {self._why}"))
            self._next()
        elif self.ready is not None:
            self._ask(self._current.request)

    def _ask(self, request: Request) -> None:
        self._number += 1
        self._tries += 1
        self._within(request.limit + _GRACE)
        self._send(
            Check(
                self._number, request.sources, request.modules, request.changed, request.limit, request.disk
            )
        )

    def _heard(self, frame: bytes | None) -> None:
        if frame is None:
            self._lost("it ended")
            return
        answer: Answer = decode(frame, type=Answer)
        self._quiet()
        if isinstance(answer, Ready):
            self.ready = answer.pid
        elif self._current is not None and answer.number == self._number:
            call, self._current = self._current, None
            kernel.reply(call, answer)
        self._next()

    def _lost(self, why: str) -> None:
        """The child is gone, or good for nothing: try with another, then give up."""
        was_ready = self.ready is not None
        status = self._reap(kill=True)
        call = self._current
        if call is not None and (self._tries >= _TRIES or not was_ready):
            self._current = None
            text = f"the check could not be done: its process {_ended(why, status)}"
            if not was_ready:
                text += " before it was ready; its last words are on the node's standard error"
            path, module = "", ""
            kernel.reply(call, Failed("check", module, path, 0, text))
        self._next()

    def _launch(self) -> bool:
        """Start a child; tell whether that went: for want of a descriptor or of memory a push fails, and not the node."""
        try:
            ours = self._execute()
        except OSError as error:
            self._why = f"its process could not be started ({error})"
            return False
        self._sock = ours
        read, write = kernel.loop().io(ours.fileno(), 1), kernel.loop().io(ours.fileno(), 2)
        self._watchers = [read, write]
        read.start(self._readable, self._generation)
        self._within(_STARTING)
        self._send(self._settings())
        return True

    def _execute(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._generation += 1
            self._frames = Frames()
            with theirs:
                self._child = subprocess.Popen(
                    [
                        sys.executable, *["-O"] * sys.flags.optimize, "-P", "-m", "runtime.code.check_child",
                        str(theirs.fileno()), str(os.getpid()),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *search_path()])},
                    start_new_session=True,  # a Ctrl-C in the node's terminal is the node's business alone
                )  # fmt: skip
        except OSError:
            ours.close()
            raise
        return ours

    def _end(self) -> None:
        for call in [self._current, *self._queue]:
            if call is not None:
                kernel.fail(call, "the checker was stopped")
        self._reap(kill=False)

    def _reap(self, *, kill: bool) -> int:
        """Close the child's socket, at whose end it ends, and wait for that. Returns its exit status."""
        self._disconnect()
        child = self._child
        if child is None:
            return 0
        if kill:
            child.kill()
        status = int(kernel.blocking(_wait, child))
        self._child = None
        return status

    def _disconnect(self) -> None:
        self.ready = None
        self._rest = memoryview(b"")
        self._quiet()
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers = []
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _within(self, seconds: float) -> None:
        self._quiet()
        self._timer = clock.after(seconds, self._too_late, _Late(self._generation, self._number))

    def _quiet(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # in the hub

    def _too_late(self, late: _Late) -> None:
        send(self._pid, late)

    def _send(self, value: Any) -> None:
        self._rest = memoryview(encode_frame(value))
        self._writable()

    def _writable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            while self._rest:
                self._rest = self._rest[sock.send(self._rest) :]
        except BlockingIOError:
            self._watchers[1].start(self._writable)
            return
        except OSError:
            self._rest = memoryview(b"")  # the reading side sees the end, and says so
        self._watchers[1].stop()

    def _readable(self, generation: int) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._watchers[0].stop()
            send(self._pid, _Heard(generation, None))
        for frame in self._frames.feed(data):
            send(self._pid, _Heard(generation, frame))


# internals


def _wait(child: subprocess.Popen[bytes]) -> int:
    try:
        return child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _ended(why: str, status: int) -> str:
    if why == "it ended":
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return "did not answer"
