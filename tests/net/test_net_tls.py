"""TLS: names, reload on change, wrong certificates, noise, slow handshakes."""

from __future__ import annotations

import select
import shutil
import subprocess  # not gevent's: its SIGCHLD handler would take the exit status of others' children
import ssl as plain_ssl
import sys

import gevent
import pytest
from gevent import ssl

from runtime.kernel import TIMEOUT, blocking, receive, self_
from runtime.net import (
    CertificateError,
    ConnectError,
    Line,
    Listener,
    ListenerConfig,
    TLSConfig,
    connect,
    listener,
)
from runtime.net.key_updates import is_guarded
from tests.net.helpers import Client, Echo, Teller, event, frame, in_connection, listening, until


def served_name(client):
    names = dict(client.sock.getpeercert())["subjectAltName"]
    return next(value for kind, value in names if kind == "DNS")


def test_what_was_agreed_on(authority):
    with listening(Teller, tls=authority.server(alpn=("evergreen/1",))) as pid:
        with Client(pid, authority.context(("evergreen/1", "other"))) as client:
            conn, _ = event("connected")
            assert client.sock.selected_alpn_protocol() == "evergreen/1"
            agreed = conn.tls_info
            assert (agreed.version, agreed.alpn, agreed.name) == ("TLSv1.3", "evergreen/1", "localhost")
            assert client.sock.session.ticket_lifetime_hint == 0 or not client.sock.session.has_ticket


def test_a_client_without_our_alpn_is_refused_if_so_configured(authority):
    with listening(Teller, tls=authority.server(alpn=("evergreen/1",), require_alpn=True)) as pid:
        with Client(pid, authority.context(("h2",))) as client:
            assert client.is_cut()
        until(lambda: listener.info(pid).failed == 1)


def test_tls_1_1_is_refused(authority):
    context = authority.context()
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with listening(Echo, tls=authority.server()) as pid:
        with pytest.raises(OSError):
            Client(pid, context)
        until(lambda: listener.info(pid).failed == 1)


def test_tls_1_2_works_both_ways(authority):
    context = authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening(Echo, tls=authority.server()) as pid, Client(pid, context) as client:
        client.send(b"x" * 100_000)
        assert client.frame() == b"x" * 100_000


def test_names_choose_the_certificate(authority):
    names = {
        "one.test": authority.issue("one.test", file="one"),
        "*.two.test": authority.issue("*.two.test", file="two"),
    }
    with listening(Echo, tls=authority.server(names=names)) as pid:
        for asked, expected in (
            ("one.test", "one.test"),
            ("a.two.test", "*.two.test"),
            ("localhost", "localhost"),
        ):
            with Client(pid, authority.context(), asked) as client:
                assert served_name(client) == expected
                client.send(b"hi")
                assert client.frame() == b"hi"


def test_a_changed_certificate_is_used_for_new_connections_only(authority, tmp_path, clock):
    pem, key = authority.issue("localhost", "old.test", folder=tmp_path)
    with listening(Echo, tls=TLSConfig(pem, key, reload_every=5)) as pid:
        with Client(pid, authority.context(), "old.test") as old:
            authority.issue("localhost", "new.test", folder=tmp_path)
            clock.advance(5.1)
            with Client(pid, authority.context(), "new.test") as new:
                new.send(b"new")
                assert new.frame() == b"new"
            old.send(b"old")
            assert old.frame() == b"old"


def test_a_wrong_new_certificate_is_reported_and_the_old_one_stays(authority, tmp_path, clock):
    pem, key = authority.issue("localhost", folder=tmp_path)
    alarms = []
    tls = TLSConfig(pem, key, reload_every=5)
    with listening(Echo, tls=tls, on_alarm=alarms.append, alarm_cooldown=1000) as pid:
        good = (tmp_path / "server.pem").read_bytes()
        (tmp_path / "server.pem").write_bytes(good[:100])
        clock.advance(5.1)
        clock.advance(5.1)
        assert [(alarm.kind, alarm.raised, alarm.times) for alarm in alarms] == [("certificate", True, 1)]
        assert "server.pem" in alarms[0].text
        with Client(pid, authority.context()) as client:
            client.send(b"x")
            assert client.frame() == b"x"
        (tmp_path / "server.pem").write_bytes(good)
        clock.advance(5.1)
        assert alarms[-1].raised is False
        authority.issue("localhost", file="other", folder=tmp_path)
        shutil.copy(tmp_path / "other.key", tmp_path / "server.key")  # does not fit server.pem
        assert "server.key" in listener.reload_certificates(pid)


