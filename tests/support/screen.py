"""A program in a terminal of its own, and what stands on its screen."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

__all__ = ["Screen"]

ROWS, COLUMNS = 30, 100

_TOKEN = re.compile(
    r"\x1b\[([0-9;?]*)([A-Za-z@])|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]|\x1b[=>78]|[\r\n\b]|[^\x1b\r\n\b]"
)


class Screen:
    """Runs `command`; understands as much of a terminal's language as prompt_toolkit speaks."""

    def __init__(self, command: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
            | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        self.cells = [[" "] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait(self, wanted: str, timeout: float = 20.0) -> None:
        """Wait until `wanted` stands on the screen."""
        end = time.monotonic() + timeout
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} is not on the screen:\n{self.text}"
            assert self._read(0.2) or self.process.poll() is None, f"the program ended:\n{self.text}"

    def close(self, timeout: float = 10.0) -> int:
        """Wait for the program to end by itself; return its exit code."""
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(5)
        os.close(self.master)
        return code

    def _read(self, timeout: float) -> bool:
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self.master, 65536)
        self._draw(self._decoder.decode(data))
        return bool(data)

    def _draw(self, data: str) -> None:
        data = self._rest + data
        at = data.rfind("\x1b")
        self._rest = data[at:] if at >= 0 and not _TOKEN.match(data, at) else ""
        for match in _TOKEN.finditer(data.removesuffix(self._rest) if self._rest else data):
            token = match[0]
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self._line_feed()
            elif token == "\b":
                self.column = max(0, self.column - 1)
            elif match[2]:
                self._control(match[1], match[2])
            elif token[0] != "\x1b":
                if self.column >= COLUMNS:
                    self.column = 0
                    self._line_feed()
                self.cells[self.row][self.column] = token
                self.column += 1

    def _line_feed(self) -> None:
        if self.row == ROWS - 1:
            del self.cells[0]
            self.cells.append([" "] * COLUMNS)
        else:
            self.row += 1

    def _control(self, arguments: str, letter: str) -> None:
        numbers = [int(n) if n.isdigit() else 0 for n in arguments.lstrip("?").split(";")]
        n = max(1, numbers[0])
        match letter:
            case "A":
                self.row = max(0, self.row - n)
            case "B":
                self.row = min(ROWS - 1, self.row + n)
            case "C":
                self.column = min(COLUMNS - 1, self.column + n)
            case "D":
                self.column = max(0, self.column - n)
            case "H":
                self.row = min(ROWS, n) - 1
                self.column = (numbers[1] if len(numbers) > 1 and numbers[1] else 1) - 1
            case "J":
                first = 0 if numbers[0] == 2 else self.row + 1
                for row in range(first, ROWS):
                    self.cells[row] = [" "] * COLUMNS
                if numbers[0] != 2:
                    self.cells[self.row][self.column :] = [" "] * (COLUMNS - self.column)
            case "K":
                self.cells[self.row][self.column :] = [" "] * (COLUMNS - self.column)
            case "n" if arguments == "6":
                self.type(f"\x1b[{self.row + 1};{self.column + 1}R")
            case _:
                pass
