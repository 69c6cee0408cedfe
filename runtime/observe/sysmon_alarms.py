"""The system monitor's alarms: which of them are up, since when their cause is away, and when they are cleared.

Theory of operation
-------------------
The monitor (`sysmon`) looks and listens; what it finds comes here in one of three forms:

    a figure      `gauge`      up at `high`, over at `low`; in between everything stays as it is (hysteresis)
    a condition   `rise`       and `over`, when it is said to have gone
    an event      `happened`   over when it has not happened again for `event_for` seconds

    rise ──▶ up ──over──▶ due in `hold` seconds ──clear──▶ gone          again meanwhile: up, and nothing is said

So what flaps is raised once and cleared once. The process `alarms` keeps the list that everybody sees; here is what has to be
known besides. The two may crash apart from each other: a new monitor adopts from the list what is its own (`adopt`), new `alarms` are
told everything once more (`tell_again`).

Invariant: an alarm of ours is in the list  <=>  it is in `up`; but for what was changed while `alarms` was away: until the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from runtime import kernel
from runtime.kernel import BadName, CallError, Process, clock
from runtime.observe import alarms
from runtime.observe.sysmon_types import Limits
from runtime.otp.event_manager import HandlerError

__all__ = ["Raised"]

# Types


class Raised:
    """The alarms that are up. `publish(kind, pid, info)` is called for each rise and fall, and each time an event happens."""

    def __init__(self, limits: Limits, publish: Callable[[str, Any, dict[str, Any]], None]) -> None:
        self.limits = limits
        self.publish = publish
        self.up: dict[Any, _Up] = {}
        self.keeper: Any = kernel.monitor(alarms.NAME)
        """The monitor of `alarms`; None while that is not there."""

    # a monitor, or `alarms`, is a new one

    def adopt(self) -> None:
        """Take over from a monitor that has ended before: what is no longer true is cleared in time."""
        due = clock.now() + self.limits.event_for
        for id_, name, alarm in _ours():
            if name in _OWN:
                pid = id_[1] if name in _OF_PROCESSES and isinstance(id_[1], Process) else None
                kind = "zombie" if name == "zombies" else name
                one = _Up(kind, pid, {}, due, kind == "long_schedule")
            else:  # it is over when its source says so
                one = _Up(name, None, {}, None, name == "net")
            one.said = alarm.description, alarm.level
            self.up[id_] = one

    def tell_again(self) -> None:
        """The process `alarms` is a new one: what was said to the last may never have been heard."""
        if kernel.whereis(alarms.NAME) is None:
            return  # not there yet: at the next look
        self.keeper = kernel.monitor(alarms.NAME)
        with suppress(BadName):  # gone again: at the next look
            for id_, one in self.up.items():
                text, level = one.said
                alarms.set_alarm(id_, text, level=level, quiet=True)
            for id_, _, _ in _ours():
                if id_ not in self.up:
                    alarms.clear_alarm(id_)

    # what was found

    def gauge(
        self, id_: Any, value: float, high: float, low: float, text: Callable[[], str], info: Any = None
    ) -> None:
        """Take a figure with hysteresis: between `low` and `high` everything stays as it is."""
        one = self.up.get(id_)
        if value >= high:
            self.rise(id_, None, text(), {"value": value, "high": high, **(info or {})})
        elif one is not None:
            if value <= low:
                self.over(id_, {"value": value})
            else:
                one.due = None

    def happened(
        self, id_: Any, kind: str, pid: Any, text: str, info: dict[str, Any], quiet: bool = False
    ) -> None:
        """Take what happens rather than lasts: its alarm is over when it has not happened for a while."""
        one = self.up.get(id_)
        self.rise(id_, pid, text, info, quiet=quiet, kind=kind)
        if one is not None:
            self.publish(kind, pid, {"raised": True, **info})
        self.up[id_].due = clock.now() + self.limits.event_for

    def rise(
        self, id_: Any, pid: Any, text: str, info: dict[str, Any], *, quiet: bool = False,
        level: int = logging.WARNING, kind: str = "",
    ) -> None:  # fmt: skip
        """Raise an alarm, or say that its cause is there still: `info` may have changed, and `text` with it."""
        one = self.up.get(id_)
        if one is None:
            name = kind or (id_[0] if isinstance(id_, tuple) else id_)
            one = self.up[id_] = _Up(name, pid, info, None, quiet)
            self.publish(name, pid, {"raised": True, **info})
        elif one.due is not None or one.info != info:
            one.due, one.info = None, info
        else:
            return
        one.said = text, level
        with suppress(BadName):  # the alarms are being started anew: told at the next look
            alarms.set_alarm(id_, text, level=level, quiet=quiet)

    def over(self, id_: Any, info: dict[str, Any], hold: float | None = None) -> None:
        """The cause has gone: clear the alarm if it stays away for `hold` seconds (None: those of the limits)."""
        one = self.up.get(id_)
        if one is not None and one.due is None:
            one.due = clock.now() + (self.limits.hold if hold is None else hold)
            one.last = info

    def over_unless(self, kind: str, still: Any) -> None:
        """Those of a kind are over whose ids are not in `still`."""
        for id_ in [id_ for id_, one in self.up.items() if one.kind == kind and id_ not in still]:
            self.over(id_, {})

    def clear(self, now: float) -> None:
        """Clear what is due."""
        for id_, one in [
            (id_, one) for id_, one in self.up.items() if one.due is not None and one.due <= now
        ]:
            try:
                alarms.clear_alarm(id_, quiet=one.quiet)
            except BadName:  # they are being started anew, with this one: at the next look
                continue
            del self.up[id_]
            if one.kind not in _EVENTS:
                self.publish(one.kind, one.pid, {"raised": False, **one.last})


# Internals

_EVENTS = frozenset({"long_schedule", "zombie"})
_OF_PROCESSES = frozenset({"long_message_queue", "long_schedule"})
_OWN = frozenset({
    "long_message_queue", "long_schedule", "zombies", "loop_lag", "run_queue", "large_memory", "descriptors", "disk",
    "busy_connections", "store_stalled", "store_slow", "threads", "crash_loop", "certificate",
})  # fmt: skip
"""Alarms whose cause the monitor looks at: a new one clears those of the last one whose cause it does not see."""


class _Up:
    """An alarm that is up. `due`: when it is cleared, None while its cause is there. `said`: its description and level."""

    __slots__ = ("due", "info", "kind", "last", "pid", "quiet", "said")

    def __init__(self, kind: str, pid: Any, info: dict[str, Any], due: float | None, quiet: bool) -> None:
        self.kind = kind
        self.pid = pid
        self.info = info
        self.due = due
        self.quiet = quiet
        self.last: dict[str, Any] = {}
        self.said: tuple[Any, int] = ("", logging.WARNING)


def _ours() -> list[tuple[Any, str, alarms.Alarm]]:
    """The alarms up that this monitor has set, or one before it: (id, first word of the id, alarm)."""
    found = []
    with suppress(CallError, HandlerError):
        for alarm in alarms.get_alarms():
            name = alarm.id[0] if isinstance(alarm.id, tuple) and alarm.id else alarm.id
            if isinstance(name, str) and (name in _OWN or name == "net" or name.startswith("store_")):
                found.append((alarm.id, name, alarm))
    return found