def test_the_alarm_of_a_wrong_certificate_stays_until_there_is_a_right_one(authority, tmp_path, clock):
    pem, key = authority.issue("localhost", folder=tmp_path)
    good = (tmp_path / "server.pem").read_bytes()
    alarms = []
    tls = TLSConfig(pem, key, reload_every=5)
    with listening(Echo, tls=tls, on_alarm=alarms.append, alarm_cooldown=20, max_connections=1) as pid:
        (tmp_path / "server.pem").write_bytes(good[:100])
        clock.advance(5.1)
        with Client(pid, authority.context()), Client(pid) as surplus:
            assert surplus.is_cut()  # an alarm of the other kind comes and goes beside it
        for _ in range(10):
            clock.advance(5.1)
        assert listener.info(pid).alarms == ("certificate",)
        (tmp_path / "server.pem").write_bytes(good)
        clock.advance(5.1)
        assert [(alarm.kind, alarm.raised) for alarm in alarms] == [
            ("certificate", True),
            ("max_connections", True),
            ("max_connections", False),
            ("certificate", False),
        ]


def test_a_certificate_that_cannot_be_used_is_refused_at_start(authority, tmp_path):
    with pytest.raises(CertificateError, match="no such file"):
        Listener.start_link(
            ListenerConfig(name="t", protocol=Echo, tls=TLSConfig(str(tmp_path / "none.pem"), "none.key"))
        )


def test_noise_and_http_to_a_tls_port_are_cut_and_logged_once(authority, caplog):
    with listening(Echo, tls=authority.server()) as pid:
        for noise in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00\x01\x02" * 500,
            b"<?xml version='1.0'?>",
            b"\x16\x03\x01\x02\x00\x01",
        ):
            with Client(pid) as client:
                client.raw(noise)
                if noise[0] == 0x16:
                    client.sock.close()
                else:
                    client.is_cut()  # waits for the end; an alert may come before it
        until(lambda: listener.info(pid).failed == 4)
        assert listener.info(pid).connections == 0
    assert len([r for r in caplog.records if "127.0.0.1: tls" in r.getMessage()]) == 1


def test_a_handshake_that_does_not_come_is_ended(authority, clock):
    with listening(Echo, tls=authority.server(), handshake_timeout=10) as pid, Client(pid) as client:
        until(lambda: listener.info(pid).connections == 1)
        clock.advance(5)
        client.raw(b"\x16\x03\x01")
        until(lambda: listener.connections(pid)[0].state == "preparing")
        clock.advance(5.1)
        assert client.is_cut()
        assert listener.info(pid).connections == 0


def test_client_certificates(authority):
    tls = authority.server(client_ca=authority.ca)
    shown = authority.issue("peer-node", file="peer")
    with listening(Teller, tls=tls) as pid:
        port = listener.port(pid)
        mine = connect("127.0.0.1", port, Echo, tls=authority.client(certificate=shown[0], key=shown[1]))
        conn, _ = event("connected")
        assert dict(part[0] for part in conn.tls_info.peer_certificate["subject"]) == {
            "commonName": "peer-node"
        }
        in_connection(conn, lambda c: c.write(b"to the node"))
        event("frames")
        in_connection(conn, lambda c: c.close())
        event("closed")
        assert not mine.alive
        # TLS 1.3 tells the client of a missing certificate only after its own side is done.
        connect("127.0.0.1", port, Teller, tls=authority.client(), args={"to": self_()})
        assert event("closed")[1].kind == "tls"


def test_connect_checks_the_name_and_the_authority(authority, tmp_path):
    from runtime.net import ClientTLS

    with listening(Echo, tls=authority.server()) as pid:
        port = listener.port(pid)
        with pytest.raises(ConnectError, match="certificate is not valid for 'elsewhere.test'"):
            connect(
                "127.0.0.1", port, Echo, tls=ClientTLS(ca_file=authority.ca, server_name="elsewhere.test")
            )
        with pytest.raises(ConnectError, match="tls"):
            connect("127.0.0.1", port, Echo, tls=ClientTLS(server_name="localhost"))
        (tmp_path / "junk.pem").write_text("junk")
        with pytest.raises(CertificateError, match=r"junk\.pem"):
            connect("127.0.0.1", port, Echo, tls=ClientTLS(ca_file=str(tmp_path / "junk.pem")))


