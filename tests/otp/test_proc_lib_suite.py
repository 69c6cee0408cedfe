"""The cases of OTP's proc_lib_SUITE that need neither a second node nor live code."""

from __future__ import annotations

import logging

import msgspec
import pytest

from runtime.kernel import (
    KILL,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    TIMEOUT_REASON,
    Crash,
    Down,
    Exit,
    ProcessExit,
    erase,
    exit,
    is_alive,
    link,
    put,
    receive,
    receive_match,
    self_,
    send,
    set_label,
    sleep,
    spawn,
    spawn_monitor,
    trap_exit,
    whereis,
)
from runtime.otp import AlreadyStarted, Ignore, StartError, proc_lib, reports
from runtime.otp.reports import CrashReport, ServerReport, format_term, render
from runtime.testing import settle
from tests.support.servers import Puppet, running

FORMS = ["start", "start_link", "start_monitor"]


@pytest.fixture
def crash_reports(caplog):
    """The crash reports so far."""
    caplog.set_level(logging.INFO, logger="evergreen")
    return lambda: [r.report for r in caplog.records if r.name == "evergreen.crash"]


def wait():
    receive_match(lambda m: m == "go")


def started(form, *args, **options):
    result = getattr(proc_lib, form)(*args, **options)
    return result[0] if form == "start_monitor" else result


# ------------------------------------------------------------------------------------------------------- 75 crash


def test_crash_report_keys(crash_reports):
    """proc_lib_SUITE crash: initial call, pid, name, reason, ancestors, queue, links, dictionary, trap_exit, status."""

    def body():
        put("mine", "value")
        trap_exit(True)
        set_label("a label")
        wait()
        raise ProcessExit("abnormal")

    trap_exit(True)
    pid = proc_lib.start_link(lambda: (proc_lib.init_ack(), body()), name="crasher")
    send(pid, "queued 1")
    send(pid, "go")
    send(pid, "queued 2")
    assert receive(5) == Exit(pid, "abnormal")
    (report,) = crash_reports()
    assert (report.pid, report.name, report.reason) == (pid, "crasher", "abnormal")
    assert report.initial_call.endswith("test_proc_lib_suite:test_crash_report_keys.<locals>.<lambda>")
    assert report.ancestors == (self_(), *proc_lib.ancestors(self_()))
    assert (report.message_queue_len, report.messages) == (2, ("queued 1", "queued 2"))
    assert report.links == (self_(),)
    assert report.dictionary == {"mine": "value"}
    assert report.trap_exit is True
    assert report.status == "running"
    assert report.process_label == "a label"


def test_crash_neighbours_are_those_that_die_too(crash_reports):
    """proc_lib_SUITE crash: at most 15 linked processes that do not trap exits, breadth first; without messages."""

    def chain(depth):
        if depth:
            link(spawn(chain, depth - 1))
        receive()

    def body():
        near = spawn(chain, 2)
        trapper = spawn(lambda: (trap_exit(True), receive()))
        link(near)
        link(trapper)
        wait()
        raise ProcessExit("abnormal")

    pid = proc_lib.spawn(body)
    settle()
    send(pid, "go")
    settle()
    (report,) = crash_reports()
    assert [n.message_queue_len for n in report.neighbours] == [0, 0, 0]
    assert pid not in [n.pid for n in report.neighbours]
    assert set(report.links) - {n.pid for n in report.neighbours} != set()  # the trapper
    assert not any(is_alive(n.pid) for n in report.neighbours)


