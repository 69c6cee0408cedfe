"""The client is killed -9 at random moments: what it promised is kept, what it showed is not shown again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from apps.chat.client.profile import Profile
from tests.support.node import ROOT, Node, close_client, number

pytestmark = [pytest.mark.plain, pytest.mark.slow]

SENDER = """
import sys, pathlib
from apps.chat.client.client import Client
from apps.chat.client.profile import Profile
with Profile(pathlib.Path(sys.argv[1])) as profile:
    client = Client(profile)
    n = len([entry for entry in profile.entries if entry.mine])
    while True:
        if len(profile.outbox) < 10:
            client.send(sys.argv[2], f"message {n}")
            print(n, flush=True)
            n += 1
        client.step(0.005)
"""


def run_for_lines(command: list[str], lines: int) -> list[str]:
    """Start a program, read so many lines, kill -9, and read what was still in the pipe."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        guard = threading.Timer(30, process.kill)
        guard.start()
        seen = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        guard.cancel()
    return [line for line in [*seen, *rest.splitlines(keepends=True)] if line.endswith("\n")]


def test_killed_senders_and_listeners_keep_every_promise(tmp_path: Path) -> None:
    rng = random.Random(5)
    anna, bob = tmp_path / "anna", tmp_path / "bob"
    with Node(tmp_path / "var") as node:
        node.register(anna, number(1))
        node.register(bob, number(2))
        listen = [sys.executable, "-m", "apps.chat.client", "listen", "--json", "--profile", str(bob)]
        promised: list[int] = []
        shown: list[str] = []
        for _ in range(8):
            promised += [
                int(line)
                for line in run_for_lines(
                    [sys.executable, "-c", SENDER, str(anna), number(2)], rng.randrange(15, 60)
                )
            ]
            with Profile(anna, lock=False) as profile:
                accepted = sum(entry.state in ("accepted", "delivered") for entry in profile.entries)
            with Profile(bob, lock=False) as profile:
                waiting = accepted - sum(entry.shown for entry in profile.entries)
            if waiting:
                shown += [json.loads(line)["text"] for line in run_for_lines(listen, rng.randint(1, waiting))]
        sender = node.client(anna)
        while sender.profile.outbox:
            sender.step(0.1)
        close_client(sender)
        assert promised == list(range(len(promised)))
        with Profile(anna, lock=False) as profile:
            sent = [entry.text for entry in profile.entries if entry.mine]
        reader = node.client(bob)
        while len([e for e in reader.profile.entries if not e.mine]) < len(sent):
            reader.step(0.1)
        received = [entry.text for entry in reader.profile.entries]
        left = [entry.text for entry in reader.profile.unshown()]
        close_client(reader)
        assert set(f"message {n}" for n in promised) <= set(sent)
        assert received == sent, "each promise once, in order"
        assert len(set(shown)) == len(shown), "shown twice"
        assert not set(shown) & set(left)
        assert shown == [text for text in sent if text in set(shown)]
