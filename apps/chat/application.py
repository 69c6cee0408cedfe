"""The chat application: what starts, with what settings, and how it stops.

Stop: the listener takes no more, every client is told `restarting` and when to come back, what has been written goes out;
then the tree ends from the bottom up, and the store finishes what it was given.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from apps.chat.admin import ChatCommands
from apps.chat.configuration import SCHEMA
from apps.chat.domain.credentials import Secrets
from apps.chat.domain.gateways import gateways_of
from apps.chat.domain.homes import Homes
from apps.chat.domain.ids import MessageIds
from apps.chat.domain.load import Load, LoadSettings
from apps.chat.domain.registration import normalise
from apps.chat.domain.settings import DeliverySettings, LoginSettings, RegistrationSettings
from apps.chat.metrics import ChatMetrics
from apps.chat.native.door import Door, NativeSettings
from apps.chat.native.frames import ALPN
from apps.chat.supervision import LISTENER, REGISTRAR, SHARDS, ChatSupervisor
from runtime.kernel import blocking, whereis
from runtime.net import ListenerConfig, TLSConfig, listener
from runtime.node import current
from runtime.otp import supervisor
from runtime.otp.application import Application

if TYPE_CHECKING:
    from runtime.certificates import Certificates
    from runtime.config import Config, Key
    from runtime.kernel import Pid

__all__ = ["Chat", "listener_config"]

_log = logging.getLogger("chat")
_ENVELOPE = 1024  # bytes of a frame that are not the body, at most


class Chat(Application):
    """Store-and-forward messages with check marks."""

    name: ClassVar[str] = "chat"
    description: ClassVar[str] = "a messenger: store-and-forward, check marks, nothing lost"
    schema: ClassVar[Sequence[Key]] = SCHEMA
    config_file: ClassVar[str] = "chat.toml"
    hints: ClassVar[Sequence[tuple[str, str]]] = (("tools/chat", "a client: register, write, receive"),)

    @classmethod
    def config_problems(cls, config: Config) -> Mapping[str, str]:
        """What concerns several settings at once."""
        found = {}
        if config.integer("chat.native.max_body") + _ENVELOPE > config.integer("chat.native.max_frame"):
            found["chat.native.max_body"] = f"must be at least {_ENVELOPE} bytes below chat.native.max_frame"
        gateways = config.items_of("chat.registration.gateways")
        if "webhook" in gateways and not config.text("chat.registration.webhook_url").startswith(
            ("http://", "https://")
        ):
            found["chat.registration.webhook_url"] = (
                "must be an http or https URL: the webhook is one of the gateways"
            )
        if "apprise" in gateways and not config.items_of("chat.registration.apprise_urls"):
            found["chat.registration.apprise_urls"] = "must name a service: apprise is one of the gateways"
        if config.number("chat.login.token_refresh") * 2 + 600 > config.number("chat.login.token_valid"):
            found["chat.login.token_valid"] = (
                "must be 600 s above twice chat.login.token_refresh: a broken connection can be resumed for 10 minutes"
            )
        return found

    def start(self, start_type: str, config: Config) -> tuple[Pid, Any]:
        node = current()
        assert node.certificates is not None
        secrets = Secrets.load(node.data_dir / "chat.secret")
        native = config.into(NativeSettings, "chat.native")
        registration = config.into(RegistrationSettings, "chat.registration")
        homes = Homes(
            node.cluster,
            node.store,
            config.into(DeliverySettings, "chat.delivery"),
            MessageIds(),
            owner=node.name,
            hash_key=None if config.flag("chat.log_user_ids") else secrets.hash_key,
            shards=SHARDS,
        )
        load = Load(config.into(LoadSettings, "chat.load"))
        login = config.into(LoginSettings, "chat.login")
        door = Door(homes, REGISTRAR, secrets, load, native, login, node.name)
        blocking(normalise, "+33612345678")  # its tables, before somebody waits for them
        top = ChatSupervisor.start_link(
            node.cluster,
            homes,
            registration,
            gateways_of(registration),
            door,
            listener_config(native, door, node.certificates),
        )
        assert top is not None
        node.announce(LISTENER, native.host, listener.port(whereis(LISTENER)), f"{ALPN} over TLS")
        is_console = "console" in registration.gateways
        ChatCommands(homes, node.cluster, REGISTRAR, LISTENER, is_console).offer()
        ChatMetrics(homes, LISTENER).offer()
        return top, top

    def prep_stop(self, state: Any) -> Any:
        """Stop accepting, say goodbye."""
        ChatCommands.withdraw()
        ChatMetrics.withdraw()
        supervisor.terminate_child(state, LISTENER)
        return state

    def config_change(
        self, changed: Mapping[str, Any], new: Mapping[str, Any], removed: Sequence[str]
    ) -> None:
        if changed:
            _log.warning("these hold from the next start on: %s", ", ".join(sorted(changed)))


def listener_config(native: NativeSettings, door: Door, certificates: Certificates) -> ListenerConfig:
    """The listener of the native door."""
    return ListenerConfig(
        name=LISTENER,
        host=native.host,
        port=native.port,
        protocol="apps.chat.native.session:Session",
        args={"door": door},
        tls=TLSConfig(str(certificates.certificate), str(certificates.key), alpn=(ALPN,)),
        max_connections=native.max_connections,
        accept_rate=native.accept_rate,
        per_address=native.per_address,
        handshake_timeout=native.handshake_timeout,
        idle_timeout=native.login_timeout,
    )
