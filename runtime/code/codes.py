"""Code objects: finding the one of a function in a module's compiled code, and pairing those of two versions.

A function is found by its name and first line; when several share both (two lambdas on a line), by column. Functions
nested in a function have no statement of their own to be paired by: those that compile to the same code belong
together, the rest in order, as long as there are as many of them on both sides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import CodeType

__all__ = [
    "Index",
    "flags_of",
    "index",
    "key_of",
    "nested",
    "pair_nested",
    "same_closure",
    "same_code",
    "select",
    "with_functions_of",
]

Index = dict[tuple[str, int], list[CodeType]]
"""The code objects of a module, of all depths, by name and first line."""

_OPTIMIZED = 0x1
"""The bit of co_flags that a function's code has, and a module's or a class body's has not."""
_FUTURE = 0x1FE0000
"""The bits of co_flags that `from __future__` sets."""


def index(code: CodeType, into: Index | None = None) -> Index:
    """Return the code objects nested in `code`, however deep."""
    found: Index = {} if into is None else into
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.setdefault((constant.co_name, constant.co_firstlineno), []).append(constant)
            index(constant, found)
    return found


def key_of(node: ast.AST) -> tuple[str, int]:
    """Return what a function's code is indexed by. A decorated one begins with its decorators."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name, min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert isinstance(node, ast.Lambda)
    return "<lambda>", node.lineno


def select(codes: Index, node: ast.AST) -> CodeType | None:
    """Return the code of the function defined by `node`."""
    found = codes.get(key_of(node))
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    column = node.body.col_offset if isinstance(node, ast.Lambda) else getattr(node, "col_offset", 0)
    return min(found, key=lambda code: abs(_column(code) - column))


def nested(code: CodeType) -> dict[str, list[CodeType]]:
    """Return all code inside `code` by qualified name, each in order."""
    found: dict[str, list[CodeType]] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.setdefault(constant.co_qualname, []).append(constant)
            for name, more in nested(constant).items():
                found.setdefault(name, []).extend(more)
    return found


def pair_nested(old: CodeType, new: CodeType) -> tuple[list[tuple[CodeType, CodeType]], bool]:
    """Pair the code inside two versions of a function.

    Also returns whether some of it changed its shape, so that what the old function made cannot be brought up to date
    by exchanging code: whoever called it must call it again.
    """
    before, after = nested(old), nested(new)
    pairs = []
    reshaped = bool(before.keys() - after.keys())
    for name, olds in before.items():
        for a, b in _match(olds, after.get(name, [])):
            if same_closure(a, b):
                pairs.append((a, b))
            else:
                reshaped = True
    return pairs, reshaped


def same_closure(a: CodeType, b: CodeType) -> bool:
    """Tell whether a function made with `a` may run `b`: it brings the same cells."""
    return a.co_freevars == b.co_freevars


def same_code(a: CodeType, b: CodeType) -> bool:
    """Tell whether the two do the same: all but lines and columns."""
    if a.co_code != b.co_code or a.co_names != b.co_names or len(a.co_consts) != len(b.co_consts):
        return False
    if (a.co_varnames, a.co_freevars, a.co_cellvars) != (b.co_varnames, b.co_freevars, b.co_cellvars):
        return False
    if (a.co_argcount, a.co_kwonlyargcount, a.co_posonlyargcount, a.co_flags) != (
        b.co_argcount, b.co_kwonlyargcount, b.co_posonlyargcount, b.co_flags,
    ):  # fmt: skip
        return False
    for x, y in zip(a.co_consts, b.co_consts, strict=True):
        if isinstance(x, CodeType) and isinstance(y, CodeType):
            if not same_code(x, y):
                return False
        elif type(x) is not type(y) or repr(x) != repr(
            y
        ):  # 1 == 1.0 == True, 0.0 == -0.0, also inside a tuple
            return False
    return True


def with_functions_of(code: CodeType, whole: Index) -> CodeType:
    """Return `code`, a statement's, with each function in it exchanged for the same one of the whole file."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            same = whole.get((constant.co_name, constant.co_firstlineno), ())
            if constant.co_flags & _OPTIMIZED and same:
                column = _column(constant)
                twin = min(same, key=lambda other: abs(_column(other) - column))
                constant = twin if same_closure(constant, twin) else constant  # noqa: PLW2901
            else:  # the body of a class: maybe only some of its statements
                constant = with_functions_of(constant, whole)  # noqa: PLW2901
        constants.append(constant)
    return code.replace(co_consts=tuple(constants))


def flags_of(code: CodeType) -> int:
    """Return the `from __future__` flags that `code` was compiled with."""
    return code.co_flags & _FUTURE


def _match(olds: list[CodeType], news: list[CodeType]) -> Iterator[tuple[CodeType, CodeType]]:
    if len(olds) == len(news):
        yield from zip(olds, news, strict=True)
        return
    left = list(news)
    for old in olds:
        for new in left:
            if same_code(old, new):
                left.remove(new)
                yield old, new
                break
    # The others: nobody can tell which of them an old one has become.


def _column(code: CodeType) -> int:
    """Return the first column of what a function does. Its first instruction stands at column 0, wherever it is."""
    columns = (p[2] for p in code.co_positions() if p[2] and p[0] == code.co_firstlineno)
    return min(columns, default=0)
