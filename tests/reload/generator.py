"""Random programs of three modules, and random edits of them, from a seed.

A program is a list of items for each module (`low`, `mid`, `top`; each may use what is below it): constants, functions
and lambdas, decorators, classes, dataclasses, enums, conditional definitions; every other seed's has Structs, dispatching
functions, context managers and decorators that are classes, too. Items refer to one another by number, so a
rename or a move keeps the program whole. An edit is one seeded step, and is dropped if it would break the order of
definition; so every version starts cold. A chain of versions is (seed, the numbers of the edits to apply): leaving numbers out makes
it smaller, which is how a failure is reduced.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.reload.program_text import DECORATORS, OBJECTS, Item, Module, render

__all__ = ["MODULES", "edit_count", "versions"]

MODULES = ("low", "mid", "top")
Tree = dict[str, str]

# --------------------------------------------------------------------------------------------------------- types


@dataclass
class Program:
    modules: list[Module]
    wide: bool = False
    """Whether it has items of the further kinds: every other seed's has."""
    next_uid: int = 0
    frozen: set[int] = field(default_factory=set)
    """Items that a registry holds: an entry once made stays, so they are neither removed, renamed nor moved."""

    def new(self, kind: str, rng: random.Random) -> Item:
        self.next_uid += 1
        prefix = {
            "const": "K",
            "class": "C",
            "data": "D",
            "enum": "E",
            "record": "R",
            "table": "T",
            "state": "STATE",
            "struct": "S",
            "dispatch": "P",
        }
        prefix = prefix.get(kind, "d" if kind in ("deco", "mark", "descr") else "f")
        item = Item(self.next_uid, kind, f"{prefix}{self.next_uid}", ver=rng.randrange(100))
        return item

    def items(self) -> Iterator[tuple[int, int, Item]]:
        for m, module in enumerate(self.modules):
            for n, item in enumerate(module.items):
                yield m, n, item

    def is_whole(self) -> bool:
        """Every reference leads to something defined earlier."""
        seen: set[int] = set()
        for _, _, item in self.items():
            if not item.references() <= seen:
                return False
            seen.add(item.uid)
        return True

    def tree(self) -> Tree:
        return {f"{module.name}.py": render(module, self.modules) for module in self.modules}


# ----------------------------------------------------------------------------------------------------------- API


def edit_count(seed: int) -> int:
    """How many edits the program of this seed has, if none is left out."""
    return 1 + random.Random(f"count {seed}").choice((0, 0, 1, 2, 3, 5, 8, 13))


def versions(seed: int, edits: list[int] | None = None) -> list[Tree]:
    """The program of `seed` before and after its edits (`edits`: the numbers of those to apply; None: all).

    A quarter of the programs have one more version, half-way.
    """
    program = _program(random.Random(f"program {seed}"), wide=seed % 2 == 1)
    numbers = list(range(edit_count(seed))) if edits is None else edits
    half = len(numbers) // 2 if seed % 4 == 3 else 0
    found = [program.tree()]
    for n, number in enumerate(numbers, 1):
        _edit(program, seed, number)
        if n in (half, len(numbers)):
            found.append(program.tree())
    return found


# ----------------------------------------------------------------------------------------------------- internals

_KINDS = (
    ("const",) * 5 + ("func",) * 6 + ("lambda", "deco", "class", "class", "class", "data", "enum", "branch")
)
_FURTHER = ("struct", "struct", "enum", "descr", "deco", "dispatch", "func", "class")


def _kinds(program: Program) -> tuple[str, ...]:
    return _KINDS + _FURTHER if program.wide else _KINDS


def _program(rng: random.Random, wide: bool) -> Program:
    program = Program([Module(name) for name in MODULES], wide)
    for m in range(3):
        program.modules[m].items.append(program.new("state", rng))
        for _ in range(rng.randint(4, 8)):
            item = program.new(rng.choice(_kinds(program)), rng)
            _fill(program, m, len(program.modules[m].items), item, rng)
            program.modules[m].items.append(item)
    program.modules[0].public = rng.random() < 0.3
    if rng.random() < 0.15:
        program.modules[2].star = "low"
    return program


def _below(program: Program, m: int, n: int, *kinds: str) -> list[Item]:
    """The items that one at position (m, n) may refer to."""
    return [item for i, j, item in program.items() if (i, j) < (m, n) and (not kinds or item.kind in kinds)]


def _some(rng: random.Random, items: list[Item], most: int) -> list[int]:
    return [item.uid for item in rng.sample(items, min(len(items), rng.randint(0, most)))]


