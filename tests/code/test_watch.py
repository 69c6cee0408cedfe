"""Watch mode: real files, the system's own events; what is pushed is what must go live, once, and never half of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.watch import WatchConfig
from runtime.kernel import exit, is_alive, unlink
from runtime.testing import settle, until
from tests.code.watched import Node, rest, sha, watching
from tests.observe.observing import lines_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    node.load("apps/a.py", "X = 1\n")
    node.load("apps/b.py", "Y = 1\n")
    return node


def test_a_saved_file_is_pushed(node):
    with watching(node):
        node.write("apps/a.py", "X = 2\n")
        node.live("apps/a.py", "X = 2\n")
    assert node.batches == [{"apps/a.py": "X = 2\n"}]


def test_what_was_edited_while_the_node_started_is_pushed(node):
    node.write("apps/a.py", "X = 3\n")
    with watching(node):
        node.live("apps/a.py", "X = 3\n")


def test_modules_of_applications_that_are_not_watched_are_told_once(node, tmp_path, monkeypatch):
    """The base's other modules, and an application installed elsewhere; not its modules in the roots, nor the runtime's."""
    node.write("beside/__init__.py", "")
    node.write("beside/supervision.py", "X = 1\n")
    node.write(".venv/lib/site-packages/installed_here.py", "X = 1\n")
    other = tmp_path.parent / f"{tmp_path.name}_other"
    (other / "outer").mkdir(parents=True)
    (other / "outer" / "start.py").write_text("X = 1\n")
    for path in (tmp_path, tmp_path / ".venv/lib/site-packages", other):
        monkeypatch.syspath_prepend(path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "apps"]:
        monkeypatch.delitem(sys.modules, name)  # those of this project, which other tests have loaded
    names = ["beside", "beside.supervision", "installed_here", "outer", "outer.start"]
    for name in names:
        importlib.import_module(name)
    try:
        with lines_of("evergreen.code") as lines:
            for _ in range(2):
                with watching(node, applications=["outer.start", "apps.a", "runtime.node"]) as watcher:
                    rest(watcher)
        said = (
            "not live: beside, beside.supervision, outer.start: outside of code.roots (apps), so a change there takes a "
            "restart; add the folder to code.roots to have it live"
        )
        assert lines == 2 * [("WARNING", said)]
    finally:
        for name in names:
            del sys.modules[name]


def test_save_by_rename_of_a_temporary_file(node):
    """Editors that write beside the file and rename: no event names the file but the rename's."""
    with watching(node) as watcher:
        for number, temporary in enumerate([".a.py.swp", "a.py~", "4913", ".a.py.tmp.123", "#a.py#"]):
            text = f"X = 'renamed {number}'\n"
            node.write(f"apps/{temporary}", text)
            rest(watcher)
            (node.base / "apps" / temporary).replace(node.base / "apps/a.py")
            node.live("apps/a.py", text)
        node.write("elsewhere.txt", "X = 'from outside'\n")
        (node.base / "elsewhere.txt").replace(node.base / "apps/a.py")
        node.live("apps/a.py", "X = 'from outside'\n")
    assert len(node.batches) == 6


def test_save_as_vim_does_moves_the_old_file_away_first(node):
    with watching(node):
        (node.base / "apps/a.py").rename(node.base / "apps/a.py~")
        node.write("apps/a.py", "X = 'vim'\n")
        (node.base / "apps/a.py~").unlink()
        node.live("apps/a.py", "X = 'vim'\n")
    assert node.batches == [{"apps/a.py": "X = 'vim'\n"}]


def test_touching_a_file_and_swap_files_push_nothing(node):
    with watching(node) as watcher:
        os.utime(node.base / "apps/a.py")
        node.write("apps/a.py", "X = 1\n")
        node.write("apps/.a.py.swp", "nonsense (")
        node.write("apps/.#a.py", "nonsense (")
        node.write("apps/a.bak.py", "nonsense (")
        node.write("apps/__pycache__/a.py", "nonsense (")
        node.write("apps/.idea/a.py", "nonsense (")
        rest(watcher)
        node.write("apps/a.py", "X = 4\n")
        node.live("apps/a.py", "X = 4\n")
    assert node.batches == [{"apps/a.py": "X = 4\n"}]


def test_a_file_that_is_written_in_parts_goes_live_as_a_whole(node):
    """Catalogue E09: truncated, then written in two parts, of which the first compiles."""
    new = "def f(): return 2\n\ndef g(): return 2\n"
    with watching(node), (node.base / "apps/a.py").open("w") as file:
        kernel.blocking(time.sleep, 0.08)
        file.write(new[:19])
        file.flush()
        kernel.blocking(
            time.sleep, 0.08
        )  # longer than the quiet time: what is there compiles, but is not closed
        file.write(new[19:])
        file.flush()
        file.close()
        node.live("apps/a.py", new)
    assert node.batches == [{"apps/a.py": new}]


