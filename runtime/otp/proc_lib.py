"""Processes that belong to a tree: started in step with their starter, with ancestors and a crash report.

A start function returns only when the child has said how its initialisation went. The question travels as a call, so
nothing of it ever enters the starter's mailbox, and a child that dies instead of answering answers by its death.

Source: OTP proc_lib; a failing start leaves no stray EXIT with a linked, trapping starter (as since OTP 26).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from runtime import kernel
from runtime.kernel import (
    KILL,
    NOPROC,
    NORMAL,
    TIMEOUT_REASON,
    Call,
    CallError,
    CallTimeout,
    Crash,
    Down,
    Exit,
    Name,
    Pid,
    Process,
    ProcessExit,
    Ref,
    hooks,
    is_failure,
    same_reason,
)  # fmt: skip

from . import sys
from .outcome import AlreadyStarted, Ignore, StartError
from .reports import CrashReport, Neighbour, emit, is_wanted

__all__ = [
    "START", "Acknowledged", "Failed", "ancestors", "await_start", "claim_name", "crash_report", "init_ack", "init_fail",
    "initial_call", "queued", "report_crash", "spawn", "spawn_link", "start", "start_link", "start_monitor", "stop", "was_started_here",
]  # fmt: skip

MAX_MESSAGES = 10
"""Messages of the queue that a crash report shows."""
MAX_NEIGHBOURS = 15
MAX_ANCESTORS = 32

# --------------------------------------------------------------------------------------------------------- types

START: Final = kernel.make_ref()
"""The request that a starter calls its new child with; answered with Acknowledged or Failed."""


class Acknowledged:
    """The child is ready. `value` is what its start function returns, if anything else than the pid."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Failed:
    """The child did not come up, and ends by itself. `reason` an Ignore: it had nothing to do."""

    __slots__ = ("reason",)

    def __init__(self, reason: Any) -> None:
        self.reason = reason


_ANCESTORS: Final = "$ancestors"
_INITIAL_CALL: Final = "$initial_call"
_STARTER: Final = "$starter"

# ----------------------------------------------------------------------------------------------------------- API


def start(fn: Callable[..., Any], *args: Any, timeout: float | None = None, name: Name | None = None) -> Any:
    """Start a process that runs `fn(*args)`, and wait until it calls `init_ack(value)` or `init_fail(reason)`.

    Blocks for at most `timeout` seconds (None: for ever); a child that is slower is killed. Returns the pid, or the
    value given to init_ack if it is not None; None if the child ignored (`init_fail(Ignore())`).

    Raises:
        StartError: the child failed, ended before its acknowledgement, or was too slow; it and its name are gone.
        AlreadyStarted: the name is taken.
    Source: OTP proc_lib:start/5; proc_lib_SUITE sync_start_*.
    """
    return _start(fn, args, timeout, name, link=False)[1]


def start_link(
    fn: Callable[..., Any], *args: Any, timeout: float | None = None, name: Name | None = None
) -> Any:
    """As `start`, with the child linked to the caller from its first moment.

    A starter that does not trap exits dies with a child that *exits* abnormally in its initialisation, as in OTP;
    one that traps gets the StartError and no Exit message.
    """
    return _start(fn, args, timeout, name, link=True)[1]


def start_monitor(
    fn: Callable[..., Any], *args: Any, timeout: float | None = None, name: Name | None = None
) -> tuple[Any, Ref | None]:
    """As `start`, and monitor the child: returns (value, ref). A start that fails leaves no Down message."""
    refs: list[Ref] = []
    _, value = _start(fn, args, timeout, name, link=False, refs=refs)
    return value, (refs[0] if refs else None)


def spawn(fn: Callable[..., Any], *args: Any) -> Process:
    """Start a process that knows its ancestors, and do not wait for anything."""
    process: Process = kernel.spawn_opt(_main, _family(), fn, args, False)
    return process


def spawn_link(fn: Callable[..., Any], *args: Any) -> Process:
    """As `spawn`, linked to the caller."""
    process: Process = kernel.spawn_opt(_main, _family(), fn, args, False, link=True)
    return process


def init_ack(value: Any = None) -> None:
    """Tell the starter that this process is ready; its start function returns the pid, or `value` if not None."""
    kernel.reply(_starter(), Acknowledged(value))


def init_fail(reason: Any, exit_reason: Any = NORMAL) -> NoReturn:
    """Tell the starter that the start failed with `reason` (an Ignore: nothing to do), and end with `exit_reason`."""
    kernel.reply(_starter(), Failed(reason))
    raise ProcessExit(exit_reason)


