"""The domain's settings: read once from the configuration (`apps.chat.configuration`), handed down explicitly."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DeliverySettings", "LoginSettings", "RegistrationSettings"]

# The defaults are here and in no second place: etc/chat.toml shows them and a test compares.
# No slots: there is one object of each, and a setting may be added while it lives.
# repr=False marks a secret: `apps.chat.configuration` makes its key one (a URL may have a password in it).


@dataclass(frozen=True)
class DeliverySettings:
    """`[chat.delivery]`. Durations in seconds."""

    window: int = 64
    resend_first: float = 2.0
    resend_max: float = 300.0
    takes_max: int = 20
    queue_count: int = 100_000
    queue_bytes: int = 256 * 2**20
    queue_age: float = 60 * 86400.0
    user_idle: float = 900.0
    dedupe_for: float = 7 * 86400.0
    recent: int = 32


@dataclass(frozen=True)
class RegistrationSettings:
    """`[chat.registration]`. Durations in seconds."""

    pin_valid: float = 600.0
    pin_tries: int = 5
    resend_after: float = 60.0
    per_number: int = 5
    per_address: int = 20
    per_prefix: int = 200
    limit_window: float = 3600.0
    gateways: list[str] = field(default_factory=lambda: ["console"])
    webhook_url: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    apprise_urls: list[str] = field(default_factory=list, repr=False)
    gateway_timeout: float = 10.0


@dataclass(frozen=True)
class LoginSettings:
    """`[chat.login]`. Durations in seconds."""

    tries: int = 10
    delay_first: float = 2.0
    delay_max: float = 300.0
    token_valid: float = 1200.0
    token_refresh: float = 300.0
