"""The user process: one per active user, at home in the user's shard. A thin shell around `DeliveryQueue`.

It turns messages into calls of the queue, the queue's operations into commits, and its effects into messages. One FLUSH,
sent by the process to itself, closes each batch: it comes behind what already waits in the mailbox, so a commit covers
all of that. There is one timer per process, and only while something is due.

It is started on demand (`Homes`), holds nothing that the store does not, and ends when it has been idle for a while.
If it crashes, sessions see it go and attach to the next one; messages on their way are asked for again.

Settings: [chat.delivery].
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from apps.chat.domain import records
from apps.chat.domain.counters import counters
from apps.chat.domain.delivery import DeliveryQueue, Note
from apps.chat.domain.ids import now_ms
from apps.chat.domain.messages import (
    AckUpTo,
    Attach,
    AttachRefused,
    Claim,
    Claimed,
    Receipts,
    Replaced,
    SignOff,
    Submit,
    Taken,
)
from apps.chat.domain.records import ACCOUNT, CURSOR, Account
from runtime.kernel import Down, Timeout, cancel_timer, clock, demonitor, monitor, self_, send, start_timer
from runtime.otp import GenServer, Ignore, Stop
from runtime.store import Committed, CommitFailed, Conflict, Del, Fenced, Put, StoreFull, Unavailable

if TYPE_CHECKING:
    from apps.chat.domain.homes import HomeShard

__all__ = ["User"]

_log = logging.getLogger("chat.users")


class _Flush:
    def __repr__(self) -> str:
        return "<flush>"


FLUSH: Final = _Flush()


class User(GenServer):
    """Holds one user's queue and, while a device is connected, its session's pid."""

    # callbacks

    def init(self, home: HomeShard, user: str) -> Any:
        me = self_()
        before = home.homes.enter(user, me)
        if before is not None:
            if before.alive:
                return Ignore()  # another start was quicker; `Homes` hands out that one
            # It crashed, maybe with a commit on its way: what is read must include that. Commits of a shard are applied
            # in order, so one that has come back lets us see all before it.
            home.store.commit([Del(CURSOR, b"\0barrier")])
        self.me = me
        self.user = user
        self.home = home
        record = home.store.get(ACCOUNT, records.account_key(user))
        self.account: Account | None = records.read_account(record.val) if record is not None else None
        now = clock.now()
        self.queue = DeliveryQueue(user, home.store, home.homes.delivery, home.homes.ids, now)
        self.flushing = False
        self.watch: Any = None
        self.timer: Any = None
        self.timer_due = 0.0
        self.idle_since = now
        self._arm(now)
        return None

    def handle_info(self, message: Any) -> Any:
        handler = _HANDLERS.get(message.__class__)
        if handler is None:
            return super().handle_info(message)
        outcome = handler(self, message)
        if self.queue.out:
            self._drain()
        return outcome

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the process is dead, of whatever cause. Its timer goes with it."""
        timer = getattr(self, "timer", None)
        if timer is not None:
            cancel_timer(timer)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Figures only: neither bodies nor ids of other people belong into reports."""
        return {
            **status,
            "state": self.queue.info() if hasattr(self, "queue") else {},
            "message": "…",
            "messages": [],
        }

    # the hot path: from and to other processes

    def _submit(self, message: Submit) -> None:
        self.queue.submit(message)
        if not self.flushing:
            self.flushing = True
            send(self.me, FLUSH)

    def _receipts(self, message: Receipts) -> None:
        if message.status == "read":
            counters.read += len(message.messages)
        self.queue.receipts(message)
        if not self.flushing:
            self.flushing = True
            send(self.me, FLUSH)

    def _ack(self, message: AckUpTo) -> None:
        now = clock.now()
        self.queue.ack(message.session, message.upto, now)
        self._wake(now)

    def _taken(self, message: Taken) -> None:
        now = clock.now()
        self.queue.taken(message.ref, now)
        self._wake(now)

    def _flush(self, _message: Any) -> None:
        self.flushing = False
        self._commit(clock.now())

    def _committed(self, message: Committed) -> None:
        now = clock.now()
        self.queue.committed(now)
        self._commit(now)

    def _commit(self, now: float) -> None:
        queue = self.queue
        ops = queue.flush(now)
        if ops is not None:
            self.home.store.commit_request(ops, None)
        self._wake(now)

    def _wake(self, now: float) -> None:
        due = self.queue.deadline()
        if due is not None and (self.timer is None or due < self.timer_due):
            self._arm(now)

    def _drain(self) -> None:
        queue = self.queue
        out, queue.out = queue.out, []
        to_user = self.home.homes.send
        for dest, message in out:
            if dest.__class__ is str:
                to_user(dest, message)
            elif dest is not None:
                send(dest, message)
            else:
                self._note(message)

    # the rest

    def _commit_failed(self, message: CommitFailed) -> Any:
        error = message.error
        if isinstance(error, Fenced):
            # Another owner has the shard: nothing of it may act here any more.
            self.home.fenced()
            return Stop("fenced")
        if not isinstance(error, (Conflict, StoreFull, Unavailable)):
            # Outcome unknown, or damage: the next process reads what is true.
            return Stop(("store", type(error).__name__, str(error)))
        now = clock.now()
        self.queue.failed(error, now)
        self._commit(now)
        return None

    def _attach(self, message: Attach) -> None:
        account = self.account
        if account is None or message.epoch != account.epoch:
            send(message.session, AttachRefused("bad_token"))
            return
        if message.issued is not None and message.issued <= account.not_before:
            send(message.session, AttachRefused("bad_token"))
            return
        now = clock.now()
        queue = self.queue
        if not queue.attach(message.session, message.received, account.device, account.epoch, self.me, now):
            send(message.session, AttachRefused("bad_token"))
            return
        self._unwatch()
        self.watch = monitor(message.session)
        self._commit(now)
        self._arm(now)  # with a session here the idle time does not run: no timer for a user who is quiet

    def _down(self, message: Down) -> None:
        if message.ref == self.watch:
            self.watch = None
            self._detach(message.pid)

    def _detach(self, session: Any) -> None:
        now = clock.now()
        self.idle_since = now
        self.queue.detach(session, now)
        self._commit(now)
        self._arm(now)

    def _claim(self, message: Claim) -> None:
        """A device has proved that the number is its: it alone is the account's from now on; the mail stays."""
        old, now = self.account, now_ms()
        account = Account(
            self.user,
            secrets.token_hex(8),
            old.epoch + 1 if old is not None else 1,
            message.salt,
            message.stored_key,
            message.server_key,
            message.iterations,
            message.device_name,
            old.created if old is not None else now,
            now,
        )
        self._store_account(account)
        counters.registered += 1
        self._end_session("replaced")
        send(message.reply, Claimed(message.ref, account.device, account.epoch))

    def _sign_off(self, message: SignOff) -> None:
        old = self.account
        if old is not None and message.session is self.queue.session:
            fields = {name: getattr(old, name) for name in old.__struct_fields__}
            self._store_account(Account(**{**fields, "not_before": now_ms()}))
            self._end_session("logout")

    def _store_account(self, account: Account) -> None:
        self.home.store.commit([Put(ACCOUNT, records.account_key(self.user), records.encode(account))])
        self.account = account

    def _end_session(self, code: str) -> None:
        session = self.queue.session
        if session is not None:
            send(session, Replaced(code))
            self._unwatch()
            self._detach(session)

    def _unwatch(self) -> None:
        if self.watch is not None:
            demonitor(self.watch, flush=True)
            self.watch = None

    def _timeout(self, message: Timeout) -> Any:
        if message.ref is not self.timer:
            return None
        self.timer = None
        now = clock.now()
        self.queue.tick(now)
        self._commit(now)
        idle = self.queue.is_idle()
        if (
            idle
            and now - self.idle_since >= self.home.homes.delivery.user_idle
            and not self.me.mailbox_length
        ):
            # Out of the table first: who comes now starts the next one. Nothing yields in between, so nothing is lost.
            self.home.homes.leave(self.user, self.me)
            return Stop("normal")
        self._arm(now)
        return None

    def _arm(self, now: float) -> None:
        """Have one timer for whatever is due first."""
        due = self.queue.deadline()
        if self.queue.session is None:
            end = max(self.idle_since + self.home.homes.delivery.user_idle, now + 1.0)
            due = end if due is None else min(due, end)
        if self.timer is not None:
            if due is not None and due >= self.timer_due:
                return  # it rings early, finds nothing, and is armed again
            cancel_timer(self.timer)
            self.timer = None
        if due is not None:
            self.timer_due = due
            self.timer = start_timer(max(due - now, 0.0), self.me, None)

    def _note(self, note: Note) -> None:
        level = logging.ERROR if note.what == "damaged" else logging.WARNING
        name = self.home.homes.shown(self.user)
        _log.log(level, "%s: %s at number %d", name, _NOTES[note.what], note.seq, extra={"alarm": note.what})


_NOTES: Final = {
    "queue_full": "queue full, senders are refused",
    "set_aside": "a message was taken and never acknowledged too often; set aside",
    "damaged": "an entry is damaged in the store and cannot be delivered",
}

_HANDLERS: Final[dict[type, Callable[[User, Any], Any]]] = {
    Submit: User._submit,
    Receipts: User._receipts,
    AckUpTo: User._ack,
    Taken: User._taken,
    _Flush: User._flush,
    Committed: User._committed,
    CommitFailed: User._commit_failed,
    Attach: User._attach,
    Down: User._down,
    Claim: User._claim,
    SignOff: User._sign_off,
    Timeout: User._timeout,
}