def test_a_file_that_was_emptied_is_waited_for(node):
    """Truncated, closed, written a little later by another open."""
    with watching(node):
        node.write("apps/a.py", "")
        kernel.blocking(time.sleep, 0.1)
        assert node.batches == []
        node.write("apps/a.py", "X = 5\n")
        node.live("apps/a.py", "X = 5\n")
    assert node.batches == [{"apps/a.py": "X = 5\n"}]


def test_a_broken_save_holds_everything_back_then_is_pushed_once_and_healed(node):
    """The next good save takes all live that waited; nothing is tried twice in between."""
    broken = "def f(:\n"
    with watching(node) as watcher:
        node.refuse = Refused("SyntaxError: invalid syntax", kind="syntax", path="apps/a.py", line=1)
        node.write("apps/a.py", broken)
        node.write("apps/b.py", "Y = 2\n")
        until(lambda: node.batches)
        node.write("apps/a.py", broken)
        node.write("apps/b.py", "Y = 2\n")
        rest(watcher)
        assert node.batches == [{"apps/a.py": broken, "apps/b.py": "Y = 2\n"}]
        node.refuse = None
        node.write("apps/a.py", "def f(): pass\n")
        node.live("apps/b.py", "Y = 2\n")
    assert node.batches[1:] == [{"apps/a.py": "def f(): pass\n", "apps/b.py": "Y = 2\n"}]


def test_a_broken_save_that_is_taken_back_frees_the_others(node):
    with watching(node):
        node.refuse = Refused("no", kind="syntax")
        node.write("apps/a.py", "def f(:\n")
        node.write("apps/b.py", "Y = 2\n")
        until(lambda: node.batches)
        node.refuse = None
        node.write("apps/a.py", "X = 1\n")
        node.live("apps/b.py", "Y = 2\n")
    assert node.batches[1:] == [{"apps/b.py": "Y = 2\n"}]


def test_a_release_that_was_rolled_back_is_not_pushed_again_until_something_changes(node):
    with watching(node) as watcher:
        node.write("apps/a.py", "X = 'bad'\n")
        node.live("apps/a.py", "X = 'bad'\n")
        node.texts["apps/a.py"] = "X = 1\n"  # rolled back
        node.write("apps/a.py", "X = 'bad'\n")
        node.write("apps/unrelated.py", "Z = 1\n")
        rest(watcher)
        assert len(node.batches) == 1
        node.write("apps/a.py", "X = 'good'\n")
        node.live("apps/a.py", "X = 'good'\n")


def test_a_push_from_elsewhere_is_not_taken_back_by_saving_the_same_again(node):
    """What runs differs from the tree on purpose; only a change of the tree starts a release."""
    with watching(node) as watcher:
        node.texts["apps/a.py"] = "X = 'pushed by somebody'\n"
        node.write("apps/a.py", "X = 1\n")
        rest(watcher)
        assert node.batches == []
        node.write("apps/b.py", "Y = 2\n")
        node.live("apps/b.py", "Y = 2\n")
    assert node.batches == [{"apps/a.py": "X = 1\n", "apps/b.py": "Y = 2\n"}]


def test_what_was_rolled_back_does_not_come_along_with_another_file(node):
    with watching(node) as watcher, lines_of("evergreen.code") as lines:
        node.write("apps/a.py", "X = 'bad'\n")
        node.live("apps/a.py", "X = 'bad'\n")
        node.texts["apps/a.py"] = "X = 1\n"  # rolled back
        node.replaced["apps/a.py"] = sha("X = 'bad'\n")
        node.write("apps/b.py", "Y = 2\n")
        node.live("apps/b.py", "Y = 2\n")
        rest(watcher)
        node.write("apps/b.py", "Y = 3\n")
        node.live("apps/b.py", "Y = 3\n")
        rest(watcher)
        assert node.texts["apps/a.py"] == "X = 1\n"
        assert [text for _, text in lines if "apps/a.py" in text] == [
            "not live: apps/a.py: what it has was rolled back or replaced by a push; it goes live when it changes"
        ]
        node.write("apps/a.py", "X = 'good'\n")
        node.live("apps/a.py", "X = 'good'\n")
    assert len(node.batches) == 4


