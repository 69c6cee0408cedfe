"""GenServer: a process that keeps state and answers messages.

    class Counter(GenServer):
        def init(self, start):
            self.n = start

        def handle_call(self, request, sender):
            self.n += 1
            return self.n

    pid = Counter.start_link(0, name="counter")
    call(pid, "next")                                   # -> 1

The state is the object's own fields, set in `init` (`__init__` is not called). A server that waits is one small object
and no stack; its callbacks may block in plain style (call, receive, sleep, gevent I/O), and while one blocks, further
messages queue. Callbacks are looked up at each message, so new code in the class takes effect at the next one.

Where this differs from OTP: a raised exception never counts as a returned value (no `throw`); a request whose caller no
longer waits (timed out, dead) is skipped; a plain time-out is not started anew by a system message; hibernation is a
status only, since an idle process has no stack or heap to shrink.

Source: OTP gen_server; gen_server_SUITE.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NoReturn

from runtime import kernel
from runtime.kernel import (
    INTERPRETER_EXITS,
    NORMAL,
    TIMEOUT,
    Call,
    CallError,
    Cast,
    Crash,
    Exit,
    Name,
    Process,
    ProcessExit,
    Ref,
    call,
    cast,
    is_failure,
    reply,
)  # fmt: skip

from . import proc_lib
from .child_spec import ChildSpec, Restart, Shutdown, class_spec
from .outcome import (
    CONTROL,
    UNSET,
    BadReturnValue,
    Fail,
    Ignore,
    MayBeNone,
    NoReply,
    Reply,
    Stop,
    TimeoutSpec,
    Undefined,
)  # fmt: skip
from .proc_lib import Acknowledged, Failed, stop
from .requests import (
    Answer,
    Deadline,
    RequestIds,
    abcast,
    check_response,
    multi_call,
    receive_response,
    send_request,
    wait_response,
)  # fmt: skip
from .server_state import UNLINKED, fields, report_failure, report_unhandled, set_fields, shown_status
from .sys import SystemRequest, serve
from .sys_debug import Debug
from .sys_start import DebugOption, prepare

__all__ = [
    "Answer", "CallError", "Deadline", "GenServer", "RequestIds", "abcast", "call", "cast", "check_response",
    "enter_loop", "multi_call", "receive_response", "reply", "send_request", "stop", "wait_response",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class GenServer:
    """Base class of servers: override the callbacks you need. No `__init__`, no fields of its own."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines __init__, which is never called: a server is set up by init(self, ...), "
                "in its own process"
            )

    # ------------------------------------------------------------------------------------------- API: starting

    @classmethod
    def start_link(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> Process | MayBeNone:  # fmt: skip
        """Start a server linked to the caller, its parent; wait until `init(*args)` has run.

        Blocks at most `timeout` seconds (None: for ever). Returns the pid, or None when init returned Ignore(); who
        starts a server that never does is not made to check (see MayBeNone).
        `options`: further ones of spawn (priority, watermarks, label). `debug`: what of it to trace, log, count from the
        first message on (see sys_start).

        Raises:
            StartError: init failed or was too slow (reason "timeout"); process and name are gone, and no Exit message
                of it will come. A caller that does not trap exits dies with the child instead, as in OTP, unless
                init returned Fail(reason), which is for expected failures.
            AlreadyStarted: the name is taken (`.pid`).
        Source: OTP gen_server:start_link/4; gen_server_SUITE start, loop_start_fail, otp_7669.
        """
        return _start(cls, args, name, timeout, options, debug, link=True)

    @classmethod
    def start(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> Process | MayBeNone:  # fmt: skip
        """As start_link, without link or parent."""
        return _start(cls, args, name, timeout, options, debug, link=False)

    @classmethod
    def start_monitor(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> tuple[Process, Ref] | MayBeNone:  # fmt: skip
        """As start, and monitor the server: returns (pid, ref), or None when ignored."""
        refs: list[Ref] = []
        pid = _start(cls, args, name, timeout, options, debug, link=False, refs=refs)
        return None if pid is None else (pid, refs[0])

    @classmethod
    def child_spec(
        cls, *args: Any, id: Hashable = None, restart: Restart = "permanent", shutdown: Shutdown = None,
        significant: bool = False, **start: Any,
    ) -> ChildSpec:  # fmt: skip
        """Return the spec of a child that `start_link(*args, **start)` starts: `Counter.child_spec(0, name="c")`.

        The id is the name it is started under, if that is a string, else the class's name. A supervisor that is given
        the class, or (class, args) or (class, args, kwargs), asks this method: override it for other defaults.
        Source: Elixir GenServer, child_spec/1.
        """
        return class_spec(
            cls, args, start, id=id, restart=restart, shutdown=shutdown, significant=significant
        )

    # ----------------------------------------------------------------------------------------------- callbacks

    def init(self, *args: Any) -> Any:
        """Set the state up. Return None | NoReply(options) | Ignore() | Stop(reason) | Fail(reason)."""
        if args:
            raise TypeError(
                f"{type(self).__qualname__} was started with {len(args)} argument(s): it defines no init(self, ...)"
            )

    def handle_call(self, request: Any, sender: Call) -> Any:
        """Answer a `call`. Return the reply, or Reply(...), NoReply(...), Stop(...).

        `sender` is the open call: `reply(sender, value)` answers it later, from any process.
        """
        raise Undefined(self, "handle_call")

    def handle_cast(self, request: Any) -> Any:
        """Handle a `cast`. Return None | NoReply(...) | Stop(reason)."""
        raise Undefined(self, "handle_cast")

    def handle_info(self, message: Any) -> Any:
        """Handle any other message: Exit, Down, Timeout, TIMEOUT, what `send` sends. Returns as handle_cast.

        By default: logs a warning and goes on.
        """
        report_unhandled(self, message)

    def handle_continue(self, value: Any) -> Any:
        """Go on with what a callback put off by `continue_=value`, before any queued message. As handle_cast."""
        raise Undefined(self, "handle_continue")

    def terminate(self, reason: Any) -> Any:
        """Clean up. Runs when a callback returns Stop or raises, on `stop`, and, in a server that traps exits, on its
        parent's exit. Does not run when an exit signal ends the process.
        """

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Bring the fields into the form that this code wants. If it raises, the old state stays.

        A release of code calls it when the `__vsn__` of the class's module changes: `old_version` is the former one, None
        when the module had none (so the first is best written `case None | 1:`). When a release is taken back, the newer
        code is asked, with ("down", the version it goes back to, or None). It runs between two messages, for all servers
        concerned in one step of the loop: it cannot wait, call or ask for `self_()`.
        """
        raise Undefined(self, "code_change")

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        """Return `status` as people may see it, in get_status and in reports: hide secrets here.

        Keys, where they apply: state (the fields by name, a copy), message (the last), reason, messages (queued).
        """
        return status

    # ------------------------------------------------------------------------------- what the kernel and sys call

    def on_message(self, process: Process, message: Any) -> None:
        """Handle one message of the mailbox. The hot path: keep it small."""
        try:
            if process.control is not None and not _admit(self, process, message):
                return
            kind = message.__class__
            if kind is Call:
                if message.process is None:  # its caller has gone: do not do the work
                    return
                request = message.request
                if request.__class__ is SystemRequest:
                    _system(self, process, message)
                    return
                result = self.handle_call(request, message)
                if result.__class__ in _SPECIAL:
                    _after_call(self, process, message, result)
                else:
                    reply(message, result)
            elif kind is Cast:
                result = self.handle_cast(message.request)
                if result is not None:
                    _after(self, process, message, result, "handle_cast")
            else:
                _info(self, process, message)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises, terminate and the report come first
            _failed(self, process, message, error)

    def system_get_state(self) -> dict[str, Any]:
        return fields(self)

    def system_replace_state(self, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        new = change(fields(self))
        if not isinstance(new, dict):
            raise TypeError(f"a GenServer's state is a dict of its fields, not {type(new).__qualname__}")
        set_fields(self, new)
        return dict(new)

    def system_code_change(self, module: Any, old_version: Any, extra: Any) -> None:
        before = fields(self)
        try:
            self.code_change(old_version, extra)
        except BaseException:
            set_fields(self, before)
            raise

    def system_status(self) -> dict[str, Any]:
        control = kernel.self_().control
        status: dict[str, Any] = {"state": shown_status(self, state=fields(self))["state"]}
        if control is not None:
            status.update(hibernated=control.hibernated, held=len(control.held or ()))
        return status

    def system_set_debug(self, debug: Debug | None) -> None:
        process = kernel.self_()
        control = process.control
        if control is None:
            control = process.control = _Control()
        control.debug = debug
        control.tidy(process)

    def system_terminate(self, reason: Any) -> NoReturn:
        _end(self, kernel.self_(), reason, None)


# ----------------------------------------------------------------------------------------------------------- API


def enter_loop(server: GenServer, outcome: NoReply | None = None, *, name: Name | None = None) -> NoReturn:
    """Make the calling process, which has initialised itself, run `server` from now on. Never returns.

    For processes started by `proc_lib.start_link` and the like that have something to do before they serve. The
    process keeps its stack. `outcome`: what init could have returned.

    Exits: process_was_not_started_by_proc_lib; process_not_registered, when it does not have the `name` it claims.
    Source: OTP gen_server:enter_loop/5; gen_server_SUITE spec_init, otp_5854.
    """
    process = kernel.self_()
    if not proc_lib.was_started_here(process):
        raise ProcessExit("process_was_not_started_by_proc_lib")
    if name is not None and kernel.whereis(name) is not process:
        raise ProcessExit("process_not_registered")
    try:
        if outcome is not None:
            _after(server, process, None, outcome)
    except BaseException as error:  # noqa: BLE001 - as in on_message
        _failed(server, process, None, error)
    kernel.become(server)


# ----------------------------------------------------------------------------------------------------- internals


_SPECIAL = CONTROL | {type}
"""Results that need a look: the control values, and classes, which may be one of theirs without its parentheses."""


_MAY_RETURN = {
    "init": "None, NoReply(...), Ignore(), Stop(reason) or Fail(reason); the state is what it sets on self",
    "handle_call": "the reply, Reply(...), NoReply(...) or Stop(...)",
}


class _Control:
    """What a server has only now and then, in its process's `control` slot: that slot is None in an ordinary one."""

    __slots__ = ("armed", "debug", "held", "hibernated", "start", "suspended", "timer")

    def __init__(self) -> None:
        self.start: tuple[Any, ...] | None = None
        """The arguments of init, before it has run."""
        self.suspended = False
        self.held: deque[Any] | None = None
        """Ordinary messages that came while suspended, until they have been handled."""
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


def _start(
    cls: type[GenServer], args: tuple[Any, ...], name: Name | None, timeout: float | None,
    options: Mapping[str, Any] | None, debug: Iterable[DebugOption] | None, *, link: bool, refs: list[Ref] | None = None,
) -> Process | None:  # fmt: skip
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
    pid.control = control = _Control()
    control.start = args
    control.debug = watched
    value = proc_lib.await_start(pid, mark, timeout, link=link, refs=refs)
    return None if value.__class__ is Ignore else pid


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
        _after(server, process, None, result)
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


def _admit(server: GenServer, process: Process, message: Any) -> bool:
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
        if control.held is None:
            process.control = None
        return True
    debug.run(server, process, message, message.message if kind is _EventTimeout else message)
    return False


def _info(server: GenServer, process: Process, message: Any) -> None:
    kind = message.__class__
    if kind is Exit and _is_parent(server, process, message.sender):
        _end(server, process, message.reason, message)
    if kind is _EventTimeout:
        if not message.fired:  # overtaken
            return
        message = message.message
    result = server.handle_info(message)
    if result is not None:
        _after(server, process, message, result)


def _after_call(server: GenServer, process: Process, call: Call, result: Any) -> None:
    kind = result.__class__
    if kind is Reply:
        reply(call, result.value)
        _next(server, process, call, result)
    elif kind is NoReply:
        _next(server, process, call, result)
    elif kind is Stop:
        _end(server, process, result.reason, call, call, result.reply)
    elif kind is type and result not in CONTROL:
        reply(call, result)  # an ordinary value, after all
    else:  # also `return Stop`, the parentheses forgotten
        _end(server, process, _bad(server, "handle_call", result), call)


def _after(
    server: GenServer, process: Process, message: Any, result: Any, callback: str = "handle_info"
) -> None:
    kind = result.__class__
    if kind is NoReply:
        _next(server, process, message, result)
    elif kind is Stop:
        _end(server, process, result.reason, message)
    else:
        _end(server, process, _bad(server, callback, result), message)


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
            _after(server, process, message, result, callback)
        outcome = result
    if timeout is None and not outcome.hibernate:
        return
    control = process.control
    if control is None:
        control = process.control = _Control()
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


def _system(server: GenServer, process: Process, call: Call) -> None:
    control = process.control
    was = control is not None and control.suspended
    now = serve(call, server, process, suspended=was)
    if now == was:
        return
    control = process.control
    if now:
        if control is None:
            control = process.control = _Control()
        control.suspended = True
        return
    control.suspended = False
    held = control.held
    # Before anything newer. No system message is taken meanwhile: it is newer than all of these. What is still to come stays
    # where it is, to be seen.
    while held:
        server.on_message(process, held.popleft())
        if not len(held) & 63:
            kernel.yield_()
    control.held = None
    control.tidy(process)
    kernel.kept(process, 0)


def _is_parent(server: GenServer, process: Process, sender: Any) -> bool:
    return sender.__class__ is Process and sender.number == process.parent and not hasattr(server, UNLINKED)


def _failed(server: GenServer, process: Process, message: Any, error: BaseException) -> NoReturn:
    """A callback raised: turn it into an end with terminate and reports."""
    if isinstance(error, (*INTERPRETER_EXITS, _Ended)):
        raise error  # dead already, done already, or the interpreter's own business
    reason = error.reason if isinstance(error, ProcessExit) else Crash(error)
    _end(server, process, reason, message)


def _end(
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
