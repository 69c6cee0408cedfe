"""The client's side of the native protocol, without a socket: bytes in, events and bytes out.

Theory of operation. A `Session` is one account's view over any number of connections, one at a
time. The driver tells it `connected`, `receive`, `tick`, `disconnected`; it answers with events and
with bytes to write (`outgoing`). What a frame means depends on the state, and only `_TABLE` decides
that:

    OFFLINE -> GREETING -> GREETED -> RESUMING ------------> READY
                              |          | bad token          ^
                              +-> LOGIN <+ -> PROVING --------+
    (registration happens in GREETED; any state ends in OFFLINE)

Promises, and where they are kept:
- A message is in `outbox` until the server said Accepted or Refused (for good). It is sent again
  with the same client id on the next connection, and after a while on the same one: the server's
  process that was about to answer may have died while our connection lived.
- A message reaches the application once: `_known` holds the ids of messages handed over, lately.
  Numbers alone would not do: a server restored from a backup may use a number again.
- Nothing is acknowledged before the application said `taken`. Acknowledgements are cumulative
  and never pass a gap.

A local error (asking for something the state does not allow) raises LocalProtocolError. What the
server does wrong ends the session: an `Ended` event, code `protocol`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from scramp import ScramClient, ScramException

from apps.chat.client.events import (
    Ended,
    Event,
    Failed,
    Identity,
    LocalProtocolError,
    ReadTold,
    Repeated,
    State,
    TokenRenewed,
)
from apps.chat.client.framing import Splitter, check
from apps.chat.native.frames import (
    VERSIONS,
    Accepted,
    Ack,
    AskPin,
    Backlog,
    BacklogEnd,
    Bye,
    Challenge,
    Deliver,
    Done,
    Error,
    FrameError,
    Hello,
    Limits,
    Login,
    Logout,
    Ping,
    PinSent,
    Pong,
    Proof,
    Read,
    Ready,
    Receipt,
    Refused,
    Register,
    Registered,
    Resume,
    Send,
    Welcome,
    decode_server,
    pack,
)

__all__ = ["KNOWN", "SEND_WINDOW", "Session"]
# types

SEND_WINDOW: Final = 64
"Messages sent and not answered yet, at most; the rest waits here."
KNOWN: Final = 4096
"Message ids remembered: far more than a server may have in flight for one device."
RESEND_AFTER: Final = 10.0
STAGE_LIMIT: Final = 20.0
GAP_PATIENCE: Final = 2.0

_COME_BACK = frozenset(
    {"internal", "idle", "slow_reader", "busy", "restarting", "throttled", "unavailable", "slow_down"}
)

# API


class Session:
    """One account over successive connections. See the module's head.

    Invariants (`_check`): READY or nothing is in flight; every id in flight is in the outbox;
    `_acked` <= `_done` position; held numbers are above the expected one.
    """

    limits: Limits | None
    _gap_since: float
    _resend_at: float
    _resend_after: float
    _acked: int
    _done: int
    _expected: int
    _heard: float
    _stage: float
    _ping_at: float
    _ping_every: float

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        outbox: Iterable[Send] = (),
        known: Iterable[int] = (),
        reads: Iterable[Read] = (),
        received: int = 0,
        client: str = "evergreen-chat",
    ) -> None:
        self.identity = identity
        self.state = State.OFFLINE
        self.outbox: OrderedDict[bytes, Send] = OrderedDict((send.id, send) for send in outbox)
        self.received = received
        self._client = client
        self._known: OrderedDict[int, None] = OrderedDict.fromkeys(known)
        self._ref = 0
        self._too_big: list[Send] = []
        self._reads: OrderedDict[int, Read] = OrderedDict()
        for read in reads:
            self._note_read(read)
        self._now = 0.0
        self._reset()

    def connected(self, now: float) -> None:
        """A connection is up: greet."""
        self._reset()
        self._now = self._heard = self._stage = now
        self._queue(Hello(VERSIONS, self._client, ()))
        self._enter(State.GREETING)

    def disconnected(self) -> None:
        """The connection is gone, however that came."""
        self._reset()

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the server; return what happened, in order."""
        self._now = self._heard = now
        events: list[Event] = []
        try:
            for payload in self._splitter.feed(data):
                frame = decode_server(payload)
                if frame is not None:
                    self._frame(frame, events)
                if self.state is State.OFFLINE:
                    break
        except FrameError as error:
            self._end(events, "protocol", f"the server sent what we cannot read: {error}")
        self._refuse_too_big(events)
        return events

    def tick(self, now: float) -> list[Event]:
        """Let time pass: pings, patience, sending again. Call at `deadline()`."""
        self._now = now
        events: list[Event] = []
        if self.state is State.OFFLINE:
            return events
        if self.state not in (State.READY, State.GREETED) and now >= self._stage + STAGE_LIMIT:
            self._end(
                events, "silent", f"the server did not finish the {self.state.value} in {STAGE_LIMIT:.0f} s"
            )
            return events
        if now >= self._heard + self._ping_every + STAGE_LIMIT:
            self._end(events, "silent", "the server says nothing any more")
            return events
        if self.limits is not None and now >= self._ping_at:
            self._ping()
        if self._held and now >= self._gap_since + GAP_PATIENCE:
            self._expected = min(self._held)
            self._done = self._expected - 1
            self._drain(events)
        if (self._in_flight or self._reads_sent) and now >= self._resend_at:
            self._resend_after = min(self._resend_after * 2, 60.0)
            self._in_flight.clear()
            self._reads_sent.clear()
            self._send_reads()
        self._pump()
        self._refuse_too_big(events)
        return events

    def deadline(self) -> float | None:
        """When `tick` should be called next, in `now`'s seconds; None when offline."""
        if self.state is State.OFFLINE:
            return None
        if self._too_big:
            return self._now
        times = [self._heard + self._ping_every + STAGE_LIMIT]
        if self.state not in (State.READY, State.GREETED):
            times.append(self._stage + STAGE_LIMIT)
        if self.limits is not None:
            times.append(self._ping_at)
        if self._held:
            times.append(self._gap_since + GAP_PATIENCE)
        if self._in_flight or self._reads_sent:
            times.append(self._resend_at)
        times.extend(at for at in self._paused.values() if at > self._now)
        return min(times)

    def outgoing(self) -> bytes:
        """Return what is to be written now; every byte is returned once."""
        if self.state is State.READY and self._done > self._acked:
            self._acked = self._done
            self._queue(Ack(self._acked))
        if not self._out:
            return b""
        data = pack(self._out)
        self._out.clear()
        return data

    def ask_pin(self, number: str) -> None:
        """Ask for a PIN: answered by PinSent or Failed("pin")."""
        self._need(State.GREETED)
        self._queue(AskPin(self._asking("pin"), number))

    def register(self, number: str, pin: str, device: str = "") -> None:
        """Give the PIN back: answered by Registered and a login, or by Failed("register")."""
        self._need(State.GREETED)
        self._queue(Register(self._asking("register"), number, pin, device))

    def send(self, message: Send) -> None:
        """Put `message` into the outbox and send it as soon as may be. The same id twice is once.

        Raises LocalProtocolError for what no server takes (`check`): in the outbox it would end every connection.
        """
        check(message)
        self.outbox.setdefault(message.id, message)
        self._pump()

    def taken(self, seq: int) -> None:
        """The application has stored and shown everything it was given up to `seq`."""
        while self._handed and self._handed[0] <= seq:
            self._settled.add(self._handed.popleft())
        self._advance()

    def read(self, to: str, messages: tuple[int, ...]) -> None:
        """Tell `to` that these messages of theirs were read. Repeated until the server answers: ReadTold."""
        self._note_read(Read(to, messages))
        self._send_reads()

    def leave(self) -> None:
        """Say goodbye; the caller closes. The resume token stays good."""
        if self.state is not State.OFFLINE:
            self._queue(Bye("logout"))

    def logout(self) -> None:
        """End the session for good: the server voids its resume tokens and answers with Bye."""
        if self.state is State.READY:
            self._queue(Logout())

    # internals: frames

    def _frame(self, frame: Any, events: list[Event]) -> None:
        states, handler = _TABLE[type(frame)]
        if states is not None and self.state not in states:
            self._end(events, "protocol", f"the server sent {type(frame).__name__} while {self.state.value}")
            return
        handler(self, frame, events)

    def _welcome(self, frame: Welcome, events: list[Event]) -> None:
        self.limits = frame.limits
        self._ping_every = max(1.0, frame.limits.ping_every)
        self._ping_at = self._now + self._ping_every
        self._enter(State.GREETED)
        events.append(frame)
        if self.identity is None:
            return
        if self.identity.token:
            self._queue(Resume(self._asking("resume"), self.identity.token, self.received))
            self._enter(State.RESUMING)
        else:
            self._login()

    def _login(self) -> None:
        assert self.identity is not None
        self._scram = ScramClient(["SCRAM-SHA-256"], self.identity.user, self.identity.key)
        self._queue(Login(self._asking("login"), self.identity.user, self._scram.get_client_first()))
        self._enter(State.LOGIN)

    def _challenge(self, frame: Challenge, events: list[Event]) -> None:
        try:
            self._scram.set_server_first(frame.data)
            answer = self._scram.get_client_final()
        except ScramException as error:
            self._end(events, "protocol", f"the server's login challenge is wrong: {error}")
            return
        self._queue(Proof(self._asking("login"), answer))
        self._enter(State.PROVING)

    def _ready(self, frame: Ready, events: list[Event]) -> None:
        if self.state is State.PROVING:
            # The server proves that it knows us, too: without this check anybody with a
            # certificate could take our messages.
            try:
                self._scram.set_server_final(frame.data or "")
            except ScramException as error:
                self._end(
                    events, "protocol", f"the server could not prove that it knows this account: {error}"
                )
                return
        assert self.identity is not None
        self.identity = Identity(frame.user, frame.device, self.identity.key, frame.token)
        if not frame.resumed:
            self.received = frame.acked
        # After a resume the server goes on after what we said we hold; otherwise after what we acknowledged.
        self._expected = max(self.received, frame.acked) + 1
        self._done, self._acked = self._expected - 1, frame.acked
        self.received = self._expected - 1
        self._enter(State.READY)
        events.append(TokenRenewed(frame.token))
        events.append(frame)
        self._send_reads()
        self._pump()

    def _pong(self, frame: Pong, events: list[Event]) -> None:
        if frame.token and self.identity is not None:
            self.identity = Identity(self.identity.user, self.identity.device, self.identity.key, frame.token)
            events.append(TokenRenewed(frame.token))

    def _did(self, frame: Done, events: list[Event]) -> None:
        read = self._reads.pop(frame.ref, None)
        self._reads_sent.discard(frame.ref)
        if read is not None:
            events.append(ReadTold(Read(read.to, read.messages)))

    def _pinged(self, frame: Ping, events: list[Event]) -> None:
        self._queue(Pong(frame.ref))

    def _accepted(self, frame: Accepted, events: list[Event]) -> None:
        self._in_flight.discard(frame.id)
        if self.outbox.pop(frame.id, None) is not None:
            events.append(frame)
        self._resend_after = RESEND_AFTER
        self._pump()

    def _refused(self, frame: Refused, events: list[Event]) -> None:
        self._in_flight.discard(frame.id)
        message = self.outbox.get(frame.id)
        if message is None:
            return
        if frame.retry:
            # Those after it to the same person wait as well: their order is a promise.
            pause = self._now + max(0.2, frame.retry_after or 1.0)
            self._paused[message.to] = max(pause, self._paused.get(message.to, 0.0))
        else:
            del self.outbox[frame.id]
        events.append(frame)
        self._pump()

    def _numbered(self, frame: Deliver | Receipt, events: list[Event]) -> None:
        if frame.seq > self._expected:
            # TLS keeps order, so a gap is the server's fault or a wire's under test. Wait a moment
            # for what is missing; then go on, for a lost number must not lock a user out.
            if not self._held:
                self._gap_since = self._now
            self._held[frame.seq] = frame
            return
        if frame.seq == self._expected:
            self._hand(frame, events)
            self._drain(events)
            return
        if isinstance(frame, Deliver) and frame.message not in self._known:
            # Late, after we gave up on the gap: better out of order than never.
            self._know(frame.message)
            events.append(frame)
            return
        if self._done:
            self._acked = min(self._acked, self._done - 1)  # our acknowledgement was lost: say it again
        events.append(Repeated(frame.seq))

    def _drain(self, events: list[Event]) -> None:
        while self._expected in self._held:
            self._hand(self._held.pop(self._expected), events)
        if self._held:
            for seq in [seq for seq in self._held if seq < self._expected]:
                del self._held[seq]
            self._gap_since = self._now

    def _hand(self, frame: Deliver | Receipt, events: list[Event]) -> None:
        self._expected = frame.seq + 1
        self.received = max(self.received, frame.seq)
        if isinstance(frame, Deliver):
            if frame.message in self._known:
                self._settle_repeated(frame.seq)
                events.append(Repeated(frame.seq))
                return
            self._know(frame.message)
        self._handed.append(frame.seq)
        events.append(frame)

    def _settle_repeated(self, seq: int) -> None:
        # Shown before (in another life, or on the last connection). If the application still holds
        # it from there, its number is waiting in _handed and this one follows it.
        self._settled.add(seq)
        self._advance()

    def _passed_on(self, frame: Backlog | BacklogEnd | PinSent, events: list[Event]) -> None:
        events.append(frame)

    def _registered(self, frame: Registered, events: list[Event]) -> None:
        self.identity = Identity(frame.user, frame.device, frame.key)
        self.received = 0
        events.append(frame)
        self._login()

    def _error(self, frame: Error, events: list[Event]) -> None:
        what = self._asked.pop(frame.ref, "other") if frame.ref is not None else "other"
        if what == "resume" and self.state is State.RESUMING and not frame.retry:
            assert self.identity is not None
            self.identity = Identity(self.identity.user, self.identity.device, self.identity.key)
            events.append(TokenRenewed(""))
            self._login()
            return
        if what in ("login", "resume"):
            events.append(Failed("login", frame.code, frame.text, frame.retry, frame.retry_after))
            self._end(events, frame.code, frame.text, frame.retry_after, final=not frame.retry)
            return
        events.append(Failed(what, frame.code, frame.text, frame.retry, frame.retry_after))

    def _bye(self, frame: Bye, events: list[Event]) -> None:
        if frame.code == "bad_ack" and self.identity is not None:
            # The server's queue is behind our memory (restored from a backup): start from its numbers.
            self.identity = Identity(self.identity.user, self.identity.device, self.identity.key)
            events.append(TokenRenewed(""))
            self._end(events, frame.code, frame.text, frame.retry_after or 0.0)
            return
        final = frame.retry_after is None and frame.code not in _COME_BACK
        self._end(events, frame.code, frame.text, frame.retry_after, final=final)

    # internals: the rest

    def _reset(self) -> None:
        self.state = State.OFFLINE
        self._splitter = Splitter()
        self._out: list[Any] = []
        self._asked: dict[int, str] = {}
        self._in_flight: set[bytes] = set()
        self._paused: dict[str, float] = {}
        self._held: dict[int, Deliver | Receipt] = {}
        self._handed: deque[int] = deque()
        self._settled: set[int] = set()
        self._reads_sent: set[int] = set()
        self._expected = 0
        self._done = self._acked = 0
        self._gap_since = self._heard = self._stage = 0.0
        self._resend_after = RESEND_AFTER
        self._resend_at = 0.0
        self._ping_every = 30.0
        self._ping_at = 0.0
        self.limits = None

    def _enter(self, state: State) -> None:
        self.state = state
        self._stage = self._now

    def _need(self, state: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"this needs the state {state.value}; the session is {self.state.value}")

    def _queue(self, frame: Any) -> None:
        self._out.append(frame)

    def _asking(self, what: str) -> int:
        self._ref += 1
        self._asked[self._ref] = what
        return self._ref

    def _end(
        self,
        events: list[Event],
        code: str,
        text: str,
        retry_after: float | None = None,
        *,
        final: bool = False,
    ) -> None:
        events.append(Ended(code, text, retry_after, final))
        self._reset()

    def _ping(self) -> None:
        self._ref += 1
        self._queue(Ping(self._ref))
        self._ping_at = self._now + self._ping_every

    def _note_read(self, read: Read) -> None:
        self._ref += 1
        self._reads[self._ref] = Read(read.to, read.messages, self._ref)

    def _send_reads(self) -> None:
        if self.state is not State.READY:
            return
        for ref, read in self._reads.items():
            if ref not in self._reads_sent:
                self._expect_answers()
                self._reads_sent.add(ref)
                self._queue(read)

    def _expect_answers(self) -> None:
        if not self._in_flight and not self._reads_sent:
            self._resend_at = self._now + self._resend_after

    def _pump(self) -> None:
        if self.state is not State.READY:
            return
        for to in [to for to, at in self._paused.items() if at <= self._now]:
            del self._paused[to]
        room = SEND_WINDOW - len(self._in_flight)
        if room <= 0 or len(self.outbox) == len(self._in_flight):
            return
        self._expect_answers()
        for message in self.outbox.values():
            if message.id in self._in_flight or message.to in self._paused:
                continue
            if self.limits is not None and len(message.body) > self.limits.max_body:
                # Not even tried: a frame beyond the limit ends the connection, and would do so on every one.
                self._too_big.append(message)
                continue
            self._in_flight.add(message.id)
            self._queue(message)
            room -= 1
            if room == 0:
                break
        for message in self._too_big:
            self.outbox.pop(message.id, None)

    def _refuse_too_big(self, events: list[Event]) -> None:
        if self._too_big and self.limits is not None:
            text = f"this server takes messages of up to {self.limits.max_body} bytes"
            events += [Refused(message.id, "too_big", text) for message in self._too_big]
            self._too_big.clear()

    def _know(self, message: int) -> None:
        self._known[message] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _advance(self) -> None:
        while self._done + 1 in self._settled:
            self._done += 1
            self._settled.discard(self._done)

    def _check(self) -> None:
        assert self.state is State.READY or not self._in_flight
        assert self._in_flight <= set(self.outbox)
        assert all(seq > self._expected for seq in self._held)
        assert self._acked <= self._done < max(1, self._expected)
        assert len(self._known) <= KNOWN


_READY = frozenset({State.READY})
_TABLE: Final[dict[type, tuple[frozenset[State] | None, Callable[[Session, Any, list[Event]], None]]]] = {
    Welcome: (frozenset({State.GREETING}), Session._welcome),
    PinSent: (frozenset({State.GREETED}), Session._passed_on),
    Registered: (frozenset({State.GREETED}), Session._registered),
    Challenge: (frozenset({State.LOGIN}), Session._challenge),
    Ready: (frozenset({State.PROVING, State.RESUMING}), Session._ready),
    Accepted: (_READY, Session._accepted),
    Refused: (_READY, Session._refused),
    Deliver: (_READY, Session._numbered),
    Receipt: (_READY, Session._numbered),
    Backlog: (_READY, Session._passed_on),
    BacklogEnd: (_READY, Session._passed_on),
    Ping: (None, Session._pinged),
    Pong: (None, Session._pong),
    Done: (None, Session._did),
    Error: (None, Session._error),
    Bye: (None, Session._bye),
}
