"""What the release log knows, in memory: its tables, and the records of the file from which they are made anew at a start.

Theory of operation: the file (`records`) only grows, and says what happened: a release was added, a verdict fell, somebody did
something, a nonce was used. Taken in order, its records make the tables; `Tables.records` gives the shortest file that makes
the same ones, which a clean-up writes. The form of each record is made and read here and nowhere else. A file may be of an
older runtime: `result_of` reads its words, and what it did not write yet has a default.

A release's manifest is not in its record but a blob of its own, named by its hash: thousands of releases of the same files
would repeat it. Equal manifests, paths and hashes are one object in memory, too.

Invariants: `next` is above every number that was ever given, also to a release whose manifest is lost; `operations` and `nonces`
are in the order of time.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runtime.code.blobs import BlobDamaged, digest
from runtime.code.records import Record
from runtime.code.release import Operation, Release, canonical, result_of

__all__ = ["Tables", "manifest_of", "nonce_record", "operation_record", "release_record", "verdict_record"]

# Types


class Tables:
    """The releases by number, the newest operations, {nonce: when it was used}; and the next release's number."""

    def __init__(self, operations: int) -> None:
        self.releases: dict[int, Release] = {}
        self.operations: deque[Operation] = deque(maxlen=operations)
        self.nonces: dict[str, float] = {}
        self.next = 1

    def in_order(self) -> list[Release]:
        """Return all releases, oldest first."""
        return sorted(self.releases.values(), key=lambda one: one.number)

    def take_all(
        self, records: Iterable[Record], read: Callable[[str], bytes]
    ) -> Iterable[tuple[Record, Exception]]:
        """Take records in their order. `read` gives a blob by its name. Gives those that are left out, each with the reason."""
        manifests: dict[str, Mapping[str, str]] = {}

        def manifest(name: str) -> Mapping[str, str]:
            if name not in manifests:
                manifests[name] = _interned(json.loads(read(name)))
            return manifests[name]

        for record in records:
            try:
                self._take(record, manifest)
            except (BlobDamaged, KeyError, TypeError, ValueError) as error:
                yield record, error

    def records(self) -> list[Record]:
        """Return records that make these tables."""
        records: list[Record] = [{"t": "next", "number": self.next}]
        records += [release_record(one) for one in self.in_order()]
        records += [nonce_record(nonce, at) for nonce, at in self.nonces.items()]
        records += [operation_record(one) for one in self.operations]
        return records

    def _take(self, record: Record, manifest: Callable[[str], Mapping[str, str]]) -> None:
        kind = record["t"]
        if kind == "release":
            self.next = max(self.next, record["number"] + 1)  # a damaged one's number is not used again
            release = _release(record, manifest)
            self.releases[release.number] = release
        elif kind == "verdict":
            before = self.releases.get(record["number"])
            if before is not None:
                more = {key: record[key] for key in ("result", "why", "seconds", "migrated") if key in record}
                if "result" in more:
                    more["result"] = result_of(more["result"])
                self.releases[before.number] = dataclasses.replace(before, **more)
        elif kind == "operation":
            fields = {field.name: record[field.name] for field in dataclasses.fields(Operation)}
            self.operations.append(Operation(**fields))
        elif kind == "nonce":
            self.nonces[record["nonce"]] = record["time"]
        elif kind == "next":
            self.next = max(self.next, record["number"])


# API


def manifest_of(contents: Iterable[tuple[str, bytes]]) -> Mapping[str, str]:
    """Return {path: hash} of these (path, text)."""
    return {sys.intern(path): sys.intern(digest(content)) for path, content in contents}


def release_record(release: Release) -> Record:
    """Return the record that adds a release. Its manifest must be durable as a blob before."""
    fields = {f.name: getattr(release, f.name) for f in dataclasses.fields(Release) if f.name != "files"}
    return {"t": "release", **fields, "manifest": digest(canonical(release.files))}


def verdict_record(number: int, result: str, why: str, time: float, **more: Any) -> Record:
    """Return the record that says what became of a release."""
    return {"t": "verdict", "number": number, "result": result, "why": why, "time": time, **more}


def operation_record(done: Operation) -> Record:
    """Return the record of who did what."""
    return {"t": "operation", **dataclasses.asdict(done)}


def nonce_record(nonce: str, time: float) -> Record:
    """Return the record of a nonce that is used up."""
    return {"t": "nonce", "nonce": nonce, "time": time}


# Internals


def _release(record: Record, manifest: Callable[[str], Mapping[str, str]]) -> Release:
    names = {f.name for f in dataclasses.fields(Release)} - {"files", "notes"}
    fields = {name: record[name] for name in names}
    fields["notes"] = tuple(record.get("notes", ()))  # there were none once
    fields["result"] = result_of(fields["result"])
    return Release(files=manifest(record["manifest"]), **fields)


def _interned(found: Mapping[str, str]) -> Mapping[str, str]:
    return {sys.intern(path): sys.intern(blob) for path, blob in found.items()}
