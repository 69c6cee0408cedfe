"""How a PIN reaches its owner: a small contract, three gateways, several in order with fail-over.

A gateway's `send` may block; it runs in the thread pool, under a time limit, and raises what it likes when it fails.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sys
import time
from typing import NamedTuple, Protocol

from apps.chat.domain.settings import RegistrationSettings
from runtime.kernel import blocking

__all__ = [
    "AppriseGateway",
    "ConsoleGateway",
    "Gateway",
    "PinMessage",
    "WebhookGateway",
    "deliver",
    "gateways_of",
]

_log = logging.getLogger("chat.gateways")


class PinMessage(NamedTuple):
    """A PIN on its way."""

    number: str
    digits: str
    valid: float

    @property
    def text(self) -> str:
        return f"Your Evergreen PIN is {self.digits}. It is valid for {round(self.valid / 60)} minutes."

    def __repr__(self) -> str:
        return "PinMessage(…)"


class Gateway(Protocol):
    """Sends PINs."""

    name: str
    is_local: bool
    "does not block: called directly, not in the thread pool"

    def send(self, message: PinMessage, timeout: float) -> None:
        """Send; return when the next hop has taken it. Raises anything when it has not."""


class ConsoleGateway:
    """For development: one line on the node's standard output."""

    name = "console"
    is_local = True

    def send(self, message: PinMessage, timeout: float) -> None:
        minutes = round(message.valid / 60)
        sys.stdout.write(f"PIN for {message.number}: {message.digits} (valid {minutes} min)\n")
        sys.stdout.flush()


class WebhookGateway:
    """A JSON POST to a URL of the operator's, signed: header X-Evergreen-Signature is HMAC-SHA256 of time.body."""

    name = "webhook"
    is_local = False

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret.encode()

    def send(self, message: PinMessage, timeout: float) -> None:
        import urllib.error
        import urllib.request

        body = json.dumps(
            {"type": "pin", "to": message.number, "pin": message.digits, "text": message.text}
        ).encode()
        stamp = str(int(time.time()))
        mac = hmac.new(self._secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Evergreen-Time": stamp,
            "X-Evergreen-Signature": f"sha256={mac}",
        }
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the operator's URL, checked at start
        try:
            with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310 - raises for all but 2xx
                pass
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                raise OSError(f"the webhook answered {error.code}") from None


class AppriseGateway:
    """Any service that `apprise` knows, by its URL; `{number}` in it stands for the number without its plus sign."""

    name = "apprise"
    is_local = False

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls

    def send(self, message: PinMessage, timeout: float) -> None:
        import apprise

        logging.getLogger("apprise").propagate = False  # its own log lines have whole URLs in them
        sender = apprise.Apprise()
        for url in self._urls:
            if not sender.add(url.replace("{number}", message.number.lstrip("+"))):
                raise OSError("apprise does not understand one of its URLs")
        if not sender.notify(body=message.text):
            raise OSError("apprise could not send")


def gateways_of(settings: RegistrationSettings) -> list[Gateway]:
    """The gateways named in the settings, in order."""
    made: list[Gateway] = []
    for name in settings.gateways:
        if name == "console":
            made.append(ConsoleGateway())
        elif name == "webhook":
            if not settings.webhook_url.startswith(("http://", "https://")):
                raise ValueError("chat.registration.webhook_url must be an http or https URL")
            made.append(WebhookGateway(settings.webhook_url, settings.webhook_secret))
        elif name == "apprise":
            if not settings.apprise_urls:
                raise ValueError("chat.registration.apprise_urls is empty")
            made.append(AppriseGateway(settings.apprise_urls))
        else:
            raise ValueError(f"chat.registration.gateways: there is no gateway {name!r}")
    return made


def deliver(gateways: list[Gateway], message: PinMessage, timeout: float) -> bool:
    """Try the gateways in order until one takes the message. Blocks the calling process only. Never raises."""
    for gateway in gateways:
        try:
            if gateway.is_local:
                gateway.send(message, timeout)
            else:
                blocking(gateway.send, message, timeout)
        except Exception as error:  # noqa: BLE001 - a gateway may raise anything; the next one is tried
            _log.warning(
                "gateway %s failed: %s", gateway.name, type(error).__name__, extra={"alarm": "gateway"}
            )
        else:
            return True
    _log.error("no gateway took a PIN", extra={"alarm": "gateway"})
    return False
