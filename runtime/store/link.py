"""The node's end of the socket pair to the writer: watchers on the loop, one send per turn, answers handed out.

Runs in the hub (and `submit` in any process): nothing here blocks. All requests of one loop turn go out in one send;
what the socket does not take waits, and grows into the next frame.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Final

import msgspec

from runtime.kernel import Call, Pid, clock, fail, in_hub, loop, reply, send
from runtime.store import hooks
from runtime.store.contract import CommitFailed, Committed, Unavailable, Unknown
from runtime.store.wire import (
    Answer,
    Frames,
    Opened,
    Pipeline,
    Refused,
    Settings,
    decode,
    encode_frame,
    error_from_wire,
)

__all__ = ["CALL", "Drained", "Gone", "Link", "Said"]

# --- types -----------------------------------------------------------------------------------------------------


class Said(msgspec.Struct, frozen=True):
    """To the owner: the writer has opened the store, or refused to."""

    answer: Opened | Refused


class Gone(msgspec.Struct, frozen=True):
    """To the owner: the writer's end is closed."""

    generation: int


class Drained(msgspec.Struct, frozen=True):
    """To the owner, who asked by `drain`: everything is answered."""


CALL: Final = object()
"""As a request's tag: who waits is a kernel Call, answered by its reply and not by a message."""

_STALLED: Final = 2.0  # seconds without an answer, while commits wait, that raise the alarm
_READ: Final = 1 << 18
_BUFFER: Final = 4 << 20  # wished for; what the system allows is taken


