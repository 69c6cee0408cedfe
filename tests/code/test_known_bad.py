"""What a start in watch mode says of files that a release was taken back for."""

from __future__ import annotations

import pytest

from runtime.code.blobs import digest
from runtime.code.known_bad import known_bad
from runtime.code.release_log import ENDED, TOGETHER, ReleaseLog

GOOD = {"a/one.py": "x = 1\n", "a/two.py": "y = 1\n"}
BAD = {**GOOD, "a/two.py": "y = 1 / 0\n"}


@pytest.fixture
def log(tmp_path):
    log = ReleaseLog.open(tmp_path / "log")
    yield log
    log.close()


def add(log, kind, files, result="good", why="", base=None):
    return log.add(kind=kind, files=files, result=result, why=why, base=base.id if base is not None else "")


def said(log, files):
    return known_bad(log, {path: digest(text.encode()) for path, text in files.items()})


@pytest.mark.parametrize(
    ("result", "why"), [("bad", "3 crashes"), ("rolled_back", ENDED), ("rolled_back", f"{TOGETHER} it")]
)
def test_the_file_the_release_and_why(log, result, why):
    first = add(log, "boot", GOOD)
    bad = add(log, "watch", BAD, result, why, first)
    add(log, "rollback", GOOD, base=bad)
    text = said(log, BAD)
    assert f"takes a/two.py from the tree just as in release {bad}, which was not good: {why}" in text
    assert said(log, GOOD) == ""
    assert said(log, {**GOOD, "a/two.py": "y = 2\n"}) == ""
    assert said(log, {"a/two.py": BAD["a/two.py"], "a/three.py": "z = 1\n"}) != ""


def test_what_somebody_took_back_is_his_own_affair(log):
    add(log, "watch", BAD, "rolled_back", "asked by anna", add(log, "boot", GOOD))
    assert said(log, BAD) == ""


def test_what_ran_well_later_is_not_bad_but_a_start_alone_proves_nothing(log):
    first = add(log, "boot", GOOD)
    bad = add(log, "watch", BAD, "bad", "3 crashes", first)
    add(log, "boot", BAD, base=bad)
    assert said(log, BAD) != ""
    add(log, "push", BAD, base=bad)
    assert said(log, BAD) == ""


def test_of_several_the_newest_and_many_files_are_counted(log):
    many = {f"a/{n}.py": "1 / 0\n" for n in range(5)}
    first = add(log, "boot", GOOD)
    add(log, "watch", BAD, "bad", "old", first)
    add(log, "watch", {**BAD, **many}, "bad", "new", first)
    text = said(log, {**BAD, **many})
    assert ": new" in text
    assert "a/0.py, a/1.py, a/2.py and 3 more" in text


def test_a_base_that_is_not_kept_tells_nothing(log):
    add(log, "watch", BAD, "bad", "3 crashes")
    assert said(log, BAD) == ""
