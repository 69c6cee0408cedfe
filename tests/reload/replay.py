"""Commits of this repository as live edits: the sources before and after each, out of git.

A commit's `runtime` and `apps` are loaded under other names (`older_runtime`, `older_apps`): the engine that is judged runs
from the `runtime` of today, in the same process.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePath
from typing import NamedTuple

from tests.reload.children import ROOT
from tests.reload.harness import Tree, modname

__all__ = ["Commit", "commits"]

TOPS = ("apps", "runtime")
# Not for importing: they run something, or belong to the tests.
NOT_LOADED = re.compile(r"(__main__|testing_plugin|conftest)$")


class Commit(NamedTuple):
    sha: str
    subject: str

    def trees(self) -> tuple[Tree, Tree]:
        """All sources before and after it."""
        return _tree(f"{self.sha}~1"), _tree(self.sha)

    def modules(self) -> list[str]:
        """The modules of all packages it touches."""
        folders = {str(PurePath(path).parent) for path in _touched(self.sha)}
        paths = {
            path for side in self.trees() for path in side if _former(str(PurePath(path).parent)) in folders
        }
        return [name for name in map(modname, sorted(paths)) if not NOT_LOADED.search(name)]


# ----------------------------------------------------------------------------------------------------------- API


def commits(most: int) -> list[Commit]:
    """The last commits that change Python code of the runtime or an application, newest first; [] without history."""
    lines = _git(
        "log", f"-{most}", "--no-merges", "--format=%H%x09%P%x09%s", "--", *(f"{top}/*.py" for top in TOPS)
    )
    found = []
    for line in lines.splitlines():
        sha, parent, subject = line.split("\t", 2)
        if parent:  # the first of all, and the edge of a shallow clone, have none
            found.append(Commit(sha, subject))
    return found


# ----------------------------------------------------------------------------------------------------- internals


def _git(*arguments: str) -> str:
    """What git says; nothing, if it cannot: there is no git, no repository, no such commit."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _touched(sha: str) -> list[str]:
    changed = _git("diff", "--name-only", f"{sha}~1", sha, "--", *TOPS)
    return [path for path in changed.splitlines() if path.endswith(".py")]


def _tree(sha: str) -> Tree:
    listed = _git("ls-tree", "-r", "--name-only", sha, "--", *TOPS).splitlines()
    paths = [path for path in listed if path.endswith(".py")]
    asked = "".join(f"{sha}:{path}\n" for path in paths)
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=ROOT, input=asked.encode(), capture_output=True, check=True
    )
    tree, at = {}, 0
    for path in paths:
        end = done.stdout.index(b"\n", at)
        size = int(done.stdout[at:end].split()[2])
        tree[_renamed(path)] = _renamed(done.stdout[end + 1 : end + 1 + size].decode())
        at = end + 2 + size
    return tree


def _renamed(text: str) -> str:
    return re.sub(rf"\b({'|'.join(TOPS)})\b", r"older_\1", text)


def _former(text: str) -> str:
    return text.replace("older_", "")
