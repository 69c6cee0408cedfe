"""Looking at a tree: by content, whatever the time stamps say."""

from __future__ import annotations

import hashlib
import os

import pytest

from runtime.code.look import Tree, is_source
from runtime.code.roots import Roots

pytestmark = pytest.mark.plain


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "apps").mkdir()
    return Tree(Roots(tmp_path, ["apps"]))


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_two_writes_within_a_tick_of_the_clock_are_two_contents(tree, tmp_path):
    """Same size, same time stamps: a file that was written just now is read again."""
    file = tmp_path / "apps/a.py"
    file.write_text("X = 00\n")
    tree.look((), {})
    for number in range(10, 100):
        file.write_text(f"X = {number}\n")
        assert tree.look((), {}).changed == {"apps/a.py"}


def test_an_old_time_stamp_hides_nothing(tree, tmp_path):
    file = tmp_path / "apps/a.py"
    file.write_text("X = 1\n")
    os.utime(file, ns=(10**18, 10**18))
    tree.look((), {})
    file.write_text("X = 2\n")
    os.utime(file, ns=(10**18, 10**18))
    look = tree.look((), {"apps/a.py": sha("X = 1\n")})
    assert look.changed == {"apps/a.py"}
    assert look.batch == {"apps/a.py": "X = 2\n"}


def test_line_ends_and_a_byte_order_mark_are_no_difference(tree, tmp_path):
    """What would run is the same text; the import system reads it so, too."""
    (tmp_path / "apps/a.py").write_bytes(b"\xef\xbb\xbfX = 1\r\nY = 2\r\n")
    assert tree.look((), {"apps/a.py": sha("X = 1\nY = 2\n")}).batch == {}


def test_what_is_doubtful(tree, tmp_path):
    running = {f"apps/{name}.py": sha("X = 1\n") for name in ("empty", "broken", "gone", "late", "good")}
    for name, text in {"empty": "", "broken": "def f(:\n", "late": "return 1\n", "good": "X = 2\n"}.items():
        (tmp_path / f"apps/{name}.py").write_text(text)
    look = tree.look((), running)
    assert look.doubtful == {"apps/empty.py", "apps/broken.py", "apps/gone.py", "apps/late.py"}
    assert look.batch["apps/gone.py"] is None
    assert look.batch["apps/good.py"] == "X = 2\n"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.py", True), ("__init__.py", True), ("a.pyc", False), (".a.py", False), (".#a.py", False), ("#a.py#", False),
        ("a.py~", False), ("a.bak.py", False), ("a-b.py", False), (".a.py.swp", False), ("4913", False), ("a", False),
        ("a.py___jb_tmp___", False),
    ],
)  # fmt: skip
def test_names_that_can_be_modules(name, wanted):
    assert is_source(name) is wanted


def test_a_pipe_is_no_source_and_is_not_waited_for(tree, tmp_path):
    os.mkfifo(tmp_path / "apps/pipe.py")
    assert tree.look((), {}).changed == frozenset()
    assert list(tree.roots.files()) == []
