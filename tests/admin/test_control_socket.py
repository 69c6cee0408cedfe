"""The control socket: who is let in, requests, events and answers, and what bad, slow, many and leaving clients do."""

from __future__ import annotations

import datetime
import os
import struct
import shutil
import socket as plain
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent import socket

from runtime.admin import control, wire
from runtime.admin.client import Client, NotConnected, OperationFailed, TLSFiles
from runtime.admin.operations import Denied, Operations
from runtime.kernel import KILL, blocking, exit, receive, receive_match, self_, send, unlink
from runtime.net import listener
from runtime.otp import supervisor
from runtime.otp.child_process import stop_process
from runtime.testing import settle
from tests.net.helpers import until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class World:
    """A control socket with some operations, and what its audit was told."""

    def __init__(self, path):
        self.path = path
        self.me = self_()
        self.audit = []
        self.operations = Operations()
        self.operations.add("echo", lambda request: dict(request.args), doc="what was sent")
        self.operations.add("count", self.count)
        self.operations.add("deny", self.deny)
        self.operations.add("crash", lambda request: 1 / 0)
        self.operations.add("wait", self.wait)
        self.operations.add("change", self.wait, changes=True)
        self.operations.add("strict", lambda request: request.arg("number", int))
        self.operations.add("odd", lambda request: {"path": self.path, "set": {1}})
        self.operations.add("huge", lambda request: b"x" * (wire.MAX_FRAME + 1))

    def context(self, **options):
        return control.Context(self.operations, audit=lambda *said: self.audit.append(said), **options)

    def count(self, request):
        for number in range(request.args["to"]):
            request.progress("counted", number=number)
        return "done"

    def deny(self, request):
        request.what = "the thing"
        raise Denied("no", "not today", {"until": "tomorrow"})

    def wait(self, request):
        send(self.me, ("waiting", request.name, self_()))
        return receive()

    def waiting(self):
        return receive_match(lambda m: isinstance(m, tuple) and m[0] == "waiting")[2]


@contextmanager
def world(tmp_path, *more, **options):
    made = World(tmp_path / "admin.sock")
    made.top = control.start_link([control.unix_listener(str(made.path), made.context(**options)), *more])
    try:
        yield made
    finally:
        stop(made.top)


def stop(top):
    unlink(top)
    stop_process(top, 10.0)


def ask(path, operation, arguments=None, **options):
    """One question by the client that commands use, in a thread: it blocks."""

    def run():
        with Client.connect(path) as client:
            return client.ask(operation, arguments, timeout=10.0, **options)

    return blocking(run)


