"""Who asks for a release, where the call does not say.

Whoever lets people run code in the node (the shell) knows them, and says so here; this package knows no people.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["asker", "on_ask"]

on_ask: list[Callable[[], str]] = []
"""Each returns for whom the calling process works; empty: that is not known."""


def asker() -> str:
    """Return for whom the calling process works, as logs name people; empty when nobody knows."""
    return next((who for know in on_ask if (who := know())), "")
