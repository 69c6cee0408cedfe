"""The code server: releases one after the other, each in the log, each answered and told; and the way back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runtime import code, kernel
from runtime.code.jobs import CodeEvent
from runtime.code.release_log import ReleaseLog
from runtime.code.server import NAME
from runtime.kernel import (
    KILL,
    CallError,
    call,
    exit,
    is_alive,
    receive,
    receive_match,
    self_,
    send,
    spawn,
    spawn_link,
    unlink,
)
from runtime.otp.gen_server import GenServer, stop
from runtime.testing import settle, until
from tests.code.served import Place, serving
from tests.observe.observing import lines_of


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    yield place
    place.close()


def test_a_push_is_live_kept_and_said(place):
    module = place.load(m="def f(): return 1\n\ndef g(): return 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        booted = code.current()
        assert (booted.kind, booted.result, booted.number) == ("boot", "good", 1)
        release = code.push(
            place.sources(m="def f(): return 2\n\ndef g(): return 1\n"), by="anna", note="twice"
        )
        assert module.f() == 2
        assert code.current() == release
        assert (release.kind, release.by, release.note, release.result) == (
            "push",
            "anna",
            "twice",
            "probation",
        )
        assert release.base == booted.id
        assert code.releases() == [booted, release]
        assert "def f(): return 2" in code.diff(booted)[place.path("m")]
        assert code.which(f"{place.package}.m") == str(place.base / place.path("m"))
        assert code.is_loaded(f"{place.package}.m")
        assert not code.is_loaded("nobody")
        assert code.which("nobody") is None
    assert len(lines) == 1
    assert lines[0][0] == "INFO"
    assert f"release {release.id} is live in " in lines[0][1]
    assert f": {place.package}.m: f" in lines[0][1]


def test_a_refused_push_changes_nothing_says_where_and_is_kept(place):
    module = place.load(m="def f(): return 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(m="def f(:\n    return 2\n"), by="ben")
        assert refused.value.kind == "syntax"
        assert module.f() == 1
        kept = code.releases()[-1]
        assert (kept.result, kept.by) == ("refused", "ben")
        assert code.current().number == 1
        level, text = lines[0]
        assert level == "ERROR"
        assert text.startswith(f"not live (asked by ben): {place.path('m')}:1: SyntaxError")
        assert "    def f(:\n" in text
        assert "^" in text
        assert text.endswith(f"nothing changed: release {code.current().id} runs on")


def test_several_modules_are_one_release_or_none(place):
    a = place.load(b="Y = 1\n", a="X = 1\n")
    with serving(place):
        with pytest.raises(code.Refused):
            code.push(place.sources(b="Y = 2\n", a="X = 1 / 0\n"))
        assert sys.modules[f"{place.package}.b"].Y == 1
        release = code.push(place.sources(b="Y = 2\n", a="X = 2\n"))
        assert (a.X, sys.modules[f"{place.package}.b"].Y) == (2, 2)
        assert len(release.files) == 2


def test_what_is_no_change_is_no_release(place):
    place.load(m="X = 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        assert code.push(place.sources(m="X = 1\n")) == code.current()
        assert len(code.releases()) == 1
    assert lines == []


def test_a_push_for_another_base_is_refused(place):
    module = place.load(m="X = 1\n")
    with serving(place):
        base = code.current().id
        code.push(place.sources(m="X = 2\n"), base=base)
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(m="X = 3\n"), base=base)
        assert refused.value.kind == "base"
        assert module.X == 2


def test_a_plan_tells_and_changes_nothing(place):
    module = place.load(m="def f(): return 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        plan = code.plan(place.sources(m="def f(): return 2\n\ndef g(): pass\n"))
        assert {change.name for change in plan.changes} == {"f", "g"}
        assert module.f() == 1
        with pytest.raises(code.Refused):
            code.plan(place.sources(m="def f(:\n"))
        assert len(code.releases()) == 1
    assert lines == []


def test_a_module_that_nothing_imports_rests_in_the_release(place):
    """A tool or a client of the same tree must not be loaded into the node because its file changed."""
    place.load(m="X = 1\n")
    with serving(place):
        release = code.push(place.sources(tool="raise SystemExit\n"))
        assert place.path("tool") in release.files
        assert release.seconds["step"] >= 0
        assert f"{place.package}.tool" not in sys.modules
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(tool="def f(:\n"))
        assert refused.value.kind == "syntax"
        code.push(place.sources(m=f"from {place.package}.n import Y\nX = Y\n", n="Y = 5\n"))
        assert sys.modules[f"{place.package}.n"].Y == 5


def test_rolling_back_and_forth_with_states(place):
    """RELOAD: any release can be rolled back, states included; the newer code brings them down."""
    old = (
        "from runtime.otp.gen_server import GenServer\n__vsn__ = 1\n"
        "class Counter(GenServer):\n"
        "    def init(self): self.n = 1\n"
        "    def handle_call(self, request, sender): return self.n\n"
    )
    new = (
        "from runtime.otp.gen_server import GenServer\n__vsn__ = 2\n"
        "class Counter(GenServer):\n"
        "    def init(self): self.m = 100\n"
        "    def handle_call(self, request, sender): return self.m\n"
        "    def code_change(self, old, extra):\n"
        "        if isinstance(old, tuple): self.n = self.m // 100; del self.m\n"
        "        else: self.m = self.n * 100; del self.n\n"
    )
    module = place.load(m=old)
    counter = module.Counter.start_link()
    with serving(place), lines_of("evergreen.code") as lines:
        first = code.current()
        second = code.push(place.sources(m=new))
        assert second.migrated == 1
        assert call(counter, "n") == 100
        third = code.rollback(by="anna")
        assert (third.kind, third.id, third.base, third.migrated) == ("rollback", first.id, second.id, 1)
        assert call(counter, "n") == 1
        assert code.releases()[1].result == "rolled_back"
        assert code.status().probation is None
        with pytest.raises(code.Refused, match=r"\(#2\) was taken back: rolled back by anna") as refused:
            code.rollback(second.number)
        assert refused.value.kind == "bad"
        fourth = code.rollback(second.number, force=True)
        assert call(counter, "n") == 100
        assert fourth.result == "probation"  # as any push
        assert code.releases()[2].result == "good"  # nothing is held against what was left
        assert code.current() == fourth
        with pytest.raises(code.Refused) as refused:
            code.rollback("no such release")
        assert refused.value.kind == "base"
    stop(counter)
    assert "1 process migrated" in lines[0][1]
    assert f"release {second.id} was rolled back to {first.id} in " in lines[1][1]
    assert "asked by anna" in lines[1][1]


def test_the_old_text_pushed_again_brings_states_back(place):
    """What lowers every `__vsn__` is a way back, whoever sends it: an editor's undo, or a checkout of the commit before."""
    old = "from runtime.otp.gen_server import GenServer\n__vsn__ = 1\nclass Counter(GenServer):\n    def init(self): self.n = 1\n"
    old += "    def handle_call(self, request, sender): return self.n\n"
    new = (
        old.replace("= 1", "= 2", 1)
        .replace("return self.n", "return self.m")
        .replace("self.n = 1", "self.m = 100")
    )
    new += (
        "    def code_change(self, old, extra):\n"
        "        if old == ('down', 1): self.n = self.m // 100; del self.m\n"
        "        else: self.m = self.n * 100; del self.n\n"
    )
    counter = place.load(m=old).Counter.start_link()
    with serving(place):
        code.push(place.sources(m=new))
        assert call(counter, "n") == 100
        assert code.push(place.sources(m=old)).migrated == 1
        assert call(counter, "n") == 1
    stop(counter)


