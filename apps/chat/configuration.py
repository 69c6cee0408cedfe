"""The application's settings: the schema of etc/chat.toml, made from the settings classes and their documentation."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Final, get_type_hints

from apps.chat.domain.load import LoadSettings
from apps.chat.domain.settings import DeliverySettings, LoginSettings, RegistrationSettings
from apps.chat.native.door import NativeSettings
from runtime.config import Key

__all__ = ["SCHEMA", "SECTIONS"]

_Doc = tuple[str, float | None, float | None, str]  # unit, min, max, what it is

SECTIONS: Final[dict[str, tuple[type[Any], dict[str, _Doc]]]] = {
    "chat.native": (
        NativeSettings,
        {
            "host": ("", 1, 255, "Address to listen on. 0.0.0.0 means all IPv4, :: means all."),
            "port": ("", 0, 65535, "Port of the native protocol; 0: a free one, see the node's ready line."),
            "domain": ("", 1, 255, "The domain of the user ids here, as clients show it."),
            "max_frame": ("bytes", 4096, 16 * 2**20, "Largest frame. Media go by link."),
            "max_body": ("bytes", 1, 16 * 2**20, "Largest body of a message; must leave room in the frame."),
            "max_connections": ("connections", 1, 10**7, "Connections at once; more are refused at once."),
            "per_address": ("connections", 1, 10**7, "Connections at once from one address (IPv6: one /64)."),
            "accept_rate": ("connections/s", 1, 10**6, "New connections a second, from all addresses."),
            "handshake_timeout": ("seconds", 0.1, 300, "From accept until TLS stands."),
            "login_timeout": ("seconds", 1, 3600, "Silence allowed before the login."),
            "idle_timeout": ("seconds", 1, 86400, "Silence allowed after it. Clients ping."),
            "ping_every": ("seconds", 1, 86400, "How often clients are asked to ping."),
            "messages_per_second": (
                "messages/s",
                0.1,
                10**6,
                "Mean rate of a session; who is faster is read later.",
            ),
            "messages_burst": ("messages", 1, 10**7, "And so many at once."),
            "bytes_per_second": ("bytes/s", 100, 10**10, "Mean rate of a session in bytes of messages."),
            "bytes_burst": ("bytes", 1000, 10**10, "And so many at once."),
            "unanswered": (
                "messages",
                1,
                10**5,
                "Sends in flight of one session before it is read no further.",
            ),
            "restart_after": (
                "seconds",
                0,
                3600,
                "At an orderly stop, clients come back after this to twice this.",
            ),
        },
    ),
    "chat.login": (
        LoginSettings,
        {
            "tries": (
                "",
                1,
                10**6,
                "Failed logins as one user from one address before they are delayed; of an address as a whole: 20 times that.",
            ),
            "delay_first": ("seconds", 0.1, 3600, "The first delay; it doubles with each further failure."),
            "delay_max": ("seconds", 1, 86400, "The longest delay."),
            "token_valid": ("seconds", 60, 86400, "Age up to which a resume token is taken."),
            "token_refresh": ("seconds", 10, 86400, "Age at which a session is given a new one."),
        },
    ),
    "chat.registration": (
        RegistrationSettings,
        {
            "pin_valid": ("seconds", 10, 86400, "How long a PIN can be used."),
            "pin_tries": ("", 1, 100, "Wrong PINs before it is void and the number waits."),
            "resend_after": (
                "seconds",
                0,
                86400,
                "Before another PIN for the same number; doubles with each one.",
            ),
            "per_number": ("PINs", 1, 10**7, "PINs for one number in `limit_window`."),
            "per_address": ("PINs", 1, 10**7, "PINs asked from one address in `limit_window`."),
            "per_prefix": ("PINs", 1, 10**7, "PINs for one block of 1,000 numbers in `limit_window`."),
            "limit_window": ("seconds", 1, 10**6, "The window of these limits."),
            "gateways": (
                "",
                1,
                10,
                "How PINs go out, the next one when one fails: console, webhook, apprise.",
            ),
            "webhook_url": ("", None, None, "Where the webhook posts its signed JSON."),
            "webhook_secret": (
                "",
                None,
                None,
                "Its key: X-Evergreen-Signature = HMAC-SHA256 of X-Evergreen-Time.body.",
            ),
            "apprise_urls": (
                "",
                None,
                None,
                "Services as apprise names them; {number} is the number without its plus.",
            ),
            "gateway_timeout": ("seconds", 0.1, 300, "Patience with one gateway."),
        },
    ),
    "chat.delivery": (
        DeliverySettings,
        {
            "window": ("messages", 1, 10**4, "Unacknowledged messages in flight to a device."),
            "resend_first": (
                "seconds",
                0.1,
                3600,
                "Unacknowledged for this long: sent again; doubles each time.",
            ),
            "resend_max": ("seconds", 0.1, 86400, "And at least so often."),
            "takes_max": (
                "",
                1,
                10**6,
                "Times in a row a device may take a message and vanish; then it is set aside.",
            ),
            "queue_count": (
                "messages",
                1,
                10**9,
                "Messages that wait for one user; then senders get queue_full.",
            ),
            "queue_bytes": ("bytes", 1000, 10**12, "Bytes of bodies that wait for one user."),
            "queue_age": (
                "seconds",
                60,
                10**9,
                "Age of the oldest waiting message from which new ones are refused.",
            ),
            "user_idle": ("seconds", 1, 10**6, "A user process without device and work ends after this."),
            "dedupe_for": ("seconds", 60, 10**8, "How long a repeated client id gives the same answer."),
            "recent": ("messages", 1, 10**6, "Client ids per user kept in memory as well."),
        },
    ),
    "chat.load": (
        LoadSettings,
        {
            "memory_max": ("bytes", 0, 10**13, "Above it new logins are refused as busy; 0: no limit."),
            "long_mailboxes_max": (
                "processes",
                0,
                10**7,
                "So many processes with long mailboxes: likewise; 0: no limit.",
            ),
            "retry_after": ("seconds", 0.1, 3600, "They are told to come back after this to twice this."),
        },
    ),
}

_PRIVACY: Final = Key(
    "chat.log_user_ids",
    bool,
    False,
    doc="User ids in log lines as they are; false: hashed with this node's key.",
)


def _keys() -> tuple[Key, ...]:
    keys = [_PRIVACY]
    for section, (settings, docs) in SECTIONS.items():
        types = get_type_hints(settings)
        for one in fields(settings):
            unit, low, high, doc = docs[one.name]
            factory: Any = one.default_factory
            default = one.default if one.default is not MISSING else factory()
            choices = ("console", "webhook", "apprise") if one.name == "gateways" else None
            name = f"{section}.{one.name}"
            is_secret = not one.repr
            keys.append(Key(name, types[one.name], default, unit, low, high, choices, doc, is_secret))
    return tuple(keys)


SCHEMA: Final[tuple[Key, ...]] = _keys()
