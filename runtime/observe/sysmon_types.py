"""What the system monitor is given and what it gives: its limits, its figures, its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Figures", "Limits", "SystemMonitor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What raises an alarm, and what clears it. Seconds, counts, and shares of 1. `high` above 1 turns a share off."""

    interval: float = 1.0
    hold: float = 10.0
    event_for: float = 60.0
    lag_high: float = 0.5
    lag_low: float = 0.1
    run_queue_high: int = 10_000
    run_queue_low: int = 1_000
    memory_high: float = 0.8
    memory_low: float = 0.7
    descriptors_high: float = 0.85
    descriptors_low: float = 0.75
    disk_high: float = 0.9
    disk_low: float = 0.85
    disk_interval: float = 30.0
    busy_connections: int = 1
    store_stalled: float = 2.0
    latency_high: float = 1.0
    latency_low: float = 0.2
    threads_high: int = 100
    threads_low: int = 20
    restarts: int = 5
    restarts_within: float = 60.0
    certificate_left: float = 14 * 86_400.0

    def __post_init__(self) -> None:
        for name in ("lag", "run_queue", "memory", "descriptors", "disk", "latency", "threads"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0 <= low <= high:
                raise ValueError(f"want 0 <= {name}_low <= {name}_high, not {low}, {high}")
        for name in ("interval", "disk_interval"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: want more than 0 seconds")
        for name in ("hold", "event_for", "store_stalled", "restarts_within", "certificate_left"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: want 0 seconds or more")


@dataclass(frozen=True, slots=True)
class SystemMonitor:
    """Message to subscribers. `kind` as in the table above; `pid` whom it is about, if anybody.

    `info["raised"]` tells rise from fall; the rest is as the kind has it. Events (long_schedule, zombie) have no fall.
    """

    kind: str
    pid: Any
    info: dict[str, Any]

    __handed_over__: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen at the last look. Seconds, counts, bytes, shares of 1."""

    lag: float = 0.0
    run_queue: int = 0
    memory: int = 0
    memory_limit: int = 0
    descriptors: int = 0
    descriptor_limit: int = 0
    disk: float = 0.0
    busy_connections: int = 0
    zombies: int = 0
    threads: int = 0
    """Jobs that wait for a thread of the pool, or have one."""
    latency: float = 0.0
    """From sending to durable, of a commit a moment ago."""
