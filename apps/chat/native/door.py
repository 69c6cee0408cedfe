"""What every native session of a node shares: the domain's handles, limits, and tables that outlive a connection."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from apps.chat.domain.credentials import Secrets
from apps.chat.domain.homes import Homes
from apps.chat.domain.limits import GrowingDelay, OncePerMinute, network_of
from apps.chat.domain.load import Load
from apps.chat.domain.settings import LoginSettings
from apps.chat.native import frames
from runtime.kernel import clock
from runtime.net import Length4

__all__ = ["Door", "NativeSettings"]

_log = logging.getLogger("chat.native")


@dataclass(frozen=True)
class NativeSettings:
    """`[chat.native]`. Durations in seconds, sizes in bytes. No slots: a setting may be added while it lives."""

    host: str = "127.0.0.1"
    port: int = frames.PORT
    domain: str = "localhost"
    max_frame: int = 256 * 1024
    max_body: int = 64 * 1024
    max_connections: int = 100_000
    per_address: int = 10_000
    accept_rate: float = 5_000.0
    handshake_timeout: float = 10.0
    login_timeout: float = 60.0
    idle_timeout: float = 300.0
    ping_every: float = 60.0
    messages_per_second: float = 1_000.0
    messages_burst: float = 2_000.0
    bytes_per_second: float = 1_048_576.0
    bytes_burst: float = 8_388_608.0
    unanswered: int = 512
    restart_after: float = 2.0


class Door:
    """One per node; given to each session."""

    def __init__(
        self,
        homes: Homes,
        registrar: Any,
        secrets: Secrets,
        load: Load,
        native: NativeSettings,
        login: LoginSettings,
        node: str,
    ) -> None:
        self.homes = homes
        self.registrar = registrar
        self.secrets = secrets
        self.load = load
        self.settings = native
        self.login = login
        self.node = node
        self.framing = Length4(native.max_frame)
        self.limits = frames.Limits(
            native.max_frame,
            native.max_body,
            homes.delivery.window,
            native.messages_per_second,
            native.ping_every,
            native.idle_timeout,
            login.token_valid - 2 * login.token_refresh,
        )
        self._tries = GrowingDelay(login.tries, login.delay_first, login.delay_max)
        # Many people may share an address: it is delayed by far more failures, and a success shows that it is no robot.
        self._address_tries = GrowingDelay(20 * login.tries, login.delay_first, login.delay_max)
        self._complaints = OncePerMinute()

    def __repr__(self) -> str:
        return "<Door>"

    def login_wait(self, host: str, user: str) -> float:
        """Seconds until a login as `user` from `host` may be tried."""
        now = clock.now()
        address = network_of(host)
        return max(self._address_tries.wait(address, now), self._tries.wait((address, user), now))

    def login_failed(self, host: str, user: str) -> None:
        """Count a failure. Not per account alone: a stranger could lock its owner out."""
        now = clock.now()
        address = network_of(host)
        self._tries.failed((address, user), now)
        self._address_tries.failed(address, now)

    def login_succeeded(self, host: str, user: str) -> None:
        """Forget the failures."""
        address = network_of(host)
        self._tries.succeeded((address, user))
        self._address_tries.succeeded(address)

    def complain(self, host: str, code: str, text: str) -> None:
        """Log what a peer did wrong, once per address and minute."""
        if self._complaints.first(network_of(host), clock.now()):
            _log.warning("%s: %s (%s)", host, text, code, extra={"code": code})
