"""`tools/pictures`: starts a node of its own, lets people chat, and photographs dashboard and shell into docs/pictures.

The node lies in a temporary directory, on free ports of 127.0.0.1. The load comes and goes, so that there are hills in
the charts; it takes two minutes.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NAMES = ("charts", "tree", "shell")
CROWDS = ((0, 30, 400, 70), (16, 40, 900, 34), (28, 25, 1600, 10), (52, 50, 1200, 18))
"""(from when on, how many pairs, messages a second, for how long): seconds"""
SHOT = 64.0
"""Seconds after the first of them when the pictures are taken."""
COLUMNS, LINES = 116, 40
COMMANDS = ("tree('chat', children=5)", "top('memory', 6)", "releases()", "alarms()")

SETTINGS = (
    "node.name=evergreen@localhost", "admin.http_port=0", "chat.native.port=0", "code.mode=watch",
    "chat.registration.per_address=1000000", "chat.registration.per_prefix=1000000",
)  # fmt: skip


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    browser = os.environ.get("EVERGREEN_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if unknown := set(wanted) - set(NAMES):
        print(f"there is no picture {', '.join(unknown)}: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if browser is None:
        print("needs Chromium (Debian, Ubuntu: apt install chromium)", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as ready:
        place = Path(folder)
        for crowd, (_, pairs, _, _) in enumerate(CROWDS):
            options = (
                "--count",
                str(2 * pairs),
                "--base",
                str(20_000_000 + 1_000 * crowd),
                "--pins",
                str(place / "out"),
            )
            load(place, ready, crowd, "register", *options).wait(120)
        with photographing(browser, ready) as camera:
            chatting(place, ready, camera, wanted)
    return 0


def chatting(place: Path, ready: dict[str, Any], camera: Any, wanted: list[str]) -> None:
    """Let people chat, and photograph in the middle of it."""
    begin = time.monotonic()
    chats = []
    for crowd, (start, pairs, rate, seconds) in enumerate(CROWDS):
        time.sleep(max(0.0, begin + start - time.monotonic()))
        options = ("--pairs", str(pairs), "--rate", str(rate), "--seconds", str(seconds), "--receipts")
        chats.append(load(place, ready, crowd, "chat", *options))
    time.sleep(max(0.0, begin + SHOT - time.monotonic()))
    for name in wanted:
        take(name, camera, ready)
        print(f"docs/pictures/{name}.png", flush=True)
    for chat in chats:
        chat.wait(120)


def take(name: str, camera: Any, ready: dict[str, Any]) -> None:
    if name == "charts":
        page = camera.page("home", 1240, 700)
        page.wait_for_timeout(2_500)
    elif name == "tree":
        page = camera.page("tree", 1240, 940, color_scheme="dark")
        page.wait_for_timeout(500)
    else:
        page = camera.blank(drawn(shell(ready)))
        page.locator("svg").screenshot(path=PICTURES / "shell.png")
        page.context.close()
        return
    page.screenshot(path=PICTURES / f"{name}.png")
    page.context.close()


# The node and its load


@contextlib.contextmanager
def running(place: Path) -> Iterator[dict[str, Any]]:
    command = [
        sys.executable,
        "-m",
        "runtime.node",
        "--config",
        str(ROOT / "etc" / "node.toml"),
        "--json-ready",
    ]
    for setting in (*SETTINGS, f"node.data_dir={place / 'var'}"):
        command += ["--set", setting]
    with (place / "out").open("w") as out, (place / "log").open("w") as log:
        node = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=log)
    try:
        end = time.monotonic() + 30
        while not (found := [line for line in (place / "out").read_text().splitlines() if '"ready"' in line]):
            if time.monotonic() > end or node.poll() is not None:
                raise SystemExit((place / "log").read_text())
            time.sleep(0.1)
        yield json.loads(found[0])
    finally:
        node.terminate()
        node.wait(40)


def load(place: Path, ready: dict[str, Any], crowd: int, mode: str, *options: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "apps.chat.client.load",
        mode,
        "--json",
        "--port",
        str(ready["native_port"]),
    ]
    command += ["--accounts", str(place / f"crowd-{crowd}.json"), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# The shell, as a terminal shows it


def shell(ready: dict[str, Any]) -> str:
    """Run some commands as a person would, each on a terminal of its own; return what is on the screen, with its colours."""
    said = []
    for command in COMMANDS:
        said.append(f"\x1b[1;32m>>>\x1b[0m {command}\n")
        said.append(on_terminal([
            sys.executable, "-m", "runtime.admin.shell_command", "--socket", str(Path(ready["data_dir"]) / "admin.sock"), "-c", command,
        ]).rstrip() + "\n\n")  # fmt: skip
    return "".join(said).replace("\r\n", "\n")


def on_terminal(command: list[str]) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    child = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    found = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while chunk := os.read(ours, 65536):
            found += chunk
    os.close(ours)
    child.wait(20)
    return found.decode(errors="replace")


def drawn(text: str) -> str:
    from rich.console import Console
    from rich.text import Text

    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.from_ansi(text.rstrip()))
    return console.export_svg(title="tools/shell")


# The camera


class Camera:
    def __init__(self, browser: Any, ready: dict[str, Any]) -> None:
        self.browser = browser
        self.ready = ready

    def page(self, view: str, width: int, height: int, **options: Any) -> Any:
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=1.5, **options
        )
        page = context.new_page()
        token = (Path(self.ready["data_dir"]) / "admin.token").read_text().strip()
        page.goto(f"http://127.0.0.1:{self.ready['http_port']}/#token={token}")
        page.wait_for_selector("#view[data-ready]")
        if view != "home":
            page.click(f"#nav a[data-view={view}]")
            page.wait_for_selector(f"#view.view-{view}[data-ready]")
        return page

    def blank(self, svg: str) -> Any:
        page = self.browser.new_context(
            viewport={"width": 1240, "height": 900}, device_scale_factor=1, offline=True
        ).new_page()
        page.set_content(f"<body style='margin:0'>{svg}")
        return page


@contextlib.contextmanager
def photographing(path: str, ready: dict[str, Any]) -> Iterator[Camera]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield Camera(browser, ready)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
