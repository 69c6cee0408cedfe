"""The release log of a node that does not run: `tools/run --releases` lists it, `tools/run --release R` starts from one of it.

When the last good release cannot start (a disk is gone that it needs, a setting has changed), nobody answers tools/push. Then
the operator names another one. It must be one that ran; one that was taken back is refused unless he insists, as by
tools/push. What the node starts from is noted as a way back like any other: the
next start takes the same one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from runtime.admin.push_report import Report
from runtime.code.blobs import BlobDamaged
from runtime.code.release_log import Release, ReleaseLog, UnknownRelease
from runtime.node_config import early
from runtime.node_identity import DataDirectory, DirectoryError

__all__ = ["ReleaseLogError", "choose", "show"]

# Types


class ReleaseLogError(Exception):
    """The release log cannot be used: a sentence with its path, and what to do."""


# API


def choose(log: ReleaseLog, name: str, *, force: bool = False) -> tuple[Release, Mapping[str, str]]:
    """Return the release of that name (id, its beginning, #NUMBER) and its texts. Blocks on files.

    `force`: also one that was taken back. Raises ReleaseLogError.
    """
    try:
        release = log.find(name)
        if release.result == "refused":
            raise ReleaseLogError(
                f"release {release} never ran: it was refused; tools/run --releases lists them all"
            )
        bad = log.found_bad(release.id)
        if bad is not None and not force:
            raise ReleaseLogError(
                f"release {release} was taken back{f' as {bad}' if bad.number != release.number else ''}: {bad.why}; "
                "name another one, or start this one all the same with --force: it is on probation then"
            )
        return release, log.sources(release)
    except UnknownRelease as error:
        text = str(error).replace("--list", "tools/run --releases")
        raise ReleaseLogError("\n    ".join([text, *log.problems])) from None
    except BlobDamaged as error:
        raise ReleaseLogError(f"release {name} cannot be started: {error}") from None


def show(path: str | Path | None, overrides: list[str]) -> int:
    """Print the releases of the node that these settings mean; return the exit code. It must not run.

    Raises DirectoryError, ReleaseLogError.
    """
    data_dir = Path(early(path, overrides, "node.data_dir")).resolve()
    report = Report(as_json=False)
    if not (data_dir / "code").is_dir():
        report.line("none", f"there are no releases in {data_dir / 'code'}")
        return 0
    try:
        directory = DataDirectory.hold(data_dir)
    except DirectoryError as error:
        raise DirectoryError(f"{error}. Its releases: tools/push --list") from None
    try:
        log = ReleaseLog.open(data_dir / "code", early(path, overrides, "code.keep"))
        try:
            _print(log, report)
        finally:
            log.close()
    except OSError as error:
        raise ReleaseLogError(
            f"the release log in {data_dir / 'code'} cannot be used: {error.strerror or error}"
        ) from None
    finally:
        directory.release()
    return 0


# Internals


def _print(log: ReleaseLog, report: Report) -> None:
    report.releases([dataclasses.asdict(one) for one in log.releases()])
    for problem in log.problems:
        report.line("problem", problem)
    good = log.last_good()
    if good is not None:
        report.line("next", f"push mode starts from {good}; tools/run --release R from another one")
