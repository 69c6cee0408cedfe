"""A load generator for the native protocol: many people in one light process of its own.

    python -m apps.chat.client.load register --accounts FILE --pins NODE_STDOUT --count 200 …
    python -m apps.chat.client.load chat     --accounts FILE --pairs 100 --window 10 --seconds 5 --receipts --json
    python -m apps.chat.client.load chat     --accounts FILE --pairs 100 --rate 1000 --json
    python -m apps.chat.client.load offline  --accounts FILE --pairs 10 --messages 100000 --json    (stored, then drained)
    python -m apps.chat.client.load idle     --accounts FILE --count 5000 --pid NODE --json
    python -m apps.chat.client.load login    --accounts FILE --count 2000 --concurrency 50 --json

It prints one JSON object. Every message carries a counter and its time of sending, so that what
is lost, repeated or out of order is counted, and latencies are true. With --pid the server's CPU time
and memory (its child processes included) are read from /proc.

Kept light so that it does not rule what it measures: epoll, non-blocking TLS sockets, frames that
are encoded once, one `send` per connection and turn. It does not verify the server's certificate
and derives each account's SCRAM keys once (they are kept in the accounts file, which is as secret as
the keys are): both are a client's cost, not the server's. For 127.0.0.1 and test accounts only.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import re
import secrets
import select
import socket
import ssl
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from apps.chat.native.frames import (
    VERSIONS,
    Accepted,
    Ack,
    AskPin,
    Bye,
    Challenge,
    Deliver,
    Error,
    Hello,
    Login,
    Ping,
    PinSent,
    Pong,
    Proof,
    Ready,
    Receipt,
    Refused,
    Register,
    Registered,
    Send,
    ServerFrame,
    Welcome,
    encode,
    pack,
)

__all__ = ["Account", "Generator", "LoadError", "Peer", "Sender", "main"]

# types

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLIN | select.EPOLLOUT
_PIN: Final = re.compile(r"PIN for (\S+): (\d+)")
_HEAD: Final = 24  # bytes of a body that are ours: time, counter, sender's number

_decode = msgspec.msgpack.Decoder(ServerFrame).decode


class LoadError(Exception):
    """The load could not be made; the text says why."""


class Account(msgspec.Struct):
    """One test account. `salted` is SCRAM's salted password, derived at the first login."""

    user: str
    key: str
    salted: str = ""


