"""What `runtime.testing` promises to those who test with it: time, leaks, and failures that stay where they are."""

from __future__ import annotations

import pytest

from runtime import kernel
from runtime.kernel import receive, self_, send, send_after, spawn, whereis
from runtime.testing import leak_check, settle


def test_leak_check_names_what_is_left_and_ends_it():
    before = set(kernel.processes())
    with pytest.raises(AssertionError, match="processes left behind"), leak_check():
        kernel.spawn_opt(receive, name="left")
    with pytest.raises(AssertionError, match="timers left running"), leak_check():
        send_after(1000, self_(), "late")
    assert set(kernel.processes()) == before
    assert whereis("left") is None


@pytest.mark.parametrize("kind", [KeyError, pytest.skip.Exception])
def test_a_block_that_fails_tells_why_and_leaves_nothing(kind):
    """The next test does not stumble over the names and timers of one that failed."""
    before, timers = set(kernel.processes()), set(kernel.clock.live)
    with pytest.raises(kind, match="why"), leak_check():
        kernel.spawn_opt(receive, name="left")
        send_after(1000, self_(), "late")
        raise kind("why")
    assert whereis("left") is None
    assert set(kernel.processes()) == before
    assert set(kernel.clock.live) == timers


def test_time_does_not_go_back(clock):
    clock.advance(5)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="go back"):
            clock.advance(wrong)
    clock.advance(0)
    assert clock.now() == kernel.clock.now()


def test_advance_fires_in_order_what_comes_due_on_the_way(clock):
    """A timer that a fired one starts fires too, if it is due within the time that passes."""

    def chain(test):
        for n in range(3):
            kernel.sleep(1.0)
            send(test, (n, clock.now() - start))

    start = clock.now()
    spawn(chain, self_())
    send_after(2.5, self_(), "between")
    clock.advance(10)
    assert [receive(0) for _ in range(4)] == [(0, 1.0), (1, 2.0), "between", (2, 3.0)]
    settle()
