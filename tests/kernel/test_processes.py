"""Processes: spawn, send, receive, names, timers, dictionary, what process_info tells."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from runtime.kernel import (
    TIMEOUT,
    BadName,
    Call,
    CallError,
    Crash,
    Down,
    NameTaken,
    NotAProcess,
    ProcessExit,
    RemotePid,
    Timeout,
    alias,
    call,
    cancel_timer,
    check_response,
    demonitor,
    erase,
    exit,
    fail,
    get,
    is_alive,
    link,
    make_ref,
    monitor,
    node,
    pid_from_wire,
    process_info,
    processes,
    put,
    read_timer,
    receive,
    receive_mark,
    receive_match,
    receive_response,
    register,
    registered,
    reply,
    request,
    run,
    self_,
    send,
    send_after,
    set_label,
    sleep,
    spawn,
    spawn_callback,
    spawn_monitor,
    spawn_opt,
    start_timer,
    trap_exit,
    unalias,
    unregister,
    wait_response,
    whereis,
    yield_,
)
from runtime.kernel import scheduler as scheduler_module
from runtime.testing import VirtualClock, settle


class Echo:
    """Answers calls with what they ask; keeps other messages."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_message(self, process: Any, message: Any) -> None:
        if message.__class__ is Call:
            reply(message, message.request)
        else:
            self.seen.append(message)


def forever() -> None:
    receive()


def end(*pids: Any) -> None:
    for pid in pids:
        exit(pid, "kill")


# ------------------------------------------------------------------------------------------------ spawn, send, receive


def test_messages_from_one_sender_arrive_in_order() -> None:
    """OTP A1: signal order is kept per sender and receiver."""
    me = self_()
    spawn(lambda: [send(me, n) for n in range(500)])
    assert [receive() for _ in range(500)] == list(range(500))


def test_send_returns_the_message_and_to_the_dead_drops_it() -> None:
    """erlang:send/2: to a dead pid the message is dropped silently."""
    pid, ref = spawn_monitor(lambda: None)
    assert receive() == Down(ref, pid, "normal")
    assert send(pid, "late") == "late"
    assert not is_alive(pid)


def test_send_to_an_unknown_name_is_an_error_at_the_call() -> None:
    """OTP A1: to an unregistered name: badarg."""
    with pytest.raises(BadName, match="nobody"):
        send("nobody", 1)
    with pytest.raises(BadName):
        send(17, 1)


def test_receive_times_out_on_virtual_time(clock: VirtualClock) -> None:
    """`receive ... after` gives up at its time, and at once for 0."""
    me = self_()
    assert receive(0) is TIMEOUT
    spawn(lambda: send(me, ("gave up", receive(5))))
    clock.advance(4.9)
    assert receive(0) is TIMEOUT
    clock.advance(0.2)
    assert receive(0) == ("gave up", TIMEOUT)


def test_plain_function_outside_a_process_is_told_so() -> None:
    """Blocking calls need a process; the error says how to get one."""
    errors: list[BaseException] = []

    def outside() -> None:
        try:
            receive()
        except NotAProcess as error:
            errors.append(error)

    from runtime.kernel import in_hub

    in_hub(outside)
    sleep(0)
    sleep(0.001)
    assert "runtime.run" in str(errors[0])


def test_selective_receive_leaves_the_rest_in_order() -> None:
    """Erlang receive: scans in order, leaves the rest in order."""
    me = self_()
    for n in range(6):
        send(me, n)
    assert receive_match(lambda m: m == 3) == 3
    assert receive_match(lambda m: m % 2 == 1) == 1
    send(me, 6)
    assert receive_match(lambda m: m == 6) == 6
    assert [receive() for _ in range(4)] == [0, 2, 4, 5]
    assert receive(0) is TIMEOUT


