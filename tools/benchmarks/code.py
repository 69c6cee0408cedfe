"""The group `code`: changing code while it runs. Python's own means and jurigged beside it where they can do the work.

What the peers do not do is said in notes: neither changes what others hold (importlib.reload), undoes half a change,
knows processes, or brings states into a new form.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from runtime import certificates
from tools.benchmarks import constants as known
from tools.benchmarks.lab import Lab
from tools.benchmarks.model import Row, case

__all__: list[str] = []

_PROBES = "probes_code"
_RELOAD, _JURIGGED = "importlib.reload", "jurigged"
_PEERS = {_RELOAD: "reload", _JURIGGED: "jurigged"}


def _row(key: str, name: str, unit: str, what: str, target: float | None = None, **more: Any) -> Row:
    better = more.pop("better", "lower")
    return Row(group="code", key=key, name=name, unit=unit, what=what, target=target, better=better, **more)


def _probe(lab: Lab, function: str, name: str, **parameters: Any) -> dict[str, Any]:
    path = lab.scratch / name
    path.mkdir(exist_ok=True)
    return lab.probe(f"{_PROBES}:{function}", path=str(path), timeout=600.0, **parameters)


# one release


@case(
    _row(
        "swap", "200 functions swapped, commit", "ms",
        "a module of 200 functions, every body changed, 10,000 processes on it: how long everything stands still for the step", 10,
        peers=(_RELOAD, _JURIGGED), constants=(known.BEAM_LOAD,),
    ),
    _row(
        "swap_stall", "200 functions swapped, longest stall", "ms",
        "the longest time that another process, which only gives way, waits for its turn during the whole push", 10,
        peers=(_RELOAD, _JURIGGED), constants=(known.BEAM_LOAD_GAP,),
    ),
    _row(
        "swap_total", "200 functions swapped, all of it", "ms",
        "from the push until it is live: compiled, compared, looked up on the heap, committed (nothing stands still for it)",
        peers=(_RELOAD, _JURIGGED),
    ),
)  # fmt: skip
def swap(lab: Lab) -> None:
    sizes = {
        "functions": lab.pick(20, 200, 200),
        "processes": lab.pick(50, 10_000, 10_000),
        "pushes": lab.pick(2, 10, 30),
    }
    keys = {"swap": "commit", "swap_stall": "stall", "swap_total": "total"}
    for _ in lab.rounds(3):
        found = _probe(lab, "swap", "ours", engine="ours", **sizes)
        for key, field in keys.items():
            lab.value(key, found[field])
        for name, engine in _PEERS.items():
            theirs: dict[str, Any] = {}

            def measure(name: str = name, engine: str = engine, theirs: dict[str, Any] = theirs) -> float:
                # jurigged looks through the heap for each function: seconds a push.
                theirs.update(
                    _probe(lab, "swap", engine, engine=engine, **{**sizes, "pushes": lab.pick(1, 2, 4)})
                )
                return float(theirs["commit"])

            lab.peer("swap", name, measure)
            if theirs:
                lab.peer("swap_stall", name, partial(theirs.__getitem__, "stall"))
                lab.peer("swap_total", name, partial(theirs.__getitem__, "total"))
                if theirs["stale"]:
                    text = f"{name}: {theirs['stale']} of {sizes['functions']} functions that others hold stay old"
                    lab.note("swap", name, text)


@case(
    _row(
        "edit_stall", "one function of 2,000 lines, longest stall", "ms",
        "one body changes in the middle of a module of 2,000 lines, 10,000 processes: the longest time that another process, "
        "which only gives way, waits for its turn", 10,
    ),
    _row("edit_total", "one function of 2,000 lines, all of it", "ms", "from the push until it is live"),
)  # fmt: skip
def edit(lab: Lab) -> None:
    for _ in lab.rounds(3):
        sizes = {"functions": lab.pick(30, 330, 330), "processes": lab.pick(50, 10_000, 10_000)}
        found = _probe(lab, "edit", "ours", pushes=lab.pick(2, 10, 30), **sizes)
        lab.value("edit_stall", found["stall"])
        lab.value("edit_total", found["total"])
        lab.note("edit_stall", "lines", f"{found['lines']:.0f} lines")


@case(
    _row(
        "struct_held", "a message's class gains a field, users held", "ms",
        "a Struct of which 10,000 processes keep an instance gains an optional field: how long those processes are held while all "
        "instances are looked for and exchanged",
    ),
    _row("struct_stall", "a message's class gains a field, longest stall", "ms", "of a process that has nothing to do with it"),
)  # fmt: skip
def struct(lab: Lab) -> None:
    for _ in lab.rounds(3):
        sizes = {"processes": lab.pick(50, 10_000, 10_000), "pushes": lab.pick(2, 5, 10)}
        found = _probe(lab, "struct", "ours", **sizes)
        lab.value("struct_held", found["held"])
        lab.value("struct_stall", found["stall"])


@case(
    _row(
        "migrate", "10,000 states migrated", "ms",
        "10,000 GenServers whose state changes its form, up and down in turns: the step, code_change of all of them included", 100,
        constants=(known.BEAM_CHANGE,),
    ),
    _row(
        "migrate_total", "10,000 states migrated, all of it", "ms",
        "from the push until all go on: compiled, brought to rest, migrated, let go", constants=(known.BEAM_UPGRADE,),
    ),
    _row("migrate_stall", "10,000 states migrated, longest stall", "ms", "of a process that has nothing to do with it"),
)  # fmt: skip
def migrate(lab: Lab) -> None:
    for _ in lab.rounds(5):
        found = _probe(
            lab, "migrate", "ours", processes=lab.pick(50, 10_000, 10_000), pushes=lab.pick(2, 10, 30)
        )
        lab.value("migrate", found["step"])
        lab.value("migrate_total", found["total"])
        lab.value("migrate_stall", found["stall"])


@case(
    _row(
        "check", "check aside of the chat", "ms",
        "all modules of the chat imported from scratch in a fork of the checking child, one of them changed", 150,
    )
)  # fmt: skip
def check(lab: Lab) -> None:
    for _ in lab.rounds(5):
        found = lab.probe(f"{_PROBES}:check", count=lab.pick(1, 10, 30))
        lab.value("check", found["ms"])
        lab.note("check", "modules", f"{found['modules']} modules")


@case(
    _row(
        "save", "saved until live", "ms",
        "watch mode, one of 20 modules saved: from the rename into place until a process gets the new function's answer; the "
        "quiet time (100 ms), the check aside and the release log on disk are in it", 250,
    )
)  # fmt: skip
def save(lab: Lab) -> None:
    for _ in lab.rounds(3):
        path = Path(tempfile.mkdtemp(dir=lab.scratch))
        sizes = {"modules": lab.pick(2, 20, 20), "count": lab.pick(1, 8, 20)}
        lab.value("save", lab.probe(f"{_PROBES}:save", path=str(path), timeout=120.0, **sizes)["ms"])


# many releases


@case(
    _row(
        "tls_dropped", "pushes under TLS traffic, dropped", "connections",
        "1,000 pushes (100 of them migrate every connection's state) while 5,000 TLS connections send numbered frames, 2,000 a "
        "second in all: connections that ended", 0,
    ),
    _row("tls_lost", "pushes under TLS traffic, lost", "frames", "frames without an answer", 0),
    _row("tls_doubled", "pushes under TLS traffic, doubled", "frames", "frames answered twice, or out of order", 0),
    _row("tls_stall", "pushes under TLS traffic, longest stall", "ms", "of another process of that node, in all pushes"),
    _row("tls_p99", "pushes under TLS traffic, answer p99", "ms", "from a frame's write until its answer is read"),
)  # fmt: skip
def tls(lab: Lab) -> None:
    made = certificates.development(lab.scratch / "certificates")
    count, pushes = lab.pick(10, 500, 5000), lab.pick(12, 100, 1000)
    path = lab.scratch / "door"
    path.mkdir(exist_ok=True)
    files: dict[str, Any] = {"certificate": str(made.certificate), "key": str(made.key)}
    for _ in lab.rounds(1):
        with (
            lab.running(f"{_PROBES}:door", path=str(path), **files) as served,
            lab.running(
                "probes_client:numbered", timeout=180.0, port=served.ready["port"], connections=count,
                rate=lab.pick(200, 2000, 2000),
            ) as client,
        ):  # fmt: skip
            client.say("go")
            served.say(str(pushes))
            done = served.answer(600.0)
            client.say("stop")
            found = client.answer(60.0)
        for key in ("dropped", "lost", "doubled"):
            lab.value(f"tls_{key}", found[key])
        lab.value("tls_stall", done["stall"])
        lab.value("tls_p99", found["p99"])
        lab.note(
            "tls_dropped",
            "what",
            f"{count} connections, {found['sent']} frames, {pushes} pushes of {done['push']:.1f} ms, "
            f"{done['migrated']} states migrated; the last answers came from version {found['version']}",
        )


@case(
    _row(
        "growth_objects", "left behind by 1,000 pushes", "objects",
        "Python objects more than before, after thousands of pushes that flip a module of 20 functions and a class", 10,
        peers=(_RELOAD, _JURIGGED),
    ),
    _row("growth_memory", "memory kept by 1,000 pushes", "KB", "private memory of the process, likewise", peers=(_RELOAD, _JURIGGED)),
    _row(
        "growth_slower", "the last pushes against the first", "times", "the time of the last tenth of them divided by the first's", 1.2,
        peers=(_RELOAD, _JURIGGED),
    ),
)  # fmt: skip
def growth(lab: Lab) -> None:
    count = lab.pick(20, 1000, 10_000)
    for _ in lab.rounds(1):
        found = _probe(lab, "growth", "ours", engine="ours", pushes=count)
        _grown(lab, found)
        lab.note("growth_objects", "count", f"{count} pushes of {found['ms']:.1f} ms")
        for name, engine in _PEERS.items():
            theirs: dict[str, Any] = {}

            def measure(engine: str = engine, theirs: dict[str, Any] = theirs) -> float:
                theirs.update(_probe(lab, "growth", engine, engine=engine, pushes=min(count, 1000)))
                return float(theirs["objects"])

            lab.peer("growth_objects", name, measure)
            if theirs:
                lab.peer("growth_memory", name, lambda theirs=theirs: theirs["bytes"] / 1024)  # type: ignore[misc]
                lab.peer("growth_slower", name, partial(theirs.__getitem__, "slower"))


def _grown(lab: Lab, found: dict[str, Any]) -> None:
    lab.value("growth_objects", found["objects"])
    lab.value("growth_memory", found["bytes"] / 1024)
    lab.value("growth_slower", found["slower"])
