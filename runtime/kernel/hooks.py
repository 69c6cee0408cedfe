"""Places where the floors above listen to the kernel: lists of plain functions.

The kernel knows no logger, no alarm and no supervisor. It calls these, in the running process or in the hub, so a
hook must be short, must not block and must not raise.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from .reasons import Crash
    from .scheduler import Process
    from .watchdog import HogReport

__all__ = ["call", "on_crash", "on_hog", "on_mailbox", "on_release", "on_tick", "on_zombie"]

on_crash: list[Callable[[Process, Crash], None]] = []
"""A process is about to end by an exception; it is still whole (name, links, mailbox)."""
on_hog: list[Callable[[HogReport], None]] = []
"""A callback has held the loop for longer than `hog_warn`, and again when it is killed for it."""
on_mailbox: list[Callable[[Process, bool], None]] = []
"""A mailbox passed its high watermark (True) or came back to its low one (False)."""
on_release: list[Callable[[bool], None]] = []
"""A release of code is about to be put in (True), or has been, or has not (False). Functions must be themselves between."""
on_tick: list[Callable[[FrameType | None], None]] = []
"""While the watchdog runs, every 50 ms and from its signal's handler: what the main thread is at. It may only note it."""
on_zombie: list[Callable[[Process], None]] = []
"""A dead process refused to let go of its stack; the stack is buried and leaks some 7 KB."""

own_end: tuple[type[BaseException], ...] = ()
"""What unwinds the stack of a dead process; set by the scheduler."""


def call(hooks: list[Any], *args: Any) -> None:
    """Call every hook; one that raises is reported on standard error and does not stop the others."""
    for hook in hooks:
        try:
            hook(*args)
        except own_end:
            pass  # it ended the process that it runs in
        except BaseException:  # noqa: BLE001 - an observer's fault, even its own exit, must not stop a death half-way
            traceback.print_exc()
