"""Counts of what supervisors reported: which child failed how often, when, and why at last.

Kept from `install` to `remove`, by (supervisor, child's id); of very many children, those after the first thousand are
counted together. A failure costs some microseconds; nothing else does.

A supervisor is known by what stays when it is restarted: its registered name, else its place in the tree (`chat/homes`: the
child `homes` of `chat`, which has a name or is the top of that application), else `unnamed`.

Who gives up is noted as well, with the failure that was one too many: `last_words` says so when a node ends by it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import SHUTDOWN, Crash, Process, clock, scheduler
from runtime.observe.texts import brief, function_of, pid_text
from runtime.otp.application import CONTROLLER
from runtime.otp.child_spec import ChildSpec
from runtime.otp.supervisor_report import Offender, on_failure

__all__ = ["Child", "Failed", "GaveUp", "gave_up", "install", "last_words", "remove", "table"]

_DEEP = 12
_KEPT = 50
_SOON = 60.0
"""Seconds after which a supervisor that gave up is no reason any more for what ends."""
_TRACE = 8_000
_MAX = 1_000
_TIMES = 100
_WORDS = 200

# Types


class Child(NamedTuple):
    """Whose failures are counted: the supervisor's name or pid, and the child's id, as texts."""

    supervisor: str
    child: str


class Failed:
    """The failures of one child. `times`: of the last hundred, in seconds of the runtime's clock."""

    __slots__ = ("context", "count", "pid", "reason", "start", "times")

    def __init__(self) -> None:
        self.count = 0
        self.times: deque[float] = deque(maxlen=_TIMES)
        self.context = ""
        self.reason = ""
        self.pid = ""
        self.start = ""

    def within(self, seconds: float, now: float) -> int:
        """How many failures there were in the last `seconds`, as far as a hundred."""
        return sum(1 for at in reversed(self.times) if now - at <= seconds)


class GaveUp(NamedTuple):
    """A supervisor that ended: `child` failed once too often (more than `intensity` times in `period` s), at last by `reason`.

    `trace`: of that failure, where it was an exception; `at`: the runtime's clock.
    """

    supervisor: str
    child: str
    start: str
    intensity: int
    period: float
    reason: str
    trace: str
    at: float


OTHERS = Child("others", "others")
table: dict[Child, Failed] = {}
"""All that is known. Only to look."""
gave_up: deque[GaveUp] = deque(maxlen=_KEPT)
"""The last supervisors that gave up, the newest last. Only to look."""

# API


def install() -> None:
    """Begin to count, from nothing; again: nothing."""
    if _note not in on_failure:
        table.clear()
        gave_up.clear()
        on_failure.append(_note)


def remove() -> None:
    """Count no more."""
    if _note in on_failure:
        on_failure.remove(_note)


def last_words() -> str:
    """Say which supervisor gave up a moment ago, and by which child's failure, with its trace; empty if none did.

    Of several, where one took the next along: the one that had a failure of its own.
    """
    recent = [one for one in gave_up if clock.now() - one.at < _SOON]
    if not recent:
        return ""
    own = [one for one in recent if one.trace or one.reason != repr(SHUTDOWN)]
    one = (own or recent)[-1]
    many = f"more than {one.intensity} restart{'' if one.intensity == 1 else 's'} in {one.period:g} s"
    text = f"supervisor {one.supervisor} gave up ({many}); its last child that failed: {one.child} ({one.start}): {one.reason}"
    return f"{text}\n{one.trace}" if one.trace else text


# Internals

_latest: tuple[Child, Any] | None = None
"""Of the last failure only: a reason may hold anything."""


def _note(supervisor: Any, context: str, reason: Any, pid: Any, spec: ChildSpec, count: int) -> None:
    global _latest
    start: str = Offender.of(pid, spec).start[0]  # as the report beside it says
    if isinstance(spec.id, str):
        name = spec.id
    else:
        name = function_of(spec.start[0]) if spec.id is None else brief(spec.id, 2, 100)
    key = Child(_place(supervisor)[:100], name[:100])
    if context == "shutdown":  # the supervisor gives up: the child's own failure has been counted
        _note_end(key, start)
        return
    found = table.get(key)
    if found is None:
        found = table.setdefault(key if len(table) < _MAX else OTHERS, Failed())
    found.count += count
    found.times.append(clock.now())
    found.context, found.reason, found.pid = context, brief(reason, 3, _WORDS), pid_text(pid)
    found.start = start
    _latest = key, reason


def _note_end(key: Child, start: str) -> None:
    global _latest
    try:
        me = kernel.self_()
    except kernel.NotAProcess:
        me = None
    flags = getattr(getattr(getattr(me, "behaviour", None), "children", None), "flags", None)
    known = table.get(key)
    reason = _latest[1] if _latest is not None and _latest[0] == key else None
    _latest = None
    gave_up.append(
        GaveUp(
            key.supervisor, key.child, start, getattr(flags, "intensity", 0), getattr(flags, "period", 0.0),
            known.reason if known is not None else "", reason.trace[:_TRACE] if isinstance(reason, Crash) else "", clock.now(),
        )
    )  # fmt: skip


def _place(supervisor: Any) -> str:
    """The name by which a supervisor is known from one life to the next."""
    p = supervisor if isinstance(supervisor, Process) else None
    if p is None:
        return supervisor if isinstance(supervisor, str) else brief(supervisor, 2, 100)
    path: list[str] = []
    for _ in range(_DEEP):
        name = p.name or _tops().get(p)
        if name is not None:
            return "/".join([name, *reversed(path)])
        boss = scheduler.table.get(p.parent)
        engine: Any = getattr(boss.behaviour, "children", None) if boss is not None else None
        child = getattr(engine, "by_pid", {}).get(p)
        if boss is None or child is None:
            break
        id_ = child.spec.id
        path.append(id_ if isinstance(id_, str) else "unnamed" if id_ is None else brief(id_, 2, 50))
        p = boss
    return "/".join(["unnamed", *reversed(path)])


def _tops() -> dict[Any, str]:
    """The tops of the applications that run, with their names."""
    p = scheduler.names.get(CONTROLLER)
    loaded = getattr(p.behaviour, "loaded", {}) if p is not None else {}
    return {one.top: name for name, one in loaded.items() if one.top is not None}
