"""A real node and a release whose child crashes whenever it is started: the node lives through it, and so do connections.

And the ways in for when it does not: what lies in the tree is held against the log, a release is named at the start.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from runtime.admin.client import OperationFailed
from tests.node.test_live_code_node import APPLICATION, COUNTER, WORDS, node, releases
from tests.node.test_push_node import COUNTER as COUNTER_OF_PUSH
from tests.node.test_push_node import better, running

pytestmark = [pytest.mark.slow, pytest.mark.plain]

STARTS = COUNTER.replace("self.n = 0", "self.n = int('none')")
LATER = (
    COUNTER.replace("self.n = 0", "self.n = 0\n        kernel.cast(kernel.self_(), 1)").replace(
        "from runtime.otp", "from runtime import kernel\nfrom runtime.otp"
    )
    + "\n    def handle_cast(self, request):\n        raise LookupError('gone wrong')\n"
)
BAD = pytest.mark.parametrize("bad", [STARTS, LATER], ids=["at start", "at once"])


@pytest.fixture
def directory(tmp_path):
    """As OTP has it: three restarts in five seconds, then the top supervisor gives up, and with it the node."""
    (tmp_path / "node.toml").write_text(
        '[node]\napplications = ["live.app:Live"]\n[code]\nroots = ["live"]\n'
    )
    (tmp_path / "live").mkdir()
    application = APPLICATION.replace("SupFlags(intensity=100)", "SupFlags(intensity=3)")
    crash = WORDS.replace(
        'if line == "pid":',
        'if line == "crash":\n        exit(whereis("counter"), "boom")\n        return "so be it"\n    if line == "pid":',
    ).replace("import CallError, call", "import CallError, call, exit, whereis")
    for name, text in {"__init__": "", "app": application, "counter": COUNTER, "words": crash}.items():
        (tmp_path / "live" / f"{name}.py").write_text(text)
    return tmp_path


@BAD
def test_watch_mode_lives_through_a_child_that_crashes_at_once(directory, bad):
    with node(directory, "watch") as live:
        pid = live.ask("pid")
        live.write("counter.py", bad)
        live.said("is live in")
        live.ask("crash")
        live.said(r"is rolled back by itself: .*(\d crashes in|out of restarts over) changed code")
        live.said("was rolled back to")
        assert any("would give up over its child 'counter'; it waits" in line for line in live.log)
        live.until("count", "1")  # on the same connection
        assert live.ask("pid") == pid
        assert live.ask("world") == "hello world"
        assert live.stop() == 0
    assert releases(directory) == [(1, "boot", "good"), (2, "watch", "bad"), (3, "rollback", "good")]
    # The file is as it was saved: the next start takes it, and says so.
    if bad is LATER:
        with node(directory, "watch") as live:
            live.said("is on probation for 30 s: it differs from the last good one, .* in live/counter.py")
            live.said(r"is rolled back by itself: .*(\d crashes in|out of restarts over) changed code")
            live.said("was rolled back to")
            live.until("count", "1")
            assert live.stop() == 0
        found = [(kind, result) for _, kind, result in releases(directory)]
        assert found[3:] == [("boot", "bad"), ("rollback", "good")]
        return
    live = LiveStart(directory)
    assert "please report it" not in live.words
    assert "invalid literal for int" in live.words
    assert "saved since the last good release, " in live.words
    assert ": live/counter.py; correct that, or start what ran well: " in live.words
    assert "tools/run --set code.mode=push --release '#3'" in live.words
    assert "live/counter.py" in live.warning
    assert "as in release" in live.warning
    assert "(#2), which was not good: " in live.warning


class LiveStart:
    """A start in watch mode that fails; `warning` is what it said about the tree."""

    def __init__(self, directory):
        done = subprocess.run(
            [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "code.mode=watch",
             "--set", "admin.http_port=0"],
            cwd=directory, env=environment(directory), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        self.words = done.stderr
        self.warning = next(
            (line for line in done.stderr.splitlines() if "this start takes" in line), done.stderr
        )


def environment(directory):
    import os

    from tests.node.test_push_node import ROOT

    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}", "NO_COLOR": "1"}


def test_nothing_is_said_of_a_tree_that_has_been_mended(directory):
    with node(directory, "watch") as live:
        live.write("counter.py", STARTS)
        live.said("is live in")
        live.ask("crash")
        live.said("was rolled back to")
        live.until("count", "1")
        assert live.stop() == 0
    (directory / "live" / "counter.py").write_text(COUNTER)
    with node(directory, "watch") as live:
        assert live.ask("count") == "1"
        assert live.stop() == 0
        assert not [line for line in live.log if "this start takes" in line]


CRASHING = """
from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Counter(GenServer):
    def init(self):
        self.count = int("none")

    def handle_call(self, request, sender):
        return dict(vars(self))