def test_nothing_to_go_back_to(place):
    place.load(m="X = 1\n")
    with serving(place), pytest.raises(code.Refused, match="no release before"):
        code.rollback()


def test_pushes_go_one_after_the_other_and_status_is_answered_meanwhile(place):
    module = place.load(m="__vsn__ = 1\nX = 0\n")
    place.load(
        s=(
            "from runtime.otp.gen_server import GenServer\n__vsn__ = 1\n"
            "class Slow(GenServer):\n"
            "    def handle_call(self, request, sender):\n"
            "        from runtime.kernel import receive\n"
            "        return receive()\n"
            "    def code_change(self, old, extra): pass\n"
        )
    )
    slow = sys.modules[f"{place.package}.s"].Slow.start_link()
    place.engine.quiesce = 30.0
    me = self_()
    with serving(place):
        asking = spawn(lambda: call(slow, "wait", timeout=None))
        settle()
        source = (place.base / place.path("s")).read_text()
        texts = [source.replace("__vsn__ = 1", "__vsn__ = 2"), "X = 1\n", "X = 2\n"]
        names = ["s", "m", "m"]
        for number, (name, text) in enumerate(zip(names, texts, strict=True)):
            changed = place.sources(**{name: text})
            spawn_link(lambda changed=changed, number=number: send(me, (number, code.push(changed).number)))
            settle()
        until(lambda: code.status().busy == "push")
        assert code.status().waiting == ("push", "push")
        assert module.X == 0
        send(slow, "go on")
        done = [receive_match(lambda m: isinstance(m, tuple)) for _ in range(3)]
        assert done == [(0, 2), (1, 3), (2, 4)]
        assert module.X == 2
        settle()
        assert asking is not None
    stop(slow)


