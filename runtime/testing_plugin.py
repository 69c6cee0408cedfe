"""What our own tests use, for yours: each test runs inside a process, must leave none behind, and may stop the clock.

In your conftest.py:

    from runtime.testing_plugin import *

Then a test function may call, receive and link as any process; `@pytest.mark.plain` runs it outside one. Fixtures:
`clock` (virtual time: `clock.advance(30)`) and `crashes` (a list of (pid, Crash), which are then not printed).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from . import kernel, testing

__all__ = ["clock", "crashes", "pytest_configure", "pytest_pyfunc_call"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "plain: runs outside a process (it drives processes or nodes from without)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test function as a process, with a leak check around it (marker `plain`: outside one)."""
    if pyfuncitem.get_closest_marker("plain") or inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def body() -> None:
        with testing.leak_check():
            pyfuncitem.obj(**arguments)

    __tracebackhide__ = True
    try:
        kernel.run(body)
    except Exception as error:  # noqa: BLE001 - it goes on, whatever it is
        # From the test function on, without the dozen frames of starting a process. There is none of it when a
        # leak, or the exit of a linked process, ended the test.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is not getattr(pyfuncitem.obj, "__code__", None):
            trace = trace.tb_next
        raise error.with_traceback(trace) from error.__cause__
    return True


@pytest.fixture
def clock() -> Iterator[testing.VirtualClock]:
    """Virtual time: nothing times out until the test advances it."""
    with testing.virtual_clock() as virtual:
        yield virtual


@pytest.fixture
def crashes() -> Iterator[list[Any]]:
    """Collect the crashes of processes as (pid, Crash), instead of printing them."""
    seen: list[Any] = []

    def note(process: Any, crash: Any) -> None:
        seen.append((process, crash))

    kernel.hooks.on_crash.append(note)
    yield seen
    kernel.hooks.on_crash.remove(note)