_VALUES = (1, 2, 30, -4, 2.5, "'x'", "'a long word'", "b'bytes'", "None", "True", "(1, 2)", "()", "[1, 2]", "{'a': 1, 'b': 2}", "{3, 4}", "frozenset({5})")  # fmt: skip


_FORMS = ("tuple", "text", "dict", "pattern", "annotated", "unpacked", "scratch", "tried", "grown", "walrus")


def _fill(program: Program, m: int, n: int, item: Item, rng: random.Random) -> None:
    """Give a new item its random details."""
    consts = _below(program, m, n, "const")
    callables = _below(program, m, n, "func", "lambda", "branch", "class", "data", "enum")
    item.value = str(rng.choice(_VALUES))
    item.uses = _some(rng, consts, 2) + _some(rng, callables, 2)
    if item.kind == "const":
        item.uses = _some(rng, consts, 2) if rng.random() < 0.5 else []
        item.form = rng.choice(_FORMS)
    elif item.kind in ("func", "lambda", "branch"):
        further = ("context", "context") if program.wide and item.kind == "func" else ()
        item.form = rng.choice(
            ("plain", "plain", "plain", "generator", "async", "closure", "async generator", *further)
        )
        item.defaults = _defaults(rng, consts)
        item.decorators = _decorators(program, m, n, rng)
        item.doc = rng.random() < 0.3
        if rng.random() < 0.1 and item.kind == "func" and m > 0:
            item.registered = True
            item.decorators = []
            program.frozen.add(item.uid)
    elif item.kind == "deco":
        item.form = rng.choice(DECORATORS + OBJECTS * 2 if program.wide else DECORATORS)
        item.uses = _some(rng, consts, 1)
    elif item.kind in ("class", "data"):
        bases = _below(program, m, n, "class")
        item.bases = _some(rng, bases, 1) if item.kind == "class" else []
        item.form = rng.choice(("", "", "", "frozen=True", "order=True", "eq=False"))
        if item.kind == "class":
            item.form = rng.choice(("", "", "", "slots", "abc", "meta", "generic", "subclasses"))
            if item.bases:
                item.form = ""
            if item.form == "subclasses":
                program.frozen.add(item.uid)
            marks = _below(program, m, n, "mark")
            if marks and rng.random() < 0.3:
                item.decorators = [[rng.choice(marks).uid, rng.randrange(5)]]
        for _ in range(rng.randint(1, 4)):
            item.members.append(_member(rng, consts, _below(program, m, n, "descr")))
        item.uses = _some(rng, consts, 2)
        item.doc = rng.random() < 0.3
    elif item.kind == "record":
        item.defaults = [
            ["a", False, str(rng.randrange(10))],
            ["b", False, rng.choice(consts).uid if consts else "1"],
        ]
        item.members = [
            {**_member(rng, consts), "kind": rng.choice(("method", "property", "static", "class"))}
        ]
        item.uses = []
    elif item.kind in ("alias", "table"):
        item.uses = _some(
            rng, _below(program, m, n, "func", "lambda", "branch"), 1 if item.kind == "alias" else 3
        )
        item.form = rng.choice(("name", "partial"))
    elif item.kind == "dispatch":
        item.members = [
            {"name": one, "ver": rng.randrange(100)} for one in rng.sample(("int", "str", "list"), 2)
        ]
        item.uses = _some(rng, consts, 1)
    elif item.kind == "struct":
        item.members = [_field(program, m, n, rng) for _ in range(rng.randint(1, 3))]
        item.uses = []
    elif item.kind in ("mark", "descr"):
        item.uses = _some(rng, consts, 1)
    elif item.kind == "enum":
        item.form = rng.choice(
            ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag")
            if program.wide
            else ("Enum", "Enum", "IntEnum", "Flag")
        )
        item.members = [{"name": f"M{k}", "ver": k} for k in range(rng.randint(1, 4))]
        item.uses = []


def _field(program: Program, m: int, n: int, rng: random.Random) -> dict[str, Any]:
    """A Struct's field; it may be of an enumeration or of another Struct."""
    member: dict[str, Any] = {"kind": "int", "name": f"m{rng.randrange(1000)}", "ver": rng.randrange(100)}
    kinds = _below(program, m, n, "enum", "struct")
    if kinds and rng.random() < 0.7:
        member["uses"] = rng.choice(kinds).uid
    return member


