"""What a module may not do while it is being imported: sleep, connect, start threads or programs. For a throw-away process.

In a node the import would hold up everybody, and a thread or a child could not be undone. `time.sleep` and the start of
threads are replaced, the rest is heard as audit events. Only what a managed module's top level does counts, itself or by
functions that it calls: what a package does when it is imported for the first time happens outside of a release's step.

Nothing here can be taken back (an audit hook stays), hence only in processes that end with the check.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["Guard"]

_EVENTS: Final = {
    "socket.connect": "opens a connection",
    "socket.getaddrinfo": "looks up a name in the network",
    "subprocess.Popen": "starts a program",
    "os.system": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.fork": "forks",
}


class Guard:
    """Calls `stop(what, frame)` at the first offence. `importing`: the modules whose top level runs, kept by the caller.

    `threads`: whether a package started one when it was imported.
    """

    def __init__(
        self,
        importing: Sequence[str],
        is_managed: Callable[[str], bool],
        stop: Callable[[str, FrameType], NoReturn],
    ) -> None:
        self.threads = False
        self._importing = importing
        self._is_managed = is_managed
        self._stop = stop

    def put(self) -> None:
        """Watch from now on, to the end of this process."""
        sleep, start = time.sleep, _thread.start_new_thread

        def guarded_sleep(seconds: Any, /) -> None:
            self._look(f"sleeps for {seconds} s")
            sleep(seconds)

        def guarded_start(*arguments: Any) -> int:
            self._look("starts a thread")
            self.threads = True
            return start(*arguments)

        time.sleep = guarded_sleep
        for module, name in (
            (_thread, "start_new_thread"), (_thread, "start_new"), (threading, "_start_new_thread"),
        ):  # fmt: skip
            setattr(module, name, guarded_start)
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        what = _EVENTS.get(event)
        if what is not None:
            self._look(what)

    def _look(self, what: str) -> None:
        if not self._importing:
            return
        frame: FrameType | None = sys._getframe(2)
        culprit = frame
        while frame is not None and culprit is not None:
            if self._is_managed(frame.f_code.co_filename):
                self._stop(what, culprit)
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return  # the import of a package
            frame = frame.f_back
