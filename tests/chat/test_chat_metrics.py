"""The chat's own metrics: what /metrics of a real node says after people have talked, after live code, after a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from apps.chat.client.events import State
from apps.chat.domain.counters import Counters
from apps.chat.metrics import _counted
from apps.chat.native.frames import Refused
from runtime.admin.client import Client
from runtime.admin.shell_client import ShellLink
from tests.admin.http_client import Web
from tests.support.node import ROOT, Node, close_client, number, until
from tests.upgrade.site import Site

Samples = dict[str, float]
DOC = ROOT / "docs" / "metrics.md"
ANNA, BOB, NOBODY = number(1), number(2), number(3)


def test_latencies_go_into_buckets_that_double() -> None:
    made = Counters()
    made.has_delivered([1000, 999, 998, 997, 0], 1000)
    assert made.waits[:3] == [1, 1, 2]  # under 1 ms, under 2, under 4
    assert made.waits[10] == 1
    assert sum(made.waits) == made.delivered == 5
    assert made.waited_ms == 0 + 1 + 2 + 3 + 1000
    made.has_delivered([1005], 1000)  # the clock was set back
    assert (sum(made.waits), made.delivered, made.waited_ms) == (6, 6, 1006)
    made.has_delivered([0], 2**62)
    assert made.waits[63] == 1


def scrape(node: Node) -> Samples:
    """All of the chat's samples, as Prometheus reads them."""
    answer = Web(node.ready["http_port"], node.directory).ask("/metrics")
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        if family.name.startswith("chat_"):
            for sample in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape_until(node: Node, condition: Callable[[Samples], bool]) -> Samples:
    end = time.monotonic() + 20
    while not condition(found := scrape(node)):
        assert time.monotonic() < end, found
    return found


def run(shell: ShellLink, code: str) -> None:
    answer = shell.evaluate(code, on_event=lambda event: None)
    assert answer["kind"] != "error", answer


def talk(node: Node, tmp_path: Path, count: int) -> None:
    """Anna and Bob register, Bob gets `count` messages and reads them, Anna writes to nobody once."""
    node.register(tmp_path / "anna", ANNA)
    node.register(tmp_path / "bob", BOB)
    anna, bob = node.client(tmp_path / "anna"), node.client(tmp_path / "bob")
    try:
        until(anna, lambda: anna.is_ready)
        until(bob, lambda: bob.is_ready)
        for n in range(count):
            anna.send(BOB, f"message {n}")
        anna.send(NOBODY, "hello?")
        refused: list[object] = []
        seen: list[object] = []
        while not refused:
            seen += [item.event for item in anna.step(0.1)]
            refused = [event for event in seen if isinstance(event, Refused)]
        got: list[object] = []
        end = time.monotonic() + 20
        while len(got) < count:
            assert time.monotonic() < end
            got += [item.entry for item in bob.step(0.1) if item.entry is not None]
        bob.read(got)  # type: ignore[arg-type]
        scrape_until(node, lambda now: (bob.step(0.05), now["chat_messages_read_total"] == count)[1])
        assert bob.session.state is State.READY
        assert scrape(node)["chat_connected_devices"] == 2
    finally:
        close_client(anna)
        close_client(bob)


