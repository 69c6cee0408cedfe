"""The writer: an operating-system process that owns the store's environment and commits for one node.

Started by the node as `python -m runtime.store.writer FD PARENT`, FD being its end of a Unix socket pair. It commits in
groups: whatever has arrived while the last commit ran is the next one. It ends at the end of the socket's stream,
and dies with the node (PDEATHSIG): batches that lie unread in the socket were never promised to anybody.
No gevent here: one thread, blocking calls.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
from typing import Any, Final

import lmdb

from runtime.store.committer import Committer
from runtime.store.contract import StoreCorrupt, StoreError, Unavailable
from runtime.store.environment import DiskFault, Environment, broken, last_backup, lock
from runtime.store.layout import Damaged
from runtime.store.migrate import migrate, schema_of
from runtime.store.wire import Frames, Opened, Refused, Settings, decode, encode_frame, error_to_wire

__all__ = ["EXIT_DAMAGE", "EXIT_DISK", "main"]

_READ: Final = 1 << 18
_GROUP: Final = 1 << 20  # bytes of requests in one transaction: bounds how long the first waits for the last
_PR_SET_PDEATHSIG: Final = 1
EXIT_DISK: Final = 74  # EX_IOERR
EXIT_DAMAGE: Final = 65  # EX_DATAERR


def main(fd: int, parent: int) -> int:
    """Serve the node at the other end of `fd` until it goes. Returns the exit status."""
    _die_with(parent)
    with socket.socket(fileno=fd) as sock:
        frames = Frames()
        first: list[bytes] = []
        while not first:
            data = sock.recv(_READ)
            if not data:
                return 0
            first = frames.feed(data)
        settings = decode(first[0], type=Settings)
        try:
            committer, opened = _open(settings)
        except StoreError as error:
            sock.sendall(encode_frame(Refused(error_to_wire(error))))
            return 0
        except lmdb.Error as error:
            sock.sendall(encode_frame(Refused(error_to_wire(broken(settings.path, error)))))
            return 0
        except Damaged as error:
            refusal = StoreCorrupt(
                settings.path, f"record {error.key!r} is damaged", last_backup(settings.path)
            )
            sock.sendall(encode_frame(Refused(error_to_wire(refusal))))
            return 0
        except (OSError, ValueError) as error:
            sock.sendall(encode_frame(Refused(error_to_wire(Unavailable(str(error))))))
            return 0
        sock.sendall(encode_frame(opened))
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # a group is thousands of short-lived tuples without cycles
        return _serve(sock, frames, committer, parent)


def _open(settings: Settings) -> tuple[Committer, Opened]:
    lock(settings.path, settings.lock_timeout)
    schema = schema_of(settings.migrations)
    environment = Environment(
        settings.path,
        settings.nshards,
        schema,
        settings.map_initial,
        settings.max_size,
        settings.reserve,
        settings.check_upto,
    )
    committer = Committer(environment, settings.session)
    if environment.meta.schema < schema:
        committer.base += 1  # what migrations write has a version of its own
        migrate(environment, settings.migrations, committer.base + committer.last)
    return committer, Opened(os.getpid(), environment.meta.nshards, schema, committer.base, committer.last)


def _serve(sock: socket.socket, frames: Frames, committer: Committer, parent: int) -> int:
    receive = sock.recv
    while True:
        data = receive(_READ)
        requests: list[Any] = []
        confirmed = size = 0
        try:
            while data:
                for frame in frames.feed(data):
                    confirmed, *more = decode(frame)
                    requests += more
                size += len(data)
                if size >= _GROUP:
                    break
                data = receive(_READ, socket.MSG_DONTWAIT)
            else:
                return 0  # the node closed its end: what is unread or unanswered has no owner any more
        except BlockingIOError:
            pass
        if requests:
            if os.getppid() != parent:
                return 0
            try:
                reply = committer.commit(requests, confirmed)
            except DiskFault as error:
                sys.stderr.write(f"store writer: {error}\n")
                return EXIT_DAMAGE if error.is_damage else EXIT_DISK
            try:
                sock.sendall(encode_frame(reply))
            except OSError:
                return 0  # the node went meanwhile


def _die_with(parent: int) -> None:
    # A terminal's Ctrl-C and a service manager's SIGTERM go to the whole group; the writer must outlive the node's
    # orderly stop, and ends by the end of the stream.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
