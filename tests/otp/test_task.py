"""Elixir's Task, restated: by the names of its own tests, and what its documentation promises."""

from __future__ import annotations

from functools import partial

import pytest

from runtime import kernel
from runtime.kernel import (
    KILL,
    TIMEOUT,
    CallError,
    Crash,
    Exit,
    ProcessExit,
    check_response,
    exit,
    is_alive,
    process_info,
    receive,
)
from runtime.kernel import Response, self_, send
from runtime.otp import BRUTAL_KILL, ChildSpec, GenServer, Supervisor, SupFlags, call, proc_lib, stop
from runtime.otp.task import (
    Exited, Ok, TaskExit, TaskTimeout, async_, await_, await_many, completed, ignore, shutdown, start, start_link,
    yield_, yield_many,
)  # fmt: skip
from runtime.testing import settle
from tests.support.crashers import Later


def go(value="done"):
    """Waits to be told, then returns."""
    kernel.receive_match(lambda m: m == "go")
    return value


def raising():
    raise ValueError("oops")


def exiting(reason):
    raise ProcessExit(reason)


def deaf():
    kernel.trap_exit(True)
    while True:
        receive()


def nothing_left(task):
    """No monitor, no message, no link of a task is left with the caller."""
    settle()
    assert receive(0) is TIMEOUT
    info = process_info(self_(), "links", "monitors")
    assert task.pid not in info["links"]
    assert task.pid not in info["monitors"]


def test_async():
    """Task "async/1": the process is linked to the caller, its result comes as an answer."""
    task = async_(go, "done")
    assert task.pid in process_info(self_(), "links")["links"]
    assert task.owner is self_()
    send(task.pid, "go")
    message = receive(1)
    assert check_response(message, task.ref) == "done"
    settle()
    assert not is_alive(task.pid)
    assert receive(0) is TIMEOUT
    assert await_(async_(lambda a, b: [a, *b], 1, [2, 3])) == [1, 2, 3]


def test_a_task_knows_whom_it_works_for():
    """Task: $callers and $ancestors, and what crash reports show as its initial call."""

    def inner():
        return kernel.get("$callers"), kernel.get("$ancestors"), proc_lib.initial_call(self_())

    def outer():
        return self_(), await_(async_(inner)), await_(async_(partial(divmod, 7), 2))

    me = self_()
    parent, (callers, ancestors, initial), quotient = await_(async_(outer))
    assert callers == (parent, me)
    assert ancestors[:2] == (parent, me)
    assert initial.endswith("test_a_task_knows_whom_it_works_for.<locals>.inner")
    assert quotient == (3, 1)


def test_start_and_start_link():
    """Task "start_link/1", "start/1": for effects; no answer comes."""
    me = self_()
    pid = start_link(lambda: send(me, (go(), kernel.get("$callers"))))
    assert pid in process_info(me, "links")["links"]
    other = start(lambda: send(me, go("other")))
    assert other not in process_info(me, "links")["links"]
    send(pid, "go")
    assert receive(1) == ("done", (me,))
    send(other, "go")
    assert receive(1) == "other"
    settle()
    assert receive(0) is TIMEOUT


def test_tasks_are_children_of_ordinary_supervisors():
    """Task: start_link as a start function; a transient one that crashes runs again."""
    kernel.trap_exit(True)
    runs = []
    spec = ChildSpec(
        "job", (start_link, (lambda: (runs.append(1), 1 / (len(runs) - 1)),)), restart="transient"
    )
    sup = Supervisor.start_link_with(SupFlags(), [spec])
    settle()
    assert len(runs) == 2
    stop(sup)


# ---------------------------------------------------------------------------------------------------------- await


def test_await_exits_on_timeout_and_demonitors_and_unaliases(clock):
    """Task "demonitors and unalias on timeout": nothing of the late answer arrives, no monitor or timer is left."""
    task = async_(go)
    waiting = Later(lambda: None)
    with pytest.raises(TaskTimeout) as failed:
        await_(task, 0)
    assert failed.value.reason == "timeout"
    assert failed.value.task is task
    assert task.pid not in process_info(self_(), "monitors")["monitors"]
    assert clock._time.pending() == 0
    send(task.pid, "go")
    settle()
    assert not is_alive(task.pid)
    nothing_left(task)
    assert waiting.done


def test_await_times_out_when_its_time_is_over(clock):
    """Task await/2: its limit is in seconds, 5 by default; uncaught, the time-out ends the caller and so the task."""
    seen = []

    def body():
        seen.append(async_(go))
        await_(seen[0])

    owner = kernel.spawn(body)
    clock.advance(4.9)
    assert is_alive(owner)
    clock.advance(0.2)
    assert isinstance(owner.reason, Crash)
    assert isinstance(owner.reason.exception, TaskTimeout)
    assert not is_alive(seen[0].pid)


