"""The admin HTTP port: gevent's WSGI server, of which each connection is a process.

Theory of operation: `dashboard`, a server, owns the listening socket. The hub accepts; what pywsgi does with a connection
runs in a process linked to the server, so whatever it looks at is looked at in slices, `sleep` and `receive` work as
everywhere, and the end of the server is the end of all its connections. There are few: whoever watches a node. At `_MOST`
of them, the oldest that has not shown the token goes when another comes, so that whoever may open connections, but not look
in, keeps nobody out who may; if all have shown it, the one that comes is closed.

Rejected: runtime.net's listener, whose protocols are made of frames, with an HTTP of our own on top: here speed is nothing,
and a parser that many have tried is worth more.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, Final

from gevent import Timeout, pywsgi, socket

from runtime import kernel
from runtime.admin.http_app import Application
from runtime.admin.http_guard import HEADERS, said
from runtime.admin.http_head import BadHead, read_head
from runtime.kernel import KILL, TIMEOUT, Exit, Process, clock, trap_exit
from runtime.net.connections import ListenError
from runtime.net.spare import Spare
from runtime.observe import alarms
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import Fail, NoReply

__all__ = ["ALARM", "NAME", "HttpServer", "Place"]

_log = logging.getLogger("evergreen.admin.http")
NAME: Final = "dashboard"
_MOST: Final = 64
_QUIET: Final = 30.0
"""A connection is closed when its peer says or takes nothing for so long, between requests too."""
_HEAD: Final = 10.0
"""A request's first line, its other lines, its body: each is here within that, once it has begun."""
_AGAIN: Final = 2.0
_FULL: Final = 0.2
_NEARBY: Final = 10
ALARM: Final = "dashboard"
_TELL_EVERY: Final = 60.0
"""Whoever floods the port with connections must not flood the log."""

# Types


class Place:
    """Where to listen. `port` 0 becomes the one that was found, so that a restart comes back to it.

    `may_move`: if the port is taken at the start, another one will do: nobody has asked for just this one.
    """

    def __init__(self, port: int, application: Application, *, may_move: bool = False) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.application = application
        self.may_move = may_move
        self.was_open = False


class Seat:
    """A connection's: whether its last request had the token."""

    __slots__ = ("is_welcome",)

    def __init__(self) -> None:
        self.is_welcome = False


class HttpServer(GenServer):
    """Owns the port. Invariant: `open` are the processes of connections, all linked to this one, the oldest first."""

    def init(self, place: Place) -> Fail | NoReply | None:
        trap_exit(True)
        kernel.set_label("dashboard")
        self.pid = kernel.self_()
        self.place = place
        self.open: dict[Process, Seat] = {}
        self.spare = Spare()
        self.turned_away = 0
        self.told = -_TELL_EVERY
        self.server: _Server | None = None
        try:
            self._listen(_bound(place))
        except OSError as error:
            if not place.was_open:
                return Fail(_refused(place, error))
            return self._wait_for_port(error)
        _tell(None)
        return None

    def handle_info(self, message: Any) -> NoReply | None:
        if message.__class__ is Exit:
            self.open.pop(message.sender, None)
            self.spare.take_back()
        if self.server is not None:
            return None
        if message is TIMEOUT:
            try:
                self._listen(_bound(self.place))
            except OSError as error:
                return self._wait_for_port(error)
            _tell(None)
            return None
        return NoReply(timeout=_AGAIN)

    def terminate(self, reason: Any) -> None:
        if self.server is not None:
            self.server.close()

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the server is dead, of whatever cause. The port must be free for the next one."""
        server = getattr(self, "server", None)
        if server is not None:
            server.close()
        if hasattr(self, "spare"):
            self.spare.give_up()

    # internals

    def _listen(self, listener: Any) -> None:
        self.place.port = listener.getsockname()[1]
        self.place.was_open = True
        application = self.place.application
        self.server = _Server(
            listener, application, spawn=self._spawn, log=None, error_log=_log, handler_class=_Handler
        )
        self.server.spare = self.spare
        self.server.start()

    def _wait_for_port(self, error: OSError) -> NoReply:
        """It was ours, and another program was quicker than our restart: that must not take the control socket along."""
        _tell(str(_refused(self.place, error)))
        return NoReply(timeout=_AGAIN)

    def _spawn(self, run: Callable[..., None], handle: Any, close: Any, args: tuple[Any, Any]) -> None:
        """In the hub: a connection has come."""
        client, address = args
        if len(self.open) >= _MOST and not self._make_room():
            client.close()
            return
        client.settimeout(_QUIET)
        # An answer's head and body are two writes: the second must not wait until the peer acknowledges the first.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        label = f"dashboard {address[0]}:{address[1]}"
        seat = Seat()
        pid = kernel.spawn_opt(_connection, self.pid, seat, run, handle, close, args, label=label)
        self.open[pid] = seat

    def _make_room(self) -> bool:
        """In the hub: end a connection that has not shown the token. False if there is none."""
        oldest = next((pid for pid, seat in self.open.items() if not seat.is_welcome), None)
        self.turned_away += 1
        now = clock.now()
        if now - self.told >= _TELL_EVERY:
            self.told = now
            _log.warning(
                "more than %d connections to the dashboard: %d turned away so far", _MOST, self.turned_away
            )
        if oldest is None:
            return False
        del self.open[oldest]
        kernel.exit(oldest, KILL)
        return True


# Internals


def _connection(
    server: Process, seat: Seat, run: Callable[..., None], handle: Any, close: Any, args: Any
) -> None:
    """The life of a connection's process."""
    try:
        kernel.link(server)
    except BaseException:
        args[0].close()
        raise
    _seats[kernel.self_()] = seat
    try:
        run(handle, close, args)
    finally:
        del _seats[kernel.self_()]


