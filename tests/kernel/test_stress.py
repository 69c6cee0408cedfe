"""Everything at once, seeded: blocking and killing in every state, beside a simple model.

The model: a message from a sender to a receiver that lives to the end is handled exactly once, in the order sent; every
call ends exactly once, by its answer or an error; nobody starves; when all is over the tables are empty.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import gevent
import pytest

from runtime.kernel import (
    KILL,
    TIMEOUT,
    Call,
    CallError,
    Down,
    Exit,
    Killed,
    ProcessExit,
    call,
    check_invariants,
    exit,
    is_alive,
    link,
    monitor,
    receive,
    receive_match,
    receive_response,
    reply,
    request,
    scheduler,
    self_,
    send,
    send_after,
    sleep,
    spawn,
    spawn_callback,
    spawn_opt,
    trap_exit,
    yield_,
)
from runtime.kernel.clock import after
from runtime.testing import settle

SERVERS, VICTIMS, CLIENTS, STEPS = 6, 12, 12, 60


class World:
    """What is written down: what every client sent to every server, and what every server handled."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.servers: list[Any] = []
        self.victims: list[Any] = []
        self.all_victims: list[Any] = []
        self.sent: dict[tuple[int, Any], int] = defaultdict(int)
        self.handled: dict[tuple[int, Any], list[int]] = defaultdict(list)
        self.calls = 0
        self.answers = 0
        self.running: set[Any] = set()


class Server:
    """Lives to the end. Blocks in its callbacks in all ways, and takes mail selectively there."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index

    def on_message(self, process: Any, message: Any) -> None:
        world, rng = self.world, self.world.rng
        assert process not in world.running, "one process is run twice at a time"
        world.running.add(process)
        try:
            self.handle(message)
            block(world, self.index)
            if rng.random() < 0.2:
                early = receive_match(lambda m: m.__class__ is Call, 0)
                if early is not TIMEOUT:
                    self.handle(early)
        finally:
            world.running.discard(process)

    def handle(self, message: Any) -> None:
        if message.__class__ is Call:
            if message.request == "last" or self.world.rng.random() < 0.8:
                reply(message, message.request)
                reply(message, "twice")  # must vanish
        elif isinstance(message, tuple) and message[0] == "n":
            _, sender, number = message
            self.world.handled[self.index, sender].append(number)


def block(world: World, below: int) -> None:
    """Wait in one of all the ways; servers only call those below them, so that no circle comes about."""
    rng = world.rng
    kind = rng.randrange(9)
    try:
        if kind == 0:
            yield_()
        elif kind == 1:
            gevent.sleep(0)
        elif kind == 2:
            gevent.sleep(0.0005)
        elif kind == 3:
            sleep(0.0005)
        elif kind == 4 and below:
            call(world.servers[rng.randrange(below)], "b", 0.002)
        elif kind == 5 and below:
            with gevent.Timeout(0.001, False):
                call(world.servers[rng.randrange(below)], "c", None)
        elif kind == 6:
            receive_match(lambda m: m == "never", 0.0003)
    except CallError:
        pass


def client(world: World, index: int, done: Any) -> None:
    """Send, call and kill at random; its own messages to each server are numbered."""
    rng = world.rng
    me = self_()
    trap_exit(True)
    for _ in range(STEPS):
        target = rng.randrange(SERVERS)
        for _ in range(rng.randrange(1, 5)):
            number = world.sent[target, index]
            world.sent[target, index] += 1
            send(world.servers[target], ("n", index, number))
        kind = rng.randrange(8)
        if kind < 2:
            world.calls += 1
            try:
                assert call(world.servers[target], ("q", index), rng.choice([0.001, 0.05])) == ("q", index)
            except CallError as error:
                assert error.reason == "timeout"
            world.answers += 1
        elif kind == 2:
            answer = None
            try:
                answer = receive_response(request(world.servers[target], index), 0.002)
            except CallError:
                raise AssertionError("the servers live") from None
            assert answer in (index, TIMEOUT)
        elif kind == 3:
            victim = rng.choice(world.victims)
            rng.choice([exit, lambda v, r: after(0.0, exit, v, r), monitor_and_kill])(
                victim, rng.choice([KILL, "boom"])
            )
        elif kind == 4:
            world.victims[rng.randrange(VICTIMS)] = new_victim(world)
        elif kind == 5:
            victim = rng.choice(world.victims)
            link(victim)
        elif kind == 6:
            send_after(0.0005, me, "tick")
            send(me, "self")
        else:
            block(world, SERVERS)
        while (message := receive(0)) is not TIMEOUT:
            assert message in ("tick", "self") or message.__class__ in (Down, Exit)
    send(done, ("done", index))


def monitor_and_kill(victim: Any, reason: Any) -> None:
    monitor(victim)
    exit(victim, reason)


def new_victim(world: World) -> Any:
    """A process that is killed in whatever state it is in; some clean up, some are of low or high priority."""

    def body() -> None:
        while True:
            try:
                block(world, SERVERS)
                receive(0.001)
            except Killed:
                if world.rng.random() < 0.3:
                    sleep(1)  # a blocking cleanup: thrown out again
                raise
            if world.rng.random() < 0.02:
                raise ProcessExit("tired")

    pid = spawn_opt(body, priority=world.rng.choice(["low", "normal", "high"]))
    world.all_victims.append(pid)
    return pid


@pytest.mark.parametrize("seed", range(6))
def test_everything_at_once(seed: int) -> None:
    zombies = scheduler.Stat.zombies
    world = World(seed)
    for index in range(SERVERS):
        options: Any = {"priority": world.rng.choice(["low", "normal", "high"]), "name": f"stress_{index}"}
        world.servers.append(spawn_callback(Server(world, index), **options))
    world.victims += [new_victim(world) for _ in range(VICTIMS)]
    clients = [spawn(client, world, index, self_()) for index in range(CLIENTS)]
    for _ in clients:
        message = receive(20)
        assert message is not TIMEOUT, "somebody starves or was never woken"
    for victim in world.all_victims:
        exit(victim, KILL)
    for server in world.servers:  # a call behind all the mail
        assert call(server, "last", 20) == "last"
    while any(server.g is not None for server in world.servers):  # it blocks after its answer, too
        sleep(0.001)
    settle()
    check_invariants()
    assert all(is_alive(server) for server in world.servers)
    for (target, sender), count in world.sent.items():
        assert world.handled[target, sender] == list(range(count))
    assert world.answers == world.calls
    for server in world.servers:
        assert not server.monitored_by
        assert not server.monitors
        exit(server, KILL)
    sleep(0.002)  # the hub throws out those that wait in gevent
    settle()
    assert scheduler.Stat.zombies == zombies
