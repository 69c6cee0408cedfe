"""Unix sockets as listeners: the file and its mode, who is there, files left behind, and paths too long for the kernel."""

from __future__ import annotations

import os
import socket as plain_socket
import stat
from contextlib import contextmanager

import pytest
from gevent import socket

from runtime.kernel import KILL, exit, unlink
from runtime.net import ListenerConfig, ListenError, Listener, listener, unix
from runtime.net.connections import owner_of
from tests.net.helpers import Client, Echo, Teller, event, in_connection, listening, until


@contextmanager
def at(path, protocol=Echo, **options):
    with listening(protocol, host=f"unix:{path}", **options) as pid:
        yield pid


class UnixClient(Client):
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        try:
            with unix._short(str(path)) as address:
                self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise


def test_frames_go_both_ways_and_the_file_is_the_owners_alone(tmp_path):
    path = tmp_path / "sock"
    with at(path) as pid:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with UnixClient(path) as client:
            client.send(b"one", b"x" * 100_000)
            assert [client.frame(), client.frame()] == [b"one", b"x" * 100_000]
        found = listener.info(pid)
        assert (found.host, found.port, found.accepted) == (f"unix:{path}", 0, 1)
    assert not path.exists()


def test_the_kernel_says_who_is_there(tmp_path):
    with at(tmp_path / "sock", Teller), UnixClient(tmp_path / "sock"):
        conn, _ = event("connected")
        assert in_connection(conn, lambda c: c.credentials) == (os.getpid(), os.getuid(), os.getgid())
        assert conn.peer == ("unix", os.getpid())
        assert conn.local == (f"unix:{tmp_path / 'sock'}", 0)
    assert conn.credentials is None


def test_a_tcp_connection_has_no_credentials():
    with listening(Teller) as pid, Client(pid):
        conn, _ = event("connected")
        assert conn.credentials is None


def test_limits_hold_for_all_clients_together(tmp_path):
    with at(tmp_path / "sock", per_address=1) as pid, UnixClient(tmp_path / "sock") as first:
        first.send(b"in")
        assert first.frame() == b"in"
        with UnixClient(tmp_path / "sock") as second:
            assert second.is_cut()
        assert listener.info(pid).refused == 1


def test_the_file_of_a_killed_program_is_replaced(tmp_path):
    path = tmp_path / "sock"
    with plain_socket.socket(plain_socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    with at(path), UnixClient(path) as client:
        client.send(b"here")
        assert client.frame() == b"here"


def test_a_socket_that_is_served_and_a_file_that_is_none_stay(tmp_path):
    path, other = tmp_path / "sock", tmp_path / "letter"
    with at(path):
        with pytest.raises(ListenError, match=r"cannot listen on .*sock: another program serves it"):
            Listener.start_link(ListenerConfig(name="second", protocol=Echo, host=f"unix:{path}"))
        with UnixClient(path) as client:
            client.send(b"still")
            assert client.frame() == b"still"
    other.write_text("dear Anna")
    with pytest.raises(ListenError, match="a file that is no socket lies there"):
        Listener.start_link(ListenerConfig(name="second", protocol=Echo, host=f"unix:{other}"))
    assert other.read_text() == "dear Anna"
    with pytest.raises(ListenError, match="its folder does not exist"):
        Listener.start_link(ListenerConfig(name="t", protocol=Echo, host=f"unix:{tmp_path}/no/sock"))


def test_a_path_longer_than_the_kernel_allows(tmp_path):
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    path = folder / "sock"
    assert len(str(path)) > 107
    for _ in range(2):
        with at(path) as pid, UnixClient(path) as client:
            client.send(b"far")
            assert client.frame() == b"far"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert listener.info(pid).host == f"unix:{path}"
        assert not path.exists()
    # And one left behind there by a program that was killed.
    with unix._short(str(path)) as address, plain_socket.socket(plain_socket.AF_UNIX) as dead:
        dead.bind(address)
    with at(path), UnixClient(path) as client:
        client.send(b"again")
        assert client.frame() == b"again"


def test_a_crashed_listener_takes_its_socket_over_again(tmp_path):
    path = tmp_path / "sock"
    pid = Listener.start_link(ListenerConfig(name="u", protocol=Echo, host=f"unix:{path}", drain_timeout=0.2))
    owner = owner_of("u")
    before = path.stat().st_ino

    unlink(pid)
    exit(pid, KILL)
    until(lambda: not pid.alive)
    pid = Listener.start_link(ListenerConfig(name="u", protocol=Echo, host=f"unix:{path}", drain_timeout=0.2))
    assert owner_of("u") is owner
    assert path.stat().st_ino == before
    with UnixClient(path) as client:
        client.send(b"on")
        assert client.frame() == b"on"
    listener.stop(pid)


def test_a_program_without_a_loop_connects(tmp_path):
    with at(tmp_path / "sock"):
        sock = unix.connect(str(tmp_path / "sock"), 5.0)
        sock.close()
    with pytest.raises(FileNotFoundError):
        unix.connect(str(tmp_path / "sock"))


def test_a_unix_socket_has_no_port():
    with pytest.raises(ValueError, match="has no port"):
        ListenerConfig(name="t", protocol=Echo, host="unix:/x", port=5)
