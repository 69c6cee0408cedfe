"""The chat's own metrics, for `runtime.observe.metrics`: its counters, and what can be seen of sessions and queues now.

Names, units and labels are listed in docs/metrics.md and stay; a test compares. A scrape looks at each connection and each
user process once, some 200 ns each, in slices that let others run; the rest is reading integers. What waits in the store is
counted aside (`waiting`), by a process of low priority, for at most a hundredth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from apps.chat import waiting
from apps.chat.domain.counters import BUCKETS, Counters, counters
from apps.chat.native.dialogue import READY
from apps.chat.waiting import Waiting
from runtime.kernel import Process, clock, spawn_opt
from runtime.observe import metrics
from runtime.observe.probes import connection_owners
from runtime.observe.slices import sliced
from runtime.store.contract import StoreError

if TYPE_CHECKING:
    from apps.chat.domain.homes import Homes

__all__ = ["ChatMetrics"]

_NAME = "chat"
_PAUSE = 15.0
"""Seconds between two counts of what waits in the store, at least."""


class ChatMetrics:
    """The metrics of one running chat; the counters go on from one to the next."""

    # Of the class, for instances that were made before there were such fields.
    _waiting: Waiting | None = None
    _counting: Process | None = None
    _due = 0.0

    def __init__(self, homes: Homes, listener: str) -> None:
        self._homes = homes
        self._listener = listener

    def offer(self) -> None:
        """Enter them; `withdraw` takes them out again."""
        metrics.add(_NAME, self.read)

    @staticmethod
    def withdraw() -> None:
        """Take them out."""
        metrics.remove(_NAME)

    def read(self) -> Iterator[Metric]:
        """Yield all families. Gives way while it looks."""
        yield _gauge("connected_devices", "Devices that are logged in and connected", self._devices())
        users, waiting = self._queues()
        yield _gauge("user_processes", "Users whose process runs", users)
        yield _gauge(
            "waiting_entries", "Messages and receipts that wait for the devices of these users", waiting
        )
        self._count_again()
        if self._waiting is not None:
            yield _gauge(
                "stored_entries", "Messages and receipts that wait in the store, of all users, when last counted", self._waiting.entries,
            )  # fmt: skip
            yield _gauge(
                "stored_queues", "Users for whom something waits, when last counted", self._waiting.users
            )
        yield from _counted(counters)

    # internals

    def _count_again(self) -> None:
        """Begin to count, if the last time is long enough ago."""
        if clock.now() >= self._due and (self._counting is None or not self._counting.alive):
            self._counting = spawn_opt(self._count, priority="low", label="counts what waits in the store")

    def _count(self) -> None:
        try:
            self._waiting = found = waiting.count(self._homes.shards)
        except StoreError:  # it has alarms of its own
            self._waiting = None
            self._due = clock.now() + _PAUSE
            return
        self._due = clock.now() + max(_PAUSE, 100 * found.seconds)

    def _devices(self) -> int:
        ready = 0
        for owner in connection_owners():
            if owner.name == self._listener:
                for conn in sliced(list(owner.table)):
                    dialogue = getattr(getattr(conn, "protocol", None), "dialogue", None)
                    ready += getattr(dialogue, "state", "") is READY
        return ready

    def _queues(self) -> tuple[int, int]:
        users = waiting = 0
        for pid in sliced(self._homes.processes):
            if pid.alive:
                users += 1
                queue = getattr(pid.behaviour, "queue", None)  # None: it is about to begin
                waiting += queue.queued if queue is not None else 0
        return users, waiting


# Internals

# From 0 on: a series that begins with its first event has no rate of it.
_PIN = ("bad_number", "throttled", "unavailable")
_REGISTRATION = ("bad_number", "bad_pin", "throttled", "unavailable")
_LOGIN = (
    ("login", "auth_failed"), ("login", "busy"), ("login", "throttled"), ("login", "unavailable"), ("resume", "bad_token"), ("resume", "busy"),
    ("resume", "unavailable"),
)  # fmt: skip
_MESSAGE = ("no_such_user", "queue_full", "too_big", "unavailable")


def _counted(now: Counters) -> Iterator[Metric]:
    yield _counter("pins", "PINs that were sent out", now.pins)
    yield _by_reason("pins_refused", "Requests for a PIN that were refused", now.pins_refused, _PIN)
    yield _counter("registrations", "Accounts that a device has registered for", now.registered)
    yield _by_reason(
        "registrations_refused", "Registrations that were refused", now.registrations_refused, _REGISTRATION
    )
    logins = CounterMetricFamily("chat_logins", "Logins by key and resumed sessions", labels=["kind"])
    for kind in ("login", "resume"):
        logins.add_metric([kind], now.logins[kind])
    yield logins
    refused = CounterMetricFamily(
        "chat_logins_refused", "Logins that were refused", labels=["kind", "reason"]
    )
    for (kind, reason), count in sorted({**dict.fromkeys(_LOGIN, 0), **now.logins_refused}.items()):
        refused.add_metric([kind, reason], count)
    yield refused
    yield _counter("messages_accepted", "Messages that were taken: durable, one check mark", now.accepted)
    yield _counter(
        "messages_delivered", "Messages that a device has acknowledged: two check marks", now.delivered
    )
    yield _counter("messages_read", "Messages that a reader has marked as read", now.read)
    yield _by_reason("messages_refused", "Messages that were refused", now.refused, _MESSAGE)
    yield _counter("messages_set_aside", "Messages that no device would acknowledge", now.set_aside)
    yield _latency(now)


def _latency(now: Counters) -> Metric:
    counts = list(accumulate(now.waits))
    buckets = [(f"{2**n / 1000}", float(counts[n])) for n in range(BUCKETS)]
    return HistogramMetricFamily(
        "chat_delivery_latency_seconds", "From accepted to acknowledged by the device",
        buckets=[*buckets, ("+Inf", float(counts[-1]))], sum_value=now.waited_ms / 1000,
    )  # fmt: skip


def _gauge(name: str, doc: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chat_{name}", doc, value=value)


def _counter(name: str, doc: str, value: float) -> Metric:
    return CounterMetricFamily(f"chat_{name}", doc, value=value)


def _by_reason(name: str, doc: str, counts: Mapping[str, int], known: Iterable[str]) -> Metric:
    family = CounterMetricFamily(f"chat_{name}", doc, labels=["reason"])
    for reason, count in sorted({**dict.fromkeys(known, 0), **counts}.items()):
        family.add_metric([reason], count)
    return family
