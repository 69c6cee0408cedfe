"""A node's data directory: held by one node at a time, and the memory of who that node is.

data_dir/             mode 0700
  node.lock           locked by the running node; holds its pid, for people and for the next one's refusal
  node.json           name, creation (how often this node has come to life), number of shards
  certificates/  store/  ...
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["DataDirectory", "DirectoryError", "Identity"]

# Types


class DirectoryError(Exception):
    """The data directory cannot be used: a sentence with what, why, and what to do."""


class Identity(NamedTuple):
    """Who a node is. A pid of an earlier creation never reaches a process of this one."""

    name: str
    creation: int
    shards: int


class DataDirectory:
    """A data directory held by this process. Invariant: while `_lock` is open, no other node runs on it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path) -> DataDirectory:
        """Make the directory if needed and lock it.

        Raises:
            DirectoryError: another node holds it (with that one's pid), or it cannot be written.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryError(
                f"the data directory {path} cannot be used ({error.strerror}): make it writable for this user, or "
                "choose another with --set node.data_dir=..."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            os.close(lock)
            raise DirectoryError(
                f"the data directory {path} is in use by another node"
                + (f" (pid {holder})" if holder else "")
                + ": stop that one, or choose another directory with --set node.data_dir=..."
            ) from None
        except OSError as error:
            os.close(lock)
            raise DirectoryError(
                f"the data directory {path} cannot be locked ({error.strerror}): put it on a disk of this machine"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the pid is for people, the lock holds without it
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return cls(path, lock)

    def release(self) -> None:
        """Let the next node in. (The end of the process does it too, however it comes.)"""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = -1

    def next_identity(self, name: str, shards: int) -> Identity:
        """Return who this node is in the life that begins now. Writes nothing: see `remember`.

        Raises:
            DirectoryError: the directory was made with another number of shards, or its memory is damaged.
        """
        file = self.path / "node.json"
        try:
            found = json.loads(file.read_text())
            creation, made_with = int(found["creation"]), int(found["shards"])
        except FileNotFoundError:
            return Identity(name, 1, shards)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DirectoryError(
                f"{file} cannot be read ({error}): restore it from a backup; it holds how often this node has started"
            ) from None
        if made_with != shards:
            raise DirectoryError(
                f"cluster.shards = {shards}, but the data directory {self.path} was made with {made_with}: the number "
                f"is fixed then; set it back to {made_with}, or choose another directory"
            )
        return Identity(name, creation + 1, shards)

    def remember(self, identity: Identity) -> None:
        """Write the identity down, durably, before anybody outside may hear of it. Raises DirectoryError."""
        try:
            self._write(identity)
        except OSError as error:
            raise DirectoryError(f"{self.path / 'node.json'} cannot be written ({error.strerror})") from None

    def _write(self, identity: Identity) -> None:
        file, temporary = self.path / "node.json", self.path / "node.json.new"
        with open(temporary, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            json.dump(identity._asdict(), out)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
