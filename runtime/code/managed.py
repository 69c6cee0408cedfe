"""The texts of a node's managed files: of what runs, of what rests, and of what a start would find.

Theory of operation: a release is of *all* managed files, but only some of them run. A file *runs* when its module is loaded;
its text is the engine's. The others *rest*: a client's module, a tool, what nobody has imported yet. In push mode, the texts of
both are in memory (`importer.release`), as they were booted and pushed since; in watch mode those that rest are in the tree.
So what somebody wants to change is compared with what runs first, with the release where it rests, and parted in two: what
goes through the engine's step, and what is merely kept for whoever imports it.

`sources` is everywhere {relative path: text, or None for a file that is to go}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runtime.code import pieces
from runtime.code.blobs import digest
from runtime.code.engine import Engine, give_way
from runtime.code.errors import refused_syntax
from runtime.code.look import imported_with
from runtime.code.release_log import Release, release_id
from runtime.code.tree import TreeError, read_tree

__all__ = ["Sources", "different", "digest_of", "id_of", "id_with", "rest", "split", "texts_of", "whole"]

Sources = Mapping[str, str | None]

# API


def different(engine: Engine, current: Release, sources: Sources) -> dict[str, str | None]:
    """Return what of it is not as it runs, or as the release has it where nothing has imported it yet."""
    running, files = engine.running(), current.files
    found: dict[str, str | None] = {}
    for path, text in sources.items():
        known = running.get(path) or files.get(path)
        if known != (None if text is None else digest_of(text)):
            found[path] = text
    return found


def split(engine: Engine, sources: Sources) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return what is or becomes part of what runs, and what rests until somebody imports it: a client's module, a tool.

    Raises Refused for a text that does not compile, and would rest.
    """
    running = engine.running()
    live = {path: text for path, text in sources.items() if path in running}
    live |= imported_with(engine.roots, live, sources.keys() - live.keys(), sources.get, give_way)
    resting = {path: text for path, text in sources.items() if path not in live}
    for path, text in resting.items():
        if text is not None:
            _compiles(engine.roots.module_of(path), path, text)
    return live, resting


def rest(engine: Engine, resting: Sources) -> None:
    """Keep texts for whoever imports them; in watch mode they are in the tree."""
    release = engine.importer.release
    if release is not None:
        for path, text in resting.items():
            if text is None:
                release.pop(path, None)
            else:
                release[path] = text


def texts_of(engine: Engine, paths: Iterable[str]) -> dict[str, str | None]:
    """Return what runs, or rests, under these paths now; None: nothing."""
    texts: dict[str, str | None] = dict.fromkeys(paths)
    release = engine.importer.release or {}
    texts |= {path: release[path] for path in texts if path in release}
    texts |= {v.relative: v.source for v in engine.modules.values() if v.relative in texts}
    return texts


def whole(engine: Engine, sources: Sources) -> dict[str, str]:
    """Return the texts of all managed files as they are with `sources`: what runs, and of the rest what a start would find.

    In a thread, or before the loop runs: it reads the tree where there is no release in memory.
    """
    roots = engine.roots
    if (
        engine.importer.release is not None
    ):  # in memory: a blob that rots is written again with the next release
        texts = dict(engine.importer.release)
    else:
        try:
            texts = read_tree(roots)
        except (TreeError, OSError):  # a file that is no text, or vanished: what runs is known all the same
            texts = {}
    texts |= {version.relative: version.source for version in list(engine.modules.values())}
    for path, text in sources.items():
        if text is None:
            texts.pop(path, None)
        else:
            texts[path] = text
    return {path: texts[path] for path in sorted(texts) if roots.owns_relative(path)}


def id_with(current: Release, sources: Sources) -> str:
    """Return the id of the release that these would make of the one that runs."""
    files: dict[str, str] = {**current.files}
    for path, text in sources.items():
        if text is None:
            files.pop(path, None)
        else:
            files[path] = digest_of(text)
    return release_id(dict(sorted(files.items())))


def id_of(texts: Mapping[str, str]) -> str:
    """Return the id of the release that has exactly these."""
    return release_id({path: digest_of(text) for path, text in sorted(texts.items())})


def digest_of(text: str) -> str:
    """Return the hash under which releases name a text."""
    return digest(text.encode())


# Internals


def _compiles(module: str, path: str, text: str) -> None:
    try:
        pieces.compile_functions(pieces.parse(text, path, give_way), path, give_way)
    except (SyntaxError, ValueError) as error:
        raise refused_syntax(module, path, text, error) from None
