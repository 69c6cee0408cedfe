"""The release log: every release that this node ever ran or refused, with its sources, durable under `data_dir/code`.

    releases.log     records (see `records`): releases, verdicts on them, operations, nonces; in memory: `release_tables`
    blobs/           file texts and manifests by their hash (see `blobs`)

Theory of operation: a release is a *manifest*, {relative path: hash of its text}, of all managed files, not only of those
that changed: any release can be booted, compared and gone back to by itself. Its `id` is the hash of the manifest, so the
same content has the same id on every node; its `number` tells two runs of the same content apart. `add` first makes the
texts durable, then the manifest, then the one record that makes it exist: killed in between, there are only blobs that
nobody names, and the next clean-up takes them. What happens to a release later is a record of its own (`judge`).

    probation ──▶ good          the limits held, or somebody confirmed it
        └───────▶ bad           it was rolled back by itself          good ──▶ rolled_back      by somebody
    refused                     never ran

The newest "good" one that nothing speaks against is the *last good*: what a node in push mode boots. One that was in probation when its node died was
never found good, and may be why it died: the boot passes over it and says so.

Retention: the newest `keep` releases that ran and a quarter as many that were refused (a storm of broken saves leaves the
ways back alone), and always the running one, the last good one and those on probation; the newest operations; nonces for
as long as a bundle may be used. Cleaning up may fail (a full disk): it is said in `problems`, and tried again later. All methods that write block on the disk (fsync): a process calls them through
`kernel.blocking`. They may be called from several threads, by turns; reading is in memory, and safe from anywhere.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.code.blobs import BlobDamaged, Blobs, digest
from runtime.code.records import Record, Records
from runtime.code.release import (
    ENDED,
    KINDS,
    RESULTS,
    TOGETHER,
    Operation,
    Release,
    UnknownRelease,
    canonical,
    diff_texts,
    find_release,
    found_bad,
    release_id,
)
from runtime.code.release_tables import (
    Tables,
    manifest_of,
    nonce_record,
    operation_record,
    release_record,
    verdict_record,
)

__all__ = [
    "ENDED",
    "RESULTS",
    "TOGETHER",
    "Operation",
    "Release",
    "ReleaseLog",
    "UnknownRelease",
    "diff_texts",
    "outcome",
    "release_id",
]

_OPERATIONS = 1_000
_NONCES_FOR = 14 * 86_400.0
_SLACK = 2_000  # records beyond what is kept before the file is written anew

# Types


class ReleaseLog:
    """The log of one node; one program has it open at a time (the node holds its data directory).

    Invariant: every release in `_releases` has its manifest and texts on disk, but for damage (`sources` says so).
    """

    def __init__(self, directory: Path, keep: int = 200) -> None:
        self.directory = directory
        self.keep = max(1, keep)
        self._keep_refused = max(1, keep // 4)
        self.problems: list[str] = []
        self._lock = threading.RLock()
        self._tables = Tables(_OPERATIONS)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (directory, directory.parent):
            _only_ours(folder)
        for left in directory.glob("*.new"):
            left.unlink(missing_ok=True)
        self._blobs = Blobs(directory / "blobs")
        self._records = Records(directory / "releases.log")
        for record, error in self._tables.take_all(self._records.found, self._blobs.get):
            if isinstance(error, BlobDamaged):
                self.problems.append(f"release #{record.get('number')} is left out: {error}")
            else:
                self.problems.append(f"a record of {directory / 'releases.log'} is left out: {error!r}")
        self._written = len(self._records.found)
        self._records.found.clear()
        self.is_damaged = self._records.damaged > 0 or bool(self.problems)
        """Something that was written cannot be read; more may have been there than is known."""
        self.problems = [*self._records.problems, *self.problems]

    @classmethod
    def open(cls, directory: Path, keep: int = 200) -> ReleaseLog:
        """Open or make the log in `directory`. `problems` then has a sentence for everything that is damaged in it.

        Raises OSError when the directory cannot be used at all, or others may write there.
        """
        log = cls(directory, keep)
        if log._written > len(log._tables.records()) + _SLACK or len(log._tables.releases) > log._most:
            log._try_compact()
        return log

    def close(self) -> None:
        """Close the file; nothing may be written any more."""
        with self._lock:
            self._records.close()

    # reading

    def releases(self) -> list[Release]:
        """Return all releases, oldest first."""
        return self._tables.in_order()

    def find(self, ref: str | int | Release) -> Release:
        """Return a release by its number (7, "7", "#7"), its id, or at least four characters that its id begins with (of several
        runs of it: the newest).

        Raises UnknownRelease.
        """
        return find_release(self.releases(), ref)

    def current(self) -> Release | None:
        """Return the newest release that took effect and was not taken back."""
        return next((one for one in reversed(self.releases()) if one.is_running), None)

    def last_good(self) -> Release | None:
        """Return the newest release that was found good, and whose content was not taken back since."""
        return next((one for one in reversed(self.releases()) if self._is_sound(one)), None)

    def found_bad(self, id_: str) -> Release | None:
        """Return the release as which this content was last taken back; None: nothing speaks against it."""
        return found_bad(self.releases(), id_)

    def sources(self, release: str | int | Release, paths: Collection[str] | None = None) -> dict[str, str]:
        """Return {relative path: text} of a release, or of those of `paths` that it has.

        Blocks on files. Raises UnknownRelease, BlobDamaged.
        """
        files = self.find(release).files
        wanted = files if paths is None else [path for path in paths if path in files]
        return {path: self._blobs.get(files[path]).decode() for path in wanted}

    def diff(self, a: str | int | Release, b: str | int | Release) -> dict[str, str]:
        """Return {relative path: unified difference} from `a` to `b`, for the files that differ.

        Blocks on files. Raises UnknownRelease, BlobDamaged.
        """
        old, new = self.find(a), self.find(b)
        differing = [
            path for path in sorted({*old.files, *new.files}) if old.files.get(path) != new.files.get(path)
        ]
        return {
            path: diff_texts(path, self._text(old, path), self._text(new, path), str(old), str(new))
            for path in differing
        }

    def operations(self, limit: int = 100) -> list[Operation]:
        """Return the last operations, oldest first."""
        return list(self._tables.operations)[-limit:]

    # writing (blocks)

    def add(
        self,
        *,
        kind: str,
        files: Mapping[str, str],
        base: str = "",
        by: str = "",
        note: str = "",
        result: str = "good",
        why: str = "",
        seconds: Mapping[str, float] | None = None,
        migrated: int = 0,
        notes: Iterable[str] = (),
        must: bool = True,
    ) -> Release:
        """Keep a release; `files` holds the texts of all managed files. It is durable when this returns.

        `must` False: what the disk does not take is kept for as long as this program runs, and is a problem; for what has
        happened and is not to be taken back. Raises ValueError for a kind or result that there is not, OSError.
        """
        if kind not in KINDS or result not in RESULTS:
            raise ValueError(f"kind {kind!r} must be one of {KINDS}, result {result!r} one of {RESULTS}")
        with self._lock:
            contents = [(path, files[path].encode()) for path in sorted(files)]
            manifest = manifest_of(contents)
            release = Release(
                release_id(manifest), base, self._tables.next, time.time(), by, note, kind, manifest, result, why,
                dict(seconds or {}), migrated, tuple(notes),
            )  # fmt: skip
            try:
                self._blobs.put_all([*(content for _, content in contents), canonical(manifest)])
                self._append(release_record(release))
            except OSError as error:
                if must:
                    raise
                self.problems.append(f"the release log cannot be written: {release} is not in it: {error}")
            self._tables.releases[release.number] = release
            self._tables.next += 1
            self._tidy()
            return release

    def judge(self, release: str | int | Release, result: str, why: str = "", **more: Any) -> Release:
        """Note what became of a release; `more` may hold `seconds` and `migrated`. Durable when this returns."""
        if result not in RESULTS or not {"seconds", "migrated"} >= set(more):
            raise ValueError(
                f"result {result!r} must be one of {RESULTS}; and only seconds, migrated: {more}"
            )
        with self._lock:
            judged = dataclasses.replace(self.find(release), result=result, why=why, **more)
            self._append(verdict_record(judged.number, result, why, time.time(), **more))
            self._tables.releases[judged.number] = judged
            self._tidy()
            return judged

    def note_operation(
        self, who: str, operation: str, what: str, verdict: str, *, durable: bool = True
    ) -> None:
        """Write down who did what. `durable` False: it may be lost when the machine, not the program, dies."""
        done = Operation(time.time(), who, operation, what, verdict)
        with self._lock:
            self._append(operation_record(done), durable=durable)
            self._tables.operations.append(done)
            self._tidy()

    def use_nonce(self, nonce: str) -> bool:
        """Take a nonce; tell whether it is new. What was taken stays so over restarts and crashes."""
        with self._lock:
            if nonce in self._tables.nonces:
                return False
            now = time.time()
            self._append(nonce_record(nonce, now))
            self._tables.nonces[nonce] = now
            self._tidy()
            return True

    def boot_sources(self) -> dict[str, str] | None:
        """Return the texts that a node in push mode boots with: those of the last good release; None: there is none yet.

        A release still in probation is judged: its node ended before it was found good. A release that cannot be read is
        passed over for the one before it; `problems` says so.
        """
        with self._lock:
            for release in self.releases():
                if release.result == "probation":
                    self.problems.append(
                        f"release {release} was in probation when the node ended, and was never found good"
                    )
                    self.judge_or_remember(release, "rolled_back", ENDED)
            for release in reversed(self.releases()):
                if self._is_sound(release):
                    try:
                        return self.sources(release)
                    except BlobDamaged as error:
                        self.problems.append(f"release {release} cannot be booted: {error}")
                        self.judge_or_remember(release, "bad", f"damaged on disk: {error}")
        return None

    def judge_or_remember(self, release: Release, result: str, why: str) -> Release:
        """As `judge`; where the disk does not take the verdict it holds for as long as this program runs, and is a problem."""
        try:
            return self.judge(release, result, why)
        except OSError as error:
            self.problems.append(f"the release log cannot be written: {release} is {result}: {error}")
            with self._lock:
                judged = dataclasses.replace(self.find(release), result=result, why=why)
                self._tables.releases[judged.number] = judged
            return judged

    def compact(self) -> None:
        """Forget what is beyond retention, and write the file anew. Done by itself now and then."""
        with self._lock:
            self._forget()
            kept = self._tables.records()
            self._records.rewrite(kept)
            self._written = len(kept)
            wanted = {name for one in self._tables.releases.values() for name in one.files.values()}
            wanted |= {digest(canonical(one.files)) for one in self._tables.releases.values()}
            self._blobs.sweep(wanted)

    # internals

    def _is_sound(self, release: Release) -> bool:
        return release.result == "good" and self.found_bad(release.id) is None

    @property
    def _most(self) -> int:
        return self.keep + self._keep_refused

    def _append(self, record: Record, *, durable: bool = True) -> None:
        self._records.append(record, durable=durable)
        self._written += 1

    def _tidy(self) -> None:
        """Compact when it is worth it. Only after a record stands in the tables too: they are what is written."""
        if (
            len(self._tables.releases) > self._most + max(10, self.keep // 4)
            or self._written > 2 * (self.keep + _OPERATIONS + len(self._tables.nonces)) + _SLACK
        ):
            self._try_compact()

    def _try_compact(self) -> None:
        """What has been appended stands, whether there is room for a tidier file or not."""
        try:
            self.compact()
        except OSError as error:
            self._written = 0  # not with each record from now on
            self.problems.append(f"the release log could not be cleaned up: {error}")

    def _forget(self) -> None:
        always = {one.number for one in (self.current(), self.last_good()) if one is not None}
        ran: list[int] = []
        refused: list[int] = []
        for one in self.releases():
            if one.result == "probation":
                always.add(one.number)
            (refused if one.result == "refused" else ran).append(one.number)
        for number in [*ran[: -self.keep], *refused[: -self._keep_refused]]:
            if number not in always:
                del self._tables.releases[number]
        old = time.time() - _NONCES_FOR
        self._tables.nonces = {nonce: at for nonce, at in self._tables.nonces.items() if at >= old}

    def _text(self, release: Release, path: str) -> str | None:
        name = release.files.get(path)
        return None if name is None else self._blobs.get(name).decode()


# API


def outcome(fn: Callable[..., Any], *args: Any) -> Any:
    """For `kernel.blocking`: return what fn returns, or the expected error; the thread pool would print one that is raised."""
    try:
        return fn(*args)
    except (OSError, BlobDamaged, UnknownRelease) as error:
        return error.with_traceback(None)


# Internals


def _only_ours(folder: Path) -> None:
    """Whoever may write here decides what the node runs. Raises PermissionError."""
    status = folder.stat()
    if status.st_mode & 0o022:
        raise PermissionError(
            errno.EPERM, f"others may write there, and so put their code into the node: chmod go-w {folder}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(
            errno.EPERM,
            f"{folder} belongs to another user (uid {status.st_uid}), who could put code into the node",
        )
