"""Supervisors after a release: flags and specs of the new code, running children untouched.

The class's init is changed as a release changes it: in the function itself.
"""

from __future__ import annotations

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.code.supervisors import refresh
from runtime.otp import ChildSpec, DynamicSupervisor, GenServer, SupFlags, Supervisor, proc_lib, supervisor
from runtime.testing import settle

HERE = [__name__]


class Worker(GenServer):
    def init(self, wait=None):
        if wait is not None:
            wait.wait()


class Top(Supervisor):
    def init(self, *args):
        return type(self).answer(*args)


def spec(id, **options):
    return ChildSpec(id, (Worker.start_link, ()), **options)


@pytest.fixture
def top():
    """Starts a supervisor whose init returns what the function given does; ends all of them."""
    started = []

    def start(answer, *args):
        Top.answer = staticmethod(answer)
        started.append(Top.start_link(*args))
        return started[-1]

    yield start
    del Top.answer


def stop(*pids):
    for pid in pids:
        kernel.unlink(pid)
        proc_lib.stop(pid, "shutdown")


def ids(pid):
    return {child.id: child.pid for child in supervisor.which_children(pid)}


def test_specs_are_replaced_children_run_on_new_ones_are_not_started_gone_ones_stay(top):
    """OTP supervisor_SUITE code_change: with what is new and gone reported."""
    pid = top(lambda: (SupFlags(), [spec("a"), spec("b")]))
    before = ids(pid)
    Top.answer = staticmethod(
        lambda: (SupFlags("one_for_all", intensity=7), [spec("a", restart="transient"), spec("c")])
    )
    (one,) = refresh(HERE)
    assert (one.pid, one.supervisor, one.new, one.gone, one.error) == (
        pid,
        f"{__name__}:Top",
        ("c",),
        ("b",),
        None,
    )
    how = f"from runtime.otp import supervisor; supervisor.restart_child(pid({one.pid.number}), 'c')"
    assert str(one).endswith(
        f": new, not started: 'c' (to start: tools/shell -c \"{how}\"); no longer named, still there: 'b'"
    )
    assert ids(pid) == {**before, "c": None}
    assert supervisor.get_childspec(pid, "a").restart == "transient"
    assert pid.behaviour.children.flags.intensity == 7
    exec(how, {"pid": {one.pid.number: one.pid}.get})  # as the shell's `pid`
    assert ids(pid)["c"] is not None
    stop(pid)


def test_simple_one_for_one_takes_the_new_template(top):
    pid = top(lambda: (SupFlags("simple_one_for_one"), [spec("a")]))
    child = supervisor.start_child(pid, ())
    Top.answer = staticmethod(
        lambda: (SupFlags("simple_one_for_one", intensity=9), [spec("z", restart="temporary")])
    )
    (one,) = refresh(HERE)
    assert (one.new, one.gone, one.error) == ((), (), None)
    assert kernel.is_alive(child)
    assert pid.behaviour.children.flags.intensity == 9
    assert str(one).endswith("flags and specs are those of the new code")
    stop(pid)


def test_an_init_that_fails_leaves_the_old_flags_and_specs(top):
    good, bad = (top(lambda n: (SupFlags(intensity=5), [spec("a")]), n) for n in (1, 0))
    Top.answer = staticmethod(lambda n: (SupFlags(intensity=1 // n), [spec("a")]))
    first, second = refresh(HERE)
    assert (first.pid, first.error) == (good, None)
    assert second.pid is bad
    assert second.error.startswith("keeps its flags and specs: init failed with ZeroDivisionError: ")
    assert bad.behaviour.children.flags.intensity == 5
    stop(good, bad)


def test_a_suspended_one_takes_them_too_and_stays_suspended(top):
    from runtime.otp import sys

    pid = top(lambda: (SupFlags(), []))
    sys.suspend(pid)
    Top.answer = staticmethod(lambda: (SupFlags(intensity=8), []))
    assert [one.error for one in refresh(HERE)] == [None]
    assert sys.get_status(pid).status == "suspended"
    assert pid.behaviour.children.flags.intensity == 8
    stop(pid)


def test_a_busy_one_is_reported_and_takes_them_later(top):
    go = gevent.event.Event()
    pid = top(lambda: (SupFlags(), []))
    kernel.spawn(supervisor.start_child, pid, ChildSpec("slow", (Worker.start_link, (go,))))
    settle()
    Top.answer = staticmethod(lambda: (SupFlags(intensity=8), [spec("new")]))
    (one,) = refresh(HERE, timeout=0.02)
    assert one.error.startswith("busy")
    go.set()
    gevent.sleep(0)
    settle()
    assert ids(pid).keys() == {"slow", "new"}
    assert kernel.receive(0) is kernel.TIMEOUT, "nothing of it in the caller's mailbox"
    stop(pid)


def test_others_are_not_asked(top):
    pid = top(lambda: (SupFlags(), []))
    given = Supervisor.start_link_with(SupFlags(), [])
    dynamic = DynamicSupervisor.start_link()
    Top.answer = staticmethod(lambda: 1 / 0)
    assert refresh(["another.module"]) == []
    stop(pid, given, dynamic)


def test_one_in_the_middle_of_its_init_takes_them_when_it_is_done(top):
    go = gevent.event.Event()
    started = []

    def start():
        started.append(Top.start_link())
        kernel.receive()

    def answer():
        go.wait()
        return SupFlags(intensity=1), []

    Top.answer = staticmethod(answer)
    parent = kernel.spawn(start)
    settle()
    Top.answer = staticmethod(lambda: (SupFlags(intensity=8), []))
    (one,) = refresh(HERE, timeout=0.02)
    assert one.error.startswith("busy")
    go.set()
    gevent.sleep(0)
    settle()
    assert started[0].behaviour.children.flags.intensity == 8
    kernel.exit(parent, "shutdown")


def test_one_that_has_not_begun_its_init_is_not_asked(top):
    Top.answer = staticmethod(lambda: (SupFlags(), []))
    waiting = kernel.spawn(lambda: (Top.start_link(), kernel.receive()))
    seen = []
    kernel.spawn(
        lambda: seen.append(refresh(HERE))
    )  # its turn comes between the supervisor's spawn and its init
    settle()
    assert seen == [[]]
    kernel.exit(waiting, "shutdown")


def test_one_that_ends_meanwhile_is_left_out(top):
    pid = top(lambda: (SupFlags(), []))
    kernel.unlink(pid)
    Top.answer = staticmethod(lambda: kernel.exit(pid, "kill"))
    assert refresh(HERE) == []


@pytest.mark.plain
def test_refresh_works_from_the_main_program(top):
    def started():
        pid = top(lambda: (SupFlags(), []))
        kernel.unlink(pid)
        return pid

    pid = kernel.run(started)
    Top.answer = staticmethod(lambda: (SupFlags(), [spec("new")]))
    assert [one.new for one in refresh(HERE)] == [("new",)]
    kernel.run(proc_lib.stop, pid)
