"""A table on a screen that is too narrow for it. What is printed of a pid can be pasted all the same: no pid is ever cut.

In this order, until it fits:

1. `<alarms@evergreen@localhost>` becomes `<alarms@…>`, which the shell takes as well; only pids of the node itself;
2. columns are cut, those to the right first, none below `_LEAST` characters, nor below what the pids in it need;
3. columns without pids are left out, the widest first, but for the one that says what a row is; the note names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.admin.shell_text import PID, cut_at, shortened

__all__ = ["fitted", "has_pid", "text_of"]

_LEAST = 14
_GAP = 2

# API


def fitted(view: Mapping[str, Any], width: int, node: str) -> Mapping[str, Any]:
    """Return a table (a view of `shell_views`) as `width` columns can show it. `node`: whose pids are written shorter."""
    if not any(head for head, _ in view["columns"]):
        return {**view, "rows": _record(view["rows"], width, node)}
    rows: list[list[Any]] = view["rows"]
    columns = list(range(len(view["columns"])))
    heads = [len(head) for head, _ in view["columns"]]
    if sum(_widths(heads, rows)) + _GAP * len(columns) > width:
        rows = [[_changed(cell, shortened(text_of(cell), node)) for cell in row] for row in rows]
    widths = _widths(heads, rows)
    floors = [
        min(widths[at], max([_LEAST, *(_needs(text_of(row[at])) for row in rows)]))
        for at in range(len(heads))
    ]
    may_go = [at for at in columns[1:] if not any(has_pid(row[at]) for row in rows)]
    while sum(floors[at] + _GAP for at in columns) > width and may_go:
        gone = max(may_go, key=lambda at: (floors[at], at))
        may_go.remove(gone)
        columns.remove(gone)
    over = sum(widths[at] + _GAP for at in columns) - width
    limits = list(widths)
    for at in reversed(columns):
        cut = max(0, min(over, widths[at] - floors[at]))
        limits[at] -= cut
        over -= cut
    hidden = [head for at, (head, _) in enumerate(view["columns"]) if at not in columns]
    told = f"no room for: {', '.join(hidden)}" if hidden else ""
    return {
        **view,
        "columns": [view["columns"][at] for at in columns],
        "rows": [[_cut(row[at], limits[at]) for at in columns] for row in rows],
        "note": "; ".join(filter(None, (view["note"], told))),
    }


def has_pid(cell: Any) -> bool:
    """Tell whether a cell shows a pid."""
    return PID.search(text_of(cell)) is not None


def text_of(cell: Any) -> str:
    """Return what a cell says, without its style."""
    return str(cell[0] if isinstance(cell, list) else cell)


# Internals


def _widths(heads: list[int], rows: list[list[Any]]) -> list[int]:
    return [max([head, *(len(text_of(row[at])) for row in rows)]) for at, head in enumerate(heads)]


def _needs(text: str) -> int:
    """How wide a cell must be so that the pid that it begins with is whole. One further on may be left out."""
    found = PID.search(text)
    if found is None or found.start() > _LEAST:
        return 0
    return found.end() + (found.end() < len(text))


def _record(rows: list[list[Any]], width: int, node: str) -> list[list[Any]]:
    """What has no head wraps between words: only a word that is longer than a line would be broken."""
    room = width - _GAP - max((len(text_of(row[0])) for row in rows), default=0)
    return [
        [_changed(cell, shortened(text_of(cell), node)) if _longest(cell) > room else cell for cell in row]
        for row in rows
    ]


def _longest(cell: Any) -> int:
    return max(map(len, text_of(cell).split()), default=0)


def _cut(cell: Any, limit: int) -> Any:
    text = text_of(cell)
    return cell if len(text) <= limit else _changed(cell, text[: cut_at(text, limit - 1)] + "…")


def _changed(cell: Any, text: str) -> Any:
    return [text, cell[1]] if isinstance(cell, list) else text
