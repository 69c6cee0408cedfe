"""Tasks and requests at their edges: interrupted waits, completed ones among others, values that cannot be shown."""

from __future__ import annotations

import gevent
import pytest

from runtime import kernel
from runtime.kernel import TIMEOUT, CallError, is_alive, process_info, receive, self_, send
from runtime.otp import BRUTAL_KILL, Answer, Deadline, RequestIds, multi_call, task_supervisor
from runtime.otp.task import (
    Exited, Ok, StreamTimeout, TaskExit, TaskTimeout, async_, async_stream, await_, await_many, completed, ignore, shutdown, start,
    start_link, yield_, yield_many,
)  # fmt: skip
from runtime.otp.task_supervisor import TaskSupervisor
from runtime.testing import settle


class Unspeakable:
    """A value that cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


def go(value="done"):
    """Waits to be told, then returns."""
    kernel.receive_match(lambda m: m == "go")
    return value


@pytest.mark.parametrize("wait", [await_, yield_])
def test_a_wait_that_is_broken_off_can_be_taken_up_again(wait):
    """An exception thrown into the wait is no answer: the task is not spent, and leaves nothing once it is awaited."""
    task = async_(go, 7)
    settle()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        wait(task, None)
    send(task.pid, "go")
    assert wait(task) in (7, Ok(7))
    settle()
    assert receive(0) is TIMEOUT
    assert not process_info(self_(), "monitors")["monitors"]


@pytest.mark.parametrize("on_timeout", ["ignore", "kill_task"])
def test_yield_many_with_a_limit_and_completed_tasks(on_timeout):
    """Elixir Task.yield_many: `limit` results; a completed task has no process to kill, and is no error."""
    tasks = [completed(1), completed(2), async_(go)]
    found = yield_many(tasks, 0, limit=1, on_timeout=on_timeout)
    assert [result for _, result in found] == [Ok(1), Ok(2), None]
    if is_alive(tasks[2].pid):
        kernel.exit(tasks[2].pid, kernel.KILL)
    settle()
    assert receive(0) is TIMEOUT


@pytest.mark.parametrize("many", [await_many, yield_many])
@pytest.mark.parametrize("bad", [float("nan"), "soon"])
def test_a_bad_time_limit_takes_no_result(many, bad):
    """A caller's mistake is an exception before anything is done."""
    done = completed(1)
    with pytest.raises((TypeError, ValueError)):
        many([done], bad)
    assert await_(done) == 1


@pytest.mark.parametrize("bad", [-1.0, float("nan"), "soon", True])
def test_shutdown_with_a_bad_time_does_nothing(bad):
    """As above: the task runs on, linked."""
    task = async_(go)
    with pytest.raises(ValueError, match="want seconds"):
        shutdown(task, bad)
    assert is_alive(task.pid)
    assert task.pid in process_info(self_(), "links")["links"]
    assert shutdown(task, BRUTAL_KILL) is None


def test_a_deadline_of_nothing_is_no_deadline():
    """Deadline.after takes seconds; None is no limit, not a limit that is over."""
    with pytest.raises(TypeError):
        Deadline.after(None)
    with pytest.raises(TypeError):
        multi_call("nobody", 1, timeout="soon")
    assert multi_call("nobody", 1, timeout=None) == ([], [kernel.node()])


def test_a_late_task_with_an_item_that_cannot_be_shown(clock):
    """The consumer is told of the time, not of the repr."""
    kernel.trap_exit(True)
    parent = self_()

    def consume():
        try:
            list(async_stream([Unspeakable()], lambda _item: go(), timeout=1.0))
        except Exception as error:
            send(parent, error.__class__)

    kernel.spawn(consume)
    settle()
    clock.advance(2.0)
    assert receive(1) is StreamTimeout


def test_a_reason_that_cannot_be_shown_is_an_error_with_text_nevertheless(crashes):
    """str(TaskExit) and str(TaskTimeout) never raise."""
    kernel.trap_exit(True)

    def ends():
        raise kernel.ProcessExit(Unspeakable())

    with pytest.raises(TaskExit) as info:
        await_(async_(ends))
    assert "ended" in str(info.value)


