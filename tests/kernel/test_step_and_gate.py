"""One step of the loop, gates between messages, the stacks there are."""

from __future__ import annotations

import gc
import threading

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.kernel import Call, CallError, Exit, Gate, at_rest, step
from runtime.testing import settle, until


class Echo:
    """Notes what it gets, answers calls; "block" waits for `go`, ("ask", pid) calls on."""

    def __init__(self, fail=None):
        self.got, self.go, self.ended = [], gevent.event.Event(), []

    def on_message(self, process, message):
        request = message.request if isinstance(message, Call) else message
        self.got.append(request)
        if request == "block":
            self.go.wait()
        elif isinstance(request, tuple) and request[0] == "ask":
            self.got.append(kernel.call(request[1], "hello"))
        if isinstance(message, Call):
            kernel.reply(message, "done")

    def on_exit(self, process, reason):
        self.ended.append(reason)


def echo():
    behaviour = Echo()
    return behaviour, kernel.spawn_callback(behaviour)


def end(*pids):
    for pid in pids:
        kernel.exit(pid, "kill")


def test_a_step_returns_and_raises_at_its_caller():
    assert step(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        step(lambda: 1 // 0)


@pytest.mark.plain
def test_a_step_works_from_the_main_program():
    assert step(gc.isenabled) is False
    assert gc.isenabled()


def test_nothing_can_wait_in_a_step_and_nothing_runs_beside_it():
    seen = []
    other = kernel.spawn(lambda: seen.append("other"))

    def fn():
        for wait in (
            lambda: gevent.sleep(0.01),
            lambda: kernel.sleep(0),
            lambda: kernel.call(other, 1),
            gevent.event.Event().wait,
        ):
            with pytest.raises(kernel.BLOCKED):
                wait()
        return list(seen)

    assert step(fn) == []
    settle()
    assert seen == ["other"]


def test_a_step_whose_caller_was_killed_never_runs():
    ran = []
    pid = kernel.spawn(lambda: step(lambda: ran.append(1)))
    kernel.in_hub(kernel.exit, pid, "kill")  # before the step, after the process has asked for it
    settle()
    step(lambda: None)
    assert ran == []


def test_busy_threads_counts_unfinished_jobs():
    before = kernel.busy_threads()
    go = threading.Event()
    kernel.spawn(kernel.blocking, go.wait)
    settle()
    assert kernel.busy_threads() == before + 1
    go.set()
    until(lambda: kernel.busy_threads() == before)


def test_a_gate_keeps_messages_in_order_and_gives_them_back_before_newer_ones():
    behaviour, pid = echo()
    gate = Gate()
    gate.close(pid)
    for n in range(200):
        kernel.send(pid, n)
    settle()
    assert behaviour.got == []
    kernel.send(pid, 200)
    gate.open(pid)
    kernel.send(pid, 201)
    settle()
    assert behaviour.got == list(range(202))
    end(pid)


def test_a_process_in_a_callback_finishes_it_and_the_rest_of_its_batch_waits():
    behaviour, pid = echo()
    for message in ("block", 1, 2):
        kernel.send(pid, message)
    settle()
    gate = Gate()
    gate.close(pid)
    assert not step(lambda: at_rest(pid))
    kernel.send(pid, 3)
    behaviour.go.set()
    until(lambda: step(lambda: at_rest(pid)))
    assert behaviour.got == ["block"]
    gate.open_all()
    settle()
    assert behaviour.got == ["block", 1, 2, 3]
    end(pid)


def test_a_call_to_a_held_process_waits_and_fails_when_that_is_killed():
    behaviour, pid = echo()
    gate = Gate()
    gate.close(pid)
    answers = []

    def ask():
        try:
            answers.append(kernel.call(pid, "hello"))
        except CallError as error:
            answers.append(error.reason)

    kernel.spawn(ask)
    settle()
    assert answers == []
    kernel.exit(pid, "kill")
    settle()
    assert answers == ["killed"]
    assert behaviour.ended == ["killed"]
    gate.open_all()


def test_a_parents_exit_opens_the_gate_in_the_right_place():
    behaviour = Echo()

    def parent():
        pid = kernel.spawn_callback(behaviour)
        me.append((kernel.self_(), pid))
        kernel.receive()

    me = []
    kernel.spawn(parent)
    settle()
    boss, pid = me[0]
    gate = Gate()
    gate.close(pid)
    for message in (1, Exit(boss, "shutdown"), 2):
        kernel.send(pid, message)
    settle()
    assert behaviour.got == [1, Exit(boss, "shutdown"), 2]
    assert gate.take_left() == [pid]
    assert gate.take_left() == []
    end(pid, boss)


def test_whoever_a_busy_process_waits_for_is_found():
    """Also through others: a asks b, b asks c, c is held."""
    (_, a), (_, b), (third, c) = echo(), echo(), echo()
    gate = Gate()
    gate.close(c)
    kernel.send(b, ("ask", c))
    kernel.send(a, ("ask", b))
    settle()
    assert step(lambda: gate.reach([a])) == {b, c}
    gate.open(c)
    settle()
    assert third.got == ["hello"]
    assert step(lambda: gate.reach([a])) == set()
    end(a, b, c)


def test_become_is_at_rest_between_messages_and_not_in_a_receive_of_its_own():
    class Special(Echo):
        def on_message(self, process, message):
            super().on_message(process, message)
            if message == "receive":
                self.got.append(kernel.receive_match(lambda m: m == "go"))

    behaviour = Special()
    pid = kernel.spawn(kernel.become, behaviour)
    settle()
    assert step(lambda: at_rest(pid))
    kernel.send(pid, "receive")
    settle()
    assert not step(lambda: at_rest(pid))
    gate = Gate()
    gate.close(pid)
    for message in (1, "go", 2):
        kernel.send(pid, message)
    settle()
    assert step(lambda: at_rest(pid))
    assert behaviour.got == ["receive", "go"]
    gate.open(pid)
    settle()
    assert behaviour.got == ["receive", "go", 1, 2]
    end(pid)


def test_stacks_are_those_of_processes_and_of_bare_greenlets():
    pid = kernel.spawn(kernel.receive)
    bare = gevent.spawn(lambda: gevent.event.Event().wait())
    settle()
    gevent.sleep(0)
    found = dict(kernel.stacks())
    assert found[kernel.self_()].f_code is test_stacks_are_those_of_processes_and_of_bare_greenlets.__code__
    assert {pid, bare} <= found.keys()
    found.clear()
    bare.kill()
    end(pid)


def test_processes_after_a_number_are_the_newer_ones():
    first = kernel.spawn(kernel.receive)
    second = kernel.spawn(kernel.receive)
    assert list(kernel.processes(after=first.number)) == [second]
    assert list(kernel.processes(after=second.number)) == []
    end(first, second)


def test_held_threads_begin_nothing_until_let_go():
    """A node in which some job always has a thread comes to a moment without one all the same."""
    busy, ended = True, []

    def chain(name):
        while busy:
            kernel.blocking(threading.Event().wait, 0.005)
        ended.append(name)

    chains = [kernel.spawn(chain, name) for name in "abc"]
    until(lambda: kernel.busy_threads() == 3)
    with kernel.hold_threads(30.0):
        until(lambda: kernel.busy_threads() == 0)
        assert kernel.process_info(chains[0]) is not None and ended == []
    until(lambda: kernel.busy_threads() == 3)
    busy = False
    until(lambda: len(ended) == 3)


def test_threads_are_not_held_for_longer_than_is_said():
    go = threading.Event()
    kernel.spawn(kernel.blocking, go.wait)
    settle()
    with kernel.hold_threads(0.05):
        answer = kernel.blocking(lambda: 7)  # waits until the hold is over, although the first job goes on
    assert answer == 7 and kernel.busy_threads() == 1
    go.set()
    until(lambda: kernel.busy_threads() == 0)


def test_a_job_at_work_is_named():
    go = threading.Event()

    def late_job():
        go.wait()

    kernel.spawn(kernel.blocking, late_job)
    until(lambda: any("late_job, at " in line and "threading.py:" in line for line in kernel.thread_work()))
    go.set()
    until(lambda: kernel.thread_work() == [])
