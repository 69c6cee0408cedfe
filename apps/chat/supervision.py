"""The whole tree on one screen.

    chat (rest_for_one)
    ├── chat_shards (one_for_one)      a supervisor per shard that this node owns
    │   └── shard N (dynamic)          user processes, temporary: who needs one starts it
    ├── chat_homes                     joins the cluster, takes shards over and gives them back
    ├── chat_registrar                 PINs in flight
    ├── chat_load                      samples whether new logins are welcome
    ├── chat_sweeper                   deletes old dedupe records
    └── native                         the listener, last to start and first to stop

rest_for_one: without shards nobody can be served, so what stands below starts anew with them. Connections belong to the
listener and outlive a crash of anything else: their sessions attach to the next user process.
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

__all__ = ["LISTENER", "REGISTRAR", "SHARDS", "ChatSupervisor", "HomesMember"]

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
        return SupFlags(strategy="rest_for_one", intensity=5, period=30.0), [
            ChildSpec(
                SHARDS,
                (Supervisor.start_link_with, (SupFlags(intensity=50, period=10.0), []), {"name": SHARDS}),
                type="supervisor",
                shutdown=INFINITY,
            ),
            ChildSpec("chat_homes", (HomesMember.start_link, (cluster, homes)), shutdown=10.0),
            ChildSpec(REGISTRAR, (Registrar.start_link, (registration, gateways), {"name": REGISTRAR})),
            ChildSpec("chat_load", (LoadSampler.start_link, (door.load,))),
            ChildSpec("chat_sweeper", (Sweeper.start_link, (homes,))),
            ChildSpec(LISTENER, (Listener.start_link, (listener,), {"name": LISTENER}), shutdown=10.0),
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
