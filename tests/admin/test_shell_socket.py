"""The admin shell through the real control socket of a real node: what it answers, and what it survives."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import socket as plain_socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.admin import commands
from runtime.admin.client import Client, NotConnected, OperationFailed
from runtime.admin.shell_client import Gone, ShellLink
from runtime.admin.shell_streams import MAX_OUTPUT
from apps.chat.client.events import State
from tests.support.node import Node, close_client, number

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.plain, pytest.mark.slow]


class Shell:
    """An attached shell: `do` returns the answer, `out` has what was printed since."""

    def __init__(self, path):
        self.client = Client.connect(path)
        try:
            self.link = ShellLink(self.client)
        except BaseException:
            self.client.close()
            raise
        self.out = ""
        self.events = []

    def note(self, event):
        self.events.append(event)
        if event["stage"] == "out":
            self.out += event["text"]

    def do(self, code, **options):
        self.out, self.events = "", []
        return self.link.evaluate(code, on_event=self.note, **options)

    def value(self, code):
        answer = self.do(code, form="json")
        assert answer["kind"] == "json", answer
        return answer["value"]

    def text(self, code):
        answer = self.do(code)
        assert "text" in answer, answer
        return answer["text"]

    def labels(self):
        """The processes of all shells, as a text in which one can look."""
        return str([row["label"] + " " for row in self.value("ps('shell ')")]).replace(" '", "'")

    def start(self, code):
        """Evaluate in a thread; returns a function that waits for the answer."""
        box = []
        thread = threading.Thread(target=lambda: box.append(self.do(code)), daemon=True)
        thread.start()

        def result(timeout=20.0):
            thread.join(timeout)
            assert box, f"no answer to {code!r} within {timeout} s"
            return box[0]

        return result

    def interrupt(self):
        self.client.send("shell.interrupt", {"shell": self.link.number})


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("shell") / "var") as made:
        yield made


@contextmanager
def attached(node):
    shell = Shell(node.directory / "admin.sock")
    try:
        yield shell
    finally:
        shell.client.close()


@pytest.fixture
def shell(node):
    with attached(node) as made:
        yield made


@pytest.fixture
def other(node):
    """A second shell, to see that the node lives."""
    with attached(node) as made:
        yield made


def until(condition, timeout=10.0):
    """Wait for what another process does; nothing tells of it."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)
    return value


# What it answers


def test_expressions_statements_and_names_that_last(shell):
    assert shell.text("1 + 1") == "2"
    assert shell.do("x = 20\ndef double(n):\n    return 2 * n")["kind"] == "none"
    assert shell.text("y = double(x); y + 2") == "42"
    assert shell.text("_ + 1") == "43"
    assert shell.text("'text'") == "'text'"
    assert shell.do("None")["kind"] == "none"


def test_two_shells_have_names_of_their_own(shell, other):
    shell.do("x = 1")
    assert other.do("x")["error"] == "NameError"


def test_the_names_of_runtime_are_there(shell):
    assert shell.text("whereis('alarms') is kernel.whereis('alarms')") == "True"
    assert shell.text("isinstance(self_(), Process)") == "True"
    assert shell.text("call(GenServer.start.__name__, 1) if False else GenServer.__name__") == "'GenServer'"
    assert shell.text("this.name") == "'evergreen@localhost'"


def test_what_fails_is_told_from_the_typed_line_on(shell):
    text = shell.text("def f(n):\n    return 1 / n\nf(0)")
    assert text.startswith('Traceback (most recent call last):\n  File "<shell ')
    assert "    return 1 / n\n" in text
    assert text.endswith("ZeroDivisionError: division by zero")
    assert "shell_evaluator" not in text
    assert "invalid syntax" in shell.text("1 +* 2")
    assert shell.do("1 +* 2")["error"] == "SyntaxError"


def test_lists_of_rows_are_tables(shell):
    table = shell.do("[{'a': 1, 'b': 'x'}, {'a': 20, 'b': None}]")
    assert (table["kind"], table["columns"], table["rows"]) == (
        "table", [["a", True], ["b", False]], [["1", "x"], ["20", ""]],
    )  # fmt: skip
    assert shell.do("[1, {}]") == {"kind": "text", "text": "[1, {}]"}


def test_the_same_value_as_plain_data(shell):
    assert shell.value("[1, None, {'a': (1.5, b'x')}, whereis('alarms')]") == [
        1, None, {"a": [1.5, "b'x'"]}, "<alarms@evergreen@localhost>",
    ]  # fmt: skip


def test_pids_can_be_pasted_as_printed(shell):
    printed = shell.text("whereis('alarms')")
    assert printed == "<alarms@evergreen@localhost>"
    assert shell.value(f"info({printed})")["name"] == "alarms"
    number = shell.value("info('alarms')")["number"]
    assert shell.value(f"info(<{number}@evergreen@localhost>)")["name"] == "alarms"
    assert shell.value("info(<@>)") if False else True
    assert "no living process" in shell.text("info(<9999999@evergreen@localhost>)")
    assert shell.text("'<alarms@evergreen@localhost>'") == "'<alarms@evergreen@localhost>'"


def test_print_goes_to_its_own_shell_and_nowhere_else(node, shell, other):
    assert shell.do(
        "import sys; print('p' 'ine'); sys.stdout.write('o' 'ak\\n'); print('err', file=sys.stderr)"
    )["kind"] in ("none", "text")
    assert shell.out == "pine\noak\nerr\n"
    assert other.out == ""
    assert "pine" not in "\n".join(node.lines) + node.log_file.read_text()


def test_what_is_printed_comes_while_the_input_runs(shell):
    done = shell.start("print('first'); sleep(1000)")
    until(lambda: shell.out == "first\n")
    shell.interrupt()
    assert done()["kind"] == "interrupted"


def test_a_shell_has_a_mailbox_that_lasts(shell):
    shell.do("me = self_(); send(me, 'a'); ref = monitor(spawn(lambda: None))")
    assert shell.text("self_() is me") == "True"
    rows = shell.do("sleep(0.01); flush()")["rows"]
    assert rows[0] == ["'a'"] or rows[0] == ["a"]
    assert "Down" in str(rows[1])


# What it survives


