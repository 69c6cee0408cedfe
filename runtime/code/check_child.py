"""The child that checks: a long-lived operating-system process beside the node, which forks for each check.

Started by the node as `python -m runtime.code.check_child FD PARENT`, FD being its end of a Unix socket pair; it has
nothing else of the node's: no socket, no lock, no handle on the store. It keeps imported what takes long, the runtime
and third-party packages, and never imports managed code; so a fork of it starts cold where it matters and warm
elsewhere. What packages a check needed, the child imports afterwards, for the next one; what a check compiled, it keeps.

While a fork runs, the child reads its report and what it prints, and ends it when it takes too long or prints without
end. It ends at the end of the socket's stream, and dies with the node. One thread, blocking calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, Final, NoReturn

from runtime.code.check_import import Codes, run
from runtime.code.check_wire import (
    At,
    Check,
    Failed,
    Frames,
    Outcome,
    Passed,
    Ready,
    Settings,
    decode,
    encode_frame,
)
from runtime.code.roots import Roots

__all__ = ["main"]

_READ: Final = 1 << 16
_GRACE: Final = 1.0  # seconds that a fork has to tell by itself that its time is up
_PR_SET_PDEATHSIG: Final = 1


def main(fd: int, parent: int) -> int:
    """Serve the node at the other end of `fd` until it goes. Returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is the node's business
    _die_with(parent)
    with socket.socket(fileno=fd) as sock:
        frames = Frames()
        child: _Child | None = None
        while data := sock.recv(_READ):
            for frame in frames.feed(data):
                if child is None:
                    child = _Child(decode(frame, type=Settings), sock)
                    sock.sendall(encode_frame(Ready(os.getpid())))
                    continue
                check = decode(frame, type=Check)
                answer, outcome = child.do(check)
                answer.number = check.number
                try:
                    sock.sendall(encode_frame(answer))
                except BrokenPipeError:
                    return 0  # the node has ended meanwhile
                if outcome is not None:
                    child.learn(check, outcome)
    return 0


class _Child:
    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self.settings = settings
        self.codes: Codes = {}
        self._sock = sock
        self._not_to_learn: set[str] = set()
        sys.path[:] = settings.path
        self._import(settings.preload)

    def do(self, check: Check) -> tuple[Passed | Failed, Outcome | None]:
        """Fork for one check and see to its end."""
        report, report_end = os.pipe()
        output, output_end = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                self._become(check, report_end, output_end)
            finally:
                os._exit(1)
        os.close(report_end)
        os.close(output_end)
        try:
            return _Watch(self._sock, self.settings, check, report, output, pid).until_end()
        finally:
            os.close(report)
            os.close(output)

    def learn(self, check: Check, outcome: Outcome) -> None:
        """Have ready for the next check what this one had to import and to compile."""
        for relative, code in outcome.codes.items():
            self.codes[relative] = check.sources[relative] or "", marshal.loads(code)  # noqa: S302 - our own fork's
        for relative in self.codes.keys() - check.sources.keys():
            del self.codes[relative]
        self._import(name for name in outcome.learn if name not in self._not_to_learn)

    def _import(self, names: Iterable[str]) -> None:
        refuse = _NoManagedCode(self.settings)
        sys.meta_path.insert(0, refuse)
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001 - then the fork that needs it will say what is wrong with it
                self._not_to_learn.add(name)
        sys.meta_path.remove(refuse)
        gc.collect()
        gc.freeze()  # a fork's collector would touch, and so copy, every page

    def _become(self, check: Check, report: int, output: int) -> NoReturn:
        child = os.getppid()
        os.setsid()  # so that whatever it starts can be ended with it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _die_with(child)
        self._sock.close()
        os.dup2(output, 1)
        os.dup2(output, 2)
        run(self.settings, check, self.codes, report)


class _NoManagedCode(MetaPathFinder):
    """Managed code must be cold in each fork: a package that wants some is not imported beforehand."""

    def __init__(self, settings: Settings) -> None:
        self._names = tuple(
            "" if folder == "." else folder.replace("/", ".") + "." for folder in settings.folders
        )
        self._base = settings.base

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if f"{fullname}.".startswith(self._names):
            place = Path(self._base, *fullname.split("."))
            if place.exists() or place.with_suffix(".py").exists():
                raise ImportError(f"{fullname} is managed code")


class _Watch:
    """Over one fork, from its start to its end."""

    def __init__(
        self, sock: socket.socket, settings: Settings, check: Check, report: int, output: int, pid: int
    ) -> None:
        self.settings = settings
        self.check = check
        self.pid = pid
        self._ends = {report: self._reported, output: self._printed, sock.fileno(): self._node_gone}
        self._report, self._output = report, output
        self._frames = Frames()
        self._at = At("")
        self._outcome: Outcome | None = None
        self._text = bytearray()
        self._size = 0

    def until_end(self) -> tuple[Passed | Failed, Outcome | None]:
        poll = select.poll()
        for fd in self._ends:
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + self.check.limit + _GRACE
        is_open = True
        late = False
        while is_open and self._size <= self.settings.flood and not late:
            events = poll.poll(max(0, int((deadline - time.monotonic()) * 1000) + 1))
            late = not events and time.monotonic() >= deadline
            for fd, _ in events:
                if not self._ends[fd]():
                    poll.unregister(fd)
                    is_open = is_open and fd != self._report
        outcome = self._outcome
        # Also after its report: what it has started must not outlive it.
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._drain()
        answer = outcome.answer if outcome is not None else self._died(status, late)
        answer.output = self._text.decode(errors="replace")
        return answer, outcome

    def _reported(self) -> bool:
        data = os.read(self._report, _READ)
        for frame in self._frames.feed(data):
            message = decode(frame, type=At | Outcome)
            if isinstance(message, At):
                self._at = message
            else:
                self._outcome = message
        return bool(data) and self._outcome is None

    def _printed(self) -> bool:
        data = os.read(self._output, _READ)
        self._size += len(data)
        self._text += data[: self.settings.output - len(self._text)]
        return bool(data)

    def _node_gone(self) -> bool:
        # One check at a time: while it runs nothing can come from the node but its end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os._exit(0)

    def _drain(self) -> None:
        os.set_blocking(self._output, False)
        with contextlib.suppress(BlockingIOError):  # held open by what got away
            while self._size <= self.settings.flood and self._printed():
                pass

    def _died(self, status: int, late: bool) -> Failed:
        at = self._at
        what = "its self-check" if at.selfcheck else "its import"
        kind = "selfcheck" if at.selfcheck else "import"
        if late:
            kind = "selfcheck" if at.selfcheck else "blocking"
            text = f"{what} did not end within {self.check.limit:g} s, and took no signal"
        elif self._size > self.settings.flood:
            text = f"{what} prints without end: it was stopped after {self._size >> 20} MB"
        elif status < 0:
            text = f"{what} ended the process by {signal.Signals(-status).name}"
        else:
            text = f"{what} ended the process with status {status}"
        roots = Roots(self.settings.base, self.settings.folders)
        path = next((p for p in self.check.sources if roots.module_of(p) == at.module), "")
        return Failed(kind, at.module, path, 0, text)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
