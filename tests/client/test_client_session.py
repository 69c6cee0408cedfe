"""The client's session without a socket: the state table, and a hostile network by hypothesis."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.chat.client.backoff import Backoff
from apps.chat.client.profile import Profile
from apps.chat.client.events import Ended, Failed, Identity, LocalProtocolError, Repeated, State, TokenRenewed
from apps.chat.client.session import Session
from apps.chat.native.frames import (
    Accepted,
    Ack,
    Bye,
    Deliver,
    Error,
    Ping,
    PinSent,
    Pong,
    Ready,
    Receipt,
    Refused,
    Registered,
    Resume,
    Send,
    Welcome,
    decode_client,
    pack,
)
from tests.client.model import LIMITS, Model, ModelConnection

pytestmark = pytest.mark.plain

USER = "+33612345678"
KEY = "k" * 43


def talk(session: Session, server: ModelConnection, now: float = 0.0) -> list[Any]:
    """Carry everything both ways until both are silent."""
    events: list[Any] = []
    while True:
        up = session.outgoing()
        if up:
            server.receive(up)
        down = pack(server.outgoing())
        if not up and not down:
            return events
        events += session.receive(down, now)


def sent(session: Session) -> list[Any]:
    data, frames = session.outgoing(), []
    while data:
        size = int.from_bytes(data[:4], "big")
        frames.append(decode_client(data[4 : 4 + size]))
        data = data[4 + size :]
    return frames


def online(model: Model, **kwargs: Any) -> tuple[Session, ModelConnection]:
    session = Session(Identity(USER, "d1", KEY), **kwargs)
    session.connected(0.0)
    server = model.connection()
    talk(session, server)
    assert session.state is State.READY
    return session, server


@pytest.fixture
def model() -> Model:
    made = Model()
    made.add(USER, KEY)
    return made


def test_registration_leads_to_a_login_by_itself() -> None:
    model, session = Model(), Session()
    session.connected(0.0)
    server = model.connection()
    assert [type(e) for e in talk(session, server)] == [Welcome]
    session.ask_pin(USER)
    assert isinstance(talk(session, server)[0], PinSent)
    session.register(USER, "00000")
    failed = talk(session, server)
    assert failed == [Failed("register", "bad_pin", "wrong PIN")]
    session.register(USER, model.pin)
    assert [type(e) for e in talk(session, server)] == [Registered, TokenRenewed, Ready]
    assert session.state is State.READY


def test_a_request_in_the_wrong_state_is_the_callers_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="greeted"):
        Session().ask_pin(USER)


def test_a_wrong_key_ends_the_session_for_good(model: Model) -> None:
    session = Session(Identity(USER, "d1", "x" * 43))
    session.connected(0.0)
    events = talk(session, model.connection())
    assert events[-1] == Ended("auth_failed", "unknown user or wrong key", None, final=True)


def test_a_server_that_cannot_prove_itself_gets_nothing(model: Model) -> None:
    session = Session(Identity(USER, "d1", KEY), outbox=[Send(b"i" * 16, "+331", "text", b"secret")])
    session.connected(0.0)
    server = model.connection()
    server.receive(session.outgoing())
    session.receive(pack(server.outgoing()), 0)
    server.receive(session.outgoing())
    session.receive(pack(server.outgoing()), 0)
    session.outgoing()
    wrong = Ready(3, USER, "d1", False, "t", "v=" + "A" * 43 + "=", 0, 0, 1)
    events = session.receive(pack([wrong]), 0)
    assert isinstance(events[-1], Ended)
    assert "prove" in events[-1].text
    assert session.outgoing() == b""


def test_resume_needs_no_login_and_a_void_token_falls_back_to_one(model: Model) -> None:
    session, _ = online(model)
    assert (model.logins, model.resumes) == (1, 0)
    session.disconnected()
    session.connected(1.0)
    talk(session, model.connection())
    assert (model.logins, model.resumes) == (1, 1)
    model.tokens.clear()
    session.disconnected()
    session.connected(2.0)
    events = talk(session, model.connection())
    assert TokenRenewed("") in events
    assert session.state is State.READY
    assert model.logins == 2


def test_nothing_is_acknowledged_before_the_application_took_it(model: Model) -> None:
    session, server = online(model)
    for body in (b"1", b"2", b"3"):
        model.push(USER, body)
    events = [e for e in session.receive(pack(server.outgoing()), 0) if isinstance(e, Deliver)]
    assert [e.body for e in events] == [b"1", b"2", b"3"]
    assert sent(session) == []
    session.taken(2)
    assert sent(session) == [Ack(2)]
    session.taken(3)
    assert sent(session) == [Ack(3)]


def test_a_repeated_message_is_not_shown_but_acknowledged_again(model: Model) -> None:
    session, server = online(model)
    model.push(USER, b"once")
    (frame,) = server.outgoing()
    session.receive(pack([frame]), 0)
    session.taken(1)
    assert sent(session) == [Ack(1)]
    assert session.receive(pack([frame]), 0) == [Repeated(1)]
    assert sent(session) == [Ack(1)]


def test_a_message_known_from_an_earlier_life_is_acknowledged_without_being_shown(model: Model) -> None:
    known = model.push(USER, b"seen before the kill")
    session = Session(Identity(USER, "d1", KEY), known=[known])
    session.connected(0.0)
    events = talk(session, model.connection())
    assert Repeated(1) in events
    assert not any(isinstance(e, Deliver) for e in events)
    assert model.accounts[USER].acked == 1


def test_unanswered_messages_are_sent_again_in_order_on_the_next_connection(model: Model) -> None:
    session, _ = online(model)
    ids = [bytes([n]) * 16 for n in range(100)]
    for client_id in ids:
        session.send(Send(client_id, "+331", "text", b"x"))
    first = [f.id for f in sent(session)]
    assert first == ids[:64]
    session.disconnected()
    session.connected(1.0)
    talk(session, model.connection())
    assert model.order == ids
    assert not session.outbox


def test_a_message_without_an_answer_is_sent_again_on_the_same_connection(model: Model) -> None:
    session, _ = online(model)
    session.send(Send(b"i" * 16, "+331", "text", b"x"))
    assert len(sent(session)) == 1
    assert session.deadline() is not None
    session.receive(pack([Pong(0)]), 10.5)
    session.tick(10.5)
    assert [f.id for f in sent(session) if isinstance(f, Send)] == [b"i" * 16]
    session.receive(pack([Accepted(b"i" * 16, 7, 1), Accepted(b"i" * 16, 7, 1)]), 11)
    assert not session.outbox


def test_a_refusal_to_be_retried_holds_back_later_messages_to_the_same_person(model: Model) -> None:
    session, _ = online(model)
    session.send(Send(b"1" * 16, "+331", "text", b"x"))
    sent(session)
    session.receive(pack([Refused(b"1" * 16, "slow_down", "slowly", True, 5.0)]), 1.0)
    session.send(Send(b"2" * 16, "+331", "text", b"x"))
    session.send(Send(b"3" * 16, "+332", "text", b"x"))
    assert [f.id for f in sent(session)] == [b"3" * 16]
    assert session.deadline() == 6.0
    session.tick(6.0)
    assert [f.id for f in sent(session)] == [b"1" * 16, b"2" * 16]


def test_a_refusal_for_good_leaves_the_outbox(model: Model) -> None:
    session, _ = online(model)
    session.send(Send(b"1" * 16, "nobody", "text", b"x"))
    session.receive(pack([Refused(b"1" * 16, "no_such_user", "nobody of that name")]), 1.0)
    assert not session.outbox


def test_a_gap_is_waited_for_and_then_passed(model: Model) -> None:
    session, _ = online(model)
    three = Deliver(3, 13, "+331", "text", b"3", 1)
    assert session.receive(pack([three]), 1.0) == []
    assert session.tick(1.5) == []
    two = Deliver(2, 12, "+331", "text", b"2", 1)
    session.receive(pack([two]), 2.0)
    assert session.tick(3.0) == [two, three]
    late = Deliver(1, 11, "+331", "text", b"1", 1)
    assert session.receive(pack([late]), 4.0) == [late]
    session._check()


def test_silence_is_pinged_and_then_ended(model: Model) -> None:
    session, _ = online(model)
    session.tick(LIMITS.ping_every + 1)
    assert any(isinstance(f, Ping) for f in sent(session))
    events = session.tick(LIMITS.ping_every + 25)
    assert isinstance(events[0], Ended)
    assert not events[0].final


def test_a_ping_is_answered_and_a_fresh_token_kept(model: Model) -> None:
    session, _ = online(model)
    session.receive(pack([Ping(9)]), 1.0)
    assert sent(session) == [Pong(9)]
    assert session.receive(pack([Pong(1, "fresh")]), 1.0) == [TokenRenewed("fresh")]
    session.disconnected()
    session.connected(2.0)
    server = model.connection()
    server.receive(session.outgoing())
    session.receive(pack(server.outgoing()), 2.0)
    (resume,) = sent(session)
    assert isinstance(resume, Resume)
    assert resume.token == "fresh"


@pytest.mark.parametrize(
    ("code", "retry_after", "final"),
    [
        ("replaced", None, True),
        ("logout", None, True),
        ("restarting", 3.0, False),
        ("internal", None, False),
        ("idle", None, False),
        ("version", None, True),
        ("bad_field", None, True),
    ],
)
def test_bye_says_whether_to_come_back(
    model: Model, code: str, retry_after: float | None, final: bool
) -> None:
    session, _ = online(model)
    events = session.receive(pack([Bye(code, "bye", retry_after)]), 1.0)
    assert events == [Ended(code, "bye", retry_after, final)]
    assert session.state is State.OFFLINE


def test_throttled_at_login_is_not_final(model: Model) -> None:
    session = Session(Identity(USER, "d1", KEY))
    session.connected(0.0)
    session.receive(pack([Welcome(1, (), 1, LIMITS, "d", "n")]), 0.0)
    login = sent(session)[-1]
    events = session.receive(pack([Error(login.ref, "throttled", "later", True, 9.0)]), 0.0)
    assert events[-1] == Ended("throttled", "later", 9.0, final=False)


@given(st.binary(max_size=200))
def test_noise_from_the_server_ends_the_session_and_nothing_else(noise: bytes) -> None:
    session = Session(Identity(USER, "d1", KEY))
    session.connected(0.0)
    session.outgoing()
    for event in session.receive(noise, 0.0):
        assert isinstance(event, (Ended, Failed, Welcome))


def test_read_marks_are_repeated_until_the_server_saw_them(model: Model) -> None:
    session, _ = online(model)
    session.read("+331", (7,))
    session.disconnected()
    session.connected(1.0)
    talk(session, model.connection())
    assert [r.messages for r in model.reads] == [(7,)]
    session.disconnected()
    session.connected(2.0)
    talk(session, model.connection())
    assert len(model.reads) == 1


@given(st.floats(0, 100), st.integers(0, 40))
def test_backoff_grows_to_its_cap_and_obeys_the_server(wish: float, tries: int) -> None:
    backoff = Backoff(rng=random.Random(1))
    for _ in range(tries):
        backoff.next()
    assert 0.5 <= backoff.next() <= 60.0
    assert backoff.next(wish) >= wish
    backoff.reset()
    assert backoff.next() <= 1.0


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("up"), st.integers(1, 400)),
        st.tuples(st.just("down"), st.integers(1, 6)),
        st.tuples(st.just("repeat"), st.integers(0, 5)),
        st.tuples(st.just("swap"), st.integers(0, 5)),
        st.tuples(st.just("cut"), st.just(0)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("time"), st.integers(1, 15)),
    ),
    max_size=60,
)


class Wire:
    """The client with its disk, the model server, and a wire between them that cuts, repeats and swaps."""

    def __init__(self, directory: Path) -> None:
        self.model = Model()
        self.model.add(USER, KEY)
        self.directory = directory
        self.shown: list[bytes] = []
        self.now = 0.0
        self.count = 0
        self.sent: list[bytes] = []
        self.pushed: list[bytes] = []
        self._start()

    def _start(self) -> None:
        self.profile = Profile(self.directory)
        account = self.profile.account
        if not account.key:
            account.user, account.key = USER, KEY
        self.session = Session(
            account.identity(),
            outbox=self.profile.outbox.values(),
            known=self.profile.known,
            received=self.profile.received,
        )
        self._connect()

    def _connect(self) -> None:
        self.server = self.model.connection()
        self.down: list[Any] = []
        self.up = b""
        self.session.connected(self.now)

    def act(self, action: str, n: int) -> None:
        match action:
            case "push":
                for _ in range(n):
                    self.count += 1
                    self.pushed.append(b"m%d" % self.count)
                    self.model.push(USER, self.pushed[-1])
            case "send":
                for _ in range(n):
                    self.count += 1
                    message = Send(self.count.to_bytes(16, "big"), "+331", "text", b"s")
                    self.sent.append(message.id)
                    self.profile.queue(message)
                    self.session.send(message)
            case "up":
                self.up += self.session.outgoing()
                self.server.receive(self.up[:n])
                self.up = self.up[n:]
            case "down":
                self.down += self.server.outgoing()
                self.receive(self.down[:n])
                del self.down[:n]
            case "repeat" if n < len(self.down) and isinstance(self.down[n], (Deliver, Receipt)):
                self.down.insert(n, self.down[n])
            case "swap" if n + 1 < len(self.down) and all(
                isinstance(f, Deliver) for f in self.down[n : n + 2]
            ):
                self.down[n], self.down[n + 1] = self.down[n + 1], self.down[n]
            case "cut":
                self.session.disconnected()
                self._connect()
            case "kill":
                self.profile.close()
                self._start()
            case "time":
                self.now += n
                self.digest(self.session.tick(self.now))
                if self.session.state is State.OFFLINE:
                    self._connect()
        self.session._check()

    def receive(self, frames: list[Any]) -> None:
        self.digest(self.session.receive(pack(frames), self.now))
        if self.session.state is State.OFFLINE:
            self._connect()

    def digest(self, events: list[Any]) -> None:
        kept = [e for e in events if isinstance(e, (Accepted, Refused, Deliver, Receipt))]
        self.profile.record(kept)
        fresh = self.profile.unshown()
        self.profile.mark_shown(fresh)
        self.shown += [entry.body for entry in fresh]
        for event in events:
            if isinstance(event, (Deliver, Receipt)):
                self.session.taken(event.seq)
            elif isinstance(event, TokenRenewed):
                self.profile.account.token = event.token

    def heal(self) -> None:
        for _ in range(40):
            self.act("up", 10**6)
            self.act("down", 10**6)
        self.act("time", 12)
        for _ in range(10):
            self.act("up", 10**6)
            self.act("down", 10**6)


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_whatever_the_wire_does_each_message_counts_once_and_in_order(actions: list[tuple[str, int]]) -> None:
    """CHAT §2: no acknowledged message is lost, none shown twice; per pair the order of acceptance."""
    with tempfile.TemporaryDirectory() as name:
        wire = Wire(Path(name))
        for action in actions:
            wire.act(*action)
        wire.heal()
        assert wire.model.order == wire.sent
        assert sorted(wire.shown) == sorted(wire.pushed)
        if ("swap" not in {name for name, _ in actions}) or ("time" not in {name for name, _ in actions}):
            assert wire.shown == wire.pushed
        assert not wire.session.outbox
        assert not wire.model.accounts[USER].queue
        wire.profile.close()


def test_a_body_beyond_the_servers_limit_is_refused_here_and_does_not_block_the_rest(model: Model) -> None:
    session, server = online(model)
    session.send(Send(b"1" * 16, "+331", "text", b"x" * (LIMITS.max_body + 1)))
    session.send(Send(b"2" * 16, "+331", "text", b"x"))
    events = talk(session, server) + session.tick(1.0)
    assert [(e.id, e.code) for e in events if isinstance(e, Refused)] == [(b"1" * 16, "too_big")]
    assert model.order == [b"2" * 16]
    assert not session.outbox


@pytest.mark.parametrize(
    "message",
    [
        Send(b"short", "+331", "text", b""),
        Send(b"1" * 16, "", "text", b""),
        Send(b"1" * 16, "x" * 65, "text", b""),
        Send(b"1" * 16, "+331", "", b""),
    ],
)
def test_what_no_server_takes_never_enters_the_outbox(message: Send) -> None:
    session = Session()
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        session.send(message)
    assert not session.outbox
