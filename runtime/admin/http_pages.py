"""The files of the dashboard, read once: what is asked for is looked up among their names, so that no path leads elsewhere."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources
from typing import NamedTuple

__all__ = ["Page", "load_pages"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

# Types


class Page(NamedTuple):
    """One file: its content, also compressed, its type, and a tag that changes with it."""

    content: bytes
    zipped: bytes
    type: str
    tag: str


# API


def load_pages() -> dict[str, Page]:
    """Return the files by the path under which they are asked for. Blocks on the disk."""
    found = {}
    for file in resources.files("runtime.admin").joinpath("pages").iterdir():
        ending = file.name.rpartition(".")[2]
        if file.is_file() and ending in _TYPES:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            path = "/" if file.name == "index.html" else f"/{file.name}"
            found[path] = Page(content, gzip.compress(content, mtime=0), _TYPES[ending], tag)
    return found
