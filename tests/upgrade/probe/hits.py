"""What the releases of a test leave behind: how often each marker was passed. The table lives through all of them."""

from __future__ import annotations

PASSED: dict[str, int] = {}


def passed(marker: str) -> None:
    """Count one passage of `marker`."""
    PASSED[marker] = PASSED.get(marker, 0) + 1
