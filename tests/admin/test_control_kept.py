"""The way in comes back whatever of it is ended; and while it is away, the node says so."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.admin.client import Client, NotConnected, OperationFailed
from tests.admin.http_client import Web
from tests.support.node import Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("kept") / "var", "log.level=info") as made:
        yield made


def number_of(node: Node, name: str) -> int:
    """The process of that name, as seen over the dashboard; 0 while nobody gets in."""
    try:
        answer = Web(node.ready["http_port"], node.directory).ask(f"/api/look/process?pid={name}")
    except (OSError, http.client.HTTPException):
        return 0
    return int(json.loads(answer.body)["row"]["number"]) if answer.status == 200 else 0


def ask(node: Node, operation: str, **arguments: object) -> object:
    with Client.connect(node.directory / "admin.sock") as client:
        return client.ask(operation, arguments, timeout=10.0)


def is_asked(node: Node) -> bool:
    try:
        return bool(ask(node, "operations"))
    except (NotConnected, OperationFailed):
        return False


@pytest.mark.parametrize(
    "name",
    ["admin_listeners", "admin", "shells", "dashboard", "dashboard_history", "admin_keeper", "admin.connections"],
)  # fmt: skip
def test_each_part_of_the_way_in_comes_back_when_it_is_killed(node: Node, name: str) -> None:
    node.wait(lambda: is_asked(node) and number_of(node, name) > 0, 30.0)
    before = number_of(node, name)
    with contextlib.suppress(NotConnected, OperationFailed):  # it may end the connection that it came over
        ask(node, "kill", who=name, sure=True)
    node.wait(lambda: number_of(node, name) not in (0, before), 30.0)
    node.wait(lambda: is_asked(node), 30.0)
    web = Web(node.ready["http_port"], node.directory)
    assert web.ask("/readyz").status == 200
    node.wait(lambda: "control" not in [one["id"] for one in web.look("alarms")["alarms"]], 10.0)


def test_the_end_of_all_of_it_is_an_alarm_and_does_not_stay(node: Node) -> None:
    said = node.log_file.read_text()
    if "alarm control: nobody gets in" not in said:
        with contextlib.suppress(NotConnected, OperationFailed):
            ask(node, "kill", who="admin", sure=True)
    node.wait(lambda: "alarm control: nobody gets in" in node.log_file.read_text(), 30.0)
    node.wait(lambda: "alarm control is over" in node.log_file.read_text(), 30.0)


def test_a_dashboard_whose_port_was_taken_meanwhile_comes_back_without_taking_the_socket_along(
    node: Node,
) -> None:
    """Another program was quicker than the restart: the node goes on, says so, and waits."""
    node.wait(lambda: is_asked(node) and number_of(node, "admin") > 0, 30.0)
    port = node.ready["http_port"]
    mark = len(node.log_file.read_text())
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(NotConnected, OperationFailed):
            ask(node, "kill", who="admin", sure=True)
        for _ in range(100_000):
            try:
                thief.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
        thief.listen()
        node.wait(lambda: f"{port} (the dashboard) is taken" in node.log_file.read_text()[mark:], 30.0)
        node.wait(lambda: is_asked(node), 30.0)
    node.wait(lambda: number_of(node, "dashboard") > 0, 30.0)


def test_a_way_in_that_cannot_be_had_is_tried_until_it_can(node: Node) -> None:
    """A directory lies where the socket should be."""
    node.wait(lambda: is_asked(node) and number_of(node, "admin") > 0, 30.0)
    path = node.directory / "admin.sock"
    mark = len(node.log_file.read_text())
    with Client.connect(path) as client:
        path.unlink()
        path.mkdir()
        with contextlib.suppress(NotConnected, OperationFailed):
            client.ask("kill", {"who": "admin", "sure": True}, timeout=10.0)
    node.wait(lambda: "started again in" in node.log_file.read_text()[mark:], 30.0)
    path.rmdir()
    node.wait(lambda: is_asked(node), 60.0)


def test_a_node_with_a_way_in_that_was_ended_stops_in_order(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as made:
        with contextlib.suppress(NotConnected, OperationFailed):
            ask(made, "kill", who="admin", sure=True)
        assert made.stop() == 0


def test_the_usual_port_of_the_dashboard_that_is_taken_does_not_keep_a_node_from_starting(
    tmp_path: Path,
) -> None:
    class Usual(Node):
        def command(self) -> list[str]:
            words = super().command()
            at = words.index("admin.http_port=0")
            return words[: at - 1] + words[at + 1 :]

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # whoever has it, it is taken
            other.bind(("127.0.0.1", 7290))
            other.listen()
        with Usual(tmp_path / "var") as made:
            assert made.ready["http_port"] != 7290
            assert "7290, the dashboard's usual port, is taken" in made.log_file.read_text()
            assert Web(made.ready["http_port"], made.directory).ask("/readyz").status == 200
