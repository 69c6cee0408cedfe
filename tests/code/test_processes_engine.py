"""Releases of real modules in a temporary directory, with processes that run them: up, down, and refused."""

from __future__ import annotations

import gc
import importlib
import itertools
import sys

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from runtime.kernel import CallError
from runtime.otp import proc_lib, supervisor
from runtime.otp.gen_server import call, cast
from runtime.testing import settle
from tests.net.helpers import Client, listening

_numbers = itertools.count()


class Tree:
    """Managed modules: `tree.load(m="X = 1")`, `tree.push(m="X = 2")`. Their names are unique to the test."""

    def __init__(self, base):
        self.base = base
        self.package = f"evolving{next(_numbers)}"
        (base / self.package).mkdir()
        self.engine = Engine(Roots(base, [self.package]), quiesce=2.0)

    def _sources(self, texts):
        return {
            f"{self.package}/{name}.py": text and text.replace("PACKAGE", self.package)
            for name, text in texts.items()
        }

    def load(self, **texts):
        for path, text in self._sources(texts).items():
            (self.base / path).write_text(text)
        return [self[name] for name in texts][-1]

    def __getitem__(self, name):
        return importlib.import_module(f"{self.package}.{name}")

    def push(self, direction="up", extra=None, **texts):
        return self.engine.push(self._sources(texts), direction=direction, extra=extra)


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path)
    sys.path.insert(0, str(tmp_path))
    made.engine.install()
    yield made
    made.engine.uninstall()
    sys.path.remove(str(tmp_path))
    for name in [n for n in sys.modules if n.partition(".")[0] == made.package]:
        del sys.modules[name]


def end(*pids):
    for pid in pids:
        kernel.exit(pid, "kill")


ONE = """
from runtime.otp import GenServer
__vsn__ = "1"

class Counter(GenServer):
    def init(self, n=0, go=None):
        self.n = n
        self.go = go
        if go is not None and go != "later":
            go.wait()

    def handle_call(self, request, sender):
        if request == "wait":
            self.go.wait()
        self.n += 1
        return self.n
"""
TWO = """
from runtime.otp import GenServer
__vsn__ = "2"

class Counter(GenServer):
    def init(self, n=0, go=None):
        self.state = {"n": n, "by": 1}

    def handle_call(self, request, sender):
        self.state["n"] += self.state["by"]
        return ("two", self.state["n"])

    def code_change(self, old, extra):
        if old == "1":
            self.state = {"n": self.n, "by": extra or 1}
            del self.n
        else:
            assert old == ("down", "1"), old
            self.n = self.state["n"]
            self.go = None
            del self.state
"""


def test_states_go_up_and_down_with_the_code(tree):
    module = tree.load(m=ONE)
    pids = [module.Counter.start(n) for n in range(100)]
    assert [call(pid, "x") for pid in pids] == list(range(1, 101))
    report = tree.push(m=TWO, extra=10)
    assert report.migrated == 100
    assert [call(pid, "x") for pid in pids] == [("two", n + 11) for n in range(100)]
    assert tree.push("down", m=ONE).migrated == 100
    assert [call(pid, "x") for pid in pids] == list(range(12, 112))
    assert all("state" not in vars(pid.behaviour) for pid in pids)
    end(*pids)


@pytest.mark.plain
def test_a_release_from_the_main_program_changes_states_too(tree):
    module = tree.load(m=ONE)
    pid = kernel.run(module.Counter.start, 5)
    assert tree.push(m=TWO).migrated == 1
    assert kernel.run(call, pid, "x") == ("two", 6)
    kernel.run(end, pid)


def test_a_code_change_that_fails_for_one_of_many_leaves_code_and_states(tree):
    module = tree.load(m=ONE)
    pids = [module.Counter.start(n) for n in range(50)]
    with pytest.raises(Refused, match="ZeroDivisionError") as refused:
        tree.push(m=TWO.replace("extra or 1}", "1 // (self.n - 33)}"))
    assert refused.value.kind == "code_change"
    assert refused.value.line == 15
    assert [call(pid, "x") for pid in pids] == list(range(1, 51))
    assert module.__vsn__ == "1"
    assert tree.push(m=TWO).migrated == 50
    end(*pids)


def test_one_that_stays_busy_refuses_the_release_and_all_goes_on_in_old_code(tree):
    tree.engine.quiesce = 0.05
    module = tree.load(m=ONE)
    go = gevent.event.Event()
    pid = module.Counter.start(0, "later")
    idle = module.Counter.start(0)
    pid.behaviour.go = go
    answer = []
    kernel.spawn(lambda: answer.append(call(pid, "wait")))
    settle()
    with pytest.raises(Refused, match=r"m\.Counter\.handle_call \(\w+/m\.py:14\), for at least") as refused:
        tree.push(m=TWO)
    assert refused.value.kind == "busy"
    assert call(idle, "x") == 1
    go.set()
    gevent.sleep(0)
    settle()
    assert answer == [1]
    tree.push(m=TWO)
    assert call(pid, "x") == ("two", 2)
    end(pid, idle)