def _defaults(rng: random.Random, consts: list[Item]) -> list[Any]:
    """Parameters, all with defaults: [name, keyword only?, text or the number of a constant]."""
    found: list[Any] = []
    for name in rng.sample(("a", "b", "c"), rng.randint(0, 2)):
        value = rng.choice(consts).uid if consts and rng.random() < 0.4 else str(rng.randrange(10))
        found.append([name, rng.random() < 0.3, value])
    return sorted(found, key=lambda one: one[1])


def _decorators(program: Program, m: int, n: int, rng: random.Random) -> list[list[Any]]:
    made = _below(program, m, n, "deco")
    chosen: list[list[Any]] = []
    if made and rng.random() < 0.4:
        chosen.append([rng.choice(made).uid, rng.randrange(5)])
        if rng.random() < 0.3:
            chosen.append([rng.choice(made).uid, rng.randrange(5)])
    elif rng.random() < 0.1:
        chosen.append(["functools.cache", 0])
    return chosen


_MEMBERS = ("method", "method", "method", "static", "class", "property", "super", "attr", "attr", "cached", "annotation", "nested", "dunder", "private")  # fmt: skip


def _member(rng: random.Random, consts: list[Item], descrs: list[Item] | None = None) -> dict[str, Any]:
    member: dict[str, Any] = {
        "kind": rng.choice(_MEMBERS),
        "name": f"m{rng.randrange(1000)}",
        "ver": rng.randrange(100),
    }
    if consts and rng.random() < 0.4:
        member["uses"] = rng.choice(consts).uid
    if descrs and rng.random() < 0.4:
        member |= {"kind": "bound", "by": rng.choice(descrs).uid}
    return member


def _edit(program: Program, seed: int, number: int) -> None:
    """Apply the first of the seeded attempts that leaves the program whole."""
    rng = random.Random(f"edit {seed} {number}")
    before, tree = pickle.dumps(program), program.tree()  # quicker than a deep copy
    for _ in range(20):
        attempt: Program = pickle.loads(before)
        try:
            rng.choice(_EDITS)(attempt, rng)
        except (IndexError, ValueError):
            continue  # nothing there that this edit is for
        if attempt.is_whole() and attempt.tree() != tree:
            program.modules, program.next_uid, program.frozen = (
                attempt.modules,
                attempt.next_uid,
                attempt.frozen,
            )
            return


def _pick(program: Program, rng: random.Random, *kinds: str, free: bool = False) -> tuple[int, int, Item]:
    """A random item with its position. `free`: one that no registry holds. IndexError: there is none."""
    return rng.choice(
        [
            (m, n, item)
            for m, n, item in program.items()
            if (not kinds or item.kind in kinds)
            and not (free and (item.uid in program.frozen or item.kind == "state"))
        ]
    )


def _change_body(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "func", "lambda", "branch", "deco", "mark", "dispatch", "descr", "struct")[2]
    item.ver += 100


def _change_value(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "const")[2]
    if item.uses and rng.random() < 0.5:
        item.form = rng.choice(_FORMS)
    else:
        item.uses = []
        item.value = str(rng.choice(_VALUES))


def _change_signature(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "func", "lambda", "branch")
    item.defaults = _defaults(rng, _below(program, m, n, "const"))


def _change_decorators(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "func", free=True)
    item.decorators = [] if item.decorators and rng.random() < 0.4 else _decorators(program, m, n, rng)


def _change_decorator_argument(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "func")[2]
    rng.choice(item.decorators)[1] += 1


def _change_form(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "func")[2]
    further = ("context",) if program.wide else ()
    item.form = rng.choice(("plain", "generator", "async", "closure", "async generator", *further))


def _change_doc(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "func", "class", "data")[2]
    item.doc = not item.doc


def _change_module_doc(program: Program, rng: random.Random) -> None:
    rng.choice(program.modules).doc += 1


def _change_uses(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "func", "lambda", "branch", "class", "data")
    item.uses = _some(rng, _below(program, m, n, "const"), 2)
    if item.kind not in ("class", "data"):
        item.uses += _some(rng, _below(program, m, n, "func", "class", "enum"), 2)


def _add(program: Program, rng: random.Random) -> None:
    m = rng.randrange(3)
    items = program.modules[m].items
    n = rng.randint(1, len(items))
    item = program.new(rng.choice(_kinds(program)), rng)
    _fill(program, m, n, item, rng)
    # What a registry was told stays in it, also when the function or the class goes again.
    item.registered = False
    item.form = "" if item.form == "subclasses" else item.form
    items.insert(n, item)


