"""The server behind the admin HTTP port: its limits, its processes, and what is left of acts and clients that end."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import re

import pytest
from gevent import socket

from runtime.admin import http_looks, http_server
from runtime.admin.http_app import Application
from runtime.admin.http_guard import Guard
from runtime.admin.http_live import encode
from runtime.admin.http_pages import load_pages
from runtime.admin.http_server import HttpServer, Place
from runtime.admin.operations import Denied, Operations
from runtime.admin.recent_log import RecentLog, since
from runtime.code.engine import Engine
from runtime.code.release_log import ReleaseLog
from runtime.code.releaser import Releaser
from runtime.code.roots import Roots
from runtime.kernel import (
    KILL,
    exit,
    is_alive,
    process_info,
    processes,
    receive,
    self_,
    send,
    spawn,
    unlink,
    yield_,
)
from runtime.kernel.scheduler import Stat
from runtime.net.connections import ListenError
from runtime.observe import alarms, slices, snapshot
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import StartError
from runtime.otp.proc_lib import stop
from tests.net.helpers import until

TOKEN = "t" * 40


class World:
    """A server with operations of the tests', under names that the dashboard offers."""

    def __init__(self):
        self.me = self_()
        self.audit = []
        self.operations = Operations()
        self.operations.add("state", lambda request: {"args": dict(request.args), "who": str(request.who)})
        self.operations.add("rollback", self.wait, changes=True)
        self.operations.add("kill", lambda request: 1 / 0, changes=True)
        self.operations.add("confirm", self.deny)
        self.operations.add("push", lambda request: "never")
        self.place = Place(0, Application(Guard(TOKEN), load_pages(), self.operations, self.note))
        self.pid = HttpServer.start(self.place, name=http_server.NAME)

    def note(self, who, operation, what, verdict, changes):
        self.audit.append((str(who), operation, verdict, changes))

    def wait(self, request):
        send(self.me, ("waiting", self_()))
        return receive()

    def deny(self, request):
        raise Denied("odd", "not today", {"day": 7})

    def link(self, timeout=5.0):
        link = socket.create_connection(("127.0.0.1", self.place.port), timeout=timeout)
        return link

    def connections(self):
        return [p for p in processes() if str(process_info(p, "label")["label"]).startswith("dashboard 127")]


def served(test):
    """Run a test, which is a process, with a World of its own."""

    @functools.wraps(test)
    def run(**fixtures):
        world = World()
        try:
            test(world=world, **fixtures)
        finally:
            if is_alive(world.pid):
                stop(world.pid, "shutdown", 5.0)
            until(lambda: world.connections() == [])

    names = list(inspect.signature(test).parameters.values())
    run.__signature__ = inspect.Signature([name for name in names if name.name != "world"])
    return run


