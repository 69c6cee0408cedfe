"""GenStateMachine: a process that is always in one of several states, and does with an event what that state says.

    class Door(GenStateMachine):
        def init(self, code):
            self.code = code                                      # data: the object's own fields
            return NextState("locked")

        def locked(self, kind, content):
            match kind, content:
                case Call(), ("unlock", code) if code == self.code:
                    return NextState("open", Reply(kind, "ok"), StateTimeout(10.0, "lock"))
                case Call(), ("unlock", _):
                    return Keep(Reply(kind, "wrong"))
                case "cast", "knock":
                    return Keep(Postpone())                       # comes again when the door is open
                case _:
                    return self.unhandled(kind, content)

        def open(self, kind, content): ...

    pid = Door.start_link("0000", name="door")
    call(pid, ("unlock", "0000"))                                 # -> "ok"

Two callback modes. *State functions*: a state is a string, and the method of that name handles its events,
`locked(self, kind, content)`. *handle_event*: a state is any hashable value, and `handle_event(self, kind, content,
state)` handles all events. A class that defines handle_event is of the second mode, any other of the first; the class
attribute `callback_mode` says otherwise. With the class attribute `state_enter = True` each state gets an event of kind
"enter", content the old state, before any other.

Kinds of event (`kind`): the open Call, to be answered by Reply(kind, value) or later; "cast"; "info", any other message;
"internal", which NextEvent inserts; "timeout", "state_timeout", ("timeout", name); "enter".

`Reply` and `Stop` are those of this module. A GenServer's Reply carries no call, so it is refused here as a bad action or
result; its Stop is taken, and its `reply` answers the call being handled.

A callback returns None, Keep, NextState, Repeat or Stop, with actions: see `state_machine_actions`. In which order
events happen: see `state_machine_engine`. The state is read as `self.state`. A machine that waits is two small objects
and no stack; callbacks may block in plain style, and while one blocks, messages queue.

The debug options of `sys` see, besides messages, the machine's own events as Inner, and what is put back as Postponed.

Where this differs from OTP: data changed before a callback raises stay changed; a raised exception never counts as a
returned value (no `throw`); states are compared by `==`; a state without a method is refused when it is entered, not at
its first event; a call whose caller no longer waits is skipped, also when it was postponed; None (no branch taken) is
Keep, so end a `match` with `self.unhandled`, by which an info event is a warning and any other event a crash (a call that
no branch answers is not logged: it may be answered later; if it is not, its caller's CallTimeout says that the callee is
idle); there is no change of the callback module from within; hibernation is a status only.

Source: OTP gen_statem; gen_statem_SUITE.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar, Literal, NoReturn

from runtime import kernel
from runtime.kernel import Call, Cast, Exit, Name, Process, ProcessExit, Ref

from . import proc_lib
from .child_spec import ChildSpec, Restart, Shutdown, class_spec
from .outcome import Fail, Ignore, MayBeNone, Undefined
from .state_machine_actions import (
    CAST,
    ENTER,
    INFO,
    Action,
    EventKind,
    EventTimeout,
    Hibernate,
    Keep,
    NamedTimeout,
    NextEvent,
    NextState,
    Postpone,
    Repeat,
    Reply,
    Result,
    StateTimeout,
    Stop,
)  # fmt: skip
from .state_machine_engine import admit, check_state, enter_first, failed, finish, go_on, special, system
from .state_machine_errors import (
    BadActionFromStateFunction,
    BadReplyAction,
    BadReturnFromStateFunction,
    BadStateEnterAction,
    BadStateEnterReturn,
    UnhandledEvent,
    UnknownState,
)  # fmt: skip
from .state_machine_record import Due, Engine, Inner, Postponed
from .state_machine_report import fields, report_unhandled, set_fields, status_of
from .sys import SystemRequest
from .sys_debug import Debug
from .sys_start import DebugOption, prepare

__all__ = [
    "Action", "BadActionFromStateFunction", "BadReplyAction", "BadReturnFromStateFunction", "BadStateEnterAction",
    "BadStateEnterReturn", "Call", "EventKind", "EventTimeout", "Fail", "GenStateMachine", "Hibernate", "Ignore", "Inner", "Keep",
    "NamedTimeout", "NextEvent", "NextState", "Postpone", "Postponed", "Repeat", "Reply", "Result", "StateTimeout", "Stop",
    "UnhandledEvent", "UnknownState", "enter_loop",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class GenStateMachine:
    """Base class of state machines: define `init`, and a method per state or handle_event. No `__init__`.

    A state with a method cannot have the name of anything defined here (start, init, state...).
    """

    __slots__ = ("_machine_state",)

    _machine_state: Any

    callback_mode: ClassVar[Literal["state_functions", "handle_event"] | None] = None
    """None: handle_event if the class defines it, else state functions. Looked up at the start and by code_change."""
    state_enter: ClassVar[bool] = False
    """Whether states get enter calls: on a change of state, on Repeat, and in the first state."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines __init__, which is never called: a machine is set up by init(self, ...), "
                "in its own process"
            )
        if cls.callback_mode not in {None, "state_functions", "handle_event"}:
            raise TypeError(
                f"{cls.__qualname__}.callback_mode is {cls.callback_mode!r}: want 'state_functions' or 'handle_event'"
            )

    @property
    def state(self) -> Any:
        """The state the machine is in. Only results change it (and sys.replace_state)."""
        return self._machine_state

    # ------------------------------------------------------------------------------------------- API: starting

    @classmethod
    def start_link(
        cls, *args: Any, name: Name | None = None, timeout: float | None = None,
        options: Mapping[str, Any] | None = None, debug: Iterable[DebugOption] | None = None,
    ) -> Process | MayBeNone:  # fmt: skip
        """Start a machine linked to the caller, its parent; wait until `init(*args)` has run.

        The first state's enter call comes after that. Blocks at most `timeout` seconds (None: for ever). Returns the
        pid, or None when init returned Ignore() (see MayBeNone). `options`: further ones of spawn (priority, watermarks, label). `debug`:
        what of it to trace, log, count from the first message on (see sys_start).

        Raises StartError or AlreadyStarted: as GenServer.start_link. Source: OTP gen_statem:start_link/4.
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
        """As start, and monitor the machine: returns (pid, ref), or None when ignored."""
        refs: list[Ref] = []
        pid = _start(cls, args, name, timeout, options, debug, link=False, refs=refs)
        return None if pid is None else (pid, refs[0])

    @classmethod
    def child_spec(
        cls, *args: Any, id: Hashable = None, restart: Restart = "permanent", shutdown: Shutdown = None,
        significant: bool = False, **start: Any,
    ) -> ChildSpec:  # fmt: skip
        """Return the spec of a child that `start_link(*args, **start)` starts: as GenServer.child_spec."""
        return class_spec(
            cls, args, start, id=id, restart=restart, shutdown=shutdown, significant=significant
        )

    # ----------------------------------------------------------------------------------------------- callbacks

    def init(self, *args: Any) -> Any:
        """Set the fields up. Return NextState(first state, *actions) | Ignore() | Stop(reason) | Fail(reason)."""
        raise Undefined(self, "init")

    def handle_event(self, kind: Any, content: Any, state: Any) -> Any:
        """Handle an event in `state`. Return None | Keep(...) | NextState(...) | Repeat(...) | Stop(...).

        Not used with state functions; those have the same arguments (but `state`) and results.
        """
        return self.unhandled(kind, content)

    def unhandled(self, kind: EventKind, content: Any) -> Result:
        """What to do with an event that the state does not know: a warning for "info", nothing for "enter", else raise
        UnhandledEvent. Callbacks end with `return self.unhandled(kind, content)`.

        Here it returns None. A class that overrides it for all its states may return what any callback may.
        """
        if kind == INFO:
            report_unhandled(self, content)
        elif kind != ENTER:
            raise UnhandledEvent(self, kind)
        return None

    def terminate(self, reason: Any) -> Any:
        """Clean up. Runs when a callback returns Stop or raises, on `stop`, and, in a machine that traps exits, on its
        parent's exit. Does not run when an exit signal ends the process.
        """

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Bring the fields into the form that this code wants. Return None, or NextState(state) to be in another state
        from now on, without enter call or actions. If it raises, all stays as it was. By whom it is called, and what it
        may do: see GenServer.code_change.
        """
        raise Undefined(self, "code_change")

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        """Return `status` as people may see it, in get_status and in reports: hide secrets here.

        Keys, where they apply: state, data (the fields by name, a copy), event (the last), reason, queue and postponed
        (events as (kind, content)), timeouts, messages (the mailbox), message (an unhandled one).
        """
        return status

    # ------------------------------------------------------------------------------- what the kernel and sys call

    def on_message(self, process: Process, message: Any) -> None:
        """Handle one message of the mailbox. The hot path: keep it small."""
        engine = process.control
        try:
            if engine.unusual and not admit(self, process, engine, message):
                return
            sort = message.__class__
            kind: Any
            if sort is Call:
                if message.process is None:  # its caller has gone: do not do the work
                    return
                content = message.request
                if content.__class__ is SystemRequest:
                    system(self, process, engine, message)
                    return
                kind = message
            elif sort is Cast:
                kind = CAST
                content = message.request
            elif sort is Due or sort is Exit:
                event = special(self, process, engine, message)
                if event is None:
                    return
                kind, content = event
            else:
                kind = INFO
                content = message
            if engine.by_name:
                result = getattr(self.__class__, self._machine_state)(self, kind, content)
            else:
                result = self.handle_event(kind, content, self._machine_state)
            if result is not None:
                go_on(self, process, engine, kind, content, result)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises, terminate and the report come first
            failed(self, process, engine, message, error)

    def system_get_state(self) -> tuple[Any, dict[str, Any]]:
        return self._machine_state, fields(self)

    def system_replace_state(self, change: Callable[[Any], Any]) -> tuple[Any, dict[str, Any]]:
        new = change((self._machine_state, fields(self)))
        if not (isinstance(new, tuple) and len(new) == 2 and isinstance(new[1], dict)):
            raise TypeError("the state of a GenStateMachine is (state, dict of its fields)")
        check_state(self, kernel.self_().control, new[0])
        set_fields(self, new[1])
        self._machine_state = new[0]
        return new[0], dict(new[1])

    def system_code_change(self, module: Any, old_version: Any, extra: Any) -> None:
        before = fields(self)
        try:
            self.code_changed(kernel.self_(), self.code_change(old_version, extra))
        except BaseException:
            set_fields(self, before)
            raise

    def code_changed(self, process: Process, result: Any, *, in_place: bool = True) -> Callable[[], None]:
        """Take over what code_change returned: a new state, and the class's callback mode. Return how to undo that.

        Raises what is wrong with it, and changes nothing. Also called for a machine whose class has no code_change
        (None): the state it is in must be one that the code knows. Not `in_place`: the code that it is for comes only
        now, so neither can be told yet; see `code_in_place`.
        """
        engine: Engine = process.control
        before = engine.by_name, engine.enters, self._machine_state

        def undo() -> None:
            engine.by_name, engine.enters, self._machine_state = before

        try:
            if result is not None and (result.__class__ is not NextState or result.actions):
                raise TypeError(f"code_change returned {result!r}: want None or NextState(state)")
            state = self._machine_state if result is None else result.state
            if in_place:
                engine.look_up_mode(type(self))
                check_state(self, engine, state)
            self._machine_state = state
        except BaseException:
            undo()
            raise
        return undo

    def code_in_place(self, process: Process) -> None:
        """Take the callback mode from the class as it is now."""
        if process.control is not None:  # it lives
            process.control.look_up_mode(type(self))

    def system_status(self) -> dict[str, Any]:
        return status_of(self, kernel.self_().control)

    def system_set_debug(self, debug: Debug | None) -> None:
        engine = kernel.self_().control
        engine.debug = debug
        engine.refresh()

    def system_terminate(self, reason: Any) -> NoReturn:
        process = kernel.self_()
        finish(self, process, process.control, reason)

    @classmethod
    def _is_by_name(cls) -> bool:
        """Tell whether the callback mode is that of state functions."""
        if cls.callback_mode is not None:
            return cls.callback_mode == "state_functions"
        return cls.handle_event is GenStateMachine.handle_event

    _reserved: ClassVar[frozenset[str]]
    """Names that no state with a method can have."""


