"""Contents on disk under the names of their hashes.

    blobs.put(b"...") -> "9f86d0..."        blobs.get("9f86d0...") -> b"..."

A blob is written under a temporary name, made durable and renamed: under its final name there is the whole content or
nothing, whenever the program was killed. The same content is kept once. What is read is hashed again, so a damaged disk
is found out and never run. Everything here blocks on files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

__all__ = ["BlobDamaged", "Blobs", "digest", "sync_directory", "write_durably"]

_NAME = re.compile(r"[0-9a-f]{64}\Z")

# Types


class BlobDamaged(Exception):
    """A blob is missing, or is not what its name says; `str()` is a sentence with the path."""


class Blobs:
    """A directory of blobs, in folders by the first two digits."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str) -> Path:
        """Return where the blob `name` (64 hexadecimal digits) lies or would lie. Raises ValueError for other names."""
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is not the name of a blob")
        return self.directory / name[:2] / name

    def put_all(self, contents: Iterable[bytes]) -> list[str]:
        """Keep all contents durably; return their names in order. One sync of each folder, however many there are."""
        names, touched = [], set()
        for content in contents:
            name = digest(content)
            names.append(name)
            path = self.path(name)
            # The name alone is no proof that the content is whole: a disk may have been full, restored in part, or be rotten.
            if _holds(path, content):
                continue
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                touched.add(self.directory)
            write_durably(path, content, sync_folder=False)
            touched.add(path.parent)
        for folder in touched:
            sync_directory(folder)
        return names

    def put(self, content: bytes) -> str:
        """Keep one content durably; return its name."""
        return self.put_all([content])[0]

    def get(self, name: str) -> bytes:
        """Return a content. Raises BlobDamaged."""
        path = self.path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BlobDamaged(f"{path} cannot be read ({error.strerror})") from None
        if digest(content) != name:
            raise BlobDamaged(f"{path} is damaged: its content is not what was written")
        return content

    def sweep(self, wanted: Collection[str]) -> int:
        """Delete all blobs but those `wanted`, and what interrupted writes left; return how many went."""
        gone = 0
        for path in sorted(self.directory.glob("??/*")):
            if path.name not in wanted:
                path.unlink(missing_ok=True)
                gone += 1
        return gone


# API


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal: its name."""
    return hashlib.sha256(content).hexdigest()


def write_durably(path: Path, content: bytes, mode: int = 0o600, *, sync_folder: bool = True) -> None:
    """Write a file so that after a crash there is the old one or the whole new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a full disk would stay full of what nobody can use
        temporary.unlink(missing_ok=True)
        raise
    if sync_folder:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Internals


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
