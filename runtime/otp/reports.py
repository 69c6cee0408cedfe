"""What is said about a failure: structured records, sent to standard logging, readable by a person at night.

Each report is a frozen dataclass. It travels in `record.report`; the record's message is its text, made only if a
handler wants it, and bounded in depth, in items per container and in characters, whatever the state holds.

One failure of a server gives a server report (what it was doing) and a crash report (what the process was); its
supervisor adds one of its own. The text of the first has the traceback, the others' refer to it; and what is as it
usually is (no messages, an empty dictionary, little memory) is in the record but not in the text. Loggers:
`evergreen.server`, `evergreen.crash`, `evergreen.supervisor`...

Secrets: reports show state, last message and reason as `format_status` returns them. Nothing else hides anything.
Source: OTP logger_report events of gen_server and proc_lib; format depth as proc_lib_SUITE t_format.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass
from time import monotonic
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from runtime.kernel import INTERPRETER_EXITS, Crash, Ended, Process, Ref, limited

__all__ = [
    "CHARS_LIMIT",
    "DEPTH",
    "PASSED_ON",
    "Brief",
    "CrashReport",
    "Neighbour",
    "Report",
    "ServerReport",
    "UnhandledMessage",
    "emit",
    "format_term",
    "is_wanted",
    "render",
]

PASSED_ON: tuple[type[BaseException], ...] = (*INTERPRETER_EXITS, Ended)
"""What is not a value's own failure although it is raised while that is asked: it ends whoever asks."""
DEPTH = 6
"""How deep a report looks into a value."""
WIDTH = 25
"""How many items of one container it shows."""
CHARS_LIMIT = 16_384
"""Characters of one report's text."""
_FIELD_LIMIT = 4_096
_LONGEST = 0.5
"""Seconds that one value may take to become a text."""
_PAUSE = 60.0
"""Seconds for which values of a class whose repr took longer are not asked again."""
_MUCH_MEMORY = 1_000_000
"""Bytes of a process from which on a text mentions them."""
_EMPTY: frozenset[type] = frozenset({str, tuple})
_PLAIN = frozenset({"client_name", "initial_call", "module", "name", "status"})

# --------------------------------------------------------------------------------------------------------- types


class Brief:
    """A part of a report that has a text of its own, shorter than its fields."""

    __slots__ = ()

    def brief(self, depth: int, limit: int) -> str:
        """Return the text, values no deeper than `depth` and no longer than `limit`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all reports share. `label` names the logger: `evergreen.<label>`."""

    label: ClassVar[str] = "report"
    level: ClassVar[int] = logging.ERROR
    title: ClassVar[str] = "report"
    usual: ClassVar[Mapping[str, Any]] = {}
    """Values that say nothing, by field: left out of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport(Report):
    """A server ends by a failure: what it was doing. `state`, `last_message` and `reason` come from format_status."""

    label: ClassVar[str] = "server"
    title: ClassVar[str] = "server terminating"

    name: Any
    pid: Any
    module: str
    reason: Any
    last_message: Any
    state: Any
    client: Any = None
    """The pid of the caller whose request it was, if it was a call."""
    client_name: Any = None
    client_stack: str = ""
    """Where that caller waits, as text; empty when it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnhandledMessage(Report):
    """A server got a message and has no handle_info for it; it goes on. `message` as format_status shows it."""

    label: ClassVar[str] = "gen_server"
    level: ClassVar[int] = logging.WARNING
    title: ClassVar[str] = "no handle_info for a message"

    name: Any
    pid: Any
    module: str
    message: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A linked process that does not trap exits and so dies too."""

    pid: Any
    name: Any
    initial_call: Any
    links: tuple[Any, ...]
    message_queue_len: int
    current_function: str = ""
    """Where it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport(Report):
    """A process ends by a failure: what it was. Source: proc_lib's crash report."""

    label: ClassVar[str] = "crash"
    title: ClassVar[str] = "crasher"
    usual: ClassVar[Mapping[str, Any]] = {
        "message_queue_len": 0, "dictionary": {}, "trap_exit": False, "status": "running",
    }  # fmt: skip

    initial_call: Any
    pid: Any
    name: Any
    reason: Any
    ancestors: tuple[Any, ...]
    message_queue_len: int
    messages: tuple[Any, ...]
    """The first few of the queue."""
    links: tuple[Any, ...]
    dictionary: Mapping[Any, Any]
    trap_exit: bool
    status: str
    memory: int = 0
    """Bytes of the process's record, mailbox and stack; not of what its state holds."""
    process_label: Any = None
    neighbours: tuple[Neighbour, ...] = field(default=())