def test_a_deletion_that_was_rolled_back_is_held_too(node):
    with watching(node) as watcher:
        (node.base / "apps/b.py").unlink()
        until(lambda: node.batches)
        node.texts["apps/b.py"] = "Y = 1\n"  # rolled back
        node.replaced["apps/b.py"] = None
        node.write("apps/a.py", "X = 2\n")
        node.live("apps/a.py", "X = 2\n")
        rest(watcher)
    assert node.batches[1:] == [{"apps/a.py": "X = 2\n"}]


def test_a_root_that_is_away_does_not_end_all_that_runs(node):
    """Renamed for a moment, or not mounted yet: longer than a single file would be waited for."""
    with watching(node, WatchConfig(quiet=0.02, hold=0.05, look_every=0.05)) as watcher:
        (node.base / "apps").rename(node.base / "away")
        until(lambda: node.complaints)
        assert "a folder of live code is not there" in node.complaints[0]
        (node.base / "away").rename(node.base / "apps")
        node.write("apps/a.py", "X = 2\n")
        node.live("apps/a.py", "X = 2\n")
        rest(watcher)
    assert node.batches == [{"apps/a.py": "X = 2\n"}]
    assert len(node.complaints) == 1


def test_the_same_mistake_again_is_reported_again(node):
    with watching(node) as watcher:
        for count in (1, 2):
            node.refuse = Refused("no", kind="syntax")
            node.write("apps/a.py", "def f(:\n")
            until(lambda count=count: len(node.batches) == 2 * count - 1)
            node.refuse = None
            node.write("apps/a.py", "X = 1\n")
            until(lambda count=count: len(node.batches) == 2 * count)
            rest(watcher)
    assert node.batches == [{"apps/a.py": "def f(:\n"}, {}] * 2  # an empty one: what runs is there again


def test_a_busy_process_lets_the_push_be_tried_again(node):
    with watching(node):
        node.refuse = Refused("is busy", kind="busy")
        node.write("apps/a.py", "X = 2\n")
        until(lambda: len(node.batches) == 2)
        node.refuse = None
        node.live("apps/a.py", "X = 2\n")


def test_a_checkout_is_one_release(node):
    """Catalogue E11: fifty files removed and written one after the other."""
    for number in range(50):
        node.load(f"apps/many/m{number:02}.py", "V = 1\n")
    with watching(node):
        for number in range(50):
            path = f"apps/many/m{number:02}.py"
            (node.base / path).unlink()
            kernel.blocking(time.sleep, 0.002)
            node.write(path, "V = 2\n")
        node.live("apps/many/m49.py", "V = 2\n")
    assert [len(batch) for batch in node.batches] == [50]


def test_git_is_waited_for(node):
    """As long as git holds its lock, the tree is on the way from one state to another."""

    def git(*words):
        kernel.blocking(
            lambda: subprocess.run(
                ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *words],
                cwd=node.base, check=True, capture_output=True,
            )
        )  # fmt: skip

    git("init", "-q")
    git("add", "apps")
    git("commit", "-qm", "one")
    with watching(node) as watcher:
        lock = node.base / ".git/index.lock"
        lock.touch()
        node.write("apps/a.py", "X = 2\n")
        kernel.blocking(time.sleep, 0.15)
        assert node.batches == []
        node.write("apps/b.py", "Y = 2\n")
        lock.unlink()
        node.live("apps/b.py", "Y = 2\n")
        assert len(node.batches) == 1
        git("checkout", "-q", "--", "apps")
        node.live("apps/a.py", "X = 1\n")
        rest(watcher)
    assert node.batches[1:] == [{"apps/a.py": "X = 1\n", "apps/b.py": "Y = 1\n"}]


def test_a_lock_that_git_left_behind_is_not_waited_for_for_ever(node):
    (node.base / ".git").mkdir()
    with watching(node, WatchConfig(quiet=0.03, hold=0.1, git_wait=0.2)):
        (node.base / ".git/index.lock").touch()
        node.write("apps/a.py", "X = 2\n")
        node.live("apps/a.py", "X = 2\n")


def test_a_linked_working_tree_has_its_lock_elsewhere(node, tmp_path):
    folder = tmp_path / "main/.git/worktrees/w"
    folder.mkdir(parents=True)
    (node.base / ".git").write_text("gitdir: main/.git/worktrees/w\n")
    with watching(node):
        (folder / "index.lock").touch()
        node.write("apps/a.py", "X = 2\n")
        kernel.blocking(time.sleep, 0.15)
        assert node.batches == []
        (folder / "index.lock").unlink()
        node.live("apps/a.py", "X = 2\n")


def test_someone_who_never_stops_writing_is_not_waited_for_for_ever(node):
    with watching(node, WatchConfig(quiet=0.2, max_wait=0.4, hold=0.1)):
        node.write("apps/a.py", "X = 2\n")
        end = time.monotonic() + 10
        while not node.batches and time.monotonic() < end:
            node.write("apps/noise.py", f"N = {time.monotonic()}\n")
            kernel.blocking(time.sleep, 0.02)
    assert node.batches == [{"apps/a.py": "X = 2\n"}]


