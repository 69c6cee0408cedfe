"""Every test runs inside a process, and must leave none behind: by what is shipped for everybody's tests."""

from __future__ import annotations

import gc

import pytest

from runtime.testing_plugin import clock, crashes, pytest_configure, pytest_pyfunc_call

__all__ = ["clock", "crashes", "pytest_configure", "pytest_pyfunc_call"]


@pytest.fixture(autouse=True, scope="session")
def _quick_collection() -> None:
    gc.set_threshold(50_000, 20, 50)
