"""The last ten minutes of the node's figures, for charts that are full when the dashboard is opened.

One look every two seconds, some tenths of a millisecond, whoever watches or not; all open dashboards share it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from runtime import kernel
from runtime.kernel import TIMEOUT, CallError
from runtime.observe import snapshot
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply

__all__ = ["EVERY", "NAME", "History", "history", "newest"]

NAME: Final = "dashboard_history"
EVERY: Final = 2.0
"""Seconds between two looks."""
_KEPT: Final = 300
_GAUGES: Final = (
    "uptime", "processes", "run_queue", "loop_lag", "memory", "connections", "descriptors", "alarms", "threads_busy",
)  # fmt: skip
_RATES: Final = ("messages", "turns", "crashes", "accepted", "spawned")

# Types


class History(GenServer):
    """Keeps samples: {time, the gauges, `cpu` (share of one core), and of the counters how many a second}.

    Requests: "all" (the samples, oldest first), "newest".
    """

    def init(self) -> NoReply:
        self.samples: deque[dict[str, float]] = deque(maxlen=_KEPT)
        self.before = _look()
        self.due = kernel.clock.now() + EVERY
        return NoReply(timeout=EVERY)

    def handle_call(self, request: str, sender: Any) -> Any:
        newest = [self.samples[-1]] if self.samples else []
        found = tuple(self.samples) if request == "all" else tuple(newest)
        kernel.reply(sender, found)
        return self._wait()

    def handle_info(self, message: Any) -> NoReply:
        if message is TIMEOUT:
            self.take()
            self.due = kernel.clock.now() + EVERY
        return self._wait()

    def take(self) -> None:
        now, before = _look(), self.before
        passed = max(now["clock"] - before["clock"], 0.001)
        sample = {"time": now["time"], **{name: now[name] for name in _GAUGES}}
        sample |= {name: max(now[name] - before[name], 0) / passed for name in _RATES}
        sample["cpu"] = (now["cpu_seconds"] - before["cpu_seconds"]) / passed
        self.samples.append(sample)
        self.before = now

    # internals

    def _wait(self) -> NoReply:
        return NoReply(timeout=max(0.0, self.due - kernel.clock.now()))


# API


def history() -> tuple[dict[str, float], ...]:
    """Return the samples, the oldest first; () when nobody keeps any."""
    return _asked("all")


def newest() -> dict[str, float]:
    """Return the last sample; {} when there is none."""
    found = _asked("newest")
    return found[0] if found else {}


# Internals


def _asked(request: str) -> tuple[dict[str, float], ...]:
    try:
        return kernel.call(NAME, request, timeout=2.0)  # type: ignore[no-any-return]
    except CallError:  # it is being started anew
        return ()


def _look() -> dict[str, Any]:
    return {**snapshot.node_summary(), "clock": time.monotonic()}
