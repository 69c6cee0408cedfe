"""What happens around a GenServer's callbacks: start, what they returned, time-outs, suspension, the end.

Theory of operation
-------------------
`gen_server` says what a server is and takes each message; whatever is not the plain way of a call or cast comes here.

A plain server is its object and nothing else: its process's `control` slot is None, and a message costs one look at that.
What is special about it now and then is in a `Control`: the arguments of init until it has run, a time-out that is armed,
hibernation, debug options, the messages held while it is suspended. Then every message passes `admit` first, and as soon
as nothing is special any more the slot is None again (`tidy`).

A time-out is a message of its own. Any other message overtakes it: one that is no longer armed is nothing when it comes.

The end is one exception, `_Ended`, raised when terminate has run, the caller has its answer and the reports are written.
It passes through the callbacks' stack untouched and ends the process. A callback's own exception becomes one (`failed`).

Source: OTP gen_server.erl: init_it, decode_msg, handle_common_reply, terminate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from runtime import kernel
from runtime.kernel import (
    INTERPRETER_EXITS,
    NORMAL,
    TIMEOUT,
    Call,
    Crash,
    Exit,
    Name,
    Process,
    ProcessExit,
    Ref,
    is_failure,
    reply,
)  # fmt: skip

from . import proc_lib
from .outcome import CONTROL, UNSET, BadReturnValue, Fail, Ignore, NoReply, Reply, Stop, TimeoutSpec
from .proc_lib import Acknowledged, Failed
from .server_state import UNLINKED, report_failure
from .sys import SystemRequest, serve
from .sys_debug import Debug
from .sys_start import DebugOption, prepare

if TYPE_CHECKING:
    from .gen_server import GenServer

__all__ = [
    "SPECIAL", "Control", "admit", "after", "after_call", "end", "failed", "start_server", "take_info", "take_system",
]  # fmt: skip

# ----------------------------------------------------------------------------------------------------------- types

SPECIAL = CONTROL | {type}
"""Results that need a look: the control values, and classes, which may be one of theirs without its parentheses."""


class Control:
    """What a server has only now and then, in its process's `control` slot: that slot is None in an ordinary one."""

    __slots__ = ("armed", "debug", "held", "hibernated", "start", "suspended", "timer")

    def __init__(self) -> None:
        self.start: tuple[Any, ...] | None = None
        """The arguments of init, before it has run."""
        self.suspended = False
        self.held: deque[Any] | None = None
        """Ordinary messages that came while suspended, until it is resumed."""
        self.hibernated = False
        self.armed: _EventTimeout | None = None
        self.timer: Any = None
        self.debug: Debug | None = None
        """The debug options that are on: see sys_debug."""

    def tidy(self, process: Process) -> None:
        """Leave the slot if there is nothing special about the server any more."""
        if not (self.armed or self.debug or self.held is not None or self.hibernated or self.suspended):
            process.control = None

    def on_exit(self, process: Process | None = None, _reason: Any = None) -> None:
        """The process is dead, or the time-out is cancelled: let go of the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if process is not None and self.debug is not None:
            self.debug.on_exit()


class _EventTimeout:
    """The message of an event time-out. One that is no longer armed was overtaken, and is nothing."""

    __slots__ = ("fired", "message")

    def __init__(self, message: Any) -> None:
        self.message = message
        self.fired = False


class _Ended(ProcessExit):
    """The end of a server, its terminate and its reports done: passes through the callbacks' stack untouched."""


# ------------------------------------------------------------------------------------------------------------- API


