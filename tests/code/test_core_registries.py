"""Tables that definitions put themselves into: one entry each, of the living one, and none of a refused release."""

from __future__ import annotations

import importlib
import sys

import pytest

from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.roots import Roots

pytestmark = pytest.mark.plain

ROUTES = """
ROUTES = []
def route(path):
    def put(fn):
        ROUTES.append((path, fn))
        return fn
    return put
class Router:
    def __init__(self):
        self.by_name, self.all = {}, []
    def on(self, name):
        def put(fn):
            self.by_name[name] = fn
            self.all.append(fn)
            return fn
        return put
ROUTER = Router()
@route("/a b")
def page(x=%(n)s): return x
@ROUTER.on("event")
def event(x=%(n)s): return x
"""
CLASSES = """
KNOWN = []
class Meta(type):
    def __new__(mcls, *args):
        made = super().__new__(mcls, *args)
        KNOWN.append(made)
        return made
class Plugin(metaclass=Meta):
    x = %(n)s
    %(more)s
class Base:
    subs = []
    def __init_subclass__(cls):
        Base.subs.append(cls)
class Sub(Base):
    def m(self): return %(n)s
"""


@pytest.fixture
def push(tmp_path, monkeypatch):
    """`push({path: text})`; the first one is what the program starts from, and is imported."""
    engine = Engine(Roots(tmp_path))
    engine.install()
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def push(files):
        if names:
            return engine.push(files)
        for path, text in files.items():
            (tmp_path / path).write_text(text)
        names.extend(path.removesuffix(".py") for path in files)
        return importlib.import_module(names[0])

    yield push
    engine.uninstall()
    for name in {*names, *engine.modules}:
        sys.modules.pop(name, None)


def refused(push, files):
    with pytest.raises(Refused):
        push(files)


def test_a_function_that_runs_again_is_registered_once(push):
    m = push({"regs_one.py": ROUTES % {"n": 1}})
    page, event = m.page, m.event
    for n in (2, 3, 4):
        push({"regs_one.py": ROUTES % {"n": n}})
    assert [path for path, _ in m.ROUTES] == ["/a b"] and m.ROUTES[0][1] is page
    assert m.ROUTER.by_name == {"event": event} and m.ROUTER.all == [event]
    assert page() == event() == 4


def test_a_refused_release_leaves_no_entry(push):
    m = push({"regs_two.py": ROUTES % {"n": 1}})
    page, event = m.page, m.event
    new = '@ROUTER.on("new")\n@route("/new")\ndef new(): pass\nRouter.codec = 5\n1 / 0\n'
    refused(push, {"regs_two.py": ROUTES % {"n": 2} + new})
    assert [path for path, _ in m.ROUTES] == ["/a b"] and m.ROUTES[0][1] is page
    assert m.ROUTER.by_name == {"event": event} and m.ROUTER.all == [event]
    assert page() == event() == 1 and not hasattr(m.Router, "codec")


def test_a_class_made_anew_is_registered_once(push):
    m = push({"regs_three.py": CLASSES % {"n": 1, "more": ""}})
    plugin = m.Plugin
    refused(push, {"regs_three.py": CLASSES % {"n": 2, "more": "y = 1"} + "1 / 0\n"})
    assert m.KNOWN == [plugin] and m.Base.subs == [m.Sub]
    push({"regs_three.py": CLASSES % {"n": 3, "more": "y = 1"}})
    push({"regs_three.py": CLASSES % {"n": 4, "more": ""}})
    assert m.KNOWN == [plugin] and m.Base.subs == [m.Sub] and plugin.x == 4


def test_the_classes_of_a_deleted_module_are_in_no_registry(push):
    user = "import regs_gone\n"
    base = CLASSES % {"n": 1, "more": ""}
    gone = "import regs_base\nclass Gone(regs_base.Base): pass\n"
    push({"regs_user.py": user, "regs_base.py": base, "regs_gone.py": gone})
    m = sys.modules["regs_base"]
    assert len(m.Base.subs) == 2
    refused(push, {"regs_user.py": "1 / 0\n", "regs_gone.py": None})
    assert len(m.Base.subs) == 2
    push({"regs_user.py": "", "regs_gone.py": None})
    assert m.Base.subs == [m.Sub]


def test_a_constant_follows_when_a_name_no_longer_hides_a_builtin(push):
    m = push({"regs_hides.py": "list = tuple\nN = list([1])\n"})
    assert m.N == (1,)
    push({"regs_hides.py": "N = list([1])\n"})
    assert m.N == [1]
