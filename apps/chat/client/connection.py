"""One TLS connection of the client: a plain non-blocking socket, advanced by whoever waits for it.

No thread and no event loop of its own: `fileno()` and `interest()` let a selector, an
asyncio loop or a plain `select` drive it; `wait()` is the select for those who have none.
Nothing here imports gevent: a client that starts for one `chat send` must start fast.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from pathlib import Path

__all__ = ["READ", "WRITE", "CertificateProblem", "Connection", "ConnectionLost", "find_ca", "tls_context"]

READ = 1
WRITE = 2
ALPN = "evergreen/1"

_RECEIVE_SIZE = 65536
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class ConnectionLost(Exception):
    """The connection ended or never began. The text says why and, where we know, what to do."""


class CertificateProblem(ConnectionLost):
    """The server's certificate was not accepted. Trying again will not help."""


def find_ca(given: str | None = None) -> Path | None:
    """Find the certificate authority that the server's certificate is checked against.

    In order: `given`, $EVERGREEN_CA, then a development node's `var/certificates/ca.pem`
    below the working directory and below this checkout. None means the system's own.
    """
    if given:
        return Path(given)
    from_environment = os.environ.get("EVERGREEN_CA")
    if from_environment:
        return Path(from_environment)
    for base in (Path.cwd(), Path(__file__).resolve().parents[3]):
        candidate = base / "var" / "certificates" / "ca.pem"
        if candidate.is_file():
            return candidate
    return None


