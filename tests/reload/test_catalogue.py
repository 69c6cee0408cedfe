"""The catalogue of live edits: each case is one edit and what must hold for live objects afterwards."""

from __future__ import annotations

import pytest

from tests.reload import cases

pytestmark = pytest.mark.plain

EXEMPT = {
    "E07_thread_atomic": "a foreign OS thread that spins on two names may see a mix for the length of the step; "
    "what holds instead is E14: no job of the thread pool does",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skip(reason=EXEMPT[name])) if name in EXEMPT else name
        for name in cases.folders("catalogue")
    ],
)
def test_case(nursery, name):
    verdict, why = nursery.run("tests.reload.cases:run", "catalogue", name)
    assert verdict == "PASS", why
