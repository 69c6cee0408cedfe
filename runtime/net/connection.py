"""A connection: a record on loop watchers, and a callback process that owns it. No greenlet while it is idle.

Theory of operation
-------------------
The hub side (`_on_readable`, `_on_writable`, deadlines) reads, cuts and sends; it never calls the protocol. What it
has for the process goes there as a message: READABLE (frames lie in `_inbox`), ENDED, BAD, CROWDED, ROOMY, GONE.
READABLE is sent only when `_inbox` was empty, so the mailbox holds at most one, and all frames that came while the
process was busy are one batch.

    PREPARING ──prelude done──▶ OPEN ──close()──▶ FLUSHING ──queue empty──▶ LINGERING ──peer's end──▶ CLOSED
        └──────────────────────────┴── error, time limit, death of the process ──────────────────────────▲

FLUSHING sends what is queued; LINGERING has said goodbye (TLS close_notify, FIN) and throws away what still comes:
closing at once with unread input would make the kernel send a reset, and the peer would lose our last words.

Writes only join `_out`; once per turn of the loop all connections that wrote are flushed, one send each.

Invariants
    `_socket` is None, both watchers are None and it stands in no wheel  <=>  CLOSED.
    `_stalled` != 0  <=>  the kernel refused bytes: a write watcher is armed (or TLS wants to read first).
    the read watcher is active  <=>  OPEN, `_paused` == 0, not `_ended`; or LINGERING; or the prelude wants to read.
    the process dies  =>  CLOSED (`on_exit`): a socket never outlives its process.

Rejected: a greenlet per connection (9 to 55 KB); MemoryBIO pairs for TLS (1.7 KB more); a monitor per connection for
the clean-up (230 bytes; the kernel's `on_exit` costs none); a timer per connection (`wheel`).
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final

from runtime.kernel import (
    NORMAL,
    Call,
    Exit,
    Killed,
    Process,
    ProcessExit,
    clock,
    in_hub,
    loop,
    reply,
    send,
    trap_exit,
)
from runtime.net import prelude as preludes
from runtime.net.framing import FramingError, guess
from runtime.net.options import Options
from runtime.net.protocol import Protocol, resolve
from runtime.net.reasons import (
    BAD_FRAME,
    HANDSHAKE_TIMEOUT,
    IDLE,
    PEER_CLOSED,
    RESET,
    SLOW_FRAME,
    SLOW_READER,
    Failure,
    exit_reason,
)
from runtime.net.tls import TLSInfo, info_of
from runtime.net.wheel import wheel

__all__ = ["AWAIT_UP", "Connection", "ConnectionInfo", "Drain", "TLSConnection"]

PREPARING, OPEN, FLUSHING, LINGERING, CLOSED = range(5)
_STATES = ("preparing", "open", "flushing", "lingering", "closed")

# Who stopped the reading: bits of `_paused`.
_STARTING, _BUSY, _ASKED = 1, 2, 4

_READ_SIZE = 64 * 1024
_TLS_PIECE = 32 * 1024  # bytes of one TLS write: it counts as progress only when all of it has gone
_MAX_BATCH = 128  # frames of one callback, so that small frames cannot make it a hog
_FLUSH_SLICE = 128  # connections flushed before the loop may poll again
_GOODBYE = 2.0  # seconds for the peer's end after ours


# types


class _Signal:
    """A message of the hub side to the connection's process."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<net {self.name}>"


UP, READABLE, ENDED = _Signal("up"), _Signal("readable"), _Signal("ended")
CROWDED, ROOMY, GONE = _Signal("crowded"), _Signal("roomy"), _Signal("gone")
AWAIT_UP: Final = _Signal("await up")
"""A request (`call`) that is answered when the connection is up."""


class _Bad:
    """The input broke the framing."""

    __slots__ = ("error",)

    def __init__(self, error: FramingError) -> None:
        self.error = error


class Drain:
    """The listener stops: the protocol has `seconds` to finish."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A look at one connection. Sizes are bytes, times seconds."""

    pid: Process
    state: str
    peer: tuple[str, int]
    protocol: str
    is_tls: bool
    age: float
    quiet: float
    bytes_in: int
    bytes_out: int
    frames_in: int
    frames_out: int
    unhandled: int
    unfinished: int
    write_queue: int
    is_reading: bool
    is_stalled: bool


