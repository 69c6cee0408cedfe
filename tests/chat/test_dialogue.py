"""The session table, without a socket: real store, cluster, user processes and registrar; frames in, frames out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scramp import ScramClient

from apps.chat.domain.settings import DeliverySettings
from apps.chat.native import dialogue as d
from apps.chat.native import frames as f
from apps.chat.native.door import NativeSettings
from runtime.kernel import TIMEOUT, Down, clock, exit, receive, receive_match, self_, send, spawn, yield_
from runtime.testing import until
from tests.chat.world import World, world

ANNA, BOB = "+33612000001", "+33612000002"


class Peer:
    """A client by hand: a dialogue, and what it has said so far. Several live in one test process: each message that
    comes for the process is offered to the dialogue whose turn it is."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.pid = spawn(self._relay)
        self.inbox: list[Any] = []
        self.dialogue = d.Dialogue(made.door, self.pid, "127.0.0.1", clock.now())
        self.seen: list[Any] = []
        self.me = self_()

    def _relay(self) -> None:
        while True:
            send(self.me, (self, receive()))

    def say(self, *frames: Any) -> list[Any]:
        self.dialogue.receive([f.encode(frame) for frame in frames], clock.now())
        return self.take()

    def raw(self, *data: bytes) -> list[Any]:
        self.dialogue.receive(list(data), clock.now())
        return self.take()

    def take(self) -> list[Any]:
        out, self.dialogue.out = self.dialogue.out, []
        self.seen += out
        return out

    def until(self, kind: type | Callable[[Any], bool], timeout: float = 10.0) -> Any:
        """The next frame of a kind, listening for it."""
        fits = (lambda frame: isinstance(frame, kind)) if isinstance(kind, type) else kind
        while True:
            for at, frame in enumerate(self.seen):
                if fits(frame):
                    del self.seen[at]
                    return frame
            assert self.hear(timeout), f"{kind} did not come; {self.seen}"

    def hear(self, timeout: float = 5.0) -> bool:
        """Take one message; False if none comes."""
        # What the dialogue monitors it monitors as the test's process: a Down comes here directly.
        watch = self.dialogue._watch
        message = receive_match(
            lambda one: one[0] is self or (isinstance(one, Down) and one.ref == watch), timeout
        )
        if message is TIMEOUT:
            return False
        self.dialogue.told(message if isinstance(message, Down) else message[1], clock.now())
        self.take()
        return True

    def hello(self) -> Peer:
        (welcome,) = self.say(f.Hello((1,), "test"))
        assert isinstance(welcome, f.Welcome)
        self.seen.clear()
        return self

    def register(self, number: str) -> str:
        (sent,) = self.say(f.AskPin(1, number))
        assert isinstance(sent, f.PinSent), sent
        until(lambda: [pin for pin in self.world.gateway.sent if pin.number == number])
        pin = self.world.gateway.sent.pop()
        # The claim is answered to the calling process, here the test's.
        (registered,) = self.say(f.Register(2, number, pin.digits, "test"))
        assert isinstance(registered, f.Registered), registered
        self.seen.clear()
        return registered.key

    def login(self, user: str, key: str) -> f.Ready:
        client = ScramClient(["SCRAM-SHA-256"], user, key)
        (challenge,) = self.say(f.Login(3, user, client.get_client_first()))
        assert isinstance(challenge, f.Challenge), challenge
        client.set_server_first(challenge.data)
        self.say(f.Proof(3, client.get_client_final()))
        ready = self.until(f.Ready)
        client.set_server_final(ready.data)
        self.user, self.key, self.token = user, key, ready.token
        return ready

    def close(self) -> None:
        self.dialogue.lost()
        exit(self.pid, "kill")


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Any]:
    """`with peers() as new:` gives a function that makes peers in one world."""

    @contextmanager
    def make(**settings: Any) -> Iterator[Callable[[], Peer]]:
        made: list[Peer] = []
        with world(tmp_path, **settings) as where:

            def new() -> Peer:
                made.append(Peer(where))
                return made[-1].hello()

            new.world = where  # type: ignore[attr-defined]
            try:
                yield new
            finally:
                for peer in made:
                    peer.close()

    return make


