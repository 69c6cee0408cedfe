"""Compiling what is typed, so that no loop in it holds the node, and none can refuse to be interrupted.

Theory of operation: whatever runs in the node runs in its only thread. So each loop's body and each function in what was
typed begins with a look around, a call of `checkpoint()`: it gives way when the process has run for a while, and raises
again what the code was interrupted by if that was swallowed (`except BaseException`, a `finally` that loops). Called code has none of this: the shell's guard (see `shell_evaluator`) ends it after some seconds.

Rejected: evaluating in a thread (no process, no kernel call works there, and the interpreter's lock is one); in a forked
copy (nothing in it could be acted on).
"""

from __future__ import annotations

import ast
import linecache
from collections import deque
from types import CodeType
from typing import Any, Final, NamedTuple

from runtime.admin.shell_text import parse

__all__ = ["CHECKPOINT", "Program", "Sources", "compile_input"]

CHECKPOINT: Final = "__checkpoint__"
"""The name that the look around has among the globals."""
_KEPT = 100

# Types


class Program(NamedTuple):
    """What was typed: statements, and the expression at its end, whose value is shown. Each may be missing."""

    body: CodeType | None
    last: CodeType | None


class Sources:
    """The texts of the last inputs of one shell: tracebacks show lines of them."""

    def __init__(self) -> None:
        self._names: deque[str] = deque()

    def add(self, name: str, source: str) -> None:
        """Keep a text, and forget the oldest when there are many."""
        lines = source.splitlines(keepends=True)
        # No time stamp: linecache takes it for a text that is not from a file, and keeps it.
        linecache.cache[name] = (len(source), None, lines, name)
        self._names.append(name)
        while len(self._names) > _KEPT:
            linecache.cache.pop(self._names.popleft(), None)

    def clear(self) -> None:
        """Forget all."""
        while self._names:
            linecache.cache.pop(self._names.popleft(), None)


# API


def compile_input(source: str, filename: str) -> Program:
    """Compile an input. Raises SyntaxError, ValueError, RecursionError or MemoryError, as Python's own compiler."""
    tree = parse(source, filename)
    last: ast.Expression | None = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        end = tree.body.pop()
        assert isinstance(end, ast.Expr)
        last = ast.fix_missing_locations(ast.Expression(_Checks().visit(end.value)))
    body = compile(_Checks().visit(tree), filename, "exec", dont_inherit=True) if tree.body else None
    return Program(body, compile(last, filename, "eval", dont_inherit=True) if last is not None else None)


# Internals


class _Checks(ast.NodeTransformer):
    """Puts a look around at the head of whatever may run again and again."""

    def _loop(self, node: Any) -> Any:
        self.generic_visit(node)
        node.body.insert(0, _check(node.body[0]))
        return node

    visit_For = visit_While = visit_AsyncFor = _loop  # noqa: N815 - ast's own names

    def _function(self, node: Any) -> Any:
        self.generic_visit(node)
        after = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(after, _check(node.body[0]))
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        # `if` conditions are all that a comprehension runs again and again besides its result.
        self.generic_visit(node)
        test = ast.UnaryOp(ast.Not(), _call(node.target))
        node.ifs.insert(0, ast.fix_missing_locations(ast.copy_location(test, node.target)))
        return node


def _call(at: ast.AST) -> ast.Call:
    call = ast.Call(ast.Name(CHECKPOINT, ast.Load()), [], [])
    return ast.fix_missing_locations(ast.copy_location(call, at))


def _check(at: ast.AST) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(_call(at)), at))
