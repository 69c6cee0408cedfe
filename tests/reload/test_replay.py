"""The last commits of this repository, replayed on a living process: up and down, each compared with a cold start."""

from __future__ import annotations

import re

import pytest

from tests.reload import replay

pytestmark = pytest.mark.plain

# A commit on which this is tried is chosen once: what lands later must not turn an older test red. By subject, since
# that stays when history is written anew.
CHOSEN = {
    "Exchange instances of a Struct that gains a field wherever they are held",
    "Test upgrades of a node under load; let settings be added while their object lives",
    "Run self-checks aside or in the step, not twice; check a release against its own files",
    "Import in the order of a cold start; give a name back what it meant before a decorator",
    "Turn what rooms below raise into answers in one place",
    "Let supervisors of changed code take their new flags and specs after the step",
    "Give the source of a syntax error",
    "Keep expected refusals of a thread out of standard error",
    "Say where names of the page from Erlang come from, how tasks are linked, and that runtime.node is a module",
    "Check a release of push mode against its own files alone",
}
HISTORY = replay.commits(100)
ORDINARY = [commit for commit in replay.commits(1000) if commit.subject in CHOSEN]
# Places where the live program may differ, each with its row in NOT_COVERED.md.
KNOWN = {
    "what is computed from a class as a whole": r"GenStateMachine\._reserved",
    "a code object taken out of a function": r"\._[A-Z]+(/\d+)*\.(lines|code)",
}
# Commits that are refused with a reason, so that nothing changes: the layout of living named tuples (a row there).
REFUSED = {
    "Show no secret of the settings anywhere": r"up to 1: refused: .* the layout of its instances changes"
}
HALF = "half a commit: "


if not HISTORY:
    pytest.skip("no history: a shallow clone, or no repository", allow_module_level=True)


def is_known(problem: str) -> bool:
    path = problem.split(": ")[1]
    return any(re.search(f"{pattern}$", path) for pattern in KNOWN.values())


def named(commit: replay.Commit) -> str:
    return f"{commit.sha[:8]}"


def replayed(nursery, commit):
    before, after = commit.trees()
    problems = nursery.run(
        "tests.reload.there_and_back:check_program", before, after, commit.modules(), limit=110
    )
    if len(problems) == 1 and problems[0].startswith(HALF):
        pytest.skip("its own program does not start")
    if commit.subject in REFUSED:
        assert len(problems) == 1
        assert re.match(REFUSED[commit.subject], problems[0])
        return
    problems = [problem for problem in problems if not is_known(problem)]
    assert not problems, f"{commit.subject}: {len(problems)} differences\n" + "\n".join(problems[:20])


@pytest.mark.slow
@pytest.mark.parametrize("commit", ORDINARY, ids=named)
def test_commit(nursery, commit):
    replayed(nursery, commit)


@pytest.mark.soak
@pytest.mark.parametrize("commit", HISTORY, ids=named)
def test_each_commit(nursery, commit):
    replayed(nursery, commit)
