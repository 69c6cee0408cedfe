"""OTP's supervisor_SUITE, restated: one test per case, by the case's name. Significant children, upgrades, reports."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import is_alive
from runtime.otp import sys
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.outcome import AlreadyStarted, Ignore, StartError
from runtime.otp.supervisor import (
    RESTARTING, Supervisor,
    get_childspec, start_child, terminate_child, which_children,
)  # fmt: skip
from runtime.otp.supervisor_report import Offender, SupervisorReport, format_report
from runtime.testing import settle
from tests.support.crashers import (
    FORMS, OWN_ENDS, FromTable, Switch, child, end, ending, exiting, ids, pids, raising, reason_of, spec, supervised, worker,
)  # fmt: skip

forms = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)

# ---------------------------------------------------------------- significant children


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
@pytest.mark.parametrize("auto", ["any_significant", "all_significant"])
def test_significant_temporary(auto: Any, reason: Any) -> None:
    """supervisor_SUITE significant_temporary: any own exit triggers."""
    specs = [
        spec("a"),
        spec("b", restart="temporary", significant=True),
        spec("c", restart="temporary", significant=True),
    ]
    with supervised(SupFlags(auto_shutdown=auto), specs) as sup:
        a, b, c = pids(sup)
        end(b, reason)
        if auto == "all_significant":
            assert is_alive(c)
            end(c, reason)
        assert reason_of(sup) == "shutdown"
        assert reason_of(a) == "shutdown"


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
@pytest.mark.parametrize("auto", ["any_significant", "all_significant"])
def test_significant_transient(auto: Any, reason: Any) -> None:
    """supervisor_SUITE significant_transient: only normal-like exits trigger."""
    specs = [spec(i, restart="transient", significant=True) for i in ("b", "c")]
    with supervised(SupFlags(intensity=5, auto_shutdown=auto), specs) as sup:
        b, c = pids(sup)
        end(b, reason)
        if reason == "boom":
            assert is_alive(child(sup, "b"))
            assert child(sup, "c") is c
            return
        if auto == "all_significant":
            assert is_alive(c)
            end(c, reason)
        assert reason_of(sup) == "shutdown"


def test_significant_all_counts_those_being_restarted() -> None:
    """OTP.md A2: all_significant waits for every significant child; one that is being restarted is not gone."""
    switch = Switch()
    specs = [spec("a", switch.start, restart="transient", significant=True),
             spec("b", restart="transient", significant=True)]  # fmt: skip
    with supervised(SupFlags(intensity=1_000_000, auto_shutdown="all_significant"), specs) as sup:
        switch.works = False
        kernel.exit(child(sup, "a"), "boom")
        assert child(sup, "a") is RESTARTING
        kernel.exit(child(sup, "b"), "shutdown")
        assert child(sup, "b") is None
        switch.works = True
        settle()
        end(child(sup, "a"), "normal")
        assert reason_of(sup) == "shutdown"


@pytest.mark.parametrize("reason", OWN_ENDS, ids=repr)
@pytest.mark.parametrize("restart", ["transient", "temporary", "permanent"])
@pytest.mark.parametrize("auto", ["never", "any_significant", "all_significant"])
def test_nonsignificant(auto: Any, restart: Any, reason: Any) -> None:
    """supervisor_SUITE nonsignificant_temporary, nonsignificant_transient: never trigger."""
    with supervised(
        SupFlags(intensity=5, auto_shutdown=auto), [spec("a", restart=restart), spec("b")]
    ) as sup:
        b = child(sup, "b")
        end(child(sup, "a"), reason)
        assert is_alive(sup)
        assert child(sup, "b") is b


@pytest.mark.parametrize("auto", ["any_significant", "all_significant"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_significant_bystander(auto: Any, strategy: Any, restart: Any) -> None:
    """supervisor_SUITE significant_bystander: a strategy's victims do not trigger, nor does terminate_child."""
    specs = [spec("a"), spec("b", restart=restart, significant=True)]
    with supervised(SupFlags(strategy, intensity=5, auto_shutdown=auto), specs) as sup:
        a, b = pids(sup)
        end(a)
        assert reason_of(b) == "shutdown"
        assert is_alive(sup)
        assert ids(sup) == (["a", "b"] if restart == "transient" else ["a"])
        if restart == "transient":
            terminate_child(sup, "b")
            assert is_alive(sup)


