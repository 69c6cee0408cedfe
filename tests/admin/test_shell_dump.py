"""A crash dump in the shell: every command, at the prompt and without one."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest

from runtime.admin import commands
from runtime.admin.connect import Unfit
from runtime.admin.recent_log import RecentLog
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


def test_reports_of_the_node_are_in_its_dump(tmp_path, opened):
    """What `reports()` showed in the node it shows in the dump, crash reports with their tracebacks."""
    kept = RecentLog()
    logging.getLogger().addHandler(kept)
    try:
        for number in range(3):
            logging.getLogger("evergreen.crash").error("crasher %s", number, exc_info=ValueError("a boom"))
        logging.getLogger("evergreen.other").warning("only a warning")
        link = opened()
    finally:
        logging.getLogger().removeHandler(kept)
    text = link("reports(2, 'error')")["text"]
    assert "crasher 0" not in text
    assert "crasher 1" in text
    assert "crasher 2" in text
    assert "ValueError: a boom" in text
    assert "only a warning" not in text
    assert "only a warning" in link("reports()")["text"]
    assert "there is no level" in link("reports(1, 'loud')")["text"]


def test_help_lists_what_works_and_what_does_not_says_so(opened):
    """No command that help() lists is a NameError; of those that need a node a sentence says that, also an application's."""

    def sessions():
        """Connected devices."""

    commands.add("Some application", sessions)
    try:
        link = opened()
    finally:
        commands.remove("Some application")
    listed = set(re.findall(r"^  (\w+)\(", link("help()")["text"], re.MULTILINE))
    assert listed == set(commands.IN_DUMP)
    assert "this is a dump" in link("help()")["text"].lower()
    for name in ("kill", "trace", "sessions"):
        for code in (f"{name}()", f"help({name!r})", f"help({name})"):
            answer = link(code)
            assert f"{name}() needs a living node" in answer["text"], code
            assert "\n" not in answer["text"].removeprefix(f"{name}(*_: 'Any', **__: 'Any') -> 'None'\n"), (
                code
            )


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


def test_a_file_that_is_not_there_is_named_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").write_text("no dump")
    with pytest.raises(Unfit, match="^nofile cannot be read: No such file or directory$"):
        DumpLink(Path("nofile"))
    with pytest.raises(Unfit, match="^other is no crash dump$"):
        DumpLink(Path("other"))
