"""The managed files of a working tree, as texts: what a release is made from."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.util import decode_source
from pathlib import Path
from typing import Any

from runtime.code.roots import Roots

__all__ = ["TreeError", "read_text", "read_tree", "vsns_of"]


class TreeError(Exception):
    """A file of the tree cannot be part of a release: a sentence with its path."""


# API


def read_tree(roots: Roots) -> dict[str, str]:
    """Return {relative path: text} of all managed files on disk. Blocks on files. Raises TreeError."""
    return {relative: read_text(roots.path_of(relative)) for relative in roots.files()}


def read_text(path: Path) -> str:
    """Return the text of a source file as Python would run it: line ends made equal, no byte order mark.

    So the same file is the same release, whether a node has imported it or it was pushed. Raises TreeError: cannot be read,
    or is no text.
    """
    try:
        return decode_source(path.read_bytes())
    except OSError as error:
        raise TreeError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise TreeError(f"{path} is not {error.encoding} (at byte {error.start}): save it as UTF-8") from None
    except SyntaxError as error:  # the encoding that it names
        raise TreeError(f"{path} is no text ({error}): save it as UTF-8") from None


def vsns_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the `__vsn__` of each module that has one as a plain constant, by path. Never raises for bad syntax."""
    found = {}
    for path, text in texts.items():
        try:
            body = ast.parse(text).body if "__vsn__" in text else []
        except (SyntaxError, ValueError):
            continue  # the node will say it better
        for statement in body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
                if "__vsn__" in names and isinstance(statement.value.value, str | int | float):
                    found[path] = statement.value.value
    return found