class Link:
    """Carries requests to whichever writer is connected, and keeps the unanswered ones for the next writer.

    Invariant: `ready` only between a writer's Opened and the loss of its socket; every request that was accepted is
    answered exactly once (at the latest by `close`, with Unknown).

    `groups` counts the writer's replies, one for each transaction; `latency` is the time from sending to durable of the
    last request looked at (one at a time, so that it costs nothing), in seconds.
    """

    def __init__(self, path: str, max_pending: int, max_pending_bytes: int) -> None:
        self.path = path
        self.owner: Pid | None = None
        self.pipeline = Pipeline()
        self.ready = False
        self.accepting = True
        self.base = 0
        self.generation = 0
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._sock: socket.socket | None = None
        self._watchers: list[Any] = []
        self._frames = Frames()
        self._rest = memoryview(b"")
        self._scheduled = self._full = self._draining = False
        self.groups = 0
        self.latency = 0.0
        self._probe = 0  # number of the request whose time is taken, 0: none
        self._probe_sent = 0.0
        self._moved = 0.0  # when the last answer came, or the first request that waits for one
        self._watch: Any = None  # the timer that looks whether it moves; only while something waits
        self._is_stalled = False

    # --- API ---------------------------------------------------------------------------------------------------

    def submit(self, shard: int, token: int | None, body: Any, who: Any, tag: Any) -> None:
        """Take a request in. Raises Unavailable when the store is closed or too much is unanswered already."""
        pipeline = self.pipeline
        if not self.accepting:
            raise Unavailable(f"the store in {self.path} is closed")
        if len(pipeline.waiting) >= self._max_pending:
            raise Unavailable(f"{self._max_pending} commits wait already: the disk does not keep up")
        if pipeline.size >= self._max_pending_bytes:
            raise Unavailable(f"commits of {pipeline.size} bytes wait already: the disk does not keep up")
        if not pipeline.waiting:
            self._moved = clock.now()
            if self._watch is None:
                self._watch = clock.after(_STALLED, self._look)
        pipeline.add(shard, token, body, who, tag)
        if not self._scheduled:
            self._scheduled = True
            in_hub(self._flush)

    def connect(self, settings: Settings) -> socket.socket:
        """Make a socket pair for a new writer; returns the writer's end, to be closed after it was inherited."""
        self.disconnect()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for sock in (ours, theirs):
            _widen(sock)
        self._sock = ours
        self._frames = Frames()
        self.generation += 1
        read, write = loop().io(ours.fileno(), 1), loop().io(ours.fileno(), 2)
        self._watchers = [read, write]
        read.start(self._readable)
        ours.send(encode_frame(settings))
        return theirs

    def opened(self, opened: Opened) -> None:
        """The writer serves: send what is unanswered, and all that comes."""
        self.base = opened.base
        self.ready = True
        self.pipeline.resend()
        self._flush()

    def stalled(self) -> float:
        """For how long nothing was answered although something waits, in seconds: the health of disk and writer."""
        return clock.now() - self._moved if self.pipeline.waiting else 0.0

    def drain(self) -> bool:
        """Accept nothing more. True when nothing is unanswered; else Drained comes to the owner when it is so."""
        self.accepting = False
        self._draining = bool(self.pipeline.waiting)
        return not self._draining

    def disconnect(self) -> None:
        """Close the socket: the writer sees the end of the stream. Requests stay."""
        self.ready = False
        self._rest = memoryview(b"")
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers = []
        sock, self._sock = self._sock, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(
                    socket.SHUT_RDWR
                )  # the end of the stream, whoever else has inherited the descriptor
            sock.close()

    def close(self) -> None:
        """Disconnect for good; who still waits is told that the outcome is Unknown. Idempotent."""
        self.accepting = False
        self.disconnect()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
        waiting = self.pipeline.waiting
        while waiting:
            _, who, tag = waiting.popleft()
            error = Unknown(f"the store in {self.path} was closed before the answer")
            if tag is CALL:
                fail(who, error)
            else:
                send(who, CommitFailed(tag, error))

    # --- internals ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._watch = None
        if not self.pipeline.waiting:
            return
        left = _STALLED - self.stalled()
        if left > 0:
            self._watch = clock.after(left, self._look)
        else:
            # A commit that hangs cannot be given up: it may be done the next moment. Its end clears the alarm.
            self._is_stalled = True
            hooks.alarm("store_stalled", True, path=self.path, pending=len(self.pipeline.waiting))

    def _flush(self) -> None:
        self._scheduled = False
        sock = self._sock
        if not self.ready or self._rest or sock is None:
            return
        if not self._probe and self.pipeline.waiting:
            self._probe = self.pipeline.answered + len(self.pipeline.waiting)
            self._probe_sent = clock.now()
        while data := self.pipeline.take():
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the reading side sees the end and says so; the requests stay
            if sent < len(data):
                self._rest = memoryview(data)[sent:]
                self._watchers[1].start(self._writable)
                return

    def _writable(self) -> None:
        assert self._sock is not None
        try:
            self._rest = self._rest[self._sock.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._rest = memoryview(b"")
        if not self._rest:
            self._watchers[1].stop()
            self._flush()

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.disconnect()
            if self.owner is not None:
                send(self.owner, Gone(self.generation))
            return
        for frame in self._frames.feed(data):
            if self.ready:
                self._reply(frame)
            elif self.owner is not None:
                send(self.owner, Said(decode(frame, type=Opened | Refused)))

    def _reply(self, frame: bytes) -> None:
        base = self.base
        for who, tag, seq, answer in self.pipeline.answers(frame):
            if answer is None and tag is not CALL:  # the hot path
                send(who, Committed(tag, base + seq))
            else:
                self._answer(who, tag, base + seq if answer is None else answer)
        self.groups += 1
        self._moved = clock.now()
        if self._is_stalled:
            self._is_stalled = False
            hooks.alarm("store_stalled", False, path=self.path, pending=len(self.pipeline.waiting))
        if self._watch is None and self.pipeline.waiting:
            self._watch = clock.after(_STALLED, self._look)
        if 0 < self._probe <= self.pipeline.answered:
            self.latency = clock.now() - self._probe_sent
            self._probe = 0
        if self.pipeline.full is not self._full:
            self._full = self.pipeline.full
            hooks.alarm("store_full", self._full, path=self.path)
        if self._draining and not self.pipeline.waiting:
            self._draining = False
            if self.owner is not None:
                send(self.owner, Drained())

    def _answer(self, who: Any, tag: Any, answer: Answer) -> None:
        if isinstance(answer, int):
            assert isinstance(who, Call)
            reply(who, answer)
            return
        error = error_from_wire(answer)
        if tag is CALL:
            fail(who, error)
        else:
            send(who, CommitFailed(tag, error))


def _widen(sock: socket.socket) -> None:
    force = getattr(socket, "SO_SNDBUFFORCE", 32) if os.geteuid() == 0 else None
    try:
        sock.setsockopt(socket.SOL_SOCKET, force or socket.SO_SNDBUF, _BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