_seats: dict[Process, Seat] = {}
"""Whose is which: pywsgi hands nothing through from the accepted connection to its handler."""


class _Server(pywsgi.WSGIServer):  # type: ignore[misc]  # gevent has no types
    """Gives processes, not greenlets, to the handler."""

    # Its name would be looked up, which may take long, in a thread, by files: whoever starts the port waits for it.
    base_env: ClassVar = {**pywsgi.WSGIServer.base_env, "SERVER_NAME": "localhost"}
    spare: Spare

    def do_read(self) -> Any:
        self.spare.take_back()
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        # Without the spare one it waits for a while: pywsgi would do so too, and write a stack each time.
        if self.spare.give_up():
            with suppress(OSError):
                return super().do_read()
        self.stop_accepting()
        self._timer = self.loop.timer(_FULL)
        self._timer.start(self._start_accepting_if_started)
        return None


class _Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """pywsgi's, strict, with limits of time, and without prints: what a peer does wrong is worth a line for debugging."""

    def read_requestline(self) -> Any:
        if not self.rfile.peek(1):  # between two requests it may be quiet for long
            return ""
        with Timeout(_HEAD, TimeoutError("the request's first line does not end")):
            return super().read_requestline()

    def read_request(self, raw_requestline: str) -> Any:
        if len(raw_requestline.split(" ")) != 3:
            raise BadHead("a request begins with a method, a path and HTTP/1.1")
        with Timeout(_HEAD, TimeoutError("the request's head does not end")):
            return super().read_request(raw_requestline)

    def MessageClass(self, file: Any, _: int) -> Any:  # noqa: N802 - pywsgi's name for what reads the head
        message = pywsgi.OldMessage()
        for name, value in read_head(file):
            message[name] = value
        return message

    def get_environ(self) -> dict[str, Any]:
        seat = _seats[kernel.self_()]
        seat.is_welcome = False
        more = {"evergreen.wait": self._wait, "evergreen.body": self._body, "evergreen.seat": seat}
        return {**super().get_environ(), **more}

    def _body(self, size: int) -> bytes:
        with Timeout(_HEAD, TimeoutError("the request's body does not end")):
            return self.wsgi_input.read(size)  # type: ignore[no-any-return]

    def _wait(self, seconds: float) -> bool:
        """Wait, for a stream's next news; False when the peer has closed meanwhile, or wants something else."""
        try:
            socket.wait_read(self.socket.fileno(), timeout=seconds, timeout_exc=_TimeIsUp())
        except _TimeIsUp:
            return True
        return False

    def run_application(self) -> None:
        body = self.wsgi_input
        self.socket.settimeout(_HEAD if self.content_length else _QUIET)
        try:
            super().run_application()
        finally:
            self.socket.settimeout(_QUIET)
            # pywsgi would read what nobody wanted, however much was announced, to come to the next request.
            self.wsgi_input: Any = _Unread()
            if body.position != (self.content_length or 0) or body.chunked_input:
                self.close_connection = True

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType) -> None:
        if not isinstance(error, Exception):
            # The process has been ended: its stack must go. pywsgi would answer 500 and read the next request.
            raise error
        self.close_connection = True
        if isinstance(error, OSError):  # the peer went, or takes nothing
            return
        _log.error(
            "%s %s failed",
            self.environ.get("REQUEST_METHOD"),
            self.environ.get("PATH_INFO"),
            exc_info=(kind, error, trace),
        )
        if not self.headers_sent:
            data = said("failed", "the node failed to answer: its log says why")
            self.start_response("500 Internal Server Error", [*HEADERS, *_plainly(data)])
            self.write(data)

    def handle_one_request(self) -> Any:
        found = super().handle_one_request()
        if isinstance(found, tuple) and found[0] == "414":
            return _refusal("414 URI Too Long", "the address is too long")
        return found

    def _handle_client_error(self, error: Exception) -> Any:
        _log.debug("bad request from %s: %s", self.client_address, error)
        text = str(error) if isinstance(error, (BadHead, TimeoutError)) else "this is no request of HTTP/1.1"
        return _refusal("408 Request Timeout" if isinstance(error, TimeoutError) else "400 Bad Request", text)


