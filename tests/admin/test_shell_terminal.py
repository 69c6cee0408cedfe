"""The shell in a terminal of its own (a pseudo-terminal), as an operator sees it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import sys
import termios
import time

import pytest

from tests.support.node import Node
from tests.support.screen import Screen

pytestmark = [pytest.mark.plain, pytest.mark.slow]

UP, TAB, CTRL_C, CTRL_D, ALT_ENTER = "\x1b[A", "\t", "\x03", "\x04", "\x1b\r"


# The terminal becomes the one that controls the shell: only so do Ctrl-C and a closed window become signals.
CONTROLLED = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def shell_on(node):
    command = [
        sys.executable,
        "-m",
        "runtime.admin.shell_command",
        "--socket",
        str(node.directory / "admin.sock"),
    ]
    return Screen([sys.executable, "-c", CONTROLLED, *command])


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("terminal") / "var") as made:
        yield made


@pytest.fixture
def open_screen(node, tmp_path, monkeypatch):
    """Opens a terminal with a shell in it, whose prompt is there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    opened = []

    def make():
        screen = shell_on(node)
        opened.append(screen)
        screen.wait("evergreen 1>")
        return screen

    yield make
    for screen in opened:
        if screen.process.poll() is None:
            screen.process.kill()
            screen.close()


def leave(screen):
    end = time.monotonic() + 20
    while not (re.search(r"^evergreen \d+>", screen.text.rstrip().rpartition("\n")[2])):
        assert time.monotonic() < end, screen.text
        screen.wait("evergreen")
        screen._read(0.05)
    screen.type(CTRL_D)
    assert screen.close() == 0


def test_an_input_its_value_and_the_next_prompt(open_screen):
    screen = open_screen()
    screen.type("6 * 7\r")
    screen.wait("\n42\nevergreen 2>")
    leave(screen)


def test_a_table(open_screen):
    screen = open_screen()
    screen.type("tree(children=1)\r")
    screen.wait("├─ observers")
    screen.wait("evergreen 2>")
    head = next(line for line in screen.text.splitlines() if line.startswith("process"))
    assert all(word in head for word in ("pid", "type", "status", "restarts", "mailbox", "runs"))
    assert "<observers@…>" in screen.text
    leave(screen)


def test_several_lines_end_with_an_empty_one(open_screen):
    screen = open_screen()
    screen.type("def double(n):\r")
    screen.wait("...")
    screen.type("return 2 * n\r\r")  # indented by the shell
    screen.wait("evergreen 2>")
    screen.type("double(21)\r")
    screen.wait("\n42\nevergreen 3>")
    screen.type("x = (1 +\r1)\r")
    screen.wait("evergreen 4>")
    screen.type("1" + ALT_ENTER)
    screen.wait("...")
    screen.type("x\r\r")
    screen.wait("\n2\nevergreen 5>")
    leave(screen)


def test_what_is_typed_while_an_input_runs_is_the_next_ones(open_screen):
    """Also keys that mean something to a terminal: Ctrl-D leaves, Enter is Enter, and nothing of it is echoed twice."""
    screen = open_screen()
    screen.type("print('runs'); sleep(1.0)\r")
    screen.wait("\nruns\n")
    screen.type("40 +\x7f\x7f+ 2\r")
    screen.wait("\n42\nevergreen 3>")
    screen.type("print('again'); sleep(1.0)\r")
    screen.wait("\nagain\n")
    screen.type(CTRL_D)
    assert screen.close(20.0) == 0


def test_a_failure_is_shown_and_the_shell_goes_on(open_screen):
    screen = open_screen()
    screen.type("1 / 0\r")
    screen.wait("ZeroDivisionError: division by zero\nevergreen 2>")
    screen.type("nonsense here\r")
    screen.wait("SyntaxError: invalid syntax")
    leave(screen)


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "exec(compile('while True: pass', 'other', 'exec'))",
        "sleep(1e6)",
        "top(n=2, every=0.1)",
    ],
    ids=["loop", "holding", "waiting", "live"],
)
def test_ctrl_c_interrupts(open_screen, code):
    screen = open_screen()
    screen.type(code + "\r")
    if "top" in code:
        screen.wait("evergreen@localhost: ")
    time.sleep(0.4)
    screen.type(CTRL_C)
    screen.wait("\ninterrupted\n")
    screen.wait("evergreen 2>")
    screen.type("1 + 1\r")
    screen.wait("\n2\nevergreen 3>")
    leave(screen)