def stop(dest: Any, reason: Any = NORMAL, timeout: float | None = None) -> None:
    """Ask a process of any behaviour to end with `reason`, and wait until it has.

    Runs its terminate callback, also when it is suspended. Blocks for at most `timeout` seconds (None: for ever).

    Raises:
        CallTimeout: it did not end in time; it may still end later.
        CallError: `.reason` is "noproc" when there is no such process, "calling_self", or the reason it ended with
            when that is not the one asked for.
        BadName: `dest` is no pid and no name.
        ValueError: a bad timeout; nothing was sent.
    Source: OTP proc_lib:stop/3; gen_server_SUITE stop1 to stop10.
    """
    if timeout is not None and (isinstance(timeout, bool) or not timeout >= 0):
        raise ValueError(f"timeout={timeout!r}: want seconds >= 0 or None")
    deadline = None if timeout is None else kernel.clock.now() + timeout
    mark = kernel.receive_mark()
    if isinstance(dest, tuple) and dest[1] == kernel.node():
        dest = dest[0]
    if not isinstance(dest, (Pid, str)) and not hasattr(dest, "take"):
        raise kernel.BadName(dest)
    pid = dest if isinstance(dest, Pid) else kernel.whereis(dest)
    if pid is None:
        raise CallError(NOPROC, dest)
    ref = kernel.monitor(pid)
    try:
        try:
            sys.terminate(pid, reason, timeout)
        except CallError:
            if kernel.is_alive(pid):
                raise  # else it ended by itself meanwhile: the Down says how
        left = None if deadline is None else max(0.0, deadline - kernel.clock.now())
        down = kernel.receive_match(lambda m: m.__class__ is Down and m.ref is ref, left, mark)
    finally:
        kernel.demonitor(ref, flush=True)
    if down is kernel.TIMEOUT:
        raise CallTimeout(dest, "stop", timeout)
    if not same_reason(down.reason, reason):
        raise CallError(down.reason, dest)


def ancestors(process: Process) -> tuple[Any, ...]:
    """Return the chain of starters, nearest first, by name where they have one; it ends where one has died."""
    stored = (process.pdict or {}).get(_ANCESTORS)
    return stored if stored is not None else _chain(process)


def was_started_here(process: Process) -> bool:
    """Tell whether this module started the process, so that it knows its ancestors."""
    return _ANCESTORS in (process.pdict or {})


def initial_call(process: Process) -> Any:
    """Return what the process was started to run, as text: `module:Class.init` or `module:function`."""
    stored = (process.pdict or {}).get(_INITIAL_CALL)
    if stored is not None:
        return stored
    kind = type(process.behaviour)
    if hasattr(kind, "init"):
        return f"{kind.__module__}:{kind.__qualname__}.init"
    return _info(process, "initial_call")["initial_call"]


# ---------------------------------------------------------------------------------- for the behaviours above this


def claim_name(name: Name | None) -> None:
    """Raise AlreadyStarted if a living process has the name. (Nothing can take it before the spawn that follows.)"""
    if name is not None:
        holder = kernel.whereis(name)
        if holder is not None:
            raise AlreadyStarted(holder)


def await_start(
    pid: Process, mark: Any, timeout: float | None, *, link: bool, refs: list[Ref] | None = None
) -> Any:
    """Wait for a new child's word on its start. Return the acknowledged value; the Ignore if it ignored.

    `mark` is a receive mark from before the spawn. With `refs`, the child is monitored from before its first step, and
    the ref put there if it comes up. When this raises StartError, the child is dead, its name is free, and no Exit or
    Down of it is in the caller's mailbox.
    """
    watch = kernel.monitor(pid) if refs is not None else None
    started = False
    try:
        answer = kernel.call(pid, START, timeout)
        started = answer.__class__ is Acknowledged
    except CallError as error:
        reason = error.reason
        if kernel.is_alive(pid):  # too slow; its own exit reason may be "timeout" too
            reason = TIMEOUT_REASON
            if link:
                kernel.unlink(pid)
            kernel.exit(pid, KILL)
        if link:
            _flush_exit(pid, mark)
        raise StartError(reason) from None
    finally:
        if watch is not None and refs is not None:
            if started:
                refs.append(watch)
            else:
                kernel.demonitor(watch, flush=True)
    if started:
        return answer.value
    # The child ends by itself, right after its word.
    ref = kernel.monitor(pid)
    kernel.receive_match(lambda m: m.__class__ is Down and m.ref is ref, None, mark)
    if link:
        _flush_exit(pid, mark)
    if answer.reason.__class__ is Ignore:
        return answer.reason
    raise StartError(answer.reason)


