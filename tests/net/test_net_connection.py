"""One connection: batches, coalescing, back-pressure both ways, every way of ending. Plain and TLS alike."""

from __future__ import annotations

import pytest
from gevent import socket

from runtime.kernel import (
    KILL,
    NORMAL,
    Crash,
    ProcessExit,
    Shutdown,
    exit,
    link,
    monitor,
    receive_match,
    send,
    spawn,
)
from runtime.net import ConnectError, connect, listener
from tests.net.helpers import (
    Client,
    Echo,
    Greeter,
    LineTeller,
    Sleeper,
    Teller,
    event,
    frame,
    in_connection,
    listening,
    nothing_waits,
    small_send_buffer,
    until,
)


@pytest.fixture(params=["plain", "tls"])
def security(request, authority):
    """(listener's tls, client's context)"""
    return (None, None) if request.param == "plain" else (authority.server(), authority.context())


def down(ref):
    return receive_match(lambda m: getattr(m, "ref", None) is ref, timeout=10).reason


def test_echo_of_many_frames_in_order(security):
    with listening(Echo, tls=security[0]) as pid, Client(pid, security[1]) as client:
        payloads = [bytes([n % 256]) * n for n in range(500)]
        client.send(*payloads)
        assert [client.frame() for _ in payloads] == payloads


def test_frames_of_one_read_come_as_one_batch(security):
    with listening(Teller, tls=security[0]) as pid, Client(pid, security[1]) as client:
        client.send(*[b"%d" % n for n in range(50)])
        conn, frames = event("frames")
        assert frames == [b"%d" % n for n in range(50)]
        assert conn.info().frames_in == 50


def test_a_large_batch_is_handed_over_in_parts_and_in_order():
    with listening(Teller) as pid, Client(pid) as client:
        client.send(*[b"%d" % n for n in range(1000)])
        client.sock.shutdown(socket.SHUT_WR)
        got = []
        while len(got) < 1000:
            _, frames = event("frames")
            assert len(frames) <= 128
            got += frames
        assert got == [b"%d" % n for n in range(1000)]
        assert event("closed")[1] == "peer_closed"


def test_writes_of_one_turn_are_one_send():
    with listening(Teller) as pid, Client(pid) as client:
        conn, _ = event("connected")
        sends = []
        original = type(conn)._send

        class Counting(type(conn)):
            __slots__ = ()

            def _send(self, data):
                sends.append(len(data))
                return original(self, data)

        conn.__class__ = Counting
        in_connection(conn, lambda c: [c.write(b"x" * 10) for _ in range(100)])
        assert client.exactly(1400) == frame(b"x" * 10) * 100
        assert sends == [1400]


def test_one_megabyte_through_a_tiny_buffer_arrives_whole(security):
    data = bytes(range(256)) * 4000
    with listening(Teller, tls=security[0]) as pid, Client(pid, security[1], receive_buffer=4096) as client:
        conn, _ = event("connected")
        small_send_buffer(conn)
        in_connection(conn, lambda c: c.write(data))
        until(lambda: conn.info().is_stalled)
        assert client.frame() == data
        until(lambda: not conn.info().is_stalled)
        assert conn.write_queue == 0
        assert conn.info().bytes_out == len(data) + 4


def test_writable_tells_of_the_high_and_the_low_mark(security):
    with (
        listening(Teller, tls=security[0], write_high=100_000, write_low=10_000, write_policy="tell") as pid,
        Client(pid, security[1], receive_buffer=4096) as client,
    ):
        conn, _ = event("connected")
        small_send_buffer(conn)
        in_connection(conn, lambda c: c.write(b"x" * 1_000_000))
        assert event("writable")[1] is False
        assert len(client.frame()) == 1_000_000
        assert event("writable")[1] is True


def test_a_reader_that_never_reads_is_closed_after_a_time(clock):
    with listening(Teller, write_high=1000, write_low=500, write_timeout=30, idle_timeout=None) as pid:
        with Client(pid, receive_buffer=4096):
            conn, _ = event("connected")
            small_send_buffer(conn)
            in_connection(conn, lambda c: c.write(b"x" * 1_000_000))
            until(lambda: conn.info().is_stalled)
            clock.advance(29)
            assert conn.is_open
            clock.advance(1.1)
            assert event("closed")[1] == "slow_reader"


def test_a_reader_that_never_reads_is_closed_at_the_byte_limit():
    with listening(Teller, write_high=1000, write_low=500, write_limit=2_000_000) as pid:
        with Client(pid, receive_buffer=4096):
            conn, _ = event("connected")
            ref = monitor(conn.pid)
            in_connection(conn, lambda c: [c.write(b"x" * 500_000) for _ in range(30)])
            assert event("closed")[1] == "slow_reader"
            assert down(ref) == Shutdown("slow_reader")
            assert conn.write_queue == 0


