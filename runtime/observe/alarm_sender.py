"""Alarms go out: each one, and its end, to a webhook and to apprise URLs.

The process `alarm_sender` subscribes to the alarms and keeps for each URL what is to be sent there, the oldest first; one
message is under way at a time, in a thread of its own: not one of the pool, whose being full may be what is to be told. What
fails is tried again after growing pauses, `retries` times, then dropped and logged; until something gets there again, the
alarm `alarm_sender` is up, which goes to the other URLs. More than a hundred that wait push out the oldest; the next one sent
says how many. A URL that hangs holds up no other.

A webhook gets a POST of one JSON object:

    {"node": "evergreen@localhost", "event": "raised" | "cleared", "id": "disk /data", "name": "disk", "level": "warning",
     "description": "97% of the disk are in use: /data", "time": 1767225600.5, "dropped": 0}

and is done when it answers with 2xx. A redirect is not followed: it would be a GET, without the alarm, to a place that
nobody has configured. `http://user:password@host/` is sent with these as HTTP's basic authentication. URLs are secrets: no log line
has more of one than its host. Keys: alarms.webhook, alarms.apprise, alarms.send_level, alarms.send_timeout,
alarms.send_retries, alarms.send_pause.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

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
_THREADS = 3
_LONGEST = 300.0
"""Seconds: no pause between two attempts is longer."""
_ORDER = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

Facts = dict[str, Any]

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where alarms go, and how patiently. Seconds."""

    webhook: str = field(default="", repr=False)
    apprise: tuple[str, ...] = field(default=(), repr=False)
    send_level: str = "warning"
    send_timeout: float = 10.0
    send_retries: int = 5
    send_pause: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "apprise", tuple(self.apprise))

    @property
    def all(self) -> tuple[str, ...]:
        """Every URL that is sent to."""
        return tuple(dict.fromkeys((*((self.webhook,) if self.webhook else ()), *self.apprise)))


class _Sent(NamedTuple):
    """From the thread. `number`: of the attempt."""

    number: int
    error: str


class _Way:
    """One URL: what is to be sent there, and how that goes."""

    def __init__(self, url: str, is_webhook: bool) -> None:
        self.url = url
        self.is_webhook = is_webhook
        self.place = _place(url)
        self.waiting: deque[Facts] = deque()
        self.under_way = 0
        """The number of the attempt that a thread makes; 0: none."""
        self.guard: Any = None
        self.threads: list[threading.Thread] = []
        self.attempt = 0
        self.dropped = self.carried = 0
        """Messages that were pushed out; and how many of them the attempt under way tells of."""
        self.pause: Any = None

    @property
    def alarm(self) -> tuple[str, str]:
        """The id of the alarm that nothing gets there."""
        return NAME, self.place

    def close(self) -> None:
        """No timer is left; what a thread has under way goes out or does not."""
        for timer in (self.pause, self.guard):
            if timer is not None:
                kernel.cancel_timer(timer)
        self.pause = self.guard = None


