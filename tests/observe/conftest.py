"""All messages are checked here: nothing that its sender could still change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.kernel import check_messages


@pytest.fixture(autouse=True)
def _checked() -> Iterator[None]:
    check_messages()
    yield
    check_messages(False)
