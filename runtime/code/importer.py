"""The import hook: managed modules come through here, so the node knows the exact source that each one runs.

They are always compiled from source: a cached .pyc is checked by time and size alone, and live code must know what it
replaces to the letter. In push mode the sources are those of a release, and the files on disk play no part.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import io
import linecache
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from .journal import MISSING
from .roots import Roots
from .version import ModuleVersion

__all__ = ["Importer", "show_source"]


class Importer(importlib.abc.MetaPathFinder):
    """Finds and loads managed modules, and remembers the version of each in `modules`."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.modules: dict[str, ModuleVersion] = {}
        """What runs, by module name. A module whose top level failed is not in it."""
        self.release: dict[str, str] | None = None
        """Relative path -> source of the release that runs; None: what is on disk."""
        self._staged: Mapping[str, str | None] = {}
        self._compiled: Mapping[str, ModuleVersion] = {}

    def install(self, sources: Mapping[str, str] | None = None) -> None:
        """Take part in imports from now on. With `sources` these, and not the files on disk, are the managed modules."""
        self.release = None if sources is None else dict(sources)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def stage(self, sources: Mapping[str, str | None], compiled: Mapping[str, ModuleVersion]) -> None:
        """Let new modules of the release that is being committed be found; {} when that is over.

        `compiled`: those that are compiled already, by name.
        """
        self._staged, self._compiled = sources, compiled

    def version_of(self, fullname: str, relative: str, path: str) -> ModuleVersion:
        """Return a managed module that is about to be loaded, compiled."""
        source = self.text_of(relative, path)
        known = self._compiled.get(fullname)
        if known is not None and known.source == source and known.path == path and known.is_whole:
            return known
        return ModuleVersion(fullname, relative, path, source)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if self.release is not None or self._staged:
            spec = self._find_in_release(fullname)
            if spec is not None:
                return spec
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.origin or not spec.has_location or not self.roots.owns(spec.origin):
            return None
        relative = self.roots.relative(spec.origin)
        if (
            self.release is not None and relative not in self.release
        ):  # left over on disk: the release does not have it
            raise ModuleNotFoundError(f"No module named {fullname!r} in the running release", name=fullname)
        if relative in self._staged and self._staged[relative] is None:
            raise ModuleNotFoundError(f"No module named {fullname!r}: the release deletes it", name=fullname)
        spec.loader = _Loader(self, fullname, spec.origin, relative)
        return spec

    def text_of(self, relative: str, path: str) -> str:
        """Return the source of a managed module that is about to be loaded."""
        staged = self._staged.get(relative)
        if staged is not None:
            return staged
        if self.release is not None and relative in self.release:
            return self.release[relative]
        return importlib.util.decode_source(Path(path).read_bytes())

    def _find_in_release(self, fullname: str) -> importlib.machinery.ModuleSpec | None:
        stem = fullname.replace(".", "/")
        for relative in (f"{stem}/__init__.py", f"{stem}.py"):
            staged = self._staged.get(relative, MISSING)
            if staged is not None and (staged is not MISSING or relative in (self.release or ())):
                path = str(self.roots.path_of(relative))
                is_package = relative.endswith("__init__.py")
                return importlib.util.spec_from_file_location(
                    fullname, path, loader=_Loader(self, fullname, path, relative),
                    submodule_search_locations=[str(Path(path).parent)] if is_package else None,
                )  # fmt: skip
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, importer: Importer, fullname: str, path: str, relative: str) -> None:
        super().__init__(fullname, path)
        self._importer = importer
        self._relative = relative
        self._version: ModuleVersion | None = None

    def get_code(self, fullname: str) -> CodeType:
        self._version = version = self._importer.version_of(fullname, self._relative, self.path)
        if self._importer.release is not None:
            show_source(version)
        return version.code

    def get_source(self, fullname: str) -> str:
        version = self._importer.modules.get(fullname)
        return version.source if version is not None else self._importer.text_of(self._relative, self.path)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        version, self._version = (
            self._version,
            None,
        )  # the module keeps its loader: old code would stay with it
        if version is not None:
            self._importer.modules[module.__name__] = version


def show_source(version: ModuleVersion) -> None:
    """Let tracebacks and `inspect` show the source that runs, whatever lies on disk."""
    source = version.source
    lines = io.StringIO(source, newline=None).readlines()  # str.splitlines would also cut at form feeds
    # No time stamp: `linecache.checkcache` then leaves the entry alone.
    linecache.cache[version.path] = (len(source), None, lines, version.path)
