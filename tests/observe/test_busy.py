"""Who keeps the node busy, as `top(by="cpu")` shows it."""

from __future__ import annotations

import time

import pytest

from runtime import kernel
from runtime.kernel import KILL, clock, exit, spawn, start_watchdog, stop_watchdog
from runtime.observe import busy, snapshot

WORK = 0.3
"""Seconds of the processor."""


def computes():
    ends = time.monotonic() + WORK
    while time.monotonic() < ends:
        for _ in range(1000):
            pass
        kernel.yield_()
    kernel.receive()


@pytest.fixture
def _looking():
    start_watchdog(30.0, None)
    busy.install()
    yield
    busy.remove()
    stop_watchdog()


@pytest.mark.usefixtures("_looking")
def test_who_computes_has_a_share_and_who_waits_has_none():
    worker, idle = spawn(computes), spawn(kernel.receive)
    kernel.sleep(2 * WORK)
    # By the clock that the shares are of, whatever else this machine does: some of six ticks found it.
    assert 0.0 < busy.share(worker.number) <= 1.0
    assert busy.share(idle.number) == 0.0
    first = snapshot.processes(1, sort="cpu")[0]
    assert (first.number, first.cpu > 0.0) == (worker.number, True)
    assert snapshot.row(idle).cpu == 0.0
    exit(worker, KILL)
    exit(idle, KILL)


def test_a_share_is_of_the_last_ten_seconds(monkeypatch):
    """Ticks older than that count no more; there are never more than fit into them."""
    monkeypatch.setattr(busy, "_since", clock.now() - 100.0)
    try:
        now = clock.now()
        busy._seen.extend((now - busy.WINDOW - 1.0, 7) for _ in range(50))
        busy._seen.extend((now, 8) for _ in range(100))
        assert busy.share(7) == 0.0
        assert busy.share(8) == pytest.approx(0.5, abs=0.01)
        busy._seen.extend((now, 9) for _ in range(1_000))
        assert len(busy._seen) <= 201
    finally:
        busy.remove()
    assert busy.share(8) == 0.0