def test_ctrl_c_while_a_long_table_is_drawn_does_not_end_the_shell(open_screen):
    """At whatever moment it comes."""
    screen = open_screen()
    screen.type("rows = [dict.fromkeys('abcdefghijkl', n) for n in range(1000)]\r")
    screen.wait("evergreen 2>")
    for n, delay in enumerate((0.1, 0.3, 0.6, 1.0), 3):
        screen.type("rows\r")
        time.sleep(delay)
        screen.type(CTRL_C)
        screen.wait(f"evergreen {n}>")
    screen.type("\x156 * 7\r")  # Ctrl-U: what may stand there
    screen.wait("\n42\nevergreen 7>")
    leave(screen)


def test_a_window_that_was_made_smaller(open_screen):
    screen = open_screen()
    fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    os.kill(screen.process.pid, signal.SIGWINCH)
    screen.type("tree('chat', children=2)\r")
    screen.wait("no room for: ")
    screen.wait("evergreen 2>")
    assert re.search(r"<chat\w*@…>", screen.text)
    assert max(map(len, screen.text.splitlines()[1:])) <= 60
    leave(screen)


def test_ctrl_c_at_the_prompt_drops_what_is_typed(open_screen):
    screen = open_screen()
    screen.type("this is not meant")
    screen.wait("meant")
    screen.type(CTRL_C)
    screen.type("6 * 7\r")
    screen.wait("\n42\nevergreen 2>")
    leave(screen)


def test_tab_completes_from_the_nodes_names(open_screen):
    screen = open_screen()
    screen.type("wherei" + TAB)
    screen.wait("whereis")
    screen.type("('chat_regi" + TAB)
    screen.wait("whereis('chat_registrar")
    screen.type("')\r")
    screen.wait("<chat_registrar@evergreen@localhost>\nevergreen 2>")
    leave(screen)


def test_the_history_is_there_next_time(open_screen, tmp_path):
    screen = open_screen()
    screen.type("6 * 7\r")
    screen.wait("\n42\n")
    screen.wait("evergreen 2>")
    leave(screen)
    screen = open_screen()
    screen.type(UP)
    screen.wait("6 * 7")
    screen.type("\r")
    screen.wait("\n42\nevergreen 2>")
    assert (tmp_path / ".evergreen" / "shell_history").stat().st_mode & 0o777 == 0o600
    leave(screen)


def test_what_a_node_prints_cannot_play_with_the_terminal(open_screen):
    screen = open_screen()
    screen.type("print('a\\x1b[2J\\x1b]0;title\\x07b')\r")
    screen.wait("a\ufffd[2J\ufffd]0;title\ufffdb")
    leave(screen)


def test_exit_leaves(open_screen):
    screen = open_screen()
    screen.type("exit()\r")
    assert screen.close() == 0
    screen = open_screen()
    screen.type("exit(3)\r")
    assert screen.close() == 3
    screen = open_screen()
    screen.type("exit('good' + 'bye')\r")
    screen.wait("\ngoodbye")
    assert screen.close() == 1


def test_another_shell_is_attached_when_one_is_killed(open_screen):
    screen = open_screen()
    screen.type("kill('shells', sure=True)\r")
    screen.wait("This is another one")
    screen.type("6 * 7\r")
    screen.wait("\n42\n")
    leave(screen)


def test_a_terminal_that_closes_ends_its_shell(node, open_screen):
    screen, other = open_screen(), open_screen()
    screen.type("mine = 1; kernel.set_label('of the closed one'); sleep(1e6)\r")
    time.sleep(0.5)
    other.type("len(ps('of the closed'))\r")
    other.wait("\n1\nevergreen 2>")
    os.close(screen.master)  # its window is closed
    assert screen.process.wait(10) == -signal.SIGHUP
    other.type("sleep(0.5); len(ps('of the closed'))\r")
    other.wait("\n0\nevergreen 3>")
    leave(other)


def test_a_node_that_goes_is_noticed_at_the_prompt(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with Node(tmp_path / "var") as short:
        screen = Screen(
            [
                sys.executable,
                "-m",
                "runtime.admin.shell_command",
                "--socket",
                str(short.directory / "admin.sock"),
            ]
        )
        screen.wait("evergreen 1>")
        short.stop()
        screen.wait("evergreen: ")
        assert screen.close() == 1
        assert "Traceback" not in screen.text
