"""EventManager: one process with any number of handlers; each event goes to all of them.

    class Printer(EventHandler):
        def init(self, prefix):
            self.prefix = prefix

        def handle_event(self, event):
            print(self.prefix, event)

    pid = EventManager.start_link(name="news")
    add_handler(pid, Printer, "> ")                     # or (Printer, "second"): several of one class, by id
    notify(pid, "rain")

A handler is an object without a process; its state is its own fields, set in `init` (`__init__` is not called). A
handler that fails is removed, with a report; the manager and the other handlers live on. The newest handler comes first.

Where this differs from OTP: what is refused is raised as HandlerError; a handler that was removed is unlinked from its
owner (there a stale link stays); a message that no handler knows is nobody's fault and not logged; swapped-in handlers
get the old one's result as the keyword `previous`, so that one `init` serves both ways of coming in.

Source: OTP gen_event; gen_event_SUITE.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import INTERPRETER_EXITS, Call, CallError, Cast, Crash, Exit, Process, ProcessExit

from .event_handler import (
    MISSING,
    EventExit,
    EventHandler,
    EventHandlerReport,
    Handler,
    HandlerError,
    Remove,
    Swap,
    Swapped,
    checked,
    said,
)
from .gen_server import GenServer, stop
from .outcome import CONTROL, BadReturnValue, Fail, NoReply, Reply
from .reports import emit, is_wanted
from .server_state import UNLINKED, describe, fields, set_fields, shown_status

__all__ = [
    "MISSING", "EventExit", "EventHandler", "EventHandlerReport", "EventManager", "Handler", "HandlerError", "Remove",
    "Swap", "Swapped", "add_handler", "add_sup_handler", "call", "delete_handler", "notify", "send_request", "stop",
    "swap_handler", "swap_sup_handler", "sync_notify", "which_handlers",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class EventManager(GenServer):
    """The process that handlers live in. Start it with `EventManager.start_link(name=...)` and the like.

    Invariant: the manager is linked to every owner in `handlers` (and to its parent).
    """

    def init(self) -> None:
        kernel.trap_exit(True)
        self.handlers: list[_Installed] = []
        """Newest first."""

    def handle_call(self, request: Any, sender: Call) -> Any:
        kind = request.__class__
        operation = _REQUESTS.get(kind)
        if operation is None:
            kernel.fail(sender, ("bad_request", request))
            return NoReply()
        try:
            return operation(self, request, sender)
        except HandlerError as refusal:
            kernel.fail(sender, refusal)
            return NoReply()

    def handle_cast(self, request: Any) -> Any:
        return self._tell("handle_info", Cast(request))

    def handle_info(self, message: Any) -> Any:
        if message.__class__ is _Event:
            return self._tell("handle_event", message.event)
        if message.__class__ is Exit:
            self._owner_gone(message)
        return self._tell("handle_info", message)

    def terminate(self, reason: Any) -> None:
        handlers, self.handlers = self.handlers, []
        for one in handlers:
            self._close(one, "stop", "shutdown")
        for one in handlers:  # the end of the manager is no failure of those who have handlers in it
            self._unlink(one.owner)

    # ------------------------------------------------------------------------------------------- what sys calls

    def system_get_state(self) -> Any:
        return [(one.kind, one.id, fields(one.handler)) for one in self.handlers]

    def system_replace_state(self, change: Callable[[Any], Any]) -> Any:
        """One handler after the other, as (class, id, fields); where `change` fails, that handler keeps its state."""
        for one in self.handlers:
            before = (one.kind, one.id, fields(one.handler))
            try:
                kind, name, new = change(before)
                if (kind, name) == before[:2] and isinstance(new, dict):
                    set_fields(one.handler, new)
            except Exception as problem:  # noqa: BLE001 - as in OTP: a failing function changes nothing
                _log.warning("replace_state of %s failed: %r", said(one.name), problem)
        return self.system_get_state()

    def system_code_change(self, module: Any, old_version: Any, extra: Any) -> None:
        """For the handlers of `module`: a class, a module or a module's name."""
        done: list[tuple[_Installed, dict[str, Any]]] = []
        name = getattr(module, "__name__", module)
        try:
            for one in self.handlers:
                if one.kind is module or one.kind.__module__ == name:
                    done.append((one, fields(one.handler)))
                    one.handler.code_change(old_version, extra)
        except BaseException:
            for one, before in done:
                set_fields(one.handler, before)
            raise

    def code_subjects(self) -> list[Any]:
        """What a release of code may have to bring into form: the handlers."""
        return [one.handler for one in getattr(self, "handlers", ())]

    def system_status(self) -> dict[str, Any]:
        status = super().system_status()
        status["state"] = [
            (one.kind, one.id, shown_status(one.handler, state=fields(one.handler))["state"])
            for one in self.handlers
        ]
        return status

    def format_status(self, status: dict[str, Any]) -> Mapping[str, Any]:
        state = status.get("state")
        if state is not None and "handlers" in state:
            status["state"] = {**state, "handlers": [one.name for one in state["handlers"]]}
        return status

    # ------------------------------------------------------------------------------------------------ internals

    def _tell(self, callback: str, message: Any) -> Any:
        """Give an event or message to every handler."""
        hibernate = False
        for one in self.handlers[:]:
            try:
                result = getattr(one.handler, callback)(message)
            except BaseException as error:  # noqa: BLE001 - a handler's failure ends the handler, not the manager
                reason = _reason(error)
                self._remove(one, ("error", reason), reason, message, failed=True)
                continue
            if result is not None:
                hibernate = self._after(one, result, message) or hibernate
        return NoReply(hibernate=True) if hibernate else None

    def _after(self, one: _Installed, result: Any, message: Any) -> bool:
        """Do what a callback's result asks for. Return whether to hibernate."""
        kind = result.__class__
        if kind is NoReply or kind is Reply:
            return bool(result.hibernate)
        if kind is Remove:
            self._remove(one, "remove_handler", "normal")
        elif kind is Swap:
            try:
                at = self.handlers.index(one) if one in self.handlers else 0
                return self._swap(one, result.argument, result.handler, result.args, one.owner, at=at)
            except HandlerError as refusal:
                _log.error("swap of %s: %s", said(one.name), refusal)
        else:
            reason = BadReturnValue(result)
            self._remove(one, ("error", reason), reason, message, failed=True)
        return False

    def _add(
        self,
        handler: Handler,
        args: tuple[Any, ...],
        owner: Process | None,
        options: Mapping[str, Any],
        at: int = 0,
    ) -> bool:
        """Make and initialise a handler, put it in its place. Return whether to hibernate. Raises HandlerError."""
        kind, name = handler if isinstance(handler, tuple) else (handler, None)
        new = _Installed(object.__new__(kind), kind, name, owner)
        if owner is not None:
            kernel.link(owner)  # before init: an owner that ends meanwhile is heard of afterwards
        try:
            result = new.handler.init(*args, **options)
        except BaseException as error:  # noqa: BLE001 - whatever init raises is why it was not added
            reason = _reason(error)
            self._unlink(owner)
            raise HandlerError(handler, reason) from None
        if result is not None and result.__class__ is not NoReply:
            self._unlink(owner)
            raise HandlerError(handler, result.reason if result.__class__ is Fail else BadReturnValue(result))
        self.handlers.insert(at, new)
        return result is not None and result.hibernate

    def _swap(
        self, old: _Installed | None, argument: Any, handler: Handler, args: tuple[Any, ...],
        owner: Process | None, *, at: int = 0, asker: Process | None = None,
    ) -> bool:  # fmt: skip
        """Put a handler in the old one's place. `asker`: who gets the HandlerError, and need not be told otherwise."""
        previous: Any = MISSING
        if old is not None:
            previous = self._remove(old, argument, Swapped(handler, owner))
        try:
            return self._add(handler, args, owner, {"previous": previous}, at)
        except HandlerError as refusal:
            if owner is not None and owner is not asker:  # it was told that it owns the new one
                kernel.send(owner, EventExit(kernel.self_(), handler, refusal.reason))
            raise

    def _remove(
        self, one: _Installed, argument: Any, why: Any, message: Any = None, *, failed: bool = False
    ) -> Any:
        """Take a handler out, terminate it, tell. Return what its terminate returned."""
        if one not in self.handlers:  # its own callback had it removed
            return MISSING
        self.handlers.remove(one)
        result = self._close(one, argument, why)
        if failed:
            self._report(one, why, message)
        self._unlink(one.owner)
        return result

    def _close(self, one: _Installed, argument: Any, why: Any) -> Any:
        try:
            result = one.handler.terminate(argument)
        except BaseException as error:  # noqa: BLE001 - a failing clean-up is a result like another
            result = _reason(error)
        if one.owner is not None:
            kernel.send(one.owner, EventExit(kernel.self_(), one.name, why))
        return result

    def _owner_gone(self, message: Exit) -> None:
        for one in self.handlers[:]:
            if one.owner is message.sender and one in self.handlers:
                self.handlers.remove(one)
                self._close(one, ("stop", message.reason), "normal")

    def _unlink(self, owner: Process | None) -> None:
        """End the link with an owner that has no handler left; never the one with the parent."""
        if owner is None or any(one.owner is owner for one in self.handlers):
            return
        me = kernel.self_()
        if owner.number != me.parent or hasattr(self, UNLINKED):
            kernel.unlink(owner)

    def _find(self, handler: Handler) -> _Installed | None:
        name = checked(handler)
        return next((one for one in self.handlers if one.name == name), None)

    def _found(self, handler: Handler) -> _Installed:
        one = self._find(handler)
        if one is None:
            raise HandlerError(handler, "not_found")
        return one

    def _report(self, one: _Installed, why: Any, message: Any) -> None:
        if not is_wanted(EventHandlerReport):
            return
        me = kernel.self_()
        shown = shown_status(one.handler, state=fields(one.handler), message=message, reason=why)
        emit(
            EventHandlerReport(
                handler=one.name,
                manager=me.name or me,
                module=describe(one.handler),
                reason=shown["reason"],
                last_message=shown["message"],
                state=shown["state"],
            )
        )


