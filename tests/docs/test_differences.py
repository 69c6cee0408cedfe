"""What the page "From Erlang and Elixir" says that differs does differ in that way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime import (
    KILLED, NOPROC, NORMAL, TIMEOUT, CallError, Crash, Fail, GenServer, Ignore, MutableMessage, NoReply, ProcessExit,
    StartError, Stop, call, cast, check_messages, is_failure, kernel, link, monitor, process_info, receive,
    reply, self_, send, send_request, spawn, spawn_opt, stop,
)  # fmt: skip
from runtime import sys as otp_sys
from runtime.kernel import CallTimeout
from runtime.otp import application
from runtime.otp.state_machine import GenStateMachine, NextState, UnhandledEvent
from runtime.testing import settle


class Server(GenServer):
    def init(self, first=None):
        self.seen = []
        return first

    def handle_call(self, request, sender):
        match request:
            case "state":
                return self.seen
            case "hold":
                self.seen.append(sender)
                return NoReply()
            case "fail":
                self.seen.append("changed")
                raise ValueError("failed")
            case "exit":
                raise ProcessExit("own reason")
            case "wait":
                return NoReply(timeout=10.0)

    def handle_info(self, message):
        self.seen.append(message)


@pytest.mark.plain
def test_run_raises_deadlock_instead_of_hanging():
    code = "from runtime import receive, run\nrun(receive)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert "Deadlock" in done.stderr


def test_a_message_is_the_same_object_on_both_sides():
    message = ["shared"]
    send(self_(), message)
    assert receive() is message


def test_check_messages_refuses_what_the_sender_could_still_change():
    check_messages(True)
    try:
        with pytest.raises(MutableMessage):
            send(self_(), ["shared"])
        send(self_(), ("given", "away"))
    finally:
        check_messages(False)
    assert receive() == ("given", "away")


def test_a_forgotten_branch_answers_none():
    pid = Server.start()
    assert call(pid, "no such request") is None
    stop(pid)


class Light(GenStateMachine):
    def init(self):
        return NextState("off")

    def off(self, kind, content):
        match content:
            case "on":
                return NextState("on")

    def on(self, kind, content):
        return self.unhandled(kind, content)


def test_a_state_machine_that_returns_none_stays_as_it_is(clock):
    pid = Light.start()
    idle = []

    def ask():
        try:
            call(pid, "who are you", 1.0)
        except CallTimeout as error:
            idle.append(error.idle)

    spawn(ask)
    clock.advance(1.0)
    assert idle == [True]
    assert otp_sys.get_state(pid)[0] == "off"
    cast(pid, "on")
    with pytest.raises(CallError) as caught:
        call(pid, "who are you")
    assert isinstance(caught.value.reason.exception, UnhandledEvent)


def test_an_exception_is_a_crash_and_process_exit_a_reason_of_ones_own(crashes):
    pid = Server.start()
    with pytest.raises(CallError) as caught:
        call(pid, "fail")
    assert isinstance(caught.value.reason, Crash)
    with pytest.raises(CallError) as caught:
        call(Server.start(), "exit")
    assert caught.value.reason == "own reason"


def test_a_late_answer_leaves_nothing_behind(clock):
    pid = Server.start()
    failed = []

    def ask():
        try:
            call(pid, "hold", 1.0)
        except CallError as error:
            failed.append(error.reason)
        reply(otp_sys.get_state(pid)["seen"][0], "late")
        failed.append(receive(timeout=0))

    spawn(ask)
    clock.advance(2.0)
    assert failed == ["timeout", TIMEOUT]
    stop(pid)


def test_starts_raise_and_fail_spares_the_starter():
    assert Server.start_link(Ignore()) is None
    with pytest.raises(StartError) as caught:
        Server.start_link(Fail("not today"))
    assert caught.value.reason == "not today"
    with pytest.raises(StartError):
        Server.start(Stop("no"))
    settle()
    assert receive(timeout=0) is TIMEOUT


def test_atoms_are_strings():
    assert NORMAL == "normal"
    assert is_failure("boom")
    assert not is_failure("normal")


def test_a_name_with_this_node_works():
    pid = Server.start(name="named")
    assert call(("named", kernel.node()), "state") == []
    stop(pid)


def test_a_system_message_waits_behind_what_is_queued():
    pid = Server.start()
    for n in range(100):
        send(pid, n)
    assert otp_sys.get_state(pid)["seen"] == list(range(100))
    stop(pid)


def test_a_plain_time_out_is_not_started_anew_by_a_system_message(clock):
    pid = Server.start()
    send_request(pid, "wait")
    clock.advance(6.0)
    otp_sys.get_state(pid)
    clock.advance(4.0)
    assert otp_sys.get_state(pid)["seen"] == [TIMEOUT]
    stop(pid)


def test_hibernate_is_a_status():
    pid = Server.start(NoReply(hibernate=True))
    assert otp_sys.get_status(pid).hibernated
    stop(pid)


def test_a_priority_is_fixed_at_the_start():
    pid = spawn_opt(receive, priority="low")
    assert process_info(pid, "priority") == {"priority": "low"}
    kernel.exit(pid, KILLED)


def test_a_link_to_a_dead_pid_ends_a_caller_that_does_not_trap():
    dead = spawn(lambda: None)
    settle()
    linker = spawn(link, dead)
    ref = monitor(linker)
    down = receive()
    assert (down.ref, down.reason) == (ref, NOPROC)


def test_a_cast_to_nobody_is_silent_and_a_send_is_not():
    cast("nobody", 1)
    with pytest.raises(kernel.BadName):
        send("nobody", 1)


def test_what_is_spawned_aside_outlives_an_application_that_stops_in_order():
    aside = []

    class App(application.Application):
        name = "app"

        def start(self, start_type, config):
            aside.append(spawn(receive))
            return Server.start_link()

    controller = application.start_controller()
    application.ensure_all_started(App)
    application.stop("app", timeout=1.0)
    assert process_info(aside[0], "status") == {"status": "waiting"}
    send(aside[0], "end")
    kernel.unlink(controller)
    stop(controller)
