"""Commands that watch what happens: trace."""

from __future__ import annotations

import inspect
import sys
import time
from typing import Any

from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.tables import Column, Table, age
from runtime.observe import tracing
from runtime.observe.texts import brief, function_of

__all__ = ["trace"]

# API


def trace(
    what: Any, n: int = 100, seconds: float = 10.0, *, show: bool = True, bodies: bool = False, **options: Any
) -> Table | None:
    """Watch messages, calls and exits, for so many or so long.

    `what`: processes (messages in and out, their end) or functions (calls, results, how long), one or a list of them:
    `trace("alarms", seconds=1)`, `trace(<42@node>, state=True)`, `trace("apps.chat.domain.limits.network_of", n=5)`. Over after `n`
    events, after `seconds`, or by Ctrl-C. Events are printed as they come; `show=False` returns them at the end.
    `receive`, `send`, `exit`, `state` choose kinds; `by`: only calls by that process.

    Messages and states are shown as by `messages` and `state`: what a server's format_status hides, and the secret fields of
    records (the bodies of the chat's messages, PINs, keys), are left out; `bodies=True` shows all.
    """
    from runtime.admin.shell_evaluator import current

    here.need_life()
    job = current().job
    show = show and (job is None or job.form != "json")
    events = []

    def begun() -> None:
        if show:
            sys.stdout.write(_head(what, n, seconds, bodies) + "\n")

    try:
        for event in tracing.follow(what, n=n, seconds=seconds, bodies=bodies, begun=begun, **options):
            if show:
                sys.stdout.write(_line(event) + "\n")
            else:
                events.append(event)
    except (tracing.NotTraceable, ValueError, TypeError) as error:
        raise CannotDo(str(error)) from None
    if show:
        return None
    columns = (
        Column("time", show=_clock), Column("kind"), Column("who"), Column("other"), Column("text"),
        Column("seconds", show=lambda value: age(value) if value else "", is_right=True),
    )  # fmt: skip
    return Table(events, columns)


# Internals


def _head(what: Any, n: int, seconds: float, bodies: bool) -> str:
    """What is traced, until when, and how to stop it. Flushed with the first line, or after a moment."""
    whats = list(what) if isinstance(what, (list, set, frozenset)) else [what]
    named = ", ".join(
        one if isinstance(one, str) else function_of(one) if inspect.isroutine(one) else brief(one, 2, 100)
        for one in whats[:20]
    )
    ends = _clock(time.time() + seconds).partition(".")[0]
    more = ", with bodies and secrets" if bodies else ""
    return f"tracing {named}{more}: until {ends} ({age(float(seconds))}) or {n:,} events; Ctrl-C stops it"


_ARROWS = {
    "receive": "<-",
    "in": "<-",
    "send": "->",
    "out": "->",
    "call": "calls",
    "return": "from",
    "raise": "from",
}


def _line(event: tracing.TraceEvent) -> str:
    if event.is_end:
        return f"trace over: {event.text}"
    parts = [_clock(event.time), f"{event.kind:7}", event.who]
    if event.other:
        parts += [_ARROWS.get(event.kind, ""), event.other]
    took = f" ({age(event.seconds)})" if event.seconds else ""
    return " ".join(part for part in parts if part) + f"  {event.text}{took}"


def _clock(seconds: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{int(seconds * 1000) % 1000:03d}"
