"""Where a case works: rounds, sizes, processes, scratch space; and the clean-up after all of it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from tools.benchmarks.model import Case, Result

__all__ = ["ROOT", "Child", "Lab", "ProbeFailed", "Scale"]

ROOT = Path(__file__).resolve().parents[2]
PROBE = "tools.benchmarks.probe"

Scale = Literal["smoke", "quick", "full"]
T = TypeVar("T")

_ROUNDS = {"smoke": 1, "quick": 3, "full": 7}
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_LAST_WORDS = 2000  # characters of a failed process's standard error that are shown


class ProbeFailed(Exception):
    """A process of a measurement failed, hung or said nothing; the text has its last words."""


class Child:
    """A process of ours: one JSON line on its standard output when it is ready, and its end when its input ends."""

    def __init__(self, command: list[str], errors: IO[bytes], output: Path | None = None) -> None:
        """`output`: a file for its standard output, for a program that talks more than a pipe takes unread."""
        self.errors = errors
        self.ready: dict[str, Any] = {}
        self._output = output
        with output.open("ab") if output else contextlib.nullcontext(subprocess.PIPE) as stdout:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=stdout, stderr=errors, preexec_fn=_die_with_parent,
                # Its own session: Ctrl-C comes to us alone, and we end what we started, in order and by pid.
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self, timeout: float) -> dict[str, Any]:
        """Wait for the next JSON line (in a file: the first). Raises ProbeFailed."""
        stdout = self.process.stdout
        end = time.monotonic() + timeout
        if stdout is None:
            return self._from_file(end)
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise ProbeFailed(f"no answer within {timeout:.0f} s")
            data = os.read(stdout.fileno(), 65536)
            if not data:
                self.process.wait()
                raise ProbeFailed(f"ended with status {self.process.returncode}: {self.last_words()}")
            line += data
            if not line.lstrip().startswith(b"{"):  # a line for people
                line = line.rpartition(b"\n")[2]
        try:
            found = json.loads(line.strip().split(b"\n")[-1])
        except ValueError as error:
            raise ProbeFailed(f"not a line of JSON: {line[:200]!r}") from error
        return dict(found)

    def _from_file(self, end: float) -> dict[str, Any]:
        assert self._output is not None
        while time.monotonic() < end:
            for line in self._output.read_text().splitlines(keepends=True):
                if line.startswith("{") and line.endswith("\n"):
                    return dict(json.loads(line))
            if self.process.poll() is not None:
                raise ProbeFailed(f"ended with status {self.process.returncode}: {self.last_words()}")
            time.sleep(0.02)
        raise ProbeFailed(f"not ready in time: {self.last_words()}")

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def last_words(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()[-_LAST_WORDS:]

    def end(self, patience: float = 10.0) -> None:
        """End of input, then SIGTERM, then SIGKILL; returns when it is gone."""
        process = self.process
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        for step, seconds in ((signal.SIGTERM, 0.3), (signal.SIGTERM, patience), (signal.SIGKILL, patience)):
            try:
                process.wait(seconds if process.poll() is None else 0)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(step)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        self.errors.close()


class Lab:
    """The means of one case and the place for its samples.

    Invariant: every process started here is in `_children` until it is gone; `close` leaves none.
    """

    def __init__(self, case: Case, scale: Scale, progress: Callable[[str], None]) -> None:
        self.case = case
        self.scale = scale
        self.results = {row.key: Result(row) for row in case.rows}
        self._progress = progress
        self._children: list[Child] = []
        self._scratch: Path | None = None

    # what a case says

    def rounds(self, most: int | None = None) -> Iterator[int]:
        """Count the rounds; progress is shown."""
        count = min(_ROUNDS[self.scale], most or 99)
        for number in range(count):
            self._progress(f"round {number + 1} of {count}")
            yield number

    def pick(self, smoke: T, quick: T, full: T) -> T:
        """A size for the scale of this run."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.scale]

    def memory(self, key: str, sample: float) -> None:
        """As `value`. Memory that does not grow was hidden in what lay free before: no figure, but in a smoke run."""
        if sample <= 0 and self.scale != "smoke":
            raise ProbeFailed(
                f"the server's memory did not grow ({sample:.3g}): too few of them for a figure"
            )
        self.value(key, sample)

    def value(self, key: str, sample: float) -> None:
        self.results[key].samples.append(sample)

    def peer(self, key: str, name: str, measure: Callable[[], float]) -> float | None:
        """Measure a peer for a row. A peer that fails costs its own figure only."""
        result = self.results[key]
        assert name in result.row.peers, name
        try:
            sample = measure()
        except ProbeFailed as error:
            result.peer_errors[name] = str(error)
            return None
        result.peer_samples.setdefault(name, []).append(sample)
        return sample

    def failed(self, keys: tuple[str, ...], error: Exception) -> None:
        """These rows could not be measured; the case goes on with others."""
        for key in keys:
            self.results[key].error = str(error)

    def note(self, key: str, kind: str, text: str) -> None:
        """A remark to a row; `kind` names it, and the last one of a kind counts."""
        self.results[key].notes[kind] = text

    # processes

    def probe(self, function: str, *, timeout: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Run `module:function` of this package in a new Python to its end and return what it returned."""
        with self.running(function, timeout=timeout, **parameters) as child:
            return child.ready

    @contextlib.contextmanager
    def running(self, function: str, *, timeout: float = 30.0, **parameters: Any) -> Iterator[Child]:
        """A server, or a client that waits to be told, for the length of the block; `child.ready` is what it said."""
        command = [sys.executable, "-m", PROBE, function, json.dumps(parameters)]
        with self.launched(command, function, timeout) as child:
            yield child

    @contextlib.contextmanager
    def launched(
        self, command: list[str], name: str, timeout: float, output: Path | None = None
    ) -> Iterator[Child]:
        """Likewise any program that prints a line of JSON when it is ready, or at its end."""
        child = Child(command, tempfile.TemporaryFile(), output)  # noqa: SIM115 - closed by Child.end
        self._children.append(child)
        try:
            try:
                child.ready = child.answer(timeout)
            except ProbeFailed as error:
                raise ProbeFailed(f"{name}: {error}") from None
            yield child
        finally:
            self.end(child)

    def end(self, child: Child) -> None:
        child.end()
        self._children.remove(child)

    # space

    @property
    def scratch(self) -> Path:
        """A directory on the disk that a node would use, gone with the lab."""
        if self._scratch is None:
            var = ROOT / "var"
            var.mkdir(mode=0o700, exist_ok=True)
            _sweep(var)
            self._scratch = Path(tempfile.mkdtemp(prefix=f"bench-{os.getpid()}-", dir=var))
        return self._scratch

    def close(self) -> None:
        for child in self._children:
            child.end(patience=2.0)
        self._children.clear()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


# internals


def _sweep(var: Path) -> None:
    """Remove what benchmarks that were killed have left."""
    for left in var.glob("bench-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _die_with_parent() -> None:
    """In the new process: get SIGTERM when the benchmark is killed, so that nothing stays behind. Linux only."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
