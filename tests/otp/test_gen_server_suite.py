"""The cases of OTP's gen_server_SUITE that need neither a second node nor live code; see NOT_COVERED.md for those."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import gevent
import pytest

from runtime.kernel import (
    KILL,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    TIMEOUT_REASON,
    CallError,
    Crash,
    Down,
    Exit,
    ProcessExit,
    Shutdown,
    exit,
    is_alive,
    process_info,
    receive,
    receive_match,
    register,
    reply,
    self_,
    send,
    sleep,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unregister,
    whereis,
    yield_,
)
from runtime.otp import (
    AlreadyStarted,
    BadReturnValue,
    Deadline,
    Fail,
    GenServer,
    Ignore,
    NoReply,
    Reply,
    RequestIds,
    StartError,
    Stop,
    abcast,
    call,
    cast,
    check_response,
    multi_call,
    receive_response,
    send_request,
    stop,
    sys,
    wait_response,
)
from runtime.testing import settle
from tests.support.servers import Puppet, Reports, in_helper, raiser, returner, running

FORMS = ["start", "start_link", "start_monitor"]


@pytest.fixture
def reports(caplog):
    return Reports(caplog)


def started(form, cls, *args, **options):
    """Start by any of the three forms; return the pid."""
    result = getattr(cls, form)(*args, **options)
    return result[0] if isinstance(result, tuple) else result


# ------------------------------------------------------------------------------------------------------ 54 start


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [None, "my_test_name"])
def test_start_returns_after_init_has_run(form, name):
    """gen_server_SUITE start: anonymous and locally registered, started, linked and monitored."""
    trap_exit(True)
    log = []
    pid = started(form, Puppet, lambda s: log.append("init"), name=name)
    assert log == ["init"]
    assert whereis("my_test_name") is (pid if name else None)
    assert (pid in process_info(self_(), "links")["links"]) is (form == "start_link")
    assert call(name or pid, "hello") == ("echo", "hello")
    stop(pid)
    if form == "start_link":
        assert receive(0) == Exit(pid, NORMAL)
    elif form == "start_monitor":
        assert receive(0).__class__ is Down
    assert receive(0) is TIMEOUT


@pytest.mark.parametrize("form", FORMS)
def test_start_ignored_returns_none_and_leaves_nothing(form):
    """gen_server_SUITE start: init returns ignore."""
    trap_exit(True)
    assert getattr(Puppet, form)(returner(Ignore()), name="n") is None
    assert whereis("n") is None
    settle()
    assert receive(0) is TIMEOUT


@pytest.mark.parametrize("form", FORMS)
def test_start_stopped_raises_the_reason(form, reports):
    """gen_server_SUITE start: init returns {stop, Reason}; a trapping linked starter gets no stray EXIT."""
    trap_exit(True)
    with pytest.raises(StartError) as failure:
        getattr(Puppet, form)(returner(Stop("because")), name="n")
    assert failure.value.reason == "because"
    assert whereis("n") is None
    assert receive(0) is TIMEOUT
    assert reports.labels() == ["crash"]


@pytest.mark.parametrize("form", FORMS)
def test_start_failed_without_a_crash_report(form, reports):
    """gen_server_SUITE start: init returns {error, Reason}: the same to the starter, silent, exit normal."""
    with pytest.raises(StartError) as failure:  # not trapping: a linked starter lives on
        getattr(Puppet, form)(returner(Fail("because")), name="n")
    assert failure.value.reason == "because"
    assert whereis("n") is None
    settle()
    assert receive(0) is TIMEOUT
    assert reports.labels() == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [None, "n"])
def test_start_too_slow_is_killed(form, name, clock):
    """gen_server_SUITE start: init slower than {timeout, T}: error timeout, child killed, name free."""
    children = []

    def slow(server):
        children.append(self_())
        sleep(1000)

    def attempt():
        trap_exit(True)
        with pytest.raises(StartError) as failure:
            getattr(Puppet, form)(slow, name=name, timeout=0.1)
        return failure.value.reason, whereis("n"), is_alive(children[0]), receive(0)

    helper = in_helper(attempt)
    clock.advance(0.2)
    assert receive(0) == (helper, (TIMEOUT_REASON, None, False, TIMEOUT))


@pytest.mark.parametrize("form", FORMS)
def test_start_already_started_names_the_holder(form):
    """gen_server_SUITE start: {error, {already_started, Pid}}; nothing runs."""
    with running(Puppet, name="n") as pid:
        with pytest.raises(AlreadyStarted) as failure:
            getattr(Puppet, form)(raiser(AssertionError("ran")), name="n")
        assert failure.value.pid is pid
        assert whereis("n") is pid


def test_start_link_not_trapping_dies_with_the_child():
    """OTP gen_server:start_link/4: an init that exits takes a linked starter along that does not trap exits."""
    pid, ref = spawn_monitor(lambda: Puppet.start_link(returner(Stop("because"))))
    assert receive(5) == Down(ref, pid, "because")


def test_start_monitor_tells_the_death():
    """gen_server_SUITE start_monitor: the monitor given back works."""
    pid, ref = Puppet.start_monitor()
    exit(pid, "gone")
    assert receive(0) == Down(ref, pid, "gone")


@pytest.mark.parametrize("form", FORMS)
def test_start_garbage_from_init(form):
    """OTP A2: {error, {bad_return_value, Garbage}}."""
    trap_exit(True)
    with pytest.raises(StartError) as failure:
        getattr(Puppet, form)(returner("garbage"))
    assert failure.value.reason == BadReturnValue("garbage")


FAILURES = {
    "stop": (returner(Stop("failed")), "failed"),
    "exit": (raiser(ProcessExit("failed")), "failed"),
    "fail": (returner(Fail("failed")), "failed"),
    "shutdown": (returner(Stop(SHUTDOWN)), SHUTDOWN),
    "normal": (raiser(ProcessExit(NORMAL)), NORMAL),
    "timeout": (raiser(ProcessExit(TIMEOUT_REASON)), TIMEOUT_REASON),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", [*FAILURES, "raise"])
def test_loop_start_fail(form, how):
    """gen_server_SUITE loop_start_fail: each init failure, five times in a row, gives the same result each time."""
    trap_exit(True)
    for _ in range(5):
        play, reason = FAILURES.get(how, (raiser(ValueError("failed")), None))
        with pytest.raises(StartError) as failure:
            getattr(Puppet, form)(play, name="loop_start_fail")
        assert whereis("loop_start_fail") is None
        if how == "raise":
            assert isinstance(failure.value.reason, Crash)
            assert isinstance(failure.value.reason.exception, ValueError)
        else:
            assert failure.value.reason == reason
    settle()
    assert receive(0) is TIMEOUT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outcome", [Stop("x"), Fail("x"), Ignore()], ids=str)
def test_otp_7669_name_is_free_before_the_error_returns(form, outcome):
    """gen_server_SUITE otp_7669: a failing start may be tried again at once under the same name."""
    trap_exit(True)
    for _ in range(3):
        try:
            assert getattr(Puppet, form)(returner(outcome), name="otp_7669") is None
        except StartError as error:
            assert error.reason == "x"
            assert error.__class__ is StartError
    pid = Puppet.start(name="otp_7669")
    stop(pid)


# -------------------------------------------------------------------------------------------------- 57 stop1…stop10


def test_stop1_waits_for_the_end():
    """gen_server_SUITE stop1: stop(Pid) ends it normally and returns when it is dead."""
    with running(Puppet, None, self_()) as pid:
        stop(pid)
        assert not is_alive(pid)
        assert pid.reason == NORMAL
        assert receive(0) == ("terminate", NORMAL)
    assert receive(0) is TIMEOUT


def test_stop2_stop3_reason_and_timeout():
    """gen_server_SUITE stop2, stop3: with a reason, and with a time limit."""
    for timeout in (None, 5.0):
        with running(Puppet, None, self_()) as pid:
            stop(pid, SHUTDOWN, timeout)
            assert pid.reason == SHUTDOWN
            assert receive(0) == ("terminate", SHUTDOWN)


def test_stop4_by_name():
    """gen_server_SUITE stop4: by registered name."""
    with running(Puppet, name="to_stop") as pid:
        stop("to_stop")
        assert not is_alive(pid)
        assert whereis("to_stop") is None


def test_stop5_linked_and_trapping_gets_the_exit():
    """gen_server_SUITE stop5: a linked caller that traps still hears the end."""
    trap_exit(True)
    pid = Puppet.start_link()
    stop(pid, Shutdown("later"))
    assert receive(0) == Exit(pid, Shutdown("later"))


@pytest.mark.parametrize("dest", ["nobody_here", "dead"])
def test_stop6_noproc(dest):
    """gen_server_SUITE stop6: noproc for an unknown name and for a dead pid."""
    if dest == "dead":
        dest = spawn(lambda: None)
        settle()
    with pytest.raises(CallError) as failure:
        stop(dest)
    assert failure.value.reason == NOPROC


@pytest.mark.parametrize("timeout", [-1, "soon", True])
def test_stop7_bad_timeout_is_harmless(timeout):
    """gen_server_SUITE stop7: a bad timeout is an error at the call; the server lives."""
    with running(Puppet) as pid:
        with pytest.raises((ValueError, TypeError)):
            stop(pid, NORMAL, timeout)
        settle()
        assert call(pid, 1) == ("echo", 1)


def test_stop8_timeout_while_the_server_is_busy(clock):
    """gen_server_SUITE stop8: a server that does not come round to it: exit timeout; nothing left in the mailbox."""
    with running(Puppet) as pid:
        cast(pid, lambda _: sleep(10))
        settle()

        def attempt():
            with pytest.raises(CallError) as failure:
                stop(pid, NORMAL, 0.5)
            return failure.value.reason, receive(0)

        def attempt_and_kill():
            result = attempt()
            exit(pid, KILL)
            return *result, receive(0)

        helper = in_helper(attempt_and_kill)
        clock.advance(1)
        assert receive(0) == (helper, (TIMEOUT_REASON, TIMEOUT, TIMEOUT))


def test_stop9_other_reason_than_asked_for():
    """proc_lib_SUITE stop: a terminate that crashes gives its own reason, and stop says so."""

    class Clumsy(Puppet):
        def terminate(self, reason):
            raise ValueError("oops")

    with running(Clumsy) as pid:
        with pytest.raises(CallError) as failure:
            stop(pid)
        assert isinstance(failure.value.reason, Crash)
    assert receive(0) is TIMEOUT


def test_stop10_a_suspended_server_stops_too():
    """gen_server_SUITE stop10: stop is a system message: suspended or not, terminate runs."""
    with running(Puppet, None, self_()) as pid:
        sys.suspend(pid)
        stop(pid, "enough")
        assert receive(0) == ("terminate", "enough")


@pytest.mark.parametrize("reason", [NORMAL, "other"])
def test_stop_of_a_server_that_just_ends_by_itself(reason, clock):
    """OTP proc_lib:stop: what counts is the reason it ended with, not whose doing it was."""
    with running(Puppet) as pid:
        cast(pid, lambda _: sleep(1) or Stop(reason))
        settle()
        helper = in_helper(lambda: stop(pid))
        clock.advance(2)
        assert receive(0) == (helper, None if reason == NORMAL else ("failed", reason))


def test_stop_of_oneself_is_refused():
    """OTP proc_lib:stop: a process cannot wait for its own end."""
    with pytest.raises(CallError) as failure:
        stop(self_())
    assert failure.value.reason == "calling_self"


# ----------------------------------------------------------------------------------------------------- 58 crash


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, Shutdown({"any": "term"})])
@pytest.mark.parametrize("how", ["stop", "exit"])
def test_crash_is_silent_for_orderly_ends(reason, how, reports):
    """gen_server_SUITE crash: normal, shutdown and {shutdown, _} are not reported."""
    with running(Puppet) as pid:
        cast(pid, returner(Stop(reason)) if how == "stop" else raiser(ProcessExit(reason)))
        settle()
        assert pid.reason == reason
    assert reports.labels() == []


def test_crash_server_and_crash_report_with_client(reports):
    """gen_server_SUITE crash: one server report with last message, state and client; one crash report."""
    me = self_()
    register("the_client", me)

    with running(Puppet, name="crasher") as pid:
        boom = raiser(ZeroDivisionError("crashed"))
        with pytest.raises(CallError) as failure:
            call(pid, boom)
        assert isinstance(failure.value.reason, Crash)
        assert failure.value.reason is pid.reason
    assert reports.labels() == ["server", "crash"]
    (server,), (crash,) = reports.of("server"), reports.of("crash")
    assert (server.name, server.pid, server.reason) == ("crasher", pid, pid.reason)
    assert server.last_message is boom
    assert server.state["seen"] == [("terminate", pid.reason)]
    assert (server.client, server.client_name) == (me, "the_client")
    assert "test_crash_server_and_crash_report_with_client" in server.client_stack
    assert (crash.pid, crash.name, crash.reason) == (pid, "crasher", pid.reason)
    assert crash.initial_call == "tests.support.servers:Puppet.init"
    assert crash.ancestors[0] == "the_client"
    text = reports.texts()
    assert "ZeroDivisionError: crashed" in text
    assert "in raiser.<locals>.play" in text
    unregister("the_client")


def test_crash_reported_once_for_each_way(reports):
    """gen_server_SUITE crash: Stop(reason), exit(reason), raise and bad return, from cast and info alike."""
    ways = [returner(Stop("bad")), raiser(ProcessExit("bad")), raiser(ValueError("bad")), returner("bad")]
    for deliver in (cast, send):
        for way in ways:
            reports.clear()
            with running(Puppet) as pid:
                deliver(pid, way)
                settle()
                assert not is_alive(pid)
            assert reports.labels() == ["server", "crash"]
            assert reports.of("server")[0].client is None


def test_crash_report_is_bounded(reports):
    """OTP A4: depth and character limits everywhere."""

    class Bomb:
        def __repr__(self):
            raise RuntimeError("no repr")

    def grow(server):
        server.big = [list(range(100_000))] * 1000
        server.deep = deep = []
        for _ in range(500):
            deep.append([])
            deep = deep[0]
        server.text = "x" * 1_000_000
        server.bomb = Bomb()

    with running(Puppet, grow) as pid:
        for n in range(1000):
            send(pid, n)
        cast(pid, returner(Stop("bad")))
        for n in range(100):
            send(pid, n)
        settle()
    (crash,) = reports.of("crash")
    assert crash.message_queue_len == 100
    assert len(crash.messages) <= 10
    assert len(reports.texts()) < 40_000


# ------------------------------------------------------------------------------------------------------ 59 call


def test_call_delayed_reply_by_another_process():
    """gen_server_SUITE call: the server answers later, and another process may do it."""

    def later(server):
        sender = server.sender
        spawn(lambda: reply(sender, "delayed"))
        return NoReply()

    with running(Puppet) as pid:
        assert call(pid, later) == "delayed"
        assert call(pid, 1) == ("echo", 1)


def test_call_timeout_leaves_nothing_behind(clock):
    """gen_server_SUITE call: no answer in time: exit timeout; a late answer vanishes; the server lives."""
    with running(Puppet) as pid:

        def attempt():
            with pytest.raises(CallError) as failure:
                call(pid, lambda server: sleep(2), 1.0)
            sleep(5)
            return failure.value.reason, receive(0)

        helper = in_helper(attempt)
        clock.advance(10)
        assert receive(0) == (helper, (TIMEOUT_REASON, TIMEOUT))
        assert call(pid, "again") == ("echo", "again")


@pytest.mark.parametrize("value", [Ignore(), Fail("x")], ids=str)
def test_call_bad_return_value(value):
    """gen_server_SUITE call: a value without meaning there: exit {bad_return_value, V}, also in the caller."""
    with running(Puppet) as pid:
        with pytest.raises(CallError) as failure:
            call(pid, returner(value))
        assert failure.value.reason == BadReturnValue(value)


@pytest.mark.parametrize("value", ["ok", 17, Reply(1), Ignore()], ids=str)
@pytest.mark.parametrize("deliver", [cast, send], ids=["cast", "info"])
def test_cast_and_info_bad_return_value(value, deliver):
    """OTP A2: handle_cast and handle_info know None, NoReply and Stop."""
    with running(Puppet, None, self_()) as pid:
        deliver(pid, returner(value))
        receive(5)
        assert receive(5) == ("terminate", BadReturnValue(value))


def test_call_stop_reply_runs_terminate_first():
    """OTP A2: {stop, Reason, Reply, State}: terminate runs before the reply is sent."""
    order = []

    class Orderly(Puppet):
        def terminate(self, reason):
            yield_()
            order.append(("terminate", reason))

    with running(Orderly) as pid:
        order.append(call(pid, returner(Stop(NORMAL, reply="bye"))))
        settle()
        assert order == [("terminate", NORMAL), "bye"]
        assert not is_alive(pid)


def test_call_stop_reply_is_sent_though_terminate_crashes():
    """OTP gen_server: the reply of {stop, Reason, Reply, State} is sent after terminate, however that ends."""

    class Clumsy(Puppet):
        def terminate(self, reason):
            raise ValueError("oops")

    with running(Clumsy) as pid:
        assert call(pid, returner(Stop(NORMAL, reply="bye"))) == "bye"
        settle()
        assert isinstance(pid.reason, Crash)


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, "odd"])
def test_call_stop_without_reply_fails_with_the_reason(reason):
    """OTP A2: the server stopped without an answer: the caller exits with its reason, normal included."""
    with running(Puppet) as pid:
        with pytest.raises(CallError) as failure:
            call(pid, returner(Stop(reason)))
        assert failure.value.reason == reason


def test_call_of_a_caller_that_has_gone_is_skipped(clock):
    """Ours: a request whose caller timed out is not worked on."""
    done = []
    with running(Puppet) as pid:
        cast(pid, lambda _: sleep(10))
        settle()
        helper = in_helper(lambda: call(pid, lambda s: done.append("worked"), 1.0))
        clock.advance(20)
        assert receive(0) == (helper, ("failed", TIMEOUT_REASON))
        assert call(pid, "hello") == ("echo", "hello")
        assert done == []


@pytest.mark.parametrize("by", ["pid", "name"])
def test_calling_self_is_refused(by):
    """gen_server_SUITE calling_self: a server that calls itself gets an error at once, not a time-out."""
    with running(Puppet, name="selfish") as pid:

        def selfish(_server):
            with pytest.raises(CallError) as failure:
                call(pid if by == "pid" else "selfish", "anything")
            return failure.value.reason

        assert call(pid, selfish) == "calling_self"


def test_nested_calls_while_messages_queue():
    """OTP A2: a callback may block in a call; what comes meanwhile is handled after it, in order."""
    with running(Puppet) as inner, running(Puppet) as outer:
        cast(outer, lambda s: s.note("inner", call(inner, 1)))
        send(outer, "two")
        cast(outer, "three")
        seen = call(outer, "seen")
        assert [event for event in seen if not callable(event[1])] == [
            ("inner", ("echo", 1)), ("info", "two"), ("cast", "three"),
        ]  # fmt: skip


# ----------------------------------------------------------------------------- 61 send_request, *_reqid_collection


def test_send_request_wait_receive_check():
    """gen_server_SUITE send_request: the three ways to take an answer; noproc as an answer."""
    with running(Puppet) as pid:
        assert wait_response(send_request(pid, 1)) == ("echo", 1)
        assert receive_response(send_request(pid, 2), 5.0) == ("echo", 2)
        asked = send_request(pid, 3)
        message = receive(5)
        assert check_response("other", asked) is TIMEOUT
        assert check_response(message, asked) == ("echo", 3)
    for dead in (pid, "nobody_here"):
        with pytest.raises(CallError) as failure:
            wait_response(send_request(dead, 1))
        assert failure.value.reason == NOPROC
    assert receive(0) is TIMEOUT


def test_send_request_server_ends_without_answer():
    """gen_server_SUITE send_request: the reason of a server that stopped is the answer's error."""
    with running(Puppet) as pid:
        asked = send_request(pid, returner(Stop(SHUTDOWN)))
        with pytest.raises(CallError) as failure:
            wait_response(asked)
        assert failure.value.reason == SHUTDOWN


