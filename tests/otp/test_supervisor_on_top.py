"""What no suite of OTP's covers: the intensity curve to its edges, who may end a supervisor, stubborn children."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import Exit, Shutdown, is_alive
from runtime.otp import proc_lib, supervisor, sys
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.outcome import StartError
from runtime.otp.restart_intensity import RestartIntensity
from runtime.otp.supervisor import RESTARTING, Supervisor
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    FORMS, Dynamic, Later, Switch, child, end, ending, pids, reason_of, stubborn, supervised, worker,
)  # fmt: skip

WORKER = ChildSpec("w", (worker, ()))

# ---------------------------------------------------------------- intensity


@pytest.mark.parametrize("intensity", [0, 1, 2, 3, 10])
def test_intensity_survives_i_deaths_and_dies_at_the_next(clock: VirtualClock, intensity: int) -> None:
    """OTP.md A2: intensity I survives I deaths and dies at death I+1 (0→1, 1→2, 2→3, 3→4), reason shutdown."""
    with supervised(SupFlags(intensity=intensity), [WORKER]) as sup:
        for _ in range(intensity):
            end(child(sup, "w"))
            assert is_alive(sup)
        end(child(sup, "w"))
        assert reason_of(sup) == "shutdown"


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("intensity", [0, 1, 3])
def test_intensity_of_dynamic_children(clock: VirtualClock, form: Any, intensity: int) -> None:
    """OTP.md A2: all children share one budget, also under a dynamic supervisor."""
    sup = form.start(WORKER, intensity=intensity)
    others = [form.add(sup, WORKER) for _ in range(intensity + 1)]
    for pid in others[:-1]:
        end(pid)
        assert is_alive(sup)
    end(others[-1])
    assert reason_of(sup) == "shutdown"


def test_a_restart_exactly_one_period_old_still_counts(clock: VirtualClock) -> None:
    """OTP.md A2: keep restart times >= now - period: the edge belongs to the period."""
    with supervised(SupFlags(intensity=1, period=5.0), [WORKER]) as sup:
        end(child(sup, "w"))
        clock.advance(5.0)
        end(child(sup, "w"))
        assert reason_of(sup) == "shutdown"


def test_a_restart_just_older_than_the_period_is_forgotten(clock: VirtualClock) -> None:
    """OTP.md A2: the clock counts fractions of seconds, not OTP 25's whole ones."""
    with supervised(SupFlags(intensity=1, period=5.0), [WORKER]) as sup:
        for _ in range(20):
            end(child(sup, "w"))
            clock.advance(5.001)
        assert is_alive(sup)


def test_the_window_slides(clock: VirtualClock) -> None:
    """OTP.md A2: what counts is any stretch of one period, not the calendar: 0, 4, 6 s are never 3 within 5 s."""
    with supervised(SupFlags(intensity=2, period=5.0), [WORKER]) as sup:
        for pause in (0.0, 4.0, 2.0, 4.0, 2.0, 4.0):
            clock.advance(pause)
            end(child(sup, "w"))
            assert is_alive(sup)
        clock.advance(0.5)
        end(child(sup, "w"))
        assert reason_of(sup) == "shutdown"


def test_the_budget_keeps_no_more_than_intensity_times() -> None:
    """NUMBERS.md: thousands of restarts within a period must not make each one dearer: a bounded deque."""
    budget = RestartIntensity(3, 5.0)
    now = 0.0
    for _ in range(10_000):
        now += 2.0
        assert budget.spend(now)
        assert len(budget._times) <= 3
    assert budget.recent(now) == 3
    assert not budget.spend(now)


def test_a_smaller_budget_counts_what_has_been(clock: VirtualClock) -> None:
    """OTP.md A2: changed flags take effect at once, on the restarts so far."""
    budget = RestartIntensity(5, 10.0)
    for now in (1.0, 2.0, 3.0):
        assert budget.spend(now)
    budget.change(2, 10.0)
    assert not budget.spend(3.5)
    budget.change(4, 10.0)
    assert budget.spend(3.5)


def test_failed_attempts_cost_restarts_too(clock: VirtualClock) -> None:
    """OTP.md A2: every failed restart attempt counts too (intensity 5: 1 start + 5 retries)."""
    switch = Switch()
    with supervised(SupFlags(intensity=5), [ChildSpec("s", (switch.start, ()))]) as sup:
        switch.works = False
        end(child(sup, "s"))
        assert reason_of(sup) == "shutdown"
        assert switch.attempts == 1 + 5


# ---------------------------------------------------------------- parent and strangers


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown("x"), "boom"])
def test_any_exit_of_the_parent_ends_it(reason: Any) -> None:
    """OTP.md A2: parent exit(Sup, R) ends it for any R incl. normal."""
    with supervised(SupFlags(), [WORKER]) as sup:
        pid = child(sup, "w")
        kernel.exit(sup, reason)  # this test's process is the parent
        assert reason_of(sup) == reason
        assert reason_of(pid) == "shutdown"


