"""People whose every frame is counted on the wire, below the client's own protection against what comes twice.

What must hold at the end of a test: one connection each for all of it; each client id accepted once, with a message id of
its own; each message id delivered once, at the first attempt; each reported as delivered to its sender once.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from apps.chat.client.events import Repeated, TokenRenewed
from apps.chat.native.frames import Accepted, Backlog, BacklogEnd, Deliver, Receipt, Refused
from tests.support.traffic import Traffic
from tests.upgrade.site import Site

__all__ = ["Counted"]


class Counted(Traffic):
    """`count` people who never stop writing while something is done (`during`)."""

    def __init__(self, site: Site, directory: Path, count: int = 6, seed: int = 1) -> None:
        super().__init__(site.node, directory, count, seed=seed)
        self.site = site
        self.client_ids: Counter[bytes] = Counter()
        self.message_ids: Counter[int] = Counter()
        self.delivered: Counter[int] = Counter()
        self.receipts: Counter[int] = Counter()
        self.attempts = 0
        self.wrong: list[Any] = []
        self.window = 8
        self.connect()
        self.log.clear()

    def during(self, fn: Any, *args: Any, messages: int = 30, limit: float = 60.0) -> Any:
        """Do it while everybody writes, and some messages more after that; return what it returns, or raise."""
        self.load(messages)
        done: Future[Any] = self.site.aside(fn, *args)
        self.is_sending = True
        try:
            self.run(done.done, limit)
        finally:
            self.is_sending = False
        self.load(messages)
        return done.result()

    def until(self, condition: Any, limit: float = 30.0) -> None:
        """Write until the condition holds."""
        self.is_sending = True
        try:
            self.run(condition, limit)
        finally:
            self.is_sending = False

    def settle(self, *, receipts_once: bool = True, attempts: int = 1) -> None:
        """Let all arrive and hold the count against what must be. After crashes a receipt may come twice."""
        self.quiesce()
        self.verify()
        sent = sum(map(len, self.sent.values()))
        assert not self.wrong, self.wrong[:5]
        log = [
            event for event in self.log if not isinstance(event, TokenRenewed)
        ]  # that one comes in long runs
        assert not log, log[:5]
        assert [client.connections for client in self.clients] == [1] * len(self.clients)
        assert self.repeated == 0
        for what in (self.client_ids, self.message_ids, self.delivered):
            assert len(what) == sent, (len(what), sent)
            assert set(what.values()) <= {1}, what.most_common(3)
        assert self.delivered.keys() == self.message_ids.keys() == self.receipts.keys()
        assert self.attempts <= attempts
        if receipts_once:
            assert set(self.receipts.values()) <= {1}, self.receipts.most_common(3)

    def state(self) -> dict[str, Any]:
        """What `run` says when it waits in vain."""
        known, given = set(self.message_ids), set(self.delivered)
        return {
            **super().state(),
            "repeated": self.repeated,
            "wrong": self.wrong[:5],
            "never delivered": sorted(known - given)[:5],
            "delivered and never accepted": sorted(given - known)[:5],
            "twice": [
                (name, what.most_common(2)) for name, what in vars(self).items() if isinstance(what, Counter)
            ],
        }

    def _digest(self, index: int, news: list[Any]) -> None:
        kept = []
        for item in news:
            match item.event:
                case Accepted(id=client_id, message=message):
                    self.client_ids[client_id] += 1
                    self.message_ids[message] += 1
                case Deliver(message=message, attempt=attempt):
                    self.delivered[message] += 1
                    self.attempts = max(self.attempts, attempt)
                case Receipt(messages=messages, status="delivered"):
                    self.receipts.update(messages)
                    continue
                case Backlog() | BacklogEnd():
                    continue  # at a login, and when another user process takes over
                case Refused() | Repeated():
                    self.wrong.append(item.event)
            kept.append(item)
        super()._digest(index, kept)