class Connection:
    """One TCP connection and its process's behaviour. Protocols use the public names; the rest is the hub's."""

    __slots__ = (
        "__weakref__", "_ask", "_born", "_bucket", "_bytes_in", "_bytes_out", "_closing", "_crowded", "_deadline",
        "_dirty", "_ended", "_frames_in", "_frames_out", "_head", "_host", "_idle", "_inbox", "_out", "_owner",
        "_partial", "_paused", "_port", "_prelude", "_queued", "_read_watcher", "_seen", "_socket", "_stalled",
        "_state", "_tail", "_told", "_unread", "_write_watcher", "options", "pid", "protocol",
    )  # fmt: skip

    is_tls = False
    pid: Process
    protocol: Protocol
    _socket: Any

    def __init__(
        self, sock: socket.socket, host: str, port: int, options: Options, owner: Any, prelude: Any = None
    ) -> None:
        """Take over `sock` (non-blocking). `owner.gone(conn, reason)` is called once it is closed. See `begin`."""
        self.options = options
        self.protocol = None  # type: ignore[assignment] # made by the process, before any callback can use it
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
        self._partial = self._stalled = self._deadline = 0.0
        self._paused = _STARTING
        self._crowded = self._dirty = self._ended = self._told = self._ask = False

    # API

    @property
    def peer(self) -> tuple[str, int]:
        """The peer's (host, port); behind a PROXY header, what that said."""
        return (self._host, self._port)

    @property
    def local(self) -> tuple[str, int] | None:
        """Our (host, port); None once closed."""
        try:
            return self._socket.getsockname()[:2]  # type: ignore[no-any-return]
        except (AttributeError, OSError):
            return None

    @property
    def tls_info(self) -> TLSInfo | None:
        """What TLS agreed on; None for a plain connection, and once closed."""
        return None

    @property
    def write_queue(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._queued

    @property
    def is_open(self) -> bool:
        return self._state == OPEN

    def write(self, payload: bytes) -> None:
        """Send `payload` as one frame. Never blocks; once closing, the data is dropped.

        Everything written in one turn of the loop goes out in one send. Raises FrameTooBig before anything is queued.
        """
        self.write_raw(self.protocol.framing.pack(payload))
        self._frames_out += 1

    def write_raw(self, data: bytes) -> None:
        """Send `data` as it stands, without framing. Never blocks."""
        if self._state != OPEN:
            return
        out = self._out
        if out is None:
            self._out = [data]
            if not self._dirty and not self._stalled:
                self._dirty = True
                _mark_dirty(self)
        else:
            out.append(data)
        self._queued = queued = self._queued + len(data)
        if queued > self.options.write_high:
            self._crowd()

    def pause(self) -> None:
        """Stop reading until `resume`; the peer's window fills. Time limits on input stand still meanwhile."""
        self._stop_reading(_ASKED)

    def resume(self) -> None:
        """Read again."""
        self._go_on_reading(_ASKED)

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
            self._deadline = clock.now() + self.options.linger
            wheel.due(self, self._deadline)
            # The flush that is queued, or the write watcher, goes on to _goodbye.
        else:
            self._goodbye()

    def set_idle_timeout(self, seconds: float | None) -> None:
        """Close as `idle` after so long without input; None: never. Counts from the last input."""
        self._idle = seconds
        if seconds and self._state == OPEN:
            wheel.due(self, self._seen + seconds)

    def info(self) -> ConnectionInfo:
        """Describe the connection. Never blocks, never raises."""
        now = clock.now()
        kind = type(self.protocol)
        return ConnectionInfo(
            pid=self.pid,
            state=_STATES[self._state],
            peer=self.peer,
            protocol="" if self.protocol is None else f"{kind.__module__}:{kind.__qualname__}",
            is_tls=self.is_tls,
            age=now - self._born,
            quiet=now - self._seen,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            unhandled=self._unread,
            unfinished=len(self._tail or b""),
            write_queue=self._queued,
            is_reading=self._state == OPEN and not self._paused and not self._ended,
            is_stalled=bool(self._stalled),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._host}:{self._port} {_STATES[self._state]}>"

    # callbacks of the process

    def on_message(self, process: Process, message: Any) -> None:
        """Hand a message to the protocol."""
        try:
            if message is READABLE:
                self._deliver()
            elif message.__class__ is _Signal:
                self._signal(message)
            elif self.protocol is None or message.__class__ in _CONTROL:
                self._control(message)
            else:
                self.protocol.info(self, message)
        except Killed:
            raise  # dead already: nothing more may run in its name
        except ProcessExit as end:
            self._tell_closed(end.reason)
            raise
        except Exception as error:
            self._tell_closed(error)
            raise

    def on_exit(self, process: Process, reason: Any) -> None:
        """The process is dead, whatever the cause: its socket goes with it."""
        if self._closing is None:
            self._closing = reason
        self._shut()

    def _deliver(self) -> None:
        frames = self._inbox
        if frames is None:  # closed meanwhile by ourselves
            return
        if len(frames) > _MAX_BATCH:
            self._inbox = frames[_MAX_BATCH:]
            del frames[_MAX_BATCH:]
            size = sum(map(len, frames))
            send(self.pid, READABLE)
        else:
            self._inbox = None
            size = self._unread
        self.protocol.frames(self, frames)
        self._unread -= size
        if self._paused & _BUSY and self._unread <= self.options.read_low:
            self._go_on_reading(_BUSY)

    def _signal(self, message: _Signal) -> None:
        if message is UP:
            self._up()
        elif message is CROWDED:
            if self._state == OPEN:
                self.protocol.writable(self, False)
        elif message is ROOMY:
            if self._state == OPEN:
                self.protocol.writable(self, True)
        elif self._inbox is not None:
            send(self.pid, message)  # a long batch was split; what ended the input comes after all of it
        elif message is ENDED:
            self.close(PEER_CLOSED)
        elif message is GONE:
            reason = self._closing
            self._tell_closed(reason)
            if isinstance(reason, Exception):
                raise reason
            raise ProcessExit(exit_reason(reason))

    def _control(self, message: Any) -> None:
        """Messages that are the connection's own, or that come before there is a protocol."""
        if message.__class__ is Call and message.request is AWAIT_UP:
            if self._state == OPEN and self.protocol is not None:
                reply(message, True)
            elif self._prelude is not None:
                self._prelude.waiters.append(message)
        elif message.__class__ is Drain:
            if self.protocol is None:
                self.close("shutdown", flush=False)
            elif self._state == OPEN:
                self.protocol.draining(self, message.seconds)
        elif message.__class__ is _Bad:
            if self._inbox is not None:
                send(self.pid, message)
            elif self._state == OPEN:
                if self._owner is not None:
                    self._owner.note(self, f"{message.error}; the peer speaks {guess(message.error.head)}")
                self.protocol.bad_frame(self, message.error, message.error.head)
                self.close(BAD_FRAME)
        elif message.__class__ is Exit and (self.protocol is None or not self.protocol.trap_exit):
            if message.reason != NORMAL:
                raise ProcessExit(message.reason)
        elif self.protocol is not None:
            self.protocol.info(self, message)

    def _up(self) -> None:
        trap_exit(True)  # so that `closed` runs whoever ends us; what protocols see of it is theirs to choose
        waiting, self._prelude = self._prelude, None
        if self._state != OPEN:
            return
        self.protocol = resolve(self.options.protocol)(**self.options.args)
        self.protocol.connected(self)
        if waiting is not None:
            for call in waiting.waiters:
                reply(call, True)
        self._go_on_reading(_STARTING)

    def _tell_closed(self, reason: Any) -> None:
        """Call the protocol's `closed`, once."""
        if self._told:
            return
        self._told = True
        if self._state == OPEN and self._queued and not self._stalled:
            self._flush()
        if self._closing is None:
            self._closing = reason
        if self.protocol is not None:
            self.protocol.closed(self, reason)

    # internals: coming up

    def begin(self) -> None:
        """Hub or process: start. `pid` is set. An OSError here means that the socket is dead already."""
        if self._prelude is None:
            self._open()
        else:
            wheel.due(self, self._born + self.options.handshake_timeout)
            if self._prelude.steps[0].waits_for_peer:
                self._read_watcher.start(self._on_readable)
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
                        self._read_watcher.start(self._on_readable)
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

    # internals: reading

    def _on_readable(self) -> None:
        """Hub: the socket has something. Never raises."""
        try:
            if self._state == OPEN:
                data = self._receive()
                if data:
                    self._take(data)
                if self._ended and self._state == OPEN:
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
        """Read all that is there, within reason. Sets `_ended` at the end of the stream."""
        try:
            data: bytes = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return None
        if not data:
            self._ended = True
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
            self._ended = True  # nothing after this can be understood
            if error.frames:
                self._hand_over(error.frames, error.used)
            send(self.pid, _Bad(error))
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
            self._stop_reading(_BUSY)

    def _stop_reading(self, why: int) -> None:
        self._paused |= why
        if self._state == OPEN:
            self._read_watcher.stop()

    def _go_on_reading(self, why: int) -> None:
        if self._paused & why:
            self._paused &= ~why
            if not self._paused and self._state == OPEN and not self._ended:
                self._seen = self._partial = clock.now()  # our pause is not the peer's silence
                self._read_watcher.start(self._on_readable)

    # internals: writing

    def _on_writable(self) -> None:
        """Hub: the kernel takes bytes again. Never raises."""
        if self._state == PREPARING:
            self._step()
            return
        if self._ask:  # TLS had to write before it could read
            self._ask = False
            if not self._stalled:
                self._disarm_writing()
            if not self._paused:
                self._on_readable()
        if self._stalled:
            self._flush()

    def _flush(self) -> None:
        """Send what is queued, as much as the kernel takes. Never raises."""
        self._dirty = False
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
        if self._crowded and self._queued <= self.options.write_low:
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
        if self._crowded and self._queued <= self.options.write_low:
            self._roomy()

    def _crowd(self) -> None:
        """More than write_high is queued: give the kernel its chance before anybody is called slow."""
        if not self._stalled:
            self._flush()
        options = self.options
        if self._queued > options.write_limit:
            self.close(SLOW_READER, flush=False)
        elif self._queued > options.write_high and not self._crowded:
            self._crowded = True
            send(self.pid, CROWDED)

    def _roomy(self) -> None:
        self._crowded = False
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

    # internals: the end

    def _goodbye(self) -> None:
        """All is sent: end our side, then wait a little for the peer's."""
        try:
            self._say_goodbye()
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._finish(self._closing)
            return
        self._state = LINGERING
        self._deadline = clock.now() + min(_GOODBYE, self.options.linger)
        wheel.due(self, self._deadline)
        self._read_watcher.start(self._on_readable)

    def _say_goodbye(self) -> None:
        """What stands before the end of the stream (TLS: close_notify)."""

    def _discard(self) -> None:
        # The base class's recv: on a TLS socket too, only the bytes below matter now.
        try:
            data = socket.socket.recv(self._socket, _READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self._finish(self._closing)

    def _lost(self, error: OSError) -> None:
        """The socket failed."""
        if isinstance(error, ssl.SSLError) and self._state == OPEN:
            self._finish(Failure("tls", error.reason or str(error)))
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
            due = self._deadline
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
                if is_input and (self._paused or self._ended):
                    due.append(now + limit)
                elif now >= since + limit:
                    self.close(reason, flush=reason is not SLOW_READER)
                    return self._deadline if self._state in (FLUSHING, LINGERING) else None
                else:
                    due.append(since + limit)
        return min(due, default=None)


class TLSConnection(Connection):
    """The same over TLS: a non-blocking SSLSocket on the same descriptor."""

    __slots__ = ()
    is_tls = True

    @property
    def tls_info(self) -> TLSInfo | None:
        """What TLS agreed on; None before the handshake and once closed."""
        return info_of(self._socket) if isinstance(self._socket, ssl.SSLSocket) else None

    def _receive(self) -> bytes | None:
        # A record at a time, and no record may stay decrypted inside OpenSSL: the descriptor would not tell of it.
        read = self._socket.read
        parts: list[bytes] = []
        size = 0
        try:
            while size < _READ_SIZE or self._socket.pending():
                data = read(_READ_SIZE)
                if not data:
                    self._ended = True
                    break
                parts.append(data)
                size += len(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:  # a key update that the kernel has no room for
            self._ask = True
            self._arm_writing()
        except OSError:
            if not parts:
                raise
            self._ended = True  # what came whole before the failure still counts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _send(self, data: Any) -> int:
        # Tried again, OpenSSL wants the same bytes: the piece is always cut from the head of the same buffer.
        piece = data if len(data) <= _TLS_PIECE else memoryview(data)[:_TLS_PIECE]
        try:
            return self._socket.send(piece)  # type: ignore[no-any-return]
        except ssl.SSLWantWriteError:  # never WantRead: renegotiation is off on both sides
            return 0

    def _say_goodbye(self) -> None:
        try:
            self._socket.unwrap()  # sends close_notify; does not wait for the peer's
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass


_CONTROL = frozenset((Call, Drain, _Bad, Exit))

# The connections that wrote in this turn. Only the loop's thread touches it, and never across a yield.
_dirty: list[Connection] = []
_flush_is_due = False


def _mark_dirty(conn: Connection) -> None:
    global _flush_is_due
    _dirty.append(conn)
    if not _flush_is_due:
        _flush_is_due = True
        in_hub(_flush_dirty)


def _flush_dirty() -> None:
    """Hub: one send for each connection that wrote."""
    global _flush_is_due
    batch = _dirty[:_FLUSH_SLICE]
    del _dirty[:_FLUSH_SLICE]
    for conn in batch:
        conn._flush()
    _flush_is_due = bool(_dirty)
    if _flush_is_due:
        in_hub(_flush_dirty)
