"""Live code in the dashboard: a release on probation, its difference, the way back, and the word that it is good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.admin.http_client import Web
from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]

APP = """
from runtime.otp.application import Application
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor
from live.counter import Counter


class Live(Application):
    name = "live"

    def start(self, start_type, config):
        spec = ChildSpec("counter", (Counter.start_link, (), {"name": "counter"}))
        return Supervisor.start_link_with(SupFlags(), [spec], name="live_top")
"""

COUNTER = """
from runtime.otp.gen_server import GenServer


class Counter(GenServer):
    def init(self):
        self.n = 0

    def handle_call(self, request, sender):
        self.n += 1
        return self.n
"""


class LiveNode(Node):
    """A node whose live code is a folder of the test's own."""

    def command(self) -> list[str]:
        """As every node's, without the chat's settings."""
        words = super().command()
        chats = [at for at, word in enumerate(words) if word.startswith("chat.")]
        return [word for at, word in enumerate(words) if at not in chats and at + 1 not in chats]

    def start(self, timeout: float = 30.0) -> None:
        self.launch()
        self.wait(lambda: bool(self.ready) or self.process.poll() is not None, timeout)  # type: ignore[union-attr]
        assert self.ready, self.last_words()

    def save(self, text: str) -> None:
        (self.cwd / "live" / "counter.py").write_text(text)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveNode]:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "__init__.py").write_text("")
    (tmp_path / "live" / "app.py").write_text(APP)
    (tmp_path / "live" / "counter.py").write_text(COUNTER)
    config = tmp_path / "node.toml"
    config.write_text(
        '[node]\napplications = ["live.app:Live"]\n[code]\nroots = ["live"]\nwatch_probation = 600.0\nquiet = 0.02\n'
    )
    made = LiveNode(
        tmp_path / "var", "code.mode=watch", config=config, cwd=tmp_path,
        environment={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    with made:
        yield made


def test_a_release_is_watched_shown_and_taken_back(live: LiveNode, screen: Any) -> None:
    web = Web(live.ready["http_port"], live.directory)
    first = web.look("releases")["releases"][0]
    page = screen.open(live, "releases")
    live.save(COUNTER.replace("+= 1", "+= 1000"))
    page.wait_for_selector(".probation h2")
    page.wait_for_selector("#state >> text=on probation")
    assert "counter.py" in page.inner_text(".probation")
    assert page.locator("tbody tr", has_text="probation").count() == 1

    page.locator("tr.opens").first.click()
    page.wait_for_selector("dialog .diff .added >> text=+= 1000")
    page.wait_for_selector("dialog .diff .gone >> text=+= 1")
    page.keyboard.press("Escape")

    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.click("[data-act=rollback]")
    page.click("dialog >> text=Cancel")
    assert web.look("releases")["releases"][0]["result"] == "probation"
    page.click("[data-act=rollback]")
    page.click("[data-act=sure]")
    page.wait_for_selector(".toast.good")
    page.wait_for_selector("td >> text=rolled back")
    page.wait_for_selector(".probation", state="detached")
    assert next(one["id"] for one in web.look("releases")["releases"] if one["is_current"]) == first["id"]


def test_the_keyboard_stays_where_it_is_while_the_view_is_drawn_anew(live: LiveNode, screen: Any) -> None:
    page = screen.open(live, "releases")
    live.save(COUNTER.replace("+= 1", "+= 4"))
    page.wait_for_selector(".probation h2")
    page.evaluate("window.before = document.querySelector('[data-act=rollback]'); before.focus()")
    end = time.monotonic() + 20
    while page.evaluate("before.isConnected"):
        assert time.monotonic() < end
        page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.dataset.act") == "rollback"
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog >> text=Roll back?")


def test_a_release_is_found_good(live: LiveNode, screen: Any) -> None:
    web = Web(live.ready["http_port"], live.directory)
    page = screen.open(live, "releases")
    live.save(COUNTER.replace("+= 1", "+= 2"))
    page.click("[data-act=confirm]")
    page.wait_for_selector(".toast.good >> text=Confirmed")
    page.wait_for_selector(".probation", state="detached")
    assert web.look("releases")["releases"][0]["result"] in ("live", "good")
    # And back to the first, from its own dialog.
    page.locator("tr.opens").last.click()
    page.click("[data-act=rollback-to]")
    page.click("[data-act=sure]")
    page.wait_for_selector("td >> text=rolled back")
    page.click("text=Who still runs old code?")
    page.wait_for_selector("text=Nobody runs old code.")


def test_who_decides_by_an_old_screen_decides_nothing(live: LiveNode, screen: Any) -> None:
    """Between the look and the click another release came: that one is neither confirmed nor taken back."""
    web = Web(live.ready["http_port"], live.directory)
    first = web.look("releases")["releases"][0]["id"]
    page = screen.open(live, "releases")
    live.save(COUNTER.replace("+= 1", "+= 3"))
    page.wait_for_selector(".probation h2")
    for name in ("confirm", "rollback"):
        status, told = web.act(name, seen=first)
        assert (status, told["kind"]) == (409, "base")
        assert "look again" in told["text"]
    assert web.look("releases")["releases"][0]["result"] == "probation"
    assert web.act("confirm", seen=web.look("releases")["releases"][0]["id"])[0] == 200


def test_what_was_taken_back_before_runs_again_only_after_a_question_that_says_so(
    live: LiveNode, screen: Any
) -> None:
    web = Web(live.ready["http_port"], live.directory)
    page = screen.open(live, "releases")
    live.save(COUNTER.replace("+= 1", "+= 5"))
    page.wait_for_selector(".probation h2")
    bad = web.look("releases")["releases"][0]["id"]
    assert web.act("rollback", seen=bad)[0] == 200
    page.wait_for_selector(".probation", state="detached")

    def ask() -> None:
        page.locator("tr.opens", has=page.locator("td", has_text="rolled back")).first.click()
        page.click("[data-act=rollback-to]")
        page.wait_for_selector(f"dialog >> text=Release {bad}")
        assert "was taken back" in page.inner_text("dialog")

    ask()
    page.click("dialog >> text=Cancel")
    assert next(one["id"] for one in web.look("releases")["releases"] if one["is_current"]) != bad
    ask()
    page.click("[data-act=sure]")
    page.wait_for_selector(".toast.good")
    page.wait_for_selector(".probation h2")  # it is watched as a push is
    assert next(one["id"] for one in web.look("releases")["releases"] if one["is_current"]) == bad
