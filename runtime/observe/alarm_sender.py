"""Alarms go out: each one, and its end, to a webhook and to apprise URLs.

The process `alarm_sender` subscribes to the alarms and keeps what is to be sent, the oldest first; one message is under way
at a time, in a thread of its own: not one of the pool, whose being full may be what is to be told. What fails is tried again after growing pauses, `retries` times,
then dropped and logged. More than a hundred that wait push out the oldest; the next one sent says how many.

A webhook gets a POST of one JSON object:

    {"node": "evergreen@localhost", "event": "raised" | "cleared", "id": "disk /data", "name": "disk", "level": "warning",
     "description": "97% of the disk are in use: /data", "time": 1767225600.5, "dropped": 0}

and is done when it answers with 2xx. Keys: alarms.webhook, alarms.apprise, alarms.send_level, alarms.send_timeout,
alarms.send_retries, alarms.send_pause.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from runtime import kernel
from runtime.kernel import Process, Timeout
from runtime.observe import alarms
from runtime.observe.alarms import AlarmCleared, AlarmRaised
from runtime.observe.texts import brief
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply

__all__ = ["NAME", "AlarmSender", "Ways", "configure"]

NAME = "alarm_sender"
_log = logging.getLogger("evergreen.alarms")
_WAITING = 100
_THREADS = 5
_LONGEST = 300.0
"""Seconds: no pause between two attempts is longer."""
_ORDER = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where alarms go, and how patiently. Seconds."""

    webhook: str = ""
    apprise: tuple[str, ...] = ()
    send_level: str = "warning"
    send_timeout: float = 10.0
    send_retries: int = 5
    send_pause: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "apprise", tuple(self.apprise))

    @property
    def all(self) -> tuple[str, ...]:
        """Every URL that is sent to."""
        return (*((self.webhook,) if self.webhook else ()), *self.apprise)


class _Parcel(NamedTuple):
    url: str
    is_webhook: bool
    facts: tuple[tuple[str, Any], ...]


class _Sent(NamedTuple):
    """From the thread. `number`: of the attempt."""

    number: int
    error: str


