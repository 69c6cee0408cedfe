"""The three minutes of the page on live code, on a copy of the tree: its edits are made, and the node says what it shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from tests.docs import listings
from tests.support.node import Node, number

pytestmark = [pytest.mark.plain, pytest.mark.slow]
ANNA, BEN = number(1), number(2)


def until(condition):
    """Wait for what another process writes; nothing tells of it."""
    end = time.monotonic() + 30.0
    while not (value := condition()):
        assert time.monotonic() < end, "not within 30 s"
        time.sleep(0.02)
    return value


class Tour:
    """Goes through the page from the top: `edit` and `log` take the next block of their kind."""

    def __init__(self, directory, node):
        text = (listings.DOCS / "live-code.md").read_text()
        text = text.partition("## Three minutes")[2].partition("\n## ")[0]
        found = listings.blocks(text)
        self.edits = [block for block in found if block.language == "diff"]
        self.logs = [block for block in found if block.language == "log"]
        self.file = directory / "apps/chat/native/dialogue.py"
        self.directory, self.node = directory, node
        self.seen = 0

    def edit(self):
        """Do what the next diff says, as an editor does: a new file in the old one's place."""
        lines = self.edits.pop(0).text.splitlines()
        (old,), (new,) = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
        text = self.file.read_text()
        assert text.count(f"{old}\n") == 1, old
        written = self.file.with_suffix(".new")
        written.write_text(text.replace(f"{old}\n", f"{new}\n"))
        written.replace(self.file)

    def log(self):
        """Wait until the node's log has gone on as the next block shows; other lines may stand in between."""
        for expected in re.split(r"\n(?=\.\.\. )", self.logs.pop(0).text.rstrip()):
            pattern = re.compile(".*?".join(map(re.escape, expected.split("..."))))
            match = until(lambda pattern=pattern: pattern.search(self.node.log_file.read_text(), self.seen))
            self.seen = match.end()

    def run(self, module, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=self.directory, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + self.node.last_words()
        return done.stdout

    def push(self, *arguments):
        return self.run(
            "runtime.admin.push_command", *arguments, "--socket", str(self.node.directory / "admin.sock")
        )

    def send(self, text):
        self.run("apps.chat.client", *self.profile("anna"), "send", "--to", BEN, text, "--wait", "delivered")

    def profile(self, name):
        return (
            "--profile", str(self.directory / name), "--server", f"127.0.0.1:{self.node.port}", "--ca", str(self.node.ca),
        )  # fmt: skip


class Listener:
    """Ben, who listens all the time."""

    def __init__(self, tour):
        self.said = []
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "apps.chat.client", *tour.profile("ben"), "listen"],
            cwd=tour.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def reads(self, text):
        until(lambda: any(line.endswith(f": {text}\n") for line in self.said))

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.reader.join()
        self.process.stdout.close()


@pytest.fixture
def tour(tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("apps", "runtime", "etc"):
        shutil.copytree(listings.ROOT / folder, tmp_path / folder, ignore=ignore)
    with Node(tmp_path / "var", "code.mode=watch", cwd=tmp_path) as node:
        yield Tour(tmp_path, node)


def register(tour, phone, name):
    mark = len(tour.node.lines)
    with subprocess.Popen(
        [sys.executable, "-m", "apps.chat.client", *tour.profile(name), "register", phone],
        cwd=tour.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.communicate(tour.node.pin_for(phone, mark, 20.0) + "\n", timeout=40)
    assert process.returncode == 0


def test_the_tour(tour):
    register(tour, ANNA, "anna")
    register(tour, BEN, "ben")
    ben = Listener(tour)
    try:
        tour.send("hello ben")
        ben.reads("hello ben")
        tour.edit()  # capitals
        tour.log()
        tour.send("how are you?")
        ben.reads("HOW ARE YOU?")
        tour.push("--confirm")  # whoever reads the page is slower than the ten seconds of its probation
        tour.edit()  # no parenthesis
        tour.log()
        tour.send("still there?")
        ben.reads("STILL THERE?")
        tour.edit()  # as it runs
        tour.log()
        tour.edit()  # fails when somebody writes
        tour.log()
        tour.send("is this lost?")
        tour.log()
        ben.reads("IS THIS LOST?")
        listed = tour.push("--list")
        rows = [line.replace(" * ", " ").split() for line in listed.splitlines()]
        assert [row[5] for row in rows][2:] == ["refused", "bad", "good"]
        tour.push("--rollback", "#1")
        tour.log()
        tour.send("good night")
        ben.reads("good night")
    finally:
        ben.close()
    assert (tour.edits, tour.logs) == ([], [])
    said = [line for line in ben.said if line.strip()]
    assert len(said) == 5, said  # nothing twice, and no word of a lost connection