def test_crash_neighbours_nearest_first(crash_reports):
    """proc_lib_SUITE crash: breadth first, so that the nearest are there if not all can be; through no trapper; each
    with where it waits, and without its messages.
    """

    def linked(*others):
        def body():
            for other in others:
                link(other)
            receive_match(lambda _: False)

        return spawn(body)

    beyond = linked()
    trapper = spawn(lambda: (trap_exit(True), link(beyond), receive_match(lambda _: False)))
    far = linked()
    near = [linked(far), linked(trapper), linked()]
    farther = spawn(lambda: (link(far), receive()))
    settle()
    send(near[0], "a secret")

    def body():
        for pid in near:
            link(pid)
        raise ProcessExit("abnormal")

    proc_lib.spawn(body)
    settle()
    (report,) = crash_reports()
    assert [n.pid for n in report.neighbours] == [*near, far, farther]
    assert report.neighbours[0].message_queue_len == 1
    assert "test_proc_lib_suite.test_crash_neighbours_nearest_first" in report.neighbours[0].current_function
    text = render(report)
    assert "secret" not in text
    assert f"{far!r} " in text
    assert report.memory > 0
    assert [is_alive(pid) for pid in (trapper, beyond, far)] == [True, True, False]
    exit(trapper, KILL)
    settle()


def test_crash_neighbours_are_bounded(crash_reports):
    """proc_lib_SUITE crash: never more than 15 neighbours."""

    def body():
        for _ in range(40):
            link(spawn(receive))
        raise ProcessExit("abnormal")

    proc_lib.spawn(body)
    settle()
    assert len(crash_reports()[0].neighbours) == 15


def test_crash_survives_an_erased_dictionary(crash_reports):
    """proc_lib_SUITE crash: a process that wiped its dictionary is still reported."""

    def body():
        for key in list(self_().pdict):
            erase(key)
        raise ProcessExit("abnormal")

    proc_lib.spawn(body)
    settle()
    assert crash_reports()[0].reason == "abnormal"


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN])
def test_crash_silent_for_orderly_ends(reason, crash_reports):
    """proc_lib_SUITE crash: none for normal, shutdown, {shutdown, _}."""
    pid = proc_lib.spawn(lambda: exit(self_(), reason))
    proc_lib.spawn(lambda: None)
    settle()
    assert not is_alive(pid)
    assert crash_reports() == []


def test_crash_of_a_plain_process_is_reported(crash_reports):
    """Erlang's emulator reports a spawned process that fails with an exception; one report, with its trace."""

    def body():
        raise KeyError("missing")

    pid = spawn(body)
    settle()
    (report,) = crash_reports()
    assert (report.pid, report.reason.error) == (pid, "KeyError")
    assert "body" in render(report)


# --------------------------------------------------------------------------------------------------- 76 stacktrace


def test_stacktrace_shapes(crash_reports):
    """proc_lib_SUITE stacktrace: an exception has class, message and trace; an exit has its reason alone."""

    def fails():
        raise ValueError("the message")

    def exits():
        raise ProcessExit(("a", "reason"))

    for body in (fails, exits):
        proc_lib.spawn(body)
        settle()
    failed, exited = crash_reports()
    assert isinstance(failed.reason, Crash)
    assert (failed.reason.error, failed.reason.message) == ("ValueError", "the message")
    assert "in test_stacktrace_shapes.<locals>.fails" in render(failed)
    assert exited.reason == ("a", "reason")
    assert "Traceback" not in render(exited)


# --------------------------------------------------------------------------------------------- 77, 78, 79 sync_start


@pytest.mark.parametrize("form", FORMS)
def test_sync_start_returns_only_after_the_ack(form):
    """proc_lib_SUITE sync_start_nolink, sync_start_link, sync_start_monitor."""
    steps = []

    def body(value):
        steps.append("init")
        sleep(0)
        steps.append("acked")
        proc_lib.init_ack(value)
        steps.append("after")

    trap_exit(True)
    assert started(form, body, "value") == "value"
    assert steps[:2] == ["init", "acked"]
    settle()
    assert steps[2:] == ["after"]


def test_sync_start_monitor_tells_the_end():
    """proc_lib_SUITE sync_start_monitor: the monitor given back works."""
    pids = []

    def body(value):
        pids.append(self_())
        proc_lib.init_ack(value)
        wait()

    for value in (None, "value"):
        result, ref = proc_lib.start_monitor(body, value)
        assert result is (pids[-1] if value is None else value)
        send(pids[-1], "go")
        assert receive(5) == Down(ref, pids[-1], NORMAL)


