"""System messages: look at, hold, mend and end any process of the tree, whatever its behaviour.

A system message is an ordinary call whose request is a `SystemRequest`. A behaviour hands it to `serve`, a special
process with a loop of its own to `handle`. Like all messages it is taken in the order of arrival, as in OTP: behind
100,000 queued messages it waits for these. It neither cancels a time-out nor ends hibernation.

A suspended process serves system messages and its parent's Exit, and nothing else; the rest waits, in order.

Source: OTP sys; sys_SUITE, gen_server_SUITE get_state, replace_state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from runtime import kernel
from runtime.kernel import NORMAL, Call, Crash, Exit, Process, ProcessExit

__all__ = [
    "CallbackFailed", "NotSuspended", "Special", "SystemRequest", "SystemStatus", "change_code", "get_state",
    "get_status", "handle", "is_system", "replace_state", "resume", "serve", "suspend", "terminate",
]  # fmt: skip

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
    """What a process must offer to take system messages."""

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
    """Messages held back while suspended; they are no longer in the mailbox."""
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


# ------------------------------------------------------------------------------- for behaviours and special processes


def is_system(message: Any) -> bool:
    """Tell whether `message` is a system message."""
    return isinstance(message, Call) and message.request.__class__ is SystemRequest


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
        value = _Refusal(CallbackFailed(request.operation, Crash(problem)))
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


# What trace, log, statistics and install will need goes here, by name.
_OPERATIONS: dict[str, Callable[..., tuple[Any, bool]]] = {
    "get_state": _get_state,
    "replace_state": _replace_state,
    "get_status": _get_status,
    "suspend": _suspend,
    "resume": _resume,
    "change_code": _change_code,
    "terminate": _terminate,
}