@pytest.mark.parametrize("reason", ["normal", "shutdown", "boom"])
def test_an_exit_of_a_stranger_is_ignored(reason: Any) -> None:
    """OTP.md A2: a stranger's exit is ignored except kill."""
    with supervised(SupFlags(), [WORKER]) as sup:
        before = pids(sup)
        kernel.spawn(kernel.exit, sup, reason)
        settle()
        assert pids(sup) == before


def test_a_kill_of_a_stranger_ends_it_and_its_children() -> None:
    """OTP.md A1, A2: kill cannot be trapped; the children die of the link, reason killed."""
    with supervised(SupFlags(), [WORKER]) as sup:
        pid = child(sup, "w")
        kernel.spawn(kernel.exit, sup, "kill")
        assert reason_of(sup) == "killed"
        assert reason_of(pid) == "killed"


def test_a_parent_that_ends_normally_takes_its_supervisor_along() -> None:
    """OTP.md A2: the parent's own end is an exit of the parent, whatever the reason."""
    made: list[Any] = []

    def parent() -> None:
        made.append(Supervisor.start_link_with(SupFlags(), [WORKER]))

    kernel.spawn(parent)
    settle()
    assert reason_of(made[0]) == "normal"


def test_a_living_child_that_signals_its_supervisor_is_not_taken_for_dead() -> None:
    """Ours, where OTP starts a second one beside it: an Exit from a living child is a stranger's."""
    with supervised(SupFlags(), [WORKER]) as sup:
        pid = child(sup, "w")
        kernel.send(sup, Exit(pid, "boom"))
        settle()
        assert pids(sup) == [pid]
    sup = Dynamic.start(WORKER)
    with ending(sup):
        pid = Dynamic.add(sup, WORKER)
        kernel.send(sup, Exit(pid, "boom"))
        settle()
        assert pids(sup) == [pid]


def test_strange_messages_do_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """OTP supervisor: an unexpected message is logged; ours also survives calls that are no requests."""
    with supervised(SupFlags(), [WORKER]) as sup:
        kernel.send(sup, "hello")
        kernel.cast(sup, "hello")
        with pytest.raises(kernel.CallError):
            kernel.call(sup, "hello")
        with pytest.raises(kernel.CallError):
            kernel.call(sup, ("start_child", WORKER))
        assert len(pids(sup)) == 1
        assert len([r for r in caplog.records if r.name == "evergreen.supervisor"]) == 2


# ---------------------------------------------------------------- stubborn children


def test_a_stubborn_child_is_killed_when_its_time_is_over(clock: VirtualClock) -> None:
    """cases, on top: an `except BaseException` loop is declared dead at once, and the supervisor goes on."""
    specs = [WORKER, ChildSpec("stubborn", (stubborn, ()), shutdown=2.0)]
    with supervised(SupFlags(), specs) as sup:
        first, hard = pids(sup)
        stopping = Later(proc_lib.stop, sup)
        clock.advance(1.9)
        assert is_alive(hard)
        assert is_alive(first)
        clock.advance(0.2)
        stopping.result()
        assert reason_of(hard) == "killed"
        assert reason_of(first) == "shutdown"


def test_terminate_child_of_a_stubborn_one_returns(clock: VirtualClock) -> None:
    """OTP.md A2: monitor, exit(shutdown), wait, exit(kill), wait DOWN; the supervisor serves again afterwards."""
    with supervised(
        SupFlags(), [ChildSpec("stubborn", (stubborn, ()), shutdown="brutal_kill"), WORKER]
    ) as sup:
        hard = child(sup, "stubborn")
        supervisor.terminate_child(sup, "stubborn")
        assert reason_of(hard) == "killed"
        assert child(sup, "stubborn") is None


# ---------------------------------------------------------------- serving while restarting, sys


def test_it_serves_between_two_attempts(clock: VirtualClock) -> None:
    """OTP.md A2: a failing restart re-casts to itself, so the supervisor still serves requests meanwhile."""
    switch = Switch()
    with supervised(SupFlags(intensity=1_000_000), [ChildSpec("s", (switch.start, ())), WORKER]) as sup:
        switch.works = False
        kernel.exit(child(sup, "s"), "boom")
        before = switch.attempts
        assert child(sup, "s") is RESTARTING
        assert supervisor.count_children(sup).active == 1
        assert switch.attempts > before
        switch.works = True
        settle()
        assert is_alive(child(sup, "s"))


def test_sys_works_on_supervisors() -> None:
    """OTP.md A4: get_state, get_status, suspend and resume work on any process of the tree."""
    with supervised(SupFlags(), [WORKER], name="top") as sup:
        pid = child(sup, "w")
        assert list(sys.get_state(sup)["children"].by_id) == ["w"]
        sys.suspend(sup)
        assert sys.get_status("top").status == "suspended"
        end(pid)
        held = Later(supervisor.which_children, sup)
        assert not held.done
        sys.resume(sup)
        settle()
        assert is_alive(held.result()[0].pid)
        assert held.result()[0].pid is not pid
        assert sys.get_status(sup).status == "running"
        assert "tests.support" not in repr(sys.get_status(sup).state)  # what a spec holds may be secret


