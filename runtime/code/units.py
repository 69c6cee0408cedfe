"""Top-level statements as units of change, and which unit of the old source each of the new one was.

Most units of an edited file stand there as before, letter for letter: those are paired by their text alone, and nothing
else about them is ever computed. So the cost of comparing two versions follows the edit, not the file.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from . import syntax

__all__ = ["Pairing", "Unit", "bound_together", "definition_of", "pair", "unannotated", "units_of"]


_SLICE = 4
"""Statements digested between two pauses."""
_PARTS = 8
"""Likewise lines of a digest: members of a class."""


class Unit:
    """One statement of a module's or class's body. Everything but the text is computed when first asked for."""

    def __init__(self, node: ast.stmt, text: str) -> None:
        self.node = node
        self.text = text
        self.kind = type(node).__name__
        """The class of the syntax node: "FunctionDef", "Assign"…"""

    @cached_property
    def names(self) -> list[str]:
        return syntax.bound_names(self.node)

    @cached_property
    def name(self) -> str:
        """What the unit is known by: the names it binds; "" if none."""
        return "=".join(dict.fromkeys(self.names))

    @cached_property
    def digest(self) -> str:
        return syntax.digest(self.node)

    @cached_property
    def shell(self) -> str:
        return syntax.shell(self.node)

    def study(self, pause: Callable[[], None]) -> None:
        """Have digest and shell, made in slices: a class may be all of a file."""
        if "digest" not in self.__dict__:
            self.digest = "\n".join(_slowly(syntax.digest_parts(self.node), pause))
        if "shell" not in self.__dict__:
            self.shell = "\n".join(_slowly(syntax.shell_parts(self.node), pause))

    @cached_property
    def value_digest(self) -> str:
        """The digest but for a variable's annotation."""
        return syntax.annotation_digest(self.node)

    @cached_property
    def loads(self) -> set[str]:
        return syntax.loads(self.node)

    @cached_property
    def attribute_loads(self) -> set[tuple[str, str]]:
        return syntax.attribute_loads(self.node)

    @cached_property
    def value_loads(self) -> set[str]:
        """The names that its value is made of: for an assignment without its annotation."""
        value = getattr(self.node, "value", None)
        return syntax.loads(value) if self.is_assignment and value is not None else self.loads

    @property
    def is_assignment(self) -> bool:
        return isinstance(self.node, (ast.Assign, ast.AnnAssign))

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, syntax.FUNCTIONS)

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_text(self) -> bool:
        """A docstring, or another constant that stands for itself."""
        return isinstance(self.node, ast.Expr) and isinstance(self.node.value, ast.Constant)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name or '-'} line {self.node.lineno}>"


class Pairing(NamedTuple):
    """Each new unit with the old one that it was (None: it is new), in the new order; and the old ones that are gone."""

    pairs: list[tuple[Unit | None, Unit]]
    removed: list[Unit]


def units_of(body: Sequence[ast.stmt], lines: Sequence[bytes]) -> list[Unit]:
    """Return the units of a body; `lines` are those of the whole file, encoded (positions count bytes)."""
    return [Unit(node, _text(node, lines)) for node in body]


def pair(old: Sequence[Unit], new: Sequence[Unit], pause: Callable[[], None]) -> Pairing:
    """Find for each new unit the old one: of the same text, else digest, else kind, name and shell, else name.

    `pause` is called now and then.
    """
    found: dict[int, Unit] = {}
    left, open_ = list(old), list(new)

    def take(key: Callable[[Unit], Hashable | None]) -> None:
        nonlocal left, open_
        if not left or not open_:
            return
        by_key: defaultdict[Hashable, deque[Unit]] = defaultdict(deque)
        for unit in left:
            if (k := key(unit)) is not None:
                by_key[k].append(unit)
        taken: set[int] = set()
        still = []
        for unit in open_:
            candidates = by_key.get(key(unit))
            if candidates:
                found[id(unit)] = candidate = candidates.popleft()
                taken.add(id(candidate))
            else:
                still.append(unit)
        left = [unit for unit in left if id(unit) not in taken]
        open_ = still

    take(lambda unit: unit.text)
    for number, unit in enumerate((*left, *open_) if left and open_ else ()):
        if not number % _SLICE:
            pause()
        unit.study(pause)
    take(lambda unit: unit.digest)
    take(lambda unit: (unit.kind, unit.name, unit.shell) if unit.name else None)
    take(lambda unit: (unit.kind, unit.name) if unit.name else None)
    take(lambda unit: unit.name or None)
    return Pairing([(found.get(id(unit)), unit) for unit in new], left)


def _slowly(parts: Iterable[str], pause: Callable[[], None]) -> Iterator[str]:
    for number, part in enumerate(parts, 1):
        yield part
        if not number % _PARTS:
            pause()


_BINDERS = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom,
    ast.Delete,
)  # fmt: skip


def bound_together(units: Iterable[Unit]) -> frozenset[str]:
    """Return the names that several simple statements bind: overloads, `X += …`, a scratch name and its `del`."""
    binders = Counter(name for unit in units if isinstance(unit.node, _BINDERS) for name in set(unit.names))
    return frozenset(name for name, count in binders.items() if count > 1)


def definition_of(unit: Unit, name: str) -> Unit:
    """Return the definition of a name within a block, if it is the only one; else the unit itself."""
    found: list[ast.stmt] = []
    stack: list[ast.AST] = [unit.node] if isinstance(unit.node, (ast.If, ast.Try)) else []
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler)):
            stack.extend(ast.iter_child_nodes(node))
        elif isinstance(node, (*syntax.FUNCTIONS, ast.ClassDef)) and node.name == name:
            found.append(node)
    return Unit(found[0], unit.text) if len(found) == 1 else unit


def unannotated(old: Iterable[Unit], new: Iterable[Unit]) -> set[str]:
    """Return the names that have an annotation in the old statements and none in the new."""
    return _annotated(old) - _annotated(new)


def _annotated(units: Iterable[Unit]) -> set[str]:
    return {
        node.target.id
        for unit in units
        if not (unit.is_function or unit.is_class)
        for node in ast.walk(unit.node)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _text(node: ast.stmt, lines: Sequence[bytes]) -> str:
    decorators = getattr(node, "decorator_list", ())
    first, start = (decorators[0].lineno, 0) if decorators else (node.lineno, node.col_offset)
    last, end = node.end_lineno or node.lineno, node.end_col_offset
    if first == last:
        return lines[first - 1][start:end].decode("utf-8", "replace")
    whole = [lines[first - 1][start:], *lines[first : last - 1], lines[last - 1][:end]]
    # How deep a body's first line is indented is not part of its text, so the kind of indentation must be.
    return b"".join(whole).decode("utf-8", "replace")
