"""The dashboard in a real Chromium: what a person sees and does there."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from tests.admin.http_client import Web
from tests.support.node import ROOT, Node, close_client, until

pytestmark = [pytest.mark.plain, pytest.mark.slow]

VIEWS = ("home", "tree", "processes", "alarms", "releases", "connections", "logs", "store")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 390), ("dark", 390), ("light", 820)]
)
def test_every_view_fits_its_screen(screen: Any, node: Node, scheme: str, width: int) -> None:
    """Light, dark, tablet, phone: nothing is cut off sideways, the page never scrolls that way."""
    page = screen.open(node, width=width, color_scheme=scheme)
    for view in VIEWS:
        page.click(f"#nav a[data-view={view}]")
        page.wait_for_selector(f"#view.view-{view}[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.inner_text("#title").lower() == view
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    dark = sum(int(part) for part in ground[4:-1].split(",")) < 200
    assert dark == (scheme == "dark")


def test_texts_stand_out_from_their_ground(screen: Any, node: Node) -> None:
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5 for text, in both schemes."""
    for scheme in ("light", "dark"):
        page = screen.open(node, "tree", color_scheme=scheme)
        for ink, ground in (
            ("--ink", "--card"), ("--dim", "--card"), ("--dim", "--ground"), ("--accent", "--accent-soft"), ("--good", "--good-soft"),
            ("--warn", "--warn-soft"), ("--bad", "--bad-soft"), ("--accent-ink", "--accent"), ("--dim", "--soft"), ("--dim", "--accent-soft"),
        ):  # fmt: skip
            assert page.evaluate(_CONTRAST, [ink, ground]) >= 4.5, (scheme, ink, ground)


def test_the_token_leaves_the_address_and_a_wrong_one_is_told(screen: Any, node: Node) -> None:
    page = screen.open(node)
    assert "token" not in page.url
    page.reload()
    page.wait_for_selector("#view[data-ready]")
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.fill("#token", "not-this-one")
    page.click("text=Look in")
    page.wait_for_selector("text=This is not the node's token")
    page.fill("#token", Web(node.ready["http_port"], node.directory).token)
    page.click("text=Look in")
    page.wait_for_selector("#view[data-ready]")
    screen.complaints[:] = [text for text in screen.complaints if "401" not in text]


def test_charts_are_drawn_and_go_on(screen: Any, node: Node) -> None:
    page = screen.open(node)
    page.wait_for_selector(".chart canvas[aria-label*='Load: now']")
    assert page.locator(".chart canvas").count() == 8
    before = page.inner_text(".hero .fact strong >> nth=0")
    holds(page, "text => document.querySelector('.hero .fact strong').textContent !== text", before)
    assert page.evaluate(_PAINTED) > 100
    page.hover(".chart canvas >> nth=0")
    assert ":" in page.inner_text(".chart .note >> nth=0")  # the time of the sample under the pointer


def test_the_tree_is_drawn_folds_and_opens_a_process(screen: Any, node: Node) -> None:
    page = screen.open(node, "tree")
    assert page.locator(".tree .box.application").count() == 1
    assert page.locator(".tree .box").count() > 12
    shards = page.locator("[data-key$='/chat_shards']")
    assert "+64" in shards.text_content()
    page.focus("[data-key='node_services/observers']")
    page.keyboard.press("ArrowLeft")
    assert page.locator("[data-key='node_services/observers/alarms']").count() == 0
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("[data-key='node_services/observers/alarms']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer[data-ready]")
    assert "<observers>" in page.inner_text("#drawer h2")
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()
    assert page.evaluate("document.activeElement.dataset.key") == "node_services/observers"


def test_the_tree_is_one_stop_for_the_keyboard(screen: Any, node: Node) -> None:
    """WAI-ARIA, tree view: Tab leads into the tree and out of it, arrows lead about in it."""
    page = screen.open(node, "tree")
    stops = "[...document.querySelectorAll('.tree [tabindex=\"0\"]')].map((one) => one.dataset.key)"
    assert page.evaluate(stops) == ["node_services"]
    page.focus("[data-key='node_services']")
    page.keyboard.press("ArrowDown")
    (second,) = page.evaluate(stops)
    assert second != "node_services"
    assert page.evaluate("document.activeElement.dataset.key") == second


def test_processes_are_filtered_sorted_and_looked_into(screen: Any, node: Node) -> None:
    page = screen.open(node, "processes")
    page.keyboard.press("/")
    page.keyboard.type("janitor")
    holds(page, "document.querySelectorAll('tbody tr').length === 1")
    page.fill("input[type=search]", "")
    holds(page, "document.querySelectorAll('tbody tr').length > 50")
    page.click("th >> text=Memory")
    page.wait_for_selector("th[aria-sort=descending] >> text=Memory")
    page.locator("tbody tr", has_text="<alarms>").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer[data-ready]")
    told = page.inner_text("#drawer")
    assert "Links" in told
    assert not {"null", "undefined", "false", "NaN"} & set(told.split())
    page.click("#drawer .pid >> nth=0")
    holds(page, "!document.querySelector('#drawer h2').textContent.includes('alarms')")


