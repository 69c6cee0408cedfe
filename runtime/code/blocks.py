"""Definitions inside `if` and `try` at the top level, which follow what they are made from like others do.

Running the whole block again would make anew what does not depend on the change, so a copy is run in which only the
statements that do are left. Conditions are evaluated again: they have the same outcome, or the block runs whole.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .purity import is_pure
from .statements import dependencies
from .units import Unit

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["definitions_in", "dependent_part", "is_quiet"]


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def dependent_part(commit: Commit, module: str, unit: Unit, namespace: dict[str, Any]) -> Unit | None:
    """Return the part of a block that is made from something that changed; None: there is none, or it has effects."""

    def follows(statement: ast.stmt) -> ast.stmt | None:
        one = Unit(statement, "")
        if not dependencies(commit, module, one, namespace)[0]:
            return None
        is_value = one.is_assignment and is_pure(statement, namespace)
        return statement if one.is_function or one.is_class or is_value else None

    node = _prune(unit.node, follows, namespace)
    return None if node is None else Unit(node, "")


def definitions_in(unit: Unit, namespace: Mapping[str, Any]) -> Unit | None:
    """Return the part of a block that has annotations, without the values of variables; None: there is none, or its
    conditions have effects.
    """

    def defines(statement: ast.stmt) -> ast.stmt | None:
        if isinstance(statement, ast.AnnAssign):
            bare = ast.AnnAssign(statement.target, statement.annotation, None, statement.simple)
            return ast.copy_location(bare, statement)
        return statement if isinstance(statement, _DEFINITIONS) else None

    node = _prune(unit.node, defines, namespace)
    return None if node is None else Unit(node, "")


def is_quiet(node: ast.stmt, namespace: Mapping[str, Any]) -> bool:
    """Tell whether a block does nothing but bind names to plain values and definitions, so that it may run again whole."""
    if isinstance(node, ast.If):
        named = isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.NamedExpr)
        tested = node.test.left.value if named else node.test  # type: ignore[attr-defined]
        return is_pure(tested, namespace) and all(is_quiet(s, namespace) for s in (*node.body, *node.orelse))
    if isinstance(node, ast.Try):
        parts = [node.body, node.orelse, node.finalbody, *(handler.body for handler in node.handlers)]
        return all(is_quiet(s, namespace) for part in parts for s in part)
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)):
        return is_pure(node, namespace)
    return isinstance(
        node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)
    )


_Choose = Callable[[ast.stmt], ast.stmt | None]
"""What of a simple statement or definition is left."""


def _prune(node: ast.stmt, choose: _Choose, namespace: Mapping[str, Any]) -> ast.stmt | None:
    if isinstance(node, ast.If):
        body, orelse = (_keep(part, choose, namespace) for part in (node.body, node.orelse))
        if not (body or orelse) or not is_pure(node.test, namespace):
            return None
        return ast.copy_location(ast.If(node.test, _filled(body, node), orelse), node)
    return _prune_try(node, choose, namespace) if isinstance(node, ast.Try) else choose(node)


def _prune_try(node: ast.Try, choose: _Choose, namespace: Mapping[str, Any]) -> ast.stmt | None:
    """What may fail decides again which of the handlers counts, or that none does: most often that is an import."""
    orelse, final = (_keep(part, choose, namespace) for part in (node.orelse, node.finalbody))
    handlers = [_keep(handler.body, choose, namespace) for handler in node.handlers]
    tried: list[ast.stmt] = []
    has_part = any((orelse, final, *handlers))
    for statement in node.body:
        chosen = _prune(statement, choose, namespace)
        if chosen is not None:
            if node.handlers and _may_fail(
                chosen
            ):  # or not fail any more: then all of what follows counts, or nothing
                return node if is_quiet(node, namespace) else None
            tried.append(chosen)
            has_part = True
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            tried.append(statement)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and is_pure(statement, namespace):
            if (
                statement.value is not None
            ):  # evaluated, but what the name is bound to may have been filled since
                tried.append(ast.copy_location(ast.Expr(statement.value), statement))
        elif (orelse or any(handlers)) and not isinstance(statement, (*_DEFINITIONS, ast.Pass)):
            return None
    if not has_part:
        return None
    caught = [
        ast.copy_location(ast.ExceptHandler(h.type, h.name, _filled(body, h)), h)
        for h, body in zip(node.handlers, handlers, strict=True)
    ]
    end = _filled(final, node) if node.finalbody else []
    return ast.copy_location(ast.Try(_filled(tried, node), caught, orelse, end), node)


def _may_fail(node: ast.stmt) -> bool:
    """Tell whether a value may be made in one version and raise in the other: looked up, converted, divided."""
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    failing = (ast.Call, ast.Subscript, ast.Attribute, ast.Div, ast.FloorDiv, ast.Mod)
    return value is not None and any(isinstance(part, failing) for part in ast.walk(value))


def _filled(body: list[ast.stmt], node: ast.stmt | ast.ExceptHandler) -> list[ast.stmt]:
    return body or [ast.copy_location(ast.Pass(), node)]


def _keep(statements: list[ast.stmt], choose: _Choose, namespace: Mapping[str, Any]) -> list[ast.stmt]:
    chosen = (_prune(statement, choose, namespace) for statement in statements)
    return [statement for statement in chosen if statement is not None]
