"""The keeper of one attached shell: a supervised process that owns the names, and an evaluator that may come to grief.

Theory of operation: `shells`, a dynamic supervisor, has a keeper for each attached terminal. The keeper has an evaluating
process, gives it the inputs one after the other, and starts another one when it ends, with the same names. It watches the
request that attached it: when that ends, the connection did, and keeper and evaluator end with it. Whoever kills any of
them, or the supervisor of all, ends shells, and nothing else; the supervisor comes up again.

Ctrl-C: the first interrupts what is evaluated, at the next line or in what it waits for; a second one kills the evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from runtime import kernel
from runtime.admin import shell_waker
from runtime.admin.shell_evaluator import Done, Evaluator, Frame, Job
from runtime.admin.shell_streams import close_streams, open_streams
from runtime.kernel import KILL, Call, Down, Process, monitor, reply, self_, send, spawn_opt
from runtime.observe.texts import brief
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply, Stop

__all__ = ["INTERRUPT", "NAME", "Evaluate", "Shell", "start_shells"]

NAME: Final = "shells"
INTERRUPT: Final = "interrupt"
_MOST: Final = 32

# Types


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Request: run an input; the answer is that of `shell_evaluator.Done`, or {"kind": "ended", "text"}."""

    code: str
    width: int
    form: str
    emit: Callable[[dict[str, Any]], None]
    __handed_over__: ClassVar[bool] = True


class Shell(GenServer):
    """The keeper. Invariant: `waiting` is the call of the input that runs, None when none does."""

    def init(self, owner: Process, number: int, namespace: dict[str, Any], connection: Any, who: str) -> None:
        open_streams()
        shell_waker.start()
        self.is_open = True
        kernel.set_label(f"shell {number}")
        self.owner = monitor(owner)
        self.evaluator = Evaluator(number, namespace, connection, who)
        self.inputs = 0
        self.waiting: Call | None = None
        self.interrupts = 0
        self._begin()

    def handle_call(self, request: Any, sender: Call) -> Any:
        if self.waiting is not None:
            return {"kind": "busy", "text": "an input of this shell is being evaluated"}
        self.inputs += 1
        self.interrupts = 0
        self.waiting = sender
        self.number = self.inputs
        send(self.pid, Job(self.inputs, request.code, request.width, request.form, request.emit))
        return NoReply()

    def handle_cast(self, request: Any) -> None:
        if request == INTERRUPT and self.waiting is not None:
            self.interrupts += 1
            if self.interrupts > 1:
                kernel.exit(self.pid, KILL)
            else:
                self.evaluator.interrupt()

    def handle_info(self, message: Any) -> Any:
        if message.__class__ is Done:
            if message.number == self.inputs:
                self._answer(message.answer)
        elif message.__class__ is Frame:
            output = self.evaluator.output
            if output is not None and message.number == self.inputs:
                output.flush()
        elif message.__class__ is Down and message.ref == self.watch:
            self._answer(
                {
                    "kind": "ended",
                    "text": f"the evaluating process ended: {brief(message.reason, 6, 1000)}; names are kept",
                }
            )
            self._begin()
        elif message.__class__ is Down and message.ref == self.owner:
            return Stop("normal")
        return None

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the keeper is dead, of whatever cause. Nothing of the shell may stay."""
        pid = getattr(self, "pid", None)
        if pid is not None:
            kernel.exit(pid, KILL)
        if getattr(self, "is_open", False):
            self.is_open = False
            close_streams()
            shell_waker.stop()
        evaluator = getattr(self, "evaluator", None)
        if evaluator is not None:
            evaluator.sources.clear()

    # internals

    def _begin(self) -> None:
        # Low priority: a loop that was typed takes turns with everything else, and not the same number of them.
        self.pid, self.watch = spawn_opt(
            self.evaluator.run,
            self_(),
            monitor=True,
            priority="low",
            label=f"shell {self.evaluator.number} evaluates",
        )

    def _answer(self, answer: dict[str, Any]) -> None:
        call, self.waiting = self.waiting, None
        if call is not None:
            reply(call, answer)


# API


def start_shells() -> Process:
    """Start the supervisor of all shells, linked to the caller."""
    return DynamicSupervisor.start_link(max_children=_MOST, name=NAME)
