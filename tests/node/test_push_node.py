"""A real node in push mode and tools/push: show, push, follow, list, go back, and whatever must be refused."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import msgpack
import pytest

from runtime.admin import push_command
from runtime.admin.client import Client, NotConnected, OperationFailed, TLSFiles
from runtime.code.keys import make_pair
from runtime.code.release_log import ReleaseLog
from tests.net.conftest import authority

__all__ = ["authority"]

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.plain]

APP = """
from live import helper
from live.counter import Counter
from runtime import node
from runtime.kernel import call
from runtime.otp.application import Application
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor


class Live(Application):
    name = "live"

    def start(self, start_type, config):
        table = node.current().operations
        table.add("probe", probe)
        table.add("bump", bump)
        counter = ChildSpec("counter", (Counter.start_link, (), {"name": "counter"}))
        return Supervisor.start_link_with(SupFlags(intensity=100), [counter], name="live_top"), None


def probe(request):
    return {"answer": helper.answer(), "state": call("counter", "state")}


def bump(request):
    return call("counter", "bump")
"""
HELPER = """
def answer():
    return 1
"""
COUNTER = """
from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Counter(GenServer):
    def init(self):
        self.count = 0

    def handle_call(self, request, sender):
        if request == "bump":
            self.count += 1
        return dict(vars(self))
"""
COUNTER_2 = """
from runtime.otp.gen_server import GenServer

__vsn__ = 2


class Counter(GenServer):
    def init(self):
        self.total = 0

    def handle_call(self, request, sender):
        if request == "bump":
            self.total += 1
        return dict(vars(self))

    def code_change(self, old, extra):
        if old == 1:
            self.total = self.__dict__.pop("count")
        elif old == ("down", 1):
            self.count = self.__dict__.pop("total")
