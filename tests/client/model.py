"""A small server of the native protocol, as the client should find it: a model, not our server.

Sans-IO like the session it is played against; `ScriptedServer` puts it behind real TLS sockets.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Any

from scramp import ScramException, ScramMechanism

from apps.chat.client.framing import Splitter
from apps.chat.native.frames import (
    Accepted,
    Ack,
    AskPin,
    Backlog,
    BacklogEnd,
    Bye,
    Challenge,
    Deliver,
    Done,
    Error,
    Hello,
    Limits,
    Login,
    Logout,
    PinSent,
    Ping,
    Pong,
    Proof,
    Read,
    Ready,
    Receipt,
    Register,
    Registered,
    Resume,
    Send,
    Welcome,
    decode_client,
    pack,
)

LIMITS = Limits(262144, 65536, 64, 1000.0, 30.0, 90.0, 600.0)
MECHANISM = ScramMechanism("SCRAM-SHA-256")


class Account:
    def __init__(self, user: str, key: str) -> None:
        self.user = user
        self.key = key
        self.auth = MECHANISM.make_auth_info(key, iteration_count=4096, salt=b"0123456789abcdef")
        self.queue: list[Any] = []
        self.last = 0
        self.acked = 0


class Model:
    """Accounts, queues and accepted messages; survives any number of connections."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.accepted: dict[bytes, Accepted] = {}
        self.order: list[bytes] = []
        self.reads: list[Read] = []
        self.tokens: dict[str, str] = {}
        self.pin = "12345"
        self.throttled = False
        self.message = 100
        self.logins = 0
        self.resumes = 0

    def add(self, user: str, key: str = "k" * 43) -> Account:
        self.accounts[user] = Account(user, key)
        return self.accounts[user]

    def push(self, user: str, body: bytes, sender: str = "+33600000001") -> int:
        account = self.accounts[user]
        account.last += 1
        self.message += 1
        account.queue.append(Deliver(account.last, self.message, sender, "text", body, 1_700_000_000_000))
        return self.message

    def push_receipt(self, user: str, who: str, status: str, messages: tuple[int, ...]) -> None:
        account = self.accounts[user]
        account.last += 1
        account.queue.append(Receipt(account.last, who, status, messages, 1_700_000_000_000))

    def connection(self) -> ModelConnection:
        return ModelConnection(self)