@pytest.mark.parametrize("form", FORMS)
def test_sync_start_timeout_kills_the_child(form, clock):
    """proc_lib_SUITE sync_start_*_timeout: child killed, no stray EXIT or DOWN, name free."""
    me = self_()

    def attempt():
        trap_exit(True)
        try:
            started(form, sleep, 1000, timeout=0.5, name="slow")
        except StartError as error:
            send(me, (error.reason, whereis("slow"), receive(0)))

    spawn(attempt)
    clock.advance(1)
    assert receive(0) == (TIMEOUT_REASON, None, TIMEOUT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["raise", "exit", "return", "fail"])
def test_init_dont_hang(form, how):
    """proc_lib_SUITE init_dont_hang: a child that ends before its ack answers by its end."""

    def body():
        if how == "raise":
            raise ValueError("early")
        if how == "exit":
            raise ProcessExit("early")
        if how == "fail":
            proc_lib.init_fail("early")

    trap_exit(True)
    with pytest.raises(StartError) as failure:
        started(form, body, name="early")
    assert whereis("early") is None
    expected = {"exit": "early", "fail": "early", "return": NORMAL}
    if how == "raise":
        assert failure.value.reason.message == "early"
    else:
        assert failure.value.reason == expected[how]
    settle()
    assert receive(0) is TIMEOUT


def test_init_fail_exits_as_told_and_ignore_is_none():
    """proc_lib:init_fail/3: the starter gets the error, the process ends with the exit reason; ignore gives None."""
    pids = []

    def body(reason, exit_reason):
        pids.append(self_())
        proc_lib.init_fail(reason, exit_reason)

    trap_exit(True)
    with pytest.raises(StartError) as failure:
        proc_lib.start_link(body, "for the starter", SHUTDOWN)
    assert failure.value.reason == "for the starter"
    assert pids[0].reason == SHUTDOWN
    assert proc_lib.start_link(body, Ignore(), NORMAL) is None
    assert receive(0) is TIMEOUT


def test_start_under_a_taken_name():
    """proc_lib_SUITE: the name's holder is told; nothing runs."""
    with running(Puppet, name="taken") as pid:
        with pytest.raises(AlreadyStarted) as failure:
            proc_lib.start(wait, name="taken")
        assert failure.value.pid is pid


def test_init_ack_outside_a_start():
    """Ours: an error at the call, that says what is wrong."""
    with pytest.raises(RuntimeError, match="proc_lib.start"):
        proc_lib.init_ack()


def test_ancestors_are_names_and_pids():
    """OTP proc_lib: $ancestors: the parent first, by its name if it has one."""
    me = self_()

    def child():
        proc_lib.init_ack()
        send(me, proc_lib.ancestors(self_()))

    def parent():
        proc_lib.init_ack()
        proc_lib.start(child)
        with running(Puppet) as server:
            send(me, proc_lib.ancestors(server))

    proc_lib.start(parent, name="parent")
    assert receive(5)[:2] == ("parent", me)
    assert receive(5)[:2] == ("parent", me)


def test_start_keeps_the_mailbox_in_order():
    """Ours: starting, also in vain, takes nothing of the starter's mail and changes no order."""
    trap_exit(True)
    for n in range(5):
        send(self_(), n)
    with pytest.raises(StartError):
        Puppet.start_link(lambda _: proc_lib)
    proc_lib.start(proc_lib.init_ack, "x")
    send(self_(), 5)
    assert [receive(0) for _ in range(7)] == [0, 1, 2, 3, 4, 5, TIMEOUT]


def test_spawn_monitor_sees_the_reason():
    """OTP proc_lib: exit reasons are those of the process, unchanged by the report."""
    pid, ref = spawn_monitor(lambda: proc_lib.spawn_link(lambda: exit(self_(), "odd")) and receive())
    assert receive(5) == Down(ref, pid, "odd")