def test_a_reader_that_trickles_is_kept_below_the_high_mark(clock):
    with listening(Teller, write_high=1_000_000, write_timeout=30, idle_timeout=None) as pid:
        with Client(pid, receive_buffer=4096) as client:
            conn, _ = event("connected")
            small_send_buffer(conn)
            in_connection(conn, lambda c: c.write(b"x" * 600_000))
            until(lambda: conn.info().is_stalled)
            for _ in range(4):
                before = conn.write_queue
                clock.advance(20)
                client.exactly(100_000)
                until(lambda before=before: conn.write_queue < before)
            assert conn.is_open


def test_a_flood_is_not_read_while_the_process_is_blocked(security):
    with listening(Sleeper, tls=security[0], read_high=50_000, read_low=10_000) as pid:
        with Client(pid, security[1]) as client:
            client.send(b"first")
            conn, _ = event("frames")
            client.sock.settimeout(0.2)
            written = 0
            with pytest.raises(TimeoutError):  # the window closes
                while written < 100_000_000:
                    client.sock.sendall(frame(b"x" * 996))
                    written += 1000
            info = conn.info()
            assert not info.is_reading
            assert info.unhandled < 200_000
            before = info.frames_in

            while conn.info().frames_in == before:  # it goes on by itself once the process has caught up
                send(conn.pid, "go on")
                event("frames")
            exit(conn.pid, KILL)


def test_pause_and_resume():
    with listening(Teller) as pid, Client(pid) as client:
        conn, _ = event("connected")
        in_connection(conn, lambda c: c.pause())
        client.send(b"a")
        assert in_connection(conn, lambda c: c.info().is_reading) is False
        in_connection(conn, lambda c: c.resume())
        assert event("frames")[1] == [b"a"]


def test_close_sends_what_was_written_and_the_peer_sees_a_clean_end(security):
    with listening(Teller, tls=security[0]) as pid, Client(pid, security[1], receive_buffer=4096) as client:
        conn, _ = event("connected")
        small_send_buffer(conn)
        ref = monitor(conn.pid)
        client.send(b"unread", b"unread")
        in_connection(conn, lambda c: (c.write(b"y" * 300_000), c.close()))
        assert client.rest() == frame(b"y" * 300_000)
        client.sock.close()
        assert event("closed")[1] == NORMAL
        assert down(ref) == NORMAL


def test_close_while_the_peer_keeps_sending_does_not_reset_it():
    """Our last words reach a peer that is in the middle of sending."""
    with listening(Teller) as pid, Client(pid) as client:
        client.raw(b"GET / HTTP/1.1\r\n" * 1000)
        assert event("bad_frame")[1] == ("too_big", (b"GET / HTTP/1.1\r\n" * 4))
        assert client.rest() == frame(b"bad")
        client.sock.close()
        assert event("closed")[1] == "bad_frame"


def test_close_gives_up_after_the_linger_limit(clock):
    with listening(Teller, linger=3, idle_timeout=None) as pid, Client(pid, receive_buffer=4096):
        conn, _ = event("connected")
        small_send_buffer(conn)
        in_connection(conn, lambda c: (c.write_raw(b"y" * 3_000_000), c.close()))
        until(lambda: conn.info().is_stalled)
        clock.advance(2.9)
        assert conn.info().state == "flushing"
        clock.advance(0.2)
        assert event("closed")[1] == NORMAL


def test_a_peer_that_does_not_answer_our_end_is_left_after_a_while(clock):
    with listening(Teller) as pid, Client(pid):
        conn, _ = event("connected")
        in_connection(conn, lambda c: c.close())
        assert conn.info().state == "lingering"
        clock.advance(2.1)
        assert event("closed")[1] == NORMAL


def test_close_without_flush_is_at_once():
    with listening(Teller) as pid, Client(pid) as client:
        conn, _ = event("connected")
        in_connection(conn, lambda c: (c.write(b"never"), c.close("why", flush=False), c.write(b"dropped")))
        assert event("closed")[1] == "why"
        assert client.is_cut()


def test_a_half_closed_peer_gets_its_answer(security):
    if security[0] is not None:
        pytest.skip("half-closing is TCP's")
    with listening(Echo) as pid, Client(pid) as client:
        client.send(b"question")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == frame(b"question")


def test_frames_before_a_reset_are_handed_over_and_then_the_reset():
    with listening(Teller) as pid, Client(pid) as client:
        conn, _ = event("connected")
        ref = monitor(conn.pid)
        client.send(b"a", b"b")
        assert event("frames")[1] == [b"a", b"b"]
        client.reset()
        assert event("closed")[1] == "reset"
        assert down(ref) == Shutdown("reset")


def test_a_reset_while_we_write(security):
    with listening(Teller, tls=security[0]) as pid, Client(pid, security[1], receive_buffer=4096) as client:
        conn, _ = event("connected")
        small_send_buffer(conn)
        in_connection(conn, lambda c: c.write(b"z" * 1_000_000))
        until(lambda: conn.info().is_stalled)
        client.reset()
        assert event("closed")[1] == "reset"


def test_a_crash_of_one_connection_leaves_the_others_and_the_listener(crashes):
    with listening(Echo) as pid, Client(pid) as one, Client(pid) as other:
        one.send(b"crash")
        assert one.is_cut()
        other.send(b"still here")
        assert other.frame() == b"still here"
        assert isinstance(crashes[0][1], Crash)
        until(lambda: listener.info(pid).connections == 1)


