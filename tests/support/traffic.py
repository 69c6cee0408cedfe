"""People who chat with each other through a node, and an account of what each of them saw.

Every person is the real client with its profile on disk. What is checked at the end is what the
issue promises: every message exactly once to the user's eye, in order per pair, and ✓✓ to each sender.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.chat.client.client import Client
from apps.chat.client.events import Repeated
from apps.chat.native.frames import Accepted, Deliver, Ready
from tests.support.node import Node, close_client, number

__all__ = ["Traffic"]


class Traffic:
    """`count` people on `node`, everybody writing to the next one (and back)."""

    def __init__(self, node: Node, directory: Path, count: int = 4, first: int = 0, seed: int = 1) -> None:
        self.node = node
        self.directory = directory
        self.rng = random.Random(seed)
        self.numbers = [number(first + n) for n in range(count)]
        self.profiles = [directory / f"person{first + n}" for n in range(count)]
        for profile, phone in zip(self.profiles, self.numbers, strict=True):
            node.register(profile, phone)
        self.clients: list[Client] = [node.client(profile, rng=self.rng) for profile in self.profiles]
        self.sent: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.shown: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.accepted = self.repeated = self.resumed = self.logged_in = 0
        self.window = 20
        self.is_sending = False
        self.absent: set[int] = set()
        self.log: list[Any] = []

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for client in self.clients:
            close_client(client)
        self.clients = []

    def send(self, a: int, b: int, text: str | None = None) -> None:
        """One message from person a to person b."""
        pair = (self.numbers[a], self.numbers[b])
        body = text or f"{a}>{b} {len(self.sent[pair])} {'x' * self.rng.randrange(200)}"
        self.sent[pair].append(body)
        self.clients[a].send(self.numbers[b], body)

    def turn(self) -> None:
        """Everybody does what there is to do, and writes something more while `is_sending`."""
        self._wait(0.02)
        for index, client in enumerate(self.clients):
            if index in self.absent:
                continue
            if self.is_sending:
                count = len(self.clients)
                while len(client.session.outbox) < self.window:
                    self.send(index, (index + self.rng.choice((1, count - 1))) % count)
            self._digest(index, client.step(0.0))

    def run(self, done: Callable[[], Any], limit: float = 30.0) -> None:
        """Turn until `done()`. AssertionError with the state of things after `limit` seconds."""
        end = time.monotonic() + limit
        while not done():
            assert time.monotonic() < end, f"not within {limit} s: {self.state()}\n{self.node.last_words()}"
            self.turn()

    def connect(self) -> None:
        """Everybody is logged in."""
        for client in self.clients:
            client.hurry()
        self.run(
            lambda: all(client.is_ready for n, client in enumerate(self.clients) if n not in self.absent)
        )

    def leave(self, index: int) -> None:
        """Person `index` goes away until `come_back`; messages for them wait at the server."""
        self.absent.add(index)
        self.clients[index].close()

    def come_back(self, index: int) -> None:
        self.absent.discard(index)
        self.clients[index].hurry()

    def load(self, messages: int, limit: float = 30.0) -> None:
        """Send until so many more messages are accepted; leaves with messages under way."""
        goal = self.accepted + messages
        self.is_sending = True
        try:
            self.run(lambda: self.accepted >= goal, limit)
        finally:
            self.is_sending = False

    def quiesce(self, limit: float = 40.0) -> None:
        """Wait until everything sent is accepted, shown and confirmed as delivered."""
        for client in self.clients:
            client.hurry()
        self.run(self.is_quiet, limit)

    def is_quiet(self) -> bool:
        return (
            all(not client.profile.outbox for client in self.clients)
            and all(len(self.shown[pair]) >= len(sent) for pair, sent in self.sent.items())
            and all(
                entry.state in ("delivered", "read")
                for client in self.clients
                for entry in reversed(client.profile.entries)
                if entry.mine
            )
        )

    def verify(self) -> None:
        """Exactly once, in order, and every sender knows."""
        people = set(self.numbers)  # what strangers send may arrive, too
        for pair in {pair for pair in (*self.sent, *self.shown) if people.issuperset(pair)}:
            assert self.shown[pair] == self.sent[pair], self._difference(pair)
        for client in self.clients:
            states = {entry.state for entry in client.profile.entries if entry.mine}
            assert states <= {"delivered", "read"}, states

    def state(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "sent": sum(map(len, self.sent.values())),
            "shown": sum(map(len, self.shown.values())),
            "outbox": [len(client.profile.outbox) for client in self.clients],
            "session": [client.session.state.value for client in self.clients],
            "stopped": [client.stopped for client in self.clients],
            "undelivered": [
                sum(e.mine and e.state == "accepted" for e in c.profile.entries) for c in self.clients
            ],
            "log": self.log[-8:],
        }

    # internals

    def _wait(self, timeout: float) -> None:
        fds = [fd for client in self.clients if (fd := client.fileno()) is not None]
        writers = [
            fd for client in self.clients if (fd := client.fileno()) is not None and client.interest() & 2
        ]
        with contextlib.suppress(OSError):
            select.select(fds, writers, [], 0 if self.is_sending else timeout)

    def _digest(self, index: int, news: list[Any]) -> None:
        client = self.clients[index]
        for item in news:
            match item.event:
                case Accepted():
                    self.accepted += 1
                case Repeated():
                    self.repeated += 1
                case Ready():
                    self.resumed += item.event.resumed
                    self.logged_in += not item.event.resumed
                case Deliver():
                    pass
                case other:
                    self.log.append(other)
                    del self.log[:-50]
        fresh = client.profile.unshown()
        if fresh:
            client.profile.mark_shown(fresh)
            for entry in fresh:
                self.shown[entry.with_, self.numbers[index]].append(entry.text)

    def _difference(self, pair: tuple[str, str]) -> str:
        sent, shown = self.sent[pair], self.shown[pair]
        lost = [text[:30] for text in sent if text not in set(shown)]
        twice = [text[:30] for text in set(shown) if shown.count(text) > 1]
        first = next(
            (n for n, (a, b) in enumerate(zip(sent, shown, strict=False)) if a != b),
            min(len(sent), len(shown)),
        )
        return f"{pair}: lost {lost[:5]} ({len(lost)}), twice {twice[:5]} ({len(twice)}), first difference at {first}, pid {os.getpid()}"