def request(path="/api/look/alarms", method="GET", body=b"", *more):
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", *more]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def answer(link):
    """One answer with a Content-Length: (status, body)."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = link.recv(65536)
        assert chunk, data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    while len(body) < length:
        body += link.recv(65536)
    return int(head.split()[1]), body


def rest(link):
    """All until the other side closes."""
    found = b""
    try:
        while chunk := link.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


@served
def test_a_connection_serves_one_request_after_the_other(world):
    with world.link() as link:
        for n in range(5):
            link.sendall(request("/api/act/state", "POST", json.dumps({"n": n}).encode()))
            status, body = answer(link)
            assert (status, json.loads(body)["result"]) == (
                200,
                {"args": {"n": n}, "who": "dashboard (127.0.0.1)"},
            )


@served
def test_what_a_refused_request_still_has_to_say_is_no_request(world):
    """A body that nobody reads must not be taken for what comes next."""
    with world.link() as link:
        inner = request("/api/act/state", "POST", b"{}")
        link.sendall(request("/nothing", "POST", inner))
        assert rest(link).count(b"HTTP/1.1 ") == 1


@served
def test_more_connections_than_there_is_room_for_are_closed(world, monkeypatch):
    monkeypatch.setattr(http_server, "_MOST", 3)
    links = [world.link() for _ in range(3)]
    try:
        for link in links:
            link.sendall(request())
            assert answer(link)[0] == 200
        with world.link() as further:
            assert rest(further) == b""
    finally:
        for link in links:
            link.close()
    until(lambda: world.connections() == [])
    with world.link() as link:
        link.sendall(request())
        assert answer(link)[0] == 200


@served
def test_who_has_no_token_keeps_nobody_out_who_has(world, monkeypatch):
    """All places taken by connections that say nothing, or ask for what everybody may see: the oldest of them goes."""
    monkeypatch.setattr(http_server, "_MOST", 3)
    with world.link() as mine:
        mine.sendall(request())
        assert answer(mine)[0] == 200
        silent = [world.link(), world.link()]
        silent[1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(silent[1])[0] == 200
        with world.link() as further:
            further.sendall(request())
            assert answer(further)[0] == 200
            assert rest(silent[0]) == b""
            mine.sendall(request())
            assert answer(mine)[0] == 200
            assert len(world.connections()) == 3
        for link in silent:
            link.close()


@served
def test_a_flood_of_connections_is_one_line_in_the_log(world, monkeypatch, caplog):
    monkeypatch.setattr(http_server, "_MOST", 2)
    links = [world.link() for _ in range(30)]
    for link in links[:-2]:
        assert rest(link) == b""
    assert caplog.text.count("connections to the dashboard") == 1
    for link in links:
        link.close()


@served
def test_a_second_answer_does_not_wait_for_the_peers_acknowledgement(world):
    """Nagle's algorithm and delayed acknowledgements together are 40 ms for each request."""
    with world.link() as link:
        link.sendall(request())
        assert answer(link)[0] == 200
        (handle,) = {
            one.fileno() for one in map(_socket_of, world.connections()) if one is not None
        }  # fmt: skip
        theirs = socket.socket(fileno=os.dup(handle))
        try:
            assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            theirs.close()


_CROOKED = {
    "a line that is no header": b"junk\r\nOrigin: http://evil.example\r\n",
    "a name with a space": b"Transfer-Encoding : chunked\r\n",
    "a folded line": b"X: a\r\n b\r\n",
    "an empty name": b": x\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 40\r\n",
    "the same length twice": b"Content-Length: 0\r\nContent-Length: 0\r\n",
    "two hosts": b"Host: localhost\r\n",
    "two origins": b"Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
    "two tokens": b"Authorization: Bearer x\r\n",
    "a control character": b"X: a\x00b\r\n",
    "an escape": b"X: a\x1b[31m\r\n",
    "a bare carriage return": b"X: a\rOrigin: http://evil.example\r\n",
    "megabytes of lines": b"".join(b"X-%d: %s\r\n" % (n, b"a" * 60_000) for n in range(90)),
    "many lines": b"".join(b"X-%d: y\r\n" % n for n in range(200)),
}


@pytest.mark.parametrize("lines", list(_CROOKED.values()), ids=list(_CROOKED))
@served
def test_a_head_that_can_be_understood_in_two_ways_is_refused(world, lines):
    """RFC 9112 5.1, 5.2, 6.3: who reads it otherwise than the proxy before it lets somebody smuggle."""
    with world.link() as link:
        try:
            link.sendall(request()[:-2] + lines + b"\r\n" + request("/api/look/store"))
        except ConnectionError:  # it has heard enough
            pass
        found = rest(link)
    assert found.count(b"HTTP/1.") <= 1
    assert b"HTTP/1.1 2" not in found
    assert is_alive(world.pid)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz  HTTP/1.1\r\n\r\n",
    ],
)
@served
def test_half_a_request_is_none(world, begun):
    """HTTP/0.9, and a head after which the peer ends."""
    with world.link() as link:
        link.sendall(begun)
        link.shutdown(socket.SHUT_WR)
        found = rest(link)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Security-Policy" in found


