"""What a terminal asks of the control socket: a shell, inputs for it, completions, an interrupt.

    shell.attach     {}                              event "attached" {shell, ...}; lasts as long as the shell
    shell.eval       {shell, code, width, form}      events "out", "dropped", "frame"; the answer is a view
    shell.complete   {shell, text}                   {start, names}: what may stand from `start` on
    shell.interrupt  {shell}                         once: ends the input; twice: the process that runs it

A shell belongs to the connection that attached it. While an input runs, a terminal sends nothing but an interrupt: a node
whose loop is held by the input takes any byte on the socket for one (see `shell_evaluator`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import kernel
from runtime.admin import commands
from runtime.admin.operations import Denied, Operations, Request
from runtime.admin.shell import INTERRUPT, NAME, Evaluate, Shell
from runtime.admin.shell_audit import InputLog
from runtime.admin.shell_complete import complete
from runtime.admin.shell_text import MAX_INPUT
from runtime.kernel import CallError, Process, monitor, receive_match, self_
from runtime.observe.texts import brief
from runtime.otp import dynamic_supervisor
from runtime.otp.child_spec import ChildSpec

__all__ = ["ShellOperations"]

# Types


@dataclass(slots=True)
class _Attached:
    """A shell. `coming`: inputs that are being written down; `is_early`: an interrupt came before they could begin."""

    keeper: Process
    connection: Any
    namespace: dict[str, Any]
    coming: int = 0
    is_early: bool = False


class ShellOperations:
    """The operations, and which shells there are. `log`: where inputs are written; None: nowhere.

    `is_remote`: whether holders of client certificates have the right to a shell, too.
    """

    def __init__(self, log: Path | None, is_remote: bool = False) -> None:
        self._log = InputLog(log)
        self._is_remote = is_remote
        self._shells: dict[int, _Attached] = {}
        self._next = itertools.count(1).__next__

    def add_to(self, operations: Operations) -> None:
        """Enter all of them into the table."""
        add = operations.add
        add("shell.attach", self._attach, doc="a Python shell in this node", audited=False)
        add("shell.eval", self._evaluate, doc="evaluate an input: {shell, code, width, form}", audited=False)
        add("shell.complete", self._complete, doc="complete a name: {shell, text}", audited=False)
        add("shell.interrupt", self._interrupt, doc="interrupt an input: {shell}", audited=False)

    # handlers: each runs in a process of its own

    def _attach(self, request: Request) -> dict[str, Any]:
        if not (request.who.is_local or self._is_remote):
            self._log.note(str(request.who), 0, "refused: admin.remote_shell is off")
            raise Denied(
                "denied",
                "this node has its shell for its own machine only: admin.remote_shell = true opens it to "
                "whoever may control it",
            )
        number = self._next()
        namespace = commands.namespace()
        spec = ChildSpec(
            number,
            (Shell.start_link, (self_(), number, namespace, request.connection, str(request.who))),
            restart="temporary",
        )
        try:
            keeper = dynamic_supervisor.start_child(NAME, spec)
        except dynamic_supervisor.MaxChildren:
            raise Denied("busy", "there are as many shells as may be") from None
        except CallError as error:
            raise Denied("ended", f"shells cannot be had now: {error}") from None
        assert keeper is not None
        self._shells[number] = _Attached(keeper, request.connection, namespace)
        who = str(request.who)
        try:
            self._log.put(who, number, event="attached")
            self._log.note(who, number, "attached")
            ref = monitor(keeper)
            request.progress("attached", shell=number, themes=commands.themes())
            down = receive_match(lambda message: message.__class__ is kernel.Down and message.ref == ref)
            return {"reason": f"{brief(down.reason, 6, 500)}"}
        finally:
            self._shells.pop(number, None)

    def _evaluate(self, request: Request) -> dict[str, Any]:
        number, shell = self._shell(request)
        code = request.arg("code", str)
        if len(code) > MAX_INPUT:
            raise Denied("size", f"an input has {len(code)} characters, {MAX_INPUT} is the limit")
        width = min(1000, max(20, request.arg("width", int, 100)))
        form = request.arg("form", str, "screen")
        who = str(request.who)
        shell.coming += 1
        try:
            self._log.put(who, number, input=code)
        finally:
            shell.coming -= 1
            is_early, shell.is_early = shell.is_early, False
        if is_early:
            return {"kind": "interrupted", "text": "interrupted"}
        self._log.note(who, number, code)
        started = kernel.clock.now()
        try:
            answer: dict[str, Any] = kernel.call(
                shell.keeper, Evaluate(code, width, form, request.emit), timeout=None
            )
        except CallError as error:
            answer = {"kind": "gone", "text": f"the shell ended: {brief(error.reason, 6, 500)}"}
        verdict = {"ended": answer["kind"], "seconds": round(kernel.clock.now() - started, 6)}
        if answer["kind"] == "error":
            verdict["error"] = answer["error"]
        self._log.put(who, number, **verdict)
        return answer

    def _complete(self, request: Request) -> dict[str, Any]:
        _, shell = self._shell(request)
        start, names = complete(shell.namespace, request.arg("text", str)[-2000:])
        return {"start": start, "names": names}

    def _interrupt(self, request: Request) -> None:
        _, shell = self._shell(request)
        if shell.coming:
            shell.is_early = True
        else:
            kernel.cast(shell.keeper, INTERRUPT)

    def _shell(self, request: Request) -> tuple[int, _Attached]:
        number = request.arg("shell", int)
        shell = self._shells.get(number)
        if shell is None or shell.connection is not request.connection:
            raise Denied("gone", f"this connection has no shell {number}: attach one")
        return number, shell
