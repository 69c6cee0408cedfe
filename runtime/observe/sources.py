"""Whatever in the node has alarms of its own to raise: the kernel's hooks, the store's and the listeners'; here they become
messages to one process.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from runtime.kernel import Process, hooks, post, send
from runtime.net.alarms import NetAlarm
from runtime.net.alarms import on_alarm as net_alarms
from runtime.store import hooks as store_hooks

__all__ = ["Hog", "LongMailbox", "Said", "Zombie", "listen"]

# types


class LongMailbox(NamedTuple):
    pid: Process
    high: bool


class Hog(NamedTuple):
    report: Any


class Zombie(NamedTuple):
    pid: Process


@dataclass(frozen=True, slots=True)
class Said:
    """A source of alarms of its own has something to say."""

    id: Any
    raised: bool
    text: str
    info: dict[str, Any]
    level: int
    quiet: bool

    __handed_over__: ClassVar[bool] = True


# API


def listen(me: Process) -> list[tuple[list[Any], Any]]:
    """Hang on to everything that has something to say. The functions run in the hub, in whatever process, or (hogs) in
    a signal's handler: they only send.
    """

    def on_mailbox(process: Process, high: bool) -> None:
        if process is not me:
            send(me, LongMailbox(process, high))

    def on_hog(report: Any) -> None:
        post(me, Hog(report))

    def on_zombie(process: Process) -> None:
        post(me, Zombie(process))

    def on_store(name: str, raised: bool, info: dict[str, Any]) -> None:
        # A stall has one alarm, whoever sees it first.
        id_ = name if name == "store_stalled" else (name, info.get("path"))
        send(me, Said(id_, raised, _words(info), dict(info), logging.ERROR, False))

    def on_net(alarm: NetAlarm) -> None:  # which has logged it
        id_ = ("net", alarm.listener, alarm.kind)
        send(me, Said(id_, alarm.raised, alarm.text, {"times": alarm.times}, logging.WARNING, True))

    pairs: list[tuple[list[Any], Any]] = [
        (hooks.on_mailbox, on_mailbox),
        (hooks.on_hog, on_hog),
        (hooks.on_zombie, on_zombie),
        (store_hooks.on_alarm, on_store),
        (net_alarms, on_net),
    ]
    for listeners, listener in pairs:
        listeners.append(listener)
    return pairs


# internals


def _words(info: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in info.items())
