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

Here is what a server is, and the plain way of a message; what happens around the callbacks is in `server_engine`.

Source: OTP gen_server; gen_server_SUITE.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NoReturn

from runtime import kernel
from runtime.kernel import Call, CallError, Cast, Name, Process, ProcessExit, Ref, call, cast, reply

from . import proc_lib
from .child_spec import ChildSpec, Restart, Shutdown, class_spec
from .outcome import MayBeNone, NoReply, Undefined
from .proc_lib import stop
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
from .server_engine import (
    SPECIAL,
    Control,
    admit,
    after,
    after_call,
    end,
    failed,
    start_server,
    take_info,
    take_system,
)  # fmt: skip
from .server_state import fields, report_unhandled, set_fields, shown_status
from .sys import SystemRequest
from .sys_debug import Debug
from .sys_start import DebugOption

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
        return start_server(cls, args, name, timeout, options, debug, link=True)

    @classmethod
    def start(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> Process | MayBeNone:  # fmt: skip
        """As start_link, without link or parent."""
        return start_server(cls, args, name, timeout, options, debug, link=False)

    @classmethod
    def start_monitor(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> tuple[Process, Ref] | MayBeNone:  # fmt: skip
        """As start, and monitor the server: returns (pid, ref), or None when ignored."""
        refs: list[Ref] = []
        pid = start_server(cls, args, name, timeout, options, debug, link=False, refs=refs)
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
            if process.control is not None and not admit(self, process, message):
                return
            kind = message.__class__
            if kind is Call:
                if message.process is None:  # its caller has gone: do not do the work
                    return
                request = message.request
                if request.__class__ is SystemRequest:
                    take_system(self, process, message)
                    return
                result = self.handle_call(request, message)
                if result.__class__ in SPECIAL:
                    after_call(self, process, message, result)
                else:
                    reply(message, result)
            elif kind is Cast:
                result = self.handle_cast(message.request)
                if result is not None:
                    after(self, process, message, result, "handle_cast")
            else:
                take_info(self, process, message)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises, terminate and the report come first
            failed(self, process, message, error)

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
            control = process.control = Control()
        control.debug = debug
        control.tidy(process)

    def system_terminate(self, reason: Any) -> NoReturn:
        end(self, kernel.self_(), reason, None)


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
            after(server, process, None, outcome)
    except BaseException as error:  # noqa: BLE001 - as in on_message
        failed(server, process, None, error)
    kernel.become(server)
