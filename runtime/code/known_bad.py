"""Does a tree hold what a release was taken back for? In watch mode a node starts from the tree, whatever the log knows of it.

A release failed that took itself back, went back together with such a one, or was on probation when its node ended. Its own
part are the files that it has otherwise than the release before it. A file whose very text ran well in a later release is
not held against the tree; that a node was started from it once more says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.code.release_log import ENDED, TOGETHER, Release, ReleaseLog

__all__ = ["known_bad"]

_SHOWN = 3
"""Files that are named."""

# API


def known_bad(log: ReleaseLog, files: Mapping[str, str]) -> str:
    """Return a sentence about the newest failed release of which `files` (path -> sha256) have something; empty: none."""
    releases = log.releases()
    good: set[tuple[str, str]] = set()
    for one in reversed(releases):
        if one.is_running and one.kind != "boot":
            good.update(one.files.items())
        base = _base(releases, one) if _has_failed(one) else None
        if base is None:
            continue
        own = {path: sha for path, sha in one.files.items() if base.files.get(path) != sha}
        same = [path for path, sha in own.items() if files.get(path) == sha and (path, sha) not in good]
        if same:
            named = ", ".join(sorted(same)[:_SHOWN]) + (
                f" and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
            )
            return (
                f"this start takes {named} from the tree just as in release {one}, which was not good: {one.why}; "
                "the release before it is the last good one: tools/push --diff shows what it changed"
            )
    return ""


# Internals


def _has_failed(release: Release) -> bool:
    return release.result == "bad" or (
        release.result == "rolled_back" and release.why.startswith((ENDED, TOGETHER))
    )


def _base(releases: list[Release], release: Release) -> Release | None:
    found = [one for one in releases if one.number < release.number and one.id == release.base]
    return found[-1] if found else None
