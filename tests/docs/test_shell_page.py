"""The page on the admin shell: its tour is typed into a node, and its table of commands is the shell's."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest

from runtime.admin import commands
from runtime.admin.client import Client
from runtime.admin.shell_client import ShellLink
from runtime.admin.terminal_render import Plain
from tests.docs import listings
from tests.support.node import Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]

PAGE = (listings.DOCS / "shell.md").read_text()


def inputs(block):
    """Cut a block of the tour: (what is typed, what is shown)."""
    for part in re.split(r"^evergreen> ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        code = [lines.pop(0)]
        while code[0].endswith(":") and lines and lines[0].startswith("..."):
            code.append(lines.pop(0)[4:])
        yield "\n".join(code), "\n".join(lines)


def test_the_tour_is_what_a_node_says(tmp_path):
    with Node(tmp_path / "var") as node, Client.connect(node.directory / "admin.sock") as client:
        link = ShellLink(client)
        for block in [one for one in listings.blocks(PAGE) if one.language == "evergreen"]:
            for code, expected in inputs(block):
                out = io.StringIO()
                screen = Plain(out, out)
                if expected.startswith("^C\n"):
                    expected = expected[3:]
                    threading.Thread(target=interrupt, args=(link,)).start()
                screen.answer(link.evaluate(code, width=100, on_event=screen.event))
                said = out.getvalue().rstrip()
                assert listings.shows(narrow(expected), narrow(said)), (
                    f"{code}\n{said[:2000]}\n--- expected\n{expected}"
                )


def narrow(text):
    """Columns are as wide as what stands in them, which another process may change."""
    return re.sub(r"[ \u2500]+", " ", text)


def interrupt(link):
    time.sleep(0.3)
    link.client.send("shell.interrupt", {"shell": link.number})


def test_the_table_lists_all_commands():
    from apps.chat.admin import ChatCommands

    told = dict(re.findall(r"^\| (\w+) \| (`.*`) \|$", PAGE, re.MULTILINE))
    own = {theme: set(functions) for theme, functions in commands.table().items() if theme != "Chat"}
    own["Chat"] = {name for name in vars(ChatCommands) if not name.startswith("_")} - {"offer", "withdraw"}
    assert {theme: set(re.findall(r"`(\w+)`", names)) for theme, names in told.items()} == own
