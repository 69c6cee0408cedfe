"""What a release's report says of the processes that live on: attributes that they lack, a first version of their state."""

from __future__ import annotations

import importlib
import sys

import pytest

from runtime import kernel
from runtime.code.engine import Engine
from runtime.code.roots import Roots
from runtime.otp import EventManager, event_manager

pytestmark = pytest.mark.plain

BEFORE = """
from runtime.otp import GenServer

class User(GenServer):
    def init(self, n):
        self.n = n
    def handle_call(self, request, sender):
        return self.n

class Guest(User):
    def init(self, n):
        super().init(n)

class Robot(User):
    def init(self, n):
        self.n = n
"""
GAINS = BEFORE.replace("        self.n = n\n", "        self.n = n\n        self.x = 1\n", 1)


@pytest.fixture
def users(tmp_path, monkeypatch):
    """`users(text, kind=number, ...)` loads a module and starts servers; `.push(text)` returns the report's notes."""
    engine = Engine(Roots(tmp_path))
    engine.install()
    monkeypatch.syspath_prepend(str(tmp_path))
    started = []

    def load(text, **kinds):
        (tmp_path / "advised.py").write_text(text)
        module = importlib.import_module("advised")
        for kind, number in kinds.items():
            started.extend(kernel.run(getattr(module, kind).start, n) for n in range(number))
        return started

    load.push = lambda text, **options: engine.push({"advised.py": text}, **options).warnings
    yield load
    engine.uninstall()
    for pid in started:
        kernel.exit(pid, kernel.KILL)
    sys.modules.pop("advised", None)


def test_an_attribute_that_init_newly_sets_is_said_to_be_missing(users):
    users(BEFORE, User=12)
    (note,) = users.push(GAINS)
    assert note == (
        "User.init sets 'x', which the 12 living processes do not have: give the class a default or write code_change"
    )


def test_one_process_and_two_attributes(users):
    users(BEFORE, User=1)
    (note,) = users.push(GAINS.replace("self.x = 1", "self.x, self.__y = 1, 2"))
    assert note.startswith("User.init sets 'x' and '_User__y', which the living process does not have: ")


def test_a_class_that_is_only_registered_with_an_abstract_one_does_not_run_its_init(users):
    role = (
        "from abc import ABC\nclass Role(ABC):\n    def init(self, n):\n        self.n = n\n"
        + BEFORE
        + "Role.register(User)\n"
    )
    users(role, User=1)
    assert (
        users.push(role.replace("        self.n = n\n", "        self.n = n\n        self.x = 1\n", 1)) == []
    )


def test_derived_classes_that_run_it_are_counted_others_are_not(users):
    users(BEFORE, User=1, Guest=2, Robot=4)
    (note,) = users.push(GAINS)
    assert "which the 3 living processes do not have" in note


def test_those_that_have_it_are_not_counted(users):
    first, *_ = users(BEFORE, User=3)
    first.behaviour.x = 7
    (note,) = users.push(GAINS)
    assert "which 2 of 3 living processes do not have" in note


@pytest.mark.parametrize(
    "text",
    [
        GAINS.replace("class User(GenServer):", "class User(GenServer):\n    x = 0"),
        GAINS.replace(
            "class User(GenServer):", "class User(GenServer):\n    def __getattr__(self, name): return 0"
        ),
        GAINS.replace("        self.x = 1", "        if n > 100:\n            self.x = 1"),
        BEFORE.replace("self.n = n", "self.n = n + 1", 1),
        GAINS.replace("class User", "class Other").replace("(User)", "(Other)")
        + "\nclass User(Other): pass\n",
    ],
)
def test_nothing_is_said_where_nothing_is_amiss(users, text):
    users(BEFORE, User=3)
    assert [note for note in users.push(text) if " sets " in note] == []


def test_nothing_is_said_where_nobody_lives(users):
    users(BEFORE, Robot=1)
    assert users.push(GAINS) == []


CHANGES = """
    def code_change(self, old_version, extra):
        match old_version:
            case None | 1:
                self.x = 5
            case ("down", None):
                del self.x
"""


def test_a_code_change_that_sets_it_is_an_answer_and_its_first_version_is_told(users):
    pids = users(BEFORE, User=2)
    text = "__vsn__ = 1\n" + GAINS.replace("\nclass Guest", f"{CHANGES}\nclass Guest")
    assert users.push(text) == [
        "advised has its first __vsn__: code_change is called with None for states of before (`case None | 1:`)"
    ]
    assert [pid.behaviour.x for pid in pids] == [5, 5]
    assert users.push(BEFORE, direction="down") == []
    assert not hasattr(pids[0].behaviour, "x")


def test_a_code_change_that_is_not_called_or_does_not_set_it_is_no_answer(users):
    users(BEFORE, User=2)
    text = GAINS.replace("\nclass Guest", f"{CHANGES}\nclass Guest")
    (note,) = users.push(text)
    assert note.endswith("change __vsn__, so that code_change is called, or give the class a default")
    (note,) = users.push(
        "__vsn__ = 1\n" + text.replace("self.x = 1", "self.z = 1").replace("self.x = 5", "self.x = 6")
    )[1:]
    assert note.endswith(
        "'z', which the 2 living processes do not have: set it in code_change, too, or give the class a default"
    )


def test_no_process_no_word_of_a_first_version(users):
    users(BEFORE)
    assert users.push("__vsn__ = 1\n" + BEFORE.replace("\nclass Guest", f"{CHANGES}\nclass Guest")) == []


def test_handlers_of_events_are_states_too(users):
    users(
        "from runtime.otp import EventHandler\nclass H(EventHandler):\n    def init(self, n):\n        self.n = n\n"
    )
    manager = kernel.run(EventManager.start)
    try:
        kernel.run(event_manager.add_handler, manager, sys.modules["advised"].H, 1)
        (note,) = users.push(
            "from runtime.otp import EventHandler\nclass H(EventHandler):\n    def init(self, n):\n        self.n = self.m = n\n"
        )
        assert note.startswith("H.init sets 'm', which the living process does not have")
    finally:
        kernel.exit(manager, kernel.KILL)
