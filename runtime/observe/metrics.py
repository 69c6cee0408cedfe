"""Metrics for Prometheus: everything is read when it is asked for, from counters that are there anyway.

    text()                       # what /metrics answers: bytes, with CONTENT_TYPE
    add("chat", read)            # an application's own: read() -> [Counter/Gauge families]

Names, units and labels are stable and listed in docs/metrics.md; a test compares. For the node's own nothing is counted on
the way of a message; an application may count what it does (the chat adds to an integer for a commit). A scrape takes some 30 ns for each process there is (the mailboxes' histogram), in slices that let others run,
and a millisecond for the rest.
"""

from __future__ import annotations

import gc
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric,
)  # fmt: skip
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from runtime.observe import failures, snapshot
from runtime.observe.slices import living

__all__ = ["CONTENT_TYPE", "add", "collect", "remove", "text", "values"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_log = logging.getLogger("evergreen.metrics")
_MOST_NAMES = 100
"""Alarms' names that get a series of their own."""
MAILBOX_BUCKETS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Messages."""
Reader = Callable[[], Iterable[Metric]]

# API


def text() -> bytes:
    """Return all metrics in Prometheus' text format. Gives way while it looks; never raises for what cannot be read."""
    return b"".join([_text_of(family) for family in collect()])


def collect() -> Iterator[Metric]:
    """Yield all metric families, the node's and those that were added."""
    yield from _node()
    yield from _mailboxes()
    yield from _supervision()
    yield from _net()
    yield from _store()
    yield from _code()
    yield from _alarms()
    for name, reader in list(_readers.items()):
        try:
            yield from list(reader())
        except Exception:  # noqa: BLE001 - an application's; the others must be seen all the same
            _log.exception("the metrics of %s cannot be read", name)


def values() -> dict[str, float]:
    """Return all samples as {'name{label="value"}': value}: for the shell and the dashboard."""
    found = {}
    for family in collect():
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = float(sample.value)
    return found


def add(name: str, reader: Reader) -> None:
    """Add an application's metrics: `reader()` is called at each scrape; it must not block. Again: in the last one's place."""
    _readers[name] = reader


def remove(name: str) -> None:
    """Undo `add`; for one that is not there: nothing."""
    _readers.pop(name, None)


# Internals

_readers: dict[str, Reader] = {}


def _text_of(family: Metric) -> bytes:
    """One family by itself: what is wrong with it hides no other."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found([family]))
    try:
        try:
            return generate_latest(registry)
        except UnicodeEncodeError:  # half a surrogate pair in a name that somebody gave
            for at, sample in enumerate(family.samples):
                labels = {
                    key: value.encode(errors="replace").decode() for key, value in sample.labels.items()
                }
                family.samples[at] = sample._replace(labels=labels)
            return generate_latest(registry)
    except Exception:  # noqa: BLE001 - an application's
        _log.exception("the metric %s cannot be written", family.name)
        return b""


class _Found:
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def _gauge(name: str, doc: str, value: float) -> Metric:
    return GaugeMetricFamily(f"evergreen_{name}", doc, value=value)


def _counter(name: str, doc: str, value: float) -> Metric:
    return CounterMetricFamily(f"evergreen_{name}", doc, value=value)


def _node() -> Iterator[Metric]:
    now = snapshot.node_summary()
    facts = {
        "node": now["node"],
        "python": now["python"],
        "release": now["release"],
        "life": str(now["creation"]),
    }
    yield InfoMetricFamily("evergreen_node", "The node", value=facts)
    yield _gauge("uptime_seconds", "Since the program began", now["uptime"])
    yield _gauge("processes", "Processes that live", now["processes"])
    yield _counter("processes_spawned", "Processes that were started", now["spawned"])
    yield _counter("process_crashes", "Processes that ended by an exception", now["crashes"])
    yield _counter("process_turns", "Turns that processes had on the run queue", now["turns"])
    yield _counter("messages", "Messages that processes handled", now["messages"])
    yield _gauge("run_queue_processes", "Processes that wait for their turn", now["run_queue"])
    yield _gauge("stacks", "Stacks of processes that are at work or blocked", now["stacks"])
    yield _counter("buried_stacks", "Stacks of dead processes that did not let go", now["zombies"])
    yield _gauge("loop_lag_seconds", "How late a timer was at worst in the last second", now["loop_lag"])
    yield _gauge("thread_jobs", "Jobs that wait for a thread or have one", now["threads_busy"])
    yield _gauge("memory_bytes", "Memory of this program alone", now["memory"])
    yield _gauge("memory_limit_bytes", "Memory that it may use", now["memory_limit"])
    yield _gauge("descriptors", "File descriptors that are open", now["descriptors"])
    yield _gauge("descriptors_limit", "File descriptors that may be open", now["descriptor_limit"])
    yield _gauge("disk_used_ratio", "Part of the data directory's disk that is in use", now["disk_share"])
    yield _counter("cpu_seconds", "Processor time of this program", now["cpu_seconds"])
    collections = CounterMetricFamily(
        "evergreen_gc_collections", "Garbage collections", labels=["generation"]
    )
    for generation, stats in enumerate(gc.get_stats()):
        collections.add_metric([str(generation)], stats["collections"])
    yield collections


def _mailboxes() -> Iterator[Metric]:
    lengths: Counter[int] = Counter()
    total = everybody = longest = 0
    for block in living():
        everybody += len(block)
        for p in block:
            if snapshot.may_have_mail(p):
                length = p.mailbox_length
                lengths[bisect_left(MAILBOX_BUCKETS, length)] += 1
                total += length
                longest = max(longest, length)
    lengths[0] += everybody - lengths.total()
    counts = list(accumulate(lengths[n] for n in range(len(MAILBOX_BUCKETS) + 1)))
    buckets = [(f"{float(le)}", float(n)) for le, n in zip(MAILBOX_BUCKETS, counts, strict=False)]
    yield GaugeHistogramMetricFamily(
        "evergreen_mailbox_messages", "Mailboxes by the messages that wait in them now",
        buckets=[*buckets, ("+Inf", float(counts[-1]))], gsum_value=float(total),
    )  # fmt: skip
    yield _gauge("longest_mailbox_messages", "Messages in the longest mailbox", longest)


def _supervision() -> Iterator[Metric]:
    failed = CounterMetricFamily(
        "evergreen_child_failures",
        "Failures that a supervisor reported, by child",
        labels=["supervisor", "child"],
    )
    for key, child in list(failures.table.items()):
        failed.add_metric([key.supervisor, key.child], child.count)
    yield failed
    running = GaugeMetricFamily(
        "evergreen_application_running", "1: the application runs", labels=["application"]
    )
    for one in snapshot.applications():
        running.add_metric([one.name], float(one.status == "running"))
    yield running


def _net() -> Iterator[Metric]:
    found = snapshot.listeners()
    families: list[tuple[Any, str]] = [
        (GaugeMetricFamily("evergreen_connections", "Open connections", labels=["listener"]), "connections"),
        (GaugeMetricFamily("evergreen_connection_addresses", "Addresses that they come from", labels=["listener"]), "addresses"),
        (CounterMetricFamily("evergreen_connections_accepted", "Connections taken", labels=["listener"]), "accepted"),
        (CounterMetricFamily("evergreen_connections_refused", "Connections refused by a limit", labels=["listener"]), "refused"),
        (CounterMetricFamily("evergreen_connections_failed", "Connections that ended by the peer's fault", labels=["listener"]), "failed"),
    ]  # fmt: skip
    for family, key in families:
        for one in found:
            family.add_metric([one["name"]], one[key])
        yield family


def _store() -> Iterator[Metric]:
    now = snapshot.store_info()
    if not now or "error" in now:
        return
    yield _counter("store_commits", "Commits that were answered", now["answered"])
    yield _counter(
        "store_transactions",
        "Transactions that carried them; commits / transactions: the batch",
        now["groups"],
    )
    yield _counter(
        "store_writer_restarts", "Writers that were started in place of a dead one", now["writer_restarts"]
    )
    yield _gauge("store_pending_commits", "Commits without an answer", now["pending"])
    yield _gauge("store_pending_bytes", "Their bytes", now["pending_bytes"])
    yield _gauge(
        "store_commit_latency_seconds", "From sending to durable, of a commit a moment ago", now["latency"]
    )
    yield _gauge(
        "store_stalled_seconds", "How long nothing was answered although something waits", now["stalled"]
    )
    yield _gauge("store_full", "1: writes are refused for want of space", float(now["full"]))
    yield _gauge("store_used_bytes", "Bytes of the file that are in use", now["used"])
    yield _gauge("store_map_bytes", "The file's limit at the moment; it grows by itself", now["map_size"])


def _code() -> Iterator[Metric]:
    found = snapshot.releases(10_000)
    if not found:
        return
    kinds = Counter((one.kind, one.result) for one in found)
    kept = GaugeMetricFamily("evergreen_releases", "Releases in the release log", labels=["kind", "result"])
    for (kind, result), count in sorted(kinds.items()):
        kept.add_metric([kind, result], count)
    yield kept
    yield _gauge("release_number", "The number of the newest release", found[0].number)
    last = GaugeMetricFamily(
        "evergreen_release_seconds", "What the running release took, by step", labels=["step"]
    )
    for one in found:
        if one.is_current:
            for step, seconds in one.seconds.items():
                last.add_metric([step], seconds)
    yield last


def _alarms() -> Iterator[Metric]:
    up = Counter(snapshot.alarm_counts())
    family = GaugeMetricFamily("evergreen_alarms", "Alarms that are up", labels=["name", "level"])
    shown = up.most_common(_MOST_NAMES)
    for (name, level), count in sorted(shown):
        family.add_metric([name, level], count)
    if len(up) > len(shown):  # an application may give each alarm a name of its own
        family.add_metric(["others", ""], up.total() - sum(count for _, count in shown))
    yield family
