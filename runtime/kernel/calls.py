"""Call and reply: a question to a process, and its one answer.

The answer never goes through the caller's mailbox. The `Call` object is the request, the address for the reply and the
monitor in one: so a call costs the same with 100,000 messages queued, a late reply vanishes, and a call that timed out
leaves nothing behind. A timer and a monitor are armed only for calls that are still open when the slice ends.

`request` makes the same call without waiting: its answer becomes a message (`Response`), unless the owner waits for it
at that moment. Source: gen_server:call/3, gen_server:send_request/2, erlang:alias/1.
"""

from __future__ import annotations

import reprlib
from typing import Any, NamedTuple

from greenlet import getcurrent

from . import clock, scheduler
from .death import _remove_message
from .identity import Pid
from .reasons import CALLING_SELF, KILLED, NOPROC, NORMAL, SHUTDOWN, TIMEOUT_REASON
from .scheduler import (
    DEADQ,
    TIMEOUT,
    NotAProcess,
    Process,
    living,
    pending_calls,
    resolve,
    resume,
    self_,
    send,
    suspend,
)

__all__ = [
    "Call", "CallError", "CallTimeout", "Cast", "Request", "Response", "call", "cast", "check_response", "fail", "receive_response",
    "reply", "request", "wait_response",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class CallError(Exception):
    """A call got no answer. `reason`: timeout, noproc, calling_self, or the reason that the callee ended with."""

    def __init__(self, reason: Any, dest: Any = None) -> None:
        super().__init__(reason, dest)
        self.reason = reason
        self.dest = dest

    def __str__(self) -> str:
        if isinstance(self.reason, str):  # only strings are compared: any value may be a reason
            if self.reason == NOPROC and not isinstance(self.dest, Pid):  # a name of either kind
                return f"call to {self.dest!r} failed: no process is registered under this name"
            if self.reason in _WHY:
                return f"call to {self.dest!r} failed: {_WHY[self.reason]} ({self.reason})"
        return f"call to {self.dest!r} failed: {self.reason!r}"


class CallTimeout(CallError):
    """A call got no answer within its `seconds`. The callee may still do the work; its answer vanishes.

    `request` is what was asked; the message shows the beginning of it, as OTP's `{timeout, {gen_server, call, _}}` does.
    `idle`: the callee had nothing left to do by then, so it did take the request: one of its branches does not answer, or
    it keeps the call for later (a postponed one, too; or all, while it is suspended).
    """

    def __init__(self, dest: Any, request: Any, seconds: float | None, idle: bool = False) -> None:
        super().__init__(TIMEOUT_REASON, dest)
        self.args = (dest, request, seconds, idle)  # what it is made from again, by copy and pickle
        self.request = request
        self.seconds = seconds
        self.idle = idle

    def __str__(self) -> str:
        limit = "in time" if self.seconds is None else f"within {self.seconds:g} s"
        idle = "; the callee is idle: it took the request, and did not answer it" if self.idle else ""
        return f"call to {self.dest!r} got no answer {limit} (timeout); the request: {_brief(self.request)}{idle}"


class Call:
    """A question on its way: what the callee gets as its message, and whom it answers (OTP's From and request id).

    `process` is the caller while the call is open, else None: a callee may skip a request whose caller has gone.
    """

    __slots__ = ("delivered", "dest", "due", "error", "label", "process", "request", "timer", "value")
    # Set by `request` only, for the answer of a request may become a message; a blocking call has no use for them.
    label: Any
    delivered: bool

    def __init__(self, process: Process | None, dest: Process, request: Any, due: float | None) -> None:
        self.process = process
        self.dest = dest
        self.request = request
        self.due = due
        self.value: Any = None
        self.error: CallError | None = None
        self.timer: Any = None

    @property
    def caller(self) -> Process | None:
        """The caller's pid, or None when it no longer waits."""
        return self.process

    def failed(self, reason: Any) -> None:
        """Settle the call as failed, if it is open."""
        self._fail(CallError(reason, self.dest))

    def timed_out(self) -> None:
        """The time limit is over: settle the call, if it is open."""
        dest: Any = self.dest
        idle = dest.__class__ is Process and dest.g is None and dest.q is None and not dest.cur
        self._fail(CallTimeout(dest, self.request, self.due, idle))

    def _fail(self, error: CallError) -> None:
        p = self.process
        if p is not None:
            self.process = None
            self.error = error
            self._disarm(p)
            if p.wait is self:
                resume(p)
            else:
                self._arrived(p)

    def _disarm(self, owner: Process) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        watchers = self.dest.monitored_by
        if watchers:
            watchers.pop(self, None)
            if not watchers:
                self.dest.monitored_by = (
                    None  # an empty dict is 64 bytes in every process that was ever called
                )
        if owner.monitors:
            owner.monitors.pop(self, None)  # type: ignore[call-overload]  # a request is its own reference

    def _arrived(self, process: Process) -> None:
        """The answer is there and nobody waits for it: it becomes a message."""
        self._disarm(process)
        self.delivered = True
        send(process, Response(self))

    def __repr__(self) -> str:
        return f"<call from {self.process!r}: {self.request!r}>"


Request = Call
"""An asynchronous call is the same object; nobody waits for it yet."""


class Response(NamedTuple):
    """The message that carries the answer to a `Request`; read it with `check_response`."""

    request: Request


class Cast:
    """A message that asks for no answer (gen_server:cast/2)."""

    __slots__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request = request

    def __repr__(self) -> str:
        return f"<cast {self.request!r}>"


# ----------------------------------------------------------------------------------------------------------- API


def call(dest: Any, request: Any, timeout: float | None = 5.0) -> Any:
    """Ask `dest` and return its answer. Blocks the calling process, up to `timeout` seconds (None: without limit).

    Raises:
        CallTimeout: no answer in time; a CallError too (reason "timeout").
        CallError: noproc, calling_self, or the callee's exit reason.
        NotAProcess: the caller is none.
    """
    me = getcurrent()
    try:
        p = me.proc
    except AttributeError:
        raise NotAProcess from None
    try:
        q = dest.q
    except AttributeError:
        name, dest = dest, scheduler.names.get(dest) if isinstance(dest, str) else resolve(dest)
        if dest is None:
            raise CallError(NOPROC, name) from None
        q = dest.q
    if q is not None:
        if q is DEADQ:
            raise CallError(NOPROC, dest)
        if q is dest:
            behind = dest.take()
            if behind is None:
                raise CallError(NOPROC, dest)
            return call(behind, request, timeout)
    if dest is p:
        raise CallError(CALLING_SELF, dest)
    c = Call(p, dest, request, timeout)
    pending_calls.append(c)
    if q is None:
        dest.q = [c]
        dest.push(dest)
    else:
        q.append(c)
    try:
        while c.process is not None:
            p.wait = c
            suspend(p, me)
    finally:
        c.process = None
        if c.timer is not None or timeout is None:  # else it was never armed
            c._disarm(p)
    if c.error is not None:
        raise c.error
    return c.value


def reply(call: Call, value: Any) -> None:
    """Answer a call. The first answer counts; one that comes too late vanishes. Never blocks."""
    try:  # costs nothing until it fails
        p = call.process
    except AttributeError:
        raise TypeError(f"reply answers an open call (handle_call's `sender`), not {call!r:.200}") from None
    if p is not None:
        call.process = None
        call.value = value
        if p.wait is call:
            resume(p)
        else:
            call._arrived(p)


def fail(call: Call, reason: Any) -> None:
    """Answer a call with a failure: the caller's `call` raises CallError(reason)."""
    call.failed(reason)


def cast(dest: Any, request: Any) -> None:
    """Send a request that has no answer. Never blocks, never fails, whether or not anybody is there."""
    try:  # contextlib.suppress costs more than the cast
        send(dest, Cast(request))
    except scheduler.BadName:
        pass


def request(dest: Any, request: Any, label: Any = None) -> Request:
    """Ask without waiting; returns the request's id. Never blocks; a dead or unknown `dest` answers noproc."""
    p = living()
    try:
        target = resolve(dest)
    except scheduler.BadName:
        target = _NOBODY
    if target.q is target:
        target = _behind(target)
    r = Call(p, target, request, None)
    r.label = label
    r.delivered = False
    if target.q is DEADQ:
        r.failed(NOPROC)
        r.error = CallError(NOPROC, dest)  # with the name that was asked for
        return r
    if target.monitored_by is None:
        target.monitored_by = {}
    target.monitored_by[r] = None
    if p.monitors is None:
        p.monitors = {}
    p.monitors[r] = target  # type: ignore[index]  # its own reference: so the owner's death ends the request
    send(target, r)
    return r


def wait_response(request: Request, timeout: float | None = None) -> Any:
    """Wait for the answer. Returns it, or TIMEOUT after `timeout` seconds; the request then stays open.

    Raises CallError if the request failed. If something else ends the wait (a gevent.Timeout), the request stays open; an
    answer that came at that very moment is a message.
    """
    p = self_()
    me = getcurrent()
    timer = None
    try:
        while request.process is not None:
            if timer is None and timeout is not None:
                if timeout <= 0:
                    return TIMEOUT
                timer = clock.after(timeout, _wait_over, p, request)
            elif timer is not None and timer.fired:
                return TIMEOUT
            p.wait = request
            suspend(p, me)
    except BaseException:
        # Settled for one who was waiting, hence without a message, and then he was interrupted before he could run.
        if request.process is None and not request.delivered:
            request._arrived(p)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    return _take(p, request)


def receive_response(request: Request, timeout: float | None = None) -> Any:
    """Like `wait_response`, but a request that is not answered in time is given up: a late answer vanishes."""
    answer = wait_response(request, timeout)
    if answer is TIMEOUT:
        request.process = None
        request._disarm(self_())
    return answer


def check_response(message: Any, request: Request) -> Any:
    """Return the answer if `message` is the one to `request`, else TIMEOUT (any value may be an answer, None too).

    Raises CallError if the request failed. Source: gen_server:check_response/2 (there: no_reply).
    """
    if message.__class__ is Response and message.request is request:
        if request.error is not None:
            raise request.error
        return request.value
    return TIMEOUT


# ----------------------------------------------------------------------------------------------------- internals

_WHY = {
    NOPROC: "the process is not alive",
    CALLING_SELF: "a process that waits for its own answer would wait for ever",
    NORMAL: "the process ended before it answered",
    SHUTDOWN: "the process ended before it answered",
    KILLED: "the process was killed before it answered",
}
_request_repr = reprlib.Repr()
_request_repr.maxstring = _request_repr.maxother = 200
_brief = _request_repr.repr


class _Nobody:
    """Stands for a name that nobody has."""

    q = DEADQ
    monitored_by = None

    def __repr__(self) -> str:
        return "<nobody>"


_NOBODY: Any = _Nobody()


def _behind(alias: Any) -> Any:
    """The process that an alias stands for now. A call is its own address for the answer, and its own monitor."""
    return alias.take() or _NOBODY


def _take(p: Process, request: Request) -> Any:
    if request.delivered:
        request.delivered = False
        _remove_message(p, lambda m: m.__class__ is Response and m.request is request)
    else:
        request._disarm(p)
    if request.error is not None:
        raise request.error
    return request.value


def _wait_over(p: Process, request: Request) -> None:
    if p.wait is request:
        resume(p)


def _arm() -> None:
    """End of a slice: give the calls that are still open their time limit and their monitor."""
    calls = pending_calls[:]
    pending_calls.clear()
    for c in calls:
        if c.process is None:
            continue
        dest = c.dest
        if dest.q is DEADQ:
            c.failed(dest.reason)  # it died between the call and now
            continue
        try:
            if c.due is not None:
                c.timer = clock.after(c.due, c.timed_out)
            if dest.monitored_by is None:
                dest.monitored_by = {}
            dest.monitored_by[c] = None
        except Exception as problem:  # noqa: BLE001 - a time limit or callee that is none: the caller's error, not ours
            c.failed("bad_call")
            is_time = isinstance(c.due, int | float | None)
            c.error = problem if is_time else TypeError(f"timeout={c.due!r}: want seconds or None")


scheduler.arm_calls = _arm