@pytest.mark.parametrize(
    ("fn", "reason"),
    [(raising, None), (partial(exiting, "unknown"), "unknown"), (partial(exiting, "normal"), "normal")],
)
def test_await_exits_on_task_end(fn, reason, crashes):
    """Task "await/1 exits on task error", "... exit", "... normal exit": its reason, to a caller that traps."""
    kernel.trap_exit(True)
    task = async_(fn)
    with pytest.raises(TaskExit) as failed:
        await_(task)
    seen = failed.value.reason
    assert seen == reason if reason else isinstance(seen.exception, ValueError)
    assert receive(0) == Exit(task.pid, seen)
    assert isinstance(failed.value, CallError)
    nothing_left(task)


def test_a_caller_that_does_not_trap_ends_with_its_task(crashes):
    """Task async: linked; the crash comes through the link."""
    owner = kernel.spawn(lambda: await_(async_(raising)))
    settle()
    assert isinstance(owner.reason, Crash)
    assert isinstance(owner.reason.exception, ValueError)
    tasks = []
    owner = kernel.spawn(lambda: (tasks.append(async_(go)), receive()))
    settle()
    exit(owner, "boom")
    assert tasks[0].pid.reason == "boom"


def test_only_the_owner_may_ask_and_only_once():
    """Task "await/1 raises when invoked from a non-owner process"; and likewise the others."""
    task = async_(go)

    def stranger():
        refusals = []
        for ask in (await_, yield_, shutdown, ignore, lambda t: await_many([t]), lambda t: yield_many([t])):
            with pytest.raises(ValueError, match="owner") as refused:
                ask(task)
            refusals.append(refused)
        return len(refusals)

    assert await_(async_(stranger)) == 6
    send(task.pid, "go")
    assert await_(task) == "done"
    for ask in (await_, yield_, shutdown, ignore):
        with pytest.raises(ValueError, match="before"):
            ask(task)


def test_completed():
    """Task completed/1: a task without a process, for all functions."""
    assert await_(completed(1)) == 1
    assert yield_(completed(None)) == Ok(None)
    assert await_many([completed(1), async_(lambda: 2), completed(3)]) == [1, 2, 3]
    both = [completed(1), completed(2)]
    assert yield_many(both) == [(both[0], Ok(1)), (both[1], Ok(2))]
    assert ignore(completed(1)) == Ok(1)
    with pytest.raises(ValueError, match="no process"):
        shutdown(completed(1))


def test_await_many_returns_in_the_order_of_the_tasks():
    """Task await_many/2."""
    tasks = [async_(go, n) for n in range(4)]
    for task in reversed(tasks):
        send(task.pid, "go")
        settle()
    assert await_many(
        [
            *tasks,
        ]
    ) == [0, 1, 2, 3]
    assert await_many([]) == []


def test_await_many_fails_with_the_first_failure(crashes):
    """Task await_many/2: one that fails is noticed at once, whatever its place; the others are given up."""
    kernel.trap_exit(True)
    slow, failing = async_(go), async_(raising)
    with pytest.raises(TaskExit) as failed:
        await_many([slow, failing], None)
    assert failed.value.task is failing
    assert isinstance(receive(0), Exit)
    send(slow.pid, "go")
    settle()
    assert receive(0) == Exit(slow.pid, "normal")
    nothing_left(slow)


def test_await_many_has_one_time_limit_for_all(clock):
    """Task await_many/2 on time-out: one limit, and nothing left behind."""
    tasks = []

    def ask():
        tasks.extend(async_(kernel.sleep, seconds) for seconds in (0.6, 5))
        try:
            await_many(tasks, 1.0)
        except TaskTimeout as error:
            return error.task, process_info(self_(), "monitors", "messages")
        return None

    asking = Later(ask)
    clock.advance(0.9)
    assert not asking.done
    clock.advance(0.2)
    late, left = asking.result()
    assert late is tasks[1]
    assert left["monitors"] == []
    assert not any(isinstance(message, Response) for message in left["messages"])
    clock.advance(5)


# ---------------------------------------------------------------------------------------------------------- yield


def test_yield_answers_or_lets_ask_again():
    """Task "yield/2 returns {:ok, result} when reply and :DOWN in message queue", "... nil on time-out"."""
    task = async_(go)
    assert yield_(task, 0) is None
    assert yield_(task, 0) is None
    send(task.pid, "go")
    settle()
    assert yield_(task, 0) == Ok("done")
    nothing_left(task)


def test_yield_says_how_a_task_ended():
    """Task "yield/2 return exit on normal exit", "... exit"."""
    kernel.trap_exit(True)
    for reason in ("normal", "unknown"):
        task = async_(exiting, reason)
        assert yield_(task) == Exited(reason)
        assert receive(0) == Exit(task.pid, reason)
        nothing_left(task)


def test_yield_many():
    """Task "yield_many/2 returns {:ok, result} ... and nil ... and exit", limit and on_timeout."""
    kernel.trap_exit(True)
    good, bad, slow = tasks = [async_(lambda: 1), async_(exiting, "bad"), async_(go)]
    settle()
    assert yield_many(tasks, 0) == [(good, Ok(1)), (bad, Exited("bad")), (slow, None)]
    send(slow.pid, "go")
    assert yield_many([slow]) == [(slow, Ok("done"))]
    settle()
    for _ in range(3):
        assert isinstance(receive(0), Exit)
    nothing_left(slow)


