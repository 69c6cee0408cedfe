"""System messages: look at, hold, mend and end any process of the tree, whatever its behaviour.

A system message is an ordinary call whose request is a `SystemRequest`. A behaviour hands it to `serve`, a special
process with a loop of its own to `handle`. Like all messages it is taken in the order of arrival, as in OTP: behind
100,000 queued messages it waits for these. It neither cancels a time-out nor ends hibernation.

A suspended process serves system messages and its parent's Exit, and nothing else; the rest waits, in order, and is still
its mailbox: in process_info, and for the alarm of a long one.

What happens in a process can be printed (`trace`), kept (`log`), written (`log_to_file`), counted (`statistics`) and given
to a function (`install`), as long as it takes; see `sys_debug`. A process without any of these pays nothing for them.

Source: OTP sys; sys_SUITE, gen_server_SUITE get_state, replace_state.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from runtime import kernel
from runtime.kernel import NORMAL, Call, Crash, Exit, Process, ProcessExit

from . import sys_debug
from .sys_debug import DONE, Debug, DebugFunction, In, NewState, Out, Statistics, debug_of

__all__ = [
    "DONE", "CallbackFailed", "In", "NewState", "NotSuspended", "Out", "Special", "Statistics", "SystemRequest",
    "SystemStatus", "change_code", "debug_event", "get_log", "get_state", "get_statistics", "get_status", "handle",
    "install", "is_system", "log", "log_to_file", "no_debug", "print_log", "remove", "replace_state", "resume", "serve",
    "statistics", "suspend", "terminate", "trace",
]  # fmt: skip

LOG_SIZE = 10
"""Events that `log` keeps when no number is given."""

# --------------------------------------------------------------------------------------------------------- types


class SystemRequest:
    """The request of a system message: an operation by name, and its arguments."""

    __slots__ = ("arguments", "operation")

    def __init__(self, operation: str, *arguments: Any) -> None:
        self.operation = operation
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"SystemRequest({', '.join(map(repr, (self.operation, *self.arguments)))})"


class CallbackFailed(Exception):
    """A function run inside the process failed: the process lives on, its state is what it was. `crash` says how."""

    def __init__(self, operation: str, crash: Any) -> None:
        super().__init__(f"{operation} failed: {crash!r}")
        self.operation = operation
        self.crash = crash


class NotSuspended(RuntimeError):
    """`change_code` needs a suspended process."""


class Special(Protocol):
    """What a process must offer to take system messages.

    A behaviour that keeps an object of its own in `process.control` gives that a field `debug`, has a method
    `system_set_debug(debug)` that fills it, and while it is filled hands its messages to `debug.run`. Any other process
    has its debug options in `process.control`, and says what happens by `debug_event`.
    """

    def system_get_state(self) -> Any:
        """Return what get_state shows."""

    def system_replace_state(self, change: Callable[[Any], Any]) -> Any:
        """Put `change(state)` in the state's place and return it; change nothing if that raises."""

    def system_code_change(self, module: Any, old_version: Any, extra: Any) -> None:
        """Bring the state into the form of the new code; change nothing if that raises."""

    def system_status(self) -> dict[str, Any]:
        """Return the behaviour's part of get_status."""

    def system_terminate(self, reason: Any) -> NoReturn:
        """Clean up and raise ProcessExit(reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """What get_status returns."""

    pid: Any
    module: str
    status: str
    """"running" or "suspended"."""
    parent: Any
    name: Any
    dictionary: dict[Any, Any]
    state: Any = None
    """As format_status returns it."""
    hibernated: bool = False
    held: int = 0
    """Messages held back while suspended; they count as its mailbox."""
    debug: dict[str, Any] = field(default_factory=dict)
    """The debug options that are on, by name, and what they hold."""
    more: dict[str, Any] = field(default_factory=dict)


# ----------------------------------------------------------------------------------------------------------- API
# All of these block for at most `timeout` seconds (None: for ever) and raise CallError: noproc, timeout, or the reason
# that the process ended with meanwhile.


def get_state(dest: Any, timeout: float | None = 5.0) -> Any:
    """Return the process's state: of a GenServer, a shallow copy of its fields by name."""
    return _ask(dest, timeout, "get_state")


def replace_state(dest: Any, change: Callable[[Any], Any], timeout: float | None = 5.0) -> Any:
    """Replace the state by `change(state)`, which runs inside the process; return the new one.

    Raises CallbackFailed if `change` fails or its result is no state; then nothing has changed. (What `change` did to
    mutable objects inside the state before it failed is not undone.)
    """
    return _ask(dest, timeout, "replace_state", change)


def get_status(dest: Any, timeout: float | None = 5.0) -> SystemStatus:
    """Return the process's status; its state as format_status shows it."""
    return _ask(dest, timeout, "get_status")  # type: ignore[no-any-return]


def suspend(dest: Any, timeout: float | None = 5.0) -> None:
    """Hold the process: from now on it serves system messages only. Twice is once."""
    _ask(dest, timeout, "suspend")


