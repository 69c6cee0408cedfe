"""What the system monitor asks the disk: in a process of its own, since a disk that hangs must not stop the monitor.

The process looks once, tells the monitor, and ends; the next one is started when it is time, and not while one still waits.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from runtime import kernel
from runtime.kernel import Process, send
from runtime.observe import probes

__all__ = ["DiskSeen", "probe_disk"]

_log = logging.getLogger("evergreen.sysmon")

# Types


class DiskSeen(NamedTuple):
    """The message to the monitor. `share` of the disk in use; `descriptors`: how many are open, 0 where they cost nothing to count."""

    share: float
    descriptors: int
    certificates: tuple[tuple[str, float], ...]
    """Path, and the seconds that it is good for."""


# API


def probe_disk(monitor: Process, path: str, certificates: tuple[str, ...]) -> None:
    """Look at the disk of `path` (empty: at none) and at certificate files, and send `monitor` a DiskSeen. Blocks in threads."""
    share = 0.0
    if path:
        try:
            share = kernel.blocking(probes.disk_share, path)
        except OSError as error:
            _log.warning("the disk of %s cannot be looked at: %s", path, error)
    fds = 0 if probes.count_descriptors() else kernel.blocking(probes.list_descriptors)
    ends = tuple(kernel.blocking(probes.certificates_left, certificates)) if certificates else ()
    send(monitor, DiskSeen(share, fds, ends))