class Raw:
    """A bare client that says what it likes."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self.hello = self.get()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def get(self):
        return msgpack.unpackb(self.exactly(struct.unpack(">I", self.exactly(4))[0]))

    def frame(self, data):
        self.sock.sendall(struct.pack(">I", len(data)) + data)

    def put(self, **message):
        self.frame(msgpack.packb(message))

    def is_cut(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True


def test_a_question_its_events_and_its_answer(tmp_path):
    with world(tmp_path) as here:
        assert ask(here.path, "echo", {"a": 1, "b": b"\xff"}) == {"a": 1, "b": b"\xff"}
        events = []
        assert ask(here.path, "count", {"to": 3}, on_event=events.append) == "done"
        assert events == [{"stage": "counted", "number": number} for number in range(3)]
        names = [row["name"] for row in ask(here.path, "operations")]
        assert names == sorted(names)
        assert {"echo", "operations"} <= set(names)
        with Raw(here.path) as raw:
            assert raw.hello["hello"] == wire.HELLO
            assert raw.hello["pid"] == os.getpid()


def test_refusals_are_answers_with_their_kind(tmp_path):
    with world(tmp_path) as here:
        with pytest.raises(OperationFailed, match="not today") as caught:
            ask(here.path, "deny")
        assert (caught.value.kind, caught.value.more) == ("no", {"until": "tomorrow"})
        with pytest.raises(OperationFailed, match="knows no operation 'fly'"):
            ask(here.path, "fly")
        with pytest.raises(OperationFailed, match="the argument number is missing"):
            ask(here.path, "strict")
        with pytest.raises(OperationFailed, match="the argument number must not be a str"):
            ask(here.path, "strict", {"number": "7"})
        assert ask(here.path, "strict", {"number": 7}) == 7


def test_a_crash_is_told_and_ends_nobody_else(tmp_path, crashes):
    with world(tmp_path) as here, Raw(here.path) as raw:
        raw.put(id=1, op="crash")
        answer = raw.get()
        assert (answer["id"], answer["ok"], answer["kind"]) == (1, False, "crash")
        assert "ZeroDivisionError" in answer["text"]
        raw.put(id=2, op="echo", args={})
        assert raw.get() == {"id": 2, "ok": True, "result": {}}
        assert len(crashes) == 1
        until(lambda: [row[1] for row in here.audit] == ["crash", "echo"] or len(here.audit) == 2)
        assert any("crashed" in row[3] for row in here.audit)


def test_a_killed_request_is_answered_too(tmp_path):
    with world(tmp_path) as here, Raw(here.path) as raw:
        raw.put(id=1, op="wait")
        exit(here.waiting(), KILL)
        assert raw.get()["kind"] == "crash"


def test_values_without_a_plain_form_are_shown_as_text(tmp_path):
    with world(tmp_path) as here:
        assert ask(here.path, "odd") == {"path": str(here.path), "set": "{1}"}


def test_an_answer_too_big_is_refused_in_a_sentence(tmp_path):
    with world(tmp_path) as here, pytest.raises(OperationFailed, match="ask for less"):
        ask(here.path, "huge")


def test_everything_is_audited_with_who_asked(tmp_path):
    with world(tmp_path) as here:
        with pytest.raises(OperationFailed):
            ask(here.path, "deny")
        (who, operation, what, verdict, changes), *rest = here.audit
        assert rest == []
        assert who.is_local
        assert str(who) == f"uid {os.geteuid()} (pid {os.getpid()})"
        assert (operation, what, verdict, changes) == ("deny", "the thing", "refused (no): not today", False)


def test_requests_of_one_connection_run_side_by_side(tmp_path):
    with world(tmp_path) as here, Raw(here.path) as raw:
        raw.put(id=1, op="wait")
        first = here.waiting()
        raw.put(id=2, op="echo", args={"n": 2})
        assert raw.get()["id"] == 2
        raw.put(id=1, op="echo")
        assert "still under way" in raw.get()["text"]
        send(first, "now")
        assert raw.get() == {"id": 1, "ok": True, "result": "now"}


def test_too_many_requests_of_one_connection_are_refused(tmp_path):
    with world(tmp_path) as here, Raw(here.path) as raw:
        for number in range(1, 18):
            raw.put(id=number, op="wait")
        assert raw.get()["kind"] == "busy"
        waiting = [here.waiting() for _ in range(16)]
        for pid in waiting:
            send(pid, "go")
        assert {raw.get()["id"] for _ in range(16)} == set(range(1, 17))


def test_a_leaving_client_ends_its_questions_but_not_its_changes(tmp_path):
    with world(tmp_path) as here:
        with Raw(here.path) as raw:
            raw.put(id=1, op="wait")
            question = here.waiting()
            raw.put(id=2, op="change")
            change = here.waiting()
        until(lambda: not question.alive)
        assert change.alive
        send(change, "finish")
        until(lambda: not change.alive)
        assert [(row[1], row[3]) for row in here.audit] == [("change", "ok")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1",
        msgpack.packb([1, 2]),
        msgpack.packb({"op": "echo"}),
        msgpack.packb({"id": 0, "op": "echo"}),
        msgpack.packb({"id": True, "op": "echo"}),
        msgpack.packb({"id": 1, "op": ["echo"]}),
        msgpack.packb({"id": 1, "op": "echo", "args": [1]}),
        msgpack.packb({"id": 1, "op": "echo", "args": {1: 2}}),
        b"\x91" * 5000 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\xa2id",
        b"\x83\xa2id\x01\xa2op\xa4echo\xa4args\x81\xa1a\xdc\x4e\x20"
        + (b"\xdc\x00\xff" + b"\x90" * 255) * 20_000,
    ],
    ids=range(14),
)
def test_bad_messages_are_refused_and_the_node_lives(tmp_path, data, crashes):
    with world(tmp_path) as here:
        with Raw(here.path) as raw:
            raw.frame(data)
            answer = raw.get()
            assert (answer["id"], answer["kind"]) == (0, "format")
            assert raw.is_cut()
        assert ask(here.path, "echo") == {}
        assert crashes == []


def test_a_huge_frame_is_refused_by_its_head_alone(tmp_path):
    with world(tmp_path) as here, Raw(here.path) as raw:
        raw.sock.sendall(struct.pack(">I", wire.MAX_FRAME + 1) + b"x")
        assert "is the limit" in raw.get()["text"]
        assert raw.is_cut()


def test_a_frame_at_the_limit_goes_both_ways(tmp_path):
    with world(tmp_path) as here:
        data = os.urandom(1 << 16) * (wire.MAX_FRAME // (1 << 16) - 1)
        assert ask(here.path, "echo", {"a": data}) == {"a": data}


def test_the_client_refuses_to_send_what_is_too_big(tmp_path):
    with world(tmp_path) as here, pytest.raises(OperationFailed, match="is the limit"):
        ask(here.path, "echo", {"a": b"x" * wire.MAX_FRAME})


def test_a_client_that_sends_byte_by_byte_is_served(tmp_path):
    with world(tmp_path) as here, Raw(here.path) as raw:
        body = msgpack.packb({"id": 5, "op": "echo", "args": {"x": "y"}})
        for byte in struct.pack(">I", len(body)) + body:
            raw.sock.sendall(bytes([byte]))
            settle()
        assert raw.get()["result"] == {"x": "y"}


def test_a_half_frame_and_an_idle_client_are_cut_off_in_the_end(tmp_path, clock):
    with world(tmp_path) as here, Raw(here.path) as slow, Raw(here.path) as idle, Raw(here.path) as asking:
        slow.sock.sendall(b"\x00\x00")
        asking.put(id=1, op="wait")
        pid = here.waiting()
        clock.advance(200.0)
        assert slow.is_cut()
        assert idle.is_cut()
        send(pid, "still here")
        assert asking.get()["result"] == "still here"


def test_many_clients_at_once(tmp_path):
    with world(tmp_path) as here:
        clients = [Raw(here.path) for _ in range(60)]
        try:
            for number, client in enumerate(clients):
                client.put(id=1, op="echo", args={"n": number})
            assert [client.get()["result"]["n"] for client in clients] == list(range(60))
            # Beyond the limit a client is turned away, and those that are in do not notice.
            more = [socket.socket(socket.AF_UNIX) for _ in range(10)]
            for sock in more:
                sock.settimeout(10)
                sock.connect(str(here.path))
            cut = [sock for sock in more if sock.recv(1) == b""]
            assert len(cut) == 6
            for sock in more:
                sock.close()
        finally:
            for client in clients:
                client.sock.close()


def test_no_node_is_a_friendly_sentence(tmp_path):
    with pytest.raises(NotConnected, match=r"no node runs there \(there is no .*admin.sock\): start one"):
        Client.connect(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(NotConnected, match="nobody answers"):
        Client.connect(tmp_path / "admin.sock")


def test_something_else_behind_the_socket_is_recognised(tmp_path):
    path = str(tmp_path / "admin.sock")

    def answer(words):
        with server.accept()[0] as other:
            other.sendall(words)

    for words in (b"HTTP/1.1 200 OK\r\n\r\n", b"", struct.pack(">I", 1) + b"\xc1"):
        with plain.socket(plain.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            thread = threading.Thread(target=answer, args=(words,))
            thread.start()
            with pytest.raises(NotConnected):
                blocking(Client.connect, tmp_path / "admin.sock")
            thread.join()
        (tmp_path / "admin.sock").unlink()


CHILD = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from runtime.admin.client import Client, NotConnected
os.setgid(65534); os.setuid(65534)
try:
    with Client.connect(Path(sys.argv[1])) as client:
        print("in:", client.ask("echo", {"x": 1}))
except NotConnected as error:
    print(error)
"""


