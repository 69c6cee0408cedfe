"""The group `kernel`: processes and messages within one operating-system process."""

from __future__ import annotations

from functools import partial
from typing import Any

from tools.benchmarks import constants as known
from tools.benchmarks.lab import Lab
from tools.benchmarks.model import Row, case

__all__: list[str] = []

_OURS, _PEERS = "probes_kernel", "probes_peers"


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    better = more.pop("better", "lower")
    return Row(group="kernel", key=key, name=name, unit=unit, what=what, target=target, better=better, **more)


def _peer(lab: Lab, function: str, field: str = "us", **parameters: Any) -> float:
    return float(lab.probe(f"{_PEERS}:{function}", **parameters)[field])


# messages


@case(
    _row(
        "ping_pong", "ping-pong round trip", "µs",
        "two callback processes send a message to and fro: time for both messages", 0.6,
        peers=("gevent Queue", "asyncio", "trio", "Pykka"), constants=(known.BEAM_PING_PONG,),
    ),
    _row(
        "ping_pong_gevent", "ping-pong, times as fast as gevent's Queue", "times",
        "the same as a multiple of two greenlets with a gevent Queue each, both measured in the same round", 8,
        better="higher",
    ),
)  # fmt: skip
def ping_pong(lab: Lab) -> None:
    ours = lab.pick(1000, 200_000, 500_000)
    theirs = lab.pick(200, 10_000, 50_000)
    for _ in lab.rounds():
        us = lab.probe(f"{_OURS}:ping_pong", count=ours)["us"]
        lab.value("ping_pong", us)
        gevent = lab.peer("ping_pong", "gevent Queue", partial(_peer, lab, "gevent_ping_pong", count=theirs))
        if gevent is not None:
            lab.value("ping_pong_gevent", gevent / us)
        lab.peer("ping_pong", "asyncio", partial(_peer, lab, "asyncio_ping_pong", count=theirs))
        lab.peer("ping_pong", "trio", partial(_peer, lab, "trio_ping_pong", count=theirs // 2))
        lab.peer("ping_pong", "Pykka", partial(_peer, lab, "pykka_ping_pong", count=theirs // 4))


@case(
    _row(
        "ring", "ring of 1,000 processes, a hop", "µs", "one token runs around a ring of 1,000 callback processes", 0.35,
        peers=("gevent Queue",), constants=(known.BEAM_RING,),
    )
)  # fmt: skip
def ring(lab: Lab) -> None:
    for _ in lab.rounds():
        lab.value(
            "ring", lab.probe(f"{_OURS}:ring", size=1000, hops=lab.pick(2000, 200_000, 1_000_000))["us"]
        )
        hops = lab.pick(1000, 20_000, 100_000)
        lab.peer("ring", "gevent Queue", partial(_peer, lab, "gevent_ring", size=1000, hops=hops))


@case(
    _row(
        "call", "gen_server call", "µs", "a process calls a GenServer and waits for its answer, one call at a time", 2.0,
        peers=("gevent Queue and AsyncResult", "asyncio Queue and Future", "Pykka ask"), constants=(known.BEAM_CALL,),
    ),
    _row(
        "call_queued", "gen_server call, 100,000 messages queued", "µs",
        "the same, while 100,000 other messages wait in the caller's mailbox", 2.0, constants=(known.BEAM_CALL_QUEUED,),
    ),
    _row(
        "call_ratio", "gen_server call, queued against idle", "times",
        "what the 100,000 messages add: the second figure divided by the first, measured in turns", 1.2,
    ),
)  # fmt: skip
def call(lab: Lab) -> None:
    theirs = lab.pick(200, 10_000, 50_000)
    for _ in lab.rounds():
        found = lab.probe(
            f"{_OURS}:calls", count=lab.pick(500, 20_000, 100_000), queued=lab.pick(1000, 100_000, 100_000)
        )
        lab.value("call", found["idle"])
        lab.value("call_queued", found["queued"])
        lab.value("call_ratio", found["queued"] / found["idle"])
        lab.peer("call", "gevent Queue and AsyncResult", partial(_peer, lab, "gevent_call", count=theirs))
        lab.peer("call", "asyncio Queue and Future", partial(_peer, lab, "asyncio_call", count=theirs))
        lab.peer("call", "Pykka ask", partial(_peer, lab, "pykka_call", count=theirs // 4))


@case(
    _row(
        "cast", "gen_server cast", "µs", "casts to a GenServer, sent and handled, 1,000 at a time",
        peers=("gevent Queue",), constants=(known.BEAM_CAST,),
    )
)  # fmt: skip
def cast(lab: Lab) -> None:
    count = lab.pick(2000, 100_000, 500_000)
    for _ in lab.rounds():
        lab.value("cast", lab.probe(f"{_OURS}:casts", count=count)["us"])
        lab.peer("cast", "gevent Queue", partial(_peer, lab, "gevent_cast", count=count))


# life and death


@case(
    _row(
        "spawn", "spawn, message, exit", "µs",
        "start a callback process, send it one message, and it exits; 1,000 at a time", 2.5,
        peers=("gevent Greenlet and Queue", "asyncio Task and Queue"), constants=(known.BEAM_SPAWN,),
    )
)  # fmt: skip
def spawn(lab: Lab) -> None:
    theirs = lab.pick(1000, 10_000, 50_000)
    for _ in lab.rounds():
        lab.value("spawn", lab.probe(f"{_OURS}:spawns", count=lab.pick(1000, 50_000, 200_000))["us"])
        lab.peer("spawn", "gevent Greenlet and Queue", partial(_peer, lab, "gevent_spawns", count=theirs))
        lab.peer("spawn", "asyncio Task and Queue", partial(_peer, lab, "asyncio_spawns", count=theirs))


@case(
    _row(
        "memory", "idle process, one of 100,000", "B",
        "resident memory of a callback process with an object of its own that has handled one message", 500,
        peers=("gevent Greenlet and Queue", "asyncio Task and Queue"), constants=(known.BEAM_MEMORY, known.PYKKA_MEMORY),
    ),
    _row(
        "memory_server", "idle GenServer, one of 100,000", "B",
        "resident memory of a GenServer with one field that has handled one cast", 500,
        constants=(known.BEAM_MEMORY_SERVER,),
    ),
)  # fmt: skip
def memory(lab: Lab) -> None:
    count = lab.pick(2000, 100_000, 100_000)
    theirs = lab.pick(500, 5000, 20_000)
    for _ in lab.rounds(3):
        lab.value("memory", lab.probe(f"{_OURS}:memory", kind="plain", count=count)["bytes"])
        lab.value("memory_server", lab.probe(f"{_OURS}:memory", kind="server", count=count)["bytes"])
        names = {"gevent Greenlet and Queue": "gevent_memory", "asyncio Task and Queue": "asyncio_memory"}
        for name, function in names.items():
            lab.peer("memory", name, partial(_peer, lab, function, "bytes", count=theirs))


@case(
    _row(
        "hub", "kill a process that 10,000 are linked to", "ms",
        "exit(hub, kill) until all 10,000 callback processes that are linked to it are dead", 25,
        peers=("gevent killall",), constants=(known.BEAM_HUB,),
    )
)  # fmt: skip
def hub(lab: Lab) -> None:
    count = lab.pick(500, 10_000, 10_000)
    for _ in lab.rounds():
        lab.value("hub", lab.probe(f"{_OURS}:hub", count=count)["ms"])
        lab.peer("hub", "gevent killall", partial(_peer, lab, "gevent_hub", "ms", count=count))


@case(
    _row(
        "crash", "crash until the next child is up", "µs",
        "a callback process raises and its supervisor starts the next one; 100 of one supervisor at a time, per child", 10,
        peers=("gevent link_exception",), constants=(known.BEAM_CRASH,),
    ),
    _row(
        "crash_server", "the same, children are GenServers", "µs",
        "likewise with GenServers: the supervisor waits for each init; reports are switched off",
    ),
    _row(
        "crash_storm", "the same, 20,000 crash in a row", "µs",
        "a supervisor whose 20,000 children (callback processes) crash at once: does a restart get dearer with many?",
        constants=(known.BEAM_CRASH_STORM,),
    ),
)  # fmt: skip
def crash(lab: Lab) -> None:
    batches = lab.pick(2, 100, 300)
    for _ in lab.rounds():
        lab.value("crash", lab.probe(f"{_OURS}:crashes", kind="plain", batch=100, batches=batches)["us"])
        lab.peer(
            "crash",
            "gevent link_exception",
            partial(_peer, lab, "gevent_crashes", batch=100, batches=batches // 2),
        )
        lab.value(
            "crash_server", lab.probe(f"{_OURS}:crashes", kind="server", batch=100, batches=batches)["us"]
        )
        storm = lab.pick(300, 20_000, 20_000)
        lab.value("crash_storm", lab.probe(f"{_OURS}:crashes", kind="plain", batch=storm, batches=1)["us"])


# sockets beside messages


@case(
    _row(
        "echo_added", "echo under heavy messaging, added p99", "ms",
        "p99 of an echo over a real socket, a frame each ms, with 100 pairs of processes sending without a pause, less the "
        "p99 without them; the client is a process of its own", 2,
        peers=("greenlet per connection, gevent Queues",),
    ),
    _row(
        "echo_p50", "echo under heavy messaging, p50", "ms", "the median of the same echo under load",
        peers=("greenlet per connection, gevent Queues",),
    ),
)  # fmt: skip
def echo(lab: Lab) -> None:
    name = "greenlet per connection, gevent Queues"
    seconds = lab.pick(0.2, 1.0, 3.0)

    def latency(server: str, actors: int) -> dict[str, Any]:
        with lab.running(f"probes_servers:{server}", actors=actors) as child:
            return lab.probe("probes_client:paced", port=child.ready["port"], seconds=seconds)

    for _ in lab.rounds(5):
        idle, busy = latency("ours", 0), latency("ours", 100)
        lab.value("echo_added", busy["p99"] - idle["p99"])
        lab.value("echo_p50", busy["p50"])
        found: dict[str, Any] = {}

        def theirs(found: dict[str, Any] = found) -> float:
            idle = latency("greenlets", 0)
            found.update(latency("greenlets", 100))
            return float(found["p99"] - idle["p99"])

        lab.peer("echo_added", name, theirs)
        if found:
            lab.peer("echo_p50", name, lambda found=found: found["p50"])


# behaviours


@case(_row("lookup", "registry look-up", "µs", "one of 1,000 unique keys, looked up by any process", 0.5))
def lookup(lab: Lab) -> None:
    for _ in lab.rounds():
        lab.value("lookup", lab.probe("probes_otp:lookups", count=lab.pick(1000, 100_000, 300_000))["us"])


@case(_row("state_event", "state machine event", "µs", "a cast to a GenStateMachine that changes its state"))
def state_event(lab: Lab) -> None:
    for _ in lab.rounds():
        us = lab.probe("probes_otp:state_events", count=lab.pick(1000, 50_000, 200_000))["us"]
        lab.value("state_event", us)


@case(_row("task", "task round trip", "µs", "task.async_ of a function and await_ of its result"))
def task(lab: Lab) -> None:
    for _ in lab.rounds():
        lab.value("task", lab.probe("probes_otp:tasks", count=lab.pick(200, 10_000, 50_000))["us"])


@case(
    _row(
        "million", "1,000,000 processes: start and a message each", "s",
        "started, each has handled one message and waits; by one program, garbage collection off meanwhile",
    ),
    _row(
        "million_memory", "one of 1,000,000 processes", "B", "resident memory of the program, for each", 500,
        constants=(known.BEAM_MEMORY,),
    ),
    _row("million_end", "1,000,000 processes: end all", "s", "an exit signal `kill` to each"),
)  # fmt: skip
def million(lab: Lab) -> None:
    for _ in lab.rounds(1):
        figures = lab.probe("probes_otp:million", count=lab.pick(10_000, 1_000_000, 1_000_000))
        lab.value("million", figures["seconds"])
        lab.value("million_memory", figures["bytes"])
        lab.value("million_end", figures["end"])
