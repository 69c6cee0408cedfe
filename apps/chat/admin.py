"""The chat's commands in the admin shell: sessions, user, queue, waiting, kick, pin. Figures and ids, never a message's body.

Looking is reading where things lie; nobody is asked, so a user process that hangs is seen like any other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from apps.chat.domain import records
from apps.chat.domain.homes import is_user_id
from apps.chat.domain.messages import SignOff
from apps.chat.domain.records import ASIDE, QUEUE, Envelope
from apps.chat.domain.registration import normalise
from apps.chat.domain.users import User
from apps.chat.waiting import count
from runtime.admin import commands
from runtime.admin.commands import CannotDo
from runtime.admin.tables import Column, Record, Table, age, number, size, when
from runtime.kernel import call, clock, process_info, send
from runtime.observe.probes import connection_owners
from runtime.observe.slices import sliced

if TYPE_CHECKING:
    from apps.chat.domain.homes import Homes, HomeShard
    from runtime.kernel import Process

__all__ = ["ChatCommands"]

_THEME = "Chat"


class ChatCommands:
    """The commands of one running chat."""

    def __init__(self, homes: Homes, cluster: Any, registrar: Any, listener: str, is_console: bool) -> None:
        self._homes = homes
        self._cluster = cluster
        self._registrar = registrar
        self._listener = listener
        self._is_console = is_console

    def offer(self) -> None:
        """Enter them; `withdraw` takes them out again."""
        commands.add(_THEME, self.sessions, self.user, self.queue, self.waiting, self.kick, self.pin)

    @staticmethod
    def withdraw() -> None:
        """Take them out."""
        commands.remove(_THEME)

    def sessions(self, n: int = 50, filter: str = "") -> Table:
        """Connected devices, at most `n`.

        `sessions(filter="+336")`.

        `filter`: only ids with this text.
        """
        rows: list[dict[str, Any]] = []
        total = 0
        now = clock.now()
        for owner in connection_owners():
            if owner.name != self._listener:
                continue
            for conn in sliced(list(owner.table)):
                dialogue = getattr(getattr(conn, "protocol", None), "dialogue", None)
                user = getattr(dialogue, "user", "")
                total += 1
                if len(rows) < n and filter in user:
                    info = conn.info()
                    rows.append(
                        {
                            "user": user or "(not logged in)", "pid": info.pid, "state": getattr(dialogue, "state", ""),
                            "peer": f"{info.peer[0]}:{info.peer[1]}", "age": info.age, "quiet": info.quiet,
                            "out": info.bytes_out, "in": info.bytes_in, "waiting": info.write_queue, "at": now,
                        }
                    )  # fmt: skip
        shown = Column("age", show=age, is_right=True), Column("quiet", show=age, is_right=True)
        sizes = [Column(name, show=size, is_right=True) for name in ("in", "out", "waiting")]
        return Table(rows, ("user", "pid", "state", "peer", *shown, *sizes), note=f"of {total:,} connections")

    def user(self, id: str) -> Record:
        """One user: account, device, process, session, queue.

        `user("+33612345678")`
        """
        account = self._homes.account(self._checked(id))
        pid = self._homes.find(id)
        if account is None and pid is None:
            raise CannotDo(f"there is no user {id!r}")
        found = Record(user=id, shard=self._shard(id).shard, log_name=self._homes.shown(id))
        if account is not None:
            found["device"] = account.device_name or account.device
            found["epoch"] = account.epoch
            found["created"] = account.created / 1000
            found["registered"] = account.registered / 1000
        found["process"] = pid
        state = self._state(pid)
        if state is not None:
            found["session"] = state.queue.session
            found["mailbox"] = pid.mailbox_length if pid is not None else 0
            found |= state.queue.info()
        return found.drawn(created=when, registered=when)

    def queue(self, id: str, n: int = 50) -> Table:
        """What waits for a user, the oldest first; no bodies.

        `queue("+33612345678")`.
        """
        shard = self._shard(self._checked(id))
        prefix = records.queue_prefix(id)
        damaged: list[bytes] = []
        rows = []
        for where in (QUEUE, ASIDE):
            for record in shard.store.scan(
                where, prefix, records.prefix_end(prefix), max(1, min(n, 1000)), damaged
            ):
                entry = records.read_entry(record.val)
                is_message = isinstance(entry, Envelope)
                rows.append(
                    {
                        "n": records.seq_of(record.key), "what": where,
                        "from": entry.sender if isinstance(entry, Envelope) else entry.who,
                        "kind": entry.kind if isinstance(entry, Envelope) else f"receipt: {entry.status}",
                        "size": len(entry.body) if isinstance(entry, Envelope) else 0,
                        "message": entry.message if is_message and isinstance(entry, Envelope) else None,
                        "age": time.time() - entry.time / 1000,
                    }
                )  # fmt: skip
        note = "" if rows else "nothing waits"
        if damaged:
            note += f"; {len(damaged)} records are damaged"
        columns = (
            "n",
            "what",
            "from",
            "kind",
            Column("size", show=size, is_right=True),
            Column("age", show=age, is_right=True),
        )
        return Table(rows[:n], columns, note=note)

    def waiting(self) -> Record:
        """How much waits in the store, of all users.

        `waiting()`.

        Counted now: half a second for 100,000 users with messages, in slices. `queue(id)` shows one user's.
        """
        found = count(self._homes.shards)
        return Record(entries=found.entries, users=found.users, took=found.seconds).drawn(
            entries=number, users=number, took=age
        )

    def kick(self, id: str) -> str:
        """End a user's session.

        `kick("+33612345678")`.

        Its resume tokens are void from now on: the device must log in anew, with its key.
        """
        pid = self._homes.find(self._checked(id))
        state = self._state(pid)
        session = state.queue.session if state is not None else None
        if pid is None or session is None:
            raise CannotDo(f"{id} has no session here")
        send(pid, SignOff(session))
        return f"{session!r} of {id} is told to go"

    def pin(self, number: str) -> str:
        """The PIN in flight for a number, in development.

        `pin("+33612345678")`.

        There the console gateway prints it anyway; elsewhere this is refused.
        """
        if not self._is_console:
            raise CannotDo("only in development: this node sends its PINs out (chat.registration.gateways)")
        if not isinstance(number, str):
            raise CannotDo(f'{number!r} is no number as a text: pin("+33612345678")')
        asked = normalise(number)
        digits = call(self._registrar, ("in_flight", asked)) if asked is not None else None
        if digits is None:
            raise CannotDo(f"no PIN is in flight for {number!r}")
        return str(digits)

    # internals

    def _checked(self, id: str) -> str:
        if not isinstance(id, str) or not is_user_id(id):
            raise CannotDo(f"{id!r} is no user id: a number with its country code, as a text")
        return id

    def _shard(self, id: str) -> HomeShard:
        wanted = self._cluster.shard_of(id)
        for home in self._homes.shards:
            if home.shard == wanted:
                return home
        raise CannotDo(f"shard {wanted}, the home of {id}, is not served here")

    @staticmethod
    def _state(pid: Process | None) -> User | None:
        if pid is None or process_info(pid, "number") is None:
            return None
        behaviour: Any = pid.behaviour
        return behaviour if isinstance(behaviour, User) and hasattr(behaviour, "queue") else None