LOOPS = {
    "plain": "while True: pass",
    "for": "import itertools\nfor _ in itertools.count(): pass",
    "nested": "while True:\n    for i in range(10): [j for j in range(10)]",
    "comprehension": "import itertools; [1 for _ in itertools.count() if False]",
    "generator": "import itertools; sum(1 for _ in itertools.count() if False)",
    "recursion": "def f(n):\n    for i in range(1000): f(n + 1)\ntry:\n    f(0)\nexcept RecursionError: pass\nwhile True:\n    try: f(0)\n    except RecursionError: pass",
    "swallows": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "suppresses": "import contextlib\nwhile True:\n    with contextlib.suppress(BaseException):\n        while True: sleep(0.001)",
    "finally": "try:\n    while True: pass\nfinally:\n    while True: pass",
    "waits": "receive_match(lambda m: False)",
    "sleeps": "sleep(1e6)",
    "calls": "call(spawn(lambda: sleep(1e6)), 'x', None)",
    "threads": "import threading; blocking(threading.Event().wait, 5)",
    "gives way": "while True: yield_()",
    "prints": "while True: print('x' * 1000)",
    "shows": "class A:\n    def __repr__(self):\n        while True: pass\nA()",
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_an_endless_loop_holds_nobody_up_and_ends_with_an_interrupt(shell, other, name):
    done = shell.start(LOOPS[name])
    assert other.text("1 + 1") == "2"
    assert other.text("2 + 2") == "4"
    shell.interrupt()
    assert done() == {"kind": "interrupted", "text": "interrupted"}  # and not for having held the node
    assert shell.text("'on'") == "'on'"
    assert other.text("3 + 3") == "6"


HOLDS = {
    "an expression without end": "import re; re.match('(a*)*b', 'a' * 64)",
    "sleep": "import time; time.sleep(1000)",
    "a function of somebody else's": "exec(compile('while True: pass', 'other', 'exec'))",
    "that catches everything": "exec(compile('while True:\\n try:\\n  while True: pass\\n except Exception: pass', 'o', 'exec'))",
    "a program": "import subprocess; subprocess.run(['sleep', '1000'])",
    "a pipe": "import os; os.read(os.pipe()[0], 1)",
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDS)
def test_code_that_holds_the_node_ends_with_ctrl_c_before_the_loop_could_read_it(shell, other, name):
    done = shell.start(HOLDS[name])
    time.sleep(0.2)  # the loop is held: it cannot tell us
    started = time.monotonic()
    shell.interrupt()
    assert done()["kind"] == "interrupted"
    assert time.monotonic() - started < 1.5  # less than the limit that ends it anyway
    assert other.text("1 + 1") == "2"


def test_code_that_holds_the_node_is_ended_after_a_while(shell, other):
    done = shell.start("exec(compile('while True: pass', 'other', 'exec'))")
    answer = done()
    assert answer["kind"] == "interrupted"
    assert "held the node for 2" in answer["text"]
    assert other.text("1 + 1") == "2"


SWALLOWS = {
    "every exception": "while True:\n try:\n  while True: pass\n except BaseException: pass",
    "every exception, by a context": "import contextlib\nwhile True:\n with contextlib.suppress(BaseException):\n  while True: pass",
}  # fmt: skip


@pytest.mark.parametrize("name", SWALLOWS)
def test_called_code_that_swallows_everything_is_ended_all_the_same(shell, other, name):
    shell.do("x = 42")
    answer = shell.do(f"exec(compile({SWALLOWS[name]!r}, 'other', 'exec'))")
    assert answer["kind"] in ("interrupted", "ended")
    assert other.text("1 + 1") == "2"
    assert shell.text("x") == "42"


GUESTS = {
    "a process's function": "p = spawn(lambda: [1 for _ in iter(int, 1) if False])",
    "a reason's repr": "def f(): raise ValueError(Stuck())\n\np = spawn(f)",
    "a label's repr": "p = spawn(lambda: (kernel.set_label(Stuck()), 1 / 0))",
}


@pytest.mark.parametrize("name", GUESTS)
def test_what_was_typed_holds_the_node_nowhere(shell, other, name):
    shell.do("class Stuck:\n    def __repr__(self):\n        while True: pass\n")
    shell.do(GUESTS[name])
    assert other.text("1 + 1") == "2"
    until(lambda: shell.text("is_alive(p)") == "False")


def test_a_reason_that_cannot_be_shown_is_not_the_keepers_end(shell):
    shell.do(
        "class A:\n    def __repr__(self): raise ValueError\n\nclass B:\n    def __repr__(self):\n        while True: pass\n"
    )
    for name in "AB":
        assert shell.do(f"raise ProcessExit({name}())")["kind"] == "ended"
        assert shell.text("1 + 1") == "2"


def test_half_a_surrogate_pair_goes_as_python_writes_it(shell):
    shell.do("print('\\ud800')")
    assert shell.out == "\\ud800\n"
    assert shell.do("[{'a': '\\ud800'}]")["rows"] == [["\\ud800"]]
    assert "ValueError" in shell.text("raise ValueError('\\ud800')")


def test_a_trace_of_what_traces_are_made_with_is_refused(shell):
    for name in ("called", "_tell"):
        assert "would call itself" in shell.text(f"trace('runtime.observe.trace_points._Point.{name}')")


def test_a_terminal_that_closes_ends_what_it_evaluates(node, other):
    for code in ("while True: pass", "sleep(1e6)", "exec(compile('while True: pass', 'other', 'exec'))"):
        shell = Shell(node.directory / "admin.sock")
        mine = f"'shell {shell.link.number}"
        assert mine in other.labels()
        with contextlib.closing(shell.client):
            shell.client.send("shell.eval", {"shell": shell.link.number, "code": code})
            time.sleep(0.1)
        until(lambda mine=mine: mine not in other.labels())


def test_a_gigabyte_of_output_costs_the_bound(shell, other):
    before = other.value("node()")["memory"]
    assert before
    rss = other.value("this and __import__('resource').getrusage(0).ru_maxrss")
    answer = shell.do("for _ in range(1_000_000): print('x' * 999)")
    assert answer["kind"] == "none"
    assert len(shell.out) == MAX_OUTPUT
    dropped = [event["count"] for event in shell.events if event["stage"] == "dropped"]
    assert dropped == [1_000_000_000 - MAX_OUTPUT]
    assert other.value("__import__('resource').getrusage(0).ru_maxrss") - rss < 20_000  # KB


def test_huge_values_are_shown_in_part(shell):
    assert len(shell.text("'x' * 10_000_000")) < 5_000
    assert "more" in shell.text("list(range(10_000_000))")
    assert len(shell.text("[[list(range(100)) for _ in range(100)] for _ in range(100)]")) < 200_000
    assert len(str(shell.do("[{'a': i} for i in range(100_000)]"))) < 100_000
    assert "bits" in shell.text("1 << 1_000_000")
    assert len(json.dumps(shell.value("list(range(10_000_000))"))) < 10_000_000
    shell.do("a = []; a.append(a)")
    assert "…" in shell.text("a")


def test_a_repr_that_fails_hides_nothing_else(shell):
    shell.do("class A:\n    def __repr__(self): raise ValueError")
    assert shell.text("[1, A(), 2]") == "[1, <A whose repr fails: ValueError>, 2]"


@pytest.mark.parametrize("error", ["SystemExit", "ProcessExit('x')", "GeneratorExit"])
def test_a_repr_that_exits_does_not_leave_the_shell(shell, error):
    shell.do(f"class Leaving:\n    def __repr__(self): raise {error}\n")
    for code in ("Leaving()", "[Leaving()]", "{'a': Leaving()}", "[{'a': Leaving()}]"):
        assert shell.do(code)["kind"] in ("text", "table", "error"), code
        assert shell.do(code, form="json")["kind"] in ("json", "error"), code
    shell.do("class Keeper(GenServer):\n    def init(self): self.value = Leaving()\n")
    shell.do("keeper = Keeper.start()")
    assert shell.do("info(keeper)")["kind"] == "table"
    assert shell.do("state(keeper)")["kind"] in ("text", "error")
    shell.do("kill(keeper)")
    assert shell.text("1 + 1") == "2"


def test_forking_leaves_one_node(node, shell, other):
    children = set(node.children())
    assert int(shell.text("import os; os.fork()")) > 0
    assert int(shell.text("import pty; pty.fork()[0]")) > 0
    shell.do("[os.waitpid(-1, os.WNOHANG) for _ in range(3)]")
    until(lambda: all(_is_gone(pid) for pid in set(node.children()) - children))
    assert other.text("1 + 1") == "2"
    assert node.process.poll() is None
    assert (
        shell.text("import subprocess; subprocess.run(['echo', 'x'], capture_output=True).stdout")
        == "b'x\\n'"
    )


def _is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


ENDS = {
    "SystemExit": "raise SystemExit",
    "sys.exit": "import sys; sys.exit(1)",
    "exit": "exit()",
    "quit": "quit()",
}


@pytest.mark.parametrize("name", ENDS)
def test_whoever_wants_to_leave_leaves_alone(node, shell, other, name):
    assert shell.do(ENDS[name])["kind"] == "left"
    assert other.text("1 + 1") == "2"
    assert node.process.poll() is None


def test_exit_is_that_of_python_but_with_a_process_and_a_reason(shell, other):
    for code, text, status in (
        ("exit('bye')", "bye", 1),
        ("exit(3)", "", 3),
        ("exit(0)", "", 0),
        ("quit('alarms')", "alarms", 1),
    ):
        answer = shell.do(code)
        assert (answer["kind"], answer["text"], answer["code"]) == ("left", text, status)
    for signal in (
        "exit(one, 'boom')",
        "exit(one.number, 'boom')",
        "exit('one_to_end', 'boom')",
        "exit(one, reason=None)",
    ):
        shell.do("one = spawn(receive); kernel.register('one_to_end', one)")
        assert shell.do(signal)["kind"] == "none"
        assert shell.text("sleep(0.01); is_alive(one)") == "False"
    shell.do("one = spawn(receive)")
    assert shell.do("exit(one)")["kind"] == "none"  # "normal", which ends nobody else
    assert shell.text("is_alive(one)") == "True"
    assert "no living process 'bye'" in shell.text("exit('bye', 'boom')")
    shell.do("kill(one)")


RAISES = [
    "KeyboardInterrupt",
    "GeneratorExit",
    "BaseException('x')",
    "MemoryError",
    "StopIteration",
    "RecursionError",
]


@pytest.mark.parametrize("name", RAISES)
def test_whatever_is_raised_is_told(shell, other, name):
    answer = shell.do(f"raise {name}")
    assert answer["kind"] == "error"
    assert answer["error"] == name.partition("(")[0]
    assert other.text("1 + 1") == "2"


OWN_ENDS = {
    "kill": "kill(self_())",
    "exit signal": "kernel.exit(self_(), 'boom')",
    "ProcessExit": "raise ProcessExit('done')",
    "greenlet": "import greenlet; raise greenlet.GreenletExit",
}


@pytest.mark.parametrize("name", OWN_ENDS)
def test_a_shell_that_ends_its_own_process_gets_another_with_the_same_names(shell, other, name):
    shell.do("x = 42; me = self_()")
    answer = shell.do(OWN_ENDS[name])
    assert answer["kind"] == "ended", answer
    assert shell.text("x, self_() is me, is_alive(me)") == "(42, False, False)"
    assert other.text("1 + 1") == "2"


@pytest.mark.parametrize("boss", ["shells", "admin_listeners"])
def test_a_shell_that_kills_its_own_supervisor_ends_alone(node, other, boss):
    with attached(node) as shell:
        with pytest.raises((Gone, NotConnected)):
            shell.do(f"kill('{boss}', sure=True)")
    if boss == "admin_listeners":  # every connection went with it; the listener comes up again
        with pytest.raises((Gone, NotConnected)):
            other.do("1")

    def again():
        try:
            return Shell(node.directory / "admin.sock")
        except (NotConnected, OperationFailed):
            return None

    third = until(again)
    assert third.text("1 + 1") == "2"
    third.client.close()
    assert node.process.poll() is None


def test_what_the_node_cannot_be_without_is_not_killed_by_mistake(shell):
    for name in ("init", "node_services", "admin", "store", "shells", "sysmon"):
        assert "sure=True" in shell.text(f"kill('{name}')")


def test_a_second_ctrl_c_kills_what_does_not_give_in(shell):
    shell.do("x = 1")
    done = shell.start(
        "code = 'import runtime.kernel as k\\nwhile True:\\n try:\\n  k.sleep(1000)\\n except BaseException as e:\\n"
        "  if isinstance(e, k.ProcessExit): raise'\nexec(compile(code, 'other', 'exec'))"
    )
    time.sleep(0.1)
    shell.interrupt()
    shell.interrupt()
    assert done()["kind"] == "ended"
    assert shell.text("x") == "1"


def test_a_finally_runs_after_an_interrupt(shell):
    done = shell.start("try:\n    sleep(1000)\nfinally:\n    print('tidied')")
    time.sleep(0.1)
    shell.interrupt()
    assert done()["kind"] == "interrupted"
    assert shell.out == "tidied\n"


def test_there_is_no_standard_input(shell):
    assert shell.do("input()")["error"] == "EOFError"
    assert shell.do("import builtins; builtins.input()")["error"] == "EOFError"
    assert shell.do("import sys; sys.stdin.read()")["error"] == "EOFError"
    assert shell.do("breakpoint()")["kind"] in ("error", "none")


def test_traps_and_unlinks_do_not_keep_a_shell_alive(node, other):
    shell = Shell(node.directory / "admin.sock")
    shell.do("trap_exit(True); [unlink(p) for p in process_info(self_(), 'links')['links']]")
    mine = f"'shell {shell.link.number}"
    assert mine in other.labels()
    shell.client.close()
    until(lambda: mine not in other.labels())


# Who may


def test_a_shell_belongs_to_its_connection(node, shell, other):
    with pytest.raises(OperationFailed, match="has no shell"):
        other.client.ask("shell.eval", {"shell": shell.link.number, "code": "1"})
    with pytest.raises(OperationFailed, match="has no shell"):
        other.client.ask("shell.complete", {"shell": shell.link.number, "text": "a"})
    with pytest.raises(OperationFailed, match="has no shell"):
        other.client.ask("shell.interrupt", {"shell": shell.link.number})


def test_every_input_is_written_down_before_it_runs(node, shell):
    done = shell.start("secret = 'début'; sleep(1000)")
    log = node.directory / "shell.log"
    until(lambda: "début" in log.read_text())
    shell.interrupt()
    done()
    shell.do("1 / 0")
    assert log.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    mine = [row for row in rows if row["shell"] == shell.link.number]
    assert all(
        row["who"].startswith(f"uid {os.getuid()} (pid {os.getpid()})") and row["time"] for row in mine
    )
    told = [{k: v for k, v in row.items() if k in ("event", "input", "ended", "error")} for row in mine]
    assert told == [
        {"event": "attached"}, {"input": "secret = 'début'; sleep(1000)"}, {"ended": "interrupted"}, {"input": "1 / 0"},
        {"ended": "error", "error": "ZeroDivisionError"},
    ]  # fmt: skip
    assert f"shell {shell.link.number}, uid {os.getuid()}" in node.log_file.read_text()


def test_a_disk_that_hangs_keeps_nobody_out(tmp_path):
    """The shell may be what mends it: the file of inputs is a pipe here that nobody reads, the pool of threads is full."""
    (tmp_path / "var").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "var" / "shell.log")
    with Node(tmp_path / "var") as made, attached(made) as shell:
        full = "import threading, time\nfor _ in range(200): spawn(lambda: kernel.blocking(time.sleep, 20))"
        assert shell.do(full)["kind"] == "none"
        for _ in range(3):
            assert shell.text("1 + 1") == "2"
        started = time.monotonic()
        assert shell.text("2 + 2") == "4"
        assert time.monotonic() - started < 1.0, "after a few nobody waits any more"
        assert "the disk hangs" in made.log_file.read_text()


