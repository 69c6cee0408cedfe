"""Saved files that do not go live: modules that run, lie beside the live code, and are none of it (the runtime's, mostly).

Whoever saves one of them in watch mode and hears nothing thinks that it runs. So the watcher asks here at each of its
looks, and says what has changed since it was loaded; once for each content, and nothing when it is again what runs.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from runtime.code.outside import is_beneath
from runtime.code.roots import Roots

__all__ = ["Unwatched"]

_SHOWN = 5
"""Files that are named; the others are counted."""

# Types


class _Known(NamedTuple):
    stamp: tuple[int, int] | None
    runs: str
    """The content when it was first seen, which is taken for what runs."""
    said: str


class Unwatched:
    """What is known of these files. Its methods block on files: call them in a thread."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._known: dict[str, _Known] = {}

    def look(self) -> list[str]:
        """Return the files, relative to the base, with another content than what runs and than the last time.

        A stat for each file; a new one is read, and one that was written to.
        """
        found = []
        for path in self._loaded():
            stamp = _stamp(path)
            known = self._known.get(path)
            if known is not None and known.stamp == stamp:
                continue
            content = _content(path)
            if content is None:
                continue  # it cannot be read just now: the next look may
            if known is None:
                self._known[path] = _Known(stamp, content, content)
                continue
            self._known[path] = _Known(stamp, known.runs, content)
            if content not in (known.runs, known.said):
                found.append(self._roots.relative(path))
        return sorted(found)

    def text(self, paths: list[str]) -> str:
        """Say what `look` has found, in a line."""
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        return f"{', '.join(paths[:_SHOWN])}{more}: outside of code.roots ({', '.join(self._roots.folders)}); takes a restart"

    # internals

    def _loaded(self) -> set[str]:
        paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        return {
            path
            for path in paths
            if isinstance(path, str)
            and path.endswith(".py")
            and (path in self._known or (is_beneath(path, self._roots.base) and not self._roots.owns(path)))
        }


# Internals


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _content(path: str) -> str | None:
    """A hash; empty: there is no such file. None: that cannot be told."""
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError:
        return None
