"""What applications hold of the LMDB engine: the store's handle and the handles of opened shards.

A commit by message goes straight to the link; one that blocks is a call to the server's process, so that the caller
learns of that process's death. Reads go straight to the reader, in the caller's turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from runtime import kernel
from runtime.kernel import NOPROC, NORMAL, TIMEOUT_REASON, CallError, Pid, self_, send
from runtime.store import layout
from runtime.store.contract import CommitFailed, Op, Rec, StoreError, Unavailable, Unknown, check_ops
from runtime.store.link import Link
from runtime.store.lmdb_config import StoreConfig, StoreInfo
from runtime.store.reader import Reader

__all__ = [
    "COMPACT",
    "START",
    "STOP",
    "Commit",
    "LmdbShard",
    "LmdbStore",
    "Open",
    "ask",
    "child_environment",
    "command",
]

_ROOT: Final = str(Path(__file__).resolve().parents[2])

# --- types -----------------------------------------------------------------------------------------------------


class Server(Protocol):
    """What the handles need of the server's behaviour."""

    config: StoreConfig
    link: Link
    reader: Reader

    def info(self) -> StoreInfo: ...


@dataclass(frozen=True, slots=True)
class Open:
    shard: int
    owner: str


@dataclass(frozen=True, slots=True)
class Commit:
    __handed_over__ = True  # the caller waits for the answer, or has made the batch for it

    shard: int
    token: int
    ops: Sequence[Op]


START: Final = "start"
STOP: Final = "stop"
COMPACT: Final = "compact"


# --- API -------------------------------------------------------------------------------------------------------


class LmdbShard:
    """A shard opened by its owner: contract.ShardStore. Made by `LmdbStore.open_shard`."""

    __slots__ = ("_link", "_pid", "_prefixes", "_reader", "shard", "token")

    def __init__(self, store: LmdbStore, shard: int, token: int) -> None:
        self.shard = shard
        self.token = token
        self._link = store._server.link
        self._reader = store._server.reader
        self._pid = store.pid
        self._prefixes: dict[str, bytes] = {}

    def commit(self, ops: Sequence[Op], timeout: float = 30.0) -> int:
        """Apply all or nothing; durable on return: contract.ShardStore.commit."""
        check_ops(ops)
        version: int = ask(self._pid, Commit(self.shard, self.token, ops), timeout)
        return version

    def commit_request(self, ops: Sequence[Op], tag: Any) -> None:
        """Commit; the answer comes as a message: contract.ShardStore.commit_request.

        A refusal as Unavailable (closed, or `max_pending` reached) is sent at once, before older answers.
        """
        check_ops(ops)
        me = self_()
        try:
            self._link.submit(self.shard, self.token, ops, me, tag)
        except Unavailable as error:
            send(me, CommitFailed(tag, error))

    def get(self, kind: str, key: bytes) -> Rec | None:
        """Read the committed record; about 2 µs: contract.ShardStore.get."""
        return self._reader.get(self.shard, kind, self._prefixes.get(kind) or self._prefix(kind), key)

    def scan(
        self,
        kind: str,
        lo: bytes = b"",
        hi: bytes | None = None,
        limit: int = 1000,
        damaged: list[bytes] | None = None,
    ) -> list[Rec]:
        """Read a range in order; about 1 µs a record: contract.ShardStore.scan."""
        prefix = self._prefixes.get(kind) or self._prefix(kind)
        return self._reader.scan(self.shard, kind, prefix, lo, hi, limit, damaged)

    def __repr__(self) -> str:
        return f"<shard {self.shard} token {self.token}>"

    def _prefix(self, kind: str) -> bytes:
        prefix = self._prefixes[kind] = layout.record_prefix(self.shard, kind)
        return prefix


class LmdbStore:
    """Handle of a running StoreServer: contract.Store."""

    __slots__ = ("_server", "nshards", "path", "pid")

    def __init__(self, server: Server, pid: Pid, nshards: int) -> None:
        self._server = server
        self.pid = pid
        self.nshards = nshards
        self.path = server.config.path

    def open_shard(self, shard: int, owner: str) -> LmdbShard:
        """Take a shard over; every older handle is Fenced: contract.Store.open_shard."""
        if not 0 <= shard < self.nshards:
            raise ValueError(f"shard {shard}: this store has 0 to {self.nshards - 1}")
        owner.encode()  # what cannot be written down must fail here, not in the server
        return LmdbShard(self, shard, ask(self.pid, Open(shard, owner), 30.0))

    def close(self) -> None:
        """Stop the server in order: finish what is in flight, end the writer. Idempotent. Blocks the caller."""
        try:
            kernel.call(self.pid, STOP, None)
        except CallError as error:
            if error.reason not in (NOPROC, NORMAL):
                raise Unknown(f"closing the store in {self.path}: {error.reason!r}") from error

    def backup(self, directory: str) -> str:
        """Copy the store, as it is now and compacted, to a new directory while it runs; verify every record.

        Blocks the calling process only; the work is done by a process of its own. Returns what it reports.
        Raises StoreError with the reason.
        """
        return command("backup", self.path, directory)

    def check(self) -> str:
        """Read every record and verify its checksum, by a process of its own. Blocks the calling process only.

        Returns the report. Raises StoreError with the damaged keys.
        """
        return command("check", self.path)

    def compact(self) -> None:
        """Rewrite the file without its free pages. Commits made meanwhile wait; reads see the store as it was."""
        ask(self.pid, COMPACT, None)

    def info(self) -> StoreInfo:
        """Figures, without blocking."""
        return self._server.info()

    def __repr__(self) -> str:
        return f"<store {self.path}>"


def ask(pid: Pid, request: Any, timeout: float | None) -> Any:
    try:
        return kernel.call(pid, request, timeout)
    except CallError as error:
        reason = error.reason
        if isinstance(reason, StoreError):
            raise reason from None
        if reason == NOPROC:
            raise Unavailable("the store's process is gone") from None
        if reason == TIMEOUT_REASON:
            raise Unknown(f"no answer from the store within {timeout} s") from None
        raise Unknown(f"the store's process ended: {reason!r}") from None


def child_environment() -> dict[str, str]:
    """The environment for a Python child that finds the same modules as we do, migrations included."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in [_ROOT, *sys.path]),
    }


def command(*arguments: str) -> str:
    done = kernel.blocking(_run, [sys.executable, "-P", "-m", "runtime.store", *arguments])
    if done.returncode:
        raise StoreError(done.stderr.strip() or f"status {done.returncode}")
    return str(done.stdout.strip())


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