def tls_context(host: str, ca: Path | None, *, insecure: bool = False) -> ssl.SSLContext:
    """Build the TLS settings for `host`.

    Raises CertificateProblem when `insecure` is wanted for anything but this machine, and
    when the file `ca` cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    if insecure:
        if host not in _LOOPBACK:
            message = (
                f"--insecure is only for this machine (127.0.0.1), not for {host}: give --ca FILE instead"
            )
            raise CertificateProblem(message)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise CertificateProblem(f"cannot use the certificate authority {ca}: {error}") from error
    return context


class Connection:
    """A TLS connection to `host:port`, begun by the constructor, never blocking.

    `advance()` does whatever the socket allows now: connect, handshake, write, read. It
    returns the bytes that came and raises ConnectionLost at the end. Bytes given to
    `write()` before the handshake wait for it. `is_open` once the handshake is done.

    Invariant: `_step` is one of connecting, shaking, open, closed, and only moves forward.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext, *, timeout: float = 15.0) -> None:
        self.host = host
        self.port = port
        self.deadline = time.monotonic() + timeout
        self._context = context
        self._out = bytearray()
        self._want = WRITE
        self._step = "connecting"
        self._tls: ssl.SSLSocket | None = None
        self._addresses = self._resolve()
        self._raw = self._dial()

    @property
    def is_open(self) -> bool:
        return self._step == "open"

    @property
    def unsent(self) -> int:
        """Bytes given to `write` that the socket has not taken yet."""
        return len(self._out)

    @property
    def has_pending(self) -> bool:
        """Bytes are decrypted and waiting inside TLS: no selector will tell."""
        return self._tls is not None and self._step == "open" and self._tls.pending() > 0

    def fileno(self) -> int:
        return self._raw.fileno() if self._tls is None else self._tls.fileno()

    def interest(self) -> int:
        """READ | WRITE: what to wait for on `fileno()`."""
        if self._step == "open":
            return READ | (WRITE if self._out else 0)
        return self._want

    def write(self, data: bytes) -> None:
        """Send what the socket takes at once; the rest goes out at the next `advance()`."""
        self._out += data
        if self._step == "open" and data:
            # A dead socket is told by the next advance(), which may still have its last words to read.
            with contextlib.suppress(OSError):
                self._flush()

    def wait(self, timeout: float) -> bytes:
        """Wait at most `timeout` seconds for the socket, then `advance()`."""
        want = self.interest()
        if not self.has_pending:
            fd = [self.fileno()]
            select.select(fd if want & READ else [], fd if want & WRITE else [], [], max(0.0, timeout))
        return self.advance()

    def advance(self) -> bytes:
        """Do what the socket allows now and return the bytes that arrived (perhaps none)."""
        try:
            if self._step == "connecting":
                self._connect()
            if self._step == "shaking":
                self._shake()
            if self._step == "open":
                self._flush()
                return self._receive()
        except ConnectionLost:
            self.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise CertificateProblem(self._certificate_sentence(error)) from error
        except (OSError, ssl.SSLError) as error:
            self.close()
            raise ConnectionLost(self._sentence(error)) from error
        if self._step != "open" and time.monotonic() > self.deadline:
            step = self._step
            self.close()
            raise ConnectionLost(f"{self.host}:{self.port} did not answer in time (still {step})")
        return b""

    def close(self) -> None:
        """Close at once; unsent bytes are dropped. Harmless twice."""
        self._step = "closed"
        (self._tls or self._raw).close()

    def finish(self, timeout: float = 1.0) -> None:
        """Send what is queued (at most `timeout` seconds), say goodbye to TLS and close."""
        end = time.monotonic() + timeout
        try:
            while self.is_open and self._out and time.monotonic() < end:
                select.select([], [self.fileno()], [], 0.05)
                self._flush()
            if self._tls is not None and self.is_open:
                self._tls.unwrap()
        except (OSError, ValueError):
            pass  # the peer went first: nothing left to be polite to
        self.close()

    # internals

    def _resolve(self) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectionLost(
                f"cannot find the address of {self.host}: {error.strerror or error}"
            ) from error
        return [(family, address) for family, _, _, _, address in found]

    def _dial(self) -> socket.socket:
        family, address = self._addresses.pop(0)
        raw = socket.socket(family, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = raw.connect_ex(address)
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raw.close()
            if self._addresses:
                return self._dial()
            raise ConnectionLost(self._sentence(OSError(code, os.strerror(code))))
        return raw

    def _connect(self) -> None:
        if not select.select([], [self._raw], [], 0)[1]:
            return
        code = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            if not self._addresses:
                raise OSError(code, os.strerror(code))
            self._raw.close()
            self._raw = self._dial()
            return
        self._tls = self._context.wrap_socket(
            self._raw, server_hostname=self.host, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        self._step = "shaking"

    def _shake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._want = READ
        except ssl.SSLWantWriteError:
            self._want = WRITE
        else:
            self._step = "open"

    def _flush(self) -> None:
        assert self._tls is not None
        try:
            while self._out:
                sent = self._tls.send(memoryview(self._out)[:_RECEIVE_SIZE])
                del self._out[:sent]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass

    def _receive(self) -> bytes:
        assert self._tls is not None
        parts: list[bytes] = []
        try:
            while len(parts) < 16:
                data = self._tls.recv(_RECEIVE_SIZE)
                if not data:
                    # What came before the end still counts: a Bye often travels with it.
                    if parts:
                        break
                    raise ConnectionLost(f"{self.host}:{self.port} closed the connection")
                parts.append(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            if not parts:
                raise
        return b"".join(parts)

    def _sentence(self, error: OSError) -> str:
        where = f"{self.host}:{self.port}"
        if error.errno == errno.ECONNREFUSED:
            return (
                f"nothing listens on {where}: is the node running? (tools/run; elsewhere: --server HOST:PORT)"
            )
        if isinstance(error, ssl.SSLError):
            if "WRONG_VERSION_NUMBER" in str(error):
                return f"{where} does not speak TLS: is this the native port?"
            if self._step == "shaking" and isinstance(error, ssl.SSLEOFError):
                return f"{where} closed the connection during the TLS handshake"
            return f"TLS trouble with {where}: {error.reason or error}"
        if error.errno in (errno.ECONNRESET, errno.EPIPE):
            return f"{where} cut the connection"
        return f"no connection to {where}: {error.strerror or error}"

    def _certificate_sentence(self, error: ssl.SSLCertVerificationError) -> str:
        return (
            f"the certificate of {self.host}:{self.port} is not accepted: {error.verify_message}. "
            "Name the authority that signed it with --ca FILE "
            "(a development node keeps its own in its data directory: var/certificates/ca.pem)"
        )