# ----------------------------------------------------------------------------------------------------------- API
# What asks the manager blocks the caller, without limit if not said otherwise, and raises CallError when there is no
# such manager or it ends meanwhile. Source: the functions of the same names in OTP's gen_event.


def notify(manager: Any, event: Any) -> None:
    """Send an event to all handlers. Never blocks. To a dead pid: dropped. Raises BadName for a name nobody has."""
    kernel.send(manager, _Event(event))


def sync_notify(manager: Any, event: Any, timeout: float | None = None) -> None:
    """Send an event, and return when every handler has handled it (or was removed by it)."""
    kernel.call(manager, _Sync(event), timeout)


def call(manager: Any, handler: Handler, request: Any, timeout: float | None = 5.0) -> Any:
    """Ask one handler and return its reply. Raises HandlerError: not_found, or why it failed (and was removed)."""
    return _ask(manager, _Ask(checked(handler), request), timeout)


def send_request(manager: Any, handler: Handler, request: Any, label: Any = None) -> kernel.Request:
    """As `call`, without waiting; read the answer with `receive_response` and the like of gen_server.

    A refusal comes as CallError with the HandlerError as its reason.
    """
    return kernel.request(manager, _Ask(checked(handler), request), label)


def add_handler(manager: Any, handler: Handler, *args: Any) -> None:
    """Add a handler, by its class or (class, id), initialised with `args`. Raises HandlerError if init fails.

    As in OTP, a second one of the same name is no mistake: both get every event, and call, delete_handler and swap_handler
    take the newer one, until it has gone. Who wants one only asks which_handlers, or swaps it for itself.
    """
    _ask(manager, _Add(checked(handler), args, supervised=False), None)


