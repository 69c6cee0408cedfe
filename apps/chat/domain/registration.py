"""Registration by PIN: who holds the number holds the account.

`PinBook` is the rules on a given clock, `Registrar` the process that keeps one and sends PINs out. PINs in flight live in
memory: a restart forgets them and people ask again; what has been registered is in the store.

Rules: a PIN is 5 random digits, valid `pin_valid` seconds, for `pin_tries` tries; one in flight per number, another only
after a delay that doubles with each one sent. Limits per number, address (IPv6: per /64) and prefix of the number. After
the tries are used up, the number waits a growing time. What is answered does not tell whether the number is known.

Settings: [chat.registration].
"""

from __future__ import annotations

import hmac
import logging
import secrets
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from apps.chat.domain.gateways import Gateway, PinMessage, deliver
from apps.chat.domain.limits import Allowance, GrowingDelay, network_of
from apps.chat.domain.settings import RegistrationSettings
from runtime.kernel import Call, Timer, cancel_timer, clock, self_, send_after, spawn
from runtime.otp import GenServer

__all__ = ["Asked", "Denied", "PinBook", "Registrar", "normalise"]

_log = logging.getLogger("chat.registration")
_SWEEP: Final = object()
_SWEEP_EVERY: Final = 60.0
_PREFIX_DIGITS: Final = (
    3  # a prefix is the number without its last three digits: a block as operators sell them
)


class Asked(NamedTuple):
    """A PIN goes out."""

    retry_after: float
    expires_in: float


class Denied(NamedTuple):
    """Not now, or not so. `code` is one of frames.CODES."""

    code: str
    retry_after: float | None = None


@dataclass(slots=True)
class _Pin:
    digits: str
    expires: float
    again_at: float
    tries: int
    sent: int


class PinBook:
    """PINs in flight and their limits. `ask` and `check` are all there is; times are monotonic seconds."""

    def __init__(self, settings: RegistrationSettings) -> None:
        self._settings = settings
        window = settings.limit_window
        self._per_number = Allowance(settings.per_number, window)
        self._per_address = Allowance(settings.per_address, window)
        self._per_prefix = Allowance(settings.per_prefix, window)
        self._guessing = GrowingDelay(1, 300.0, 86400.0)
        self._wrong = Allowance(settings.per_address * settings.pin_tries, window)
        self._pins: dict[str, _Pin] = {}

    def ask(self, number: str, host: str, now: float) -> tuple[Asked, str] | Denied:
        """A PIN for `number`, asked from `host`: what to answer and what to send, or why not."""
        settings = self._settings
        address, prefix = network_of(host), number[:-_PREFIX_DIGITS]
        old = self._pins.get(number)
        wait = max(
            self._per_number.wait(number, now),
            self._per_address.wait(address, now),
            self._per_prefix.wait(prefix, now),
            self._guessing.wait(number, now),
            old.again_at - now if old is not None else 0.0,
        )
        if wait > 0:
            return Denied("throttled", wait)
        self._per_number.take(number, now)
        self._per_address.take(address, now)
        self._per_prefix.take(prefix, now)
        sent = old.sent + 1 if old is not None else 1
        again = settings.resend_after * 2.0 ** min(sent - 1, 10)
        digits = f"{secrets.randbelow(100_000):05d}"
        self._pins[number] = _Pin(digits, now + settings.pin_valid, now + again, settings.pin_tries, sent)
        return Asked(again, settings.pin_valid), digits

    def check(self, number: str, digits: str, host: str, now: float) -> Denied | None:
        """None: right, and the PIN is used up."""
        address = network_of(host)
        wait = self._wrong.wait(address, now)
        if wait > 0:
            return Denied("throttled", wait)
        pin = self._pins.get(number)
        alive = pin is not None and pin.tries > 0 and now < pin.expires
        wanted = pin.digits if pin is not None else "#####"
        # Compared in any case, so that the time taken tells nothing.
        right = hmac.compare_digest(wanted.encode(), digits.encode())
        if alive and right:
            del self._pins[number]
            self._guessing.succeeded(number)
            return None
        self._wrong.take(address, now)
        if pin is not None and alive:
            pin.tries -= 1
            if pin.tries == 0:
                self._guessing.failed(number, now)
        return Denied("bad_pin")

    def in_flight(self, number: str, now: float) -> str | None:
        """The PIN that would be right for `number` now; for an operator in development."""
        pin = self._pins.get(number)
        return pin.digits if pin is not None and pin.tries > 0 and now < pin.expires else None

    def sweep(self, now: float) -> None:
        """Forget PINs that can neither be used nor delay another one any more."""
        self._pins = {n: pin for n, pin in self._pins.items() if max(pin.expires, pin.again_at) > now}

    def __len__(self) -> int:
        return len(self._pins)

    def __repr__(self) -> str:
        return f"<PinBook of {len(self._pins)}>"


class Registrar(GenServer):
    """Answers ("ask", number, host) with Asked or Denied, and ("check", number, digits, host) with None or Denied; and an
    operator's ("in_flight", number) with the PIN, or None.

    `number` is normalised. Sends PINs from a process of its own each, so that a slow gateway holds up nobody.
    """

    timer: Timer | None = None

    def init(self, settings: RegistrationSettings, gateways: list[Gateway]) -> None:
        self.settings = settings
        self.gateways = gateways
        self.book = PinBook(settings)
        self.me = self_()
        self.timer = send_after(_SWEEP_EVERY, self.me, _SWEEP)

    def handle_call(self, request: Any, sender: Call) -> Any:
        now = clock.now()
        if request[0] == "ask":
            _, number, host = request
            result = self.book.ask(number, host, now)
            if isinstance(result, Denied):
                return result
            asked, digits = result
            spawn(
                deliver,
                self.gateways,
                PinMessage(number, digits, self.settings.pin_valid),
                self.settings.gateway_timeout,
            )
            return asked
        if request[0] == "in_flight":
            return self.book.in_flight(request[1], now)
        _, number, digits, host = request
        return self.book.check(number, digits, host, now)

    def handle_info(self, message: Any) -> Any:
        if message is _SWEEP:
            self.book.sweep(clock.now())
            self.timer = send_after(_SWEEP_EVERY, self.me, _SWEEP)
            return None
        return super().handle_info(message)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return {**status, "state": {"pins": len(self.book)}, "message": "…", "messages": []}

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the process is dead, perhaps before it got through `init`. Its timer goes with it."""
        if self.timer is not None:
            cancel_timer(self.timer)


def normalise(number: str) -> str | None:
    """A phone number as typed, with its country code, to E.164; None if it can be none."""
    import phonenumbers  # its tables take 100 ms and 30 MB: only when somebody registers

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