class AlarmSender(GenServer):
    """The process `alarm_sender`."""

    def init(self, ways: Ways) -> NoReply:
        self.number = 0
        self.urls: dict[str, _Way] = {}
        self.told: dict[Any, tuple[str, str]] = {}
        """The alarms that were sent and have not ended, with their level and description."""
        self.failing: set[Any] = set()
        """Our own alarms that are up."""
        self._configure(ways)
        return NoReply(continue_="subscribe")

    def handle_continue(self, _value: Any) -> None:
        up = alarms.subscribe()
        self.failing = {one.id for one in up if isinstance(one.id, tuple) and one.id[0] == NAME}
        for alarm in up:
            self._raised(alarm.id, alarm.description)

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: no timer is left. (Must not block.)"""
        for way in getattr(self, "urls", {}).values():
            way.close()

    def handle_cast(self, request: Any) -> None:
        if isinstance(request, Ways):
            self._configure(request)

    def handle_info(self, message: Any) -> None:
        kind = message.__class__
        if kind is AlarmRaised:
            self._raised(message.id, message.description)
        elif kind is AlarmCleared:
            self._cleared(message.id)
        elif kind is _Sent:
            for way in self.urls.values():
                if message.number == way.under_way:
                    self._sent(way, message.error)
                    return
        elif kind is Timeout:
            for way in self.urls.values():
                if message.ref is way.pause:
                    way.pause = None
                    self._next(way)
                elif message.ref is way.guard:
                    self._sent(way, "no answer")

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        """Without the URLs."""
        if "state" in status:
            ways = {way.place: f"{len(way.waiting)} wait" for way in self.urls.values()}
            status["state"] = {**status["state"], "urls": ways}
        return status

    # internals

    def _configure(self, ways: Ways) -> None:
        self.ways = ways
        for url in set(self.urls) - set(ways.all):
            way = self.urls.pop(url)
            way.close()
            self._works(way)
        for url in ways.all:
            known = self.urls.get(url)
            if known is None:
                self.urls[url] = _Way(url, url == ways.webhook)
            elif known.pause is not None:  # what was wrong may have been what is mended
                kernel.cancel_timer(known.pause)
                known.pause = None
                self._next(known)

    def _raised(self, id_: Any, description: Any) -> None:
        known = alarms.find(id_)
        level = known.level if known is not None else logging.WARNING
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
        facts: Facts = {
            "node": kernel.node(), "event": event, "id": alarms.id_text(id_), "name": name, "level": level,
            "description": text, "time": time.time(),
        }  # fmt: skip
        for way in self.urls.values():
            if id_ == way.alarm:
                continue  # that nothing gets there would not get there
            way.waiting.append(facts)
            while len(way.waiting) > _WAITING:
                # Not the first: that may be under way.
                del way.waiting[1]
                way.dropped += 1
            self._next(way)

    def _next(self, way: _Way) -> None:
        if way.under_way or way.pause is not None or not way.waiting:
            return
        way.threads = [one for one in way.threads if one.is_alive()]
        if len(way.threads) >= _THREADS:  # they hang, beyond all limits of time
            self._sent(way, "earlier attempts still hang")
            return
        self.number += 1
        way.under_way = self.number
        way.carried = way.dropped
        facts = {**way.waiting[0], "dropped": way.carried}
        work = _call_webhook if way.is_webhook else _call_apprise
        args = (kernel.self_(), self.number, work, way.url, facts, self.ways.send_timeout)
        thread = threading.Thread(target=_carry, args=args, name="alarm_sender", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # there is no room for one: perhaps a moment later
            self._sent(way, str(error))
            return
        way.threads.append(thread)
        # The time limit of a socket is for each of its operations: this one is for all of them.
        way.guard = kernel.start_timer(3 * self.ways.send_timeout, kernel.self_(), "no answer")

    def _sent(self, way: _Way, error: str) -> None:
        """An attempt is over."""
        way.under_way = 0
        if way.guard is not None:
            kernel.cancel_timer(way.guard)
            way.guard = None
        if error and way.attempt < self.ways.send_retries:
            pause = min(_LONGEST, self.ways.send_pause * 2**way.attempt)
            way.attempt += 1
            way.pause = kernel.start_timer(pause, kernel.self_(), "again")
            return
        way.attempt = 0
        facts = way.waiting.popleft()
        if error:
            _log.error("alarm %s could not be sent to %s: %s", facts["id"], way.place, error)
            if kernel.whereis(alarms.NAME) is not None:
                self.failing.add(way.alarm)
                text = f"alarms do not get to {way.place}: {error}"
                alarms.set_alarm(way.alarm, text, level=logging.ERROR, quiet=True)
        else:
            way.dropped -= way.carried  # those are told
            self._works(way)
        self._next(way)

    def _works(self, way: _Way) -> None:
        if way.alarm in self.failing and kernel.whereis(alarms.NAME) is not None:
            self.failing.discard(way.alarm)
            alarms.clear_alarm(way.alarm, quiet=True)


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


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not 2xx."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _call_webhook(url: str, facts: dict[str, Any], timeout: float) -> str:
    """In a thread; return what went wrong, empty if nothing did."""
    body = json.dumps(facts).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "evergreen"}
    try:
        parts = urlsplit(url)
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the scheme was checked
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout) as answer:
            return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except Exception as error:  # noqa: BLE001 - URLs, names, TLS, HTTP: all of it is tried again, and said
        return _said(error)


def _call_apprise(url: str, facts: dict[str, Any], _timeout: float) -> str:
    """In a thread, with apprise's own limits of time."""
    try:
        import apprise

        # Its own log lines have whole URLs in them.
        logging.getLogger("apprise").propagate = False
        there = apprise.Apprise()
        if not there.add(url):
            return "apprise does not know such a URL"
        over = facts["event"] == "cleared"
        title = f"{facts['node']}: {facts['id']}{' is over' if over else ''}"
        return (
            "" if there.notify(body=str(facts["description"]), title=title) else "apprise could not send it"
        )
    except Exception as error:  # noqa: BLE001 - a hundred services of other people
        return _said(error)


def _said(error: Exception) -> str:
    """What went wrong, in words that cannot have the URL in them, as those of most exceptions do."""
    reason = getattr(error, "reason", error)  # an URLError's is the OSError
    reason = reason if isinstance(reason, Exception) else error
    words = reason.strerror if isinstance(reason, OSError) else None
    return f"{type(reason).__name__}: {words}" if words else type(reason).__name__


def _place(url: str) -> str:
    """A URL without what may be secret in it."""
    try:
        parts = urlsplit(url)
        return (
            f"{parts.scheme}://{parts.hostname or ''}"
            if parts.scheme in ("http", "https")
            else f"{parts.scheme}://"
        )
    except ValueError:  # an address in brackets that is none
        return "its URL"
