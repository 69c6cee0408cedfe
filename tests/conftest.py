"""Every test runs inside a process, and must leave none behind."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import kernel, testing


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "plain: runs outside a process (it drives processes or nodes from without)"
    )


@pytest.fixture
def clock() -> Iterator[testing.VirtualClock]:
    """Virtual time: nothing times out until the test advances it."""
    with testing.virtual_clock() as virtual:
        yield virtual


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test function as a process, with a leak check around it (marker `plain`: outside one)."""
    if pyfuncitem.get_closest_marker("plain") or inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def body() -> None:
        with testing.leak_check():
            pyfuncitem.obj(**arguments)

    kernel.run(body)
    return True


@pytest.fixture
def crashes() -> Iterator[list[Any]]:
    """Collect the crashes of processes as (pid, Crash), instead of printing them."""
    seen: list[Any] = []

    def note(process: Any, crash: Any) -> None:
        seen.append((process, crash))

    kernel.hooks.on_crash.append(note)
    yield seen
    kernel.hooks.on_crash.remove(note)


@pytest.fixture(autouse=True, scope="session")
def _quick_collection() -> None:
    gc.set_threshold(50_000, 20, 50)
