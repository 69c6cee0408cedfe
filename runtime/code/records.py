"""A file of records that only grows at its end: one line each, a checksum and a JSON object.

    4b1f09c2 {"kind": "push", "number": 7, ...}

Theory of operation: a record counts once its whole line is on the disk. A program killed while it appended leaves a torn
last line: it is cut off at the next opening, for nobody was told that it was written. A line elsewhere that does not fit
its checksum is damage (a disk, an editor): it is skipped and named in `problems`, the rest is still good. Lines of JSON
and not a denser form: an operator at 3 a.m. reads the file with `less`.

`rewrite` replaces the file by another in one rename. Everything here blocks on files; one writer at a time.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runtime.code.blobs import sync_directory, write_durably

__all__ = ["Record", "Records"]

Record = dict[str, Any]
_SHOWN = 5  # damaged lines that are named one by one


class Records:
    """The open file. Invariant: the file ends with a line feed, or is empty, between any two calls."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, and read it into `found`; `problems` has a sentence for each thing that is wrong."""
        self.path = path
        self.found: list[Record] = []
        self.problems: list[str] = []
        self.damaged = 0
        """Lines that were whole and are not what was written; a torn end is no damage."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not path.exists()
        self._file = self._open()
        if is_new:
            sync_directory(path.parent)
        self._read()

    def append(self, record: Record, *, durable: bool = True) -> None:
        """Write one record. `durable`: it is on the disk when this returns (some milliseconds).

        Raises OSError (disk full); the file is then as it was.
        """
        line = _line(record)
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):  # the disk is full: a part of it went
                raise OSError(28, f"only {written} of {len(line)} bytes could be written", str(self.path))
            if durable:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace all records by these, in one step. Raises OSError; the file is then the old one, or the new one."""
        try:
            write_durably(self.path, b"".join(map(_line, records)))
        finally:  # also where only the folder could not be synced: what is appended must go into the file of this name
            new = self._open()
            os.close(self._file)
            self._file = new

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self._file, whole)
            self.problems.append(
                f"{self.path}: the last record was cut off while it was written; it is left out"
            )
        damaged = []
        for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
            record = _parse(line)
            if record is None:
                damaged.append(number)
            else:
                self.found.append(record)
        self.damaged = len(damaged)
        self.problems += [
            f"{self.path}: line {n} is damaged and left out (its checksum is wrong)" for n in damaged[:_SHOWN]
        ]
        if len(damaged) > _SHOWN:
            self.problems.append(
                f"{self.path}: and {len(damaged) - _SHOWN} more damaged lines; see to the disk"
            )


# Internals


def _line(record: Record) -> bytes:
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def _parse(line: bytes) -> Record | None:
    sum_, _, text = line.partition(b" ")
    try:
        if int(sum_, 16) != zlib.crc32(text) or len(sum_) != 8:
            return None
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