def add_sup_handler(manager: Any, handler: Handler, *args: Any) -> None:
    """As `add_handler`, and supervise it: the caller becomes its owner, linked with the manager.

    The owner gets `EventExit(manager, handler, why)` when the handler goes; when the owner ends, the handler is removed
    by terminate(("stop", reason)). A manager that crashes takes owners with it that do not trap exits.
    """
    _ask(manager, _Add(checked(handler), args, supervised=True), None)


def delete_handler(manager: Any, handler: Handler, argument: Any = None) -> Any:
    """Remove a handler; return the result of terminate(argument), a Crash if that failed. Raises HandlerError."""
    return _ask(manager, _Delete(checked(handler), argument), None)


def swap_handler(manager: Any, old: Handler, argument: Any, new: Handler, *args: Any) -> None:
    """Replace `old`, after terminate(argument), by `new`, whose init gets `args` and that result as `previous`.

    No event gets lost between the two. The owner of a supervised handler becomes the new one's. If `old` is not there,
    `new` is added all the same (previous=MISSING). Raises HandlerError if init fails; then both are gone.
    """
    _ask(manager, _Exchange(checked(old), argument, checked(new), args, supervised=False), None)


def swap_sup_handler(manager: Any, old: Handler, argument: Any, new: Handler, *args: Any) -> None:
    """As `swap_handler`; the caller becomes the new handler's owner, as by `add_sup_handler`."""
    _ask(manager, _Exchange(checked(old), argument, checked(new), args, supervised=True), None)


