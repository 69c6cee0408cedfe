"""Host names to addresses, in a thread: the system's look-up blocks."""

from __future__ import annotations

import socket
from typing import Any

from runtime.kernel import blocking

__all__ = ["look_up"]


def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return `socket.getaddrinfo` of a stream socket. Blocks the calling process only. Raises OSError."""
    found = blocking(_look_up, host, port)
    if isinstance(found, OSError):
        raise found
    return found  # type: ignore[no-any-return]


def _look_up(host: str, port: int) -> Any:
    # Handed back, not raised: the thread pool prints what a thread raises, and an unknown name is nothing unexpected.
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error if isinstance(error, OSError) else OSError(str(error))