def test_what_could_fool_who_reads_the_file_is_escaped(node, shell):
    shell.do("'\x9b31m \u202e txt é \x1b'")
    line = (node.directory / "shell.log").read_text().splitlines()[-2]
    assert "\\u009b31m \\u202e txt é" in line
    assert json.loads(line)["input"] == "'\x9b31m \u202e txt é \x1b'"


def test_an_input_has_a_limit(shell):
    with pytest.raises(OperationFailed, match="is the limit"):
        shell.do("#" * 300_000)
    assert shell.do("(" * 5_000)["kind"] == "error"
    assert shell.do("-" * 150_000 + "1")["kind"] == "error"
    assert shell.text("1") == "1"


# The commands


def test_the_commands_of_every_theme_work(node, shell):
    tree = shell.value("tree()")
    assert {"node_services", "chat"} <= {row["id"] for row in tree if "id" in row}
    assert shell.value("tree('chat')")[0]["tree"] == "chat"
    assert {row["name"] for row in shell.value("ps('alarms')")} >= {"alarms"}
    for by in ("mailbox", "memory", "links", "monitors", "monitored_by"):
        assert len(shell.value(f"top('{by}', n=3)")) == 3
    assert "nothing to sort by" in shell.text("top('beauty')")
    assert shell.value("info('alarms')")["runs"] == "runtime.otp.event_manager.EventManager"
    assert "receive()" in shell.text("stack('init')")
    assert "without a stack" in shell.text("stack('alarms')")
    assert "AlarmHandler" in shell.text("state('alarms')")
    assert shell.do("messages('alarms')")["note"] == "the mailbox is empty"
    assert shell.value("node()")["node"] == "evergreen@localhost"
    assert shell.do("connections()")["kind"] == "table"
    assert {"name": "chat", "status": "running"}.items() <= shell.value("applications()")[0].items()
    assert shell.value("store()")["path"] == str(node.directory / "store")
    assert shell.do("releases()")["note"].startswith("none")
    assert "live code is off" in shell.text("rollback()")
    assert shell.value("log('debug', 'some.module')")[-1] == {"logger": "some.module", "level": "debug"}
    assert shell.value("log('default', 'some.module')")[-1]["logger"] != "some.module"
    assert "no level" in shell.text("log('loud')")
    for code in ("log(7)", "log('debug', 7)", "log('debug', 'x', seconds=-1)"):
        assert shell.do(code)["error"] == "CannotDo", code
    assert shell.value("log('debug', 'for.a.while', seconds=0.05)")[-1]["logger"] == "for.a.while"
    until(lambda: shell.value("log()")[-1]["logger"] != "for.a.while")
    assert shell.do("metrics('processes')")["kind"] == "table"


