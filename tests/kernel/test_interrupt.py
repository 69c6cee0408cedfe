"""Interrupting a process that waits, and guarding one that computes: what a shell's Ctrl-C is made of."""

from __future__ import annotations

import pytest

from runtime import kernel
from runtime.kernel import (
    Down,
    TIMEOUT,
    blocking,
    call,
    guard,
    interrupt,
    receive,
    receive_match,
    self_,
    send,
    sleep,
    spawn_monitor,
    start_watchdog,
    stop_watchdog,
    unguard,
    yield_,
)
from runtime.testing import settle


class Ouch(BaseException):
    pass


def waits(how, me, *args):
    """Tell `me` what ended the wait, then go on as a process like any other."""
    try:
        how(*args)
    except Ouch as error:
        send(me, ("ended", error.args))
    else:
        send(me, "over")
    send(me, ("next", receive()))


def nobody():
    receive_match(lambda _: False)


@pytest.mark.parametrize("how", ["receive", "call", "timer", "match"])
def test_what_a_process_waits_for_ends_with_the_error(how):
    me = self_()
    deaf, deaf_ref = spawn_monitor(nobody)
    wait = {
        "receive": (receive,),
        "call": (call, deaf, "x", None),
        "timer": (sleep, 1000.0),
        "match": (receive_match, lambda _: False),
    }[how]
    pid, _ = spawn_monitor(waits, wait[0], me, *wait[1:])
    settle()
    assert interrupt(pid, Ouch(1))
    assert receive() == ("ended", (1,))
    send(pid, "on")
    assert receive() == ("next", "on")
    assert receive_match(lambda m: isinstance(m, Down) and m.pid is pid).reason == "normal"
    kernel.exit(deaf, "kill")
    receive_match(lambda m: isinstance(m, Down) and m.ref is deaf_ref)
    kernel.check_invariants()


def test_a_wait_in_the_thread_pool_ends_too():
    me = self_()
    import threading

    gate = threading.Event()
    pid, _ = spawn_monitor(waits, blocking, me, gate.wait)
    while kernel.busy_threads() == 0:
        yield_()
    assert interrupt(pid, Ouch(2))
    assert receive() == ("ended", (2,))
    gate.set()
    send(pid, "on")
    assert receive() == ("next", "on")
    assert receive().reason == "normal"


def test_a_process_that_gives_way_hears_of_it_when_its_turn_comes():
    def gives_way():
        while True:
            yield_()

    me = self_()
    pid, _ = spawn_monitor(waits, gives_way, me)
    yield_()
    assert interrupt(pid, Ouch(3))
    assert not interrupt(pid, Ouch(4))
    assert receive() == ("ended", (3,))
    send(pid, "on")
    assert receive() == ("next", "on")
    assert receive().reason == "normal"


def test_who_does_not_wait_or_is_dead_is_let_alone():
    pid, ref = spawn_monitor(receive)
    assert not interrupt(pid, Ouch())
    settle()
    kernel.exit(pid, "kill")
    assert not interrupt(pid, Ouch())
    assert receive().ref is ref
    assert not interrupt(self_(), Ouch())


def test_a_guard_ends_a_loop_that_never_gives_way():
    def loop(me):
        asked = []

        def check(held):
            asked.append(held)
            return Ouch("enough") if len(asked) > 2 else None

        guard(check)
        try:
            while True:
                pass
        except Ouch as error:
            send(me, (error.args, len(asked), asked[0] < asked[-1]))
        finally:
            unguard()

    start_watchdog(hog_warn=100.0, hog_kill=None)
    try:
        spawn_monitor(loop, self_())
        assert receive(10.0) == (("enough",), 3, True)
        assert receive().reason == "normal"
        assert receive(0) is TIMEOUT
    finally:
        stop_watchdog()