def test_a_storm_of_handshakes_does_not_starve_a_connection_that_stands(authority):
    """Handshakes are done a few at a time; between them the others are served."""
    with listening(Echo, tls=authority.server(), name="storm") as busy, listening(Echo, name="calm") as calm:
        with Client(calm) as client:
            storm = []
            tls = plain_ssl.create_default_context(cafile=authority.ca)
            for _ in range(30):
                bare = Client(busy)
                incoming, outgoing = plain_ssl.MemoryBIO(), plain_ssl.MemoryBIO()
                side = tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
                with pytest.raises(plain_ssl.SSLWantReadError):
                    side.do_handshake()
                bare.raw(outgoing.read())
                storm.append(bare)
            client.send(b"x")
            assert client.frame() == b"x"
            for bare in storm:
                assert bare.sock.recv(5)[0] == 0x16
                bare.sock.close()
            until(lambda: listener.info(busy).connections == 0)


def test_a_frame_of_many_records(authority):
    with listening(Teller, tls=authority.server()) as pid, Client(pid, authority.context()) as client:
        client.raw(frame(b"a" * 70_000) + frame(b"b"))
        got = event("frames")[1]
        while len(got) < 2:
            got += event("frames")[1]
        assert got == [b"a" * 70_000, b"b"]


class Lines(Teller):
    framing = Line(1000)

    def frames(self, conn, frames):
        for line in frames:
            conn.write(line.upper())


def test_a_key_update_in_the_middle(authority):
    """RFC 8446 4.6.3: either side may change its keys at any time, and ask the other to."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command here")
    with listening(Lines, tls=authority.server()) as pid:
        command = [
            openssl,
            "s_client",
            "-connect",
            f"127.0.0.1:{listener.port(pid)}",
            "-CAfile",
            authority.ca,
        ]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as client, gevent.Timeout(20):

            def say(line, answer, where):
                client.stdin.write(line + b"\n")
                client.stdin.flush()
                while blocking(where.readline).strip() != answer:
                    pass

            try:
                event("connected")
                say(b"before", b"BEFORE", client.stdout)
                say(b"K", b"KEYUPDATE", client.stderr)  # its command for a key update, both ways
                say(b"between", b"BETWEEN", client.stdout)
                say(b"K", b"KEYUPDATE", client.stderr)
                say(b"after", b"AFTER", client.stdout)
            finally:
                client.kill()
        assert event("closed")[1] in ("peer_closed", "reset")


FLOOD = """
import _ssl, ctypes, socket, ssl, struct, sys
library = ctypes.CDLL(_ssl.__file__)
context = ssl.create_default_context(cafile=sys.argv[2])
into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(into, out, server_hostname="localhost")
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        sock.sendall(out.read())
        into.write(sock.recv(65536))
pointer = ctypes.c_void_p.from_address(id(tls._sslobj) + 24)
for _ in range(100_000):
    assert library.SSL_key_update(pointer, 0) == 1 == library.SSL_do_handshake(pointer)
tls.write(struct.pack(">I", 4) + b"done")
sock.sendall(out.read())
sock.recv(1)
"""


def test_a_flood_of_key_updates_does_not_hold_the_loop(authority):
    if not is_guarded or object.__basicsize__ != 16:
        pytest.skip("no TLS 1.3 by this Python, or no way to make the flood")
    with listening(Teller, tls=authority.server()) as pid, listening(Echo, name="other") as other:
        command = [sys.executable, "-c", FLOOD, str(listener.port(pid)), authority.ca]
        with subprocess.Popen(command) as flood, Client(other) as client, gevent.Timeout(30):
            echoes = 0
            conn, _ = event("connected")
            # It sends everything in one go; nothing is read as long as it computes.
            until(lambda: select.select([conn._socket.fileno()], [], [], 0)[0])
            while (got := receive(timeout=0)) is TIMEOUT:
                client.send(b"x")
                assert client.frame() == b"x"
                echoes += 1
            assert (got[0], got[2]) == ("frames", [b"done"])
            flood.kill()
        assert echoes > 20
        assert event("closed")
