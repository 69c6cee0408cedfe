"""An application that makes its node sick, and well again, when asked to over the control socket.

sick {what}            begin one of SICKNESSES, in a process of its own
heal {what}            end it
comes {id, within}     wait until an alarm is up whose id begins like that: {id, description, level}
goes {id, within}      wait until none is
"""

from __future__ import annotations

import datetime
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime import kernel, node
from runtime.admin.operations import Denied
from runtime.kernel import KILL, receive_match, send, sleep, spawn, spawn_link, spawn_opt, yield_
from runtime.net import listener as net_listener
from runtime.net.listener import Listener
from runtime.net.framing import Raw
from runtime.net.listener_config import ListenerConfig
from runtime.net.protocol import Protocol
from runtime.net.tls import TLSConfig
from runtime.observe import alarms, snapshot
from runtime.otp.application import Application
from runtime.otp.child_process import stop_process
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.gen_server import GenServer
from runtime.otp.supervisor import Supervisor
from runtime.store import Del, Put
from runtime.store.contract import StoreFull


class Sick(Application):
    name = "sick"

    def start(self, start_type: str, config: Any) -> Any:
        operations = node.current().operations
        operations.add("sick", lambda request: begin(request.arg("what", str)), changes=True)
        operations.add("heal", lambda request: end(request.arg("what", str)), changes=True)
        operations.add("comes", lambda request: wait(request, True))
        operations.add("goes", lambda request: wait(request, False))
        operations.add("sick_end", end_process, changes=True)
        return Supervisor.start_link_with(SupFlags(), [], name="sick_top")


# ------------------------------------------------------------------------------------------------ what can be asked


def end_process(request: Any) -> None:
    pid = kernel.whereis(request.arg("name", str))
    if pid is not None:
        kernel.exit(pid, KILL)


def begin(what: str) -> None:
    spawn_opt(SICKNESSES[what], name=f"sick_{what}")


def end(what: str) -> None:
    patient = kernel.whereis(f"sick_{what}")
    if patient is not None:
        ref = kernel.monitor(patient)
        send(patient, "heal")
        receive_match(lambda m: m.__class__ is kernel.Down and m.ref is ref)


def wait(request: Any, wanted: bool) -> dict[str, Any]:
    """Look at each change of the alarms, until it is as wanted."""
    prefix, within = request.arg("id", str), request.arg("within", float)
    deadline = kernel.clock.now() + within
    alarms.subscribe()
    while True:
        found = [one for one in snapshot.alarms() if one.id.startswith(prefix)]
        if bool(found) is wanted:
            return snapshot.plain(found[0]) if found else {}
        if kernel.receive(max(0.0, deadline - kernel.clock.now())) is kernel.TIMEOUT:
            raise Denied(
                "late", f"{prefix} {'did not come' if wanted else 'is still up'}: {snapshot.alarms()}"
            )


def until_healed() -> None:
    receive_match(lambda message: message == "heal")


# ---------------------------------------------------------------------------------------------------- the sicknesses


class Slow(GenServer):
    """Takes a while for each message, until it is told to hurry."""

    def handle_info(self, message: Any) -> None:
        if not hurry.is_set():
            sleep(0.05)


class Quiet(Protocol):
    framing = Raw()


hurry = threading.Event()


def mailbox() -> None:
    hurry.clear()
    Slow.start(name="slow")

    def talk() -> None:
        while not hurry.is_set():
            for number in range(50):
                send("slow", number)
            sleep(0.02)

    spawn_opt(talk, name="talker")
    until_healed()
    hurry.set()