def test_a_process_is_asked_held_and_killed_only_after_a_question(screen: Any, node: Node) -> None:
    web = Web(node.ready["http_port"], node.directory)
    page = screen.open(node, "processes")
    page.fill("input[type=search]", "alarm_sender")
    page.locator("tbody tr", has_text="<alarm_sender>").click()
    page.wait_for_selector("#drawer[data-ready]")
    before = web.look("process", "pid=alarm_sender")["row"]["number"]
    page.click("[data-act=state]")
    page.wait_for_selector("#drawer > pre:not([hidden])")

    page.click("[data-act=suspend]")
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    assert web.look("process", "pid=alarm_sender")["row"]["status"] == "waiting"
    page.click("[data-act=suspend]")
    page.click("[data-act=sure]")
    page.wait_for_selector("#drawer .chip >> text=suspended")
    assert web.look("process", "pid=alarm_sender")["row"]["status"] == "suspended"
    page.click("[data-act=resume]")
    page.wait_for_selector("#drawer .chip >> text=waiting")

    page.click("[data-act=kill]")
    page.click("dialog >> text=Cancel")
    assert web.look("process", "pid=alarm_sender")["row"]["number"] == before
    page.click("[data-act=kill]")
    page.click("[data-act=sure]")
    page.wait_for_selector("#drawer >> text=It has ended")
    assert web.look("process", "pid=alarm_sender")["row"]["number"] != before


def test_a_refusal_is_told(screen: Any, node: Node) -> None:
    page = screen.open(node, "processes")
    page.fill("input[type=search]", "node_services")
    page.locator("tbody tr", has_text="<node_services>").click()
    page.wait_for_selector("#drawer[data-ready]")
    page.click("[data-act=kill]")
    page.click("[data-act=sure]")
    page.wait_for_selector(".toast.bad >> text=ends with")
    screen.complaints[:] = [text for text in screen.complaints if "409" not in text]


def test_who_is_connected_is_shown_while_connected(screen: Any, node: Node) -> None:
    page = screen.open(node, "connections")
    page.wait_for_selector("text=Nobody is connected")
    client = node.client(node.directory.parent / "anna")
    try:
        until(client, lambda: client.is_ready)
        page.wait_for_selector("tbody tr >> text=127.0.0.1:")
    finally:
        close_client(client)
    page.wait_for_selector("text=Nobody is connected")


def test_the_log_runs_along(screen: Any, node: Node) -> None:
    page = screen.open(node, "logs")
    page.wait_for_selector(".entry >> text=application started")
    Web(node.ready["http_port"], node.directory).act("restart", who="dashboard_history")
    page.wait_for_selector(".entry >> text=restart dashboard_history: ok")
    page.fill("input[type=search]", "application started")
    holds(page, "document.querySelectorAll('.entry').length === 1")


def test_nothing_of_the_node_is_taken_for_markup(screen: Any, node: Node) -> None:
    """A name, a log line: text, whatever it looks like."""
    web = Web(node.ready["http_port"], node.directory)
    page = screen.open(node, "logs")
    page.wait_for_selector(".entry")
    web.act("kill", who="<img src=x onerror=alert(1)>")
    page.wait_for_selector(".entry >> text=onerror")
    assert page.locator("#view img").count() == 0


def test_signs_that_turn_a_text_round_are_shown_not_obeyed(screen: Any, node: Node) -> None:
    """A name must not look like another one; and half a surrogate pair must not take a view away."""
    shell(
        node,
        """
import logging
from runtime import kernel
odd = kernel.spawn_opt(lambda: kernel.sleep(500), label="<b>x</b>")
kernel.register("<i>odd</i>\\u202e \\udcff", odd)
logging.getLogger("evergreen.test").warning("file \\udcff \\u202egnp.exe \\x1b[31m")
""",
    )
    page = screen.open(node, "logs")
    page.wait_for_selector(r".entry >> text=\udcff \u202egnp.exe")
    page.click("#nav a[data-view=processes]")
    page.fill("input[type=search]", "<i>odd")
    page.locator("tbody tr", has_text="<i>odd</i>").click()
    page.wait_for_selector("#drawer[data-ready]")
    assert "\\u202e" in page.inner_text("#drawer h2")
    assert "@" not in page.inner_text("#drawer h2")
    assert "\u202e" not in page.content()
    assert page.locator("#view i, #drawer i").count() == 0


