"""A working tree compared with what runs: which files would have to be released, and which of them look half written.

Theory of operation: a `Tree` is looked at again and again. Each look lists the folders (a stat for each file, some 10 us)
and reads only the files whose stat differs from the last look's, whose stat is too fresh to be trusted (a second write
within one tick of the file system's clock leaves no mark), or of which somebody says that they changed. What counts is
the content: a file that was only touched is no change.

The batch is everything that differs from what runs, however long ago it was saved: when one of two files was broken and is
saved again, both go live together. A file that nothing has imported yet joins only when a module of the batch imports it;
otherwise a saved test or client would be loaded into the node.

But for what was *replaced* in what runs by a push or a rollback: a file that still has just this has not been edited since,
and must not come back with the next save of some other file. It is held until it changes.

Everything here blocks on files and belongs into a thread; one look at a time.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path
from stat import S_ISREG

from runtime.code import pieces
from runtime.code.roots import Roots

__all__ = ["Look", "Tree", "imported_with", "is_source", "parsed"]

_FRESH = 50_000_000
"""Nanoseconds: a stat younger than this may hide a second write."""

_MOMENT = 1e-5
"""Seconds: none at all might not be enough for another thread to wake up."""

# Types


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    `changed`: paths whose content is not the last look's. `batch`: {path: text, None: deleted} of all that differs from
    what runs, but for `held`: see above. `doubtful`: those of the batch that may be half of something (gone, emptied, do not compile). `unread`:
    {path: sentence} for files that are no text; they are not in the batch.
    """

    changed: frozenset[str]
    batch: Mapping[str, str | None]
    doubtful: frozenset[str]
    unread: Mapping[str, str]
    held: frozenset[str] = frozenset()


@dataclass(slots=True)
class _File:
    signature: tuple[int, ...]
    sha: str


class Tree:
    """The Python files under the roots' folders, as they were at the last look."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.files: dict[str, _File] = {}

    def look(
        self,
        told: Collection[str],
        running: Mapping[str, str],
        replaced: Mapping[str, str | None] | None = None,
    ) -> Look:
        """Look at the files. `told`: paths that are said to have changed; `running`: {path: sha256} of what runs;
        `replaced`: {path: sha256 or None} of what must not come back by itself.

        Raises OSError when it cannot look (no descriptor left, no right, a folder of what runs is away): what it does not
        see is not taken for gone.
        """
        self._is_there(running)
        changed = self._refresh(frozenset(told))
        differing = {path for path, sha in running.items() if self._sha(path) != sha}
        held = {
            path for path in differing if replaced and path in replaced and replaced[path] == self._sha(path)
        }
        differing -= held
        unread: dict[str, str] = {}
        batch = self._read(differing, unread)
        new = {path for path in self.files if path not in running}
        batch |= imported_with(
            self.roots, batch, new, lambda path: self._read({path}, unread).get(path), _let_others
        )
        doubtful = {path for path, text in batch.items() if not text or parsed(text, _let_others) is None}
        return Look(changed, batch, frozenset(doubtful), unread, frozenset(held))

    # internals

    def _is_there(self, running: Mapping[str, str]) -> None:
        """A folder of roots that is renamed or not mounted for a while does not mean that all of it shall end."""
        for folder in self.roots.folders:
            path = self.roots.path_of(folder)
            if not path.is_dir() and any(one.startswith(f"{folder}/") for one in running):
                raise FileNotFoundError(errno.ENOENT, "a folder of live code is not there", str(path))

    def _refresh(self, told: frozenset[str]) -> frozenset[str]:
        before = self.files
        files: dict[str, _File] = {}
        changed: set[str] = set()
        now = time.time_ns()
        for path, entry in self._entries():
            try:
                stat = entry.stat()
                if not S_ISREG(stat.st_mode):  # a pipe would be waited for
                    continue
                known = before.get(path)
                signature: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
                if known is None or known.signature != signature or path in told:
                    sha = _sha(Path(entry.path).read_bytes())
                else:
                    sha = known.sha
            except FileNotFoundError:  # gone meanwhile, or a link that leads nowhere
                continue
            if now - max(stat.st_mtime_ns, stat.st_ctime_ns) < _FRESH:
                signature = ()  # never equal: read again next time
            files[path] = _File(signature, sha)
            if known is None or known.sha != sha:
                changed.add(path)
        self.files = files
        changed |= before.keys() - files.keys()
        return frozenset(changed)

    def _entries(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        waiting = [str(self.roots.base / folder) for folder in self.roots.folders]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    found = list(entries)
            except (FileNotFoundError, NotADirectoryError):  # not there (yet)
                continue
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    if not _is_hidden(entry.name):
                        waiting.append(entry.path)
                elif is_source(entry.name):
                    yield os.path.relpath(entry.path, self.roots.base), entry

    def _sha(self, path: str) -> str | None:
        file = self.files.get(path)
        return file.sha if file is not None else None

    def _read(self, paths: Collection[str], unread: dict[str, str]) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for path in sorted(paths):
            try:
                found[path] = decode_source(self.roots.path_of(path).read_bytes())
            except FileNotFoundError:
                found[path] = None
            except UnicodeDecodeError as error:
                unread[path] = f"is not {error.encoding} (at byte {error.start}): save it as UTF-8"
            except SyntaxError as error:  # the encoding that it names
                unread[path] = f"is no text ({error}): save it as UTF-8"
        return found


# API


def is_source(name: str) -> bool:
    """Tell whether a file of this name can be a module: not what editors leave beside one (.x.py.swp, x~.py, #x.py#)."""
    stem, dot, ending = name.rpartition(".")
    return bool(dot) and ending == "py" and stem.isidentifier()


def imported_with(
    roots: Roots,
    batch: Mapping[str, str | None],
    others: Collection[str],
    read: Callable[[str], str | None],
    pause: Callable[[], None],
) -> dict[str, str | None]:
    """Return those of `others` that the modules of `batch` import when they are imported, and what these import in turn.

    `pause` is called now and then, for others to run.
    """
    left = set(others)
    joined: dict[str, str | None] = {}
    waiting = list(batch.items())
    while waiting and left:
        path, text = waiting.pop()
        tree = parsed(text, pause)
        for other in sorted(left & _imports(roots, path, tree)) if tree is not None else ():
            left.discard(other)
            joined[other] = read(other)
            waiting.append((other, joined[other]))
    return joined


def parsed(text: str | None, pause: Callable[[], None]) -> ast.Module | None:
    """Return the syntax tree, or None for what is no Python: compiled to the end, since some errors only show there."""
    if text is None:
        return None
    try:
        tree = pieces.parse(text, "<look>", pause)
        pieces.compile_functions(tree, "<look>", pause)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


# Internals


def _imports(roots: Roots, path: str, tree: ast.Module) -> set[str]:
    """The files that a module's top level imports, packages on the way included."""
    package = roots.module_of(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    names: set[str] = set()
    for node in _top_level(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            head = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*head, *([node.module] if node.module else [])])
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    paths = set()
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            at = "/".join(parts[:length])
            paths |= {f"{at}.py", f"{at}/__init__.py"}
    return paths


def _let_others() -> None:
    """Let go of the interpreter: a thread that compiles would keep it from the loop for as long as it takes."""
    time.sleep(_MOMENT)


def _sha(data: bytes) -> str:
    """As the hash of what would run: of the text, line ends made equal."""
    try:
        data = decode_source(data).encode()
    except (UnicodeDecodeError, SyntaxError):
        pass
    return hashlib.sha256(data).hexdigest()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _top_level(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those inside functions: these import when they are called."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
