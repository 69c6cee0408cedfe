"""The system monitor: looks at the node's health every second, hears what the kernel, the store and the listeners have to
say, and keeps the alarms of all of that.

| alarm id                        | up when                                             | over when                     |
|---------------------------------|-----------------------------------------------------|-------------------------------|
| (long_message_queue, pid)       | its mailbox passed its high watermark               | at the low one, or it is dead |
| (long_message_queue, others)    | more than a hundred of them are                     | they are not                  |
| (long_schedule, pid)            | it computed for `runtime.hog_warn` without a pause  | not again for `event_for`     |
| zombies                         | a dead process did not let go of its stack          | not again for `event_for`     |
| loop_lag                        | a timer was `lag_high` late                         | below `lag_low`               |
| run_queue                       | that many processes waited to run                   | below `run_queue_low`         |
| large_memory                    | the program holds that share of what it may         | below `memory_low`            |
| descriptors                     | that share of the file descriptors is in use        | below `descriptors_low`       |
| (disk, path)                    | that share of the data directory's disk is in use   | below `disk_low`              |
| busy_connections                | that many connections' write queues are too long    | fewer                         |
| store_stalled                   | commits wait, none is answered for `store_stalled`  | the next answer came          |
| store_slow                      | a commit took `latency_high`                        | `latency_low`, or none waits  |
| threads                         | that many jobs wait for a thread, or have one       | down to `threads_low`         |
| (crash_loop, supervisor, child) | it failed `restarts` times in `restarts_within`     | fewer                         |
| (certificate, path)             | a listener's certificate ends in `certificate_left` | it was replaced               |
| (store_..., path)               | the store says so (runtime.store.hooks)             | it says so                    |
| (net, listener, kind)           | a listener says so (runtime.net.alarms)             | it says so                    |

Not by this process, but in the same list: (alarm_sender, place), while alarms do not get there (`alarm_sender`).

Here is what is looked at, and heard; what becomes of an alarm then is in `sysmon_alarms`: it is cleared only when its cause has
been away for `hold` seconds, so what flaps is raised once and cleared once.
Any process can hear of each rise and fall itself: `subscribe` sends it SystemMonitor(kind, pid, info).

Source: OTP erlang:system_monitor/2 (long_schedule, large_heap, busy_port, long_message_queue), os_mon.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import KILL, Down, Process, Timeout, clock, send
from runtime.observe import busy, failures, probes
from runtime.observe.disk_probe import DiskSeen, probe_disk
from runtime.observe.sources import Hog, LongMailbox, Said, Zombie, listen
from runtime.observe.sysmon_alarms import Raised
from runtime.observe.sysmon_types import Figures, Limits, SystemMonitor
from runtime.otp.gen_server import GenServer
from runtime.store.contract import StoreError
from runtime.store.lmdb_engine import store_of

__all__ = ["NAME", "Figures", "Limits", "SystemMonitor", "Sysmon", "configure", "figures", "subscribe", "unsubscribe"]  # fmt: skip

NAME = "sysmon"
_MAX_NAMED = 5
"""Connections and processes that a description names."""
_MAX_MAILBOXES = 100
"""Mailboxes with an alarm of their own; one more alarm counts the others."""

# --------------------------------------------------------------------------------------------------------- types


class Sysmon(GenServer):
    """The process `sysmon`. One per node. `path`: whose disk it watches; `store`: the store's registered name."""

    def init(self, limits: Limits | None = None, path: str = "", store: str = "store") -> None:
        self.limits = limits or Limits()
        self.path = path
        self.store = store
        self.raised = Raised(self.limits, self._publish)
        self.long: dict[Process, None] = {}
        """The long mailboxes, the first ones first."""
        self.subscribers: dict[Any, tuple[Any, frozenset[str] | None]] = {}
        self.seen = Figures()
        probes.memory()  # opens what it reads while there are descriptors
        self.busy = probes.BusyConnections()
        self.sampler = probes.Sampler()
        self.probe: Any = None
        """The process that asks the disk, while it does."""
        self.tick: Any = None
        self.disk_due = clock.now()
        self.groups = 0
        """The store's transactions up to the last look."""
        self.raised.adopt()
        self._find_long()
        failures.install()
        busy.install()
        self.hooks = listen(kernel.self_())
        self.sampler.start()
        self._arm()

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: nobody calls on it any more. (From the kernel: must not block.)"""
        if not hasattr(self, "hooks"):
            return  # it ended before it had begun
        failures.remove()
        busy.remove()
        self.sampler.stop()
        if self.tick is not None:
            kernel.cancel_timer(self.tick)
        if self.probe is not None:
            kernel.exit(self.probe, KILL)
        for listeners, listener in self.hooks:
            listeners.remove(listener)

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "figures":
            return self.seen
        if request.__class__ is _Subscribe:
            self._unsubscribe(request.pid)
            ref = kernel.monitor(request.pid)
            self.subscribers[request.pid] = (ref, request.kinds)
            return None
        if request.__class__ is _Unsubscribe:
            return self._unsubscribe(request.pid)
        raise ValueError(f"unknown request {request!r}")

    def handle_cast(self, request: Any) -> None:
        if request.__class__ is Limits:
            self.limits = self.raised.limits = request
            self.disk_due = clock.now()
            self._arm()

    def handle_info(self, message: Any) -> None:
        kind = message.__class__
        if kind is Timeout and message.ref is self.tick:
            self._look()
            self._arm()
        elif kind is LongMailbox:
            if message.high:
                self.long[message.pid] = None
            else:
                self._short(message.pid)
        elif kind is Hog:
            self._hog(message.report)
        elif kind is Zombie:
            self.raised.happened(
                "zombies", "zombie", message.pid, _ZOMBIE.format(message.pid, probes.buried()), {}
            )
        elif kind is Said:
            self._said(message)
        elif kind is DiskSeen:
            self._disk(message)
        elif kind is Down:
            if message.ref is self.raised.keeper:
                self.raised.keeper = None
            elif message.pid is self.probe:
                self.probe = None
            else:
                self.subscribers = {p: s for p, s in self.subscribers.items() if s[0] is not message.ref}

    # ------------------------------------------------------------------------------------------------ internals

    def _arm(self) -> None:
        if self.tick is not None:
            kernel.cancel_timer(self.tick)
        self.tick = kernel.start_timer(self.limits.interval, kernel.self_(), "look")

    def _find_long(self) -> None:
        """Find the mailboxes that were long before this monitor: nobody says so again."""
        for number, pid in enumerate(kernel.processes(), 1):
            if kernel.top_senders(pid):  # they are counted only while the mailbox is long
                self.long[pid] = None
            if not number % 1000:
                kernel.yield_()

    # what is asked for

    def _look(self) -> None:
        if self.raised.keeper is None:
            self.raised.tell_again()
        limits, now, allowed = self.limits, clock.now(), probes.descriptor_limit()
        lag, queue = self.sampler.take()
        memory = probes.memory()
        fds = probes.count_descriptors() or self.seen.descriptors
        if now >= self.disk_due:
            self._ask_disk(now)
        slow = self.busy.look()
        self.seen = Figures(
            lag, queue, memory.used, memory.limit, fds, allowed, self.seen.disk,
            len(slow), probes.buried(), kernel.thread_jobs(), self.seen.latency,
        )  # fmt: skip
        self.raised.gauge(
            "loop_lag", lag, limits.lag_high, limits.lag_low,
            lambda: f"everybody waited {lag:.2f} s: something computes without a pause, or the machine is short of time",
        )  # fmt: skip
        self.raised.gauge(
            "run_queue", queue, limits.run_queue_high, limits.run_queue_low,
            lambda: f"{queue} processes wait for their turn: there is more work than one core does",
        )  # fmt: skip
        self.raised.gauge(
            "large_memory", memory.share, limits.memory_high, limits.memory_low,
            lambda: f"{memory.used >> 20} MiB of {memory.limit >> 20} in use ({memory.share:.0%})",
        )  # fmt: skip
        self.raised.gauge(
            "descriptors", fds / allowed, limits.descriptors_high, limits.descriptors_low,
            lambda: f"{fds} of {allowed} file descriptors are open{_usually()}: soon no connection can be taken",
        )  # fmt: skip
        self.raised.gauge(
            "busy_connections", len(slow), limits.busy_connections, limits.busy_connections - 1,
            lambda: f"{len(slow)} connections read more slowly than is written to them: {_first(slow)}",
            {"connections": dict(list(slow.items())[:_MAX_NAMED])},
        )  # fmt: skip
        self.raised.gauge(
            "threads", self.seen.threads, limits.threads_high, limits.threads_low,
            lambda: f"{self.seen.threads} jobs wait for a thread or have one: the disk or a name server is slow",
        )  # fmt: skip
        self._look_at_store()
        self._look_at_mailboxes()
        self._look_at_failures(now)
        self.raised.clear(now)

    def _look_at_store(self) -> None:
        with suppress(StoreError):
            info = store_of(self.store).info()
            stalled, latency = info.stalled, info.latency
            self.seen = replace(self.seen, latency=latency)
            # While nothing is committed the last latency stays the newest: it says nothing of the disk by now.
            is_idle = not info.pending and info.groups == self.groups
            self.groups = info.groups
            self.raised.gauge(
                "store_slow", 0.0 if is_idle else latency, self.limits.latency_high, self.limits.latency_low,
                lambda: f"a commit takes {latency:.2f} s until it is durable: the disk does not keep up",
            )  # fmt: skip
            self.raised.gauge(
                "store_stalled", stalled, self.limits.store_stalled, 0.0,
                lambda: f"commits wait, none has been answered for {stalled:.1f} s: the disk or the writer hangs",
            )  # fmt: skip

    def _look_at_failures(self, now: float) -> None:
        """Children that fail again and again: those that a supervisor may go on restarting for ever, too."""
        wanted, within = self.limits.restarts, self.limits.restarts_within
        for key, failed in failures.table.items():
            id_ = ("crash_loop", key.supervisor, key.child)
            if len(failed.times) >= wanted and now - failed.times[-wanted] <= within:
                count = failed.within(within, now)
                text = f"{key.child} ({failed.start}) failed {count} times in {within:g} s, last as {failed.pid}: {failed.reason}"
                info = {
                    "supervisor": key.supervisor,
                    "child": key.child,
                    "times": count,
                    "reason": failed.reason,
                }
                self.raised.rise(id_, None, text, info)
            elif id_ in self.raised.up:
                self.raised.over(id_, {"times": 0})

    def _look_at_certificates(self, found: tuple[tuple[str, float], ...]) -> None:
        limit = self.limits.certificate_left
        ending = {("certificate", path): left for path, left in found if left <= limit and limit > 0}
        for id_, left in ending.items():
            when = (
                f"ends in {left / 86_400:.0f} days"
                if left > 2 * 86_400
                else f"ends in {left / 3600:.0f} hours"
            )
            text = f"{id_[1]} {when if left > 0 else 'has ended: clients refuse it'}"
            level = logging.WARNING if left > 2 * 86_400 else logging.ERROR
            self.raised.rise(id_, None, text, {"path": id_[1], "text": text}, level=level)
        self.raised.over_unless("certificate", ending)

    def _ask_disk(self, now: float) -> None:
        """In a process of its own: a disk that hangs must not stop the monitor."""
        self.disk_due = now + self.limits.disk_interval
        if self.probe is None:
            self.probe, _ = kernel.spawn_monitor(
                probe_disk, kernel.self_(), self.path, tuple(probes.certificate_files())
            )

    def _disk(self, found: DiskSeen) -> None:
        limits = self.limits
        if not probes.count_descriptors():
            self.seen = replace(self.seen, descriptors=found.descriptors)
        self.seen = replace(self.seen, disk=found.share)
        self.raised.gauge(
            ("disk", self.path), found.share, limits.disk_high, limits.disk_low,
            lambda: f"{found.share:.0%} of the disk are in use: {self.path}",
        )  # fmt: skip
        self._look_at_certificates(found.certificates)
        self.raised.clear(clock.now())

    # what is told

    def _look_at_mailboxes(self) -> None:
        """Describe the long ones: who sends to them is known a little later than that they are long."""
        for pid in [pid for pid in self.long if not kernel.is_alive(pid)]:
            self._short(pid)
        for pid in list(self.long)[:_MAX_MAILBOXES]:
            info = kernel.process_info(pid, "current_function", "message_queue_len")
            if info is None:
                continue
            senders = kernel.top_senders(pid)
            length, function = info["message_queue_len"], info["current_function"]
            named = ", ".join(f"{sender} {count}" for sender, count in senders)
            self.raised.rise(
                ("long_message_queue", pid), pid,
                f"{length} messages wait for {pid!r}; it is in {function}" + (f"; from {named}" if named else "; who sends them is not known yet"),
                {"length": length, "function": function, "senders": senders},
            )  # fmt: skip
        others = len(self.long) - _MAX_MAILBOXES
        self.raised.gauge(
            ("long_message_queue", "others"), others, 1, 0, lambda: f"{others} more mailboxes are long"
        )

    def _short(self, pid: Process) -> None:
        self.long.pop(pid, None)
        alive = kernel.is_alive(pid)
        self.raised.over(
            ("long_message_queue", pid), {"length": pid.mailbox_length}, hold=None if alive else 0.0
        )

    def _hog(self, report: Any) -> None:
        who = report.pid if report.pid is not None else report.function
        text = f"held the node for {report.seconds:.2f} s without a pause, in {report.function}"
        info = {"seconds": report.seconds, "function": report.function, "killed": report.killed}
        # The report with its stack has been logged by whoever made it: one line is enough.
        self.raised.happened(("long_schedule", who), "long_schedule", report.pid, text, info, quiet=True)

    def _said(self, message: Said) -> None:
        if message.raised:
            self.raised.rise(
                message.id, None, message.text, message.info, quiet=message.quiet, level=message.level
            )
        else:
            self.raised.over(message.id, message.info)

    def _publish(self, kind: str, pid: Any, info: dict[str, Any]) -> None:
        for subscriber, (_, kinds) in self.subscribers.items():
            if kinds is None or kind in kinds:
                send(subscriber, SystemMonitor(kind, pid, dict(info)))

    def _unsubscribe(self, pid: Any) -> None:
        known = self.subscribers.pop(pid, None)
        if known is not None:
            kernel.demonitor(known[0], flush=True)


# ----------------------------------------------------------------------------------------------------------- API


def subscribe(pid: Any = None, kinds: Any = None) -> None:
    """Send `pid` (default: the caller) SystemMonitor messages of these kinds (default: all) until it ends.

    Again: with the new kinds. A monitor that crashes forgets its subscribers: monitor `sysmon`, too, and subscribe anew.
    Raises CallError when no monitor runs here.
    """
    who = pid if pid is not None else kernel.self_()
    if not isinstance(who, Process):
        raise TypeError(f"{who!r} is no process of this node")
    if isinstance(kinds, str):
        raise TypeError(f"kinds={kinds!r}: want several, as [{kinds!r}]")
    kernel.call(NAME, _Subscribe(who, None if kinds is None else frozenset(kinds)))


def unsubscribe(pid: Any = None) -> None:
    """Send no more."""
    kernel.call(NAME, _Unsubscribe(pid if pid is not None else kernel.self_()))


def figures() -> Figures:
    """Return what was seen at the last look. Blocks for an answer, up to 5 s."""
    return kernel.call(NAME, "figures")  # type: ignore[no-any-return]


def configure(limits: Limits) -> None:
    """Change the limits from now on; alarms that are up are judged by the new ones at the next look."""
    if not isinstance(limits, Limits):
        raise TypeError(f"{limits!r} are no Limits")
    kernel.cast(NAME, limits)


# ----------------------------------------------------------------------------------------------------- internals

_ZOMBIE = "the stack of dead process {} does not let go and was buried; {} so far, some 7 KB each"


class _Subscribe(NamedTuple):
    pid: Any
    kinds: frozenset[str] | None


class _Unsubscribe(NamedTuple):
    pid: Any


def _usually() -> str:
    usual = probes.usual_descriptor()
    return f", most of them {usual}" if usual else ""


def _first(slow: dict[Any, int]) -> str:
    named = ", ".join(f"{pid} {queued} bytes" for pid, queued in list(slow.items())[:_MAX_NAMED])
    return named + (", ..." if len(slow) > _MAX_NAMED else "")