def test_the_buckets_of_a_histogram_are_in_their_order(shell):
    for name in ("evergreen_mailbox_messages_bucket", "chat_delivery_latency_seconds_bucket"):
        names = [row["name"] for row in shell.value(f"metrics({name!r})")]
        bounds = [float(re.search(r'le="(.*?)"', one)[1]) for one in names]
        assert len(bounds) > 5
        assert bounds == sorted(bounds)


def test_alarms_and_reports_tell_what_is_wrong(shell):
    shell.do("from runtime.observe import alarms as a; a.set_alarm('printer', 'out of paper')")
    assert shell.value("alarms()")[0]["id"] == "printer"
    shell.do("a.clear_alarm('printer')")
    assert "printer" not in {row["id"] for row in shell.value("alarms()")}
    shell.do("def crash(): return 1 / 0\npid_ = spawn(crash); sleep(0.05)")
    assert "ZeroDivisionError" in shell.text("reports()")


def test_acting_on_a_server(shell):
    shell.do(
        "class Counter(GenServer):\n    def init(self): self.n = 0\n"
        "    def handle_call(self, request, sender):\n        self.n += 1\n        return self.n\n"
    )
    shell.do("counter = Counter.start()")
    assert shell.text("call(counter, 'up')") == "1"
    assert shell.text("state(counter)") == "{'n': 1}"
    shell.do("suspend(counter); r = kernel.request(counter, 'up'); sleep(0.01)")
    assert shell.value("info(counter)")["status"] == "suspended"
    shell.do("resume(counter)")
    assert shell.text("kernel.receive_response(r)") == "2"
    shell.do("replace_state(counter, lambda state: {**state, 'n': 41})")
    assert shell.text("call(counter, 'up')") == "42"
    assert "has ended" in shell.text("kill(counter)")
    assert "no living process" in shell.text("kill(counter)")