"""


class Tree:
    """A working tree with an application, and a node that runs it."""

    def __init__(self, path):
        self.path = path
        self.data = path / "var"
        self.process = None
        (path / "live").mkdir()
        (path / "node.toml").write_text('[node]\napplications = ["live.app:Live"]\n')
        self.save(__init__="", app=APP, helper=HELPER, counter=COUNTER, resting="x = 1\n")

    def save(self, **texts):
        for name, text in texts.items():
            (self.path / "live" / f"{name}.py").write_text(text)

    def start(self, *settings, release="", force=False):
        command = [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--json-ready"]
        chosen = {"code.mode": "push", "code.roots": "live", "code.probation": "0", "admin.http_port": "0"}
        chosen |= dict(one.split("=", 1) for one in settings)
        for name, value in chosen.items():
            command += ["--set", f"{name}={value}"]
        if release:
            command += ["--release", release, *["--force"] * force]
        self.log = (self.path / "log").open("a+")
        self.process = subprocess.Popen(
            command, cwd=self.path, env=self.environment(), stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        line = self.process.stdout.readline()
        assert line, (self.path / "log").read_text()
        return self

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()

    def environment(self):
        own = {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.path}", "NO_COLOR": "1", "USER": "anna"}
        return {**os.environ, **own, "EVERGREEN_CWD": str(self.path)}

    def push(self, *arguments, code=0, apart=False, environment=()):
        """Run the command, in this program or in one of its own; return what it said."""
        if not {"--config", "--socket"} & {*arguments}:
            arguments = ["--config", "node.toml", *arguments]
        if apart:
            done = subprocess.run(
                [sys.executable, "-m", "runtime.admin.push_command", *arguments],
                cwd=self.path, env=self.environment(), capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
            said, found = done.stdout + done.stderr, done.returncode
        else:
            out = io.StringIO()
            with contextlib.chdir(self.path), redirect_stdout(out), redirect_stderr(out):
                with patch.dict(os.environ, {**self.environment(), **dict(environment)}):
                    found = push_command.main([*arguments])
            said = out.getvalue()
        assert found == code, said + (self.path / "log").read_text()
        assert "Traceback" not in said
        return said

    def json(self, *arguments, code=0):
        """Run the command; return what it said to programs, by kind (of several the last)."""
        rows = {}
        for line in self.push("--json", *arguments, code=code).splitlines():
            rows |= json.loads(line)
        return rows

    def ask(self, operation, **arguments):
        with Client.connect(self.data / "admin.sock") as client:
            return client.ask(operation, arguments, timeout=60.0)

    def probe(self):
        found = self.ask("probe")
        return found["answer"], found["state"]

    def running(self):
        return self.ask("status")["running"]


@contextmanager
def running(path, *settings):
    tree = Tree(path)
    tree.start(*settings)
    try:
        yield tree
    finally:
        if tree.process.poll() is None:
            tree.kill()


@pytest.fixture
def tree(tmp_path):
    with running(tmp_path) as made:
        yield made


def better(tree, number=2):
    tree.save(helper=f"def answer():\n    return {number}\n")


def test_from_the_tree_to_the_running_node_and_back(tree):
    first = tree.running()
    assert first["kind"] == "boot"
    assert "the tree has the same" in tree.push(apart=True)
    better(tree)
    assert tree.probe()[0] == 1  # saving alone is nothing in push mode
    said = tree.push("--dry-run", "--patch", apart=True)
    assert "live/helper.py" in said
    assert "+    return 2" in said
    assert "answer" in said.partition("checked")[2]
    assert "nothing was changed" in said
    assert tree.probe()[0] == 1
    assert tree.running() == first

    said = tree.push("--note", "a better answer", apart=True)
    assert "signed by the key development" in said
    assert tree.probe()[0] == 2
    second = tree.running()
    assert (second["base"], second["note"], second["kind"]) == (first["id"], "a better answer", "push")
    assert second["by"].startswith("anna (key development), uid ")
    assert second["id"] in said
    assert "the tree has the same" in tree.push(apart=True)

    said = tree.push("--list", apart=True)
    assert said.index(first["id"]) < said.index(second["id"])
    assert "a better answer" in said
    assert [line.split(second["id"])[0].split() for line in said.splitlines() if second["id"] in line] == [
        ["#2", "*"]
    ]
    said = tree.push("--show", second["id"][:6], apart=True)
    assert "live/helper.py" in said
    assert "push: ok" in said
    said = tree.push("--diff", first["id"], second["id"], apart=True)
    assert "-    return 1\n+    return 2\n" in said
    assert tree.push("--diff", second["id"], apart=True) == said

    said = tree.push("--rollback", apart=True)
    assert tree.probe()[0] == 1
    third = tree.running()
    assert (third["id"], third["kind"]) == (first["id"], "rollback")
    results = {row["number"]: row["result"] for row in tree.ask("releases")}
    assert results == {1: "good", 2: "rolled_back", 3: "good"}
    # The tree still has the better one: it can go live again.
    tree.push("--rollback", "#2", "--force", apart=True)
    assert tree.probe()[0] == 2


def test_states_migrate_and_the_dry_run_says_how_many(tree):
    tree.ask("bump")
    tree.save(counter=COUNTER_2)
    said = tree.push("--dry-run")
    assert "1 process of live.counter: __vsn__ 1 to 2" in said
    tree.push()
    assert tree.probe() == (1, {"total": 1})
    assert tree.running()["migrated"] == 1
    tree.ask("bump")
    tree.push("--rollback")
    assert tree.probe() == (1, {"count": 2})


def test_added_and_deleted_files(tree):
    tree.save(helper="from live.more import value\n\n\ndef answer():\n    return value()\n")
    tree.save(more="def value():\n    return 7\n")
    said = tree.push()
    assert "added" in said
    assert tree.probe()[0] == 7
    better(tree)
    (tree.path / "live" / "more.py").unlink()
    assert "deleted" in tree.push()
    assert tree.probe()[0] == 2
    assert "live/more.py" not in tree.ask("status")["files"]
    tree.push("--rollback")
    assert tree.probe()[0] == 7


def test_only_what_was_named_is_pushed(tree):
    better(tree)
    tree.save(counter=COUNTER_2)
    said = tree.push("live/helper.py")
    assert "counter" not in said
    assert tree.probe() == (2, {"count": 0})
    assert "counter" in tree.push("--dry-run", "live")
    assert "is not in the tree" in tree.push("/etc", code=1)


def test_a_wrong_tree_and_a_misspelt_path_are_no_pushes(tree, tmp_path_factory):
    """An empty tree would delete all that runs, and a misspelt name would say that all is well."""
    better(tree)
    before = tree.running()
    said = tree.push("--tree", str(tmp_path_factory.mktemp("empty")), code=1)
    assert "has no Python file in live/: is it the right tree?" in said
    assert "live/hepler.py names no live code" in tree.push("live/hepler.py", code=1)
    assert tree.json("--tree", str(tmp_path_factory.mktemp("empty")), code=1)["error"]["kind"] == "Unfit"
    assert tree.running() == before
    tree.push("live/helper.py")
    assert tree.json()["difference"] == []


def test_line_ends_and_a_byte_order_mark_are_no_difference(tree):
    text = (tree.path / "live" / "helper.py").read_text()
    (tree.path / "live" / "helper.py").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert "the tree has the same" in tree.push()


def test_paths_are_meant_from_where_the_user_stands(tree):
    """As `tools/push` starts it: in the tree's root, told where the user stands."""
    better(tree)
    there = tree.path / "elsewhere"
    there.mkdir()
    own = {"EVERGREEN_CWD": str(there)}
    tree.push("../live/helper.py", "--config", "../node.toml", "--write", "bundle", environment=own)
    assert (there / "bundle").exists()
    tree.push("--socket", "../var/admin.sock", "--bundle", "bundle", environment=own)
    assert tree.probe()[0] == 2
    tree.push("--new-key", "alice", "--keys", "keys", environment=own)
    assert (there / "keys" / "alice.key").exists()