class ModelConnection:
    """One connection: `receive` bytes, then `outgoing` bytes."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.account: Account | None = None
        self.out: list[Any] = []
        self.sent = 0
        self.closed = False
        self._splitter = Splitter()
        self._scram: Any = None
        self._user = ""

    def receive(self, data: bytes) -> None:
        for payload in self._splitter.feed(data):
            if not self.closed:
                self._frame(decode_client(payload))

    def flush(self) -> None:
        """Queue what this connection has not been sent yet."""
        if self.account is not None:
            for entry in self.account.queue:
                if entry.seq > self.sent:
                    self.out.append(entry)
                    self.sent = entry.seq

    def outgoing(self) -> list[Any]:
        self.flush()
        frames, self.out = self.out, []
        return frames

    def _frame(self, frame: Any) -> None:
        model = self.model
        match frame:
            case Hello():
                self.out.append(Welcome(1, (), 1, LIMITS, "localhost", "model"))
            case Ping(ref):
                self.out.append(Pong(ref))
            case AskPin(ref, number):
                if not number.startswith("+"):
                    self.out.append(Error(ref, "bad_number", "not a number"))
                elif model.throttled:
                    self.out.append(Error(ref, "throttled", "too many tries", True, 46.2))
                elif len(number) < 10:
                    self.out.append(Error(ref, "bad_number", "not a phone number with its country code"))
                else:
                    self.out.append(PinSent(ref, 60.0, 600.0))
            case Register(ref, number, pin, _):
                if pin != model.pin:
                    self.out.append(Error(ref, "bad_pin", "wrong PIN"))
                    return
                account = model.add(number)
                self.out.append(Registered(ref, number, "d1", account.key))
            case Login(ref, user, data):
                self._user = user
                self._scram = MECHANISM.make_server(lambda _: model.accounts[user].auth)
                self._scram.set_client_first(data)
                self.out.append(Challenge(ref, self._scram.get_server_first()))
            case Proof(ref, data):
                try:
                    self._scram.set_client_final(data)
                except ScramException:
                    self.out.append(Error(ref, "auth_failed", "unknown user or wrong key"))
                    return
                model.logins += 1
                account = model.accounts[self._user]
                self._ready(ref, account, account.acked, False, self._scram.get_server_final())
            case Resume(ref, token, received):
                user = model.tokens.get(token)
                if user is None:
                    self.out.append(Error(ref, "bad_token", "log in"))
                    return
                model.resumes += 1
                self._ready(ref, model.accounts[user], max(received, model.accounts[user].acked), True, None)
            case Send(id_):
                if id_ not in model.accepted:
                    model.message += 1
                    model.accepted[id_] = Accepted(id_, model.message, 1_700_000_000_000)
                    model.order.append(id_)
                self.out.append(model.accepted[id_])
            case Ack(upto):
                assert self.account is not None
                assert upto <= self.account.last, "acknowledged what was never sent"
                self.account.acked = max(self.account.acked, upto)
                self.account.queue = [e for e in self.account.queue if e.seq > self.account.acked]
            case Read():
                model.reads.append(frame)
                self.out.append(Done(frame.ref))
            case Logout():
                self.out.append(Bye("logout"))
                self.closed = True
            case Bye():
                self.closed = True
            case _:
                pass

    def _ready(self, ref: int, account: Account, sent: int, resumed: bool, data: str | None) -> None:
        self.account, self.sent = account, sent
        token = f"token-{account.user}-{len(self.model.tokens)}"
        self.model.tokens[token] = account.user
        waiting = sum(e.seq > sent for e in account.queue)
        self.out.append(Ready(ref, account.user, "d1", resumed, token, data, account.acked, waiting, 1))
        if waiting:
            self.out.append(Backlog(waiting))
            self.flush()
            self.out.append(BacklogEnd())


class ScriptedServer:
    """`Model` behind a TLS port of its own, in a thread. `cut()` breaks all connections now."""

    def __init__(self, certificate: str, key: str, model: Model | None = None) -> None:
        self.model = model or Model()
        self.lock = threading.Lock()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["evergreen/1"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._live: dict[ssl.SSLSocket, ModelConnection] = {}
        self._stop, self._wake = socket.socketpair()
        self.connections = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join(10)
        for connection in [*self._live, self._listener, self._stop, self._wake]:
            connection.close()

    def poke(self) -> None:
        """Look at the queues again (after `model.push`)."""
        self._wake.send(b"p")

    def cut(self) -> None:
        """Break every connection, at once and without a word."""
        self._wake.send(b"c")

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self._listener, self._stop, *self._live], [], [])
            if self._stop in readable:
                word = self._stop.recv(1)
                if word == b"x":
                    return
                if word == b"c":
                    for tls in list(self._live):
                        self._drop(tls)
                    continue
            with self.lock:
                if self._listener in readable:
                    self._accept()
                for tls in [s for s in readable if s in self._live]:
                    self._read(tls)
                for tls, connection in list(self._live.items()):
                    with contextlib.suppress(OSError):
                        tls.sendall(pack(connection.outgoing()))
                    if connection.closed:
                        self._drop(tls)

    def _accept(self) -> None:
        raw, _ = self._listener.accept()
        raw.settimeout(5)
        try:
            tls = self._context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            return
        self.connections += 1
        self._live[tls] = self.model.connection()

    def _read(self, tls: ssl.SSLSocket) -> None:
        try:
            data = tls.recv(65536)
            while tls.pending():
                data += tls.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(tls)
        else:
            self._live[tls].receive(data)

    def _drop(self, tls: ssl.SSLSocket) -> None:
        del self._live[tls]
        tls.close()
