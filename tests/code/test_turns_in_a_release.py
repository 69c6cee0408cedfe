"""A release takes turns with everybody else: no piece of its work is long, and the heap is known all the same."""

from __future__ import annotations

import collections
import gc
import sys
import types
from typing import Any

import msgspec
import pytest

from runtime import kernel
from runtime.code.engine import Engine
from runtime.code.errors import Refused
from runtime.code.heap import Heap, instances_of, uncollected
from runtime.code.roots import Roots
from runtime.code.structs import leads_to
from runtime.testing import settle

pytestmark = pytest.mark.plain

# --------------------------------------------------------------------------------------------------------- turns


def long_module(version: int) -> str:
    functions = "".join(
        f"def f{n}(x):\n    total = x + {version if n == 100 else 0}\n    for part in (1, 2):\n        total += part\n"
        f"    return total\n\n\n"
        for n in range(150)
    )
    methods = "".join(
        f"    def m{n}(self):\n        return {version if n == 100 else 0}\n\n" for n in range(300)
    )
    return f"import os\n\n\n{functions}class Long:\n{methods}"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(name, text)` loads a module of that text; `.engine` pushes others."""
    engine = Engine(Roots(tmp_path), quiesce=1.0)
    engine.install()
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def load(name: str, text: str) -> types.ModuleType:
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return __import__(name)

    load.engine = engine
    yield load
    engine.uninstall()
    for name in [*names, *(n for n in list(sys.modules) if n.startswith("turns_"))]:
        sys.modules.pop(name, None)


def test_others_have_a_turn_between_any_hundred_lines_and_the_collector_has_none_of_its_own(program):
    module = program("turns_long", long_module(1))
    turns, collected = [0], []

    def heard(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            collected.append(info["generation"])

    def others() -> None:
        while True:
            turns[0] += 1
            kernel.yield_()

    def body() -> Any:
        program.engine.push({"turns_long.py": long_module(2)})  # what runs is read: once
        other = kernel.spawn(others)
        gc.collect()
        gc.callbacks.append(heard)
        try:
            before = turns[0]
            program.engine.push({"turns_long.py": long_module(3)})
            return turns[0] - before
        finally:
            gc.callbacks.remove(heard)
            kernel.exit(other, kernel.KILL)

    taken = kernel.run(body)
    lines = long_module(3).count("\n")
    assert lines > 1900
    assert taken >= 3 * lines // 100  # parsed twice and compiled
    assert set(collected) == {0}  # by us, when there is little to look at
    assert len(collected) > 3
    assert module.f100(0) == 6
    assert module.Long().m100() == 3


def test_trees_are_gone_after_a_release_and_the_collector_is_on_again(program):
    program("turns_gone", long_module(1))
    engine = program.engine
    engine.push({"turns_gone.py": long_module(2)})
    gc.collect()
    gc.disable()
    try:
        before = sum(type(o).__module__ == "ast" for o in gc.get_objects())
        engine.push({"turns_gone.py": long_module(3)})
        assert not gc.isenabled()  # it was off
        assert sum(type(o).__module__ == "ast" for o in gc.get_objects()) == before
    finally:
        gc.enable()
    with pytest.raises(Refused):
        engine.push({"turns_gone.py": long_module(4) + "1/0\n"})
    assert gc.isenabled()


def test_a_module_is_compiled_before_the_step_that_imports_it(program):
    program("turns_user", "def f():\n    return 1\n")
    engine = program.engine
    new = long_module(7)
    plan = engine.plan(
        {"turns_user.py": "import turns_new\ndef f():\n    return turns_new.f100(0)\n", "turns_new.py": new}
    )
    engine.apply(plan)
    assert sys.modules["turns_user"].f() == 10
    assert engine.modules["turns_new"] is plan.added["turns_new"]
    assert not engine.modules["turns_new"].has_syntax
    engine.push({"turns_new.py": long_module(8)})
    assert sys.modules["turns_user"].f() == 11


# ---------------------------------------------------------------------------------------------------------- heap


def test_what_is_born_while_the_heap_is_walked_is_found_even_if_somebody_collects():
    def old() -> None:
        pass

    born: list[types.FunctionType] = []

    def pause() -> None:
        born.append(types.FunctionType(old.__code__, {}))
        gc.collect()

    heap = Heap([id(old.__code__)])
    with uncollected():
        heap.look(pause)
        late = types.FunctionType(old.__code__, {})
        heap.look_again()
    assert {id(fn) for fn in (old, late, *born)} <= {id(fn) for fn in heap.functions[id(old.__code__)]}
    assert len(born) > 2


class Frame(msgspec.Struct):
    number: int
    more: Any = None


class Hashed(msgspec.Struct, frozen=True):
    number: int


class Other(msgspec.Struct):
    held: Any


class Plain:
    pass


class Slotted:
    __slots__ = ("held",)


Pair = collections.namedtuple("Pair", "one two")


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = (value, 0)
    return value


def instance() -> Plain:
    plain = Plain()
    plain.held = Frame(1)
    return plain


def slotted() -> Slotted:
    one = Slotted()
    one.held = Frame(1)
    return one


def closure() -> Any:
    held = Frame(1)
    return lambda: held


HOLDERS = {
    "list": lambda: [0, Frame(1)],
    "dict": lambda: {"a": [], "b": Frame(1)},
    "tuple in a list": lambda: [(1, (2, Frame(1, [])))],
    "deepest": lambda: [nested(Frame(1), 6)],
    "named tuple": lambda: [Pair(1, Frame(1))],
    "frozen set": lambda: [frozenset([Hashed(1)])],
    "untracked dict": lambda: [{"a": (1, Frame(1))}],
    "struct": lambda: [Other(Frame(1))],
    "struct of tuples": lambda: [Other((1, Frame(1)))],
    "deque": lambda: collections.deque([Frame(1)]),
    "instance": instance,
    "slots": slotted,
    "cell": closure,
    "class": lambda: type("Holds", (), {"held": Frame(1)}),
    "none": lambda: [Other(1), {"a": 1}, (1, 2), Pair(1, 2), frozenset([1])],
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_holders_are_those_that_a_look_at_each_object_finds(kind):
    gc.collect()
    kept = HOLDERS[kind]()
    ours = {id(kept)}
    if not isinstance(kept, type):
        stack = [kept]
        while stack:
            inner = [
                r
                for r in gc.get_referents(stack.pop())
                if not isinstance(r, (type, types.ModuleType)) and r is not globals()
            ]
            stack += [r for r in inner if id(r) not in ours]
            ours.update(map(id, inner))
    wanted = {Frame, Hashed}
    heap = Heap([], (), wanted)
    with uncollected():
        heap.look(lambda: None)
        heap.look_again()
        found = {id(o) for o in heap.take_holders()} & ours
        objects = [o for o in gc.get_objects() if id(o) in ours]
    expected = {
        id(o)
        for o in objects
        if type(o) not in (types.FunctionType, types.FrameType, tuple, frozenset)
        and any(leads_to(r, wanted) for r in gc.get_referents(o))
    }
    assert found == (
        {id(kept)} if kind == "class" else expected
    )  # its dict is not written to behind its back
    assert bool(found) is (kind != "none")
    assert len(instances_of(Frame)) == (kind not in ("none", "frozen set"))


# ------------------------------------------------------------------------------------------------------- structs

STRUCT = """import msgspec
from runtime import GenServer, NoReply, kernel
class Frame(msgspec.Struct):
    a: int
{more}
class Server(GenServer):
    def init(self):
        pass
    def handle_cast(self, request):
        kernel.receive_match(lambda message: message == "enough")
        return NoReply()
"""


def test_a_struct_that_nobody_holds_may_change_while_its_users_are_busy(program):
    module = program("turns_free", STRUCT.format(more=""))

    def body() -> Any:
        busy = module.Server.start()
        kernel.cast(busy, None)
        settle()
        program.engine.push({"turns_free.py": STRUCT.format(more="    b: int\n")})
        kernel.exit(busy, kernel.KILL)
        return module.Frame(1, 2)

    assert kernel.run(body).b == 2


def test_instances_that_only_hold_each_other_do_not_count_as_alive(program):
    module = program("turns_cycle", STRUCT.format(more="    other: object\n"))
    gc.disable()
    try:
        one = module.Frame(1, None)
        one.other = [one]
        gc.collect()  # so that it is not among the young
        del one
        program.engine.push({"turns_cycle.py": STRUCT.format(more="    other: object\n    b: int\n")})
    finally:
        gc.enable()
    assert module.Frame(1, None, 2).b == 2


COUNTED = """import sys
import msgspec
class Base(msgspec.Struct):
    def __init_subclass__(cls, **more):
        sys.turns_made += 1
class Frame(Base):
    a: int
{more}
"""


def test_a_struct_that_gains_an_optional_field_is_exchanged_in_the_first_step(program, monkeypatch):
    monkeypatch.setattr(sys, "turns_made", 0, raising=False)
    module = program("turns_struct", COUNTED.format(more=""))
    held = [module.Frame(1), (module.Frame(2),)]
    cls = type("Class", (), {"held": module.Frame(3)})
    program.engine.push({"turns_struct.py": COUNTED.format(more="    b: int = 5\n")})
    assert [held[0].b, held[1][0].b, cls.held.b] == [5, 5, 5]
    assert type(cls.held) is module.Frame
    assert type(held[0]) is module.Frame
    assert sys.turns_made == 2  # at the import, and in the step; not in one more that was in vain
