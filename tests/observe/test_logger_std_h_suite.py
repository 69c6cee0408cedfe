"""The cases of OTP's logger_std_h_SUITE: a handler that protects the node from its own log. And how records look."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import TIMEOUT, exit, receive, self_, send, spawn
from runtime.observe import log_handler
from runtime.observe.log_format import HumanFormatter, JsonFormatter, headline
from runtime.otp.child_spec import ChildSpec
from runtime.otp.supervisor_report import Offender, SupervisorReport
from runtime.observe.log_handler import (
    LogGate,
    LogHandler,
    LogLimits,
    get_levels,
    set_level,
    set_levels,
)
from runtime.otp import GenServer, stop
from runtime.otp.reports import CrashReport, render
from runtime.testing import settle, until

NO_LIMIT = LogLimits(sync=10**6, drop=10**6, flush=10**6, burst=0)


class Bench:
    """A handler that writes into a pipe which is read only when the test wants."""

    def __init__(self, limits, formatter):
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.handler = LogHandler(self.write_end, formatter, limits)
        self.logger = logging.Logger("bench", logging.DEBUG)  # noqa: LOG001 - known to nobody else
        self.logger.addHandler(self.handler)
        self.text = ""
        self.is_open = False

    def open(self):
        self.handler.open()
        self.is_open = True

    def read(self):
        try:
            self.text += os.read(self.read_end, 1 << 20).decode()
        except BlockingIOError:
            pass
        return self.text

    def lines(self):
        return self.read().splitlines()

    def wait_for(self, text):
        until(lambda: text in self.read())
        return self.lines()

    def block(self):
        """Fill the pipe, so that the thread stands in the middle of a write; return how many bytes lie in it."""
        os.set_blocking(self.write_end, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.write_end, b"." * 4096)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)
        self.logger.info("the thread hangs on this one")
        until(lambda: self.handler._lines.qsize() == 0)
        return filled

    def unblock(self, filled):
        while filled > 0:
            filled -= len(os.read(self.read_end, filled))


@contextmanager
def bench(limits=NO_LIMIT, formatter=None, is_open=True):
    made = Bench(limits, formatter or logging.Formatter("%(levelname)s %(message)s"))
    if is_open:
        made.open()
    try:
        yield made
    finally:
        if not made.is_open:
            made.open()
        drain = threading.Thread(target=lambda: [None for _ in iter(lambda: _quiet_read(made), b"")])
        made.handler.close()
        os.close(made.write_end)
        drain.start()
        drain.join()
        os.close(made.read_end)


def _quiet_read(made):
    try:
        return os.read(made.read_end, 1 << 20)
    except BlockingIOError:
        return b""


@contextmanager
def gate(made):
    pid = LogGate.start(made.handler)
    try:
        yield pid
    finally:
        if kernel.is_alive(pid):
            stop(pid)
        assert made.handler.gate is None


# ------------------------------------------------------------------------------------------------------- ordinary


def test_lines_are_written_in_order():
    with bench() as made:
        for number in range(50):
            made.logger.info("line %d", number)
        assert made.wait_for("line 49") == [f"INFO line {number}" for number in range(50)]
        assert made.handler.info()[:3] == ("async", 0, 50)


def test_close_writes_what_waits():
    with bench(is_open=False) as made:
        for number in range(30):
            made.logger.info("line %d", number)
        made.open()
        made.handler.close()
        assert len(made.lines()) == 30


def test_a_blocked_pipe_does_not_hold_the_loop():
    with bench() as made:
        filled = made.block()
        for number in range(20):
            made.logger.info("line %d", number)
        kernel.sleep(0.01)  # the loop turns
        made.unblock(filled)
        assert made.wait_for("line 19")[-1] == "INFO line 19"


# ---------------------------------------------------------------------------------------------- overload protection


@pytest.mark.plain
@pytest.mark.parametrize(
    "wrong",
    [{"sync": 300}, {"burst": -1}, {"burst": float("nan")}, {"burst_window": 0.0}, {"burst_window": -1.0}],
)
def test_limits_that_would_drop_all_in_silence_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LogLimits(**wrong)


def test_op_switch_to_sync():
    """logger_std_h_SUITE op_switch_to_sync: from `sync` lines waiting on, who logs waits until its line is written."""
    with bench(LogLimits(sync=3, drop=100, flush=1000, burst=0)) as made, gate(made):
        filled = made.block()
        me = self_()

        def talker():
            for number in range(5):
                made.logger.info("line %d", number)
                send(me, number)

        spawn(talker)
        settle()
        assert [receive(0) for _ in range(4)] == [0, 1, 2, TIMEOUT]
        assert made.handler.mode() == "sync"
        made.unblock(filled)
        assert [receive(5), receive(5)] == [3, 4]
        assert made.wait_for("line 4")[-5:] == [f"INFO line {number}" for number in range(5)]
        assert made.handler.mode() == "async"
        assert made.handler.info().dropped == 0


def test_sync_never_waits_for_ever(clock):
    """If the writer stands still, a process waits `sync_wait` once, and no further one until it moves."""
    with bench(LogLimits(sync=1, drop=100, flush=1000, burst=0, sync_wait=2.0)) as made, gate(made):
        filled = made.block()
        made.logger.info("the first does not wait")
        me = self_()

        def talker():
            made.logger.info("waits")
            send(me, "went on")
            made.logger.info("does not wait again")
            send(me, "at once")

        spawn(talker)
        settle()
        assert receive(0) is TIMEOUT
        clock.advance(3)
        assert [receive(0), receive(0)] == ["went on", "at once"]
        made.unblock(filled)
        made.wait_for("wait again")
        filled = made.block()
        made.logger.info("another first")
        spawn(talker)
        settle()
        assert receive(0) is TIMEOUT  # the writer moves again: so it is waited for again
        made.unblock(filled)
        until(lambda: receive(0) == "at once")


def test_sync_waits_only_where_it_may():
    """Not in the loop's callbacks, not in a hook of the kernel, not in other threads, not in the gate's own process."""
    with bench(LogLimits(sync=1, drop=1000, flush=1000, burst=0)) as made, gate(made) as pid:
        filled = made.block()
        made.logger.info("first")
        kernel.in_hub(made.logger.info, "from the hub")
        thread = threading.Thread(target=made.logger.info, args=("from a thread",))
        thread.start()
        kernel.hooks.call([made.logger.info], "from a hook")
        kernel.blocking(thread.join)

        class Talking(GenServer):
            def init(self):
                kernel.hooks.call([made.logger.info], "from a hook of a server")

        stop(Talking.start())
        assert kernel.is_alive(pid)
        assert not made.handler._is_stuck  # nobody waited in vain
        made.unblock(filled)
        text = "\n".join(made.wait_for("hook of a server"))
        assert all(f"from {what}" in text for what in ("the hub", "a thread", "a hook"))


def test_a_process_killed_while_it_waits_leaves_nothing():
    with bench(LogLimits(sync=1, drop=100, flush=1000, burst=0)) as made, gate(made) as pid:
        filled = made.block()
        made.logger.info("first")
        talker = spawn(made.logger.info, "waits")
        settle()
        exit(talker, "kill")
        made.unblock(filled)
        made.wait_for("waits")
        until(lambda: not pid.behaviour.waiting)
        assert not made.handler._is_awaited


def test_without_the_gate_nobody_waits():
    with bench(LogLimits(sync=1, drop=100, flush=1000, burst=0)) as made:
        with gate(made):
            pass
        filled = made.block()
        for number in range(5):
            made.logger.info("line %d", number)
        made.unblock(filled)
        made.wait_for("line 4")


def test_op_switch_to_drop():
    """logger_std_h_SUITE op_switch_to_drop: from `drop` lines waiting on, further ones are dropped, counted, told."""
    with bench(LogLimits(sync=10, drop=20, flush=1000, burst=0)) as made:
        filled = made.block()
        for number in range(50):
            made.logger.info("line %d", number)
        info = made.handler.info()
        assert (info.mode, info.waiting, info.dropped) == ("drop", 20, 30)
        made.unblock(filled)
        lines = made.wait_for("were dropped")
        assert lines[-1].startswith("WARNING 30 log records were dropped: 30 because the log is slower")
        assert "INFO line 19" in lines
        assert "INFO line 20" not in lines
        assert made.handler.mode() == "async"
        made.logger.info("all is well")
        assert made.wait_for("all is well").count(lines[-1]) == 1


def test_op_switch_to_flush():
    """logger_std_h_SUITE op_switch_to_flush: from `flush` lines waiting on, all that wait are dropped, and counted."""
    with bench(LogLimits(sync=10, drop=30, flush=30, burst=0)) as made:
        filled = made.block()
        for number in range(40):
            made.logger.info("line %d", number)
        info = made.handler.info()
        assert (info.flushed, info.dropped, info.waiting) == (30, 0, 10)
        made.unblock(filled)
        made.wait_for("were dropped")
        lines = made.wait_for("line 39")
        assert [line for line in lines if line.startswith("INFO line")][-10:] == [
            f"INFO line {number}" for number in range(30, 40)
        ]
        assert "INFO line 29" not in lines
        assert sum(line.startswith("WARNING 30 log records were dropped") for line in lines) == 1


def test_flush_keeps_the_order_to_stop():
    with bench(LogLimits(sync=1, drop=1, flush=1, burst=0), is_open=False) as made:
        made.handler._lines.put((0, None))
        made.logger.info("a")
        made.open()
        made.handler._thread.join(5)
        assert not made.handler._thread.is_alive()


def test_limit_burst(clock):
    """logger_std_h_SUITE limit_burst_enabled_one, _period: so many per window; the rest is dropped, and told after it."""
    with bench(LogLimits(sync=1000, drop=1000, flush=1000, burst=5, burst_window=2.0)) as made:
        for number in range(5):
            made.logger.info("line %d", number)
        made.wait_for("line 4")
        kernel.blocking(time.sleep, 0.01)  # the thread sleeps until something comes
        for number in range(5, 12):
            made.logger.info("line %d", number)
        assert made.handler.info().burst_dropped == 7
        assert "dropped" not in made.read()
        clock.advance(2.5)
        lines = made.wait_for("were dropped")
        assert lines == [
            *(f"INFO line {number}" for number in range(5)),
            "WARNING 7 log records were dropped: 7 of more than 5 within 2 s",
        ]
        made.logger.info("again")
        assert made.wait_for("again")[-1] == "INFO again"


def test_limit_burst_disabled():
    """logger_std_h_SUITE limit_burst_disabled."""
    with bench(LogLimits(sync=10**4, drop=10**4, flush=10**4, burst=0)) as made:
        for number in range(2000):
            made.logger.info("line %d", number)
        assert len(made.wait_for("line 1999")) == 2000


def test_what_was_dropped_is_told_at_the_end_too(clock):
    with bench(LogLimits(sync=10, drop=20, flush=1000, burst=3, burst_window=60.0)) as made:
        for number in range(10):
            made.logger.info("line %d", number)
        made.handler.close()
        assert made.lines()[-1].startswith("WARNING 7 log records were dropped")


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError):
        LogLimits(sync=10, drop=5)
    with pytest.raises(ValueError):
        LogLimits(sync=0)


# ------------------------------------------------------------------------------------------------- what may fail


class Failing(logging.Formatter):
    def __init__(self, always):
        super().__init__("%(message)s")
        self.always = always

    def format(self, record):
        if self.always or "bad" in record.getMessage():
            raise RuntimeError("formatter")
        return super().format(record)


@pytest.mark.parametrize("always", [False, True])
def test_formatter_fail(always):
    """logger_std_h_SUITE formatter_fail: a formatter that raises must not kill the handler, nor who logs."""
    with bench(formatter=Failing(always)) as made:
        made.logger.info("bad one")
        made.logger.info("good one")
        made.logger.info("last: bad %d arguments", "no")
        lines = until(lambda: len(made.lines()) == 3 and made.lines())
        assert "bench" in lines[0]
        assert "cannot be formatted: RuntimeError" in lines[0]
        if not always:
            assert lines[1] == "good one"
            assert "cannot be formatted: TypeError" in lines[2]
        assert made.handler.info().formatter_failures == (3 if always else 2)
        assert made.handler._thread.is_alive()


def test_a_failing_record_stays_json():
    with bench(formatter=JsonFormatter()) as made:
        made.logger.info("%d", "x")
        made.logger.info("fine")
        for line in until(lambda: len(made.lines()) == 2 and made.lines()):
            assert json.loads(line)["logger"] == "bench"


def test_a_closed_descriptor_does_not_end_the_thread(monkeypatch):
    """Ours: what could not be written is counted, and told when there is somewhere to write again."""
    monkeypatch.setattr(log_handler, "_TOLD_LATER", 0.01)
    with bench() as made:
        keep = os.dup(made.write_end)
        os.close(made.write_end)
        made.logger.info("lost")
        until(lambda: made.handler.info().unwritten == 1)
        assert made.handler.info().written == 0
        os.dup2(keep, made.write_end)
        os.close(keep)
        assert made.wait_for("were dropped") == [
            "WARNING 1 log records were dropped: 1 that could not be written"
        ]
        made.logger.info("back")
        assert made.wait_for("back")[1:] == ["INFO back"]


class Hiding(logging.Filter):
    def filter(self, record):
        if record.args:
            raise KeyError("secret")
        return True


def test_filter_fail():
    """logger_std_h_SUITE: a filter that raises must not hurt who logs; what it was to hide is not shown."""
    with bench() as made:
        made.handler.addFilter(Hiding())
        made.logger.info("password %s", "1234")
        made.logger.info("good one")
        lines = until(lambda: len(made.lines()) == 2 and made.lines())
        assert "is withheld: a filter failed: KeyError" in lines[0]
        assert "password" not in lines[0]
        assert lines[1] == "INFO good one"
        assert made.handler.info().formatter_failures == 1


KILLING = LogLimits(
    sync=10**4, drop=10**4, flush=10**4, burst=0, overload_kill=True, kill_lines=20, kill_bytes=10_000, restart_after=5.0,
)  # fmt: skip


@pytest.mark.parametrize("by", ["lines", "bytes"])
def test_handler_requests_under_overload_kill(by, clock):
    """logger_std_h_SUITE qlen_kill_new, mem_kill_new, restart_after: ended by too much that waits, back after a while."""
    with bench(KILLING) as made:
        filled = made.block()
        for number in range(21 if by == "lines" else 2):
            made.logger.info("line %d %s", number, "" if by == "lines" else "x" * 5000)
        waiting = made.handler.info().waiting
        made.logger.info("the last straw")
        info = made.handler.info()
        assert (info.mode, info.kills, info.kill_dropped, info.flushed) == ("killed", 1, waiting + 1, 0)
        clock.advance(4.9)
        made.logger.info("too early")
        assert made.handler.info().kill_dropped == waiting + 2
        made.unblock(filled)
        clock.advance(0.2)
        made.wait_for("were dropped")
        made.logger.info("all is well")
        lines = made.wait_for("all is well")
        told = [line for line in lines if "were dropped" in line]
        why = f"{waiting + 2} because so much waited that the log was cut off"
        assert told == [f"WARNING {waiting + 2} log records were dropped: {why}"]
        assert not any("straw" in line or "early" in line or "line 0" in line for line in lines)
        assert made.handler.mode() == "async"


def test_overload_kill_is_off_by_default():
    """OTP: overload_kill_enable is false."""
    with bench() as made:
        filled = made.block()
        for _ in range(5):
            made.logger.info("x" * 1_000_000)
        assert made.handler.info().kills == 0
        made.handler._flush()
        made.unblock(filled)


def test_what_waited_does_not_count_once_it_is_written():
    """Ours: bytes waiting are bytes waiting, not all that ever were."""
    with bench(KILLING) as made:
        for number in range(40):
            made.logger.info("line %d %s", number, "x" * 900)
            made.wait_for(f"line {number} ")
        assert made.handler.info().kills == 0


# -------------------------------------------------------------------------------------------------- levels and looks


def test_levels_are_changed_live():
    before = get_levels()
    try:
        set_levels("warning", {"test.a": "debug"})
        assert logging.getLogger("test.a.b").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("test.c").isEnabledFor(logging.INFO)
        set_level("test.c", "info")
        assert logging.getLogger("test.c").isEnabledFor(logging.INFO)
        assert get_levels() == {"": "warning", "test.a": "debug", "test.c": "info"}
        set_level("test.a", None)
        assert not logging.getLogger("test.a").isEnabledFor(logging.INFO)
        with pytest.raises(ValueError):
            set_level("test.c", "loud")
        set_levels("warning", {"test.d": "error"})
        assert get_levels() == {"": "warning", "test.d": "error"}
    finally:
        set_levels(before.pop(""), before)


class Fragile(GenServer):
    def init(self):
        self.amount = 7

    def handle_cast(self, request):
        raise ValueError(f"no {request}")


def crash_records():
    records = []

    class Collect(logging.Handler):
        def emit(self, record):
            if isinstance(record.report, CrashReport):
                records.append(record)

    logger, collect = logging.getLogger("evergreen"), Collect()
    logger.addHandler(collect)
    try:
        pid = Fragile.start(name="till")
        kernel.cast(pid, "money")
        settle()
    finally:
        logger.removeHandler(collect)
    return records


def test_a_crash_report_is_readable_at_night():
    """The first line says who, why and where; everything else is indented below it."""
    (record,) = crash_records()
    text = HumanFormatter().format(record)
    first, *rest = text.splitlines()
    assert "error    evergreen.crash: crasher: <till@" in first
    assert "ValueError: no money, in Fragile.handle_cast (" in first
    assert all(line.startswith("    ") for line in rest)
    assert any("Traceback" in line for line in rest)


def test_a_crash_report_as_json():
    (record,) = crash_records()
    entry = json.loads(JsonFormatter().format(record))
    assert (entry["report"], entry["level"], entry["logger"]) == ("crash", "error", "evergreen.crash")
    assert entry["headline"] == headline(record.report)
    assert "till" in entry["fields"]["name"]
    assert "ValueError" in entry["fields"]["reason"]


def json_of(report):
    return json.loads(JsonFormatter().format(logging.makeLogRecord({"msg": "m", "report": report})))


def test_fields_of_a_report_are_json_values_where_they_can_be():
    """A text is itself, without Python's quotes; numbers and flags are no texts; what JSON has not, is one."""
    (record,) = crash_records()
    fields = json_of(record.report)["fields"]
    assert fields["name"] == "till"
    assert fields["status"] == "running"
    assert fields["trap_exit"] is False
    assert type(fields["message_queue_len"]) is int
    assert fields["pid"].startswith("<till@")


