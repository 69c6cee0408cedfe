"""Tiny crash servers, the start functions that make them, and what tests of supervisors need to drive them.

A worker here is a callback process without stack or state; it ends with the reason that it is sent: `end(pid, reason)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from runtime import kernel
from runtime.kernel import Exit, Pid, ProcessExit, Shutdown
from runtime.otp import dynamic_supervisor, proc_lib, supervisor
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.outcome import StartError
from runtime.otp.supervisor import Supervisor
from runtime.otp.supervisor_report import SupervisorReport
from runtime.testing import settle

FAILURE = "boom"
OWN_ENDS = ["normal", "shutdown", Shutdown("done"), FAILURE]
"""Exit reasons of a child by itself: three that are no failure, one that is."""

# ---------------------------------------------------------------- workers


class End(NamedTuple):
    """Tell a worker to end itself."""

    reason: Any


class Worker:
    """Waits; ends by itself with the reason that it is sent."""

    def on_message(self, process: Any, message: Any) -> None:
        if isinstance(message, End):
            raise ProcessExit(message.reason)


def end(pid: Pid, reason: Any = FAILURE) -> None:
    """Let a worker end itself, and wait until all that follows has happened."""
    kernel.send(pid, End(reason))
    settle()


def worker(*_args: Any, name: str | None = None) -> Pid:
    """Start function: a worker linked to the caller."""
    return kernel.spawn_callback(Worker(), link=True, name=name)


def with_extra(*_args: Any) -> tuple[Pid, str]:
    return worker(), "extra"


def ignored(*_args: Any) -> None:
    """Start function of a child that has nothing to do."""


def failing(reason: Any = FAILURE) -> Pid:
    raise StartError(reason)


def raising() -> Pid:
    raise ValueError("no")


def exiting(reason: Any = FAILURE) -> Pid:
    raise ProcessExit(reason)


def deaf() -> Pid:
    """Start function: traps exits and does not care."""

    def body() -> None:
        kernel.trap_exit(True)
        proc_lib.init_ack()
        while True:
            kernel.receive()

    return proc_lib.start_link(body)


def slow(seconds: float, reason: Any = "shutdown") -> Pid:
    """Start function: takes `seconds` to end after its supervisor's exit signal, then ends with `reason`."""

    def body() -> None:
        kernel.trap_exit(True)
        proc_lib.init_ack()
        while True:
            message = kernel.receive()
            if isinstance(message, End):
                raise ProcessExit(message.reason)
            if isinstance(message, Exit):
                if seconds:
                    kernel.sleep(seconds)
                raise ProcessExit(reason)

    return proc_lib.start_link(body)


def stubborn() -> Pid:
    """Start function: swallows everything that is thrown into it."""

    def body() -> None:
        kernel.trap_exit(True)
        proc_lib.init_ack()
        while True:
            try:
                kernel.receive()
            except BaseException:
                pass  # that is the point

    return proc_lib.start_link(body)


def unlinker(traps: bool = False) -> Pid:
    """Start function: cuts the link to its supervisor. With `traps`, ends when told to, else by the signal."""
    sup = kernel.self_()

    def body() -> None:
        kernel.trap_exit(traps)
        kernel.unlink(sup)
        proc_lib.init_ack()
        while not isinstance(kernel.receive(), Exit):
            pass

    return proc_lib.start_link(body)


