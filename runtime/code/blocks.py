"""Definitions inside `if` and `try` at the top level, which follow what they are made from like others do.

Running the whole block again would make anew what does not depend on the change, so a copy is run in which only the
statements that do are left. Conditions are evaluated again: they have the same outcome, or the block runs whole.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from .purity import is_pure
from .statements import dependencies
from .units import Unit

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["dependent_part", "is_quiet"]


def dependent_part(commit: Commit, module: str, unit: Unit, namespace: dict[str, Any]) -> Unit | None:
    """Return the part of a block that is made from something that changed; None: there is none, or it has effects."""
    node = _prune(commit, module, unit.node, namespace)
    return None if node is None else Unit(node, "")


def is_quiet(node: ast.stmt, namespace: dict[str, Any]) -> bool:
    """Tell whether a block does nothing but bind names to plain values and definitions, so that it may run again whole."""
    if isinstance(node, ast.If):
        named = isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.NamedExpr)
        tested = node.test.left.value if named else node.test  # type: ignore[attr-defined]
        return is_pure(tested, namespace) and all(is_quiet(s, namespace) for s in (*node.body, *node.orelse))
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return is_pure(node, namespace)
    return isinstance(
        node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)
    )


def _prune(commit: Commit, module: str, node: ast.stmt, namespace: dict[str, Any]) -> ast.stmt | None:
    if isinstance(node, ast.If):
        body, orelse = (_keep(commit, module, part, namespace) for part in (node.body, node.orelse))
        if not (body or orelse) or not is_pure(node.test, namespace):
            return None
        return ast.copy_location(ast.If(node.test, body or [ast.Pass()], orelse), node)
    if isinstance(node, ast.Try):
        parts = [_keep(commit, module, part, namespace) for part in (node.body, node.orelse, node.finalbody)]
        handlers = [_keep(commit, module, handler.body, namespace) for handler in node.handlers]
        if not any((*parts, *handlers)):
            return None
        # What may fail there is most often an import: it decides again which of the handlers counts.
        tried = [s for s in node.body if isinstance(s, (ast.Import, ast.ImportFrom)) or s in parts[0]]
        caught = [
            ast.copy_location(ast.ExceptHandler(h.type, h.name, body or [ast.Pass()]), h)
            for h, body in zip(node.handlers, handlers, strict=True)
        ]
        return ast.copy_location(ast.Try(tried or [ast.Pass()], caught, parts[1], parts[2]), node)
    unit = Unit(node, "")
    if not dependencies(commit, module, unit, namespace)[0]:
        return None
    if unit.is_function or unit.is_class or (unit.is_assignment and is_pure(node, namespace)):
        return node
    return None


def _keep(
    commit: Commit, module: str, statements: list[ast.stmt], namespace: dict[str, Any]
) -> list[ast.stmt]:
    pruned = (_prune(commit, module, statement, namespace) for statement in statements)
    return [statement for statement in pruned if statement is not None]
