"""What happens on a connection before its protocol: connecting, a PROXY header, the TLS handshake.

A prelude is a list of steps. A step is asked to go on each time the socket is ready for what it wanted; it answers
READ or WRITE (wait for that) or None (done). Steps that cost much processor time (TLS: about half a millisecond
for a signature) go through one queue with a time budget for each turn of the loop: however many clients come at
once, the connections that stand are served in between.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from runtime.kernel import loop
from runtime.net import proxy
from runtime.net.key_updates import guard
from runtime.net.reasons import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.kernel import Call
    from runtime.net.stream import Stream

__all__ = ["READ", "WRITE", "ConnectStep", "Prelude", "PreludeFailed", "ProxyStep", "TLSStep", "queue"]

READ: Final = 1
WRITE: Final = 2
_BUDGET = 0.002  # seconds of heavy steps in one turn of the loop


class PreludeFailed(Exception):
    """A step ended the connection; `.failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Prelude:
    """The steps still to go, and the callers who wait until the connection is up."""

    __slots__ = ("steps", "waiters")

    def __init__(self, *steps: Any) -> None:
        self.steps: list[Any] = list(steps)
        self.waiters: list[Call] = []


class ConnectStep:
    """Wait for a non-blocking connect that has been started."""

    __slots__ = ("_begun",)
    is_heavy = False
    waits_for_peer = False

    def __init__(self) -> None:
        self._begun = False

    def run(self, conn: Stream) -> int | None:
        if not self._begun:
            self._begun = True
            return WRITE
        error = conn._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == errno.EINPROGRESS:
            return WRITE
        if error:
            raise PreludeFailed(Failure("connect", os.strerror(error)))
        return None


class ProxyStep:
    """Read exactly one PROXY v2 header and take the peer's address from it."""

    __slots__ = ("_admit", "_head")
    is_heavy = False
    waits_for_peer = True

    def __init__(self, admit: Callable[[Stream, str, int], bool]) -> None:
        self._admit = admit  # takes the address that the header names, and tells whether it is within limits
        self._head = bytearray()

    def run(self, conn: Stream) -> int | None:
        try:
            while missing := proxy.needed(self._head):
                try:
                    data = conn._socket.recv(missing)
                except BlockingIOError:
                    return READ
                if not data:
                    raise proxy.ProxyError("closed within the PROXY header")
                self._head += data
            source = proxy.parse(self._head)
        except proxy.ProxyError as error:
            raise PreludeFailed(Failure("proxy", str(error))) from error
        if source is not None and not self._admit(conn, *source):
            raise PreludeFailed(Failure("limit", f"too many connections from {conn._host}"))
        return None


class TLSStep:
    """The TLS handshake, either side. The socket is wrapped when its first bytes come, not before."""

    __slots__ = ("_context", "_name", "_require_alpn", "_server_side")
    is_heavy = True

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        *,
        server_side: bool,
        name: str | None = None,
        require_alpn: bool = False,
    ) -> None:
        self._context = context
        self._server_side = server_side
        self._name = name
        self._require_alpn = require_alpn

    @property
    def waits_for_peer(self) -> bool:
        return self._server_side

    def run(self, conn: Stream) -> int | None:
        plain = conn._socket
        try:
            if not isinstance(plain, ssl.SSLSocket):
                plain.getpeername()  # reset already? wrap_socket would fail half way and lose hold of the descriptor
                conn._socket = self._context().wrap_socket(
                    plain,
                    server_side=self._server_side,
                    server_hostname=self._name,
                    do_handshake_on_connect=False,
                )
                guard(conn._socket)
            tls: Any = conn._socket
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        except ssl.SSLCertVerificationError as error:
            raise PreludeFailed(Failure("tls", error.verify_message)) from error
        except ssl.SSLEOFError as error:
            raise PreludeFailed(Failure("tls", "the peer closed within the handshake")) from error
        except ssl.SSLError as error:
            raise PreludeFailed(Failure("tls", error.reason or str(error))) from error
        if self._require_alpn and tls.selected_alpn_protocol() is None:
            raise PreludeFailed(Failure("alpn", "the client offered none of our protocols"))
        return None


_waiting: deque[Stream] = deque()
_timer: Any = None


def queue(conn: Stream) -> None:
    """Let `conn` go on with a heavy step when its turn comes."""
    _waiting.append(conn)
    if len(_waiting) == 1:
        loop().run_callback(_run)


def _run() -> None:
    """Hub: heavy steps until the budget is spent, then one poll for everybody else."""
    global _timer
    end = monotonic() + _BUDGET
    while _waiting:
        # Taken out after its step: `queue` schedules this function only when the deque was empty.
        _waiting[0]._prepare()
        _waiting.popleft()
        if monotonic() > end:
            break
    if _waiting:
        if _timer is None:
            _timer = loop().timer(0, priority=-2)
        _timer.start(_run, update=False)
