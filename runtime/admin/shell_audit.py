"""Who typed what into which shell, and when: one line of JSON each, written before the input runs.

    {"time": "2026-11-23T03:12:09.112Z", "who": "uid 1000 (pid 4711)", "shell": 3, "input": "kill('sweeper')"}

The file is the node's user's own (0600). A full one is kept as `.1`, the one before that is dropped.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["InputLog"]

_log = logging.getLogger("evergreen.admin.shell")
_FULL = 10 * 2**20
_SHOWN = 300

# Types


class InputLog:
    """The file, and the node's log. For threads (`kernel.blocking`): it waits for the disk."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, who: str, shell: int, **what: Any) -> None:
        """Write one line. A disk that does not take it is no reason to refuse the shell that may repair it: it is logged."""
        if self.path is None:
            return
        moment = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{int(moment * 1000) % 1000:03d}Z"
        line = json.dumps({"time": stamp, "who": who, "shell": shell, **what}, ensure_ascii=False) + "\n"
        try:
            with self._lock:
                self._append(line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            _log.error("the audit of shells cannot be written to %s: %s", self.path, error.strerror)

    def note(self, who: str, shell: int, text: str) -> None:
        """Tell the node's log too, shortened."""
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
        _log.info("shell %d, %s: %s", shell, who, shown)

    def _append(self, data: bytes) -> None:
        assert self.path is not None
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size > _FULL:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                os.close(fd)
                fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
