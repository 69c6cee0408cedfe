"""The list of telling breaks still fits the code; running them all is tests/mutants/run.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_spec = importlib.util.spec_from_file_location("mutants", HERE / "mutants.py")
assert _spec is not None and _spec.loader is not None
mutants = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mutants)


@pytest.mark.plain
@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.what)
def test_mutant_still_fits(mutant):
    """What it breaks is in its file, and the test that must turn red exists."""
    assert mutant.old in (ROOT / mutant.file).read_text()
    assert mutant.old != mutant.new
    file, _, name = mutant.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
