"""What has to happen at the very moment a process ends, without a process that waits for it.

The kernel tells the watchers of a dying process one after the other; an open call is such a watcher, and so is this.
It costs one dictionary entry while the process lives, and one function call at its death: no message, no scheduling, and
nobody else runs in between, so nobody ever sees a table that still knows the dead.
"""

from __future__ import annotations

from typing import Any

from runtime import kernel
from runtime.kernel import Process, hooks

__all__ = ["LastRites"]


class LastRites:
    """Calls `died(reason)` when `process` ends, whatever the cause, on whatever stack that is decided on.

    `died` must not block, and must not count on a current process: it may run in the hub. Subclasses define it.
    """

    __slots__ = ("process",)
    process: Process

    def watch(self, process: Process) -> None:
        """Begin. Raises ValueError if the process is dead already."""
        kernel.watch(process, self)
        self.process = process

    def unwatch(self) -> None:
        """End, without `died`. Again, or after the death: nothing."""
        kernel.unwatch(self.process, self)

    def failed(self, reason: Any) -> None:
        """The kernel's word. What goes wrong here must not stop a death half-way."""
        hooks.call([self.died], reason)

    def died(self, reason: Any) -> None:
        raise NotImplementedError
