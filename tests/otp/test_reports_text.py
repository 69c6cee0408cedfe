"""The text of reports: one traceback for one failure, and nothing that is as usual."""

from __future__ import annotations

import logging

import pytest

from runtime.kernel import Crash, monitor, receive, send
from runtime.otp import ChildSpec, GenServer, Supervisor, SupFlags, stop, which_children
from runtime.otp.reports import CrashReport, ServerReport, emit, render
from runtime.otp.supervisor_report import Offender


class Fragile(GenServer):
    def handle_info(self, message):
        raise ValueError(message)


def failure(caplog):
    """The records of one failure under a supervisor, by logger."""
    caplog.set_level(logging.ERROR, "evergreen")
    sup = Supervisor.start_link_with(SupFlags(), [Fragile])
    pid = which_children(sup)[0].pid
    monitor(pid)
    send(pid, "no")
    receive(1)
    which_children(sup)
    stop(sup)
    return {r.name: r for r in caplog.records if hasattr(r, "report")}


def test_one_failure_shows_one_traceback(caplog):
    records = failure(caplog)
    assert list(records) == ["evergreen.server", "evergreen.crash", "evergreen.supervisor"]
    server, crash, supervisor = (record.getMessage() for record in records.values())
    assert "Traceback (most recent call last):" in server
    for text in (crash, supervisor):
        assert "Traceback (most" not in text
        assert text.count("ValueError: no") == 1
        assert text.endswith("Traceback: in the first report of this failure")
    for record in records.values():
        assert "Traceback (most recent call last):" in render(record.report), "the record has all"


def test_a_traceback_is_not_lost_when_nobody_listens_to_the_first_report(caplog):
    logging.getLogger("evergreen.server").setLevel(logging.CRITICAL)
    try:
        records = failure(caplog)
    finally:
        logging.getLogger("evergreen.server").setLevel(logging.NOTSET)
    assert "Traceback (most recent call last):" in records["evergreen.crash"].getMessage()


def test_what_is_as_usual_is_in_the_record_and_not_in_the_text(caplog):
    records = failure(caplog)
    report = records["evergreen.crash"].report
    assert (report.message_queue_len, report.dictionary, report.trap_exit, report.status) == (
        0,
        {},
        False,
        "running",
    )
    assert report.memory > 0
    text = records["evergreen.crash"].getMessage()
    for name in ("message_queue_len", "dictionary", "trap_exit", "status", "memory"):
        assert name not in text
    assert len(text.splitlines()) <= 7
    unusual = CrashReport(
        initial_call="a:b", pid=1, name=None, reason="r", ancestors=(), message_queue_len=3, messages=("m",), links=(),
        dictionary={"k": 1}, trap_exit=True, status="suspended", memory=5_000_000,
    )  # fmt: skip
    for line in (
        "message_queue_len: 3",
        "dictionary: {'k': 1}",
        "trap_exit: True",
        "status: suspended",
        "memory: 5000000",
    ):
        assert line in render(unusual)


def test_an_offender_in_one_line(caplog):
    assert "  offender: 'Fragile' <" in failure(caplog)["evergreen.supervisor"].getMessage()
    spec = ChildSpec("c", (Fragile.start_link, (1, "two")), "transient")
    assert Offender.of(None, spec, 3).brief(6, 200) == (
        "'c', tests.otp.test_reports_text:Fragile.start_link(1, 'two'), transient, and 2 more like it"
    )


@pytest.mark.parametrize("times", [1, 2])
def test_a_crash_that_two_processes_die_of_is_traced_once(caplog, times):
    caplog.set_level(logging.ERROR, "evergreen")
    crash = Crash(ValueError("x"))
    for _ in range(times):
        emit(ServerReport(name=None, pid=1, module="m", reason=crash, last_message=None, state=None))
    shown = [r.getMessage() for r in caplog.records]
    assert sum("Traceback (most" in text for text in shown) == 1
