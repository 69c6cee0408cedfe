"""Debug options from a process's first message on: what `debug=[...]` at the start of a behaviour means.

    Counter.start_link(0, debug=["trace", ("log", 50), ("log_to_file", "/var/tmp/counter.log")])

The same options as `sys` turns on in a running process, which can also turn these off. They see what comes after `init`:
messages are events, the start is none.

Where this differs from OTP: a wrong option, or a file that cannot be opened, is the starter's error, and nothing is started
(there, it is logged and left out).

Source: OTP sys:debug_options/1.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any

from runtime import kernel

from .sys import LOG_SIZE
from .sys_debug import Debug, DebugFunction, LogFile

__all__ = ["DebugOption", "prepare"]

# --------------------------------------------------------------------------------------------------------- types

DebugOption = (
    str
    | tuple[str, int | str | os.PathLike[str] | DebugFunction]
    | tuple[str, DebugFunction, Any]
    | tuple[str, DebugFunction, Any, Hashable]
)
""""trace", "log" (10 events), ("log", n), "statistics", ("log_to_file", path), ("install", function), with its state and
its id as further items if wanted, as in `sys.install`."""

# ----------------------------------------------------------------------------------------------------------- API


def prepare(options: Iterable[DebugOption]) -> Debug | None:
    """Return the options of a process to be started; None when there are none. Blocks to open a file.

    Raises: ValueError, naming the option; OSError when the file cannot be opened.
    """
    debug = Debug()
    path = None
    for option in (options,) if isinstance(options, str) else options:
        match option:
            case "trace":
                debug.trace = True
            case "log":
                debug.kept = deque(maxlen=LOG_SIZE)
            case ("log", int(size)) if size > 0 and not isinstance(size, bool):
                debug.kept = deque(maxlen=size)
            case "statistics":
                debug.count(True)
            case ("log_to_file", str() | os.PathLike() as where):
                path = os.fspath(where)
            case ("install", function, *more) if callable(function) and len(more) <= 2:
                state = more[0] if more else None
                debug.functions.setdefault(more[1] if len(more) > 1 else function, [function, state])
            case _:
                raise ValueError(f"debug: {option!r} is no debug option (see runtime.otp.sys_start)")
    if path is not None:  # last: what is open now belongs to a process that will be
        debug.file = kernel.blocking(LogFile, path)
    return debug if debug.is_on else None
