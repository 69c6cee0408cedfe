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
        if not kernel.is_alive(process):
            raise ValueError(f"{process!r} is dead")
        self.process = process
        if process.monitored_by is None:
            process.monitored_by = {}
        process.monitored_by[self] = None

    def unwatch(self) -> None:
        """End, without `died`. Again, or after the death: nothing."""
        watchers = self.process.monitored_by
        if watchers:
            watchers.pop(self, None)
            if not watchers:
                self.process.monitored_by = None  # an empty dict is 64 bytes

    def failed(self, reason: Any) -> None:
        """The kernel's word. What goes wrong here must not stop a death half-way."""
        hooks.call([self.died], reason)

    def died(self, reason: Any) -> None:
        raise NotImplementedError
