"""The client's side of the native protocol, without a socket: bytes in, events and bytes out.

Theory of operation. A `Session` is one account's view over any number of connections, one at a
time. The driver tells it `connected`, `receive`, `tick`, `disconnected`; it answers with events and
with bytes to write (`outgoing`). What a frame means depends on the state, and only `_TABLE` decides
that:

    OFFLINE -> GREETING -> GREETED -> RESUMING ------------> READY
                              |          | bad token          ^
                              +-> LOGIN <+ -> PROVING --------+
    (registration happens in GREETED; any state ends in OFFLINE)

What is promised in both directions outlives a connection and is kept apart: `departures` holds what we send until the
server has answered for good, `arrivals` sees to it that each message reaches the application once and in order, and is
acknowledged when it is stored. Here is the conversation: greeting, login, pings, patience, the end.

A local error (asking for something the state does not allow) raises LocalProtocolError. What the
server does wrong ends the session: an `Ended` event, code `protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from scramp import ScramClient, ScramException

from apps.chat.client.arrivals import Arrivals
from apps.chat.client.departures import Departures
from apps.chat.client.events import (
    Ended,
    Event,
    Failed,
    Identity,
    LocalProtocolError,
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

__all__ = ["Session"]

# types

STAGE_LIMIT: Final = 20.0
"Seconds for a stage before READY, and of silence after a ping."

_COME_BACK = frozenset(
    {"internal", "idle", "slow_reader", "busy", "restarting", "throttled", "unavailable", "slow_down"}
)

# API


class Session:
    """One account over successive connections. See the module's head. `outbox`: messages not answered for good, by id.

    Invariants (`_check`): READY or nothing is in flight; those of `arrivals` and `departures`.
    """

    limits: Limits | None
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
        self._client = client
        self._ref = 0
        self._arrivals = Arrivals(known, received)
        self._departures = Departures(outbox, reads, self._next_ref)
        self.outbox = self._departures.outbox
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
        self._departures.refuse_too_big(self.limits, events)
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
        self._arrivals.give_up(now, events)
        if self._departures.lose_patience(now):
            self._send_reads()
        self._pump()
        self._departures.refuse_too_big(self.limits, events)
        return events

    def deadline(self) -> float | None:
        """When `tick` should be called next, in `now`'s seconds; None when offline."""
        if self.state is State.OFFLINE:
            return None
        times = [self._heard + self._ping_every + STAGE_LIMIT]
        if self.state not in (State.READY, State.GREETED):
            times.append(self._stage + STAGE_LIMIT)
        if self.limits is not None:
            times.append(self._ping_at)
        gap = self._arrivals.deadline()
        if gap is not None:
            times.append(gap)
        times += self._departures.deadlines(self._now)
        return min(times)

    def outgoing(self) -> bytes:
        """Return what is to be written now; every byte is returned once."""
        upto = self._arrivals.acknowledge() if self.state is State.READY else None
        if upto is not None:
            self._queue(Ack(upto))
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
        self._departures.add(message)
        self._pump()

    def taken(self, seq: int) -> None:
        """The application has stored and shown everything it was given up to `seq`."""
        self._arrivals.taken(seq)

    def read(self, to: str, messages: tuple[int, ...]) -> None:
        """Tell `to` that these messages of theirs were read. Repeated until the server answers: ReadTold."""
        self._departures.add_read(Read(to, messages))
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
            self._queue(Resume(self._asking("resume"), self.identity.token, self._arrivals.received))
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
        self._arrivals.begin(frame.acked, resumed=frame.resumed)
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
        self._departures.told(frame.ref, events)

    def _pinged(self, frame: Ping, events: list[Event]) -> None:
        self._queue(Pong(frame.ref))

    def _accepted(self, frame: Accepted, events: list[Event]) -> None:
        if self._departures.accepted(frame.id):
            events.append(frame)
        self._pump()

    def _refused(self, frame: Refused, events: list[Event]) -> None:
        if not self._departures.refused(frame, self._now):
            return
        events.append(frame)
        self._pump()

    def _numbered(self, frame: Deliver | Receipt, events: list[Event]) -> None:
        self._arrivals.take(frame, self._now, events)

    def _passed_on(self, frame: Backlog | BacklogEnd | PinSent, events: list[Event]) -> None:
        events.append(frame)

    def _registered(self, frame: Registered, events: list[Event]) -> None:
        self.identity = Identity(frame.user, frame.device, frame.key)
        self._arrivals.received = 0
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
        self._arrivals.reset()
        self._departures.reset()
        self._heard = self._stage = 0.0
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
        ref = self._next_ref()
        self._asked[ref] = what
        return ref

    def _next_ref(self) -> int:
        self._ref += 1
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
        self._queue(Ping(self._next_ref()))
        self._ping_at = self._now + self._ping_every

    def _send_reads(self) -> None:
        if self.state is State.READY:
            self._out += self._departures.due_reads(self._now)

    def _pump(self) -> None:
        if self.state is State.READY:
            self._out += self._departures.due_sends(self._now, self.limits)

    def _check(self) -> None:
        self._arrivals.check()
        self._departures.check(is_ready=self.state is State.READY)


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
