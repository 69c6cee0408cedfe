"""Commands for the node as a whole: alarms, metrics, applications, connections, log, reports, crashdump."""

from __future__ import annotations

import time
from typing import Any

from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.recent_log import recent
from runtime.admin.tables import Column, Record, Table, Text, age, number, size, when
from runtime.observe.log_levels import get_levels, set_level

__all__ = ["alarms", "applications", "connections", "crashdump", "log", "metrics", "node", "reports"]

# API


def node() -> Record:
    """The node's figures: load, memory, messages since its start.

    `node()`; `node().memory` is a number, in bytes; times are seconds, `time` those of the epoch.
    """
    seen = dict(here.look().node_summary())
    counts = {name: number for name, value in seen.items() if type(value) is int and name not in _NO_COUNTS}
    units = {
        "memory": size,
        "memory_limit": size,
        "uptime": age,
        "loop_lag": age,
        "cpu_seconds": age,
        "time": when,
    }
    return Record(seen).drawn(**counts | units)


def alarms() -> Table:
    """What is wrong at this moment, and since when.

    `alarms()`.
    """
    rows = here.look().alarms()
    return Table(
        rows,
        (
            Column("level", style=lambda level: "bold red" if level in ("error", "critical") else "yellow"),
            Column("id"),
            Column("since", show=_since),
            Column("times", is_right=True),
            Column("description"),
        ),
        note="" if rows else "no alarm is up",
    )


def metrics(filter: str = "") -> Table:
    """The metrics that the endpoint shows.

    `metrics("mailbox")`.

    `filter`: only those with this text in their name or labels.
    """
    from runtime.observe import metrics as source

    here.text(filter, "a filter")
    values = here.look().metrics if here.is_dump() else source.values()
    rows = [{"name": name, "value": value} for name, value in values.items() if filter in name]
    return Table(rows, ("name", Column("value", show=_figure, is_right=True)))


def applications() -> Table:
    """The applications of this node, running ones first.

    `applications()`.
    """
    return Table(here.look().applications(), ("name", "status", "start_type", "pid", "description"))


def connections(n: int = 50) -> Table:
    """Connections of all listeners, at most `n`.

    `connections(10)`.
    """
    return Table(
        here.look().connections(here.rows(n)),
        (
            Column("listener"),
            Column("pid"),
            Column("peer"),
            Column("state"),
            Column("age", show=age, is_right=True),
            Column("quiet", show=age, is_right=True),
            Column("bytes_in", show=size, is_right=True),
            Column("bytes_out", show=size, is_right=True),
            Column("write_queue", show=size, is_right=True),
        ),
    )


def log(level: str | None = None, module: str = "", seconds: float | None = None) -> Table:
    """Levels of the log, shown and set.

    `log("debug", "runtime.net")` sets one, `log("default", "runtime.net")` takes it back. At once, for that logger and all
    below it, until the next reload or restart, or for `seconds`. Without a module: for all the others.
    """
    here.need_life()
    if level is not None:
        if not isinstance(level, str) or not isinstance(module, str):
            raise CannotDo("a level and a logger are texts: log('debug', 'runtime.net')")
        if seconds is not None and not 0 < here.seconds(seconds) < 1e9:
            raise CannotDo(f"for {seconds!r} seconds a level cannot be set")
        if level == "default" and not module:
            raise CannotDo(
                "the level of all others cannot be taken back, only set: debug, info, warning, error"
            )
        try:
            set_level(module, None if level == "default" else level, seconds)
        except ValueError:
            raise CannotDo(
                f"there is no level {level!r}: debug, info, warning, error, critical, default"
            ) from None
    return Table(
        [{"logger": name or "(all others)", "level": own} for name, own in get_levels().items()],
        ("logger", "level"),
    )


def reports(n: int = 10, level: str = "warning") -> Text | Table:
    """Crash reports and warnings of the log, the newest last.

    `reports(3, "error")`.

    The last `n` entries of at least that level; of a dump, those before it was made.
    """
    kept = here.look().reports() if here.is_dump() else None
    if here.is_dump() and kept is None:
        raise CannotDo("this dump has no reports: it is of a node that kept none, or of an older release")
    try:
        found = recent(here.rows(n), here.text(level, "a level"), kept)
    except ValueError as error:
        raise CannotDo(str(error)) from None
    if not found:
        return Table(
            [], ("time", "level", "text"), note=f"nothing of level {level} or above since the node's start"
        )
    return Text("\n".join(found))


def crashdump(path: str = "") -> str:
    """Write all that can be seen of the node into one file.

    `crashdump()`, `crashdump("now.dump")`.

    Returns its path (a relative one is in the data directory's `crash/`, where the node's own are, and of all of them
    `node.crash_dumps` stay); `tools/shell --dump FILE` opens it with the same commands.
    """
    from runtime.observe import crash_dump

    here.need_life()
    path = here.text(path, "a path")
    place = here.node().data_dir / "crash" / (path or f"{time.strftime('%Y%m%d-%H%M%S')}.dump")
    try:
        return str(crash_dump.write(place, reason="asked for in a shell"))
    except OSError as error:
        raise CannotDo(f"no dump was made: {error}") from None


# Internals


_NO_COUNTS = ("creation", "pid", "release")


def _since(seconds: Any) -> str:
    return f"{when(seconds)} ({age(max(0.0, time.time() - seconds))})" if seconds else ""


def _figure(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) and value != int(value) else f"{value:,.0f}"
