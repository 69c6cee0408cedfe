"""kill -9 at random moments under load: of the node, and of the store's writer alone."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from apps.chat.client.profile import Account
from apps.chat.client.events import State
from apps.chat.native.frames import Accepted, AskPin, Error, PinSent, Ready, Register, Registered, Send
from tests.support.node import Node, close_client, number, until
from tests.support.raw import Raw
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.slow]


def kill_rounds(node: Node, traffic: Traffic, rounds: int, rng: random.Random) -> None:
    """Load, kill -9 at a random moment of it, restart, and look whether every promise was kept."""
    traffic.connect()
    for n in range(rounds):
        traffic.load(rng.randrange(1, 300))
        node.kill()
        if n % 3 == 0:
            for _ in range(5):
                traffic.turn()  # people go on writing while nobody is there
        node.start()
        traffic.connect()
        traffic.quiesce()
        traffic.verify()


def test_kill_9_of_the_node_ten_times_under_load(tmp_path: Path) -> None:
    """CHAT §2: no accepted message is lost, none is shown twice, order per pair, every sender gets ✓✓."""
    rng = random.Random(2)
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 4) as traffic:
        kill_rounds(node, traffic, 10, rng)
        assert traffic.accepted > 500


def test_kill_9_of_the_stores_writer_under_load(tmp_path: Path) -> None:
    """The writer's operating system process dies alone: accepted stays accepted."""
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 4) as traffic:
        traffic.connect()
        for n in range(3):
            traffic.load(150)
            writers = node.children()
            assert writers, "the node has no writer process"
            for pid in writers:
                os.kill(pid, signal.SIGKILL)
            if node.process is not None and node.process.poll() is not None:
                node.start()
            traffic.connect()
            traffic.load(50)
            traffic.quiesce()
            traffic.verify()
            assert n >= 0


def test_the_same_client_id_gives_the_same_answer_and_no_second_message(tmp_path: Path) -> None:
    """CHAT §2: also after kill -9 and on another connection."""
    with Node(tmp_path / "var") as node:
        anna, bob = number(1), number(2)
        node.register(tmp_path / "anna", anna)
        node.register(tmp_path / "bob", bob)
        message = Send(b"the same id 0001", bob, "text", b"once")
        answers = []
        for _ in range(2):
            for _ in range(2):
                client = node.client(tmp_path / "anna")
                until(client, lambda c=client: c.session.state is State.READY)  # type: ignore[misc]
                for _ in range(2):
                    client.session.send(message)
                    seen = until(client, lambda c=client: not c.session.outbox)  # type: ignore[misc]
                    answers += [event for event in seen if isinstance(event, Accepted)]
                close_client(client)
            node.kill()
            node.start()
        assert len(answers) == 8
        assert len(set(answers)) == 1
        reader = node.client(tmp_path / "bob")
        until(reader, lambda: reader.is_ready and reader.profile.unshown())
        probe = node.client(tmp_path / "anna")
        probe.send(bob, "the end")
        while len(reader.profile.unshown()) < 2:
            probe.step(0.05)
            reader.step(0.05)
        assert [entry.text for entry in reader.profile.unshown()] == ["once", "the end"]
        close_client(probe)
        close_client(reader)


def test_a_device_key_is_durable_when_it_is_shown(tmp_path: Path) -> None:
    """CHAT §1: the key is shown once; a kill -9 right after must not lose the account, nor revive the old key."""
    phone = number(9)
    with Node(tmp_path / "var", "chat.registration.resend_after=0") as node:
        old: Account | None = None
        for _ in range(3):
            mark = len(node.lines)
            with Raw(node.port) as raw:
                raw.greet()
                raw.send(AskPin(1, phone))
                assert isinstance(raw.receive(), PinSent)
                raw.send(Register(2, phone, node.pin_for(phone, mark), "device"))
                registered = raw.receive()
                assert isinstance(registered, Registered), registered
                node.kill()
            node.start()
            account = Account(user=registered.user, key=registered.key)
            with Raw(node.port) as raw:
                assert isinstance(raw.login(account), Ready)
            if old is not None:
                with Raw(node.port) as raw:
                    refused = raw.login(old)
                    assert isinstance(refused, Error)
                    assert refused.code == "auth_failed"
            old = account
