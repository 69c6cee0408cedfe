"""Doing something in a thread of its own: for what is most needed when the pool's threads all hang.

`kernel.blocking` waits for a thread of the pool. Who writes a crash dump, or what was typed into a shell, may do so because
that pool is full.
"""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from runtime import kernel

__all__ = ["TooLate", "aside"]

T = TypeVar("T")

# Types


class TooLate(Exception):
    """It has not been done in time, and goes on by itself."""


class _Done(NamedTuple):
    """From the thread."""

    number: int


# API


def aside(fn: Callable[..., T], *args: Any, name: str, patience: float) -> T:
    """Return `fn(*args)`, run in a new thread called `name`; what it raises is raised here. Blocks the calling process only.

    Raises TooLate after `patience` seconds, OSError (EAGAIN) when there is no room for a thread: then nothing was done.
    """
    me, mine = kernel.self_(), _Done(_next())
    box: list[Any] = []

    def work() -> None:
        try:
            box.extend((True, fn(*args)))
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            box.extend((False, error))
        kernel.post(me, mine)

    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None
    if kernel.receive_match(lambda m: m.__class__ is _Done and m == mine, patience) is kernel.TIMEOUT:
        raise TooLate
    if not box[0]:
        raise box[1]
    return box[1]  # type: ignore[no-any-return]  # what fn returned


# Internals

_next = itertools.count(1).__next__
