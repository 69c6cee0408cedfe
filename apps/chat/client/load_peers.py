"""Connections of the load generator: bytes, a login, a handler for frames, and one epoll loop for all of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import select
import socket
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from apps.chat.native.frames import (
    VERSIONS,
    Bye,
    Challenge,
    Error,
    Hello,
    Login,
    Proof,
    Ready,
    ServerFrame,
    Welcome,
    encode,
    pack,
)

__all__ = ["Account", "Generator", "LoadError", "Peer", "ignore"]

# types

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLIN | select.EPOLLOUT

_decode = msgspec.msgpack.Decoder(ServerFrame).decode


class LoadError(Exception):
    """The load could not be made; the text says why."""


class Account(msgspec.Struct):
    """One test account. `salted` is SCRAM's salted password, derived at the first login."""

    user: str
    key: str
    salted: str = ""


class Peer:
    """One connection: nothing but bytes, a login, and a handler for frames."""

    __slots__ = (
        "account",
        "buffer",
        "fd",
        "generator",
        "handler",
        "on_ready",
        "out",
        "peer_nonce",
        "ready",
        "scram",
        "state",
        "tls",
        "waits",
    )

    def __init__(
        self, generator: Generator, account: Account | None, on_ready: Callable[[Peer], None] | None = None
    ) -> None:
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect_ex(generator.address)
        self.generator = generator
        self.account = account
        self.on_ready = on_ready
        self.handler: Callable[[Peer, Any], None] = ignore
        self.buffer = bytearray()
        self.out = bytearray()
        self.state = 0  # 0 connecting, 1 shaking, 2 open, 3 closed
        self.waits = False
        self.ready: Ready | None = None
        self.scram: tuple[str, str] | None = None
        self.tls: Any = raw
        self.fd = raw.fileno()
        generator.peers[self.fd] = self
        generator.epoll.register(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def write(self, data: bytes) -> None:
        """Send now what the socket takes; keep the rest."""
        if self.state != 2 or self.out:
            self.out += data
            return
        try:
            sent = self.tls.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self.out += data[sent:]
            self.waits = True
            self.generator.epoll.modify(self.fd, _WRITE)

    def frame(self, frame: Any) -> None:
        data = encode(frame)
        self.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        if self.state != 3:
            self.state = 3
            self.generator.peers.pop(self.fd, None)
            self.generator.epoll.unregister(self.fd)
            self.tls.close()
            self.generator.closed += 1

    def event(self) -> None:
        """The socket is ready for something."""
        if self.state < 2 and not self._open():
            return
        if self.out:
            self._flush()
        tls, buffer = self.tls, self.buffer
        try:
            while True:
                data = tls.recv(65536)
                if not data:
                    self._frames()
                    self.close()
                    return
                buffer += data
                if len(data) < 16000:  # a TLS record holds 16 KiB: less means that it was the last
                    break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.close()
            return
        self._frames()

    def _open(self) -> bool:
        if self.state == 0:
            error = self.tls.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.close()
                self.generator.failures.append(os.strerror(error))
                return False
            self.tls = self.generator.context.wrap_socket(self.tls, do_handshake_on_connect=False)
            self.state = 1
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.generator.epoll.modify(self.fd, _READ)
            return False
        except ssl.SSLWantWriteError:
            return False
        except OSError as error:
            self.generator.failures.append(str(error))
            self.close()
            return False
        self.state = 2
        self.generator.epoll.modify(self.fd, _READ)
        self.write(self.generator.hello)
        return True

    def _flush(self) -> None:
        try:
            while self.out:
                sent = self.tls.send(bytes(self.out[:65536]))
                del self.out[:sent]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError:
            self.close()
            return
        if self.waits:
            self.waits = False
            self.generator.epoll.modify(self.fd, _READ)

    def _frames(self) -> None:
        buffer = self.buffer
        at, end, handler = 0, len(buffer), self.handler
        with memoryview(buffer) as view:
            while end - at >= 4:
                size = int.from_bytes(view[at : at + 4], "big")
                if end - at - 4 < size:
                    break
                frame = _decode(view[at + 4 : at + 4 + size])
                at += 4 + size
                if self.ready is None:
                    self._greet(frame)
                    handler = self.handler
                else:
                    handler(self, frame)
        del buffer[:at]
        handler(self, None)  # the batch is over: acknowledge, refill

    def _greet(self, frame: Any) -> None:
        match frame:
            case Welcome():
                if self.account is not None:
                    self.login()
                else:
                    self.handler(self, frame)
            case Challenge():
                self.frame(Proof(frame.ref, self._prove(frame.data)))
            case Ready():
                self.ready = frame
                if self.on_ready is not None:
                    self.on_ready(self)
            case Error() | Bye():
                self.generator.failures.append(f"{frame.code}: {frame.text}")
                self.handler(self, frame)
                if isinstance(frame, Bye):
                    self.close()
            case _:
                self.handler(self, frame)

    def login(self) -> None:
        assert self.account is not None
        nonce = secrets.token_hex(12)
        self.scram = (f"n={self.account.user},r={nonce}", nonce)
        self.frame(Login(1, self.account.user, f"n,,{self.scram[0]}"))

    def _prove(self, first: str) -> str:
        assert self.account is not None
        assert self.scram is not None
        fields = dict(part.split("=", 1) for part in first.split(","))
        if not self.account.salted:
            salted = hashlib.pbkdf2_hmac(
                "sha256", self.account.key.encode(), b64decode(fields["s"]), int(fields["i"])
            )
            self.account.salted = b64encode(salted).decode()
            self.generator.is_changed = True
        final = f"c=biws,r={fields['r']}"
        message = f"{self.scram[0]},{first},{final}".encode()
        client_key = hmac.digest(b64decode(self.account.salted), b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = int.from_bytes(client_key, "big") ^ int.from_bytes(signature, "big")
        return f"{final},p={b64encode(proof.to_bytes(32, 'big')).decode()}"


class Generator:
    """Connections, an epoll loop, and the server's figures from /proc."""

    def __init__(self, host: str, port: int, pid: int | None = None) -> None:
        self.address = (host, port)
        self.pid = pid
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.set_alpn_protocols(["evergreen/1"])
        self.hello = pack([Hello(VERSIONS, "evergreen-load")])
        self.epoll = select.epoll()
        self.peers: dict[int, Peer] = {}
        self.failures: list[str] = []
        self.closed = 0
        self.is_changed = False

    def turn(self, timeout: float) -> None:
        """Wait at most `timeout` seconds and handle what is ready."""
        peers = self.peers
        for fd, _ in self.epoll.poll(timeout, 1024):
            peer = peers.get(fd)
            if peer is not None:
                peer.event()

    def run(self, done: Callable[[], bool], limit: float, what: str) -> None:
        """Turn until `done()`; LoadError after `limit` seconds."""
        end = time.monotonic() + limit
        while not done():
            if time.monotonic() > end:
                raise LoadError(f"{what}: not done in {limit:.0f} s; failures: {self.failures[:5]}")
            self.turn(0.05)

    def login(self, accounts: Iterable[Account], concurrency: int = 64, limit: float = 120.0) -> list[Peer]:
        """Log in everybody, `concurrency` at a time; return the connections in the order of `accounts`."""
        waiting = list(accounts)
        waiting.reverse()
        made: list[Peer] = []
        left = len(waiting)

        def ready(_: Peer) -> None:
            nonlocal left
            left -= 1
            begin()

        def begin() -> None:
            if waiting:
                made.append(Peer(self, waiting.pop(), ready))

        for _ in range(min(concurrency, len(waiting))):
            begin()
        self.run(lambda: left <= 0 or bool(self.failures), limit, "login")
        if self.failures:
            raise LoadError(f"login failed: {self.failures[:3]}")
        return made

    def pids(self) -> list[int]:
        if self.pid is None:
            return []
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(word) for word in (task / "children").read_text().split()]
        return found

    def cpu(self) -> float | None:
        """Seconds of CPU time that the server's processes have used."""
        if self.pid is None:
            return None
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int | None:
        """Bytes of memory of the server's processes (proportional share: shared pages are counted once)."""
        if self.pid is None:
            return None
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


def ignore(peer: Peer, frame: Any) -> None:
    pass
