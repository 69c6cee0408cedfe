"""A node is made sick in many ways: each time an alarm names the culprit, in the log, in the list and by webhook, and is over
when the node is well again.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.admin.client import Client
from runtime.observe import probes
from runtime.observe.crash_dump import Dump

pytestmark = [pytest.mark.slow, pytest.mark.plain]
ROOT = Path(__file__).resolve().parents[2]
WITHIN = 10.0
"""Seconds for an alarm to come and to go: the node looks every 0.1 s, at blocked processes every second."""
MANY_FILES = 400

CONFIG = """
[node]
applications = ["tests.support.sickness:Sick"]
data_dir = "{folder}/var"
[runtime]
mailbox_high = 200
mailbox_low = 20
hog_kill = 0
[alarms]
interval = 0.1
hold = 0.2
event_for = 1.0
lag_high = 0.3
lag_low = 0.2
run_queue_high = 1000
run_queue_low = 500
memory_high = {memory_high}
memory_low = {memory_low}
disk_interval = 0.1
disk_high = {disk_high}
disk_low = {disk_low}
store_stalled = 0.5
latency_high = 0.4
latency_low = 0.2
threads_high = 30
threads_low = 5
restarts = 5
restarts_within = 2.0
webhook = "{webhook}"
[store]
map_initial = 4_194_304
max_size = 33_554_432
reserve = 1_048_576
[code]
mode = "off"
[admin]
http_port = -1
"""

SICK = {
    # what is done: the alarm's id, and what its description names
    "mailbox": ("long_message_queue <slow@", ["Slow.handle_info", "<talker@"]),
    "hog": ("long_schedule", ["sickness.burning"]),
    "hog again": ("loop_lag", ["everybody waited"]),
    "descriptors": ("descriptors", ["of 400 file descriptors"]),
    "disk": ("disk", ["of the disk are in use"]),
    "memory": ("large_memory", ["MiB of"]),
    "certificate": ("certificate", ["short.pem", "hours"]),
    "crash_loop": ("crash_loop sick_boss weak", ["LookupError: weak knees"]),
    "writer": ("store_stalled", ["none has been answered"]),
    "slow_commits": ("store_slow", ["a commit takes"]),
    "store_full": ("store_full", ["store"]),
    "flood": ("net door max_connections", ["5"]),
    "deaf_peer": ("busy_connections", ["read more slowly"]),
    "zombie": ("zombies", ["does not let go"]),
    "threads": ("threads", ["jobs wait for a thread"]),
    "run_queue": ("run_queue", ["processes wait for their turn"]),
}


class Hook:
    """A web server that keeps what it is sent. The first attempt of all is refused, to be made again."""

    def __init__(self):
        self.got = queue.Queue()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refused = not hook.attempts
                hook.attempts += 1
                if not refused:
                    hook.got.put(body)
                self.send_response(503 if refused else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.attempts = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/alarms"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def wait_for(self, event, id_):
        while True:
            body = self.got.get(timeout=WITHIN)
            if body["event"] == event and body["id"].startswith(id_):
                return body


class Patient:
    """The node, and a client of its control socket."""

    def __init__(self, folder, hook):
        self.hook = hook
        limit = probes.memory().limit
        usage = shutil.disk_usage(folder)
        share = probes.disk_share(str(folder))
        self.config = folder / "node.toml"
        self.config.write_text(
            CONFIG.format(
                folder=folder, webhook=hook.url, memory_high=220 * 2**20 / limit, memory_low=160 * 2**20 / limit,
                disk_high=share + 64 * 2**20 / usage.total, disk_low=share + 48 * 2**20 / usage.total,
            )
        )  # fmt: skip
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime.node", "--config", str(self.config), "--json-ready"],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (MANY_FILES, MANY_FILES)),
            )  # fmt: skip
        if not self.process.stdout.readline():
            self.process.communicate()
            raise AssertionError(self.log.read_text())
        self.data_dir = folder / "var"

    def ask(self, operation, **arguments):
        with Client.connect(self.data_dir / "admin.sock") as client:
            return client.ask(operation, arguments)

    def wait_for_log(self, words):
        """The log is written by a process of its own, a moment later."""
        end = time.monotonic() + WITHIN
        while words not in self.log.read_text():
            assert time.monotonic() < end, f"not in the log: {words}"
            time.sleep(0.02)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def hook():
    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="module")
def patient(hook):
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < 512 * 2**20:
        pytest.skip("needs a file system of its own with some space: /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        made = Patient(Path(folder), hook)
        yield made
        made.close()


@pytest.mark.parametrize("what", SICK)
def test_the_alarm_names_the_culprit_and_is_over_when_the_node_is_well(patient, what):
    id_, named = SICK[what]
    what = what.removesuffix(" again")
    patient.ask("sick", what=what)
    try:
        alarm = patient.ask("comes", id=id_, within=WITHIN)
        for words in named:
            assert words in alarm["description"] or words in alarm["id"], alarm
        raised = patient.hook.wait_for("raised", id_)
        assert (raised["id"], raised["level"], raised["name"]) == (alarm["id"], alarm["level"], alarm["name"])
    finally:
        patient.ask("heal", what=what)
    patient.ask("goes", id=id_, within=WITHIN)
    assert patient.hook.wait_for("cleared", id_)["id"] == alarm["id"]
    if id_ not in (
        "net door max_connections",
        "long_schedule",
    ):  # listener and watchdog have said so themselves
        patient.wait_for_log(f"alarm {alarm['id']}: ")
        patient.wait_for_log(f"alarm {alarm['id']} is over after ")


def test_a_fatal_end_leaves_a_dump_of_all_that_could_be_seen(tmp_path, hook):
    sick = Patient(tmp_path, hook)
    try:
        sick.ask("sick", what="crash_loop")
        sick.ask("comes", id="crash_loop", within=WITHIN)
        sick.ask("sick_end", name="sick_top")
        assert sick.process.wait(30) == 1
        said = sick.log.read_text()
        (path,) = (sick.data_dir / "crash").glob("*.dump")
        assert f"crash dump: {path}" in said
        assert path.stat().st_mode & 0o777 == 0o600
        dump = Dump.open(path)
        assert "application sick did" in dump.reason
        assert "crash_loop" in [alarm.name for alarm in dump.alarms()]
        assert dump.process("sysmon").row.type == "server"
        assert "node_services" in [node.id for node in dump.tree()]
        assert any("MainThread" in one["who"] for one in dump.stacks)
        assert dump.store_info()["nshards"] == 64
    finally:
        sick.close()
