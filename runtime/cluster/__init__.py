"""Other nodes: membership, ownership of shards, messages to wherever they live. One contract; here the local engine."""

from runtime.cluster.contract import Callbacks, CallTimeout, Cluster, ClusterError, NoRoute, Reply, Stale
from runtime.cluster.local import LocalCluster, home_shard

__all__ = [
    "CallTimeout", "Callbacks", "Cluster", "ClusterError", "LocalCluster", "NoRoute", "Reply", "Stale", "home_shard",
]  # fmt: skip
