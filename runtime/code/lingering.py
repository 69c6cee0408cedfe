"""Who still runs old code."""

from __future__ import annotations

from types import CodeType

__all__ = ["Retired"]


class Retired:
    """Code that was replaced."""

    def add(self, code: CodeType, module: str, sha: str) -> None:
        """Note that `code` is old."""