def test_shutdown_of_one_that_ends_with_a_reason_that_cannot_be_compared():
    """A reason may be any value, and its __eq__ may do anything."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("no comparison")

        __hash__ = None

    def stubborn():
        kernel.trap_exit(True)
        receive()
        raise kernel.ProcessExit(odd)

    odd = Odd()
    task = async_(stubborn)
    settle()
    result = shutdown(task, 5.0)
    assert result.__class__ is Exited
    assert result.reason is odd


def test_awaiting_a_hundred_tasks_with_a_long_mailbox_scans_it_but_a_few_times():
    """Work per result must not grow with what is queued: kernel `receive_mark`, OTP's receive optimisation."""
    looks = 0

    class Counted:
        """Stands in the mailbox, and counts how often its class is asked for."""

        @property
        def __class__(self):
            nonlocal looks
            looks += 1
            return Counted

    for _ in range(1000):
        send(self_(), Counted())
    looks = 0
    tasks = [async_(go, n) for n in range(100)]
    settle()
    for task in tasks[:50]:
        send(task.pid, "go")
    settle()

    def one_by_one():
        for task in tasks[50:]:
            send(task.pid, "go")
            for _ in range(20):
                send(me, Counted())  # what comes meanwhile is looked at a time or two, too
            kernel.yield_()

    me = self_()
    kernel.spawn(one_by_one)
    assert await_many(tasks) == list(range(100))
    assert looks <= 5 * (1000 + 20 * 50)
    for _ in range(1000 + 20 * 50):
        assert receive(0) is not TIMEOUT
    assert receive(0) is TIMEOUT


def test_a_collection_with_a_long_mailbox():
    """As above, for RequestIds: answers that are there already and such that come while it waits."""
    server = kernel.spawn(lambda: [kernel.reply(kernel.receive(), n) for n in range(100)])
    asked = RequestIds()
    for n in range(100):
        asked.send(server, "q", label=n)
    got = []
    while (answer := asked.receive(5.0)) is not None:
        got.append((answer.label, answer.value))
    assert got == [(n, n) for n in range(100)]
    assert receive(0) is TIMEOUT


def test_tasks_of_a_supervisor_that_is_gone():
    """Elixir Task.Supervisor: exits with noproc."""
    sup = TaskSupervisor.start_link()
    kernel.unlink(sup)
    kernel.exit(sup, kernel.KILL)
    for begin in (task_supervisor.async_, task_supervisor.async_nolink, task_supervisor.start_child):
        with pytest.raises(CallError) as info:
            begin(sup, go)
        assert info.value.reason == "noproc"
    stream = task_supervisor.async_stream_nolink(sup, [1, 2], go)
    with pytest.raises(CallError):
        list(stream)


def test_a_stream_whose_tasks_fail_puts_nothing_into_the_consumers_mailbox(crashes):
    """A consumer that traps gets each failure as a result: no Exit that it would have to search for among 100,000."""
    kernel.trap_exit(True)
    looks = []

    class Looked:
        @property
        def __class__(self):
            looks.append(1)
            return Looked

    for _ in range(1000):
        send(self_(), Looked())
    looks.clear()

    def fails(n):
        raise ValueError(n)

    results = list(async_stream(range(50), fails))
    assert [result.__class__ for result in results] == [Exited] * 50
    assert not looks
    for _ in range(1000):
        receive(0)
    assert receive(0) is TIMEOUT


def test_shutdown_of_a_task_that_lives_does_not_look_the_mailbox_through():
    """One that lives has sent no Exit: nothing has to be taken out."""
    kernel.trap_exit(True)
    looks = []

    class Looked:
        @property
        def __class__(self):
            looks.append(1)
            return Looked

    tasks = [async_(go) for _ in range(10)]
    settle()
    for _ in range(1000):
        send(self_(), Looked())
    looks.clear()
    assert [shutdown(task) for task in tasks] == [None] * 10
    assert not looks
    for _ in range(1000):
        receive(0)
    assert receive(0) is TIMEOUT


