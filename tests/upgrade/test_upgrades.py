"""A real node, people who never stop writing, and releases going up and down: nobody notices.

In every test: one connection each for all of it; each message accepted, delivered and reported exactly once.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.admin.client import OperationFailed
from tests.support.node import ROOT, number
from tests.upgrade.counted import Counted
from tests.upgrade.edits_of_chat import (
    BROKEN,
    EDITS,
    crashing,
    crowd_2,
    echoing_labels,
    handing_over_times,
    hogging,
    protocol_2,
    users_2,
)
from tests.upgrade.site import Site, replaced

pytestmark = [pytest.mark.plain, pytest.mark.slow]
CROWD = 10_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as found:
        yield found


def errors(site: Site) -> list[str]:
    """Lines of the node's log that no good release may cause."""
    return [line for line in site.log() if " error " in line or " critical " in line or "Traceback" in line]


def test_a_module_of_every_kind_up_and_back(site: Site, tmp_path: Path) -> None:
    first = site.running()["id"]
    with Counted(site, tmp_path) as people:
        for edit in EDITS:
            release = people.during(site.push, edit.make(site.texts, edit.name))
            assert release["result"] == "good"
            assert site.running()["id"] == release["id"] != first
            if edit.is_hot:
                assert site.passed(edit.name) > 0, edit.name
            if edit.name == "gateways":
                phone = number(90)
                site.node.register(tmp_path / "guest", phone)
                assert any(f"PIN for {phone}: " in line and "(for " in line for line in site.node.lines)
            assert people.during(site.rollback)["id"] == first
            passed = site.passed(edit.name)
            people.load(20)
            assert site.passed(edit.name) == passed, f"{edit.name}: old code still runs in the new place"
        assert site.releases == 2 * len(EDITS)
        people.settle()
    assert errors(site) == []


def test_the_states_of_ten_thousand_processes_change_their_form_and_back(site: Site, tmp_path: Path) -> None:
    """Each of them is told something again and again meanwhile: none of that is lost either."""
    with Counted(site, tmp_path) as people:
        assert people.during(lambda: site.ask("gather", count=CROWD)) == CROWD
        for _ in range(2):
            up = people.during(site.push, crowd_2(site.texts))
            assert up["migrated"] == CROWD
            down = people.during(site.rollback)
            assert down["migrated"] == CROWD
        people.during(site.push, crowd_2(site.texts))
        found = people.during(lambda: site.ask("crowd"))
        assert found["forms"] == {"kind,last,total": CROWD}
        assert found["told"] == found["total"] > 0
        assert site.passed("disorder") == 0
        people.settle()
    assert errors(site) == []


def test_user_processes_and_connections_change_their_form_and_back(site: Site, tmp_path: Path) -> None:
    with Counted(site, tmp_path) as people:
        for _ in range(2):
            up = people.during(site.push, users_2(site.texts))
            assert up["migrated"] == 2 * len(people.clients)
            assert site.passed("users 2") > 0
            assert site.passed("session 2") > 0
            assert people.during(site.rollback)["migrated"] == 2 * len(people.clients)
        people.settle()
    assert errors(site) == []


