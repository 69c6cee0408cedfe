"""A listener: accepts, limits, shakes hands, and starts one connection process for each client.

    pid = Listener.start_link(ListenerConfig(name="native", port=7222, protocol="apps.x:Front", tls=TLSConfig(...)))
    port(pid)

Accepting is sliced: so many connections in one turn of the loop at most, then everybody else is served. Above
`accept_rate` the listener stops accepting for a moment (clients wait in the kernel's backlog); above the other
limits it accepts and closes at once (clients know, and back off). The connections belong to another process
(`connections`), so a crash here, repaired by the supervisor, drops none of them.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import sys
from time import monotonic
from typing import Any

from runtime.kernel import (
    NORMAL,
    Call,
    CallError,
    Exit,
    Process,
    ProcessExit,
    call,
    clock,
    fail,
    loop,
    reply,
    self_,
    send,
    spawn_callback,
    trap_exit,
    unlink,
    whereis,
)
from runtime.net.alarms import Alarms
from runtime.net.connection import Connection, ConnectionInfo, TLSConnection
from runtime.net.connections import Adopt, Connections, DrainAll, ListenError, owner_of
from runtime.net.limits import AddressRates, Rate, TokenBucket, address_key
from runtime.net.listener_config import ListenerConfig, ListenerInfo
from runtime.net.prelude import Prelude, ProxyStep, TLSStep
from runtime.net.stream import Stream
from runtime.net.protocol import resolve
from runtime.net.tls import CertificateError, ServerContexts
from runtime.net import unix

__all__ = [
    "ListenError", "Listener", "ListenerConfig", "ListenerInfo", "connections", "info", "port", "reload_certificates",
    "stop",
]  # fmt: skip

log = logging.getLogger("runtime.net")

_ACCEPTS = 64  # connections accepted in one turn of the loop
_ACCEPT_TIME = 0.001  # seconds of accepting in one turn
_DESCRIPTORS_RETRY = 0.5
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


# types


class _Request:
    """A request to a listener; compared by identity."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<net {self.name}>"


_START, _INFO, _STOP, _RELOAD, _LOOK = map(
    _Request, ("start", "info", "stop", "reload", "look at certificates")
)