def send_frame(to: str, body: bytes = b"hi", cid: bytes | None = None) -> f.Send:
    return f.Send(cid or os.urandom(16), to, "text", body)


def test_two_people_register_write_and_see_both_check_marks(peers: Any) -> None:
    with peers() as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.login(BOB, bob.register(BOB))
        sent = send_frame(BOB, b"hello bob")
        anna.say(sent)
        accepted = anna.until(f.Accepted)
        delivered = bob.until(f.Deliver)
        assert (delivered.seq, delivered.sender, delivered.body) == (1, ANNA, b"hello bob")
        assert delivered.message == accepted.message
        bob.say(f.Ack(1), f.Read(ANNA, (delivered.message,), 9))
        receipts = [anna.until(f.Receipt), anna.until(f.Receipt)]
        assert {(r.who, r.status, r.messages) for r in receipts} == {
            (BOB, "delivered", (accepted.message,)), (BOB, "read", (accepted.message,)),
        }  # fmt: skip
        assert bob.until(f.Done).ref == 9
        anna.say(sent)
        again = anna.until(f.Accepted)
        assert again == accepted, "the same id gives the same answer"
        anna.say(f.Ack(2))
        bob.say(send_frame(ANNA, b"back"))
        assert anna.until(f.Deliver).seq == 3, "numbers go on after everything was acknowledged"


def test_what_waits_is_announced_comes_in_order_and_ends(peers: Any) -> None:
    with peers(delivery=DeliverySettings(window=4)) as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        key = bob.register(BOB)
        anna.say(*[send_frame(BOB, b"%d" % n) for n in range(10)])
        for _ in range(10):
            anna.until(f.Accepted)
        ready = bob.login(BOB, key)
        assert (ready.acked, ready.queued) == (0, 10)
        assert bob.until(f.Backlog).count == 10
        for n in range(10):
            delivered = bob.until(f.Deliver)
            assert (delivered.seq, delivered.body) == (n + 1, b"%d" % n)
            bob.say(f.Ack(delivered.seq))
        bob.until(f.BacklogEnd)


def test_a_resume_needs_no_login_and_goes_on_where_the_device_is(peers: Any) -> None:
    with peers() as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.login(BOB, bob.register(BOB))
        anna.say(*[send_frame(BOB, b"%d" % n) for n in range(3)])
        for n in range(3):
            assert bob.until(f.Deliver).body == b"%d" % n
        bob.close()
        again = new()
        again.say(f.Resume(4, bob.token, 2))
        ready = again.until(f.Ready)
        assert (ready.resumed, ready.acked, ready.queued) == (True, 0, 3)
        delivered = again.until(f.Deliver)
        assert delivered.body == b"2"
        assert delivered.attempt == 2
        again.say(f.Ack(3))
        assert anna.until(f.Receipt).status == "delivered"


def test_a_new_registration_ends_the_old_device_and_its_key(peers: Any) -> None:
    with peers() as new:
        old, other = new(), new()
        key = old.register(BOB)
        old.login(BOB, key)
        new.world.registrar.behaviour.book._pins.clear()
        newer = other.register(BOB)
        bye = old.until(f.Bye)
        assert bye.code == "replaced"
        assert old.dialogue.state == d.ENDED
        third = new()
        client = ScramClient(["SCRAM-SHA-256"], BOB, key)
        (challenge,) = third.say(f.Login(3, BOB, client.get_client_first()))
        client.set_server_first(challenge.data)
        (error,) = third.say(f.Proof(3, client.get_client_final()))
        assert (error.code, error.ref) == ("auth_failed", 3)
        third.seen.clear()
        third.say(f.Resume(5, old.token, 0))
        assert third.until(f.Error).code == "bad_token"
        assert other.login(BOB, newer).user == BOB


