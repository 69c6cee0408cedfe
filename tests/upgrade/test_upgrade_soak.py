"""A thousand releases on one node: `tools/test -m soak`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.upgrade.counted import Counted
from tests.upgrade.edits_of_chat import BROKEN, EDITS, crowd_2, echoing_labels, handing_over_times, users_2
from tests.upgrade.site import Site
from tests.upgrade.test_upgrades import errors

pytestmark = [pytest.mark.plain, pytest.mark.soak]

RELEASES = 1_000
CROWD = 1_000
WARM = 200
"""Releases after which the node has seen everything: from then on it must not grow."""


def test_a_thousand_releases(tmp_path: Path) -> None:
    """Edits, migrations, changes of the protocol, broken ones; up, on top of each other, and back. Nobody notices, and the
    node holds no more at the end than after the first two hundred.
    """
    rng = random.Random(7)
    makers = [edit.make for edit in EDITS]
    makers += [
        lambda tree, _, make=make: make(tree)
        for make in (crowd_2, users_2, echoing_labels, handing_over_times)
    ]  # type: ignore[misc]
    with Site(tmp_path, "code.check_limit=30", "code.keep=100") as site, Counted(site, tmp_path) as people:
        people.during(lambda: site.ask("gather", count=CROWD))
        held, refused, migrated = 0, 0, 0
        while site.releases < RELEASES:
            if site.releases >= WARM and not held:
                held = site.ask("objects")
            if rng.random() < 0.1:
                name, broken = rng.choice([*BROKEN.items()])
                found = people.during(site.refusal, broken.make(site.texts), messages=5)
                assert found.kind == broken.kind, (name, found)
                refused += 1
            texts = site.texts
            first = site.running()["id"]
            for make in rng.sample(makers, rng.choice((1, 1, 2))):
                try:
                    changed = {path: text or "" for path, text in make(texts, "soak").items()}
                except AssertionError:
                    continue  # it changes what the one before has changed
                migrated += people.during(site.push, changed, messages=5)["migrated"]
                texts = {**texts, **changed}
            people.during(site.rollback, first, messages=5)
            if site.releases % 100 < 3:
                people.settle()
        migrated += people.during(site.push, crowd_2(site.texts))["migrated"]
        found = people.during(lambda: site.ask("crowd"))
        assert found["forms"] == {"kind,last,total": CROWD}
        assert found["told"] == found["total"]
        assert site.passed("disorder") == 0
        people.settle()
        now = site.ask("objects")
        print(
            f"{site.releases} releases, {refused} refused, {migrated} states, {people.accepted} messages, {held} -> {now} objects"
        )
        assert now < held * 1.1
    assert [line for line in errors(site) if "not live" not in line and "Traceback" not in line] == []