# ----------------------------------------------------------------------------------------------------------- API


def emit(report: Report) -> None:
    """Send a report to its logger. Never raises: a report that fails must not hide the failure it is about."""
    logger = logging.getLogger(f"evergreen.{report.label}")
    try:
        if not logger.isEnabledFor(report.level):
            return
        reason = getattr(report, "reason", None)
        trace = not (isinstance(reason, Crash) and reason.reported)
        if isinstance(reason, Crash):
            reason.reported = True
        logger.log(report.level, "%s", _Text(report, trace), extra={"report": report})
    except Exception:
        logging.getLogger("evergreen.reports").warning(
            "a %s report could not be logged", report.label, exc_info=True
        )


def is_wanted(kind: type[Report]) -> bool:
    """Tell whether anybody would log a report of this kind: if not, do not even make it."""
    return logging.getLogger(f"evergreen.{kind.label}").isEnabledFor(kind.level)


def render(
    report: Report, depth: int = DEPTH, chars_limit: int = CHARS_LIMIT, *, with_trace: bool = True
) -> str:
    """Return the report's text: a title and one `name: value` line per field that says something, the trace in full
    below (or, without `with_trace`, where it is).
    """
    lines = [f"=== {report.title} ==="]
    trace = ""
    for item in fields(report):
        value = getattr(report, item.name)
        if value is None or (value.__class__ in _EMPTY and not value) or _is_usual(report, item.name, value):
            continue
        if item.name == "reason" and isinstance(value, Crash):
            trace = value.trace if with_trace else "Traceback: in the first report of this failure"
        if item.name == "neighbours":
            lines.append(f"  neighbours: {len(value)}")
            lines.extend(
                f"    {n.pid!r} {_cut(str(n.initial_call), 200)} at {_cut(n.current_function, 200)}"
                for n in value
            )
        elif item.name == "client_stack":
            lines.append("  client_stack:")
            lines.extend("    " + line for line in value[:_FIELD_LIMIT].splitlines())
        elif isinstance(value, Brief):
            lines.append(f"  {item.name}: {value.brief(depth, _FIELD_LIMIT)}")
        elif item.name in _PLAIN and isinstance(value, str):
            lines.append(f"  {item.name}: {_cut(value, _FIELD_LIMIT)}")
        else:
            lines.append(f"  {item.name}: {format_term(value, depth, _FIELD_LIMIT)}")
    if trace:
        lines.extend("  " + line for line in _cut(trace, _FIELD_LIMIT).splitlines())
    return _cut("\n".join(lines), chars_limit)


def format_term(
    value: Any, depth: int = DEPTH, chars_limit: int = CHARS_LIMIT, *, secrets: bool = False
) -> str:
    """Return a `repr` that looks no deeper than `depth` and is no longer than `chars_limit`.

    The work is bounded too: containers are not walked past what is shown. Objects that are no containers are asked for
    their own repr, which may raise here without harm; one that computes for too long is ended, where the watchdog runs.
    Fields that a class names in `__secret_fields__` are left out, unless `secrets`: `Envelope(sender='ann', body=…)`.
    """
    if type(value) in _QUICK:
        return _cut(_term(value, depth, _Budget(chars_limit)), chars_limit)
    with limited(_LONGEST) as limit:
        return _cut(_term(value, depth, _Budget(chars_limit, limit, secrets)), chars_limit)


# ----------------------------------------------------------------------------------------------------- internals


class _Text:
    """A report's text, made when it is asked for."""

    __slots__ = ("_report", "_with_trace")

    def __init__(self, report: Report, with_trace: bool) -> None:
        self._report = report
        self._with_trace = with_trace

    def __str__(self) -> str:
        return render(self._report, with_trace=self._with_trace)


def _is_usual(report: Report, name: str, value: Any) -> bool:
    if name == "memory":
        return isinstance(value, int) and value < _MUCH_MEMORY
    return name in report.usual and bool(value == report.usual[name])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."


def _term(value: Any, depth: int, budget: _Budget) -> str:
    """`budget` holds the characters left for the whole value; when it is spent, the rest is `...`."""
    kind = type(value)
    before = budget.left
    if before <= 0:
        return "..."
    if kind is str or kind is bytes:
        text = repr(value if len(value) <= budget.left else value[: budget.left])
    else:
        text = _too_long(kind) if _is_slow(kind, budget) else _asked(value, depth, budget)
    # Counted once: what is within a container has taken its part already, and is part of this text.
    text = _cut(text, max(before, 3))
    budget.left = before - len(text)
    return text


