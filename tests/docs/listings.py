"""Reading the pages of docs/: fenced blocks, consoles and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^# ([\w.]+)\n")


class Block(NamedTuple):
    """A fenced block: its language, its text, its line on the page, and the file it says to be (or "")."""

    language: str
    text: str
    line: int
    file: str


class Step(NamedTuple):
    """One command of a console block, and what the page says it prints."""

    command: str
    output: str


class Row(NamedTuple):
    """One row of a table: the heading above, the cells, its line."""

    heading: str
    cells: list[str]
    line: int


def blocks(text: str) -> list[Block]:
    found = []
    for match in _FENCE.finditer(text):
        named = _NAMED.match(match[2])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], line, named[1] if named else ""))
    return found


def steps(block: Block) -> list[Step]:
    """Cut a console block: `$ ` begins a command, all up to the next one is what it prints."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"line {block.line}: a console begins with a command"
    return [Step(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


def pattern(expected: str) -> re.Pattern[str]:
    """What the page shows as a pattern: `...` stands for anything in its line, alone on a line for any lines."""
    lines = []
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(".*?".join(map(re.escape, line.rstrip().split("..."))) + r"[ \t]*\n")
    return re.compile("".join(lines) + r"\s*")


def shows(expected: str, printed: str) -> bool:
    return pattern(expected).fullmatch(printed.rstrip() + "\n") is not None


def same_lines(expected: str, printed: str) -> bool:
    """As `shows`, but in any order; blank lines do not count."""
    rest = [line for line in printed.splitlines() if line.strip()]
    for line in expected.splitlines():
        if line.strip():
            found = next((one for one in rest if pattern(line).fullmatch(one + "\n")), None)
            if found is None:
                return False
            rest.remove(found)
    return not rest


def tables(text: str) -> list[Row]:
    """All rows of all tables of a page; the two head rows of each are left out."""
    rows, heading, inside = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        inside = inside + 1 if line.startswith("|") else 0
        if inside > 2:
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append(Row(heading, [c.strip().replace(r"\|", "|") for c in cells], number))
    return rows


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