# ------------------------------------------------------------------------------------------------------ 81 t_format


def test_t_format_depth_shortens():
    """proc_lib_SUITE t_format: depth and character limits shorten; a short report is whole."""
    deep = {"a": [{"b": ["c", {"d": "deepest"}]}]}
    assert "deepest" in format_term(deep, depth=8)
    assert "deepest" not in format_term(deep, depth=4)
    assert format_term(deep, depth=8) == repr(deep)
    assert len(format_term(["x" * 1000] * 50, chars_limit=200)) <= 200
    report = ServerReport(
        name="n", pid=1, module="m", reason="r", last_message="x" * 9_000, state={"s": "y" * 9_000}
    )
    assert len(render(report, chars_limit=300)) == 300
    assert len(render(report)) > 8_000
    assert format_term({"s": "y" * 9_000}, chars_limit=1_000).startswith("{'s': 'yyyyyyyy")
    assert format_term([{"a": [1, 2]}, {"b": 3}], chars_limit=100) == "[{'a': [1, 2]}, {'b': 3}]"


class Letter(msgspec.Struct):
    __secret_fields__ = frozenset({"body"})

    to: str
    body: bytes


class Quiet(msgspec.Struct):
    word: str

    def __repr__(self) -> str:
        return "Quiet(…)"


def test_fields_that_a_class_declares_secret_are_not_shown():
    """Wherever in a value it lies; a class that writes itself is believed."""
    assert format_term(Letter("ann", b"hidden")) == "Letter(to='ann', body=…)"
    assert format_term({"in": [Letter("ann", b"hidden")]}) == "{'in': [Letter(to='ann', body=…)]}"
    assert format_term(Letter("ann", b"shown"), secrets=True) == "Letter(to='ann', body=b'shown')"
    assert format_term(Quiet("hush")) == "Quiet(…)"
    assert len(format_term(Letter("ann" * 1_000, b""), chars_limit=100)) == 100


@pytest.mark.parametrize(
    "value",
    [
        (),
        (1,),
        [1, 2],
        {1},
        set(),
        frozenset({1}),
        {"a": (1, b"x")},
        "it's",
        None,
        Down("ref", "pid", "why"),
        int,
    ],
    ids=repr,
)
def test_t_format_short_values_are_their_repr(value):
    """Ours: what fits is shown as Python shows it."""
    shown = format_term(value)
    assert shown == repr(value) or isinstance(value, frozenset)


def test_t_format_looks_no_further_than_it_shows():
    """Ours: a report about a huge state costs no more than its text."""
    asked = []

    class Counted:
        def __repr__(self):
            asked.append(1)
            return "c"

    format_term([Counted() for _ in range(10_000)])
    assert len(asked) <= reports.WIDTH


def test_t_format_bad_reprs_do_no_harm():
    """Ours: an object whose repr raises is named, not fatal."""

    class Bad:
        def __repr__(self):
            raise RuntimeError("x")

    class Hollow(dict):
        def items(self):
            raise KeyError("x")

    assert "repr raised RuntimeError" in format_term({"bad": Bad()})
    assert "repr raised KeyError" in format_term([Hollow(a=1)])


def test_emit_survives_a_failing_handler(caplog):
    """OTP logger: a handler that fails must not take the reporting process along."""

    class Broken(logging.Filter):
        def filter(self, record):
            raise RuntimeError("broken filter")

    logger, broken = logging.getLogger("evergreen.crash"), Broken()
    logger.addFilter(broken)
    try:
        pid = proc_lib.spawn(lambda: exit(self_(), "odd"))
        settle()
        assert pid.reason == "odd"
        with running(Puppet) as server:
            send(server, lambda s: 1 / 0)
            settle()
            assert server.reason.error == "ZeroDivisionError"
    finally:
        logger.removeFilter(broken)
    assert issubclass(CrashReport, reports.Report)