def test_send_request_wait_leaves_it_open_and_receive_gives_it_up():
    """gen_server_SUITE send_request: after a time-out, wait may be repeated; after receive a late answer vanishes."""
    gate = []
    with running(Puppet) as pid:

        def hold(server):
            gate.append(server.sender)
            return NoReply()

        first, second = send_request(pid, hold), send_request(pid, hold)
        assert wait_response(first, 0) is TIMEOUT
        assert receive_response(second, 0) is TIMEOUT
        settle()
        for sender in gate:
            reply(sender, "late")
        assert wait_response(first, 5.0) == "late"
        assert receive(0) is TIMEOUT


@pytest.mark.parametrize("take", ["wait", "receive"])
def test_a_reqid_collection_is_its_askers(take):
    """Another process that waits on it would wait for nothing, and `receive` would give its requests up."""
    asked = RequestIds()
    me = self_()
    with running(Puppet) as pid:
        asked.send(pid, returner("answer"))

        def other():
            with pytest.raises(RuntimeError, match=f"these requests are {me!r}'s"):
                getattr(asked, take)(0.1)
            send(me, "told")

        spawn_link(other)
        receive_match(lambda message: message == "told")
        assert len(asked) == 1
        assert asked.receive().value == "answer"


@pytest.mark.parametrize("take", ["wait", "receive", "check"])
def test_reqid_collection_gives_answers_as_they_come(take):
    """gen_server_SUITE {wait,receive,check}_response_reqid_collection: labels; errors too; then empty."""
    senders = {}
    asked = RequestIds()
    with running(Puppet) as pid:

        def hold(n):
            def play(server):
                senders[n] = server.sender
                return NoReply()

            return play

        for n in range(3):
            asked.send(pid, hold(n), label=n)
        asked.send("nobody_here", "x", label="dead")
        asked.add(send_request(pid, hold(3)), "added")
        assert len(asked) == 5
        send(self_(), "other mail")
        settle()
        for n in (3, 1, 0, 2):
            reply(senders[n], n * 10)
        answers = []
        while len(asked):
            if take == "check":
                message = receive(5)
                answer = asked.check(message)
                if answer is TIMEOUT:
                    assert message == "other mail"
                    continue
            else:
                answer = getattr(asked, take)(5.0)
            answers.append((answer.label, answer.value if answer.error is None else answer.error.reason))
        assert answers == [("dead", NOPROC), ("added", 30), (1, 10), (0, 0), (2, 20)]
        assert asked.wait() is None
        assert asked.receive() is None
        assert asked.check("x") is None
        assert receive(0) == (TIMEOUT if take == "check" else "other mail")


