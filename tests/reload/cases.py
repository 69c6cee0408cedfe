"""A case by its folder, run in a child of the nursery."""

from __future__ import annotations

from pathlib import Path

from tests.reload.children import engine
from tests.reload.harness import run_case

__all__ = ["HERE", "folders", "run"]

HERE = Path(__file__).resolve().parent


def folders(collection: str) -> list[str]:
    """The names of the cases in a folder beside this file."""
    return sorted(path.parent.name for path in (HERE / collection).glob("*/check.py"))


def run(collection: str, name: str) -> tuple[str, str]:
    """In a child: run the case. Returns ("PASS"|"FAIL"|"NA", why)."""
    return run_case(engine(), HERE / collection / name)