def test_a_reader_that_leaves_is_no_trouble(tree):
    command = f"{sys.executable} -m runtime.admin.push_command --config node.toml --help | head -1"
    listing = command.replace("--help", "--list").replace("head -1", "true")
    for line in (command, listing):
        done = subprocess.run(
            ["bash", "-c", line], cwd=tree.path, env=tree.environment(), capture_output=True, text=True, timeout=60
        )  # fmt: skip
        assert done.stderr == ""


def test_a_file_that_nothing_has_imported_is_only_stored(tree):
    tree.save(resting="raise SystemExit('must not run')\n")
    tree.push()
    assert tree.probe()[0] == 1
    status = tree.ask("status")
    assert tree.ask("texts", release=status["running"]["id"], paths=["live/resting.py"]) == {
        "live/resting.py": "raise SystemExit('must not run')\n"
    }


def test_broken_code_changes_nothing_and_is_shown_with_its_line(tree):
    before = tree.running()
    tree.save(helper="def answer(:\n    return 2\n")
    said = tree.push(code=1)
    assert "live/helper.py:1: SyntaxError" in said
    assert "^" in said
    assert tree.probe()[0] == 1
    assert tree.running() == before
    tree.save(helper="def answer():\n    return 2\n\n1 / 0\n")
    assert "ZeroDivisionError" in tree.push(code=1)
    assert tree.probe()[0] == 1
    assert tree.json(code=1)["error"]["kind"] in ("import", "check")
    assert {row["result"] for row in tree.ask("releases")} == {"good", "refused"}


def test_a_restart_boots_the_release_and_not_the_tree(tree):
    better(tree)
    tree.push()
    better(tree, 3)
    (tree.path / "live" / "counter.py").unlink()
    pushed = tree.running()
    tree.stop()
    tree.start()
    assert tree.probe()[0] == 2
    assert tree.running() == pushed
    tree.kill()
    tree.start()
    assert tree.probe()[0] == 2
    said = tree.push("--dry-run", "live/helper.py")
    assert "live/helper.py" in said


