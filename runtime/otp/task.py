"""Task: one function in a process of its own, and its result.

    task = async_(fetch, url)             # linked: if it crashes, the caller does (or gets an Exit, if it traps)
    ...                                   # something else meanwhile
    page = await_(task)                   # its result; 5 s at most

A task answers its owner, the process that called `async_`, and nobody else. Its result, or its end without one, is the
answer to a request: while the owner does not wait for it, it comes as a `Response(task.ref)` message, so a server that
starts tasks reads it in `handle_info` with `check_response(message, task.ref)`. A task that was awaited, shut down, ignored
or given up leaves nothing behind: no monitor, no timer, no late message. (But a linked one's end is an Exit to an owner
that traps, also the normal end, as of any linked process.)

For tasks under a supervisor, and such that may fail without harm to the caller, see `task_supervisor`.

Source: Elixir Task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any, Final, Literal

from runtime import kernel
from runtime.kernel import (
    KILLED,
    SHUTDOWN,
    TIMEOUT,
    TIMEOUT_REASON,
    Call,
    CallError,
    Down,
    Exit,
    Process,
    Request,
    Response,
    same_reason,
)  # fmt: skip

from . import proc_lib
from .child_process import stop_process
from .child_spec import BRUTAL_KILL, INFINITY
from .reports import format_term
from .requests import Deadline
from .task_process import callers, check_function, introduce, name_of
from .task_stream import Exited, Ok, OnTimeout, StreamOptions, StreamTimeout, run_stream

__all__ = [
    "Exited", "Ok", "StreamTimeout", "TaskExit", "TaskRef", "TaskTimeout", "async_", "async_stream", "await_", "await_many",
    "callers", "completed", "ignore", "shutdown", "start", "start_link", "yield_", "yield_many",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


class TaskRef:
    """A task as its owner knows it. `pid` is None for a completed one; `ref` is the request that it answers."""

    __slots__ = ("fn", "owner", "pid", "ref", "spent")

    def __init__(self, pid: Process | None, ref: Request, owner: Process, fn: Any) -> None:
        self.pid = pid
        self.ref = ref
        self.owner = owner
        self.fn = fn
        self.spent = False
        """Its result was taken, or given up."""

    def __repr__(self) -> str:
        return f"<task {name_of(self.fn)} {self.pid!r}>"


class TaskExit(CallError):
    """An awaited task ended without a result. `reason` is its exit reason, `task` the TaskRef."""

    def __init__(self, reason: Any, task: TaskRef) -> None:
        super().__init__(reason, task.pid)
        self.task = task

    def __str__(self) -> str:
        return f"{self.task!r} ended: {format_term(self.reason, chars_limit=1000)}"


class TaskTimeout(TaskExit):
    """An awaited task did not end in time, `seconds`. It runs on, if nothing ends it; its result will vanish."""

    def __init__(self, task: TaskRef, seconds: Any = None) -> None:
        super().__init__(TIMEOUT_REASON, task)
        self.seconds = seconds

    def __str__(self) -> str:
        limit = f"within {self.seconds:g} s" if isinstance(self.seconds, (int, float)) else "in time"
        return f"{self.task!r} did not end {limit} (timeout); it was given up, and runs on unless something ends it"


Result = Ok | Exited | None
"""Ok(value), Exited(reason), or None: not yet."""

# ----------------------------------------------------------------------------------------------------------- API


def async_(fn: Callable[..., Any], *args: Any) -> TaskRef:
    """Run `fn(*args)` in a process linked to the caller, who must await it. Never blocks.

    Raises TypeError if `fn` is no function; nothing is started.
    """
    check_function(fn)
    me = kernel.self_()
    pid = proc_lib.spawn_link(answer, fn, args, None, callers(me))
    return asked(pid, fn, me)


def completed(value: Any) -> TaskRef:
    """Return a task that has its result already: no process runs. For functions whose callers expect a task."""
    me = kernel.self_()
    ref = Request(None, me, RUN, None)
    ref.value = value
    ref.label = None
    ref.delivered = False  # nor will it be: it is settled
    return TaskRef(None, ref, me, completed)


def start(fn: Callable[..., Any], *args: Any) -> Process:
    """Run `fn(*args)` for its effects, without result or link."""
    check_function(fn)
    return proc_lib.spawn(run, fn, args, callers(kernel.self_()))


def start_link(fn: Callable[..., Any], *args: Any) -> Process:
    """Run `fn(*args)` for its effects, linked to the caller: in a child spec, with restart temporary or transient."""
    check_function(fn)
    return proc_lib.spawn_link(run, fn, args, callers(kernel.self_()))


def await_(task: TaskRef, timeout: float | None = 5.0) -> Any:
    """Return the task's result. Blocks for at most `timeout` seconds (None: for ever); once per task.

    Raises:
        TaskTimeout: not in time. The task is given up, but runs on; leave this uncaught, and it ends with the caller.
        TaskExit: it ended without a result (`.reason`). A caller that is linked and does not trap ends with it instead.
        ValueError: the caller is not the owner, or the result was taken before.
    If anything else ends the wait (a gevent.Timeout), the task can be awaited again.
    """
    _own(task)
    try:
        value = kernel.receive_response(task.ref, timeout)
    except CallError as error:
        task.spent = True
        raise TaskExit(error.reason, task) from None
    task.spent = True
    if value is TIMEOUT:
        raise TaskTimeout(task, timeout)
    return value


def await_many(tasks: Iterable[TaskRef], timeout: float | None = 5.0) -> list[Any]:
    """Return the results of all tasks, in their order. As `await_`, with one time limit for all.

    When the first one fails, or time is over, the others are given up: their results will vanish.
    """
    wanted = list(tasks)
    done: dict[TaskRef, Result] = {}
    limit = None if timeout is None else Deadline.after(timeout)
    for task in wanted:
        _own(task)
    try:
        with closing(_results(list(dict.fromkeys(wanted)), limit)) as results:
            for task, result in results:
                if isinstance(result, Exited):
                    raise TaskExit(result.reason, task)
                done[task] = result
    finally:
        for task in wanted:
            _give_up(task)
    for task in wanted:
        if task not in done:
            raise TaskTimeout(task, timeout)
    return [done[task].value for task in wanted]  # type: ignore[union-attr]  # all are Ok


def yield_(task: TaskRef, timeout: float | None = 5.0) -> Result:
    """Return Ok(value), Exited(reason), or None if the task still runs after `timeout` seconds: then ask again.

    Raises ValueError if the caller is not the owner, or the result was taken before.
    """
    _own(task)
    try:
        value = kernel.wait_response(task.ref, timeout)
    except CallError as error:
        task.spent = True
        return Exited(error.reason)
    if value is TIMEOUT:
        return None
    task.spent = True
    return Ok(value)


def yield_many(
    tasks: Iterable[TaskRef],
    timeout: float | None = 5.0,
    *,
    limit: int | None = None,
    on_timeout: Literal["nothing", "ignore", "kill_task"] = "nothing",
) -> list[tuple[TaskRef, Result]]:
    """Return (task, Ok | Exited | None) for all tasks, in their order, after `timeout` seconds at the latest; with `limit`,
    as soon as so many have ended. Those that still run are left alone, ignored or killed.
    """
    if on_timeout not in ("nothing", "ignore", "kill_task"):
        raise ValueError(f"on_timeout={on_timeout!r}: want 'nothing', 'ignore' or 'kill_task'")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit!r}: want an int, 1 or more, or None")
    wanted = list(dict.fromkeys(tasks))
    done: dict[TaskRef, Result] = {}
    until = None if timeout is None else Deadline.after(timeout)
    with closing(_results(wanted, until)) as results:
        for task, result in results:
            done[task] = result
            if limit is not None and len(done) >= limit:
                break
    if on_timeout != "nothing":
        for task in wanted:
            if task not in done:
                kill = on_timeout == "kill_task" and task.pid is not None
                done[task] = shutdown(task, BRUTAL_KILL) if kill else ignore(task)
    return [(task, done.get(task)) for task in wanted]


def shutdown(task: TaskRef, how: float | Literal["brutal_kill"] | None = 5.0) -> Result:
    """Unlink and stop a task: shutdown signal, and kill after `how` seconds (None: never), or BRUTAL_KILL at once.

    Blocks until it is gone. Returns Ok(value) if it was done first, Exited(reason) if it ended by anything but what this
    asked of it, else None. The task cannot be awaited after this.
    """
    pid = _own(task)
    if pid is None:
        raise ValueError("a completed task has no process to shut down")
    if how is not None and how != BRUTAL_KILL:
        if isinstance(how, bool) or not isinstance(how, (int, float)) or not how >= 0:
            raise ValueError(f"how={how!r}: want seconds >= 0, BRUTAL_KILL or None")
    _unlink(pid)
    stop_process(pid, INFINITY if how is None else how)
    result = yield_(task, 0)
    task.spent = True
    if isinstance(result, Exited) and same_reason(result.reason, KILLED if how == BRUTAL_KILL else SHUTDOWN):
        return None
    return result


def ignore(task: TaskRef) -> Result:
    """Unlink a task and let it run without anybody waiting: its result will vanish.

    Returns Ok or Exited if it has ended already, else None. It cannot be awaited after this.
    """
    pid = _own(task)
    if pid is not None:
        _unlink(pid)
    result = yield_(task, 0)
    _give_up(task)
    return result


def async_stream(
    items: Iterable[Any],
    fn: Callable[[Any], Any],
    *,
    max_concurrency: int = 8,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: OnTimeout = "exit",
    zip_input_on_exit: bool = False,
) -> Iterator[Ok | Exited]:
    """Yield Ok(fn(item)) for every item, with up to `max_concurrency` tasks at a time, linked to the consumer.

    Items are taken from `items` in the consumer, only when there is room: at most `max_concurrency` tasks run, and, if
    `ordered`, at most as many more results wait for their turn. A task may take `timeout` seconds (None: any time); then
    the consumer ends by StreamTimeout, or, with on_timeout="kill_task", the task does: Exited("timeout"). A task that fails
    ends the consumer by its link; one that traps exits gets Exited(reason), with `zip_input_on_exit` Exited((item, reason)).

    When the consumer stops early, or ends, all tasks are killed. The process that asks for the first result is the consumer.
    """
    options = StreamOptions(max_concurrency, ordered, timeout, on_timeout, zip_input_on_exit)
    return run_stream(items, fn, options, proc_lib.spawn_link, linked=True)


# -------------------------------------------------------------------------------------- for the modules beside this

RUN: Final = kernel.make_ref()
"""The request that an owner makes of its task."""


def asked(pid: Process, fn: Any, owner: Process) -> TaskRef:
    """Ask the process of a new task for its result."""
    return TaskRef(pid, kernel.request(pid, RUN), owner, fn)


def answer(
    fn: Callable[..., Any], args: tuple[Any, ...], owner: Process | None, who: tuple[Any, ...]
) -> None:
    """What the process of a task runs. `owner`: watched until its question is there, if somebody else started us."""
    introduce(fn, who)
    ref = kernel.monitor(owner) if owner is not None else None
    call = kernel.receive_match(
        lambda m: (m.__class__ is Call and m.request is RUN) or (m.__class__ is Down and m.ref is ref)
    )
    if call.__class__ is Down:  # it ended before it could ask
        return
    if ref is not None:
        kernel.demonitor(ref, flush=True)
    kernel.reply(call, fn(*args))


def run(fn: Callable[..., Any], args: tuple[Any, ...], who: tuple[Any, ...]) -> None:
    """What the process of a task without result runs."""
    introduce(fn, who)
    fn(*args)


# ----------------------------------------------------------------------------------------------------- internals


def _own(task: TaskRef) -> Process | None:
    """Check that the caller may ask for the result. Returns the task's pid."""
    if task.__class__ is not TaskRef:
        raise TypeError(f"want the TaskRef that async_ returned, not {format_term(task, chars_limit=200)}")
    me = kernel.self_()
    if task.owner is not me:
        raise ValueError(f"{task!r} answers its owner {task.owner!r} only, not {me!r}")
    if task.spent:
        raise ValueError(f"the result of {task!r} was taken or given up before")
    return task.pid


