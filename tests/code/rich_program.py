"""A program with something of every kind in it, and edits of every kind between its versions: `tree(0)`, `tree(1)`..."""

from __future__ import annotations

from typing import Any

__all__ = ["NAMES", "held", "tree"]

NAMES = ("base", "top", "server", "pkg", "pkg.part", "gone", "new")
"""Its modules; some versions have no `gone`, others no `new`."""

BASE = '''
import abc, dataclasses, enum, functools, re, weakref
from typing import Generic, TypeVar
LIMIT = {n}
NAMES = ["a", "b", LIMIT]
TABLE = {{"limit": LIMIT, "two": [{n}]}}
KINDS = {{"x", {n}}}
WORD = re.compile("x" * ({n} + 1))
REGISTRY = {{}}
CLASSES = []
STATE = {{"hits": 0}}
T = TypeVar("T")
OLD = {n}
{only}

def register(fn):
    REGISTRY[fn.__name__] = fn
    return fn

def adding(n):
    def wrap(fn):
        @functools.wraps(fn)
        def run(*args):
            return fn(*args) + n + {n}
        return run
    return wrap

@register
def first(x, y={n}):
    """doc {n}"""
    return x + {n}

@adding({n})
def second(x):
    return x * {n}

@functools.cache
def cached(x):
    return x + {n}

{cache}
def maybe_cached(x, z=1):
    return x + {n}

@functools.singledispatch
def shown(value):
    return "any {n}"

@shown.register
def _(value: int):
    return "int {n}"

def outer():
    count = 0
    def inner():
        nonlocal count
        count += {n}
        return count
    {more_inner}
    return inner

later = lambda x: x + {n}

class Meta(type):
    def __new__(mcls, name, bases, space, **kw):
        made = super().__new__(mcls, name, bases, space)
        CLASSES.append(made)
        return made
    def tell(cls):
        return {n}

class Described(metaclass=Meta):
    a = {n}
    {described}

class Descriptor:
    def __set_name__(self, owner, name):
        self.name = name
    def __get__(self, instance, owner=None):
        return {n}

class Root:
    known = []
    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        Root.known.append(cls)
    def m(self):
        return {n}

class Sub(Root):
    """class doc {n}"""
    VALUE = LIMIT
    field = Descriptor()
    __hidden = {n}
    seen = []
    def m(self):
        return {sub_m}
    def by_name(self):
        return {n}
    handlers = {{"by_name": by_name}}
    @property
    def p(self):
        """prop {n}"""
        return {n}
    @staticmethod
    def s():
        return {n}
    @classmethod
    def c(cls):
        return cls, {n}
    @functools.cached_property
    def cp(self):
        return {n}
    pm = functools.partialmethod(by_name)
    {sub_more}
    class Inner:
        X = {n}
        def go(self):
            return {n}

class Other:
    def o(self):
        return {n}

class Abstract(abc.ABC):
    @abc.abstractmethod
    def need(self): ...
    {abstract}

class Concrete(Abstract):
    def need(self): return {n}
    def more(self): return 1

@dataclasses.dataclass
class Data:
    a: int = {n}
    {field}

@dataclasses.dataclass
class MoreData(Data):
    z: int = 1

class Colour(enum.Enum):
    RED = 1
    BLUE = {n} + 10
    {member}
    def shown(self): return {n}

class Bits(enum.Flag):
    A = 1
    {flag}
    B = 8

class Slotted:
    __slots__ = ("a", "b")
    def __init__(self): self.a = 1
    def m(self): return {n}

class Box(Generic[T]):
    def get(self) -> T: return {n}

class Derived(dict{dict_base}):
    def d(self): return {n}

class Fails({fails}):
    pass

if LIMIT > 1:
    BRANCH = "big"
    def chosen(): return "big {n}"
else:
    BRANCH = "small"
    def chosen(): return "small {n}"

try:
    import not_there
except ImportError:
    not_there = None
    def fallback(): return {n}
LAST = {n}
def __getattr__(name):
    if name == "made": return {n}
    raise AttributeError(name)
'''
TOP = """
import base
from base import LIMIT, Sub, Data, Colour, adding, register, first as one, TABLE
from base import *
{imports}
DOUBLE = LIMIT * 2
SAME = base.OLD
PAIR = [first, Sub]
@adding(DOUBLE)
def top(x): return x + {n}
@register
def registered(): return {n}
class Final(Sub):
    SIZE = DOUBLE
    def m(self): return super().m()
@register
class Kept(Final): pass
@dataclasses.dataclass
class Last(Data):
    y: int = DOUBLE
class Late({late}):
    def l(self): return {n}
def use(x=DOUBLE): return x
del PAIR
SCRATCH = [LIMIT]
JOINED = str(SCRATCH)
del SCRATCH
"""
SERVER = """
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import Reply
from base import LIMIT, Sub
import msgspec
__vsn__ = {n}
class Message(msgspec.Struct):
    a: int = {n}
    {struct_field}
class Server(GenServer):
    def init(self, arg):
        self.count = arg
        self.items = [arg, {{"deep": [1]}}]
        self.sub = Sub()
    def handle_call(self, request, sender):
        return Reply((self.count, self.items, {n}))
    def handle_cast(self, request):
        self.count += 1
    def code_change(self, old, extra):
        self.items[1]["deep"][:] = [{n}]
        self.items[0] = old
        self.count += 100
        self.fresh = {n}
class Noticed:
    def __init__(self): self.v = {n}
    def __reload__(self, old):
        self.v = {n}
        self.extra = old
def __selfcheck__():
    assert LIMIT == {n}
"""
GONE = "from base import LIMIT\nHERE = LIMIT\nclass Old(Exception): pass\n"
NEW = "import base, pkg\nfrom base import Sub\nclass Fresh(Sub):\n    pass\n@base.register\ndef fresh(): return 1\n"
PKG = "from . import part\nfrom .part import P\nQ = P * {n}\n"
PART = "P = {n}\nclass InPart:\n    def m(self): return {n}\n"


