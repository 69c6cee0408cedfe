"""What the code of a release may not do in its step: go on without end, end the node, fail without words."""

from __future__ import annotations

import sys
import types

import pytest

from runtime import kernel
from runtime.code import commit
from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots
from runtime.otp.gen_server import stop

pytestmark = pytest.mark.plain

SERVER = """
from runtime.otp.gen_server import GenServer
__vsn__ = {n}
class Server(GenServer):
    def init(self, arg):
        self.items = [arg]
    def code_change(self, old, extra):
        self.items.append(old)
        {then}
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(text)` loads a module of that text; `.push(text)` pushes another."""
    engine = Engine(Roots(tmp_path))
    engine.install()
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def load(text: str) -> types.ModuleType:
        name = f"limits_{len(names)}_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return __import__(name)

    def push(text: str) -> Refused:
        with pytest.raises(Refused) as refused:
            engine.push({f"{names[-1]}.py": text})
        return refused.value

    load.push, load.engine = push, engine
    yield load
    engine.uninstall()
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def short(monkeypatch):
    """The watchdog runs, and a step is soon too long."""
    monkeypatch.setattr(commit, "_LONGEST", 0.2)
    kernel.start_watchdog()
    yield
    kernel.stop_watchdog()


@pytest.mark.parametrize(
    "text",
    [
        "while True: pass",
        "while True:\n    try:\n        x = sum(range(1000))\n    except Exception:\n        pass",
        "import time\ntime.sleep(60)",
        "def forever(fn):\n    while True: pass\n@forever\ndef f(): return 2",
        "def __selfcheck__():\n    while True: pass",
        "class C:\n    def __set_name__(self, owner, name):\n        while True: pass\nclass D:\n    c = C()",
        "class M(type):\n    def __new__(m, *a):\n        while True: pass\nclass D(metaclass=M): pass",
    ],
)
def test_code_without_end_is_ended_and_undone(program, short, text):
    module = program("def f(): return 1\nLIST = [1]\n")
    refusal = program.push(f"def f(): return 2\nLIST = [1, 2]\n{text}\n")
    assert refusal.kind == "blocking" and "0.2 s" in str(refusal)
    assert refusal.line and refusal.path
    assert module.f() == 1 and module.LIST == [1]


def test_a_code_change_without_end_is_ended_and_undone(program, short):
    module = program(SERVER.format(n=1, then="pass"))
    pid = kernel.run(module.Server.start, 5)
    try:
        refusal = program.push(SERVER.format(n=2, then="while True: pass"))
        assert refusal.kind == "code_change" and "code_change(1)" in str(refusal) and refusal.line == 9
        assert pid.behaviour.items == [5] and module.__vsn__ == 1
    finally:
        kernel.run(stop, pid)


@pytest.mark.parametrize(
    "text",
    ["raise SystemExit(3)", "import sys; sys.exit()", "raise GeneratorExit", "raise BaseException('so')"],
)
def test_what_is_no_exception_is_a_refusal_too(program, text):
    module = program("def f(): return 1\n")
    refusal = program.push(f"def f(): return 2\n{text}\n")
    assert refusal.kind == "error" and refusal.line == 2
    assert module.f() == 1


def test_an_error_without_words_is_a_refusal_too(program):
    program("def f(): return 1\n")
    speechless = "class Bad(Exception):\n    def __str__(self): return 1 / 0\n"
    refusal = program.push(f"{speechless}raise Bad\n")
    assert "Bad" in str(refusal) and refusal.line == 3
    refusal = program.push(f"{speechless}def __selfcheck__(): raise Bad\n")
    assert refusal.kind == "selfcheck" and "Bad" in str(refusal)


def test_a_module_that_was_loaded_meanwhile_is_not_left_in_its_old_form(program, tmp_path):
    program("def f(): return 1\n")
    (tmp_path / "limits_late.py").write_text("X = 1\n")
    plan = program.engine.plan({"limits_late.py": "X = 2\n"})
    late = __import__("limits_late")
    with pytest.raises(Refused, match="push it again") as refused:
        program.engine.apply(plan)
    assert refused.value.kind == "base" and late.X == 1
    program.engine.push({"limits_late.py": "X = 2\n"})
    del sys.modules["limits_late"]
    assert late.X == 2


def test_the_line_of_an_unchanged_module_is_told_when_that_cannot_follow(program, tmp_path):
    program("N = 1\n")
    base = next(iter(program.engine.modules))
    (tmp_path / "limits_user.py").write_text(f"from {base} import N\nPART = 10 / N\nTEXT = str(10 // N)\n")
    user = __import__("limits_user")
    refusal = program.push("N = 0\n")
    assert (refusal.module, refusal.line) == ("limits_user", 2) and "PART = 10 / N" in str(refusal)
    assert user.PART == 10 and user.N == 1
    del sys.modules["limits_user"]
