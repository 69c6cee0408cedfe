"""Is the node alive, and does it serve? Each with reasons, for `/healthz`, `/readyz`, the shell and the dashboard.

*Alive*: whoever asks should leave it running. Not alive: its services have gone, or everybody waited very long for their
turn at the last look, so that a restart would help.

*Ready*: whoever distributes work may send some. Not ready: it starts or stops, an application that should run does not,
the store cannot take commits, a listener is closed, or it is not alive. An alarm by itself makes nobody unready: a long
mailbox passes, and a node that is taken out for it moves its load to the next.

Reads only; never blocks; never raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.kernel import scheduler
from runtime.observe import snapshot
from runtime.observe.sysmon_types import Figures

__all__ = ["Health", "alive", "ready"]

_DEAD_LAG = 10.0
"""Seconds of lag at the last look from which on a node does not count as alive."""
_UNREADY_STALL = 5.0
_OTHERS = ("http",)
"""Announced addresses that are no listener of `runtime.net`: the dashboard's, which is the one that is asked."""

# Types


@dataclass(frozen=True, slots=True)
class Health:
    """The answer. `reasons`: why not, a sentence each; empty when `ok`. `alarms`: what is up besides, for people."""

    ok: bool
    reasons: tuple[str, ...]
    alarms: tuple[str, ...] = ()


# API


def alive(node: Any = None) -> Health:
    """Tell whether the node should be left running. `node`: the Node, for its phase; None where none runs."""
    reasons = []
    lag = _figures().lag
    if lag >= _DEAD_LAG:
        reasons.append(f"everybody waited {lag:.1f} s for their turn")
    if node is not None and node.phase == "serving" and "node_services" not in scheduler.names:
        reasons.append("the node's services have ended")
    return _health(reasons)


def ready(node: Any = None) -> Health:
    """Tell whether the node serves."""
    reasons = list(alive(node).reasons)
    if node is not None and node.phase != "serving":
        reasons.append(f"the node is {node.phase}")
    reasons += [
        f"application {one.name} is {one.status}"
        for one in snapshot.applications()
        if one.status in ("starting", "stopping")
        or (one.start_type == "permanent" and one.status != "running")
    ]
    store = snapshot.store_info()
    if store.get("error"):
        reasons.append(f"the store does not answer: {store['error']}")
    elif store:
        if store["stalled"] >= _UNREADY_STALL:
            reasons.append(f"commits wait, none has been answered for {store['stalled']:.1f} s")
        if store["full"]:
            reasons.append("the store is full")
    elif node is not None and node.store is not None:
        reasons.append("the store has ended")
    listeners = snapshot.listeners()
    reasons += [f"listener {one['name']} does not accept" for one in listeners if not one["is_open"]]
    there = {one["name"] for one in listeners}
    # A listener that has ended is in no list any more; the addresses that applications have announced are.
    doors = [door.name for door in getattr(node, "doors", ()) if door.name not in _OTHERS]
    reasons += [f"listener {name} has ended" for name in doors if name not in there]
    return _health(reasons)


# Internals


def _health(reasons: list[str]) -> Health:
    return Health(
        not reasons, tuple(reasons), tuple(f"{one.id}: {one.description}" for one in snapshot.alarms(20))
    )


def _figures() -> Figures:
    p = scheduler.names.get("sysmon")
    seen = getattr(p.behaviour, "seen", None) if p is not None else None
    return seen if isinstance(seen, Figures) else Figures()
