"""Group commit: many batches become one transaction and one fdatasync, and each still stands or falls alone.

Theory of operation
-------------------
The batches of a group are applied in order to an overlay, a dict over the transaction's snapshot: full key ->
(version, value), or None for deleted. A batch works on changes of its own, which join the overlay only when all its
expectations hold, so a conflict undoes nothing but itself. Then the net effect is written: a key that was put and
deleted in the group never reaches the tree.

One more record is written in the same transaction, the session: [session, base, last, answers]. `last` is the
number of the newest request that is done, `answers` holds what was said to those the node has not confirmed (only
what is not a plain success: success is implied by the number). A request's version is base + seq. With it a restarted
writer knows exactly what is done (wire.py).

Invariant: `self.last`, `self.answers` and `self.tokens` change only after the transaction is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import lmdb
import msgspec

from runtime.store import layout
from runtime.store.contract import (
    ABSENT,
    ANY,
    Conflict,
    CorruptRecord,
    Fenced,
    StoreError,
    StoreFull,
)
from runtime.store.environment import Environment
from runtime.store.layout import META_SESSION, Damaged, pack, unpack
from runtime.store.wire import Answer, Reply, error_to_wire

__all__ = ["Committer"]

Request = Sequence[Any]  # [seq, shard, token, ops] or [seq, shard, None, owner]
_Overlay = dict[bytes, tuple[int, bytes] | None]

_DAMAGED: Final = -1

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Committer:
    """Applies requests to an environment. One per writer process."""

    def __init__(self, environment: Environment, session: str) -> None:
        self._environment = environment
        self._session = session
        self._prefixes: dict[tuple[int, str], bytes] = {}
        self.tokens: dict[int, int] = {}
        self.answers: dict[int, Answer] = {}
        self.full = False
        self.base = self.last = 0
        with environment.env.begin() as txn:
            raw = txn.get(META_SESSION)
        if raw is not None:
            name, base, last, answers = _decode(
                unpack(META_SESSION, raw)[1], type=tuple[str, int, int, dict[int, Answer]]
            )
            if name == session:
                self.base, self.last, self.answers = base, last, answers
            else:
                self.base = base + last  # a new session's numbers begin where the last one's ended

    def commit(self, requests: Sequence[Request], confirmed: int) -> Reply:
        """Apply `requests` (in order of their numbers) durably, and answer them.

        Raises environment.DiskFault: the process must end, nothing of what is unanswered is certain.
        """
        if self.answers:
            self.answers = {seq: answer for seq, answer in self.answers.items() if seq > confirmed}
        fresh = requests
        said = {}
        if requests[0][0] <= self.last:  # sent again after a crash: done before, answered from what was kept
            said = dict(self.answers)
            fresh = [request for request in requests if request[0] > self.last]
        if fresh:
            self._commit(fresh, said)
        return self.last, self.full, said

    # --- internals ---------------------------------------------------------------------------------------------

    def _commit(self, requests: Sequence[Request], said: dict[int, Answer]) -> None:
        try:
            self._attempt(requests, said)
        except StoreFull as error:
            # Halve until each batch has had its own chance: one huge batch must not turn its neighbours away, and
            # deletes must go on in a full store.
            if len(requests) > 1:
                half = len(requests) // 2
                self._commit(requests[:half], said)
                self._commit(requests[half:], said)
            else:
                self.full = True
                self.last = requests[0][0]
                said[self.last] = self.answers[self.last] = error_to_wire(error)

    def _attempt(self, requests: Sequence[Request], said: dict[int, Answer]) -> None:
        reserve = all(map(_only_frees, requests))
        if self._environment.in_reserve and not reserve and not self._environment.refill():
            raise StoreFull(f"no space for the store in {self._environment.path}: its reserve is in use")
        while True:
            tokens: dict[int, int] = {}
            answers: dict[int, Answer] = {}
            try:
                with self._environment.env.begin(write=True) as txn:
                    self._write(txn, self._effects(txn, requests, tokens, answers), requests[-1][0], answers)
            except lmdb.MapFullError:
                self._environment.grow(reserve=reserve)
            except lmdb.Error as error:
                self._environment.disk_full(error, reserve=reserve)
            else:
                break
        if self._environment.in_reserve:
            self.full = True
        elif self.full and any(
            not _only_frees(request) and request[0] not in answers for request in requests
        ):
            self.full = False  # a batch that writes went through, with the reserve whole
        self.last = requests[-1][0]
        self.tokens |= tokens
        self.answers |= answers
        said |= answers

    def _effects(
        self,
        txn: Any,
        requests: Sequence[Request],
        tokens: dict[int, int],
        answers: dict[int, Answer],
    ) -> tuple[_Overlay, set[bytes]]:
        overlay: _Overlay = {}
        absent: set[bytes] = set()  # keys that the transaction is known not to hold: their delete is nothing
        for seq, shard, token, body in requests:
            current = tokens.get(shard) or self.tokens.get(shard)
            if current is None:
                current = self.tokens[shard] = self._stored_token(txn, shard)
            if token is None:
                # A damaged token record is mended here: versions have grown by each open, so they exceed any token.
                new = self.base + seq if current == _DAMAGED else current + 1
                tokens[shard] = answers[seq] = new
                overlay[layout.token_key(shard)] = (self.base + seq, _encode([new, body]))
            elif token != current:
                answers[seq] = error_to_wire(Fenced(shard, token, current))
            else:
                try:
                    self._apply(txn, overlay, absent, shard, self.base + seq, body)
                except StoreError as error:
                    answers[seq] = error_to_wire(error)
        return overlay, absent

    def _apply(
        self, txn: Any, overlay: _Overlay, absent: set[bytes], shard: int, version: int, ops: Any
    ) -> None:
        changes: _Overlay = {}
        prefixes = self._prefixes
        for op in ops:
            put = len(op) == 4
            kind, key, expect = op[0], op[1], op[-1]
            prefix = prefixes.get((shard, kind))
            if prefix is None:
                if len(prefixes) > 100_000:
                    prefixes.clear()
                prefix = prefixes[shard, kind] = layout.record_prefix(shard, kind)
            full = prefix + key
            if expect != ANY:
                if full in changes:
                    there = changes[full]
                elif full in overlay:
                    there = overlay[full]
                else:
                    there = self._stored(txn, full, shard, kind, key)
                    if there is None:
                        absent.add(full)
                found = ABSENT if there is None else there[0]
                if found != expect:
                    raise Conflict(kind, key, expect, found)
            changes[full] = (version, op[2]) if put else None
        overlay |= changes

    def _stored(self, txn: Any, full: bytes, shard: int, kind: str, key: bytes) -> tuple[int, bytes] | None:
        raw = txn.get(full)
        try:
            return None if raw is None else unpack(full, raw)
        except Damaged:
            raise CorruptRecord(shard, kind, key) from None

    def _stored_token(self, txn: Any, shard: int) -> int:
        full = layout.token_key(shard)
        raw = txn.get(full)
        if raw is None:
            return 0
        try:
            token: int = _decode(unpack(full, raw)[1])[0]
        except Damaged:
            return _DAMAGED  # no owner has this token: everyone is fenced until the shard is opened anew
        return token

    def _write(
        self,
        txn: Any,
        effects: tuple[_Overlay, set[bytes]],
        last: int,
        answers: dict[int, Answer],
    ) -> None:
        overlay, absent = effects
        puts = []
        for full, new in overlay.items():
            if new is not None:
                puts.append((full, pack(full, *new)))
            elif full not in absent:
                txn.delete(full)
        session = (self._session, self.base, last, self.answers | answers)
        puts.append((META_SESSION, pack(META_SESSION, 0, _encode(session))))
        with txn.cursor() as cursor:
            cursor.putmulti(puts)


_SMALL: Final = 256  # bytes of a record that a batch of deletes may put all the same


def _only_frees(request: Request) -> bool:
    """Whether the request may use the reserve: it opens a shard, or deletes at least as many records as it puts small
    ones (a queue's entries go, the mark of how far it is emptied changes).
    """
    if request[2] is None:
        return True
    puts = [op for op in request[3] if len(op) != 3]
    return 2 * len(puts) <= len(request[3]) and all(len(op[2]) <= _SMALL for op in puts)
