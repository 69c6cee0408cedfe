"""What is typed into a shell, as text: is it complete, and where are pids in it that were pasted as printed.

For both ends, so that the terminal knows what the node will make of it. No kernel here. Where a screen is narrow, `<42@…>`
is a pid of the node that is looked at; so what is shown by it is here, too.
"""

from __future__ import annotations

import ast
import codeop
import re
import warnings
from typing import Final

__all__ = ["HERE", "MAX_INPUT", "PID", "cut_at", "is_complete", "parse", "shortened", "with_pids"]

MAX_INPUT: Final = 200_000
"""Characters of one input."""
HERE: Final = "…"
"""Stands in a pid for the name of the node that is looked at."""
PID: Final = re.compile(r"<[^<>\s]+@[^<>\s]+>")
"""A pid in what is shown."""

_TOKEN: Final = re.compile(
    r"""(?P<text>[rbfuRBFU]{0,2}(?:\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)|'''(?:\\.|[^\\])*?(?:'''|\Z)
        |"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))
      |(?P<remark>\#[^\n]*)
      |(?P<pid><[^<>\s@"'()\[\]{}]+@(?:…|[\w.:@-]+)>)""",
    re.VERBOSE | re.DOTALL,
)

# API


def with_pids(source: str) -> str:
    """Put `pid("<42@node>")` in the place of each pasted `<42@node>`; those in strings and remarks stay."""
    return _TOKEN.sub(lambda found: f'pid("{found["pid"]}")' if found["pid"] else found[0], source)


def shortened(text: str, node: str) -> str:
    """Leave the node's name out of its pids. An empty name: nothing changes."""
    return text.replace(f"@{node}>", f"@{HERE}>") if node else text


def cut_at(text: str, limit: int) -> int:
    """Return where to cut a text so that at most `limit` characters stay, and no part of a pid."""
    start = text.rfind("<", 0, limit)
    found = PID.match(text, start) if start >= 0 else None
    return start if found is not None and found.end() > limit else limit


def parse(source: str, filename: str) -> ast.Module:
    """Parse statements and expressions. Raises SyntaxError, and what else Python's parser raises for strange text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source, filename)
        except SyntaxError:
            replaced = with_pids(source)
            if replaced == source:
                raise
            return ast.parse(replaced, filename)


def is_complete(source: str) -> bool:
    """Tell whether Enter may send this: it is a whole input, or one that is wrong whatever follows."""
    lines = source.split("\n")
    if len(lines) > 1 and lines[-1].strip():
        # As at Python's prompt: what has a block in it ends with an empty line.
        last = lines[-1]
        if last[:1] in " \t" or _is_open(source):
            return False
    return not _is_open(source)


# Internals


def _is_open(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in (source, with_pids(source)):
            try:
                return (
                    codeop.compile_command(text + "\n" if "\n" in text else text, "<shell>", "exec") is None
                )
            except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
                continue
    return False
