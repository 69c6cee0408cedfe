"""The lines about a release that a developer reads."""

from __future__ import annotations

from collections import namedtuple

import pytest

from runtime.code.commit import Kept
from runtime.code.engine import Report
from runtime.code.errors import Refused, refused_syntax
from runtime.code.plan import Change
from runtime.code.report_text import changes_text, live_text, refused_text, rolled_back_text, seconds_text

pytestmark = pytest.mark.plain
Named = namedtuple("Named", "id kind by")
NEW, OLD = Named("7f3c2a91b04d", "watch", "watch"), Named("1bd2a09c8f7e", "boot", "node")


def report(changes=(), *, kept=(), warnings=(), migrated=0, added=(), deleted=(), total=0.0381):
    return Report(
        [], list(added), list(deleted), list(changes), list(kept), list(warnings), migrated, {"total": total}
    )


def test_what_changed_how_many_moved_and_how_long():
    changes = [
        Change("chat.users", "swap", "Users.find", 12),
        Change("chat.users", "member", "Users.add", 20),
        Change("chat.users", "swap", "Users.find", 30),
        Change("chat.users", "define", "Users.count", 40),
        Change("chat.frames", "execute", "TABLE", 3),
        Change("chat.frames", "delete", "old", None),
    ]
    assert live_text(NEW, report(changes, migrated=3)) == (
        "release 7f3c2a91b04d is live in 38 ms: chat.users: Users.find, Users.add, new Users.count; "
        "chat.frames: run again TABLE, removed old; 3 processes migrated"
    )
    assert live_text(NEW, report(migrated=12_345)).endswith("12,345 processes migrated")
    assert "1 process migrated" in live_text(NEW, report(migrated=1))


def test_who_pushed_it_is_said():
    pushed = Named("7f3c2a91b04d", "push", "anna (key anna), uid 0 (pid 7)")
    assert live_text(pushed, report()).startswith(
        "release 7f3c2a91b04d is live in 38 ms, pushed by anna (key anna), uid 0 (pid 7): "
    )


def test_new_and_removed_modules_and_only_comments():
    text = changes_text([Change("a", "import", "a"), Change("b", "delete", "b")], ["a"], ["b"])
    assert text == "new a; removed b"
    assert live_text(NEW, report()) == "release 7f3c2a91b04d is live in 38 ms: nothing that runs is different"


def test_names_are_those_that_a_reader_knows():
    """An import binds several names, a docstring or a call none: neither may show as the insides have it."""
    changes = [
        Change("chat.users", "execute", "call=self_=send_after", 3),
        Change("chat.users", "execute", "expr", 1),
        Change("chat.users", "execute", "Expr", 1),
        Change("chat.users", "member", "Users.for", 30),
        Change("chat.users", "member", "Users.delete", 31),
    ]
    text = "chat.users: run again call, self_, send_after, line 1, Users line 30, Users.delete"
    assert changes_text(changes) == text


def test_much_is_counted_and_not_listed():
    changes = [Change(f"m{n}", "swap", f"f{i}", i) for n in range(50) for i in range(9)]
    text = changes_text(changes)
    assert text.startswith("50 modules: m0: f0, f1, f2, f3, 5 more; m1: ")
    assert text.endswith("; and 46 more")
    assert len(text) < 200


def test_what_was_not_run_again_and_warnings_stand_below():
    kept = [Kept("chat.users", "CACHE", 7, "LIMIT changed")]
    assert live_text(NEW, report(kept=kept, warnings=["mind the gap"]), healed=True).splitlines() == [
        "mended: release 7f3c2a91b04d is live in 38 ms: nothing that runs is different",
        "not run again: chat.users.CACHE (line 7): LIMIT changed",
        "note: mind the gap",
    ]
    many = [Kept("m", f"N{n}", n, "x") for n in range(20)]
    assert live_text(NEW, report(kept=many)).splitlines()[-1] == "16 more notes"


def test_a_syntax_error_has_file_line_and_caret():
    source = "X = 1\ndef find(self, number:\n    pass\n"
    try:
        compile(source, "chat/users.py", "exec")
    except SyntaxError as error:
        refused = refused_syntax("chat.users", "chat/users.py", source, error)
    lines = refused_text(refused, OLD).splitlines()
    assert lines[0].startswith("not live: chat/users.py:2: SyntaxError: ")
    assert lines[1] == "    def find(self, number:"
    assert lines[2].strip("^ ") == ""
    assert lines[2].index("^") == lines[1].index("(")
    assert lines[3] == "nothing changed: release 1bd2a09c8f7e runs on"
    assert refused_text(Refused("no")) == "not live: no\nnothing changed"


def test_rolled_back():
    assert rolled_back_text(NEW, OLD, "3 crashes", report(migrated=2)) == (
        "release 7f3c2a91b04d was rolled back to 1bd2a09c8f7e in 38 ms; 2 processes migrated back: 3 crashes"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0.4 ms"), (0.038, "38 ms"), (0.9994, "999 ms"), (1.25, "1.2 s"), (61.0, "61.0 s")],
)
def test_durations(seconds, text):
    assert seconds_text(seconds) == text
