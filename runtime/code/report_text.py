"""What a developer reads about a release: a line for one that went live, a few for one that did not.

    release 7f3c2a91b04d is live in 38 ms: chat/users.py: Users.find, Users.add, new Users.count; 3 processes migrated
    not live: apps/chat/users.py:12: SyntaxError: '(' was never closed
        def find(self, number:
                ^
    nothing changed: release 1bd2a09c8f7e runs on

Plain text: the log's formatter gives the level its colour and indents what follows the first line.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "change_name",
    "change_word",
    "changes_text",
    "live_text",
    "notes_of",
    "on_trial_text",
    "refused_text",
    "rolled_back_text",
    "seconds_text",
]

_MODULES = 4
"""Modules that are named in a line; the others are counted."""
_NAMES = 5
"""Names of one module."""
_NOTES = 5
"""Lines of what was not run again, and of warnings."""
_WORDS: Mapping[str, str] = {
    "define": "new", "delete": "removed", "import": "imports", "execute": "run again", "follow": "follows",
}  # fmt: skip
"""How a kind of change is said; the others need no word: the name is enough."""
_NAMELESS = frozenset({*keyword.kwlist, "expr", "importfrom", "trystar"})
"""A statement that binds no name is told by the kind of its syntax node. That says nothing to a reader; its line does."""


def live_text(release: Any, report: Any, *, healed: bool = False) -> str:
    """Say that a release is live: what changed, how many processes moved, how long it took; below, what to know.

    `healed`: the one before it was refused.
    """
    took = seconds_text(report.seconds.get("total", 0.0))
    head = f"{'mended: ' if healed else ''}release {release.id} is live in {took}"
    if release.kind == "push" and release.by:
        head += f", pushed by {release.by}"
    what = changes_text(report.changes, report.added, report.deleted)
    text = f"{head}: {what}" if what else f"{head}: nothing that runs is different"
    if report.migrated:
        text += f"; {_count(report.migrated, 'process', 'processes')} migrated"
    return "\n".join([text, *_first(notes_of(report), _NOTES, "more notes")])


def notes_of(report: Any) -> list[str]:
    """Return what a report tells besides what changed: a line each."""
    notes = [
        f"not run again: {kept.module}.{kept.name} (line {kept.line}): {kept.because}" for kept in report.kept
    ]
    return notes + [f"note: {warning}" for warning in report.warnings]


def on_trial_text(release: Any, good: Any, paths: Sequence[str], seconds: float) -> str:
    """Say that a node has started from a tree that is not as it was found good last, and what becomes of it."""
    return (
        f"release {release} is on probation for {seconds:g} s: it differs from the last good one, {good}, in "
        f"{', '.join(_first(paths, _NAMES, 'more'))}; what fails by that goes back to {good.id}"
    )


def refused_text(error: Any, running: Any | None = None, *, what: str = "not live") -> str:
    """Say why a release was refused, and what runs instead. `error` is a Refused, whose text has file, line and caret."""
    runs = f": release {running.id} runs on" if running is not None else ""
    return f"{what}: {error}\nnothing changed{runs}"


def rolled_back_text(bad: Any, target: Any, why: str, report: Any | None) -> str:
    """Say that a release was taken back, to which one, and why (empty: that has been said)."""
    took = f" in {seconds_text(report.seconds.get('total', 0.0))}" if report is not None else ""
    moved = (
        f"; {_count(report.migrated, 'process', 'processes')} migrated back"
        if report and report.migrated
        else ""
    )
    return f"release {bad.id} was rolled back to {target.id}{took}{moved}" + (f": {why}" if why else "")


def changes_text(changes: Sequence[Any], added: Iterable[Any] = (), deleted: Iterable[Any] = ()) -> str:
    """Return what changed, by module: `chat.users: Users.find, new Users.count; new chat.groups`."""
    modules: dict[str, dict[str, list[str]]] = {}
    for change in changes:
        word = _WORDS.get(change.kind, "")
        names = modules.setdefault(change.module, {}).setdefault(word, [])
        name = change_name(change.name, change.line)
        if name and name not in names:
            names.append(name)
    fresh, gone = _names(added), _names(deleted)
    parts = [f"new {name}" for name in fresh] + [f"removed {name}" for name in gone]
    parts += [
        _module_text(module, words) for module, words in modules.items() if module not in {*fresh, *gone}
    ]
    if len(parts) > _MODULES:
        number = len({*modules, *fresh, *gone})
        return f"{number} modules: " + "; ".join([*parts[:_MODULES], f"and {number - _MODULES} more"])
    return "; ".join(parts)


def change_word(kind: str) -> str:
    """Return how a kind of change is said before the name: `run again`, `new`; "changed" where a line has none."""
    return _WORDS.get(kind, "changed")


def change_name(name: str, line: int | None) -> str:
    """Return what changed as people know it: names that one statement binds with commas, a statement without by its line."""
    outer, dot, last = name.rpartition(".")
    if last.lower() in _NAMELESS:
        return f"{outer}{dot and ' '}line {line}" if line else f"{outer or 'its top level'}"
    return name.replace("=", ", ")


def seconds_text(seconds: float) -> str:
    """Return a duration as people say it: 38 ms, 1.2 s."""
    if seconds < 0.001:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


# Internals


def _module_text(module: str, words: Mapping[str, list[str]]) -> str:
    said = []
    for word, names in words.items():
        if names:
            shown = ", ".join(_first(names, _NAMES, "more"))
            said.append(f"{word} {shown}" if word else shown)
    return f"{module}: {', '.join(said)}" if said else module


def _names(modules: Iterable[Any]) -> list[str]:
    return [str(getattr(module, "name", module)) for module in modules]


def _first(items: Sequence[str], limit: int, what: str) -> list[str]:
    if len(items) <= limit:
        return list(items)
    return [*items[: limit - 1], f"{len(items) - limit + 1} {what}"]


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
