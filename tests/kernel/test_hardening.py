"""What a hostile or careless process may do without stopping the others: each of these once hung or starved a node."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from greenlet import GreenletExit

from runtime import kernel
from runtime.kernel import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    TIMEOUT,
    CallError,
    Crash,
    Down,
    Exit,
    NotAProcess,
    ProcessExit,
    alias,
    call,
    check_invariants,
    exit,
    hooks,
    is_alive,
    link,
    monitor,
    pid_from_wire,
    process_count,
    process_info,
    processes,
    receive,
    receive_match,
    reply,
    request,
    scheduler,
    self_,
    send,
    send_after,
    sleep,
    spawn,
    spawn_callback,
    spawn_link,
    spawn_monitor,
    spawn_opt,
    start_watchdog,
    stop_watchdog,
    sweep,
    trap_exit,
    yield_,
)
from runtime.kernel.clock import after
from runtime.kernel.watchdog import _is_safe
from runtime.testing import settle


class Callback:
    """A callback process of one function."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn

    def on_message(self, process: Any, message: Any) -> None:
        self.fn(process, message)


def forever(*_: Any) -> None:
    while True:
        receive()


def ends_with(fn: Any) -> Any:
    """Return the reason a callback process ends with whose callback is `fn`; the node must live on."""
    pid = spawn_callback(Callback(fn))
    ref = monitor(pid)
    send(pid, "go")
    down = receive(5)
    assert down.__class__ is Down
    assert down.ref is ref
    the_others_live()
    return down.reason


def the_others_live() -> None:
    """Mail from the hub wakes a process, and a call is answered."""
    send_after(0.0, self_(), "tick")
    assert receive(5) == "tick"
    echo = spawn_callback(Callback(lambda _, m: reply(m, m.request)))
    assert call(echo, 1) == 1
    exit(echo, KILL)
    check_invariants()


# ------------------------------------------------------------------------------------------ exceptions and reasons


@dataclass(frozen=True)
class Frozen(Exception):
    code: int = 1


class Truthless(Exception):
    def __bool__(self) -> bool:
        raise ValueError("no truth")


class Incomparable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("no equality")


def test_an_exception_that_refuses_attributes_is_a_crash_like_any_other(crashes: list[Any]) -> None:
    """A frozen dataclass raises at `__traceback__ = None`."""

    def fail(*_: Any) -> None:
        raise Frozen

    reason = ends_with(fail)
    assert isinstance(reason, Crash)
    assert reason.error.endswith("Frozen")


def test_the_chain_of_a_crash_is_released_whatever_its_members_are(crashes: list[Any]) -> None:
    parts = [ValueError("inner"), Truthless()]

    def fail(*_: Any) -> None:
        for part in parts:
            try:
                raise part
            except Exception:
                pass
        try:
            raise ExceptionGroup("several", parts)
        except ExceptionGroup as group:
            raise KeyError from group

    assert isinstance(ends_with(fail), Crash)
    assert [part.__traceback__ for part in parts] == [None, None]


@pytest.mark.parametrize("blocks", [False, True])
def test_greenlet_exit_ends_the_process_and_only_it(blocks: bool) -> None:
    def fail(*_: Any) -> None:
        if blocks:
            gevent.sleep(0)
        raise GreenletExit

    assert ends_with(fail) == KILLED


def test_a_reason_that_cannot_be_compared_passes_links_and_monitors() -> None:
    odd = Incomparable()

    def fail(*_: Any) -> None:
        raise ProcessExit(odd)

    def linked(to: Any) -> None:
        link(to)
        forever()

    failing = spawn_callback(Callback(fail))
    peer, _ = spawn_monitor(linked, failing)
    settle()
    send(failing, "go")
    assert receive(5).reason is odd
    assert not is_alive(peer)
    the_others_live()


def test_a_reason_that_may_change_is_told_although_messages_are_checked() -> None:
    """A refused Exit or Down would leave a process half dead."""

    def fail(*_: Any) -> None:
        raise ProcessExit(("bad_return_value", [1]))

    kernel.check_messages()
    try:
        assert ends_with(fail) == ("bad_return_value", [1])
    finally:
        kernel.check_messages(False)