class NewClient:
    """The client of the new protocol in a program of its own: see new_client.py."""

    def __init__(self, site: Site, directory: Path) -> None:
        tree = directory / "new"
        for path, text in {**site.texts, **protocol_2(site.texts)}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text or "")
        site.node.register(directory / "newcomer", number(99))
        self.lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "upgrade" / "new_client.py"), str(directory / "newcomer"),
             "127.0.0.1", str(site.node.port), str(site.node.ca)],
            env={**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self) -> NewClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def saw(self, name: str, meaning: bool, times: int = 5) -> bool:
        """Tell whether the last frames carry something (or nothing) in a new field. For `Counted.until`."""
        assert self.process.stdout is not None
        assert self.process.poll() is None
        while line := self.process.stdout.readline():
            self.lines.append(json.loads(line))
        last = [bool(row[name]) for row in self.lines if name in row][-times:]
        return last == [meaning] * times

    def account(self) -> dict[str, Any]:
        """Let it finish; return what it counted."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), True)
        out, _ = self.process.communicate("\n", timeout=40)
        assert self.process.returncode == 0
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


def test_the_protocol_grows_and_shrinks(site: Site, tmp_path: Path) -> None:
    """A new optional field of what the server sends: old clients see nothing of it, new ones do."""
    with Counted(site, tmp_path) as people, NewClient(site, tmp_path) as new:
        people.until(lambda: new.saw("handed", False) and new.saw("accepted", False))
        for _ in range(2):
            people.during(site.push, handing_over_times(site.texts))
            people.until(lambda: new.saw("handed", True) and new.saw("accepted", False))
            people.during(site.rollback)
            people.until(lambda: new.saw("handed", False) and new.saw("accepted", False))
        exactly_once(new.account())
        people.settle()
    assert errors(site) == []


def test_a_frame_that_is_kept_until_it_is_answered_grows_and_shrinks(site: Site, tmp_path: Path) -> None:
    """A new optional field from the client, and back in the answer. Sends are under way at each moment, in tables of the
    sessions, in mailboxes, in batches on their way to the disk: they live on.
    """
    with Counted(site, tmp_path) as people, NewClient(site, tmp_path) as new:
        for make, handed in ((echoing_labels, False), (protocol_2, True), (echoing_labels, False)):
            people.during(site.push, make(site.texts))
            people.until(lambda: new.saw("accepted", True) and new.saw("handed", handed))
            people.during(site.rollback)
            people.until(lambda: new.saw("accepted", False) and new.saw("handed", False))
        exactly_once(new.account())
        people.settle()
    assert errors(site) == []


def exactly_once(account: dict[str, Any]) -> None:
    """What the new client has counted is as it must be."""
    assert account["connections"] == 1
    assert account["sent"] > 0
    for what in ("accepted", "delivered", "receipts"):
        assert account[what] == [1] * account["sent"], what


@pytest.mark.parametrize("check", ["true", "false"])
def test_a_broken_release_of_every_kind_changes_nothing(tmp_path: Path, check: str) -> None:
    """Looked at aside, or found out in the step and undone."""
    with Site(tmp_path, f"code.check={check}", "code.quiesce=0.5") as site, Counted(site, tmp_path) as people:
        people.during(lambda: site.ask("gather", count=100))
        people.during(site.push, EDITS[0].make(site.texts, "before"))
        before = site.ask("status")
        for name, broken in BROKEN.items():
            refused = people.during(site.refusal, broken.make({**site.texts, **running(site)}))
            assert refused.kind in {broken.kind, "error" if check == "false" else broken.kind}, (
                name,
                refused,
            )
            assert broken.says in str(refused), (name, refused)
            now = site.ask("status")
            assert (now["running"], now["files"]) == (before["running"], before["files"]), name
            passed = site.passed("before")
            people.load(20)
            assert site.passed("before") > passed, name
        site.ask("hold", seconds=60.0)
        refused = people.during(site.refusal, crowd_2(site.texts))
        assert refused.kind == "busy"
        assert "application.py" in str(refused) or "crowd" in str(refused)
        site.ask("let_go")
        assert people.during(site.push, crowd_2(site.texts))["migrated"] == 99
        people.settle()
        assert len([one for one in site.ask("releases") if one["result"] == "refused"]) == len(BROKEN) + 1


def running(site: Site) -> dict[str, str]:
    """The texts of the release that runs."""
    found: dict[str, str] = site.ask("texts", release=f"#{site.running()['number']}", paths=[*site.texts])
    return found


@pytest.mark.parametrize(
    ("release", "what"), [(crashing, r"\d crashes in changed code"), (hogging, "held the node|loop_lag")]
)
def test_a_bad_release_rolls_itself_back(tmp_path: Path, release: object, what: str) -> None:
    """The user processes that crash are followed by others, which ask for what was under way."""
    assert callable(release)
    with Site(tmp_path, "code.probation=60") as site, Counted(site, tmp_path) as people:
        first = site.running()["id"]
        bad = people.during(site.push, release(site.texts))
        people.until(lambda: site.running()["id"] == first, 20.0)
        found = site.ask("show", release=f"#{bad['number']}")
        assert found["result"] == "bad"
        assert re.search(what, found["why"])
        people.load(100)
        people.settle(receipts_once=False, attempts=5)


def test_a_rename_that_breaks_an_unchanged_caller_rolls_itself_back(tmp_path: Path) -> None:
    """Every frame that comes in is an AttributeError in the session's file, which the release does not touch."""
    path = "apps/chat/native/dialogue.py"
    with Site(tmp_path, "code.probation=60") as site, Counted(site, tmp_path) as people:
        first = site.running()["id"]
        renamed = replaced(site.texts[path], "    def receive(self,", "    def receive_frames(self,")
        bad = site.push({path: renamed})
        people.until(lambda: site.running()["id"] == first, 20.0)
        found = site.ask("show", release=f"#{bad['number']}")
        assert found["result"] == "bad"
        assert "code that uses what was changed, of a new kind" in found["why"]
        people.load(100)  # all have come back, and write
        people.quiesce()


