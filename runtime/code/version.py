"""One version of one module: the exact source that was executed, its code objects, and what its statements are.

What only comparing needs (the syntax tree, the units) is made when a release touches the module and dropped after it:
a tree is some fifty times the size of its source, and full collections would walk it for ever.

A version that changes a living module is never executed as a whole: only its functions' code is used. So it is compiled
in pieces (see `pieces`), and `parts` are these; of a version that is imported they are the code of the module.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from types import CodeType
from typing import Any, NamedTuple

from . import codes, pieces
from .units import Unit, units_of

__all__ = ["Binding", "ModuleVersion"]

_SYNTAX = ("tree", "units", "lines", "codes")
_LASTING = ("_imports", "names", "imports", "bindings", "vsn", "keep", "reset")
"""What is learned from it, and kept."""


class Binding(NamedTuple):
    """`from base import original as local`; a star import has "*" for both names."""

    base: str
    original: str
    local: str


class ModuleVersion:
    """A module's source, compiled. Raises SyntaxError or ValueError as `compile` does.

    With `pause`, which lets others run, all is done in slices; but for the code of the module itself if it is to be
    executed (`whole`).
    """

    def __init__(
        self, name: str, relative: str, path: str, source: str, pause: Callable[[], None] | None = None, *,
        whole: bool = True,
    ) -> None:  # fmt: skip
        self.name = name
        self.relative = relative
        self.path = path
        self.source = source
        self.sha = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()
        self.is_package = relative.endswith("__init__.py")
        self.is_whole = whole or pause is None
        code: Any = source
        if pause is not None:
            self.read(pause)
            code = self.tree
            pause()
        self.parts: list[CodeType] = (
            [compile(code, path, "exec", dont_inherit=True)]
            if self.is_whole or pause is None
            else pieces.compile_functions(self.tree, path, pause)
        )

    @property
    def code(self) -> CodeType:
        """The code of the module itself, for who executes it."""
        assert self.is_whole
        return self.parts[0]

    @property
    def flags(self) -> int:
        """The `from __future__` flags that it is compiled with."""
        return codes.flags_of(self.parts[0])

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @cached_property
    def lines(self) -> list[bytes]:
        # As the tokenizer counts lines; str.splitlines would also end one at a form feed or a line separator.
        return (
            self.source.encode("utf-8", "surrogateescape")
            .replace(b"\r\n", b"\n")
            .replace(b"\r", b"\n")
            .split(b"\n")
        )

    @cached_property
    def units(self) -> list[Unit]:
        return units_of(self.tree.body, self.lines)

    def body_of(self, node: ast.ClassDef) -> list[Unit]:
        """Return the units of a class's body."""
        return units_of(node.body, self.lines)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that its own statements bind, but for star imports."""
        return frozenset(name for unit in self.units for name in unit.names)

    @cached_property
    def vsn(self) -> Any:
        """The value of `__vsn__`, which names the shape of its processes' states; None if it has none."""
        for unit in self.units:
            if unit.names == ["__vsn__"] and unit.is_assignment:
                value = unit.node.value  # type: ignore[attr-defined]
                return value.value if isinstance(value, ast.Constant) else None
        return None

    @cached_property
    def keep(self) -> frozenset[str]:
        """The names of `__reload_keep__`: their statements never run again."""
        return self._names("__reload_keep__")

    @cached_property
    def reset(self) -> frozenset[str]:
        """The names of `__reload_reset__`: their statements run again with every change of the module."""
        return self._names("__reload_reset__")

    @property
    def imports_in_order(self) -> list[str]:
        """The modules that it imports, in the order of its statements."""
        found = [f"{base}.{name}" if name else base for base, name in self._imports]
        return [part for full in found for part in (full, full.rpartition(".")[0]) if part]

    @cached_property
    def imports(self) -> frozenset[str]:
        """The modules that it imports when it is imported; `from a import b` counts as a and as a.b."""
        found = set()
        for base, name in self._imports:
            found.add(base)
            if name:
                found.add(f"{base}.{name}")
        return frozenset(found)

    @cached_property
    def bindings(self) -> tuple[Binding, ...]:
        """Its `from … import …`: where a name of another module has a twin here."""
        found = []
        for node in _at_import(self.tree):
            if isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found += [
                    Binding(base, a.name, "*" if a.name == "*" else a.asname or a.name) for a in node.names
                ]
        return tuple(found)

    @cached_property
    def codes(self) -> codes.Index:
        """The code objects that its functions run."""
        found: codes.Index = {}
        for part in self.parts:
            codes.index(part, found)
        return found

    @property
    def is_read(self) -> bool:
        """Whether its imports are known, so that asking for them costs nothing."""
        return "imports" in self.__dict__

    @property
    def has_syntax(self) -> bool:
        return not self.__dict__.keys().isdisjoint(_SYNTAX)

    def read(self, pause: Callable[[], None]) -> None:
        """Have the syntax tree and the units, made in slices."""
        if "tree" not in self.__dict__:
            self.tree = pieces.parse(self.source, self.path, pause)
        if "units" not in self.__dict__:
            pause()
            _ = self.units

    def forget_syntax(self, pause: Callable[[], None] = lambda: None) -> None:
        """Drop the syntax tree; it is made again when needed."""
        for name in _LASTING:
            if name not in self.__dict__:
                pause()
                getattr(self, name)
        pause()
        for name in _SYNTAX:
            self.__dict__.pop(name, None)

    @cached_property
    def _imports(self) -> tuple[tuple[str, str], ...]:
        found = []
        for node in _at_import(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found += [(base, alias.name) for alias in node.names]
        return tuple(found)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        parts = package[: len(package) - (node.level - 1)]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def _names(self, variable: str) -> frozenset[str]:
        for unit in self.units:
            if unit.names == [variable] and unit.is_assignment:
                try:
                    return frozenset(ast.literal_eval(unit.node.value))  # type: ignore[attr-defined]
                except ValueError:
                    return frozenset()
        return frozenset()

    def __repr__(self) -> str:
        return f"<{self.name} {self.sha[:12]}>"


def _is_for_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs at import: everything but the bodies of functions, and what only type checkers read."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.If) and _is_for_checkers(node.test):
            stack.extend(reversed(node.orelse))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))
