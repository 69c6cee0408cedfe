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


RECEIVERS = """
import functools
class Signal:
    def __init__(self):
        self.receivers = []
    def connect(self, fn):
        self.receivers.append(fn)
        return fn
saved = Signal()
TABLE = {}
def at(key):
    def put(fn):
        TABLE[key] = fn
        return fn
    return put
@functools.singledispatch
def show(thing): return "thing"
"""
FORMER = """
@saved.connect
def mail(value): return "mail"
@at("/former")
def page(): return "page"
@show.register(str)
def show_text(thing): return "text"
"""
LATER = """
@at("/later")
def page(): return "page"
"""


def test_what_a_removed_or_rerouted_definition_left_goes_and_comes_back_when_the_release_fails(push):
    """In an object's own list, under a route's former path, and among the registrations of a singledispatch."""
    module = push({"hub.py": RECEIVERS + FORMER})
    before = list(module.saved.receivers), dict(module.TABLE), module.show("x")

    def now():
        return list(module.saved.receivers), dict(module.TABLE), module.show("x")

    failing = (
        "\ndef __selfcheck__():\n    assert show('x') == 'thing' and '/former' not in TABLE\n    1 / 0\n"
    )
    with pytest.raises(Refused, match="ZeroDivisionError"):
        push({"hub.py": RECEIVERS + LATER + failing})
    assert now() == before
    push({"hub.py": RECEIVERS + LATER})
    assert now() == ([], {"/later": module.page}, "thing")


def test_a_namespace_is_no_registry(push):
    """An object has a function under another name, too: that is its own, and stays."""
    text = """
class Hub: pass
hub = Hub()
def named(key):
    def put(fn):
        setattr(hub, key, fn)
        return fn
    return put
@named(%s)
def page(n=%s): return n
if not hasattr(hub, "alias"): hub.alias = page
"""
    module = push({"hub.py": text % ("'one'", 1)})
    push({"hub.py": text % ("'two'", 2)})
    assert module.hub.two is module.page is module.hub.alias
    assert module.hub.two() == 2
