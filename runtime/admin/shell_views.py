"""What a value looks like at the other end: a table, a record, a text, or plain data for `--json`. Always bounded.

A view is a dict that goes over the wire: {"kind": "table", "title", "columns", "rows", "note"}, {"kind": "text", "text"}.
A cell is a string, or [string, style]. Who prints a list of a million gets its beginning and a count; making that costs
no more than what is shown. An object's own `__repr__` runs, inside the evaluation, which can be interrupted.
"""

from __future__ import annotations

import dataclasses
import pprint
from collections.abc import Iterable, Mapping
from collections import deque
from itertools import islice
from math import isfinite
from typing import Any, Final

from runtime.admin.shell_text import cut_at
from runtime.admin.tables import Column, Record, Table, Text, field
from runtime.kernel import Pid, Ref
from runtime.observe.slices import Breather, sliced
from runtime.otp.reports import PASSED_ON

__all__ = ["MAX_ROWS", "plain", "pretty", "view"]

MAX_ROWS: Final = 1_000
_ITEMS: Final = 200
_NODES: Final = 2_000
_DEPTH: Final = 8
_STRING: Final = 4_000
_CELL: Final = 300
_TEXT: Final = 200_000
_PLAIN_NODES: Final = 50_000
_JSON_BITS: Final = 63

# API


def view(value: Any, width: int = 100) -> dict[str, Any]:
    """Return what a terminal of `width` columns shows of a value."""
    if isinstance(value, Text):
        return {"kind": "text", "text": _cut(value, _TEXT)}
    if isinstance(value, Table):
        return _table(value, value.columns, value.title, value.note)
    if isinstance(value, Record):
        rows = [(str(key), value.written(key)) for key in islice(value, MAX_ROWS)]
        cells = [[_cut(key, _CELL), _lines(inner, max(40, width - 24))] for key, inner in rows]
        return {
            "kind": "table",
            "title": "",
            "columns": [["", False], ["", False]],
            "rows": cells,
            "note": "",
        }
    columns = _columns_of(value)
    if columns:
        return _table(value, columns, "", "")
    return {"kind": "text", "text": pretty(value, width)}


def pretty(value: Any, width: int = 100) -> str:
    """Write a value over as many lines as it takes, and no more than a few thousand."""
    if isinstance(value, str) and len(value) <= _STRING:
        return repr(value)
    text = pprint.pformat(_Pruning(_NODES).prune(value), width=max(20, width), sort_dicts=False)
    return _cut(text, _TEXT)


def plain(value: Any) -> Any:
    """Return a value as JSON can carry it: what has fields as an object, what is none of its types as a string."""
    return _Plain(_PLAIN_NODES).of(value, 0)


# Internals: tables


def _columns_of(value: Any) -> tuple[Column, ...]:
    """The columns of a list whose rows are all of one kind; nothing if it is no such list."""
    if type(value) not in (list, tuple) or not value:
        return ()
    first = value[0]
    kind = type(first)
    if any(type(row) is not kind for row in islice(value, MAX_ROWS)):
        return ()
    if kind is dict or kind is Record:
        keys = list(first)
        same = all(isinstance(key, str) for key in keys) and 0 < len(keys) <= 12
        return (
            tuple(map(Column, keys))
            if same and all(list(row) == keys for row in islice(value, MAX_ROWS))
            else ()
        )
    names = _fields(first)
    return tuple(map(Column, names)) if 0 < len(names) <= 12 else ()