class Listener:
    """Behaviour of the listener process. Use the module's functions to talk to it.

    Invariant: the accept watcher is active  <=>  started and neither pausing (`_retry`) nor stopping.
    """

    __slots__ = (
        "_alarms", "_contexts", "_fault", "_owner", "_owner_pid", "_parent", "_pid", "_rate", "_rates", "_reload_timer",
        "_retry", "_socket", "_trusted", "_watcher", "config",
    )  # fmt: skip

    _owner: Connections
    _owner_pid: Process
    _pid: Process
    _socket: socket.socket

    def __init__(self, config: ListenerConfig, parent: Process) -> None:
        now = clock.now()
        self.config = config
        self._parent = parent
        self._alarms = Alarms(config.name, config.alarm_cooldown, config.on_alarm)
        self._rate = TokenBucket(Rate.of(config.accept_rate), now) if config.accept_rate else None
        self._rates = AddressRates(Rate.of(config.address_rate)) if config.address_rate else None
        self._trusted = tuple(ipaddress.ip_network(network) for network in config.proxy_trusted)
        self._contexts: ServerContexts | None = None
        self._watcher: Any = None
        self._retry: Any = None
        self._reload_timer: Any = None
        self._fault: Exception | None = None

    @classmethod
    def start_link(cls, config: ListenerConfig, name: str | None = None) -> Process:
        """Start a listener linked to the caller, its parent. Blocks until it listens.

        Exits with the parent's reason when that ends, or asks it to; before that it stops accepting and gives its
        connections `drain_timeout` seconds.

        Raises:
            ListenError: the address cannot be had (one sentence says why and what to do).
            CertificateError, ProtocolNotFound: before anything is opened.
        """
        resolve(config.protocol)
        behaviour = cls(config, self_())
        if config.tls is not None:
            behaviour._contexts = ServerContexts(config.tls)
        pid: Process = spawn_callback(behaviour, link=True, name=name, label=f"listener {config.name}")
        try:
            call(pid, _START, timeout=None)
        except CallError as error:
            if isinstance(error.reason, ListenError):
                raise error.reason from None
            raise
        return pid

    # callbacks of the process

    def on_message(self, process: Process, message: Any) -> None:
        if message.__class__ is Call:
            self._request(process, message)
        elif message is _LOOK:
            self._reload()
            self._plan_reload(process)
        elif message.__class__ is Exit:
            if message.sender is self._parent or message.sender is None:
                self._stop(message.reason)
            elif message.sender is self._owner_pid:
                raise ProcessExit(message.reason)  # without an owner there is nothing to listen for
        elif message is self._fault and message is not None:
            raise message

    def on_exit(self, process: Process, reason: Any) -> None:
        self._stop_accepting()
        self._alarms.stop()
        if self._reload_timer is not None:
            self._reload_timer.cancel()

    def _request(self, process: Process, message: Call) -> None:
        request = message.request
        if request is _START:
            self._start(process, message)
        elif request is _INFO:
            reply(message, self._info())
        elif request is _RELOAD:
            reply(message, self._reload(force=True))
        elif request is _STOP:
            self._drain()
            reply(message, None)
            raise ProcessExit(NORMAL)
        else:
            fail(message, "unknown_request")

    def _start(self, process: Process, message: Call) -> None:
        trap_exit(True)
        self._pid = process
        config = self.config
        self._owner_pid = owner_of(config.name)
        try:
            self._owner = call(
                self._owner_pid,
                Adopt(process, config.host, config.port, config.backlog, config.keepalive),
                timeout=None,
            )
        except CallError as error:
            unlink(self._parent)  # the caller hears of it by the answer alone
            fail(message, error.reason)
            raise ProcessExit(NORMAL) from None
        assert self._owner.socket is not None
        self._socket = self._owner.socket
        self._watcher = loop().io(self._socket.fileno(), 1)
        self._watcher.start(self._on_acceptable)
        self._plan_reload(process)
        reply(message, None)

    def _stop(self, reason: Any) -> None:
        self._drain()
        raise ProcessExit(reason)

    def _drain(self) -> None:
        """Stop accepting, and wait until the connections are closed. Blocks for up to drain_timeout."""
        self._stop_accepting()
        unlink(self._owner_pid)
        try:
            call(
                self._owner_pid, DrainAll(self.config.drain_timeout), timeout=self.config.drain_timeout + 1.0
            )
        except CallError:
            log.exception("listener %s: its connections did not end in time", self.config.name)

    def _info(self) -> ListenerInfo:
        config, owner = self.config, self._owner
        host, bound = unix.name_of(self._socket)
        if self._socket.family == socket.AF_UNIX:
            host = config.host  # a long path goes by another name in the kernel
        protocol = config.protocol
        return ListenerInfo(
            name=config.name,
            host=host,
            port=bound,
            protocol=protocol
            if isinstance(protocol, str)
            else f"{protocol.__module__}:{protocol.__qualname__}",
            is_tls=config.tls is not None,
            is_accepting=self._watcher is not None and self._watcher.active,
            connections=len(owner.table),
            addresses=len(owner.by_address),
            accepted=owner.accepted,
            refused=owner.refused,
            failed=owner.failed,
            alarms=self._alarms.active(),
        )

    # internals: certificates

    def _plan_reload(self, process: Process) -> None:
        tls = self.config.tls
        if tls is not None and tls.reload_every > 0:
            self._reload_timer = clock.after(tls.reload_every, send, process, _LOOK)

    def _reload(self, force: bool = False) -> str | None:
        """Load changed certificates; return what is wrong with them, if anything is."""
        if self._contexts is None:
            return None
        try:
            if self._contexts.reload(force):
                log.info("listener %s: certificates loaded again", self.config.name)
                self._alarms.clear("certificate")
        except CertificateError as error:
            self._alarms.crossed(
                "certificate", f"the new certificate is not used, the old one stays: {error}", lasts=True
            )
            return str(error)
        return None

    # internals: accepting (hub)

    def _on_acceptable(self) -> None:
        """Hub: clients wait in the backlog. Never raises."""
        try:
            self._accept_some()
        except Exception as error:  # noqa: BLE001 - an error in the hub belongs to the listener's process
            self._watcher.stop()
            self._fault = error
            send(self._pid, error)

    def _accept_some(self) -> None:
        end = monotonic() + _ACCEPT_TIME
        for _ in range(_ACCEPTS):
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    if self._owner.spare.give_up():
                        continue
                    self._alarms.crossed("no_descriptors", f"cannot accept ({error.strerror}); trying again")
                    self._pause(_DESCRIPTORS_RETRY)
                    return
                continue  # this client is gone already (ECONNABORTED and its kin); the next one
            try:
                self._admit(sock, address)
            except Exception:
                sock.close()
                raise
            if self._rate is not None and (wait := self._rate.spend(clock.now())):
                self._alarms.crossed(
                    "accept_rate",
                    f"more than {self.config.accept_rate} clients a second come; they wait in line",
                )
                self._pause(wait)
                return
            if monotonic() > end:
                return

    def _admit(self, sock: socket.socket, address: Any) -> None:
        config = self.config
        if sock.family == socket.AF_UNIX:
            host, port = unix.PEER, unix.peer_pid(sock)
        else:
            # One string for all clients behind one address.
            host, port = sys.intern(address[0].removeprefix("::ffff:")), address[1]
        try:
            if config.proxy_protocol:
                if not any(ipaddress.ip_address(host) in network for network in self._trusted):
                    self._alarms.crossed("untrusted_proxy", f"{host} is no trusted proxy; refused")
                    self._refuse(sock)
                    return
            elif not self._has_room(host, 1):
                self._refuse(sock)
                return
            if config.max_connections is not None and len(self._owner.table) >= config.max_connections:
                self._alarms.crossed(
                    "max_connections", f"{config.max_connections} connections, that is the limit"
                )
                self._refuse(sock)
                return
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()  # reset before we came to it
            return
        self._launch(sock, host, port)

    def _has_room(self, host: str, more: int) -> bool:
        """Check and note the limits per address, for `more` connections beyond those counted."""
        config, key = self.config, address_key(host)
        if config.per_address is not None and self._owner.by_address.get(key, 0) + more > config.per_address:
            self._alarms.crossed(
                "per_address", f"more than {config.per_address} connections from {key}; refused"
            )
            return False
        if self._rates is not None and self._rates.take(key, clock.now()):
            self._alarms.crossed(
                "address_rate", f"{key} connects more than {config.address_rate} a second; refused"
            )
            return False
        return True

    def _admit_behind_proxy(self, conn: Stream, host: str, port: int) -> bool:
        self._owner.rename(conn, host, port)
        return self._has_room(host, 0)

    def _refuse(self, sock: socket.socket) -> None:
        self._owner.refused += 1
        sock.close()

    def _launch(self, sock: socket.socket, host: str, port: int) -> None:
        config = self.config
        steps: list[Any] = []
        if config.proxy_protocol:
            steps.append(ProxyStep(self._admit_behind_proxy))
        if self._contexts is not None:
            contexts = self._contexts
            require = config.tls is not None and config.tls.require_alpn
            steps.append(TLSStep(lambda: contexts.context, server_side=True, require_alpn=require))
        kind = TLSConnection if self._contexts is not None else Connection
        conn = kind(sock, host, port, config, self._owner, Prelude(*steps) if steps else None)
        conn.pid = spawn_callback(conn)
        self._owner.add(conn)
        conn.begin()

    def _pause(self, seconds: float) -> None:
        self._watcher.stop()
        self._retry = clock.after(seconds, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        self._owner.spare.take_back()
        if self._watcher is not None:
            self._watcher.start(self._on_acceptable)

    def _stop_accepting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


# API


def port(listener: Any) -> int:
    """Return the port that is listened on (the real one, where the configuration says 0)."""
    return info(listener).port


def info(listener: Any, timeout: float = 5.0) -> ListenerInfo:
    """Describe a listener. Blocks for its answer."""
    return call(listener, _INFO, timeout)  # type: ignore[no-any-return]


def connections(listener: Any, limit: int = 100) -> list[ConnectionInfo]:
    """Describe up to `limit` connections of a listener (in no order)."""
    pid = whereis(listener) if isinstance(listener, str) else listener
    behaviour = getattr(pid, "behaviour", None)
    if not isinstance(behaviour, Listener):
        return []
    return [conn.info() for conn, _ in zip(list(behaviour._owner.table), range(limit), strict=False)]


def reload_certificates(listener: Any) -> str | None:
    """Load the certificate files now; return None, or what is wrong with them (then the old ones stay)."""
    return call(listener, _RELOAD)  # type: ignore[no-any-return]


def stop(listener: Any, timeout: float | None = None) -> None:
    """Stop accepting, let the connections finish within `drain_timeout`, end. Blocks until it is done."""
    call(listener, _STOP, timeout)
