"""TaskSupervisor: a dynamic supervisor of tasks.

    tasks = TaskSupervisor.start_link(max_children=500, name="lookups")
    task = task_supervisor.async_nolink("lookups", resolve, host)    # its crash is not the caller's
    for result in async_stream_nolink("lookups", hosts, resolve, max_concurrency=20, on_timeout="kill_task"):
        ...

Tasks are temporary children: never started again (but see `start_child`), stopped with their supervisor. Starting one is a
call to the supervisor, and never waits for the task. `await_`, `yield_`, `shutdown` and the others of `task` work on all.

Source: Elixir Task.Supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from runtime import kernel
from runtime.kernel import Process

from . import dynamic_supervisor, proc_lib
from .child_spec import ChildSpec, Restart
from .dynamic_supervisor import DynamicSupervisor, terminate_child
from .task import TaskRef, answer, asked, run
from .task_process import callers, check_function
from .task_stream import Exited, Ok, OnTimeout, StreamOptions, run_stream

__all__ = [
    "TaskSupervisor", "async_", "async_nolink", "async_stream", "async_stream_nolink", "children", "start_child", "terminate_child",
]  # fmt: skip

Stop = float | Literal["brutal_kill"]

# --------------------------------------------------------------------------------------------------------- types


class TaskSupervisor(DynamicSupervisor):
    """Starts the supervisor's process (options as DynamicSupervisor); the functions of this module talk to it."""


# ----------------------------------------------------------------------------------------------------------- API


def async_(sup: Any, fn: Callable[..., Any], *args: Any, shutdown: Stop = 5.0) -> TaskRef:
    """Run `fn(*args)` in a task under `sup` that is linked to the caller too, who must await it.

    Blocks for a call to `sup`. `shutdown`: seconds it has to end when its supervisor stops, or BRUTAL_KILL.

    Raises: MaxChildren, when the supervisor has as many as it may.
    Exits: noproc if `sup` is not alive.
    """
    check_function(fn)
    me = kernel.self_()
    pid = _start(sup, shutdown, answer, fn, args, me, callers(me))
    if kernel.is_alive(pid):  # else its end is what awaiting it says
        kernel.link(pid)
    return asked(pid, fn, me)


def async_nolink(sup: Any, fn: Callable[..., Any], *args: Any, shutdown: Stop = 5.0) -> TaskRef:
    """As `async_`, without the link: the caller learns of a failure only by asking, and the task survives the caller."""
    check_function(fn)
    me = kernel.self_()
    return asked(_start(sup, shutdown, answer, fn, args, me, callers(me)), fn, me)


def start_child(
    sup: Any, fn: Callable[..., Any], *args: Any, restart: Restart = "temporary", shutdown: Stop = 5.0
) -> Process:
    """Run `fn(*args)` in a task without result. With `restart` transient or permanent it is run again when it ends."""
    check_function(fn)
    who = callers(kernel.self_())
    return _start(sup, shutdown, run, fn, args, who, restart=restart)


def children(sup: Any) -> list[Process]:
    """Return the pids of all tasks that run. O(tasks)."""
    return [child.pid for child in dynamic_supervisor.which_children(sup) if isinstance(child.pid, Process)]


def async_stream(
    sup: Any,
    items: Iterable[Any],
    fn: Callable[[Any], Any],
    *,
    max_concurrency: int = 8,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: OnTimeout = "exit",
    zip_input_on_exit: bool = False,
    shutdown: Stop = 5.0,
) -> Iterator[Ok | Exited]:
    """As `task.async_stream`, with tasks under `sup`, linked to the consumer too. Raises MaxChildren."""
    options = StreamOptions(max_concurrency, ordered, timeout, on_timeout, zip_input_on_exit)
    return run_stream(items, fn, options, _starter(sup, shutdown), linked=True)


def async_stream_nolink(
    sup: Any,
    items: Iterable[Any],
    fn: Callable[[Any], Any],
    *,
    max_concurrency: int = 8,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: OnTimeout = "exit",
    zip_input_on_exit: bool = False,
    shutdown: Stop = 5.0,
) -> Iterator[Ok | Exited]:
    """As `async_stream`, without links: a task that fails is one Exited(reason), also to a consumer that does not trap.

    When the consumer stops early, or ends, all tasks are killed nevertheless.
    """
    options = StreamOptions(max_concurrency, ordered, timeout, on_timeout, zip_input_on_exit)
    return run_stream(items, fn, options, _starter(sup, shutdown), linked=False)


# ----------------------------------------------------------------------------------------------------- internals


def _start(
    sup: Any, shutdown: Stop, main: Callable[..., Any], *args: Any, restart: Restart = "temporary"
) -> Process:
    spec = ChildSpec(None, (proc_lib.spawn_link, (main, *args)), restart=restart, shutdown=shutdown)
    pid = dynamic_supervisor.start_child(sup, spec)
    assert isinstance(pid, Process)  # it never ignores
    return pid


def _starter(sup: Any, shutdown: Stop) -> Callable[..., Process]:
    ChildSpec(None, (proc_lib.spawn_link, ()), shutdown=shutdown)  # raises now, rather than at the first item
    return lambda main, *args: _start(sup, shutdown, main, *args)