def resume(dest: Any, timeout: float | None = 5.0) -> None:
    """Let a suspended process go on, with all that came meanwhile, in order. No effect on a running one."""
    _ask(dest, timeout, "resume")


def change_code(
    dest: Any, module: Any, old_version: Any = None, extra: Any = None, timeout: float | None = 5.0
) -> None:
    """Run the code_change callback of a suspended process.

    Raises NotSuspended, or CallbackFailed if code_change fails; then the state is the old one and old code runs on.
    """
    _ask(dest, timeout, "change_code", module, old_version, extra)


def terminate(dest: Any, reason: Any = NORMAL, timeout: float | None = 5.0) -> None:
    """Tell the process to end with `reason`, after its terminate callback. Returns when it has taken the order; to
    wait for the end use `stop`.
    """
    _ask(dest, timeout, "terminate", reason)


# ------------------------------------------------------------------------------------------------- API: debug options
# Each stays on until it is turned off or the process ends. They go on while the process is suspended: nothing happens
# then but system messages, and these are no events.


def trace(dest: Any, on: bool, timeout: float | None = 5.0) -> None:
    """Print a line for each event on standard output, or stop that."""
    _ask(dest, timeout, "trace", bool(on))


def log(dest: Any, size: int | bool = True, timeout: float | None = 5.0) -> None:
    """Keep the last `size` events in the process (True: 10), or stop that (False, 0). A new size keeps what fits."""
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"size={size!r}: want how many events to keep, or True or False")
    _ask(dest, timeout, "log", LOG_SIZE if size is True else int(size))


def get_log(dest: Any, timeout: float | None = 5.0) -> list[Any]:
    """Return the events that `log` has kept, oldest first: In, Out, NewState, or a special process's own."""
    return list(_ask(dest, timeout, "get_log"))


def print_log(dest: Any, timeout: float | None = 5.0) -> None:
    """Print the events that `log` has kept, from the calling process."""
    pid = dest if isinstance(dest, Process) else kernel.whereis(dest)
    for event in get_log(dest, timeout):
        sys_debug.print_line(sys_debug.render_event(pid, event))


def log_to_file(dest: Any, path: str | os.PathLike[str] | None, timeout: float | None = 5.0) -> None:
    """Append a line for each event to a file (readable by its owner only), or stop that (None).

    Each line is written before the process goes on. Raises OSError when the file cannot be opened.
    """
    _ask(dest, timeout, "log_to_file", None if path is None else os.fspath(path))


def statistics(dest: Any, on: bool, timeout: float | None = 5.0) -> None:
    """Begin to count from zero, or stop that."""
    _ask(dest, timeout, "statistics", bool(on))


def get_statistics(dest: Any, timeout: float | None = 5.0) -> Statistics | None:
    """Return what has been counted; None when statistics are off."""
    return _ask(dest, timeout, "get_statistics")  # type: ignore[no-any-return]


def install(
    dest: Any, function: DebugFunction, state: Any = None, *, id: Hashable = None, timeout: float | None = 5.0
) -> None:
    """Have `function(its state, event, the process's state)` called in the process at each event; it returns its new state.

    It is removed when it returns DONE or raises, and by `remove`. `id`: the function itself if not given. An id that is
    there already stays what it is. Raises TypeError, before anything is sent, for what is no function.
    """
    if not callable(function):
        raise TypeError(f"install: {function!r} is no function")
    hash(id)
    _ask(dest, timeout, "install", function if id is None else id, function, state)


def remove(dest: Any, id: Hashable, timeout: float | None = 5.0) -> None:
    """Remove an installed function, by its id or itself. One that is not there is no error."""
    _ask(dest, timeout, "remove", id)


def no_debug(dest: Any, timeout: float | None = 5.0) -> None:
    """Turn all debug options off, installed functions too."""
    _ask(dest, timeout, "no_debug")


# ------------------------------------------------------------------------------- for behaviours and special processes


def is_system(message: Any) -> bool:
    """Tell whether `message` is a system message."""
    return isinstance(message, Call) and message.request.__class__ is SystemRequest


def debug_event(special: Special, event: Any) -> None:
    """Say what happens in the calling special process: In(...) for a message, Out(...), NewState(...), or any value.

    Does nothing while no debug option is on.
    """
    process = kernel.self_()
    debug = debug_of(process)
    if debug is not None:
        debug.event(special, process, event)
        if not debug.is_on:
            sys_debug.keep(special, process, None)


def handle(call: Call, special: Special, parent: Process | None = None) -> None:
    """Serve a system message in a process that has a receive loop of its own.

    Blocks while the process is suspended; returns when it may go on with its loop. `parent` is whose Exit ends it.
    """
    suspended = serve(call, special, kernel.self_(), suspended=False)
    while suspended:
        message = kernel.receive_match(
            lambda m: is_system(m) or (m.__class__ is Exit and parent is not None and m.sender is parent)
        )
        if message.__class__ is Exit:
            special.system_terminate(message.reason)
        suspended = serve(message, special, kernel.self_(), suspended=True)