class AlarmSender(GenServer):
    """The process `alarm_sender`."""

    def init(self, ways: Ways) -> NoReply:
        self.ways = ways
        self.waiting: deque[_Parcel] = deque()
        self.number = 0
        self.under_way = 0
        """The number of the attempt that a thread makes; 0: none."""
        self.guard: Any = None
        self.threads: list[threading.Thread] = []
        self.attempt = 0
        self.dropped = self.carried = 0
        """Messages that were pushed out; and how many of them the attempt under way tells of."""
        self.pause: Any = None
        self.told: dict[Any, tuple[str, str]] = {}
        """The alarms that were sent and have not ended, with their level and description."""
        return NoReply(continue_="subscribe")

    def handle_continue(self, _value: Any) -> None:
        for alarm in alarms.subscribe():
            self._raised(alarm.id, alarm.description)

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: no timer is left; what a thread has under way goes out or does not. (Must not block.)"""
        for timer in (getattr(self, "pause", None), getattr(self, "guard", None)):
            if timer is not None:
                kernel.cancel_timer(timer)

    def handle_cast(self, request: Any) -> None:
        if isinstance(request, Ways):
            self.ways = request
            wanted = request.all
            self.waiting = deque(one for one in self.waiting if one.url in wanted)
            self._next()

    def handle_info(self, message: Any) -> None:
        kind = message.__class__
        if kind is AlarmRaised:
            self._raised(message.id, message.description)
        elif kind is AlarmCleared:
            self._cleared(message.id)
        elif kind is _Sent:
            if message.number == self.under_way:
                self._sent(message.error)
        elif kind is Timeout and message.ref is self.pause:
            self.pause = None
            self._next()
        elif kind is Timeout and message.ref is self.guard:
            self._sent("no answer")

    # internals

    def _raised(self, id_: Any, description: Any) -> None:
        level = next((one.level for one in alarms.peek() if one.id == id_), logging.WARNING)
        if level >= _ORDER[self.ways.send_level]:
            text = description if isinstance(description, str) else brief(description, 4, 2_000)
            self.told[id_] = logging.getLevelName(level).lower(), text
            self._post("raised", id_)

    def _cleared(self, id_: Any) -> None:
        if id_ in self.told:
            self._post("cleared", id_)
            del self.told[id_]

    def _post(self, event: str, id_: Any) -> None:
        level, text = self.told[id_]
        name = str(id_[0] if isinstance(id_, tuple) and id_ else id_)
        facts = {
            "node": kernel.node(), "event": event, "id": alarms.id_text(id_), "name": name, "level": level,
            "description": text, "time": time.time(),
        }  # fmt: skip
        for url in self.ways.all:
            self.waiting.append(_Parcel(url, url == self.ways.webhook, tuple(facts.items())))
        while len(self.waiting) > _WAITING:
            # Not the first: that may be under way.
            del self.waiting[1]
            self.dropped += 1
        self._next()

    def _next(self) -> None:
        if self.under_way or self.pause is not None or not self.waiting:
            return
        self.threads = [one for one in self.threads if one.is_alive()]
        if len(self.threads) >= _THREADS:  # they hang, beyond all limits of time
            self._sent("earlier attempts still hang")
            return
        parcel = self.waiting[0]
        self.number += 1
        self.under_way = self.number
        self.carried = self.dropped
        facts = {**dict(parcel.facts), "dropped": self.carried}
        work = _call_webhook if parcel.is_webhook else _call_apprise
        args = (kernel.self_(), self.number, work, parcel.url, facts, self.ways.send_timeout)
        thread = threading.Thread(target=_carry, args=args, name="alarm_sender", daemon=True)
        thread.start()
        self.threads.append(thread)
        # The time limit of a socket is for each of its operations: this one is for all of them.
        self.guard = kernel.start_timer(3 * self.ways.send_timeout, kernel.self_(), "no answer")

    def _sent(self, error: str) -> None:
        """An attempt is over."""
        self.under_way = 0
        if self.guard is not None:
            kernel.cancel_timer(self.guard)
            self.guard = None
        if not self.waiting:
            return
        parcel = self.waiting[0]
        if error and self.attempt < self.ways.send_retries:
            pause = min(_LONGEST, self.ways.send_pause * 2**self.attempt)
            self.attempt += 1
            self.pause = kernel.start_timer(pause, kernel.self_(), "again")
            return
        if error:
            place, id_ = _place(parcel.url), dict(parcel.facts)["id"]
            _log.error("alarm %s could not be sent to %s: %s", id_, place, error)
        else:
            self.dropped -= self.carried  # those are told
        self.attempt = 0
        self.waiting.popleft()
        self._next()


# API


def configure(ways: Ways) -> None:
    """Send elsewhere from now on. Never blocks; without a sender nothing happens."""
    if kernel.whereis(NAME) is not None:
        kernel.cast(NAME, ways)


# Internals


def _carry(
    sender: Process, number: int, work: Callable[[str, dict[str, Any], float], str], url: str, facts: dict[str, Any],
    timeout: float,
) -> None:  # fmt: skip
    """The whole life of a thread."""
    kernel.post(sender, _Sent(number, work(url, facts, timeout)))


def _call_webhook(url: str, facts: dict[str, Any], timeout: float) -> str:
    """In a thread; return what went wrong, empty if nothing did."""
    body = json.dumps(facts).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "evergreen"}
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
    except Exception as error:  # noqa: BLE001 - URLs, names, TLS, HTTP: all of it is tried again, and said
        return f"{type(error).__name__}: {error}"


def _call_apprise(url: str, facts: dict[str, Any], _timeout: float) -> str:
    """In a thread, with apprise's own limits of time."""
    try:
        import apprise

        there = apprise.Apprise()
        if not there.add(url):
            return "apprise does not know such a URL"
        over = facts["event"] == "cleared"
        title = f"{facts['node']}: {facts['id']}{' is over' if over else ''}"
        return (
            "" if there.notify(body=str(facts["description"]), title=title) else "apprise could not send it"
        )
    except Exception as error:  # noqa: BLE001 - a hundred services of other people
        return f"{type(error).__name__}: {error}"


def _place(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"