@pytest.mark.parametrize("significant", [True, False])
def test_significant_escalation(significant: bool) -> None:
    """supervisor_SUITE significant_escalation: it goes up only if the supervisor is itself significant."""
    inner = ChildSpec(
        "inner",
        (
            Supervisor.start_link_with,
            (SupFlags(auto_shutdown="any_significant"), [spec("x", restart="transient", significant=True)]),
        ),
        restart="transient",
        type="supervisor",
        significant=significant,
    )
    with supervised(SupFlags(auto_shutdown="any_significant"), [spec("a"), inner]) as sup:
        mid = child(sup, "inner")
        end(child(mid, "x"), "normal")
        assert reason_of(mid) == "shutdown"
        assert is_alive(sup) == (not significant)
        if not significant:
            assert child(sup, "inner") is None


def upgrade(sup: Any, answer: Any) -> None:
    """What live code does to a supervisor: suspend, change_code, resume."""
    FromTable.answer = answer
    sys.suspend(sup)
    try:
        sys.change_code(sup, FromTable)
    finally:
        sys.resume(sup)


def significant_upgrade(before: Any, after: Any, was: dict[str, Any], now: dict[str, Any]) -> Any:
    kernel.trap_exit(True)
    FromTable.answer = (SupFlags(auto_shutdown=before, intensity=5), [spec("a", **was), spec("b")])
    sup = FromTable.start_link()
    upgrade(sup, (SupFlags(auto_shutdown=after, intensity=5), [spec("a", **now), spec("b")]))
    return sup


TEMPORARY = {"restart": "temporary"}
SIGNIFICANT = {"restart": "temporary", "significant": True}


def test_significant_upgrade_never_any() -> None:
    """supervisor_SUITE significant_upgrade_never_any: the changed flag takes effect."""
    with ending(significant_upgrade("never", "any_significant", TEMPORARY, SIGNIFICANT)) as sup:
        end(child(sup, "a"), "normal")
        assert reason_of(sup) == "shutdown"


def test_significant_upgrade_any_never() -> None:
    """supervisor_SUITE significant_upgrade_any_never: and the other way."""
    with ending(significant_upgrade("any_significant", "never", SIGNIFICANT, TEMPORARY)) as sup:
        end(child(sup, "a"), "normal")
        assert is_alive(sup)


@pytest.mark.parametrize("after", ["never", "all_significant", "any_significant"])
@pytest.mark.parametrize("before", ["never", "all_significant", "any_significant"])
def test_significant_upgrade_between(before: Any, after: Any) -> None:
    """supervisor_SUITE significant_upgrade_never_all, _any_all, _all_any, _all_never: every change of the flag."""
    was = TEMPORARY if before == "never" else SIGNIFICANT
    now = TEMPORARY if after == "never" else SIGNIFICANT
    with ending(significant_upgrade(before, after, was, now)) as sup:
        if after == "all_significant":
            second = start_child(sup, spec("c", **SIGNIFICANT))
            end(child(sup, "a"), "normal")
            assert is_alive(sup)
            end(second, "normal")
        else:
            end(child(sup, "a"), "normal")
        assert is_alive(sup) == (after == "never")


def test_significant_upgrade_child() -> None:
    """supervisor_SUITE significant_upgrade_child: a child becomes significant, and stops being so, by its spec."""
    any_ = "any_significant"
    with ending(significant_upgrade(any_, any_, TEMPORARY, SIGNIFICANT)) as sup:
        end(child(sup, "a"), "normal")
        assert reason_of(sup) == "shutdown"
    with ending(significant_upgrade(any_, any_, SIGNIFICANT, TEMPORARY)) as sup:
        end(child(sup, "a"), "normal")
        assert is_alive(sup)


