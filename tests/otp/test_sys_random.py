"""Servers and machines under random messages and system messages: nothing lost, nothing answered wrongly, nothing left."""

from __future__ import annotations

import random

import pytest

from runtime import kernel
from runtime.kernel import call, cast, is_alive, send
from runtime.otp import GenServer, Reply, proc_lib, send_request, state_machine, sys, sys_debug, wait_response
from runtime.otp.state_machine import EventTimeout, GenStateMachine, Hibernate, Keep, NextState


class Server(GenServer):
    def init(self):
        self.n = 0

    def handle_call(self, request, sender):
        self.n += 1
        return Reply(self.n, timeout=1000.0 if request == "time" else None, hibernate=request == "hibernate")

    def handle_cast(self, request):
        self.n += 1

    def handle_info(self, message):
        self.n += 1

    def code_change(self, old, extra):
        if extra == "bad":
            raise ValueError(extra)


class Machine(GenStateMachine):
    def init(self):
        self.n = 0
        return NextState("a")

    def a(self, kind, content):
        self.n += 1
        if kind.__class__ is not state_machine.Call:
            return Keep()
        more = {"time": [EventTimeout(1000.0, "late")], "hibernate": [Hibernate()]}.get(content, [])
        return NextState("b" if content == "time" else "a", state_machine.Reply(kind, self.n), *more)

    b = a

    def code_change(self, old, extra):
        if extra == "bad":
            raise ValueError(extra)


def fails(*_):
    raise ValueError("fails")


def system(pid, chance, path, suspended):
    """Send one system message, but for suspend and resume."""
    on = chance.random() < 0.5
    match chance.choice(["log", "bad", "good", "trace", "off", "file", "count", "look", "replace", "code"]):
        case "log":
            sys.log(pid, chance.choice([0, 3, True]))
        case "bad":
            sys.install(pid, fails, id=chance.choice("xyz"))
        case "good":
            sys.install(pid, lambda *_: sys.DONE if chance.random() < 0.3 else None, id=chance.choice("xyz"))
        case "trace":
            sys.trace(pid, on)
        case "off":
            sys.no_debug(pid)
        case "file":
            sys.log_to_file(pid, path if on else None)
        case "count":
            sys.statistics(pid, on)
        case "look":
            assert sys.get_status(pid).status == ("suspended" if suspended else "running")
            sys.get_log(pid)
            sys.get_statistics(pid)
        case "replace":
            with pytest.raises(sys.CallbackFailed):
                sys.replace_state(pid, fails)
        case "code":
            wrong = sys.CallbackFailed if suspended else sys.NotSuspended
            with pytest.raises(wrong):
                sys.change_code(pid, "m", None, "bad")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cls", [Server, Machine])
def test_nothing_is_lost_whatever_system_messages_come(cls, seed, tmp_path, monkeypatch, caplog):
    """sys: every message is handled once and in order, also after a suspension, whatever option is on or fails."""
    caplog.set_level("CRITICAL")
    monkeypatch.setattr(sys_debug, "print_line", lambda _line: None)
    chance = random.Random(f"{cls} {seed}")
    pid = cls.start(debug=["log", ("install", fails)] if seed % 2 else None)
    handled, waiting, suspended = 0, [], False
    for _ in range(150):
        what = chance.choice(["call", "call", "cast", "info", "hold", "sys", "sys", "run"])
        handled += what in ("call", "cast", "info")
        if what == "call":
            waiting.append((send_request(pid, chance.choice(["time", "hibernate", "plain"])), handled))
        elif what == "cast":
            cast(pid, "cast")
        elif what == "info":
            send(pid, "info")
        elif what == "hold":
            (sys.resume if suspended else sys.suspend)(pid)
            suspended = not suspended
        elif what == "sys":
            system(pid, chance, tmp_path / "events", suspended)
        else:
            kernel.yield_()
        assert is_alive(pid)
        if not suspended:
            assert [wait_response(request, 5) for request, _ in waiting] == [n for _, n in waiting]
            waiting = []
    sys.resume(pid)
    sys.no_debug(pid)
    assert [wait_response(request, 5) for request, _ in waiting] == [n for _, n in waiting]
    assert call(pid, "plain") == handled + 1
    assert pid.control is None if cls is Server else not pid.control.unusual
    proc_lib.stop(pid)
