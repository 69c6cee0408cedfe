"""What a failed step says, and what the import system must forget of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from runtime import kernel

from .errors import Refused, said
from .roots import Roots
from .spread import namespace_of
from .version import ModuleVersion

__all__ = ["forget_imports", "line_in", "refusal_of"]


def forget_imports(roots: Roots, loaded: set[str]) -> None:
    """Let managed modules that the failed release has imported not be there; `loaded`: those there were before."""
    for name in set(sys.modules) - loaded:
        path = getattr(sys.modules[name], "__file__", None)
        if path and roots.owns(path):
            module = sys.modules.pop(name)
            parent, _, leaf = name.rpartition(".")
            namespace = namespace_of(parent)
            if namespace is not None and namespace.get(leaf) is module:
                del namespace[leaf]


def refusal_of(error: BaseException, versions: Iterable[ModuleVersion], limit: float) -> Refused:
    """Return the refusal for what was raised in the step, with the line of the first of `versions` it passed through.

    `limit`: the seconds that the step may take.
    """
    error = _at_bottom(error)
    reason, kind, hint, excerpt = said(error), "error", "", ""
    if isinstance(error, kernel.BLOCKED):
        kind, reason = "blocking", f"its top level tries to wait ({reason})"
        hint = "a module must not block while it is loaded: do that in a process, when it starts"
    elif isinstance(error, kernel.TookTooLong):
        kind, reason = (
            "blocking",
            f"it had not finished after {limit:g} s, and nothing else runs meanwhile ({error})",
        )
        hint = "do long work in a process, when it starts"
    elif isinstance(error, ImportError):
        kind = "import"
    for version in versions:
        line = line_in(error, version.path)
        if line is not None:
            if line <= len(version.lines):
                excerpt = "    " + version.lines[line - 1].decode("utf-8", "replace").strip()
            return Refused(
                reason,
                kind=kind,
                module=version.name,
                path=version.relative,
                line=line,
                hint=hint,
                excerpt=excerpt,
            )
    return Refused(reason, kind=kind, hint=hint)


def line_in(error: BaseException, path: str) -> int | None:
    """Return the deepest line of a file that the exception passed through."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


# Internals


def _at_bottom(error: BaseException) -> BaseException:
    """Return what a wait or the time limit has raised, if an exception was made of it: `__set_name__` does."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, (kernel.TookTooLong, kernel.BLOCKED)):
            return at
        at = at.__cause__
    return error
