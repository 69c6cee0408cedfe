"""Values that harm whoever shows them: a repr without end, one that exits; in reports, looks, and reasons."""

from __future__ import annotations

import logging

import pytest

from runtime import kernel
from runtime.kernel import Crash, Ended, is_alive, monitor, receive, send, start_watchdog, stop_watchdog
from runtime.observe import snapshot
from runtime.otp import GenServer, reports, stop
from runtime.otp.reports import format_term
from runtime.testing import settle


class Endless:
    """Its repr has no end, as of an object that was typed into a shell or imported."""

    def __repr__(self):
        while True:
            pass


class Leaving:
    def __repr__(self):
        raise SystemExit


class Mute(Exception):
    def __str__(self):  # noqa: PLE0307 - it never returns
        while True:
            pass


class EndlessDict(dict):
    def items(self):
        while True:
            pass


class Keeper(GenServer):
    def init(self, *values):
        self.values = values
        self.last = "seen"

    def handle_info(self, message):
        raise ValueError(message)


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch):
    monkeypatch.setattr(reports, "_LONGEST", 0.1)
    monkeypatch.setattr(kernel.reasons, "_LONGEST", 0.1)
    reports._slow.clear()
    start_watchdog(5.0, None)  # none is killed as a hog: what ends it is its own limit
    yield
    stop_watchdog()


def texts(caplog):
    return {one.name: one.getMessage() for one in caplog.records if hasattr(one, "report")}


def crash(caplog, *values):
    caplog.set_level(logging.ERROR, "evergreen")
    pid = Keeper.start(*values)
    monitor(pid)
    send(pid, "no")
    return receive(5).reason, texts(caplog)


@pytest.mark.parametrize("value", [Endless(), EndlessDict(a=1)])
def test_a_repr_without_end_does_not_keep_a_crash_report(caplog, value):
    reason, said = crash(caplog, value, 7, "after it")
    assert isinstance(reason.exception, ValueError)
    name = type(value).__name__
    assert (
        f"'values': (<{name}: its repr takes too long>, 7, 'after it'), 'last': 'seen'"
        in said["evergreen.server"]
    )


def test_a_class_that_took_too_long_is_not_asked_again(caplog, monkeypatch):
    """A report of a thousand such values takes as long as one of them."""
    asked = []

    class Counting:
        def __repr__(self):
            asked.append(1)
            while True:
                pass

    for _ in range(3):
        assert format_term(
            [Counting(), Counting()]
        ) == "[<Counting: its repr takes too long>, <Counting: its repr takes too long>]".replace(
            "Counting", Counting.__qualname__
        )
    assert len(asked) == 1
    monkeypatch.setattr(reports, "_PAUSE", -1.0)
    reports._slow.clear()
    format_term(Counting())
    format_term(Counting())
    assert len(asked) == 3, "later it is, for its class may have been mended"


def test_an_exception_that_cannot_say_what_it_is():
    reason = Crash(Mute())
    assert reason.message == "<message not available: it took too long>"
    assert "too long" in reason.trace
    assert "too long" in snapshot.texts.brief(reason)


def test_a_repr_that_exits_does_not_change_the_reason(caplog):
    reason, said = crash(caplog, Leaving())
    assert isinstance(reason.exception, ValueError)
    assert "<Leaving: repr raised SystemExit>" in said["evergreen.server"]
    assert "evergreen.crash" in said


def test_a_look_at_a_process_is_not_held_either():
    pid = Keeper.start(Endless())
    send(pid, Endless())  # it will never be shown: the server ends by it
    seen = snapshot.process(pid)
    assert "too long" in seen.state
    assert "too long" in seen.messages[0]
    monitor(pid)
    settle()
    receive(5)


def test_whoever_is_to_end_is_not_kept_by_what_it_looks_at():
    """What ends a process from outside (Ctrl-C in a shell) is not taken for the repr's own failure."""

    class Enough(Ended):
        pass

    def look():
        kernel.guard(lambda held: Enough() if held > 0.1 else None)
        try:
            snapshot.process(pid)
        except Enough:
            return "ended"
        finally:
            kernel.unguard()

    pid = Keeper.start(Endless())
    assert look() == "ended"
    assert is_alive(pid)
    stop(pid)


def test_a_limit_holds_only_on_the_stack_that_set_it():
    """Who gives way inside is not limited, nor is whoever runs meanwhile."""
    spent = []

    def other():
        end = kernel.clock.now() + 0.4
        while kernel.clock.now() < end:
            pass
        spent.append(True)

    with kernel.limited(0.1):
        pid = kernel.spawn(other)
        monitor(pid)
        assert receive(5).reason == "normal"
    assert spent == [True]
