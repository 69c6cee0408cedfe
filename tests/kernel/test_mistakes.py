"""A slip gets an error that names what was wrong and, where it can, what to do instead."""

from __future__ import annotations

import copy
import pickle

import pytest

from runtime.kernel import (
    BadName,
    CallError,
    CallTimeout,
    call,
    link,
    monitor,
    receive,
    register,
    reply,
    self_,
    send,
    spawn,
    whereis,
)
from runtime.otp import GenServer, NoReply, Registry, Via, proc_lib
from runtime.testing import settle


class Mute(GenServer):
    def handle_call(self, request, sender):
        return NoReply()


def test_a_call_that_timed_out_names_callee_request_and_seconds(clock):
    pid = Mute.start(name="mute")

    def asks():
        with pytest.raises(CallTimeout) as caught:
            call("mute", ("sum", 7), 2.5)
        send(tester, caught.value)

    tester = self_()
    spawn(asks)
    clock.advance(2.5)
    error = receive(0)
    assert str(error) == (
        "call to <mute@nonode> got no answer within 2.5 s (timeout); the request: ('sum', 7); "
        "the callee is idle: it took the request, and did not answer it"
    )
    assert isinstance(error, CallError)
    assert (error.reason, error.dest, error.request, error.seconds) == ("timeout", pid, ("sum", 7), 2.5)
    proc_lib.stop(pid)


def test_the_request_of_a_time_out_is_shown_in_part():
    error = CallTimeout("name", ["x" * 10_000] * 10_000, 5.0)
    assert len(str(error)) < 2_000
    assert str(CallTimeout("name", "stop", None)).startswith("call to 'name' got no answer in time")


def test_a_time_out_can_be_copied():
    for error in (
        copy.copy(CallTimeout("a", "b", 1.0)),
        pickle.loads(pickle.dumps(CallTimeout("a", "b", 1.0))),
    ):
        assert (error.dest, error.request, error.seconds, error.reason) == ("a", "b", 1.0, "timeout")


def test_a_time_limit_that_is_none_is_refused_once_it_matters():
    pid = Mute.start()
    with pytest.raises(TypeError, match="timeout='5': want seconds or None"):
        call(pid, 1, "5")
    proc_lib.stop(pid)


def test_a_stop_that_is_too_slow_is_a_time_out(clock):
    class Slow(GenServer):
        def terminate(self, reason):
            receive()

    pid = Slow.start()
    tester = self_()

    def stops():
        with pytest.raises(CallTimeout) as caught:
            proc_lib.stop(pid, timeout=1.0)
        send(tester, caught.value.seconds)

    spawn(stops)
    clock.advance(1.0)
    assert receive(0) <= 1.0
    send(pid, "now")


def test_calls_that_fail_say_why_in_words():
    gone = spawn(lambda: None)
    settle()
    with pytest.raises(CallError, match="no process is registered under this name"):
        call("nobody", 1)
    with pytest.raises(CallError, match=r"the process is not alive \(noproc\)"):
        call(gone, 1)
    with pytest.raises(CallError, match=r"the process ended before it answered \(normal\)"):
        call(spawn(lambda: None), 1)
    with pytest.raises(CallError, match=r"wait for ever \(calling_self\)"):
        call(self_(), 1)


def test_a_via_name_that_nobody_has_is_shown():
    accounts = Registry.start_link("unique", name="accounts")
    with pytest.raises(CallError, match=r"call to Via\(.*'ann'.*no process is registered under this name"):
        call(Via("accounts", "ann"), 1)
    with pytest.raises(BadName, match=r"no process is registered as Via\(.*'ann'"):
        send(Via("accounts", "ann"), 1)
    proc_lib.stop(accounts)


@pytest.mark.parametrize(
    ("what", "wrong", "says"),
    [
        (lambda: call(None, 1), BadName, "did whereis find nobody, or init return Ignore"),
        (lambda: send(Mute, 1), BadName, r"want what Mute.start_link\(\) returned, or its name"),
        (lambda: proc_lib.stop(None), BadName, "did whereis find nobody"),
        (lambda: monitor(None), BadName, "did whereis find nobody"),
        (lambda: monitor(7), BadName, "7 is no pid"),
        (lambda: whereis(7), ValueError, "7 is no name for a process"),
        (lambda: Mute.start(name=7), ValueError, "7 is no name for a process"),
        (lambda: register("name", 7), TypeError, "7 is no pid"),
        (lambda: link("name"), TypeError, "link wants a pid, not 'name'"),
        (lambda: reply(self_(), 1), TypeError, "reply answers an open call"),
    ],
)
def test_what_is_no_process_is_refused_where_it_is_given(what, wrong, says):
    with pytest.raises(wrong, match=says):
        what()
