"""What a node says on the terminal when it has started: one screen, or one line of JSON for a program."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple, TextIO

__all__ = ["Door", "ready_line", "say", "screen"]


class Door(NamedTuple):
    """Where an application listens: a short name, the address, and what it speaks there."""

    name: str
    host: str
    port: int
    speaks: str = ""


def screen(
    rows: Iterable[tuple[str, str]], title: str, nexts: Iterable[tuple[str, str]], out: TextIO | None = None
) -> str:
    """Return the start message: a title, rows of (name, text), and what to do next."""
    out = out or sys.stdout
    colours = out.isatty() and not os.environ.get("NO_COLOR")
    bold, dim, green, off = ("\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m") if colours else ("", "", "", "")
    lines = ["", f"{bold}{green}{title}{off}"]
    lines += [f"  {dim}{name:<13}{off}{text}" for name, text in rows]
    lines += [f"  {bold}{command:<13}{off}{dim}{text}{off}" for command, text in nexts]
    return "\n".join([*lines, ""])


def ready_line(pid: int, node: str, doors: Iterable[Door], more: dict[str, Any]) -> str:
    """Return the line of `--json-ready`: {"ready": true, "pid": ..., "<door>_port": ...}."""
    ports = {f"{door.name}_port": door.port for door in doors}
    return json.dumps({"ready": True, "pid": pid, "node": node, **ports, **more})


def say(text: str) -> None:
    """Tell the operator on standard error, even when nobody reads it."""
    with contextlib.suppress(OSError):
        print(f"evergreen: {text}", file=sys.stderr, flush=True)
