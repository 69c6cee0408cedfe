"""The node's control socket: what `[admin]` says, made into listeners, and the operations that the node itself offers.

Keys: admin.uids, admin.port, admin.host, admin.clients, admin.certificate, admin.key, admin.remote_shell; code.allowed_keys, code.bundle_age,
code.bundle_size. The socket is data_dir/admin.sock.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from runtime import kernel
from runtime.admin import commands, control, keeper, process_operations
from runtime.admin.keeper import Keeper
from runtime.admin.live_code import LiveCode
from runtime.admin.operations import Operations, Who
from runtime.admin.push_operations import PushOperations, PushSettings
from runtime.admin.recent_log import RecentLog
from runtime.admin.shell import start_shells
from runtime.admin.shell_operations import ShellOperations
from runtime.code.bundle import Limits
from runtime.code.keys import KeyProblem
from runtime.kernel import Process
from runtime.net import ListenerConfig
from runtime.node_dashboard import Dashboard
from runtime.otp import supervisor
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.outcome import StartError
from runtime.otp.supervisor import Supervisor
from runtime.otp.supervisor_errors import StartChildError

__all__ = ["SOCKET", "start_control"]

_log = logging.getLogger("evergreen.admin")
SOCKET = "admin.sock"
SHELL_LOG = "shell.log"

# API


def start_control(node: Any, services: Process, code: LiveCode | None) -> Operations:
    """Start the control socket as the last of the node's services; return its table, for others to add to.

    It ends by itself if it cannot go on (its listeners crash again and again): the node does not end with it, and `keeper`
    starts it again.
    Raises StartError with a ListenError or CertificateError inside.
    """
    config = node.config
    operations = Operations()
    if code is not None:
        place = config.text("code.allowed_keys")
        limits = Limits(bundle=config.integer("code.bundle_size"), age=config.number("code.bundle_age"))
        settings = PushSettings(node.data_dir / "code" / "keys", Path(place) if place else None, limits)
        problem = kernel.blocking(_prepare, settings)  # some fsyncs at the first start
        if problem is not None:
            raise problem
        PushOperations(code, settings).add_to(operations)
    uids = frozenset(config.items_of("admin.uids"))
    commands.set_node(node)
    logging.getLogger().addHandler(RecentLog())
    shells = ShellOperations(node.data_dir / SHELL_LOG, config.flag("admin.remote_shell"))
    shells.add_to(operations)
    process_operations.add_to(operations)
    audit = _Audit(code) if code is not None else control.log_only
    context = control.Context(operations, uids, audit)
    dashboard = Dashboard(node, operations, audit) if config.integer("admin.http_port") >= 0 else None
    listeners = [control.unix_listener(str(node.data_dir / SOCKET), context)]
    if config.integer("admin.port"):
        own = config.text("admin.certificate") or str(node.certificates.certificate)
        key = config.text("admin.key") or str(node.certificates.key)
        where = config.text("admin.host"), config.integer("admin.port")
        listeners.append(control.tls_listener(*where, own, key, config.text("admin.clients"), context))
    more = dashboard.specs() if dashboard is not None else []
    spec = ChildSpec(
        "control", (_start, (listeners, more)), restart="temporary", type="supervisor", shutdown=5.0
    )
    try:
        supervisor.start_child(services, spec)
    except StartChildError as error:
        raise StartError(error.reason) from None
    looked_after = ChildSpec("admin_keeper", (Keeper.start_link, (services, spec), {"name": keeper.NAME}))
    supervisor.start_child("observers", looked_after)
    if config.integer("admin.port"):
        node.announce("admin", *where, "control, by mutual TLS")
    if dashboard is not None:
        dashboard.announce()
    return operations


# Internals


def _start(listeners: list[ListenerConfig], more: list[ChildSpec]) -> Process | None:
    """The supervisor of shells may be ended by one: it comes up again, beside what lets people in."""
    specs = [
        ChildSpec("shells", (start_shells, ()), type="supervisor", shutdown=2.0),
        ChildSpec("listeners", (control.start_link, (listeners,)), type="supervisor", shutdown=5.0),
        *more,
    ]
    return Supervisor.start_link_with(SupFlags(intensity=5, period=60.0), specs, name="admin")


def _prepare(settings: PushSettings) -> KeyProblem | None:
    """In a thread, which would print what is raised."""
    try:
        settings.prepare()
    except KeyProblem as problem:
        return problem.with_traceback(None)
    return None


class _Audit:
    """Writes what was done into the release log, in the process of the request, which may wait for the disk."""

    def __init__(self, code: LiveCode) -> None:
        self._code = code

    def __call__(self, who: Who, operation: str, what: str, verdict: str, changes: bool) -> None:
        error = kernel.blocking(self._note, str(who), operation, what, verdict, changes)
        if error is not None:
            _log.error("the release log cannot be written: %s", error)

    def _note(self, who: str, operation: str, what: str, verdict: str, changes: bool) -> OSError | None:
        try:
            self._code.log.note_operation(who, operation, what, verdict, durable=changes)
        except OSError as error:  # the log has it; and the answer must not wait for a disk to be repaired
            return error.with_traceback(None)
        return None
