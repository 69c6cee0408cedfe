"""Elixir's Task.Supervisor, restated: by the names of its own tests."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from runtime import kernel
from runtime.kernel import KILL, TIMEOUT, Crash, exit, is_alive, process_info, receive, self_, send
from runtime.otp import (
    BRUTAL_KILL,
    BadChildSpec,
    ChildSpec,
    MaxChildren,
    NotFound,
    Supervisor,
    SupFlags,
    proc_lib,
    stop,
    sys,
)
from runtime.otp.dynamic_supervisor import count_children
from runtime.otp.registry import Registry, Via
from runtime.otp.supervisor import which_children
from runtime.otp.task import Exited, TaskExit, TaskTimeout, await_, shutdown, yield_
from runtime.otp.task_supervisor import (
    TaskSupervisor, async_, async_nolink, async_stream, async_stream_nolink, children, start_child, terminate_child,
)  # fmt: skip
from runtime.testing import settle


def go(value="done"):
    kernel.receive_match(lambda m: m == "go")
    return value


def raising():
    raise ValueError("oops")


def deaf():
    kernel.trap_exit(True)
    while True:
        receive()


@contextmanager
def supervisor(**options):
    pid = TaskSupervisor.start_link(**options)
    kernel.unlink(pid)
    try:
        yield pid
    finally:
        if is_alive(pid):
            stop(pid)


def links():
    return process_info(self_(), "links")["links"]


def test_can_be_supervised_directly():
    """Task.Supervisor "can be supervised directly", "... identified with simple child spec": by name and by via name."""
    kernel.trap_exit(True)
    names = ["simple", Via("reg", "via")]
    specs = [ChildSpec(n, (TaskSupervisor.start_link, (), {"name": n}), type="supervisor") for n in names]
    sup = Supervisor.start_link_with(SupFlags(), [Registry.child_spec(name="reg"), *specs])
    for name in names:
        assert children(name) == []
        assert await_(async_(name, lambda: 1)) == 1
    assert [c.id for c in which_children(sup)] == [names[1], "simple", "reg"]
    stop(sup)


def test_counts_and_returns_children():
    """Task.Supervisor "counts and returns children"."""
    with supervisor() as sup:
        assert children(sup) == []
        assert count_children(sup) == (0, 0, 0, 0)
        pid = start_child(sup, go)
        assert children(sup) == [pid]
        assert count_children(sup) == (1, 1, 0, 1)


@pytest.mark.parametrize("linked", [True, False])
def test_async_spawns_tasks_under_the_supervisor(linked):
    """Task.Supervisor "async/1 spawns tasks under the supervisor", "async_nolink/1 ... without linking to the caller"."""
    with supervisor() as sup:
        task = (async_ if linked else async_nolink)(sup, go, "done")
        assert children(sup) == [task.pid]
        assert (task.pid in links()) == linked
        settle()
        assert process_info(task.pid, "monitors")["monitors"] == []
        assert proc_lib.initial_call(task.pid).endswith(":go")
        send(task.pid, "go")
        assert await_(task) == "done"
        nothing_left(task)
        assert children(sup) == []


@pytest.mark.parametrize("start", [async_, async_nolink])
def test_with_custom_shutdown(start):
    """Task.Supervisor "with custom shutdown"; a wrong one is refused before anything starts."""
    kernel.trap_exit(True)
    with supervisor() as sup:
        task = start(sup, deaf, shutdown=BRUTAL_KILL)
        settle()
        stop(sup, "shutdown")
        assert task.pid.reason == "killed"
        with pytest.raises(TaskExit) as failed:
            await_(task)
        assert failed.value.reason == "killed"
        with pytest.raises(BadChildSpec):
            start(sup, go, shutdown="unknown")
    while receive(0) is not TIMEOUT:
        pass


@pytest.mark.parametrize("start", [async_, async_nolink, start_child])
def test_raises_when_max_children_is_reached(start):
    """Task.Supervisor "raises when :max_children is reached"."""
    with supervisor(max_children=1) as sup:
        first = start_child(sup, go)
        with pytest.raises(MaxChildren):
            start(sup, go)
        assert children(sup) == [first]
        assert receive(0) is TIMEOUT


def test_with_callers():
    """Task.Supervisor "with $callers": who wanted it; its ancestors are who started it."""
    with supervisor() as sup:
        me = self_()

        def about():
            return kernel.get("$callers"), kernel.get("$ancestors")[:2]

        def outer():
            return (
                self_(),
                about(),
                await_(async_(sup, about)),
                [r.value for r in async_stream(sup, [0], lambda _: about())],
            )

        parent, mine, inner, streamed = await_(async_(sup, outer))
        assert mine == ((me,), (sup, me))
        assert inner == ((parent, me), (sup, me))
        assert streamed == [inner]
        start_child(sup, lambda: send(me, about()))
        assert receive(1) == mine


def test_start_child():
    """Task.Supervisor "start_child/1", "start_child/3", "with custom restart": for effects; again, if so asked."""
    with supervisor() as sup:
        me = self_()
        pid = start_child(sup, lambda a: send(me, (a, go())), "arg")
        assert pid not in links()
        send(pid, "go")
        assert receive(1) == ("arg", "done")
        pid = start_child(sup, lambda: (send(me, "ready"), go()), restart="permanent")
        assert receive(1) == "ready"
        exit(pid, "shutdown")
        assert receive(1) == "ready"
        assert len(children(sup)) == 1


def test_a_task_that_crashes_is_not_started_again(caplog):
    """Task.Supervisor: temporary by default."""
    with supervisor() as sup:
        runs = []
        start_child(sup, lambda: (runs.append(1), raising()))
        settle()
        assert runs == [1]
        assert children(sup) == []
        assert is_alive(sup)


def test_terminate_child():
    """Task.Supervisor "terminate_child/2"."""
    with supervisor() as sup:
        pid = start_child(sup, go)
        assert terminate_child(sup, pid) is None
        assert children(sup) == []
        other = kernel.spawn(receive)
        with pytest.raises(NotFound):
            terminate_child(sup, other)
        exit(other, KILL)


# ---------------------------------------------------------------------------------------------------------- await


def nothing_left(task):
    settle()
    assert receive(0) is TIMEOUT
    info = process_info(self_(), "links", "monitors")
    assert task.pid not in info["links"]
    assert task.pid not in info["monitors"]


@pytest.mark.parametrize("start", [async_, async_nolink])
def test_demonitors_and_unalias_on_timeout(start):
    """Task.Supervisor "await/1 demonitors and unalias on timeout"."""
    with supervisor() as sup:
        task = start(sup, go)
        with pytest.raises(TaskTimeout):
            await_(task, 0)
        settle()
        assert task.pid not in process_info(self_(), "monitors")["monitors"]
        assert not task.pid.monitored_by
        ref = kernel.monitor(task.pid)
        send(task.pid, "go")
        assert receive(1) == kernel.Down(ref, task.pid, "normal")
        nothing_left(task)


def test_await_exits_on_task_error(caplog, crashes):
    """Task.Supervisor "await/1 exits on task error": without a link, to any caller."""
    with supervisor() as sup:
        task = async_nolink(sup, raising)
        with pytest.raises(TaskExit) as failed:
            await_(task)
        assert isinstance(failed.value.reason, Crash)
        assert "oops" in str(failed.value)
        nothing_left(task)
        owner = kernel.spawn(lambda: await_(async_(sup, raising)))
        settle()
        assert isinstance(owner.reason, Crash)


def test_a_nolink_task_survives_its_owner():
    """Task.Supervisor async_nolink: no link either way; the answer to a dead owner vanishes."""
    with supervisor() as sup:
        tasks = []
        owner = kernel.spawn(lambda: (tasks.append(async_nolink(sup, go)), receive()))
        settle()
        exit(owner, "boom")
        settle()
        assert is_alive(tasks[0].pid)
        send(tasks[0].pid, "go")
        settle()
        assert tasks[0].pid.reason == "normal"


@pytest.mark.parametrize("start", [async_, async_nolink])
def test_a_task_whose_owner_ended_before_asking_ends(start):
    """Task.Supervisor: the owner is killed between its request to the supervisor and the task's start."""
    with supervisor() as sup:
        ran = []
        sys.suspend(sup)
        owner = kernel.spawn(lambda: start(sup, lambda: ran.append(1)))
        settle()
        sys.resume(sup)  # the supervisor starts it as its next step ...
        exit(owner, KILL)  # ... but nobody is there to ask it
        settle()
        assert children(sup) == []
        owner = kernel.spawn(lambda: start(sup, lambda: ran.append(2)))
        settle()
        assert ran == [2]