def test_a_busy_process_refuses_the_push_by_name(place):
    place.load(
        m=(
            "from runtime.otp.gen_server import GenServer\n__vsn__ = 1\n"
            "class Slow(GenServer):\n"
            "    def handle_call(self, request, sender):\n"
            "        from runtime.kernel import receive\n"
            "        return receive()\n"
            "    def code_change(self, old, extra): pass\n"
        )
    )
    slow = sys.modules[f"{place.package}.m"].Slow.start_link(name="slow_one")
    with serving(place):
        spawn(lambda: call(slow, "wait", timeout=None))
        settle()
        source = (place.base / place.path("m")).read_text()
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(m=source.replace("__vsn__ = 1", "__vsn__ = 2")))
        assert refused.value.kind == "busy"
        send(slow, "go on")
        settle()
    stop(slow)


def test_the_check_aside_refuses_what_the_step_would_not_see(place):
    """A name that unchanged code imports is deleted: in place all seems well, a cold start fails."""
    place.load(a="X = 1\n", b="")
    place.load(c=f"from {place.package}.a import X\n")
    with serving(place, check=True):
        with pytest.raises(code.Refused) as refused:
            code.push(place.sources(a="Z = 1\n"))
        assert refused.value.kind == "import"
        assert sys.modules[f"{place.package}.a"].X == 1
        assert code.push(place.sources(a="Z = 1\n"), check=False).result == "probation"


def test_who_lingers_in_old_code_and_purging(place):
    """RELOAD: the node can list who still runs old code; nobody is killed unless asked."""
    module = place.load(m="from runtime.kernel import receive\n\ndef loop():\n    receive()\n")
    name = f"{place.package}.m"
    with serving(place):
        pid = spawn(lambda: module.loop())
        settle()
        assert code.lingering() == []
        assert code.soft_purge(name)
        code.push(
            place.sources(m="from runtime.kernel import receive\n\ndef loop():\n    return receive()\n")
        )
        (one,) = code.lingering(name)
        assert (one.who, one.function, one.line) == (pid, "loop", 4)
        assert isinstance(one, code.Lingering)
        assert not code.soft_purge(name)
        assert is_alive(pid)
        assert code.purge(name) == 1
        assert not is_alive(pid)
        assert code.lingering() == []


def test_what_can_be_asked_about_modules(place):
    """code_SUITE is_loaded, which, purge, soft_purge: of a module that is there, not loaded, changed, unknown."""
    place.write(resting="Y = 1\n")
    place.load(m="X = 1\n")
    with serving(place):
        loaded, resting = f"{place.package}.m", f"{place.package}.resting"
        assert code.which(loaded) == str(place.base / place.path("m"))
        code.push(place.sources(resting="Y = 2\n"))
        assert (code.which(resting), code.is_loaded(resting)) == (
            str(place.base / place.path("resting")),
            False,
        )
        assert (code.which("os"), code.is_loaded("os")) == (None, False), "not managed"
        for name in (loaded, resting, "nobody"):
            assert (code.soft_purge(name), code.purge(name), code.lingering(name)) == (True, 0, [])
        assert [one.number for one in code.releases()] == [1, 2], "oldest first"
        with pytest.raises(code.Refused, match="no release"):
            code.rollback("ffff")
        with pytest.raises(LookupError):
            code.diff("ffff")
        for which in (1, code.releases()[1], code.releases()[0].id):
            assert code.rollback(which, force=True).kind == "rollback"
            assert code.current() == code.releases()[-1]