def which_handlers(manager: Any, timeout: float | None = 5.0) -> list[Any]:
    """Return how the handlers are called, the newest first."""
    return list(kernel.call(manager, _Which(), timeout))


# ----------------------------------------------------------------------------------------------------- internals

_log = logging.getLogger("evergreen.event_manager")


class _Installed:
    """A handler in a manager."""

    __slots__ = ("handler", "id", "kind", "name", "owner")

    def __init__(self, handler: Any, kind: Any, id_: Any, owner: Process | None) -> None:
        self.handler: Any = handler
        self.kind = kind
        self.id = id_
        self.name = kind if id_ is None else (kind, id_)
        self.owner = owner

    def __repr__(self) -> str:
        return f"<handler {said(self.name)}>"


class _Event(NamedTuple):
    event: Any


class _Sync(NamedTuple):
    event: Any


class _Ask(NamedTuple):
    handler: Any
    request: Any


class _Add(NamedTuple):
    handler: Any
    args: tuple[Any, ...]
    supervised: bool


class _Delete(NamedTuple):
    handler: Any
    argument: Any


class _Exchange(NamedTuple):
    old: Any
    argument: Any
    new: Any
    args: tuple[Any, ...]
    supervised: bool


class _Which(NamedTuple):
    pass


_CONTROL = CONTROL | {Remove, Swap}


def _on_sync(manager: EventManager, request: _Sync, _sender: Call) -> Any:
    return Reply(None, hibernate=manager._tell("handle_event", request.event) is not None)


def _on_ask(manager: EventManager, request: _Ask, _sender: Call) -> Any:
    one = manager._found(request.handler)
    try:
        result = one.handler.handle_call(request.request)
    except BaseException as error:  # noqa: BLE001 - as in _tell; and the caller hears of it
        reason = _reason(error)
        manager._remove(one, ("error", reason), reason, request.request, failed=True)
        raise HandlerError(one.name, reason) from None
    kind = result.__class__
    if kind is Remove or kind is Swap:
        return Reply(result.reply, hibernate=manager._after(one, result, request.request))
    if kind is Reply:
        return Reply(result.value, hibernate=result.hibernate)
    if kind in CONTROL or (
        kind is type and result in _CONTROL
    ):  # also `return Remove`, the parentheses forgotten
        reason = BadReturnValue(result)
        manager._remove(one, ("error", reason), reason, request.request, failed=True)
        raise HandlerError(one.name, reason)
    return Reply(result)


def _on_add(manager: EventManager, request: _Add, sender: Call) -> Any:
    owner = sender.process if request.supervised else None
    return Reply(None, hibernate=manager._add(request.handler, request.args, owner, {}))


def _on_delete(manager: EventManager, request: _Delete, _sender: Call) -> Any:
    return Reply(manager._remove(manager._found(request.handler), request.argument, "normal"))


def _on_exchange(manager: EventManager, request: _Exchange, sender: Call) -> Any:
    old = manager._find(request.old)
    asker = sender.process
    owner = asker if request.supervised else (old.owner if old is not None else None)
    hibernate = manager._swap(old, request.argument, request.new, request.args, owner, asker=asker)
    return Reply(None, hibernate=hibernate)


def _on_which(manager: EventManager, _request: _Which, _sender: Call) -> Any:
    return Reply([one.name for one in manager.handlers])


_REQUESTS: dict[type, Callable[[EventManager, Any, Call], Any]] = {
    _Ask: _on_ask,
    _Sync: _on_sync,
    _Add: _on_add,
    _Delete: _on_delete,
    _Exchange: _on_exchange,
    _Which: _on_which,
}


def _ask(manager: Any, request: Any, timeout: float | None) -> Any:
    try:
        return kernel.call(manager, request, timeout)
    except CallError as error:
        if isinstance(error.reason, HandlerError):
            raise HandlerError(error.reason.handler, error.reason.reason) from None
        raise


def _reason(error: BaseException) -> Any:
    """Return why a handler failed; raise again what is not its failure."""
    if isinstance(error, INTERPRETER_EXITS):
        raise error
    return error.reason if isinstance(error, ProcessExit) else Crash(error)
