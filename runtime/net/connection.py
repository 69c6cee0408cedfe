"""A connection: what protocols hold in their hands, and the callbacks of its process. `stream` is the other half."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from runtime.kernel import NORMAL, Call, Exit, Killed, Process, ProcessExit, clock, reply, send, trap_exit
from runtime.net import unix
from runtime.net.framing import guess
from runtime.net.protocol import resolve
from runtime.net.reasons import BAD_FRAME, PEER_CLOSED, exit_reason
from runtime.net.signals import AWAIT_UP, CROWDED, ENDED, GONE, READABLE, ROOMY, UP, Bad, Drain, Signal
from runtime.net.stream import (
    ASKED,
    AT_END,
    BUSY,
    OPEN,
    READ_SIZE,
    SENDS_SEVERAL,
    STARTING,
    STATES,
    TLS_WRITES_FIRST,
    TOLD,
    Stream,
)
from runtime.net.tls import TLSInfo, info_of
from runtime.net.wheel import wheel

__all__ = ["Connection", "ConnectionInfo", "TLSConnection"]

_TLS_PIECE = 32 * 1024  # bytes of one TLS write: it counts as progress only when all of it has gone
_MAX_BATCH = 128  # frames of one callback, so that small frames cannot make it a hog


# types


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


class Connection(Stream):
    """One connection, and the behaviour of its process. Callable from any process; nothing here blocks.

    What is handed to protocols; `write_raw` and `close` are inherited.
    """

    __slots__ = ()

    # API

    @property
    def peer(self) -> tuple[str, int]:
        """The peer's (host, port); behind a PROXY header, what that said; on a Unix socket ("unix", its process id)."""
        return (self._host, self._port)

    @property
    def local(self) -> tuple[str, int] | None:
        """Our (host, port); None once closed."""
        try:
            return unix.name_of(self._socket)
        except (AttributeError, OSError):
            return None

    @property
    def credentials(self) -> unix.Credentials | None:
        """Who is at the other end of a Unix socket, by the kernel's word; None for other connections, and once closed."""
        return None if self._socket is None else unix.credentials(self._socket)

    def fileno(self) -> int:
        """The socket's file descriptor, to be looked at only; -1 once closed."""
        return -1 if self._socket is None else self._socket.fileno()

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

    def pause(self) -> None:
        """Stop reading until `resume`; the peer's window fills. Time limits on input stand still meanwhile."""
        self._stop_reading(ASKED)

    def resume(self) -> None:
        """Read again."""
        self._go_on_reading(ASKED)

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
            state=STATES[self._state],
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
            is_reading=self._state == OPEN and not self._paused,
            is_stalled=bool(self._stalled),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._host}:{self._port} {STATES[self._state]}>"

    # callbacks of the process

    def on_message(self, process: Process, message: Any) -> None:
        """Hand a message to the protocol."""
        try:
            if message is READABLE:
                self._deliver()
            elif message.__class__ is Signal:
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

    def code_subjects(self) -> tuple[Any, ...] | None:
        """What a release of code may have to bring into form: the protocol. None: there is none yet."""
        return None if self.protocol is None else (self.protocol,)

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
        if self._paused & BUSY and self._unread <= self.options.read_low:
            self._go_on_reading(BUSY)

    def _signal(self, message: Signal) -> None:
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
        elif message.__class__ is Bad:
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
        self._go_on_reading(STARTING)

    def _tell_closed(self, reason: Any) -> None:
        """Call the protocol's `closed`, once."""
        if self._marks & TOLD:
            return
        self._marks |= TOLD
        if self._state == OPEN and self._queued and not self._stalled:
            self._flush()
        if self._closing is None:
            self._closing = reason
        if self.protocol is not None:
            self.protocol.closed(self, reason)


class TLSConnection(Connection):
    """The same over TLS: a non-blocking SSLSocket on the same descriptor."""

    __slots__ = ()
    is_tls = True

    @property
    def tls_info(self) -> TLSInfo | None:
        """What TLS agreed on; None before the handshake and once closed."""
        return info_of(self._socket) if isinstance(self._socket, ssl.SSLSocket) else None

    def _receive(self) -> bytes | None:
        # No record may stay decrypted inside OpenSSL (`pending`): the descriptor would not tell of it. Looking for a
        # further record costs a system call and an exception, a quarter of what a lone frame costs; so that is done
        # for peers that were seen to send several records at a time, and now and then for the others.
        read, pending = self._socket.read, self._socket.pending
        is_greedy = self._marks & SENDS_SEVERAL or not self._frames_in & 7
        parts: list[bytes] = []
        size = 0
        try:
            while not size or pending() or (is_greedy and size < READ_SIZE):
                data = read(READ_SIZE)
                if not data:
                    self._paused |= AT_END
                    break
                parts.append(data)
                size += len(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:  # a key update that the kernel has no room for
            self._marks |= TLS_WRITES_FIRST
            self._arm_writing()
        except OSError:
            if not parts:
                raise
            self._paused |= AT_END  # what came whole before the failure still counts
        if len(parts) == 1:
            self._marks &= ~SENDS_SEVERAL
            return parts[0]
        if parts:
            self._marks |= SENDS_SEVERAL
        return b"".join(parts)

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


_CONTROL = frozenset((Call, Drain, Bad, Exit))