@served
def test_every_refusal_has_the_same_form(world):
    """{"kind", "text"} as JSON, with the headers that every answer has."""
    for data, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414),
        (request("/nothing"), 404),
        (request("/api/look/nothing"), 404),
        (request("/api/look/process?pid=nobody"), 404),
        (request("/api/look/home", "PUT"), 405),
        (request("/", "GET", b"", "Origin: http://evil.example"), 403),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
        (request("/api/act/state", "POST", b"[]"), 400),
        (request("/api/act/state", "POST", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"), 400),
        (request("/api/act/confirm", "POST", b"{}"), 409),
    ):
        with world.link() as link:
            link.sendall(data)
            found, body = answer(link)
            assert found == status, data[:80]
            told = json.loads(body)
            assert told["kind"]
            assert told["text"]


@served
def test_a_first_line_that_comes_drop_by_drop_is_cut_off(world, monkeypatch):
    monkeypatch.setattr(http_server, "_HEAD", 0.1)
    with world.link() as link:
        drops(link, b"GET /" + b"a" * 4_000)
        assert not rest(link).startswith(b"HTTP/1.1 200")


@served
def test_a_body_that_comes_drop_by_drop_is_cut_off(world, monkeypatch):
    monkeypatch.setattr(http_server, "_HEAD", 0.1)
    with world.link() as link:
        body = json.dumps({"n": "a" * 4_000}).encode()
        whole = request("/api/act/state", "POST", body)
        link.sendall(whole[: -len(body)])
        drops(link, body)
        rest(link)
    assert world.audit == []


def drops(link, data):
    """Send byte by byte, more often than any limit between two of them, until the other side has had enough."""
    for at in range(len(data)):
        try:
            link.sendall(data[at : at + 1])
            socket.wait_read(link.fileno(), timeout=0.02, timeout_exc=LookupError())
        except LookupError:  # nothing yet: one more
            continue
        except ConnectionError:
            pass
        return
    raise AssertionError("it listened to the end")


def _socket_of(process):
    """The socket that a connection's process reads from: it is in its stack."""
    frame = process.g.gr_frame
    while frame is not None:
        handler = frame.f_locals.get("self")
        if isinstance(handler, http_server._Handler):
            return handler.socket
        frame = frame.f_back
    return None


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local", b"GET / HTTP/1.1\r\n"])
@served
def test_who_says_nothing_more_is_closed(world, monkeypatch, begun):
    monkeypatch.setattr(http_server, "_QUIET", 0.1)
    monkeypatch.setattr(http_server, "_HEAD", 0.1)
    with world.link() as link:
        link.sendall(begun)
        assert not rest(link).startswith(b"HTTP/1.1 200")


@served
def test_a_head_that_comes_drop_by_drop_is_cut_off(world, monkeypatch):
    monkeypatch.setattr(http_server, "_HEAD", 0.1)
    with world.link() as link:
        link.sendall(b"GET / HTTP/1.1\r\n")
        try:
            for n in range(2000):
                link.sendall(b"X-%d: y\r\n" % n)
                socket.wait_read(link.fileno(), timeout=0.02, timeout_exc=LookupError())
                break
        except LookupError:  # nothing yet: one more drop
            pass
        assert not rest(link).startswith(b"HTTP/1.1 200")


@served
def test_a_body_that_does_not_come_is_not_waited_for(world, monkeypatch):
    monkeypatch.setattr(http_server, "_HEAD", 0.1)
    with world.link() as link:
        link.sendall(request("/api/act/state", "POST", b'{"n": 1}')[:-3])
        assert rest(link) == b""
    assert world.audit == []


@served
def test_an_act_is_done_to_its_end_when_its_client_leaves(world):
    with world.link() as link:
        link.sendall(request("/api/act/rollback", "POST", b"{}"))
        _, pid = receive(5.0)
    stop(world.pid, "shutdown", 5.0)
    assert is_alive(pid)
    assert world.audit == []
    send(pid, "done")
    until(lambda: not is_alive(pid))
    assert world.audit == [("dashboard (127.0.0.1)", "rollback", "ok", True)]


@served
def test_refusals_crashes_and_what_is_not_offered(world, crashes):
    for name, kind in (("confirm", "odd"), ("kill", "crash"), ("push", "unknown"), ("nothing", "unknown")):
        with world.link() as link:
            link.sendall(request(f"/api/act/{name}", "POST", b"{}"))
            status, body = answer(link)
            assert (status, json.loads(body)["kind"]) == (409, kind)
    assert [(name, verdict.split(":")[0]) for _, name, verdict, _ in world.audit] == [
        ("confirm", "refused (odd)"),
        ("kill", "crashed"),
    ]


@served
def test_an_act_that_is_killed_in_the_middle_is_in_the_audit(world):
    with world.link() as link:
        link.sendall(request("/api/act/rollback", "POST", b"{}"))
        _, pid = receive(5.0)
        exit(pid, KILL)
        status, body = answer(link)
    assert (status, json.loads(body)["kind"]) == (409, "crash")
    until(lambda: world.audit != [])
    assert world.audit == [("dashboard (127.0.0.1)", "rollback", "ended: 'killed'", True)]


@pytest.mark.parametrize(
    "odd",
    [
        "half \ud800 pair", {"\udcff": 1}, 10**40, float("nan"), float("inf"), b"\xff\x00", {(1, 2): {3}}, {None: 1}, object(),
        [[["deep"]] * 3] * 3, "\u2028</script>",
    ],
)  # fmt: skip
@served
def test_whatever_is_in_a_view_it_is_json(world, monkeypatch, odd):
    """A file's name that is no UTF-8 in the log must not take the log away from everybody."""
    monkeypatch.setitem(http_looks.LOOKS, "alarms", lambda query, memory: {"rows": [odd, 1], "odd": odd})
    with world.link() as link:
        link.sendall(request())
        status, body = answer(link)
    assert status == 200
    assert json.loads(body)["rows"][1] == 1
    assert json.loads(body)["odd"] == json.loads(body)["rows"][0]


@served
def test_very_many_alarms_are_shown_in_part(world):
    keeper = alarms.start_link()
    for n in range(500):
        alarms.set_alarm(("sick", n), "x" * 2_000)
    until(lambda: len(alarms.peek()) == 500)
    with world.link() as link:
        link.sendall(request())
        _, body = answer(link)
    shown = json.loads(body)
    assert len(shown["alarms"]) + shown["more"] == 500
    assert len(body) < 600_000
    unlink(keeper)
    stop(keeper, "shutdown", 5.0)


class Beginning(GenServer):
    """What the code server is like while it makes its first release."""

    def init(self, directory):
        self.releaser = Releaser(Engine(Roots(directory, ["apps"])), ReleaseLog(directory / "log"))


@served
def test_releases_are_shown_while_the_first_is_being_made(world, tmp_path):
    starting = Beginning.start(tmp_path, name="code_server")
    try:
        assert snapshot.releases() == []
        assert snapshot.node_summary()["release"] == ""
    finally:
        stop(starting, "shutdown", 5.0)


@served
def test_what_cannot_even_be_printed_is_json(world, monkeypatch):
    class Rude:
        def __repr__(self):
            raise ValueError("no")

    monkeypatch.setitem(http_looks.LOOKS, "alarms", lambda query, memory: {"rows": [Rude()]})
    with world.link() as link:
        link.sendall(request())
        assert answer(link)[0] == 200


def test_a_large_view_is_made_into_json_in_slices(monkeypatch):
    turns = []
    monkeypatch.setattr(slices, "SLICE", 0.0)

    def other():
        while True:
            turns.append(1)
            yield_()

    pid = spawn(other)
    encode({"rows": [{"n": n} for n in range(400)]})
    exit(pid, KILL)
    assert len(turns) >= 100


def test_the_log_goes_on_when_the_clock_is_set_back_and_is_never_megabytes():
    log = RecentLog()
    logging.getLogger().addHandler(log)
    try:
        for created in (2_000.0, 1_000.0, 1_000.0):
            record = logging.LogRecord("x", logging.WARNING, "", 0, "at %s", (created,), None)
            record.created = created
            log.handle(record)
        first = since(0, "info", 10, 1_000_000)
        assert [one.at for one in first[-3:]] == [2_000.0, 1_000.0, 1_000.0]
        assert len(since(first[-2].number, "info", 10, 1_000_000)) == 1
        for _ in range(300):
            log.handle(logging.LogRecord("x", logging.ERROR, "", 0, "y" * 15_000, (), None))
        assert 900_000 < sum(len(one.text) for one in since(0, "info", 400, 1_000_000)) <= 1_000_000
        assert len(since(0, "info", 400, 10)) == 1
    finally:
        logging.getLogger().removeHandler(log)


@served
def test_a_view_that_fails_is_a_500_without_its_insides(world, monkeypatch, caplog):
    monkeypatch.setitem(http_looks.LOOKS, "alarms", lambda query, memory: 1 / 0)
    with world.link() as link:
        link.sendall(request())
        found = rest(link)
    assert found.startswith(b"HTTP/1.1 500 ")
    assert b"ZeroDivision" not in found
    assert "ZeroDivisionError" in caplog.text


@served
def test_a_connection_whose_process_is_killed_is_closed_and_leaves_no_stack(world, caplog):
    before = Stat.zombies
    with world.link() as idle, world.link() as streaming:
        idle.sendall(request())
        assert answer(idle)[0] == 200
        streaming.sendall(request("/api/live/alarms"))
        assert streaming.recv(65536).startswith(b"HTTP/1.1 200")
        assert len(world.connections()) == 2
        for pid in world.connections():
            exit(pid, KILL)
        rest(idle)
        rest(streaming)
    assert Stat.zombies == before
    assert "failed" not in caplog.text
    assert is_alive(world.pid)


@served
def test_the_end_of_the_server_is_the_end_of_its_connections_and_frees_the_port(world):
    with world.link() as idle, world.link() as streaming:
        idle.sendall(request())
        assert answer(idle)[0] == 200
        streaming.sendall(request("/api/live/alarms"))
        assert streaming.recv(65536)
        stop(world.pid, "shutdown", 5.0)
        rest(idle)
        rest(streaming)
    port = world.place.port
    world.pid = HttpServer.start(world.place)
    assert world.place.port == port
    with world.link() as link:
        link.sendall(request())
        assert answer(link)[0] == 200


@served
def test_the_usual_port_that_is_taken_is_left_for_another_with_a_warning(world, caplog):
    place = Place(world.place.port, world.place.application, may_move=True)
    second = HttpServer.start(place)
    try:
        assert place.port != world.place.port
        assert f"127.0.0.1:{world.place.port}, the dashboard's usual port, is taken" in caplog.text
        assert f"at port {place.port} this time" in caplog.text
        with socket.create_connection(("127.0.0.1", place.port), timeout=5.0) as link:
            link.sendall(request())
            assert answer(link)[0] == 200
    finally:
        stop(second, "shutdown", 5.0)


@served
def test_a_port_that_was_ours_is_waited_for(world, monkeypatch):
    """While the server is started again another program takes its port: that must not end the control socket, too."""
    monkeypatch.setattr(http_server, "_AGAIN", 0.05)
    keeper = alarms.start_link()
    place = world.place
    stop(world.pid, "shutdown", 5.0)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", place.port))
        thief.listen()
        world.pid = HttpServer.start(place)
        until(lambda: [one.id for one in alarms.peek()] == [http_server.ALARM])
        assert "admin.http_port" in alarms.peek()[0].description
    until(lambda: alarms.peek() == [])
    with world.link() as link:
        link.sendall(request())
        assert answer(link)[0] == 200
    stop(world.pid, "shutdown", 5.0)
    unlink(keeper)
    stop(keeper, "shutdown", 5.0)


@served
def test_a_port_that_cannot_be_had_says_so(world):
    with pytest.raises(StartError) as failed:
        HttpServer.start(Place(world.place.port, world.place.application))
    assert isinstance(failed.value.reason, ListenError)
    assert "admin.http_port" in str(failed.value.reason)
