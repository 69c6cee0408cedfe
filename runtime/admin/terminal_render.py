"""Views (`shell_views`) on a screen: in colour through rich on a terminal, in plain columns into a pipe.

Whatever comes from the node is text: what could move the cursor or retitle the window is made visible instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

__all__ = ["Plain", "Rich", "printable", "screen"]

# Types


class Plain:
    """Plain text: columns as wide as they must be, nothing cut, nothing coloured."""

    width = 100

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err

    def event(self, event: Mapping[str, Any]) -> None:
        """What happens while an input runs."""
        if event["stage"] == "out":
            self.out.write(event["text"])
        elif event["stage"] == "frame":
            self.view(event["view"])
            self.out.write("\n")
        elif event["stage"] == "dropped":
            self.err.write(_dropped(event))
        self.out.flush()

    def answer(self, answer: Mapping[str, Any]) -> None:
        """The end of an input."""
        if answer["kind"] in ("table", "text"):
            self.view(answer)
        elif answer["kind"] in ("error", "interrupted", "ended", "busy", "left") and answer.get("text"):
            self.out.flush()
            self.err.write(f"{self._safe(answer['text'])}\n")
        self.out.flush()

    def view(self, view: Mapping[str, Any]) -> None:
        """A table or a text."""
        if view["kind"] != "table":
            self.out.write(view["text"] + "\n")
            return
        heads = [head for head, _ in view["columns"]]
        rows = [[_text(cell) for cell in row] for row in view["rows"]]
        lines = [heads, *rows] if any(heads) else rows
        widths = [max((len(line[at]) for line in lines), default=0) for at in range(len(heads))]
        if view["title"]:
            self.out.write(view["title"] + "\n")
        for line in lines:
            cells = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, (_, right) in zip(line, widths, view["columns"], strict=True)
            ]
            self.out.write("  ".join(cells).rstrip() + "\n")
        if view["note"]:
            self.out.write(f"({view['note']})\n")

    def _safe(self, text: str) -> str:
        """Standard error may be a terminal although standard output is none."""
        return printable(text) if self.err.isatty() else text

    def say(self, text: str) -> None:
        """A line of our own."""
        self.err.write(self._safe(text) + "\n")
        self.err.flush()

    def close(self) -> None:
        """An input has ended."""
        self.out.flush()


class Rich:
    """A terminal: tables with colours, values and tracebacks highlighted, live tables in place."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._live: Any = None
        self._at_start = True

    @property
    def width(self) -> int:
        return self.console.width

    def event(self, event: Mapping[str, Any]) -> None:
        """What happens while an input runs."""
        if event["stage"] == "out":
            text = printable(event["text"])
            self.console.file.write(text)
            self.console.file.flush()
            self._at_start = text.endswith("\n")
        elif event["stage"] == "frame":
            self._frame(event["view"])
        elif event["stage"] == "dropped":
            self._line_start()
            self.console.print(_dropped(event).rstrip(), style="yellow")

    def answer(self, answer: Mapping[str, Any]) -> None:
        """The end of an input."""
        kind = answer["kind"]
        self._line_start()
        if kind in ("table", "text"):
            self.view(answer)
        elif kind == "error" and answer["text"].startswith("Traceback"):
            from rich.syntax import Syntax

            self.console.print(
                Syntax(
                    printable(answer["text"]),
                    "pytb",
                    theme="ansi_dark",
                    background_color="default",
                    word_wrap=True,
                )
            )
        elif kind in ("error", "ended", "busy"):
            self.console.print(printable(answer["text"]), style="red")
        elif kind == "interrupted":
            self.console.print(printable(answer["text"]), style="yellow")

    def view(self, view: Mapping[str, Any]) -> None:
        """A table or a text."""
        self.console.print(self._renderable(view))

    def say(self, text: str) -> None:
        """A line of our own."""
        self._line_start()
        self.console.print(printable(text), style="dim")

    def close(self) -> None:
        """An input has ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._line_start()

    def _line_start(self) -> None:
        if not self._at_start:
            self.console.file.write("\n")
            self._at_start = True

    def _frame(self, view: Mapping[str, Any]) -> None:
        if self._live is None:
            from rich.live import Live

            self._line_start()
            self._live = Live(console=self.console, auto_refresh=False, vertical_overflow="ellipsis")
            self._live.start()
        self._live.update(self._renderable(view), refresh=True)

    def _renderable(self, view: Mapping[str, Any]) -> Any:
        from rich.highlighter import ReprHighlighter
        from rich.table import Table
        from rich.text import Text

        if view["kind"] != "table":
            text = Text(printable(view["text"]))
            if len(text) < 50_000:
                ReprHighlighter().highlight(text)
            return text
        heads = [head for head, _ in view["columns"]]
        table = Table(
            title=printable(view["title"]) or None, title_justify="left", title_style="dim", caption_justify="left",
            caption=printable(view["note"]) or None, box=None, show_header=any(heads), header_style="bold cyan",
            pad_edge=False, padding=(0, 2, 0, 0),
        )  # fmt: skip
        is_record = not any(heads)
        for at, (head, right) in enumerate(view["columns"]):
            table.add_column(
                printable(head), justify="right" if right else "left", no_wrap=not is_record, overflow="ellipsis",
                style="cyan" if is_record and at == 0 else "",
            )  # fmt: skip
        for row in self._fitted(view):
            cells = []
            for cell in row:
                shown = Text(printable(_text(cell)), style=cell[1] if isinstance(cell, list) else "")
                if "<" in shown.plain:
                    shown.highlight_regex(r"<[^<>\s]+@[^<>\s]+>", "magenta")
                cells.append(shown)
            table.add_row(*cells)
        return table

    def _fitted(self, view: Mapping[str, Any]) -> list[list[Any]]:
        """The rows, cut so that the table fits: the columns to the right first, none below `_LEAST`."""
        rows: list[list[Any]] = view["rows"]
        heads = [head for head, _ in view["columns"]]
        if not any(heads):
            return rows
        widths = [max([len(head), *(len(_text(row[at])) for row in rows)]) for at, head in enumerate(heads)]
        over = sum(widths) + 2 * len(widths) - self.width
        limits = list(widths)
        for at in reversed(range(len(widths))):
            cut = max(0, min(over, widths[at] - _LEAST))
            limits[at] -= cut
            over -= cut
        return [[_cut(cell, limit) for cell, limit in zip(row, limits, strict=True)] for row in rows]


# API


def screen() -> Plain | Rich:
    """Return what fits standard output."""
    if sys.stdout.isatty():
        return Rich()
    return Plain(sys.stdout, sys.stderr)


def printable(text: str) -> str:
    """Return a text that cannot move the reader's cursor, change colours or retitle the window."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text.replace("\r\n", "\n"))


# Internals

_LEAST = 14


def _cut(cell: Any, limit: int) -> Any:
    text = _text(cell)
    if len(text) <= limit:
        return cell
    shown = text[: limit - 1] + "…"
    return [shown, cell[1]] if isinstance(cell, list) else shown


def _text(cell: Any) -> str:
    return str(cell[0] if isinstance(cell, list) else cell)


def _dropped(event: Mapping[str, Any]) -> str:
    return f"... {event['count']:,} more characters were printed: an input shows 1,000,000 at most\n"
