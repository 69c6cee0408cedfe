"""The load generator against a real node: its own account of what it sent must be clean."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]


class Load:
    """Runs `python -m apps.chat.client.load …` on one node and one accounts file."""

    def __init__(self, node: Node, directory: Path) -> None:
        self.node = node
        self.accounts = directory / "accounts.json"

    def run(self, mode: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "apps.chat.client.load",
                mode,
                "--json",
                "--port",
                str(self.node.port),
                "--accounts",
                str(self.accounts),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, (done.stderr, self.node.last_words())
        result: dict[str, Any] = json.loads(done.stdout)
        assert "failures" not in result, result
        return result


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    directory = tmp_path_factory.mktemp("load")
    with Node(directory / "var") as node:
        made = Load(node, directory)
        result = made.run("register", "--count", "24", "--pins", str(node.out_file))
        assert result["made"] == 24
        yield made


@pytest.mark.parametrize("arguments", [[], ["--receipts"], ["--receipts", "--rate", "200"]])
def test_pairs_lose_and_repeat_nothing(load: Load, arguments: list[str]) -> None:
    result = load.run(
        "chat",
        "--pairs",
        "12",
        "--seconds",
        "0.5",
        "--warmup",
        "0.2",
        "--pid",
        str(load.node.pid),
        *arguments,
    )
    assert (result["lost"], result["repeated"], result["refused"], result["unanswered"]) == (0, 0, 0, 0)
    assert result["messages_per_second"] > 0
    assert result["server_cpu_us_per_message"] > 0
    if "--rate" in arguments:
        assert result["receipt_latency_ms"]["p99"] > 0


def test_offline_messages_are_stored_and_drained_in_order(load: Load) -> None:
    result = load.run("offline", "--pairs", "4", "--messages", "2000")
    assert (result["lost"], result["repeated"], result["refused"]) == (0, 0, 0)
    assert result["drained_per_second"] > 0


def test_idle_connections_stay_and_logins_are_counted(load: Load) -> None:
    result = load.run("idle", "--count", "20", "--hold", "0.2", "--pid", str(load.node.pid))
    assert (result["connections"], result["dropped"]) == (20, 0)
    result = load.run("login", "--count", "60", "--concurrency", "10")
    assert (result["logins"], result["failed"]) == (60, 0)
