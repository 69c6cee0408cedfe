"""Each line of the right column of "From Erlang and Elixir" is run, in a process, with the names it speaks of."""

from __future__ import annotations

import ast
import builtins
import logging

import pytest

import runtime
from runtime import kernel
from runtime.kernel import Down, is_failure, processes, receive_match, spawn_monitor
from tests.docs import listings

PAGE = listings.DOCS / "from-erlang-and-elixir.md"
ROWS = [row for row in listings.tables(PAGE.read_text()) if len(row.cells) == 3]

COMMON = """
import runtime
from runtime import kernel
globals().update((name, getattr(runtime, name)) for name in dir(runtime) if hasattr(runtime, name))

class Counter(GenServer):
    def init(self, n): self.n = n
    def handle_call(self, request, sender):
        self.n += 1
        return self.n
    def handle_cast(self, request): self.n = 0
    def handle_info(self, message): pass
    def code_change(self, old_version, extra): self.n = extra

class Quiet(Counter):
    def handle_call(self, request, sender):
        send(asker, sender)
        return NoReply()

def fn(*args): pass
args = ()
asker = self_()
counter = pid = Counter.start(0, name="counter")
other = Counter.start(0, name="name")
ref = monitor(pid)
message, reason, value = ("ok", 1), "reason", 5
timer = send_after(60.0, pid, message)
request = send_request(pid, "next")
send(self_(), ("ok", 1))
"""

# What the rows below a heading need besides.
SETUP = {
    "Links, monitors, exit signals": "a = alias()",
    "gen_server": """
quiet = Quiet.start_link(0)
kernel_request = send_request(quiet, "x")
sender = receive_match(lambda m: isinstance(m, Call))
asked = RequestIds(); asked.send(pid, "next")
""",
    "gen_statem": """
from runtime.otp.state_machine import *
from runtime import call, Call
class Door(GenStateMachine):
    def init(self, code): return NextState("locked")
    def locked(self, kind, content): return Keep(Reply(kind, "no"))
door = Door.start_link("0000")
asked = send_request(quiet, "x") if False else Call(None, pid, "x", None)
""",
    "Supervisors": """
spec = ChildSpec("one", (Counter.start_link, (0,)))
class Mod(Supervisor):
    def init(self): return SupFlags(), [spec]
sup = Mod.start_link()
if CODE.startswith("start_child(sup"): terminate_child(sup, "one"); delete_child(sup, "one")
users = DynamicSupervisor.start_link()
from runtime.otp.partition_supervisor import PartitionSupervisor, PartitionVia
if "PartitionVia" in CODE: PartitionSupervisor.start_link(DynamicSupervisor, name="shares")
""",
    "proc_lib and sys": """
def special():
    proc_lib.init_ack()
server = Counter()
state = sys.get_state(counter)
if "init_ack()" in CODE or "enter_loop" in CODE:
    whole = CODE
    def special():
        if "enter_loop" in whole: proc_lib.init_ack(); send(self_(), Exit(None, "x")); server.handle_info = lambda m: Stop()
        exec(whole, globals())
    CODE = "proc_lib.start_link(special)"
""",
    "Applications": """
from runtime.config import Key
from runtime.otp.application import start_controller
start_controller()
class Mod(Supervisor):
    def init(self): return SupFlags(), []
class Shop(Application):
    name = "shop"
    def start(self, start_type, config): return Mod.start_link()
class Other(Shop): name = "other"
application.ensure_all_started(Shop)
""",
    "gen_event": """
from runtime.otp import event_manager
from runtime.otp.event_manager import *
class Printer(EventHandler):
    def handle_event(self, event): pass
    def handle_call(self, request): return 0
    def init(self, *args, previous=None): pass
manager = EventManager.start_link()
add_handler(manager, Printer)
""",
}

SETUP |= {
    "pg": """
from runtime.otp import pg
pg.start_link()
pg.join("lobby", pid)
""",
    "Logging and alarms": """
import logging
from runtime.observe import alarms
logging.disable()
alarms.start_link()
report = reports.UnhandledMessage(name="n", pid=pid, module="m", message=message)
""",
    "Task": """
from runtime.otp import task, task_supervisor
task_supervisor.TaskSupervisor.start_link(name="jobs")
job = None if "async_(fn" in CODE else task.async_(fn)
""",
    "Registry": """
from runtime.otp import registry
registry.Registry.start_link("unique", name="users")
registry.Registry.start_link("duplicate", name="topics")
registry.register("users", "ann", 1, pid=pid)
registry.register("topics", "news")
""",
}

# Lines that say how something looks inside something else.
ENDS = {"raise ProcessExit(reason)": "reason"}
FRAGMENTS = ("def ", "class ")


def snippets(row):
    return listings.code(row.cells[2])


def setup_for(heading):
    return SETUP.get(heading, "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.line}")
def test_the_right_column_runs(row):
    assert snippets(row), f"line {row.line}: no code in the right column"
    code = "\n".join(snippets(row)).replace(": ...", ": pass")
    namespace = {"CODE": code}

    def body():
        kernel.trap_exit(False)
        exec(COMMON, namespace)
        exec(setup_for(row.heading), namespace)
        exec(compile(namespace["CODE"], f"{PAGE.name}:{row.line}", "exec"), namespace)

    there = set(processes())
    live = set(kernel.clock.live)
    _, ref = spawn_monitor(body)
    try:
        down = receive_match(lambda m: isinstance(m, Down) and m.ref is ref, timeout=10.0)
        assert down is not kernel.TIMEOUT, f"{code} never ends"
        assert not is_failure(down.reason) or down.reason == ENDS.get(code), (
            f"{code}: {down.reason!r}\n" + getattr(down.reason, "trace", "")
        )
    finally:
        logging.disable(logging.NOTSET)
        for process in set(processes()) - there:
            kernel.exit(process, kernel.KILL)
        for timer in set(kernel.clock.live) - live:
            timer.cancel()


def test_every_row_has_its_three_columns():
    assert len(ROWS) > 150


@pytest.mark.plain
def test_every_name_in_the_text_exists():
    """Code in the prose names things that are there: `spawn_opt(fn, priority=...)`, `is_failure(reason)`."""
    prose = PAGE.read_text().partition("## What differs")[2]
    unknown = []
    for text in listings.code(prose):
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError:  # `{reply, V, S}`
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                if not hasattr(runtime, name) and not hasattr(builtins, name):
                    unknown.append(name)
    assert unknown == []
