"""The levels of loggers, changed while everything runs; and which have been."""

from __future__ import annotations

import logging
from collections.abc import Mapping

__all__ = ["get_levels", "set_level", "set_levels"]

# API


def set_levels(level: str, levels: Mapping[str, str]) -> None:
    """Set the level of all loggers, and of some by name; loggers named before and not now go back."""
    logging.getLogger().setLevel(level.upper())
    for name in set(_levelled) - set(levels):
        set_level(name, None)
    for name, own in levels.items():
        set_level(name, own)


def set_level(name: str, level: str | None) -> None:
    """Set the level of one logger (a module's, `evergreen.crash`, ...) and all below it; None: as those above it.

    At once and until changed again. Raises ValueError for a level that there is not.
    """
    logging.getLogger(name).setLevel(logging.NOTSET if level is None else level.upper())
    if level is None:
        _levelled.pop(name, None)
    else:
        _levelled[name] = level.lower()


def get_levels() -> dict[str, str]:
    """Return the levels that were set, by logger; "" is the level of all others."""
    return {"": logging.getLevelName(logging.getLogger().level).lower(), **_levelled}


# Internals

_levelled: dict[str, str] = {}
