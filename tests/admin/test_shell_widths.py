"""Pids can be pasted as they were printed, on a screen of whatever width."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from runtime.admin.client import Client
from runtime.admin.shell_client import ShellLink
from runtime.admin.shell_text import cut_at, with_pids
from runtime.admin.shell_views import view
from runtime.admin.table_fit import fitted
from runtime.admin.terminal_render import Rich
from tests.support.node import Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]

WIDTHS = (60, 80, 100, 130)
PRINTED = re.compile(r"<[^<>\s]+@[^<>\s]*>?")
"""A pid, or what was left of one."""
INPUTS = (
    "tree()",
    "tree('chat', children=3)",
    "top()",
    "top(n=100)",
    "ps(n=200)",
    "supervisor.which_children('observers')",
    "applications()",
    "info('observers')",
    "info('observers').links",
    "whereis('alarms')",
    "[{'who': 'x' * 12 + repr(whereis('alarms')) * 4, 'n': 1}]",
)


@pytest.fixture(scope="module")
def link(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("widths") / "var") as node:
        client = Client.connect(node.directory / "admin.sock")
        yield ShellLink(client)
        client.close()


def evaluate(link, code, width=100):
    return link.evaluate(code, width=width, on_event=lambda event: None)


def drawn(answer, width, node):
    screen = Rich(node)
    screen.console = Console(
        file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False, force_terminal=False
    )
    screen.answer(answer)
    return screen.console.file.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("code", INPUTS)
def test_what_is_printed_of_a_pid_is_a_pid(link, code, width):
    text = drawn(evaluate(link, code, width), width, link.hello["node"])
    assert max(map(len, text.splitlines())) <= width
    printed = {found[0] for found in PRINTED.finditer(text)}
    assert printed
    # A process of `ps` may have ended since; it is known as one all the same, and not taken for a text or a mistake.
    asked = ", ".join(f"({one},)" for one in sorted(printed) if not re.match(r"<\d+@", one))
    answer = evaluate(link, f"all(isinstance(one, Process) for (one,) in [{asked}])")
    assert answer["text"] == "True", text
    for one in sorted(printed):
        answer = evaluate(link, f"info({one}).number")
        assert answer["text"].isdecimal() or answer["text"].startswith("there is no living process"), one


def test_the_same_process_whether_written_long_or_short(link):
    for short in ("<alarms@…>", "'<alarms@…>'"):
        assert evaluate(link, f"info({short}).pid")["text"] == "'<alarms@evergreen@localhost>'"
    number = evaluate(link, "whereis('alarms').number")["text"]
    assert evaluate(link, f"<{number}@…> is whereis('alarms')")["text"] == "True"
    assert evaluate(link, "'<alarms@…>'")["text"] == "'<alarms@…>'"  # in a string it is a string
    assert with_pids("f(<a.b-1@…>)") == 'f(pid("<a.b-1@…>"))'


def test_in_a_dump_too(link, tmp_path):
    path = tmp_path / "now.dump"
    evaluate(link, f"crashdump({str(path)!r})")
    done = subprocess.run(
        [sys.executable, "-m", "runtime.admin.shell_command", "--dump", str(path), "-c", "info(<alarms@…>).pid, tree(<alarms@…>)[0].pid"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "('<alarms@evergreen@localhost>', '<alarms@evergreen@localhost>')\n", done.stderr


def test_what_there_is_no_room_for_is_named():
    rows = [
        {
            "process": "├─ " + "x" * 30,
            "pid": "<someone_in_particular@here>",
            "status": "waiting",
            "runs": "m" * 40,
        }
    ]
    shown = fitted(view(rows), 60, "here")
    assert shown["columns"] == [["process", False], ["pid", False], ["status", False]]
    assert shown["rows"] == [["├─ " + "x" * 18 + "…", "<someone_in_particular@…>", "waiting"]]
    assert shown["note"] == "no room for: runs"
    assert fitted(view(rows), 130, "here")["rows"] == [list(rows[0].values())]  # it fits as it is
    assert fitted(view(rows), 100, "there")["rows"][0][1] == "<someone_in_particular@here>"  # of another node


def test_a_long_value_is_not_cut_within_a_pid():
    many = [f"<process_{n}@evergreen@localhost>" for n in range(100)]
    text = view([{"links": " ".join(many)}])["rows"][0][0]
    assert set(PRINTED.findall(text)) <= set(many)
    assert 250 < len(text) < 330
    assert cut_at("ab <c@d> ef", 5) == 3
    assert cut_at("ab <c@d> ef", 8) == 8
    assert cut_at("a < b @ c", 4) == 4