def _remove(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, free=True)
    del program.modules[m].items[n]
    for _, _, other in program.items():
        other.forget(item.uid)


def _rename(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, free=True)[2]
    item.name += "n"


def _move(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, free=True)
    del program.modules[m].items[n]
    items = program.modules[rng.randrange(3)].items
    items.insert(rng.randint(1, len(items)), item)


def _reorder(program: Program, rng: random.Random) -> None:
    items = rng.choice(program.modules).items
    n = rng.randrange(1, len(items) - 1)
    items[n], items[n + 1] = items[n + 1], items[n]


def _change_member(program: Program, rng: random.Random) -> None:
    member = rng.choice(
        _pick(program, rng, "class", "data", "enum", "record", "dispatch", "struct")[2].members
    )
    member["ver"] += 100


def _change_member_kind(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "class", "data")
    member = rng.choice(item.members)
    descrs = _below(program, m, n, "descr")
    if descrs and "by" not in member and rng.random() < 0.5:
        member |= {"kind": "bound", "by": rng.choice(descrs).uid}
    else:
        member.pop("by", None)
        member["kind"] = rng.choice(_MEMBERS)


def _add_member(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "class", "data", "enum", *(("struct",) if program.wide else ()))
    if item.kind == "struct":
        item.members.append(_field(program, m, n, rng))
    elif item.kind == "enum":
        item.members.insert(
            rng.randint(0, len(item.members)),
            {"name": f"M{rng.randrange(10, 99)}", "ver": rng.randrange(10, 30)},
        )
    else:
        item.members.insert(
            rng.randint(0, len(item.members)),
            _member(rng, _below(program, m, n, "const"), _below(program, m, n, "descr")),
        )


def _remove_member(program: Program, rng: random.Random) -> None:
    members = _pick(program, rng, "class", "data", "enum", *(("struct",) if program.wide else ()))[2].members
    if len(members) < 2:
        raise IndexError
    del members[rng.randrange(len(members))]


def _change_bases(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "class")
    if item.form:
        raise IndexError  # another layout, or another metaclass
    item.bases = _some(rng, _below(program, m, n, "class"), 1)


def _change_header(program: Program, rng: random.Random) -> None:
    _pick(program, rng, "data")[2].form = rng.choice(("", "frozen=True", "order=True", "eq=False"))


def _change_record(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "record")
    consts = _below(program, m, n, "const")
    item.defaults[1][2] = rng.choice(consts).uid if consts and rng.random() < 0.5 else str(rng.randrange(100))


def _change_aim(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "alias", "table")
    item.uses = _some(
        rng, _below(program, m, n, "func", "lambda", "branch"), 1 if item.kind == "alias" else 3
    )


def _change_mark(program: Program, rng: random.Random) -> None:
    m, n, item = _pick(program, rng, "class")
    marks = _below(program, m, n, "mark")
    item.decorators = [] if item.decorators else [[rng.choice(marks).uid, rng.randrange(5)]]


def _change_public(program: Program, rng: random.Random) -> None:
    module = rng.choice(program.modules)
    module.public = not module.public


def _change_future(program: Program, rng: random.Random) -> None:
    if rng.random() < 0.3:
        module = rng.choice(program.modules)
        module.future = not module.future
    else:
        raise IndexError


def _flip_branch(program: Program, rng: random.Random) -> None:
    item = _pick(program, rng, "branch")[2]
    item.flipped = not item.flipped


def _change_imports(program: Program, rng: random.Random) -> None:
    module = rng.choice(program.modules[1:])
    uid = rng.choice([uid for item in module.items for uid in item.references()])
    module.styles[uid] = rng.choice(("from", "as", "attribute"))


def _add_comments(program: Program, rng: random.Random) -> None:
    _pick(program, rng)[2].comments += 1


_EDITS: tuple[Callable[[Program, random.Random], None], ...] = (
    _change_body, _change_body, _change_body, _change_value, _change_value, _change_signature, _change_decorators,
    _change_decorator_argument, _change_form, _change_doc, _change_module_doc, _change_uses, _change_uses, _add, _add,
    _remove, _rename, _move, _reorder, _change_member, _change_member, _change_member, _change_member_kind, _add_member,
    _add_member, _remove_member, _change_bases, _change_header, _flip_branch, _change_imports, _add_comments,
    _change_record, _change_aim, _change_aim, _change_mark, _change_public, _change_future,
)  # fmt: skip