def test_messages_that_come_during_the_release_are_handled_by_new_code_in_order(tree):
    tree.load(m=ONE + "\n    def handle_cast(self, request):\n        self.n = self.n * 10 + request\n")
    pid = tree["m"].Counter.start(0, "later")
    go = pid.behaviour.go = gevent.event.Event()
    kernel.spawn(call, pid, "wait")
    settle()
    done = []
    kernel.spawn(
        lambda: done.append(
            tree.push(
                m=TWO
                + "\n    def handle_cast(self, request):\n        self.state['n'] = self.state['n'] * 10 + request\n"
            )
        )
    )
    settle()
    kernel.pause(0.02)
    for digit in (2, 3, 4):
        cast(pid, digit)
    go.set()
    kernel.pause(0.2)
    assert len(done) == 1
    assert call(pid, "x") == ("two", 1235)
    end(pid)


def test_processes_started_all_the_time_end_up_in_the_new_form(tree):
    module = tree.load(m=ONE)
    pids, going = [], [1]

    def start():
        while going:
            pids.append(module.Counter.start(len(pids)))
            kernel.yield_()

    kernel.spawn(start)
    kernel.pause(0.01)
    before = len(pids)
    tree.push(m=TWO)
    kernel.pause(0.01)
    going.clear()
    settle()
    assert 5 < before < len(pids)
    assert [call(pid, "x") for pid in pids] == [("two", n + 1) for n in range(len(pids))]
    end(*pids)


def test_one_in_the_middle_of_its_init_is_waited_for(tree):
    module = tree.load(m=ONE)
    go = gevent.event.Event()
    started = []
    kernel.spawn(lambda: started.append(module.Counter.start(7, go)))
    settle()
    done = []
    kernel.spawn(lambda: done.append(tree.push(m=TWO)))
    settle()
    kernel.pause(0.05)
    assert done == []
    go.set()
    kernel.pause(0.2)
    assert done[0].migrated == 1
    assert call(started[0], "x") == ("two", 8)
    end(started[0])


def test_a_helper_or_a_body_changes_without_touching_any_state(tree):
    tree.load(helper="def step():\n    return 1\n")
    source = ONE.replace("self.n += 1", "self.n += step()").replace(
        '__vsn__ = "1"', "from PACKAGE.helper import step"
    )
    pid = tree.load(m=source).Counter.start(0)
    assert call(pid, "x") == 1
    assert tree.push(helper="def step():\n    return 100\n").migrated == 0
    assert call(pid, "x") == 101
    end(pid)


BASE = """
from runtime.otp import GenServer
__vsn__ = 1
class Base(GenServer):
    def init(self):
        self.log = []
    def handle_call(self, request, sender):
        return self.log
"""
CHANGE = """
    def code_change(self, old, extra):
        self.log.append((__name__.partition(".")[2], old))
"""
DERIVED = """
from PACKAGE.base import Base
__vsn__ = "a"
class Derived(Base):
    pass
"""


def test_bases_and_derived_classes_each_with_the_version_of_their_module(tree):
    tree.load(base=BASE)
    pid = tree.load(derived=DERIVED).Derived.start()
    one = {"base": BASE.replace("= 1", "= 2") + CHANGE}
    tree.push(**one)
    assert call(pid, "log") == [("base", 1)]
    two = {"base": one["base"].replace("= 2", "= 3"), "derived": DERIVED.replace('"a"', '"b"') + CHANGE}
    tree.push(**two)
    assert call(pid, "log")[1:] == [("base", 2), ("derived", "a")]
    tree.push("down", base=one["base"], derived=DERIVED)
    assert call(pid, "log")[3:] == [("derived", ("down", "a")), ("base", ("down", 2))]
    end(pid)


MACHINE = """
from runtime.otp import GenStateMachine
from runtime.otp.state_machine import Keep, NextState, Reply
__vsn__ = 1
class Door(GenStateMachine):
    def init(self):
        return NextState("shut")
    def shut(self, kind, content):
        return Keep(Reply(kind, "shut"))
"""
MACHINE_2 = (
    MACHINE.replace("= 1", "= 2").replace("shut", "closed")
    + """
    def code_change(self, old, extra):
        return NextState("closed" if old == 1 else "shut")
"""
)


def test_a_state_gets_another_name_there_and_back(tree):
    pid = tree.load(m=MACHINE).Door.start()
    tree.push(m=MACHINE_2)
    assert call(pid, "x") == "closed"
    tree.push("down", m=MACHINE)
    assert call(pid, "x") == "shut"
    with pytest.raises(Refused, match="shut"):
        tree.push(m=MACHINE_2.replace('"closed" if old == 1 else ', ""))
    assert call(pid, "x") == "shut"
    end(pid)


