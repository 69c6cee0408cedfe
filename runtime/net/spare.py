"""A descriptor held in reserve: when no other is left, it makes room for one more connection.

Whoever accepts gives it up to take a client that waits, and takes it back as soon as one is closed: so a node whose
descriptors a leak has used up still lets in one client at a time, who can find the leak and end it.
"""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["Spare"]


class Spare:
    """Holds one descriptor, or none. Never blocks."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.take_back()

    def take_back(self) -> None:
        """Hold one again, if there is one to be had."""
        if self._descriptor is None:
            with suppress(OSError):  # not yet
                self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def give_up(self) -> bool:
        """Make room for one descriptor; False if none was held."""
        held, self._descriptor = self._descriptor, None
        if held is None:
            return False
        os.close(held)
        return True
