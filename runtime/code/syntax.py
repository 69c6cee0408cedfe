"""What a statement is, read from its syntax tree: what it says, which names it binds, which it reads when it runs.

Two digests tell how much of a statement changed. The *digest* is all of it without positions. The *shell* leaves out
the bodies of functions: of two statements with one shell only function bodies differ, and a body is swapped without
running anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = [
    "COMPOUND", "FUNCTIONS", "annotation_digest", "attribute_loads", "bound_names", "digest", "digest_parts", "functions_in",
    "loads", "quoted", "shell", "shell_parts",
]  # fmt: skip

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
COMPOUND = (
    ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match, ast.AsyncWith, ast.AsyncFor, ast.match_case,
    ast.ExceptHandler,
)  # fmt: skip


def digest(node: ast.AST) -> str:
    """Return all that the statement says, without positions."""
    return "\n".join(digest_parts(node))


def digest_parts(node: ast.AST) -> Iterator[str]:
    """Yield the digest line by line: of a class, which may be long, one for each member."""
    if not isinstance(node, ast.ClassDef):
        yield ast.dump(node, annotate_fields=False)
        return
    yield f"class {node.name}"
    for kind, parts in (("base", node.bases), ("keyword", node.keywords), ("decorator", node.decorator_list)):
        for part in parts:
            yield f"{kind} {ast.dump(part, annotate_fields=False)}"
    yield "{"
    for statement in node.body:
        yield from digest_parts(statement)
    yield "}"


def shell(node: ast.AST) -> str:
    """Return what the statement says outside of the bodies of functions."""
    return "\n".join(shell_parts(node))


def shell_parts(node: ast.AST) -> Iterator[str]:
    """Yield the shell in parts, of a class a few for each member."""
    if isinstance(node, FUNCTIONS):
        yield f"{type(node).__name__} {node.name} {digest(node.args)}"
        yield from map(digest, node.decorator_list)
        yield digest(node.returns) if node.returns is not None else "-"
    elif isinstance(node, ast.ClassDef):
        yield f"class {node.name}"
        for part in (*node.bases, *node.keywords, *node.decorator_list):
            yield digest(part)
        yield "{"
        for statement in node.body:
            yield from shell_parts(statement)
        yield "}"
    elif isinstance(node, COMPOUND):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            yield name
            if isinstance(value, list):
                for item in value:
                    yield from shell_parts(item) if isinstance(item, ast.AST) else (repr(item),)
            else:
                yield digest(value) if isinstance(value, ast.AST) else repr(value)
    else:
        yield digest(node)


def annotation_digest(node: ast.AST) -> str:
    """Return what the statement says but for the annotation of a single name: `x: int = 1` as `x = 1`."""
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return f"{node.target.id}={digest(node.value)}"
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return f"{node.targets[0].id}={digest(node.value)}"
    return digest(node)


def functions_in(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
    """Return the functions that the statement makes when it runs, in order; not those inside their bodies."""
    found: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda] = []
    _find_functions(node, found)
    return found


def bound_names(node: ast.AST) -> list[str]:
    """Return the names that the statement binds in its own scope, in order. A star import's are not known here."""
    found: list[str] = []
    _find_bound(node, found)
    return found


def loads(node: ast.AST) -> set[str]:
    """Return the names that are read while the statement runs: not those inside the functions that it makes."""
    return {n.id for n in _running(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def attribute_loads(node: ast.AST) -> set[tuple[str, str]]:
    """Return the (name, attribute) of each `name.attribute` that is read while the statement runs."""
    return {
        (n.value.id, n.attr)
        for n in _running(node)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and isinstance(n.ctx, ast.Load)
    }


def quoted(node: ast.AST) -> list[ast.expr]:
    """Return what annotations of variables say in text: `part: "Part | None"`."""
    found = []
    for annotation in [n.annotation for n in _running(node) if isinstance(n, ast.AnnAssign)]:
        for text in ast.walk(annotation):
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                try:
                    found.append(ast.parse(text.value, mode="eval").body)
                except SyntaxError:  # a literal, or a remark
                    continue
    return found


# Internals


# No closures here that call themselves: each would be garbage for the collector, and what it found with it.
def _find_functions(node: ast.AST, found: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]) -> None:
    if isinstance(node, FUNCTIONS):
        found.append(node)
        for part in _evaluated(node):
            _find_functions(part, found)
    elif isinstance(node, ast.Lambda):
        found.append(node)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            _find_functions(default, found)
    else:
        for child in ast.iter_child_nodes(node):
            _find_functions(child, found)


def _find_bound(node: ast.AST, found: list[str]) -> None:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        found.append(node.name)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        found.extend(
            alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*"
        )
    elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        found.append(node.id)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        found.append(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        found.append(node.rest)
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            _find_bound(child, found)


def _evaluated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What of a function definition is evaluated when it is executed."""
    yield from node.decorator_list
    yield from node.args.defaults
    yield from filter(None, node.args.kw_defaults)


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    arguments = node.args
    every = (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    )
    for argument in every:
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if node.returns is not None:
        yield node.returns


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Walk all that is evaluated when the statement runs."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, FUNCTIONS):
            stack.extend(_evaluated(node))
            stack.extend(_annotations(node))
        elif isinstance(node, ast.Lambda):
            stack.extend((*node.args.defaults, *filter(None, node.args.kw_defaults)))
        else:
            stack.extend(ast.iter_child_nodes(node))
