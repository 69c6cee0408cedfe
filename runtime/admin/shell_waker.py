"""Breaking system calls that an input blocks in: `subprocess.run`, a socket without a time limit, a pipe that nobody fills.

The watchdog's signal (SIGALRM) lets the kernel of the system go on with a call that it came into, as it should for the
node's own. So the guard of an input that blocks in one would never be asked. While shells are attached, this thread looks
every quarter of a second whether an evaluating process is at work; if so, it sends the main thread that signal once in the
other manner: the call ends, the guard is asked, and if it has nothing to say, Python begins the call again (PEP 475).
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Final

from runtime.admin.shell_streams import streams

__all__ = ["start", "stop"]

_LOOK: Final = 0.25
_DELIVERY: Final = 0.005

# API


def start() -> None:
    """Begin to look. Once for each shell."""
    global _users, _stopped
    _users += 1
    if _users == 1:
        _stopped = threading.Event()
        threading.Thread(target=_run, args=(_stopped,), name="shell waker", daemon=True).start()


def stop() -> None:
    """One shell less; with the last the thread ends by itself. Never blocks."""
    global _users
    _users -= 1
    if not _users:
        _stopped.set()


# Internals

_users = 0
_stopped = threading.Event()


def _run(stopped: threading.Event) -> None:
    while not stopped.wait(_LOOK):
        # One that waits has a stack put by; one that runs has not, and in the list are only those with an input.
        if any(process.g is None and process.alive for process in list(streams)):
            _break_call()


def _break_call() -> None:
    if not callable(signal.getsignal(signal.SIGALRM)):
        return  # no watchdog: the signal would end the program
    signal.siginterrupt(signal.SIGALRM, True)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGALRM)
    time.sleep(_DELIVERY)
    signal.siginterrupt(signal.SIGALRM, False)