def test_a_task_that_is_killed_before_it_is_asked():
    """Task.Supervisor: its end comes as the answer."""
    with supervisor() as sup:
        task = async_nolink(sup, go)
        exit(task.pid, KILL)
        assert yield_(task) == Exited("killed")
        task = async_nolink(sup, go)
        settle()
        assert shutdown(task) is None
        assert children(sup) == []


# --------------------------------------------------------------------------------------------------- async_stream


def test_the_supervisor_is_named_by_pid_name_or_via():
    """Task.Supervisor.async_stream: with a registered name."""
    with supervisor(name="tasks"):
        assert [r.value for r in async_stream("tasks", range(3), str)] == ["0", "1", "2"]


@pytest.mark.parametrize("stream", [async_stream, async_stream_nolink])
def test_raises_an_error_if_max_children_is_reached_with_clean_stream_shutdown(stream):
    """Task.Supervisor "async_stream raises an error if :max_children is reached with clean stream shutdown"."""
    with supervisor(max_children=1) as sup:
        with pytest.raises(MaxChildren):
            list(stream(sup, [1, 2, 3], lambda _: go(), max_concurrency=2))
        settle()
        assert children(sup) == []
        assert links() == []
        assert receive(0) is TIMEOUT


@pytest.mark.parametrize("stream", [async_stream, async_stream_nolink])
def test_does_not_allow_streaming_with_invalid_shutdown(stream):
    """Task.Supervisor "does not allow streaming with invalid :shutdown": said at once, not at the first item."""
    with supervisor() as sup, pytest.raises(BadChildSpec):
        stream(sup, [], str, shutdown="unknown")


def test_a_stream_whose_consumer_is_killed_while_a_task_is_being_started():
    """Task.Supervisor async_stream: a task that comes too late ends at its first step."""
    with supervisor() as sup:
        ran = []
        sys.suspend(sup)
        consumer = kernel.spawn(lambda: list(async_stream_nolink(sup, [1], ran.append)))
        settle()
        sys.resume(sup)
        exit(consumer, KILL)
        settle()
        assert children(sup) == []
        assert ran == []