def test_reqid_collection_deadline_receive_abandons_wait_does_not(clock):
    """gen_server_SUITE *_reqid_collection: an absolute deadline for all; receive abandons, wait does not."""
    with running(Puppet) as pid:

        def run(take):
            asked = RequestIds()
            asked.send(pid, lambda _: sleep(1) or "first", label=1)
            asked.send(pid, lambda _: sleep(3) or "second", label=2)
            limit = Deadline.after(2.0)
            first = getattr(asked, take)(limit)
            late = getattr(asked, take)(limit)
            left = len(asked)
            sleep(10)
            return first.value, late is TIMEOUT, left, asked.wait(0), receive(0)

        helper = in_helper(lambda: run("receive"))
        clock.advance(30)
        assert receive(0) == (helper, ("first", True, 0, None, TIMEOUT))
        helper = in_helper(lambda: run("wait"))
        clock.advance(30)
        _, (first, late, left, rest, mail) = receive(0)
        assert (first, late, left, rest.value, mail) == ("first", True, 1, "second", TIMEOUT)


def test_reqid_collection_keeps_what_is_not_deleted():
    """gen_server_SUITE *_reqid_collection: Delete = false leaves the request in the collection."""
    asked = RequestIds()
    with running(Puppet) as pid:
        request = asked.send(pid, 1, label="one")
        assert asked.wait(5.0, delete=False).value == ("echo", 1)
        assert list(asked) == [(request, "one")]


