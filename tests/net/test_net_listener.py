"""Listeners: limits, rates, descriptors, start and stop, and who survives whom."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from gevent import socket

from runtime.kernel import (
    KILL,
    KILLED,
    SHUTDOWN,
    Exit,
    exit,
    monitor,
    receive,
    receive_match,
    self_,
    spawn,
    trap_exit,
    whereis,
)
from runtime.net import (
    Listener,
    ListenerConfig,
    ListenError,
    Protocol,
    ProtocolNotFound,
    Rate,
    connect,
    listener,
)
from runtime.net.connections import Connections
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor
from tests.net.helpers import Client, Echo, Sleeper, Teller, event, in_connection, listening, sockets, until


def down(ref):
    return receive_match(lambda m: getattr(m, "ref", None) is ref, timeout=10).reason


def test_a_taken_port_is_one_clear_sentence():
    with listening(Echo) as pid:
        port = listener.port(pid)
        with pytest.raises(ListenError) as caught:
            Listener.start_link(ListenerConfig(name="second", protocol=Echo, port=port))
        assert str(caught.value) == (
            f"port {port} on 127.0.0.1 is taken by another program: stop that one, or choose another port"
        )
    assert whereis("second.connections") is None


def test_an_address_of_another_machine_and_an_unknown_name():
    with pytest.raises(ListenError, match="no address of this machine"):
        Listener.start_link(ListenerConfig(name="t", protocol=Echo, host="192.0.2.1"))
    with pytest.raises(ListenError, match="name is not known"):
        Listener.start_link(ListenerConfig(name="t", protocol=Echo, host="no.such.name.invalid"))


def test_one_name_one_listener():
    with listening(Echo, name="one"), pytest.raises(ListenError, match="running already"):
        Listener.start_link(ListenerConfig(name="one", protocol=Echo))


def test_an_unknown_protocol_is_refused_at_start():
    for name in ("no_such_module:X", "runtime.net.protocol:Nothing", "runtime.net.protocol"):
        with pytest.raises(ProtocolNotFound):
            Listener.start_link(ListenerConfig(name="t", protocol=name))


def test_a_protocol_is_named_by_module_and_class():
    with listening("tests.net.helpers:Echo") as pid, Client(pid) as client:
        client.send(b"x")
        assert client.frame() == b"x"
        assert listener.connections(pid)[0].protocol == "tests.net.helpers:Echo"


def test_impossible_limits_are_refused():
    for wrong in (
        {"read_low": 10, "read_high": 5},
        {"write_policy": "x"},
        {"port": 70000},
        {"per_address": 0},
    ):
        with pytest.raises(ValueError, match=r"read_|write_|port|per_"):
            ListenerConfig(name="t", protocol=Echo, **wrong)


def test_max_connections_refuses_and_tells_once_until_it_is_over(clock):
    alarms = []
    with listening(Echo, max_connections=2, on_alarm=alarms.append, alarm_cooldown=60) as pid:
        with Client(pid), Client(pid):
            for _ in range(3):
                with Client(pid) as third:
                    assert third.is_cut()
            info = listener.info(pid)
            assert (info.connections, info.refused, info.alarms) == (2, 3, ("max_connections",))
        until(lambda: listener.info(pid).connections == 0)
        with Client(pid) as again:
            again.send(b"room")
            assert again.frame() == b"room"
        clock.advance(61)
        assert [(a.kind, a.raised, a.times) for a in alarms] == [
            ("max_connections", True, 1),
            ("max_connections", False, 3),
        ]


def test_per_address_limit():
    with listening(Echo, per_address=2) as pid:
        with Client(pid), Client(pid), Client(pid) as third:
            assert third.is_cut()
        until(lambda: listener.info(pid).addresses == 0)


def test_address_rate_refuses(clock):
    with listening(Echo, address_rate=Rate(1, 2)) as pid:
        with Client(pid), Client(pid), Client(pid) as third:
            assert third.is_cut()
        clock.advance(1)
        with Client(pid) as later:
            later.send(b"x")
            assert later.frame() == b"x"


def test_accept_rate_makes_clients_wait(clock):
    alarms = []
    with listening(Echo, accept_rate=Rate(1, 2), on_alarm=alarms.append) as pid:
        clients = [Client(pid) for _ in range(4)]
        until(lambda: listener.info(pid).accepted == 2)
        assert not listener.info(pid).is_accepting
        for accepted in (3, 4):
            clock.advance(1.01)
            until(lambda accepted=accepted: listener.info(pid).accepted == accepted)
        clients[-1].send(b"at last")
        assert clients[-1].frame() == b"at last"
        assert alarms[0].kind == "accept_rate"
        for client in clients:
            client.sock.close()


def test_stop_tells_the_protocols_and_waits_for_them():
    with listening(Teller, drain_timeout=5) as pid, Client(pid) as client:
        conn, _ = event("connected")
        port = listener.port(pid)
        waiter = spawn(listener.stop, pid)
        ref = monitor(waiter)
        assert event("draining")[1] == 5
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        in_connection(conn, lambda c: (c.write(b"bye"), c.close(SHUTDOWN)))
        assert client.frame() == b"bye"
        client.sock.close()
        assert event("closed")[1] == SHUTDOWN
        assert down(ref) == "normal"
        assert not pid.alive


def test_stop_closes_what_does_not_end_in_time(clock):
    with listening(Teller, drain_timeout=5) as pid, Client(pid) as client:
        event("connected")
        ref = monitor(spawn(listener.stop, pid))
        event("draining")
        clock.advance(5.1)
        assert event("closed")[1] == SHUTDOWN
        assert down(ref) == "normal"
        assert client.is_cut()


def test_a_callback_that_blocks_for_ever_does_not_hold_up_a_stop(clock):
    with listening(Sleeper, drain_timeout=5) as pid, Client(pid) as client:
        client.send(b"x")
        conn, _ = event("frames")
        ref = monitor(spawn(listener.stop, pid))
        clock.advance(5.1)
        assert down(ref) == "normal"
        assert not conn.pid.alive
        assert client.is_cut()


def test_connections_close_by_themselves_at_stop():
    with listening(Echo) as pid, Client(pid) as client:
        client.send(b"x")
        assert client.frame() == b"x"
        ref = monitor(spawn(listener.stop, pid))
        assert client.rest() == b""
        client.sock.close()
        assert down(ref) == "normal"


def test_the_parents_exit_is_an_orderly_stop():
    trap_exit(True)
    config = ListenerConfig(name="t", protocol=Echo, drain_timeout=1)
    pid = Listener.start_link(config)
    exit(pid, SHUTDOWN)
    assert receive_match(lambda m: isinstance(m, Exit), timeout=5) == Exit(pid, SHUTDOWN)
    assert whereis("t.connections") is None


def test_a_crash_of_the_listener_drops_no_connection_and_keeps_the_port():
    trap_exit(True)
    config = ListenerConfig(name="t", protocol=Echo, drain_timeout=0.2)
    first = Listener.start_link(config)
    port = listener.port(first)
    with Client(first) as client:
        client.send(b"before")
        assert client.frame() == b"before"
        exit(first, KILL)
        assert receive_match(lambda m: isinstance(m, Exit)).reason == KILLED
        client.send(b"meanwhile")
        assert client.frame() == b"meanwhile"
        with Client(port) as early:  # waits in the backlog
            early.send(b"early")
            second = Listener.start_link(config)
            assert listener.port(second) == port
            assert early.frame() == b"early"
            assert listener.info(second).connections == 2
        client.send(b"after")
        assert client.frame() == b"after"
    listener.stop(second)


def test_connections_without_a_listener_are_drained_after_a_while(clock):
    trap_exit(True)
    pid = Listener.start_link(ListenerConfig(name="t", protocol=Teller, args={"to": self_()}))
    with Client(pid):
        event("connected")
        ref = monitor("t.connections")
        exit(pid, KILL)
        clock.advance(10.1)
        event("draining")
        clock.advance(10.1)
        assert event("closed")[1] == SHUTDOWN
        assert down(ref) == "normal"
    receive()


def test_when_the_owner_dies_so_do_listener_and_connections():
    trap_exit(True)
    pid = Listener.start_link(ListenerConfig(name="t", protocol=Echo))
    with Client(pid) as client:
        client.send(b"x")
        client.frame()
        exit("t.connections", KILL)
        assert receive_match(lambda m: isinstance(m, Exit), timeout=5) == Exit(pid, KILLED)
        assert client.is_cut()


def test_an_error_in_the_accept_callback_is_the_listeners_crash(crashes):
    trap_exit(True)
    pid = Listener.start_link(ListenerConfig(name="t", protocol=Echo, drain_timeout=0.2))
    port = listener.port(pid)
    pid.behaviour._rates = "what cannot be"
    with Client(port) as client:
        assert receive_match(lambda m: isinstance(m, Exit), timeout=5).sender is pid
        assert client.is_cut()
    assert crashes[0][1].error == "AttributeError"
    exit("t.connections", KILL)


def test_a_connection_storm_leaves_nothing_behind():
    with listening(Echo, name="storm") as pid:
        before = sockets()
        clients = [Client(pid) for _ in range(200)]
        for n, client in enumerate(clients):
            client.send(b"%d" % n)
        for n, client in enumerate(clients):
            assert client.frame() == b"%d" % n
            client.reset() if n % 2 else client.sock.close()
        until(lambda: listener.info(pid).connections == 0)
        assert sockets() == before


class Greets(Protocol):
    def connected(self, conn):
        conn.write(b"hi")
        conn.close()


def test_a_protocol_that_closes_at_once():
    with listening(Greets) as pid, Client(pid) as client:
        assert client.rest() == b"hi"


def test_ipv6_and_its_networks_count_together():
    from runtime.net.limits import address_key

    assert address_key("2001:db8:1:2:aaaa::1") == address_key("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert address_key("::ffff:10.0.0.1") == "10.0.0.1"
    probe = socket.socket(socket.AF_INET6)
    try:
        probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    finally:
        probe.close()
    with listening(Teller, host="::1") as pid:
        mine = connect("::1", listener.port(pid), Echo)
        conn, _ = event("connected")
        assert conn.peer[0] == "::1"
        exit(mine, KILL)
        event("closed")


EMFILE = """
import resource, sys
import gevent
from gevent import socket
from runtime import kernel
from runtime.net import Listener, ListenerConfig, listener
from tests.net.helpers import Client, Echo

