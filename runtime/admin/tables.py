"""What commands return to be shown as more than a value: tables, records, texts. To a program they are lists, dicts, strings.

Table(rows, ("pid", "name", Column("memory", show=size)), title="...")     # rows: dicts, named tuples, dataclasses
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Column", "Record", "Table", "Text", "age", "field", "number", "size", "when"]

# Types


@dataclass(frozen=True, slots=True)
class Column:
    """A column: which field of the rows, what stands above it, how a value is written, and in which style.

    `style(value)` is a style of the terminal ("bold red") or "".
    """

    name: str
    head: str = ""
    show: Callable[[Any], str] | None = None
    style: Callable[[Any], str] | None = None
    is_right: bool | None = None
    """None: as the values are, numbers to the right."""


class Table(list[Any]):
    """A list of rows that is shown as a table. `note` stands below it."""

    def __init__(
        self, rows: Iterable[Any], columns: Sequence[Column | str], *, title: str = "", note: str = ""
    ) -> None:
        super().__init__(Record(row) if type(row) is dict else row for row in rows)
        self.columns = tuple(Column(one) if isinstance(one, str) else one for one in columns)
        self.title = title
        self.note = note


class Record(dict[str, Any]):
    """A dict that is shown as two columns, and whose fields are attributes too: `node().memory`, `node()["memory"]`.

    Values are plain (bytes, seconds, numbers); how one is written is said by `drawn`. What has the name of a dict's own
    method (`items`) is only reached by its key.
    """

    __slots__ = ("shows",)
    shows: Mapping[str, Callable[[Any], str]]

    def drawn(self, **shows: Callable[[Any], str]) -> Record:
        """Say how fields are written on a screen; return the record itself."""
        self.shows = shows
        return self

    def written(self, name: str) -> Any:
        """Return a field as a screen shows it."""
        show = getattr(self, "shows", _PLAINLY).get(name)
        value = self[name]
        return value if show is None or value is None else show(value)

    def __getattr__(self, name: str) -> Any:
        if name in self and name != "shows":
            return self[name]
        raise AttributeError(f"there is no {name!r} here: {', '.join(map(str, self))}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *filter(str.isidentifier, map(str, self))]


class Text(str):
    """A string that is shown as it is, without quotes."""

    __slots__ = ()


_PLAINLY: Mapping[str, Callable[[Any], str]] = {}

# API


def field(row: Any, name: str) -> Any:
    """Return a row's field; None if it has none."""
    if isinstance(row, dict):
        return row.get(name)
    return getattr(row, name, None)


def size(value: Any) -> str:
    """Write bytes for people: 7.1 KB."""
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    amount = float(value)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"


def age(value: Any) -> str:
    """Write seconds for people: 350 ms, 12.0 s, 5 min, 3.2 h, 8.0 d."""
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    if value < 1:
        return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"
    for limit, unit, form in ((60, 1, "{:.1f} s"), (3600, 60, "{:.0f} min"), (172_800, 3600, "{:.1f} h")):
        if value < limit:
            return form.format(value / unit)
    return f"{value / 86400:.1f} d"


def when(seconds: Any) -> str:
    """Write a moment, given in seconds of the epoch, as a date and a time of day here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def number(value: Any) -> str:
    """Write a whole number with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
