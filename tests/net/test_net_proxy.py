"""PROXY protocol version 2: the header, cut anywhere; trusted and untrusted; before TLS."""

from __future__ import annotations

import socket as plain
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.net import listener
from runtime.net.proxy import MAX_HEADER, ProxyError, needed, parse
from tests.net.helpers import Client, Echo, Teller, event, frame, listening, until

SIGN = b"\r\n\r\n\x00\r\nQUIT\n"


def header(host="203.0.113.9", port=4711, command=1, extra=b""):
    kind = plain.AF_INET6 if ":" in host else plain.AF_INET
    packed = plain.inet_pton(kind, host)
    body = packed + packed + struct.pack("!HH", port, 7222) + extra
    return SIGN + struct.pack("!BBH", 0x20 | command, 0x21 if ":" in host else 0x11, len(body)) + body


@pytest.mark.plain
def test_addresses():
    assert parse(header()) == ("203.0.113.9", 4711)
    assert parse(header("2001:db8::1", 1)) == ("2001:db8::1", 1)
    assert parse(header("::ffff:10.1.2.3", 1)) == ("10.1.2.3", 1)
    assert parse(header(command=0)) is None
    assert parse(SIGN + b"\x21\x00\x00\x00") is None


@pytest.mark.plain
@given(st.integers(0, 27))
def test_a_header_is_asked_for_to_the_byte(got):
    whole = header()
    have = bytearray(whole[:got])
    while missing := needed(have):
        have += whole[len(have) : len(have) + missing]
    assert have == whole


@pytest.mark.plain
def test_what_is_no_header():
    for wrong in (
        b"G",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        SIGN + b"\x11\x11\x00\x0c",
        SIGN + b"\x21\x11" + struct.pack("!H", MAX_HEADER),
    ):
        with pytest.raises(ProxyError):
            needed(wrong)
    for wrong in (SIGN + b"\x21\x11\x00\x04" + b"\1\2\3\4", SIGN + b"\x22\x11\x00\x00"):
        assert needed(wrong) == 0
        with pytest.raises(ProxyError):
            parse(wrong)


@pytest.mark.plain
@given(st.binary(max_size=200))
def test_noise_is_never_more_than_a_proxy_error(noise):
    try:
        if needed(SIGN + noise) <= 0:
            parse(SIGN + noise)
    except ProxyError:
        pass


def test_the_peer_is_who_the_header_says():
    with listening(Teller, proxy_protocol=True) as pid, Client(pid) as client:
        for part in (header()[:5], header()[5:20], header()[20:] + frame(b"first")):
            client.raw(part)
        conn, frames = event("frames")
        assert conn.peer == ("203.0.113.9", 4711)
        assert frames == [b"first"]
        assert listener.info(pid).addresses == 1


def test_before_tls(authority):
    with listening(Echo, proxy_protocol=True, tls=authority.server()) as pid, Client(pid) as client:
        client.raw(header(extra=b"\x04\x00\x01x"))
        client.sock = authority.context().wrap_socket(client.sock, server_hostname="localhost")
        client.send(b"x")
        assert client.frame() == b"x"
        assert listener.connections(pid)[0].peer == ("203.0.113.9", 4711)


def test_a_bad_header_or_none_ends_the_connection(clock):
    with listening(Echo, proxy_protocol=True, handshake_timeout=5) as pid:
        with Client(pid) as client:
            client.raw(frame(b"no header"))
            assert client.is_cut()
        with Client(pid) as client:
            client.raw(header()[:20])
            until(lambda: listener.info(pid).connections == 1)
            clock.advance(5.1)
            assert client.is_cut()
        assert listener.info(pid).connections == 0


def test_only_trusted_networks_may_send_one():
    alarms = []
    with listening(Echo, proxy_protocol=True, proxy_trusted=("10.0.0.0/8",), on_alarm=alarms.append) as pid:
        with Client(pid) as client:
            assert client.is_cut()
        assert alarms[0].kind == "untrusted_proxy"


def test_limits_count_the_address_in_the_header():
    with listening(Echo, proxy_protocol=True, per_address=1) as pid:
        with Client(pid) as one, Client(pid) as two, Client(pid) as other:
            one.raw(header() + frame(b"a"))
            assert one.frame() == b"a"
            two.raw(header(port=1) + frame(b"b"))
            assert two.is_cut()
            other.raw(header("203.0.113.10") + frame(b"c"))
            assert other.frame() == b"c"
        until(lambda: listener.info(pid).addresses == 0)
