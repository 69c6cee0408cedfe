"""The process that a listener's connections belong to. It outlives a crash of the listener, and they with it.

It holds the listening socket (so that a restarted listener takes over a port with its backlog: nobody is refused
meanwhile), the table of connections, and the counts that limits need. The listener finds it by name and takes it
over; if none comes within `_ORPHAN_LIMIT`, it drains the connections and ends. Connections are not linked to it:
a crash of one reaches nobody (`gone` is called by the kernel's clean-up); should this process itself be killed, it
closes them all, so that no socket lives without an owner.

The table is also read and written by the listener's accept callback and by connections that end. All of that runs
on the loop's thread and never yields within: the methods marked "any stack" are such.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections import OrderedDict
from typing import Any

from runtime.kernel import (
    NORMAL,
    KILL,
    SHUTDOWN,
    Call,
    Exit,
    Process,
    ProcessExit,
    Timeout,
    Timer,
    cancel_timer,
    clock,
    exit,
    fail,
    link,
    reply,
    send,
    spawn_callback,
    start_timer,
    trap_exit,
    whereis,
    yield_,
)
from runtime.net.signals import Drain
from runtime.net.stream import Stream
from runtime.net.limits import Rate, TokenBucket, address_key
from runtime.net.names import look_up
from runtime.net.options import keep_alive
from runtime.net.reasons import Failure
from runtime.net.spare import Spare
from runtime.net import unix

__all__ = ["Adopt", "Connections", "DrainAll", "ListenError", "owner_of"]

log = logging.getLogger("runtime.net")

_ORPHAN_LIMIT = 10.0
_NOTE_EVERY = 60.0
_NOTES = 4096
_NOTE_RATE = Rate(1.0, 60)  # whoever has many addresses has no more of the log


# types


class ListenError(OSError):
    """A listener could not start: one sentence that names the address and the way out (`str()` of it).

    `.errno` is the system's number, if it was the system that said no; `.filename` then "host:port".
    """

    def __init__(self, text: str, number: int | None = None, address: str | None = None) -> None:
        super().__init__(number, text, address)

    def __str__(self) -> str:
        return str(self.strerror)


class Adopt:
    """A listener takes the connections over; answered with this behaviour object, its socket open."""

    __slots__ = ("backlog", "host", "keepalive", "listener", "port")

    def __init__(
        self, listener: Process, host: str, port: int, backlog: int, keepalive: float | None = None
    ) -> None:
        self.listener = listener
        self.host = host
        self.port = port
        self.backlog = backlog
        self.keepalive = keepalive


class DrainAll:
    """Close the socket, give the connections `seconds` to finish, close the rest, end."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Connections:
    """Behaviour of the owner process.

    Invariant: by_address[key] == number of connections in `table` with that address key, never 0.
    """

    __slots__ = (
        "_call", "_is_draining", "_late", "_listener", "_note_rate", "_notes", "_pid", "_timer", "_unsaid", "_wanted",
        "accepted", "by_address", "failed", "name", "refused", "socket", "spare", "table",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.table: set[Any] = set()
        self.by_address: dict[str, int] = {}
        self.socket: socket.socket | None = None
        self.spare = Spare()
        self.accepted = self.refused = self.failed = 0
        self._wanted: Any = None
        self._listener: Process | None = None
        self._pid: Any = None
        self._is_draining = False
        self._late: list[Process] = []  # whose sockets were closed because their time was up
        self._call: Call | None = None  # who waits for the end of the drain
        self._timer: Timer | None = None
        self._notes: OrderedDict[str, float] = OrderedDict()
        self._note_rate = TokenBucket(_NOTE_RATE, clock.now())
        self._unsaid = 0

    # any stack

    def add(self, conn: Stream) -> None:
        """Count a new connection."""
        self.table.add(conn)
        self.accepted += 1
        self.count(conn._host, 1)

    def rename(self, conn: Stream, host: str, port: int) -> None:
        """A PROXY header told who `conn` really is."""
        self.count(conn._host, -1)
        conn._host, conn._port = host, port
        self.count(host, 1)

    def count(self, host: str, change: int) -> None:
        """Change the count of an address."""
        key = address_key(host)
        number = self.by_address.get(key, 0) + change
        if number > 0:
            self.by_address[key] = number
        else:
            self.by_address.pop(key, None)

    def gone(self, conn: Stream, reason: Any) -> None:
        """A connection is closed."""
        self.spare.take_back()
        if conn not in self.table:
            return
        self.table.discard(conn)
        self.count(conn._host, -1)
        if isinstance(reason, Failure):
            self.failed += 1
            self.note(conn, str(reason))
        if self._is_draining and not self.table:
            send(self._pid, "drained")

    def note(self, conn: Stream, text: str) -> None:
        """Log what a peer did wrong, once per address and minute; of very many addresses only some."""
        now = clock.now()
        notes, key = self._notes, address_key(conn._host)
        if now - notes.get(key, -_NOTE_EVERY) >= _NOTE_EVERY:
            if self._note_rate.take(now):
                self._unsaid += 1
                return
            more, self._unsaid = self._unsaid, 0
            if more:
                text += f" (and {more} times before, by too many others to name)"
            notes[key] = now
            notes.move_to_end(key)
            if len(notes) > _NOTES:
                notes.popitem(last=False)
            log.warning("listener %s: %s: %s", self.name, conn._host, text)

    # callbacks of the process

    def on_message(self, process: Process, message: Any) -> None:
        if message.__class__ is Call:
            request = message.request
            if request.__class__ is Adopt:
                self._adopt(message, request)
            elif request.__class__ is DrainAll:
                self._drain(message, request.seconds)
            else:
                fail(message, "unknown_request")
        elif message.__class__ is Exit and message.sender is self._listener:
            self._listener = None
            if not self._is_draining:
                log.warning(
                    "listener %s ended (%s); its %d connections live on",
                    self.name,
                    message.reason,
                    len(self.table),
                )
                self._timer = start_timer(_ORPHAN_LIMIT, process, "orphaned")
        elif message.__class__ is Exit and message.reason != NORMAL:
            raise ProcessExit(message.reason)
        elif message.__class__ is Timeout and message.ref is self._timer:
            self._timer = None
            if message.message == "orphaned":
                self._drain(None, _ORPHAN_LIMIT)
            else:
                self._late = [conn.pid for conn in self.table]
                for conn in list(self.table):
                    conn.close(SHUTDOWN, flush=False)
        elif message == "drained" and not self.table:
            if self._late:
                yield_()  # they hear of it now; who does not is blocked in a callback
                for pid in self._late:
                    exit(pid, KILL)
            if self._call is not None:
                reply(self._call, True)
            raise ProcessExit(NORMAL)

    def on_exit(self, process: Process, reason: Any) -> None:
        """Nothing may be left without an owner."""
        self._stop_timer()
        self._close_socket()
        for conn in list(self.table):
            conn.close(SHUTDOWN, flush=False)
        self.spare.give_up()

    # internals

    def _adopt(self, call: Call, request: Adopt) -> None:
        if self._listener is not None or self._is_draining:
            fail(call, ListenError(f"a listener named {self.name!r} is running already"))
            return
        trap_exit(True)
        wanted = (request.host, request.port, request.backlog)
        try:
            if self.socket is None or wanted != self._wanted:
                self._close_socket()
                self.socket = _listen(*wanted)
                self._wanted = wanted
            keep_alive(self.socket, request.keepalive)
        except ListenError as error:
            fail(call, error)
            if not self.table:
                raise ProcessExit(NORMAL) from None
            return
        self._stop_timer()
        self._listener = request.listener
        link(request.listener)
        reply(call, self)

    def _drain(self, call: Call | None, seconds: float) -> None:
        self._close_socket()
        self._is_draining, self._call = True, call
        if not self.table:
            send(self._pid, "drained")
            return
        for conn in self.table:
            send(conn.pid, Drain(seconds))
        self._timer = start_timer(seconds, self._pid, "time is up")

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            cancel_timer(timer)

    def _close_socket(self) -> None:
        sock, self.socket = self.socket, None
        if sock is not None:
            path = unix.path_of(self._wanted[0])
            if path is not None:
                unix.remove(path)
            sock.close()


# API


def owner_of(name: str) -> Process:
    """Return the process that owns the connections of the listener `name`; start it if there is none."""
    registered = f"{name}.connections"
    pid = whereis(registered)
    if pid is None:
        behaviour = Connections(name)
        behaviour._pid = pid = spawn_callback(behaviour, name=registered)
    return pid


# internals


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    path = unix.path_of(host)
    if path is not None:
        try:
            return unix.listen(path, backlog)
        except OSError as error:
            reason = unix.REASONS.get(error.errno or 0, "{error}").format(error=error.strerror or error)
            raise ListenError(f"cannot listen on {path}: {reason}", error.errno, host) from error
    family, address = _resolve(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind(address)
        sock.listen(backlog)
    except (OSError, OverflowError) as error:
        sock.close()
        number: int = getattr(error, "errno", 0)
        raise ListenError(
            _REASONS.get(number, _OTHER).format(host=host, port=port, error=error),
            number or None,
            f"{host}:{port}",
        ) from error
    return sock


def _resolve(host: str, port: int) -> tuple[int, Any]:
    try:
        version = ipaddress.ip_address(host).version
        return (socket.AF_INET if version == 4 else socket.AF_INET6), (host, port)
    except ValueError:
        pass
    try:
        family, _, _, _, address = look_up(host, port)[0]
    except OSError as error:
        raise ListenError(
            f"cannot listen on {host}: the name is not known here; give an address of this machine"
        ) from error
    return family, address


_OTHER = "cannot listen on {host} port {port}: {error}"
_REASONS = {
    errno.EADDRINUSE: "port {port} on {host} is taken by another program: stop that one, or choose another port",
    errno.EACCES: "port {port} on {host} needs a privilege (below 1024): choose another, or grant CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "{host} is no address of this machine: choose one that is, or 0.0.0.0 for all (port {port})",
}
