"""The other end of the control socket, for commands: plain blocking sockets, no loop, no processes.

with Client.connect(Path("var/admin.sock")) as client:
    client.ask("releases")
    client.ask("push", {"bundle": data}, on_event=print)
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.admin import wire
from runtime.net import unix
from runtime.net.tls import CertificateError, ClientTLS, client_context

__all__ = ["Client", "NotConnected", "OperationFailed", "TLSFiles"]

_CONNECT = 10.0
_LENGTH = struct.Struct(">I")

# Types


class NotConnected(Exception):
    """There is no node at the other end, or it went away: a sentence with what to do."""


class OperationFailed(Exception):
    """The node said no, or its operation crashed. `kind` for programs, `str()` for people, `more` what belongs to it."""

    def __init__(self, kind: str, text: str, more: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.kind = kind
        self.more = more


class TLSFiles(NamedTuple):
    """Paths for a connection to another machine: our certificate and key, and the authority of the node's certificate.

    `server_name`: what the node's certificate must be for; empty: the host that is connected to.
    """

    certificate: str
    key: str
    authority: str
    server_name: str = ""


class Client:
    """A connection. One request at a time; not for several threads. `hello` is what the node said of itself."""

    def __init__(self, sock: socket.socket, where: str) -> None:
        self._sock = sock
        self._where = where
        self._last = 0
        try:
            self.hello = self.read(_CONNECT)
            if self.hello.get("ok") is False:
                raise NotConnected(f"the node at {where} refused: {self.hello.get('text')}")
            if self.hello.get("hello") != wire.HELLO:
                raise NotConnected(f"what answers at {where} is no node that this command understands")
        except NotConnected:
            sock.close()
            raise

    @classmethod
    def connect(cls, path: Path) -> Client:
        """Connect to a node's Unix socket. Raises NotConnected."""
        try:
            sock = unix.connect(str(path), _CONNECT)
        except OSError as error:
            why = {
                errno.ENOENT: f"no node runs there (there is no {path}): start one with tools/run, or name its socket "
                "with --socket PATH",
                errno.ECONNREFUSED: f"no node runs there any more (nobody answers at {path}): start it with tools/run",
                errno.EACCES: f"{path} is another user's: run this as the user that the node runs as",
            }.get(error.errno or 0, f"{path} cannot be connected to ({error.strerror or error})")
            raise NotConnected(why) from None
        return cls(sock, str(path))

    @classmethod
    def connect_tls(cls, host: str, port: int, files: TLSFiles) -> Client:
        """Connect to a node's TLS listener, showing our certificate. Raises NotConnected."""
        where = f"{host}:{port}"
        try:
            context = client_context(
                ClientTLS(ca_file=files.authority, certificate=files.certificate, key=files.key)
            )
            plain = socket.create_connection((host, port), _CONNECT)
        except CertificateError as error:
            raise NotConnected(str(error)) from None
        except OSError as error:
            raise NotConnected(
                f"no node answers at {where} ({error.strerror or error}): is it up, with admin.port set?"
            ) from None
        try:
            return cls(context.wrap_socket(plain, server_hostname=files.server_name or host), where)
        except (ssl.SSLError, OSError) as error:
            plain.close()
            why = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            raise NotConnected(f"TLS with {where} failed: {why}") from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave. What was asked and changes something goes on at the node."""
        self._sock.close()

    def ask(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Ask for an operation, hand its events to `on_event`, and return its result.

        `timeout`: seconds without a word from the node. Raises OperationFailed, NotConnected.
        """
        number = self.send(operation, arguments, timeout=timeout)
        while True:
            answer = self.read(timeout)
            if answer.get("id") not in (number, 0):
                continue  # of another request, whose sender does not wait any more
            if "event" in answer:
                if on_event is not None:
                    on_event(answer["event"])
            elif answer.get("ok"):
                return answer.get("result")
            else:
                kind, text = str(answer.get("kind")), str(answer.get("text"))
                raise OperationFailed(kind, text, answer.get("more") or {})

    def send(
        self, operation: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> int:
        """Ask without waiting; return the request's id, which its events and its answer carry (see `read`)."""
        self._last += 1
        message = {"id": self._last, "op": operation, "args": dict(arguments or {})}
        data = wire.encode(message)
        if len(data) > wire.MAX_FRAME:
            raise OperationFailed("size", f"{len(data)} bytes to send, {wire.MAX_FRAME} is the limit", {})
        try:
            self._sock.settimeout(timeout)
            self._sock.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            # The node may have said why before it closed: that is better than our own words.
            self._refusal_or(error)
        return self._last

    def fileno(self) -> int:
        """The socket's descriptor, to wait for. Over TLS see `pending`."""
        return self._sock.fileno()

    def pending(self) -> bool:
        """Tell whether something has been decrypted and not been read, of which the descriptor does not tell."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def _refusal_or(self, error: OSError) -> None:
        try:
            answer = self.read(1.0)
        except NotConnected:
            raise NotConnected(f"the node at {self._where} went away ({error.strerror or error})") from None
        raise OperationFailed(str(answer.get("kind")), str(answer.get("text")), {})

    def read(self, timeout: float | None) -> dict[str, Any]:
        """Read the next event or answer, as `wire` describes it. Raises NotConnected, also after `timeout` seconds."""
        try:
            self._sock.settimeout(timeout)
            (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            if size > wire.MAX_FRAME:
                raise NotConnected(f"what answers at {self._where} is no node (a frame of {size} bytes)")
            return wire.decode(self._exactly(size))
        except TimeoutError:
            raise NotConnected(f"the node at {self._where} says nothing for {timeout:g} s") from None
        except (OSError, wire.BadMessage) as error:
            why = getattr(error, "reason", None) or error
            raise NotConnected(f"the connection with the node at {self._where} broke: {why}") from None

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            data = self._sock.recv(min(size, 1 << 20))
            if not data:
                raise NotConnected(f"the node at {self._where} closed the connection: its log says why")
            parts.append(data)
            size -= len(data)
        return b"".join(parts)
