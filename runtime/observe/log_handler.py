"""A log handler that protects the node from its own log: whatever is logged, and however slow the terminal, disk or pipe is.

Theory of operation: a record is formatted where it is logged (what it speaks of may change) and written by a thread, so
that a full pipe never holds the loop. The number of lines that wait decides what happens to the next one:

    below `sync`     it joins the queue, and whoever logs goes on
    from `sync` on   and a process that logs waits until its line is written: who logs much is slowed down, not the node
    from `drop` on   it is dropped
    from `flush` on  all that wait are dropped

and after `burst` records within `burst_window` seconds the rest of that window is dropped. With `overload_kill`, more than
`kill_lines` lines or `kill_bytes` characters waiting end the handler, as it were: all that wait are dropped, and everything
that comes within `restart_after` seconds. What was dropped is counted, and said when it is over.

Only a process can wait, and only in code of its own: not the loop's callbacks, not a hook of the kernel (a crash report is
made inside a death), not a `__del__`, not under code of others, who may hold a lock: another process of the same thread
would block on it, and with it the loop. If the writer stands still for `sync_wait`, nobody waits any more until it moves.

Source: OTP logger_std_h (logger_olp); logger_std_h_SUITE op_switch_to_*, limit_burst, formatter_fail.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import select
import sys
import sysconfig
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from runtime import kernel
from runtime.observe.log_levels import get_levels, set_level, set_levels
from runtime.kernel import Call, CallError, NotAProcess, Process, clock, post, reply
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply

__all__ = ["LogGate", "LogHandler", "LogInfo", "LogLimits", "get_levels", "set_level", "set_levels"]

_BATCH = 200
_TOLD_EVERY = 0.1
"""Seconds between two looks whether what was dropped can be told (by the thread, and only when there is something)."""
_TOLD_LATER = 2.0
"""The same, while nothing can be written."""

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """When the handler protects itself: lines that wait; records per window; seconds. `burst` 0: no limit.

    `overload_kill` is for what the others cannot bound: few lines, but huge ones. It is off, as in OTP.
    """

    sync: int = 10
    drop: int = 200
    flush: int = 1_000
    burst: int = 500
    burst_window: float = 1.0
    sync_wait: float = 1.0
    overload_kill: bool = False
    kill_lines: int = 20_000
    kill_bytes: int = 3_000_000
    restart_after: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.sync <= self.drop <= self.flush:
            raise ValueError(f"want 1 <= sync <= drop <= flush, not {self.sync}, {self.drop}, {self.flush}")
        if not self.burst >= 0:  # a negative one would drop every record, and never say so
            raise ValueError(f"burst={self.burst!r}: want records, 0 (no limit) or more")
        if not self.burst_window > 0:
            raise ValueError(f"burst_window={self.burst_window!r}: want seconds, more than 0")


class LogInfo(NamedTuple):
    """A look at a handler. `mode`: async, sync, drop, flush or killed; the rest are counts since its start."""

    mode: str
    waiting: int
    written: int
    dropped: int
    flushed: int
    burst_dropped: int
    formatter_failures: int
    """Records that could not be formatted, or whose filter failed; a notice is written in their place."""
    unwritten: int
    """Lines that the file descriptor did not take: a full disk, a reader that has gone."""
    kills: int
    kill_dropped: int


class LogHandler(logging.Handler):
    """Writes records to the file descriptor `fd`. `open` starts it, `close` writes what waits (two seconds at most)."""

    def __init__(
        self, fd: int, formatter: logging.Formatter | None = None, limits: LogLimits | None = None
    ) -> None:
        super().__init__()
        self.limits = limits or LogLimits()
        self.gate: Process | None = None
        self.setFormatter(formatter)
        self._fd = fd
        self._lines: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        self._next = itertools.count(1).__next__
        self._done = 0  # the number of the last line that is written or given up
        self._is_awaited = False
        self._is_stuck = False
        self._window = 0.0
        self._in_window = 0
        self._written = self._dropped = self._flushed = self._burst = self._failures = 0
        self._unwritten = self._kills = self._killed = 0
        self._bytes_in = self._bytes_out = 0  # of loggers, and of the thread: each is counted by one side
        self._dead_until: float | None = None
        self._told: tuple[int, ...] = (0, 0, 0, 0, 0)
        self._look_again = _TOLD_EVERY
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)

    # API

    def open(self) -> None:
        """Start to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and stop."""
        if self._thread.is_alive():
            self._lines.put((0, None))
            self._thread.join(2)
        super().close()

    def mode(self) -> str:
        """Return what happens to the next record, as long as no burst is limited."""
        if self._is_dead():
            return "killed"
        return _mode(self._lines.qsize(), self.limits)

    def info(self) -> LogInfo:
        return LogInfo(
            self.mode(), self._lines.qsize(), self._written, self._dropped, self._flushed, self._burst, self._failures,
            self._unwritten, self._kills, self._killed,
        )  # fmt: skip

    # what logging calls

    def handle(self, record: logging.LogRecord) -> Any:
        """As Handler.handle, without its lock: a thread that holds one would hold the loop, a signal's handler itself."""
        kept: bool | logging.LogRecord
        try:
            kept = self.filter(record)
        except Exception as error:  # noqa: BLE001 - as a formatter's failure; what it was to hide stays hidden
            self._failures += 1
            kept = _notice(record, f"is withheld: a filter failed: {type(error).__name__}")
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        limits = self.limits
        if limits.burst and not self._admits(limits):
            self._burst += 1
            return
        if limits.overload_kill and self._is_overloaded(limits):
            self._killed += 1
            return
        mode = _mode(self._lines.qsize(), limits)
        if mode == "drop":
            self._dropped += 1
            return
        if mode == "flush":
            self._flush()
        number, line = self._next(), self._format(record)
        self._bytes_in += len(line)
        self._lines.put((number, line))
        if mode == "sync" and not self._is_stuck and self.gate is not None:
            self._wait(number)

    # internals of whoever logs

    def _admits(self, limits: LogLimits) -> bool:
        now = clock.now()
        if not 0 <= now - self._window < limits.burst_window:
            self._window, self._in_window = now, 0
        self._in_window += 1
        if self._in_window == limits.burst + 1:
            self._lines.put(
                (0, "")
            )  # the thread is to look for the end of it, even if nothing more is logged
        return self._in_window <= limits.burst

    def _is_dead(self) -> bool:
        return self._dead_until is not None and clock.now() < self._dead_until

    def _is_overloaded(self, limits: LogLimits) -> bool:
        """Tell whether the handler is dead of overload; see to it that it dies if it must."""
        if self._dead_until is not None:
            if clock.now() < self._dead_until:
                return True
            self._dead_until = None
        waiting = self._lines.qsize()
        if not waiting:  # two threads that logged at once may have lost count
            self._bytes_in = self._bytes_out
        if waiting <= limits.kill_lines and self._bytes_in - self._bytes_out <= limits.kill_bytes:
            return False
        self._kills += 1
        self._dead_until = clock.now() + limits.restart_after
        before = self._flushed
        self._flush()
        self._killed += self._flushed - before
        self._flushed = before
        self._lines.put((self._next(), ""))  # for whoever waits for one of them
        return True

    def _flush(self) -> None:
        stop = False
        try:
            while True:
                _, line = self._lines.get_nowait()
                stop = stop or line is None
                self._flushed += bool(line)
                self._bytes_in -= len(line or "")
        except queue.Empty:
            if stop:
                self._lines.put((0, None))

    def _format(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 - a record or formatter that fails must not hurt who logged it
            self._failures += 1
            notice = _notice(record, f"cannot be formatted: {type(error).__name__}")
        try:  # in the form of all others, if that is not what failed
            return self.format(notice)
        except Exception:  # noqa: BLE001 - see above
            return notice.getMessage()

    def _wait(self, number: int) -> None:
        """Let the process that logs wait for its line."""
        if not _may_wait(self.gate):
            return
        try:
            kernel.call(self.gate, number, self.limits.sync_wait)
        except CallError as error:
            if error.reason == kernel.TIMEOUT_REASON and self._done < number:
                self._is_stuck = True

    # internals of the thread

    def _write(self) -> None:
        stopping = False
        while not stopping:
            batch = self._take()
            stopping = any(line is None for _, line in batch)
            lines = [line for _, line in batch if line]
            if self._put_out(lines):
                self._written += len(lines)
            else:
                self._unwritten += len(lines)
            self._bytes_out += sum(map(len, lines))
            self._done = max([self._done, *(number for number, _ in batch)])
            self._is_stuck = False
            gate = self.gate  # once: the loop's thread may take it away at any moment
            if self._is_awaited and gate is not None:
                post(gate, self._done)
            self._tell(stopping)

    def _take(self) -> list[tuple[int, str | None]]:
        """Wait for lines; or, while something is to be told, for the time to tell it."""
        batch: list[tuple[int, str | None]] = []
        try:
            batch.append(self._lines.get(timeout=self._look_again if self._lost() != self._told else None))
            while len(batch) < _BATCH:
                batch.append(self._lines.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _lost(self) -> tuple[int, ...]:
        return self._dropped, self._flushed, self._burst, self._killed, self._unwritten

    def _tell(self, now: bool) -> None:
        """Say what was dropped, once it is over."""
        lost, limits = self._lost(), self.limits
        if lost == self._told:
            return
        is_burst = self._in_window > limits.burst > 0 and clock.now() - self._window < limits.burst_window
        if not now and (is_burst or self._is_dead() or self._lines.qsize() >= limits.drop):
            return
        dropped, flushed, burst, killed, unwritten = (
            new - old for new, old in zip(lost, self._told, strict=True)
        )
        parts = [f"{dropped + flushed} because the log is slower than what is logged"] * bool(
            dropped + flushed
        )
        parts += [f"{burst} of more than {limits.burst} within {limits.burst_window:g} s"] * bool(burst)
        parts += [f"{killed} because so much waited that the log was cut off"] * bool(killed)
        parts += [f"{unwritten} that could not be written"] * bool(unwritten)
        record = logging.LogRecord(
            "evergreen.log", logging.WARNING, __file__, 0,
            f"{dropped + flushed + burst + killed + unwritten} log records were dropped: {', '.join(parts)}", None, None,
        )  # fmt: skip
        if self._put_out([self._format(record)]):
            self._told, self._look_again = lost, _TOLD_EVERY
        else:
            self._look_again = _TOLD_LATER

    def _put_out(self, lines: list[str]) -> bool:
        """Write; tell whether that could be done."""
        data = "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")
        try:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:  # whoever shares the terminal or pipe has made it so
                    select.select([], [self._fd], [])
        except (OSError, ValueError):
            return False  # nowhere to write, and nobody to tell; the node goes on
        return True


class LogGate(GenServer):
    """The process at which those wait who log while the queue is long. Started, it opens the handler's sync mode."""

    def init(self, handler: LogHandler) -> None:
        self.handler = handler
        self.waiting: deque[tuple[int, Call]] = deque()
        handler.gate = kernel.self_()

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """From the kernel, whatever ends it: nobody waits any more."""
        handler = getattr(self, "handler", None)
        if handler is not None:
            handler.gate = None

    def handle_call(self, request: int, sender: Call) -> NoReply:
        self.waiting.append((request, sender))
        self.handler._is_awaited = True  # first this, then the look: the thread does it the other way round
        self.handle_info(self.handler._done)
        return NoReply()

    def handle_info(self, message: Any) -> None:
        if not isinstance(message, int):
            return
        still = deque((number, call) for number, call in self.waiting if number > message and call.process)
        for number, call in self.waiting:
            if number <= message:
                reply(call, None)
        self.waiting = still
        if not still:
            self.handler._is_awaited = False


# Internals

_KERNEL = f"{os.sep}runtime{os.sep}kernel{os.sep}"
_FOREIGN = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_ROOT = Path(__file__).resolve().parents[2]
_KNOWN = tuple(
    f"{place}{os.sep}" for place in (Path(logging.__file__).parent, _ROOT / "runtime", _ROOT / "apps")
)
"""Not foreign, even where all of it is installed: code that holds no lock when it logs."""
_TURNS = frozenset({"_batch", "_drain", "main", "on_message"})
"""Where the kernel gives a process its turn; called from elsewhere in it, code must not wait."""


def _mode(waiting: int, limits: LogLimits) -> str:
    if waiting < limits.sync:
        return "async"
    if waiting >= limits.flush:
        return "flush"
    return "drop" if waiting >= limits.drop else "sync"


def _may_wait(gate: Process | None) -> bool:
    """Tell whether who logs is a living process in code of its own."""
    try:
        me = kernel.self_()
    except NotAProcess:
        return False
    if me is gate or not kernel.is_alive(me):
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if _KERNEL in code.co_filename:
            return code.co_name in _TURNS
        if code.co_name == "__del__":
            return False
        if code.co_filename.startswith(_FOREIGN) and not code.co_filename.startswith(_KNOWN):
            return False
        frame = frame.f_back
    return False


def _notice(record: logging.LogRecord, what: str) -> logging.LogRecord:
    """Return what is said in the place of a record that cannot be shown: where it came from, nothing of what it says."""
    text = f"a record of {record.name} ({record.pathname}:{record.lineno}) {what}"
    return logging.makeLogRecord({**_plain(record), "msg": text})


def _plain(record: logging.LogRecord) -> dict[str, Any]:
    return {key: getattr(record, key) for key in ("name", "levelno", "levelname", "created", "msecs", "pathname", "lineno")}  # fmt: skip