def _fields(value: Any) -> list[str]:
    """Names of the fields of a named tuple or dataclass."""
    if isinstance(value, tuple) and hasattr(type(value), "_fields"):
        return list(getattr(type(value), "_fields", ()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and "__repr__" in type(value).__dict__:
        return [one.name for one in dataclasses.fields(value) if one.repr]
    return []


def _table(rows: Iterable[Any], columns: Iterable[Column], title: str, note: str) -> dict[str, Any]:
    columns = list(columns)
    rows = list(rows)
    shown = rows[:MAX_ROWS]
    values = [[field(row, column.name) for column in columns] for row in sliced(shown)]
    rights = []
    for at, column in enumerate(columns):
        numbers = [row[at] for row in values if row[at] is not None]
        is_number = bool(numbers) and all(isinstance(n, int | float) and type(n) is not bool for n in numbers)
        rights.append(is_number if column.is_right is None else column.is_right)
    if len(rows) > len(shown):
        note = f"{len(rows) - len(shown):,} more rows" + (f"; {note}" if note else "")
    return {
        "kind": "table",
        "title": title,
        "columns": [
            [column.head or column.name.replace("_", " "), right]
            for column, right in zip(columns, rights, strict=True)
        ],
        "rows": [
            [_cell(value, column) for value, column in zip(row, columns, strict=True)]
            for row in sliced(values)
        ],
        "note": note,
    }


def _cell(value: Any, column: Column) -> Any:
    text = column.show(value) if column.show is not None else _one_line(value)
    style = column.style(value) if column.style is not None else ""
    return [_cut(text, _CELL), style] if style else _cut(text, _CELL)


def _one_line(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\n", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return _repr(_Pruning(50).prune(value))


def _lines(value: Any, width: int) -> str:
    if isinstance(value, str):
        return _cut(value, _STRING)
    return _one_line(value) if not isinstance(value, list | dict | tuple | set) else pretty(value, width)


# Internals: bounded copies


class _Raw:
    """Stands in a pruned copy for something that is written as a text of ours."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __lt__(self, other: object) -> bool:  # pprint sorts the items of sets
        return self.text < str(other)


class _Pruning:
    """Copies the beginning of a value, deep and wide enough to be read. `left`: how many parts it may still have."""

    def __init__(self, nodes: int) -> None:
        self.left = nodes

    def prune(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        self.left -= 1
        if kind in (int, float, complex, bool, type(None)):
            return (
                value
                if kind is not int or value.bit_length() < 10_000
                else _Raw(f"<int of {value.bit_length():,} bits>")
            )
        if isinstance(value, str | bytes | bytearray):
            return _string(value)
        names = _fields(value)
        if kind in (list, tuple, set, frozenset, deque) or isinstance(value, dict) or names:
            if depth >= _DEPTH or self.left <= 0:
                return _Raw("…")
            if names:
                return _Raw(self._named(value, names, depth))
            return self._dict(value, depth) if isinstance(value, dict) else self._items(value, depth)
        return _Raw(_repr(value))

    def _items(self, value: Any, depth: int) -> Any:
        kept = [self.prune(item, depth + 1) for item in islice(value, min(_ITEMS, max(1, self.left)))]
        if len(value) > len(kept):
            kept.append(_Raw(f"… {len(value) - len(kept):,} more"))
        if isinstance(value, set | frozenset):
            inner = ", ".join(map(repr, kept))
            return _Raw(
                ("{" + inner + "}" if kept else "set()")
                if isinstance(value, set)
                else f"frozenset({{{inner}}})"
            )
        return (
            tuple(kept)
            if isinstance(value, tuple)
            else kept
            if isinstance(value, list)
            else _Raw(f"deque({kept!r})")
        )

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        kept: dict[Any, Any] = {}
        for key, inner in islice(value.items(), min(_ITEMS, max(1, self.left))):
            kept[_Raw(_repr(self.prune(key, depth + 1)))] = self.prune(inner, depth + 1)
        if len(value) > len(kept):
            kept[_Raw("…")] = _Raw(f"{len(value) - len(kept):,} more")
        return kept

    def _named(self, value: Any, names: list[str], depth: int) -> str:
        inner = ", ".join(f"{name}={self.prune(getattr(value, name, None), depth + 1)!r}" for name in names)
        return _cut(f"{type(value).__qualname__}({inner})", _STRING)


class _Plain:
    """Turns values into what JSON has."""

    def __init__(self, nodes: int) -> None:
        self.left = nodes
        self.breather = Breather()

    def of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self.left -= 1
        self.breather.take()
        if kind is float:
            return value if isfinite(value) else repr(value)  # JSON has no such numbers
        if kind is int:
            return value if value.bit_length() <= _JSON_BITS else self._large(value)
        if kind in (bool, type(None)):
            return value
        if isinstance(value, str):
            return str(value) if len(value) <= _TEXT else value[:_TEXT] + "…"
        if isinstance(value, Pid | Ref) or depth > 20 or self.left <= 0:
            return _repr(value) if self.left > 0 else "…"
        if isinstance(value, Mapping):
            return {
                key if isinstance(key, str) else _repr(key): self.of(inner, depth + 1)
                for key, inner in self._first(value.items())
            }
        names = _fields(value)
        if names:
            return {name: self.of(getattr(value, name, None), depth + 1) for name in names}
        if isinstance(value, list | tuple | set | frozenset | deque):
            return [self.of(item, depth + 1) for item in self._first(value)]
        return _repr(value)

    @staticmethod
    def _large(value: int) -> Any:
        """What the wire's format has no room for, as a text; what would take long to write, by its size."""
        return str(value) if value.bit_length() < 10_000 else f"<int of {value.bit_length():,} bits>"

    def _first(self, items: Iterable[Any]) -> list[Any]:
        """A copy: what is shown may change while others have their turns."""
        return list(islice(items, max(0, self.left)))


def _string(value: Any) -> Any:
    if len(value) <= _STRING:
        return value
    return _Raw(f"{value[:_STRING]!r} … {len(value) - _STRING:,} more")


def _repr(value: Any) -> str:
    try:
        return _cut(repr(value), _STRING)
    except PASSED_ON:
        raise
    except BaseException as error:  # noqa: BLE001 - an object that cannot be shown must not hide the others, nor end the shell
        return f"<{type(value).__qualname__} whose repr fails: {type(error).__name__}>"


def _cut(text: str, limit: int) -> str:
    text = str(text)
    if len(text) <= limit:
        return text
    at = cut_at(text, limit)
    return f"{text[:at]} … {len(text) - at:,} more"
