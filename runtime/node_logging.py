"""Standard logging for a node: one line or block per record on standard error, for eyes or for machines.

Records are formatted where they are logged and written by a thread, so that a slow terminal or a full pipe never holds
the loop. At most `log.queue` records wait; more are dropped and counted, and the count is logged when there is room.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import queue
import select
import threading
from collections.abc import Mapping
from typing import Any

from runtime.config import Config

__all__ = ["NodeLog", "set_levels"]

_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31", "DEBUG": "2"}
_BATCH = 200
_HOLD = 1000

# Types


class NodeLog(logging.Handler):
    """The node's log handler. `start` installs it, `stop` writes what waits (for at most two seconds)."""

    def __init__(self, fd: int, form: str, limit: int) -> None:
        super().__init__()
        self._fd = fd
        self._limit = limit
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._held: list[logging.LogRecord] | None = None
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        is_human = form == "human"
        self.setFormatter(_Human(os.isatty(fd) and not os.environ.get("NO_COLOR")) if is_human else _Json())

    @classmethod
    def start(cls, config: Config, fd: int = 2) -> NodeLog:
        """Send all logging of this process to `fd` from now on."""
        handler = cls(fd, config.text("log.format"), config.integer("log.queue"))
        root = logging.getLogger()
        root.handlers[:] = [handler]
        logging.captureWarnings(True)
        set_levels(config.text("log.level"), config["log.levels"])
        handler._thread.start()
        return handler

    def stop(self) -> None:
        """Write what waits and stop. Records logged later go nowhere."""
        logging.getLogger().removeHandler(self)
        self._lines.put(None)
        self._thread.join(2)

    def hold_reports(self) -> None:
        """Keep reports of crashes and supervisors back, until it is known whether an operator needs them.

        A port that is taken makes three of them at boot, of a page each; one sentence says it better.
        """
        self._held = []

    def release_reports(self, write: bool = True) -> None:
        """Write the reports that were kept back, or forget them; later ones are written as they come."""
        held, self._held = self._held, None
        for record in held or [] if write else []:
            self.emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        if self._held is not None and len(self._held) < _HOLD and hasattr(record, "report"):
            self._held.append(record)
            return
        if self._lines.qsize() >= self._limit:
            self._dropped += 1
            return
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted must not hurt who logged it
            line = f"[a record of {record.name} cannot be formatted: {type(error).__name__}]"
        if self._dropped:
            line = (
                f"[{self._dropped} log records were dropped: the log is slower than what is logged]\n{line}"
            )
            self._dropped = 0
        self._lines.put(line)

    def _write(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._lines.get()]
            while len(batch) < _BATCH and not self._lines.empty():
                batch.append(self._lines.get())
            stopping = None in batch
            data = "".join(f"{line}\n" for line in batch if line is not None).encode(
                errors="backslashreplace"
            )
            try:
                while data:
                    try:
                        data = data[os.write(self._fd, data) :]
                    except BlockingIOError:  # whoever shares the terminal or pipe has made it so
                        select.select([], [self._fd], [])
            except OSError:
                continue  # nowhere to write, and nobody to tell; the node goes on


# API


def set_levels(level: str, levels: Mapping[str, str]) -> None:
    """Set the level of all loggers, and of some by name; loggers named before and not now go back."""
    logging.getLogger().setLevel(level.upper())
    for name in _levelled - set(levels):
        logging.getLogger(name).setLevel(logging.NOTSET)
    _levelled.clear()
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own.upper())
        _levelled.add(name)


# Internals

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a peer's words must not do to the terminal that shows them."""
_levelled: set[str] = set()


class _Human(logging.Formatter):
    def __init__(self, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created).astimezone()
        head = f"{time:%H:%M:%S}.{int(record.msecs):03d} {record.levelname.lower():<8}"
        colour = _COLOURS.get(record.levelname) if self._colours else None
        if colour:
            head = f"\x1b[{colour}m{head}\x1b[0m"
        text = f"{head} {record.name}: {record.getMessage().translate(_CONTROLS)}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        # Continuation lines are indented, so that where a record begins can be seen (and found by grep).
        return text.rstrip().replace("\n", "\n    ")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        report = getattr(record, "report", None)
        if report is not None:
            entry["report"] = getattr(report, "label", None) or (
                report.get("label") if isinstance(report, dict) else ""
            )
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=repr)