def test_selective_receive_keeps_the_order_when_the_predicate_raises() -> None:
    """A predicate that raises leaves the mailbox as it was."""
    me = self_()
    for n in range(5):
        send(me, n)
    with pytest.raises(ZeroDivisionError):
        receive_match(lambda m: 1 // (3 - m) > 5)
    assert [receive() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_receive_mark_skips_older_mail() -> None:
    """OTP A1: a receive mark makes a fresh reply cheap to find; counted in predicate calls, not in time."""
    me = self_()
    for n in range(1000):
        send(me, n)
    mark = receive_mark()
    looks = 0

    def is_answer(message: Any) -> bool:
        nonlocal looks
        looks += 1
        return bool(message == "answer")

    spawn(send, me, "answer")
    assert receive_match(is_answer, mark=mark) == "answer"
    assert looks == 1
    assert receive() == 0
    assert receive_match(lambda m: m == 1, mark=mark) == 1  # a mark that no longer holds: found all the same


def test_receive_inside_a_callback_keeps_what_it_did_not_take() -> None:
    """A callback may use selective receive; the mail it skipped is handled afterwards, in order."""

    class Picky:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_message(self, process: Any, message: Any) -> None:
            if message == "pick":
                self.seen.append(receive_match(lambda m: m == "picked"))
            else:
                self.seen.append(message)

    for mail in (["pick"], ["pick", 0], [0, "pick", 1]):
        picky = Picky()
        pid = spawn_callback(picky)
        for m in [*mail, 2, 3, "picked", 4]:
            send(pid, m)
        settle()
        rest = [m for m in [*mail, 2, 3, 4] if m != "pick"]
        at = mail.index("pick")
        assert picky.seen == [*rest[:at], "picked", *rest[at:]]
        end(pid)
    picky = Picky()
    pid = spawn_callback(picky)
    send(pid, "pick")
    settle()  # it waits in the callback; what comes now goes to its own receive first
    for m in (2, 3, "picked", 4):
        send(pid, m)
    settle()
    assert picky.seen == ["picked", 2, 3, 4]
    end(pid)


def test_a_callback_that_blocks_in_a_call_gets_its_mail_afterwards_one_at_a_time() -> None:
    """A process runs one message at a time, whatever it waits for meanwhile."""
    echo = spawn_callback(Echo())
    active = 0

    class Blocks:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_message(self, process: Any, message: Any) -> None:
            nonlocal active
            active += 1
            assert active == 1
            {0: lambda: call(echo, 1), 1: lambda: sleep(0.001), 2: yield_, 3: lambda: _gevent_sleep()}[
                message % 4
            ]()
            self.seen.append(message)
            active -= 1

    blocks = Blocks()
    pid = spawn_callback(blocks)
    feeder = spawn(lambda: [(send(pid, n), yield_()) for n in range(40)])
    ref = monitor(feeder)
    assert receive().ref is ref
    while len(blocks.seen) < 40:
        sleep(0.001)
    assert blocks.seen == list(range(40))
    end(pid, echo)


def _gevent_sleep() -> None:
    import gevent

    gevent.sleep(0.001)


def test_a_busy_sender_to_itself_does_not_starve_others() -> None:
    """RUNTIME 1: a process that sends and receives without end yields by count."""
    me = self_()

    def mill() -> None:
        while True:
            send(self_(), 1)
            receive()

    mill_pid = spawn(mill)
    spawn(send, me, "still here")
    assert receive() == "still here"
    end(mill_pid)


def test_low_priority_waits_and_high_priority_goes_first() -> None:
    """spawn_opt priority: high before normal before low."""
    order: list[str] = []
    for priority in ("low", "normal", "high"):
        spawn_opt(order.append, priority, priority=priority)
    settle()
    sleep(0.001)
    assert order == ["high", "normal", "low"]
    with pytest.raises(ValueError, match="urgent"):
        spawn_opt(forever, priority="urgent")  # type: ignore[arg-type]


def test_a_caller_and_its_server_of_low_priority_both_get_on() -> None:
    """Low priority means later, never never: also when nobody else has anything to do."""
    echo = spawn_callback(Echo(), priority="low")
    assert [call(echo, n) for n in range(20)] == list(range(20))
    end(echo)


# ----------------------------------------------------------------------------------------------------- calls


def test_call_and_delayed_reply_and_failure() -> None:
    """gen_server:call/2,3: the answer, a failure by the callee, noproc, calling_self."""

    class Slow:
        def on_message(self, process: Any, message: Any) -> None:
            if message.request == "fail":
                fail(message, "no_way")
            else:
                spawn(lambda: (sleep(0.001), reply(message, message.request * 2)))

    slow = spawn_callback(Slow())
    assert call(slow, 21) == 42
    with pytest.raises(CallError) as failed:
        call(slow, "fail")
    assert failed.value.reason == "no_way"
    with pytest.raises(CallError) as own:
        call(self_(), 1)
    assert own.value.reason == "calling_self"
    end(slow)
    with pytest.raises(CallError) as gone:
        call(slow, 1)
    assert gone.value.reason == "noproc"
    with pytest.raises(CallError) as unknown:
        call("nobody", 1)
    assert unknown.value.reason == "noproc"


def test_a_timed_out_call_leaves_nothing_behind(clock: VirtualClock) -> None:
    """OTP A1 alias: after the time-out a late reply vanishes; no message, monitor or timer is left."""
    calls: list[Call] = []

    class Mute:
        def on_message(self, process: Any, message: Any) -> None:
            calls.append(message)

    mute = spawn_callback(Mute())
    me, outcome = self_(), []

    def caller() -> None:
        with pytest.raises(CallError) as error:
            call(mute, 1, timeout=5)
        outcome.append(error.value.reason)
        send(me, "timed out")
        receive()

    pid = spawn(caller)
    clock.advance(5.1)
    assert receive() == "timed out"
    assert outcome == ["timeout"]
    reply(calls[0], "late")
    settle()
    info = process_info(pid, "messages", "monitors")
    assert info == {"messages": [], "monitors": []}
    assert process_info(mute, "monitored_by") == {"monitored_by": []}
    assert not mute.monitored_by
    end(mute, pid)


def test_a_call_to_a_process_that_dies_gets_its_reason() -> None:
    """gen_server:call: the exit reason of the server."""

    class Dies:
        def on_message(self, process: Any, message: Any) -> None:
            raise ProcessExit("had_enough")

    pid = spawn_callback(Dies())
    with pytest.raises(CallError) as error:
        call(pid, 1)
    assert error.value.reason == "had_enough"


def test_requests_are_answered_waited_for_or_given_up(clock: VirtualClock) -> None:
    """gen_server send_request, wait_response, receive_response, check_response."""
    echo = spawn_callback(Echo())
    asked = request(echo, 1, label="one")
    assert asked.label == "one"
    assert wait_response(asked) == 1
    second = request(echo, 2)
    settle()
    assert check_response("else", second) is TIMEOUT
    assert check_response(receive(), second) == 2
    third = request(echo, 3)
    settle()  # the answer lies in the mailbox; waiting takes it out
    assert wait_response(third) == 3
    assert receive(0) is TIMEOUT
    mute = spawn(forever)
    silent = request(mute, 1)
    assert wait_response(silent, 0) is TIMEOUT
    assert receive_response(silent, 0) is TIMEOUT
    reply(silent, "late")
    assert receive(0) is TIMEOUT
    gone = request("nobody", 1)
    with pytest.raises(CallError):
        wait_response(gone)
    dying = request(mute, 1)
    exit(mute, "died")
    with pytest.raises(CallError, match="died"):
        wait_response(dying)
    end(echo)


def test_alias_takes_messages_until_it_is_void() -> None:
    """erlang:alias/1: after unalias messages vanish; a reply alias takes one."""
    a, once = alias(), alias(once=True)
    for n in range(2):
        send(a, n)
        send(once, f"once {n}")
    assert unalias(a)
    assert not unalias(a)
    send(a, "late")
    assert [receive(), receive(), receive(), receive(0)] == [0, "once 0", 1, TIMEOUT]


# ----------------------------------------------------------------------------------------------------- names


def test_names_have_one_owner_and_a_process_one_name() -> None:
    """erlang:register/2: one process per name, one name per process, dead pid and 'undefined' refused."""
    a, b = spawn(forever), spawn(forever)
    register("alpha", a)
    assert whereis("alpha") is a
    assert registered() == ["alpha"]
    assert repr(a) == f"<alpha@{node()}>"
    with pytest.raises(NameTaken) as taken:
        register("alpha", b)
    assert taken.value.pid is a
    with pytest.raises(ValueError, match="alpha"):
        register("beta", a)
    with pytest.raises(ValueError, match="undefined"):
        register("undefined", b)
    unregister("alpha")
    assert whereis("alpha") is None
    with pytest.raises(BadName):
        unregister("alpha")
    end(a, b)
    with pytest.raises(ValueError, match="dead"):
        register("gamma", b)
    with pytest.raises(NameTaken):
        register("delta", self_())
        spawn_opt(forever, name="delta")
    unregister("delta")


def test_send_and_call_by_name() -> None:
    """Send by name, by (name, node), call by name."""
    pid = spawn_opt(forever, name="server")
    send("server", 1)
    send(("server", node()), 1)
    settle()
    assert not is_alive(pid)
    echo = spawn_callback(Echo(), name="echo")
    assert call("echo", 5) == 5
    end(echo)


# ----------------------------------------------------------------------------------------------------- timers


def test_send_after_start_timer_cancel_and_read(clock: VirtualClock) -> None:
    """erlang:send_after/3, start_timer/3, cancel_timer/1, read_timer/1."""
    me = self_()
    first = send_after(10, me, "ten")
    second = start_timer(20, me, "twenty")
    assert read_timer(first) == 10
    clock.advance(10)
    assert receive(0) == "ten"
    assert read_timer(first) is False
    assert cancel_timer(first) is False
    clock.advance(10)
    assert receive(0) == Timeout(second, "twenty")
    third = send_after(5, me, "never")
    clock.advance(2)
    assert cancel_timer(third) == pytest.approx(3)
    clock.advance(10)
    assert receive(0) is TIMEOUT
    with pytest.raises(ValueError, match="-1"):
        send_after(-1, me, 1)


def test_a_timer_to_a_dead_process_or_name_disappears(clock: VirtualClock) -> None:
    """OTP A1: a timer to a dead pid disappears (read_timer false); a name is looked up when it fires."""
    pid = spawn(forever)
    timer = send_after(10, pid, 1)
    named = send_after(10, "later", 2)
    end(pid)
    assert read_timer(timer) is False
    assert cancel_timer(timer) is False
    register("later", self_())
    clock.advance(10)
    assert receive(0) == 2
    unregister("later")
    send_after(1, "nobody", 3)
    clock.advance(1)
    assert read_timer(named) is False


# ----------------------------------------------------------------------------------------------------- identity


def test_a_pid_has_no_order_with_what_is_none() -> None:
    """As Python's own types: TypeError, whichever stands first."""
    here = spawn(forever)
    for pid in (here, RemotePid("other", 7, 1)):
        for compared in (lambda: pid < 2, lambda: 2 >= pid, lambda: pid >= "a", lambda: [] > pid):
            with pytest.raises(TypeError, match="not supported between"):
                compared()
    with pytest.raises(TypeError, match="not supported between"):
        _ = make_ref() < 2
    end(here)


def test_pids_have_a_stable_order_and_a_wire_form() -> None:
    """RUNTIME 2: pids (node, number, creation) with stable order, wire form and equality across nodes."""
    a, b = spawn(forever), spawn(forever)
    assert a < b
    assert a <= b
    assert b > a
    assert b >= a
    assert sorted([b, a]) == [a, b]
    assert pid_from_wire(a.to_wire()) is a
    there = RemotePid("other", 7, 1)
    assert pid_from_wire(there.to_wire()) == there
    assert hash(pid_from_wire(there.to_wire())) == hash(there)
    assert there != a
    wire = a.to_wire()
    end(a, b)
    former = pid_from_wire(wire)
    assert former is not a
    assert not is_alive(former)
    assert make_ref() < make_ref()


def test_process_info_other_msg() -> None:
    """process_SUITE process_info_other_msg: the messages of another process, in the order they came; looking takes none."""
    me = self_()
    pid = spawn(lambda: (receive_match(lambda m: m == 3), send(me, [receive(), receive(), receive()])))
    for n in (1, 2):
        send(pid, n)
    settle()
    send(pid, 4)
    assert process_info(pid, "messages", "message_queue_len") == {
        "messages": [1, 2, 4],
        "message_queue_len": 3,
    }
    send(pid, 3)
    assert receive() == [1, 2, 4]


def test_process_info_tells_what_otp_tells() -> None:
    """erlang:process_info/1,2: the default keys, and those on request; None for the dead."""
    me = self_()

    def work() -> None:
        put("colour", "green")
        assert get("colour") == "green"
        assert get("size", 3) == 3
        set_label("worker 1")
        trap_exit(True)
        link(me)
        send(me, "ready")
        receive_match(lambda m: m == "go")

    trap_exit(True)
    pid = spawn_opt(work, name="work")
    assert receive() == "ready"
    send(pid, "other")
    settle()
    info = process_info(pid)
    assert info is not None
    assert info["registered_name"] == "work"
    assert (
        info["current_function"]
        .split(":")[0]
        .endswith("test_process_info_tells_what_otp_tells.<locals>.work")
    )
    assert info["initial_call"].endswith("work")
    assert info["label"] == "worker 1"
    assert info["status"] == "waiting"
    assert info["message_queue_len"] == 1
    assert info["links"] == [me]
    assert info["dictionary"] == {"colour": "green"}
    assert info["trap_exit"] is True
    assert info["parent"] is me
    assert process_info(pid, "messages") == {"messages": ["other"]}
    assert "receive_match" in process_info(pid, "current_stacktrace")["current_stacktrace"][-1]  # type: ignore[index]
    assert process_info(me, "status") == {"status": "running"}
    with pytest.raises(ValueError, match="nonsense"):
        process_info(pid, "nonsense")
    send(pid, "go")
    assert receive().sender is pid
    assert process_info(pid) is None
    assert pid not in list(processes())
    trap_exit(False)
    assert erase("nothing") is None


def test_run_returns_the_result_raises_the_error_and_names_a_deadlock() -> None:
    """run() is for the main program: result, exception, deadlock, and not inside a process."""
    with pytest.raises(RuntimeError, match="spawn"):
        run(forever)


@pytest.mark.plain
def test_run_from_the_main_program() -> None:
    """run() returns what the function returned, raises what it raised, and tells a deadlock from a long wait."""
    assert run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="why not"):
        run(lambda: exit(self_(), "why not"))
    for pid in processes():
        exit(pid, "kill")


@pytest.mark.plain
def test_run_names_a_deadlock() -> None:
    """A script whose processes all wait for nothing ends with a clear error instead of hanging."""
    script = "from runtime.kernel import receive, run\nrun(receive)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Deadlock: every process waits" in done.stderr


def test_thousands_of_nested_spawns_do_not_recurse() -> None:
    """KERNEL-MEASURED 1: a greenlet inherits its starter's recursion depth; ours start from the hub only."""
    me = self_()

    def nest(left: int) -> None:
        if left:
            spawn(nest, left - 1)
            sleep(0)
        else:
            send(me, "bottom")

    spawn(nest, 3000)
    assert receive() == "bottom"
    while scheduler_module.ready:
        yield_()
    sleep(0.01)


def test_an_idle_process_has_no_stack_and_no_mailbox() -> None:
    """RUNTIME 1: an idle process is a small record: no greenlet, no mailbox object."""
    workers = len(scheduler_module.workers)
    pids = [spawn_callback(Echo()) for _ in range(1000)]
    for pid in pids:
        assert call(pid, 1) == 1
    assert all(pid.g is None and pid.q is None and pid.cur is None for pid in pids)
    assert len(scheduler_module.workers) <= workers + 2
    end(*pids)


def test_a_crash_keeps_text_and_no_frames(crashes: list[Any]) -> None:
    """STYLE: exit reasons hold the trace as text, never live frames."""

    def fails() -> None:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner

    pid, _ = spawn_monitor(fails)
    reason = receive().reason
    assert isinstance(reason, Crash)
    assert (reason.error, reason.message) == ("ValueError", "outer")
    assert 'raise ValueError("outer") from inner' in reason.trace
    assert reason.exception.__traceback__ is None
    assert reason.exception.__cause__ is not None
    assert reason.exception.__cause__.__traceback__ is None
    assert crashes == [(pid, reason)]


def test_demonitor_with_flush_and_info() -> None:
    """monitor_SUITE demonitor_flush, demon_2, local_remove_monitor: idempotent; flush removes a delivered Down; info tells."""
    pid = spawn(forever)
    ref = monitor(pid)
    assert demonitor(ref, info=True)
    assert not demonitor(ref, info=True)
    assert demonitor(ref)
    assert demonitor(make_ref())
    ref = monitor(pid)
    send(self_(), "before")
    end(pid)
    send(self_(), "after")
    settle()
    assert not demonitor(ref, flush=True, info=True)
    assert [receive(), receive(), receive(0)] == ["before", "after", TIMEOUT]