@pytest.mark.parametrize("limit", [float("nan"), True, "5", [1]])
def test_reqid_collection_bad_limit_is_harmless(limit):
    """gen_server_SUITE *_reqid_collection: a bad time-out is the caller's error, raised before anything is taken or sent."""
    with running(Puppet, name="limited") as pid:
        asked = RequestIds()
        asked.send(pid, 1, label="one")
        for fn in (asked.wait, asked.receive, Deadline.after, partial(multi_call, "limited", 2)):
            with pytest.raises((ValueError, TypeError)):
                fn(limit)
        assert asked.wait(5.0).value == ("echo", 1)
        assert receive(0) is TIMEOUT
        assert not pid.monitored_by


def test_reqid_collection_abandoned():
    """gen_server_SUITE receive_response_reqid_collection: what is abandoned leaves neither message nor monitor."""
    with running(Puppet) as pid:
        asked = RequestIds()
        asked.send(pid, 1, label="there already")
        settle()
        asked.send(pid, lambda server: NoReply(), label="never")
        asked.send("nobody_here", 1, label="failed")
        asked.abandon()
        assert (len(asked), receive(0)) == (0, TIMEOUT)
        settle()
        assert receive(0) is TIMEOUT
        assert not pid.monitored_by


def test_multicall_that_is_interrupted_leaves_nothing():
    """gen_server_SUITE multicall: an exception that ends the wait abandons the requests."""
    with running(Puppet, name="held") as pid:

        def ask():
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.001):
                multi_call("held", lambda _: NoReply(), None)
            return receive(0), bool(pid.monitored_by)

        helper = in_helper(ask)
        assert receive(5) == (helper, (TIMEOUT, False))