def test_a_child_without_an_id_is_known_by_what_started_it():
    """Children of a dynamic supervisor have none."""
    spec = ChildSpec(None, (Fragile.start_link, ()), restart="temporary")
    for pid, shown in ((None, "a child, "), (kernel.self_(), f"{kernel.self_()!r}, ")):
        report = SupervisorReport(
            supervisor="crowd", context="start_error", reason="why", offender=Offender.of(pid, spec)
        )
        line = headline(report)
        assert line.startswith("supervisor report: a child (")
        assert line.endswith("Fragile.start_link) of crowd (start_error): why")
        assert f"  offender: {shown}" in render(report)
        assert "None" not in line + render(report)


def test_control_characters_do_not_reach_the_terminal():
    record = logging.makeLogRecord({"msg": "\x1b[2J gone\x07", "levelname": "INFO", "name": "x"})
    assert "\x1b" not in HumanFormatter().format(record)


def test_control_characters_of_an_exception_do_not_reach_the_terminal():
    """Ours: a peer's words in an exception are shown as they are, and do nothing."""
    try:
        raise ValueError("\x1b]0;owned\x07 \x9b31m")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "failed", None, sys.exc_info())
    text = HumanFormatter().format(record)
    assert "\\x1b]0;owned\\x07 \\x9b31m" in text
    assert not set(text) & set("\x1b\x07\x9b")
    assert "\n    Traceback" in text


def test_control_characters_and_stacks_in_json():
    """Ours: one line, nothing in it that a terminal obeys, and what was logged comes back from it."""
    said = "\x1b[31m \x9b31m \x7f ä\n"
    record = logging.LogRecord("a", logging.ERROR, "f", 1, said, None, None)
    record.stack_info = "Stack (most recent call last):"
    line = JsonFormatter().format(record)
    assert not [c for c in line if ord(c) < 32 or 127 <= ord(c) < 160]
    assert json.loads(line)["message"] == said
    assert json.loads(line)["stack"] == record.stack_info
    assert HumanFormatter().format(record).endswith("\n    Stack (most recent call last):")
