"""What the chat server's tests stand on: a shard in memory with commits by hand, and a whole small node of real parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.chat.domain.credentials import Secrets
from apps.chat.domain.homes import Homes
from apps.chat.domain.ids import MessageIds
from apps.chat.domain.load import Load, LoadSettings
from apps.chat.domain.registration import Registrar
from apps.chat.domain.settings import DeliverySettings, LoginSettings, RegistrationSettings
from apps.chat.native.door import Door, NativeSettings
from apps.chat.supervision import HomesMember
from runtime.cluster.local import LocalCluster
from runtime.kernel import exit as send_exit
from runtime.kernel import is_alive, monitor, receive_match, unlink
from runtime.otp.child_spec import SupFlags
from runtime.otp.supervisor import Supervisor
from runtime.store import ABSENT, Conflict, Put, Rec
from runtime.store.lmdb_engine import open_store


class MemoryShard:
    """The shard contract's reads, on a dictionary; `apply` is the commit, when the test says so."""

    shard = 3
    token = 1

    def __init__(self) -> None:
        self.records: dict[tuple[str, bytes], Rec] = {}
        self.version = 0

    def get(self, kind: str, key: bytes) -> Rec | None:
        return self.records.get((kind, key))

    def scan(
        self, kind: str, lo: bytes = b"", hi: bytes | None = None, limit: int = 1000, damaged: Any = None
    ) -> list[Rec]:
        keys = sorted(k for kd, k in self.records if kd == kind and k >= lo and (hi is None or k < hi))
        return [self.records[kind, key] for key in keys[:limit]]

    def apply(self, ops: list[Any]) -> None:
        """All or nothing; raises Conflict."""
        written: set[tuple[str, bytes]] = set()
        for op in ops:
            if op.expect == ABSENT and ((op.kind, op.key) in self.records or (op.kind, op.key) in written):
                raise Conflict(op.kind, op.key, ABSENT, 1)
            written.add((op.kind, op.key))
        self.version += 1
        for op in ops:
            if isinstance(op, Put):
                self.records[op.kind, op.key] = Rec(op.key, op.val, self.version)
            else:
                self.records.pop((op.kind, op.key), None)

    def keys(self, kind: str) -> list[bytes]:
        return sorted(key for kd, key in self.records if kd == kind)


class ListGateway:
    """Keeps PINs for the test."""

    name = "list"
    is_local = True

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any, timeout: float) -> None:
        self.sent.append(message)


class World:
    """A small node without a node: real store, cluster, homes, registrar; what a session needs is `door`."""

    def __init__(
        self,
        directory: Path,
        delivery: DeliverySettings | None = None,
        native: NativeSettings | None = None,
        registration: RegistrationSettings | None = None,
    ) -> None:
        self.store = open_store(str(directory / "store"), nshards=4)
        self.cluster = LocalCluster("test@localhost", 4)
        self.keeper = Supervisor.start_link_with(SupFlags(intensity=100), [])
        self.homes = Homes(
            self.cluster, self.store, delivery or DeliverySettings(), MessageIds(), shards=self.keeper
        )
        self.member = HomesMember.start_link(self.cluster, self.homes)
        self.gateway = ListGateway()
        registration = registration or RegistrationSettings(per_address=1000, per_prefix=1000)
        self.registrar = Registrar.start_link(registration, [self.gateway])
        self.load = Load(LoadSettings())
        self.secrets = Secrets.load(directory / "chat.secret")
        self.door = Door(
            self.homes,
            self.registrar,
            self.secrets,
            self.load,
            native or NativeSettings(),
            LoginSettings(),
            "test",
        )

    def close(self) -> None:
        for pid in (self.registrar, self.member, self.keeper):
            end(pid)
        self.store.close()


@contextmanager
def world(directory: Path, **settings: Any) -> Iterator[World]:
    made = World(directory, **settings)
    try:
        yield made
    finally:
        made.close()


def end(pid: Any) -> None:
    """Stop a linked process in order and wait for it."""
    if pid is not None and is_alive(pid):
        ref = monitor(pid)
        unlink(pid)
        send_exit(pid, "shutdown")
        receive_match(lambda m: getattr(m, "ref", None) == ref, 10.0)
