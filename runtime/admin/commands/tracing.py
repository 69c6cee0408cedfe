"""Commands that watch what happens: trace."""

from __future__ import annotations

from typing import Any

from runtime.admin.commands.here import CannotDo

__all__ = ["trace"]

# API


def trace(what: Any, n: int = 100, seconds: float = 10.0) -> None:
    """To come."""
    raise CannotDo("tracing is not there yet")