PROTOCOL = """
from runtime.net import Line, Protocol
__vsn__ = 1
class Lines(Protocol):
    framing = Line(100)
    def connected(self, conn):
        self.count = 0
    def frames(self, conn, frames):
        for frame in frames:
            self.count += 1
            conn.write_raw(frame + b" %d\\n" % self.count)
"""
PROTOCOL_2 = """
from runtime.net import Line, Protocol
__vsn__ = 2
class Lines(Protocol):
    framing = Line(100)
    def connected(self, conn):
        self.lines = []
    def frames(self, conn, frames):
        for frame in frames:
            self.lines.append(frame)
            conn.write_raw(b"%d lines\\n" % len(self.lines))
    def code_change(self, old, extra):
        if old == 1:
            self.lines = [None] * self.count
        else:
            self.count = len(self.lines)
"""


def test_a_connection_lives_through_a_change_of_its_protocol(tree):
    module = tree.load(m=PROTOCOL)
    with listening(module.Lines) as pid, Client(pid) as client:
        client.raw(b"one\n")
        assert client.exactly(6) == b"one 1\n"
        client.raw(b"tw")
        assert tree.push(m=PROTOCOL_2).migrated == 1
        client.raw(b"o\n")
        assert client.exactly(8) == b"2 lines\n"
        tree.push("down", m=PROTOCOL)
        client.raw(b"four\n")
        assert client.exactly(7) == b"four 3\n"


TOP = """
from runtime.otp import ChildSpec, GenServer, SupFlags, Supervisor
class Child(GenServer):
    pass
class Top(Supervisor):
    def init(self):
        return SupFlags(intensity=3), [ChildSpec("a", (Child.start_link, ())), ChildSpec("b", (Child.start_link, ()))]
"""


def test_flags_and_specs_of_a_changed_supervisor_take_effect(tree):
    pid = tree.load(m=TOP).Top.start_link()
    before = {child.id: child.pid for child in supervisor.which_children(pid)}
    report = tree.push(m=TOP.replace("intensity=3", "intensity=9").replace('ChildSpec("b"', 'ChildSpec("c"'))
    assert (report.supervisors[0].new, report.supervisors[0].gone) == (("c",), ("b",))
    assert any("'c'" in warning for warning in report.warnings)
    assert {child.id: child.pid for child in supervisor.which_children(pid)} == {**before, "c": None}
    assert pid.behaviour.children.flags.intensity == 9
    kernel.unlink(pid)
    proc_lib.stop(pid, "shutdown")


LOOP = """
def run(event):
    while True:
        event.wait()
        event.clear()
        x = 1
"""


def test_who_lingers_is_told_and_purged(tree):
    module = tree.load(m=LOOP)
    name = module.__name__
    pid = kernel.spawn(module.run, gevent.event.Event())
    settle()
    old = tree.engine.modules[name].sha
    tree.push(m=LOOP.replace("x = 1", "x = 2"))
    retired = tree.engine.retired
    (one,) = retired.lingering(name)
    assert (one.who, one.function, one.module, one.sha, one.line) == (pid, "run", name, old, 4)
    assert not retired.soft_purge(name)
    assert retired.purge(name) == 1
    settle()
    assert not kernel.is_alive(pid)
    assert retired.soft_purge(name)
    gc.collect()
    assert len(retired) == 0


def test_a_refused_release_leaves_nobody_lingering(tree):
    module = tree.load(m=LOOP)
    pid = kernel.spawn(module.run, gevent.event.Event())
    settle()
    with pytest.raises(Refused):
        tree.push(m=LOOP.replace("x = 1", "x = 2") + "\n1 / 0\n")
    assert tree.engine.retired.lingering() == []
    end(pid)


def test_calls_waiting_during_a_release_are_answered_or_told_of_the_end(tree):
    module = tree.load(m=ONE)
    go = gevent.event.Event()
    busy, idle = module.Counter.start(0, "later"), module.Counter.start(0)
    busy.behaviour.go = go
    answers = []

    def ask(pid, request):
        try:
            answers.append(call(pid, request))
        except CallError as error:
            answers.append(error.reason)

    kernel.spawn(ask, busy, "wait")
    settle()
    done = []
    kernel.spawn(lambda: done.append(tree.push(m=TWO)))
    settle()
    kernel.pause(0.02)
    kernel.spawn(ask, idle, "x")
    kernel.spawn(ask, busy, "x")
    settle()
    end(idle)
    settle()
    assert answers == ["killed"]
    go.set()
    kernel.pause(0.2)
    assert answers == ["killed", 1, ("two", 2)]
    assert done[0].migrated == 1
    end(busy)


