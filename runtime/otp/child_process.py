"""One child's process: starting it, stopping it, and stopping many at once.

Theory of operation
-------------------
Stopping is: exit signal, wait for the end, kill when the time is over. The end is seen by a monitor, not by the
link's EXIT: a child that called unlink() would never send one and the supervisor would wait for ever.

The link is kept until the child is gone: if the supervisor itself is killed while it waits, a child that is still
cleaning up must not survive it. The child's EXIT, which therefore still arrives, is not fetched out of the mailbox
(that would be a scan of everything queued, per child): the supervisor no longer knows the pid and ignores it.

Most children do not trap exits and wait idle; for those the signal is death at once, decided before `exit` returns,
and neither monitor nor wait is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from runtime.kernel import (
    KILL,
    KILLED,
    NOPROC,
    SHUTDOWN,
    TIMEOUT,
    Crash,
    Down,
    Killed,
    Pid,
    Process,
    ProcessExit,
    Ref,
    Timeout,
    cancel_timer,
    exit,
    is_alive,
    is_failure,
    monitor,
    receive,
    receive_mark,
    receive_match,
    same_reason,
    self_,
    start_timer,
)
from runtime.otp.child_spec import BRUTAL_KILL, INFINITY, ChildSpec, Start
from runtime.otp.outcome import AlreadyStarted, StartError

__all__ = ["NotStarted", "is_clean_stop", "start_process", "stop_process", "stop_processes"]

_log = logging.getLogger("evergreen.supervisor")

# ---------------------------------------------------------------- types

How = Any  # ChildSpec.shutdown: float seconds, INFINITY or BRUTAL_KILL


class NotStarted(Exception):
    """A start function failed: `.reason`."""

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason


# ---------------------------------------------------------------- API


def start_process(start: Start, more: tuple[Any, ...] = ()) -> tuple[Pid | None, Any]:
    """Call a start function; return (pid or None, what the caller of start_child is to get).

    Raises NotStarted with the reason, whatever way the function failed; a start function may do anything, and
    nothing that it does may end the supervisor, except killing it. A child that is not linked is worth a warning.
    """
    function, args, kwargs = start
    try:
        result = function(*args, *more, **kwargs) if kwargs else function(*args, *more)
    except Killed:
        raise
    except AlreadyStarted as error:
        raise NotStarted(("already_started", error.pid)) from None
    except (StartError, ProcessExit) as error:
        raise NotStarted(error.reason) from None
    except Exception as error:  # noqa: BLE001 - see above
        raise NotStarted(Crash(error)) from None
    if result is None:
        return None, None
    pid = result
    if isinstance(result, tuple) and len(result) == 2:
        pid = result[0]
    if not isinstance(pid, Pid):
        raise NotStarted(("bad_return_value", result))
    if isinstance(pid, Process) and is_alive(pid) and self_() not in (pid.links or ()):
        # No error, as in OTP: it may have called unlink, and that must not keep it from being stopped with the tree.
        _log.warning(
            "supervisor %r: its child %r is not linked to it, so it will not hear when that ends; "
            "started with start or spawn in place of start_link?", self_(), pid,
        )  # fmt: skip
    return pid, result


def stop_process(pid: Pid, how: How) -> Any:
    """Stop one process and return the reason it ended with. Blocks until it is gone.

    A process that had ended before gives its own reason.
    """
    exit(pid, KILL if how == BRUTAL_KILL else SHUTDOWN)
    if not is_alive(pid):
        return _reason(pid, NOPROC)
    mark = receive_mark()
    ref = monitor(pid)

    def gone(message: Any) -> bool:
        return type(message) is Down and message.ref is ref

    limit = None if how in (BRUTAL_KILL, INFINITY) else how
    down = receive_match(gone, limit, mark)
    if down is TIMEOUT:
        exit(pid, KILL)
        down = receive_match(gone, None, mark)
    return _reason(pid, down.reason)


def stop_processes(
    children: Iterable[tuple[Pid, ChildSpec]], ended: Callable[[Pid, ChildSpec, Any], None]
) -> None:
    """Stop many processes at once, with one timer per distinct shutdown time; call `ended` for each that is gone.

    Blocks until all are gone. Takes *every* message out of the mailbox while it waits, so that the work stays linear
    in the number of children: only for a supervisor that ends itself.
    """
    waiting: dict[Ref, tuple[Pid, ChildSpec]] = {}
    late: dict[float, list[Ref]] = {}
    for pid, spec in children:
        how = spec.shutdown
        exit(pid, KILL if how == BRUTAL_KILL else SHUTDOWN)
        if not is_alive(pid):
            ended(pid, spec, _reason(pid, NOPROC))
            continue
        ref = monitor(pid)
        waiting[ref] = (pid, spec)
        if isinstance(how, float) and how != INFINITY:
            late.setdefault(how, []).append(ref)
    me = self_()
    timers = {start_timer(seconds, me, seconds): refs for seconds, refs in late.items()} if waiting else {}
    while waiting:
        message = receive()
        kind = type(message)
        if kind is Down:
            gone = waiting.pop(message.ref, None)
            if gone is not None:
                ended(gone[0], gone[1], _reason(gone[0], message.reason))
        elif kind is Timeout and message.ref in timers:
            for ref in timers.pop(message.ref):
                if ref in waiting:
                    exit(waiting[ref][0], KILL)
    for timer in timers:
        cancel_timer(timer)


def is_clean_stop(spec: ChildSpec, reason: Any) -> bool:
    """Tell whether a child that was stopped ended as it should; if not, the supervisor reports shutdown_error."""
    if spec.shutdown == BRUTAL_KILL:
        if same_reason(reason, KILLED):
            return True
    elif same_reason(reason, SHUTDOWN):
        return True
    # One that may end by itself may have done so just before.
    return spec.restart != "permanent" and not is_failure(reason)


# ---------------------------------------------------------------- internals


def _reason(pid: Pid, seen: Any) -> Any:
    """The reason a process ended with: a monitor set after its death only saw `noproc`."""
    return getattr(pid, "reason", seen) if same_reason(seen, NOPROC) else seen