def test_an_unknown_user_looks_like_a_wrong_key(peers: Any) -> None:
    with peers() as new:
        known = new()
        known.register(BOB)
        answers = []
        for user in (BOB, "+33612000099"):
            peer = new()
            salts = []
            for _ in range(2):
                client = ScramClient(["SCRAM-SHA-256"], user, "no key of anybody")
                (challenge,) = peer.say(f.Login(3, user, client.get_client_first()))
                salts.append(challenge.data.split(",")[1])
                client.set_server_first(challenge.data)
                answers += peer.say(f.Proof(3, client.get_client_final()))
            assert salts[0] == salts[1]
            assert len(salts[0]) == len("s=") + 24
        assert len({(a.code, a.text, a.retry) for a in answers}) == 1


def test_a_user_process_that_dies_is_replaced_and_nobody_notices(peers: Any) -> None:
    with peers() as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.login(BOB, bob.register(BOB))
        homes = new.world.homes
        for n in range(5):
            anna.say(send_frame(BOB, b"%d" % n))
            anna.until(f.Accepted)
            assert bob.until(f.Deliver).body == b"%d" % n
            exit(homes.find(BOB), "kill")
            before = bob.dialogue._process
            while bob.dialogue._process is before:
                assert bob.hear()
            bob.say(f.Ack(n + 1))
            receipt = anna.until(f.Receipt)
            assert receipt.status == "delivered"


def test_a_dead_process_with_a_commit_on_its_way_loses_nothing(peers: Any) -> None:
    with peers() as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.login(BOB, bob.register(BOB))
        homes = new.world.homes
        sent = [send_frame(BOB, b"%d" % n) for n in range(40)]
        for n, frame in enumerate(sent):
            anna.say(frame)
            if n % 4 == 3 and homes.find(BOB) is not None:
                yield_()
                exit(homes.find(BOB), "kill")
        accepted: dict[bytes, int] = {}
        while len(accepted) < 40:
            if not anna.hear(0.2):
                anna.dialogue.tick(clock.now() + 10)
            accepted.update({frame.id: frame.message for frame in anna.seen if isinstance(frame, f.Accepted)})
        got: dict[int, bytes] = {}
        while len(got) < 40:
            for frame in [one for one in bob.seen if isinstance(one, f.Deliver)]:
                bob.seen.remove(frame)
                assert got.setdefault(frame.seq, frame.body) == frame.body
            if len(got) < 40:
                assert bob.hear(), got
        assert [got[seq] for seq in sorted(got)] == [b"%d" % n for n in range(40)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_frame"),
        (b"\xc1 noise", "bad_frame"),
        (b"\x91\x63", "unknown_frame"),
        (b"\x92\x01\x05", "bad_field"),
        (b"GET / HTTP/1.1", "wrong_protocol"),
        (b"<?xml version='1.0'?>", "wrong_protocol"),
        (f.encode(send_frame(BOB, cid=b"c" * 16)), "too_early"),
        (f.encode(f.Hello((7, 8))), "version"),
    ],
)
@pytest.mark.plain
def test_each_kind_of_bad_input_has_its_code(data: bytes, code: str) -> None:
    """CHAT §4: bad input gets a typed error, then that connection alone ends."""
    door: Any = SimpleNamespace(complain=lambda *a: None)
    dialogue = d.Dialogue(door, None, "127.0.0.1", 0.0)
    dialogue.receive([data], 0.0)
    error, bye = dialogue.out
    assert (type(error), error.ref, type(bye)) == (f.Error, None, f.Bye)
    assert error.code == bye.code
    assert error.code == code
    assert dialogue.state == d.ENDED


def test_an_acknowledgement_beyond_the_last_sent_ends_the_connection(peers: Any) -> None:
    with peers() as new:
        bob = new()
        bob.login(BOB, bob.register(BOB))
        error, bye = bob.say(f.Ack(1))
        assert (error.code, bye.code) == ("bad_ack", "bad_ack")


