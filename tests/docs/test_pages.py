"""The listings of README.md and of the other pages of docs/ run; links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs import listings

pytestmark = pytest.mark.plain
PAGES = [listings.ROOT / "README.md", *sorted(listings.DOCS.rglob("*.md"))]


def python(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, "PYTHONPATH": f"{listings.ROOT}:{cwd}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_server_in_ten_lines(tmp_path):
    text = (listings.ROOT / "README.md").read_text().partition("## A server in ten lines")[2]
    block = listings.blocks(text)[0]
    (tmp_path / "ten_lines.py").write_text(block.text)
    assert python("ten_lines.py", cwd=tmp_path) == (0, "1\n")


def test_the_application_of_the_page_on_applications_is_found_and_its_settings_are_checked(tmp_path):
    text = (listings.DOCS / "applications.md").read_text()
    block = next(b for b in listings.blocks(text) if b.file == "counting.py")
    (tmp_path / "counting.py").write_text(block.text)
    command = re.search(r"`tools/run (--set [^`]*)`", text)[1].split()
    config = ("--config", str(listings.ROOT / "etc/node.toml"), "--set", f"node.data_dir={tmp_path / 'var'}")
    code, printed = python("-m", "runtime.node", *config, *command, "--check", cwd=tmp_path)
    assert code == 0, printed
    code, printed = python(
        "-m", "runtime.node", *config, *command[:-1], "counting.first=-1", "--check", cwd=tmp_path
    )
    assert code == 2
    assert "counting.first" in printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(listings.ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}, target
