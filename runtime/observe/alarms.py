"""Alarms: what is wrong at this moment, in one place. Set and cleared by anybody, by an id of any value.

    set_alarm("printer", "out of paper")
    get_alarms()                            # [Alarm(id="printer", ...)], newest first
    clear_alarm("printer")

The process `alarms` is an EventManager; its first handler, AlarmHandler, keeps the list and logs each alarm and its end
once. Another handler can take its place (`swap`), and further ones can be added (`event_manager.add_handler`): they get
SetAlarm and ClearAlarm as events. Whatever flaps is calmed where it is measured (`sysmon`); here an alarm is over when it
is cleared.

When the process crashes and its supervisor starts it again, the alarms that were up are up again, and subscribers go on to
hear of changes: what is wrong with the node has not gone away with the list of it. The list ends with the supervisor.

Where this differs from OTP: the above (there, a crash forgets all alarms); an alarm that is set again is the same alarm with
a new description and level (there, another entry); get_alarms also works after a swap, if the new handler is an
AlarmHandler; one that fails takes the process with it, to be started anew (there, alarms are lost silently from then on).

Source: OTP alarm_handler; alarm_handler_SUITE set_alarm, clear_alarm, swap.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import CallError, Down, Pid, Process
from runtime.otp import event_manager
from runtime.otp.event_manager import EventHandler, EventManager, HandlerError, Remove
from runtime.otp.reports import format_term

__all__ = [
    "NAME",
    "Alarm",
    "AlarmCleared",
    "AlarmHandler",
    "AlarmRaised",
    "ClearAlarm",
    "SetAlarm",
    "clear_alarm",
    "find",
    "get_alarms",
    "id_text",
    "peek",
    "set_alarm",
    "start_link",
    "subscribe",
    "swap",
    "unsubscribe",
]

NAME = "alarms"

_log = logging.getLogger("evergreen.alarms")
_CHARS = 2_000

# --------------------------------------------------------------------------------------------------------- types


class Alarm(NamedTuple):
    """An alarm that is up. `since` is seconds of the epoch; `level` one of logging's; `times`: how often it was set."""

    id: Any
    description: Any
    level: int
    since: float
    times: int


class SetAlarm(NamedTuple):
    """Event: an alarm is set. `quiet`: who measures has logged it already."""

    id: Any
    description: Any
    level: int
    quiet: bool


class ClearAlarm(NamedTuple):
    """Event: an alarm is cleared."""

    id: Any
    quiet: bool


class AlarmRaised(NamedTuple):
    """Message to subscribers: an alarm that was not up was set."""

    id: Any
    description: Any


class AlarmCleared(NamedTuple):
    """Message to subscribers: an alarm that was up was cleared."""

    id: Any


class AlarmHandler(EventHandler):
    """Keeps the alarms and logs them. Swapped out by "swap" it hands them on: terminate returns {id: Alarm}."""

    def init(self, *, previous: Any = None) -> None:
        # Not a copy: what outlives a crash must be the list itself.
        self.alarms: dict[Any, Alarm] = previous if isinstance(previous, dict) else _kept.alarms
        """By id, the oldest first."""

    def handle_event(self, event: Any) -> None:
        _kept.alarms = self.alarms  # a subclass may have made one of its own
        if event.__class__ is SetAlarm:
            known = self.alarms.get(event.id)
            if known is None:
                self.alarms[event.id] = Alarm(event.id, event.description, event.level, time.time(), 1)
                if not event.quiet:
                    self.log(event.level, "alarm %s: %s", event.id, event.description)
            else:
                self.alarms[event.id] = known._replace(
                    description=event.description, level=event.level, times=known.times + 1
                )
        elif event.__class__ is ClearAlarm:
            known = self.alarms.pop(event.id, None)
            if known is not None and not event.quiet:
                minutes, seconds = divmod(max(0, round(time.time() - known.since)), 60)
                self.log(logging.INFO, "alarm %s is over after %s", event.id, f"{minutes} min {seconds} s")

    def handle_call(self, request: Any) -> Any:
        if request == "get_alarms":
            return list(reversed(self.alarms.values()))
        raise ValueError(f"unknown request {request!r}")

    def terminate(self, reason: Any) -> Any:
        if isinstance(reason, tuple) and reason[0] == "error":
            # Without a keeper the process is of no use, and nobody would notice: end it, to be started anew.
            kernel.spawn(_end, kernel.self_())
        return self.alarms if reason == "swap" else None

    def log(self, level: int, text: str, id_: Any, what: Any) -> None:
        _log.log(level, text, _said(id_), what if isinstance(what, str) else format_term(what, 4, _CHARS))


# ----------------------------------------------------------------------------------------------------------- API


def start_link() -> Process | None:
    """Start the process `alarms`, linked to the caller. Again by the same caller: with the alarms that were up."""
    me = kernel.self_()
    if _kept.parent is not me:
        _kept.parent, _kept.alarms, _kept.subscribers = me, {}, {}
    pid = EventManager.start_link(name=NAME)
    if pid is not None:
        event_manager.add_handler(pid, AlarmHandler)
        for who in list(_kept.subscribers):
            if kernel.is_alive(who):
                event_manager.add_handler(pid, (_Subscriber, who), who)
            else:
                del _kept.subscribers[who]
    return pid


