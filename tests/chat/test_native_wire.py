"""Two clients over real TLS: listener, store, cluster and user processes are the real ones, only the node is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scramp import ScramClient

from apps.chat.application import listener_config
from apps.chat.domain.credentials import derive_keys, new_device_key
from apps.chat.native import frames as f
from apps.chat.native.door import NativeSettings
from apps.chat.native.session import Session
from runtime import certificates, kernel
from runtime.kernel import TIMEOUT, alias, receive_match, send, unalias
from runtime.net import ClientTLS, Length4, Listener, Protocol, connect, listener
from tests.chat.world import World, end, world
from tests.observe.observing import lines_of

ANNA, BOB = "+33612000001", "+33612000002"


class Wire(Protocol):
    """A client's connection: hands frames to the test."""

    framing = Length4(16 * 2**20)

    def __init__(self, to: Any) -> None:
        self.to = to

    def frames(self, conn: Any, frames: list[bytes]) -> None:
        for raw in frames:
            send(self.to, (self.to, f.decode_server(raw)))

    def info(self, conn: Any, message: Any) -> None:
        if isinstance(message, bytes):
            conn.write_raw(message)
        else:
            conn.close()

    def closed(self, conn: Any, reason: Any) -> None:
        send(self.to, (self.to, None))


class Client:
    """A client by hand; frames are taken in order."""

    def __init__(self, port: int, ca: Path) -> None:
        self.to = alias()
        tls = ClientTLS(ca_file=str(ca), server_name="localhost", alpn=(f.ALPN,))
        self.pid = connect("127.0.0.1", port, Wire, args={"to": self.to}, tls=tls)

    def say(self, *frames: Any) -> None:
        send(self.pid, f.pack(frames))

    def raw(self, data: bytes) -> None:
        send(self.pid, data)

    def hear(self, kind: type | None = None) -> Any:
        """The next frame (of a kind); None: closed."""
        got = receive_match(
            lambda m: isinstance(m, tuple) and m[0] is self.to and (kind is None or isinstance(m[1], kind)),
            10.0,
        )
        assert got is not TIMEOUT, kind
        return got[1]

    def login(self, user: str, key: str) -> f.Ready:
        self.say(f.Hello((1,), "test", ("resume",)))
        assert isinstance(self.hear(), f.Welcome)
        client = ScramClient(["SCRAM-SHA-256"], user, key)
        self.say(f.Login(3, user, client.get_client_first()))
        client.set_server_first(self.hear(f.Challenge).data)
        self.say(f.Proof(3, client.get_client_final()))
        ready = self.hear(f.Ready)
        client.set_server_final(ready.data)
        return ready

    def close(self) -> None:
        send(self.pid, "close")
        while self.hear() is not None:
            pass
        unalias(self.to)


class Served:
    """A world with a listener before it."""

    def __init__(self, made: World, directory: Path) -> None:
        self.world = made
        self.certificates = certificates.load(directory / "certificates")
        self.listener = Listener.start_link(listener_config(made.door.settings, made.door, self.certificates))
        self.port = listener.port(self.listener)

    def client(self) -> Client:
        assert self.certificates.ca is not None
        return Client(self.port, self.certificates.ca)

    def person(self, user: str) -> str:
        key = new_device_key()
        self.world.homes.claim(user, "test", *derive_keys(key))
        return key


@pytest.fixture
def serve(tmp_path: Path) -> Any:
    @contextmanager
    def make(**native: Any) -> Iterator[Served]:
        with world(tmp_path, native=NativeSettings(port=0, **native)) as made:
            served = Served(made, tmp_path)
            try:
                yield served
            finally:
                end(served.listener)

    return make


