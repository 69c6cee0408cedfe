"""A node whose descriptors a piece of its code has used up: it knows, it lives, and it lets the operator in."""

from __future__ import annotations

import resource
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]
MOST = 256
LEAK = """
kept = []
def leak():
    while True:
        try:
            kept.append(open("/dev/null"))
        except OSError:
            sleep(0.05)

leaker = spawn(leak)
"""
END = """
from runtime import kernel
def end():
    for name in ("admin", "observers"):
        sleep(1)
        kernel.exit(kernel.whereis(name), "kill")

ender = spawn(end)
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "var", "cluster.shards=4", "alarms.interval=0.1", "alarms.hold=0.2") as started:
        resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (MOST, MOST))
        yield started
        started.kill()


def shell(node: Node, text: str) -> str:
    command = [ROOT / "tools" / "shell", "--socket", node.directory / "admin.sock"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + node.last_words()
    return done.stdout


def alarm_descriptors(node: Node) -> None:
    node.wait(lambda: "alarm descriptors: " in node.log_file.read_text())


def test_what_looks_at_the_node_goes_on_and_says_what_the_descriptors_are(node: Node) -> None:
    shell(node, LEAK)
    alarm_descriptors(node)
    node.wait(lambda: "most of them /dev/null" in node.log_file.read_text())
    said = node.log_file.read_text()
    assert "/proc/self/statm" not in said
    assert "reached_max_restart_intensity" not in said


def test_a_node_whose_service_ends_ends_too(node: Node) -> None:
    """What is started again meanwhile finds out that there is no descriptor: it waits for no thread for that."""
    shell(node, LEAK + END)
    assert node.process is not None
    assert node.process.wait(20) == 1, node.last_words()
    assert "the node ends, because" in node.log_file.read_text()


def test_an_operator_gets_in_again_and_again(node: Node) -> None:
    shell(node, LEAK)
    alarm_descriptors(node)
    node.wait(lambda: len(list(Path(f"/proc/{node.pid}/fd").iterdir())) >= MOST)
    health = f"http://127.0.0.1:{node.ready['http_port']}/healthz"
    for _ in range(3):
        assert shell(node, "6 * 7").strip().endswith("42")
        with urllib.request.urlopen(health, timeout=10) as answer:
            assert answer.read()