def test_outside_of_a_node_there_is_no_code_server():
    for ask in (
        lambda: code.push({}),
        code.rollback,
        code.releases,
        code.lingering,
        lambda: code.which("m"),
        lambda: code.is_loaded("m"),
        lambda: code.soft_purge("m"),
        lambda: code.purge("m"),
        code.status,
        code.confirm,
    ):
        with pytest.raises(CallError) as refused:
            ask()
        assert refused.value.reason == kernel.NOPROC


def test_what_rests_is_not_checked_by_running_it(place):
    place.load(m="X = 1\n")
    with serving(place, check=True):
        release = code.push(place.sources(tool="raise SystemExit\n", m="X = 2\n"))
        assert place.path("tool") in release.files


def test_progress_is_told_step_by_step(place):
    place.load(m="X = 1\n")
    stages = []
    with serving(place):
        code.push(place.sources(m="X = 2\n"), progress=lambda stage, **facts: stages.append(stage))
        assert stages == ["plan", "apply", "live"]


def test_subscribers_hear_of_everything_until_they_end(place):
    place.load(m="X = 1\n")
    with serving(place) as server:
        code.subscribe()
        code.subscribe()
        other = spawn_link(lambda: (code.subscribe(), receive()))
        settle()
        assert len(server.behaviour.subscribers) == 2
        release = code.push(place.sources(m="X = 2\n"))
        with pytest.raises(code.Refused):
            code.push(place.sources(m="X = (\n"))
        back = code.rollback()
        events = [receive() for _ in range(3)]
        assert [type(event) for event in events] == [CodeEvent] * 3
        assert [event.kind for event in events] == ["live", "refused", "rolled_back"]
        assert (events[0].release, events[2].release) == (release, back)
        code.unsubscribe()
        code.push(place.sources(m="X = 3\n"))
        settle()
        assert len(server.behaviour.subscribers) == 0
        assert other is not None


