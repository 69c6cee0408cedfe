"""The warm process that each case of live code is forked from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reload.children import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running
