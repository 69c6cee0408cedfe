"""A real node: its alarms, its monitor and its log are there from the first moment, and follow the configuration."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.plain

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[node]
applications = []
[log]
format = "json"
[alarms]
interval = 0.05
hold = 0.1
memory_high = {high}
memory_low = {low}
"""


class Run:
    """A node without applications, its log read line by line."""

    def __init__(self, folder):
        self.config = folder / "node.toml"
        self.configure(high=0.001, low=0.0005)
        command = [sys.executable, "-m", "runtime.node", "--config", str(self.config), "--json-ready"]
        command += ["--set", f"node.data_dir={folder / 'var'}", "--set", "admin.http_port=0"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def configure(self, **values):
        self.config.write_text(CONFIG.format(**values))

    def wait_for(self, text):
        """Read until a record's message has `text`; return that record."""
        for line in self.process.stderr:
            entry = json.loads(line)
            if text in entry["message"]:
                return entry
        raise AssertionError(f"the node ended without saying {text!r}")


@pytest.fixture
def running(tmp_path):
    made = Run(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.communicate()


def test_a_nodes_alarm_is_logged_once_and_its_end_too(running):
    """Memory past a (tiny) limit is an alarm; a reload with another limit ends it; SIGTERM still stops in order."""
    entry = running.wait_for("alarm large_memory: ")
    assert (entry["level"], entry["logger"]) == ("warning", "evergreen.alarms")
    running.configure(high=2.0, low=1.9)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("reloaded; changed: alarms.memory_high, alarms.memory_low")
    assert running.wait_for("large_memory")["message"].startswith("alarm large_memory is over after ")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "large_memory" not in running.process.stderr.read()


def test_the_settings_of_alarms_and_log_are_checked(tmp_path):
    found = subprocess.run(
        [
            sys.executable, "-m", "runtime.node", "--check", "--config", str(ROOT / "etc/node.toml"),
            "--set", "alarms.memory_low=0.9", "--set", "log.sync=300",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode == 2
    for text in ("alarms.memory_low = 0.9 must not be above alarms.memory_high", "log.sync"):
        assert text in found.stderr
