"""How `tools/push` speaks: one line for each stage, tables for lists, differences in colour; or a line of JSON for each."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from runtime.code.release_log import diff_texts
from runtime.code.report_text import change_name, change_word

__all__ = ["Report"]

_WIDE = 10
_SHOWN = 12

# Types


class Report:
    """Where the command's words go. With `as_json`, every `data` is one line of JSON and everything else is silent."""

    def __init__(self, as_json: bool, out: TextIO | None = None) -> None:
        self.as_json = as_json
        self.out = out or sys.stdout
        self.colours = self.out.isatty() and not os.environ.get("NO_COLOR")

    def data(self, kind: str, value: Any) -> None:
        """For programs: {kind: value}."""
        if self.as_json:
            self.print(json.dumps({kind: value}, default=str, sort_keys=True))

    def line(self, stage: str, text: str, colour: str = "") -> None:
        """For people: a stage and what is to be said of it."""
        if not self.as_json:
            head, *rest = text.split("\n")
            self.print(f"{self._paint(stage.ljust(_WIDE), colour or '1')} {head}".rstrip())
            for more in rest:
                self.print(f"{'':{_WIDE}} {more}".rstrip())

    def fail(self, kind: str, text: str, more: Mapping[str, Any]) -> None:
        """Why it did not go: the sentence, and the difference if that is the reason."""
        if self.as_json:
            self.data("error", {"kind": kind, "text": text, **more})
            return
        self.complain(f"{self._paint('refused'.ljust(_WIDE), '31;1')} {text}")
        for path, how in list(more.get("changed", {}).items())[:_SHOWN]:
            self.line(f"  {how}", path)
        for text_ in more.get("diff", {}).values():
            self.patch(text_)

    def patch(self, text: str) -> None:
        """A unified difference."""
        if self.as_json:
            return
        colours = {"+": "32", "-": "31", "@": "36"}
        for line in text.splitlines():
            bold = line.startswith(("+++", "---"))
            self.print(self._paint(line, "1" if bold else colours.get(line[:1], "")))

    def difference(
        self, old: Mapping[str, str | None], new: Mapping[str, str | None], full: bool = False
    ) -> None:
        """The files that differ, with how many lines came and went; `full`: and the lines themselves."""
        rows = []
        for path in sorted({*old, *new}):
            before, after = old.get(path), new.get(path)
            text = diff_texts(path, before, after, "running", "tree")
            how = "added" if before is None else "deleted" if after is None else "changed"
            counts = Counter(line[0] for line in text.splitlines()[2:] if line[:1] in ("+", "-"))
            rows.append((how, path, counts["+"], counts["-"], text))
        width = max((len(path) for _, path, *_ in rows), default=0)
        for how, path, came, went, text in rows:
            self.line(how, f"{path:{width}}  +{came} -{went}", "33")
            if full:
                self.patch(text)
        self.data(
            "difference",
            [{"path": path, "how": how, "added": a, "removed": r} for how, path, a, r, _ in rows],
        )

    def event(self, event: Mapping[str, Any]) -> None:
        """A stage that the node has come to."""
        self.data("event", event)
        facts = {key: value for key, value in event.items() if key != "stage"}
        stage = str(event.get("stage"))
        if stage == "live":
            return  # the release itself comes next, and says more
        self.line(stage, _EVENTS[stage](facts) if stage in _EVENTS else _plain(facts))

    def plan(self, plan: Mapping[str, Any]) -> None:
        """What a release would change, by module; which processes change their state's form."""
        self.data("plan", plan)
        changes = plan.get("changes", ())
        for module in [*plan.get("modules", ()), *plan.get("added", ()), *plan.get("deleted", ())]:
            own = [(kind, name, line) for of, kind, name, line in changes if of == module]
            self.line("  module", module)
            for kind, name, line in own[: 5 * _SHOWN]:
                shown = change_name(name, line)
                where = f"  line {line}" if line and not shown.endswith(f"line {line}") else ""
                self.line("", f"  {change_word(kind):9} {shown}{where}")
        for module, (old, new) in plan.get("vsn_changes", {}).items():
            number = plan.get("migrates", {}).get(module)
            many = "its processes" if number is None else f"{number} process{'es' * (number != 1)}"
            self.line("  migrates", f"{many} of {module}: __vsn__ {old!r} to {new!r}")
        if plan.get("warning"):
            self.line("  warning", f"{plan['warning']}\na push needs --force", "31;1")
        for path in plan.get("resting", ()):
            self.line("  stored", f"{path} (nothing here has imported it)")

    def live(self, release: Mapping[str, Any]) -> None:
        """A release runs: how long it took, and whose state was brought into another form."""
        self.data("release", release)
        migrated = release["migrated"]
        took = release["seconds"].get("total")
        text = f"release {release['id']} (#{release['number']})" + (f" in {_seconds(took)}" if took else "")
        if migrated:
            text += f", {migrated} process{'es' * (migrated != 1)} migrated"
        self.line("live", text + (", on probation" if release["result"] == "probation" else ""), "32;1")
        self._notes(release)

    def release(self, release: Mapping[str, Any]) -> None:
        """What became of a release."""
        self.data("release", release)
        result = str(release["result"])
        colour = {"good": "32;1", "bad": "31;1", "refused": "31;1"}.get(result, "33;1")
        text = f"release {release['id']} (#{release['number']})"
        self.line(_word(result), text + (f": {release['why']}" if release["why"] else ""), colour)

    def nothing_on_probation(self, release: Mapping[str, Any]) -> None:
        """A confirmation that there was no need for. Why the release is what it is, is older news, and not said."""
        self.data("release", release)
        running = f"release {release['id']} (#{release['number']}) is {_word(release['result'])}"
        self.line("nothing", f"nothing is on probation: {running}")

    def releases(self, releases: Iterable[Mapping[str, Any]]) -> None:
        """A table, newest last; `*`: the one that runs."""
        rows = list(releases)
        self.data("releases", rows)
        if not rows:
            self.line("none", "this node has no releases yet")
        for row in rows:
            said = "; ".join(text.splitlines()[0] for text in (row["note"], row["why"]) if text)
            text = (
                f"{row['id']}  {_when(row['time'])}  {row['kind']:8} {_word(row['result']):11} "
                f"{row['by']}" + (f"  {said}" if said else "")
            )
            self.line(f"#{row['number']}{' *' if row.get('is_current') else ''}", text)

    def show(self, release: Mapping[str, Any]) -> None:
        """One release at length."""
        self.data("release", release)
        for name in ("id", "number", "base", "kind", "result", "why", "by", "note", "migrated"):
            if release[name] not in ("", None):
                self.line(name, _word(release[name]) if name == "result" else str(release[name]))
        self._notes(release)
        if release.get("probation"):
            self.line("probation", _probation(release["probation"]))
        self.line("time", _when(release["time"]))
        if release["seconds"]:
            self.line(
                "took", ", ".join(f"{name} {_seconds(value)}" for name, value in release["seconds"].items())
            )
        self.line(
            "files", f"{len(release['files'])}, of which {len(release['changed'])} differ from its base"
        )
        for path, how in release["changed"].items():
            self.line(f"  {how}", path)
        for one in release["operations"]:
            self.line(
                "operation", f"{_when(one['time'])}  {one['operation']}: {one['verdict']}  ({one['who']})"
            )

    def complain(self, text: str) -> None:
        """A line on standard error."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def print(self, text: str) -> None:
        """One line out, at once: a pipe shall see progress too."""
        self.out.write(text + "\n")
        self.out.flush()

    def _notes(self, release: Mapping[str, Any]) -> None:
        for note in release.get("notes", ()):
            first, *more = note.split("\n")
            self.line("", first)
            for text in more:
                self.line("", f"  {text}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and colour else text


# Internals


def _word(result: str) -> str:
    """What became of a release, as people write it."""
    return result.replace("_", " ")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"


def _plain(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_fact(value)}" for name, value in facts.items())


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return _seconds(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_fact(inner)}" for name, inner in value.items())
    return str(value)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _checked(facts: Mapping[str, Any]) -> str:
    files = facts.get("files", 0)
    return f"{_many(files, 'file')}, signed by the key {facts.get('key')}"


def _planned(facts: Mapping[str, Any]) -> str:
    files = facts.get("files", 0)
    return f"what {_many(files, 'file')} change{'s' * (files == 1)}"


def _probation(facts: Mapping[str, Any]) -> str:
    watched = facts.get("watched", {})
    if not watched:  # it has just ended, and what became of the release is told next
        return "its time is up"
    counts = [
        f"{name} {_count(name, row['now'])} of {_count(name, row['limit'])}"
        for name, row in watched.items()
        if row["limit"]
    ]
    left, back = facts.get("left", 0.0), facts.get("back_to", "")
    lasts = [f"the last {name}: {row['last']}" for name, row in watched.items() if row.get("last")]
    return "\n".join([f"{left:.0f} s left; else back to {back}: " + ", ".join(counts), *lasts])


def _count(name: str, value: float) -> str:
    if name == "busy":  # a share
        return f"{value:.0%}"
    return _seconds(value) if isinstance(value, float) else str(value)


_EVENTS = {
    "checked": _checked,
    "waiting": lambda facts: f"for its turn, behind a {', a '.join(facts.get('behind', ()))}",
    "plan": _planned,
    "check": lambda facts: f"{_many(facts.get('modules', 0), 'module')} aside, in a child process",
    "apply": lambda facts: f"one step for {_fact(facts.get('modules', ()))}",
    "probation": _probation,
}