def test_the_way_in_is_not_suspended_by_mistake(shell):
    for name in (
        "admin",
        "shells",
        "node_services",
        "init",
        "observers",
        "store",
        "janitor",
        "alarms",
        "sysmon",
    ):
        assert f"suspend('{name}', sure=True)" in shell.text(f"suspend('{name}')")
        assert shell.value(f"info('{name}')")["status"] != "suspended"
    shell.do("suspend('sysmon', sure=True)")
    assert shell.value("info('sysmon')")["status"] == "suspended"
    shell.do("resume('sysmon')")
    assert shell.value("info('sysmon')")["status"] == "waiting"


def test_mistakes_are_told_in_a_sentence(shell):
    number = shell.value("whereis('alarms').number")
    assert shell.value(f"ps({number})")[0]["name"] == "alarms"
    assert shell.value("ps(<alarms@evergreen@localhost>)")[0]["name"] == "alarms"
    for code in (
        "top([])", "suspend(self_())", "resume(self_())", "replace_state(self_(), str)", "reports(3, 'x')", "pin(7)",
        "info('x' * 100_000)", "info('<@>')", "kill(object())", "restart(None)", "queue(7)", "trace(len)", "trace('alarms', n=0)",
        "trace('alarms', seconds=float('nan'))", "crashdump('/proc/x')", "backup('/proc/x')", "log('info', 7)",
        "top(n='x')", "top(every='x')", "ps(n=-1)", "tree(children='x')", "messages('alarms', 'x')", "connections('x')",
        "releases('x')", "flush('x')", "reports('x')", "reports(1, 2)", "live(5)", "live(alarms())", "live(alarms, every=None)",
        "live(alarms, seconds='x')", "metrics(5)", "metrics(None)", "crashdump(5)", "backup(5)", "help('zz')",
        "log('info', seconds='x')", "state('alarms', timeout='x')", "replace_state('chat_load', None)",
        "replace_state('chat_load', lambda state: 1 / 0)", "replace_state('chat_load', lambda state: 5)",
        "replace_state('chat_load', dict, timeout=-1)", "resume('chat_load', 'x')", "suspend('chat_load', timeout=-1)",
        "suspend('chat_load', timeout=float('nan'))", "suspend('chat_load', timeout='x')",
    ):  # fmt: skip
        assert shell.do(code)["error"] == "CannotDo", code
    assert shell.value("queue('+33612345678', -1)") == []


def test_what_takes_no_system_messages_is_said_to(shell):
    assert "a process" in shell.text("suspend('init', timeout=0.05, sure=True)")
    for code in ("suspend(plain, 0.05)", "resume(plain, 0.05)", "replace_state(plain, str, 0.05)"):
        shell.do("plain = spawn(receive_match, lambda m: False)")
        text = shell.text(code)
        assert "takes no system messages" in text, code
        assert "Traceback" not in text
        shell.do("kill(plain)")


def test_restarting_a_child_of_a_supervisor(shell):
    before = shell.value("whereis('chat_registrar').number")
    assert "in its place runs" in shell.text("restart('chat_registrar')")
    assert shell.value("whereis('chat_registrar').number") != before
    assert "no supervisor's child" in shell.text("restart(spawn(receive))")


def test_a_backup_is_made_beside_the_running_store(node, shell, tmp_path):
    assert "0 damaged" in shell.text(f"backup({str(tmp_path / 'copy')!r})")
    assert (tmp_path / "copy" / "data.mdb").exists()
    assert "no backup was made" in shell.text(f"backup({str(tmp_path / 'copy')!r})")
    assert shell.do("backup()")["kind"] == "text"
    assert list((node.directory / "backups").iterdir())


def test_help_lists_every_command_by_theme(shell):
    text = shell.text("help()")
    for theme, functions in commands.table().items():
        assert f"\n{theme}\n" in "\n" + text
        for name in functions:
            assert f"  {name}(" in text, name
    assert "from outside" in shell.text("help(state)")
    assert "suspend(" in shell.text("help('acting')")
    assert all(len(line) <= 120 for line in text.splitlines())


def test_every_command_has_help_with_examples_that_run(node, shell):
    """Each example in each command's help is typed: it works, or says in a sentence why it cannot here."""
    from apps.chat.admin import ChatCommands

    themes = commands.table()
    themes["Chat"] = {
        name: getattr(ChatCommands, name) for name in ("sessions", "user", "queue", "waiting", "kick", "pin")
    }
    for functions in themes.values():
        for name, one in functions.items():
            examples = re.findall(rf"`({name}\(.*?\))`", inspect.getdoc(one))
            assert examples, f"help({name}) has no example"
            for example in examples:
                done = shell.start(example)
                if name == "live":
                    until(lambda: shell.events)
                    shell.interrupt()
                answer = done()
                assert answer["kind"] != "error" or answer["error"] == "CannotDo", (example, answer)


