"""A GenServer's state as others see it: its fields, as format_status shows them, in get_status and in reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runtime import kernel
from runtime.kernel import Call, Cast, Process

from . import proc_lib
from .reports import PASSED_ON, CrashReport, ServerReport, UnhandledMessage, emit, is_wanted

if TYPE_CHECKING:
    from .gen_server import GenServer

__all__ = [
    "UNLINKED",
    "describe",
    "fields",
    "report_failure",
    "report_unhandled",
    "set_fields",
    "shown_status",
]

UNLINKED: Final = "_GenServer_unlinked"
"""Field of a server started without a link, and no part of its state: whoever started it is no parent whose exit
would end it."""

# ----------------------------------------------------------------------------------------------------------- API


def fields(server: GenServer) -> dict[str, Any]:
    """The state: the object's fields by name, a shallow copy."""
    found = {
        name: getattr(server, name)
        for kind in type(server).__mro__
        for name in _slots(kind)
        if hasattr(server, name)
    }
    found.update(getattr(server, "__dict__", {}))
    found.pop(UNLINKED, None)
    return found


def set_fields(server: GenServer, new: Mapping[str, Any]) -> None:
    """Make `new` the server's state: fields that it does not name go. If one cannot be set, nothing has changed."""
    before = fields(server)
    try:
        _put(server, before, new)
    except BaseException:
        _put(server, fields(server), before)
        raise


def shown_status(server: GenServer, **status: Any) -> Mapping[str, Any]:
    """Return `status` through the server's format_status; if that fails, nothing of it is shown."""
    try:
        shown = server.format_status(dict(status))
        return {key: shown.get(key) for key in status}
    except PASSED_ON:
        raise
    except BaseException as error:  # noqa: BLE001 - a hook that fails, or exits, must neither leak nor hide the failure
        text = f"{describe(server)}.format_status crashed: {type(error).__qualname__}"
        return dict.fromkeys(status, text) | ({"messages": (text,)} if "messages" in status else {})


def describe(server: GenServer) -> str:
    """Return `module:Class`."""
    kind = type(server)
    return f"{kind.__module__}:{kind.__qualname__}"


def report_failure(
    server: GenServer, process: Process, reason: Any, message: Any, client: Process | None
) -> None:
    """Log the server report and the crash report of a server that ends; call it before the process dies."""
    if not (is_wanted(ServerReport) or is_wanted(CrashReport)):
        return
    queued = proc_lib.queued(process)
    shown = shown_status(
        server, state=fields(server), message=_shown(message), reason=reason, messages=queued
    )
    emit(
        ServerReport(
            name=process.name,
            pid=process,
            module=describe(server),
            reason=shown["reason"],
            last_message=shown["message"],
            state=shown["state"],
            client=client,
            client_name=client.name if client is not None else None,
            client_stack=_stack(client),
        )
    )
    emit(proc_lib.crash_report(process, shown["reason"], messages=shown["messages"]))


def report_unhandled(server: GenServer, message: Any) -> None:
    """Log that the calling process, `server`, got a message that its class has no handle_info for."""
    if is_wanted(UnhandledMessage):
        me = kernel.self_()
        shown = shown_status(server, message=message)["message"]
        emit(UnhandledMessage(name=me.name, pid=me, module=describe(server), message=shown))


# ----------------------------------------------------------------------------------------------------- internals


def _put(server: GenServer, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name in old.keys() - new.keys():
        delattr(server, name)
    for name, value in new.items():
        setattr(server, name, value)


def _shown(message: Any) -> Any:
    """What a report calls the last message: the request itself, without its envelope."""
    return message.request if isinstance(message, (Call, Cast)) else message


def _stack(client: Process | None) -> str:
    if client is None:
        return ""
    info = kernel.process_info(client, "current_stacktrace")
    return "\n".join(info["current_stacktrace"]) if info is not None else ""


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))
