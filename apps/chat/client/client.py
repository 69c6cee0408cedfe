"""A client that stays: it connects, resumes, waits out trouble and never forgets what it promised.

`Client` joins a `Profile` (disk), a `Session` (protocol) and one `Connection` at a time. It owns no
thread: whoever has time calls `step()`; an event loop watches `fileno()` and `deadline()` instead.
What the server says is on disk before `step` returns it, and only then acknowledged.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from apps.chat.client.backoff import Backoff
from apps.chat.client.connection import CertificateProblem, Connection, ConnectionLost, find_ca, tls_context
from apps.chat.client.profile import Entry, Profile
from apps.chat.client.events import Ended, Event, Failed, ReadTold, State, TokenRenewed, TooBig
from apps.chat.client.framing import check
from apps.chat.client.session import Session
from apps.chat.native.frames import (
    Accepted,
    Deliver,
    Read,
    Ready,
    Receipt,
    Refused,
    Registered,
    Send,
    Welcome,
)

__all__ = ["Client", "Dialing", "News", "Stopped", "Waiting"]

# types


@dataclass(frozen=True)
class Dialing:
    """A connection is being made."""

    host: str
    port: int


@dataclass(frozen=True)
class Waiting:
    """No connection; the next attempt comes after `seconds`."""

    seconds: float
    why: str


@dataclass(frozen=True)
class Stopped:
    """The client gave up for good; `code` as in the protocol's table, or `certificate`."""

    code: str
    why: str


@dataclass(frozen=True)
class News:
    """One event, and the message of the profile that it changed, if any."""

    event: Event | Dialing | Waiting | Stopped
    entry: Entry | None = None


_SHORT = {
    "restarting": "the node restarts",
    "busy": "the server is busy",
    "internal": "the server had a fault",
    "idle": "the server heard nothing from us",
    "slow_reader": "we read too slowly",
}
"""What a person needs to know of a passing trouble; the server's own sentence is for logs."""

# API


