"""Elixir's DynamicSupervisor, restated: by the names of its own tests, and what its documentation promises."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import is_alive
from runtime.otp import supervisor
from runtime.otp.child_spec import BRUTAL_KILL, INFINITY, BadChildSpec, BadFlags, ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import (
    DynamicSupervisor, MaxChildren, NotFound, StartChildError, count_children, get_childspec, start_child, stop,
    terminate_child, which_children,
)  # fmt: skip
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import AlreadyStarted
from runtime.otp.supervisor import RESTARTING, Counts
from runtime.otp.supervisor_report import SupervisorReport
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    Later, Switch, child, deaf, end, ending, failing, ignored, pids, reason_of, slow, supervised, worker,
)  # fmt: skip


def spec(start: Any = worker, *args: Any, **options: Any) -> ChildSpec:
    return ChildSpec(None, (start, args), **options)


def dynamic(**options: Any) -> Any:
    kernel.trap_exit(True)
    return ending(DynamicSupervisor.start_link(**options))


class Echo(GenServer):
    """Answers with the arguments it was started with."""

    def init(self, *args: Any) -> None:
        self.args = args

    def handle_call(self, request: Any, sender: Any) -> Any:
        return self.args


# ---------------------------------------------------------------- the cases by name


def test_restarting_on_exit_children_counted_in_max_children() -> None:
    """Elixir DynamicSupervisor "restarting on exit children counted in max_children": one that is being restarted still
    has its place."""
    switch = Switch()
    with dynamic(max_children=1, intensity=1_000_000) as sup:
        pid = start_child(sup, spec(switch.start))
        switch.works = False
        kernel.exit(pid, "boom")
        assert [c.pid for c in which_children(sup)] == [RESTARTING]
        with pytest.raises(MaxChildren) as refused:
            start_child(sup, spec())
        assert refused.value.child == 1
        switch.works = True
        settle()
        with pytest.raises(MaxChildren):
            start_child(sup, spec())
        assert len(pids(sup)) == 1


def test_terminates_with_mixed_children(clock: VirtualClock) -> None:
    """Elixir DynamicSupervisor "terminates with mixed children": all are told at once, each has its own time, and no
    timer waits for those that are gone."""
    with dynamic() as sup:
        quick = start_child(sup, spec(shutdown=1.0))
        killed = start_child(sup, spec(deaf, shutdown=BRUTAL_KILL))
        endless = start_child(sup, spec(slow, 7.0, shutdown=INFINITY, type="supervisor"))
        short = [start_child(sup, spec(deaf, shutdown=1.0)) for _ in range(3)]
        longer = start_child(sup, spec(deaf, shutdown=3.0))
        in_time = start_child(sup, spec(slow, 2.0, shutdown=3.0))
        stopping = Later(stop, sup)
        assert reason_of(quick) == "shutdown"
        assert reason_of(killed) == "killed"
        clock.advance(0.99)
        assert all(map(is_alive, short))
        clock.advance(0.01)
        assert [reason_of(p) for p in short] == ["killed"] * 3
        assert is_alive(longer)
        clock.advance(1.0)
        assert reason_of(in_time) == "shutdown"
        clock.advance(1.0)
        assert reason_of(longer) == "killed"
        assert not stopping.done
        clock.advance(4.0)
        stopping.result()
        assert reason_of(endless) == "shutdown"
        assert reason_of(sup) == "normal"


def test_terminates_restarting_child() -> None:
    """Elixir DynamicSupervisor "terminates restarting child": by the pid it had; the attempts end."""
    switch = Switch()
    with dynamic(intensity=1_000_000) as sup:
        pid = start_child(sup, spec(switch.start))
        switch.works = False
        kernel.exit(pid, "boom")
        assert [c.pid for c in which_children(sup)] == [RESTARTING]
        terminate_child(sup, pid)
        settle()
        assert which_children(sup) == []
        attempts = switch.attempts
        settle()
        assert switch.attempts == attempts
        with pytest.raises(NotFound):
            terminate_child(sup, pid)


# ---------------------------------------------------------------- the rest of its API


def test_max_children() -> None:
    """Elixir "start_child with max_children": refused when full; a place is free again when a child has gone."""
    with dynamic(max_children=2) as sup:
        first = start_child(sup, spec(restart="temporary"))
        start_child(sup, spec())
        with pytest.raises(MaxChildren):
            start_child(sup, spec())
        end(first)
        start_child(sup, spec())
        with pytest.raises(MaxChildren):
            start_child(sup, spec())
    with dynamic(max_children=0) as sup, pytest.raises(MaxChildren):
        start_child(sup, spec())


def test_extra_arguments() -> None:
    """Elixir "extra_arguments": come before those of each spec, also after a restart."""
    with dynamic(extra_arguments=["common", 1], intensity=5) as sup:
        pid = start_child(sup, spec(Echo.start_link, "own"))
        assert kernel.call(pid, "args") == ("common", 1, "own")
        kernel.exit(pid, "kill")
        settle()
        (again,) = pids(sup)
        assert kernel.call(again, "args") == ("common", 1, "own")
        named = start_child(
            sup, ChildSpec(None, (Echo.start_link, (), {"name": "named"}), restart="temporary")
        )
        assert kernel.whereis("named") is named
        assert kernel.call("named", "args") == ("common", 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_children", -1), ("max_children", 1.5), ("max_children", True), ("max_children", "1"),
     ("intensity", -1), ("period", 0), ("extra_arguments", "args"), ("extra_arguments", None)],
)  # fmt: skip
def test_bad_options(key: str, value: Any) -> None:
    """Elixir "start_link with invalid options": refused before there is a process, naming key and value."""
    with pytest.raises(BadFlags) as refused:
        DynamicSupervisor.start_link(**{key: value})
    assert (refused.value.key, refused.value.value) == (key, value)


def test_child_specs() -> None:
    """Elixir "start_child with invalid child spec": refused; ids are ignored and may be missing or used twice."""
    with dynamic() as sup:
        faulty: list[Any] = [{}, {"start": worker}, {"start": (worker, ()), "restart": "x"}, 17, [], None]
        for one in faulty:
            with pytest.raises(BadChildSpec):
                start_child(sup, one)
        with pytest.raises(BadChildSpec) as refused:
            start_child(sup, spec(restart="temporary", significant=True))
        assert refused.value.key == "significant"
        start_child(sup, {"start": (worker, ())})
        start_child(sup, ChildSpec("same", (worker, ())))
        pid = start_child(sup, ChildSpec("same", (worker, ()), restart="transient"))
        assert [c.id for c in which_children(sup)] == [None] * 3
        assert get_childspec(sup, pid).restart == "transient"
        with pytest.raises(BadChildSpec):
            supervisor.start_child(sup, ("arguments",))


def test_start_child_refusals() -> None:
    """Elixir "start_child with ignored, with failure": nothing is kept, and the reason is told."""
    with dynamic() as sup:
        assert start_child(sup, spec(ignored)) is None
        with pytest.raises(StartChildError) as refused:
            start_child(sup, spec(failing, "why"))
        assert refused.value.reason == "why"
        taken = spec(lambda: Echo.start_link(name="taken"))
        pid = start_child(sup, taken)
        with pytest.raises(StartChildError) as refused:
            start_child(sup, taken)
        assert refused.value.reason == ("already_started", pid)
        assert pids(sup) == [pid]
        assert count_children(sup) == Counts(1, 1, 0, 1)


def test_a_child_that_ignores_its_restart_is_forgotten() -> None:
    """Elixir "child that ignores on restart": gone without a failure."""
    switch = Switch()
    with dynamic() as sup:
        pid = start_child(sup, spec(switch.start))
        switch.ignores = True
        end(pid)
        assert which_children(sup) == []
        assert is_alive(sup)


def test_terminate_child() -> None:
    """Elixir "terminate_child": by pid, once; others are not found; anything but a pid is refused."""
    with dynamic() as sup:
        pid, other = start_child(sup, spec()), start_child(sup, spec())
        terminate_child(sup, pid)
        assert reason_of(pid) == "shutdown"
        for stranger in (pid, kernel.self_(), sup):
            with pytest.raises(NotFound):
                terminate_child(sup, stranger)
        with pytest.raises(supervisor.NotSupported):
            terminate_child(sup, "id")
        assert pids(sup) == [other]


def test_temporary_children_share_what_is_kept_of_them() -> None:
    """RUNTIME §1, cases 40: a running temporary child costs one entry, whoever made its spec."""
    with dynamic() as sup:
        for i in range(10):
            start_child(sup, ChildSpec(i, (Echo.start_link, (i,)), restart="temporary"))
        plans = {id(plan) for plan in sup.behaviour.children.by_pid.values()}
        assert len(plans) == 1
        assert get_childspec(sup, pids(sup)[3]).start == (Echo.start_link, None, None)
        longer = start_child(sup, ChildSpec(11, (Echo.start_link, ()), restart="temporary", shutdown=9.0))
        assert get_childspec(sup, longer).shutdown == 9.0
        assert get_childspec(sup, pids(sup)[0]).shutdown == 5.0


def test_under_a_supervisor() -> None:
    """Elixir: a DynamicSupervisor is a child like any other, and its own exhaustion escalates."""
    one = ChildSpec(
        "users", (DynamicSupervisor.start_link, (), {"name": "users", "intensity": 0}), type="supervisor"
    )
    with supervised(SupFlags(), [one]) as top:
        users = child(top, "users")
        assert kernel.whereis("users") is users
        pid = start_child("users", spec())
        with pytest.raises(AlreadyStarted):
            DynamicSupervisor.start_link(name="users")
        end(pid)
        assert reason_of(users) == "shutdown"
        again = child(top, "users")
        assert kernel.whereis("users") is again
        assert which_children("users") == []


def test_all_that_failed_alike_is_one_report(caplog: pytest.LogCaptureFixture) -> None:
    """OTP supervisor simple_one_for_one: a stop of thousands does not drown the log."""

    def fails_in_terminate(text: str) -> Any:
        return Fails.start_link(text)

    class Fails(GenServer):
        def init(self, text: str) -> None:
            kernel.trap_exit(True)
            self.text = text

        def terminate(self, reason: Any) -> None:
            raise ValueError(self.text)

    with dynamic() as sup:
        for i in range(30):
            start_child(sup, spec(fails_in_terminate, "odd" if i % 3 else "even"))
        stop(sup)
    reports = [r.report for r in caplog.records if isinstance(getattr(r, "report", None), SupervisorReport)]  # type: ignore[attr-defined]
    assert sorted((r.reason.message, r.offender.count) for r in reports) == [("even", 10), ("odd", 20)]


def test_a_stop_with_a_full_mailbox_is_linear(clock: VirtualClock) -> None:
    """NUMBERS.md: stopping must not scan what is queued for each child: it takes each message once."""
    with dynamic() as sup:
        for _ in range(300):
            start_child(sup, spec(slow, 1.0))
        stopping = Later(stop, sup)
        for i in range(3_000):
            kernel.send(sup, i)
        asked = Later(which_children, sup)
        clock.advance(1.0)
        stopping.result()
        with pytest.raises(kernel.CallError) as failed:
            asked.result()
        assert failed.value.reason == "normal"


def test_the_parent_ends_it() -> None:
    """OTP.md A2: any exit of the parent ends it, and its children with shutdown."""
    made: list[Any] = []

    def parent() -> None:
        kernel.trap_exit(True)
        sup = DynamicSupervisor.start_link()
        made.extend([sup, start_child(sup, spec())])
        kernel.receive()

    pid = kernel.spawn(parent)
    settle()
    kernel.send(pid, "end")
    assert reason_of(made[0]) == "normal"
    assert reason_of(made[1]) == "shutdown"