def test_a_fault_in_the_worker_is_told_and_the_next_push_works(place):
    module = place.load(m="X = 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        with pytest.raises(code.Refused, match="ended with"):
            code.push({place.path("m"): 12345})
        code.push(place.sources(m="X = 2\n"))
        assert module.X == 2
    assert lines[0][0] == "ERROR"


def test_a_release_that_the_log_cannot_keep_is_taken_back(place, monkeypatch):
    module = place.load(m="X = 1\n")
    with serving(place):

        def full(**_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(place.log, "add", full)
        with pytest.raises(code.Refused, match="release log cannot be written"):
            code.push(place.sources(m="X = 2\n"))
        assert module.X == 1
        monkeypatch.undo()
        code.push(place.sources(m="X = 2\n"))
        assert module.X == 2


def test_what_only_rested_is_not_imported_when_a_release_is_taken_back(place, monkeypatch):
    """The log is full: files that nothing here imports must not be loaded by the way back."""
    module = place.load(m="X = 1\n")
    place.write(tool="raise SystemExit('not in a node')\n")
    place.engine.install(place.sources(m="X = 1\n", tool="raise SystemExit('not in a node')\n"))
    with serving(place):

        def full(**_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(place.log, "add", full)
        with pytest.raises(code.Refused, match="taken back: .*No space"):
            code.push(
                place.sources(
                    m="X = 2\nfrom . import fresh\n", fresh="F = 1\n", tool="raise SystemExit('new')\n"
                )
            )
        monkeypatch.undo()
        assert module.X == 1
        assert sorted(place.engine.modules) == [f"{place.package}.m"]
        assert place.engine.importer.release == place.sources(
            m="X = 1\n", tool="raise SystemExit('not in a node')\n"
        )


def test_going_back_needs_no_room_on_the_disk(place, monkeypatch):
    module = place.load(m="X = 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        booted = code.current()
        bad = code.push(place.sources(m="X = 2\n"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        code.rollback()
        assert module.X == 1
        monkeypatch.undo()
        assert [(one.id, one.result) for one in code.releases()] == [
            (booted.id, "good"), (bad.id, "rolled_back"), (booted.id, "good"),
        ]  # fmt: skip
        assert code.current() == code.releases()[-1]
        assert any("cannot be written" in text for level, text in lines if level == "ERROR")
        code.push(place.sources(m="X = 3\n"))
    assert module.X == 3


def test_what_a_tree_may_still_have_of_what_was_replaced(place):
    """Watch mode must not take it up again by itself; a saved file is the tree's own."""
    place.load(m="X = 1\n", n="Y = 1\n")
    m, n = place.path("m"), place.path("n")
    with serving(place):
        code.push({m: "X = 2\n"}, kind="watch")
        assert place.releaser.replaced == {}
        saved = code.current().files[m]
        code.rollback()
        assert place.releaser.replaced == {m: saved}
        before = code.current().files[n]
        code.push({n: "Y = 2\n"})
        assert place.releaser.replaced == {m: saved, n: before}
        code.push({m: "X = 3\n"}, kind="watch")
        assert place.releaser.replaced == {n: before}


def test_a_save_of_what_was_taken_back_is_live_with_a_warning(place):
    """Who saves is at the keyboard: he is not refused, as a push is, but told."""
    module = place.load(m="X = 1\n")
    with serving(place), lines_of("evergreen.code") as lines:
        code.push(place.sources(m="X = 2\n"), kind="watch")
        code.rollback(why="too slow")
        bad = code.releases()[1]
        assert (bad.result, bad.why) == ("rolled_back", "too slow")
        again = code.push(place.sources(m="X = 2\n"), kind="watch")
        assert (module.X, again.id, again.result) == (2, bad.id, "probation")
        warnings = [text for level, text in lines if level == "WARNING"]
        assert warnings == [f"what is saved now is release {bad} again, which was taken back: too slow"]
        code.push(place.sources(m="X = 3\n"), kind="watch")
        assert len([level for level, _ in lines if level == "WARNING"]) == 1


def test_going_back_twice_goes_two_releases_back(place):
    module = place.load(m="X = 1\n")
    with serving(place):
        for n in (2, 3, 4):
            code.push(place.sources(m=f"X = {n}\n"))
            code.confirm()
        seen = []
        for _ in range(3):
            code.rollback()
            seen.append(module.X)
        assert seen == [3, 2, 1]
        with pytest.raises(code.Refused, match="there is no release before"):
            code.rollback()
        code.push(place.sources(m="X = 2\n"))
        code.rollback()
        assert module.X == 1


def test_where_nobody_can_go_back_to(place):
    module = place.load(m="X = 1\n")
    with serving(place):
        with pytest.raises(code.Refused):
            code.push(place.sources(m="X = 1 / 0\n"))
        with pytest.raises(code.Refused, match="never ran: it was refused") as refused:
            code.rollback("#2")
        assert refused.value.kind == "base"
        with pytest.raises(code.Refused, match="is what runs already"):
            code.rollback("#1")
        assert [one.number for one in code.releases()] == [1, 2]
        assert module.X == 1


def test_a_damaged_release_is_refused_with_what_to_do(place):
    module = place.load(m="X = 1\n")
    with serving(place):
        code.push(place.sources(m="X = 2\n"))
        blob = place.log._blobs.path(code.releases()[0].files[place.path("m")])
        blob.write_text("X = 7\n")
        with pytest.raises(
            code.Refused, match=r"(?s)cannot be read from the release log.*is damaged.*another one"
        ):
            code.rollback()
        assert module.X == 2


def test_an_application_of_the_node_cannot_be_deleted(place):
    place.load(m="X = 1\n", app="A = 1\n")
    place.releaser.entries = (f"{place.package}.app",)
    with serving(place):
        with pytest.raises(code.Refused, match="could not start from this release") as refused:
            code.push({place.path("app"): None})
        assert refused.value.kind == "deleted"
        assert code.is_loaded(f"{place.package}.app")


@pytest.mark.parametrize("victim", ["worker", "server"])
def test_killed_between_the_step_and_the_log(place, monkeypatch, victim):
    """What runs without a name gets one, and a probation; and it can be taken back."""
    module = place.load(m="X = 1\n")
    with serving(place) as server:
        booted = code.current()

        def keep(*_, **__):
            if victim == "server":
                unlink(server)
                exit(server, KILL)
            exit(kernel.self_(), KILL)

        monkeypatch.setattr(place.releaser, "_keep", keep)
        unlink(server)
        pushing = spawn(lambda: code.push(place.sources(m="X = 2\n")))
        until(lambda: not is_alive(pushing))
        monkeypatch.undo()
        assert module.X == 2
        if victim == "worker":
            until(lambda: code.status().probation is not None)
            _found_and_taken_back(place, module, booted)
    if victim == "server":
        place.releaser.begin = lambda: None
        with serving(place):
            _found_and_taken_back(place, module, booted)


def _found_and_taken_back(place, module, booted):
    release = code.current()
    assert (release.base, release.result, release.by) == (booted.id, "probation", "node")
    assert "interrupted" in release.note
    assert place.log.sources(release) == place.sources(m="X = 2\n")
    assert code.status().probation["back_to"] == booted.id
    code.rollback()
    assert (module.X, code.current().id) == (1, booted.id)


def test_a_server_that_is_killed_leaves_nothing_behind_and_another_goes_on(place):
    module = place.load(m="X = 1\n")
    with serving(place) as server:
        release = code.push(place.sources(m="X = 2\n"))
        unlink(server)
        exit(server, KILL)
        settle()
        with pytest.raises(CallError):
            code.status()
    with serving(place):
        assert code.current().id == release.id
        code.push(place.sources(m="X = 3\n"))
    assert module.X == 3


def test_a_server_that_is_killed_within_a_probation_forgets_none_of_its_releases(place):
    place.load(m="X = 1\n")
    with serving(place) as server:
        booted = code.current()
        for n in (2, 3):
            code.push(place.sources(m=f"X = {n}\n"))
        unlink(server)
        exit(server, KILL)
        settle()
    place.releaser.begin = lambda: None
    with serving(place):
        assert code.status().probation["back_to"] == booted.id
        code.confirm()
        assert [one.result for one in code.releases()] == ["good", "good", "good"]


def test_the_first_start_of_a_node_needs_no_room_on_the_disk(place, monkeypatch):
    """Live code goes on without its log, and says so; a push then says what is missing."""
    module = place.load(m="X = 1\n")
    place.releaser.from_log = True

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with serving(place):
        assert code.current().kind == "boot"
        assert place.engine.importer.release == place.sources(m="X = 1\n")
        with pytest.raises(code.Refused, match="(?s)No space.*make room on the disk"):
            code.push(place.sources(m="X = 2\n"))
        monkeypatch.undo()
        code.push(place.sources(m="X = 3\n"))
    assert module.X == 3


def test_a_server_that_is_killed_in_the_middle_of_a_push_takes_it_along(place):
    """The process that the push waited for, and those that waited with it, go on."""
    text = (
        "from runtime.otp.gen_server import GenServer\n__vsn__ = 1\n"
        "class Slow(GenServer):\n"
        "    def handle_call(self, request, sender):\n"
        "        from runtime.kernel import receive\n"
        "        return receive() if request == 'wait' else request\n"
        "    def code_change(self, old, extra): pass\n"
    )
    module = place.load(m=text)
    slow, other = module.Slow.start_link(), module.Slow.start_link()
    place.engine.quiesce = 30.0
    with serving(place) as server:
        asking = spawn(lambda: call(slow, "wait", timeout=None))
        settle()
        changed = place.sources(m=text.replace("__vsn__ = 1", "__vsn__ = 2"))
        pushing = spawn(lambda: code.push(changed))
        until(lambda: code.status().busy == "push")
        worker = server.behaviour.work.pid
        unlink(server)
        exit(server, KILL)
        settle()
        assert not any(map(is_alive, (server, worker, pushing)))
        assert call(other, "hello") == "hello"
        send(slow, "go on")
        until(lambda: not is_alive(asking))
        assert place.engine.modules[f"{place.package}.m"].source == text
    stop(slow)
    stop(other)


def test_releases_outlive_the_program(place, tmp_path):
    place.load(m="X = 1\n")
    with serving(place):
        code.push(place.sources(m="X = 2\n"))
        code.confirm()
    place.log.close()
    again = ReleaseLog.open(tmp_path / "log")
    assert [one.result for one in again.releases()] == ["good", "good"]
    assert again.boot_sources() == {place.path("m"): "X = 2\n"}
    place.log = again


def test_importing_the_runtime_does_not_load_the_engine():
    import subprocess

    script = "import sys, runtime, runtime.code; print(sorted(m for m in sys.modules if m.startswith('runtime.code.')))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_name_is_the_function_even_when_the_room_of_that_name_is_loaded():
    from runtime.code.plan import Plan

    assert callable(code.plan)
    assert Plan.__module__ == "runtime.code.plan"
    assert NAME == "code_server"
    assert issubclass(GenServer, object)
