"""Views (`shell_views`) on a screen: in colour through rich on a terminal, in plain columns into a pipe.

Whatever comes from the node is text: what could move the cursor or retitle the window is made visible instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from runtime.admin.shell_text import PID
from runtime.admin.table_fit import fitted, has_pid, text_of

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
        rows = [[text_of(cell) for cell in row] for row in view["rows"]]
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
    """A terminal: tables with colours, values and tracebacks highlighted, live tables in place.

    `node`: the name of the node that is looked at, which a narrow screen leaves out of pids.
    """

    def __init__(self, node: str = "") -> None:
        from rich.console import Console

        self.node = node
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
        elif kind in ("error", "ended", "busy") or (kind == "left" and answer["text"]):
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
        view = fitted(view, self.width, self.node)
        heads = [head for head, _ in view["columns"]]
        table = Table(
            title=printable(view["title"]) or None, title_justify="left", title_style="dim", caption_justify="left",
            caption=printable(view["note"]) or None, box=None, show_header=any(heads), header_style="bold cyan",
            pad_edge=False, padding=(0, 2, 0, 0),
        )  # fmt: skip
        is_record = not any(heads)
        for at, (head, right) in enumerate(view["columns"]):
            # On a screen that is too narrow even for this, a pid is broken, not cut.
            is_whole = is_record or any(has_pid(row[at]) for row in view["rows"])
            table.add_column(
                printable(head), justify="right" if right else "left", no_wrap=not is_whole, style="cyan" if is_record and at == 0 else "",
                overflow="fold" if is_whole else "ellipsis",
            )  # fmt: skip
        for row in view["rows"]:
            cells = []
            for cell in row:
                shown = Text(printable(text_of(cell)), style=cell[1] if isinstance(cell, list) else "")
                if "<" in shown.plain:
                    shown.highlight_regex(PID, "magenta")
                cells.append(shown)
            table.add_row(*cells)
        return table


# API


def screen(node: str = "") -> Plain | Rich:
    """Return what fits standard output. `node`: the name of the node that is looked at."""
    if sys.stdout.isatty():
        return Rich(node)
    return Plain(sys.stdout, sys.stderr)


def printable(text: str) -> str:
    """Return a text that cannot move the reader's cursor, change colours or retitle the window."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text.replace("\r\n", "\n"))


# Internals


def _dropped(event: Mapping[str, Any]) -> str:
    return f"... {event['count']:,} more characters were printed: an input shows 1,000,000 at most\n"
