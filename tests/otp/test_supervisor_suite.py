"""OTP's supervisor_SUITE, restated: one test per case, by the case's name."""

from __future__ import annotations

import gc
import weakref
from time import process_time
from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import Shutdown, is_alive
from runtime.otp import application, proc_lib, supervisor, sys
from runtime.otp.application import Application
from runtime.otp.child_spec import BRUTAL_KILL, INFINITY, BadChildSpec, BadFlags, ChildSpec, SupFlags
from runtime.otp.outcome import AlreadyStarted, BadReturnValue, Ignore, StartError
from runtime.otp.supervisor import (
    RESTARTING, AlreadyPresent, Counts, NotFound, NotSupported, Restarting, Running, StartChildError, Supervisor,
    count_children, delete_child, get_childspec, restart_child, start_child, terminate_child, which_children,
)  # fmt: skip
from runtime.otp.supervisor_report import Offender, SupervisorReport, format_report
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    FORMS, OWN_ENDS, Later, Simple, Switch, Teller, child, deaf, end, ending, exiting, failing, ids, ignored,
    pids, raising, reason_of, slow, supervised, unlinker, with_extra, worker,
)  # fmt: skip

forms = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
GROUPS = ["one_for_one", "one_for_all", "rest_for_one"]


def spec(id: Any, start: Any = worker, *args: Any, **options: Any) -> ChildSpec:
    return ChildSpec(id, (start, args), **options)


def reports(caplog: pytest.LogCaptureFixture, context: str) -> list[Any]:
    found = [getattr(r, "report", None) for r in caplog.records]
    return [r for r in found if isinstance(r, SupervisorReport) and r.context == context]


class FromTable(Supervisor):
    """What init returns can be changed from outside: for code_change."""

    answer: Any = None

    def init(self, *_args: Any) -> Any:
        return type(self).answer


# ---------------------------------------------------------------- starting


def test_sup_start_ignore_init() -> None:
    """supervisor_SUITE sup_start_ignore_init: init returned ignore: no supervisor, no error, no name. (Its EXIT normal
    is not left with a trapping starter any more, as since OTP 26.)"""
    kernel.trap_exit(True)

    class Idle(Supervisor):
        def init(self) -> Any:
            return Ignore()

    assert Idle.start_link(name="idle") is None
    assert kernel.whereis("idle") is None
    settle()
    assert kernel.receive(0) is kernel.TIMEOUT


def test_sup_start_ignore_child() -> None:
    """supervisor_SUITE sup_start_ignore_child: an ignoring child's spec is kept, its pid undefined."""
    with supervised() as sup:
        assert start_child(sup, spec("a", ignored)) is None
        pid = start_child(sup, spec("b"))
        assert [(c.id, c.pid) for c in which_children(sup)] == [("b", pid), ("a", None)]
        assert count_children(sup) == Counts(2, 1, 0, 2)


def test_sup_start_ignore_temporary_child() -> None:
    """supervisor_SUITE sup_start_ignore_temporary_child: a temporary child that ignores is not stored."""
    with supervised(None, [spec("a", ignored, restart="temporary"), spec("b")]) as sup:
        assert ids(sup) == ["b"]
        assert count_children(sup) == Counts(1, 1, 0, 1)


def test_sup_start_ignore_temporary_child_start_child() -> None:
    """supervisor_SUITE sup_start_ignore_temporary_child_start_child: nor when it was added later."""
    with supervised() as sup:
        assert start_child(sup, spec("a", ignored, restart="temporary")) is None
        pid = start_child(sup, spec("b"))
        assert [(c.id, c.pid) for c in which_children(sup)] == [("b", pid)]