class Peer:
    """One connection: nothing but bytes, a login, and a handler for frames."""

    __slots__ = (
        "account",
        "buffer",
        "fd",
        "generator",
        "handler",
        "on_ready",
        "out",
        "peer_nonce",
        "ready",
        "scram",
        "state",
        "tls",
        "waits",
    )

    def __init__(
        self, generator: Generator, account: Account | None, on_ready: Callable[[Peer], None] | None = None
    ) -> None:
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect_ex(generator.address)
        self.generator = generator
        self.account = account
        self.on_ready = on_ready
        self.handler: Callable[[Peer, Any], None] = _ignore
        self.buffer = bytearray()
        self.out = bytearray()
        self.state = 0  # 0 connecting, 1 shaking, 2 open, 3 closed
        self.waits = False
        self.ready: Ready | None = None
        self.scram: tuple[str, str] | None = None
        self.tls: Any = raw
        self.fd = raw.fileno()
        generator.peers[self.fd] = self
        generator.epoll.register(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def write(self, data: bytes) -> None:
        """Send now what the socket takes; keep the rest."""
        if self.state != 2 or self.out:
            self.out += data
            return
        try:
            sent = self.tls.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self.out += data[sent:]
            self.waits = True
            self.generator.epoll.modify(self.fd, _WRITE)

    def frame(self, frame: Any) -> None:
        data = encode(frame)
        self.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        if self.state != 3:
            self.state = 3
            self.generator.peers.pop(self.fd, None)
            self.generator.epoll.unregister(self.fd)
            self.tls.close()
            self.generator.closed += 1

    def event(self) -> None:
        """The socket is ready for something."""
        if self.state < 2 and not self._open():
            return
        if self.out:
            self._flush()
        tls, buffer = self.tls, self.buffer
        try:
            while True:
                data = tls.recv(65536)
                if not data:
                    self._frames()
                    self.close()
                    return
                buffer += data
                if len(data) < 16000:  # a TLS record holds 16 KiB: less means that it was the last
                    break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.close()
            return
        self._frames()

    def _open(self) -> bool:
        if self.state == 0:
            error = self.tls.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.close()
                self.generator.failures.append(os.strerror(error))
                return False
            self.tls = self.generator.context.wrap_socket(self.tls, do_handshake_on_connect=False)
            self.state = 1
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.generator.epoll.modify(self.fd, _READ)
            return False
        except ssl.SSLWantWriteError:
            return False
        except OSError as error:
            self.generator.failures.append(str(error))
            self.close()
            return False
        self.state = 2
        self.generator.epoll.modify(self.fd, _READ)
        self.write(self.generator.hello)
        return True

    def _flush(self) -> None:
        try:
            while self.out:
                sent = self.tls.send(bytes(self.out[:65536]))
                del self.out[:sent]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError:
            self.close()
            return
        if self.waits:
            self.waits = False
            self.generator.epoll.modify(self.fd, _READ)

    def _frames(self) -> None:
        buffer = self.buffer
        at, end, handler = 0, len(buffer), self.handler
        with memoryview(buffer) as view:
            while end - at >= 4:
                size = int.from_bytes(view[at : at + 4], "big")
                if end - at - 4 < size:
                    break
                frame = _decode(view[at + 4 : at + 4 + size])
                at += 4 + size
                if self.ready is None:
                    self._greet(frame)
                    handler = self.handler
                else:
                    handler(self, frame)
        del buffer[:at]
        handler(self, None)  # the batch is over: acknowledge, refill

    def _greet(self, frame: Any) -> None:
        match frame:
            case Welcome():
                if self.account is not None:
                    self.login()
                else:
                    self.handler(self, frame)
            case Challenge():
                self.frame(Proof(frame.ref, self._prove(frame.data)))
            case Ready():
                self.ready = frame
                if self.on_ready is not None:
                    self.on_ready(self)
            case Error() | Bye():
                self.generator.failures.append(f"{frame.code}: {frame.text}")
                self.handler(self, frame)
                if isinstance(frame, Bye):
                    self.close()
            case _:
                self.handler(self, frame)

    def login(self) -> None:
        assert self.account is not None
        nonce = secrets.token_hex(12)
        self.scram = (f"n={self.account.user},r={nonce}", nonce)
        self.frame(Login(1, self.account.user, f"n,,{self.scram[0]}"))

    def _prove(self, first: str) -> str:
        assert self.account is not None
        assert self.scram is not None
        fields = dict(part.split("=", 1) for part in first.split(","))
        if not self.account.salted:
            salted = hashlib.pbkdf2_hmac(
                "sha256", self.account.key.encode(), b64decode(fields["s"]), int(fields["i"])
            )
            self.account.salted = b64encode(salted).decode()
            self.generator.is_changed = True
        final = f"c=biws,r={fields['r']}"
        message = f"{self.scram[0]},{first},{final}".encode()
        client_key = hmac.digest(b64decode(self.account.salted), b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = int.from_bytes(client_key, "big") ^ int.from_bytes(signature, "big")
        return f"{final},p={b64encode(proof.to_bytes(32, 'big')).decode()}"


class Generator:
    """Connections, an epoll loop, and the server's figures from /proc."""

    def __init__(self, host: str, port: int, pid: int | None = None) -> None:
        self.address = (host, port)
        self.pid = pid
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.set_alpn_protocols(["evergreen/1"])
        self.hello = pack([Hello(VERSIONS, "evergreen-load")])
        self.epoll = select.epoll()
        self.peers: dict[int, Peer] = {}
        self.failures: list[str] = []
        self.closed = 0
        self.is_changed = False

    def turn(self, timeout: float) -> None:
        """Wait at most `timeout` seconds and handle what is ready."""
        peers = self.peers
        for fd, _ in self.epoll.poll(timeout, 1024):
            peer = peers.get(fd)
            if peer is not None:
                peer.event()

    def run(self, done: Callable[[], bool], limit: float, what: str) -> None:
        """Turn until `done()`; LoadError after `limit` seconds."""
        end = time.monotonic() + limit
        while not done():
            if time.monotonic() > end:
                raise LoadError(f"{what}: not done in {limit:.0f} s; failures: {self.failures[:5]}")
            self.turn(0.05)

    def login(self, accounts: Iterable[Account], concurrency: int = 64, limit: float = 120.0) -> list[Peer]:
        """Log in everybody, `concurrency` at a time; return the connections in the order of `accounts`."""
        waiting = list(accounts)
        waiting.reverse()
        made: list[Peer] = []
        left = len(waiting)

        def ready(_: Peer) -> None:
            nonlocal left
            left -= 1
            begin()

        def begin() -> None:
            if waiting:
                made.append(Peer(self, waiting.pop(), ready))

        for _ in range(min(concurrency, len(waiting))):
            begin()
        self.run(lambda: left <= 0 or bool(self.failures), limit, "login")
        if self.failures:
            raise LoadError(f"login failed: {self.failures[:3]}")
        return made

    def pids(self) -> list[int]:
        if self.pid is None:
            return []
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(word) for word in (task / "children").read_text().split()]
        return found

    def cpu(self) -> float | None:
        """Seconds of CPU time that the server's processes have used."""
        if self.pid is None:
            return None
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int | None:
        """Bytes of memory of the server's processes (proportional share: shared pages are counted once)."""
        if self.pid is None:
            return None
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


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


# modes


def _chat(options: argparse.Namespace, generator: Generator, accounts: list[Account]) -> dict[str, Any]:
    senders = _pairs(options, generator, accounts)
    rate = options.rate
    for sender in senders:
        sender.is_paced = bool(rate)
    if not rate:
        for sender in senders:
            sender.push(sender.window)
    _spend(generator, senders, options.warmup, rate)
    before = [(s.accepted, s.delivered, s.confirmed) for s in senders]
    for sender in senders:
        sender.is_measured = bool(rate) or options.latency
    cpu, own, start = generator.cpu(), time.process_time(), time.monotonic()
    _spend(generator, senders, options.seconds, rate)
    seconds = time.monotonic() - start
    own = time.process_time() - own
    after_cpu = generator.cpu()
    accepted, delivered, confirmed = (
        sum(now - was for now, was in zip(after, earlier, strict=True))
        for after, earlier in zip(
            zip(*[(s.accepted, s.delivered, s.confirmed) for s in senders], strict=True),
            zip(*before, strict=True),
            strict=True,
        )
    )
    for sender in senders:
        sender.is_paced = True
    _settle(generator, senders, options.settle)
    counted = confirmed if options.receipts else delivered
    result: dict[str, Any] = {
        "mode": "chat",
        "pairs": len(senders),
        "window": options.window,
        "body": options.body,
        "rate": rate,
        "receipts": options.receipts,
        "seconds": round(seconds, 3),
        "messages_per_second": round(counted / seconds, 1),
        "accepted_per_second": round(accepted / seconds, 1),
        "delivered_per_second": round(delivered / seconds, 1),
        "receipts_per_second": round(confirmed / seconds, 1),
        "load_cpu_share": round(own / seconds, 3),
        **_faults(senders),
    }
    if cpu is not None and after_cpu is not None and counted:
        result["server_cpu_us_per_message"] = round((after_cpu - cpu) / counted * 1e6, 2)
        result["server_cpu_share"] = round((after_cpu - cpu) / seconds, 3)
    if rate or options.latency:
        result["latency_ms"] = _percentiles([x for s in senders for x in s.latency])
        result["accepted_latency_ms"] = _percentiles([x for s in senders for x in s.accept_latency])
        result["receipt_latency_ms"] = _percentiles([x for s in senders for x in s.receipt_latency])
    return result


def _offline(options: argparse.Namespace, generator: Generator, accounts: list[Account]) -> dict[str, Any]:
    pairs = options.pairs
    _enough(accounts, 2 * pairs)
    sources = generator.login(accounts[:pairs])
    each = options.messages // pairs
    senders = []
    for n, source in enumerate(sources):
        sender = Sender(
            source,
            None,
            accounts[pairs + n].user,
            number=options.first + n,
            window=options.window,
            size=options.body,
            receipts=False,
        )
        sender.limit = each
        senders.append(sender)
    cpu, start = generator.cpu(), time.monotonic()
    for sender in senders:
        sender.push(min(each, sender.window))
    generator.run(lambda: all(s.accepted >= each for s in senders), options.limit, "storing")
    stored, stored_cpu = time.monotonic() - start, generator.cpu()
    drain = [
        Sender(None, None, "", number=options.first + n, window=0, size=options.body, receipts=False)
        for n in range(pairs)
    ]

    def ready(peer: Peer) -> None:
        assert peer.account is not None
        peer.handler = drain[by_user[peer.account.user]].from_server_to_sink

    by_user = {accounts[pairs + n].user: n for n in range(pairs)}
    mid_cpu, start = generator.cpu(), time.monotonic()
    for n in range(pairs):
        Peer(generator, accounts[pairs + n], ready)
    generator.run(lambda: all(s.delivered >= each for s in drain), options.limit, "draining")
    drained, end_cpu = time.monotonic() - start, generator.cpu()
    total = each * pairs
    result = {
        "mode": "offline",
        "pairs": pairs,
        "messages": total,
        "body": options.body,
        "stored_per_second": round(total / stored, 1),
        "drained_per_second": round(total / drained, 1),
        **_faults(drain),
        "refused": sum(s.refused for s in senders),
    }
    if cpu is not None and stored_cpu is not None and mid_cpu is not None and end_cpu is not None:
        result["store_cpu_us_per_message"] = round((stored_cpu - cpu) / total * 1e6, 2)
        result["drain_cpu_us_per_message"] = round((end_cpu - mid_cpu) / total * 1e6, 2)
    return result


def _idle(options: argparse.Namespace, generator: Generator, accounts: list[Account]) -> dict[str, Any]:
    _enough(accounts, options.count + 1)
    generator.login(accounts[:1])  # what the first login loads is not a connection's cost
    before = generator.memory()
    start = time.monotonic()
    peers = generator.login(accounts[1 : options.count + 1], options.concurrency, options.limit)
    seconds = time.monotonic() - start
    for peer in peers:
        peer.handler = _answer_pings
    end = time.monotonic() + options.hold
    while time.monotonic() < end:
        generator.turn(max(0.0, end - time.monotonic()))
    after = generator.memory()
    alive = sum(peer.state == 2 for peer in peers)
    result: dict[str, Any] = {
        "mode": "idle",
        "connections": alive,
        "dropped": len(peers) - alive,
        "logins_per_second": round(len(peers) / seconds, 1),
    }
    if before is not None and after is not None:
        result["server_memory_bytes"] = after
        result["bytes_per_connection"] = round((after - before) / max(1, alive))
    return result


def _login_storm(
    options: argparse.Namespace, generator: Generator, accounts: list[Account]
) -> dict[str, Any]:
    _enough(accounts, options.concurrency)
    _derive(generator, accounts[: options.count])
    done = began = 0
    pool = accounts[: options.count]

    def begin() -> None:
        nonlocal began
        if began < options.count:
            Peer(generator, pool[began % len(pool)], ready)
            began += 1

    def ready(peer: Peer) -> None:
        nonlocal done
        done += 1
        peer.close()
        begin()

    generator.failures.clear()
    cpu, own, start = generator.cpu(), time.process_time(), time.monotonic()
    for _ in range(min(options.concurrency, options.count)):
        begin()
    generator.run(lambda: done + len(generator.failures) >= options.count, options.limit, "login storm")
    seconds, after = time.monotonic() - start, generator.cpu()
    result: dict[str, Any] = {
        "mode": "login",
        "logins": done,
        "failed": len(generator.failures),
        "concurrency": options.concurrency,
        "logins_per_second": round(done / seconds, 1),
        "load_cpu_share": round((time.process_time() - own) / seconds, 3),
    }
    if cpu is not None and after is not None:
        result["server_cpu_us_per_login"] = round((after - cpu) / max(1, done) * 1e6, 1)
    return result


def _register(options: argparse.Namespace, generator: Generator, accounts: list[Account]) -> dict[str, Any]:
    """Make accounts the way everybody does: a PIN for each number, read from the node's output."""
    missing = max(0, options.count - len(accounts))
    numbers = [f"+336{options.base + n:08d}" for n in range(len(accounts), options.count)]
    asked: dict[str, Peer] = {}
    pins: dict[str, str] = {}
    numbers.reverse()
    left = missing
    start = time.monotonic()

    def begin() -> None:
        if numbers:
            phone = numbers.pop()
            peer = Peer(generator, None)

            def handle(peer: Peer, frame: Any) -> None:
                nonlocal left
                match frame:
                    case Welcome():
                        peer.frame(AskPin(1, phone))
                    case PinSent():
                        asked[phone] = peer
                    case Registered():
                        peer.account = Account(frame.user, frame.key)
                        peer.on_ready = finished
                        peer.login()
                    case Error() | Bye():
                        raise LoadError(f"registering {phone}: {frame.code}: {frame.text}")

            peer.handler = handle

    def finished(peer: Peer) -> None:
        nonlocal left
        assert peer.account is not None
        accounts.append(peer.account)
        left -= 1
        peer.close()
        begin()

    for _ in range(min(options.concurrency, missing)):
        begin()
    generator.is_changed = True
    with Path(options.pins).open() as output:
        rest = ""
        end = time.monotonic() + options.limit
        while left > 0:
            if time.monotonic() > end:
                raise LoadError(
                    f"{left} accounts not registered in {options.limit:.0f} s: {generator.failures[:3]}"
                )
            generator.turn(0.01)
            *lines, rest = (rest + output.read()).split("\n")
            for line in lines:
                match = _PIN.search(line)
                if match:
                    pins[match[1]] = match[2]
            for phone in [phone for phone in asked if phone in pins]:
                asked.pop(phone).frame(Register(2, phone, pins.pop(phone), "load"))
    seconds = time.monotonic() - start
    accounts.sort(key=lambda account: account.user)
    return {
        "mode": "register",
        "accounts": len(accounts),
        "made": missing,
        "per_second": round(missing / max(seconds, 1e-9), 1),
    }


# internals


def _ignore(peer: Peer, frame: Any) -> None:
    pass


def _answer_pings(peer: Peer, frame: Any) -> None:
    if type(frame) is Ping:
        peer.frame(Pong(frame.ref))


def _enough(accounts: list[Account], wanted: int) -> None:
    if len(accounts) < wanted:
        raise LoadError(
            f"{wanted} accounts are needed, the file has {len(accounts)}: run `register --count {wanted}` first"
        )


def _derive(generator: Generator, accounts: list[Account]) -> None:
    fresh = [account for account in accounts if not account.salted]
    for at in range(0, len(fresh), 500):
        for peer in generator.login(fresh[at : at + 500]):
            peer.close()


def _pairs(options: argparse.Namespace, generator: Generator, accounts: list[Account]) -> list[Sender]:
    pairs = options.pairs
    _enough(accounts, 2 * pairs)
    peers = generator.login(accounts[: 2 * pairs])
    by_user = {peer.account.user: peer for peer in peers if peer.account is not None}
    return [
        Sender(
            by_user[accounts[n].user],
            by_user[accounts[pairs + n].user],
            accounts[pairs + n].user,
            number=options.first + n,
            window=options.window,
            size=options.body,
            receipts=options.receipts,
        )
        for n in range(pairs)
    ]


def _spend(generator: Generator, senders: list[Sender], seconds: float, rate: float) -> None:
    """Let time pass; with a rate, send on time, round robin, whatever came back so far."""
    start = time.monotonic()
    end, sent, turn = start + seconds, 0, 0
    while (now := time.monotonic()) < end:
        if rate:
            due = int((now - start) * rate) - sent
            for _ in range(due):
                senders[turn % len(senders)].push(1)
                turn += 1
            sent += due
            wait = min(end, start + (sent + 1) / rate) - time.monotonic()
            generator.turn(max(0.0, wait))
        else:
            generator.turn(min(0.05, end - now))
        if not generator.peers:
            raise LoadError(f"every connection is gone: {generator.failures[:3]}")


def _settle(generator: Generator, senders: list[Sender], limit: float) -> None:
    """Wait until nothing is under way (at most `limit` seconds), so that the losses counted are losses."""
    end = time.monotonic() + limit
    while time.monotonic() < end and any(
        s.accepted + s.refused < s.sent
        or s.delivered < s.accepted
        or (s.receipts and s.confirmed < s.accepted)
        for s in senders
    ):
        generator.turn(0.05)


def _faults(senders: list[Sender]) -> dict[str, int]:
    return {
        "lost": sum(s.lost for s in senders) + sum(max(0, s.accepted - s.delivered) for s in senders),
        "repeated": sum(s.repeated for s in senders),
        "refused": sum(s.refused for s in senders),
        "unanswered": sum(max(0, s.sent - s.accepted - s.refused) for s in senders),
    }


def _percentiles(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    values.sort()
    last = len(values) - 1
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(values[min(last, int(share * len(values)))] / 1e6, 3) for name, share in at.items()}


def main(arguments: list[str]) -> int:
    """Run one mode and print its result."""
    options = _parser().parse_args(arguments)
    path = Path(options.accounts)
    accounts = msgspec.json.decode(path.read_bytes(), type=list[Account]) if path.exists() else []
    generator = Generator(options.host, options.port, options.pid)
    if options.host not in ("127.0.0.1", "localhost"):
        print("load: only for 127.0.0.1 (the certificate is not checked)", file=sys.stderr)
        return 2
    try:
        result = options.run(options, generator, accounts)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    finally:
        if generator.is_changed and accounts:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(accounts))
    if generator.failures:
        result["failures"] = generator.failures[:5]
    print(json.dumps(result) if options.json else json.dumps(result, indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--host", default="127.0.0.1")
    common.add_argument("--port", type=int, default=7222)
    common.add_argument("--accounts", required=True, metavar="FILE", help="test accounts and their keys")
    common.add_argument("--pid", type=int, help="the node's process: its CPU time and memory are measured")
    common.add_argument("--json", action="store_true", help="one line")
    common.add_argument("--limit", type=float, default=120.0, help="seconds after which it is given up")
    common.add_argument("--concurrency", type=int, default=64, help="logins at a time")
    parser = argparse.ArgumentParser(prog="load", description=(__doc__ or "").split("\n", 1)[0])
    modes = parser.add_subparsers(required=True, metavar="MODE")

    def mode(name: str, run: Callable[..., dict[str, Any]], text: str) -> argparse.ArgumentParser:
        made = modes.add_parser(name, help=text, parents=[common])
        made.set_defaults(run=run)
        return made

    sub = mode("chat", _chat, "pairs that chat, as fast as the window allows or at a rate")
    sub.add_argument("--seconds", type=float, default=5.0)
    sub.add_argument("--warmup", type=float, default=1.0)
    sub.add_argument(
        "--settle", type=float, default=10.0, help="seconds to wait for what is under way at the end"
    )
    sub.add_argument(
        "--rate", type=float, default=0.0, help="messages a second, all told; 0: as fast as the window allows"
    )
    sub.add_argument(
        "--receipts",
        action="store_true",
        help="a message counts (and frees its place) when its receipt is back",
    )
    sub.add_argument("--latency", action="store_true", help="measure latencies without a rate, too")
    offline = mode("offline", _offline, "messages for people who are away, stored and then drained")
    offline.add_argument("--messages", type=int, default=100_000)
    for pairs in (sub, offline):
        pairs.add_argument("--pairs", type=int, default=100)
        pairs.add_argument("--window", type=int, default=10)
        pairs.add_argument("--body", type=int, default=50, help="bytes, at least 24")
        pairs.add_argument("--first", type=int, default=secrets.randbits(31), help=argparse.SUPPRESS)
    sub = mode("idle", _idle, "logged-in connections that do nothing")
    sub.add_argument("--count", type=int, default=1000)
    sub.add_argument("--hold", type=float, default=2.0, help="seconds to hold them before measuring")
    sub = mode("login", _login_storm, "logins as fast as they go")
    sub.add_argument("--count", type=int, default=1000)
    sub = mode("register", _register, "make test accounts")
    sub.add_argument("--count", type=int, default=200)
    sub.add_argument("--pins", required=True, metavar="FILE", help="where the node's standard output goes")
    sub.add_argument("--base", type=int, default=20_000_000, help="the numbers are +336 and this, counted up")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