def test_significant_upgrade_bad_combinations() -> None:
    """supervisor_SUITE significant_upgrade_never_any and others: bad combinations are refused, the old stays."""
    with ending(significant_upgrade("any_significant", "any_significant", SIGNIFICANT, SIGNIFICANT)) as sup:
        pid = child(sup, "a")
        for answer in (
            (SupFlags(), [spec("a", **SIGNIFICANT), spec("b")]),
            (SupFlags(), []),  # the significant child would be kept, and could change nothing
            (
                SupFlags(auto_shutdown="any_significant"),
                [{"id": "a", "start": (worker, ()), "significant": True}],
            ),
        ):
            with pytest.raises(sys.CallbackFailed):
                upgrade(sup, answer)
        assert child(sup, "a") is pid
        end(pid, "normal")
        assert reason_of(sup) == "shutdown"


# ---------------------------------------------------------------- code_change, names, log


def test_code_change() -> None:
    """supervisor_SUITE code_change: flags change; known children keep running with the new spec; new ones are not
    started; vanished ones are kept."""
    kernel.trap_exit(True)
    FromTable.answer = (SupFlags(), [spec("a"), spec("b"), spec("c")])
    with ending(FromTable.start_link()) as sup:
        a, b, c = pids(sup)
        upgrade(
            sup, (SupFlags("one_for_all", 3, 7.0), [spec("n"), spec("c", restart="transient"), spec("b")])
        )
        assert [(i.id, i.pid) for i in reversed(which_children(sup))] == [
            ("n", None),
            ("c", c),
            ("b", b),
            ("a", a),
        ]
        assert get_childspec(sup, "c").restart == "transient"
        assert sys.get_state(sup)["children"].flags == SupFlags("one_for_all", 3, 7.0)
        end(c, "normal")
        assert pids(sup) == [None, None, b, a]
        end(a)
        assert all(map(is_alive, pids(sup)))
        assert not {a, b, c} & set(pids(sup))
        for _ in range(2):
            end(child(sup, "a"))
        assert is_alive(sup)


def test_code_change_map() -> None:
    """supervisor_SUITE code_change_map: a bad answer leaves the old flags and specs; ignore changes nothing."""
    kernel.trap_exit(True)
    FromTable.answer = ({"intensity": 2}, [{"id": "a", "start": (worker, ())}])
    with ending(FromTable.start_link()) as sup:
        before = sys.get_state(sup)["children"].flags, pids(sup), get_childspec(sup, "a")
        for answer in (
            ({"intensity": -1}, []),
            ({"strategy": "all_for_one"}, []),
            ({}, [{"id": "a"}]),
            ({}, [{"id": "a", "start": (worker, ()), "restart": "x"}]),
            ({}, [spec("a"), spec("a")]),
            ({"strategy": "simple_one_for_one"}, [spec("a")]),
            "nonsense",
        ):
            with pytest.raises(sys.CallbackFailed):
                upgrade(sup, answer)
            assert (sys.get_state(sup)["children"].flags, pids(sup), get_childspec(sup, "a")) == before
        upgrade(sup, Ignore())
        assert (sys.get_state(sup)["children"].flags, pids(sup), get_childspec(sup, "a")) == before


def test_code_change_simple() -> None:
    """supervisor_SUITE code_change_simple, code_change_simple_map: still exactly one spec; children keep running, and
    restarts go by the new one."""
    kernel.trap_exit(True)
    old, new = Switch(), Switch()
    FromTable.answer = (SupFlags("simple_one_for_one", 5), [spec("a", old.start)])
    with ending(FromTable.start_link()) as sup:
        pid = start_child(sup, ("x",))
        for specs in ([], [spec("a"), spec("b")], [{"id": "a"}]):
            with pytest.raises(sys.CallbackFailed):
                upgrade(sup, ({"strategy": "simple_one_for_one"}, specs))
        with pytest.raises(sys.CallbackFailed):
            upgrade(sup, ({}, [spec("a")]))
        assert get_childspec(sup, "a").start[0] == old.start
        upgrade(sup, ({"strategy": "simple_one_for_one"}, [spec("a", new.start)]))
        assert pids(sup) == [pid]
        end(pid)
        assert (old.attempts, new.attempts) == (1, 1)
        assert len(pids(sup)) == 1
        upgrade(sup, ({"strategy": "simple_one_for_one"}, [spec("a", new.start, restart="temporary")]))
        end(pids(sup)[0])
        assert pids(sup) == []


