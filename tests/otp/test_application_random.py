"""Applications under random starts, stops and deaths, by several at once: what must hold when all is quiet again."""

from __future__ import annotations

import random

import pytest

from runtime import kernel
from runtime.kernel import (
    TIMEOUT,
    Down,
    ProcessExit,
    exit,
    is_alive,
    receive,
    self_,
    spawn_monitor,
    trap_exit,
    whereis,
)
from runtime.otp import GenServer, Stop, application
from runtime.otp.application import Application, ApplicationError, NodeEnds
from runtime.testing import settle


class Top(GenServer):
    def init(self, turns):
        trap_exit(True)
        self.turns = turns

    def handle_info(self, message):
        return Stop(message)

    def terminate(self, reason):
        for _ in range(self.turns):
            kernel.yield_()


def make(name, needs, chance):
    def start(self, start_type, config):
        for _ in range(chance.randint(0, 4)):
            kernel.yield_()
        if chance.random() < 0.15:
            raise ProcessExit("no luck")
        return Top.start_link(chance.randint(0, 5), name=f"{name}_top")

    def stop(self, state):
        if chance.random() < 0.2:
            raise ValueError("stop fails")

    return type(name, (Application,), {"name": name, "applications": needs, "start": start, "stop": stop})


def somebody(classes, chance):
    for _ in range(10):
        cls = chance.choice(classes)
        try:
            match chance.choice(["ensure", "ensure", "stop", "kill", "unload"]):
                case "ensure":
                    application.ensure_all_started(cls)
                case "stop":
                    application.stop(cls.name, chance.choice([None, 0, 1.0]))
                case "kill":
                    top = whereis(f"{cls.name}_top")
                    if top is not None:
                        exit(top, chance.choice(["kill", "boom", "shutdown"]))
                case "unload":
                    application.unload(cls.name)
        except ApplicationError:
            pass
        kernel.yield_()


@pytest.mark.parametrize("seed", range(8))
def test_what_holds_when_all_is_quiet(seed, caplog):
    """Running means: in order, with a living master and top. Nobody waits for an answer, and no timer is left."""
    caplog.set_level("CRITICAL")
    trap_exit(True)
    chance = random.Random(seed)
    controller = application.start_controller(self_())
    a = make("a", (), chance)
    b = make("b", (a,), chance)
    classes = [a, b, make("c", (a, b), chance), make("d", (), chance)]
    left = {spawn_monitor(somebody, classes, random.Random(f"{seed} {n}"))[0] for n in range(6)}
    while left:
        message = receive(20)
        assert message is not TIMEOUT, f"{left} wait for ever"
        assert type(message) is not NodeEnds  # all are temporary
        if type(message) is Down:
            assert message.reason == "normal"
            left.discard(message.pid)
    settle()
    state = controller.behaviour
    for name, entry in state.loaded.items():
        assert entry.status in ("running", "loaded")
        assert (name in state.order) == (entry.master is not None) == (entry.status == "running")
        assert not entry.starters
        assert not entry.stoppers
        if entry.master is None:
            assert entry.timer is None
            assert whereis(f"{name}_top") is None
        else:
            assert is_alive(entry.master)
            assert is_alive(entry.top)
    application.stop_all(5.0)
    kernel.unlink(controller)
    exit(controller, "shutdown")
    settle()
