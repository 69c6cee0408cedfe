"""One session of the native protocol: which frame is welcome when, and what it brings about. No socket in here.

Theory of operation: `receive` takes raw frames, `told` takes messages of other processes; both append frames for the
peer to `out`, and may end the dialogue (`state` ENDED). The table says which frame is welcome in which state:

    HELLO --Hello--> AUTH --Login--> PROOF --Proof--> ATTACHING --Attached--> READY --Logout, Bye--> ENDED
                     AUTH --Resume------------------> ATTACHING
                     PROOF, ATTACHING --refused--> AUTH            any --bad input, Replaced--> ENDED

READY, the session watches its own user process; when that dies, it attaches to the next one and the peer notices nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from apps.chat.domain import messages as m
from apps.chat.domain.counters import counters
from apps.chat.domain.credentials import BadLogin, Login, derive_keys, new_device_key
from apps.chat.domain.homes import NoHome
from apps.chat.domain.ids import now_ms
from apps.chat.domain.limits import TokenBucket
from apps.chat.domain.records import Envelope
from apps.chat.domain.registration import Denied, normalise
from apps.chat.native import frames as f
from apps.chat.native.outbox import ASK_AGAIN, Outbox
from runtime.kernel import BadName, CallError, Down, blocking, call, demonitor, monitor
from runtime.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    from apps.chat.native.door import Door

__all__ = ["ATTACHING", "AUTH", "ENDED", "HELLO", "PROOF", "READY", "TABLE", "Dialogue", "code_of"]

# types

HELLO: Final = "hello"
AUTH: Final = "auth"
PROOF: Final = "proof"
ATTACHING: Final = "attaching"
READY: Final = "ready"
ENDED: Final = "ended"

ATTACH_TRIES: Final = 6
LOGIN_TRIES: Final = 5  # on one connection
EARLY_FRAMES: Final = 200  # before the login; a registration takes 3
TOO_FAST: Final = 30.0  # seconds of debt: that is no fast client but a flood
LOGIN: Final = "login"
RESUME: Final = "resume"
FEATURES: Final[tuple[str, ...]] = ("resume", "read")

_ALWAYS: Final[dict[Any, str]] = {f.Ping: "_ping", f.Pong: "_nothing", f.Bye: "_bye"}
TABLE: Final[dict[str, dict[Any, str]]] = {
    HELLO: {f.Hello: "_hello", f.Bye: "_bye"},
    AUTH: {**_ALWAYS, f.AskPin: "_ask_pin", f.Register: "_register", f.Login: "_login", f.Resume: "_resume"},
    PROOF: {**_ALWAYS, f.Proof: "_proof"},
    ATTACHING: _ALWAYS,
    READY: {**_ALWAYS, f.Send: "_send", f.Ack: "_ack", f.Read: "_read", f.Logout: "_logout"},
    ENDED: {},
}


class _Attaching(NamedTuple):
    """A login or resume that waits for the user process."""

    ref: int
    data: str | None
    attach: m.Attach

    @property
    def kind(self) -> str:
        """What the counters call it: only a login has something to prove."""
        return RESUME if self.data is None else LOGIN


class Dialogue:
    """One session. `me` is the pid that answers come to, `host` the peer's address."""

    def __init__(self, door: Door, me: Any, host: str, now: float) -> None:
        self.state = HELLO
        self.out: list[Struct] = []
        self.wait = 0.0
        "seconds for which the peer should not be read: it is faster than its limits"
        self.user = ""
        self.outbox: Outbox | None = None
        self._door = door
        self._me = me
        self._host = host
        self._now = now
        self._early = 0
        self._failures = 0
        self._scram: Login | None = None
        self._attaching: _Attaching | None = None
        self._attach_at: float | None = None
        self._attach_tries = 0
        self._device = ""
        self._epoch = 0
        self._watch: Any = None
        self._process: Any = None
        self._sent = 0
        self._acked = 0
        self._token_at = 0.0
        self._messages: TokenBucket | None = None
        self._bytes: TokenBucket | None = None

    # API

    def receive(self, data: list[bytes], now: float) -> None:
        """Take a batch of frames. May block: registration and login ask other processes, a first send starts one."""
        self._now = now
        decode, send = f.decode_client, f.Send
        table = TABLE[self.state]
        sends = size = 0
        for raw in data:
            try:
                frame = decode(raw)
            except f.FrameError as error:
                self.fail(code_of(raw) or error.code, error.text)
                return
            kind = frame.__class__
            if frame is None:
                continue
            name = table.get(kind)
            if name is None:
                self.fail("too_early", f"{kind.__name__} does not belong here (state {self.state})")
                return
            if kind is send:
                sends += 1
                size += len(raw)
            getattr(self, name)(frame)
            if self.state is ENDED:
                return
            table = TABLE[self.state]
        if self.outbox is not None:
            self.outbox.submit(now)
            self._shape(sends + 0.25 * (len(data) - sends), size)
        else:
            self._early += len(data)
            if self._early > EARLY_FRAMES:
                self.fail("too_many", "too many frames before the login")

    def told(self, message: Any, now: float) -> bool:
        """Take a message of another process; False if it is none of ours."""
        self._now = now
        handler = _TOLD.get(message.__class__)
        if handler is None:
            return False
        if self.state is not ENDED:
            handler(self, message)
        return True

    def tick(self, now: float) -> None:
        """Ask again for what has been left unanswered. To be called every few seconds while `is_waiting`."""
        self._now = now
        if self._attach_at is not None and now - self._attach_at >= ASK_AGAIN:
            self._attach_again()
        if self.outbox is not None and self.state is not ENDED:
            self.outbox.tick(now)

    @property
    def is_waiting(self) -> bool:
        """Whether `tick` has something to watch."""
        return self._attach_at is not None or (self.outbox is not None and self.outbox.is_waiting)

    def fail(self, code: str, text: str, retry_after: float | None = None, *, is_logged: bool = True) -> None:
        """The peer broke the rules: say so, and end."""
        if self.state is not ENDED:
            if is_logged:
                self._door.complain(self._host, code, text)
            self.out.append(f.Error(None, code, text, retry_after is not None, retry_after))
            self.end(code, text, retry_after)

    def end(self, code: str, text: str = "", retry_after: float | None = None) -> None:
        """Say goodbye."""
        if self.state is not ENDED:
            self.out.append(f.Bye(code, text or f.CODES.get(code, ""), retry_after))
            self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        self.state = ENDED
        self.outbox = None
        self._attach_at = None
        if self._watch is not None:
            demonitor(self._watch, flush=True)
            self._watch = None

    # frames before the login

    def _hello(self, frame: f.Hello) -> None:
        common = [version for version in frame.versions if version in f.VERSIONS]
        if not common:
            self.fail(
                "version", f"no version in common; this server speaks {', '.join(map(str, f.VERSIONS))}"
            )
            return
        self.state = AUTH
        door = self._door
        features = tuple(name for name in frame.features if name in FEATURES)
        welcome = f.Welcome(max(common), features, now_ms(), door.limits, door.settings.domain, door.node)
        self.out.append(welcome)

    def _ask_pin(self, frame: f.AskPin) -> None:
        number = normalise(frame.number)
        if number is None:
            counters.pins_refused["bad_number"] += 1
            self._error(frame.ref, "bad_number")
            return
        asked = self._registrar(("ask", number, self._host))
        if isinstance(asked, Denied):
            counters.pins_refused[asked.code] += 1
            self._error(frame.ref, asked.code, asked.retry_after)
        else:
            counters.pins += 1
            self.out.append(f.PinSent(frame.ref, asked.retry_after, asked.expires_in))

    def _register(self, frame: f.Register) -> None:
        number = normalise(frame.number)
        if number is None:
            self._not_registered(frame.ref, "bad_number")
            return
        denied = self._registrar(("check", number, frame.pin, self._host))
        if denied is not None:
            self._not_registered(frame.ref, denied.code, denied.retry_after)
            return
        key = new_device_key()
        try:
            claimed = self._door.homes.claim(number, frame.device, *blocking(derive_keys, key))
        except (NoHome, StoreError):
            self._not_registered(frame.ref, "unavailable", 5.0)
            return
        self.out.append(f.Registered(frame.ref, number, claimed.device, key))

    def _not_registered(self, ref: int, code: str, retry_after: float | None = None) -> None:
        counters.registrations_refused[code] += 1
        self._error(ref, code, retry_after)

    def _registrar(self, request: tuple[str, ...]) -> Any:
        try:
            return call(self._door.registrar, request)
        except (CallError, BadName):
            return Denied("unavailable", 5.0)

    def _login(self, frame: f.Login) -> None:
        door = self._door
        if self._is_refused(frame.ref, LOGIN):
            return
        wait = door.login_wait(self._host, frame.user)
        if wait > 0:
            self._not_let_in(frame.ref, LOGIN, "throttled", wait)
            return
        try:
            scram = Login(frame.user, door.homes.account(frame.user), door.secrets)
            challenge = scram.first(frame.data)
        except (NoHome, StoreError):
            self._not_let_in(frame.ref, LOGIN, "unavailable", 5.0)
        except BadLogin:
            self._login_failed(frame.ref, frame.user)
        else:
            self._scram = scram
            self.state = PROOF
            self.out.append(f.Challenge(frame.ref, challenge))

    def _proof(self, frame: f.Proof) -> None:
        scram, self._scram = self._scram, None
        assert scram is not None
        self.state = AUTH
        try:
            account, data = scram.final(frame.data)
        except BadLogin:
            self._login_failed(frame.ref, scram.user)
            return
        self._door.login_succeeded(self._host, scram.user)
        self._attach(scram.user, _Attaching(frame.ref, data, m.Attach(self._me, account.epoch, None, None)))

    def _resume(self, frame: f.Resume) -> None:
        if self._is_refused(frame.ref, RESUME):
            return
        token = self._door.secrets.read(frame.token, self._door.login.token_valid)
        if token is None:
            self._not_let_in(frame.ref, RESUME, "bad_token")
            return
        attach = m.Attach(self._me, token.epoch, token.issued, frame.received)
        self._attach(token.user, _Attaching(frame.ref, None, attach))

    def _is_refused(self, ref: int, kind: str) -> bool:
        load = self._door.load
        if not load.busy:
            return False
        retry_after = load.retry_after()
        self._not_let_in(ref, kind, "busy", retry_after)
        self.end("busy", retry_after=retry_after)
        return True

    def _login_failed(self, ref: int, user: str) -> None:
        self._door.login_failed(self._host, user)
        self._failures += 1
        self._not_let_in(ref, LOGIN, "auth_failed")
        if self._failures >= LOGIN_TRIES:
            self.fail("auth_failed", "too many failed logins on this connection")

    def _not_let_in(self, ref: int, kind: str, code: str, retry_after: float | None = None) -> None:
        counters.logins_refused[kind, code] += 1
        self._error(ref, code, retry_after)

    # frames while READY

    def _send(self, frame: f.Send) -> None:
        limit = self._door.settings.max_body
        if len(frame.body) > limit:
            counters.refused["too_big"] += 1
            self.out.append(f.Refused(frame.id, "too_big", f"the body may have {limit} bytes"))
        else:
            self.outbox.add(frame)  # type: ignore[union-attr]

    def _ack(self, frame: f.Ack) -> None:
        upto = frame.upto
        if upto > self._sent:
            self.fail("bad_ack", f"{upto} was acknowledged, {self._sent} is the last that was sent")
        elif upto > self._acked:
            self._acked = upto
            if self._attach_at is None:
                self._door.homes.send(self.user, m.AckUpTo(self._me, upto))

    def _read(self, frame: f.Read) -> None:
        outbox = self.outbox
        assert outbox is not None
        outbox.submit(self._now)
        outbox.read(frame, self._now)

    def _logout(self, _frame: f.Logout) -> None:
        assert self.outbox is not None
        self.outbox.submit(self._now)
        self._door.homes.send(self.user, m.SignOff(self._me))
        self.end("logout")

    # frames at any time

    def _ping(self, frame: f.Ping) -> None:
        stale = self.state is READY and self._now - self._token_at > self._door.login.token_refresh
        self.out.append(f.Pong(frame.ref, self._token() if stale else None))

    def _nothing(self, _frame: Any) -> None:
        pass

    def _bye(self, _frame: f.Bye) -> None:
        if self.outbox is not None:
            self.outbox.submit(self._now)
        self.lost()

    # what others say

    def _attached(self, message: m.Attached) -> None:
        if self._watch is not None:
            demonitor(self._watch, flush=True)
        self._process = message.process
        self._watch = monitor(message.process)
        self._attach_at = None
        self._attach_tries = 0
        self._device, self._epoch = message.device, message.epoch
        attaching, self._attaching = self._attaching, None
        if attaching is None:
            # The next user process: it may have forgotten what the peer has acknowledged.
            if self._acked > message.acked:
                self._door.homes.send(self.user, m.AckUpTo(self._me, self._acked))
            return
        door, now = self._door, self._now
        settings = door.settings
        self._messages = TokenBucket(settings.messages_per_second, settings.messages_burst, now)
        self._bytes = TokenBucket(settings.bytes_per_second, settings.bytes_burst, now)
        self.outbox = Outbox(door.homes, self._me, self.user)
        self.state = READY
        self._acked = message.acked
        # What the device holds already counts as sent: it may acknowledge it.
        self._sent = max(message.acked, attaching.attach.received or 0)
        counters.logins[attaching.kind] += 1
        token = self._token()
        ref, data, queued = attaching.ref, attaching.data, message.queued
        acked, device = message.acked, self._device
        self.out.append(f.Ready(ref, self.user, device, data is None, token, data, acked, queued, now_ms()))
        if message.following:
            self.out.append(f.Backlog(message.following))

    def _attach_refused(self, message: m.AttachRefused) -> None:
        attaching, self._attaching = self._attaching, None
        self._attach_at = None
        if attaching is None:
            self.end("replaced")
        else:
            self.state = AUTH
            code = message.code if attaching.data is None else "auth_failed"
            self._not_let_in(attaching.ref, attaching.kind, code)

    def _deliveries(self, message: m.Deliveries) -> None:
        seq = message.first
        out, attempts = self.out, message.attempts
        for entry in message.entries:
            if entry.__class__ is Envelope:
                out.append(
                    f.Deliver(seq, entry.message, entry.sender, entry.kind, entry.body, entry.time, attempts)
                )
            else:
                out.append(f.Receipt(seq, entry.who, entry.status, entry.messages, entry.time))  # type: ignore[union-attr,arg-type]
            seq += 1
        self._sent = max(self._sent, seq - 1)
        if message.backlog_end:
            out.append(f.BacklogEnd())

    def _accepted(self, message: m.Accepted) -> None:
        if self.outbox is not None:
            self.outbox.accepted(message, self.out, self._now)

    def _refused(self, message: m.RefusedSends) -> None:
        if self.outbox is not None:
            self.outbox.refused(message, self.out, self._now)

    def _again(self, message: m.Again) -> None:
        if self.outbox is not None:
            self.outbox.again(message.user, self._now)

    def _taken(self, message: m.Taken) -> None:
        ref = self.outbox.taken(message.ref) if self.outbox is not None else 0
        if ref:
            self.out.append(f.Done(ref))

    def _replaced(self, message: m.Replaced) -> None:
        self.end(message.code)

    def _down(self, message: Down) -> None:
        if message.ref == self._watch:
            self._watch = None
            self._attach_again()

    # internals

    def _attach(self, user: str, attaching: _Attaching) -> None:
        self.user = user
        self.state = ATTACHING
        self._attaching = attaching
        self._attach_at = self._now
        self._door.homes.send(user, attaching.attach)

    def _attach_again(self) -> None:
        self._attach_tries += 1
        if self._attach_tries > ATTACH_TRIES:
            if self._attaching is not None:
                counters.logins_refused[self._attaching.kind, "unavailable"] += 1
            self.end("unavailable", retry_after=5.0)
            return
        self._attach_at = self._now
        attaching = self._attaching
        attach = attaching.attach if attaching else m.Attach(self._me, self._epoch, None, self._sent)
        self._door.homes.send(self.user, attach)

    def _token(self) -> str:
        self._token_at = self._now
        return self._door.secrets.issue(self.user, self._device, self._epoch)

    def _shape(self, count: float, size: int) -> None:
        """Count frames against the limits: who is faster is read more slowly, who floods is sent away."""
        if self._messages is None or self._bytes is None:
            return
        self.wait = max(self._messages.take(count, self._now), self._bytes.take(size, self._now))
        if self.wait > TOO_FAST:
            self.fail("slow_down", "far more than the allowed rate", self.wait)
        elif self._now - self._token_at > self._door.login.token_refresh:
            self.out.append(f.Pong(0, self._token()))

    def _error(self, ref: int, code: str, retry_after: float | None = None) -> None:
        self.out.append(f.Error(ref, code, f.CODES[code], retry_after is not None, retry_after))


_TOLD: Final[dict[type, Callable[[Dialogue, Any], None]]] = {
    m.Accepted: Dialogue._accepted,
    m.Deliveries: Dialogue._deliveries,
    m.Attached: Dialogue._attached,
    m.AttachRefused: Dialogue._attach_refused,
    m.RefusedSends: Dialogue._refused,
    m.Again: Dialogue._again,
    m.Taken: Dialogue._taken,
    m.Replaced: Dialogue._replaced,
    Down: Dialogue._down,
}


def code_of(head: bytes) -> str | None:
    """`wrong_protocol` if these first bytes belong to HTTP, XML or TLS; else None."""
    start = head[:8]
    if start.startswith(_FOREIGN) or start[:2] == b"\x16\x03":
        return "wrong_protocol"
    return None


_FOREIGN: Final = (
    b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"PRI * ", b"HTTP/",
    b"<?xml", b"<stream", b"<presenc", b"<message", b"<iq",
)  # fmt: skip