def crash_report(process: Process, reason: Any, *, messages: Any = None) -> CrashReport:
    """Describe a process that is about to end. `messages`: shown instead of its queue. Touches no other process."""
    info = _info(
        process,
        "registered_name", "message_queue_len", "links", "dictionary", "trap_exit", "status", "label", "memory",
    )  # fmt: skip
    if messages is None:
        messages = queued(process)
    return CrashReport(
        initial_call=initial_call(process),
        pid=process,
        name=info["registered_name"],
        reason=reason,
        ancestors=ancestors(process),
        message_queue_len=info["message_queue_len"],
        messages=messages,
        links=tuple(info["links"]),
        dictionary=_clean(info["dictionary"]),
        trap_exit=info["trap_exit"],
        status=info["status"],
        memory=info["memory"] or 0,
        process_label=info["label"],
        neighbours=_neighbours(process, info["links"]),
    )


def queued(process: Process) -> tuple[Any, ...]:
    """Return the first few messages of a process's queue, as reports show them."""
    return tuple(_info(process, "messages")["messages"][:MAX_MESSAGES])


def report_crash(process: Process, reason: Any) -> None:
    """Log a crash report if `reason` is a failure."""
    if is_failure(reason) and is_wanted(CrashReport):
        emit(crash_report(process, reason))


# ----------------------------------------------------------------------------------------------------- internals


def _start(
    fn: Callable[..., Any], args: tuple[Any, ...], timeout: float | None, name: Name | None, *, link: bool,
    refs: list[Ref] | None = None,
) -> tuple[Process, Any]:  # fmt: skip
    claim_name(name)
    mark = kernel.receive_mark()
    pid = kernel.spawn_opt(_main, _family(), fn, args, True, link=link, name=name)
    value = await_start(pid, mark, timeout, link=link, refs=refs)
    if value.__class__ is Ignore:
        return pid, None
    return pid, (pid if value is None else value)


def _main(family: tuple[Any, ...], fn: Callable[..., Any], args: tuple[Any, ...], started: bool) -> None:
    """The first function of a process started here."""
    kernel.put(_ANCESTORS, family)
    kernel.put(_INITIAL_CALL, f"{fn.__module__}:{fn.__qualname__}")
    if started:
        kernel.put(_STARTER, kernel.receive_match(lambda m: m.__class__ is Call and m.request is START))
    try:
        fn(*args)
    except ProcessExit as exit_:
        if exit_.__class__ is ProcessExit:  # a Killed process is dead already: no report, nothing to read
            report_crash(kernel.self_(), exit_.reason)
        raise


def _family() -> tuple[Any, ...]:
    me = kernel.self_()
    return (me.name or me, *ancestors(me))[:MAX_ANCESTORS]


def _chain(process: Process) -> tuple[Any, ...]:
    """The chain of parents that still live; it ends at one that is dead or that this module started."""
    chain: list[Any] = []
    while len(chain) < MAX_ANCESTORS:
        info = kernel.process_info(process, "parent")
        if info is None or info["parent"] is None:
            break
        process = info["parent"]
        chain.append(process.name or process)
        stored = (process.pdict or {}).get(_ANCESTORS)
        if stored is not None:
            return (*chain, *stored)[:MAX_ANCESTORS]
    return tuple(chain)


def _info(process: Process, *keys: str) -> dict[str, Any]:
    """process_info, with every key None or empty for a process that has died meanwhile."""
    info = kernel.process_info(process, *keys)
    return info if info is not None else {k: [] if k in {"links", "messages"} else None for k in keys}


def _starter() -> Call:
    call = kernel.get(_STARTER)
    if call is None:
        raise RuntimeError(
            "init_ack and init_fail answer proc_lib.start: this process was started by other means"
        )
    return call  # type: ignore[no-any-return]


def _flush_exit(pid: Process, mark: Any) -> None:
    kernel.receive_match(lambda m: m.__class__ is Exit and m.sender is pid, 0, mark)


def _clean(dictionary: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out the runtime's own keys."""
    return {k: v for k, v in (dictionary or {}).items() if not (isinstance(k, str) and k.startswith("$"))}


def _neighbours(process: Process, links: Any) -> tuple[Neighbour, ...]:
    """Linked processes that do not trap exits, breadth first: those that die with this one."""
    found: list[Neighbour] = []
    seen = {process}
    queue = deque(links)
    while queue and len(found) < MAX_NEIGHBOURS:
        pid = queue.popleft()
        if pid in seen or not isinstance(pid, Process):
            continue
        seen.add(pid)
        info = kernel.process_info(
            pid, "registered_name", "links", "trap_exit", "message_queue_len", "current_function"
        )
        if not info or info["trap_exit"]:
            continue
        found.append(
            Neighbour(
                pid=pid,
                name=info["registered_name"],
                initial_call=initial_call(pid),
                links=tuple(info["links"]),
                message_queue_len=info["message_queue_len"],
                current_function=info["current_function"],
            )
        )
        queue.extend(info["links"])
    return tuple(found)


def _on_crash(process: Process, crash: Crash) -> None:
    """A crash that no behaviour has reported: a plain process, or a callback process of its own making."""
    report_crash(process, crash)


hooks.on_crash.append(_on_crash)