def as_nobody(path):
    command = [sys.executable, "-c", CHILD, str(path), str(Path(__file__).resolve().parents[2])]

    def run():
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    return blocking(run)


@pytest.fixture
def open_path(tmp_path):
    """A folder that everybody may go through: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_another_user_is_kept_out_by_the_files_mode(open_path):
    with world(open_path) as here:
        assert "is another user's" in as_nobody(here.path)


@needs_root
def test_another_user_is_kept_out_by_the_kernels_word(open_path):
    """Even where the file's mode has been opened: the peer's uid decides."""
    with world(open_path) as here:
        here.path.chmod(0o666)
        assert "uid 65534 may not control this node" in as_nobody(here.path)
        assert here.audit == []


@needs_root
def test_a_user_named_in_the_configuration_is_let_in(open_path):
    with world(open_path, uids=frozenset({65534})) as here:
        here.path.chmod(0o666)
        assert "in: {'x': 1}" in as_nobody(here.path)
        assert str(here.audit[0][0]).startswith("uid 65534 (pid ")


@contextmanager
def tls_world(tmp_path, authority):
    authority.issue("alice", file="alice")
    made = World(tmp_path / "admin.sock")
    pem, key = f"{authority.folder}/server.pem", f"{authority.folder}/server.key"
    config = control.tls_listener("127.0.0.1", 0, pem, key, authority.ca, made.context())
    top = control.start_link([config])
    made.port = listener.port(made_listener(top))
    try:
        yield made
    finally:
        stop(top)


def made_listener(top):
    return supervisor.which_children(top)[0].pid


def files(authority, name="alice"):
    return TLSFiles(
        f"{authority.folder}/{name}.pem", f"{authority.folder}/{name}.key", authority.ca, "localhost"
    )


def ask_tls(port, given, operation="echo"):
    def run():
        with Client.connect_tls("127.0.0.1", port, given) as client:
            return client.ask(operation, {"a": 1}, timeout=10.0)

    return blocking(run)


def test_another_machine_shows_its_certificate(tmp_path, authority):
    with tls_world(tmp_path, authority) as here:
        assert ask_tls(here.port, files(authority)) == {"a": 1}
        who = here.audit[0][0]
        assert not who.is_local
        assert str(who) == "certificate commonName=alice (127.0.0.1)"


def test_a_certificate_of_another_authority_is_refused(tmp_path, authority, tmp_path_factory):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "alice.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "alice.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    stranger = TLSFiles(str(tmp_path / "alice.pem"), str(tmp_path / "alice.key"), authority.ca, "localhost")
    with tls_world(tmp_path, authority) as here:
        with pytest.raises((NotConnected, OperationFailed)):
            ask_tls(here.port, stranger)
        assert here.audit == []
        assert ask_tls(here.port, files(authority)) == {"a": 1}


def test_a_client_without_a_certificate_is_refused(tmp_path, authority):
    with tls_world(tmp_path, authority) as here:

        def run():
            sock = socket.create_connection(("127.0.0.1", here.port))
            sock.settimeout(10)
            tls = authority.context().wrap_socket(sock, server_hostname="localhost")
            try:
                return tls.recv(100)
            except OSError:
                return b""
            finally:
                tls.close()

        assert run() == b""
        assert here.audit == []