def test_a_hook_that_exits_does_not_stop_a_death_half_way(
    crashes: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    class Odd(Callback):
        def on_exit(self, process: Any, reason: Any) -> None:
            raise ProcessExit("out of here")

    pid = spawn_callback(Odd(lambda *_: 1 / 0))
    monitor(pid)
    send(pid, "go")
    assert isinstance(receive(5).reason, Crash)
    the_others_live()
    assert "out of here" in capfd.readouterr().err


def test_a_crash_hook_may_end_the_process_it_is_told_of() -> None:
    def hook(process: Any, _crash: Any) -> None:
        exit(process, "by the hook")

    hooks.on_crash.append(hook)
    try:
        assert ends_with(lambda *_: 1 / 0) == "by the hook"
    finally:
        hooks.on_crash.remove(hook)


# ------------------------------------------------------------------------------------------------- mailbox alarms


@pytest.fixture
def killing_alarm() -> Iterator[None]:
    def kill(process: Any, high: bool) -> None:
        if high:
            exit(process, KILL)

    hooks.on_mailbox.append(kill)
    yield
    hooks.on_mailbox.remove(kill)


@pytest.mark.usefixtures("killing_alarm")
def test_an_alarm_may_kill_a_callback_process() -> None:
    pid = spawn_callback(Callback(lambda *_: None), watermarks=(10, 2))
    monitor(pid)
    for n in range(20):
        send(pid, n)
    assert receive(5).reason == KILLED
    the_others_live()


@pytest.mark.usefixtures("killing_alarm")
def test_an_alarm_of_the_sweep_may_kill_and_the_dead_stay_dead() -> None:
    pid = spawn_opt(sleep, 1000, watermarks=(10, 2))
    settle()
    for n in range(20):
        send(pid, n)
    sweep()
    assert not pid.alive
    settle()


@pytest.mark.usefixtures("killing_alarm")
def test_an_alarm_may_kill_a_process_that_receives() -> None:
    seen: list[BaseException] = []

    def body() -> None:
        yield_()
        try:
            receive()
        except Exception as error:  # the stack must be unwound by Killed, not by what a torn mailbox raises
            seen.append(error)

    pid = spawn_opt(body, watermarks=(10, 2))
    for n in range(20):
        send(pid, n)
    settle()
    assert not is_alive(pid)
    assert seen == []


# ------------------------------------------------------------------------------------------- stubborn stacks


def test_the_others_live_after_a_burial() -> None:
    """A buried stack left the scheduler believing that a worker drains: nothing from the hub woke anybody."""

    def stubborn() -> None:
        while True:
            try:
                receive()
            except BaseException:
                pass

    pid = spawn(stubborn)
    settle()
    after(0.0, exit, pid, KILL)
    send_after(0.01, self_(), "tick")
    assert receive(5) == "tick"
    the_others_live()


def test_a_blocking_cleanup_is_no_stubbornness_however_many_have_one() -> None:
    """The count of refusals is of one process, not of the worker that unwinds many."""
    before = scheduler.Stat.zombies
    echo = spawn_callback(Callback(lambda *_: None))

    def body() -> None:
        try:
            receive()
        finally:
            call(echo, 1)

    for _ in range(40):
        pid = spawn(body)
        yield_()
        yield_()
        exit(pid, KILL)
    settle()
    assert scheduler.Stat.zombies == before
    exit(echo, KILL)


# ------------------------------------------------------------------------------------------------------- waiting


def test_mail_that_came_during_an_interrupted_wait_is_handled() -> None:
    """gevent.Timeout is thrown into a call; the message that came meanwhile must not wait for the next one."""
    never = spawn_callback(Callback(lambda *_: None))
    me = self_()

    def body(_: Any, message: Any) -> None:
        if message == "block":
            with gevent.Timeout(0.02, False):
                call(never, 1, None)
        send(me, message)

    pid = spawn_callback(Callback(body))
    send(pid, "block")
    settle()
    send(pid, "next")
    assert [receive(5), receive(5)] == ["block", "next"]
    exit(pid, KILL)
    exit(never, KILL)


def test_a_process_that_feeds_itself_starves_nobody_when_it_yields() -> None:
    """Each message to its empty mailbox is an entry on the run queue; a yield resumed by those would be none."""

    def chatty() -> None:
        while True:
            send(self_(), "again")
            receive()

    pid = spawn(chatty)
    for _ in range(3):
        assert receive(0.005) is TIMEOUT
        assert len(scheduler.ready) < 3000
    exit(pid, KILL)


def test_a_yield_that_is_interrupted_leaves_no_turn_behind() -> None:
    me = self_()

    def body() -> None:
        try:
            yield_()
        except kernel.Killed:
            send(me, "killed")
            raise

    pid = spawn(body)
    spawn(exit, pid, KILL)
    assert receive(5) == "killed"
    assert not is_alive(pid)
    the_others_live()


# --------------------------------------------------------------------------------------------- calls and requests


def test_a_call_to_an_alias_is_a_call_to_its_owner() -> None:
    me = self_()

    def server() -> None:
        send(me, alias(once=True))
        question = receive()
        sleep(0.001)  # the call is armed meanwhile
        reply(question, question.request + 1)
        receive()
        raise ProcessExit("gone")

    pid = spawn(server)
    address = receive()
    assert call(address, 1) == 2
    with pytest.raises(CallError) as caught:  # it was for one message
        call(address, 1)
    assert caught.value.reason == NOPROC
    send(pid, "end")
    settle()


@pytest.mark.parametrize("timeout", [math.nan, "5", object()])
def test_a_time_limit_that_is_none_is_the_callers_error(timeout: Any) -> None:
    never = spawn_callback(Callback(lambda *_: None))
    with pytest.raises((TypeError, ValueError)):
        call(never, 1, timeout)
    the_others_live()
    exit(never, KILL)


def test_timers_refuse_what_is_no_number() -> None:
    """libev spins on it."""
    with pytest.raises(ValueError, match="nan"):
        send_after(math.nan, self_(), "x")
    with pytest.raises(ValueError, match="nan"):
        receive(math.nan)


def test_requests_end_with_their_owner() -> None:
    """The callee lives long and never answers: it must not collect the requests of the dead."""
    asked: list[Any] = []
    server = spawn_callback(Callback(lambda _, m: asked.append(m)))

    def ask() -> None:
        request(server, "question")
        forever()

    owner = spawn(ask)
    settle()
    assert len(server.monitored_by) == 1
    assert process_info(owner, "monitors") == {"monitors": [server]}
    exit(owner, KILL)
    assert not server.monitored_by
    assert asked[0].process is None  # so the callee can tell that nobody waits
    open_ = request(server, "another")
    settle()
    check_invariants()
    reply(asked[1], "answer")
    assert kernel.wait_response(open_) == "answer"
    assert not server.monitored_by
    assert not self_().monitors
    exit(server, KILL)


# ------------------------------------------------------------------------------------------------------ the dead


def test_the_dead_make_no_links_and_no_monitors() -> None:
    """Nothing would ever take them away, and a linked child would outlive its parent."""
    target = spawn(forever)
    started: list[Any] = []
    me = self_()

    def body(act: Any) -> None:
        try:
            receive()
        finally:
            try:
                started.append(act())
            finally:
                send(me, "done")

    acts = (
        lambda: spawn_link(forever),
        lambda: spawn_opt(forever, link=True),
        lambda: monitor(target),
        lambda: link(target),
        lambda: request(target, 1),
    )
    for act in acts:
        pid = spawn(body, act)
        settle()
        exit(pid, KILL)
        assert receive(5) == "done"
    assert started == []
    assert not target.monitored_by
    exit(target, KILL)


def test_a_death_that_comes_back_over_a_link_ends_the_sender_at_once() -> None:
    acted: list[Any] = []

    def body() -> None:
        exit(spawn_link(forever), "boom")
        acted.append("alive")

    _, _ = spawn_monitor(body)
    assert receive(5).reason == "boom"
    assert acted == []


def test_a_pid_of_nobody_is_dead() -> None:
    """From the wire: the process has ended, or is of another node."""
    trap_exit(True)
    gone = pid_from_wire((kernel.node(), 10**9, kernel.node_creation()))
    send(gone, "dropped")
    exit(gone, KILL)
    ref = monitor(gone)
    assert receive(1) == Down(ref, gone, NOPROC)
    link(gone)
    assert receive(1) == Exit(gone, NOPROC)
    with pytest.raises(CallError):
        call(gone, 1)


# -------------------------------------------------------------------------------------------------- starting


@pytest.mark.parametrize(
    "options", [{"name": 5}, {"name": ""}, {"name": "undefined"}, {"watermarks": (1, 5)}, {"priority": "?"}]
)
def test_a_start_with_bad_options_leaves_no_process(options: Any) -> None:
    before = process_count()
    for start in (lambda: spawn_opt(forever, **options), lambda: spawn_callback(Callback(None), **options)):
        with pytest.raises(ValueError):
            start()
    assert process_count() == before


@pytest.mark.plain
def test_spawn_monitor_outside_a_process_starts_nothing() -> None:
    before = process_count()
    with pytest.raises(NotAProcess):
        spawn_monitor(forever)
    assert process_count() == before


@pytest.mark.plain
def test_a_run_can_follow_a_deadlock_and_nothing_of_the_first_is_left() -> None:
    """In a program of its own: a deadlock is one only where nothing else could wake anybody."""
    script = """
from runtime.kernel import process_count, receive, run, self_
from runtime.kernel.spawn import Deadlock
left = []
try:
    run(lambda: (left.append(self_()), receive()))
except Deadlock:
    print(left[0].alive, run(lambda: 5), run(process_count))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "5", "1"]


@pytest.mark.plain
def test_run_hears_of_a_process_that_is_killed_before_it_runs() -> None:
    after(0.0, lambda: None)
    spawn(lambda: [exit(p, KILL) for p in processes() if p is not self_()])
    with pytest.raises(RuntimeError, match="killed"):
        kernel.run(forever)


# ------------------------------------------------------------------------------------------------------- hogs


def test_a_process_that_waits_in_gevent_often_is_no_hog() -> None:
    """Its wake-ups do not pass the run queue."""
    reports: list[Any] = []
    hooks.on_hog.append(reports.append)
    start_watchdog(hog_warn=0.1, hog_kill=0.2)
    try:

        def busy() -> None:
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                turn = time.monotonic() + 0.003
                while time.monotonic() < turn:
                    pass
                gevent.sleep(0.0001)

        spawn_monitor(busy)
        assert receive(10).reason == NORMAL
        assert reports == []
    finally:
        stop_watchdog()
        hooks.on_hog.remove(reports.append)


def test_a_hog_is_not_interrupted_while_the_kernel_has_something_half_done() -> None:
    """Exit and Down are tuples and reasons are values: what they call is no frame of the kernel's, but it runs in the
    midst of a death.
    """
    seen: dict[str, bool] = {}

    def look(where: str) -> bool:
        seen[where] = _is_safe(sys._getframe())
        return True

    class Reason(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            look("in a death")
            return str.__eq__(self, other)

    class Looking(Callback):
        def on_exit(self, process: Any, reason: Any) -> None:
            look("hook")

    def body() -> None:
        look("plain process")
        receive_match(lambda _: look("predicate"))
        raise ProcessExit(Reason("x"))

    callback = spawn_callback(Looking(lambda *_: look("callback")))

    def linked() -> None:
        link(callback)
        body()

    send(callback, 1)
    pid, _ = spawn_monitor(linked)
    send(pid, 1)
    receive(5)
    assert seen == {
        "plain process": True,
        "predicate": True,
        "callback": True,
        "hook": True,
        "in a death": False,
    }
