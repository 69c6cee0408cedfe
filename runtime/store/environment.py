"""The LMDB environment as its only writer sees it: opening with all checks, growing, and what "full" means.

The writer holds an exclusive flock on `writer.lock` in the store's directory for its whole life. The kernel frees it
when the process is gone and its last system call with it, so the next writer cannot race with a commit of the last.

Files in a store's directory: data.mdb and lock.mdb (LMDB's), writer.lock, ballast (space that deletes may use when
the disk is full), last_backup (where the last backup went; error texts name it).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from runtime.store import layout
from runtime.store.contract import (
    NewerSchema,
    ShardCountMismatch,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    Unavailable,
)
from runtime.store.layout import FORMAT, MAX_SHARDS, META_SCHEMA, Damaged

__all__ = ["DiskFault", "Environment", "Meta", "broken", "last_backup", "lock", "read_meta", "walk"]

# --- types -----------------------------------------------------------------------------------------------------


class DiskFault(Exception):
    """A write failed in a way that leaves its outcome unknown, or the tree is damaged: the process must end."""

    def __init__(self, text: str, *, is_damage: bool) -> None:
        super().__init__(text)
        self.is_damage = is_damage


class Meta(msgspec.Struct, array_like=True):
    """The record META_SCHEMA."""

    format: int
    schema: int
    nshards: int


_DATA: Final = "data.mdb"
_FULL: Final = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT))
_MARGIN: Final = 1 << 20


_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)

# --- API -------------------------------------------------------------------------------------------------------


def broken(path: str, error: lmdb.Error) -> StoreError:
    """What an error of LMDB's means to who reads: StoreCorrupt when the file is at fault, else Unavailable."""
    if isinstance(error, _DAMAGE):
        return StoreCorrupt(path, str(error), last_backup(path))
    return Unavailable(f"the store in {path}: {error}")