# ------------------------------------------------------------------------------------------------------- 62 cast


def test_cast_fast_never_blocks_nor_fails():
    """gen_server_SUITE cast, cast_fast: ok for the living, the dead, and names that nobody has."""
    with running(Puppet, name="castee") as pid:
        cast(pid, "a")
        cast("castee", "b")
        assert call(pid, "seen") == [("cast", "a"), ("cast", "b")]
    cast(pid, "c")
    cast("nobody_here", "d")
    cast(("castee", "no_such_node"), "e")


# --------------------------------------------------------------------------------------------------- 63 continue


def test_continue_runs_before_any_queued_message():
    """gen_server_SUITE continue: from init, call, cast, info; before what is queued; chains."""
    me = self_()

    def start(server):
        send(self_(), "queued")
        server.watcher = me
        return NoReply(continue_="from init")

    with running(Puppet, start) as pid:
        settle()
        assert [receive(0), receive(0), receive(0)] == [
            ("continue", "from init"),
            ("info", "queued"),
            TIMEOUT,
        ]

        def ask(server):
            send(self_(), "queued 2")
            return Reply("answer", continue_=lambda _: NoReply(continue_="chained"))

        assert call(pid, ask) == "answer"
        settle()
        assert receive(0)[0] == "continue"
        assert [receive(0), receive(0)] == [("continue", "chained"), ("info", "queued 2")]

        for deliver in (cast, send):
            deliver(pid, lambda _: NoReply(continue_="next"))
            send(pid, "behind")
            settle()
            assert receive(0)[0] in {"cast", "info"}
            assert [receive(0), receive(0)] == [("continue", "next"), ("info", "behind")]