def test_refusals_name_their_reason(peers: Any) -> None:
    with peers(delivery=DeliverySettings(queue_count=2), native=NativeSettings(max_body=100)) as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.register(BOB)
        anna.say(send_frame(BOB, b"x" * 101))
        assert anna.until(f.Refused).code == "too_big"
        anna.say(send_frame("+33612000077"))
        assert anna.until(f.Refused).code == "no_such_user"
        anna.say(send_frame("no such name!"))
        assert anna.until(f.Refused).code == "no_such_user"
        anna.say(*[send_frame(BOB, b"%d" % n) for n in range(3)])
        assert anna.until(f.Refused).code == "queue_full"
        assert anna.dialogue.outbox is not None
        anna.until(f.Accepted), anna.until(f.Accepted)
        assert anna.dialogue.outbox.waiting == 0


def test_a_busy_node_refuses_logins_and_says_when_to_come_back(peers: Any) -> None:
    with peers() as new:
        bob = new()
        key = bob.register(BOB)
        new.world.load.busy = True
        client = ScramClient(["SCRAM-SHA-256"], BOB, key)
        error, bye = bob.say(f.Login(3, BOB, client.get_client_first()))
        assert (error.code, error.retry, bye.code) == ("busy", True, "busy")
        assert 10.0 <= error.retry_after <= 20.0


def test_who_is_faster_than_the_limits_is_read_later_and_who_floods_is_sent_away(peers: Any) -> None:
    with peers(native=NativeSettings(messages_per_second=10, messages_burst=10)) as new:
        anna, bob = new(), new()
        anna.login(ANNA, anna.register(ANNA))
        bob.register(BOB)
        anna.say(*[send_frame(BOB) for _ in range(10)])
        assert anna.dialogue.wait == 0.0
        anna.say(*[send_frame(BOB) for _ in range(20)])
        assert 1.0 < anna.dialogue.wait < 3.0
        assert anna.dialogue.state == d.READY
        anna.say(*[send_frame(BOB) for _ in range(400)])
        assert anna.until(f.Bye).code == "slow_down"


def test_logout_makes_resume_tokens_void(peers: Any) -> None:
    with peers() as new:
        bob, late = new(), new()
        bob.login(BOB, bob.register(BOB))
        assert bob.say(f.Logout())[-1].code == "logout"
        homes = new.world.homes
        until(lambda: (account := homes.account(BOB)) is not None and account.not_before > 0)
        late.say(f.Resume(5, bob.token, 0))
        assert late.until(f.Error).code == "bad_token"


def test_a_second_login_replaces_the_first_session(peers: Any) -> None:
    with peers() as new:
        one, two = new(), new()
        key = one.register(BOB)
        one.login(BOB, key)
        two.login(BOB, key)
        assert one.until(f.Bye).code == "replaced"
        assert two.dialogue.state == d.READY


def test_too_many_failed_logins_are_delayed_for_that_address(peers: Any) -> None:
    with peers() as new:
        bob = new()
        bob.register(BOB)
        codes = []
        for _ in range(4):
            peer = new()
            for _ in range(4):
                client = ScramClient(["SCRAM-SHA-256"], BOB, "wrong")
                answer = peer.say(f.Login(3, BOB, client.get_client_first()))[0]
                if isinstance(answer, f.Challenge):
                    client.set_server_first(answer.data)
                    answer = peer.say(f.Proof(3, client.get_client_final()))[0]
                codes.append(answer.code)
        assert codes[:10] == ["auth_failed"] * 10
        assert codes[-1] == "throttled"


def test_the_table_knows_every_frame_of_a_client() -> None:
    welcome = {kind for row in d.TABLE.values() for kind in row}
    assert welcome == set(f.CLIENT_FRAMES)
    for row in d.TABLE.values():
        assert all(callable(getattr(d.Dialogue, name)) for name in row.values())
