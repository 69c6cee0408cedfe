"""Alarms of listeners: a limit was crossed, and later no longer. Told once each, however often it happens.

An alarm is raised at the first crossing, counts the following ones in silence, and is cleared when none has come
for the cooldown. So a flood costs one log line at its start and one at its end. An alarm of a state that lasts (a
certificate that cannot be used) is cleared only by `clear`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from runtime.kernel import clock
from runtime.kernel.hooks import call

__all__ = ["Alarms", "NetAlarm", "on_alarm"]

log = logging.getLogger("runtime.net")


# types


class NetAlarm(NamedTuple):
    """`times`: crossings so far. `kind`: max_connections, accept_rate, per_address, address_rate, no_descriptors, certificate, untrusted_proxy."""

    listener: str
    kind: str
    raised: bool
    text: str
    times: int


on_alarm: list[Callable[[NetAlarm], None]] = []
"""Hooks, called in the hub or in a process: must be short, must not block."""


class Alarms:
    """The alarms of one listener."""

    __slots__ = ("_active", "_cooldown", "_extra", "_listener", "_timer")

    def __init__(self, listener: str, cooldown: float, extra: Callable[[NetAlarm], None] | None) -> None:
        self._listener = listener
        self._cooldown = cooldown
        self._extra = extra
        self._active: dict[str, tuple[float, int, str]] = {}
        self._timer: Any = None

    def active(self) -> tuple[str, ...]:
        """Return the kinds of the alarms that are raised."""
        return tuple(self._active)

    def crossed(self, kind: str, text: str, lasts: bool = False) -> None:
        """Note a crossing. Never blocks. `lasts`: until `clear`, however long nothing new is heard of it."""
        known = self._active.get(kind)
        self._active[kind] = (inf if lasts else clock.now(), 1 if known is None else known[1] + 1, text)
        if known is None:
            log.warning("listener %s: %s", self._listener, text)
            self._tell(kind, True, text, 1)
            if self._timer is None and not lasts:
                self._timer = clock.after(self._cooldown, self._look)

    def clear(self, kind: str) -> None:
        """The cause is known to be gone: clear now."""
        known = self._active.pop(kind, None)
        if known is not None:
            _, count, text = known
            log.info("listener %s: over: %s (%d times)", self._listener, text, count)
            self._tell(kind, False, text, count)

    def stop(self) -> None:
        """The listener ends, and with it all that was wrong with it."""
        for kind in list(self._active):
            self.clear(kind)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = clock.now()
        for kind, (last, _, _) in list(self._active.items()):
            if now - last >= self._cooldown - 1e-6:
                self.clear(kind)
        first = min((last for last, _, _ in self._active.values()), default=inf)
        if first < inf:
            self._timer = clock.after(max(first + self._cooldown - now, 0.01), self._look)

    def _tell(self, kind: str, raised: bool, text: str, count: int) -> None:
        alarm = NetAlarm(self._listener, kind, raised, text, count)
        call([*on_alarm, self._extra] if self._extra is not None else on_alarm, alarm)
