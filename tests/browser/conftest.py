"""A real browser for the dashboard's tests. Without one they are left out; `tools/test` says so."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import find_chromium
from tests.support.node import Node

CHROMIUM = find_chromium()
if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox needs rights that a container often has not; what is opened here is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Screen:
    """Opens pages of a node, and fails the test for whatever the page complains of."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.complaints: list[str] = []
        self.contexts: list[Any] = []

    def open(
        self, node: Node, view: str = "home", width: int = 1360, height: int = 860, **options: Any
    ) -> Any:
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(15_000)
        self.contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda one: self.complaints.append(one.text) if one.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        token = (node.directory / "admin.token").read_text().strip()
        page.goto(f"http://127.0.0.1:{node.ready['http_port']}/#token={token}")
        page.wait_for_selector("#view[data-ready]")
        if view != "home":
            page.click(f"#nav a[data-view={view}]")
            page.wait_for_selector(f"#view.view-{view}[data-ready]")
        return page


@pytest.fixture
def screen(chromium: Any) -> Iterator[Screen]:
    made = Screen(chromium)
    yield made
    for context in made.contexts:
        context.close()
    assert made.complaints == []


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory: Path = tmp_path_factory.mktemp("browser")
    with Node(directory / "var") as made:
        made.register(directory / "anna", "+33612000001")
        yield made
