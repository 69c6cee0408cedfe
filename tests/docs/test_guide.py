"""Every listing of the guide is a file of docs/examples, every command in it runs, and prints what the page shows."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.docs import listings

pytestmark = pytest.mark.plain
ROOT, DOCS, EXAMPLES = listings.ROOT, listings.DOCS, listings.EXAMPLES
PAGES = sorted((DOCS / "guide").glob("*.md"))
PORT = "7333"
"""The port that the pages use; a test takes a free one in its place."""


class Guide:
    """A working directory with the example files, and the program that a page leaves running."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(EXAMPLES, directory, ignore=shutil.ignore_patterns("__pycache__", "var", ".*"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = str(probe.getsockname()[1])
        for file in directory.iterdir():
            file.write_text(file.read_text().replace(PORT, self.port))
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1", "COLUMNS": "80",
        }  # fmt: skip
        self.running: Running | None = None

    def run(self, step):
        command, expected = step.command, step.output.replace(PORT, self.port)
        if "^C\n" in expected:
            self.running = Running(self, command, *expected.split("^C\n"))
            return
        done = subprocess.run(
            ["/bin/sh", "-c", self._ours(command)], cwd=self.directory, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
        )  # fmt: skip
        assert listings.shows(expected, done.stdout), (
            f"$ {command}\nprinted\n{done.stdout}\nand not\n{expected}"
        )

    def close(self):
        if self.running is not None:
            self.running.interrupt()

    def _ours(self, command):
        words = command.split(" ")
        assert words[0] == "python", f"{command!r}: the guide's commands are python's"
        return " ".join([sys.executable, *words[1:]])


class Running:
    """A program that runs on while the rest of the page is read, until ^C.

    Its log and its standard output are written by two threads: here the order of lines does not count.
    """

    def __init__(self, guide, command, before, after):
        self.before, self.after = before, after
        self.printed = ""
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", "exec " + guide._ours(command)], cwd=guide.directory, env=guide.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        with self.changed:
            is_up = self.changed.wait_for(lambda: listings.same_lines(before, self.printed), 30)
        if not is_up:
            self._end(signal.SIGKILL)
            raise AssertionError(f"$ {command}\nprinted\n{self.printed}\nand not\n{before}")

    def interrupt(self):
        self._end(signal.SIGINT)
        assert listings.same_lines(self.before + self.after, self.printed), (
            f"in all it printed\n{self.printed}"
        )

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.printed += line
                self.changed.notify_all()

    def _end(self, number):
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait(30)
            self.reader.join(10)
            self.process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_shows(page, tmp_path):
    guide = Guide(tmp_path / "examples")
    found = [
        step
        for block in listings.blocks(page.read_text())
        if block.language == "console"
        for step in listings.steps(block)
    ]
    assert found, "a page of the guide runs something"
    try:
        for step in found:
            guide.run(step)
    finally:
        guide.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_listings_of_a_page_are_the_example_files(page):
    for block in listings.blocks(page.read_text()):
        if block.language in {"python", "toml"}:
            assert block.file, f"{page.name}:{block.line}: a listing begins with `# file name`"
            assert block.text == (EXAMPLES / block.file).read_text(), (
                f"{page.name}:{block.line}: {block.file} differs"
            )


def test_every_example_is_shown_and_run():
    shown, run = set(), set()
    for page in PAGES:
        for block in listings.blocks(page.read_text()):
            shown.add(block.file)
            if block.language == "console":
                words = {word for step in listings.steps(block) for word in step.command.split()}
                run |= {word for word in words if (EXAMPLES / word).is_file()}
                if "pytest" in words:
                    run.add("conftest.py")
    todo = list(run)
    while todo:
        mentioned = _mentioned(EXAMPLES / todo.pop())
        used = {name + suffix for name in mentioned for suffix in (".py", ".toml")}
        used = {name for name in used if (EXAMPLES / name).is_file()} - run
        run |= used
        todo += used
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()}
    assert files - shown == set(), "examples that no page shows"
    assert files - run == set(), "examples that no command of the guide runs"


def _mentioned(file):
    """Modules and settings that a file imports or names in a string ("words:WordsApplication", "words.toml")."""
    text = file.read_text()
    if file.suffix == ".toml":
        return {part.partition(":")[0] for part in text.split('"') if ":" in part}
    nodes = list(ast.walk(ast.parse(text)))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return names | {value.removesuffix(".toml") for value in strings if value.endswith(".toml")}
