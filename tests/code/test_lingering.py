"""Who still runs old code, and how to be rid of them. Code is replaced as a release does it: in the function itself."""

from __future__ import annotations

import gc
import threading
import types
from time import monotonic

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.code.lingering import Retired
from runtime.otp import ChildSpec, SupFlags, Supervisor, proc_lib
from runtime.testing import settle, until

SOURCE = """
def loop(event, nested=False):
    def inner():
        event.wait()
        event.clear()
    while going:
        if nested:
            inner()
        else:
            event.wait()
            event.clear()
"""


@pytest.fixture
def module():
    made = types.ModuleType("old_one")
    made.going = [1]
    exec(compile(SOURCE, "/nowhere/old_one.py", "exec"), made.__dict__)
    return made


SHA = "aaaa" * 16


def replace(retired, function):
    """What a release does with a function whose body has changed."""
    old = function.__code__
    new = compile(SOURCE, "/nowhere/old_one.py", "exec").co_consts
    function.__code__ = next(c for c in new if isinstance(c, types.CodeType) and c.co_name == "loop")
    retired.add(old, function.__module__, SHA)


def test_a_process_a_greenlet_and_a_thread_are_found(module):
    retired = Retired()
    go, stop = gevent.event.Event(), threading.Event()
    pid = kernel.spawn(module.loop, go)
    bare = gevent.spawn(lambda: module.loop(go))
    thread = threading.Thread(target=lambda: module.loop(stop), name="old hand")
    thread.start()
    settle()
    gevent.sleep(0)
    assert retired.lingering() == []
    assert retired.soft_purge("old_one")
    before = monotonic()
    replace(retired, module.loop)
    found = {one.who: one for one in retired.lingering("old_one")}
    assert found.keys() == {pid, bare, "thread old hand"}
    one = found[pid]
    assert (one.function, one.module, one.sha, one.line) == ("loop", "old_one", SHA, 10)
    assert before <= one.since <= monotonic()
    assert str(one).startswith(f"{pid!r} in old_one.loop:10 of aaaaaaaaaaaa, replaced ")
    assert retired.lingering("another") == []
    assert not retired.soft_purge("old_one")
    module.going.clear()
    go.set()
    stop.set()
    until(lambda: retired.soft_purge("old_one"))
    thread.join()
    found.clear()


def test_a_function_nested_in_a_replaced_one_is_old_too(module):
    retired = Retired()
    pid = kernel.spawn(module.loop, gevent.event.Event(), True)
    settle()
    replace(retired, module.loop)
    (one,) = retired.lingering()
    assert one.function == "loop.<locals>.inner"
    kernel.exit(pid, "kill")


def test_notes_go_with_the_code_and_keep_nothing_alive(module):
    retired = Retired()
    replace(retired, module.loop)
    gc.collect()
    assert len(retired) == 0


def test_a_release_that_is_taken_back_is_forgotten(module):
    retired = Retired()
    pid = kernel.spawn(module.loop, gevent.event.Event(), True)
    settle()
    old = module.loop.__code__
    replace(retired, module.loop)
    assert len(retired) == 2
    retired.forget(old)
    assert retired.lingering() == []
    kernel.exit(pid, "kill")


def test_purge_ends_those_who_stay_and_their_supervisor_starts_them_again(module):
    class Top(Supervisor):
        def init(self):
            return SupFlags(), [ChildSpec("loop", (start, ()))]

    def start():
        return proc_lib.start_link(run)

    def run():
        proc_lib.init_ack()
        begun.append(kernel.self_())
        module.loop(gevent.event.Event())

    begun = []
    retired = Retired()
    top = Top.start_link()
    leaver = kernel.spawn(module.loop, gevent.event.Event())
    settle()
    replace(retired, module.loop)
    leave = kernel.spawn(lambda: (kernel.pause(0.02), kernel.exit(leaver, "kill")))
    assert retired.purge("old_one", grace=0.2) == 1
    settle()
    assert len(begun) == 2
    assert not kernel.is_alive(begun[0])
    assert not kernel.is_alive(leaver)
    assert not kernel.is_alive(leave)
    assert retired.purge("old_one") == 0
    kernel.unlink(top)
    proc_lib.stop(top)
