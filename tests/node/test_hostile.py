"""Slow, broken and hostile clients against a real node, while two innocent people chat and notice nothing.

Nothing is judged by the clock: the innocents' messages are counted, and their connections.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.chat.client.profile import Account, Profile
from apps.chat.native.frames import (
    CLIENT_FRAMES,
    CODES,
    Accepted,
    Ack,
    Bye,
    Deliver,
    Error,
    Hello,
    Receipt,
    Refused,
    Send,
)
from tests.support.node import Node, number
from tests.support.raw import Raw, plain
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.slow]


class Innocents:
    """Two people who chat in a thread of their own from `with` to its end."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Innocents:
        self.connections = [client.connections for client in self.traffic.clients]
        self.before = self.traffic.accepted
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(120)
        if exc[0] is None and self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        traffic = self.traffic
        try:
            while not self._stop.is_set():
                traffic.load(10)
            traffic.load(20)
            traffic.quiesce()
            traffic.verify()
            assert [client.connections for client in traffic.clients] == self.connections, (
                "an innocent was cut off"
            )
            assert traffic.accepted - self.before >= 30
        except BaseException as error:
            self.failure = error


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node") / "var") as running:
        yield running


@pytest.fixture(scope="module")
def traffic(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    with Traffic(node, tmp_path_factory.mktemp("people"), 2) as running:
        running.window = 5
        running.connect()
        yield running


@pytest.fixture(scope="module")
def mallory(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Account:
    directory = tmp_path_factory.mktemp("mallory")
    node.register(directory, number(66))
    with Profile(directory) as profile:
        return profile.account


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' version='1.0'>",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x00" * 64,
        b"\xff" * 64,
        os.urandom(512),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["http", "xmpp", "tls-in-tls", "zeros", "ones", "random", "ssh"],
)
def test_a_foreign_protocol_inside_tls_gets_a_typed_error_and_the_end(
    node: Node, traffic: Traffic, noise: bytes
) -> None:
    """CHAT §4: bad input gets a typed error, then that connection alone ends."""
    with Innocents(traffic), Raw(node.port) as raw:
        raw.raw(noise)
        frames = raw.rest()
        assert [type(frame) for frame in frames] == [Error, Bye]
        assert frames[0].code in ("wrong_protocol", "bad_frame", "too_long")


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.0\r\n\r\n", b"<stream:stream>", os.urandom(300), b""])
def test_plain_text_on_the_tls_port_is_cut_off(node: Node, traffic: Traffic, noise: bytes) -> None:
    with Innocents(traffic), plain(node.port, 30.0) as peer:
        peer.sendall(noise)
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass


def test_http_is_logged_once_per_minute_not_once_per_request(node: Node, traffic: Traffic) -> None:
    """Bad input: logged once per address and minute."""
    with Innocents(traffic):
        before = node.log_file.read_bytes().count(b"127.0.0.1")
        for _ in range(30):
            with Raw(node.port) as raw:
                raw.raw(b"GET / HTTP/1.1\r\n\r\n")
                raw.rest()
        assert node.log_file.read_bytes().count(b"127.0.0.1") - before <= 5


def client_frames() -> st.SearchStrategy[bytes]:
    """Frames of the right shape, nearly right shape, and no shape at all."""
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text(max_size=40)
        | st.binary(max_size=60),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    tags = st.sampled_from([int(f.__struct_config__.tag) for f in CLIENT_FRAMES]) | st.integers(0, 300)  # type: ignore[arg-type]
    shaped = st.tuples(tags, st.lists(values, max_size=6)).map(
        lambda t: msgspec.msgpack.encode([t[0], *t[1]])
    )
    typed = st.sampled_from(
        [
            msgspec.msgpack.encode(Send(b"i" * 16, number(1), "text", b"from mallory")),
            msgspec.msgpack.encode(Send(b"j" * 16, "nobody", "text", b"")),
            msgspec.msgpack.encode([35, 2**62]),
            msgspec.msgpack.encode([36, number(1), [1, 2, 3]]),
            msgspec.msgpack.encode([4, 1]),
        ]
    )
    deep = st.integers(1, 3000).map(lambda n: b"\x91" * n)
    return st.one_of(shaped, typed, st.binary(max_size=300), deep)


@pytest.mark.parametrize("is_known", [False, True], ids=["stranger", "logged-in"])
def test_fuzzed_frames_end_at_most_their_own_connection(
    node: Node, traffic: Traffic, mallory: Account, is_known: bool
) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(client_frames(), max_size=8), st.binary(max_size=40), st.data())
    def play(payloads: list[bytes], tail: bytes, data: Any) -> None:
        with Raw(node.port, 20.0) as raw:
            if is_known:
                raw.login(mallory)
            elif data.draw(st.booleans()):
                raw.greet()
            stream = b"".join(len(p).to_bytes(4, "big") + p for p in payloads) + tail
            at = data.draw(st.integers(0, len(stream)))
            raw.raw(stream[:at])
            raw.raw(stream[at:])
            raw.half_close()
            for frame in raw.rest():
                if isinstance(frame, (Error, Bye)):
                    assert frame.code in CODES, frame

    with Innocents(traffic):
        play()
    assert "Traceback" not in node.log_file.read_text(), node.last_words()


def test_an_absurd_length_is_refused_at_once(node: Node, traffic: Traffic) -> None:
    with Innocents(traffic), Raw(node.port) as raw:
        raw.send(Hello((1,), "raw"))
        raw.raw(b"\x7f\xff\xff\xff" + b"x" * 100)
        codes = [frame.code for frame in raw.rest() if isinstance(frame, (Error, Bye))]
        assert codes
        assert codes[0] in ("too_long", "wrong_protocol")


