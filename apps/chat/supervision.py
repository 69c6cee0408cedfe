"""The whole tree on one screen.

    chat (one_for_one)
    ├── chat_users (rest_for_one)
    │   ├── chat_shards (one_for_one)  a supervisor per shard that this node owns
    │   │   └── shard N (dynamic)      user processes, temporary: who needs one starts it
    │   └── chat_homes                 joins the cluster, takes shards over and gives them back
    ├── chat_services (one_for_one)
    │   ├── chat_registrar             PINs in flight
    │   ├── chat_load                  samples whether new logins are welcome
    │   └── chat_sweeper               deletes old dedupe records
    └── native                         the listener, last to start and first to stop

Who falls takes along what cannot live without it, and nothing else:

* chat_shards takes chat_homes along (rest_for_one), which gives the new one its shards. Neither takes connections: these
  hold no state of a user process, see its end, attach to the next one and ask again for what was not answered.
* A service takes nothing along. While the registrar is away, registrations are answered `unavailable` with a time to come
  back; PINs in flight are forgotten. Services that crash over and over end chat_services alone, which starts again.
* The listener leaves its connections to the process `native.connections`, finds it there again, and accepts on.
* `native.connections` is the one whose end closes all connections: it owns their sockets and counts, and who would close
  them at a stop is otherwise not known. (The clients come back, and send again what was not accepted.)
* A supervisor that ends takes its children; the end of `chat` itself, as it gives up, ends the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.chat.domain.load import LoadSampler
from apps.chat.domain.registration import Registrar
from apps.chat.domain.sweeper import Sweeper
from runtime.kernel import trap_exit
from runtime.net import Listener, ListenerConfig
from runtime.otp import GenServer
from runtime.otp.child_spec import INFINITY, ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

if TYPE_CHECKING:
    from apps.chat.domain.gateways import Gateway
    from apps.chat.domain.homes import Homes
    from apps.chat.domain.settings import RegistrationSettings
    from apps.chat.native.door import Door
    from runtime.cluster import Cluster

__all__ = [
    "LISTENER", "REGISTRAR", "SHARDS", "ChatServices", "ChatSupervisor", "ChatUsers", "HomesMember",
]  # fmt: skip

SHARDS = "chat_shards"
REGISTRAR = "chat_registrar"
LISTENER = "native"


class ChatSupervisor(Supervisor):
    """The top of the application."""

    def init(
        self,
        cluster: Cluster,
        homes: Homes,
        registration: RegistrationSettings,
        gateways: list[Gateway],
        door: Door,
        listener: ListenerConfig,
    ) -> Any:
        # A supervisor that is killed leaves children behind who have their names for a moment more: two or three restarts.
        return SupFlags(intensity=10, period=30.0), [
            _supervisor("chat_users", ChatUsers, cluster, homes),
            _supervisor("chat_services", ChatServices, homes, registration, gateways, door),
            ChildSpec(LISTENER, (Listener.start_link, (listener,), {"name": LISTENER}), shutdown=10.0),
        ]


class ChatUsers(Supervisor):
    """The users of this node, and what brings their shards here."""

    def init(self, cluster: Cluster, homes: Homes) -> Any:
        return SupFlags(strategy="rest_for_one", intensity=5, period=30.0), [
            ChildSpec(
                SHARDS,
                (Supervisor.start_link_with, (SupFlags(intensity=50, period=10.0), []), {"name": SHARDS}),
                type="supervisor",
                shutdown=INFINITY,
            ),
            _server("chat_homes", HomesMember, cluster, homes, shutdown=10.0),
        ]


class ChatServices(Supervisor):
    """Servers that need each other as little as connections need them."""

    def init(
        self, homes: Homes, registration: RegistrationSettings, gateways: list[Gateway], door: Door
    ) -> Any:
        return SupFlags(intensity=5, period=30.0), [
            _server(REGISTRAR, Registrar, registration, gateways),
            _server("chat_load", LoadSampler, door.load),
            _server("chat_sweeper", Sweeper, homes),
        ]


class HomesMember(GenServer):
    """Joins the cluster for `homes` and leaves it again; the cluster's callbacks run in here."""

    def init(self, cluster: Cluster, homes: Homes) -> None:
        trap_exit(True)  # so that `terminate` gives the shards back
        self.cluster = cluster
        if cluster.valid():
            cluster.stop()  # a predecessor crashed
        cluster.start(homes)

    def terminate(self, reason: Any) -> None:
        self.cluster.stop()


# Internals


def _server(name: str, kind: type[GenServer], *args: Any, shutdown: float = 5.0) -> ChildSpec:
    """A child that is registered under its id: so it is called in the shell and in reports."""
    return ChildSpec(name, (kind.start_link, args, {"name": name}), shutdown=shutdown)


def _supervisor(name: str, kind: type[Supervisor], *args: Any) -> ChildSpec:
    return ChildSpec(name, (kind.start_link, args, {"name": name}), type="supervisor", shutdown=INFINITY)
