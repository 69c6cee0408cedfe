"""A real node whose code changes while a client talks to it: saved files, broken ones, bad releases, and restarts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.plain]

APPLICATION = """
from runtime import node
from runtime.kernel import whereis
from runtime.net import Line, Listener, ListenerConfig, Protocol, listener
from runtime.otp.application import Application
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

from live import words
from live.counter import Counter


class Door(Protocol):
    framing = Line(1000)

    def frames(self, conn, frames):
        for frame in frames:
            conn.write(words.answer(frame.decode()).encode())


class Live(Application):
    name = "live"

    def start(self, start_type, config):
        door = ListenerConfig(name="door", port=0, protocol="live.app:Door")
        top = Supervisor.start_link_with(SupFlags(intensity=100), [
            ChildSpec("counter", (Counter.start_link, (), {"name": "counter"})),
            ChildSpec("door", (Listener.start_link, (door,), {"name": "door"}), type="supervisor", shutdown=5.0),
        ], name="live_top")
        node.current().announce("door", "127.0.0.1", listener.port(whereis("door")))
        return top
"""

COUNTER = """
from runtime.otp.gen_server import GenServer


class Counter(GenServer):
    def init(self):
        self.n = 0

    def handle_call(self, request, sender):
        self.n += 1
        return self.n
"""

WORDS = """
import os
from runtime.kernel import CallError, call

GREETING = "hello"


def answer(line):
    if line == "count":
        try:
            return str(call("counter", "next"))
        except CallError:
            return "failed"
    if line == "pid":
        return str(os.getpid())
    return f"{GREETING} {line}"
"""


class LiveNode:
    """A node in `directory`, its log, and one connection that must live through everything."""

    def __init__(self, directory, mode, *settings):
        self.directory = directory
        words = [
            f"code.mode={mode}", "code.quiet=0.02", "code.hold=0.2", "code.max_wait=1.0", "code.watch_probation=30",
            "code.probation=30", "admin.http_port=0", *settings,
        ]  # fmt: skip
        command = [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--json-ready"]
        for word in words:
            command += ["--set", word]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.log = []
        self.mark = 0
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.socket = self.lines = None

    def connect(self):
        line = self.process.stdout.readline()
        self.process.poll() is None or self.reader.join(10)
        assert line, "\n".join(self.log)
        self.socket = socket.create_connection(("127.0.0.1", json.loads(line)["door_port"]), 10)
        self.lines = self.socket.makefile("r", newline="\n")

    def _read(self):
        for line in self.process.stderr:
            with self.changed:
                self.log.append(line.rstrip("\n"))
                self.changed.notify_all()

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\n")
        return self.lines.readline().strip()

    def until(self, text, answer, timeout=15.0):
        """Ask until the answer is there."""
        end = time.monotonic() + timeout
        while (said := self.ask(text)) != answer:
            assert time.monotonic() < end, (said, "\n".join(self.log[-30:]))
            time.sleep(0.01)

    def said(self, words, timeout=15.0):
        """Wait for a line of the log, after the one last waited for; return it with those that belong to it."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                for number, line in enumerate(self.log):
                    if number >= self.mark and re.search(words, line):
                        self.mark = number + 1
                        rest = self.log[number + 1 :]
                        more = next(
                            (i for i, other in enumerate(rest) if not other.startswith("    ")), len(rest)
                        )
                        return "\n".join([line, *rest[:more]])
                assert time.monotonic() < end, (words, "\n".join(self.log[-30:]))
                self.changed.wait(0.1)

    def write(self, name, text):
        (self.directory / "live" / name).write_text(text)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.reader.join(10)
        return code

    def close(self):
        if self.socket is not None:
            self.lines.close()
            self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "node.toml").write_text(
        '[node]\napplications = ["live.app:Live"]\n[code]\nroots = ["live"]\n'
    )
    (tmp_path / "live").mkdir()
    for name, text in {"__init__": "", "app": APPLICATION, "counter": COUNTER, "words": WORDS}.items():
        (tmp_path / "live" / f"{name}.py").write_text(text)
    return tmp_path


@contextmanager
def node(directory, mode="watch", *settings):
    running = LiveNode(directory, mode, *settings)
    try:
        running.connect()
        yield running
    finally:
        running.close()


def releases(directory):
    """The release log of a node that has stopped: (number, kind, result)."""
    from runtime.code.release_log import ReleaseLog

    log = ReleaseLog.open(directory / "var" / "code")
    try:
        return [(one.number, one.kind, one.result) for one in log.releases()]
    finally:
        log.close()


def test_a_saved_file_is_live_on_the_same_connection_and_the_state_stays(directory):
    with node(directory) as live:
        pid = live.ask("pid")
        assert live.ask("world") == "hello world"
        assert live.ask("count") == "1"
        live.write(
            "words.py", WORDS.replace('"hello"', '"good day"').replace('f"{GREETING}', 'f"{GREETING},')
        )
        live.until("world", "good day, world")
        line = live.said("is live in")
        assert re.search(r"release [0-9a-f]{12} is live in \d+ ms: live.words: .*GREETING", line), line
        live.write("counter.py", COUNTER.replace("self.n += 1", "self.n += 100"))
        live.said(r"is live in .*live\.counter")
        assert live.ask("count") == "101"
        assert live.ask("pid") == pid
        assert live.stop() == 0
    assert [kind for _, kind, _ in releases(directory)] == ["boot", "watch", "watch"]