def test_a_request_to_nobody_says_whom_it_was_for():
    """As a call: the error names what was asked for, not what was found in its place."""
    asked = RequestIds()
    asked.send("nobody_of_this_name", "q", label="a")
    error = asked.receive(1.0).error
    assert (error.reason, error.dest) == ("noproc", "nobody_of_this_name")
    assert "nobody_of_this_name" in str(error)
    assert receive(0) is TIMEOUT


@pytest.mark.parametrize("wrong", [None, 5, "fetch", object()])
@pytest.mark.parametrize(
    "begin",
    [
        async_, start, start_link,
        lambda fn: async_stream([1], fn),
        lambda fn: task_supervisor.async_("nobody", fn),
        lambda fn: task_supervisor.async_nolink("nobody", fn),
        lambda fn: task_supervisor.start_child("nobody", fn),
        lambda fn: task_supervisor.async_stream("nobody", [1], fn),
        lambda fn: task_supervisor.async_stream_nolink("nobody", [1], fn),
    ],
)  # fmt: skip
def test_what_is_no_function_is_refused_before_anything_is_started(begin, wrong):
    """The mistake is in the line that asks for the task, so it shows there; no supervisor is asked."""
    with pytest.raises(TypeError, match="a task runs a function, not "):
        begin(wrong)
    assert not process_info(self_(), "links")["links"]


@pytest.mark.parametrize(
    "wait", [await_, yield_, shutdown, ignore, lambda t: await_many([t]), lambda t: yield_many([t])]
)
@pytest.mark.parametrize("wrong", [5, None, "task"])
def test_what_is_no_task_is_refused_with_what_is_wanted(wait, wrong):
    with pytest.raises(TypeError, match=f"want the TaskRef that async_ returned, not {wrong!r}"):
        wait(wrong)


@pytest.mark.parametrize("wait", [await_, lambda task, seconds: await_many([task], seconds)])
def test_a_task_that_is_late_says_how_long_it_was_waited_for(wait):
    """Elixir Task.await: time is over. It was given up and runs on."""
    task = async_(go)
    with pytest.raises(TaskTimeout) as info:
        wait(task, 0)
    assert str(info.value) == (
        f"{task!r} did not end within 0 s (timeout); it was given up, and runs on unless something ends it"
    )
    assert is_alive(task.pid)
    kernel.unlink(task.pid)
    kernel.exit(task.pid, kernel.KILL)


class Interrupt(Exception):
    pass


def interrupted_as_it_is_answered(request, answer):
    """Let the calling process wait for `request`, be answered, and be interrupted before it runs again."""
    worker = gevent.getcurrent()

    def both():
        answer()
        worker.throw(Interrupt)

    kernel.clock.after(0.0, both)  # in the hub: nothing runs in between
    with pytest.raises(Interrupt):
        kernel.wait_response(request)


def value_or_reason(take, request):
    try:
        got = take(request)
    except CallError as error:
        return error.reason
    return (got.value or got.error.reason) if isinstance(got, Answer) else got


@pytest.mark.parametrize(("settles", "outcome"), [(kernel.reply, 42), (kernel.fail, "why")])
@pytest.mark.parametrize("how", ["collection", "wait", "check"])
def test_a_request_that_settles_while_its_wait_is_interrupted_is_a_message(how, settles, outcome):
    """It was settled for one who waited, so without a message: nobody would ever hear of it."""
    box = []
    asked = RequestIds()
    take = {
        "collection": lambda _request: asked.wait(1.0),
        "wait": lambda request: kernel.wait_response(request, 1.0),
        "check": lambda request: kernel.check_response(receive(1.0), request),
    }[how]
    request = asked.send(kernel.spawn(lambda: (box.append(receive()), receive_match_end())), "question")
    settle()
    interrupted_as_it_is_answered(request, lambda: settles(box[0], outcome))
    assert value_or_reason(take, request) == outcome
    assert receive(0) is TIMEOUT
    assert not process_info(self_(), "monitors")["monitors"]
    send(box[0].dest, "end")


def receive_match_end():
    return kernel.receive_match(lambda m: m == "end")