def _results(
    tasks: list[TaskRef], limit: Deadline | None
) -> Generator[tuple[TaskRef, Ok | Exited], None, None]:
    """Yield results as they come, until all are there or time is over. Who iterates must not receive in between.

    Each message that is queued or comes is looked at a time or two, not once per result: all answers that are there are
    taken out in one pass, and later ones are searched for behind the mark.
    """
    waiting: dict[Request, TaskRef] = {}
    for task in tasks:
        _own(task)
        waiting[task.ref] = task
    settled = [ref for ref in waiting if ref.process is None and not ref.delivered]  # completed ones

    def is_ours(message: Any) -> bool:
        return message.__class__ is Response and message.request in waiting

    came = deque(kernel.receive_every(is_ours))
    try:
        for ref in settled:
            yield _taken(waiting.pop(ref))
        while waiting:
            if not came:
                mark = kernel.receive_mark()  # nothing older is ours
                message = kernel.receive_match(is_ours, None if limit is None else limit.left(), mark)
                if message is TIMEOUT:
                    return
                came.append(message)
                came.extend(kernel.receive_every(is_ours, mark))
            yield _taken(waiting.pop(came.popleft().request))
    finally:
        for message in came:  # not wanted after all: back, for whoever asks next
            kernel.send(kernel.self_(), message)


def _taken(task: TaskRef) -> tuple[TaskRef, Ok | Exited]:
    """A settled task's result, its message taken out already."""
    task.ref.delivered = False
    result = yield_(task, 0)
    assert result is not None  # it is settled
    return task, result


def _give_up(task: TaskRef) -> None:
    if not task.spent:
        task.spent = True
        with suppress(CallError):
            kernel.receive_response(task.ref, 0)


def _unlink(pid: Process) -> None:
    """Unlink, and take out the Exit that has come already. One that lives has sent none: then there is nothing to search."""
    kernel.unlink(pid)
    if kernel.self_().trap and not kernel.is_alive(pid):
        kernel.receive_match(lambda m: m.__class__ is Exit and m.sender is pid, 0)
