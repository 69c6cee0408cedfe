"""Each process of the chat's tree is killed under load: connections stay, and nobody notices but the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.chat.native.frames import AskPin, Error, PinSent
from runtime.admin.client import Client
from tests.support.node import Node, number
from tests.support.raw import Raw
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.slow]

HARMLESS = (
    "chat_registrar", "chat_load", "chat_sweeper", "chat_services", "chat_homes", "chat_shards", "chat_users", "native",
)  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("tree")
    both = "node.applications=apps.chat.application:Chat,tests.support.killer:Killer"
    with Node(folder / "var", "cluster.shards=4", both) as one:
        one.stop()
        one.start()  # with its port as a setting, as in the world: a listener that starts anew has the same one
        yield one


@pytest.fixture(scope="module")
def traffic(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    with Traffic(node, tmp_path_factory.mktemp("people"), 4) as people:
        people.connect()
        yield people


def kill(node: Node, name: str) -> None:
    """End a process by its name, and wait until it has a successor that answers."""
    with Client.connect(node.directory / "admin.sock") as client:
        client.ask("end", {"name": name})
        client.ask("replaced", {"name": name})


def logins(traffic: Traffic) -> int:
    return traffic.resumed + traffic.logged_in


@pytest.mark.parametrize("name", HARMLESS)
def test_a_killed_child_takes_no_connection_and_no_message_along(
    node: Node, traffic: Traffic, name: str
) -> None:
    """Head of apps/chat/supervision.py: who falls takes along what cannot live without it, and nothing else."""
    before = logins(traffic)
    traffic.load(100)  # leaves with messages under way
    kill(node, name)
    traffic.load(100)
    traffic.quiesce()
    traffic.verify()
    assert logins(traffic) == before, f"{name} took connections along\n{node.last_words()}"


def test_the_owner_of_the_connections_takes_them_along_and_no_message(node: Node, traffic: Traffic) -> None:
    before = logins(traffic)
    traffic.load(100)
    kill(node, "native.connections")
    traffic.connect()
    traffic.load(100)
    traffic.quiesce()
    traffic.verify()
    assert logins(traffic) > before


def test_while_the_registrar_is_away_registration_says_when_to_come_back(node: Node) -> None:
    """CHAT §1: `unavailable` is retryable. The supervisor is held, so that the registrar stays away."""
    with Client.connect(node.directory / "admin.sock") as client, Raw(node.port) as raw:
        raw.greet()
        client.ask("suspend", {"who": "chat_services"})
        client.ask("end", {"name": "chat_registrar"})
        raw.send(AskPin(1, number(99)))
        refused = raw.receive()
        assert isinstance(refused, Error)
        assert (refused.ref, refused.code, refused.retry) == (1, "unavailable", True)
        assert refused.retry_after
        client.ask("resume", {"who": "chat_services"})
        client.ask("replaced", {"name": "chat_registrar"})
        raw.send(AskPin(2, number(99)))
        assert isinstance(raw.receive(), PinSent)


def test_nothing_of_it_was_more_than_the_crash_itself(node: Node) -> None:
    """The node is the one that was started, and no clean-up of a killed process failed."""
    assert node.starts == 2
    log = node.log_file.read_text()
    assert "has no attribute" not in log