def lock(path: str, timeout: float) -> int:
    """Take the writer's lock, waiting `timeout` seconds for the last owner to go. Returns its descriptor.

    Raises StoreLocked with the owner's pid.
    """
    Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(Path(path, "writer.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                owner = os.pread(fd, 20, 0).strip()
                os.close(fd)
                raise StoreLocked(path, int(owner) if owner.isdigit() else 0) from None
            time.sleep(0.005)
        else:
            with contextlib.suppress(
                OSError
            ):  # a full disk: the pid is for people, the lock holds without it
                os.ftruncate(fd, 0)
                os.pwrite(fd, b"%d\n" % os.getpid(), 0)
            return fd


def read_meta(path: str) -> Meta | None:
    """What the store says of itself; None when there is none yet. Touches nothing: no lock file, no write.

    Raises StoreCorrupt when there is something that cannot be read.
    """
    data = Path(path, _DATA)
    backup = last_backup(path)
    if not data.exists():
        if backup is not None:  # a store that was backed up once has not vanished by our doing
            raise StoreCorrupt(path, f"{_DATA} is missing", backup)
        return None
    if data.stat().st_size < 2 * resource.getpagesize():
        raise StoreCorrupt(path, f"{_DATA} is cut off at {data.stat().st_size} bytes", backup)
    try:
        with contextlib.closing(lmdb.open(path, readonly=True, lock=False, map_size=0, create=False)) as env:
            with env.begin() as txn:
                raw = txn.get(META_SCHEMA)
            if raw is None:
                raise StoreCorrupt(path, "it holds no schema record: not a store of ours", backup)
            meta = msgspec.msgpack.decode(layout.unpack(META_SCHEMA, raw)[1], type=Meta)
            if data.stat().st_size < (env.info()["last_pgno"] + 1) * env.stat()["psize"]:
                # Shorter than its last page: either cut off, or the last pages were allocated and freed before they
                # were ever written, which is sound. Reading every page tells; a page beyond the end is a bus error,
                # which ends this process (the writer) and is reported as damage by the node.
                for _ in walk(env):
                    pass
    except lmdb.Error as error:
        raise broken(path, error) from None
    except (Damaged, msgspec.DecodeError) as error:
        raise StoreCorrupt(path, str(error), backup) from None
    return meta


def last_backup(path: str) -> str | None:
    """The directory of the last backup made of this store, if it is still there."""
    with contextlib.suppress(OSError):
        place = Path(path, "last_backup").read_text().strip()
        if place and Path(place, _DATA).exists():
            return place
    return None


def walk(env: lmdb.Environment) -> Iterator[bytes]:
    """Read every value there is and yield the full keys of the damaged ones. Raises lmdb.Error on a damaged page."""
    with env.begin() as txn:
        for key, raw in txn.cursor():
            try:
                layout.unpack(key, raw)
            except Damaged:
                yield key


class Environment:
    """The store, open for writing. One per store and machine: the caller holds `lock(path)`.

    `max_size` (bytes, 0: none) bounds the file; deletes and the opening of shards may use `reserve` bytes beyond it,
    and the ballast file's space when the disk itself is full: a full store must be able to be emptied.
    """

    def __init__(
        self,
        path: str,
        nshards: int,
        schema: int,
        map_initial: int,
        max_size: int,
        reserve: int,
        check_upto: int = 0,
    ) -> None:
        """Open, or make a new one. Raises StoreCorrupt, NewerSchema, ShardCountMismatch; then nothing was touched."""
        self.path = path
        self._max = max(max_size, 1 << 20) if max_size else 0
        self._reserve = reserve
        self._ballast = Path(path, "ballast")
        meta = read_meta(path)
        if meta is None:
            if not 1 <= nshards <= MAX_SHARDS:
                raise ValueError(f"number of shards {nshards}: 1 to {MAX_SHARDS} are allowed")
            meta = Meta(FORMAT, schema, nshards)
            _make(path, meta)
        elif meta.format > FORMAT:
            raise NewerSchema(path, meta.format, FORMAT)
        elif meta.schema > schema:
            raise NewerSchema(path, meta.schema, schema)
        elif meta.nshards != nshards:
            raise ShardCountMismatch(path, meta.nshards, nshards)
        self.meta = meta
        size = Path(path, _DATA).stat().st_size
        want = max(map_initial, size + size // 4, 1 << 20)
        self._size = min(want, self._max) if self._max else want
        # readahead off: records are read one here, one there, and a cold store must not push the node's pages out.
        self.env = lmdb.open(path, map_size=self._size, mode=0o600, readahead=False, max_spare_txns=0)
        self._size = self.env.info()["map_size"]
        self.in_reserve = False
        # A writer that was killed between writing its last commit and noting it in the lock file leaves the lock file
        # one commit behind, and a read would miss that commit. Taking the write lock after a dead owner mends it.
        self.env.begin(write=True).abort()
        self.env.reader_check()  # slots of readers that were killed would keep old pages alive for ever
        if size <= check_upto:
            self._try_every_page()
        self.refill()

    def close(self) -> None:
        """Close. Nothing is pending: every commit was synced when it returned."""
        self.env.close()

    def grow(self, *, reserve: bool) -> None:
        """Double the map after MapFullError. No transaction may be open. Raises StoreFull at the size limit.

        With `reserve`, go beyond the limit into the reserve; `refill` comes back from there.
        """
        if not self._max:
            self._size *= 2
        elif self._size < self._max:
            self._size = min(self._size * 2, self._max)
        elif reserve and self._size == self._max:
            self._size += self._reserve
            self.in_reserve = True
        else:
            raise StoreFull(f"the store in {self.path} has reached its size limit of {self._max} bytes")
        self.env.set_mapsize(self._size)

    def disk_full(self, error: lmdb.Error, *, reserve: bool) -> None:
        """Say what an error of a commit means: return when the commit may be tried again now (by the ballast).

        Raises StoreFull when there is no space, DiskFault for everything else.
        """
        text = str(error)
        full = any(reason in text for reason in _FULL)
        if not full and os.strerror(errno.EIO) in text:
            # LMDB calls a write that was cut short EIO, and a disk that fills up cuts the last write short.
            space = os.statvfs(self.path)
            size, limit = Path(self.path, _DATA).stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)[0]
            full = space.f_bavail * space.f_frsize < _MARGIN or 0 <= limit <= size + _MARGIN
        if not full:
            raise DiskFault(text, is_damage=isinstance(error, _DAMAGE)) from error
        if reserve and self._ballast.exists():
            self._ballast.unlink()
            self.in_reserve = True
            return
        raise StoreFull(f"no space for the store in {self.path}: {text}") from None

    def refill(self) -> bool:
        """Take the reserves back; False when there is still no space for them."""
        if self._max and self._size > self._max:
            self._size = self._max
            self.env.set_mapsize(self._max)  # LMDB makes it no smaller than what is in use
        if self._reserve and not self._ballast.exists():
            with contextlib.suppress(OSError), self._ballast.open("wb") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, self._reserve)
                except OSError:
                    self._ballast.unlink()
                    return False
        self.in_reserve = False
        return True

    def _try_every_page(self) -> None:
        # A damaged page may make LMDB abort the process that reads it. Better here, where the node is told and refuses
        # to start with advice, than in the node. Records are not verified: one that is damaged harms nobody else.
        try:
            with self.env.begin() as txn, txn.cursor() as cursor:
                for _ in cursor.iternext(values=False):
                    pass
        except lmdb.Error as error:
            raise broken(self.path, error) from None


# --- internals -------------------------------------------------------------------------------------------------


def _make(path: str, meta: Meta) -> None:
    # Made aside and moved in whole, so that a data.mdb is either sound or damaged, never half made.
    aside = Path(path, "making")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    env = lmdb.open(str(aside), map_size=1 << 20, mode=0o600)
    with contextlib.closing(env), env.begin(write=True) as txn:
        txn.put(META_SCHEMA, layout.pack(META_SCHEMA, 0, msgspec.msgpack.encode(meta)))
    (aside / _DATA).rename(Path(path, _DATA))
    shutil.rmtree(aside)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