def test_every_command_that_looks_is_json(node, shell):
    looks = (
        "tree()", "ps()", "top()", "info('alarms')", "state('alarms')", "stack('init')", "messages('alarms')", "node()",
        "alarms()", "metrics()", "applications()", "connections()", "log()", "reports()", "releases()", "store()", "sessions()",
        "waiting()", "help()", "flush()", "trace('alarms', seconds=0.05)", "object()", "lambda: 1", "None", "kernel",
    )  # fmt: skip
    for code in looks:
        json.dumps(shell.do(code, form="json")["value"], allow_nan=False)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    odd = (
        "[float('nan'), float('inf'), -0.0, 10**30, 10**5000, {1: b'x', None: {2, 3}}, '\\ud800', '\\n\\x1b']"
    )
    done = run(node, "--json", "-c", odd)
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout, parse_constant=refuse)
    assert found[:4] == ["nan", "inf", 0.0, str(10**30)]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("1", 0), ("1 / 0", 1), ("(", 1), ("exit()", 0), ("quit(3)", 3), ("exit(256 + 7)", 7), ("raise SystemExit('no')", 1),
        ("kill('node_services')", 1), ("raise KeyboardInterrupt", 1),
    ],
)  # fmt: skip
def test_exit_codes(node, code, exit_code):
    assert run(node, "-c", code).returncode == exit_code


def test_a_terminal_without_the_letters(node):
    """What standard output cannot write is shown as Python writes it."""
    command = [
        sys.executable, "-m", "runtime.admin.shell_command", "--socket", str(node.directory / "admin.sock"), "-c", "tree('chat')",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0
    assert "\\u251c\\u2500 chat_shards" in done.stdout


def test_live_shows_frames_until_it_is_interrupted(shell):
    done = shell.start("top(n=3, every=0.1)")
    until(lambda: sum(event["stage"] == "frame" for event in shell.events) >= 3)
    shell.interrupt()
    assert done()["kind"] == "interrupted"
    assert shell.events[0]["view"]["kind"] == "table"


# Completion


def test_completion_offers_what_is_there(shell):
    shell.do(
        "class A:\n    slow = property(lambda self: 1 / 0)\n    kind = 1\nthing = A(); thing.own = {'x': A()}"
    )
    names = lambda text: shell.link.complete(text)[1]  # noqa: E731
    assert names("thin") == ["thing"]
    assert names("thing.") == ["kind", "own", "slow"]
    assert names("thing.slow.") == []
    assert names("kernel.recei")[:2] == ["receive", "receive_every"]
    assert "tree" in names("tr")
    assert names("top(b")[0] == "by="
    assert "alarms" in names("restart('alar")
    assert "alarms" in names("info('")
    assert names("x = thing.o") == ["own"]
    assert names("nothing.") == []
    assert names("f(").count("print") <= 1
    assert shell.link.complete("kernel.rec") == (7, names("kernel.rec"))


def test_completion_of_a_very_long_name_is_quick(shell):
    shell.do("from runtime.admin.shell_complete import complete; from time import process_time as now")
    assert (
        shell.value("t = now(); complete({}, 'a' * 2000); now() - t") < 0.05
    )  # of the processor: 0.2 and more once


def test_completion_of_a_busy_node_offers_nothing_and_ends_nothing(shell, other):
    done = other.start("exec(compile('while True: pass', 'other', 'exec'))")
    time.sleep(0.1)  # the node is held: it cannot say so
    assert shell.link.complete("kernel.rec") == (10, [])
    done()
    assert shell.link.complete("kernel.rec")[1][0] == "receive"
    assert shell.text("1 + 1") == "2"


def test_the_promised_commands_are_there(shell):
    names = (
        "tree ps top info state stack messages trace suspend resume replace_state kill restart alarms metrics log reports "
        "releases push rollback lingering sessions user queue kick pin backup store crashdump help"
    )
    assert shell.value(f"[name for name in {names!r}.split() if not callable(globals().get(name))]") == []


def test_completion_runs_nothing(shell):
    shell.do(
        "ran = []\n"
        "class Meta(type):\n"
        "    def __getattribute__(cls, name):\n        ran.append(name); return type.__getattribute__(cls, name)\n"
        "class B(metaclass=Meta):\n"
        "    def __getattr__(self, name):\n        ran.append(name); return 1\n"
        "    def __getattribute__(self, name):\n        ran.append(name); return object.__getattribute__(self, name)\n"
        "    def __dir__(self):\n        ran.append('dir'); return []\n"
        "    @property\n    def p(self):\n        ran.append('p')\n"
        "b = B(); ran.clear()"
    )
    for text in ("b.", "b.p.", "b.x.", "B.", "b.p", "B.p.", "info(b.", "b.__class__."):
        shell.link.complete(text)
    assert shell.value("ran") == []


# Without a terminal


def run(node, *arguments, stdin=None):
    command = [
        sys.executable,
        "-m",
        "runtime.admin.shell_command",
        "--socket",
        str(node.directory / "admin.sock"),
    ]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, input=stdin or ""
    )


