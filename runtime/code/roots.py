"""Which files are live code: the Python modules under chosen folders of one base directory on the module path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

__all__ = ["Roots"]


class Roots:
    """The managed folders. `base` is the directory that imports start from, `folders` are beneath it ("." is all of it).

    Everywhere else, the runtime itself and third-party packages included, a change needs a restart.
    """

    def __init__(self, base: str | os.PathLike[str], folders: Sequence[str] = (".",)) -> None:
        self.base = Path(os.path.realpath(base))
        self.folders = tuple(PurePosixPath(folder).as_posix() for folder in folders)
        self._prefixes = tuple(
            f"{self.base if folder == '.' else self.base / folder}{os.sep}" for folder in self.folders
        )

    def owns(self, path: str | os.PathLike[str]) -> bool:
        """Tell whether `path` is a Python source file under a managed folder."""
        text = os.path.realpath(path)
        return text.endswith(".py") and text.startswith(self._prefixes)

    def owns_relative(self, relative: str) -> bool:
        """Tell whether a path relative to `base` is, as it stands, that of a managed module: no `..`, no odd names."""
        path = PurePosixPath(relative)
        if path.is_absolute() or path.suffix != ".py" or path.as_posix() != relative:
            return False
        parts = path.with_suffix("").parts
        if not all(part.isidentifier() for part in parts):
            return False
        return any(folder == "." or relative.startswith(folder + "/") for folder in self.folders)

    def module_of(self, relative: str) -> str:
        """Return the module's name: "apps/chat/users.py" is apps.chat.users, "apps/chat/__init__.py" is apps.chat."""
        parts = PurePosixPath(relative).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def path_of(self, relative: str) -> Path:
        """Return where the file lies."""
        return self.base / relative

    def relative(self, path: str | os.PathLike[str]) -> str:
        """Return the path relative to `base`, with slashes. ValueError when it is not beneath it."""
        return Path(os.path.realpath(path)).relative_to(self.base).as_posix()

    def files(self) -> Iterator[str]:
        """Yield the relative path of every managed file on disk, in order. Folders of caches and hidden ones are passed by."""
        for prefix in self._prefixes:
            for folder, subfolders, names in os.walk(prefix):
                subfolders[:] = sorted(n for n in subfolders if not n.startswith((".", "__pycache__")))
                for name in sorted(names):
                    relative = Path(folder, name).relative_to(self.base).as_posix()
                    if self.owns_relative(relative) and self.path_of(relative).is_file():
                        yield relative