GenStateMachine._reserved = frozenset(dir(GenStateMachine))

# ----------------------------------------------------------------------------------------------------------- API


def enter_loop(
    machine: GenStateMachine, state: Hashable, *actions: Action, name: Name | None = None
) -> NoReturn:
    """Make the calling process, which has initialised itself, run `machine` in `state` from now on. Never returns.

    For processes started by `proc_lib.start_link` and the like that have something to do before they serve. The
    process keeps its stack. `actions`: what init could have returned with the state.

    Exits: process_was_not_started_by_proc_lib; process_not_registered, when it does not have the `name` it claims.
    Source: OTP gen_statem:enter_loop/6; gen_statem_SUITE enter_loop.
    """
    process = kernel.self_()
    if not proc_lib.was_started_here(process):
        raise ProcessExit("process_was_not_started_by_proc_lib")
    if name is not None and kernel.whereis(name) is not process:
        raise ProcessExit("process_not_registered")
    process.control = engine = Engine(linked=True)
    try:
        engine.look_up_mode(type(machine))
        check_state(machine, engine, state)
        machine._machine_state = state
        enter_first(machine, process, engine, NextState(state, *actions))
    except BaseException as error:  # noqa: BLE001 - as in on_message
        failed(machine, process, engine, None, error)
    kernel.become(machine)


# ----------------------------------------------------------------------------------------------------- internals


def _start(
    cls: type[GenStateMachine], args: tuple[Any, ...], name: Name | None, timeout: float | None,
    options: Mapping[str, Any] | None, debug: Iterable[DebugOption] | None, *, link: bool, refs: list[Ref] | None = None,
) -> Process | None:  # fmt: skip
    watched = None if debug is None else prepare(debug)
    try:
        proc_lib.claim_name(name)
        machine = object.__new__(cls)
        mark = kernel.receive_mark()
        # Nothing runs between the spawn and the first message, the start call: nobody can get in first.
        pid = kernel.spawn_callback(machine, link=link, name=name, **(options or {}))
    except BaseException:
        if watched is not None:
            watched.close()
        raise
    pid.control = engine = Engine(linked=link, start=args)
    engine.debug = watched
    value = proc_lib.await_start(pid, mark, timeout, link=link, refs=refs)
    return None if value.__class__ is Ignore else pid
