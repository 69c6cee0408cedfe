"""Random programs, randomly edited: the live change must equal a cold start, there and back.

A failure prints the smallest change found, as the differences of its sources. One seed alone:
`python -m tests.reload.test_random_edits SEED...`.
"""

from __future__ import annotations

import difflib
import itertools
import sys

import pytest

from tests.reload import generator
from tests.reload.children import ChildDied, Nursery

pytestmark = pytest.mark.plain

BATCH = 25
ORDINARY = 200
SOAK = 2000


def tried(nursery: Nursery, seed: int, edits: list[int] | None = None) -> list[str]:
    try:
        return nursery.run("tests.reload.there_and_back:check", *generator.versions(seed, edits))
    except ChildDied as death:
        return [str(death)]


def smallest(nursery: Nursery, seed: int) -> tuple[list[int], list[str]]:
    """The edits that are still needed for it to fail, and what fails then."""
    edits = list(range(generator.edit_count(seed)))
    problems = tried(nursery, seed, edits)
    for number in list(edits):
        fewer = [one for one in edits if one != number]
        if fewer and (found := tried(nursery, seed, fewer)):
            edits, problems = fewer, found
    return edits, problems


def story(nursery: Nursery, seed: int) -> str:
    edits, problems = smallest(nursery, seed)
    versions = generator.versions(seed, edits)
    lines = [f"seed {seed}, edits {edits}:", *problems[:12]]
    for n, (before, after) in enumerate(itertools.pairwise(versions)):
        for path in before:
            old, new = before[path].splitlines(), after[path].splitlines()
            lines += difflib.unified_diff(old, new, f"{n}/{path}", f"{n + 1}/{path}", "", "", 8, "")
    return "\n".join(lines)


def judge(nursery: Nursery, seeds: range) -> None:
    failed = [seed for seed in seeds if tried(nursery, seed)]
    assert not failed, f"{len(failed)} of {len(seeds)}: {failed}\n\n" + "\n\n".join(
        story(nursery, seed) for seed in failed[:3]
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, ORDINARY, BATCH))
def test_live_change_equals_cold_start(nursery, start):
    judge(nursery, range(start, start + BATCH))


@pytest.mark.soak
@pytest.mark.parametrize("start", range(ORDINARY, ORDINARY + SOAK, 10 * BATCH))
def test_live_change_equals_cold_start_many(nursery, start):
    judge(nursery, range(start, start + 10 * BATCH))


@pytest.mark.slow
def test_programs_are_of_many_kinds():
    """The generator is worth something: its versions differ, and all its kinds of items and edits come up."""
    programs = [generator.versions(seed) for seed in range(100)]
    assert all(before != after for versions in programs for before, after in itertools.pairwise(versions))
    text = "".join(source for versions in programs for source in versions[-1].values())
    wanted = (
        "@functools.cache", "@register", "class C", "@dataclasses.dataclass(", "enum.Flag", "lambda", "import *", " as ",
        "super()", "yield", "async def", "@property", "if False:", "re.compile", "functools.wraps", '"""Does', "# A remark",
        "enum.StrEnum", "enum.IntFlag", "(msgspec.Struct)", " | None' = None", "@contextlib.contextmanager",
        "@functools.singledispatch", "def __get__", "def __call__",
    )  # fmt: skip
    assert [want for want in wanted if want not in text] == []


if __name__ == "__main__":
    with Nursery() as warm:
        for one in map(int, sys.argv[1:]):
            print(story(warm, one) if tried(warm, one) else f"seed {one}: as a cold start")