def test_half_open_connections_hold_up_nobody(node: Node, traffic: Traffic) -> None:
    """Slow loris: TCP without TLS, TLS without hello, hello without login, half a frame."""
    with Innocents(traffic), contextlib.ExitStack() as stack:
        for n in range(60):
            match n % 4:
                case 0:
                    stack.enter_context(plain(node.port)).sendall(b"\x16\x03\x01")
                case 1:
                    stack.enter_context(Raw(node.port))
                case 2:
                    stack.enter_context(Raw(node.port)).greet()
                case _:
                    stack.enter_context(Raw(node.port)).raw(b"\x00\x00\x10\x00\x95")


def test_a_reader_that_never_reads_holds_up_nobody_and_keeps_its_mail(
    node: Node, traffic: Traffic, mallory: Account, tmp_path: Path
) -> None:
    node.register(tmp_path / "eve", number(65))
    with Profile(tmp_path / "eve") as profile:
        eve = profile.account
    bodies = [b"%03d" % n + b"x" * 60_000 for n in range(100)]
    with Innocents(traffic), Raw(node.port, receive_buffer=4096) as deaf:
        deaf.login(mallory)
        with Raw(node.port, 60.0) as sender:
            sender.login(eve)
            for body in bodies:
                sender.send(Send(os.urandom(16), mallory.user, "big", body))
            accepted = 0
            while accepted < len(bodies):
                frame = sender.receive()
                assert frame is not None
                assert not isinstance(frame, Refused), frame
                accepted += isinstance(frame, Accepted)
    with Innocents(traffic), Raw(node.port, 30.0) as after:
        after.login(mallory)
        assert read_all(after, len(bodies)) == bodies


def read_all(raw: Raw, count: int) -> list[bytes]:
    """Receive and acknowledge until so many big messages are here; each number once."""
    got: dict[int, bytes] = {}
    while len(got) < count:
        frame = raw.receive()
        assert frame is not None, "cut off"
        if isinstance(frame, (Deliver, Receipt)):
            raw.send(Ack(frame.seq))
        if isinstance(frame, Deliver) and frame.kind == "big":
            got.setdefault(frame.seq, frame.body)
    return [got[seq] for seq in sorted(got)]


def test_a_flood_of_wrong_logins_locks_out_nobody_who_is_in(tmp_path: Path) -> None:
    codes = set()
    wrong = Account(user=number(67), key="A" * 43)
    # A node of its own: afterwards this address has to wait for its next login.
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 2) as traffic:
        traffic.connect()
        flood(node, traffic, wrong, codes)
    assert codes <= {"auth_failed", "throttled", "busy"}
    assert "throttled" in codes, "nobody slows a guesser down"


def flood(node: Node, traffic: Traffic, wrong: Account, codes: set[str]) -> None:
    with Innocents(traffic):
        for n in range(60):
            with Raw(node.port) as raw:
                answer = raw.login(Account(user=traffic.numbers[0], key="A" * 43) if n % 2 else wrong)
                assert isinstance(answer, (Error, Bye)), answer
                codes.add(answer.code)


def test_a_client_that_floods_messages_is_slowed_and_the_others_are_not(
    node: Node, traffic: Traffic, mallory: Account
) -> None:
    with Innocents(traffic), Raw(node.port, 30.0) as raw:
        for _ in range(20):
            answer = raw.login(mallory)
            if not isinstance(answer, Error):
                break
        for n in range(20):
            raw.send(*[Send(os.urandom(16), number(68), "text", b"flood") for _ in range(50)])
            assert n >= 0


def test_half_open_and_surplus_connections_are_ended(tmp_path: Path) -> None:
    """Slow-loris limits and the limit per address: who does not get on is cut off, who is in stays."""
    limits = (
        "chat.native.handshake_timeout=0.5",
        "chat.native.login_timeout=1",
        "chat.native.per_address=12",
    )
    with Node(tmp_path / "var", *limits) as node, Traffic(node, tmp_path, 2) as traffic:
        traffic.connect()
        with Innocents(traffic), contextlib.ExitStack() as stack:
            silent = stack.enter_context(plain(node.port))
            begun = stack.enter_context(plain(node.port))
            begun.sendall(b"\x16\x03\x01\x02")
            no_hello, no_login, half = (stack.enter_context(Raw(node.port)) for _ in range(3))
            no_login.greet()
            half.raw(b"\x00\x00\x10\x00\x95")
            surplus = [stack.enter_context(plain(node.port)) for _ in range(20)]
            for peer in (silent, begun, *surplus):
                with contextlib.suppress(ConnectionError):
                    while peer.recv(4096):
                        pass
            for raw in (no_hello, no_login, half):
                assert all(isinstance(frame, (Error, Bye)) for frame in raw.rest())


def test_a_flood_for_a_deaf_reader_does_not_grow_the_node(tmp_path: Path) -> None:
    """CHAT §6: slow readers are shed before anything grows without bound."""
    with Node(tmp_path / "var") as node:
        people = []
        for n in range(2):
            node.register(tmp_path / f"p{n}", number(n))
            with Profile(tmp_path / f"p{n}") as profile:
                people.append(profile.account)
        with Raw(node.port, 60.0) as sender, Raw(node.port, receive_buffer=4096) as deaf:
            sender.login(people[0])
            deaf.login(people[1])
            before = memory(node.pid)
            for _ in range(8):
                for _ in range(25):
                    sender.send(Send(os.urandom(16), people[1].user, "big", b"x" * 60_000))
                for _ in range(25):
                    assert isinstance(sender.receive(), Accepted)
            # 200 messages of 60 KB are 12 MB; a window of them may be in flight, not all.
            assert memory(node.pid) - before < 10 * 2**20


def memory(pid: int) -> int:
    """Bytes of private memory (the store's mapped file does not count)."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024
