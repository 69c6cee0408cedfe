"""Parsing and compiling a module in pieces, with the result of doing it in one go: between two pieces others have a turn.

Theory of operation. The parser and the compiler are C: while they are at work nobody else is, some 6 ms for each thousand
lines. Both are done here for a few statements at a time.

*Parsing.* The text is cut before lines that look like the beginning of a statement, a long class also before lines that
look like that of a member. Whether it really is one, the parser tells: a piece that ends within a string, brackets, a
compound statement does not parse. Pieces that all parse by themselves make the statements of the whole, for at a cut the
tokenizer stands as it does at the beginning: no string, no bracket, no indentation is open, and what may only go on with
a statement (`else`, `except`, a decorated definition) is no beginning of a piece. A piece that does not parse is taken
together with what follows it; so is what is left when nothing does, and then it is the error of the whole file.

*Compiling.* A function's code depends on nothing outside of its statement but the `from __future__` of the file, and on
which names the module imports (the compiler of 3.11 calls methods of those differently). The first are given as flags,
the second as an import that never runs. The code of the module itself is not made: whoever executes all of it compiles
all of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from types import CodeType
from typing import NamedTuple

from .codes import flags_of

__all__ = ["LINES", "compile_functions", "parse"]

LINES = 80
"""Lines of a piece, about: a third of a millisecond to parse, and as much to compile."""
_LONG = 2 * LINES
"""Lines from which a class is taken apart."""
_GROWTH = 4
"""By how much more is tried after a piece that does not parse."""
_UNUSUAL = re.compile(r"[\r\f\0]")
"""What ends lines elsewhere, or files: such a file is parsed in one go."""
_BEGINS = r"(?!(?:else|elif|except|finally)\b)(?=[^\W\d]|@)"
_TOP = re.compile(rf"^{_BEGINS}", re.MULTILINE)
_TEXT = re.compile(r"(\"\"\"|\'\'\').*?\1", re.DOTALL)
"""A string of many lines, where nothing begins. To be wrong about it only costs time."""
_DEFINITION = re.compile(r"^(?:class|def|async)\b", re.MULTILINE)
_INDENT = re.compile(r":[^\n]*\n(?:[ ]*(?:#[^\n]*)?\n)*([ ]+)[^\s#]")
"""The indentation of the first line after a header."""

Pause = Callable[[], None]


class _Part(NamedTuple):
    """A stretch of the text, from the beginning of a line."""

    start: int
    end: int
    line: int
    """The number of its first line, from 1."""
    lines: int


# API


def parse(source: str, path: str, pause: Pause) -> ast.Module:
    """Return what `ast.parse(source, path)` does, and raise what it raises."""
    if _UNUSUAL.search(source):
        return ast.parse(source, path)
    body: list[ast.stmt] = []
    try:
        for found in _statements(source, path, pause):
            body += found
    except (SyntaxError, ValueError):
        pause()
        return ast.parse(source, path)  # the error of the whole, and where in it
    return ast.Module(body=body, type_ignores=[])


def compile_functions(tree: ast.Module, path: str, pause: Pause) -> list[CodeType]:
    """Return code objects with all functions of the module in them, as they are in the code of the whole.

    They have its `from __future__` flags, and are not to be run. Raises what `compile` raises.
    """
    imported = _imports(tree)
    if imported is None:
        return [compile(tree, path, "exec", dont_inherit=True)]
    future = _future(tree)
    try:
        first = compile(ast.Module(body=future, type_ignores=[]), path, "exec", dont_inherit=True)
        found = [first]
        for statements in _groups([node for node in tree.body if node not in future]):
            pause()
            piece = ast.Module(body=[imported, *statements], type_ignores=[])
            found.append(compile(piece, path, "exec", flags=flags_of(first), dont_inherit=True))
    except SyntaxError:
        pause()
        return [compile(tree, path, "exec", dont_inherit=True)]  # the first error of the whole may be another
    return found


# Parsing


def _statements(source: str, path: str, pause: Pause) -> Iterator[list[ast.stmt]]:
    parts = _parts(source, _starts(source, _TOP, 0, len(source)), len(source), 1)
    at = 0
    while at < len(parts):
        count = 1
        while True:
            part = _joined(parts[at : at + count])
            pause()
            try:
                found = (
                    _parse(source, path, part) if part.lines <= _LONG else _class(source, path, part, pause)
                )
            except SyntaxError:
                if at + count >= len(parts):
                    raise
                count *= _GROWTH
            else:
                break
        yield found
        at += count


def _parse(source: str, path: str, part: _Part, before: str = "") -> list[ast.stmt]:
    """Parse a stretch, with the line numbers that it has. `before`: a line to stand before it."""
    blank = "\n" * (part.line - 1 - bool(before))
    return ast.parse(f"{blank}{before}{source[part.start : part.end]}", path).body


def _class(source: str, path: str, whole: _Part, pause: Pause) -> list[ast.stmt]:
    """Parse something long. If it is a class, then a few members at a time."""
    definition = _DEFINITION.search(source, whole.start, whole.end)
    indent = _INDENT.search(source, definition.start(), whole.end) if definition is not None else None
    if definition is None or definition[0] != "class" or indent is None:
        return _parse(source, path, whole)
    width = len(indent[1])
    member = re.compile(rf"^ {{{width}}}{_BEGINS}", re.MULTILINE)
    starts = _starts(source, member, whole.start, whole.end)
    del starts[1:2]  # a header needs a member
    cls: ast.ClassDef | None = None
    for part in _parts(source, starts, whole.end, whole.line):
        pause()
        try:
            found = _parse(source, path, part, "" if cls is None else "class _:\n")
        except SyntaxError:
            found = []
        piece = found[0] if len(found) == 1 else None
        if not isinstance(piece, ast.ClassDef) or piece.body[0].col_offset != width:
            pause()
            return _parse(source, path, whole)
        if cls is None:
            cls = piece
        else:
            cls.body += piece.body
            cls.end_lineno, cls.end_col_offset = piece.end_lineno, piece.end_col_offset
    return [cls] if cls is not None else []


def _starts(source: str, beginning: re.Pattern[str], start: int, end: int) -> list[int]:
    """Return where statements seem to begin in a stretch; the first one with what stands before it."""
    texts = [found.span() for found in _TEXT.finditer(source, start, end)][::-1]
    starts = [start]
    is_decorated = False
    for found in beginning.finditer(source, start, end):
        at = found.start()
        while texts and texts[-1][1] <= at:
            texts.pop()
        if texts and texts[-1][0] < at:
            continue
        if at > start and not is_decorated:
            starts.append(at)
        is_decorated = source[found.end()] == "@"
    return starts


def _parts(source: str, starts: Sequence[int], end: int, line: int) -> list[_Part]:
    """Put statements together into parts of some `LINES`; one that is longer stays alone."""
    parts: list[_Part] = []
    first, lines = starts[0], 0
    for start, stop in pairwise((*starts, end)):
        more = source.count("\n", start, stop)
        if lines and lines + more > LINES:
            parts.append(_Part(first, start, line, lines))
            first, line, lines = start, line + lines, 0
        lines += more
    parts.append(_Part(first, end, line, lines))
    return parts


def _joined(parts: Sequence[_Part]) -> _Part:
    return _Part(parts[0].start, parts[-1].end, parts[0].line, sum(part.lines for part in parts))


# Compiling


def _future(tree: ast.Module) -> list[ast.stmt]:
    """The `from __future__ import …` at the beginning."""
    first = int(ast.get_docstring(tree, clean=False) is not None)
    return list(takewhile(_is_future, tree.body[first:]))


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level


def _imports(tree: ast.Module) -> ast.stmt | None:
    """Return an import of all names that the module imports as such; None: `global` at the top level, which is best left alone."""
    names: dict[str, None] = {}
    for node in _own(tree.body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {a.asname or a.name.partition(".")[0]: None for a in node.names if a.name != "*"}
        elif isinstance(node, ast.Global):
            return None
    aliases = [ast.alias(name="_", asname=name) for name in names]
    # Never without one: it is also what makes a later `from __future__` an error in the piece, too.
    return ast.fix_missing_locations(ast.Import(names=aliases or [ast.alias(name="_")]))


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Walk statements, but for the bodies of functions and classes, and expressions."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)) and not isinstance(node, _SCOPES):
            stack.extend(ast.iter_child_nodes(node))


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _groups(body: Sequence[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Put statements together that have some `LINES`; long classes are taken apart."""
    group: list[ast.stmt] = []
    lines = 0
    for node in body:
        more = _length(node)
        if group and lines + more > LINES:
            yield group
            group, lines = [], 0
        if (
            more > _LONG
            and isinstance(node, ast.ClassDef)
            and not any(isinstance(n, ast.Global) for n in _own(node.body))
        ):
            for piece in _members(node):
                yield [piece]
            continue
        group.append(node)
        lines += more
    if group:
        yield group


def _members(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """Yield classes of a few members each; what only the header has is in the first."""
    header = node.bases, node.keywords, node.decorator_list
    for body in _groups(node.body):
        piece = ast.ClassDef(node.name, header[0], header[1], body, header[2])
        yield ast.copy_location(piece, node)
        header = [], [], []


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