@forms
@pytest.mark.parametrize("restart", ["temporary", "permanent"])
def test_sup_start_ignore_child_start_child_simple(form: Any, restart: Any) -> None:
    """supervisor_SUITE sup_start_ignore_temporary_child_start_child_simple and …_permanent_…: not recorded, and the
    later shutdown is clean."""
    switch = Switch()
    one = spec("a", switch.start, restart=restart)
    with ending(form.start(one)) as sup:
        switch.ignores = True
        assert form.add(sup, one) is None
        switch.ignores = False
        pid = form.add(sup, one)
        assert pids(sup) == [pid]
        assert count_children(sup) == Counts(1, 1, 0, 1)
        proc_lib.stop(sup)
        assert reason_of(pid) == "shutdown"


def test_sup_start_error_return() -> None:
    """supervisor_SUITE sup_start_error_return: init returned something else."""
    kernel.trap_exit(True)
    FromTable.answer = "invalid"
    with pytest.raises(StartError) as failed:
        FromTable.start_link()
    assert failed.value.reason == BadReturnValue("invalid")


def test_sup_start_fail() -> None:
    """supervisor_SUITE sup_start_fail: the same term as error and as EXIT."""
    kernel.trap_exit(True)
    why = Shutdown(("failed_to_start_child", "b", "boom"))
    FromTable.answer = (SupFlags(), [spec("a"), spec("b", failing)])
    with pytest.raises(StartError) as failed:
        FromTable.start_link(name="fails")
    assert failed.value.reason == why
    assert kernel.whereis("fails") is None
    starter, _ = kernel.spawn_monitor(FromTable.start_link)  # does not trap: the EXIT is its end
    assert kernel.receive().reason == why
    assert reason_of(starter) == why


def test_sup_start_fail_stops_what_was_started(caplog: pytest.LogCaptureFixture) -> None:
    """OTP.md A2: init failure: children already started are stopped."""
    kernel.trap_exit(True)
    teller = Teller()
    with pytest.raises(StartError):
        Supervisor.start_link_with(
            SupFlags(), [spec(1, teller.start, 1), spec(2, teller.start, 2), spec(3, raising)]
        )
    assert teller.events == [("up", 1), ("up", 2), ("down", 2), ("down", 1)]
    (report,) = reports(caplog, "start_error")
    assert report.offender.id == 3
    assert report.reason.error == "ValueError"


def test_sup_start_child_returns_error() -> None:
    """supervisor_SUITE sup_start_child_returns_error: wrapped with the spec; nothing kept."""
    with supervised() as sup:
        one = spec("a", failing, "why")
        with pytest.raises(StartChildError) as refused:
            start_child(sup, one)
        assert refused.value.reason == "why"
        assert refused.value.spec == one
        assert which_children(sup) == []


@forms
def test_sup_start_child_returns_error_simple(form: Any) -> None:
    """supervisor_SUITE sup_start_child_returns_error_simple: the bare reason; nothing kept."""
    one = spec("a", failing, "why")
    with ending(form.start(one)) as sup:
        with pytest.raises(StartChildError) as refused:
            form.add(sup, one)
        assert refused.value.reason == "why"
        assert (refused.value.spec is None) == (form is Simple)
        assert which_children(sup) == []


def test_sup_start_restart_child_returns_error() -> None:
    """supervisor_SUITE sup_start_restart_child_returns_error: undefined, spec kept."""
    switch = Switch()
    with supervised(None, [spec("a", switch.start)]) as sup:
        terminate_child(sup, "a")
        switch.works = False
        with pytest.raises(StartChildError) as refused:
            restart_child(sup, "a")
        assert refused.value.reason == "switched off"
        assert child(sup, "a") is None
        assert ids(sup) == ["a"]


def test_sup_start_map() -> None:
    """supervisor_SUITE sup_start_map: flags and specs as mappings, with OTP's defaults."""
    with supervised({}, [{"id": "a", "start": (worker, ())}]) as sup:
        flags = sys.get_state(sup)["children"].flags
        assert flags == SupFlags("one_for_one", 1, 5.0, "never")
        one = get_childspec(sup, "a")
        assert (one.restart, one.shutdown, one.type, one.significant) == ("permanent", 5.0, "worker", False)
        assert one.modules == ("tests.support.crashers",)
        assert ChildSpec("s", (worker, ()), type="supervisor").shutdown == INFINITY


