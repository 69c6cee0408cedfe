"""OTP's supervisor_SUITE, restated: one test per case, by the case's name. Starting, stopping, the API's table."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import kernel
from runtime.kernel import Shutdown, is_alive
from runtime.otp import proc_lib, supervisor, sys
from runtime.otp.child_spec import BRUTAL_KILL, INFINITY, BadChildSpec, BadFlags, ChildSpec, SupFlags
from runtime.otp.outcome import AlreadyStarted, BadReturnValue, Ignore, StartError
from runtime.otp.supervisor import (
    RESTARTING, AlreadyPresent, Counts, NotFound, NotSupported, Restarting, Running, StartChildError, Supervisor,
    count_children, delete_child, get_childspec, restart_child, start_child, terminate_child, which_children,
)  # fmt: skip
from runtime.testing import VirtualClock, settle
from tests.support.crashers import (
    FORMS, OWN_ENDS, FromTable, Later, Simple, Switch, child, deaf, end, ending, failing, ids, ignored,
    pids, raising, reason_of, reports, slow, spec, supervised, with_extra, worker,
)  # fmt: skip

forms = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)

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
    """supervisor_SUITE sup_start_ignore_temporary_child_start_child_simple and
    sup_start_ignore_permanent_child_start_child_simple: not recorded, and the later shutdown is clean."""
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


def test_sup_start_fail_stops_what_was_started(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """OTP.md A2: init failure: children already started are stopped, in reverse order, and waited for."""
    kernel.trap_exit(True)
    started: list[Any] = []

    def noted(*args: Any) -> Any:
        started.append(slow(*args))
        return started[-1]

    specs = [*(spec(i, noted, 1.0) for i in range(4)), spec("last", raising), spec("never", noted, 1.0)]
    starting = Later(Supervisor.start_link_with, SupFlags(), specs)
    for i in (3, 2, 1, 0):
        assert not starting.done
        assert all(map(is_alive, started[: i + 1]))
        clock.advance(1.0)
        assert [reason_of(pid) for pid in started[i:]] == ["shutdown"] * (4 - i)
    with pytest.raises(StartError):
        starting.result()
    (report,) = reports(caplog, "start_error")
    assert report.offender.id == "last"
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
