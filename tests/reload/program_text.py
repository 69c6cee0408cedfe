"""The items of a random program, and their Python text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["DECORATORS", "OBJECTS", "Item", "Module", "render"]

DECORATORS = ("wraps", "argument", "bare")
OBJECTS = ("object", "object that wraps")
"""Decorators that are classes."""


@dataclass
class Item:
    """One definition. What it refers to is in numbers (`uid`); which field means what depends on `kind`."""

    uid: int
    kind: str
    name: str
    ver: int = 0
    value: str = "0"
    form: str = ""
    uses: list[int] = field(default_factory=list)
    defaults: list[Any] = field(default_factory=list)
    decorators: list[list[Any]] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    doc: bool = False
    registered: bool = False
    flipped: bool = False
    comments: int = 0

    def references(self) -> set[int]:
        found = {*self.uses, *self.bases}
        found |= {one[2] for one in self.defaults if isinstance(one[2], int)}
        found |= {one[0] for one in self.decorators if isinstance(one[0], int)}
        found |= {member[how] for member in self.members for how in ("uses", "by") if how in member}
        return found

    def forget(self, uid: int) -> None:
        """Do without what is being removed."""
        self.uses = [one for one in self.uses if one != uid]
        self.bases = [one for one in self.bases if one != uid]
        self.defaults = [[*one[:2], "0" if one[2] == uid else one[2]] for one in self.defaults]
        self.decorators = [one for one in self.decorators if one[0] != uid]
        for member in self.members:
            if member.get("uses") == uid:
                del member["uses"]
                if self.kind == "struct":
                    member["kind"] = "int"
            if member.get("by") == uid:
                del member["by"]
                member["kind"] = "method"


@dataclass
class Module:
    name: str
    items: list[Item] = field(default_factory=list)
    doc: int = 0
    public: bool = False
    """Whether it says in __all__ what a star import takes."""
    future: bool = False
    """Whether its annotations are text."""
    star: str = ""
    """A module that this one takes everything from."""
    styles: dict[int, str] = field(default_factory=dict)
    """How a thing of another module is imported: "from" (the rule), "as", "attribute"."""


# ----------------------------------------------------------------------------------------------------------- API


def render(module: Module, modules: list[Module]) -> str:
    return _Writer(module, modules).text()


# ----------------------------------------------------------------------------------------------------- internals

_HEAD = "import abc\nimport dataclasses\nimport enum\nimport functools\nimport re\nimport typing\n"
_KINDS = (
    'T0 = typing.TypeVar("T0")\n\n\nclass Meta(type):\n    def __new__(meta, name, bases, body, size=0):\n'
    "        cls = super().__new__(meta, name, bases, body)\n        cls.size = size\n        return cls\n\n"
    "    def __init__(cls, name, bases, body, size=0):\n        super().__init__(name, bases, body)\n\n\n"
    "class Subclasses:\n    known = {}\n\n    def __init_subclass__(cls, key=None, **options):\n"
    "        super().__init_subclass__(**options)\n        if key is not None:\n            cls.key = key\n"
    "            Subclasses.known[cls.__name__] = cls\n"
)
_REGISTRY = "REGISTRY = {}\n\n\ndef register(fn):\n    REGISTRY[fn.__name__] = fn\n    return fn\n"


class _Writer:
    def __init__(self, module: Module, modules: list[Module]) -> None:
        self.module = module
        self.home = {item.uid: (other, item) for other in modules for item in other.items}
        self.imports: set[str] = set()

    def text(self) -> str:
        parts = [self.item(item) for item in self.module.items]
        if any(item.form in ("meta", "subclasses", "generic") for item in self.module.items):
            self.imports |= {"from low import Meta, Subclasses, T0"} if self.module.name != "low" else set()
        head = f'"""Module {self.module.name}, {self.module.doc}."""\n\n' if self.module.doc else ""
        if self.module.name == "low":
            parts.insert(0, _REGISTRY + "\n\n" + _KINDS)
        elif any(item.registered for item in self.module.items):
            self.imports.add("from low import register")
        if self.module.star:
            self.imports.add(f"from {self.module.star} import *")
        imports = "".join(line + "\n" for line in sorted(self.imports))
        if self.module.public:
            names = [item.name for item in self.module.items if item.kind != "state"]
            parts.append("__all__ = [" + ", ".join(f'"{name}"' for name in names) + "]\n")
        if self.module.future:
            head += "from __future__ import annotations\n\n"
        return head + _HEAD + imports + "\n\n" + "\n\n".join(parts)

    def ref(self, uid: int, now: bool = False) -> str:
        """The expression for another item. `now`: it is read when the module loads."""
        other, item = self.home[uid]
        if other is self.module:
            return item.name
        style = self.module.styles.get(uid, "from")
        if style == "attribute":
            self.imports.add(f"import {other.name}")
            return f"{other.name}.{item.name}"
        if style == "as":
            self.imports.add(f"from {other.name} import {item.name} as {item.name}_of_{other.name}")
            return f"{item.name}_of_{other.name}"
        if self.module.star != other.name:  # what __all__ names is all but the states
            self.imports.add(f"from {other.name} import {item.name}")
        return item.name

    def use(self, uid: int, now: bool = False) -> str:
        """An expression over another item that is right whatever it is, and never calls in circles."""
        kind = self.home[uid][1].kind
        name = self.ref(uid, now)
        if kind == "const" or now:
            return name if kind == "const" else f"{name}.__name__"
        if kind == "enum":
            return f"[one.name for one in {name}]"
        if kind == "struct":
            return f"repr({name}.shown({name}()))"
        if kind == "dispatch":
            return f"repr({name}(1))[:9]"
        if kind in ("class", "data", "record"):
            return f"type({name}()).__mro__[0].__qualname__"
        if self.home[uid][1].form != "plain":  # a coroutine that nobody waits for is a warning
            return f"{name}.__name__"
        return f"repr({name}())[:9]"

    def item(self, item: Item) -> str:
        comments = "".join(f"# A remark, {n}.\n" for n in range(item.comments))
        return comments + "\n".join(getattr(self, item.kind)(item)) + "\n"

    def state(self, item: Item) -> list[str]:
        return [f"{item.name} = {{}}"]

    def const(self, item: Item) -> list[str]:
        if not item.uses:
            if item.form == "annotated":
                return [f"{item.name}: object = {item.value}"]
            return [f"{item.name} = {item.value}"]
        names = [self.ref(uid, now=True) for uid in item.uses]
        first = names[0]
        if item.form == "unpacked":
            return [f"{item.name}, (_, *_rest) = [{first}, {item.ver}], ({', '.join(names)}, 1)"]
        if item.form == "scratch":
            return [f"_scratch = [{', '.join(names)}]", f"{item.name} = str(_scratch)", "del _scratch"]
        if item.form == "tried":
            head = ["try:", f"    import no_such_module_{item.uid} as {item.name}", "except ImportError:"]
            return [*head, f"    {item.name} = ({first}, {item.ver})"]
        if item.form == "grown":
            return [f"{item.name} = ({first},)", f"{item.name} += ({', '.join(names)}, {item.ver})"]
        if item.form == "walrus":
            return [f"if ({item.name} := {first}) is None:", f"    {item.name} = {item.ver}"]
        text = {
            "tuple": f"({', '.join(names)}, {item.value})",
            "text": f'f"{{{names[0]}}} and {item.ver}"',
            "dict": f'{{"first": {names[0]}, "all": [{", ".join(names)}]}}',
            "pattern": f"re.compile(re.escape(str({names[0]})))",
            "annotated": f"[{', '.join(names)}] * 2",
        }[item.form]
        return [f"{item.name} = {text}"]

    def parameters(self, item: Item) -> str:
        note = "" if item.kind == "lambda" else ": 'int'"
        plain = [one for one in item.defaults if not one[1]]
        keyword = [one for one in item.defaults if one[1]]
        shown = [f"{one[0]}={self.default(one[2])}" for one in plain]
        if keyword:
            shown += ["*", *(f"{one[0]}{note}={self.default(one[2])}" for one in keyword)]
        return ", ".join(shown)

    def default(self, value: Any) -> str:
        return self.ref(value, now=True) if isinstance(value, int) else str(value)

    def result(self, item: Item) -> str:
        # What a cache keeps must hang on nothing outside: nobody promises that it forgets when a constant changes.
        cached = any(which == "functools.cache" for which, _ in item.decorators)
        parts = [f'"{item.kind}"', str(item.ver), *(self.use(uid) for uid in item.uses if not cached)]
        parts += [str(one[0]) for one in item.defaults]
        return f"({', '.join(parts)})"

    def func(self, item: Item) -> list[str]:
        lines = []
        if item.registered:
            lines.append("@register")
        for which, argument in item.decorators:
            if isinstance(which, int):
                form = self.home[which][1].form
                lines.append(
                    f"@{self.ref(which, now=True)}" + (f"({argument})" if form == "argument" else "")
                )
            elif item.form == "plain":
                lines.append(f"@{which}")
        if item.form == "context":
            self.imports.add("import contextlib")
            lines.append("@contextlib.contextmanager")
        head = f"def {item.name}({self.parameters(item)}):"
        body = [f'    """Does {item.name}."""'] if item.doc else []
        result = self.result(item)
        if item.form in ("generator", "async generator"):
            body += ["    yield 1", f"    yield {result}"]
        elif item.form == "context":
            body += [f"    yield {result}"]
        elif item.form == "closure":
            body += [
                f"    inside = {item.ver}",
                "",
                "    def inner(x=1):",
                f"        return inside, x, {result}",
                "",
            ]
            body += ["    return inner()"]
        else:
            body += [f"    return {result}"]
        return [*lines, ("async " if item.form.startswith("async") else "") + head, *body]

    def lambda_(self, item: Item) -> list[str]:
        return [
            f"{item.name} = lambda{' ' * bool(item.defaults)}{self.parameters(item)}: {self.result(item)}"
        ]

    def branch(self, item: Item) -> list[str]:
        """A definition that a condition chooses."""
        test = "False" if item.flipped else "True"
        first = [f"    def {item.name}({self.parameters(item)}):", f"        return {self.result(item)}"]
        second = [f"    def {item.name}():", f"        return 'the other', {item.ver}"]
        return [f"if {test}:", "", *first, "", "else:", "", *second]

    def deco(self, item: Item) -> list[str]:
        uses = "".join(f", {self.use(uid)}" for uid in item.uses)
        wrapper = [
            "    @functools.wraps(fn)",
            "    def run(*args, **options):",
            f"        return ('{item.name}', {item.ver}, fn(*args, **options){uses})",
            "",
            "    return run",
        ]
        if item.form in OBJECTS:
            wraps = (
                "functools.update_wrapper(self, fn)"
                if item.form != "object"
                else "self.__name__ = fn.__name__"
            )
            return [
                *(
                    f"class {item.name}:",
                    "    def __init__(self, fn=repr):",
                    f"        {wraps}",
                    "        self.fn = fn",
                    "",
                ),
                *("    def __call__(self, *args, **options):", "        fn = self.fn", wrapper[2]),
            ]
        if item.form == "bare":
            return [f"def {item.name}(fn):", *wrapper[1:]]
        if item.form == "wraps":
            return [f"def {item.name}(fn):", *wrapper]
        inner = ["    def wrap(fn):", *("    " + line if line else "" for line in wrapper)]
        inner[3] = inner[3].replace("fn(", "argument, fn(", 1)
        return [f"def {item.name}(argument):", *inner, "", "    return wrap"]

    def descr(self, item: Item) -> list[str]:
        """A decorator for methods: a class with `__get__`."""
        return [
            f"class {item.name}:", "    def __init__(self, fn=repr):", "        self.fn = fn", "",
            "    def __get__(self, instance, owner=None):",
            f"        return lambda *args: ({item.ver}, self.fn(instance, *args))",
        ]  # fmt: skip

    def struct(self, item: Item) -> list[str]:
        """A msgspec Struct, all of whose fields are optional; `shown` reads one, so the decoder's idea of it counts."""
        self.imports.add("import msgspec")
        lines, given = [f"class {item.name}(msgspec.Struct):"], []
        for member in {one["name"]: one for one in item.members}.values():
            name, ver = member["name"], member["ver"]
            of = self.ref(member["uses"], now=True) if "uses" in member else ""
            shown = f"'{of}'" if member["ver"] % 4 == 3 else of
            kind = self.home[member["uses"]][1].kind if of else ""
            if kind == "struct":
                field, value = f"{shown} | None" if shown == of else f"'{of} | None'", "{}"
            elif kind == "enum":
                field, value = (
                    f"{shown} | None" if shown == of else f"'{of} | None'",
                    f"[one.value for one in {of}][-1]",
                )
            else:
                field, value = "object", str(ver)
            lines.append(f"    {name}: {field} = {None if kind else ver}")
            given.append(f"'{name}': {value}")
        inside = f"msgspec.convert({{{', '.join(given)}}}, {item.name})"
        return [*lines, "", "    def shown(self):", f"        return {item.ver}, repr({inside})"]

    def class_(self, item: Item) -> list[str]:
        bases = [self.ref(uid, now=True) for uid in item.bases]
        bases += {
            "abc": ["abc.ABC"],
            "meta": ["metaclass=Meta", f"size={item.ver}"],
            "generic": ["typing.Generic[T0]"],
            "subclasses": ["Subclasses", f"key={item.ver}"],
        }.get(item.form, [])
        if item.form == "slots":
            bases = []
        marks = [f"@{self.ref(which, now=True)}({argument})" for which, argument in item.decorators]
        head = f"({', '.join(bases)})" if bases else ""
        slots = ["    __slots__ = ('one', 'two')"] if item.form == "slots" else []
        return [*marks, f"class {item.name}{head}:", *self.body(item, slots)]

    def record(self, item: Item) -> list[str]:
        fields = [f"    {one[0]}: int = {self.default(one[2])}" for one in item.defaults]
        members = [line for member in item.members for line in self.member(item, member)]
        return [f"class {item.name}(typing.NamedTuple):", *fields, *members]

    def alias(self, item: Item) -> list[str]:
        if not item.uses:
            return [f"{item.name} = repr"]
        name = self.ref(item.uses[0], now=True)
        return [
            f"{item.name} = {name}" if item.form == "name" else f"{item.name} = functools.partial({name})"
        ]

    def table(self, item: Item) -> list[str]:
        entries = ", ".join(f"'{n}': {self.ref(uid, now=True)}" for n, uid in enumerate(item.uses))
        return [f"{item.name} = {{{entries}}}"]

    def dispatch(self, item: Item) -> list[str]:
        lines = ["@functools.singledispatch", f"def {item.name}(x=None):", f"    return 'any', {item.ver}"]
        for member in item.members:
            shown = ", ".join([str(member["ver"]), *(self.use(uid) for uid in item.uses)])
            lines += [
                "",
                "",
                f"@{item.name}.register",
                f"def _(x: {member['name']}):",
                f"    return x, {shown}",
            ]
        return lines

    def mark(self, item: Item) -> list[str]:
        """A decorator for classes."""
        uses = ", ".join(["tag", str(item.ver), *(self.use(uid) for uid in item.uses)])
        body = [
            "    def put(cls):",
            f"        cls.{item.name}_tag = tag",
            f"        cls.m_{item.name} = lambda self: ({uses})",
        ]
        return [f"def {item.name}(tag):", *body, "        return cls", "", "    return put"]

    def data(self, item: Item) -> list[str]:
        decorator = f"@dataclasses.dataclass({item.form})" if item.form else "@dataclasses.dataclass"
        return [decorator, f"class {item.name}:", *self.body(item), "    n: int = 0"]

    def body(self, item: Item, first: list[str] | None = None) -> list[str]:
        lines = [f'    """Is {item.name}."""'] if item.doc else []
        lines += first or []
        used: dict[str, None] = {}
        for member in item.members:
            if member["name"] not in used:
                used[member["name"]] = None
                lines += self.member(item, member)
        for n, uid in enumerate(item.uses):
            lines.append(f"    k{n} = {self.ref(uid, now=True)}")
        return lines or ["    pass"]

    def member(self, item: Item, member: dict[str, Any]) -> list[str]:
        name, ver = member["name"], member["ver"]
        kind = "property" if item.form == "slots" and member["kind"] == "cached" else member["kind"]
        value = self.ref(member["uses"], now=True) if "uses" in member else ver
        shown = f"'{name}', {ver}" + (f", {self.ref(member['uses'])}" if "uses" in member else "")
        by = self.ref(member["by"], now=True) if "by" in member else ""
        return {
            "method": ["", f"    def {name}(self, x={value}):", f"        return {shown}, x"],
            "bound": ["", f"    @{by}", f"    def {name}(self, x={value}):", f"        return {shown}, x"],
            "static": ["", "    @staticmethod", f"    def {name}(x=1):", f"        return {shown}, x"],
            "class": ["", "    @classmethod", f"    def {name}(cls):", f"        return {shown}, cls.__qualname__"],
            "property": ["", "    @property", f"    def {name}(self):", f"        return {shown}"],
            "super": ["", f"    def {name}(self):", f"        return {shown}, super().__init__ is not None"],
            "attr": [f"    {name} = {value}"],
            "cached": ["", "    @functools.cached_property", f"    def {name}(self):", f"        return {shown}"],
            "annotation": [f"    {name}: 'int' = {ver}"],
            "nested": ["", f"    class {name}:", f"        n = {ver}", "", "        def deep(self):", f"            return {shown}"],
            "dunder": ["", "    def __len__(self):", f"        return {ver}", "", "    def __bool__(self):", "        return True"],
            "private": ["", f"    __{name} = {ver}", "", f"    def {name}(self):", f"        return self.__{name}, {shown}"],
        }[kind]  # fmt: skip

    def enum(self, item: Item) -> list[str]:
        lines = [f"class {item.name}(enum.{item.form}):"]
        used: set[str] = set()
        for n, member in enumerate(item.members):
            if member["name"] not in used:
                used.add(member["name"])
                value = 1 << member["ver"] % 20 if item.form in ("Flag", "IntFlag") else member["ver"]
                value = f"'v{value}'" if item.form == "StrEnum" else value
                lines.append(f"    {member['name']} = {value}")
        return [*lines, "", "    def shown(self):", f"        return self.name, {item.ver}"]


for _kind in ("lambda", "class"):  # items of kinds that are words of the language
    setattr(_Writer, _kind, getattr(_Writer, _kind + "_"))