def test_sup_start_map_faulty_specs() -> None:
    """supervisor_SUITE sup_start_map_faulty_specs: missing id, missing start; an unknown key is accepted."""
    kernel.trap_exit(True)
    for faulty, key in (({"start": (worker, ())}, "id"), ({"id": "a"}, "start")):
        with pytest.raises(BadChildSpec) as refused:
            Supervisor.start_link_with({}, [faulty])
        assert refused.value.key == key
        FromTable.answer = ({}, [faulty])
        with pytest.raises(StartError) as failed:
            FromTable.start_link()
        assert failed.value.reason[0] == "start_spec"
        assert failed.value.reason[1].key == key
    with supervised({"note": 1}, [{"id": "a", "start": (worker, ()), "note": "kept out"}]) as sup:
        assert ids(sup) == ["a"]


BAD_FIELDS = [
    ("start", "worker"), ("start", (worker,)), ("start", ("worker", ())), ("start", (worker, 1)),
    ("start", (worker, (), [])), ("start", [worker, ()]),
    ("restart", "prmanent"), ("restart", None), ("restart", ["permanent"]), ("restart", True),
    ("shutdown", "brutal"), ("shutdown", -1), ("shutdown", 0), ("shutdown", True), ("shutdown", float("nan")),
    ("type", "wrker"), ("type", 1),
    ("modules", "dynamc"), ("modules", [1]), ("modules", {"a": 1}),
    ("significant", "yes"), ("significant", 1),
    ("id", []),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), BAD_FIELDS)
def test_child_specs(key: str, value: Any) -> None:
    """supervisor_SUITE child_specs, child_specs_map: one precise error per bad field, before anything starts."""
    faulty = {"id": "a", "start": (worker, ()), key: value}
    with pytest.raises(BadChildSpec) as refused:
        supervisor.check_childspecs([faulty])
    assert refused.value.key == key
    assert refused.value.value is value
    assert key in str(refused.value)
    assert refused.value.allowed in str(refused.value)
    switch = Switch()
    with supervised() as sup:
        with pytest.raises(BadChildSpec):
            start_child(sup, faulty)
        with pytest.raises(BadChildSpec):
            Supervisor.start_link_with({}, [spec("first", switch.start), faulty])
        assert which_children(sup) == []
        assert switch.attempts == 0


def test_child_specs_together() -> None:
    """supervisor_SUITE child_specs: a duplicate id; bad_combination; simple_one_for_one takes exactly one."""
    check = supervisor.check_childspecs
    with pytest.raises(BadChildSpec, match="id = 'a'.*each id once"):
        check([spec("a"), spec("a")])
    with pytest.raises(BadChildSpec, match="significant = True.*permanent"):
        check([{"id": "a", "start": (worker, ()), "significant": True}])
    with pytest.raises(BadChildSpec, match="auto_shutdown"):
        check([spec("a", restart="transient", significant=True)], SupFlags())
    check([spec("a", restart="transient", significant=True)])
    check([spec("a", restart="transient", significant=True)], {"auto_shutdown": "any_significant"})
    for many in ([], [spec("a"), spec("b")]):
        with pytest.raises(BadChildSpec, match="exactly one"):
            check(many, {"strategy": "simple_one_for_one"})
    for nonsense in (None, "specs", {"id": 1}, [1], 17):
        with pytest.raises(BadChildSpec):
            check(nonsense)  # type: ignore[arg-type]