class _TimeIsUp(Exception):
    pass


class _Unread:
    def _discard(self) -> None:
        """Leave it."""


def _refusal(status: str, text: str) -> tuple[str, bytes]:
    """What pywsgi sends for a request that it could not read."""
    data = said("format", text)
    lines = [f"{name}: {value}" for name, value in (*HEADERS, *_plainly(data))]
    return status[:3], "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + data


def _plainly(data: bytes) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(data))),
        ("Cache-Control", "no-store"), ("Connection", "close"),
    ]  # fmt: skip


def _tell(trouble: str | None) -> None:
    """Set the alarm, or clear it. While nobody keeps alarms (they are being started again), the log has to do."""
    if kernel.whereis(alarms.NAME) is None:
        if trouble is not None:
            _log.error("%s", trouble)
    elif trouble is not None:
        alarms.set_alarm(ALARM, trouble, level=logging.ERROR)
    else:
        alarms.clear_alarm(ALARM)


def _bound(place: Place) -> Any:
    """Return a socket that listens at the place, or beside it if it may move. Raises OSError."""
    try:
        return _bind(place.host, place.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not place.may_move or place.was_open:
            raise
    for port in (*range(place.port + 1, min(place.port + _NEARBY, 65_535)), 0):
        try:
            found = _bind(place.host, port)
        except OSError:
            continue
        _log.warning(
            "%s:%d, the dashboard's usual port, is taken by another program: it is at port %d this time "
            "(admin.http_port chooses one; 0: any free one, -1: no dashboard)",
            place.host, place.port, found.getsockname()[1],
        )  # fmt: skip
        return found
    return _bind(place.host, 0)


def _bind(host: str, port: int) -> Any:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener


def _refused(place: Place, error: OSError) -> ListenError:
    where = f"{place.host}:{place.port}"
    if error.errno == errno.EADDRINUSE:
        text = (
            f"{where} (the dashboard) is taken by another program: stop that one, or choose another port as "
            "admin.http_port (0: any free one, -1: no dashboard)"
        )
    else:
        text = (
            f"cannot listen on {where} for the dashboard ({error.strerror}): choose another admin.http_port"
        )
    return ListenError(text, error.errno, where)
