"""The managed files of a working tree, as texts: what a release is made from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["TreeError", "read_text", "read_tree"]


class TreeError(Exception):
    """A file of the tree cannot be part of a release: a sentence with its path."""


# API


def read_tree(base: Path, folders: Iterable[str] = (".",)) -> dict[str, str]:
    """Return {path relative to `base`, with slashes: text} for all Python files under the folders.

    Hidden files and folders and `__pycache__` are left out; links to folders are not followed (they may lead in circles,
    or out of the tree). Blocks on files. Raises TreeError for a file that cannot be read or is not UTF-8.
    """
    return {
        path.relative_to(base).as_posix(): read_text(path)
        for folder in folders
        for path in sorted(_files(base / folder))
    }


def read_text(path: Path) -> str:
    """Return the text of a source file, its line ends as they are. Raises TreeError."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise TreeError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise TreeError(f"{path} is not UTF-8 (at byte {error.start}): save it as UTF-8") from None


# Internals


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for name in names:
            if name.endswith(".py") and not name.startswith("."):
                yield Path(here, name)