"""


def strict(path):
    """The tree of the tests of push mode, with three restarts only, and a way to end the counter."""
    app = path / "live" / "app.py"
    text = app.read_text().replace("SupFlags(intensity=100)", "SupFlags(intensity=3)")
    text = text.replace(
        'table.add("bump", bump)', 'table.add("bump", bump)\n        table.add("crash", crash)'
    )
    text = text.replace("from runtime.kernel import call", "from runtime.kernel import call, exit, whereis")
    app.write_text(
        text + '\n\ndef crash(request):\n    exit(whereis("counter"), "boom")\n    return "so be it"\n'
    )


def test_push_mode_lives_through_a_child_that_crashes_at_once(tmp_path):
    with running(tmp_path, "code.probation=60") as tree:
        strict(tmp_path)
        tree.push("--no-wait")
        tree.push("--confirm")
        tree.stop()
        tree.start("code.probation=60", "code.max_crashes=0")
        good = tree.running()["id"]
        pid = tree.process.pid
        tree.save(counter=CRASHING)
        tree.push("--no-wait")
        bad = tree.running()
        tree.ask("crash")
        said = tree.ask("follow", number=bad["number"])
        assert said["result"] == "bad"
        assert "out of restarts over changed code" in said["why"]
        assert tree.running()["id"] == good
        assert tree.probe() == (1, {"count": 0})
        assert tree.process.pid == pid
        assert tree.process.poll() is None
        tree.stop()


def offline(tree, *arguments, code=0):
    """`tools/run` with the tree's settings, which ends by itself; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime.node", "--config", "node.toml", "--set", "code.roots=live", *arguments],
        cwd=tree.path, env=tree.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_release_is_named_at_the_start(tmp_path):
    """The last good one cannot start: its operator lists what there is, and starts another; from then on it is that one."""
    with running(tmp_path) as tree:
        better(tree)
        tree.push("--note", "a better answer")
        assert "is in use by another node" in (said := offline(tree, "--releases", code=1))
        assert "tools/push --list" in said
        tree.stop()
        said = offline(tree, "--releases")
        first, second = re.findall(r"^#\d+ +([0-9a-f]{12})", said, re.MULTILINE)
        assert "a better answer" in said
        assert f"push mode starts from {second} (#2)" in said

        tree.start(release="#1")
        assert tree.probe()[0] == 1
        assert "as named by its operator" in tree.running()["why"]
        rows = {row["number"]: (row["id"], row["kind"], row["result"]) for row in tree.ask("releases")}
        assert rows == {
            1: (first, "boot", "good"), 2: (second, "push", "rolled_back"), 3: (first, "rollback", "good"),
        }  # fmt: skip
        tree.stop()
        tree.start()
        assert tree.probe()[0] == 1
        tree.push("--rollback", "#2", "--force")  # and forward again
        assert tree.probe()[0] == 2
        tree.stop()
        tree.start(release=second[:6])  # it is what would be started anyway
        assert tree.running()["number"] == 4
        tree.stop()


def test_a_release_that_was_taken_back_is_started_from_only_by_force_and_on_probation(tmp_path):
    settings = "code.probation=60", "code.max_crashes=1"
    with running(tmp_path, *settings) as tree:
        good = tree.running()["id"]
        tree.save(counter=COUNTER_OF_PUSH.replace("self.count += 1", "self.count += None"))
        tree.push("--no-wait")
        bad = tree.running()
        with pytest.raises(OperationFailed):
            tree.ask("bump")
        why = tree.ask("follow", number=bad["number"])["why"]
        tree.stop()
        name = f"#{bad['number']}"
        push = "--set", "code.mode=push", "--set", "admin.http_port=0"
        said = offline(tree, *push, "--release", name, code=1)
        assert (
            f"cannot start: release {bad['id']} ({name}) was taken back: {why}; name another one, or" in said
        )
        assert "with --force" in said
        assert "goes with --release" in offline(tree, *push, "--force", code=2)

        tree.start(*settings, release=name, force=True)
        again = tree.running()
        assert (again["id"], again["kind"], again["result"]) == (bad["id"], "rollback", "probation")
        log = (tmp_path / "log").read_text()
        assert (
            f"this start is from release {bad['id']} ({name}), which was taken back: {why}; it is on probation"
            in log
        )
        with pytest.raises(OperationFailed):
            tree.ask("bump")
        assert tree.ask("follow", number=again["number"])["result"] == "bad"
        assert tree.running()["id"] == good
        assert tree.probe() == (1, {"count": 0})
        tree.stop()


def test_a_release_that_cannot_be_named(tmp_path):
    with running(tmp_path) as tree:
        tree.save(helper="def answer(:\n")
        tree.push(code=1)
        tree.stop()
        push = "--set", "code.mode=push", "--set", "admin.http_port=0"
        assert "no release 'abc': tools/run --releases shows" in offline(
            tree, *push, "--release", "abc", code=1
        )
        assert "#2) never ran: it was refused" in offline(tree, *push, "--release", "#2", code=1)
        said = offline(tree, "--set", "code.mode=watch", "--release", "#1", code=1)
        assert "code.mode is watch" in said
        elsewhere = "--set", f"node.data_dir={tmp_path / 'empty'}"
        assert "there is no release in" in offline(tree, *push, *elsewhere, "--release", "#1", code=1)
        assert "there are no releases in" in offline(tree, *elsewhere, "--releases")
        for blob in (tree.data / "code" / "blobs").glob("??/*"):
            blob.write_bytes(b"rotten")
        assert "is damaged" in offline(tree, *push, "--release", "#1", code=1)
