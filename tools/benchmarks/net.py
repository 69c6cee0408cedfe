"""The group `net`: connections, real sockets on 127.0.0.1, the clients in a process of their own."""

from __future__ import annotations

from typing import Any

from runtime import certificates
from tools.benchmarks import constants as known
from tools.benchmarks.lab import Lab
from tools.benchmarks.model import Row, case
from tools.benchmarks.proc import resident

__all__: list[str] = []

_GREENLET = "greenlet per connection"


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    better = more.pop("better", "lower")
    return Row(group="net", key=key, name=name, unit=unit, what=what, target=target, better=better, **more)


def _certificate(lab: Lab) -> dict[str, str]:
    made = certificates.development(lab.scratch / "certificates")
    return {"certificate": str(made.certificate), "key": str(made.key)}


# footprint


@case(
    _row(
        "idle_plain", "idle connection", "KB",
        "memory of the server's process for each of thousands of open plain connections that have echoed one frame", 1,
        peers=(_GREENLET,), constants=(known.EJABBERD_IDLE,),
    ),
    _row(
        "idle_tls", "idle TLS connection", "KB", "the same over TLS 1.3", 16,
        peers=(_GREENLET,), constants=(known.EJABBERD_IDLE_TLS,),
    ),
)  # fmt: skip
def idle(lab: Lab) -> None:
    files = _certificate(lab)

    def footprint(server: str, tls: bool) -> float:
        count = lab.pick(50, 4000, 10_000) if not tls else lab.pick(50, 1500, 5000)
        with (
            lab.running(f"probes_servers:{server}", **(files if tls else {})) as served,
            # A warm-up as large as what is measured is too dear; enough that pools and the first arenas are there.
            lab.running(
                "probes_client:hold", port=served.ready["port"], tls=tls, warm=100, count=count
            ) as client,
        ):
            before = resident(served.pid)
            client.say("more")
            client.answer(120.0)
            return (resident(served.pid) - before) / count / 1024

    for _ in lab.rounds(3):
        for key, tls in (("idle_plain", False), ("idle_tls", True)):
            lab.memory(key, footprint("ours", tls))
            lab.peer(key, _GREENLET, lambda tls=tls: footprint("greenlets", tls))  # type: ignore[misc]


# throughput


@case(
    _row(
        "tls_echo_16", "TLS echo, batches of 16", "frames/s",
        "frames of 145 bytes echoed for each CPU-second of the server (one core), 100 connections, 16 frames a batch", 200_000,
        better="higher", peers=(_GREENLET,),
    ),
    _row(
        "tls_echo_1", "TLS echo, one at a time", "frames/s", "the same, each connection with one frame under way",
        better="higher", peers=(_GREENLET,),
    ),
    _row(
        "plain_echo_16", "plain echo, batches of 16", "frames/s", "the first without TLS", better="higher", peers=(_GREENLET,),
    ),
)  # fmt: skip
def echo(lab: Lab) -> None:
    files = _certificate(lab)
    connections, seconds = lab.pick(5, 100, 100), lab.pick(0.2, 1.0, 4.0)

    def rate(server: str, tls: bool, batch: int, key: str) -> float:
        with lab.running(f"probes_servers:{server}", **(files if tls else {})) as served:
            found = lab.probe(
                "probes_client:flood", port=served.ready["port"], pid=served.pid, tls=tls,
                connections=connections, batch=batch, seconds=seconds,
            )  # fmt: skip
        if server == "ours" and found["server_share"] < 0.5:
            lab.note(key, "share", f"the server was busy {found['server_share']:.0%} of the time only")
        return float(found["per_cpu_second"])

    for _ in lab.rounds(5):
        for key, tls, batch in (
            ("tls_echo_16", True, 16),
            ("tls_echo_1", True, 1),
            ("plain_echo_16", False, 16),
        ):
            lab.value(key, rate("ours", tls, batch, key))
            lab.peer(key, _GREENLET, lambda tls=tls, batch=batch, key=key: rate("greenlets", tls, batch, key))  # type: ignore[misc]