def burning(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def hog() -> None:
    burning(0.7)
    until_healed()


def descriptors() -> None:
    opened = [os.dup(0) for _ in range(360 - len(list(Path("/proc/self/fd").iterdir())))]
    until_healed()
    for fd in opened:
        os.close(fd)


def disk() -> None:
    ballast = node.current().data_dir / "ballast"
    kernel.blocking(ballast.write_bytes, b"x" * (96 * 2**20))
    until_healed()
    ballast.unlink()


def memory() -> None:
    ballast = b"x" * (256 * 2**20)
    until_healed()
    del ballast


def certificate() -> None:
    place = node.current().data_dir
    path, key = place / "short.pem", place / "short.key"
    make_certificate(path, key, days=1)
    door = Listener.start_link(
        ListenerConfig(name="short", protocol=QUIET, tls=TLSConfig(str(path), str(key))), name="short"
    )
    until_healed()
    make_certificate(path, key, days=100)
    stop_process(door, 5.0)


def crash_loop() -> None:
    def weak() -> None:
        sleep(0.02)
        raise LookupError("weak knees")

    boss = Supervisor.start_link_with(
        SupFlags(intensity=10_000, period=1.0), [ChildSpec("weak", (spawn_link, (weak,)))], name="sick_boss"
    )
    until_healed()
    stop_process(boss, 5.0)


def writer() -> None:
    with_stopped_writer(until_healed)


def slow_commits() -> None:
    with_stopped_writer(lambda: sleep(0.8))


def with_stopped_writer(meanwhile: Any) -> None:
    shard = node.current().store.open_shard(1, "sick")
    pid = snapshot.store_info()["writer_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        shard.commit_request([Put("sick", b"1", b"v")], "tag")
        meanwhile()
    finally:
        os.kill(pid, signal.SIGCONT)
    receive_match(lambda m: getattr(m, "tag", None) == "tag")
    if meanwhile is not until_healed:
        until_healed()
    for _ in range(3):  # quick ones: the latency is measured again
        shard.commit([Put("sick", b"1", b"v")])


def store_full() -> None:
    shard = node.current().store.open_shard(2, "sick")
    keys = []
    with suppress(StoreFull):
        while True:
            keys.append(b"%d" % len(keys))
            shard.commit([Put("sick", keys[-1], b"x" * 2**20)])
    until_healed()
    for key in keys:
        shard.commit([Del("sick", key)])
    shard.commit([Put("sick", b"again", b"")])


def flood() -> None:
    door = Listener.start_link(
        ListenerConfig(name="door", protocol=QUIET, max_connections=5, alarm_cooldown=0.2), name="door"
    )
    port = net_listener.port(door)
    opened = [kernel.blocking(socket.create_connection, ("127.0.0.1", port), 5) for _ in range(12)]
    until_healed()
    for sock in opened:
        sock.close()
    stop_process(door, 5.0)


def deaf_peer() -> None:
    door = Listener.start_link(
        ListenerConfig(
            name="deaf", protocol=FLOOD, write_limit=2**26, write_high=1000, write_low=100, write_policy="tell"
        ),
        name="deaf",
    )  # fmt: skip
    peer = kernel.blocking(socket.create_connection, ("127.0.0.1", net_listener.port(door)), 5)
    until_healed()
    peer.close()
    stop_process(door, 5.0)


def zombie() -> None:
    def stubborn() -> None:
        while True:
            with suppress(BaseException):
                kernel.receive()

    pid = spawn(stubborn)
    sleep(0.05)
    kernel.exit(pid, KILL)
    until_healed()


def threads() -> None:
    event = threading.Event()
    for _ in range(60):
        spawn(kernel.blocking, event.wait)
    until_healed()
    event.set()


def run_queue() -> None:
    going = [True]

    def busy() -> None:
        while going:
            yield_()

    for _ in range(1_500):
        spawn(busy)
    until_healed()
    going.clear()


SICKNESSES = {
    fn.__name__: fn
    for fn in (
        mailbox, hog, descriptors, disk, memory, certificate, crash_loop, writer, slow_commits, store_full, flood,
        deaf_peer, zombie, threads, run_queue,
    )
}  # fmt: skip
QUIET = "tests.support.sickness:Quiet"
FLOOD = "tests.observe.flooding:Flood"


def make_certificate(path: Path, key_path: Path, days: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_path.write_bytes(private)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
