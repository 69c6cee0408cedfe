"""A real node as a child process: boot, refusals in one sentence, signals, orderly stop."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.observe.crash_dump import Dump

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.plain]

SAMPLE = """
import os, socket, sys
from runtime import node
from runtime.config import Key
from runtime.kernel import send, self_, sleep, spawn_link, trap_exit
from runtime.otp.application import Application
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor
from runtime.store import Put

def tell(*words):
    os.write(2, (" ".join(map(str, words)) + "\\n").encode())

def weak():
    sleep(0.05)
    raise LookupError("weak")

class Sample(Application):
    name = "sample"
    schema = (Key("sample.port", int, 0, min=0, max=65535), Key("sample.mode", str, ""), Key("sample.note", str, ""))
    config_file = "sample.toml"
    hints = (("tools/sample", "see what it does"),)

    def start(self, start_type, config):
        here = node.current()
        self.socket = socket.create_server(("127.0.0.1", config.integer("sample.port")))
        here.announce("sample", *self.socket.getsockname(), "nothing at all")
        here.store.open_shard(0, "sample").commit([Put("note", b"k", b"v")])
        mode = config.text("sample.mode")
        if mode == "crash":
            raise LookupError("on purpose")
        if mode == "hang":
            tell("hanging")
            sleep(1000000)
        specs = [ChildSpec("weak", (spawn_link, (weak,)))] if mode == "exhausted" else []
        top = Supervisor.start_link_with(SupFlags(intensity=0), specs, name="sample_top")
        if mode == "hog":
            spawn_link(lambda: [None for _ in iter(int, 1)])
        return top, here

    def prep_stop(self, state):
        tell("sample: prep_stop")
        return state

    def stop(self, state):
        tell("sample: stop")

    def config_change(self, changed, new, removed):
        tell("sample: changed", changed)
"""


class NodeProcess:
    def __init__(self, directory, *arguments):
        self.directory = directory
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runtime.node", "--config", "node.toml", *arguments],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=10)[1]
        return json.loads(line)

    def wait_for(self, words):
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"never said {words!r}")

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, timeout=20):
        """Return (exit code, standard output, standard error) of a node that ends by itself."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "node.toml").write_text(
        '[node]\napplications = ["sample_app:Sample"]\n[admin]\nhttp_port = 0\n'
    )
    (tmp_path / "sample_app.py").write_text(SAMPLE)
    return tmp_path


