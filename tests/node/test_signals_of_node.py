"""SIGTERM drains, SIGHUP reloads, and a data directory has one node."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from apps.chat.client.client import Waiting
from apps.chat.client.events import Ended
from tests.support.node import ROOT, Node
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.slow]


def test_sigterm_tells_clients_to_come_back_and_loses_nothing(tmp_path: Path) -> None:
    """OPERATIONS, Node: stop accepting, tell clients to reconnect, drain, flush, stop in order."""
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 3) as traffic:
        traffic.connect()
        for _ in range(2):
            traffic.log.clear()
            traffic.load(100)
            assert node.process is not None
            node.process.send_signal(signal.SIGTERM)
            traffic.run(lambda: node.process is not None and node.process.poll() is not None, 40)
            assert node.stop() == 0, node.last_words()
            traffic.run(lambda: all(client.fileno() is None for client in traffic.clients))
            ended = [event for event in traffic.log if isinstance(event, Ended)]
            assert len(ended) == 3, traffic.log
            assert {event.code for event in ended} == {"restarting"}
            assert all(event.retry_after is not None and not event.final for event in ended)
            assert any(isinstance(event, Waiting) for event in traffic.log)
            node.start()
            traffic.connect()
            traffic.quiesce()
            traffic.verify()


def test_sighup_keeps_everybody_connected(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 2) as traffic:
        traffic.connect()
        before = [client.connections for client in traffic.clients]
        for _ in range(3):
            traffic.load(20)
            assert node.process is not None
            node.process.send_signal(signal.SIGHUP)
            traffic.load(20)
        traffic.quiesce()
        traffic.verify()
        assert [client.connections for client in traffic.clients] == before
        assert node.process is not None
        assert node.process.poll() is None


def test_a_second_node_on_the_same_directory_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 2) as traffic:
        traffic.connect()
        second = subprocess.run(
            [word.replace(f"port={node.port}", "port=0") for word in node.command()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1, second
        assert str(node.pid) in second.stderr
        traffic.load(20)
        traffic.quiesce()
        traffic.verify()
