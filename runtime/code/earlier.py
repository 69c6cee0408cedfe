"""Earlier releases, read back from the release log: which one a rollback goes to, how old its content is, its texts.

Theory of operation: going back makes a *new* release, with a number of its own and the content of an earlier one. So numbers
alone do not say what is older. The age of a content is the number under which it first ran; whoever goes back twice goes two
releases back, counted from where the first way back led to. Of those before, the newest is taken that took effect, and that
nothing in the log speaks against.
"""

from __future__ import annotations

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.release_log import Release, ReleaseLog, UnknownRelease, outcome

__all__ = ["age", "target", "texts_in_log"]

# API


def target(log: ReleaseLog, current: Release, to: str | int | Release | None) -> Release:
    """Return the release that a rollback from `current` to `to` goes to; None: to the newest before that nothing speaks against.

    Raises Refused.
    """
    if to is not None:
        try:
            found = log.find(to)
        except UnknownRelease as error:
            raise Refused(str(error), kind="base") from None
        if found.result == "refused":
            raise Refused(
                f"release {found} never ran: it was refused",
                kind="base",
                hint="name one that ran: --list shows them all",
            )
        if found.id == current.id:
            raise Refused(
                f"release {found} is what runs already: there is nothing to go back to", kind="base"
            )
        return found
    origin = _origin(log, current)
    for release in reversed(log.releases()):
        is_other = release.number < origin and release.id != current.id
        if is_other and release.is_running and log.found_bad(release.id) is None:
            return release
    raise Refused(
        f"there is no release before {current} to go back to",
        kind="base",
        hint="name one: --list shows them all",
    )


def age(log: ReleaseLog, release: Release) -> int:
    """Return the number under which this content first ran: a rollback has a new number, but is as old as what it restores."""
    return min(
        [one.number for one in log.releases() if one.id == release.id and one.result != "refused"],
        default=release.number,
    )


def texts_in_log(log: ReleaseLog, release: Release) -> dict[str, str]:
    """Return {relative path: text} of a release. Blocks the calling process. Raises Refused when the log is damaged there."""
    texts = kernel.blocking(outcome, log.sources, release)
    if isinstance(texts, Exception):
        raise Refused(
            f"release {release} cannot be read from the release log: {texts}",
            hint="go back to another one (--list shows them all), or push a good tree; and see to the disk",
        )
    return texts  # type: ignore[no-any-return]


# Internals


def _origin(log: ReleaseLog, current: Release) -> int:
    """The number of the current release, or, after a rollback, of the one that it went back to.

    Going back twice goes two releases back, and not to and fro.
    """
    if current.kind != "rollback":
        return current.number
    return max(
        (
            one.number
            for one in log.releases()
            if one.id == current.id and one.kind != "rollback" and one.result != "refused"
        ),
        default=current.number,
    )
