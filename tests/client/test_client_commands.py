"""The commands, as processes, against a scripted server behind real TLS sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.chat.client.client import Client, Stopped, Waiting
from apps.chat.client.connection import CertificateProblem, tls_context
from apps.chat.client.profile import Profile
from apps.chat.client.trouble import stopped_trouble
from apps.chat.native.frames import Deliver, Welcome
from runtime import certificates
from tests.client.model import ScriptedServer
from tests.support.screen import Screen

pytestmark = pytest.mark.plain

USER = "+33612345678"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.development(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(made: certificates.Certificates) -> Iterator[ScriptedServer]:
    with ScriptedServer(str(made.certificate), str(made.key)) as running:
        yield running


class Chat:
    """Runs `chat …` for one profile."""

    def __init__(self, directory: Path, ca: Path, port: int) -> None:
        self.directory = directory
        self.arguments = ["--profile", str(directory), "--ca", str(ca), "--server", f"127.0.0.1:{port}"]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "apps.chat.client", *self.arguments, *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdin=options.get("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, text: str | None = None) -> tuple[str, str]:
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(text, timeout=30)
        assert process.returncode == code, (process.returncode, out, err)
        return out, err


@pytest.fixture
def chat(server: ScriptedServer, made: certificates.Certificates, tmp_path: Path) -> Chat:
    assert made.ca is not None
    return Chat(tmp_path / "profile", made.ca, server.port)


def test_register_asks_for_the_pin_and_whoami_knows(chat: Chat) -> None:
    _, err = chat.run("register", "+33 6 12 34 56 78", text="12345\n")
    assert "PIN" in err
    out, _ = chat.run("whoami", "--json")
    assert json.loads(out)["user"] == USER


def test_a_wrong_pin_is_refused_in_words(chat: Chat) -> None:
    _, err = chat.run("register", USER, "--pin", "00000", code=1)
    assert "wrong PIN (bad_pin)" in err
    assert chat.run("whoami", code=5)


def test_a_wrong_pin_at_the_prompt_is_asked_for_again_as_often_as_the_server_takes_one(chat: Chat) -> None:
    _, err = chat.run("register", USER, text="00000\n\n12345\n")
    assert err.count("not the PIN") == 1
    assert json.loads(chat.run("whoami", "--json")[0])["user"] == USER
    _, err = chat.run("register", USER, "--again", text="00000\n" * 9, code=1)
    assert err.count("not the PIN") == 4
    assert "wrong PIN (bad_pin)" in err


def test_when_throttled_the_pin_already_sent_is_named_and_the_wait_is_in_seconds(
    chat: Chat, server: ScriptedServer
) -> None:
    server.model.throttled = True
    _, err = chat.run("register", USER, code=1)
    assert "in 47 s" in err
    assert f"still works: tools/chat register {USER} --pin PIN" in err
    assert "retry_after" not in err
    screen = Screen(chat.command())
    screen.wait("Your number")
    screen.type(USER + "\r")
    screen.wait("still works")
    screen.type("12345\r")
    screen.wait(f" as {USER}")
    screen.type("\x04")
    assert screen.close() == 0


def test_send_waits_for_the_check_mark(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    chat.run("contacts", "add", "bob", "+33 600 000 002")
    out, _ = chat.run("send", "--to", "bob", "hello", "you", "--json")
    row = json.loads(out)
    assert (row["state"], row["to"], row["text"], row["name"]) == (
        "accepted",
        "+33600000002",
        "hello you",
        "bob",
    )
    assert len(server.model.order) == 1
    _, err = chat.run("send", "--to", "bob", "again", "--wait", "delivered", "--timeout", "1", code=4)
    assert "not delivered within 1 s" in err


def test_send_reports_delivered_and_read(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    process = chat.start("send", "--to", "+33600000002", "hello", "--wait", "read", "--json")
    assert process.stdout is not None
    message = json.loads(process.stdout.readline())["message"]
    with server.lock:
        server.model.push_receipt(USER, "+33600000002", "delivered", (message,))
        server.model.push_receipt(USER, "+33600000002", "read", (message,))
    server.poke()
    out, _ = process.communicate(timeout=10)
    assert [json.loads(line)["state"] for line in out.splitlines()][-1] == "read"
    assert process.returncode == 0


def test_an_unsent_message_goes_out_with_the_next_command(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    with socket.create_server(("127.0.0.1", 0)) as dead:
        port = dead.getsockname()[1]
    _, err = chat.run(
        "send", "--to", "+33600000002", "later", "--server", f"127.0.0.1:{port}", "--timeout", "0.5", code=3
    )
    assert f"nothing listens on 127.0.0.1:{port}" in err
    assert "outbox" in err
    assert server.model.order == []
    chat.run("send", "--to", "+33600000002", "second")
    assert len(server.model.order) == 2


def test_listen_prints_what_waited_and_what_comes_and_stops_at_the_count(
    chat: Chat, server: ScriptedServer
) -> None:
    chat.run("register", USER, "--pin", "12345")
    for body in (b"one", b"two", b"three"):
        server.model.push(USER, body)
    out, _ = chat.run("listen", "--json", "--count", "2", "--read")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["one", "two"]
    assert [read.messages for read in server.model.reads] == [(101, 102)]
    process = chat.start("listen", "--json", "--count", "2")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["text"] == "three"
    server.model.push(USER, b"live")
    server.poke()
    out, _ = process.communicate(timeout=10)
    assert json.loads(out)["text"] == "live"


def test_a_listener_killed_at_any_moment_shows_each_message_once(chat: Chat, server: ScriptedServer) -> None:
    """Issue: killed -9 between showing and acknowledging, it shows a message at most once."""
    chat.run("register", USER, "--pin", "12345")
    shown: list[str] = []
    for n in range(6):
        server.model.push(USER, b"m%d" % n)
        process = chat.start("listen", "--json")
        assert process.stdout is not None
        shown.append(json.loads(process.stdout.readline())["text"])
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=10)
        shown += [json.loads(line)["text"] for line in rest.splitlines()]
    assert shown == [f"m{n}" for n in range(6)]


def test_listen_survives_cuts(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    process = chat.start("listen", "--json", "--count", "3")
    assert process.stdout is not None
    for n in range(3):
        with server.lock:
            server.model.push(USER, b"m%d" % n)
        server.poke()
        assert json.loads(process.stdout.readline())["text"] == f"m{n}"
        if n < 2:
            server.cut()
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert server.model.resumes >= 1


def test_interrupt_leaves_without_a_traceback(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    server.model.push(USER, b"x")
    process = chat.start("listen")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_control_sequence_in_a_message_does_not_reach_the_terminal(
    chat: Chat, server: ScriptedServer
) -> None:
    chat.run("register", USER, "--pin", "12345")
    server.model.push(USER, b"\x1b[2Jgone")
    out, _ = chat.run("listen", "--count", "1")
    assert "\x1b" not in out


def test_the_piped_chat_sends_lines_and_prints_marks(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    server.model.push(USER, b"hi there")
    out, _ = chat.run("chat", "+33600000002", text="hello\n/help\n")
    assert "✓ accepted: hello" in out
    assert len(server.model.order) == 1


def test_the_piped_chat_ends_by_itself_when_nothing_listens(chat: Chat) -> None:
    chat.run("register", USER, "--pin", "12345")
    with socket.create_server(("127.0.0.1", 0)) as dead:
        port = dead.getsockname()[1]
    _, err = chat.run(
        "chat",
        "+33600000002",
        "--timeout",
        "0.3",
        "--server",
        f"127.0.0.1:{port}",
        text="hi\nno newline",
        code=3,
    )
    assert f"2 not sent within 0.3 s: nothing listens on 127.0.0.1:{port}" in err
    out, _ = chat.run("chat", text="to nobody\n", code=2)
    assert "to whom?" in out


def test_a_body_beyond_the_limit_is_refused_before_anything_is_stored(
    chat: Chat, server: ScriptedServer
) -> None:
    chat.run("register", USER, "--pin", "12345")
    journal = chat.directory / "journal"
    for _ in range(2):  # the limit is asked for; the second time it is known
        before = journal.stat().st_size
        _, err = chat.run("send", "--to", "+33600000002", "-", text="x" * 65537, code=1)
        assert "65537 bytes; this server takes up to 65536" in err
        assert journal.stat().st_size == before
    chat.run("send", "--to", "+33600000002", "-", text="y" * 60000 + "\n\n")
    out, _ = chat.run("history")
    assert "… (60001 characters; --json has them all)" in out
    assert len(out) < 700
    (row,) = [json.loads(line) for line in chat.run("history", "--json")[0].splitlines()]
    assert row["text"] == "y" * 60000 + "\n", "exactly one newline is the shell's"


def test_a_client_replaced_is_told_what_to_do(chat: Chat, tmp_path: Path) -> None:
    with Profile(tmp_path / "p") as profile:
        profile.account.user = USER
        trouble = stopped_trouble(Client(profile), Stopped("replaced", "signed off"))
    assert trouble.code == 5
    assert f"tools/chat register {USER} --again" in str(trouble)


def test_a_foreign_certificate_is_named_and_nothing_is_sent(
    chat: Chat, server: ScriptedServer, tmp_path: Path
) -> None:
    other = certificates.development(tmp_path / "other")
    _, err = chat.run("register", USER, "--pin", "12345", "--ca", str(other.ca), code=3)
    assert "certificate of 127.0.0.1" in err
    assert "--ca" in err
    assert not server.model.accounts


def test_an_authority_that_appears_after_the_dial_is_taken_and_a_foreign_one_still_ends_it(
    server: ScriptedServer, made: certificates.Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chat is started while the node makes its first certificates."""
    other = certificates.development(tmp_path / "other")
    assert other.ca is not None
    assert made.ca is not None
    found = tmp_path / "var" / "certificates" / "ca.pem"
    found.parent.mkdir(parents=True)
    found.write_bytes(other.ca.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVERGREEN_CA", raising=False)
    with Profile(tmp_path / "p") as profile:
        profile.account.port = server.port
        client = Client(profile)
        with server.lock:  # it takes the connection, but does not shake hands yet
            news = client.step(0.0)
            fresh = tmp_path / "ca.new"
            fresh.write_bytes(made.ca.read_bytes())
            fresh.replace(found)
        while not any(isinstance(item.event, (Welcome, Stopped)) for item in news):
            news += client.step(1.0)
        assert client.stopped is None
        assert [i.event.why for i in news if isinstance(i.event, Waiting)] == [
            "the node has just made its certificates"
        ]
        client.close()
        found.write_bytes(other.ca.read_bytes())
        client = Client(profile)
        while client.stopped is None:
            client.step(1.0)
        assert client.stopped.code == "certificate"


def test_insecure_is_only_for_this_machine(chat: Chat) -> None:
    with pytest.raises(CertificateProblem, match="only for this machine"):
        tls_context("chat.example", None, insecure=True)
    chat.run("register", USER, "--pin", "12345", "--insecure")


@pytest.mark.parametrize(
    "arguments",
    [
        ["send", "--to", "0612345678", "x"],
        ["register", "12"],
        ["--server", "host:port", "whoami"],
        ["contacts", "remove", "nobody"],
        ["send", "--to", "", "x"],
        ["send", "--to", "+33600000002", "--kind", "", "x"],
    ],
)
def test_wrong_usage_has_its_own_exit_code(chat: Chat, arguments: list[str]) -> None:
    if arguments[0] == "send":
        chat.run("register", USER, "--pin", "12345")
    if arguments[0] == "--server":
        arguments = ["register", USER, "--server", "host:port"]
    _, err = chat.run(*arguments, code=2)
    assert err.startswith("chat: ")
    assert "`" not in err


def test_the_client_resumes_and_waits_longer_each_time(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    with Profile(chat.directory) as profile:
        client = Client(profile)
        while not client.is_ready:
            client.step(1.0)
        server.model.push(USER, b"before")
        server.poke()
        seen: list[Any] = []
        while not any(isinstance(item.event, Deliver) for item in seen):
            seen += client.step(1.0)
        server.cut()
        while not any(isinstance(item.event, Waiting) for item in seen):
            seen += client.step(1.0)
        client.hurry()
        while not client.is_ready:
            seen += client.step(1.0)
        assert server.model.logins == 1
        assert server.model.resumes >= 2
        client.close()


def test_a_port_that_is_not_tls_and_one_that_says_nothing_are_told_apart(chat: Chat, tmp_path: Path) -> None:
    def speak(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        peer.recv(100)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()

    with Profile(tmp_path / "p") as profile, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=speak, args=(listener,), daemon=True).start()
        profile.account.port = listener.getsockname()[1]
        client = Client(profile, insecure=True)
        news: list[Any] = []
        while not any(isinstance(item.event, (Waiting, Stopped)) for item in news):
            news += client.step(1.0)
        (waiting,) = [item.event for item in news if isinstance(item.event, Waiting)]
        assert "does not speak TLS" in waiting.why
        client.close()


def test_the_key_is_never_printed(chat: Chat) -> None:
    out, err = chat.run("register", USER, "--pin", "12345", "--json")
    key = json.loads((chat.directory / "account.json").read_text())["key"]
    assert key not in out + err
    assert key not in "".join(chat.run("whoami"))
    assert (chat.directory / "account.json").stat().st_mode & 0o077 == 0


def test_the_screen_shows_marks_in_place_and_leaves_cleanly(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    chat.run("contacts", "add", "bob", "+33600000002")
    screen = Screen(chat.command("chat", "bob"))
    screen.wait(f" as {USER}")
    screen.wait("bob>")
    screen.type("hello there\r")
    screen.wait("✓")
    with server.lock:
        message = server.model.message
        server.model.push_receipt(USER, "+33600000002", "delivered", (message,))
    server.poke()
    screen.wait("✓✓")
    with server.lock:
        server.model.push(USER, b"and hello to you", "+33600000002")
    server.poke()
    screen.wait("and hello to you")
    server.cut()
    screen.wait("again in")
    screen.type("/retry\r")
    screen.wait("resumed as")
    screen.type("/nonsense\r")
    screen.wait("no command /nonsense")
    screen.type("half a line\x03")
    screen.type("\x04")
    assert screen.close() == 0
    assert server.model.reads


def test_control_c_on_an_empty_line_leaves(chat: Chat, server: ScriptedServer) -> None:
    chat.run("register", USER, "--pin", "12345")
    screen = Screen(chat.command())
    screen.wait("to whom?")
    screen.type("\x03")
    assert screen.close() == 0


def test_the_first_start_on_a_terminal_registers(chat: Chat, server: ScriptedServer) -> None:
    screen = Screen(chat.command())
    screen.wait("Your number")
    screen.type("0612345678\r")
    screen.wait("has no country code")
    screen.type("+336123\r")
    screen.wait("(bad_number)")
    screen.type("+33 6 12 34 56 78\r")
    screen.wait("PIN:")
    screen.type("12345\r")
    screen.wait(f" as {USER}")
    screen.type("\x04")
    assert screen.close() == 0


def test_a_profile_that_cannot_be_made_is_named(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _, err = chat.run("whoami", "--profile", str(tmp_path / "file" / "profile"), code=6)
    assert str(tmp_path / "file") in err
    assert "Traceback" not in err
    _, err = chat.run("whoami", "--profile", str(tmp_path / "file"), code=6)
    assert f"{tmp_path / 'file'} is a file" in err
