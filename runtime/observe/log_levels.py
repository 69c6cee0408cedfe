"""The levels of loggers, changed while everything runs; and which have been."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from runtime.kernel import clock

__all__ = ["get_levels", "set_level", "set_levels"]

# API


def set_levels(level: str, levels: Mapping[str, str]) -> None:
    """Set the level of all loggers, and of some by name; loggers named before and not now go back."""
    set_level("", level)
    for name in set(_levelled) - set(levels):
        set_level(name, None)
    for name, own in levels.items():
        set_level(name, own)


def set_level(name: str, level: str | None, seconds: float | None = None) -> None:
    """Set the level of one logger (a module's, `evergreen.crash`, ...) and all below it; None: as those above it.

    At once and until changed again (a reload of the configuration sets all as that says), or for `seconds`: then it is what
    it was before. `name` "": the level of all others. Raises ValueError for a level that there is not.
    """
    before = get_levels().get(name)
    logger = logging.getLogger(name or None)
    if level is None and not name:
        raise ValueError(
            "the level of all loggers cannot be None: want debug, info, warning, error or critical"
        )
    logger.setLevel(logging.NOTSET if level is None else level.upper())
    waiting = _timers.pop(name, None)
    if waiting is not None:
        timer, before = waiting  # what it was before the first of several
        timer.cancel()
    if name and level is None:
        _levelled.pop(name, None)
    elif name and level is not None:
        _levelled[name] = level.lower()
    if seconds is not None:
        _timers[name] = clock.after(seconds, set_level, name, before), before


def get_levels() -> dict[str, str]:
    """Return the levels that were set, by logger; "" is the level of all others."""
    return {"": logging.getLevelName(logging.getLogger().level).lower(), **_levelled}


# Internals

_levelled: dict[str, str] = {}
_timers: dict[str, tuple[Any, str | None]] = {}
"""What takes a level back that was set for a while, and to what, by logger."""
