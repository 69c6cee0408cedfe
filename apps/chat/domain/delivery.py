"""A user's queue, from `Submit` to deletion: the state machine, without processes.

Theory of operation
-------------------
Four marks run along the queue's gap-free numbers:

    released <= acked <= sent, loaded <= durable <= assigned
       |          |       |       |         |          `- the last number given, maybe not yet committed
       |          |       |       |         `- the last committed one
       |          |       |       `- entries acked+1 … loaded are in memory (`window`), only while a device is here
       |          |       `- the last one given to the device (after a resume it may be beyond `loaded`)
       |          `- the last one the device has acknowledged
       `- the last one deleted from the store (`Cursor.acked`)

*In.* `submit` and `receipts` put operations into the open batch. `flush` gives the batch to the caller to commit; one batch
is in flight at a time, all that comes meanwhile goes into the next. So a busy user's batches grow instead of queueing,
numbers stay gap-free when a commit fails, and nobody is answered before the commit (`committed`).

*Duplicates.* The answer to each client id is stored with the message, insert-only. Fresh ids are not looked up: a repeated
one fails the batch with Conflict, and only then the batch is made again with a look at each id (`failed`). What was seen
lately is in `_recent` and never comes so far.

*Out.* Committed entries go to the device's session, at most `window` unacknowledged. What does not fit is not kept in
memory and is read again when there is room.

*Acknowledged.* Entries up to a number: the senders' user processes are sent Receipts first; only when they confirm
(`taken`) are the entries deleted, with the cursor, in one batch (`Release`): the next one that comes by, or one of its own
a little later, so that a busy user's deletes cost no commit. A crash in between leaves the entries, and their receipts are
sent twice at worst, which changes nothing for who reads them.

*Silence.* Nothing acknowledged for a while: all that is unacknowledged is sent again, in order, with back-off. A device
that took the head of the queue and vanished `takes_max` times in a row, with no acknowledgement in between, has its
head set aside (kind `aside`), so that a poisonous message cannot lock its user out.

Effects are appended to `out` as (destination, message): a pid, a user id, or None for a note to the operator.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, Final

from apps.chat.domain import records
from apps.chat.domain.counters import counters
from apps.chat.domain.delivery_batch import Batch, Intent, Mark, Note, Release
from apps.chat.domain.ids import MessageIds, now_ms
from apps.chat.domain.messages import (
    Accepted,
    Again,
    Attached,
    Deliveries,
    Outgoing,
    Receipts,
    RefusedSends,
    Replaced,
    Submit,
    Taken,
)
from apps.chat.domain.queue_state import State, find_state, read_entry
from apps.chat.domain.records import ASIDE, CURSOR, DEDUPE, QUEUE, Cursor, Entry, Envelope, ReceiptEntry
from apps.chat.domain.settings import DeliverySettings
from runtime.store import ABSENT, ANY, Conflict, Del, Op, Put, ShardStore, StoreError

__all__ = ["DeliveryQueue", "Note"]

# types

MAX_BATCH: Final = 2_000  # operations after which the next batch is begun; the store takes 10,000
MAX_RELEASES: Final = 256  # acknowledged groups waiting for their receipts before delivery slows down
RELEASE_AFTER: Final = 0.5  # seconds after which acknowledged entries are deleted in a batch of their own
RETRY: Final = 5.0  # seconds until unconfirmed receipts are sent again
RECEIPT_IDS: Final = 256  # message ids in one receipt entry
FAR: Final = float("inf")

_Seen = tuple[int, int, int]  # message id, time, number of the batch: durable once that is
_tuple = tuple.__new__  # makes a Put or Del in half the time of its class: three for each message


class DeliveryQueue:
    """One user's queue. Every method takes the time where it needs it; none blocks. See the head of the module.

    Invariants: the marks as drawn above; window = the entries acked+1 … loaded; at most one batch in flight.
    """

    # Slots: forty fields in a dictionary take 2 KB a user. With __dict__ among them live code may still add some.
    __slots__ = (
        "__dict__", "_acked_total", "_aside_wanted", "_backlog_until", "_checking", "_cursor_dirty", "_done",
        "_durable_total", "_flying", "_head_time", "_high_sent", "_hold_until", "_ids", "_message",
        "_noted_full", "_now", "_number", "_open", "_prefix", "_recent", "_ref", "_refs", "_release_at",
        "_release_to", "_released_total", "_releases", "_resend_at", "_resends", "_settings", "_shard",
        "_takes", "_waiting", "_window", "acked", "assigned", "durable", "loaded", "out", "released", "sent",
        "session", "total", "user",
    )  # fmt: skip

    def __init__(
        self, user: str, shard: ShardStore, settings: DeliverySettings, ids: MessageIds, now: float
    ) -> None:
        self.user = user
        self.out: list[tuple[Any, Any]] = []
        self.session: Any = None
        self._shard = shard
        self._settings = settings
        self._ids = ids
        self._prefix = records.queue_prefix(user)
        self._now = now
        # the marks; `_begin` sets them as they are in the store
        self.released = self.acked = self.sent = self.loaded = self.durable = self.assigned = 0
        self.total = 0
        self._released_total = self._acked_total = self._durable_total = 0
        self._release_to = Mark(0, 0)
        self._message = self._high_sent = self._takes = 0
        self._head_time = 0
        # in
        self._number = 0
        self._done = 0
        self._flying: Batch | None = None
        self._waiting: list[Batch] = []  # short lists: an empty deque takes 600 bytes
        self._open: Batch | None = None  # the last of `_waiting`, if any
        self._recent: dict[tuple[str, bytes], _Seen] = {}
        self._checking = False
        self._hold_until = 0.0
        self._release_at = FAR
        # out
        self._window: list[Entry] = []
        self._releases: list[Release] = []
        self._refs: dict[int, Release] = {}
        self._ref = random.getrandbits(48)  # a confirmation meant for a predecessor must not fit
        self._backlog_until = 0
        self._resends = 0
        self._resend_at: float | None = None
        self._cursor_dirty = False
        self._aside_wanted = False
        self._noted_full = False
        self._begin(find_state(shard, user))

    # API: in

    def submit(self, m: Submit) -> None:
        """Queue a sender's messages; they are answered when durable."""
        if m.prev is not None and not self._is_known(m.sender, m.prev):
            self.out.append((m.session, Again(self.user)))
            return
        time = now_ms()
        refused = [
            send.id for send in m.sends if not self._submit_one(m.session, m.sender, send, m.round, time)
        ]
        if refused:
            self.out.append((m.session, RefusedSends(self.user, refused, "queue_full", m.round)))
            if not self._noted_full:
                self._noted_full = True
                self.out.append((None, Note("queue_full", self.assigned)))

    def receipts(self, m: Receipts) -> None:
        """Queue news of messages that this user sent. Always taken, but for read marks beyond a full queue."""
        if m.status == "read" and self._is_full(0):
            self.out.append((m.reply, Taken(m.ref)))
            return
        batch = self._open_batch()
        batch.intents.append(m)
        batch.taken.append((m.reply, m.ref))
        at = batch.merge.get((m.who, m.status))
        if at is not None:
            entry: Any = batch.entries[at]
            if len(entry.messages) + len(m.messages) <= RECEIPT_IDS:
                seq = self.assigned - (len(batch.entries) - 1 - at)
                merged = ReceiptEntry(
                    m.who, m.status, entry.messages + m.messages, m.time, entry.total, entry.high
                )
                batch.entries[at] = merged
                key = records.queue_key(self._prefix, seq)
                # The first Put stays and this one wins: operations apply in order, and the merge is rare enough.
                batch.ops.append(Put(QUEUE, key, records.encode(merged)))
                return
        self.assigned += 1
        self.total += 16 + 8 * len(m.messages)
        entry = ReceiptEntry(m.who, m.status, m.messages, m.time, self.total, self._message)
        batch.merge[m.who, m.status] = len(batch.entries)
        batch.receipts += 1
        batch.entries.append(entry)
        batch.ops.append(Put(QUEUE, records.queue_key(self._prefix, self.assigned), records.encode(entry)))

    def taken(self, ref: int, now: float) -> None:
        """A sender's user process has our receipts durable. What that lets go is deleted with the next batch, or soon."""
        release = self._refs.pop(ref, None)
        if release is not None:
            self._now = now
            release.waiting.pop(ref, None)
            self._settle_releases()

    # API: commit

    def flush(self, now: float) -> list[Op] | None:
        """Do what has gathered; return operations to be committed now, or None. Call again after `committed`."""
        self._now = now
        if self._flying is not None or now < self._hold_until:
            return None
        if not self._waiting:
            if now < self._release_at:
                return None
            self._open_batch()
        batch = self._waiting.pop(0)
        if batch is self._open:
            self._open = None
        if batch.ops or now >= self._release_at:
            self._add_release(batch)
        if not batch.ops:
            self._answer(batch)
            return None
        self._flying = batch
        return batch.ops

    def committed(self, now: float) -> None:
        """The batch in flight is durable."""
        self._now = now
        batch, self._flying = self._flying, None
        assert batch is not None
        self._done = batch.number
        fresh = len(batch.entries)
        before, self.durable = self.durable, self.durable + fresh
        if fresh:
            self._durable_total = batch.entries[-1].total
            counters.accepted += fresh - batch.receipts
        if batch.release is not None:
            self._released(batch)
        self._answer(batch)
        if self.session is not None and fresh and self.loaded == before:
            room = self._room()
            self._window.extend(batch.entries if room >= fresh else batch.entries[:room])
            self.loaded += min(room, fresh)
        self._pump()

    def failed(self, error: StoreError, now: float) -> None:
        """The batch in flight was not applied. A Conflict is a repeated client id; anything else refuses the senders."""
        self._now = now
        assert self._flying is not None
        batches = [self._flying, *self._waiting]
        if self._flying.release is not None:
            self._cursor_dirty, self._aside_wanted, self._release_at = True, self._flying.aside, now
        self._flying = None
        self._waiting.clear()
        self._open = None
        self.assigned, self.total = self.durable, self._durable_total
        # Forget first, then add again: a repeated id must not find the failed attempt of itself.
        done = self._done
        self._recent = {key: seen for key, seen in self._recent.items() if seen[2] <= done}
        intents = [intent for batch in batches for intent in batch.intents]
        if isinstance(error, Conflict):
            self._checking = True
            try:
                self._replay(intents)
            finally:
                self._checking = False
            return
        self._hold_until = now + 1.0
        for intent in intents:
            if isinstance(intent, Receipts):
                continue  # who sent them asks again
            session, sender, send, round_ = intent
            # It may be the repetition of one that is durable since long: that must not hear that nothing is kept.
            seen = self._recent.get((sender, send.id)) or self._look_up(sender, send.id)
            if seen is not None:
                self.out.append((session, Accepted(self.user, [(send.id, seen[0], seen[1])])))
            else:
                self.out.append((session, RefusedSends(self.user, [send.id], "unavailable", round_, RETRY)))

    # API: out

    def attach(
        self, session: Any, received: int | None, device: str, epoch: int, me: Any, now: float
    ) -> bool:
        """A device is here; False if it claims to hold what was never sent."""
        self._now = now
        if received is not None and received > self.durable:
            return False
        if self.session is not None and self.session is not session:
            self.out.append((self.session, Replaced("replaced")))
        self.detach(self.session, now)
        self.session = session
        self.sent = max(self.acked, received or 0)
        following = self.durable - self.sent
        self._backlog_until = self.durable if following else 0
        self._resend_at = None
        if self.sent > self.acked:
            self._expect_ack()
        attached = Attached(me, self.acked, self.durable - self.acked, following, device, epoch)
        self.out.append((session, attached))
        self._pump()
        return True

    def detach(self, session: Any, now: float) -> None:
        """The device is gone."""
        self._now = now
        if session is None or session is not self.session:
            return
        self.session = None
        if self.sent > self.acked:
            # It had the head of the queue in its hands and did not say so.
            self._takes += 1
            self._high_sent = max(self._high_sent, self.sent)
            self._cursor_dirty = True
            self._release_at = now
            self._aside_wanted = self._takes >= self._settings.takes_max
        self._window.clear()
        self.loaded = self.sent = self.acked
        self._resends = 0
        self._resend_at = None

    def ack(self, session: Any, upto: int, now: float) -> None:
        """The device holds all up to `upto`. Lower or repeated: nothing. From a session of before: nothing."""
        if session is self.session and self.acked < upto <= self.sent:
            self._now = now
            self._take_ack(upto)

    def tick(self, now: float) -> None:
        """Send again what has waited too long for its acknowledgement or confirmation."""
        self._now = now
        if self._resend_at is not None and now >= self._resend_at and self.session is not None:
            self._resends += 1
            again = self._window[: self.sent - self.acked]
            if again:
                attempts = 1 + self._takes + self._resends
                self.out.append((self.session, Deliveries(self.acked + 1, again, attempts)))
            self._expect_ack()
        for release in self._releases:
            if release.waiting and now >= release.retry_at:
                release.retry_at = now + RETRY
                self.out.extend(release.waiting.values())

    def deadline(self) -> float | None:
        """When `tick` and `flush` have something to do by themselves; None: never."""
        due = self._resend_at
        if self._releases:
            retry = self._releases[0].retry_at
            due = retry if due is None or retry < due else due
        if self._release_at != FAR and self._flying is None and (due is None or self._release_at < due):
            due = self._release_at
        if self._hold_until > self._now and (due is None or self._hold_until < due):
            due = self._hold_until
        return due

    def is_idle(self) -> bool:
        """Nothing is in flight and nobody is attached: all there is to know is in the store."""
        return (
            self.session is None
            and self._flying is None
            and not self._releases
            and self._release_at == FAR
            and not self._cursor_dirty
            and not self._waiting
        )

    @property
    def queued(self) -> int:
        return self.durable - self.acked

    def info(self) -> dict[str, int]:
        """Figures for the shell; no content."""
        return {
            "released": self.released, "acked": self.acked, "sent": self.sent, "loaded": self.loaded,
            "durable": self.durable, "assigned": self.assigned, "bytes": self.total - self._acked_total,
            "waiting_receipts": len(self._refs), "takes": self._takes, "resends": self._resends,
        }  # fmt: skip

    def check(self) -> None:
        """Assert the invariants (tests call it after every step)."""
        assert self.released <= self.acked <= self.durable <= self.assigned, self.info()
        assert self.acked <= self.sent <= self.durable, self.info()
        assert self.loaded == self.acked + len(self._window) <= self.durable, self.info()
        assert len(self._window) <= self._settings.window
        assert self.session is not None or not self._window
        ahead = sum(len(batch.entries) for batch in self._waiting)
        assert self.assigned == self.durable + ahead + (len(self._flying.entries) if self._flying else 0)

    # internals: in

    def _submit_one(self, session: Any, sender: str, send: Outgoing, round_: int, time: int) -> bool:
        key = (sender, send.id)
        batch = self._open_batch()
        seen = self._recent.get(key)
        if seen is None and self._checking:
            seen = self._look_up(sender, send.id)
        if seen is None:
            body = send.body
            size = len(body)
            if self._is_full(size):
                return False
            if self.assigned == self.acked:
                self._head_time = time
            seq = self.assigned = self.assigned + 1
            total = self.total = self.total + size
            message = self._ids.next(self._shard.shard, time)
            if message <= self._message:
                message = self._message + 1
            self._message = message
            entry = Envelope(message, sender, send.kind, body, time, total)
            prefix = self._prefix
            key_, seen_key = prefix + seq.to_bytes(8, "big"), b"%b%b\0%b" % (prefix, sender.encode(), send.id)
            batch.ops += (
                _tuple(Put, (QUEUE, key_, records.encode(entry), ANY)),
                _tuple(Put, (DEDUPE, seen_key, records.encode((message, time)), ABSENT)),
            )
            batch.entries.append(entry)
            seen = (message, time, batch.number)
            self._remember(key, seen)
        batch.intents.append((session, sender, send, round_))
        answer = (send.id, seen[0], seen[1])
        answers = batch.answers.get(session)
        if answers is None:
            batch.answers[session] = [answer]
        else:
            answers.append(answer)
        return True

    def _replay(self, intents: Iterable[Intent | Receipts]) -> None:
        time = now_ms()
        for intent in intents:
            if isinstance(intent, Receipts):
                self.receipts(intent)
                continue
            session, sender, send, round_ = intent
            if not self._submit_one(session, sender, send, round_, time):
                self.out.append((session, RefusedSends(self.user, [send.id], "queue_full", round_)))

    def _open_batch(self) -> Batch:
        batch = self._open
        if batch is None or len(batch.ops) >= MAX_BATCH:
            self._number += 1
            batch = self._open = Batch(self._number)
            self._waiting.append(batch)
        return batch

    def _remember(self, key: tuple[str, bytes], seen: _Seen) -> None:
        recent = self._recent
        recent[key] = seen
        for _ in range(2):  # one in, up to two out: it shrinks again after a burst
            if len(recent) <= self._settings.recent:
                return
            oldest = next(iter(recent))
            if recent[oldest][2] > self._done:
                return  # not durable yet: without it a repetition would meet our own Put
            del recent[oldest]

    def _look_up(self, sender: str, client_id: bytes) -> _Seen | None:
        record = self._shard.get(DEDUPE, records.dedupe_key(self._prefix, sender, client_id))
        if record is None:
            return None
        found = records.read_seen(record.val)
        seen = (found.message, found.time, 0)
        self._remember((sender, client_id), seen)
        return seen

    def _is_known(self, sender: str, client_id: bytes) -> bool:
        return (sender, client_id) in self._recent or self._look_up(sender, client_id) is not None

    def _is_full(self, size: int) -> bool:
        limits = self._settings
        count = self.assigned - self.acked
        return (
            count >= limits.queue_count
            or self.total - self._acked_total + size > limits.queue_bytes
            or (count > 0 and now_ms() - self._head_time > limits.queue_age * 1000)
        )

    # internals: commit

    def _answer(self, batch: Batch) -> None:
        out = self.out
        for session, items in batch.answers.items():
            out.append((session, Accepted(self.user, items)))
        for reply, ref in batch.taken:
            out.append((reply, Taken(ref)))

    def _settle_releases(self) -> None:
        releases = self._releases
        while releases and not releases[0].waiting:
            self._release_to = releases.pop(0).mark
            if self._release_at == FAR:
                self._release_at = self._now + RELEASE_AFTER

    def _add_release(self, batch: Batch) -> None:
        target, aside = self._release_to, False
        if target.seq > self.released + MAX_BATCH:
            # Only after a restart can so much be acknowledged at once; the rest goes with the next batches.
            target = Mark(self.released + MAX_BATCH, self._released_total)
        if target.seq > self.released:
            prefix = self._prefix
            batch.ops.extend(
                _tuple(Del, (QUEUE, prefix + seq.to_bytes(8, "big"), ANY))
                for seq in range(self.released + 1, target.seq + 1)
            )
        elif self._aside_wanted and not self._releases and self.acked < self.durable:
            target, aside = self._set_aside(batch), True
        elif not self._cursor_dirty:
            self._release_at = FAR
            return
        self._cursor_dirty = self._aside_wanted = False
        self._release_at = FAR if target.seq == self._release_to.seq else self._now
        batch.release = target
        batch.aside = aside
        takes = 0 if aside else self._takes
        cursor = Cursor(max(target.seq, self.released), target.total, self._message, self._high_sent, takes)
        batch.ops.append(Put(CURSOR, records.account_key(self.user), records.encode(cursor)))

    def _set_aside(self, batch: Batch) -> Mark:
        seq = self.acked + 1
        key = records.queue_key(self._prefix, seq)
        total = self._acked_total
        entry = self._read(seq)
        if entry is not None:
            batch.ops.append(Put(ASIDE, key, records.encode(entry)))
            total = entry.total
        batch.ops.append(Del(QUEUE, key))
        return Mark(seq, total)

    def _released(self, batch: Batch) -> None:
        mark = batch.release
        assert mark is not None
        if mark.seq <= self.released:
            return
        self.released, self._released_total = mark
        if mark.seq > self._release_to.seq:
            self._release_to = mark
        if batch.aside:
            self.out.append((None, Note("set_aside", mark.seq)))
            counters.set_aside += 1
            self._takes = 0
            if mark.seq > self.acked:  # else the device came back and acknowledged it meanwhile
                self.acked, self._acked_total = mark
                self.sent = max(self.sent, self.acked)
                if self._window:
                    del self._window[0]
                self.loaded = self.acked + len(self._window)

    # internals: out

    def _take_ack(self, upto: int) -> None:
        groups: dict[str, list[int]] = {}
        times: list[int] = []
        window = self._window
        total = self._acked_total
        while self.acked < upto:
            if not window:
                self._load(self._settings.window)
            taken = window[: upto - self.acked]
            del window[: len(taken)]
            self.acked += len(taken)
            total = taken[-1].total
            for entry in taken:
                if type(entry) is Envelope:
                    times.append(entry.time)
                    ids = groups.get(entry.sender)
                    if ids is None:
                        groups[entry.sender] = [entry.message]
                    else:
                        ids.append(entry.message)
        self._acked_total = total
        self.loaded = self.acked + len(window)
        self._head_time = window[0].time if window else now_ms()
        self._takes = self._resends = 0
        self._noted_full = False
        time = now_ms()
        if times:
            counters.has_delivered(times, time)
        release = Release(Mark(upto, total), {}, self._now + RETRY)
        for sender, ids in groups.items():
            for at in range(0, len(ids), RECEIPT_IDS):
                self._ref = ref = self._ref + 1
                receipts = Receipts(
                    self.user, "delivered", tuple(ids[at : at + RECEIPT_IDS]), time, self.user, ref
                )
                release.waiting[ref] = (sender, receipts)
                self._refs[ref] = release
                self.out.append((sender, receipts))
        self._releases.append(release)
        if not release.waiting:
            self._settle_releases()
        self._resend_at = None
        if self.sent > self.acked:
            self._expect_ack()
        self._pump()

    def _pump(self) -> None:
        session = self.session
        if session is None:
            return
        window = self._window
        if self.loaded < self.durable and len(window) * 2 <= self._settings.window:
            self._load(self._room())
        sent, loaded = self.sent, self.loaded
        if loaded <= sent:
            return
        fresh = window[sent - self.acked :]
        first = sent + 1
        if first <= self._high_sent:
            # Some were in the hands of a device before: those carry their count, so that a client can tell.
            before = self._high_sent - sent
            self.out.append((session, Deliveries(first, fresh[:before], self._takes + 1)))
            fresh, first = fresh[before:], first + len(fresh[:before])
        end = 0 < self._backlog_until <= loaded
        if fresh or end:
            self.out.append((session, Deliveries(first, fresh, 1, end)))
        if end:
            self._backlog_until = 0
        self.sent = loaded
        if self._resend_at is None:
            self._expect_ack()

    def _room(self) -> int:
        return self._settings.window - len(self._window) if len(self._releases) < MAX_RELEASES else 0

    def _load(self, room: int) -> None:
        """Read up to `room` more entries into the window."""
        first, last = self.loaded + 1, min(self.durable, self.loaded + room)
        if last < first:
            return
        damaged: list[bytes] = []
        lo, hi = records.queue_key(self._prefix, first), records.queue_key(self._prefix, last + 1)
        found = self._shard.scan(QUEUE, lo, hi, room, damaged)
        if not damaged and len(found) == last - first + 1:
            self._window.extend(records.read_entry(record.val) for record in found)
        else:
            by_seq = {records.seq_of(record.key): record.val for record in found}
            for seq in range(first, last + 1):
                value = by_seq.get(seq)
                self._window.append(records.read_entry(value) if value is not None else self._damaged(seq))
        self.loaded = last

    def _damaged(self, seq: int) -> Entry:
        # The number must still be delivered and acknowledged: an empty receipt stands in for what the disk has lost.
        self.out.append((None, Note("damaged", seq)))
        return ReceiptEntry(self.user, "delivered", (), now_ms(), self._acked_total, self._message)

    def _expect_ack(self) -> None:
        settings = self._settings
        delay = min(settings.resend_max, settings.resend_first * 2.0 ** min(self._resends, 32))
        self._resend_at = self._now + delay * (1.0 + random.random() * 0.25)

    # internals: start and reading

    def _begin(self, state: State) -> None:
        self.released = self.acked = self.sent = self.loaded = state.acked
        self._released_total = self._acked_total = state.acked_total
        self._release_to = Mark(state.acked, state.acked_total)
        self.durable = self.assigned = state.last
        self.total = self._durable_total = state.total
        self._takes, self._high_sent, self._message = state.takes, state.sent, state.message
        self._aside_wanted = self._takes >= self._settings.takes_max
        self._head_time = state.head_time or now_ms()

    def _read(self, seq: int) -> Entry | None:
        return read_entry(self._shard, records.queue_key(self._prefix, seq))
