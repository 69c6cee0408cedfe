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

from runtime.observe.aside import TooLate, aside

__all__ = ["InputLog"]

_log = logging.getLogger("evergreen.admin.shell")
_FULL = 10 * 2**20
_SHOWN = 300
_PATIENCE = 2.0
_THREADS = 4
"""So many lines may hang; what comes then is only in the node's log."""
_CONTROLS = {
    code: f"\\u{code:04x}"
    for code in (*range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""What JSON leaves as it is and a terminal, or the eye of whoever reads the file, is fooled by."""

# Types


class InputLog:
    """The file, and the node's log.

    Each line has a thread of its own: not one of the pool, whose being full may be what the shell is to mend.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._under_way = 0

    def put(self, who: str, shell: int, **what: Any) -> None:
        """Write one line; blocks the calling process until the disk has it, or for `_PATIENCE` seconds: then the input runs
        all the same, and the node's log says so.
        """
        if self.path is None:
            return
        if self._under_way >= _THREADS:
            _log.error("shell %d, %s: the audit is not written: the disk hangs", shell, who)
            return

        def work() -> None:
            try:
                self.write(who, shell, **what)
            finally:
                self._under_way -= 1

        self._under_way += 1
        try:
            aside(work, name="shell audit", patience=_PATIENCE)
        except TooLate:
            _log.error("shell %d, %s: the audit is not written yet: the disk hangs", shell, who)
        except OSError as error:  # none of `write`, which says so itself
            self._under_way -= 1
            _log.error("shell %d, %s: the audit is not written: %s", shell, who, error.strerror)

    def write(self, who: str, shell: int, **what: Any) -> None:
        """Write one line. A disk that does not take it is no reason to refuse the shell that may repair it: it is logged."""
        if self.path is None:
            return
        moment = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{int(moment * 1000) % 1000:03d}Z"
        entry = json.dumps({"time": stamp, "who": who, "shell": shell, **what}, ensure_ascii=False)
        line = entry.translate(_CONTROLS) + "\n"
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
