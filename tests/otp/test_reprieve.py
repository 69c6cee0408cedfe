"""Reprieve: a supervisor out of restarts waits while somebody mends what makes it fail, and gives up as OTP says if not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import Crash, Shutdown, is_alive
from runtime.otp import proc_lib, reprieve, sys
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.reprieve import GiveUp
from runtime.otp.supervisor import (
    RESTARTING, Restarting, Supervisor,
    count_children, delete_child, restart_child, start_child, terminate_child, which_children,
)  # fmt: skip
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    FORMS, Switch, Teller, child, end, ending, pids, raising, reason_of, reports, spec, supervised,
)  # fmt: skip

forms = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]


class Listener:
    """Says how long supervisors may wait; keeps what it was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answers: dict[Any, float] = {}
        self.asked: list[GiveUp] = []

    def __call__(self, about: GiveUp) -> float:
        self.asked.append(about)
        return self.answers.get(about.spec.id, self.seconds)


@contextmanager
def listening(seconds: float = 5.0) -> Iterator[Listener]:
    listener = Listener(seconds)
    reprieve._last = None  # what another test has just mended is no excuse in this one
    reprieve.on_give_up.append(listener)
    try:
        yield listener
    finally:
        reprieve.on_give_up.remove(listener)
        reprieve.end(False)
        settle()


def over(is_mended: bool) -> None:
    """End the reprieve, and wait until all that follows has happened."""
    assert reprieve.pending() is not None
    reprieve.end(is_mended)
    settle()


def wear_out(sup: Any, id: Any, times: int = 2) -> None:
    """Let a child fail until its supervisor (intensity 1) has no restart left."""
    for _ in range(times):
        end(child(sup, id))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_held_and_mended(strategy: Any, caplog: pytest.LogCaptureFixture) -> None:
    with listening() as listener, supervised(SupFlags(strategy, 1), [spec("a"), spec("b")]) as sup:
        wear_out(sup, "a")
        ((name, offender, reason),) = listener.asked
        assert (name, offender.id, reason) == (sup, "a", "boom")
        assert child(sup, "a") is RESTARTING
        assert is_alive(child(sup, "b"))
        assert count_children(sup).active == 1
        with pytest.raises(Restarting):
            restart_child(sup, "a")
        with pytest.raises(Restarting):
            delete_child(sup, "a")
        assert is_alive(start_child(sup, spec("c")))
        over(True)
        assert all(is_alive(pid) for pid in pids(sup))
        assert len(pids(sup)) == 3
        assert reports(caplog, "shutdown") == []
        end(child(sup, "a"))  # the budget is a fresh one
        assert is_alive(child(sup, "a"))
        listener.seconds = 0.0
        end(child(sup, "a"))
        assert reason_of(sup) == "shutdown"
        assert len(listener.asked) == 2


@forms
def test_held_and_mended_dynamic(form: Any) -> None:
    one = spec("a")
    with listening(), ending(form.start(one, intensity=1)) as sup:
        for _ in range(20):
            form.add(sup, one)
        before = pids(sup)
        for pid in before[:10]:
            end(pid)
        assert [pid for pid in pids(sup) if pid is RESTARTING] == [RESTARTING] * 9
        assert count_children(sup).active == 11
        terminate_child(sup, before[5])  # one that waits, by the pid that it had
        over(True)
        assert count_children(sup).active == 19
        assert all(is_alive(pid) for pid in pids(sup))
        end(pids(sup)[0])  # the budget is a fresh one
        assert RESTARTING not in pids(sup)


@forms
def test_a_dynamic_child_that_is_stopped_meanwhile_is_nobodys_failure(form: Any) -> None:
    one = spec("a")
    with listening(), ending(form.start(one, intensity=0)) as sup:
        pid = form.add(sup, one)
        end(pid)
        terminate_child(sup, pid)
        over(False)
        assert is_alive(sup)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("how", ["not mended", "time is up"])
