"""Reading the head of an HTTP request, strictly: what could be understood in two ways is refused.

Why not pywsgi's own: it reads a head as if it were an e-mail's, which stops silently at the first line that is none. An
Origin or a Transfer-Encoding below a crooked line is then not seen by us, but perhaps by the proxy in front of us, and of two
lengths the first wins. It also takes six megabytes of them, in one piece.
Source: RFC 9112 2.2, 3.2, 5.1, 5.2, 6.3; RFC 9110 5.5, 5.6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

__all__ = ["MAX_HEAD", "MAX_LINES", "BadHead", "read_head"]

MAX_HEAD: Final = 32_768
"""Bytes of all header lines of a request."""
MAX_LINES: Final = 100
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_ONCE: Final = frozenset(
    {
        "authorization", "connection", "content-length", "content-type", "expect", "host", "origin", "sec-fetch-mode",
        "sec-fetch-site", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""What decides who is let in and where a request ends comes at most once."""

# Types


class BadHead(ValueError):
    """This is no head of a request: a sentence."""


# API


def read_head(file: BinaryIO) -> list[tuple[str, str]]:
    """Read header lines up to the empty one; return (name, value) as they came. Blocks; raises BadHead."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for line in _lines(file):
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise BadHead("a header line has no name")  # also one that goes on from the line above
        value = value.strip(b" \t")
        if not _VALUE.fullmatch(value):
            raise BadHead("there are control characters in a header")
        lower = name.decode("ascii").lower()
        if lower in seen and lower in _ONCE:
            raise BadHead(f"there are two lines {lower}")
        seen.add(lower)
        found.append((name.decode("ascii"), value.decode("latin-1")))
    return found


# Internals


def _lines(file: BinaryIO) -> Iterator[bytes]:
    left = MAX_HEAD
    for _ in range(MAX_LINES + 1):
        line = file.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise BadHead(f"the head is longer than {MAX_HEAD} bytes")
        if not line.endswith(b"\n"):
            raise BadHead("the head does not end")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if not line:
            return
        yield line
    raise BadHead(f"there are more than {MAX_LINES} header lines")
