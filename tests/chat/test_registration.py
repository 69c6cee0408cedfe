"""Registration's rules on virtual time, gateways, device keys and resume tokens."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from scramp import ScramClient

from apps.chat.domain.credentials import BadLogin, Login, Secrets, derive_keys, new_device_key
from apps.chat.domain.gateways import ConsoleGateway, PinMessage, WebhookGateway, deliver, gateways_of
from apps.chat.domain.limits import Allowance, GrowingDelay, OncePerMinute, TokenBucket, network_of
from apps.chat.domain.records import Account
from apps.chat.domain.registration import Asked, Denied, PinBook, Registrar, normalise
from apps.chat.domain.settings import RegistrationSettings
from runtime.kernel import call
from runtime.testing import VirtualClock, settle
from tests.chat.world import ListGateway, end

NUMBER, HOST = "+33612345678", "192.0.2.1"


def book(**settings: Any) -> PinBook:
    return PinBook(RegistrationSettings(**settings))


def ask(pins: PinBook, now: float, number: str = NUMBER, host: str = HOST) -> tuple[Asked, str]:
    result = pins.ask(number, host, now)
    assert not isinstance(result, Denied), result
    return result


@pytest.mark.plain
class TestPinBook:
    def test_the_right_pin_is_taken_once(self) -> None:
        pins = book()
        asked, digits = ask(pins, 0)
        assert (asked, len(digits), digits.isdigit()) == (Asked(60, 600), 5, True)
        assert pins.check(NUMBER, digits, HOST, 1) is None
        assert pins.check(NUMBER, digits, HOST, 2) == Denied("bad_pin")

    def test_it_is_valid_ten_minutes(self) -> None:
        pins = book()
        _, digits = ask(pins, 0)
        assert pins.check(NUMBER, digits, HOST, 600) == Denied("bad_pin")

    def test_five_tries_then_it_is_void_and_the_number_waits(self) -> None:
        pins = book()
        _, digits = ask(pins, 0)
        for _ in range(5):
            assert pins.check(NUMBER, "xxxxx", HOST, 1) == Denied("bad_pin")
        assert pins.check(NUMBER, digits, HOST, 2) == Denied("bad_pin")
        first = 0.0
        for round_ in range(3):
            now = 10_000.0 * (round_ + 1)
            _, digits = ask(pins, now)
            for _ in range(5):
                pins.check(NUMBER, "xxxxx", HOST, now + 1)
            denied = pins.ask(NUMBER, HOST, now + 200)
            assert isinstance(denied, Denied)
            assert denied.retry_after > first
            first = denied.retry_after

    def test_one_in_flight_and_another_only_after_a_growing_delay(self) -> None:
        pins = book()
        _, old = ask(pins, 0)
        assert pins.ask(NUMBER, HOST, 10) == Denied("throttled", 50)
        asked, new = ask(pins, 60)
        assert asked.retry_after == 120
        if old != new:
            assert pins.check(NUMBER, old, HOST, 61) == Denied("bad_pin")
        assert pins.check(NUMBER, new, HOST, 62) is None

    def test_limits_per_number_address_and_prefix(self) -> None:
        pins = book(per_number=2, resend_after=0)
        ask(pins, 0), ask(pins, 1)
        assert isinstance(pins.ask(NUMBER, HOST, 2), Denied)
        pins = book(per_address=3)
        for n in range(3):
            ask(pins, 0, f"+3361234{n}678")
        assert isinstance(pins.ask("+33698765432", HOST, 1), Denied)
        ask(pins, 1, "+33698765432", "192.0.2.2")
        pins = book(per_prefix=3)
        for n in range(3):
            ask(pins, 0, f"+3361234567{n}", f"192.0.2.{n}")
        assert isinstance(pins.ask("+33612345679", "198.51.100.1", 1), Denied)
        ask(pins, 3601, "+33612345679", "198.51.100.1")

    def test_guessing_many_numbers_from_one_address_is_stopped(self) -> None:
        pins = book(per_address=2, pin_tries=2)
        answers = [pins.check(f"+336{n:08d}", "12345", HOST, 0) for n in range(6)]
        assert [answer.code for answer in answers if answer] == ["bad_pin"] * 4 + ["throttled"] * 2

    def test_a_number_without_pin_answers_like_a_wrong_pin(self) -> None:
        pins = book()
        ask(pins, 0)
        assert pins.check(NUMBER, "xxxxx", HOST, 1) == pins.check("+33600000000", "xxxxx", HOST, 1)

    def test_old_pins_are_forgotten(self) -> None:
        pins = book()
        ask(pins, 0)
        pins.sweep(599)
        assert len(pins) == 1
        pins.sweep(601)
        assert len(pins) == 0


def test_the_registrar_sends_by_its_gateways_and_forgets(clock: VirtualClock) -> None:
    gateway = ListGateway()
    registrar = Registrar.start_link(RegistrationSettings(), [gateway])
    assert call(registrar, ("ask", NUMBER, HOST)) == Asked(60, 600)
    settle()
    (sent,) = gateway.sent
    assert sent.number == NUMBER
    assert sent.digits in sent.text
    clock.advance(599)
    assert call(registrar, ("check", NUMBER, sent.digits, HOST)) is None
    assert call(registrar, ("ask", NUMBER, HOST)) == Asked(60, 600)
    clock.advance(700)
    assert len(registrar.behaviour.book) == 0  # type: ignore[union-attr]
    assert sent.digits not in repr(registrar.behaviour.format_status({"state": {}}))  # type: ignore[union-attr]
    end(registrar)


class _Broken:
    name = "broken"
    is_local = False

    def send(self, message: PinMessage, timeout: float) -> None:
        raise OSError("down")


def test_the_next_gateway_takes_over_when_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    working = ListGateway()
    assert deliver([_Broken(), working], PinMessage(NUMBER, "12345", 600), 1.0)
    assert len(working.sent) == 1
    assert deliver([_Broken()], PinMessage(NUMBER, "12345", 600), 1.0) is False
    assert deliver([ConsoleGateway()], PinMessage(NUMBER, "12345", 600), 1.0)
    assert capsys.readouterr().out == f"PIN for {NUMBER}: 12345 (valid 10 min)\n"


def test_the_webhook_posts_signed_json() -> None:
    got: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.update(
                body=body, time=self.headers["X-Evergreen-Time"], mac=self.headers["X-Evergreen-Signature"]
            )
            self.send_response(204 if json.loads(body)["to"] == NUMBER else 500)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        gateway = WebhookGateway(f"http://127.0.0.1:{server.server_port}/sms", "secret")
        try:
            assert deliver([gateway], PinMessage(NUMBER, "12345", 600), 5.0)
            assert not deliver([gateway], PinMessage("+33600000000", "12345", 600), 5.0)
        finally:
            server.shutdown()
            thread.join()
    wanted = hmac.new(b"secret", got["time"].encode() + b"." + got["body"], hashlib.sha256).hexdigest()
    assert got["mac"] == f"sha256={wanted}"


@pytest.mark.plain
def test_gateways_are_checked_at_the_start() -> None:
    assert [g.name for g in gateways_of(RegistrationSettings())] == ["console"]
    for bad in ({"gateways": ["webhook"]}, {"gateways": ["apprise"]}, {"gateways": ["pigeon"]}):
        with pytest.raises(ValueError, match="chat.registration"):
            gateways_of(RegistrationSettings(**bad))


@pytest.mark.plain
@pytest.mark.parametrize(
    ("typed", "number"),
    [("+33 6 12 34 56 78", NUMBER), ("+33612345678", NUMBER), ("0612345678", None), ("+999123", None), ("", None),
     ("hello", None), ("+33612345678; drop", None)],
)  # fmt: skip
def test_numbers_are_normalised(typed: str, number: str | None) -> None:
    assert normalise(typed) == number


# keys and tokens


def account(key: str) -> Account:
    return Account("anna", "d", 1, *derive_keys(key))


@pytest.mark.plain
def test_a_device_key_logs_in_and_no_other() -> None:
    key, keys = new_device_key(), Secrets(b"s" * 32)
    assert len(key) == 43
    for given_, works in ((key, True), (new_device_key(), False)):
        client = ScramClient(["SCRAM-SHA-256"], "anna", given_)
        login = Login("anna", account(key), keys)
        client.set_server_first(login.first(client.get_client_first()))
        if works:
            found, data = login.final(client.get_client_final())
            client.set_server_final(data)
            assert found.user == "anna"
        else:
            with pytest.raises(BadLogin):
                login.final(client.get_client_final())


@pytest.mark.plain
def test_a_login_in_anothers_name_fails() -> None:
    client = ScramClient(["SCRAM-SHA-256"], "bob", "x")
    with pytest.raises(BadLogin):
        Login("anna", account("x"), Secrets(b"s" * 32)).first(client.get_client_first())
    for noise in ("", "n,,", "garbage", "y,,n=anna", "p=tls-unique,,n=anna,r=x", "n,,n=anna,r=\0"):
        with pytest.raises(BadLogin):
            Login("anna", account("x"), Secrets(b"s" * 32)).first(noise)


@pytest.mark.plain
def test_resume_tokens_hold_for_their_time_and_are_ours(tmp_path: Path) -> None:
    keys = Secrets.load(tmp_path / "chat.secret")
    assert (tmp_path / "chat.secret").stat().st_mode & 0o777 == 0o600
    token = keys.issue("anna", "d", 3, now=1_000)
    said = Secrets.load(tmp_path / "chat.secret").read(token, 1200, now=1_200_000)
    assert said is not None
    assert said[:3] == ("anna", "d", 3)
    assert keys.read(token, 1200, now=1_202_000) is None
    assert Secrets(b"x" * 32).read(token, 1200, now=2_000) is None
    for at in range(0, len(token), 5):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert keys.read(changed, 1200, now=2_000) is None
    for noise in ("", "a", "ä", "=" * 50, token + "!"):
        keys.read(noise, 1200, now=2_000)


@pytest.mark.plain
def test_secrets_show_nothing() -> None:
    assert repr(Secrets(b"s" * 32)) == "<Secrets>"
    assert "salt" not in repr(account("x"))
    assert "12345" not in repr(PinMessage(NUMBER, "12345", 1))


# limits


@pytest.mark.plain
def test_limits_recover_with_time() -> None:
    bucket = TokenBucket(10, 20, 0.0)
    assert [bucket.take(20, 0.0), bucket.take(10, 0.0), bucket.take(0, 1.0)] == [0.0, 1.0, 0.0]
    allowance = Allowance(2, 60)
    for _ in range(2):
        assert allowance.wait("k", 0) == 0
        allowance.take("k", 0)
    assert allowance.wait("k", 0) == 30
    assert allowance.wait("k", 31) == 0
    assert allowance.wait("other", 0) == 0
    delay = GrowingDelay(2, 1.0, 5.0)
    assert [delay.failed("k", 0) for _ in range(7)] == [0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert delay.wait("k", 3) == 2.0
    delay.succeeded("k")
    assert delay.wait("k", 3) == 0
    once = OncePerMinute()
    assert [once.first("k", t) for t in (0, 30, 61)] == [True, False, True]


@pytest.mark.plain
def test_tables_are_bounded() -> None:
    allowance, delay, once = Allowance(2, 60, 10), GrowingDelay(1, 1, 1, 10), OncePerMinute(60, 10)
    for n in range(1000):
        allowance.take(n, 0), delay.failed(n, 0), once.first(n, 0)
    assert len(allowance) <= 10
    assert len(delay._failures) <= 10
    assert len(once._said) <= 10


@pytest.mark.plain
def test_an_ipv6_customer_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
