"""What the operating system says about changed files: hints, gathered in watchdog's thread and taken by a process.

Theory of operation: nothing is concluded from an event but that it is time to look (`look` finds out what changed, by
content). So an event may be lost, doubled or late without harm. What is kept of events: which files they named, when the
last one came, and which files somebody has open for writing: between a write and its close, a file is half of something.

watchdog's observer runs in threads of its own. They touch this object under its lock and wake the process with one message
(`HINTED`) until it takes what there is. Nothing is monkey-patched here; under gevent's patched queue watchdog 7.1 is dead.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import Any, Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from runtime import kernel
from runtime.code.look import is_source
from runtime.code.roots import Roots
from runtime.kernel import Process, clock

__all__ = ["HINTED", "Hints", "NoEvents"]

HINTED: Final = "code_hinted"
"""Message to the process: something changed under the roots."""

_WANTED: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent,
    FileModifiedEvent, FileMovedEvent,
]  # fmt: skip

# Types


class NoEvents(Exception):
    """The system gives no events; `str()` says why."""


class Hints:
    """The watch on the roots' folders. `attach` may be called again and again: folders come and go."""

    def __init__(self, roots: Roots, dest: Process) -> None:
        self.roots = roots
        self.dest = dest
        self.last = 0.0
        """When the last event came (the kernel's clock)."""
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._open: dict[str, float] = {}
        self._told = False
        self._closed = False
        self._observer: Any = None
        self._watches: dict[str, tuple[Any, int]] = {}
        """Per folder: watchdog's watch, and the inode that it is on."""

    def attach(self) -> list[str]:
        """Watch every folder that is there and not watched yet; return those newly watched. Blocks (files, threads).

        Raises NoEvents when the system has no more watches to give.
        """
        try:
            return self._attach()
        except OSError as error:
            raise NoEvents(_why(error)) from None

    def take(self) -> frozenset[str]:
        """Return the paths (relative, with slashes) that events named since the last time, and begin anew."""
        with self._lock:
            taken = frozenset(self._paths)
            self._paths.clear()
            self._told = False
            return taken

    def is_new(self) -> bool:
        """Tell whether something came since the last `take`."""
        return self._told

    def oldest_open(self) -> float | None:
        """Return since when a file has been written to and not closed (the kernel's clock); None: none is."""
        with self._lock:
            return min(self._open.values(), default=None)

    def forget_open(self) -> None:
        """Wait for no file any more: it was changed without being opened, or its writer does not close it."""
        with self._lock:
            self._open.clear()

    def close(self) -> None:
        """Stop watching. Never blocks: watchdog's threads are waited for by another one."""
        self._closed = True
        observer, self._observer = self._observer, None
        if observer is not None:
            threading.Thread(target=_stop, args=(observer,), daemon=True).start()

    # internals

    def _attach(self) -> list[str]:
        observer = self._observer
        if observer is None:
            observer = self._observer = Observer()
            observer.start()
        new = []
        for folder in self.roots.folders:
            path = self.roots.path_of(folder)
            inode = path.stat().st_ino if path.exists() else -1
            known = self._watches.get(folder)
            if known is not None and known[1] != inode:  # another folder stands there now
                observer.unschedule(known[0])
                del self._watches[folder]
                known = None
            if known is None and inode != -1:
                watch = observer.schedule(_Handler(self), str(path), recursive=True, event_filter=_WANTED)
                self._watches[folder] = watch, inode
                new.append(folder)
        if self._closed:  # while this was on its way: nobody else would stop it
            _stop(observer)
        return new

    # in watchdog's thread

    def see(self, event: FileSystemEvent) -> None:
        """Note an event."""
        paths = [path for path in map(self._relative, (event.src_path, event.dest_path)) if path]
        if not paths and not event.is_directory:
            return  # an editor's swap file, a cache
        now = clock.now()
        with self._lock:
            self.last = now
            for path in paths:
                self._paths.add(path)
                if event.event_type == "modified":
                    self._open.setdefault(path, now)
                elif event.event_type != "created":
                    self._open.pop(path, None)
            told, self._told = self._told, True
        if not told:
            kernel.post(self.dest, HINTED)

    def _relative(self, path: bytes | str) -> str:
        text = os.fsdecode(path)
        if not text or not is_source(text.rpartition("/")[2]):
            return ""
        relative = os.path.relpath(text, self.roots.base)
        return relative if self.roots.owns_relative(relative) else ""


# Internals


class _Handler(FileSystemEventHandler):
    """One for each folder: what watchdog calls in its thread."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    def dispatch(self, event: FileSystemEvent) -> None:
        self._hints.see(event)


def _stop(observer: Any) -> None:
    observer.stop()
    observer.join()


def _why(error: OSError) -> str:
    text = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return f"{text}: raise fs.inotify.max_user_watches"
    if error.errno == errno.EMFILE:
        return f"{text}: raise fs.inotify.max_user_instances, or the limit of open files"
    return text
