"""What tests of the observing room share: the lines that a logger writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lines_of(name: str) -> Iterator[list[tuple[str, str]]]:
    """Collect what the logger `name` is given, as (level, message), instead of printing it."""
    seen: list[tuple[str, str]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.levelname, record.getMessage()))

    handler, logger = Collect(), logging.getLogger(name)
    before = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
        logger.propagate, level = before
        logger.setLevel(level)