class Client:
    """See the module's head. `profile` must be open and locked; it stays the caller's to close."""

    def __init__(
        self,
        profile: Profile,
        *,
        ca: str | None = None,
        insecure: bool = False,
        name: str = "evergreen-chat",
        rng: random.Random | None = None,
    ) -> None:
        self.profile = profile
        self.stopped: Stopped | None = None
        self.connections = 0
        account = profile.account
        self._ca = ca
        self._insecure = insecure
        # Refuses a wrong use at once; what connections use is looked up at each dial.
        self._authority = _stamp(find_ca(self._named_ca()))
        tls_context(account.host, find_ca(self._named_ca()), insecure=insecure)
        self._backoff = Backoff(rng=rng)
        self._connection: Connection | None = None
        self._next_try = 0.0
        self.session = Session(
            account.identity(),
            outbox=profile.outbox.values(),
            known=profile.known,
            reads=profile.reads,
            received=profile.received,
            client=name,
        )

    @property
    def is_ready(self) -> bool:
        return self.session.state is State.READY

    def send(self, to: str, body: bytes | str, kind: str = "text", client_id: bytes | None = None) -> Entry:
        """Promise to send: the message is on disk when this returns, and goes out when it can.

        Raises LocalProtocolError for what no server would take, TooBig for what this one does not take, before anything is promised.
        """
        data = body.encode() if isinstance(body, str) else body
        message = Send(client_id or secrets.token_bytes(16), to, kind, data)
        limits = self.session.limits
        largest = limits.max_body if limits is not None else self.profile.account.max_body
        if largest and len(data) > largest:
            raise TooBig(
                f"the message has {len(data)} bytes; this server takes up to {largest}: it was not sent"
            )
        check(message)
        entry = self.profile.queue(message)
        self.session.send(message)
        self._write()
        return entry

    def read(self, entries: list[Entry]) -> None:
        """Tell the senders that these were read."""
        by_sender: dict[str, list[int]] = {}
        for entry in entries:
            by_sender.setdefault(entry.with_, []).append(entry.message)
        for sender, messages in by_sender.items():
            for at in range(0, len(messages), 1024):
                read = Read(sender, tuple(messages[at : at + 1024]))
                self.profile.add_read(read)
                self.session.read(read.to, read.messages)
        self._write()

    def ask_pin(self, number: str) -> None:
        """Ask for a PIN. The session must be greeted and not logged in."""
        self.session.ask_pin(number)
        self._write()

    def register(self, number: str, pin: str, device: str = "") -> None:
        """Give the PIN back; a login follows by itself."""
        self.session.register(number, pin, device)
        self._write()

    def step(self, timeout: float) -> list[News]:
        """Wait at most `timeout` seconds for something to do, do it, and return what happened."""
        if self.stopped is not None:
            return []
        news: list[News] = []
        now = time.monotonic()
        if self._connection is None:
            if now < self._next_try:
                time.sleep(min(timeout, self._next_try - now))
                return news
            if not self._dial(news):
                return news
        due = self.deadline()
        assert self._connection is not None
        try:
            was_open = self._connection.is_open
            data = self._connection.wait(max(0.0, min(timeout, (due or now + timeout) - now)))
        except CertificateProblem as error:
            self._distrusted(news, error)
            return news
        except ConnectionLost as error:
            self._lost(news, str(error))
            return news
        now = time.monotonic()
        if self._connection.is_open and not was_open:
            self.session.connected(now)
        self._digest(self.session.receive(data, now) if data else [], news)
        if self._connection is not None:
            self._digest(self.session.tick(now), news)
        self._write()
        return news

    def fileno(self) -> int | None:
        """What to watch, or None when there is no connection."""
        return self._connection.fileno() if self._connection is not None else None

    def interest(self) -> int:
        """READ | WRITE of `connection`, for `fileno()`."""
        return self._connection.interest() if self._connection is not None else 0

    def deadline(self) -> float | None:
        """When to call `step` although nothing moved, on time.monotonic()'s clock."""
        if self.stopped is not None:
            return None
        if self._connection is None:
            return self._next_try
        if self._connection.has_pending:
            return 0.0
        if not self._connection.is_open:
            return self._connection.deadline + 0.01
        return self.session.deadline()

    def hurry(self) -> None:
        """Try now instead of waiting out the back-off (the user is there)."""
        if self._connection is None:
            self._next_try = 0.0

    def close(self) -> None:
        """Say goodbye, send what is queued (at most a second) and close."""
        if self._connection is not None:
            self.session.leave()
            self._write()
            self._connection.finish()
            self._connection = None
        self.session.disconnected()

    # internals

    def _dial(self, news: list[News]) -> bool:
        account = self.profile.account
        news.append(News(Dialing(account.host, account.port)))
        authority = find_ca(self._named_ca())
        self._authority = _stamp(authority)
        try:
            context = tls_context(account.host, authority, insecure=self._insecure)
            self._connection = Connection(account.host, account.port, context)
        except CertificateProblem as error:
            self._distrusted(news, error)
            return False
        except ConnectionLost as error:
            self._lost(news, str(error))
            return False
        self.connections += 1
        return True

    def _named_ca(self) -> str | None:
        return self._ca or self.profile.account.ca or None

    def _distrusted(self, news: list[News], error: CertificateProblem) -> None:
        """Give up, unless the authority's file appeared or changed since we dialed: a node makes its own at first."""
        if not self._insecure and _stamp(find_ca(self._named_ca())) != self._authority:
            self._lost(news, "the node has just made its certificates")
        else:
            self._stop(news, "certificate", str(error))

    def _write(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.write(self.session.outgoing())

    def _digest(self, events: list[Event], news: list[News]) -> None:
        kept = [event for event in events if isinstance(event, (Accepted, Refused, Deliver, Receipt))]
        entries = iter(self.profile.record(kept) if kept else [])
        for event in events:
            match event:
                case Accepted() | Refused() | Deliver() | Receipt():
                    news.append(News(event, next(entries)))
                    if isinstance(event, (Deliver, Receipt)):
                        self.session.taken(event.seq)
                    continue
                case Registered():
                    self.profile.new_account(event.user, event.device, event.key)
                case Welcome():
                    self.profile.account.max_body = event.limits.max_body  # on disk with the next token
                case TokenRenewed():
                    self.profile.account.token = event.token
                    self.profile.save_account()
                case ReadTold():
                    self.profile.read_told(event.read)
                case Ready():
                    self._backoff.reset()
                case Ended():
                    news.append(News(event))
                    self._ended(event, news)
                    return
                case Failed() if event.code == "auth_failed":
                    pass  # the key stays on disk: only the user may decide to throw it away
                case _:
                    pass
            news.append(News(event))

    def _ended(self, event: Ended, news: list[News]) -> None:
        self._write()
        if event.final:
            self._stop(news, event.code, event.text)
        else:
            self._lost(news, _SHORT.get(event.code) or event.text or event.code, event.retry_after)

    def _lost(self, news: list[News], why: str, retry_after: float | None = None) -> None:
        self._drop()
        delay = self._backoff.next(retry_after)
        self._next_try = time.monotonic() + delay
        news.append(News(Waiting(delay, why)))

    def _stop(self, news: list[News], code: str, why: str) -> None:
        self._drop()
        self.stopped = Stopped(code, why)
        news.append(News(self.stopped))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.session.disconnected()


# internals


def _stamp(authority: Path | None) -> tuple[Path, int, int] | None:
    """What tells one content of the file from another; None while there is no file."""
    try:
        found = authority.stat() if authority is not None else None
    except OSError:
        return None
    return (
        (authority, found.st_mtime_ns, found.st_ino) if authority is not None and found is not None else None
    )