def set_alarm(id_: Any, description: Any = "", *, level: int = logging.WARNING, quiet: bool = False) -> None:
    """Set an alarm; one that is up already gets the new description. Never blocks.

    Raises BadName when no alarms are kept here (OTP: badarg). Source: alarm_handler:set_alarm/1.
    """
    hash(id_)  # an id that cannot be a key fails here, not in the handler
    if not isinstance(level, int):
        raise TypeError(f"level={level!r}: want one of logging's, as logging.ERROR")
    event_manager.notify(NAME, SetAlarm(id_, description, level, quiet))


def clear_alarm(id_: Any, *, quiet: bool = False) -> None:
    """Clear an alarm; one that is not up is none. Never blocks. Raises BadName as set_alarm."""
    hash(id_)
    event_manager.notify(NAME, ClearAlarm(id_, quiet))


def get_alarms() -> list[Alarm]:
    """Return the alarms that are up, the newest first. Blocks for an answer, up to 5 s.

    Raises CallError when no alarms are kept here, HandlerError when the handler is no AlarmHandler.
    """
    return list(event_manager.call(NAME, _keeper(), "get_alarms"))


def peek() -> list[Alarm]:
    """Return the alarms that are up, the newest first, without asking anybody: never blocks, never raises.

    While another handler keeps them than an AlarmHandler: none.
    """
    return list(reversed(_kept.alarms.values()))


def find(id_: Any) -> Alarm | None:
    """Return the alarm with that id if it is up, as `peek` does."""
    return _kept.alarms.get(id_)


def id_text(id_: Any) -> str:
    """Return an alarm's id as people read it: `disk /data`."""
    return _said(id_)


def swap(new: type[AlarmHandler] | Any, *args: Any) -> None:
    """Let another handler keep the alarms: its init gets `args` and, as `previous`, the alarms that are up by id."""
    event_manager.swap_handler(NAME, _keeper(), "swap", new, *args)
    kind = new[0] if isinstance(new, tuple) else new
    if not issubclass(kind, AlarmHandler):
        _kept.alarms = {}  # nobody keeps it up to date any more


def subscribe(pid: Pid | None = None) -> list[Alarm]:
    """Send `pid` (default: the caller) AlarmRaised and AlarmCleared from now on; return the alarms that are up.

    Until it ends or unsubscribes. An alarm that is set just now may be in both; the end of each that is in the list is told.
    """
    who: Any = pid if pid is not None else kernel.self_()
    handler = (_Subscriber, who)
    if handler in event_manager.which_handlers(NAME):
        return get_alarms()
    event_manager.add_handler(NAME, handler, who)
    found = get_alarms()
    event_manager.call(NAME, handler, frozenset(alarm.id for alarm in found))
    return found


def unsubscribe(pid: Pid | None = None) -> None:
    """End a subscription, if there is one."""
    who = pid if pid is not None else kernel.self_()
    try:
        event_manager.delete_handler(NAME, (_Subscriber, who))
    except HandlerError:
        pass


# ----------------------------------------------------------------------------------------------------- internals


class _Kept:
    """What outlives a crash of the process: the lists that its handlers work on. For one supervisor, its `parent`."""

    __slots__ = ("alarms", "parent", "subscribers")

    def __init__(self) -> None:
        self.parent: Process | None = None
        self.alarms: dict[Any, Alarm] = {}
        self.subscribers: dict[Any, set[Any]] = {}
        """By process: the alarms that it knows to be up."""


_kept = _Kept()


class _Subscriber(EventHandler):
    """Passes on to one process what changed."""

    def init(self, pid: Any) -> None:
        self.pid = pid
        self.early: set[Any] | None = None if pid in _kept.subscribers else set()
        """What is cleared before the subscriber is told what is up; None: it has been."""
        self.known: set[Any] = _kept.subscribers.setdefault(pid, set())
        self.ref = kernel.monitor(pid)

    def handle_event(self, event: Any) -> None:
        if event.__class__ is SetAlarm and event.id not in self.known:
            self.known.add(event.id)
            if self.early:
                self.early.discard(event.id)
            kernel.send(self.pid, AlarmRaised(event.id, event.description))
        elif event.__class__ is ClearAlarm:
            if event.id in self.known:
                self.known.discard(event.id)
                kernel.send(self.pid, AlarmCleared(event.id))
            elif self.early is not None:
                self.early.add(event.id)

    def handle_call(self, up: frozenset[Any]) -> None:
        """These are up, the subscriber is told: as of a moment ago, some may have been cleared since."""
        for id_ in up - self.known:
            if id_ in (self.early or ()):
                kernel.send(self.pid, AlarmCleared(id_))
            else:
                self.known.add(id_)
        self.early = None

    def handle_info(self, message: Any) -> Any:
        return Remove() if message.__class__ is Down and message.ref is self.ref else None

    def terminate(self, reason: Any) -> None:
        kernel.demonitor(self.ref, flush=True)
        if reason != "stop":  # else the process ends, and may come back
            _kept.subscribers.pop(self.pid, None)


def _end(pid: Process) -> None:
    with suppress(CallError):  # it has ended meanwhile
        event_manager.stop(pid, "the alarm handler failed")


def _keeper() -> Any:
    """The name of the handler that keeps the alarms: the first AlarmHandler there is."""
    for name in event_manager.which_handlers(NAME):
        kind = name[0] if isinstance(name, tuple) else name
        if issubclass(kind, AlarmHandler):
            return name
    return AlarmHandler


def _said(id_: Any) -> str:
    parts = id_ if isinstance(id_, tuple) else (id_,)
    return " ".join(part if isinstance(part, str) else format_term(part, 2, 200) for part in parts)
