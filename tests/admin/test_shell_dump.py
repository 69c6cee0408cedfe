"""A crash dump in the shell: every command, at the prompt and without one."""

from __future__ import annotations

import sys

import pytest

from runtime.admin import commands
from runtime.admin.shell_dump import DumpLink
from runtime.observe import crash_dump, snapshot
from tests.admin.test_shell_terminal import CONTROLLED, CTRL_C, CTRL_D
from tests.support.screen import Screen

LOOKS = (
    "tree()", "ps(n=2)", "top()", "info(1)", "state(1)", "stack(1)", "messages(1)", "node()", "alarms()", "metrics()",
    "applications()", "connections()", "releases()", "help()", "help(top)", "help('node')",
)  # fmt: skip
ACTS = (
    "suspend(1)", "resume(1)", "replace_state(1, str)", "kill(1)", "restart(1)", "trace(1)", "log('debug')", "reports()",
    "crashdump()", "diff(1)", "push()", "rollback()", "confirm()", "lingering()", "backup()", "live(alarms)", "flush()",
    "top(every=1)",
)  # fmt: skip


@pytest.fixture
def opened(tmp_path):
    """Opens a dump of this program; returns what evaluates, and the number of one of its processes."""

    def make():
        path = crash_dump.write(tmp_path / "one.dump", reason="a test")
        link = DumpLink(path)
        number = snapshot.processes(1)[0].number
        return lambda code, **options: link.evaluate(
            code.replace("(1", f"({number}", 1), on_event=lambda event: None, **options
        )

    yield make
    commands.set_look(snapshot)


def test_every_command_answers(opened):
    """What looks shows what there was; what acts says in a sentence that it cannot."""
    link = opened()
    tried = {code.partition("(")[0] for code in (*LOOKS, *ACTS)}
    known = {name for theme, names in commands.table().items() if theme != "Chat" for name in names}
    assert tried == known - {"store"}, "a new command: what does it do with a dump?"
    for code in LOOKS:
        assert link(code)["kind"] in ("table", "text"), code
        assert link(code, form="json")["kind"] == "json", code
    for code in ACTS:
        answer = link(code)
        assert (answer["kind"], answer["error"]) == ("error", "CannotDo"), code
        assert "dump" in answer["text"], code
    assert "no store" in link("store()")["text"]


def test_pids_are_pasted_and_mistakes_are_told_from_the_typed_line_on(opened):
    link = opened()
    row = snapshot.processes(1)[0]
    assert dict(link(f"info({row.pid})", form="json")["value"])["number"] == row.number
    text = link("def f(): return 1 / 0\n\nf()")["text"]
    assert text.startswith('Traceback (most recent call last):\n  File "<dump:')
    assert "shell_dump.py" not in text
    assert link("exit()") == {"kind": "left", "text": "", "code": 0}


@pytest.mark.plain
@pytest.mark.slow
def test_at_a_prompt(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = crash_dump.write(tmp_path / "one.dump", reason="a test")
    command = [sys.executable, "-m", "runtime.admin.shell_command", "--dump", str(path)]
    screen = Screen([sys.executable, "-c", CONTROLLED, *command])
    try:
        screen.wait("dump 1>")
        assert "a test" in screen.text
        screen.type("print('printed'); len(tree())\r")
        screen.wait("printed\n")
        screen.wait("dump 2>")
        screen.type("print('going on'); exec('while True: pass')\r")
        screen.wait("\ngoing on")
        screen.type(CTRL_C)
        screen.wait("interrupted")
        screen.wait("dump 3>")
        screen.type("kernel_is_not_here\r")
        screen.wait("NameError")
        screen.wait("dump 4>")
        screen.type(CTRL_D)
        assert screen.close() == 0
    finally:
        if screen.process.poll() is None:
            screen.process.kill()
            screen.close()