def test_reports_and_status_name_the_class_that_was_started() -> None:
    """STYLE.md: a stranger on call must find the file from the name in the crash report."""

    class Named(Supervisor):
        def init(self) -> Any:
            return SupFlags(), []

    kernel.trap_exit(True)
    for sup, name in ((Named.start_link(), "Named"), (DynamicSupervisor.start_link(), "DynamicSupervisor")):
        assert sup is not None
        with ending(sup):
            assert sys.get_status(sup).module.endswith(name)
            assert proc_lib.initial_call(sup).endswith(f"{name}.init")


def test_a_suspended_supervisor_still_ends_with_its_parent() -> None:
    """OTP.md A4: suspended serves only system messages and parent EXIT."""
    with supervised(SupFlags(), [WORKER]) as sup:
        sys.suspend(sup)
        kernel.exit(sup, "shutdown")
        assert reason_of(sup) == "shutdown"


def test_a_start_function_may_do_anything_but_end_the_supervisor() -> None:
    """OTP supervisor: whatever the start function does is its failure, told to who asked for it."""
    with supervised(SupFlags(), [WORKER]) as sup:

        def rude(how: Any) -> Any:
            return how()

        def exits() -> None:
            raise kernel.ProcessExit("rude")

        cases: list[tuple[Any, Any]] = [
            (exits, "rude"),
            (lambda: 17, ("bad_return_value", 17)),
            (lambda: (1, 2, 3), ("bad_return_value", (1, 2, 3))),
        ]
        for how, why in cases:
            with pytest.raises(supervisor.StartChildError) as refused:
                supervisor.start_child(sup, ChildSpec("rude", (rude, (how,))))
            assert refused.value.reason == why
        with pytest.raises(supervisor.StartChildError) as refused:
            supervisor.start_child(sup, ChildSpec("rude", (worker, (), {"no_such": 1})))
        assert refused.value.reason.error == "TypeError"
        with pytest.raises(supervisor.StartChildError) as refused:
            supervisor.start_child(sup, ChildSpec("rude", (worker, (), {"name": None}), modules=[]))
            supervisor.start_child(sup, ChildSpec("deep", (Supervisor.start_link_with, (SupFlags(), [
                ChildSpec("x", (failing_start, ()))]))))  # fmt: skip
        assert refused.value.reason == Shutdown(("failed_to_start_child", "x", "why"))
        assert len(pids(sup)) == 2


def failing_start() -> Any:
    raise StartError("why")


def test_a_call_from_inside_init_can_wait_for_a_slow_sibling(clock: VirtualClock) -> None:
    """RUNTIME §3: a supervisor that waits in a start function holds no other supervisor up."""

    def slow_start() -> Any:
        kernel.sleep(10)
        return worker()

    with supervised() as one, supervised(SupFlags(), [WORKER]) as other:
        starting = Later(supervisor.start_child, one, ChildSpec("slow", (slow_start, ())))
        assert len(pids(other)) == 1
        assert not starting.done
        clock.advance(10)
        assert is_alive(starting.result())


def test_the_link_holds_while_a_stop_waits() -> None:
    """OTP 25 supervisor: a child that is still cleaning up hears of its supervisor's own end."""
    heard: list[Any] = []

    def cleaner() -> Any:
        def body() -> None:
            kernel.trap_exit(True)
            proc_lib.init_ack()
            heard.append(kernel.receive().reason)
            heard.append(kernel.receive().reason)

        return proc_lib.start_link(body)

    with supervised(SupFlags(), [ChildSpec("cleaner", (cleaner, ()), shutdown=float("inf"))]) as sup:
        Later(proc_lib.stop, sup)
        kernel.exit(sup, "kill")
        settle()
        assert heard == ["shutdown", "killed"]


def test_a_supervisor_killed_in_a_start_function_says_nothing_more(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """OTP.md A1: dead is dead: the start that was going on is no failed start, and nobody is told of one."""

    def endless() -> Any:
        kernel.sleep(10)

    with supervised(SupFlags(), [WORKER]) as sup:
        starting = Later(supervisor.start_child, sup, ChildSpec("endless", (endless, ())))
        kernel.exit(sup, "kill")
        settle()
        with pytest.raises(kernel.CallError) as failed:
            starting.result()
        assert failed.value.reason == "killed"
    switch = Switch()

    def second_endless() -> Any:
        return switch.start() if switch.attempts == 0 else endless()

    with supervised(SupFlags(), [ChildSpec("endless", (second_endless, ()))]) as sup:
        end(child(sup, "endless"))
        kernel.exit(sup, "kill")
        settle()
    assert [r.report.context for r in caplog.records if r.name == "evergreen.supervisor"] == [
        "child_terminated"
    ]  # type: ignore[attr-defined]