class Teller:
    """Start functions that tell what happens, in order, in `events`: ("up", id) and ("down", id)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def start(self, id: Any) -> Pid:
        def body() -> None:
            kernel.trap_exit(True)
            self.events.append(("up", id))
            proc_lib.init_ack()
            while True:
                message = kernel.receive()
                if isinstance(message, Exit | End):
                    self.events.append(("down", id))
                    raise ProcessExit(message.reason)

        return proc_lib.start_link(body)


class Switch:
    """A start function that can be told to fail: while `works`, a worker; else StartError, or None if `ignores`."""

    def __init__(self, works: bool = True) -> None:
        self.works = works
        self.ignores = False
        self.attempts = 0

    def start(self, *_args: Any) -> Pid | None:
        self.attempt()
        return None if self.ignores else worker()

    def attempt(self) -> None:
        self.attempts += 1
        if not self.works:
            raise StartError("switched off")


# ---------------------------------------------------------------- driving


@contextmanager
def supervised(flags: Any = None, specs: Any = (), name: str | None = None) -> Iterator[Pid]:
    """A supervisor of the test process, which traps exits, for the length of the block; checks its invariants."""
    kernel.trap_exit(True)
    sup = Supervisor.start_link_with(flags or SupFlags(), specs, name)
    with ending(sup):
        yield sup


@contextmanager
def ending(sup: Pid) -> Iterator[Pid]:
    """Stop `sup` at the end of the block, if it still lives."""
    try:
        yield sup
        settle()
        if kernel.is_alive(sup):
            sup.behaviour.children._check()  # type: ignore[attr-defined]
    finally:
        if kernel.is_alive(sup):
            proc_lib.stop(sup)


class Later:
    """A call that blocks, made by another process, so that the test can let time pass meanwhile."""

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        self.value: Any = None
        self.error: Exception | None = None
        self.done = False

        def body() -> None:
            kernel.trap_exit(True)  # `fn` may be a start_link that fails
            try:
                self.value = fn(*args)
            except Exception as error:  # handed to the test by `result`
                self.error = error
            self.done = True

        kernel.spawn(body)
        settle()

    def result(self) -> Any:
        assert self.done, "the call has not returned"
        if self.error is not None:
            raise self.error
        return self.value


def reason_of(pid: Pid) -> Any:
    """Why a process ended; it must have."""
    settle()
    assert not kernel.is_alive(pid), f"{pid} lives"
    return pid.reason  # type: ignore[attr-defined]


def child(sup: Pid, id: Any) -> Any:
    """The pid of a child by its id: a pid, None, or RESTARTING."""
    return next(c.pid for c in supervisor.which_children(sup) if c.id == id)


def pids(sup: Pid) -> list[Any]:
    """The children's pids in start order."""
    return [c.pid for c in reversed(supervisor.which_children(sup))]


def ids(sup: Pid) -> list[Any]:
    """The children's ids in start order."""
    return [c.id for c in reversed(supervisor.which_children(sup))]


def spec(id: Any, start: Callable[..., Any] = worker, *args: Any, **options: Any) -> ChildSpec:
    """A child spec in short."""
    return ChildSpec(id, (start, args), **options)


class FromTable(Supervisor):
    """What init returns can be changed from outside: for code_change."""

    answer: Any = None

    def init(self, *_args: Any) -> Any:
        return type(self).answer


def reports(caplog: Any, context: str) -> list[SupervisorReport]:
    """The supervisor reports of one context that were logged."""
    found = [getattr(record, "report", None) for record in caplog.records]
    return [r for r in found if isinstance(r, SupervisorReport) and r.context == context]


# ---------------------------------------------------------------- one behaviour, two forms


class Simple:
    """simple_one_for_one: children of one spec."""

    name = "simple_one_for_one"

    @staticmethod
    def start(spec: ChildSpec, intensity: int = 1, period: float = 5.0, name: str | None = None) -> Pid:
        kernel.trap_exit(True)
        return Supervisor.start_link_with(SupFlags("simple_one_for_one", intensity, period), [spec], name)

    @staticmethod
    def add(sup: Pid, spec: ChildSpec, *args: Any) -> Any:
        return supervisor.start_child(sup, args)


class Dynamic:
    """DynamicSupervisor: each child with its own spec."""

    name = "DynamicSupervisor"

    @staticmethod
    def start(spec: ChildSpec, intensity: int = 1, period: float = 5.0, name: str | None = None) -> Pid:
        kernel.trap_exit(True)
        return DynamicSupervisor.start_link(intensity=intensity, period=period, name=name)

    @staticmethod
    def add(sup: Pid, spec: ChildSpec, *args: Any) -> Any:
        function, own, kwargs = spec.start
        more = ChildSpec(
            spec.id,
            (function, own + args, kwargs or {}),
            spec.restart,
            spec.shutdown,
            spec.type,
            spec.modules,
        )
        return dynamic_supervisor.start_child(sup, more)


FORMS = [Simple, Dynamic]