def test_two_clients_talk_over_tls(serve: Any) -> None:
    with serve() as served:
        anna, bob = served.client(), served.client()
        anna.login(ANNA, served.person(ANNA))
        bob.login(BOB, served.person(BOB))
        ids = [os.urandom(16) for _ in range(200)]
        anna.say(*[f.Send(cid, BOB, "text", b"%d" % n) for n, cid in enumerate(ids)])
        for n in range(200):
            delivered = bob.hear(f.Deliver)
            assert (delivered.seq, delivered.body) == (n + 1, b"%d" % n)
            if n % 10 == 9:
                bob.say(f.Ack(delivered.seq))
        assert [anna.hear(f.Accepted).id for _ in ids] == ids
        told: set[int] = set()
        while len(told) < 200:
            receipt = anna.hear(f.Receipt)
            told |= set(receipt.messages)
            anna.say(f.Ack(receipt.seq))
        anna.say(f.Ping(5))
        assert anna.hear(f.Pong) == f.Pong(5)
        anna.close(), bob.close()


def test_a_cut_connection_is_resumed(serve: Any) -> None:
    with serve() as served:
        anna, bob = served.client(), served.client()
        anna.login(ANNA, served.person(ANNA))
        token = bob.login(BOB, served.person(BOB)).token
        anna.say(f.Send(os.urandom(16), BOB, "text", b"1"))
        assert bob.hear(f.Deliver).body == b"1"
        bob.close()
        anna.say(f.Send(os.urandom(16), BOB, "text", b"2"))
        bob = served.client()
        bob.say(f.Hello((1,)), f.Resume(1, token, 1))
        assert bob.hear(f.Ready).resumed
        assert bob.hear(f.Deliver).body == b"2"
        anna.close(), bob.close()


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "wrong_protocol"),
        (b"<?xml version='1.0'?><stream:stream>", "wrong_protocol"),
        (b"\xff" * 40, "too_long"),
        (b"\x00\x00\x00\x03\xff\xff\xff", "bad_frame"),
        (b"\x00\x00\x00\x00", "bad_frame"),
        (b"\x00\x00\x00\x03\x92\x23\x01", "too_early"),
    ],
)
def test_noise_gets_a_word_and_the_end_and_nobody_else_notices(serve: Any, noise: bytes, code: str) -> None:
    with serve() as served:
        bob, stranger = served.client(), served.client()
        bob.login(BOB, served.person(BOB))
        stranger.raw(noise)
        error, bye = stranger.hear(), stranger.hear()
        assert (type(error), error.code, type(bye), bye.code) == (f.Error, code, f.Bye, code)
        assert stranger.hear() is None
        bob.say(f.Ping(1))
        assert bob.hear(f.Pong).ref == 1
        bob.close()


def test_who_sends_too_fast_is_read_more_slowly_and_loses_nothing(serve: Any) -> None:
    with serve(messages_per_second=200.0, messages_burst=50.0) as served:
        anna = served.client()
        served.person(BOB)
        anna.login(ANNA, served.person(ANNA))
        for n in range(15):
            anna.say(*[f.Send((n * 10 + k).to_bytes(16, "big"), BOB, "text", b"") for k in range(10)])
        assert [int.from_bytes(anna.hear(f.Accepted).id, "big") for _ in range(150)] == list(range(150))
        anna.close()


def test_an_orderly_stop_says_when_to_come_back(serve: Any) -> None:
    with serve() as served:
        bob = served.client()
        bob.login(BOB, served.person(BOB))
        listener.stop(served.listener)
        bye = bob.hear(f.Bye)
        assert bye.code == "restarting"
        assert 2.0 <= bye.retry_after <= 4.0
        assert bob.hear() is None


def test_a_message_that_no_session_knows_is_logged_and_the_connection_goes_on(serve: Any) -> None:
    with serve() as served, lines_of("chat.native") as lines:
        anna = served.client()
        anna.login(ANNA, served.person(ANNA))
        (session,) = [
            pid for pid in kernel.processes() if isinstance(getattr(pid.behaviour, "protocol", None), Session)
        ]
        send(session, ("from another time", "x" * 1000))
        anna.say(f.Ping(5))
        assert anna.hear(f.Pong).ref == 5
        anna.close()
        ((level, text),) = [line for line in lines if "does not know" in line[1]]
        assert level == "WARNING"
        assert text.startswith(f"{session!r} got a message that it does not know: ('from another time', 'xxx")
        assert len(text) < 300
