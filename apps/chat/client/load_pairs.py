"""One pair of the load generator: a sender with a window, and a receiver that checks what arrives."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final


from apps.chat.client.load_peers import Peer
from apps.chat.native.frames import (
    Accepted,
    Ack,
    Bye,
    Deliver,
    Error,
    Ping,
    Pong,
    Receipt,
    Refused,
    Send,
    encode,
)

__all__ = ["Sender"]

_HEAD: Final = 24  # bytes of a body that are ours: time, counter, sender's number

# API


class Sender:
    """One pair: a sender with at most `window` messages under way, and a receiver that checks them."""

    def __init__(
        self,
        source: Peer | None,
        sink: Peer | None,
        to: str,
        *,
        number: int,
        window: int,
        size: int,
        receipts: bool,
    ) -> None:
        self.window = window
        self.receipts = receipts
        self.sent = self.accepted = self.delivered = self.confirmed = self.refused = 0
        self.lost = self.repeated = 0
        self.limit = 1 << 62
        self.is_paced = False
        self.latency: list[int] = []
        self.accept_latency: list[int] = []
        self.receipt_latency: list[int] = []
        self.is_measured = False
        self._number = number.to_bytes(8, "big")
        self._run = secrets.token_bytes(8)
        self._expected = 0
        self._ack = self._acked = 0
        self._source_ack = self._source_acked = 0
        self._times: dict[int, int] = {}
        self._at: dict[bytes, int] = {}
        template = encode(Send(b"\0" * 16, to, "text", b"\0" * max(_HEAD, size)))
        at = template.index(b"\0" * 16)
        self._start = len(template).to_bytes(4, "big") + template[:at]
        self._middle = template[at + 16 : len(template) - max(_HEAD, size)]
        self._padding = b"x" * (max(_HEAD, size) - _HEAD)
        self.source = source
        if source is not None:
            source.handler = self.from_server_to_source
        if sink is not None:
            sink.handler = self.from_server_to_sink

    def under_way(self) -> int:
        return self.sent - (self.confirmed if self.receipts else self.accepted) - self.refused

    def push(self, count: int) -> None:
        """Send `count` messages in one write."""
        assert self.source is not None
        parts: list[bytes] = []
        start, middle, padding, run, number = (
            self._start,
            self._middle,
            self._padding,
            self._run,
            self._number,
        )
        now = time.monotonic_ns()
        at = now.to_bytes(8, "big")
        for counter in range(self.sent, self.sent + count):
            place = counter.to_bytes(8, "big")
            parts += (start, run, place, middle, at, place, number, padding)
        if self.is_measured:
            for counter in range(self.sent, self.sent + count):
                self._at[run + counter.to_bytes(8, "big")] = now
        self.sent += count
        self.source.write(b"".join(parts))

    def from_server_to_source(self, peer: Peer, frame: Any) -> None:
        if frame is None:
            if self._source_ack > self._source_acked:
                self._source_acked = self._source_ack
                peer.frame(Ack(self._source_ack))
            if not self.is_paced:
                room = min(self.window - self.under_way(), self.limit - self.sent)
                if room > 0 and peer.state == 2:
                    self.push(room)
            return
        kind = type(frame)
        if kind is Accepted:
            self.accepted += 1
            if self.is_measured:
                at = self._at.pop(frame.id, 0)
                if at:
                    self.accept_latency.append(time.monotonic_ns() - at)
                    if self.receipts:
                        self._times[frame.message] = at
        elif kind is Receipt:
            self._source_ack = frame.seq
            if frame.status == "delivered":
                self.confirmed += len(frame.messages)
                if self.is_measured:
                    now = time.monotonic_ns()
                    for message in frame.messages:
                        at = self._times.pop(message, 0)
                        if at:
                            self.receipt_latency.append(now - at)
        elif kind is Refused:
            self.refused += 1
            peer.generator.failures.append(f"{frame.code}: {frame.text}")
        else:
            self._other(peer, frame)

    def from_server_to_sink(self, peer: Peer, frame: Any) -> None:
        if frame is None:
            if self._ack > self._acked:
                self._acked = self._ack
                peer.frame(Ack(self._ack))
            return
        if type(frame) is not Deliver:
            self._other(peer, frame)
            return
        if frame.seq <= self._ack:
            self.repeated += 1
            self._acked = -1
            return
        self._ack = frame.seq
        body = frame.body
        if len(body) < _HEAD or body[16:24] != self._number:
            return
        counter = int.from_bytes(body[8:16], "big")
        if counter < self._expected:
            self.repeated += 1
            return
        self.lost += counter - self._expected
        self._expected = counter + 1
        self.delivered += 1
        if self.is_measured:
            self.latency.append(time.monotonic_ns() - int.from_bytes(body[:8], "big"))

    def _other(self, peer: Peer, frame: Any) -> None:
        if type(frame) is Ping:
            peer.frame(Pong(frame.ref))
        elif type(frame) in (Error, Bye):
            peer.generator.failures.append(f"{frame.code}: {frame.text}")
        elif type(frame) is Receipt:
            self._ack = max(self._ack, frame.seq)