@forms
def test_simple_global_supervisor(form: Any) -> None:
    """supervisor_SUITE simple_global_supervisor: names of children come back after a kill (local names here)."""
    one = spec("a", lambda name: worker(name=name))
    with ending(form.start(one, intensity=20, name="namer")) as sup:
        names = [f"child-{i}" for i in range(5)]
        started = [form.add(sup, one, name) for name in names]
        assert [kernel.whereis(name) for name in names] == started
        for pid in started:
            kernel.exit(pid, "kill")
        settle()
        again = [kernel.whereis(name) for name in names]
        assert sorted(again) == sorted(pids("namer"))
        assert not set(again) & set(started)


REPORT = SupervisorReport(
    supervisor="top",
    context="child_terminated",
    reason=("outer", [("middle", {"key": ("inner", "x" * 50)})]),
    offender=Offender.of("<pid>", ChildSpec("a", (worker, (1, "two")))),
)


def test_format_log_1() -> None:
    """supervisor_SUITE format_log_1: text with context, reason and offender; depth and chars_limit shorten it."""
    text = format_report(REPORT)
    for part in (
        "supervisor report",
        "top",
        "child_terminated",
        "inner",
        "'a'",
        "crashers:worker",
        "permanent",
    ):
        assert part in text
    assert text.count("\n") >= 4
    shallow = format_report(REPORT, depth=2)
    assert "inner" not in shallow
    assert "outer" in shallow
    assert len(format_report(REPORT, chars_limit=80)) <= 80


def test_format_log_2() -> None:
    """supervisor_SUITE format_log_2: the same on a single line."""
    text = format_report(REPORT, single_line=True)
    assert "\n" not in text
    for part in ("supervisor report", "top", "child_terminated", "inner", "'a'"):
        assert part in text
    assert "inner" not in format_report(REPORT, single_line=True, depth=2)
    assert len(format_report(REPORT, single_line=True, chars_limit=60)) <= 60


def test_reports_go_through_logging(caplog: pytest.LogCaptureFixture) -> None:
    """OTP.md A2, A4: a crash gives a supervisor report at error level, a child that is up one at debug level."""
    caplog.set_level("DEBUG", "evergreen.progress")
    with supervised(None, [spec("a")], name="top") as sup:
        pid = child(sup, "a")
        end(pid)
    (failure,) = [r for r in caplog.records if r.name == "evergreen.supervisor"]
    assert failure.levelname == "ERROR"
    assert failure.report == SupervisorReport(  # type: ignore[attr-defined]
        supervisor="top", context="child_terminated", reason="boom", offender=Offender.of(pid, spec("a"))
    )
    assert "child_terminated" in failure.getMessage()
    progress = [r for r in caplog.records if r.name == "evergreen.progress"]
    assert [r.levelname for r in progress] == ["DEBUG", "DEBUG"]


def test_names() -> None:
    """supervisor_SUITE start with a name: reachable by it; the name is taken while it lives, free afterwards."""
    with supervised(None, [spec("a")], name="named") as sup:
        assert kernel.whereis("named") is sup
        assert ids("named") == ["a"]  # type: ignore[arg-type]
        with pytest.raises(AlreadyStarted) as taken:
            Supervisor.start_link_with({}, [], "named")
        assert taken.value.pid is sup
    assert kernel.whereis("named") is None


def test_sup_start_exits() -> None:
    """supervisor_SUITE sup_start_error_return: an init that exits gives its reason, one that raises a crash."""
    kernel.trap_exit(True)

    class Ends(Supervisor):
        def init(self, how: Any) -> Any:
            how()

    with pytest.raises(StartError) as failed:
        Ends.start_link(exiting)
    assert failed.value.reason == "boom"
    with pytest.raises(StartError) as failed:
        Ends.start_link(raising)
    assert failed.value.reason.error == "ValueError"