def test_one_input_from_the_command_line(node):
    done = run(node, "-c", "1 + 1")
    assert (done.stdout, done.stderr, done.returncode) == ("2\n", "", 0)
    done = run(node, "-c", "1 / 0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    done = run(node, "-c", 'top(by="mailbox", n=2)')
    assert len(done.stdout.splitlines()) == 4
    done = run(node, "-c", "print('x'); node()['node']", "--json")
    assert (json.loads(done.stdout), done.stderr) == ("evergreen@localhost", "x\n")
    done = run(node, "-c", "1 / 0", "--json")
    assert json.loads(done.stdout)["error"]["kind"] == "error"
    assert done.returncode == 1


def test_the_exit_code_of_one_input(node):
    for code, status, said in (("exit(3)", 3, ""), ("exit('bye')", 1, "bye\n"), ("exit()", 0, "")):
        done = run(node, "-c", code)
        assert (done.returncode, done.stdout, done.stderr) == (status, "", said)
    done = run(node, "-c", "help('zz')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no command and no theme 'zz'" in done.stderr


def test_inputs_from_a_pipe_stop_at_the_first_that_fails(node):
    done = run(node, stdin="x = 2\nfor i in range(2):\n    print(i)\n\nx * 21\n1 / 0\nprint('never')\n")
    assert done.stdout == "0\n1\n42\n"
    assert done.returncode == 1


def test_ctrl_c_interrupts_one_input(node):
    command = [
        sys.executable,
        "-m",
        "runtime.admin.shell_command",
        "--socket",
        str(node.directory / "admin.sock"),
    ]
    child = subprocess.Popen(
        [*command, "-c", "print('on', flush=True)\nwhile True: pass"], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout.readline() == "on\n"
    child.send_signal(2)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "interrupted" in err


def test_no_node_is_said_in_a_sentence(tmp_path):
    command = [sys.executable, "-m", "runtime.admin.shell_command", "--socket", str(tmp_path / "none.sock")]
    done = subprocess.run([*command, "-c", "1"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("evergreen: no node runs there")
    done = subprocess.run(
        [*command, "-c", "1", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout)["error"]["kind"] == "NotConnected"


# From another machine, and from a dump


def free_port():
    with plain_socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def by_tls(node, port, pem, key):
    own = str(node.directory / "certificates" / "ca.pem")
    files = ["--certificate", pem, "--certificate-key", key, "--authority", own]
    command = [sys.executable, "-m", "runtime.admin.shell_command", "--node", f"127.0.0.1:{port}", *files]
    return [*command, "--server-name", "localhost"]


def do(command, *arguments):
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_from_another_machine_by_mutual_tls(tmp_path, authority):
    anna = authority.issue("anna", file="anna")
    port = free_port()
    settings = f"admin.port={port}", f"admin.clients={authority.ca}"
    with Node(tmp_path / "var", *settings, "admin.remote_shell=true") as made:
        command = by_tls(made, port, *anna)
        assert do(command, "-c", "1 + 1").stdout == "2\n"
        assert (
            '"who": "certificate commonName=anna (127.0.0.1)"' in (made.directory / "shell.log").read_text()
        )
        child = subprocess.Popen(
            [*command, "-c", "print('on'); sleep(0.1)\nexec(compile('while True: pass', 'other', 'exec'))"], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert child.stdout.readline() == "on\n"
        time.sleep(0.4)
        child.send_signal(2)
        assert child.communicate(timeout=20)[1] == "interrupted\n"
        with attached(made) as local:
            assert local.text("1 + 1") == "2"


def test_who_has_no_right_gets_no_shell(tmp_path, authority):
    anna = authority.issue("anna", file="anna")
    port = free_port()
    with Node(tmp_path / "var", f"admin.port={port}", f"admin.clients={authority.ca}") as made:
        done = do(by_tls(made, port, *anna), "-c", "1 + 1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "admin.remote_shell = true" in done.stderr
        # The node's own certificate is of another authority than its clients'.
        folder = made.directory / "certificates"
        done = do(by_tls(made, port, str(folder / "server.pem"), str(folder / "server.key")), "-c", "1 + 1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("evergreen: ")
        assert "Traceback" not in done.stderr
        if os.geteuid() == 0:
            made.directory.chmod(0o755)
            (made.directory / "admin.sock").chmod(0o666)
            for folder in [made.directory, *made.directory.parents]:
                if folder.owner() == "root" and folder.is_relative_to(tempfile.gettempdir()):
                    folder.chmod(folder.stat().st_mode | 0o055)
            with plain_socket.socket(plain_socket.AF_UNIX) as sock:
                os.seteuid(65534)
                try:
                    sock.connect(str(made.directory / "admin.sock"))
                    said = sock.recv(1000)
                finally:
                    os.seteuid(0)
            assert b"uid 65534 may not control this node" in said


def test_a_dump_is_looked_at_with_the_same_commands(node, shell, tmp_path):
    path = tmp_path / "now.dump"
    shell.do("stuck = spawn(receive_match, lambda m: False); [send(stuck, n) for n in range(50)]; stuck")
    number = shell.value("stuck.number")
    assert shell.value(f"crashdump({str(path)!r})") == str(path)
    shell.do("kill(stuck)")
    command = [sys.executable, "-m", "runtime.admin.shell_command", "--dump", str(path)]
    assert "node_services" in do(command, "-c", "tree()").stdout
    rows = json.loads(do(command, "-c", "top('mailbox', n=1)", "--json").stdout)
    assert (rows[0]["number"], rows[0]["mailbox"]) == (number, 50)
    assert (
        "receive_match"
        in do(command, "-c", f"stack({number})").stdout + do(command, "-c", f"info({number})").stdout
    )
    assert json.loads(do(command, "-c", f"messages({number}, n=2)", "--json").stdout)[1]["message"] == "1"
    assert json.loads(do(command, "-c", "node()", "--json").stdout)["node"] == "evergreen@localhost"
    done = do(command, "-c", "trace('alarms')")
    assert done.returncode == 1
    (tmp_path / "other").write_text("x")
    done = do([*command[:-1], str(tmp_path / "other")], "-c", "1")
    assert done.stderr.startswith("evergreen: ")
    assert "no crash dump" in done.stderr


def test_a_trace_shows_what_comes_and_goes(shell):
    shell.do(
        "class Echo(GenServer):\n    def init(self): pass\n    def handle_call(self, request, sender): return request\n"
    )
    shell.do("echo = Echo.start(name='echo_of_trace')")
    done = shell.start("spawn(lambda: (sleep(0.2), call(echo, 'ping'))); trace(echo, n=1, seconds=5)")
    assert done()["kind"] == "none"
    assert "'ping'" in shell.out
    assert shell.out.endswith("trace over: 1 events\n")
    assert shell.value("trace(echo, n=1, seconds=0.05)")[-1]["kind"] == "end"
    assert "no living process" in shell.text("trace(<9999999@evergreen@localhost>)")
    done = shell.start("trace(echo, seconds=1000)")
    time.sleep(0.2)
    shell.interrupt()
    assert done()["kind"] == "interrupted"
    until(lambda: not shell.value("ps('Tracer')"))
    shell.do("kill(echo)")


# The chat's own commands


def test_the_chats_commands(tmp_path):
    anna, ben = number(1), number(2)
    with Node(tmp_path / "var", "chat.delivery.user_idle=900") as made, attached(made) as shell:
        made.register(tmp_path / "anna", anna)
        made.register(tmp_path / "ben", ben)
        client = made.client(tmp_path / "anna")
        try:
            step(client, lambda: client.is_ready)
            client.send(ben, "secret words")
            step(client, lambda: shell.value(f"queue('{ben}')"))
            rows = shell.value(f"queue('{ben}')")
            assert [(row["from"], row["kind"], row["size"]) for row in rows] == [
                (anna, "text", len("secret words"))
            ]
            assert shell.value("waiting()")["users"] == shell.value("waiting()")["entries"] == 1
            assert "secret words" not in str(shell.do(f"queue('{ben}')")) + str(shell.do(f"user('{ben}')"))
            assert [row["user"] for row in shell.value("sessions()")] == [anna]
            assert shell.value("sessions(filter='nobody')") == []
            found = shell.value(f"user('{anna}')")
            assert (found["user"], found["session"]) == (anna, shell.value("sessions()[0]['pid']"))
            assert shell.value(f"user('{ben}')").get("session") is None
            assert "is told to go" in shell.text(f"kick('{anna}')")
            until(
                lambda: shell.value(f"user('{anna}')").get("session") is None or not shell.value("sessions()")
            )
            assert "has no session" in shell.text(f"kick('{ben}')")
        finally:
            close_client(client)
        assert "there is no user" in shell.text(f"user('{number(3)}')")
        assert "is no user id" in shell.text("user(7)")
        other = made.client(tmp_path / "carl")
        try:
            step(other, lambda: other.session.state is State.GREETED)
            other.ask_pin(number(3))
            step(
                other,
                lambda: (
                    shell.do(f"pin('{number(3)}')")["kind"] == "text"
                    and "PIN" not in shell.text(f"pin('{number(3)}')")
                ),
            )
            assert shell.value(f"pin('{number(3)}')") == made.pin_for(number(3))
        finally:
            close_client(other)
        assert "no PIN is in flight" in shell.text(f"pin('{number(4)}')")


def step(client, condition, timeout=20.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "not in time"
        list(client.step(0.05))


def test_records_hold_values_and_only_the_terminal_writes_them_for_people(shell):
    """OPERATIONS.md: `--json`: bytes, seconds and counts as numbers; a field is an attribute and an item, of all records."""
    now = shell.value("node()")
    assert all(type(now[name]) is int for name in ("memory", "memory_limit", "processes", "messages", "pid"))
    assert all(type(now[name]) is float for name in ("uptime", "loop_lag", "time"))
    assert re.fullmatch(r"\d+(\.\d)? MB", dict(shell.do("node()")["rows"])["memory"])
    assert shell.value("store()")["used"] > 1000
    about = shell.value("info('alarms')")
    assert (about["pid"], about["status"]) == ("<alarms@evergreen@localhost>", "waiting")
    assert type(about["memory"]) is type(about["heap"]) is int
    both = (
        "node().memory > 1 and node()['memory'] > 1", "info('alarms').pid == info('alarms')['pid']",
        "top()[0].pid == top()[0]['pid']", "tree()[0].pid == tree()[0]['pid']", "metrics()[0].name == metrics()[0]['name']",
        "applications()[0].name == applications()[0]['name']",
    )  # fmt: skip
    for code in both:
        assert shell.value(f"[{code}][0]") is True, code
    assert "there is no 'color' here: node, creation" in shell.text("node().color")
    assert "KeyError" in shell.text("top()[0]['color']")


def test_a_child_is_started_by_its_id(shell):
    """supervisor:restart_child/2: a child that ended, or never ran, is known by its id; where several have one, all are named."""
    shell.do("class Idle(GenServer):\n    def init(self): pass\n")
    shell.do(
        "class Boss(Supervisor):\n    def init(self): return SupFlags(), [ChildSpec('sleepy', (Idle.start_link, ()))]\n"
    )
    assert shell.do("boss = Boss.start_link(name='boss_one')")["kind"] == "none"
    assert "was stopped; in its place runs" in shell.text("restart('sleepy')")
    shell.do("terminate_child(boss, 'sleepy')")
    assert re.search("'sleepy' was started under <boss_one@.*>: <", shell.text("restart('sleepy')"))
    assert shell.value("count_children(boss)")["active"] == 1
    shell.do("other = Boss.start_link(name='boss_two')")
    told = shell.text("restart('sleepy')")
    assert "several supervisors have a child 'sleepy': <boss_one@" in told
    assert "<boss_two@" in told
    shell.do("terminate_child(other, 'sleepy')")
    assert "was started under <boss_two@" in shell.text("restart('sleepy', under='boss_two')")
    assert "no supervisor has a child of that id: tree()" in shell.text("restart('nobody_at_all')")
    assert "<boss_two@evergreen@localhost> has no child of that id" in shell.text("restart('x', under=other)")
    shell.do("kill(boss); kill(other)")


def test_help_takes_names_and_modules_are_there(shell):
    """`help("top")` is `help(top)`; modules by their names in Erlang."""
    assert shell.text("help('top')") == shell.text("help(top)")
    assert "there is no command and no theme 'tops'" in shell.text("help('tops')")
    assert "Start the children" in shell.text("help('supervisor')") or "supervisor" in shell.text(
        "help('supervisor')"
    )
    listed = shell.text("help()")
    for module in commands.MODULES:
        assert shell.value(f"{module}.__name__").startswith("runtime."), module
        assert module in listed, module
    assert "shells" in str(shell.value("[row.id for row in supervisor.which_children('admin')]"))


def test_a_trace_says_at_once_what_it_does_and_shows_no_bodies(shell):
    """Before the first event: what, until when, how to stop it. What cannot be traced is told without it."""
    from_now = shell.start("trace('alarms', n=5, seconds=30)")
    end = time.monotonic() + 20
    while not shell.out and time.monotonic() < end:
        time.sleep(0.02)
    assert re.fullmatch(
        r"tracing alarms: until \d\d:\d\d:\d\d \(30.0 s\) or 5 events; Ctrl-C stops it\n", shell.out
    )
    shell.interrupt()
    assert from_now()["kind"] == "interrupted"
    assert shell.text("trace('no_such_thing')")
    assert "tracing" not in shell.out
    shell.do(
        "from apps.chat.domain.records import Envelope; listener = spawn(lambda: (receive(), receive()))"
    )
    shell.do("letter = Envelope(1, 'ann', 'text', b'the body', 1, 1)")
    for options, is_shown in (("", False), (", bodies=True", True)):
        shell.do(
            f"spawn(lambda: (sleep(0.3), send(listener, letter))); trace(listener, n=1, seconds=20{options})"
        )
        assert "Envelope(message=1, sender='ann'" in shell.out
        assert ("the body" in shell.out) is is_shown