def test_yield_many_with_a_limit():
    """Task yield_many/2 :limit: as soon as so many are done; the others can be asked again."""
    tasks = [async_(go, n) for n in range(3)]
    send(tasks[1].pid, "go")
    assert [r for _, r in yield_many(tasks, None, limit=1)] == [None, Ok(1), None]
    for task in (tasks[0], tasks[2]):
        send(task.pid, "go")
    assert await_many([tasks[0], tasks[2]]) == [0, 2]
    for wrong in ({"limit": 0}, {"on_timeout": "what"}):
        with pytest.raises(ValueError, match="want"):
            yield_many([], **wrong)


def test_yield_many_on_timeout():
    """Task yield_many/2 :on_timeout: the late ones are killed, or ignored."""
    killed, ignored = async_(deaf), async_(go)
    assert yield_many([killed], 0, on_timeout="kill_task") == [(killed, None)]
    assert killed.pid.reason == "killed"
    assert yield_many([ignored], 0, on_timeout="ignore") == [(ignored, None)]
    send(ignored.pid, "go")
    for task in (killed, ignored):
        nothing_left(task)
        with pytest.raises(ValueError, match="before"):
            await_(task)


# ------------------------------------------------------------------------------------------------------- shutdown


def test_shutdown_returns_the_result_of_one_that_is_done():
    """Task "shutdown/2 returns {:ok, result} when reply and abnormal :DOWN in message queue"."""
    task = async_(lambda: "done")
    settle()
    assert shutdown(task) == Ok("done")
    nothing_left(task)


@pytest.mark.parametrize("traps", [False, True])
def test_shutdown_stops_and_unlinks(traps):
    """Task "shutdown/2 returns nil when task exited with :shutdown": and the caller survives."""
    kernel.trap_exit(traps)
    task = async_(go)
    settle()
    assert shutdown(task) is None
    assert task.pid.reason == "shutdown"
    nothing_left(task)


def test_shutdown_says_how_a_task_ended_before():
    """Task "shutdown/2 return exit on abnormal :DOWN in message queue": with its link's Exit taken out."""
    kernel.trap_exit(True)
    task = async_(exiting, "abnormal")
    settle()
    assert shutdown(task) == Exited("abnormal")
    nothing_left(task)


def test_shutdown_kills_when_time_is_over(clock):
    """Task "shutdown/2 kills task on timeout": the kill is then no news of the caller's asking; brutal_kill's is."""
    stopping = Later(lambda: (task := async_(deaf), kernel.yield_(), shutdown(task, 2.0))[-1])
    clock.advance(1.9)
    assert not stopping.done
    clock.advance(0.2)
    assert stopping.result() == Exited("killed")
    task = async_(deaf)
    assert shutdown(task, BRUTAL_KILL) is None
    assert task.pid.reason == "killed"
    nothing_left(task)


def test_shutdown_waits_for_one_that_answers_while_it_goes():
    """Task "shutdown/2 returns {:ok, result} if the reply is sent while shutting down"."""

    def polite():
        kernel.trap_exit(True)
        assert isinstance(receive(), Exit)
        return "bye"

    task = async_(polite)
    settle()
    assert shutdown(task, None) == Ok("bye")
    nothing_left(task)


def test_ignore():
    """Task ignore/1: unlinked, unwatched, and it runs on."""
    done = []
    task = async_(lambda: done.append(go()))
    settle()
    assert ignore(task) is None
    send(task.pid, "go")
    nothing_left(task)
    assert done == ["done"]
    assert ignore(async_(lambda: 1)) is None
    settle()
    ended = async_(lambda: 1)
    settle()
    assert ignore(ended) == Ok(1)
    nothing_left(ended)


# ------------------------------------------------------------------------------------------------------ in servers


def test_a_server_takes_results_as_messages(crashes):
    """Task: tasks in a GenServer; while it serves, their answers come to handle_info."""

    class Asker(GenServer):
        def init(self):
            kernel.trap_exit(True)
            self.results = []
            self.tasks = {}

        def handle_call(self, request, sender):
            if request == "results":
                return list(self.results)
            task = async_(request)
            self.tasks[task.ref] = task
            return task.pid

        def handle_info(self, message):
            if isinstance(message, Exit):
                return
            task = self.tasks.pop(message.request)
            try:
                self.results.append(check_response(message, task.ref))
            except CallError as error:
                self.results.append(error.reason)

    pid = Asker.start_link()
    send(call(pid, go), "go")
    call(pid, partial(exiting, "bad"))
    settle()
    assert sorted(call(pid, "results")) == ["bad", "done"]
    stop(pid)


def test_a_killed_owner_leaves_nothing_behind():
    """Task: the owner is killed while it waits: no request, no task."""
    tasks = []
    owner = kernel.spawn(lambda: (tasks.append(async_(go)), await_(tasks[0], None)))
    settle()
    exit(owner, KILL)
    settle()
    assert tasks[0].pid.reason == "killed"
    assert not tasks[0].pid.monitored_by