def start_server(
    cls: type[GenServer], args: tuple[Any, ...], name: Name | None, timeout: float | None,
    options: Mapping[str, Any] | None, debug: Iterable[DebugOption] | None, *, link: bool, refs: list[Ref] | None = None,
) -> Process | None:  # fmt: skip
    """Spawn a server of this class, wait until its init has run; see GenServer.start_link. `refs`: takes a monitor, if given."""
    watched = None if debug is None else prepare(debug)
    try:
        proc_lib.claim_name(name)
        server = object.__new__(cls)
        if not link:
            setattr(server, UNLINKED, True)
        mark = kernel.receive_mark()
        # Nothing runs between the spawn and the first message, the start call: nobody can get in first.
        pid = kernel.spawn_callback(server, link=link, name=name, **(options or {}))
    except BaseException:
        if watched is not None:
            watched.close()
        raise
    pid.control = control = Control()
    control.start = args
    control.debug = watched
    value = proc_lib.await_start(pid, mark, timeout, link=link, refs=refs)
    return None if value.__class__ is Ignore else pid


def admit(server: GenServer, process: Process, message: Any) -> bool:
    """A message for a server in some special condition. Return whether it is to be handled as usual."""
    control = process.control
    if control.start is not None:
        _begin(server, process, message)
        return False
    debug = control.debug
    if debug is not None and debug.inside:  # admitted already, and on its way through the debug options
        return True
    if isinstance(message, Call) and message.request.__class__ is SystemRequest:
        return True
    if control.suspended:
        if message.__class__ is Exit and _is_parent(server, process, message.sender):
            return True
        if control.held is None:
            control.held = deque()
        control.held.append(message)
        kernel.kept(process, len(control.held))
        return False
    kind = message.__class__
    if kind is _EventTimeout and message is not control.armed:
        return False
    if kind is Call and message.process is None:  # skipped: no callback will set the time-out anew
        return False
    # Any message cancels the time-out and ends hibernation.
    control.on_exit()
    if kind is _EventTimeout:
        message.fired = True
    control.armed = None
    control.hibernated = False
    if debug is None:
        process.control = None
        return True
    debug.run(server, process, message, message.message if kind is _EventTimeout else message)
    return False


def take_info(server: GenServer, process: Process, message: Any) -> None:
    """Handle what is neither call nor cast: the parent's exit, a time-out, anything else that was sent."""
    kind = message.__class__
    if kind is Exit and _is_parent(server, process, message.sender):
        end(server, process, message.reason, message)
    if kind is _EventTimeout:
        if not message.fired:  # overtaken
            return
        message = message.message
    result = server.handle_info(message)
    if result is not None:
        after(server, process, message, result)


def after_call(server: GenServer, process: Process, call: Call, result: Any) -> None:
    """Do what handle_call returned, where that is more than the reply."""
    kind = result.__class__
    if kind is Reply:
        reply(call, result.value)
        _next(server, process, call, result)
    elif kind is NoReply:
        _next(server, process, call, result)
    elif kind is Stop:
        end(server, process, result.reason, call, call, result.reply)
    elif kind is type and result not in CONTROL:
        reply(call, result)  # an ordinary value, after all
    else:  # also `return Stop`, the parentheses forgotten
        end(server, process, _bad(server, "handle_call", result), call)


def after(
    server: GenServer, process: Process, message: Any, result: Any, callback: str = "handle_info"
) -> None:
    """Do what another callback returned, where that is more than None; `callback`: its name, for whoever returned nonsense."""
    kind = result.__class__
    if kind is NoReply:
        _next(server, process, message, result)
    elif kind is Stop:
        end(server, process, result.reason, message)
    else:
        end(server, process, _bad(server, callback, result), message)


def take_system(server: GenServer, process: Process, call: Call) -> None:
    """Serve a request of `sys`. A server that is resumed handles first what it held."""
    control = process.control
    was = control is not None and control.suspended
    now = serve(call, server, process, suspended=was)
    if now == was:
        return
    control = process.control
    if now:
        if control is None:
            control = process.control = Control()
        control.suspended = True
        return
    control.suspended = False
    held, control.held = control.held, None
    control.tidy(process)
    if held:
        kernel.put_back(process, held)


def failed(server: GenServer, process: Process, message: Any, error: BaseException) -> NoReturn:
    """A callback raised: turn it into an end with terminate and reports."""
    if isinstance(error, (*INTERPRETER_EXITS, _Ended)):
        raise error  # dead already, done already, or the interpreter's own business
    reason = error.reason if isinstance(error, ProcessExit) else Crash(error)
    end(server, process, reason, message)