@contextmanager
def node(directory, *arguments):
    running = NodeProcess(directory, *arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def refusal(directory, *arguments, code=1):
    with node(directory, *arguments) as refused:
        status, out, err = refused.end()
    assert status == code, err
    assert out == ""
    assert "Traceback" not in err
    return err


def test_boot_ready_line_identity_modes_and_orderly_stop(directory):
    with node(directory, "--json-ready") as first:
        ready = first.ready()
        assert ready["ready"] is True
        assert ready["pid"] == first.process.pid
        assert Path(ready["ca"]) == directory / "var" / "certificates" / "ca.pem"
        with socket.create_connection(("127.0.0.1", ready["sample_port"]), 5):
            pass
        # A second node on the same directory.
        err = refusal(directory)
        assert f"in use by another node (pid {first.process.pid})" in err
        first.signal(signal.SIGTERM)
        status, out, err = first.end()
    assert status == 0
    assert out == ""
    assert err.index("sample: prep_stop") < err.index("sample: stop") < err.index("stopped")
    var = directory / "var"
    assert json.loads((var / "node.json").read_text())["creation"] == 1
    for path in [var, *(p for p in var.rglob("*") if p.is_dir())]:
        assert path.stat().st_mode & 0o077 == 0, path
    # The next life, with the screen for people.
    with node(directory) as second:
        lines = [second.process.stdout.readline() for _ in range(10)]
        text = "".join(lines)
        assert "Evergreen is running" in text
        assert "life 2" in text
        assert "nothing at all" in text
        assert "tools/sample" in text
        second.signal(signal.SIGINT)
        assert second.end()[0] == 0


def test_kill_minus_nine_leaves_a_directory_that_starts_again(directory):
    with node(directory, "--json-ready") as first:
        first.ready()
        first.signal(signal.SIGKILL)
        first.process.wait(10)
    with node(directory, "--json-ready") as second:
        second.ready()
        second.signal(signal.SIGTERM)
        assert second.end()[0] == 0
    assert json.loads((directory / "var" / "node.json").read_text())["creation"] == 2


def test_every_configuration_error_at_once_and_nothing_made(directory):
    (directory / "sample.toml").write_text("[sample]\nprt = 1\n")
    err = refusal(directory, "--set", "node.stop_timeou=1", "--set", "sample.port=70000", code=2)
    assert "the configuration has 3 errors:" in err
    assert "sample.toml: unknown key sample.prt; did you mean sample.port?" in err
    assert "unknown key node.stop_timeou; did you mean node.stop_timeout?" in err
    assert "sample.port = 70000 is not allowed; wanted: a whole number from 0 to 65535" in err
    assert not (directory / "var").exists()


def test_check_says_valid_and_makes_nothing(directory):
    with node(directory, "--check") as checked:
        status, out, _ = checked.end()
    assert status == 0
    assert "node.toml: the configuration is valid" in out
    assert not (directory / "var").exists()


def test_port_taken_is_one_sentence_with_the_port(directory):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        err = refusal(directory, "--set", f"sample.port={port}")
    assert "cannot start: application sample: " in err
    assert str(port) in err
    assert "taken by another program" in err


def test_wrong_certificate_is_named(directory):
    (directory / "my.pem").write_text("no")
    err = refusal(directory, "--set", "node.tls_certificate=my.pem", "--set", "node.tls_key=my.key")
    assert "cannot start: my.pem: holds no PEM certificate" in err


def test_other_number_of_shards_is_refused(directory):
    with node(directory, "--json-ready") as first:
        first.ready()
        first.signal(signal.SIGTERM)
        assert first.end()[0] == 0
    err = refusal(directory, "--set", "cluster.shards=3")
    assert "cluster.shards = 3, but the data directory" in err
    assert "was made with 64" in err


def test_data_of_a_newer_schema_is_refused_and_nothing_touched(directory):
    source = (directory / "sample_app.py").read_text()
    (directory / "sample_app.py").write_text(
        source.replace(
            "class Sample(Application):", "def newer(migration):\n    pass\n\nclass Sample(Application):"
        ).replace('name = "sample"\n', 'name = "sample"\n    migrations = ("sample_app:newer",)\n')
    )
    with node(directory, "--json-ready") as first:
        first.ready()
        first.signal(signal.SIGTERM)
        assert first.end()[0] == 0
    (directory / "sample_app.py").write_text(source)
    before = {
        p: p.read_bytes()
        for p in (directory / "var").rglob("*")
        if p.suffix in (".mdb", ".json", ".pem", ".key")
    }
    assert any(p.suffix == ".mdb" for p in before)
    err = refusal(directory)
    assert "cannot start: the store in " in err
    assert "has schema 2, this software knows up to 1" in err
    assert {p: p.read_bytes() for p in before} == before


def test_application_that_crashes_at_start_ends_the_node_with_its_trace(directory):
    with node(directory, "--set", "sample.mode=crash") as crashed:
        status, _, err = crashed.end()
    assert status == 1
    assert "cannot start: application sample" in err
    assert "LookupError: on purpose" in err


def test_exhausted_supervisor_ends_the_node(directory):
    with node(directory, "--json-ready", "--set", "sample.mode=exhausted") as ended:
        status, _, err = ended.end()
    assert status == 1
    assert (
        "the node ends, because application sample did: supervisor sample_top gave up (more than 0 restarts in"
        in err
    )
    assert "its last child that failed: weak (" in err
    assert "LookupError: weak" in err.partition("the node ends, because")[2].partition("crash dump")[0]
    assert "Traceback (most recent call last):" in err.partition("the node ends, because")[2]
    assert "sample: stop" in err
    (path,) = directory.rglob("crash/*.dump")
    dump = Dump.open(path)
    assert "LookupError: weak" in dump.reason
    assert dump.gave_up[-1]["supervisor"] == "sample_top"
    assert any("LookupError: weak" in one["text"] for one in dump.reports())


def test_signal_during_a_start_that_hangs_stops_the_node(directory):
    with node(directory, "--set", "sample.mode=hang") as hanging:
        hanging.wait_for("hanging")
        hanging.signal(signal.SIGTERM)
        assert hanging.end()[0] == 0


def test_second_signal_ends_at_once_even_while_a_callback_holds_the_loop(directory):
    with node(
        directory, "--set", "sample.mode=hog", "--set", "runtime.hog_kill=0", "--set", "log.level=debug"
    ) as held:
        # The hog holds the loop before or after the start message; its report comes from a signal, not from the loop.
        held.wait_for("holds the node for")
        held.signal(signal.SIGTERM)
        held.signal(signal.SIGINT)
        status, _, err = held.end()
    assert status == 128 + signal.SIGINT or status == 128 + signal.SIGTERM
    assert "stopped at once" in err


def test_a_store_that_is_lost_ends_the_node_and_is_named(directory):
    with node(directory, "--json-ready") as running:
        children = Path(f"/proc/{running.ready()['pid']}/task/{running.process.pid}/children")
        while running.process.poll() is None:
            with suppress(OSError):
                for pid in children.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)  # writer after writer
        status, _, err = running.end()
    assert status == 1
    assert "the node ends, because its store did: the store in " in err
    assert "4 writers died over it, with status -9" in err


