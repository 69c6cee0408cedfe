"""Minutes of kill -9: `tools/test -m soak`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.node import ROOT, Node
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.plain, pytest.mark.soak]


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_of_the_node_again_and_again(tmp_path: Path, seed: int) -> None:
    """CHAT §7: kill -9 under full load: no accepted message lost, none twice, in order, ✓✓ to every sender."""
    rng = random.Random(seed)
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 6, seed=seed) as traffic:
        traffic.connect()
        for n in range(30):
            if n % 2:
                traffic.load(rng.randrange(1, 1500), 60)
            else:
                end = time.monotonic() + rng.random()
                traffic.is_sending = True
                traffic.run(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
                traffic.is_sending = False
            node.kill()
            if n % 3 == 0:
                for _ in range(5):
                    traffic.turn()
            node.start()
            if n % 5 == 4:
                # Killed again while it is still working off what the first kill left.
                traffic.connect()
                node.kill()
                node.start()
            traffic.connect()
            traffic.quiesce(60)
            traffic.verify()
        assert node.starts >= 31


def test_kill_9_of_the_stores_writer_again_and_again(tmp_path: Path) -> None:
    """The writer alone dies, also while it comes up; the node stays, and so does what was accepted."""
    rng = random.Random(3)
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 6) as traffic:
        traffic.connect()
        for n in range(30):
            traffic.load(rng.randrange(1, 400), 60)
            for pid in node.children():
                os.kill(pid, signal.SIGKILL)
            if n % 4 == 3:
                traffic.run(node.children)
                traffic.load(rng.randrange(1, 5), 60)
                for pid in node.children():
                    os.kill(pid, signal.SIGKILL)
            traffic.load(20, 60)
            traffic.quiesce(60)
            traffic.verify()
        assert node.starts == 1
        assert node.process is not None
        assert node.process.poll() is None


def test_kill_9_while_a_backlog_is_stored_and_drained(tmp_path: Path) -> None:
    """Offline mail survives kills while it is stored, and while it is handed out."""
    rng = random.Random(4)
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 3) as traffic:
        traffic.window = 100
        for _ in range(4):
            traffic.connect()
            traffic.leave(2)
            for _ in range(3):
                traffic.load(rng.randrange(200, 1000), 60)
                node.kill()
                node.start()
                traffic.connect()
            traffic.come_back(2)
            for _ in range(4):
                seen = sum(map(len, traffic.shown.values()))
                goal = seen + rng.randrange(1, 300)
                traffic.connect()
                traffic.run(
                    lambda goal=goal: sum(map(len, traffic.shown.values())) >= goal or traffic.is_quiet()
                )  # type: ignore[misc]
                node.kill()
                node.start()
            traffic.quiesce(60)
            traffic.verify()


def test_kill_9_while_the_load_generator_runs_at_full_speed(tmp_path: Path) -> None:
    """Large groups of commits are in flight when the node dies; the people among them must not notice."""
    rng = random.Random(6)
    accounts = str(tmp_path / "accounts.json")
    with Node(tmp_path / "var") as node, Traffic(node, tmp_path, 4) as traffic:

        def load(mode: str, *arguments: str) -> list[str]:
            command = [sys.executable, "-m", "apps.chat.client.load", mode, "--json"]
            return [*command, "--accounts", accounts, "--port", str(node.port), *arguments]

        subprocess.run(load("register", "--count", "100", "--pins", str(node.out_file)), check=True, cwd=ROOT)
        for _ in range(15):
            traffic.connect()
            noise = subprocess.Popen(
                load("chat", "--pairs", "50", "--window", "20", "--seconds", "60", "--receipts"),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                traffic.load(rng.randrange(300, 800), 60)
                node.kill()
            finally:
                noise.kill()
                noise.wait()
            node.start()
            traffic.connect()
            traffic.quiesce(60)
            traffic.verify()
