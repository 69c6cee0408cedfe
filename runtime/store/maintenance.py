"""Looking after a store's files: backup and check (also while a node runs), compaction and restore (when none does).

Plain functions on a path, run by `python -m runtime.store`, in a process of their own: on a file that is damaged enough,
reading itself is a bus error, and that must not be the node's.

A backup is a directory with one sound data.mdb: `restore` puts it in the place of a damaged store and keeps what was
there beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import msgspec

from runtime.store import layout
from runtime.store.contract import CorruptRecord, StoreError
from runtime.store.environment import Meta, broken, lock, read_meta, walk
from runtime.store.layout import META_SESSION, RECORDS

__all__ = ["CheckReport", "backup", "check", "compact", "restore", "stat"]

_DATA = "data.mdb"


@dataclass
class CheckReport:
    """What `check` found: records by kind, and the keys of the damaged ones."""

    records: Counter[str] = field(default_factory=Counter)
    damaged: list[CorruptRecord] = field(default_factory=list)
    damaged_meta: list[bytes] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.damaged and not self.damaged_meta

    def text(self) -> str:
        """One line per finding, and a sum."""
        lines = [str(error) for error in self.damaged]
        lines += [f"damaged meta record {key!r}" for key in self.damaged_meta]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.records.items())) or "no"
        bad = len(self.damaged) + len(self.damaged_meta)
        return "\n".join([*lines, f"{kinds} records read, {bad} damaged"])


def check(path: str) -> CheckReport:
    """Read every record and verify its checksum. Raises StoreCorrupt when the tree itself cannot be read."""
    _existing(path)
    report = CheckReport()
    try:
        with contextlib.closing(_open(path)) as env:
            bad = set(walk(env))
            with env.begin() as txn, txn.cursor() as cursor:
                for full in cursor.iternext(values=False):
                    if full[:1] == RECORDS:
                        shard, kind, key = layout.split_record_key(full)
                        report.records[kind] += 1
                        if full in bad:
                            report.damaged.append(CorruptRecord(shard, kind, key))
                    elif full in bad:
                        report.damaged_meta.append(full)
    except lmdb.Error as error:
        raise broken(path, error) from None
    return report


def backup(path: str, directory: str, *, damaged_too: bool = False) -> CheckReport:
    """Copy the store, as of one moment and without its free pages, to a new `directory`; then verify the copy.

    A node may be running on it. Raises StoreError when the directory exists, or when records are damaged (then nothing
    is left, so that a damaged copy does not pass for a backup), unless `damaged_too`.
    """
    _existing(path)
    target = Path(directory).resolve()
    if target.exists():
        raise StoreError(f"{target} exists already: a backup is made into a new directory")
    aside = target.with_name(target.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700, parents=True)
    try:
        try:
            with contextlib.closing(_open(path)) as env:
                env.copy(str(aside), compact=True)
        except lmdb.Error as error:
            raise broken(path, error) from None
        report = check(str(aside))
        if not report.is_sound and not damaged_too:
            raise StoreError(f"the store in {path} has damaged records, no backup was kept:\n{report.text()}")
        (aside / "lock.mdb").unlink(missing_ok=True)
        (aside / _DATA).chmod(0o600)
        _sync(aside / _DATA)
        aside.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    note = Path(path, "last_backup.new")
    note.write_text(f"{target}\n")
    note.rename(Path(path, "last_backup"))
    return report


def restore(directory: str, path: str) -> Path | None:
    """Put a backup in the place of the store at `path`. Refused while a node runs on it (StoreLocked).

    What was there is kept beside it; returns where, None when there was nothing.
    """
    report = check(directory)
    if not report.is_sound:
        raise StoreError(f"the backup in {directory} is damaged, nothing was changed:\n{report.text()}")
    fd = lock(path, 0.0)
    try:
        place = Path(path)
        new = place / "restoring.mdb"
        shutil.copyfile(Path(directory, _DATA), new)
        _sync(new)
        kept = None
        if (place / _DATA).exists():
            kept = place.with_name(
                f"{place.name}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            )
            kept.mkdir(mode=0o700)
            # By a second name, not by moving: at no moment may a node find no store here, and make an empty one.
            (kept / _DATA).hardlink_to(place / _DATA)
            _sync(kept)
        _swap_in(new, place)
    finally:
        os.close(fd)
    return kept


def compact(path: str) -> tuple[int, int]:
    """Rewrite the file without its free pages; returns bytes before and after. Refused while a writer runs."""
    _existing(path)
    fd = lock(path, 0.0)
    try:
        place = Path(path)
        aside = place / "compacting"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        try:
            with contextlib.closing(_open(path)) as env:
                env.copy(str(aside), compact=True)
            if not check(str(aside)).is_sound:
                raise StoreError(
                    f"the store in {path} has damaged records: run the check, then repair or restore"
                )
            _sync(aside / _DATA)
            before = (place / _DATA).stat().st_size
            after = (aside / _DATA).stat().st_size
            _swap_in(aside / _DATA, place)
        except lmdb.Error as error:
            raise broken(path, error) from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(fd)
    return before, after


def stat(path: str) -> dict[str, int]:
    """Figures of a store: schema, shards, entries, version, bytes of the file."""
    meta = _existing(path)
    with contextlib.closing(_open(path)) as env, env.begin() as txn:
        raw = txn.get(META_SESSION)
        version = 0
        if raw is not None:
            _, base, last, _ = msgspec.msgpack.decode(layout.unpack(META_SESSION, raw)[1])
            version = base + last
        info, figures = env.info(), env.stat()
        return {
            "format": meta.format,
            "schema": meta.schema,
            "shards": meta.nshards,
            "entries": figures["entries"],
            "version": version,
            "depth": figures["depth"],
            "pages_used": figures["branch_pages"] + figures["leaf_pages"] + figures["overflow_pages"],
            "page_size": figures["psize"],
            "file_bytes": Path(path, _DATA).stat().st_size,
            "map_bytes": info["map_size"],
            "readers": info["num_readers"],
        }


# --- internals -------------------------------------------------------------------------------------------------


def _existing(path: str) -> Meta:
    meta = read_meta(path)
    if meta is None:
        raise StoreError(f"there is no store in {path}")
    return meta


def _open(path: str) -> lmdb.Environment:
    return lmdb.open(path, readonly=True, create=False, map_size=0, readahead=True)


def _swap_in(data: Path, place: Path) -> None:
    # The lock file knows the old file's transactions; readers that still have both open go on with the old pair. Twice,
    # because a backup or check that begins between the two makes one for the old file.
    (place / "lock.mdb").unlink(missing_ok=True)
    data.chmod(0o600)
    data.rename(place / _DATA)
    (place / "lock.mdb").unlink(missing_ok=True)
    _sync(place)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
