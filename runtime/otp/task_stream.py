"""The engine of async_stream: many tasks, a few at a time, as one iterator.

Theory of operation
-------------------
The iterator runs in the consumer. Each task puts its result into the stream's own list, so nothing of it goes through
the consumer's mailbox, but one `_Tick` for a consumer that is asleep waiting. The stream watches each task's death and
the consumer's, both by last rites: it needs no process of its own, and it closes at the moment the consumer ends.

A task registers itself as its first step (`begin`), so one that starts after the stream was closed ends at once: between
asking a supervisor for a task and learning its pid, the consumer may be killed.

Invariant: item in stream.running  <=>  it was asked for, and its result is not there yet.
Invariant: len(running) <= max_concurrency; running and waiting results together at most twice that.

Source: Elixir Task.Supervised.stream, which has a process between the consumer and its tasks for all this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from runtime import kernel
from runtime.kernel import KILL, TIMEOUT, TIMEOUT_REASON, Exit, Killed, NotAProcess, Process, clock

from .last_rites import LastRites
from .reports import format_term
from .task_process import callers, check_function, introduce

__all__ = ["Exited", "Ok", "OnTimeout", "StreamOptions", "StreamTimeout", "run_stream"]

# --------------------------------------------------------------------------------------------------------- types


class Ok(NamedTuple):
    """A task returned `value`."""

    value: Any


class Exited(NamedTuple):
    """A task ended without a result. `reason`: (item, reason) in a stream with zip_input_on_exit."""

    reason: Any


class StreamTimeout(Exception):
    """A task of a stream took more than its time. `item`: what it worked on."""

    reason: Final = TIMEOUT_REASON

    def __init__(self, item: Any, seconds: float | None) -> None:
        super().__init__(f"the task for {format_term(item, chars_limit=200)} took more than {seconds} s")
        self.item = item


OnTimeout = Literal["exit", "kill_task"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What async_stream was asked for. Raises ValueError."""

    max_concurrency: int
    ordered: bool
    timeout: float | None
    on_timeout: OnTimeout
    zip_input_on_exit: bool

    def __post_init__(self) -> None:
        n = self.max_concurrency
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"max_concurrency={n!r}: want an int, 1 or more")
        if self.timeout is not None and (isinstance(self.timeout, bool) or not self.timeout >= 0):
            raise ValueError(f"timeout={self.timeout!r}: want seconds >= 0 or None")
        if self.on_timeout not in ("exit", "kill_task"):
            raise ValueError(f"on_timeout={self.on_timeout!r}: want 'exit' or 'kill_task'")


Start = Callable[..., Process]
"""start(main, *args): start a process for a task, with proc_lib.spawn_link or by way of a supervisor."""


class _Tick(NamedTuple):
    """Wakes the consumer."""

    stream: Any