def test_one_signal_that_comes_twice_is_one_wish(directory):
    with node(directory, "--json-ready") as running:
        running.ready()
        for _ in range(3):  # as `timeout` does: to the process, and to its group
            running.signal(signal.SIGTERM)
        status, _, err = running.end()
    assert status == 0
    assert "sample: stop" in err


def test_hangup_reloads_settings_and_refuses_wrong_ones(directory):
    (directory / "sample.toml").write_text('[sample]\nnote = "a"\n')
    with node(directory, "--json-ready") as running:
        running.ready()
        (directory / "sample.toml").write_text('[sample]\nnote = "b"\n')
        running.signal(signal.SIGHUP)
        assert "{'sample.note': 'b'}" in running.wait_for("sample: changed")
        running.wait_for("reloaded; changed: sample.note")
        (directory / "sample.toml").write_text("[sample]\nnote = 1\n")
        running.signal(signal.SIGHUP)
        assert "sample.note = 1 is not allowed" in running.wait_for(
            "reload refused, everything stays as it is"
        )
        (directory / "node.toml").write_text(
            '[node]\napplications = ["sample_app:Sample"]\n[admin]\nhttp_port = 0\n[log]\nformat = "json"\n'
        )
        (directory / "sample.toml").unlink()
        running.signal(signal.SIGHUP)
        running.wait_for("these hold from the next start on: log.format")
        running.signal(signal.SIGTERM)
        assert running.end()[0] == 0


def test_log_as_json_is_one_object_a_line(directory):
    with node(directory, "--json-ready", "--set", "log.format=json") as running:
        running.ready()
        running.signal(signal.SIGTERM)
        _, _, err = running.end()
    entries = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {"time", "level", "logger", "message"} <= set(entries[0])
    assert entries[-1]["message"] == "stopped"


def test_data_directory_that_cannot_be_written_is_one_sentence(directory):
    (directory / "var").write_text("a file")
    err = refusal(directory)
    assert "cannot be used (File exists): make it writable" in err
    assert shutil.disk_usage(directory).free