def end(
    server: GenServer,
    process: Process,
    reason: Any,
    message: Any,
    call: Call | None = None,
    value: Any = UNSET,
) -> NoReturn:
    """Run terminate, answer, report, exit: in this order."""
    client = message.process if isinstance(message, Call) else None
    if process.control is not None:
        process.control.on_exit()
    try:
        server.terminate(reason)
    except INTERPRETER_EXITS:
        raise
    except ProcessExit as exit_:
        reason = exit_.reason
    except BaseException as error:  # noqa: BLE001 - a failing terminate gives the exit its reason
        reason = Crash(error)
    if call is not None and value is not UNSET:
        reply(call, value)
    if is_failure(reason):
        report_failure(server, process, reason, message, client)
    raise _Ended(reason) from None


# ------------------------------------------------------------------------------------------------------- internals

_MAY_RETURN = {
    "init": "None, NoReply(...), Ignore(), Stop(reason) or Fail(reason); the state is what it sets on self",
    "handle_call": "the reply, Reply(...), NoReply(...) or Stop(...)",
}


def _begin(server: GenServer, process: Process, call: Call) -> None:
    """The first message: run init and tell the starter."""
    control = process.control
    args, control.start = control.start, None
    control.tidy(process)
    try:
        result = server.init(*args)
    except BaseException as error:
        if isinstance(error, INTERPRETER_EXITS):
            raise
        reason = error.reason if isinstance(error, ProcessExit) else Crash(error)
        proc_lib.report_crash(process, reason)
        raise _Ended(reason) from None
    kind = result.__class__
    if result is None:
        reply(call, Acknowledged())
    elif kind is NoReply:
        reply(call, Acknowledged())
        after(server, process, None, result)
    elif kind is Ignore:
        reply(call, Failed(result))
        raise _Ended(NORMAL)
    elif kind is Fail:
        reply(call, Failed(result.reason))
        raise _Ended(NORMAL)
    else:
        reason = result.reason if kind is Stop else _bad(server, "init", result)
        proc_lib.report_crash(process, reason)
        raise _Ended(reason)


def _next(server: GenServer, process: Process, message: Any, outcome: Any) -> None:
    """Do what the callback asked for: continue, hibernate, or wait with a time-out."""
    while True:
        timeout: TimeoutSpec = outcome.timeout
        if outcome.continue_ is not UNSET:
            callback, result = "handle_continue", server.handle_continue(outcome.continue_)
        elif timeout.__class__ is tuple and timeout[0] <= 0:
            callback, result = "handle_info", server.handle_info(timeout[1])
        else:
            break
        if result is None:
            return
        if result.__class__ is not NoReply:
            after(server, process, message, result, callback)
        outcome = result
    if timeout is None and not outcome.hibernate:
        return
    control = process.control
    if control is None:
        control = process.control = Control()
    control.hibernated = outcome.hibernate
    if timeout is not None:
        seconds, value = timeout if isinstance(timeout, tuple) else (timeout, TIMEOUT)
        control.armed = armed = _EventTimeout(value)
        if seconds <= 0:
            kernel.send(process, armed)  # behind all that is queued, any of which cancels it
        else:
            control.timer = kernel.clock.after(seconds, kernel.send, process, armed)


def _bad(server: GenServer, callback: str, value: Any) -> BadReturnValue:
    """The exit reason of a callback that returned what means nothing there."""
    wanted = _MAY_RETURN.get(callback, "None, NoReply(...) or Stop(reason)")
    if isinstance(value, type):
        wanted = f"an object: {value.__name__}(), with its parentheses"
    return BadReturnValue(value, f"{type(server).__qualname__}.{callback} may return {wanted}")


def _is_parent(server: GenServer, process: Process, sender: Any) -> bool:
    return sender.__class__ is Process and sender.number == process.parent and not hasattr(server, UNLINKED)