SERVER = """
from runtime.otp import GenServer

class NAME(GenServer):
    def handle_call(self, request, sender):
        return WORD
WORD = "old"
"""


def test_processes_of_a_class_that_is_renamed_are_told_and_listed(tree):
    """They go on in the removed class, which no later edit reaches: nobody should have to find that out by himself."""
    module = tree.load(m=SERVER.replace("NAME", "Old"))
    pids = [module.Old.start() for _ in range(3)]
    derived = type("Derived", (module.Old,), {"__module__": "elsewhere"}).start()
    assert tree.engine.retired.lingering() == []
    report = tree.push(m=SERVER.replace("NAME", "New").replace("old", "new"))
    name = f"{tree.package}.m"
    assert report.warnings == [
        f"4 processes run removed class {name}.Old until they end: runtime.code.lingering() tells which"
    ]
    other = tree["m"].New.start()
    found = tree.engine.retired.lingering(name)
    assert sorted(one.who.number for one in found) == sorted(pid.number for pid in [*pids, derived])
    assert {(one.function, one.module, one.line, one.is_class) for one in found} == {("Old", name, 5, True)}
    assert str(found[0]).startswith(f"{found[0].who!r} is a process of {name}.Old:5 of ")
    assert not tree.engine.retired.soft_purge(name)
    assert tree.engine.retired.lingering("another") == []
    assert call(pids[0], "x") == "new", "its globals are those of the module"
    end(derived)
    assert tree.engine.retired.purge(name) == 3
    assert [kernel.is_alive(pid) for pid in (*pids, other)] == [False, False, False, True]
    assert tree.engine.retired.lingering() == []
    end(other)


def test_processes_of_a_deleted_module_are_told_and_listed(tree):
    module = tree.load(m=SERVER.replace("NAME", "Old"))
    pid = module.Old.start()
    report = tree.push(m=None)
    assert report.warnings == [
        f"1 process runs removed class {tree.package}.m.Old until it ends: runtime.code.lingering() tells which"
    ]
    assert [one.who for one in tree.engine.retired.lingering()] == [pid]
    end(pid)


def test_a_process_in_a_function_that_was_removed_lingers(tree):
    module = tree.load(m="def loop(go):\n    go.wait()\n    return 1\n")
    go = gevent.event.Event()
    pid = kernel.spawn(module.loop, go)
    settle()
    tree.push(m="X = 1\n")
    (one,) = tree.engine.retired.lingering()
    assert (one.who, one.function, one.line, one.is_class) == (pid, "loop", 2, False)
    go.set()
    gevent.sleep(0)
    settle()
    assert tree.engine.retired.lingering() == []


def test_processes_of_a_class_that_moves_to_another_module_move_with_it(tree):
    text = SERVER.replace("NAME", "Moving")
    tree.load(other="X = 1\n")
    module = tree.load(m=text)
    pid = module.Moving.start()
    back = f"from {tree.package}.other import Moving\n"
    report = tree.push(m=back, other=text.replace("old", "new"))
    assert "moved to" in "".join(report.warnings)
    assert "removed class" not in "".join(report.warnings)
    assert type(pid.behaviour) is tree["other"].Moving is tree["m"].Moving
    assert call(pid, "x") == "new"
    tree.push(other=text.replace("old", "newer"))
    assert call(pid, "x") == "newer"
    assert tree.engine.retired.lingering() == []
    tree.push("down", m=text, other="X = 1\n")
    assert type(pid.behaviour) is tree["m"].Moving
    assert call(pid, "x") == "old"
    assert tree.engine.retired.lingering() == []
    end(pid)


def test_a_class_that_moves_and_gets_another_layout_is_refused_while_a_process_is_of_it(tree):
    tree.load(other="X = 1\n")
    text = SERVER.replace("NAME", "Moving")
    module = tree.load(m=text)
    pid = module.Moving.start()
    slots = text.replace("(GenServer):", "(GenServer):\n    __slots__ = ('more',)")
    with pytest.raises(Refused, match="Moving: the layout of its instances changes") as refused:
        tree.push(m=f"from {tree.package}.other import Moving\n", other=slots)
    assert refused.value.kind == "layout"
    assert call(pid, "x") == "old"
    end(pid)


def test_processes_of_a_class_whose_name_means_another_one_now_stay_and_are_told(tree):
    """It did not move: the other was there before."""
    text = SERVER.replace("NAME", "Same")
    tree.load(other=text.replace("old", "new"))
    module = tree.load(m=text)
    pid = module.Same.start()
    report = tree.push(m=f"from {tree.package}.other import Same\nWORD = 'kept'\n")
    assert [one.who for one in tree.engine.retired.lingering()] == [pid]
    assert "1 process runs removed class" in "".join(report.warnings)
    assert call(pid, "x") == "kept"
    end(pid)