def test_new_files_go_along_with_what_imports_them(node):
    """And only then: a saved test or tool would be loaded into the node otherwise."""
    with watching(node) as watcher:
        node.write("apps/tool.py", "raise SystemExit\n")
        node.write("apps/new/__init__.py", "")
        node.write("apps/new/inner.py", "from ..deep import W\nfrom apps.new import other as o\n")
        node.write("apps/new/other.py", "O = 1\n")
        node.write("apps/new/later.py", "L = 1\n")
        node.write("apps/deep.py", "W = 1\n")
        rest(watcher)
        assert node.batches == []
        text = "from apps.new.inner import W\n\ndef f():\n    import apps.new.later\n"
        node.write("apps/a.py", text)
        node.live("apps/a.py", text)
    assert sorted(node.batches[0]) == [
        "apps/a.py", "apps/deep.py", "apps/new/__init__.py", "apps/new/inner.py", "apps/new/other.py",
    ]  # fmt: skip


def test_a_removed_file_is_a_deletion_once_it_stays_away(node):
    with watching(node):
        (node.base / "apps/b.py").unlink()
        until(lambda: node.batches)
    assert node.batches == [{"apps/b.py": None}]


def test_a_folder_that_appears_later_and_one_that_is_replaced(tmp_path):
    node = Node(tmp_path, ("apps", "more"))
    node.load("apps/a.py", "X = 1\n")
    with watching(node, WatchConfig(quiet=0.02, hold=0.05, look_every=0.05)) as watcher:
        node.write("more/m.py", "M = 1\n")
        node.texts["more/m.py"] = "M = 0\n"
        node.live("more/m.py", "M = 1\n")
        until(lambda: "more" in watcher.behaviour.hints._watches)
        node.write("more/m.py", "M = 2\n")
        node.live("more/m.py", "M = 2\n")
        (node.base / "apps").rename(node.base / "old")
        node.write("apps/a.py", "X = 'another folder'\n")
        node.live("apps/a.py", "X = 'another folder'\n")
        until(lambda: (node.base / "apps").stat().st_ino == watcher.behaviour.hints._watches["apps"][1])
        node.write("apps/a.py", "X = 'and its events'\n")
        node.live("apps/a.py", "X = 'and its events'\n")
        node.write("apps/in/side.py", "S = 1\n")
        node.write("apps/a.py", "import apps.in_side\n")
        node.live("apps/a.py", "import apps.in_side\n")


@pytest.mark.plain
@pytest.mark.parametrize("story", ["no_events", "no_look"])
def test_short_of_descriptors(story, tmp_path):
    """In a program of its own: where no file can be opened, the test runner would fall too."""
    command = [sys.executable, "-m", "tests.code.short_of_descriptors", story, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "as it should be\n", done


def test_changes_without_events_are_noticed_and_polled_for(node):
    """A network file system: watched without an error, and silent."""
    with lines_of("evergreen.code") as lines, watching(node, WatchConfig(quiet=0.02, look_every=0.05)) as it:
        until(lambda: it.behaviour.hints._watches)
        watch, _ = it.behaviour.hints._watches["apps"]
        kernel.blocking(it.behaviour.hints._observer.unschedule, watch)
        node.write("apps/a.py", "X = 2\n")
        node.live("apps/a.py", "X = 2\n")
        until(lambda: lines)
        node.write("apps/a.py", "X = 3\n")
        node.live("apps/a.py", "X = 3\n")
    assert [line for _, line in lines] == [
        "no event told of a change of apps/a.py; the files are looked at every 0.5 s instead"
    ]


def test_a_file_that_is_no_text_is_complained_about_once(node):
    with watching(node) as watcher:
        (node.base / "apps/a.py").write_bytes(b"X = '\xff'\n")
        until(lambda: node.complaints)
        (node.base / "apps/a.py").write_bytes(b"X = '\xff'\n")
        rest(watcher)
        assert node.complaints == [
            "apps/a.py is no text (invalid or missing encoding declaration): save it as UTF-8"
        ]
        assert node.batches == []
        node.write("apps/a.py", "X = 'ok'\n")
        node.live("apps/a.py", "X = 'ok'\n")


def test_a_watcher_that_is_killed_leaves_no_thread_and_no_timer(node):
    with watching(node) as watcher:
        unlink(watcher)
        exit(watcher, "kill")
        settle()
        assert not is_alive(watcher)
    until(lambda: not [t for t in threading.enumerate() if type(t).__module__.startswith("watchdog")])
