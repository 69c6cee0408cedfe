"""The admin HTTP port: gevent's WSGI server, of which each connection is a process.

Theory of operation: `dashboard`, a server, owns the listening socket. The hub accepts; what pywsgi does with a connection
runs in a process linked to the server, so whatever it looks at is looked at in slices, `sleep` and `receive` work as
everywhere, and the end of the server is the end of all its connections. There are few: whoever watches a node. More than
`_MOST` are closed as they come.

Rejected: runtime.net's listener, whose protocols are made of frames, with an HTTP of our own on top: here speed is nothing,
and a parser that many have tried is worth more.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from gevent import Timeout, pywsgi, socket

from runtime import kernel
from runtime.admin.http_app import Application
from runtime.kernel import Exit, Process, trap_exit
from runtime.net.connections import ListenError
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import Fail

__all__ = ["NAME", "HttpServer", "Place"]

_log = logging.getLogger("evergreen.admin.http")
NAME: Final = "dashboard"
_MOST: Final = 64
_QUIET: Final = 30.0
"""A connection is closed when its peer says or takes nothing for so long, between requests too."""
_HEAD: Final = 10.0
"""A request's lines, from the first to the last, and its body, are here within that."""

# Types


class Place:
    """Where to listen. `port` 0 becomes the one that was found, so that a restart comes back to it."""

    def __init__(self, port: int, application: Application) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.application = application


class HttpServer(GenServer):
    """Owns the port. Invariant: `open` are the processes of connections, all linked to this one."""

    def init(self, place: Place) -> Fail | None:
        trap_exit(True)
        kernel.set_label("dashboard")
        self.pid = kernel.self_()
        self.open: set[Process] = set()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((place.host, place.port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            return Fail(_refused(place, error))
        place.port = listener.getsockname()[1]
        self.server = _Server(
            listener, place.application, spawn=self._spawn, log=None, error_log=_log, handler_class=_Handler
        )
        self.server.start()
        return None

    def handle_info(self, message: Any) -> None:
        if message.__class__ is Exit:
            self.open.discard(message.sender)

    def terminate(self, reason: Any) -> None:
        self.server.close()

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the server is dead, of whatever cause. The port must be free for the next one."""
        server = getattr(self, "server", None)
        if server is not None:
            server.close()

    # internals

    def _spawn(self, run: Callable[..., None], handle: Any, close: Any, args: tuple[Any, Any]) -> None:
        """In the hub: a connection has come."""
        client, address = args
        if len(self.open) >= _MOST:
            _log.warning("more than %d connections to the dashboard: refused", _MOST)
            client.close()
            return
        client.settimeout(_QUIET)
        label = f"dashboard {address[0]}:{address[1]}"
        pid = kernel.spawn_opt(_connection, self.pid, run, handle, close, args, label=label)
        self.open.add(pid)


# Internals


def _connection(server: Process, run: Callable[..., None], handle: Any, close: Any, args: Any) -> None:
    """The life of a connection's process."""
    try:
        kernel.link(server)
    except BaseException:
        args[0].close()
        raise
    run(handle, close, args)


class _Server(pywsgi.WSGIServer):  # type: ignore[misc]  # gevent has no types
    """Gives processes, not greenlets, to the handler."""


class _Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """pywsgi's, with limits of time, and without prints: what a peer does wrong is worth a line for debugging."""

    def read_request(self, raw_requestline: str) -> Any:
        with Timeout(_HEAD, TimeoutError("the request's head does not end")):
            return super().read_request(raw_requestline)

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "evergreen.wait": self._wait}

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
        self._send_error_response_if_possible(500)

    def _handle_client_error(self, error: Exception) -> Any:
        _log.debug("bad request from %s: %s", self.client_address, error)
        return ("400", pywsgi._BAD_REQUEST_RESPONSE)


class _TimeIsUp(Exception):
    pass


class _Unread:
    def _discard(self) -> None:
        """Leave it."""


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