def test_a_log_in_which_nothing_can_be_started_is_no_reason_to_start_the_tree(tmp_path):
    """What lies in the tree may be anything: the node says what is damaged and what to do, and does not start."""
    with running(tmp_path) as tree:
        (tree.path / "live" / "helper.py").write_text("raise SystemExit('not released')\n")
        tree.stop()
        for blob in (tree.data / "code" / "blobs").glob("??/*"):
            blob.write_bytes(b"rotten")
        done = subprocess.run(
            [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "code.roots=live",
             "--set", "code.mode=push", "--set", "admin.http_port=0"],
            cwd=tmp_path, env=tree.environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert re.search(r"no release in .*/code can be started:\n.*is damaged", done.stderr)
        assert "backup" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_release_in_probation_is_not_booted_after_a_crash(tmp_path):
    with running(tmp_path, "code.probation=600") as tree:
        first = tree.running()
        better(tree)
        said = tree.push("--no-wait")
        assert tree.running()["result"] == "probation"
        assert tree.probe()[0] == 2
        assert "probation" in said
        tree.kill()
        tree.start("code.probation=600")
        assert tree.probe()[0] == 1
        assert tree.running()["id"] == first["id"]
        assert "ended during its probation" in tree.push("--list")


def test_a_stop_within_a_probation_says_what_the_next_start_does(tmp_path):
    with running(tmp_path, "code.probation=600") as tree:
        first = tree.running()
        better(tree)
        command = [sys.executable, "-m", "runtime.admin.push_command", "--config", "node.toml"]
        with subprocess.Popen(
            command, cwd=tree.path, env=tree.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as follower:  # fmt: skip
            while not (line := follower.stdout.readline()).startswith("probation"):
                assert line
            tree.stop()
            _, said = follower.communicate(timeout=30)
            assert follower.returncode == 1
        assert (
            "was on probation: if the node has ended, start it again (tools/run); tools/push --list" in said
        )
        log = (tree.path / "log").read_text()
        assert f"is still on probation: the next start goes back to {first['id']}" in log
        assert "tools/run --release '#2' --force" in log
        tree.start("code.probation=600")
        assert tree.running()["id"] == first["id"]
        tree.stop()
        tree.start("code.probation=600", release="#2", force=True)
        assert tree.probe()[0] == 2


def test_probation_is_followed_and_can_be_confirmed(tmp_path):
    with running(tmp_path, "code.probation=600") as tree:
        better(tree)
        command = [sys.executable, "-m", "runtime.admin.push_command", "--config", "node.toml"]
        with subprocess.Popen(
            command, cwd=tree.path, env=tree.environment(), stdout=subprocess.PIPE, text=True
        ) as follower:
            lines = []
            while not any(line.startswith("probation") for line in lines):
                lines.append(follower.stdout.readline())
                assert lines[-1], lines
            assert "crash" in lines[-1]  # what is watched
            assert re.search(r", busy \d+% of 40%(,|$)", lines[-1].rstrip())  # a share, with `code.max_busy`
            assert "good" in tree.push("--confirm")
            again = tree.push("--confirm")
            assert "nothing is on probation: release " in again
            assert again.rstrip().endswith("is good")
            rest = follower.stdout.read()
            assert follower.wait(30) == 0
        assert "good" in rest
        assert tree.running()["result"] == "good"


def test_a_bad_release_rolls_itself_back_and_the_command_says_why(tmp_path):
    with running(tmp_path, "code.probation=600", "code.max_crashes=1") as tree:
        tree.save(counter=COUNTER.replace("self.count += 1", "1 / 0"))
        command = [sys.executable, "-m", "runtime.admin.push_command", "--config", "node.toml"]
        with subprocess.Popen(
            command, cwd=tree.path, env=tree.environment(), stdout=subprocess.PIPE, text=True
        ) as follower:
            line = "-"
            while line and not line.startswith("probation"):
                line = follower.stdout.readline()
            with pytest.raises(OperationFailed):
                tree.ask("bump")
            rest = follower.stdout.read()
            assert follower.wait(60) == 1
        assert "bad" in rest
        assert "ZeroDivisionError" in rest
        assert tree.ask("bump")["count"] == 1


def bundle(tree, *arguments):
    """What would be sent, as bytes."""
    tree.push("--write", "bundle", *arguments)
    return (tree.path / "bundle").read_bytes()


def send(tree, data, code=1):
    (tree.path / "sent").write_bytes(data)
    return tree.json("--bundle", "sent", code=code)


def test_a_bundle_works_once(tree):
    better(tree)
    data = bundle(tree)
    assert tree.probe()[0] == 1
    assert send(tree, data, code=0)["release"]["result"] == "good"
    assert tree.probe()[0] == 2
    assert send(tree, data)["error"]["kind"] == "base"
    tree.push("--rollback")
    # The base is right again; it is the nonce that tells.
    assert send(tree, data)["error"]["kind"] == "replay"
    tree.stop()
    tree.start()
    assert send(tree, data)["error"]["kind"] == "replay"
    assert tree.probe()[0] == 1


def test_a_push_on_another_base_is_refused_with_the_difference(tree):
    first = tree.running()
    tree.save(counter=COUNTER_2)
    data = bundle(tree, "live/counter.py")
    better(tree)
    tree.push("live/helper.py")
    error = send(tree, data)["error"]
    assert error["kind"] == "base"
    assert first["id"] in error["text"]
    assert error["text"].endswith("\nlook at what differs, and do it again on what runs")
    assert error["changed"] == {"live/helper.py": "changed"}
    assert "-    return 1" in error["diff"]["live/helper.py"]
    said = tree.push("--bundle", "sent", code=1)
    assert "+    return 2" in said
    assert tree.probe() == (2, {"count": 0})
    said = tree.push("--base", first["id"], code=1)
    assert "+    return 2" in said
    assert "push again, without --base or with this one" in said
    tree.push("--base", tree.running()["id"])
    assert tree.probe() == (2, {"total": 0})


def test_tampered_bundles_are_refused(tree):
    before = tree.running()
    better(tree)
    data = bundle(tree)
    outer = msgpack.unpackb(data)
    name, text = next(iter(outer["blobs"].items()))
    changed = text.replace(b"2", b"3")
    stranger = make_pair(tree.path / "strangers", "stranger")
    signature = stranger.sign(b"evergreen bundle\0" + outer["manifest"])
    for kind, sent in (
        ("hash", {**outer, "blobs": {name: changed}}),
        ("signature", {**outer, "manifest": outer["manifest"].replace(b"anna", b"emma")}),
        ("signature", {**outer, "signature": signature}),
        ("key", {**outer, "signature": signature, "key": stranger.public.id}),
    ):
        assert send(tree, msgpack.packb(sent))["error"]["kind"] == kind
    for sent in (b"", data[:-1], b"x" * 1000):
        error = send(tree, sent)["error"]
        assert error["kind"] == "format"
        assert error["text"].startswith("this is no bundle, or only a part of one (")
        assert "make it anew: tools/push" in error["text"], "and what to do"
    assert tree.probe()[0] == 1
    assert tree.running() == before
    assert [one["result"] for one in tree.ask("releases")] == ["good"]
    # What was refused used up nothing: the true one still goes.
    send(tree, data, code=0)
    assert tree.probe()[0] == 2


def test_keys_of_people(tmp_path):
    tree = Tree(tmp_path)
    said = tree.push("--new-key", "alice", "--keys", "keys")
    assert "code.allowed_keys" in said
    tree.push("--new-key", "bob", "--keys", "keys", "--roles", "stage")
    assert "is there already" in tree.push("--new-key", "bob", "--keys", "keys", code=1)
    allowed = tree.path / "allowed"
    allowed.write_text((tree.path / "keys" / "alice.pub").read_text())
    tree.start(f"code.allowed_keys={allowed}")
    try:
        assert not (tree.data / "code" / "keys").exists()  # a list of its own: no key makes itself
        better(tree)
        assert "which key?" in tree.push(code=1)
        assert "does not know the key" in tree.push("--key", "keys/bob.key", code=1)
        # The list is read anew for each bundle.
        allowed.write_text(allowed.read_text() + (tree.path / "keys" / "bob.pub").read_text())
        assert "may stage, and not activate" in tree.push("--key", "keys/bob.key", code=1)
        assert "nothing was changed" in tree.push("--key", "keys/bob.key", "--dry-run")
        assert tree.probe()[0] == 1
        (tree.path / "keys" / "alice.key").chmod(0o644)
        assert "may be read by others" in tree.push("--key", "keys/alice.key", code=1)
        (tree.path / "keys" / "alice.key").chmod(0o600)
        tree.push("--key", "keys/alice.key")
        assert tree.probe()[0] == 2
        assert "(key alice)" in tree.running()["by"]
        # Going back with a signed order: bob may not, alice may; on this machine the user alone may, too.
        assert "may stage, and not rollback" in tree.push("--rollback", "--key", "keys/bob.key", code=1)
        tree.push("--rollback", "#1", "--key", "keys/alice.key")
        assert tree.probe()[0] == 1
        tree.push("--rollback", "#2", "--force")
        assert tree.probe()[0] == 2
    finally:
        tree.kill()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_from_another_machine_by_mutual_tls(tmp_path, authority):
    authority.issue("anna", file="anna")
    port = free_port()
    with running(tmp_path, f"admin.port={port}", f"admin.clients={authority.ca}") as tree:
        by_tls = [
            "--node", f"127.0.0.1:{port}", "--authority", str(tree.data / "certificates" / "ca.pem"),
            "--certificate", f"{authority.folder}/anna.pem", "--certificate-key", f"{authority.folder}/anna.key",
        ]  # fmt: skip
        key = ["--key", str(tree.data / "code" / "keys" / "development.key")]
        first = tree.running()
        better(tree)
        assert "which key?" in tree.push(
            *by_tls, code=1
        )  # where the node's key lies is told only on its machine
        tree.push(*by_tls, *key)
        assert tree.probe()[0] == 2
        assert "certificate commonName=anna (127.0.0.1)" in tree.running()["by"]
        assert first["id"] in tree.push(*by_tls, "--list")
        # On this machine the user is enough for a way back; from another a key must sign it.
        error = tree.json(*by_tls, "--confirm", code=1)["error"]
        assert "which key?" in error["text"]
        with pytest.raises(OperationFailed, match="needs an order signed by a key") as caught:
            files = TLSFiles(
                f"{authority.folder}/anna.pem", f"{authority.folder}/anna.key", by_tls[3], "localhost"
            )
            with Client.connect_tls("127.0.0.1", port, files) as client:
                client.ask("rollback", {}, timeout=60.0)
        assert caught.value.kind == "signature"
        assert tree.probe()[0] == 2
        tree.push(*by_tls, *key, "--rollback")
        assert tree.probe()[0] == 1
        # Without a certificate of that authority nobody gets in.
        own = tree.data / "certificates"
        strange = [
            *by_tls[:4],
            "--certificate",
            str(own / "server.pem"),
            "--certificate-key",
            str(own / "server.key"),
        ]
        assert "evergreen: " in tree.push(*strange, "--list", code=1)


def test_kill_minus_9_in_the_middle_of_pushes(tmp_path):
    """Whatever the moment: the node boots a whole release, and never an older one than was said to be live."""
    chance = random.Random(5)
    tree = Tree(tmp_path).start()
    number, said = 1, 1
    try:
        for _ in range(4):
            command = [sys.executable, "-m", "runtime.admin.push_command", "--config", "node.toml"]
            number += 1
            tree.save(
                helper=f"def answer():\n    return {number}\n", counter=COUNTER + f"\n\nROUND = {number}\n"
            )
            with subprocess.Popen(
                command, cwd=tree.path, env=tree.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as pushing:  # fmt: skip
                lines = [pushing.stdout.readline() for _ in range(chance.randrange(2, 7))]
                tree.kill()
                lines += pushing.stdout.readlines()
            if any(line.startswith("live") for line in lines):
                said = number
            tree.start()
            found = tree.probe()[0]
            assert said <= found <= number, (said, found, lines)
            said = found
            files = tree.ask("status")["files"]
            texts = tree.ask("texts", release=tree.running()["id"], paths=list(files))
            assert f"return {found}\n" in texts["live/helper.py"]
            assert (f"ROUND = {found}" in texts["live/counter.py"]) == (found > 1)
            assert "damaged" not in (tree.path / "log").read_text()
    finally:
        if tree.process.poll() is None:
            tree.kill()


def test_a_node_without_live_code_says_so(tmp_path):
    with running(tmp_path, "code.mode=off") as tree:
        assert "without live code (code.mode is off)" in tree.push("--list", code=1)
        assert tree.probe()[0] == 1


def test_a_wrong_list_of_keys_is_a_sentence_at_the_start(tmp_path):
    tree = Tree(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "code.roots=live", "--set", "admin.http_port=0",
         "--set", "code.mode=push", "--set", f"code.allowed_keys={tmp_path / 'nothing'}"],
        cwd=tmp_path, env=tree.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot start: the list of keys" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0o600, "cannot be read"),
        ("garbage\n", 0o600, "wanted 'ed25519"),
        ("", 0o620, "written by others"),
    ],
)
def test_the_check_refuses_a_wrong_list_of_keys_as_the_start_does(tmp_path, text, mode, words):
    tree = Tree(tmp_path)
    keys = tmp_path / "believed"
    if text is not None:
        keys.write_text(text)
        keys.chmod(mode)
    command = [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--check", "--set", "code.roots=live",
               "--set", f"code.allowed_keys={keys}"]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=tree.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "is valid" not in done.stdout


def test_a_socket_that_cannot_be_made_is_a_sentence_at_the_start(tmp_path):
    tree = Tree(tmp_path)
    tree.data.mkdir()
    (tree.data / "admin.sock").write_text("a letter")
    done = subprocess.run(
        [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "code.roots=live",
         "--set", "admin.http_port=0"],
        cwd=tmp_path, env=tree.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot start: cannot listen on " in done.stderr
    assert "a file that is no socket lies there: move it away" in done.stderr
    assert (tree.data / "admin.sock").read_text() == "a letter"


def test_files_that_cannot_be_read_or_written_are_sentences(tree):
    better(tree)
    said = tree.push("--write", "nowhere/bundle", code=1)
    assert "nowhere/bundle cannot be written (No such file or directory): nothing was sent either" in said
    error = tree.json("--write", "nowhere/bundle", code=1)["error"]
    assert (error["kind"], "cannot be written" in error["text"]) == ("Unfit", True)
    written = tree.json("--write", "bundle")["written"]
    assert written["base"] == tree.running()["id"]
    assert written["bytes"] == (tree.path / "bundle").stat().st_size
    assert "cannot be read" in tree.push("--bundle", "nothing", code=1)
    said = tree.push("--key", "nothing", code=1)
    assert (
        "cannot be read (No such file or directory): name your key's file with --key FILE, or make a pair"
        in said
    )
    (tree.path / "junk").write_text("junk")
    (tree.path / "junk").chmod(0o600)
    assert "holds no private key" in tree.push("--key", "junk", code=1)
    assert tree.probe()[0] == 1


def test_no_node_and_unknown_releases_are_sentences(tree):
    assert "there is no release 'zzz'" in tree.push("--show", "zzz", code=1)
    assert "there is no release" in tree.push("--rollback", "zzz", code=1)
    assert tree.json("--diff", "#1", "#9", code=1)["error"]["kind"] == "unknown"
    assert "there is no release before" in (said := tree.push("--diff", "#1", code=1))
    assert said.endswith("name both, --diff A B\n")
    tree.stop()
    assert "no node runs there" in tree.push("--list", code=1)
    with pytest.raises(NotConnected):
        tree.ask("status")


def test_everything_done_is_in_the_release_log(tree):
    better(tree)
    tree.push()
    tree.push("--rollback")
    tree.push("--rollback", "zzz", code=1)
    tree.stop()
    log = ReleaseLog.open(tree.data / "code")
    done = [(one.operation, one.verdict) for one in log.operations() if one.operation in ("push", "rollback")]
    assert done[:2] == [("push", "ok"), ("rollback", "ok")]
    assert done[2][1].startswith("refused (unknown)")
    assert all(one.who.startswith("uid ") for one in log.operations())
    assert log.problems == []
    log.close()
