"""The hub half of a connection: a record on loop watchers. No greenlet while it is idle.

Theory of operation
-------------------
A connection is one object and one callback process. This half (`_on_readable`, `_on_writable`, deadlines) reads, cuts
and sends; it never calls the protocol. What it has for the process goes there as a message (`signals`). READABLE is sent
only when `_inbox` was empty, so the mailbox holds at most one, and all frames that came while the process was busy are
one batch.

    PREPARING ──prelude done──▶ OPEN ──close()──▶ FLUSHING ──queue empty──▶ LINGERING ──peer's end──▶ CLOSED
        └──────────────────────────┴── error, time limit, death of the process ──────────────────────────▲

FLUSHING sends what is queued; LINGERING has said goodbye (TLS close_notify, FIN) and throws away what still comes:
closing at once with unread input would make the kernel send a reset, and the peer would lose our last words.

Writes only join `_out`; once per turn of the loop all connections that wrote are flushed, one send each (`flushing`).

Invariants
    `_socket` is None, both watchers are None and it stands in no wheel  <=>  CLOSED.
    `_stalled` != 0  <=>  the kernel refused bytes: a write watcher is armed (or TLS wants to read first).
    the read watcher is active  <=>  OPEN and `_paused` == 0; or LINGERING; or the prelude wants to read.
    the process dies  =>  CLOSED (`on_exit`): a socket never outlives its process.

Rejected: a greenlet per connection (9 to 55 KB); MemoryBIO pairs for TLS (1.7 KB more); a monitor per connection for
the clean-up (230 bytes; the kernel's `on_exit` costs none); a timer per connection (`wheel`).
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from runtime.kernel import NORMAL, Process, clock, loop, send
from runtime.net import prelude as preludes
from runtime.net.flushing import flush_soon
from runtime.net.framing import FramingError
from runtime.net.options import Options
from runtime.net.reasons import HANDSHAKE_TIMEOUT, IDLE, RESET, SLOW_FRAME, SLOW_READER, Failure
from runtime.net.signals import CROWDED, ENDED, GONE, READABLE, ROOMY, UP, Bad
from runtime.net.wheel import wheel

__all__ = ["Stream"]

PREPARING, OPEN, FLUSHING, LINGERING, CLOSED = range(5)
STATES = ("preparing", "open", "flushing", "lingering", "closed")

# Why nothing is read: bits of `_paused`.
STARTING, BUSY, ASKED, AT_END = 1, 2, 4, 8
# Bits of `_marks` (one field: each would cost 8 bytes a connection).
IS_CROWDED, IS_DIRTY, TLS_WRITES_FIRST, TOLD, SENDS_SEVERAL = 1, 2, 4, 8, 16

READ_SIZE = 64 * 1024
_GOODBYE = 2.0  # seconds for the peer's end after ours


# types


class Stream:
    """The hub half of a connection: everything that touches the socket."""

    __slots__ = (
        "_born", "_bucket", "_bytes_in", "_bytes_out", "_closing", "_frames_in", "_frames_out", "_head", "_host", "_idle",
        "_inbox", "_marks", "_out", "_owner", "_partial", "_paused", "_port", "_prelude", "_queued", "_read_watcher",
        "_seen", "_socket", "_stalled", "_state", "_tail", "_unread", "_write_watcher", "options", "pid", "protocol",
    )  # fmt: skip

    is_tls = False
    pid: Process
    protocol: Any  # a Protocol; None until the process has made it
    _socket: Any

    def __init__(
        self, sock: socket.socket, host: str, port: int, options: Options, owner: Any, prelude: Any = None
    ) -> None:
        """Take over `sock` (non-blocking). `owner.gone(conn, reason)` is called once it is closed. See `begin`."""
        self.options = options
        self.protocol = None
        self._socket = sock
        self._host, self._port = host, port
        self._owner = owner
        self._prelude = prelude
        self._state = PREPARING
        self._born = self._seen = clock.now()
        self._idle = options.idle_timeout
        self._read_watcher = loop().io(sock.fileno(), 1)
        self._write_watcher: Any = None
        self._tail: bytearray | None = None
        self._inbox: list[bytes] | None = None
        self._out: list[bytes] | None = None
        self._head: Any = None  # what is being sent: bytes, or a memoryview of what is left of them
        self._closing: Any = None  # the reason, from the moment that it is decided
        self._unread = self._queued = self._bucket = 0
        self._bytes_in = self._bytes_out = self._frames_in = self._frames_out = 0
        self._partial = 0.0  # OPEN: since when a frame is unfinished; from FLUSHING on: when to give up
        self._stalled = 0.0  # since when the kernel refuses bytes
        self._paused = STARTING
        self._marks = 0

    # coming up

    def begin(self) -> None:
        """Hub or process: start. `pid` is set. An OSError here means that the socket is dead already."""
        if self._prelude is None:
            self._open()
        else:
            wheel.due(self, self._born + self.options.handshake_timeout)
            if self._prelude.steps[0].waits_for_peer:
                self._read_watcher.start(_on_readable, self)
            else:
                self._step()

    def _open(self) -> None:
        self._state = OPEN
        self._seen = clock.now()
        if self._idle:
            wheel.due(self, self._seen + self._idle)
        send(self.pid, UP)

    def _step(self) -> None:
        """The socket is ready for the prelude: let it go on, or queue it if its next step is heavy."""
        steps = self._prelude.steps
        if steps and steps[0].is_heavy:
            self._read_watcher.stop()
            self._disarm_writing()
            preludes.queue(self)
        else:
            self._prepare()

    def _prepare(self) -> None:
        """Hub: run the prelude's steps until one has to wait."""
        if self._state != PREPARING:
            return
        steps = self._prelude.steps
        try:
            while steps:
                wants = steps[0].run(self)
                if wants is not None:
                    if wants == preludes.READ:
                        self._disarm_writing()
                        self._read_watcher.start(_on_readable, self)
                    else:
                        self._read_watcher.stop()
                        self._arm_writing()
                    return
                del steps[0]
                if steps and steps[0].is_heavy:
                    self._disarm_writing()
                    self._read_watcher.stop()
                    preludes.queue(self)
                    return
            self._read_watcher.stop()
            self._disarm_writing()
            self._open()
        except preludes.PreludeFailed as failed:
            self._finish(failed.failure)
        except OSError as error:
            self._lost(error)
        except Exception as error:  # noqa: BLE001 - an error in the hub belongs to this connection's process
            self._finish(error)

    # reading

    def _on_readable(self) -> None:
        """Hub: the socket has something. Never raises."""
        try:
            if self._state == OPEN:
                data = self._receive()
                if data:
                    self._take(data)
                if self._paused & AT_END and self._state == OPEN:
                    self._read_watcher.stop()
                    send(self.pid, ENDED)
            elif self._state == PREPARING:
                self._step()
            elif self._state == LINGERING:
                self._discard()
        except OSError as error:
            self._lost(error)
        except Exception as error:  # noqa: BLE001 - an error in the hub belongs to this connection's process
            self._finish(error)

    def _receive(self) -> bytes | None:
        """Read all that is there, within reason. Sets AT_END at the end of the stream."""
        try:
            data: bytes = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return None
        if not data:
            self._paused |= AT_END
        return data

    def _take(self, data: bytes) -> None:
        """Cut `data` and hand what is whole to the process."""
        self._seen = now = clock.now()
        size = len(data)
        self._bytes_in += size
        tail = self._tail
        if tail is not None:
            size += len(tail)
        try:
            frames, new_tail = self.protocol.framing.split(tail, data)
        except FramingError as error:
            self._tail = None
            self._read_watcher.stop()
            self._paused |= AT_END  # nothing after this can be understood
            if error.frames:
                self._hand_over(error.frames, error.used)
            send(self.pid, Bad(error))
            return
        self._tail = new_tail
        if new_tail is not None:
            size -= len(new_tail)
            if frames or tail is None:
                self._partial = now
                if self.options.frame_timeout:
                    wheel.due(self, now + self.options.frame_timeout)
        if frames:
            self._hand_over(frames, size)

    def _hand_over(self, frames: list[bytes], size: int) -> None:
        self._frames_in += len(frames)
        if self._inbox is None:
            self._inbox = frames
            send(self.pid, READABLE)
        else:
            self._inbox += frames
        self._unread += size
        if self._unread > self.options.read_high:
            self._stop_reading(BUSY)

    def _stop_reading(self, why: int) -> None:
        self._paused |= why
        if self._state == OPEN:
            self._read_watcher.stop()

    def _go_on_reading(self, why: int) -> None:
        if self._paused & why:
            self._paused &= ~why
            if not self._paused and self._state == OPEN:
                self._seen = now = clock.now()  # our pause is not the peer's silence
                if self._tail is not None:
                    self._partial = now
                self._read_watcher.start(_on_readable, self)

    # writing

    def write_raw(self, data: bytes) -> None:
        """Send `data` as it stands, without framing. Never blocks."""
        if self._state != OPEN:
            return
        out = self._out
        if out is None:
            self._out = [data]
            if not self._marks & IS_DIRTY and not self._stalled:
                self._marks |= IS_DIRTY
                flush_soon(self)
        else:
            out.append(data)
        self._queued = queued = self._queued + len(data)
        if queued > self.options.write_high:
            self._crowd()

    def _on_writable(self) -> None:
        """Hub: the kernel takes bytes again. Never raises."""
        if self._state == PREPARING:
            self._step()
            return
        if self._marks & TLS_WRITES_FIRST:  # TLS had to write before it could read
            self._marks &= ~TLS_WRITES_FIRST
            if not self._stalled:
                self._disarm_writing()
            if not self._paused:
                self._on_readable()
        if self._stalled:
            self._flush()

    def _flush(self) -> None:
        """Send what is queued, as much as the kernel takes. Never raises."""
        self._marks &= ~IS_DIRTY
        if self._state == OPEN or self._state == FLUSHING:
            try:
                self._send_queue()
            except OSError as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001 - an error in the hub belongs to this connection's process
                self._finish(error)

    def _send_queue(self) -> None:
        while True:
            head = self._head
            if head is None:
                out = self._out
                if out is None:
                    break
                self._out = None
                head = out[0] if len(out) == 1 else b"".join(out)
                if not head:
                    continue
            sent = self._send(head)
            self._queued -= sent
            if not sent:
                self._head = head
                self._stall()
                return
            self._bytes_out += sent
            self._head = None if sent == len(head) else memoryview(head)[sent:]
            if self._stalled and (
                self._queued <= self.options.write_high or self.options.write_policy == "tell"
            ):
                self._stalled = clock.now()  # it moves, and that is enough
        if self._stalled:
            self._stalled = 0.0
            self._disarm_writing()
        if self._marks & IS_CROWDED and self._queued <= self.options.write_low:
            self._roomy()
        if self._state == FLUSHING:
            self._goodbye()

    def _send(self, data: Any) -> int:
        try:
            return self._socket.send(data)  # type: ignore[no-any-return]
        except BlockingIOError:
            return 0

    def _stall(self) -> None:
        """The kernel takes no more: go on when it does, or give up in time."""
        if not self._stalled:
            self._stalled = now = clock.now()
            if self._state == OPEN:
                wheel.due(self, now + self.options.write_timeout)
        self._arm_writing()
        if self._marks & IS_CROWDED and self._queued <= self.options.write_low:
            self._roomy()

    def _crowd(self) -> None:
        """More than write_high is queued: give the kernel its chance before anybody is called slow."""
        if not self._stalled:
            self._flush()
        options = self.options
        if self._queued > options.write_limit:
            self.close(SLOW_READER, flush=False)
        elif self._queued > options.write_high and not self._marks & IS_CROWDED:
            self._marks |= IS_CROWDED
            send(self.pid, CROWDED)

    def _roomy(self) -> None:
        self._marks &= ~IS_CROWDED
        if self._state == OPEN:
            send(self.pid, ROOMY)

    def _arm_writing(self) -> None:
        if self._write_watcher is None:
            self._write_watcher = loop().io(self._socket.fileno(), 2)
            self._write_watcher.start(self._on_writable)

    def _disarm_writing(self) -> None:
        watcher, self._write_watcher = self._write_watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    # the end

    def close(self, reason: Any = NORMAL, flush: bool = True) -> None:
        """Close; does not block. With `flush`, what is queued goes first, within `linger` seconds.

        Frames not handled yet are dropped. `Protocol.closed(reason)` follows; then the process exits with `reason`.
        """
        if self._state >= FLUSHING:
            if not flush:
                self._finish(self._closing)
            return
        self._closing = reason
        self._inbox = self._tail = None
        if not flush or self._state == PREPARING:
            self._finish(reason)
            return
        self._state = FLUSHING
        self._read_watcher.stop()
        if self._queued:
            self._partial = clock.now() + self.options.linger
            wheel.due(self, self._partial)
            # The flush that is queued, or the write watcher, goes on to _goodbye.
        else:
            self._goodbye()

    def _goodbye(self) -> None:
        """All is sent: end our side, then wait a little for the peer's."""
        try:
            self._say_goodbye()
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._finish(self._closing)
            return
        self._state = LINGERING
        self._partial = clock.now() + min(_GOODBYE, self.options.linger)
        wheel.due(self, self._partial)
        self._read_watcher.start(_on_readable, self)

    def _say_goodbye(self) -> None:
        """What stands before the end of the stream (TLS: close_notify)."""

    def _discard(self) -> None:
        # The base class's recv: on a TLS socket too, only the bytes below matter now.
        try:
            data = socket.socket.recv(self._socket, READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self._finish(self._closing)

    def _lost(self, error: OSError) -> None:
        """The socket failed."""
        is_tls = isinstance(error, ssl.SSLError) and not isinstance(
            error, (ssl.SSLEOFError, ssl.SSLSyscallError)
        )
        if is_tls and self._state == OPEN:
            self._finish(Failure("tls", getattr(error, "reason", None) or str(error)))
        else:
            self._finish(RESET if self._closing is None else self._closing)

    def _finish(self, reason: Any) -> None:
        """Close now. The process hears of it after all that it was sent before."""
        if self._state != CLOSED:
            if self._closing is None:
                self._closing = reason
            self._shut()
            send(self.pid, GONE)

    def _shut(self) -> None:
        if self._state == CLOSED:
            return
        self._state = CLOSED
        self._read_watcher.stop()
        self._read_watcher.close()
        self._disarm_writing()
        wheel.forget(self)
        sock, self._socket, self._read_watcher = self._socket, None, None
        self._out = self._head = self._tail = None
        self._queued = 0
        self._stalled = 0.0
        try:
            sock.close()
        except OSError:
            pass  # a reset may be reported here once more; the descriptor is free all the same
        if self._owner is not None:
            self._owner.gone(self, self._closing)

    def _check_deadlines(self, now: float) -> float | None:
        """The wheel asks: act on what is overdue, say when to ask again. Never raises."""
        state, options = self._state, self.options
        if state == OPEN:
            return self._check_open(now)
        if state == PREPARING:
            due = self._born + options.handshake_timeout
            if now >= due:
                self._finish(HANDSHAKE_TIMEOUT)
        else:
            due = self._partial
            if now >= due:
                self._finish(self._closing)
        return due if self._state != CLOSED else None

    def _check_open(self, now: float) -> float | None:
        options = self.options
        due: list[float] = []
        for limit, since, reason, is_input in (
            (self._idle, self._seen, IDLE, True),
            (options.frame_timeout, self._partial if self._tail is not None else 0.0, SLOW_FRAME, True),
            (options.write_timeout, self._stalled, SLOW_READER, False),
        ):
            if limit and since:
                if is_input and self._paused:
                    due.append(now + limit)
                elif now >= since + limit:
                    self.close(reason, flush=reason is not SLOW_READER)
                    return self._partial if self._state in (FLUSHING, LINGERING) else None
                else:
                    due.append(since + limit)
        return min(due, default=None)


# A plain function and its argument take 40 bytes less in a watcher than a bound method does.
_on_readable = Stream._on_readable
