"""Ending what a process waits for, or computes, by an exception of somebody else's: for shells, where people press Ctrl-C.

Not a way to end a process (that is `exit`), nor one to reach a server: its callbacks do not expect it.
"""

from __future__ import annotations

from .scheduler import DEADQ, IO, YIELD, Process, Worker, resume, run_callback
from .watchdog import guard, unguard

__all__ = ["guard", "interrupt", "unguard"]

# ----------------------------------------------------------------------------------------------------------- API


def interrupt(process: Process, error: BaseException) -> bool:
    """Raise `error` in `process`, where it waits. Never blocks. Tells whether it waits for something; if not: nothing.

    A wait that is over already, and only not noticed yet, is ended by `error` too; what it brought is lost to it.
    """
    g, wait = process.g, process.wait
    if process.q is DEADQ or g is None or process.exc is not None:
        return False
    if wait is IO:
        run_callback(_throw, g, process, error)
        return True
    process.exc = error
    if wait is not YIELD:  # that has its place in the run queue, and looks at `exc` when it comes back
        resume(process)
    return True


# ----------------------------------------------------------------------------------------------------- internals


def _throw(g: Worker, process: Process, error: BaseException) -> None:
    """In the hub: end a wait of gevent's, if it still lasts."""
    if g.proc is process and process.g is g and process.wait is IO:
        g.throw(error)
