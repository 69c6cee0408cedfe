"""Asynchronous calls: ask many, do something else, take the answers as they come; and calls by name to several nodes.

    asked = RequestIds()
    for shard in shards:
        asked.send(shard, "count", label=shard)
    deadline = Deadline.after(2.0)                     # for all of them together
    while (answer := asked.receive(deadline)) is not None:
        if answer is TIMEOUT: ...                      # the rest is given up
        total += answer.value                          # or answer.error, a CallError

Single requests: `send_request`, then `wait_response`, `receive_response` or `check_response`. *Wait* leaves a request
open when time is over; *receive* gives it up, so that a late answer vanishes.

Source: OTP gen_server:send_request/4, reqids_new/0; gen_server_SUITE *_reqid_collection.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runtime import kernel
from runtime.kernel import TIMEOUT, CallError, Request, Response, check_response

__all__ = [
    "Answer", "Deadline", "RequestIds", "abcast", "check_response", "multi_call", "receive_response", "send_request",
    "wait_response",
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute time limit, in seconds of the runtime's monotonic clock: the same for several waits in a row."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The end of so many seconds from now. Raises ValueError, TypeError for what is no number of seconds."""
        wait = _seconds(seconds)
        if wait is None:
            raise TypeError(
                "a Deadline is after so many seconds, not None: where there is no limit, give None instead of it"
            )
        return cls(kernel.clock.now() + wait)

    def left(self) -> float:
        return max(0.0, self.at - kernel.clock.now())


TimeLimit = float | Deadline | None
"""Seconds, a Deadline, or None for no limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer out of a collection: `value`, or `error` if that request failed."""

    label: Any
    value: Any = None
    error: CallError | None = None


class RequestIds:
    """Requests that wait for their answers, each with a label. Belongs to the process that sends them: the answers come
    to nobody else, so another one that waits here is told so (RuntimeError).

    Invariant: a request is in here from its sending until its answer is taken (with `delete`) or it is given up.
    """

    __slots__ = ("_asker", "_open")

    def __init__(self) -> None:
        self._open: dict[Request, Any] = {}
        self._asker: Any = None
        """Who put the first of them in."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[Request, Any]]:
        """Yield (request, label), oldest first."""
        return iter(list(self._open.items()))

    def send(self, dest: Any, request: Any, label: Any = None) -> Request:
        """Send a request and keep it here. Never blocks, never fails: a dead `dest` answers noproc."""
        sent = send_request(dest, request, label)
        self.add(sent, label)
        return sent

    def add(self, request: Request, label: Any) -> None:
        """Keep a request that was sent by `send_request`."""
        if not self._open:
            self._asker = kernel.self_()
        self._open[request] = label

    def wait(self, timeout: TimeLimit = None, *, delete: bool = True) -> Answer | Any:
        """Return the next Answer; None if the collection is empty; TIMEOUT, and all stay open, when time is over.

        With `delete=False` an answered request stays in the collection.
        """
        seconds = _seconds(timeout)
        if not self._open:
            return None
        if self._asker is not kernel.self_():
            raise RuntimeError(f"these requests are {self._asker!r}'s, and the answers come to nobody else")
        message = kernel.receive_match(self._is_ours, seconds)
        return TIMEOUT if message is TIMEOUT else self._taken(message.request, delete)

    def receive(self, timeout: TimeLimit = None, *, delete: bool = True) -> Answer | Any:
        """As `wait`, but when time is over all requests are given up: the collection is empty, late answers vanish."""
        answer = self.wait(timeout, delete=delete)
        if answer is TIMEOUT:
            self.abandon()
        return answer

    def abandon(self) -> None:
        """Give all requests up: answers that are there are dropped, late ones vanish. Does not block."""
        for request in list(self._open):
            with suppress(CallError):
                kernel.receive_response(request, 0)
        self._open.clear()

    def check(self, message: Any, *, delete: bool = True) -> Answer | Any:
        """Return the Answer if `message` is one of ours; None if the collection is empty; TIMEOUT if it is none."""
        if not self._open:
            return None
        return self._taken(message.request, delete) if self._is_ours(message) else TIMEOUT

    def _is_ours(self, message: Any) -> bool:
        return message.__class__ is Response and message.request in self._open

    def _taken(self, request: Request, delete: bool) -> Answer:
        request.delivered = False
        label = self._open.pop(request) if delete else self._open[request]
        return Answer(label, request.value, request.error)


# ----------------------------------------------------------------------------------------------------------- API


def send_request(dest: Any, request: Any, label: Any = None) -> Request:
    """Call `dest` without waiting. Never blocks, never fails: a dead or unknown `dest` answers noproc."""
    return kernel.request(dest, request, label)


def wait_response(request: Request, timeout: TimeLimit = None) -> Any:
    """Wait for the answer and return it, or TIMEOUT; the request then stays open. Raises CallError if it failed."""
    return kernel.wait_response(request, _seconds(timeout))


def receive_response(request: Request, timeout: TimeLimit = None) -> Any:
    """As `wait_response`, but a request that is not answered in time is given up: a late answer vanishes."""
    return kernel.receive_response(request, _seconds(timeout))


def multi_call(
    name: str, request: Any, timeout: TimeLimit = 5.0, nodes: Iterable[str] | None = None
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Call the process registered as `name` on several nodes at once: ([(node, reply)...], [nodes without one]).

    Blocks until all have answered or the time is over. Default: this node. Only this node is known so far; every
    other one is bad. Source: OTP gen_server:multi_call/4; gen_server_SUITE multicall.
    """
    wanted = [kernel.node()] if nodes is None else list(nodes)
    limit = timeout if timeout is None or isinstance(timeout, Deadline) else Deadline.after(timeout)
    asked = RequestIds()
    replies = []
    try:
        for node in wanted:
            if node == kernel.node():
                asked.send(name, request, label=node)
        while (answer := asked.receive(limit)) is not None and answer is not TIMEOUT:
            if answer.error is None:
                replies.append((answer.label, answer.value))
    finally:
        asked.abandon()  # if something else ended the wait
    good = {node for node, _ in replies}
    return replies, [node for node in wanted if node not in good]


def abcast(name: str, request: Any, nodes: Iterable[str] | None = None) -> None:
    """Cast to the process registered as `name` on several nodes (default: this one). Never blocks, never fails."""
    for node in [kernel.node()] if nodes is None else nodes:
        if node == kernel.node():
            kernel.cast(name, request)


# ----------------------------------------------------------------------------------------------------- internals


def _seconds(timeout: TimeLimit) -> float | None:
    """Before anything is sent or taken: a limit that is none must not leave requests open."""
    if timeout is None:
        return None
    if isinstance(timeout, Deadline):
        return timeout.left()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout={timeout!r}: want seconds, a Deadline or None")
    if math.isnan(timeout):
        raise ValueError(f"timeout={timeout!r}: want seconds, a Deadline or None")
    return timeout