def main():
    alarms = []
    pid = Listener.start_link(ListenerConfig(name="t", protocol=Echo, on_alarm=alarms.append, drain_timeout=0.1))
    port = listener.port(pid)
    clients = [Client(port) for _ in range(10)]
    for c in clients:
        c.send(b"x"); assert c.frame() == b"x"
    late = [socket.socket() for _ in range(3)]
    import os
    used = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
    for s in late:
        s.settimeout(10)
        s.connect(("127.0.0.1", port))
    gevent.sleep(0.05)
    assert [a.kind for a in alarms] == ["no_descriptors"], alarms
    clients[0].send(b"y"); assert clients[0].frame() == b"y"      # the others live
    for c in clients[:5]:
        c.sock.close()
    for s in late:
        s.sendall(b"\\0\\0\\0\\1z")
        assert s.recv(10) == b"\\0\\0\\0\\1z"                       # and the late ones are served when there is room
    for s in (*late, *[c.sock for c in clients]):
        s.close()
    listener.stop(pid)

kernel.run(main)
print("fine")
"""


@pytest.mark.plain
def test_out_of_descriptors_pauses_and_recovers():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EMFILE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_a_supervised_listener_comes_back_on_its_port_and_stops_in_order():
    config = ListenerConfig(name="kept", protocol=Echo, drain_timeout=0.2)
    spec = ChildSpec("kept", start=(Listener.start_link, (config,), {"name": "kept"}), shutdown=5.0)
    trap_exit(True)
    tree = Supervisor.start_link_with(SupFlags(intensity=3), [spec])
    port = listener.port("kept")
    with Client(port) as client:
        first = whereis("kept")
        exit(first, KILL)
        until(lambda: whereis("kept") not in (None, first))
        assert listener.port("kept") == port
        client.send(b"still")
        assert client.frame() == b"still"
        exit(tree, SHUTDOWN)
        assert client.rest() == b""
    assert receive_match(lambda m: isinstance(m, Exit), timeout=5) == Exit(tree, SHUTDOWN)
    assert whereis("kept.connections") is None


def test_the_kernel_looks_after_silent_peers_and_connections_inherit_it():
    with listening(Teller, keepalive=7) as pid, Client(pid):
        accepted, _ = event("connected")
        connected = connect("127.0.0.1", listener.port(pid), Echo, keepalive=7).behaviour
        event("connected")
        for conn in (accepted, connected):
            sock = conn._socket
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 14_000
        connected.close()
        assert event("closed")[1] == "peer_closed"


def test_whoever_has_many_addresses_has_no_more_of_the_log(caplog, clock):
    owner = Connections("test")

    class Peer:
        def __init__(self, n):
            self._host = f"2001:db8:{n >> 8:x}:{n & 255:x}::1"

    for n in range(10_000):
        owner.note(Peer(n), "noise")
    assert len(caplog.records) == 60
    clock.advance(1.0)
    owner.note(Peer(20_000), "noise")
    assert "9940 times before" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 61