def test_a_release_whose_child_crashes_whenever_it_is_started(tmp_path: Path) -> None:
    """Its supervisor, the top of an application, would end the node within milliseconds: it waits for the way back."""
    limits = "code.probation=60", "code.max_crashes=0", "code.max_restarts=0", "code.max_errors=0"
    with Site(tmp_path, *limits) as site, Counted(site, tmp_path) as people:
        people.during(lambda: site.ask("gather", count=10))
        first = site.running()["id"]
        path = "apps/probe/application.py"
        text = replaced(
            site.texts[path], "self.told = self.turns = 0\n", "raise RuntimeError('cannot start')\n"
        )
        text = replaced(
            text,
            "        if not self.members:\n",
            "        if True:\n            raise RuntimeError('cannot go on')\n        if not self.members:\n",
        )
        bad = people.during(site.push, {path: text})
        people.until(lambda: site.running()["id"] == first, 20.0)
        assert (
            "supervisor out of restarts over changed code"
            in site.ask("show", release=f"#{bad['number']}")["why"]
        )
        assert (
            people.during(lambda: site.ask("gather", count=10)) == 20
        )  # of the supervisor's other child none has ended
        people.settle()


def test_back_by_command_over_several_releases(site: Site, tmp_path: Path) -> None:
    """One after the other, and then back over all of them at once; forward again by naming it."""
    first = site.running()
    with Counted(site, tmp_path) as people:
        people.during(lambda: site.ask("gather", count=1_000))
        releases = []
        texts = dict(site.texts)
        for make in (crowd_2, users_2, handing_over_times):
            changed = {path: text or "" for path, text in make(texts).items()}
            releases.append(people.during(site.push, changed))
            texts |= changed
        command = [
            sys.executable,
            "-m",
            "runtime.admin.push_command",
            "--socket",
            str(site.node.directory / "admin.sock"),
        ]
        said = people.during(
            lambda: subprocess.run(
                [*command, "--rollback", first["id"]], cwd=site.directory, env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True, text=True, timeout=60, check=False,
            )
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        assert site.running()["id"] == first["id"]
        forth = people.during(site.rollback, releases[-1]["id"])
        assert forth["id"] == releases[-1]["id"]
        assert forth["migrated"] == 1_000 + 2 * len(people.clients)
        with pytest.raises(OperationFailed):
            site.rollback("no such release")
        found = people.during(lambda: site.ask("crowd"))
        assert found["forms"] == {"kind,last,total": 1_000}
        assert found["told"] == found["total"]
        people.settle()
    assert errors(site) == []
