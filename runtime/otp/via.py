"""Names that something else than the kernel's table resolves: usable wherever a registered name is.

A via name takes messages like an alias does: `send`, `cast`, `call` and `request` need to know nothing of registries.
Who starts a process under one (`name=...`) lets it `claim` the process before that has run.
"""

from __future__ import annotations

from typing import Any

from runtime import kernel
from runtime.kernel import BadName, Process

__all__ = ["ViaName"]


class ViaName:
    """Base class. A subclass is a small immutable value and says `whereis` and, if it can be given away, `claim`."""

    __slots__ = ()

    def whereis(self) -> Process | None:
        """Return the process of this name, or None. O(1), in the caller."""
        raise NotImplementedError

    def check_free(self) -> None:
        """Raise what `claim` would raise for a new process."""
        raise ValueError(f"{self!r} cannot be given to a process: it is a route, not a name")

    def claim(self, pid: Process) -> None:
        """Give this name to `pid`. Raises ValueError (with `.pid`, if another process has it), BadName."""
        self.check_free()

    # ------------------------------------------------------------------------- what the kernel wants of an address

    @property
    def q(self) -> ViaName:
        return self

    def append(self, message: Any) -> None:
        pid = self.whereis()
        if pid is None:
            raise BadName(self)
        kernel.send(pid, message)

    def take(self) -> Process | None:
        return self.whereis()
