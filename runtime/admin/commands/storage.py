"""Commands for the store: store, backup."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from runtime import kernel
from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.tables import Record, Text, age, size

__all__ = ["backup", "store"]

# API


def store() -> Record:
    """The store's figures: size, what waits, latency.

    `store()`.
    """
    seen = dict(here.look().store_info())
    if not seen:
        raise CannotDo("this node has no store")
    return Record(seen).drawn(latency=age, stalled=age, map_size=size, used=size, pending_bytes=size)


def backup(directory: str = "") -> Text:
    """Copy the store to a new directory, and verify the copy.

    `backup()`.

    As of one moment; the node goes on meanwhile.

    Not given: backups/TIME in the data directory. Blocks only this shell, for as long as the disk takes.
    """
    place = here.node().data_dir
    directory = here.text(directory, "a directory")
    target = Path(directory) if directory else place / "backups" / time.strftime("%Y%m%d-%H%M%S")
    command = [sys.executable, "-m", "runtime.store", "backup", str(place / "store"), str(target.absolute())]
    # In a program of its own: on a file that is damaged enough, reading it is a bus error.
    done = kernel.blocking(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    )
    if done.returncode:
        raise CannotDo(f"no backup was made: {done.stderr.strip()}")
    return Text(done.stdout.strip())