def test_a_broken_save_is_reported_with_its_line_and_the_next_good_one_heals(directory):
    with node(directory) as live:
        live.write("words.py", WORDS.replace("def answer(line):", "def answer(line:"))
        report = live.said("not live")
        assert "not live: live/words.py:8: SyntaxError" in report
        assert "    def answer(line:" in report
        assert "^" in report
        assert "nothing changed: release" in report
        assert live.ask("world") == "hello world"
        live.write("words.py", WORDS.replace("hello", "healed"))
        live.until("world", "healed world")
        assert "is live in" in live.said("mended: release")
        live.write("words.py", WORDS.replace("import os", "import os\n1 / 0"))
        assert "ZeroDivisionError" in live.said("not live.*ZeroDivisionError")
        assert live.ask("world") == "healed world"
        assert live.stop() == 0
    assert [result for _, _, result in releases(directory)][:2] == ["good", "refused"]


def test_a_release_that_crashes_rolls_itself_back(directory):
    """The file stays as it was saved; what runs is the code before it, and the log says why.

    Nor does the next save of another file take it along.
    """
    with node(directory, "watch", "code.max_crashes=2") as live:
        assert live.ask("count") == "1"
        live.write("counter.py", COUNTER.replace("self.n += 1", "self.n += 'one'"))
        live.said("is live in")
        assert [live.ask("count") for _ in range(2)] == ["failed", "failed"]
        line = live.said("is rolled back by itself")
        assert "2 crashes in changed code" in line
        assert "live/counter.py" in line
        assert "crashes" not in live.said("was rolled back to")
        assert int(live.ask("count")) >= 1
        live.write("words.py", WORDS.replace('"hello"', '"so"'))
        assert "counter" not in live.said(r"is live in .*live\.words")
        assert "live/counter.py" in live.said(
            "not live: .* was rolled back or replaced by a push; it goes live when"
        )
        assert int(live.ask("count")) >= 1
        live.write("counter.py", COUNTER.replace("self.n += 1", "self.n += 10"))
        live.said(r"is live in .*counter")
        assert -int(live.ask("count")) + int(live.ask("count")) == 10
        assert live.stop() == 0
    assert (2, "watch", "bad") in releases(directory)
    assert (3, "rollback", "good") in releases(directory)


def test_push_mode_starts_from_the_last_good_release_and_not_from_the_tree(directory):
    with node(directory, "push") as live:
        assert live.ask("world") == "hello world"
        live.write("words.py", WORDS.replace("hello", "not pushed"))
        assert live.stop() == 0
    with node(directory, "push") as live:
        assert live.ask("world") == "hello world"
        assert live.stop() == 0
    assert releases(directory) == [(1, "boot", "good")]
    with node(directory, "watch") as live:
        assert live.ask("world") == "not pushed world"
        assert live.stop() == 0


def test_an_interrupted_probation_is_not_booted_again(directory):
    """kill -9 within a probation: the next start in push mode takes the release before it."""
    with node(directory, "watch") as live:
        live.write("words.py", WORDS.replace("hello", "on probation"))
        live.until("world", "on probation world")
        live.said("is live in")
        live.process.kill()
        live.process.wait(10)
    with node(directory, "push") as live:
        assert live.ask("world") == "hello world"
        assert "was in probation when the node ended" in live.said("probation when")
        assert live.stop() == 0


def test_mode_off_changes_nothing(directory):
    with node(directory, "off") as live:
        live.write("words.py", WORDS.replace("hello", "never"))
        live.process.send_signal(signal.SIGHUP)
        live.said("reloaded")
        assert live.ask("world") == "hello world"
        assert live.stop() == 0
    assert not (directory / "var" / "code" / "releases.log").exists()


def test_sighup_takes_over_the_limits_of_probation(directory):
    with node(directory, "watch", "code.max_crashes=50") as live:
        live.write("counter.py", COUNTER.replace("self.n += 1", "self.n += 'one'"))
        live.said("is live in")
        assert [live.ask("count") for _ in range(3)] == ["failed"] * 3
        assert live.stop() == 0
    toml = (directory / "node.toml").read_text()
    (directory / "node.toml").write_text(toml + "max_crashes = 50\n")
    with node(directory, "watch") as live:
        live.write("counter.py", COUNTER.replace("self.n += 1", "self.n += None"))
        live.said("is live in")
        assert [live.ask("count") for _ in range(3)] == ["failed"] * 3
        (directory / "node.toml").write_text(toml + "max_crashes = 2\n")
        live.process.send_signal(signal.SIGHUP)
        live.said("was rolled back to")
        assert live.stop() == 0


def test_the_start_screen_says_how_code_comes(directory):
    command = [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "admin.http_port=0"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}", "NO_COLOR": "1"}
    expected = {
        "watch": "  code         watching live/: save a file and it is live",
        "push": "  code         release ",
        "off": "  code         off: a change takes a restart",
    }
    for mode, row in expected.items():
        process = subprocess.Popen(
            [*command, "--set", f"code.mode={mode}"],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        process.terminate()
        process.communicate(timeout=20)
        assert any(line.startswith(row) for line in lines), (mode, lines)