def tree(k: int) -> dict[str, str]:
    """Sources by path. Even versions are of one shape, odd ones of another; the constants are those of `k`."""
    n, odd = k + 1, k % 2
    base = BASE.format(
        n=n,
        only=f"EXTRA_{k} = {n}",
        cache="@functools.lru_cache(maxsize=4)" if odd else "",
        more_inner="def other(): return count" if odd else "pass",
        described="def d(self): return super().__repr__" if odd else "b = 2",
        sub_m="super().m() + 1" if odd else "5",
        sub_more="def extra(self): return self.__hidden" if odd else "gone = 1",
        abstract="@abc.abstractmethod\n    def more(self): ..." if odd else "def least(self): return 1",
        field="b: list = dataclasses.field(default_factory=list)" if odd else "pass",
        member="GREEN = 77" if odd else "ROSE = 1",
        flag="C = 2" if odd else "D = 4",
        dict_base=", Other" if odd else "",
        fails="ValueError" if odd else "Exception",
    )
    top = TOP.format(
        n=n, imports="import new" if odd else "import gone", late="Final, Other" if odd else "Final"
    )
    found = {
        "base.py": base,
        "top.py": top,
        "server.py": SERVER.format(n=n, struct_field="b: int = 0" if odd else ""),
        "pkg/__init__.py": PKG.format(n=n),
        "pkg/part.py": PART.format(n=n),
    }
    return found | ({"new.py": NEW} if odd else {"gone.py": GONE})


def held(top: Any, server: Any) -> list[Any]:
    """What somebody has got from the program: instances, bound methods, closures, functions."""
    base = top.base
    base.cached(1)
    instances = [
        cls()
        for cls in (
            base.Sub, base.Data, base.MoreData, base.Derived, base.Described, base.Concrete, base.Slotted, base.Box, base.Other,
            top.Final, top.Last, top.Late, server.Noticed,
        )
    ]  # fmt: skip
    return [
        *instances, base.Colour.RED, base.Bits.A | base.Bits.B, base.Fails(1), base.first, base.second, base.cached,
        base.maybe_cached, base.outer(), base.Sub().m, top.Late().l, top.top, top.registered, base.shown,
    ]  # fmt: skip