def test_child_specs_added_later() -> None:
    """supervisor_SUITE child_specs, sup_flags: a significant child under auto_shutdown never is refused there too."""
    with supervised() as sup:
        with pytest.raises(BadChildSpec) as refused:
            start_child(sup, spec("a", restart="temporary", significant=True))
        assert refused.value.key == "significant"
        assert which_children(sup) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("strategy", "one_for_on"), ("strategy", None), ("strategy", 1),
        ("intensity", -1), ("intensity", 1.5), ("intensity", "1"), ("intensity", INFINITY), ("intensity", True),
        ("period", 0), ("period", -1), ("period", INFINITY), ("period", "5"), ("period", None),
        ("auto_shutdown", "always"), ("auto_shutdown", None),
    ],
)  # fmt: skip
def test_sup_flags(key: str, value: Any) -> None:
    """supervisor_SUITE sup_flags: bad strategy, intensity, period, auto_shutdown; period 0 and infinity refused."""
    kernel.trap_exit(True)
    with pytest.raises(BadFlags) as refused:
        Supervisor.start_link_with({key: value}, [])
    assert (refused.value.key, refused.value.value) == (key, value)
    FromTable.answer = ({key: value}, [])
    with pytest.raises(StartError) as failed:
        FromTable.start_link()
    assert failed.value.reason[0] == "supervisor_data"
    assert failed.value.reason[1].key == key


def test_sup_flags_nonsense() -> None:
    """supervisor_SUITE sup_flags: what is no flags at all; auto_shutdown makes no sense for children without ids."""
    for nonsense in (None, "one_for_one", ["one_for_one", 1, 5]):
        with pytest.raises(BadFlags):
            Supervisor.start_link_with(nonsense, [])
    with pytest.raises(BadFlags):
        SupFlags("simple_one_for_one", auto_shutdown="any_significant")


# ---------------------------------------------------------------- stopping


def test_sup_stop_infinity(clock: VirtualClock) -> None:
    """supervisor_SUITE sup_stop_infinity: allowed for workers; it is waited for as long as it takes."""
    specs = [
        spec("a", slow, 10_000.0, shutdown=INFINITY),
        spec("b", slow, 0.0, shutdown=INFINITY, type="supervisor"),
    ]
    with supervised(None, specs) as sup:
        a, b = pids(sup)
        stopping = Later(proc_lib.stop, sup)
        assert not is_alive(b)
        clock.advance(9_999)
        assert is_alive(a)
        clock.advance(1)
        stopping.result()
        assert reason_of(a) == reason_of(b) == "shutdown"


