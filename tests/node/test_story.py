"""The whole story on a real node: two people, real TLS, the commands that a user types."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import Node, close_client, number, until
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.slow]

ANNA, BOB = number(1), number(2)


class Person:
    """Types `chat …`."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.arguments = [
            "--profile",
            str(directory),
            "--server",
            f"127.0.0.1:{node.port}",
            "--ca",
            str(node.ca),
        ]
        self.node = node

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "apps.chat.client", *self.arguments, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        with self.start(*arguments, "--json") as process:
            out, err = process.communicate(timeout=40)
        assert process.returncode == 0, (process.returncode, out, err, self.node.last_words())
        return [json.loads(line) for line in out.splitlines()]

    def register(self, phone: str) -> None:
        mark = len(self.node.lines)
        with self.start("register", phone) as process:
            assert process.stdin is not None
            process.stdin.write(self.node.pin_for(phone, mark, 20.0) + "\n")
            process.stdin.flush()
            out, err = process.communicate(timeout=40)
        assert process.returncode == 0, (out, err, self.node.last_words())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "var") as running:
        yield running


def test_two_people_chat_with_check_marks_and_nothing_is_lost_by_kill_9(node: Node, tmp_path: Path) -> None:
    anna, bob = Person(node, tmp_path / "anna"), Person(node, tmp_path / "bob")
    anna.register(ANNA)
    bob.register(BOB)

    listener = bob.start("listen", "--json", "--count", "1", "--read")
    (*_, row) = anna.run("send", "--to", BOB, "hello bob", "--wait", "read")
    assert row["state"] == "read"
    out, _ = listener.communicate(timeout=40)
    assert [(r["from"], r["text"]) for r in map(json.loads, out.splitlines())] == [(ANNA, "hello bob")]

    (row,) = anna.run("send", "--to", BOB, "you are away")
    assert row["state"] == "accepted"
    node.kill()
    node.start()
    rows = bob.run("listen", "--count", "1", "--for", "20")
    assert [r["text"] for r in rows] == ["you are away"]
    (*_, row) = bob.run("send", "--to", ANNA, "back again")
    node.kill()
    node.start()
    rows = anna.run("listen", "--count", "1", "--for", "20")
    assert [r["text"] for r in rows] == ["back again"]
    states = {r["text"]: r.get("state") for r in anna.run("history")}
    assert states["you are away"] == "delivered"
    quiet = bob.start("listen", "--json", "--for", "1.5")
    out, _ = quiet.communicate(timeout=40)
    assert out == "", "something came twice"


def test_a_new_device_ends_the_old_one_and_takes_over_its_mail(node: Node, tmp_path: Path) -> None:
    """CHAT §1: registering again invalidates the old key at once and keeps the mail waiting."""
    node.register(tmp_path / "anna", ANNA)
    node.register(tmp_path / "bob-old", BOB)
    anna, old = node.client(tmp_path / "anna"), node.client(tmp_path / "bob-old")
    until(old, lambda: old.is_ready)
    until(anna, lambda: anna.is_ready)
    close_client(old)
    entry = anna.send(BOB, "for whoever is bob")
    until(anna, lambda: entry.state == "accepted")
    node.register(tmp_path / "bob-new", BOB)
    new = node.client(tmp_path / "bob-new")
    until(new, lambda: new.is_ready and new.profile.unshown())
    late = node.client(tmp_path / "bob-old")
    for _ in range(200):
        if late.stopped is not None:
            break
        late.step(0.1)
    assert late.stopped is not None
    assert late.stopped.code in ("auth_failed", "replaced", "bad_token")
    until(anna, lambda: entry.state == "delivered")
    for client in (anna, new, late):
        close_client(client)


def test_a_connected_old_device_is_told_why(node: Node, tmp_path: Path) -> None:
    node.register(tmp_path / "old", BOB)
    old = node.client(tmp_path / "old")
    until(old, lambda: old.is_ready)
    node.register(tmp_path / "new", BOB)
    for _ in range(200):
        if old.stopped is not None:
            break
        old.step(0.1)
    assert old.stopped is not None
    assert old.stopped.code == "replaced"
    close_client(old)


def test_a_cut_connection_is_resumed_without_a_login(node: Node, tmp_path: Path) -> None:
    with Traffic(node, tmp_path, 2) as traffic:
        traffic.connect()
        traffic.load(50)
        logins = traffic.logged_in
        for _ in range(5):
            for client in traffic.clients:
                assert client._connection is not None
                client._connection._raw.close() if client._connection._tls is None else client._connection._tls.close()
                client._lost([], "cut by the test")
            traffic.connect()
            traffic.load(50)
        traffic.quiesce()
        traffic.verify()
        assert traffic.logged_in == logins
        assert traffic.resumed >= 10