def test_continue_with_none_is_a_value():
    """Ours: any value may be continued with, None included."""
    with running(Puppet, lambda _: NoReply(continue_=None)) as pid:
        assert call(pid, "seen") == [("continue", None)]


def test_continue_may_stop():
    """gen_server_SUITE continue: {stop, Reason} from handle_continue; the start had succeeded."""
    with running(Puppet, lambda s: NoReply(continue_=returner(Stop(SHUTDOWN))), self_()) as pid:
        assert receive(5)[0] == "continue"
        assert receive(5) == ("terminate", SHUTDOWN)
        settle()
        assert pid.reason == SHUTDOWN


# ------------------------------------------------------------------------------------------------- 72 huge queue


@pytest.mark.slow
def test_call_with_huge_message_queue():
    """gen_server_SUITE call_with_huge_message_queue: less than ten times slower with a full mailbox."""
    with running(Puppet) as pid:

        def timed():
            best = 1e9
            for _ in range(5):
                start = perf_counter()
                for n in range(300):
                    call(pid, n)
                best = min(best, perf_counter() - start)
            return best

        empty = timed()
        for n in range(100_000):
            send(self_(), n)
        assert timed() < 10 * empty
        assert process_info(self_(), "message_queue_len")["message_queue_len"] == 100_000