def test_closed_is_told_the_exception_of_a_callback_and_what_was_written_goes_out(crashes):
    class Faulty(Teller):
        def frames(self, conn, frames):
            conn.write(b"last words")
            raise RuntimeError("no")

    with listening(Faulty) as pid, Client(pid) as client:
        client.send(b"x")
        assert client.frame() == b"last words"
        assert isinstance(event("closed")[1], RuntimeError)


def test_an_error_in_the_hub_ends_only_its_connection(crashes):
    class Broken:
        def split(self, tail, data):
            raise ZeroDivisionError

        def pack(self, payload):
            return payload

    class Strange(Teller):
        framing = Broken()

    with listening(Strange) as pid, Client(pid) as client, Client(pid) as other:
        client.send(b"x")
        assert isinstance(event("closed")[1], ZeroDivisionError)
        assert crashes[0][1].error == "ZeroDivisionError"
        assert listener.info(pid).connections == 1
        other.sock.close()


def test_killing_an_idle_connection_closes_its_socket(security):
    with listening(Teller, tls=security[0]) as pid, Client(pid, security[1]) as client:
        conn, _ = event("connected")
        exit(conn.pid, KILL)
        assert client.is_cut()
        assert listener.info(pid).connections == 0


def test_a_linked_process_that_fails_ends_the_connection():
    with listening(Teller) as pid, Client(pid) as client:
        conn, _ = event("connected")

        def session():
            link(conn.pid)
            raise ProcessExit("failed")

        spawn(session)
        assert event("closed")[1] == "failed"
        assert client.is_cut()


def test_other_messages_come_to_info():
    with listening(Teller) as pid, Client(pid):
        conn, _ = event("connected")
        send(conn.pid, "anything")
        assert event("info")[1] == "anything"


def test_idle_limit_counts_from_the_last_input(clock):
    with listening(Teller, idle_timeout=60) as pid, Client(pid) as client:
        event("connected")
        clock.advance(50)
        client.send(b"x")
        event("frames")
        clock.advance(55)
        nothing_waits()
        clock.advance(6)
        client.sock.shutdown(socket.SHUT_WR)
        assert event("closed")[1] == "idle"


def test_an_idle_limit_can_be_shortened_and_switched_off(clock):
    with listening(Teller, idle_timeout=600) as pid, Client(pid) as client:
        conn, _ = event("connected")
        conn.set_idle_timeout(None)
        clock.advance(1000)
        nothing_waits()
        conn.set_idle_timeout(2000)
        clock.advance(1001)
        client.sock.shutdown(socket.SHUT_WR)
        assert event("closed")[1] == "idle"


def test_slow_loris(clock):
    """A frame that is begun must be finished in time, however often a byte of it comes."""
    with listening(Teller, frame_timeout=10, idle_timeout=60) as pid, Client(pid) as client:
        conn, _ = event("connected")
        client.raw(frame(b"x" * 100)[:10])
        for n in range(9):
            until(lambda n=n: conn.info().unfinished == 10 + n)
            clock.advance(1)
            client.raw(b"x")
        until(lambda: conn.info().unfinished == 19)
        clock.advance(1.1)
        client.sock.shutdown(socket.SHUT_WR)
        assert event("closed")[1] == "slow_frame"


def test_line_framing_end_to_end():
    with listening(LineTeller) as pid, Client(pid) as client:
        client.raw(b"one\r\ntwo\nthr")
        assert event("frames")[1] == [b"one", b"two"]
        client.raw(b"ee\n")
        conn, frames = event("frames")
        assert frames == [b"three"]
        in_connection(conn, lambda c: c.write(b"four"))
        assert client.exactly(6) == b"four\r\n"


def test_connect_and_talk_both_ends_ours(security, authority):
    tls = authority.client() if security[0] is not None else None
    from runtime.kernel import self_

    with listening(Echo, tls=security[0]) as pid:
        mine = connect("127.0.0.1", listener.port(pid), Teller, tls=tls, args={"to": self_()})
        conn, _ = event("connected")
        assert conn.pid is mine
        assert conn.is_tls == (tls is not None)
        in_connection(conn, lambda c: c.write(b"over"))
        assert event("frames")[1] == [b"over"]
        in_connection(conn, lambda c: c.close())
        assert event("closed")[1] == NORMAL


def test_connect_refused_is_typed(security):
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    with pytest.raises(ConnectError, match="refused"):
        connect("127.0.0.1", closed.getsockname()[1], Echo)
    closed.close()


def test_connect_by_name():
    with listening(Greeter) as pid:
        mine = connect("localhost", listener.port(pid), Echo, timeout=5)
        event("connected")
        exit(mine, KILL)
        assert event("closed")[1] in ("peer_closed", "reset")


def test_connect_times_out_when_the_handshake_is_not_answered(authority):
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    with pytest.raises(ConnectError, match="handshake_timeout"):
        connect("127.0.0.1", silent.getsockname()[1], Echo, tls=authority.client(), timeout=0.2)
    silent.close()
