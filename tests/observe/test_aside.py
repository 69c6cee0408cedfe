"""A thread of its own, where there is no room for one: what needs it hears so, and goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.admin.shell_audit import InputLog
from runtime.observe.aside import aside


@contextmanager
def no_room() -> Iterator[None]:
    """No thread can be started: none has so much address space."""
    before = threading.stack_size(2**46)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_it_is_an_error_of_the_system() -> None:
    with no_room(), pytest.raises(OSError, match="thread"):
        aside(print, name="aside", patience=5.0)
    assert aside(int, "7", name="aside", patience=5.0) == 7


def test_a_shell_goes_on_and_its_audit_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = InputLog(tmp_path / "shell.log")
    with no_room():
        for number in range(5):  # more than may hang
            log.put("ann", 1, input=str(number))
    assert "the audit is not written: can't start new thread" in caplog.text
    log.put("ann", 1, input="5")
    (line,) = (tmp_path / "shell.log").read_text().splitlines()
    assert json.loads(line)["input"] == "5"