def test_not_mended(strategy: Any, how: str, caplog: pytest.LogCaptureFixture, clock: VirtualClock) -> None:
    with listening(5.0), supervised(SupFlags(strategy, 1), [spec("a"), spec("b")]) as sup:
        wear_out(sup, "a")
        clock.advance(4.9)
        assert is_alive(sup)
        if how == "time is up":
            clock.advance(0.2)
            assert reprieve.pending() is None
        else:
            over(False)
        assert reason_of(sup) == "shutdown"
        (report,) = reports(caplog, "shutdown")
        assert (report.reason, report.offender.id) == ("reached_max_restart_intensity", "a")


@forms
def test_not_mended_dynamic(form: Any, caplog: pytest.LogCaptureFixture) -> None:
    one = spec("a")
    with listening(), ending(form.start(one, intensity=0)) as sup:
        end(form.add(sup, one))
        assert is_alive(sup)
        over(False)
        assert reason_of(sup) == "shutdown"
        assert len(reports(caplog, "shutdown")) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_who_is_told_no_gives_up_at_once(strategy: Any, clock: VirtualClock) -> None:
    with listening(0.0) as listener, supervised(SupFlags(strategy, 1), [spec("a")]) as sup:
        wear_out(sup, "a")
        assert reason_of(sup) == "shutdown"
        assert len(listener.asked) == 1
        assert clock._time.pending() == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_child_whose_start_fails_again_and_again(strategy: Any) -> None:
    switch = Switch()
    with (
        listening() as listener,
        supervised(SupFlags(strategy, 3), [spec("a", switch.start), spec("b")]) as sup,
    ):
        switch.works = False
        end(child(sup, "a"))
        assert [about.reason for about in listener.asked] == ["switched off"]
        tried = switch.attempts
        settle()
        assert switch.attempts == tried  # nobody tries while it is held
        switch.works = True
        over(True)
        assert all(is_alive(pid) for pid in pids(sup))
        assert switch.attempts == tried + 1


@forms
def test_a_start_that_fails_again_and_again_dynamic(form: Any) -> None:
    switch = Switch()
    one = spec("a", switch.start)
    with listening() as listener, ending(form.start(one, intensity=3)) as sup:
        pid = form.add(sup, one)
        switch.works = False
        end(pid)
        assert [about.reason for about in listener.asked] == ["switched off"]
        over(True)  # it is not: then it goes on as ever, until there is no restart left
        assert len(listener.asked) == 2
        switch.works = True
        over(True)
        assert count_children(sup).active == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_sibling_that_fails_meanwhile_waits_with_its_group(strategy: Any, clock: VirtualClock) -> None:
    """It may fail because the other one is missing; and its restart would start that one."""
    teller = Teller()
    specs = [spec(id, teller.start, id) for id in "abc"]
    with listening(60.0) as listener, supervised(SupFlags(strategy, 1), specs) as sup:
        wear_out(sup, "b")
        teller.events.clear()
        first = child(sup, "a")
        clock.advance(6.0)  # there are restarts left by now
        end(child(sup, "c"))
        assert teller.events == [("down", "c")]
        assert [child(sup, id) for id in "bc"] == [RESTARTING, RESTARTING]
        over(True)
        if strategy == "one_for_all":
            assert teller.events == [("down", "c"), ("down", "a"), ("up", "a"), ("up", "b"), ("up", "c")]
        else:
            assert teller.events == [("down", "c"), ("up", "b"), ("up", "c")]
            assert child(sup, "a") is first
        assert len(listener.asked) == 1
        end(child(sup, "a"))
        assert all(is_alive(pid) for pid in pids(sup))


def test_the_first_that_waits_is_stopped_and_its_sibling_is_started_all_the_same() -> None:
    with listening(), supervised(SupFlags("rest_for_one", 0), [spec("a"), spec("b")]) as sup:
        end(child(sup, "b"))
        end(child(sup, "a"))
        terminate_child(sup, "a")
        assert (child(sup, "a"), child(sup, "b")) == (None, RESTARTING)
        over(True)
        assert child(sup, "a") is None
        assert is_alive(child(sup, "b"))


