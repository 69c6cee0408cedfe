"""Where users live: from a user id to its process, started when it is needed.

A user's home is its shard. Here, on the shard's owner, a dictionary leads from the id to the process; who finds none
starts one under the shard's supervisor and waits for it, so the order of one sender's messages is kept. On any other
node the message goes to the owner through the cluster. Messages are all there is between sessions and user processes.

The dictionary is shared by the processes of this node and never left half changed: nothing here yields between looking
and writing, and a user process enters itself in its `init`, which the shard's supervisor runs one after the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from apps.chat.domain import records
from apps.chat.domain.messages import (
    Attach,
    AttachRefused,
    Claim,
    Claimed,
    Receipts,
    RefusedSends,
    Submit,
    Taken,
)
from apps.chat.domain.records import ACCOUNT, Account
from apps.chat.domain.settings import DeliverySettings
from apps.chat.domain.users import User
from runtime.cluster import NoRoute
from runtime.kernel import (
    TIMEOUT,
    BadName,
    CallError,
    ProcessExit,
    make_ref,
    receive_match,
    self_,
    send,
    spawn,
)
from runtime.otp import dynamic_supervisor, supervisor
from runtime.otp.child_spec import INFINITY, ChildSpec
from runtime.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.chat.domain.ids import MessageIds
    from runtime.kernel import Process
    from runtime.store import ShardStore, Store

__all__ = ["HomeShard", "Homes", "NoHome", "is_user_id"]

_log = logging.getLogger("chat.homes")
_USER: Final = re.compile(r"\+?[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


class NoHome(Exception):
    """The user cannot be reached now (its shard is not served here, or its process does not start)."""


class HomeShard:
    """One shard that this node owns: its store and the supervisor of its users."""

    def __init__(self, homes: Homes, shard: int, store: ShardStore) -> None:
        self.homes = homes
        self.shard = shard
        self.store = store
        self.supervisor: Process | None = None

    def fenced(self) -> None:
        """A newer owner has the shard: end all that acts for it here. Does not block."""
        # A supervisor ignores exit signals of its children; and one of them, our caller, must not wait for it.
        if self.supervisor is not None and self.supervisor.alive:
            spawn(_stop, self.supervisor)


class Homes:
    """The users of this node, and the way to those of others. One object per node, given to whoever needs it."""

    def __init__(
        self,
        cluster: Any,
        store: Store,
        delivery: DeliverySettings,
        ids: MessageIds,
        *,
        owner: str = "chat",
        hash_key: bytes | None = b"",
        shards: Any = "chat_shards",
    ) -> None:
        """`shards`: the supervisor (name or pid) that keeps the shards' supervisors; `hash_key` None: ids as they are."""
        self.delivery = delivery
        self.ids = ids
        self._cluster = cluster
        self._store = store
        self._owner = owner
        self._hash_key = hash_key
        self._keeper = shards
        self._shards: dict[int, HomeShard] = {}
        self._users: dict[str, Process] = {}

    # API: messages

    def send(self, user: str, message: Any) -> None:
        """Send `message` to the user's process, starting it if need be (then the caller waits for that).

        Never raises: what cannot be delivered is lost, as any message to a dead process; senders ask again.
        """
        pid = self._users.get(user)
        if pid is not None and pid.alive:
            send(pid, message)
            return
        cluster = self._cluster
        try:
            cluster.send(f"shard:{cluster.shard_of(user)}", (user, message))
        except (NoHome, NoRoute, StoreError) as error:
            _log.warning("%s: %s", self.shown(user), error)

    def handle(self, dest: str, data: Any, reply: Any = None) -> None:
        """Take a message that the cluster brought for a user of one of our shards. Blocks while the process starts."""
        user, message = data
        pid = self.find(user)
        if pid is None:
            if type(message) is not Claim and self.account(user) is None:
                self._nobody(user, message)
                return
            pid = self._start(user)
        send(pid, message)

    def claim(
        self, user: str, device_name: str, salt: bytes, stored: bytes, server: bytes, rounds: int
    ) -> Claimed:
        """Make the account the caller's device's; wait until that is durable. Raises NoHome after 10 s."""
        ref = make_ref()
        self.send(user, Claim(self_(), ref, device_name, salt, stored, server, rounds))
        answer = receive_match(lambda m: type(m) is Claimed and m.ref == ref, 10.0)
        if answer is TIMEOUT:
            raise NoHome("registration was not confirmed")
        return answer  # type: ignore[no-any-return]

    def account(self, user: str) -> Account | None:
        """Read who may log in as `user`. Raises NoHome when its shard is not here, StoreError."""
        if not is_user_id(user):
            return None
        record = self._home(user).store.get(ACCOUNT, records.account_key(user))
        return records.read_account(record.val) if record is not None else None

    def find(self, user: str) -> Process | None:
        """The user's process, if it runs here."""
        pid = self._users.get(user)
        return pid if pid is not None and pid.alive else None

    def shown(self, user: str) -> str:
        """How a user id is written in logs: hashed with the node's key, unless the operator wants it plain."""
        if self._hash_key is None:
            return user
        return "u:" + hmac.new(self._hash_key, user.encode(), hashlib.sha256).hexdigest()[:12]

    def info(self) -> dict[str, Any]:
        """Figures for the shell."""
        return {"shards": sorted(self._shards), "users": sum(pid.alive for pid in self._users.values())}

    @property
    def shards(self) -> list[HomeShard]:
        return list(self._shards.values())

    @property
    def processes(self) -> list[Process]:
        """The users' processes here; one that has crashed stays among them until its successor begins."""
        return list(self._users.values())

    # the cluster's callbacks

    def acquire(self, shard: int) -> None:
        """This node owns the shard from now on."""
        spec = ChildSpec(shard, (self.start_shard, (shard,)), type="supervisor", shutdown=INFINITY)
        supervisor.start_child(self._keeper, spec)

    def release(self, shard: int, why: str) -> None:
        """This node no longer owns it: end its users. Sessions attach to the next owner's."""
        self._shards.pop(shard, None)
        try:
            supervisor.terminate_child(self._keeper, shard)
            supervisor.delete_child(self._keeper, shard)
        except (CallError, BadName, supervisor.NotFound):
            pass  # the keeper went first and took it with it

    def members_changed(self, up: Sequence[str], down: Sequence[str]) -> None:
        """Nodes came and went: nothing to do, each message finds its own way."""

    # API: for the supervision tree

    def start_shard(self, shard: int) -> Process:
        """Open a shard and start its supervisor (a start function: the supervisor is linked to the caller)."""
        home = HomeShard(self, shard, self._store.open_shard(shard, self._owner))
        # Users are temporary: one that crashes is started by whoever needs it next, and never takes others down.
        home.supervisor = dynamic_supervisor.DynamicSupervisor.start_link()
        self._shards[shard] = home
        return home.supervisor

    def enter(self, user: str, pid: Process) -> Process | None:
        """A user process begins. Returns the one that was entered before: alive, then this one must go; or crashed."""
        before = self._users.get(user)
        if before is None or not before.alive:
            self._users[user] = pid
        return before

    def leave(self, user: str, pid: Process) -> None:
        """A user process ends with nothing in flight. One that crashes stays entered: its successor must know."""
        if self._users.get(user) is pid:
            del self._users[user]

    # internals

    def _home(self, user: str) -> HomeShard:
        home = self._shards.get(self._cluster.shard_of(user))
        if home is None:
            raise NoHome("its shard is not served here")
        return home

    def _start(self, user: str) -> Process:
        home = self._home(user)
        if home.supervisor is None:
            raise NoHome("its shard is not served here")
        spec = ChildSpec(user, (User.start_link, (home, user)), restart="temporary")
        try:
            pid = dynamic_supervisor.start_child(home.supervisor, spec) or self.find(user)
        except (dynamic_supervisor.StartChildError, CallError) as error:
            raise NoHome(f"its process did not start: {error}") from error
        if pid is None:
            raise NoHome("its process ended at once")
        return pid

    @staticmethod
    def _nobody(user: str, message: Any) -> None:
        """Answer for a user who does not exist."""
        kind = type(message)
        if kind is Submit:
            send(
                message.session,
                RefusedSends(user, [one.id for one in message.sends], "no_such_user", message.round),
            )
        elif kind is Receipts and type(message.reply) is not str:
            send(message.reply, Taken(message.ref))
        elif kind is Attach:
            send(message.session, AttachRefused("bad_token"))


def _stop(shard: Process) -> None:
    with contextlib.suppress(CallError, ProcessExit):  # another user of the shard was quicker
        dynamic_supervisor.stop(shard, "fenced")


def is_user_id(user: str) -> bool:
    """Whether this can be a user id: a normalised phone number, or a plain name of ASCII letters, digits, `.`, `_`, `-`."""
    return _USER.fullmatch(user) is not None
