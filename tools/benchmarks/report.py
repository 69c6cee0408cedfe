"""What people and programs see of the results: a table, JSON, Markdown."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from tools.benchmarks.model import GROUPS, Beside, Result, Row

__all__ = ["Progress", "catalogue", "markdown", "number", "table", "to_json"]

_TITLES = {
    "kernel": "kernel: processes and messages in one operating-system process",
    "net": "net: connections over real sockets",
    "store": "store: durable records",
    "chat": "chat: a whole node, the load generator a process of its own",
    "code": "code: changing it while it runs",
    "observe": "Looking in",
}
_BOLD, _GREEN, _RED, _DIM, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


# API


def number(value: float) -> str:
    """A figure with three significant digits."""
    size = abs(value)
    if size >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if size >= 0.001 or not size else f"{value:.1e}"


def to_json(result: Result) -> dict[str, Any]:
    """One row as programs get it. `ratio`: how many times better than the first peer ours is (above 1: it is)."""
    row = result.row
    beside = [peer for peer in result.beside if peer.value is not None]
    first = beside[0] if beside else None
    return {
        "group": row.group,
        "name": row.name,
        "value": _round(result.value),
        "unit": row.unit,
        "better": row.better,
        "peer": first.name if first else None,
        "peer_value": _round(first.value) if first else None,
        "ratio": _round(first.ratio) if first else None,
        "target": row.target,
        "met": result.met,
        "key": row.key,
        "what": row.what,
        "spread": [_round(side) for side in result.spread] if result.spread else None,
        "rounds": len(result.samples),
        "peers": [
            {
                "name": p.name,
                "value": _round(p.value),
                "ratio": _round(p.ratio),
                "source": p.source,
                "error": p.error,
            }
            for p in result.beside
        ],
        "notes": list(result.notes.values()),
        "error": result.error,
    }


def table(results: Iterable[Result], colour: bool, width: int | None = None, heading: str = "") -> str:
    """The results for a terminal."""
    results = list(results)
    width = max(80, min(width or shutil.get_terminal_size((120, 24)).columns, 160))
    paint = _Paint(colour)
    lines: list[str] = [heading] if heading else []
    for group in GROUPS:
        rows = [result for result in results if result.row.group == group]
        if rows:
            lines += ["", paint.bold(_TITLES[group])]
        for result in rows:
            lines += _line(result, paint, width)
    lines += ["", *_footnotes(results, width)]
    missed = [result.row.name for result in results if result.met is False]
    aimed = sum(result.met is not None for result in results)
    if aimed:
        lines += [
            "",
            f"{aimed - len(missed)} of {aimed} targets met"
            + (f"; not met: {', '.join(missed)}" if missed else ""),
        ]
    return "\n".join(lines).strip("\n") + "\n"


def markdown(results: Iterable[Result]) -> str:
    """The results as one Markdown table."""
    lines = ["| what | Evergreen | target | beside it (how many times better ours is) |", "|---|---|---|---|"]
    sources: dict[str, str] = {}
    for result in results:
        row = result.row
        value = f"**{number(result.value)} {row.unit}**" if result.value is not None else "failed"
        if result.spread and len(result.samples) > 1:
            value += f" ({number(result.spread[0])} to {number(result.spread[1])})"
        target = (
            ""
            if row.target is None
            else f"{_sign(row)} {number(row.target)}, {'met' if result.met else '**not met**'}"
        )
        peers = []
        for peer in result.beside:
            if peer.value is not None:
                star = _star(peer)
                peers.append(f"{peer.name}{star} {number(peer.value)}{_times(peer)}")
                if star:
                    sources[peer.name] = peer.source.split(",")[0]
        lines.append(f"| {row.name} | {value} | {target} | {'; '.join(peers)} |")
    if sources:
        lines += [
            "",
            "\\* "
            + ", ".join(sources.values())
            + ": measured earlier on a machine of this kind, not in this run.",
        ]
    return "\n".join(lines) + "\n"


def catalogue(rows: Iterable[Row]) -> str:
    """Every row and what it measures."""
    lines: list[str] = []
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", _TITLES[group]]
        target = f"  [target {_sign(row)} {number(row.target)} {row.unit}]" if row.target is not None else ""
        beside = [*row.peers, *(f"{constant.name}*" for constant in row.constants)]
        lines.append(f"  {row.name}{target}")
        lines.append(f"      {row.what}" + (f"; beside {', '.join(beside)}" if beside else ""))
    lines += ["", "  * measured earlier on a machine of this kind, not in this run"]
    return "\n".join(lines).strip("\n") + "\n"


class Progress:
    """One line that changes on a terminal; elsewhere one line for each case. On standard error."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._name = ""
        self._live = sys.stderr.isatty()

    def begin(self, name: str) -> None:
        self._number += 1
        self._name = name
        if not self._live:
            print(f"bench: [{self._number}/{self._total}] {name}", file=sys.stderr, flush=True)
        else:
            self.say("")

    def say(self, text: str) -> None:
        if self._live:
            line = f"[{self._number}/{self._total}] {self._name} {text}"
            sys.stderr.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()

    def end(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# internals


class _Paint:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def _in(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colour else text

    def bold(self, text: str) -> str:
        return self._in(_BOLD, text)

    def good(self, text: str) -> str:
        return self._in(_GREEN, text)

    def bad(self, text: str) -> str:
        return self._in(_RED, text)

    def dim(self, text: str) -> str:
        return self._in(_DIM, text)


def _line(result: Result, paint: _Paint, width: int) -> list[str]:
    row = result.row
    if result.value is None:
        value, spread = "failed", ""
    else:
        value = f"{number(result.value)} {row.unit}"
        low, high = result.spread or (0.0, 0.0)
        spread = f"{number(low)} to {number(high)}" if len(result.samples) > 1 else ""
    target, verdict = "", ""
    if row.target is not None:
        target = f"{_sign(row)} {number(row.target)}"
        verdict = paint.good("met    ") if result.met else paint.bad("NOT MET")
    lines = [f"  {row.name:<43} {value:>16}  {paint.dim(f'{spread:<18}')} {target:<9} {verdict}".rstrip()]
    beside = [_peer(peer) for peer in result.beside]
    if beside:
        lines += [paint.dim(line) for line in _wrap("beside: " + "; ".join(beside), width)]
    for note in result.notes.values():
        lines += [paint.dim(line) for line in _wrap("note: " + note, width)]
    if result.error:
        lines += [paint.bad(line) for line in _wrap("failed: " + result.error, width)]
    return lines


def _peer(peer: Beside) -> str:
    if peer.value is None:
        return f"{peer.name} failed ({(peer.error or 'not measured').splitlines()[-1][:80]})"
    return f"{peer.name}{_star(peer)} {number(peer.value)}{_times(peer)}"


def _star(peer: Beside) -> str:
    return "" if peer.source == "measured in this run" else "*"


def _times(peer: Beside) -> str:
    return f" ({number(peer.ratio)}x)" if peer.ratio is not None else ""


def _sign(row: Row) -> str:
    return "≤" if row.better == "lower" else "≥"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="      ", subsequent_indent="        ")


def _footnotes(results: list[Result], width: int) -> list[str]:
    sources = {constant.name: constant.source for result in results for constant in result.row.constants}
    lines = textwrap.wrap(
        "Medians, with the lowest and highest round; (3x): ours is three times better than this peer.", width
    )
    if sources:
        lines.append("* not measured in this run:")
        for name, source in sources.items():
            lines += textwrap.wrap(f"{name}: {source}", width, initial_indent="  ", subsequent_indent="    ")
    return lines


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