def test_sup_stop_timeout(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE sup_stop_timeout: a deaf child is killed when its time is over, others end with shutdown."""
    with supervised(None, [spec("a"), spec("deaf", deaf, shutdown=1.0), spec("c")]) as sup:
        a, hard, c = pids(sup)
        stopping = Later(proc_lib.stop, sup)
        assert reason_of(c) == "shutdown"
        clock.advance(0.9)
        assert is_alive(hard)
        assert is_alive(a)
        clock.advance(0.1)
        stopping.result()
        assert reason_of(hard) == "killed"
        assert reason_of(a) == "shutdown"
    (report,) = reports(caplog, "shutdown_error")
    assert (report.reason, report.offender.id, report.offender.pid) == ("killed", "deaf", hard)


@forms
def test_sup_stop_timeout_dynamic(form: Any, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE sup_stop_timeout_dynamic: the same for dynamic children: one timer, one report."""
    switch = [deaf, worker, deaf]

    def next_one() -> Any:
        return switch.pop(0)()

    one = spec("a", next_one, shutdown=1.0)
    with ending(form.start(one)) as sup:
        first, second, third = (form.add(sup, one) for _ in range(3))
        stopping = Later(proc_lib.stop, sup)
        assert reason_of(second) == "shutdown"
        clock.advance(0.9)
        assert is_alive(first)
        assert is_alive(third)
        clock.advance(0.1)
        stopping.result()
        assert reason_of(first) == reason_of(third) == "killed"
    assert [r.offender.count for r in reports(caplog, "shutdown_error")] == [2]


def test_sup_stop_brutal_kill(caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE sup_stop_brutal_kill: killed at once, others end with shutdown."""
    with supervised(
        None, [spec("a", deaf, shutdown=BRUTAL_KILL), spec("b"), spec("c", shutdown=BRUTAL_KILL)]
    ) as sup:
        a, b, c = pids(sup)
        proc_lib.stop(sup)
        assert [reason_of(p) for p in (a, b, c)] == ["killed", "shutdown", "killed"]
    assert reports(caplog, "shutdown_error") == []


@forms
def test_sup_stop_brutal_kill_dynamic(form: Any, caplog: pytest.LogCaptureFixture) -> None:
    """supervisor_SUITE sup_stop_brutal_kill_dynamic: the same for dynamic children."""
    one = spec("a", deaf, shutdown=BRUTAL_KILL)
    with ending(form.start(one)) as sup:
        started = [form.add(sup, one) for _ in range(3)]
        proc_lib.stop(sup)
        assert [reason_of(p) for p in started] == ["killed"] * 3
    assert reports(caplog, "shutdown_error") == []


@pytest.mark.parametrize("shutdown", [5.0, INFINITY, BRUTAL_KILL])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_sup_stop_race(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, shutdown: Any, restart: Any
) -> None:
    """supervisor_SUITE sup_stop_race: the stop completes while children die by themselves, each with its own reason."""
    own = [*OWN_ENDS, "killed"]
    specs = [spec(i, shutdown=shutdown, restart=restart) for i in range(len(own))]
    with supervised(None, [*specs, spec("slow", slow, 1.0)]) as sup:
        *children, _ = pids(sup)
        stopping = Later(proc_lib.stop, sup)  # waits in the stop of `slow`
        for pid, reason in zip(children, own, strict=True):
            if reason == "killed":
                kernel.exit(pid, "kill")
            else:
                end(pid, reason)
        clock.advance(1.0)
        stopping.result()
        assert [reason_of(pid) for pid in children] == own
        assert reason_of(sup) == "normal"
    good = {"killed"} if shutdown == BRUTAL_KILL else {"shutdown"}
    if restart != "permanent":
        good |= {"normal", "shutdown", Shutdown("done")}
    # The last started is stopped first.
    assert [r.reason for r in reports(caplog, "shutdown_error")] == [
        r for r in reversed(own) if r not in good
    ]


@forms
def test_sup_stop_non_shutdown_exit_dynamic(
    form: Any, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """supervisor_SUITE sup_stop_non_shutdown_exit_dynamic: dynamic children that exit for other reasons do not disturb
    the stop of the others."""
    own = [*OWN_ENDS, Shutdown("x"), "other"]

    one = spec("a", lambda seconds, reason: slow(seconds, reason), restart="transient")
    with ending(form.start(one)) as sup:
        started = [form.add(sup, one, 1.0, reason) for reason in own]
        stopping = Later(proc_lib.stop, sup)
        end(started[0], "early")
        clock.advance(1.0)
        stopping.result()
        assert [reason_of(pid) for pid in started] == own
    assert sorted(r.reason for r in reports(caplog, "shutdown_error")) == ["boom", "other"]


# ---------------------------------------------------------------- the API's table


def test_extra_return() -> None:
    """supervisor_SUITE extra_return: extra start information is passed through; automatic restart works."""
    with supervised(SupFlags(intensity=5), [spec("a", with_extra)]) as sup:
        first = child(sup, "a")
        with pytest.raises(AlreadyStarted):
            start_child(sup, spec("a", with_extra))
        terminate_child(sup, "a")
        pid, extra = restart_child(sup, "a")
        assert (child(sup, "a"), extra) == (pid, "extra")
        assert pid is not first
        end(pid)
        assert is_alive(child(sup, "a"))
        assert child(sup, "a") is not pid
        pid, extra = start_child(sup, spec("b", with_extra))
        assert (child(sup, "b"), extra) == (pid, "extra")


@forms
def test_extra_return_simple(form: Any) -> None:
    """supervisor_SUITE extra_return: for dynamic children too."""
    one = spec("a", with_extra)
    with ending(form.start(one)) as sup:
        pid, extra = form.add(sup, one)
        assert extra == "extra"
        end(pid)
        (again,) = pids(sup)
        assert is_alive(again)


def test_child_adm() -> None:
    """supervisor_SUITE child_adm: the whole table of states and errors."""
    one = spec("a")
    with supervised(SupFlags(intensity=5), [one], name="sup") as sup:
        pid = child(sup, "a")
        # it runs
        assert [c[:3] for c in which_children("sup")] == [("a", pid, "worker")]
        assert count_children(sup) == Counts(1, 1, 0, 1)
        with pytest.raises(AlreadyStarted) as taken:
            start_child(sup, one)
        assert taken.value.pid is pid
        with pytest.raises(Running):
            restart_child(sup, "a")
        with pytest.raises(Running):
            delete_child(sup, "a")
        assert get_childspec(sup, "a") == get_childspec(sup, pid) == one
        # it is terminated
        terminate_child(sup, "a")
        terminate_child(sup, "a")
        assert reason_of(pid) == "shutdown"
        assert [c[:3] for c in which_children(sup)] == [("a", None, "worker")]
        assert count_children(sup) == Counts(1, 0, 0, 1)
        with pytest.raises(AlreadyPresent):
            start_child(sup, one)
        # it is started again
        again = restart_child(sup, "a")
        assert child(sup, "a") is again
        # it is deleted
        terminate_child(sup, "a")
        delete_child(sup, "a")
        for operation in (terminate_child, restart_child, delete_child, get_childspec):
            with pytest.raises(NotFound):
                operation(sup, "a")
        assert which_children(sup) == []
        assert count_children(sup) == Counts(0, 0, 0, 0)
        # it is new
        assert is_alive(start_child(sup, one))
        with pytest.raises(NotFound):
            terminate_child(sup, ["unhashable"])
        # no supervisor
        with pytest.raises(kernel.CallError) as gone:
            start_child("no such", one)
        assert gone.value.reason == "noproc"


def test_child_adm_while_restarting(clock: VirtualClock) -> None:
    """supervisor_SUITE child_adm, hanging_restart_loop: the table's row for a child that is being restarted."""
    switch = Switch()
    one = spec("a", switch.start)
    with supervised(SupFlags(intensity=1_000_000), [one]) as sup:
        switch.works = False
        kernel.exit(child(sup, "a"), "boom")
        assert child(sup, "a") is RESTARTING
        for operation in (restart_child, delete_child):
            with pytest.raises(Restarting):
                operation(sup, "a")
        with pytest.raises(Restarting):
            start_child(sup, one)
        terminate_child(sup, "a")
        assert child(sup, "a") is None
        delete_child(sup, "a")
        assert which_children(sup) == []


def test_child_adm_simple() -> None:
    """supervisor_SUITE child_adm_simple: by pid only; a dead pid is ok; a foreign live pid is not_found."""
    one = spec("a", restart="temporary")
    with ending(Simple.start(one, name="simple")) as sup:
        assert which_children(sup) == []
        assert count_children(sup) == Counts(1, 0, 0, 0)
        pid = start_child(sup, ())
        assert [c[:3] for c in which_children("simple")] == [(None, pid, "worker")]
        assert count_children(sup) == Counts(1, 1, 0, 1)
        for operation in (restart_child, delete_child, terminate_child):
            with pytest.raises(NotSupported):
                operation(sup, "a")
        with pytest.raises(BadChildSpec):
            start_child(sup, one)
        with pytest.raises(BadChildSpec):
            start_child(sup, [one][0])
        with pytest.raises(NotFound):
            terminate_child(sup, kernel.self_())
        assert get_childspec(sup, pid) == get_childspec(sup, "a") == one
        with pytest.raises(NotFound):
            get_childspec(sup, kernel.self_())
        terminate_child(sup, pid)
        assert reason_of(pid) == "shutdown"
        terminate_child(sup, pid)
        assert which_children(sup) == []


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
def test_temporary_bystander(strategy: Any) -> None:
    """supervisor_SUITE temporary_bystander: dropped by group strategies, not restarted."""
    specs = [spec("a"), spec("b", restart="temporary")]
    with supervised(SupFlags(strategy), specs) as sup:
        a, b = pids(sup)
        end(a)
        assert ids(sup) == ["a"]
        assert child(sup, "a") is not a
        assert reason_of(b) == "shutdown"


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
