"""What must not get into the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.plain,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout"),
]


@pytest.mark.parametrize("folder", ["var", "var2", "var-of-anna"])
def test_a_data_directory_beside_the_sources_is_ignored(folder: str) -> None:
    """README starts a second node on var2; its token and keys lie there."""
    for name in ("chat.secret", "admin.token", "code/keys/development"):
        done = subprocess.run(["git", "check-ignore", "-q", f"{folder}/{name}"], cwd=ROOT, check=False)
        assert done.returncode == 0, f"git would take {folder}/{name}"


def test_sources_that_only_begin_like_that_are_not() -> None:
    done = subprocess.run(["git", "check-ignore", "-q", "apps/various/x.py"], cwd=ROOT, check=False)
    assert done.returncode == 1
