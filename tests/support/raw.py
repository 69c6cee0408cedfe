"""A bare connection to the native port, for saying what no client of ours would say."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from typing import Any

from scramp import ScramClient

from apps.chat.client.profile import Account
from apps.chat.client.framing import Splitter
from apps.chat.native.frames import (
    VERSIONS,
    Bye,
    Challenge,
    Error,
    Hello,
    Login,
    Proof,
    Ready,
    Welcome,
    decode_server,
    pack,
)

__all__ = ["Raw", "plain"]


def plain(port: int, timeout: float = 10.0) -> socket.socket:
    """A TCP connection without TLS."""
    return socket.create_connection(("127.0.0.1", port), timeout)


class Raw:
    """A blocking TLS connection that sends any bytes and reads frames. Time-outs are failures, not waits."""

    def __init__(self, port: int, timeout: float = 10.0, receive_buffer: int | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["evergreen/1"])
        raw = socket.socket()
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect(("127.0.0.1", port))
        self.tls = context.wrap_socket(raw)
        self.is_open = True
        self._splitter = Splitter()
        self._frames: list[Any] = []

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_open = False
        self.tls.close()

    def send(self, *frames: Any) -> None:
        self.raw(pack(frames))

    def raw(self, data: bytes) -> None:
        """Send bytes as they are; a peer that is gone already is no failure here."""
        with contextlib.suppress(OSError):
            self.tls.sendall(data)

    def framed(self, *payloads: bytes) -> None:
        """Send payloads, each with its length in front."""
        self.raw(b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads))

    def half_close(self) -> None:
        """We have said all (TCP's FIN); what the server still says can be read."""
        # Not tls.shutdown(): that forgets the TLS layer, and what follows would be read as it is on the wire.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.tls.fileno())) as twin:
            twin.shutdown(socket.SHUT_WR)

    def receive(self) -> Any:
        """The next frame, or None at the end of the connection. Raises TimeoutError."""
        while not self._frames:
            try:
                data = self.tls.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                data = b""
            if not data:
                self.is_open = False
                return None
            self._frames += [decode_server(payload) for payload in self._splitter.feed(data)]
        return self._frames.pop(0)

    def rest(self) -> list[Any]:
        """All frames until the server closes."""
        frames = []
        while (frame := self.receive()) is not None:
            frames.append(frame)
        return frames

    def greet(self) -> Welcome:
        self.send(Hello(VERSIONS, "raw"))
        welcome = self.receive()
        assert isinstance(welcome, Welcome), welcome
        return welcome

    def login(self, account: Account) -> Ready | Error | Bye:
        """Greet and log in; return the server's last word on it."""
        self.greet()
        scram = ScramClient(["SCRAM-SHA-256"], account.user, account.key)
        self.send(Login(1, account.user, scram.get_client_first()))
        challenge = self.receive()
        if not isinstance(challenge, Challenge):
            assert isinstance(challenge, (Error, Bye)), challenge
            return challenge
        scram.set_server_first(challenge.data)
        self.send(Proof(2, scram.get_client_final()))
        ready = self.receive()
        assert isinstance(ready, (Ready, Error, Bye)), ready
        return ready