def serve(call: Call, special: Special, process: Process, *, suspended: bool) -> bool:
    """Answer one system message, and return whether the process is suspended from now on."""
    request = call.request
    operation = _OPERATIONS.get(request.operation)
    if operation is None:
        kernel.reply(call, _Refusal(ValueError(f"unknown system request {request.operation!r}")))
        return suspended
    if request.operation == "terminate":
        kernel.reply(call, None)
        special.system_terminate(*request.arguments)
    try:
        value, suspended = operation(special, process, suspended, *request.arguments)
    except ProcessExit as exit_:
        if exit_.__class__ is not ProcessExit:  # Killed: the process is dead already
            raise
        value = _Refusal(CallbackFailed(request.operation, exit_.reason))
    except NotSuspended as refusal:
        value = _Refusal(refusal)
    except Exception as problem:  # noqa: BLE001 - whoever looks in must not bring the process down
        own = request.operation == "log_to_file" and isinstance(problem, OSError)  # says all there is to say
        value = _Refusal(problem if own else CallbackFailed(request.operation, Crash(problem)))
    kernel.reply(call, value)
    return suspended


# ----------------------------------------------------------------------------------------------------- internals


class _Refusal:
    """An answer that is raised where it was asked for."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def _ask(dest: Any, timeout: float | None, operation: str, *arguments: Any) -> Any:
    answer = kernel.call(dest, SystemRequest(operation, *arguments), timeout)
    if answer.__class__ is _Refusal:
        raise answer.error
    return answer


def _get_state(special: Special, _process: Process, suspended: bool) -> tuple[Any, bool]:
    return special.system_get_state(), suspended


def _replace_state(
    special: Special, _process: Process, suspended: bool, change: Callable[[Any], Any]
) -> tuple[Any, bool]:
    return special.system_replace_state(change), suspended


def _get_status(special: Special, process: Process, suspended: bool) -> tuple[Any, bool]:
    kind = type(special)
    status = SystemStatus(
        pid=process,
        status="suspended" if suspended else "running",
        parent=(kernel.process_info(process, "parent") or {}).get("parent"),
        name=process.name,
        dictionary=dict(process.pdict or {}),
        debug=debug.info() if (debug := debug_of(process)) is not None else {},
        **{"module": f"{kind.__module__}:{kind.__qualname__}", **special.system_status()},
    )
    return status, suspended


def _suspend(_special: Special, _process: Process, _suspended: bool) -> tuple[Any, bool]:
    return None, True


def _resume(_special: Special, _process: Process, _suspended: bool) -> tuple[Any, bool]:
    return None, False


def _change_code(
    special: Special, _process: Process, suspended: bool, module: Any, old_version: Any, extra: Any
) -> tuple[Any, bool]:
    if not suspended:
        raise NotSuspended("change_code: suspend the process first")
    special.system_code_change(module, old_version, extra)
    return None, suspended


def _terminate(special: Special, _process: Process, _suspended: bool, reason: Any) -> tuple[Any, bool]:
    special.system_terminate(reason)


def _option(change: Callable[..., None]) -> Callable[..., tuple[Any, bool]]:
    """Make an operation of something that changes the debug options."""

    def operation(special: Special, process: Process, suspended: bool, *arguments: Any) -> tuple[Any, bool]:
        debug = debug_of(process) or Debug()
        change(debug, *arguments)
        sys_debug.keep(special, process, debug if debug.is_on else None)
        return None, suspended

    return operation


def _trace(debug: Debug, on: bool) -> None:
    debug.trace = on


def _log(debug: Debug, size: int) -> None:
    debug.kept = deque(debug.kept or (), size) if size else None


def _log_to_file(debug: Debug, path: str | None) -> None:
    new = None if path is None else kernel.blocking(sys_debug.LogFile, path)
    debug.close()
    debug.file = new


def _install(debug: Debug, id: Hashable, function: DebugFunction, state: Any) -> None:
    debug.functions.setdefault(id, [function, state])


def _remove(debug: Debug, id: Hashable) -> None:
    debug.functions.pop(id, None)


def _no_debug(special: Special, process: Process, suspended: bool) -> tuple[Any, bool]:
    sys_debug.keep(special, process, None)
    return None, suspended


def _get_log(_special: Special, process: Process, suspended: bool) -> tuple[Any, bool]:
    debug = debug_of(process)
    return tuple(debug.kept or ()) if debug is not None else (), suspended


def _get_statistics(_special: Special, process: Process, suspended: bool) -> tuple[Any, bool]:
    debug = debug_of(process)
    return debug.statistics() if debug is not None else None, suspended


_OPERATIONS: dict[str, Callable[..., tuple[Any, bool]]] = {
    "get_state": _get_state,
    "replace_state": _replace_state,
    "get_status": _get_status,
    "suspend": _suspend,
    "resume": _resume,
    "change_code": _change_code,
    "terminate": _terminate,
    "trace": _option(_trace),
    "log": _option(_log),
    "log_to_file": _option(_log_to_file),
    "statistics": _option(Debug.count),
    "install": _option(_install),
    "remove": _option(_remove),
    "no_debug": _no_debug,
    "get_log": _get_log,
    "get_statistics": _get_statistics,
}