class _Budget:
    """What a text may still take: characters, and time (by `limit`, None: a value that takes none); what it may show."""

    __slots__ = ("left", "limit", "secrets")

    def __init__(self, left: int, limit: limited | None = None, secrets: bool = False) -> None:
        self.left = left
        self.limit = limit
        self.secrets = secrets


_QUICK = frozenset({int, float, bool, str, bytes, type(None), Process, Ref})
_BUILT_IN = frozenset({dict, list, tuple, set, frozenset, deque})
_slow: WeakKeyDictionary[type, float] = WeakKeyDictionary()
"""Classes whose repr took too long, and until when it is not called again: a report of a hundred such must not take a minute."""


def _is_slow(kind: type, budget: _Budget) -> bool:
    if budget.limit is not None and budget.limit.is_over and kind not in _BUILT_IN and kind not in _QUICK:
        return True  # the time is over: only what needs no asking is still shown
    return bool(_slow) and _slow.get(kind, 0.0) > monotonic()


def _too_long(kind: type) -> str:
    return f"<{kind.__qualname__}: its repr takes too long>"


def _asked(value: Any, depth: int, budget: _Budget) -> str:
    """The text of a value that may be anything: whatever its class does, a text, or what ends this from outside."""
    kind = type(value)
    try:
        if (
            isinstance(value, (Mapping, tuple, list, AbstractSet, deque))
            or is_dataclass(value)
            or _is_struct(kind)
        ):
            return _container(value, depth - 1, budget) if depth > 0 else "..."
        return repr(value)
    except INTERPRETER_EXITS:
        raise
    except Ended:
        if budget.limit is None or not budget.limit.is_over:
            raise  # it is the caller who is to end
        if kind not in _BUILT_IN:
            _slow[kind] = monotonic() + _PAUSE
        return _too_long(kind)
    except BaseException as problem:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<{kind.__qualname__}: repr raised {type(problem).__name__}>"


def _container(value: Any, depth: int, budget: _Budget) -> str:
    kind = value.__class__
    is_struct = _is_struct(kind)
    if is_struct or (is_dataclass(value) and not isinstance(value, type)):
        names = kind.__struct_fields__ if is_struct else [f.name for f in fields(value) if f.repr]
        hidden: Any = () if budget.secrets else getattr(kind, "__secret_fields__", ())
        shown = _items(
            ((name + "=", _HIDDEN if name in hidden else getattr(value, name, "?")) for name in names),
            depth,
            budget,
        )
        return f"{kind.__qualname__}({shown})"
    if isinstance(value, type):
        return repr(value)
    if isinstance(value, Mapping):
        keyed = ((_term(key, depth, budget) + ": ", item) for key, item in value.items())
        return "{" + _items(keyed, depth, budget, len(value)) + "}"
    if hasattr(value, "_fields"):  # a NamedTuple
        note = getattr(value, "_note", "")  # a BadReturnValue's; no field begins so
        shown = _items(zip((f + "=" for f in value._fields), value, strict=False), depth, budget)
        return f"{kind.__qualname__}({shown}{'; ' if note else ''}{note})"
    shown = _items((("", item) for item in value), depth, budget, len(value))
    if kind is tuple:
        return f"({shown},)" if len(value) == 1 else f"({shown})"
    if kind is list:
        return f"[{shown}]"
    if kind is set and value:
        return "{" + shown + "}"
    return f"{kind.__qualname__}([{shown}])" if value else f"{kind.__qualname__}()"


class _Hidden:
    """Stands for the value of a secret field."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


_HIDDEN = _Hidden()


def _is_struct(kind: type) -> bool:
    """Tell whether this is one of msgspec's records, without a repr of its own: theirs writes all there is in it."""
    if not hasattr(kind, "__struct_fields__"):
        return False
    own = (one for one in kind.__mro__ if one is not object and not one.__module__.startswith("msgspec"))
    return not any("__repr__" in one.__dict__ for one in own)


def _items(pairs: Iterable[tuple[str, Any]], depth: int, budget: _Budget, total: int = 0) -> str:
    shown: list[str] = []
    for key, item in pairs:
        if len(shown) >= WIDTH or budget.left <= 0:
            shown.append(f"... {total - len(shown)} more" if total else "...")
            break
        budget.left -= len(key) + 2
        shown.append(key + _term(item, depth, budget))
    return ", ".join(shown)