def test_one_for_one_siblings_are_restarted_meanwhile(clock: VirtualClock) -> None:
    with listening(60.0) as listener, supervised(SupFlags("one_for_one", 1), [spec("a"), spec("b")]) as sup:
        wear_out(sup, "a")
        end(child(sup, "b"))  # no restart is left: it waits as well
        assert child(sup, "b") is RESTARTING
        over(True)
        wear_out(sup, "a")
        clock.advance(6.0)
        end(child(sup, "b"))
        assert is_alive(child(sup, "b"))
        assert child(sup, "a") is RESTARTING
        assert len(listener.asked) == 2


def test_a_child_that_is_stopped_meanwhile_is_nobodys_failure() -> None:
    with listening(), supervised(SupFlags(intensity=0), [spec("a"), spec("b")]) as sup:
        end(child(sup, "a"))
        terminate_child(sup, "a")
        assert child(sup, "a") is None
        restart_child(sup, "a")
        end(child(sup, "b"))
        assert child(sup, "b") is RESTARTING  # the wait goes on for whoever comes
        terminate_child(sup, "b")
        over(False)
        assert is_alive(sup)
        assert (is_alive(child(sup, "a")), child(sup, "b")) == (True, None)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_supervisor_that_is_stopped_meanwhile(how: str) -> None:
    with listening(), supervised(SupFlags(intensity=0), [spec("a"), spec("b")]) as sup:
        end(child(sup, "a"))
        other = child(sup, "b")
        if how == "stop":
            proc_lib.stop(sup)
        else:
            kernel.exit(sup, "kill")
        settle()
        assert not is_alive(sup)
        assert not is_alive(other)
        over(True)


def test_while_one_waits_whoever_would_give_up_waits() -> None:
    """It may fail because of what is missing there."""
    with listening() as listener, supervised(SupFlags(intensity=0), [spec("a")]) as one:
        with supervised(SupFlags(intensity=0), [spec("b")]) as two:
            end(child(one, "a"))
            listener.seconds = 0.0
            end(child(two, "b"))
            assert len(listener.asked) == 1
            assert child(two, "b") is RESTARTING
            over(True)
            assert is_alive(child(one, "a"))
            assert is_alive(child(two, "b"))


def test_who_comes_a_moment_late_has_its_share_once(clock: VirtualClock) -> None:
    """Its mailbox may have been full of ends of before."""
    with listening() as listener, supervised(SupFlags(intensity=0), [spec("a")]) as one:
        flags = SupFlags(intensity=0)
        with supervised(flags, [spec("b")]) as two, supervised(flags, [spec("c")]) as three:
            end(child(one, "a"))
            over(True)
            listener.seconds = 0.0
            end(child(two, "b"))
            assert is_alive(child(two, "b"))
            end(child(two, "b"))
            assert reason_of(two) == "shutdown"
            clock.advance(1.0)
            end(child(three, "c"))
            assert reason_of(three) == "shutdown"


def test_what_is_in_the_mailbox_before_the_end_is_of_before() -> None:
    """A hundred children end at once, and the end comes before the supervisor has heard of the last."""
    one = spec("a")
    form = FORMS[0]
    with listening() as listener, ending(form.start(one, intensity=3)) as sup:
        all_of_them = [form.add(sup, one) for _ in range(100)]
        sys.suspend(sup)
        for pid in all_of_them[:50]:
            kernel.exit(pid, "kill")
        sys.resume(sup)
        while reprieve.pending() is None:
            kernel.yield_()
        for pid in all_of_them[50:]:
            kernel.exit(pid, "kill")
        over(True)
        assert count_children(sup).active == 100
        assert len(listener.asked) == 1


def test_a_suspended_supervisor_goes_on_when_it_is_resumed(clock: VirtualClock) -> None:
    with listening(5.0), supervised(SupFlags(intensity=0), [spec("a")]) as sup:
        end(child(sup, "a"))
        sys.suspend(sup)
        over(True)
        clock.advance(20.0)
        sys.resume(sup)
        settle()
        assert is_alive(child(sup, "a"))