class _Item(LastRites):
    """One task of a stream, and its result."""

    __slots__ = ("begun", "failing", "input", "late", "result", "stream", "timer")

    def __init__(self, stream: _Stream, input: Any) -> None:
        self.stream = stream
        self.input = input
        self.result: Ok | Exited | None = None
        self.timer: clock.Handle | None = None
        self.begun = False
        self.late = False
        self.failing = False
        """It is not linked any more: its end sends no Exit."""

    # ---------------------------------------------------------------------------------------------- in the consumer

    def started(self, pid: Process) -> None:
        """Its process is there; perhaps it has begun already, or ended."""
        if self.result is not None:
            return
        if not kernel.is_alive(pid):  # killed before its first step
            self.process = pid
            self.settle(Exited(pid.reason))
            return
        if not self.begun:
            self.begun = True
            self.watch(pid)
            if self.stream.linked:
                kernel.link(pid)
        seconds = self.stream.options.timeout
        if seconds is not None:
            self.timer = clock.after(seconds, self._overdue)

    # ----------------------------------------------------------------------------------------------- in the task

    def begin(self) -> bool:
        """The first step of a task. False: nobody wants it any more."""
        if self.stream.closed:
            return False
        if not self.begun:
            self.begun = True
            self.watch(kernel.self_())
            if self.stream.linked:
                kernel.link(self.stream.owner)
        return True

    def end(self, value: Any) -> None:
        """The last step of a task that succeeds. Its normal end is no news: a consumer that traps gets no Exit."""
        kernel.unlink(self.stream.owner)
        self.settle(Ok(value))

    def fail(self) -> None:
        """The last step of one that fails. A consumer that traps reads it as a result, and needs no Exit besides."""
        owner = self.stream.owner
        if owner.trap:
            self.failing = True
            kernel.disconnect(kernel.self_(), owner)

    # ------------------------------------------------------------------------------------------------ in the hub too

    def died(self, reason: Any) -> None:
        stream = self.stream
        if stream.linked and stream.owner.trap and not (self.late or self.failing):
            stream.exits.add(self.process)
        self.settle(Exited(TIMEOUT_REASON if self.late else reason))

    def settle(self, result: Ok | Exited) -> None:
        if self.result is None:
            self.result = result
            self._let_go()
            self.stream.finished(self)

    def stop(self) -> None:
        """Nobody wants the result: kill the task, without harm to the consumer."""
        self._let_go()
        self._kill()

    def _overdue(self) -> None:
        self.late = True
        self._kill()  # died() follows at once

    def _kill(self) -> None:
        if not self.begun:
            return  # it will see at its first step that the stream is closed
        if self.stream.linked:
            kernel.disconnect(self.stream.owner, self.process)
        # It may be the very task that ended the consumer: then the others come all the same.
        with suppress(Killed):
            kernel.exit(self.process, KILL)

    def _let_go(self) -> None:
        if self.begun:
            self.unwatch()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Stream(LastRites):
    """What the consumer's iterator and its tasks share. Ends with the consumer."""

    __slots__ = ("asleep", "closed", "done", "exits", "linked", "options", "owner", "running")

    def __init__(self, owner: Process, options: StreamOptions, linked: bool) -> None:
        self.owner = owner
        self.options = options
        self.linked = linked
        self.running: set[_Item] = set()
        self.done: deque[_Item] = deque()
        """Results in the order they came, for a stream that is not ordered."""
        self.exits: set[Process] = set()
        """Tasks whose link has sent an Exit, besides: the same news twice would be one too many."""
        self.asleep = False
        self.closed = False
        self.watch(owner)

    def died(self, _reason: Any) -> None:
        self.close()

    def close(self) -> None:
        """Kill what still runs. Again: nothing."""
        self.closed = True
        self.unwatch()
        running = list(self.running)
        self.running.clear()
        for item in running:
            item.stop()

    def finished(self, item: _Item) -> None:
        self.running.discard(item)
        if not self.options.ordered:
            self.done.append(item)
        self.wake()

    def wake(self) -> None:
        if self.asleep:
            self.asleep = False
            kernel.send(self.owner, _Tick(self))

    def wait(self) -> None:
        """In the consumer: sleep until a task ends."""
        mark = kernel.receive_mark()
        self.asleep = True
        try:
            kernel.receive_match(self._is_tick, None, mark)
        except BaseException:
            if not self.asleep:  # a tick is on its way, and the wait was broken off
                kernel.receive_match(self._is_tick, 0)
            raise
        finally:
            self.asleep = False

    def drop_exits(self) -> None:
        """Take the Exit messages of our tasks out of the consumer's mailbox, if it is the consumer that asks."""
        with suppress(NotAProcess):  # else the iterator was thrown away by somebody else
            pids = self.exits
            while pids and kernel.self_() is self.owner and kernel.is_alive(self.owner):
                message = kernel.receive_match(lambda m: m.__class__ is Exit and m.sender in pids, 0)
                if message is TIMEOUT:
                    return
                pids.discard(message.sender)

    def _is_tick(self, message: Any) -> bool:
        return message.__class__ is _Tick and message.stream is self


# ----------------------------------------------------------------------------------------------------------- API


def run_stream(
    items: Iterable[Any], fn: Callable[[Any], Any], options: StreamOptions, start: Start, *, linked: bool
) -> Iterator[Ok | Exited]:
    """Return the iterator. Nothing happens before its first step; the process that makes it is the consumer.

    Raises TypeError at once if `fn` is no function.
    """
    check_function(fn)
    return _results(items, fn, options, start, linked)


# ----------------------------------------------------------------------------------------------------- internals


def _results(
    items: Iterable[Any], fn: Callable[[Any], Any], options: StreamOptions, start: Start, linked: bool
) -> Iterator[Ok | Exited]:
    me = kernel.self_()
    most = options.max_concurrency
    stream = _Stream(me, options, linked)
    waiting: deque[_Item] = (
        deque()
    )  # asked for and not yielded, in the order of the items; ordered streams only
    try:
        source = iter(items)
        more = True
        while True:
            while more and len(stream.running) < most and len(waiting) < 2 * most and len(stream.done) < most:
                try:
                    input = next(source)
                except StopIteration:
                    more = False
                    break
                item = _begin(stream, input, fn, start)
                if options.ordered:
                    waiting.append(item)
            ready = waiting if options.ordered else stream.done
            if ready and ready[0].result is not None:
                yield _shown(stream, ready.popleft())
                if kernel.self_() is not me:
                    raise RuntimeError(f"this stream belongs to {me!r}: no other process can go on with it")
            elif stream.running:
                stream.wait()
            elif not more:
                return
    finally:
        stream.close()
        stream.drop_exits()


def _begin(stream: _Stream, input: Any, fn: Callable[[Any], Any], start: Start) -> _Item:
    item = _Item(stream, input)
    stream.running.add(item)
    item.started(start(_work, item, fn, callers(stream.owner)))
    return item


def _work(item: _Item, fn: Callable[[Any], Any], who: tuple[Any, ...]) -> None:
    """What the process of a task runs."""
    introduce(fn, who)
    if item.begin():
        try:
            value = fn(item.input)
        except BaseException:
            item.fail()
            raise
        item.end(value)


def _shown(stream: _Stream, item: _Item) -> Ok | Exited:
    """A result as the consumer gets it. Raises StreamTimeout."""
    options = stream.options
    result = item.result
    assert result is not None
    if isinstance(result, Ok):
        return result
    if item.late and options.on_timeout == "exit":
        raise StreamTimeout(item.input, options.timeout)
    stream.drop_exits()
    return Exited((item.input, result.reason)) if options.zip_input_on_exit else result
