"""OTP's supervisor_SUITE, restated: one test per case, by the case's name. Restarts, strategies, counts, growth."""

from __future__ import annotations

import gc
import weakref
from time import process_time
from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import Shutdown, is_alive
from runtime.otp import application, proc_lib
from runtime.otp.application import Application
from runtime.otp.child_spec import BRUTAL_KILL, INFINITY, BadChildSpec, ChildSpec, SupFlags
from runtime.otp.supervisor import (
    RESTARTING, Counts, NotFound, Restarting, Supervisor,
    count_children, delete_child, get_childspec, restart_child, start_child, terminate_child, which_children,
)  # fmt: skip
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    FORMS, OWN_ENDS, Later, Simple, Switch, Teller, child, end, ending, failing, ids, ignored,
    pids, reason_of, reports, slow, spec, supervised, unlinker, worker,
)  # fmt: skip

forms = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)

GROUPS = ["one_for_one", "one_for_all", "rest_for_one"]

# ---------------------------------------------------------------- restart types


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
def test_permanent(reason: Any) -> None:
    """supervisor_SUITE permanent_normal, permanent_shutdown, permanent_abnormal: always restarted."""
    with supervised(None, [spec("a")]) as sup:
        pid = child(sup, "a")
        end(pid, reason)
        assert is_alive(child(sup, "a"))
        assert child(sup, "a") is not pid
        assert count_children(sup) == Counts(1, 1, 0, 1)


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
def test_transient(reason: Any) -> None:
    """supervisor_SUITE transient_normal, transient_shutdown, transient_abnormal: only the abnormal one restarts."""
    with supervised(None, [spec("a", restart="transient")]) as sup:
        pid = child(sup, "a")
        end(pid, reason)
        new = child(sup, "a")
        assert (new is None) == (reason != "boom")
        assert new is not pid
        assert count_children(sup) == Counts(1, int(new is not None), 0, 1)


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
def test_temporary(reason: Any, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE temporary_normal, temporary_shutdown, temporary_abnormal: never restarted, spec dropped."""
    with supervised(None, [spec("a", restart="temporary")]) as sup:
        end(child(sup, "a"), reason)
        assert which_children(sup) == []
        assert count_children(sup) == Counts(0, 0, 0, 0)
        assert [r.reason for r in reports(caplog, "child_terminated")] == (
            ["boom"] if reason == "boom" else []
        )


@forms
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
def test_restart_types_simple(form: Any, restart: Any, reason: Any) -> None:
    """supervisor_SUITE permanent_*, transient_*, temporary_* hold for dynamic children as well."""
    one = spec("a", restart=restart)
    with ending(form.start(one)) as sup:
        pid = form.add(sup, one)
        end(pid, reason)
        again = restart == "permanent" or (restart == "transient" and reason == "boom")
        assert count_children(sup).active == int(again)
        assert pid not in pids(sup)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_temporary_bystander(strategy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE temporary_bystander: dropped by group strategies, not restarted; those after it are."""
    specs = [spec("a"), spec("b", restart="temporary"), spec("c")]
    with supervised(SupFlags(strategy), specs) as sup:
        a, b, c = pids(sup)
        end(a)
        assert ids(sup) == ["a", "c"]
        assert all(map(is_alive, pids(sup)))
        assert not {a, c} & set(pids(sup))
        assert reason_of(b) == "shutdown"
    assert reports(caplog, "start_error") == []


def test_faulty_application_shutdown() -> None:
    """supervisor_SUITE faulty_application_shutdown: the nested reason reaches the start of the application."""
    kernel.trap_exit(True)

    class Inner(Supervisor):
        def init(self) -> Any:
            return SupFlags(), [spec("app1", failing, "start_failed")]

    class Outer(Supervisor):
        def init(self) -> Any:
            return SupFlags(), [spec("inner", Inner.start_link, type="supervisor")]

    class Faulty(Application):
        name = "faulty"

        def start(self, start_type: str, config: Any) -> Any:
            return Outer.start_link()

    with ending_controller():
        application.load(Faulty)
        with pytest.raises(application.StartFailed) as failed:
            application.start("faulty")
    inner = Shutdown(("failed_to_start_child", "app1", "start_failed"))
    assert repr(Shutdown(("failed_to_start_child", "inner", inner))) in repr(failed.value.reason)


class ending_controller:
    """The application controller for the length of a block."""

    def __enter__(self) -> None:
        self.pid = application.start_controller()

    def __exit__(self, *_error: Any) -> None:
        proc_lib.stop(self.pid)


# ---------------------------------------------------------------- strategies


def test_multiple_restarts(clock: VirtualClock) -> None:
    """supervisor_SUITE multiple_restarts: spaced restarts never escalate, however many."""
    with supervised(SupFlags(intensity=1, period=1.0), [spec("a")]) as sup:
        for _ in range(30):
            end(child(sup, "a"))
            clock.advance(1.1)
        assert is_alive(sup)


def test_one_for_one() -> None:
    """supervisor_SUITE one_for_one: only the dead one; the third death at intensity 2 ends it."""
    with supervised(SupFlags(intensity=2), [spec("a"), spec("b")]) as sup:
        a, b = pids(sup)
        end(a)
        assert child(sup, "b") is b
        assert child(sup, "a") is not a
        assert is_alive(child(sup, "a"))
        end(child(sup, "a"))
        assert is_alive(sup)
        end(b)
        assert reason_of(sup) == "shutdown"
        assert reason_of(b) == "boom"


@pytest.mark.parametrize("strategy", GROUPS)
def test_escalation(strategy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE one_for_one_escalation, one_for_all_escalation, rest_for_one_escalation: a failing restart
    exhausts the intensity, and the siblings die."""
    switch = Switch()
    specs = [spec("a"), spec("b", switch.start), spec("c")]
    with supervised(SupFlags(strategy, intensity=4), specs) as sup:
        a, b, c = pids(sup)
        switch.works = False
        end(b)
        assert reason_of(sup) == "shutdown"
        assert reason_of(a) == reason_of(c) == "shutdown"
        assert switch.attempts == 1 + 4
    (report,) = reports(caplog, "shutdown")
    assert report.reason == "reached_max_restart_intensity"
    assert len(reports(caplog, "start_error")) == 4


@forms
def test_simple_one_for_one_escalation(form: Any) -> None:
    """supervisor_SUITE simple_one_for_one_escalation: the same for dynamic children."""
    switch = Switch()
    one = spec("a", switch.start)
    with ending(form.start(one, intensity=4)) as sup:
        first, second = form.add(sup, one), form.add(sup, one)
        switch.works = False
        end(first)
        assert reason_of(sup) == "shutdown"
        assert reason_of(second) == "shutdown"


@forms
def test_simple_one_for_one(form: Any) -> None:
    """supervisor_SUITE simple_one_for_one, simple_one_for_one_extra: only the dead one; third death at intensity 2."""
    one = spec("a")
    with ending(form.start(one, intensity=2)) as sup:
        first, second = form.add(sup, one, "x"), form.add(sup, one, "y")
        end(first)
        left = pids(sup)
        assert second in left
        assert len(left) == 2
        end(second)
        end(pids(sup)[0])
        assert reason_of(sup) == "shutdown"


def test_one_for_all() -> None:
    """supervisor_SUITE one_for_all: all pids are new."""
    with supervised(SupFlags("one_for_all", intensity=2), [spec(i) for i in range(3)]) as sup:
        before = pids(sup)
        end(before[1])
        after = pids(sup)
        assert not set(before) & set(after)
        assert all(map(is_alive, after))
        assert [reason_of(p) for p in before] == ["shutdown", "boom", "shutdown"]
        end(after[0])
        end(pids(sup)[2])
        assert reason_of(sup) == "shutdown"


def test_one_for_all_other_child_fails_restart() -> None:
    """supervisor_SUITE one_for_all_other_child_fails_restart: the sibling restarted already is stopped again."""
    teller, switch = Teller(), Switch()

    def second() -> Any:
        switch.attempt()
        return teller.start("b")

    with supervised(
        SupFlags("one_for_all", intensity=3), [spec("a", teller.start, "a"), spec("b", second)]
    ) as sup:
        b = child(sup, "b")
        teller.events.clear()
        switch.works = False
        kernel.exit(b, "kill")
        while teller.events.count(("up", "a")) < 2:
            kernel.yield_()
        switch.works = True
        settle()
        assert all(map(is_alive, pids(sup)))
    ups_and_downs = [e for e in teller.events if e[1] == "a"]
    assert ups_and_downs[:4] == [("down", "a"), ("up", "a"), ("down", "a"), ("up", "a")]


def test_rest_for_one() -> None:
    """supervisor_SUITE rest_for_one: only later children are cycled."""
    with supervised(SupFlags("rest_for_one", intensity=2), [spec(i) for i in range(3)]) as sup:
        before = pids(sup)
        end(before[1])
        after = pids(sup)
        assert after[0] is before[0]
        assert not {before[1], before[2]} & set(after)
        assert all(map(is_alive, after))
        assert ids(sup) == [0, 1, 2]
        end(after[2])
        assert pids(sup)[:2] == after[:2]
        end(after[0])
        assert reason_of(sup) == "shutdown"


def test_rest_for_one_other_child_fails_restart() -> None:
    """supervisor_SUITE rest_for_one_other_child_fails_restart: an earlier restarted child is *not* cycled."""
    teller, switch = Teller(), Switch()

    def second() -> Any:
        switch.attempt()
        return teller.start("b")

    specs = [spec("a", teller.start, "a"), spec("b", second), spec("c", teller.start, "c")]
    with supervised(SupFlags("rest_for_one", intensity=10), specs) as sup:
        teller.events.clear()
        switch.works = False
        kernel.exit(child(sup, "a"), "boom")
        while switch.attempts < 4:
            kernel.yield_()
        switch.works = True
        settle()
        assert all(map(is_alive, pids(sup)))
        downs_and_ups = [e for e in teller.events if e[1] == "a"]
        assert downs_and_ups == [("down", "a"), ("up", "a")]
        assert [e for e in teller.events if e[1] == "c"] == [("down", "c"), ("up", "c")]


def test_order_of_children() -> None:
    """supervisor_SUITE order_of_children: start order, reverse stop, also for a part of them."""
    teller = Teller()
    specs = [spec(i, teller.start, i) for i in range(1, 6)]
    with supervised(SupFlags("rest_for_one", intensity=5), specs) as sup:
        assert ids(sup) == [1, 2, 3, 4, 5]
        assert teller.events == [("up", i) for i in (1, 2, 3, 4, 5)]
        teller.events.clear()
        kernel.exit(child(sup, 3), "kill")
        settle()
        assert teller.events == [("down", 5), ("down", 4), ("up", 3), ("up", 4), ("up", 5)]
        teller.events.clear()
        proc_lib.stop(sup)
        assert teller.events == [("down", i) for i in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize("strategy", ["one_for_all", "one_for_one"])
def test_order_of_children_after_restarts(strategy: Any) -> None:
    """supervisor_SUITE order_of_children: a restarted child keeps its place."""
    teller = Teller()
    with supervised(SupFlags(strategy, intensity=5), [spec(i, teller.start, i) for i in (1, 2, 3)]) as sup:
        kernel.exit(child(sup, 1), "kill")
        settle()
        terminate_child(sup, 2)
        restart_child(sup, 2)
        assert ids(sup) == [1, 2, 3]
        teller.events.clear()
        proc_lib.stop(sup)
        assert teller.events == [("down", 3), ("down", 2), ("down", 1)]


@forms
def test_simple_one_for_one_shutdown(form: Any, clock: VirtualClock) -> None:
    """supervisor_SUITE simple_one_for_one_shutdown: all at once: as long as the slowest, not as their sum."""
    one = spec("a", slow, shutdown=10.0)
    with ending(form.start(one)) as sup:
        for i in range(50):
            form.add(sup, one, 1.0 + i / 100)
        stopping = Later(proc_lib.stop, sup)
        clock.advance(1.48)
        assert not stopping.done
        clock.advance(0.02)
        stopping.result()


# ---------------------------------------------------------------- failing restarts


@pytest.mark.parametrize("strategy", GROUPS)
def test_hanging_restart_loop(strategy: Any) -> None:
    """supervisor_SUITE hanging_restart_loop, hanging_restart_loop_rest_for_one: it answers, shows restarting, and the
    child can be terminated."""
    switch = Switch()
    specs = [spec("a"), spec("b", switch.start), spec("c")]
    with supervised(SupFlags(strategy, intensity=1_000_000), specs) as sup:
        switch.works = False
        kernel.exit(child(sup, "b"), "boom")
        assert child(sup, "b") is RESTARTING
        assert child(sup, "a") not in (None, RESTARTING)
        assert (child(sup, "c") is None) == (strategy != "one_for_one")
        with pytest.raises(Restarting):
            restart_child(sup, "b")
        with pytest.raises(Restarting):
            delete_child(sup, "b")
        added = start_child(sup, spec("d"))
        assert is_alive(added) or strategy != "one_for_one"
        terminate_child(sup, "b")
        settle()  # no attempt goes on
        assert child(sup, "b") is None
        attempts = switch.attempts
        switch.works = True
        settle()
        assert switch.attempts == attempts


@forms
def test_hanging_restart_loop_simple(form: Any) -> None:
    """supervisor_SUITE hanging_restart_loop_simple: the same for dynamic children, terminated by the pid they had."""
    switch = Switch()
    one = spec("a", switch.start)
    with ending(form.start(one, intensity=1_000_000)) as sup:
        pid, other = form.add(sup, one), form.add(sup, one)
        switch.works = False
        kernel.exit(pid, "boom")
        assert sorted(map(str, pids(sup))) == sorted([str(other), RESTARTING])
        terminate_child(sup, pid)
        settle()
        assert pids(sup) == [other]


@pytest.mark.parametrize("traps", [False, True])
@pytest.mark.parametrize("shutdown", [1.0, INFINITY, BRUTAL_KILL])
def test_child_unlink(traps: bool, shutdown: Any) -> None:
    """supervisor_SUITE child_unlink: a child that unlinks cannot hang its supervisor."""
    with supervised(None, [spec("a", unlinker, traps, shutdown=shutdown), spec("b")]) as sup:
        pid = child(sup, "a")
        terminate_child(sup, "a")
        assert not is_alive(pid)
        restart_child(sup, "a")
        proc_lib.stop(sup)


def test_child_that_unlinks_and_ends_unseen() -> None:
    """supervisor_SUITE child_unlink: its own end is not seen, and stopping what is dead already does not hang."""
    with supervised(None, [spec("a", unlinker)]) as sup:
        pid = child(sup, "a")
        kernel.exit(pid, "boom")
        settle()
        assert child(sup, "a") is pid
        assert count_children(sup) == Counts(1, 0, 0, 1)
        terminate_child(sup, "a")
        assert child(sup, "a") is None


def test_tree() -> None:
    """supervisor_SUITE tree: escalation restarts static, not dynamic children."""
    with supervised(SupFlags("one_for_all", intensity=4)) as top:
        below = ChildSpec(
            "below",
            (Supervisor.start_link_with, (SupFlags(intensity=1), [spec("c3"), spec("c4")])),
            type="supervisor",
        )
        for one in (spec("c1"), spec("c2"), below):
            start_child(top, one)
        new = start_child(
            top,
            ChildSpec("new", (Supervisor.start_link_with, (SupFlags(intensity=1), [])), type="supervisor"),
        )
        for i in ("c5", "c6"):
            start_child(new, spec(i))
        assert count_children(top) == Counts(4, 4, 2, 2)
        # one death below is repaired below
        mid = child(top, "below")
        c4 = child(mid, "c4")
        end(child(mid, "c3"))
        assert child(top, "below") is mid
        assert child(mid, "c4") is c4
        # one more is too much for it: the whole top is cycled
        end(child(mid, "c3"))
        assert reason_of(mid) == "shutdown"
        assert reason_of(new) == "shutdown"
        assert reason_of(c4) == "shutdown"
        assert ids(child(top, "below")) == ["c3", "c4"]
        assert all(map(is_alive, pids(child(top, "below"))))
        assert ids(child(top, "new")) == []
        assert all(map(is_alive, pids(top)))


# ---------------------------------------------------------------- counts, memory, growth


@forms
@pytest.mark.parametrize("kind", ["worker", "supervisor"])
def test_count_children(form: Any, kind: Any) -> None:
    """supervisor_SUITE count_children, count_children_supervisor: the four counts, before and after killing all."""
    one = spec("a", restart="temporary", type=kind)
    with ending(form.start(one)) as sup:
        started = [form.add(sup, one) for _ in range(20)]
        specs = 1 if form is Simple else 20
        workers = 20 if kind == "worker" else 0
        assert count_children(sup) == Counts(specs, 20, 20 - workers, workers)
        for pid in started:
            kernel.exit(pid, "kill")
        settle()
        assert count_children(sup) == Counts(1 if form is Simple else 0, 0, 0, 0)


def test_count_children_static() -> None:
    """supervisor_SUITE count_children: specs stay counted when nothing runs."""
    with supervised(
        None, [spec("a", restart="transient"), spec("b", type="supervisor"), spec("c", ignored)]
    ) as sup:
        assert count_children(sup) == Counts(3, 2, 1, 2)
        end(child(sup, "a"), "normal")
        terminate_child(sup, "b")
        assert count_children(sup) == Counts(3, 0, 1, 2)


@forms
def test_count_restarting_children(form: Any) -> None:
    """supervisor_SUITE count_restarting_children: among the workers, not among the active."""
    switch = Switch()
    one = spec("a", switch.start)
    with ending(form.start(one, intensity=1_000_000)) as sup:
        first, second = form.add(sup, one), form.add(sup, one)
        switch.works = False
        kernel.exit(first, "boom")
        counts = count_children(sup)
        assert (counts.active, counts.workers) == (1, 2)
        switch.works = True
        settle()
        assert count_children(sup)[1:] == (2, 0, 2)
        switch.works = False
        kernel.exit(second, "boom")
        assert count_children(sup)[1:] == (1, 0, 2)
        terminate_child(sup, second)
        assert count_children(sup)[1:] == (1, 0, 1)


class Big:
    """An argument that is worth letting go."""


def test_do_not_save_start_parameters_for_temporary_children() -> None:
    """supervisor_SUITE do_not_save_start_parameters_for_temporary_children: their arguments are not retained."""
    for strategy in GROUPS:
        with supervised(SupFlags(strategy)) as sup:
            kept, dropped = Big(), Big()
            watch_kept, watch_dropped = weakref.ref(kept), weakref.ref(dropped)
            start_child(sup, spec("kept", worker, kept))
            start_child(sup, spec("dropped", worker, dropped, restart="temporary"))
            del kept, dropped
            settle()
            gc.collect()
            assert watch_kept() is not None
            assert watch_dropped() is None
            assert get_childspec(sup, "dropped").start == (worker, None, None)
            with pytest.raises(BadChildSpec, match="arguments"):
                start_child(sup, get_childspec(sup, "dropped"))


@forms
def test_do_not_save_start_parameters_for_temporary_children_simple(form: Any) -> None:
    """supervisor_SUITE do_not_save_start_parameters_for_temporary_children: nor under a dynamic supervisor."""
    for restart in ("permanent", "temporary"):
        one = spec("a", restart=restart)  # type: ignore[arg-type]
        with ending(form.start(one)) as sup:
            big = Big()
            watch = weakref.ref(big)
            form.add(sup, one, big)
            del big
            settle()
            gc.collect()
            assert (watch() is None) == (restart == "temporary")


def test_do_not_save_child_specs_for_temporary_children() -> None:
    """supervisor_SUITE do_not_save_child_specs_for_temporary_children: once it has ended, the spec is gone as well."""
    with supervised() as sup:
        start_child(sup, spec("a", restart="temporary"))
        terminate_child(sup, "a")
        for operation in (restart_child, delete_child, terminate_child):
            with pytest.raises(NotFound):
                operation(sup, "a")
        assert is_alive(start_child(sup, spec("a", restart="temporary")))


def work(fn: Any) -> float:
    """CPU seconds of this process: only ever compared within one run."""
    gc.collect()
    before = process_time()
    fn()
    return process_time() - before


@forms
@pytest.mark.slow
def test_simple_one_for_one_scale_many_temporary_children(form: Any) -> None:
    """supervisor_SUITE simple_one_for_one_scale_many_temporary_children: 10 times the children in < 50 times the work."""

    def cycle(n: int) -> None:
        one = spec("a", restart="temporary")
        with ending(form.start(one)) as sup:
            started = [form.add(sup, one) for _ in range(n)]
            for pid in started[::2]:
                terminate_child(sup, pid)
            for pid in started[1::2]:
                kernel.exit(pid, "kill")
            settle()
            assert which_children(sup) == []

    cycle(200)
    few = min(work(lambda: cycle(500)) for _ in range(3))
    assert work(lambda: cycle(5_000)) < 50 * few


@pytest.mark.slow
def test_scale_start_stop_many_children() -> None:
    """supervisor_SUITE scale_start_stop_many_children: 100,000 against 1,000, within 10 times of linear."""

    def cycle(n: int) -> None:
        with supervised(None, [spec(i) for i in range(n)]) as sup:
            assert len(sup.behaviour.children.by_pid) == n  # type: ignore[attr-defined]
            proc_lib.stop(sup)

    cycle(200)
    few = min(work(lambda: cycle(1_000)) for _ in range(3))
    assert work(lambda: cycle(100_000)) < 10 * 100 * few
