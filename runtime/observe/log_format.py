"""Log records as text: for a person at three in the morning, or as one JSON object a line.

A report begins with a sentence that says who ended, how and where; what belongs to it follows, indented, so that where a
record begins can be seen (and found by grep).
"""

from __future__ import annotations

import datetime
import json
import logging
import math
from dataclasses import fields
from typing import Any

from runtime.kernel import Crash
from runtime.otp.reports import Report, format_term

__all__ = ["HumanFormatter", "JsonFormatter", "headline"]

_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31", "DEBUG": "2"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a peer's words must not do to the terminal that shows them."""
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(127, 160)}
"""Those that JSON leaves as they are: a terminal may be reading it, too."""
_FIELD = 4_096
_REASON = 300

# Types


class HumanFormatter(logging.Formatter):
    """`12:00:01.250 error    evergreen.crash: ...`, what belongs to it indented below."""

    def __init__(self, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created).astimezone()
        head = f"{time:%H:%M:%S}.{int(record.msecs):03d} {record.levelname.lower():<8}"
        colour = _COLOURS.get(record.levelname) if self._colours else None
        if colour:
            head = f"\x1b[{colour}m{head}\x1b[0m"
        said = record.getMessage()
        report = getattr(record, "report", None)
        if isinstance(report, Report):
            # Of what went as it should, the sentence is enough; of a failure nothing is too much.
            said = headline(report) if report.level == logging.INFO else f"{headline(report)}\n{said}"
        if record.exc_info:
            said += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            said += "\n" + record.stack_info
        text = f"{head} {record.name}: {said.translate(_CONTROLS)}"
        return text.rstrip().replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """time (UTC), level, logger, message; of a report also its label, its headline and its fields: plain values as such, others as text."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        report = getattr(record, "report", None)
        if isinstance(report, Report):
            entry["report"] = report.label
            entry["headline"] = headline(report)
            entry["fields"] = {
                item.name: _value(value)
                for item in fields(report)
                if (value := getattr(report, item.name)) is not None
            }
        elif isinstance(report, dict):
            entry["report"] = report.get("label", "")
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, ensure_ascii=False, default=repr).translate(_JSON_CONTROLS)


# API


def headline(report: Report) -> str:
    """Return a report in one sentence: what it is, whom it is about, why and where."""
    who = _who(report)
    reason = getattr(report, "reason", None)
    text = f"{report.title}: {who}" if who else report.title
    if reason is not None:
        text += f": {_why(reason)}"
    return text.replace("\n", " ")


# Internals


def _value(value: Any) -> Any:
    """A field as JSON has it, where it is one of its plain values; else as text."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and value.bit_length() < 64):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    return value[:_FIELD] if isinstance(value, str) else format_term(value, chars_limit=_FIELD)


def _who(report: Report) -> str:
    """The name by which a person knows it: the child of a supervisor, a registered name, else the pid and what it ran."""
    offender = getattr(report, "offender", None)
    if offender is not None:
        child = (
            f"child {_short(offender.id)}" if offender.id is not None else f"a child ({offender.start[0]})"
        )
        return f"{child} of {_short(getattr(report, 'supervisor', ''))} ({getattr(report, 'context', '')})"
    application = getattr(report, "application", None)
    if application is not None:
        return f"{application} ({getattr(report, 'start_type', '')}) on {getattr(report, 'node', '')}"
    handler = getattr(report, "handler", None)
    if handler is not None:
        return f"{_short(handler)} in {_short(getattr(report, 'manager', ''))}"
    pid = getattr(report, "pid", None)
    what = getattr(report, "module", None) or getattr(report, "initial_call", None)
    return " ".join(filter(None, [_short(pid) if pid is not None else "", f"({what})" if what else ""]))


def _why(reason: Any) -> str:
    if isinstance(reason, Crash):
        text = f"{reason.error}: {reason.message}" if reason.message else reason.error
        place = ""
        if reason.places:
            file, line, function = reason.places[-1]
            place = f", in {function} ({file}:{line})"
        return f"{text[:_REASON]}{place}"
    return _short(reason, _REASON)


def _short(value: Any, limit: int = 100) -> str:
    return value[:limit] if isinstance(value, str) else format_term(value, 3, limit)
