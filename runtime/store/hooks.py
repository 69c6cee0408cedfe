"""Where the floors above listen to the store: a list of plain functions.

Called in the hub or in the store's process: a hook must be short and must not block. One that raises is reported on
standard error (runtime.kernel.hooks.call) and does not stop the others.

| alarm                | raised                                                     | cleared                          |
|----------------------|------------------------------------------------------------|----------------------------------|
| store_full           | a batch was refused for want of space, or the reserve is in use | a batch was written, reserve whole |
| store_writer         | the writer process ended by itself (info: why, restarts)   | the next one serves              |
| store_stalled        | commits wait, none was answered for 2 s (info: pending)    | the next answer came             |
| store_corrupt_record | a damaged record was met, the first time (info: shard, kind, key) | never by itself           |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.kernel import hooks

__all__ = ["alarm", "on_alarm"]

on_alarm: list[Callable[[str, bool, dict[str, Any]], None]] = []
"""fn(name, raised, info): `raised` False clears it. `info` always has the store's `path`."""


def alarm(name: str, raised: bool, **info: Any) -> None:
    """Tell every listener."""
    hooks.call(on_alarm, name, raised, info)