# ------------------------------------------------------------------------------------------- 73, 74 by name and node


def test_call_remote_noproc_by_name():
    """gen_server_SUITE call_remote_n1: {Name, Node} of this node; a name nobody has is noproc."""
    from runtime.kernel import node

    with running(Puppet, name="here"):
        assert call(("here", node()), 1) == ("echo", 1)
    with pytest.raises(CallError) as failure:
        call("here", 1)
    assert failure.value.reason == NOPROC


def test_abcast_and_multicall_on_this_node():
    """gen_server_SUITE abcast, multicall, multicall_down: replies by node; nodes without the server are listed bad."""
    from runtime.kernel import node

    here = node()
    with running(Puppet, name="everywhere") as pid:
        assert multi_call("everywhere", 1) == ([(here, ("echo", 1))], [])
        assert multi_call("everywhere", 1, nodes=["no_such_node", here]) == (
            [(here, ("echo", 1))],
            ["no_such_node"],
        )
        abcast("everywhere", "x")
        abcast("everywhere", "y", nodes=["no_such_node", here])
        assert call(pid, "seen") == [("cast", "x"), ("cast", "y")]
    assert multi_call("everywhere", 1) == ([], [here])
    abcast("everywhere", "z")


def test_multicall_timeout_gives_up(clock):
    """gen_server_SUITE multicall_down: a server that does not answer in time makes its node bad; nothing comes late."""
    from runtime.kernel import node

    with running(Puppet, name="slow"):
        helper = in_helper(lambda: (multi_call("slow", lambda _: sleep(5), 1.0), sleep(10), receive(0)))
        clock.advance(30)
        assert receive(0) == (helper, (([], [node()]), None, TIMEOUT))


def test_a_server_with_an_init_of_python_is_refused():
    """A class's `__init__` would never run: said when the class is made, not found out later."""
    with pytest.raises(TypeError, match="never called"):

        class Mistaken(GenServer):
            def __init__(self):
                self.n = 0


def test_a_control_value_without_its_parentheses_is_a_bad_return_value(reports):
    """`return Stop` is a slip, not an answer; any other class is one."""

    class Slips(GenServer):
        def handle_call(self, request, sender):
            return request

    pid = Slips.start()
    assert call(pid, int) is int
    with pytest.raises(CallError) as error:
        call(pid, Stop)
    assert error.value.reason == BadReturnValue(Stop)
