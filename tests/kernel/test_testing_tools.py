"""runtime.testing and its plugin: what a failing test says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.kernel import (
    KILL,
    TIMEOUT,
    demonitor,
    exit as send_exit,
    is_alive,
    monitor,
    receive,
    self_,
    send_after,
    spawn,
    spawn_link,
    yield_,
)
from runtime.otp import GenServer
from runtime.testing import leak_check, settle

ROOT = Path(__file__).resolve().parents[2]


class Left(GenServer):
    pass


def test_a_process_left_behind_is_named_also_when_it_is_linked():
    with pytest.raises(AssertionError, match=r"processes left behind: <left@nonode> \(.*Left"), leak_check():
        pid = Left.start_link(name="left")
    assert not is_alive(pid)
    with pytest.raises(AssertionError, match="processes left behind: .*receive"), leak_check():
        spawn_link(receive)
    with pytest.raises(KeyError, match="own failure"), leak_check():
        pid = Left.start_link(name="left")
        raise KeyError("own failure")
    assert not is_alive(pid)


def test_a_timer_left_running_says_what_it_would_do():
    with pytest.raises(AssertionError, match="timers left running: .*'wake up'"), leak_check():
        send_after(100, self_(), "wake up")


def test_a_timer_of_virtual_time_is_seen_as_well(clock):
    with pytest.raises(AssertionError, match="timers left running: .*'wake up'"), leak_check():
        send_after(100, self_(), "wake up")
    clock.advance(200)
    assert receive(timeout=0) is TIMEOUT  # it was ended, as all that is left


def test_a_monitor_that_is_left_is_named():
    pid = spawn(receive)
    with pytest.raises(AssertionError, match="monitors left, of <"), leak_check():
        ref = monitor(pid)
    demonitor(ref)
    with leak_check():
        demonitor(monitor(pid))
    send_exit(pid, KILL)


def test_who_loops_is_named():
    def loops():
        while True:
            yield_()

    pid = spawn(loops)
    with pytest.raises(AssertionError, match=f"not settled after 50 turns: .*{pid!r}.* keep running"):
        settle(50)
    send_exit(pid, KILL)


FAILING = """
from runtime.otp import GenServer
from runtime import call

class Server(GenServer):
    def handle_call(self, request, sender):
        raise ValueError("no answer")

def is_three(x):
    assert x == 3, "no three"

def test_own():
    is_three(2)

def test_leak():
    Server.start_link(name="left")

def test_link():
    call(Server.start_link(), 1)
"""


@pytest.mark.plain
def test_a_failing_test_shows_its_own_lines_and_not_the_runtimes(tmp_path):
    (tmp_path / "conftest.py").write_text("from runtime.testing_plugin import *\n")
    (tmp_path / "test_failing.py").write_text(FAILING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--show-capture=no", "test_failing.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
    )  # fmt: skip
    out = done.stdout
    assert "3 failed" in out, out
    for said in ("no three", "processes left behind: <left@nonode>", "ValueError: no answer"):
        assert said in out, out
    assert "gevent" not in out, out
    assert "spawn.py" not in out, out