def check(found: Samples, count: int) -> None:
    assert found["chat_messages_accepted_total"] == count
    assert found["chat_messages_delivered_total"] == count
    assert found["chat_messages_read_total"] == count
    assert found["chat_messages_refused_total{reason=no_such_user}"] == 1
    assert found["chat_messages_set_aside_total"] == 0
    assert found["chat_registrations_total"] == found["chat_pins_total"] == 2
    assert found["chat_delivery_latency_seconds_count"] == count
    assert found["chat_delivery_latency_seconds_bucket{le=+Inf}"] == count
    buckets = [value for name, value in found.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    assert found["chat_delivery_latency_seconds_bucket{le=32.768}"] == count
    assert found["chat_logins_total{kind=login}"] + found["chat_logins_total{kind=resume}"] == 4


@pytest.mark.plain
@pytest.mark.slow
def test_what_people_did_is_counted_and_outlives_the_chats_restart(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as node:
        talk(node, tmp_path, 25)
        found = scrape_until(node, lambda now: now["chat_connected_devices"] == 0)
        check(found, 25)
        assert found["chat_user_processes"] == 2
        with Client.connect(node.directory / "admin.sock") as client:
            shell = ShellLink(client)
            run(shell, "from runtime.otp import application")
            run(shell, "application.stop('chat')")
            assert scrape(node) == {}
            run(shell, "application.start('chat')")
        check(scrape(node), 25)
        assert scrape(node)["chat_user_processes"] == 0


@pytest.mark.plain
@pytest.mark.slow
def test_who_is_not_let_in_is_counted_by_kind_and_reason(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as node:
        node.register(tmp_path / "anna", ANNA)
        client = node.client(tmp_path / "anna")
        try:
            until(client, lambda: client.is_ready)
            before = scrape(node)
            assert before["chat_waiting_entries"] == 0
            # The same number on another device: this one's key and token are worth nothing from then on.
            node.register(tmp_path / "again", ANNA)
        finally:
            close_client(client)
        assert scrape(node)["chat_registrations_total"] == 2
        old = node.client(tmp_path / "anna")
        try:
            end = time.monotonic() + 20
            while old.stopped is None and time.monotonic() < end:
                old.step(0.1)
        finally:
            close_client(old)
        refused = {name for name, value in scrape(node).items() if "logins_refused" in name and value}
        assert refused == {
            "chat_logins_refused_total{kind=resume,reason=bad_token}",
            "chat_logins_refused_total{kind=login,reason=auth_failed}",
        }


@pytest.mark.plain
@pytest.mark.slow
def test_new_code_resets_no_counter(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        talk(site.node, tmp_path, 5)
        before = scrape(site.node)
        check(before, 5)
        changed = {
            "apps/chat/domain/counters.py": ("    pins = 0\n", "    pins = 0\n    jokes = 7\n"),
            "apps/chat/domain/delivery.py": ("MAX_BATCH: Final = 2_000", "MAX_BATCH: Final = 1_999"),
            "apps/chat/metrics.py": (
                '    yield _counter("pins",', '    yield _counter("jokes", "Jokes", now.jokes)\n    yield _counter("pins",',
            ),
        }  # fmt: skip
        for path, (old, _) in changed.items():
            assert old in site.texts[path]
        site.push({path: site.texts[path].replace(old, new, 1) for path, (old, new) in changed.items()})
        after = scrape(site.node)
        assert after["chat_jokes_total"] == 7
        check(after, 5)
        anna = site.node.client(tmp_path / "anna")
        try:
            until(anna, lambda: anna.is_ready)
            anna.send(BOB, "one more")
            scrape_until(
                site.node, lambda now: (anna.step(0.05), now["chat_messages_accepted_total"] == 6)[1]
            )
            assert scrape(site.node)["chat_waiting_entries"] == 1, "Bob is away"
        finally:
            close_client(anna)


@pytest.mark.plain
@pytest.mark.slow
def test_every_metric_of_the_chat_is_documented_and_every_documented_one_is_there(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(chat_\w+)` \| (\w+) \| ([\w, ]*) \|", DOC.read_text(), re.MULTILINE)
    known = {name: (kind, labels) for name, kind, labels in rows}
    with Node(tmp_path / "var") as node:
        talk(node, tmp_path, 1)
        scrape_until(node, lambda now: "chat_stored_entries" in now)
        answer = Web(node.ready["http_port"], node.directory).ask("/metrics")
    seen = set()
    for family in text_string_to_metric_families(answer.body.decode()):
        if family.name.startswith("chat_"):
            name = family.name + {"counter": "_total"}.get(family.type, "")
            seen.add(name)
            assert known[name][0] == family.type, name
            for sample in family.samples:
                assert ", ".join(sorted(sample.labels)) in {known[name][1], ""}, sample
    assert seen == set(known)


def test_refusals_are_counted_from_0_on() -> None:
    """A series that begins with its first event has no rate of it: each reason that is known is there from the start."""
    found = {sample.name: 0 for family in _counted(Counters()) for sample in family.samples}
    by_name: dict[str, dict[str, float]] = {name: {} for name in found}
    for family in _counted(Counters()):
        for sample in family.samples:
            by_name[sample.name]["/".join(sample.labels.values())] = sample.value
    assert by_name["chat_messages_refused_total"] == dict.fromkeys(
        ("no_such_user", "queue_full", "too_big", "unavailable"), 0
    )
    assert by_name["chat_pins_refused_total"] == dict.fromkeys(("bad_number", "throttled", "unavailable"), 0)
    assert by_name["chat_registrations_refused_total"]["bad_pin"] == 0
    assert by_name["chat_logins_refused_total"]["login/auth_failed"] == 0
    assert by_name["chat_logins_refused_total"]["resume/bad_token"] == 0
