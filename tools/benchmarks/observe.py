"""The group `observe`: what it costs to be looked at, with everything on and off in the same run."""

from __future__ import annotations

from typing import Any

from tools.benchmarks.lab import Lab
from tools.benchmarks.model import Row, case

__all__: list[str] = []

_PROBES = "probes_observe"


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    return Row(
        group="observe", key=key, name=name, unit=unit, what=what, target=target, better="lower", **more
    )


@case(
    _row(
        "hot_path", "messages, everything on against off", "%",
        "calls and bursts of sends to a GenServer among 10,000 processes: how much longer with alarms, monitor, sender, a page "
        "and a scrape each second than without, in turns; processor time", 3,
    ),
    _row("message_off", "a message, everything off", "ns", "of that traffic"),
    _row("message_on", "a message, everything on", "ns", "of that traffic"),
)  # fmt: skip
def hot_path(lab: Lab) -> None:
    sizes = {
        "messages": lab.pick(2_000, 1_000_000, 4_000_000),
        "pairs": lab.pick(1, 4, 8),
        "processes": lab.pick(100, 10_000, 10_000),
    }
    for _ in lab.rounds(3):
        found = lab.probe(f"{_PROBES}:hot_path", timeout=600.0, **sizes)
        lab.value("hot_path", found["percent"])
        lab.value("message_off", found["off"])
        lab.value("message_on", found["on"])


@case(
    _row(
        "page", "a page open, 200,000 processes", "% of a core",
        "figures, the hundred longest mailboxes and the tree, once a second: processor time", 5,
    ),
    _row("stall", "looks at 200,000 processes, longest stall", "ms", "of another process, in any look: lists, tree, metrics", 5),
    _row("list", "the hundred longest of 200,000 mailboxes", "ms", "processor time"),
    _row("by_memory", "the hundred largest of 200,000 processes", "ms", "processor time"),
    _row("scrape", "metrics, 200,000 processes", "ms", "processor time of a scrape"),
)  # fmt: skip
def looks(lab: Lab) -> None:
    sizes = {"processes": lab.pick(1_000, 200_000, 200_000), "repeats": lab.pick(1, 5, 15)}
    for _ in lab.rounds(3):
        found = lab.probe(f"{_PROBES}:looks", timeout=600.0, **sizes)
        keys = {
            "page": "share", "stall": "stall", "list": "processes", "by_memory": "memory", "scrape": "metrics",
        }  # fmt: skip
        for key, field in keys.items():
            lab.value(key, found[field])


@case(
    _row("trace_off", "messages after a trace against before", "%", "the same traffic: what a trace leaves behind", 3),
    _row("trace_other", "a message while another process is traced", "ns", "messages to somebody else: nothing to pay"),
    _row("trace_on", "a traced message", "µs", "what a trace adds to a message to the traced process, told and shown"),
)  # fmt: skip
def traces(lab: Lab) -> None:
    sizes = {"messages": lab.pick(1_000, 200_000, 1_000_000), "pairs": lab.pick(1, 3, 6)}
    for _ in lab.rounds(3):
        found = lab.probe(f"{_PROBES}:traces", timeout=600.0, **sizes)
        lab.value("trace_off", found["percent"])
        lab.value("trace_other", found["other"])
        lab.value("trace_on", found["added"])