def test_a_supervisor_below_fails_to_start() -> None:
    """The failure climbs: the one above is asked, with the reason from below in it."""
    bad = Switch()

    def below() -> Any:
        return Supervisor.start_link_with(SupFlags(intensity=0), [spec("leaf", bad.start)])

    with listening() as listener:
        listener.answers = {"leaf": 0.0}
        specs = [ChildSpec("below", (below, ()), type="supervisor"), spec("other")]
        with supervised(SupFlags(intensity=2), specs) as sup:
            other = child(sup, "other")
            bad.works = False
            end(pids(child(sup, "below"))[0])
            assert [about.spec.id for about in listener.asked] == ["leaf", "below"]
            assert listener.asked[1].reason == Shutdown(("failed_to_start_child", "leaf", "switched off"))
            bad.works = True
            over(True)
            assert is_alive(pids(child(sup, "below"))[0])
            assert child(sup, "other") is other


def test_the_reason_is_that_of_the_last_failure() -> None:
    with listening() as listener, supervised(SupFlags(intensity=1), [spec("a", raising_later())]) as sup:
        end(child(sup, "a"))
        (about,) = listener.asked
        assert isinstance(about.reason, Crash)
        assert about.reason.error == "ValueError"


def raising_later() -> Any:
    switch = Switch()

    def start() -> Any:
        if switch.attempts:
            return raising()
        return switch.start()

    return start


@pytest.mark.parametrize("reason", ["boom", "normal"])
def test_those_that_are_not_restarted_are_not_asked_about(reason: Any) -> None:
    """Temporary ones; transient ones that end well; significant ones that take their supervisor along."""
    with listening() as listener:
        flags = SupFlags(intensity=0, auto_shutdown="any_significant")
        quiet = [spec("t", restart="temporary"), spec("n", restart="transient")]
        with supervised(flags, [*quiet, spec("s", restart="temporary", significant=True)]) as sup:
            end(child(sup, "t"), reason)
            end(child(sup, "n"), "normal")
            assert is_alive(sup)
            end(child(sup, "s"), reason)
            assert reason_of(sup) == "shutdown"
        assert listener.asked == []


def test_random_stories(clock: VirtualClock) -> None:
    """Whatever is done meanwhile: the invariants hold, a good end starts all that waits, a bad one ends who has some."""
    rng = random.Random(7)
    for _ in range(150):
        strategy = rng.choice(STRATEGIES)
        switches = {id: Switch() for id in "abcd"}
        specs = [
            spec(id, switch.start, restart=rng.choice(["permanent", "transient", "temporary"]))
            for id, switch in switches.items()
        ]
        with (
            listening(rng.choice([0.0, 1.0, 5.0, 5.0])),
            supervised(SupFlags(strategy, rng.randrange(3)), specs) as sup,
        ):
            for _ in range(rng.randrange(4, 25)):
                _anything(rng, sup, switches, clock)
                if not is_alive(sup):
                    break
                engine = sup.behaviour.children  # type: ignore[attr-defined]
                engine._check()
                waiting = {info.id for info in which_children(sup) if info.pid is RESTARTING}
                assert waiting == set(engine.hold.keys)
                assert not waiting or reprieve.pending() is not None


def _anything(rng: random.Random, sup: Any, switches: dict[str, Switch], clock: VirtualClock) -> None:
    id = rng.choice("abcd")
    match rng.randrange(7):
        case 0 | 1 | 2:
            living = [pid for pid in pids(sup) if is_alive_pid(pid)]
            if living:
                end(rng.choice(living), rng.choice(["boom", "boom", "normal"]))
        case 3:
            switches[id].works = not switches[id].works
        case 4:
            if any(info.id == id for info in which_children(sup)):
                terminate_child(sup, id)
        case 5:
            clock.advance(rng.choice([0.1, 2.0, 6.0]))
        case 6:
            if reprieve.pending() is not None:
                for switch in switches.values():
                    switch.works = True
                had = bool(sup.behaviour.children.hold.keys)
                is_mended = rng.random() < 0.7
                over(is_mended)
                assert is_alive(sup) == (is_mended or not had)
                if is_alive(sup):
                    assert RESTARTING not in pids(sup)


def is_alive_pid(pid: Any) -> bool:
    return pid is not None and pid is not RESTARTING and is_alive(pid)
