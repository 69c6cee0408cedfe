"""Dumps that somebody asks for lie where the node's own do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]


def test_dumps_lie_in_one_folder_whoever_makes_them(tmp_path: Path) -> None:
    """docs/operations.md, Files: `crash/`. A path of one's own is taken as it is, a name alone is one in that folder."""
    var = tmp_path / "var"
    with Node(var, "cluster.shards=4") as node:
        command = [ROOT / "tools" / "shell", "--socket", var / "admin.sock", "-c"]
        lines = f"for path in ('', 'now.dump', {str(tmp_path / 'own.dump')!r}): print(crashdump(path))"
        done = subprocess.run([*command, lines], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr + node.last_words()
    own = [tmp_path / "own.dump"]
    in_folder = sorted((var / "crash").iterdir())
    assert [path.name for path in in_folder][-1] == "now.dump"
    assert len(in_folder) == 2
    assert sorted(map(Path, done.stdout.split())) == sorted([*in_folder, *own])
    assert own[0].exists()
    assert not list(var.glob("*.dump"))
