"""Peers that mean harm. In each case an innocent neighbour notices nothing, and nothing is left behind."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from runtime.kernel import process_count
from runtime.net import listener
from runtime.net.alarms import on_alarm
from tests.net.helpers import Client, Echo, Line, Protocol, frame, listening, sockets, until


class Lines(Protocol):
    framing = Line(200)

    def frames(self, conn, frames):
        for line in frames:
            conn.write(line[:100])


@pytest.fixture(params=["plain", "tls"])
def security(request, authority):
    return (None, None) if request.param == "plain" else (authority.server(), authority.context())


class Innocent:
    """Talks before and after; checks that processes and sockets are where they were."""

    def __init__(self, pid, context):
        self.pid = pid
        self.client = Client(pid, context)
        self.talk()
        self.before = (process_count(), sockets())

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        if problem[0] is None:
            until(lambda: listener.info(self.pid).connections == 1)
            self.talk()
            assert (process_count(), sockets()) == self.before
        self.client.sock.close()

    def talk(self):
        self.client.send(b"innocent")
        assert self.client.frame() == b"innocent"


def noise(seed: int) -> bytes:
    source = random.Random(seed)
    kind = seed % 4
    if kind == 0:
        return source.randbytes(source.randrange(1, 3000))
    if kind == 1:
        return b"".join(frame(source.randbytes(source.randrange(50))) for _ in range(20)) + source.randbytes(
            9
        )
    if kind == 2:
        return frame(b"x" * 500)[: source.randrange(1, 500)]
    return b"\x16\x03\x01" + source.randbytes(source.randrange(1, 600))


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_noise(security, ending):
    with listening(Echo, tls=security[0], linger=0.1) as pid, Innocent(pid, security[1]):
        for seed in range(60):
            attacker = Client(pid, security[1] if seed % 5 else None)
            with suppress(OSError):
                attacker.raw(noise(seed))
            attacker.reset() if ending == "reset" and not attacker_is_tls(attacker) else attacker.sock.close()


def attacker_is_tls(client) -> bool:
    return hasattr(client.sock, "cipher")


def test_noise_to_lines():
    with listening(Lines, linger=0.1) as pid:
        for seed in range(40):
            with Client(pid) as attacker, suppress(OSError):
                attacker.raw(noise(seed))
        until(lambda: listener.info(pid).connections == 0)


def test_a_flood_of_connects_that_reset_at_once(security):
    with listening(Echo, tls=security[0]) as pid, Innocent(pid, security[1]):
        port = listener.port(pid)
        for _ in range(150):
            Client(port).reset()


def test_headers_that_announce_gigabytes_hold_no_memory():
    with listening(Echo, linger=0.1) as pid, Innocent(pid, None):
        for _ in range(20):
            with Client(pid) as attacker:
                attacker.raw(b"\xff\xff\xff\xff" + b"x" * 1000)
                assert attacker.is_cut()


def test_a_flood_of_tiny_frames_by_one_does_not_silence_another():
    with listening(Echo) as pid, Innocent(pid, None) as innocent, Client(pid) as attacker:
        tiny = frame(b"") * 10_000
        for _ in range(5):
            attacker.raw(tiny)
            innocent.talk()
            assert len(attacker.exactly(40_000)) == 40_000
        attacker.sock.close()


def test_alarms_reach_the_hooks():
    seen = []
    on_alarm.append(seen.append)
    try:
        with listening(Echo, max_connections=1) as pid, Client(pid), Client(pid) as second:
            assert second.is_cut()
    finally:
        on_alarm.remove(seen.append)
    # Its end comes with the listener's: nobody would ever say so later.
    assert [(alarm.listener, alarm.kind, alarm.raised) for alarm in seen] == [
        ("test", "max_connections", True),
        ("test", "max_connections", False),
    ]
