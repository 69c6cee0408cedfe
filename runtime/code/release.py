"""What a release is, to whoever looks at one: its record, the words for what became of it, its id, and differences of texts.

A release is a *manifest*, {relative path: hash of its text}, of all managed files; its `id` is the hash of that, so the same
content has the same id on every node. Its `number` tells two runs of the same content apart. What became of it is said with
one word each, everywhere (log, command, shell, dashboard):

    good           found good by its probation, confirmed, or there was none to go through
    probation      it runs, and is watched
    bad            it took itself back
    rolled_back    taken back: by somebody, with one that followed it, or since its node ended during its probation
    refused        it never ran

Logs of before say `live` for good.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from runtime.code.blobs import digest

__all__ = [
    "ENDED", "KINDS", "RESULTS", "TOGETHER", "Operation", "Release", "UnknownRelease", "canonical", "diff_texts",
    "find_release", "found_bad", "release_id", "result_of",
]  # fmt: skip

KINDS: Final = ("boot", "watch", "push", "rollback")
RESULTS: Final = ("good", "bad", "rolled_back", "refused", "probation")
ENDED: Final = "the node ended during its probation"
TOGETHER: Final = "taken back together with"
"""How it begins to be said why a release was rolled back that nobody has rolled back."""
_RUNNING: Final = ("good", "probation")
_ID = 12
_LEAST = 4
"""Characters of an id that name it."""
_DIGITS = 10
"""A decimal number of so many is the beginning of an id."""

# Types


class UnknownRelease(LookupError):
    """No release, or several, by that name; `str()` is a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """One release. `time` is seconds since 1970; `seconds` what each step of the change took; `base` the id before it;
    `notes` what its report tells besides: what was not run again, what somebody should look at.
    """

    id: str
    base: str
    number: int
    time: float
    by: str
    note: str
    kind: str
    files: Mapping[str, str]
    result: str
    why: str = ""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    migrated: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Did it take effect, and was it not taken back?"""
        return self.result in _RUNNING

    def __str__(self) -> str:
        return f"{self.id} (#{self.number})"


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """Who did what, when, and what came of it."""

    time: float
    who: str
    operation: str
    what: str
    verdict: str


# API


def release_id(manifest: Mapping[str, str]) -> str:
    """Return the id of {relative path: SHA-256 of its text}: the same for the same content anywhere."""
    return digest(canonical(manifest))[:_ID]


def diff_texts(
    path: str, old: str | None, new: str | None, old_name: str = "old", new_name: str = "new"
) -> str:
    """Return a unified difference as `patch` and people read it; None is a file that is not there."""
    lines = difflib.unified_diff(
        (old or "").splitlines(keepends=True),
        (new or "").splitlines(keepends=True),
        "/dev/null" if old is None else f"a/{path}",
        "/dev/null" if new is None else f"b/{path}",
        "" if old is None else old_name,
        "" if new is None else new_name,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def canonical(manifest: Mapping[str, str]) -> bytes:
    """Return a manifest as the bytes that its hash is of."""
    return json.dumps(dict(manifest), ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()


def result_of(word: str) -> str:
    """Return what became of a release by the word in a log, which may be of an older runtime."""
    return "good" if word == "live" else word


def found_bad(releases: Iterable[Release], id_: str) -> Release | None:
    """Return the release that this content was last taken back as; None: nothing speaks against it. `releases`: oldest first.

    A later run that was found good is an answer; that a node was started from it once more is none. That somebody left it does
    not speak against what had been found good before, nor against what he had gone back to.
    """
    same = [one for one in releases if one.id == id_]
    was_good = any(one.result == "good" for one in same)
    found = None
    for place, one in reversed(list(enumerate(same))):
        if one.result == "bad":
            return one  # it has the reason, where a later one has but an end
        if one.result == "rolled_back" and not (_was_left(one) or (was_good and _by_hand(one))):
            found = found or one
        if one.result == "good" and (one.kind != "boot" or place == 0):
            break
    return found


def find_release(releases: Sequence[Release], ref: str | int | Release) -> Release:
    """Return the release that is meant, see `ReleaseLog.find`. `releases`: oldest first. Raises UnknownRelease."""
    if isinstance(ref, Release):
        ref = ref.number
    if isinstance(ref, str):
        ref = ref.strip().lower()
        same = [one for one in releases if one.id == ref]
        if same:
            return same[-1]
        digits = ref.removeprefix("#")
        if digits.isascii() and digits.isdecimal() and len(digits) < _DIGITS:
            ref = int(digits)
    if isinstance(ref, int):
        for one in releases:
            if one.number == ref:
                return one
        raise UnknownRelease(f"there is no release #{ref}: --list shows those that are kept")
    found = [one for one in releases if ref and one.id.startswith(ref)]
    if found and len(ref) < _LEAST:
        raise UnknownRelease(
            f"{ref!r} is too short for a release's id: name at least {_LEAST} characters of it, or its number, as #3"
        )
    if not found:
        raise UnknownRelease(f"there is no release {ref!r:.60}: --list shows those that are kept")
    if len({one.id for one in found}) > 1:
        may = ", ".join(sorted({f"{one.id} (#{one.number})" for one in found}))
        raise UnknownRelease(f"{ref!r} may mean {may}: name more characters, or the number")
    return found[-1]


# Internals


def _was_left(one: Release) -> bool:
    return one.kind == "rollback" and _by_hand(one)


def _by_hand(one: Release) -> bool:
    return not one.why.startswith((ENDED, TOGETHER))