def test_times_are_the_browsers_own_day_and_zone(screen: Any, node: Node) -> None:
    """At 20:00 in Los Angeles it is tomorrow in UTC: the day and the time must be of one zone, and say of which."""
    page = screen.open(node, timezone_id="America/Los_Angeles")
    say = "async (at) => { const {when, moment} = await import('/dom.js'); return [when(at), moment(at)]; }"
    assert page.evaluate(say, 1_700_000_000 + 5 * 3600) == [
        "2023-11-14 19:13:20",
        "2023-11-14 19:13:20 UTC-08:00",
    ]


def test_ages_are_by_the_nodes_clock(screen: Any, node: Node) -> None:
    """This machine's clock may be another's: what began a minute ago did so, whatever it says here."""
    page = screen.open(node, "alarms")
    script = """async () => {
      const {ago, setClock} = await import('/dom.js');
      const now = Date.now() / 1000;
      setClock(now - 3600);
      const said = ago(now - 3660);
      setClock(now + 0.7);
      return [said, ago(now - 60)];
    }"""
    assert page.evaluate(script) == ["60 s ago", "60 s ago"]


def test_a_view_too_many_is_told_and_not_called_silence(screen: Any, node: Node) -> None:
    web = Web(node.ready["http_port"], node.directory)
    page = screen.open(node)
    page.evaluate(_SIGHT, False)
    node.wait(lambda: _streams(web) == 0, 15.0)
    others = [web.events("alarms") for _ in range(24)]
    try:
        for one in others:
            next(one)
        page.evaluate(_SIGHT, True)
        page.wait_for_selector("#state >> text=views are open already")
    finally:
        for one in others:
            one.close()
    page.wait_for_selector("#state >> text=serving")
    screen.complaints[:] = [text for text in screen.complaints if "503" not in text]


def test_columns_are_cut_off_nowhere(screen: Any, node: Node) -> None:
    for width in (1360, 1600, 1000):
        page = screen.open(node, "processes", width=width)
        box = "document.querySelector('#view > .scroll')"
        assert page.evaluate(f"{box}.scrollWidth <= {box}.clientWidth"), width


def test_without_live_code_there_is_no_empty_table(screen: Any, node: Node) -> None:
    page = screen.open(node, "releases")
    page.wait_for_selector("text=Live code is off")
    assert page.locator("#view table:visible").count() == 0


def test_a_page_out_of_sight_asks_for_nothing(screen: Any, node: Node) -> None:
    web = Web(node.ready["http_port"], node.directory)
    page = screen.open(node)
    page.evaluate(_SIGHT, False)
    node.wait(lambda: _streams(web) == 0, 15.0)
    page.evaluate(_SIGHT, True)
    node.wait(lambda: _streams(web) == 1, 15.0)


def test_a_node_that_comes_back_is_shown_again(screen: Any, tmp_path: Any) -> None:
    with Node(tmp_path / "var") as node:
        port = node.ready["http_port"]
        page = screen.open(node)
        node.kill()
        page.wait_for_selector("body.away")
        node.overrides = (*node.overrides, f"admin.http_port={port}")
        node.start()
        page.wait_for_selector("body:not(.away) #state >> text=serving")
        page.context.close()
        screen.complaints.clear()  # of connections refused


def test_the_badge_follows_the_nodes_health(screen: Any, tmp_path: Any) -> None:
    with Node(tmp_path / "var") as node:
        page = screen.open(node)
        page.wait_for_selector("#state .chip.good >> text=serving")
        # An application that should run and does not: what `/readyz` answers 503 for.
        shell(node, "from runtime.otp import application; application.stop('chat')")
        page.wait_for_selector("#state .chip.bad >> text=not ready")
        page.context.close()


def holds(page: Any, script: str, argument: Any = None) -> None:
    """Wait until `script` is true in the page. (Playwright's own waiting needs the `eval` that the policy forbids.)"""
    end = time.monotonic() + 15
    while not page.evaluate(script, argument):
        assert time.monotonic() < end, script
        page.wait_for_timeout(50)


def shell(node: Node, code: str) -> None:
    command = [
        sys.executable,
        str(ROOT / "tools" / "shell"),
        "--socket",
        str(node.directory / "admin.sock"),
        "-c",
        code,
    ]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


def _streams(web: Web) -> int:
    """Connections of the dashboard that wait for a live view's next look."""
    rows = web.look("processes", "filter=dashboard+127")["rows"]
    return sum("_wait" in row["current"] or "follow" in row["current"] for row in rows)


_SIGHT = """(isSeen) => {
  Object.defineProperty(document, "hidden", { value: !isSeen, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

_PAINTED = """() => {
  const canvas = document.querySelectorAll(".chart canvas")[6];
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
}"""

_CONTRAST = """([ink, ground]) => {
  const light = (name) => {
    const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const [one, two] = [light(ink), light(ground)].sort((a, b) => b - a);
  return (one + 0.05) / (two + 0.05);
}"""
