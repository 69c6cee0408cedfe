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
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from apps.chat.client.load_pairs import Sender
from apps.chat.client.load_peers import Account, Generator, LoadError, Peer
from apps.chat.native.frames import (
    AskPin,
    Bye,
    Error,
    Ping,
    PinSent,
    Pong,
    Register,
    Registered,
    Welcome,
)

__all__ = ["main"]

_PIN: Final = re.compile(r"PIN for (\S+): (\d+)")

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
