"""Unix sockets: listening under a path, and who is at the other end.

The file is made with mode 0600, and nobody can connect before it has that: it listens only then. A file that a killed
program left is recognised (nobody answers there) and replaced; one that somebody serves is not touched. At the end the
file is removed.

A path may have 107 bytes for the kernel. A longer one is reached through an open descriptor of its folder, which has a
short name under /proc: both ends do it, and no data directory is too deep.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = [
    "PEER", "REASONS", "Credentials", "connect", "credentials", "listen", "name_of", "path_of", "peer_pid", "remove",
]  # fmt: skip

PEER: Final = "unix"
"""What stands for the address of all clients of Unix sockets."""

REASONS: Final = {
    errno.EADDRINUSE: "another program serves it: stop that one, or choose another path",
    errno.ENOTSOCK: "a file that is no socket lies there: move it away, or choose another path",
    errno.ENOENT: "its folder does not exist",
    errno.EACCES: "this user may not write there",
}

_PREFIX = "unix:"
_LONGEST = 107
_CREDENTIALS = struct.Struct("3i")


class Credentials(NamedTuple):
    """Who connected, as the kernel noted it at that moment."""

    pid: int
    uid: int
    gid: int


# API


def path_of(host: str) -> str | None:
    """Return the path in "unix:/path"; None for a host of another kind."""
    return host[len(_PREFIX) :] if host.startswith(_PREFIX) else None


def listen(path: str, backlog: int) -> socket.socket:
    """Return a non-blocking socket that listens at `path`. Raises OSError (see REASONS)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with _short(path) as address:
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                _clear(path, address)
                sock.bind(address)
        os.chmod(path, 0o600)  # noqa: PTH101
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def connect(path: str, timeout: float | None = None) -> socket.socket:
    """Return a blocking socket connected to the one at `path`; for programs without a loop. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        with _short(path) as address:
            sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def remove(path: str) -> None:
    """Delete the file of a socket that listened at `path`; what is no socket stays."""
    with suppress(OSError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            Path(path).unlink()


def credentials(sock: Any) -> Credentials | None:
    """Return who is at the other end of a Unix socket; None for other sockets and where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    try:
        if option is None or sock.family != socket.AF_UNIX:
            return None
        return Credentials(
            *_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
        )
    except OSError:
        return None


def peer_pid(sock: socket.socket) -> int:
    """Return the process id at the other end, 0 if it is not known."""
    found = credentials(sock)
    return found.pid if found is not None else 0


def name_of(sock: Any) -> tuple[str, int]:
    """Return a socket's own (host, port); of a Unix socket ("unix:/path", 0)."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return _PREFIX + os.fsdecode(name), 0
    return name[0], name[1]


# Internals


@contextmanager
def _short(path: str) -> Iterator[str]:
    """A name of `path` that the kernel takes, for as long as the block runs."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _clear(path: str, address: str) -> None:
    """Delete the file that a program which is gone has left. Raises OSError if somebody serves it."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.ENOTSOCK, "not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog must not hold the loop: whoever has one is alive
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "in use", path)
