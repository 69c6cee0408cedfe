"""The embedded engine: LMDB, one writer process, reads in the node.

    applications ── commit_request ──► Link (hub) ══ socket pair ══► writer process ──► data.mdb
         ▲  └── get, scan ──► Reader (read-only, in the node) ◄───────────────────────────┘
         └── Committed ◄── Link

`StoreServer` is the supervised callback process that owns the writer: it starts it, starts the next one when it dies
(nothing is lost: link.py keeps what is unanswered, and the writer knows what it has done), and closes it in order when
it is stopped. Handles are bound to one life of the server: under a supervisor, put the store first and use
`rest_for_one`, so that who holds handles starts anew with it.

If the server itself is killed, its guardian, a process linked to it, tells everyone who waits and closes the socket,
at whose end the writer stops; a writer's lock keeps the next server's writer waiting until then.

Its configuration is lmdb_config.StoreConfig.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runtime import kernel
from runtime.kernel import NORMAL, TIMEOUT, Call, Exit, Pid, Process, ProcessExit, clock, receive_match, reply
from runtime.store import hooks
from runtime.store.contract import CorruptRecord, ShardStore, Store, StoreCorrupt, StoreError, Unavailable
from runtime.store.environment import last_backup
from runtime.store.link import CALL, Drained, Gone, Link, Said
from runtime.store.lmdb_config import StoreConfig, StoreInfo
from runtime.store.lmdb_handles import (
    COMPACT,
    START,
    STOP,
    Commit,
    LmdbShard,
    LmdbStore,
    Open,
    ask,
    child_environment,
    command,
)
from runtime.store.reader import Reader
from runtime.store.wire import Opened, Settings, error_from_wire
from runtime.store.writer import EXIT_DAMAGE

__all__ = ["LmdbShard", "LmdbStore", "StoreConfig", "StoreInfo", "StoreServer", "open_store", "store_of"]

_RESTARTS: Final = 3  # in a row, of writers that died young and without answering anything
_DAMAGE_ALARMS: Final = 1000
_LIVED: Final = 10.0  # seconds
_DRAIN: Final = 4.0  # seconds: less than a supervisor's usual patience of 5


# --- API -------------------------------------------------------------------------------------------------------


class StoreServer:
    """The behaviour of the process that owns the writer. Start it by `start_link` from a child spec."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config
        self.link = Link(config.path, config.max_pending, config.max_pending_bytes)
        self.reader = Reader(config.path, self._damage)
        self.store: LmdbStore | None = None
        self.writer: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._opened: Opened | None = None
        self._session = secrets.token_hex(8)
        self._parent: Pid | None = None
        self._guardian: Process | None = None
        self._idle_deaths = 0
        self._answered = 0
        self._served_at = 0.0
        self._damaged: set[tuple[int, str, bytes]] = set()

    @classmethod
    def start_link(cls, config: StoreConfig, name: str | None = "store") -> Pid:
        """Start the store's process, linked to the caller; returns when the store is open.

        Raises the StoreError that says why it cannot be opened (StoreCorrupt, NewerSchema, ShardCountMismatch,
        StoreLocked, MigrationFailed, StoreFull, Unavailable), or NameTaken.
        """
        pid: Pid = kernel.spawn_callback(cls(config), link=True, name=name, label="store")
        ask(pid, START, None)
        return pid

    def on_message(self, process: Process, message: Any) -> None:
        """Handle one message of the server's own life; commits do not pass here, except those that block."""
        if isinstance(message, Call):
            self._called(process, message)
        elif isinstance(message, Gone):
            if message.generation == self.link.generation:
                self._next_writer()
        elif isinstance(message, Exit) and message.sender in (self._parent, self._guardian):
            self._terminate(message.reason)

    def info(self) -> StoreInfo:
        """Figures, without blocking."""
        link, opened = self.link, self._opened
        return StoreInfo(
            path=self.config.path,
            nshards=opened.nshards if opened else 0,
            schema=opened.schema if opened else 0,
            writer_pid=self.writer.pid if self.writer else 0,
            writer_restarts=self.restarts,
            pending=len(link.pipeline.waiting),
            pending_bytes=link.pipeline.size,
            answered=link.pipeline.answered,
            version=link.base + link.pipeline.answered,
            groups=link.groups,
            latency=link.latency,
            stalled=link.stalled(),
            full=link.pipeline.full,
            **self.reader.info(),
        )

    # --- internals ---------------------------------------------------------------------------------------------

    def _called(self, process: Process, call: Call) -> None:
        request = call.request
        try:
            if isinstance(request, Commit):
                if call.process is None:
                    return  # it was given up before it was sent: applied now, it would overtake what came after
                self.link.submit(request.shard, request.token, request.ops, call, CALL)
            elif isinstance(request, Open):
                self.link.submit(request.shard, None, request.owner, call, CALL)
            elif request == START:
                self._start(process, call)
            elif request == STOP:
                self._terminate(NORMAL, call)
            elif request == COMPACT:
                self._compact()
                reply(call, None)
        except StoreError as error:
            opening = self.store is None
            if opening:
                self._close()
            kernel.fail(call, error)
            if opening:  # nothing to serve; normal, because the starter is told by its call
                raise ProcessExit(NORMAL) from None

    def _start(self, process: Process, call: Call) -> None:
        kernel.trap_exit(True)
        self._parent = call.caller
        self.link.owner = process
        self._guardian = kernel.spawn_callback(_Guardian(self), START, link=True, label="store guardian")
        try:
            opened = self._launch()
        except _DiedOpening as death:
            raise _death(self.config.path, death.status, "the writer died opening it") from None
        self.reader.open()
        self.store = LmdbStore(self, process, opened.nshards)
        reply(call, None)

    def _launch(self) -> Opened:
        """Start a writer and wait until it serves. Raises StoreError, _DiedOpening."""
        config = self.config
        theirs = self.link.connect(
            Settings(
                path=config.path,
                session=self._session,
                nshards=config.nshards,
                migrations=list(config.migrations),
                map_initial=config.map_initial,
                max_size=config.max_size,
                reserve=config.reserve,
                lock_timeout=config.lock_timeout,
                check_upto=0 if self.store else config.check_upto,
            )
        )
        with theirs:
            self.writer = subprocess.Popen(
                [sys.executable, "-P", "-m", "runtime.store.writer", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=child_environment(),
                start_new_session=True,  # a Ctrl-C in the node's terminal is the node's business alone
            )
        generation = self.link.generation
        message = receive_match(
            lambda m: isinstance(m, Said) or (isinstance(m, Gone) and m.generation == generation),
            config.start_timeout,
        )
        if message is TIMEOUT:
            self.writer.kill()
            self.link.disconnect()
            raise Unavailable(f"the store in {config.path} was not open after {config.start_timeout:g} s")
        if isinstance(message, Gone):
            raise _DiedOpening(self._reap())
        if not isinstance(message.answer, Opened):
            self.link.disconnect()
            raise error_from_wire(message.answer.error)
        self._opened = message.answer
        self._answered = self.link.pipeline.answered
        self._served_at = clock.now()
        self.link.opened(message.answer)
        return message.answer

    def _next_writer(self) -> None:
        status = self._reap()
        path = self.config.path
        progress = self.link.pipeline.answered > self._answered or clock.now() - self._served_at > _LIVED
        self._idle_deaths = 0 if progress else self._idle_deaths
        while True:
            self.restarts += 1
            self._idle_deaths += 1
            hooks.alarm("store_writer", True, path=path, status=status, restarts=self.restarts)
            if self._idle_deaths > _RESTARTS:
                # The same batches would be sent to the same end for ever.
                self._fail(_death(path, status, f"{self._idle_deaths} writers died over it"))
            try:
                self._launch()
                break
            except _DiedOpening as death:
                status = death.status
            except StoreError as error:
                self._fail(error)
        hooks.alarm("store_writer", False, path=path, status=status, restarts=self.restarts)

    def _compact(self) -> None:
        # No need to drain: what the writer had not answered is sent again to the next one.
        self.link.disconnect()
        self._reap()
        try:
            command("compact", self.config.path)
        finally:
            try:
                self._launch()
            except StoreError as error:
                self._fail(error)
            except _DiedOpening as death:
                self._fail(_death(self.config.path, death.status, "the writer died after compaction"))
            self.reader.open()

    def _fail(self, error: StoreError) -> NoReturn:
        self._close()
        raise ProcessExit(error)

    def _terminate(self, reason: Any, call: Call | None = None) -> None:
        self._drain(_DRAIN)
        self._close()
        if call is not None:
            reply(call, None)
        raise ProcessExit(reason)

    def _drain(self, timeout: float) -> None:
        if self.link.ready and not self.link.drain():
            generation = self.link.generation
            receive_match(
                lambda m: isinstance(m, Drained) or (isinstance(m, Gone) and m.generation == generation),
                timeout,
            )

    def _close(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            kernel.unlink(guardian)
            kernel.exit(guardian, kernel.KILL)
        self.link.close()
        self.reader.close()
        self._reap()

    def _reap(self) -> int:
        """Wait for the writer's end, which the end of the stream has brought about; its exit status."""
        writer, self.writer = self.writer, None
        if writer is None:
            return 0
        return int(kernel.blocking(_wait, writer))

    def _damage(self, error: CorruptRecord) -> None:
        place = error.shard, error.kind, error.key
        if place in self._damaged or len(self._damaged) >= _DAMAGE_ALARMS:
            return  # told once: whoever reads it again and again must not fill the log
        self._damaged.add(place)
        hooks.alarm(
            "store_corrupt_record",
            True,
            path=self.config.path,
            shard=error.shard,
            kind=error.kind,
            key=error.key,
        )


def store_of(server: Pid | str) -> LmdbStore:
    """The store of a running StoreServer, by its pid or registered name. Raises Unavailable."""
    pid: Any = kernel.whereis(server) if isinstance(server, str) else server
    behaviour = getattr(pid, "behaviour", None)
    if not isinstance(behaviour, StoreServer) or behaviour.store is None or not kernel.is_alive(pid):
        raise Unavailable(f"no store runs as {server!r}")
    return behaviour.store


def open_store(path: str, nshards: int = 64, **options: Any) -> LmdbStore:
    """Open a store in a server of its own, linked to the caller (tests, scripts). Options: StoreConfig."""
    return store_of(StoreServer.start_link(StoreConfig(path=path, nshards=nshards, **options), name=None))


# --- internals -------------------------------------------------------------------------------------------------


class _DiedOpening(Exception):
    """The writer's process ended before it said anything."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Guardian:
    """Cleans up after a server that was killed: nobody may wait for ever, and the writer must go."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server

    def on_message(self, process: Process, message: Any) -> None:
        if message == START:
            kernel.trap_exit(True)
        elif isinstance(message, Exit):
            self._server._guardian = None
            self._server._close()
            raise ProcessExit(NORMAL)


def _death(path: str, status: int, why: str) -> StoreError:
    if status == EXIT_DAMAGE:
        return StoreCorrupt(path, why, last_backup(path))
    if -status in (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT):  # what a ruined tree does to who reads it
        return StoreCorrupt(path, f"{why}, by {signal.Signals(-status).name}", last_backup(path))
    return Unavailable(f"the store in {path}: {why}, with status {status}")


def _wait(writer: subprocess.Popen[bytes]) -> int:
    try:
        return writer.wait(10.0)
    except subprocess.TimeoutExpired:
        # Stuck in the kernel, on a disk that does not answer: it cannot commit anything for us any more.
        writer.kill()
        return writer.wait()


if TYPE_CHECKING:

    def _conform(store: LmdbStore, shard: LmdbShard) -> tuple[Store, ShardStore]:
        return store, shard
