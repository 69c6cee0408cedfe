"""Where this machine's Chromium is."""

from __future__ import annotations

import os
import shutil

__all__ = ["find_chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return its path, or None. EVERGREEN_CHROMIUM names another."""
    own = os.environ.get("EVERGREEN_CHROMIUM")
    return own or next((path for name in NAMES if (path := shutil.which(name))), None)
