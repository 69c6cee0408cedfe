"""Edits of the kinds real projects make, beyond the catalogue's: one folder each in edits/."""

from __future__ import annotations

import pytest

from tests.reload import cases

pytestmark = pytest.mark.plain


@pytest.mark.parametrize("name", cases.folders("edits"))
def test_edit(nursery, name):
    verdict, why = nursery.run("tests.reload.cases:run", "edits", name)
    assert verdict == "PASS", why


def test_there_are_many():
    assert len(cases.folders("edits")) >= 45
