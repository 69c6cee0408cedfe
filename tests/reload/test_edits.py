"""Edits of the kinds real projects make, beyond the catalogue's: one folder each in edits/."""

from __future__ import annotations

import pytest

from tests.reload import cases
from tests.reload.harness import modname, tree_of

pytestmark = pytest.mark.plain


@pytest.mark.parametrize("name", cases.folders("edits"))
def test_edit(nursery, name):
    verdict, why = nursery.run("tests.reload.cases:run", "edits", name)
    assert verdict == "PASS", why


OTHERWISE = {
    "argument_parser_at_top_level": "refused: an option can be added once",
    "failure_after_side_effects": "refused: that is the case",
    "package_without_init_while_parts_stay": "refused: that is the case",
    "route_decorator_gets_another_path": "a path that another statement may have put there stays",
    "singletons_and_sentinels_kept": "what an unchanged statement made with effects stays",
    "values_computed_by_edited_functions": "they stay, and the report names them: that is the case",
}
"""Edits whose result is another than a cold start's, and why: see NOT_COVERED.md."""


@pytest.mark.parametrize("name", cases.folders("edits"))
def test_edit_equals_a_cold_start(nursery, name):
    """Whatever else the case looks at: all that can be reached by name is as after a start with the new code, and back."""
    before, after = (tree_of(cases.HERE / "edits" / name, which) for which in ("before", "after"))
    modules = sorted({modname(path) for path in (*before, *after)})
    if name in OTHERWISE:
        pytest.skip(OTHERWISE[name])
    assert nursery.run("tests.reload.there_and_back:check_program", before, after, modules) == []


def test_there_are_many():
    assert len(cases.folders("edits")) >= 140
    assert OTHERWISE.keys() <= set(cases.folders("edits"))
