"""Alarms that go out: what a webhook gets, what is tried again, what is dropped; a real web server, real apprise."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runtime import kernel
from runtime.kernel import KILL, exit, is_alive, receive_match
from runtime.observe import alarm_sender, alarms, snapshot
from runtime.observe.alarm_sender import AlarmSender, Ways
from runtime.otp import stop
from runtime.testing import settle, until
from tests.observe.observing import lines_of


class Web:
    """Answers with the statuses in `answers`, the last one for ever; a status of 0: not before `go_on` is set."""

    def __init__(self):
        self.got = queue.Queue()
        self.answers = [204]
        self.go_on = threading.Event()
        self.headers = []
        self.elsewhere = ""
        self.is_endless = False
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = web.answers.pop(0) if len(web.answers) > 1 else web.answers[0]
                if not status:
                    web.go_on.wait(20)
                    status = 204
                web.got.put((status, self.headers["Content-Type"], body))
                web.headers.append(self.headers)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", web.elsewhere)
                self.end_headers()
                if web.is_endless:
                    with contextlib.suppress(OSError):
                        while True:
                            self.wfile.write(bytes(65536))

            def do_GET(self):
                web.got.put((0, "GET", b"{}"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-token"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def next(self):
        status, _, body = until(lambda: None if self.got.empty() else self.got.get())
        return status, json.loads(body)

    def close(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def web():
    made = Web()
    yield made
    made.close()


@pytest.fixture
def other():
    made = Web()
    yield made
    made.close()


@contextmanager
def sending(**ways):
    """Alarms, and a sender with these ways."""
    keeper = alarms.start_link()
    sender = AlarmSender.start_link(
        Ways(**{"send_pause": 0.01, "send_timeout": 5.0, "send_retries": 2, **ways}), name=alarm_sender.NAME
    )
    settle()
    try:
        yield sender
    finally:
        for pid in (sender, keeper):
            if is_alive(pid):
                stop(pid)
        settle()


def test_an_alarm_and_its_end_are_posted(web):
    with sending(webhook=web.url):
        alarms.set_alarm(("disk", "/data"), "97% in use", level=logging.ERROR, quiet=True)
        alarms.set_alarm(
            ("disk", "/data"), "98% in use", level=logging.ERROR, quiet=True
        )  # the same alarm: told once
        status, body = web.next()
        assert status == 204
        assert {key: body[key] for key in ("event", "id", "name", "level", "description", "dropped", "node")} == {
            "event": "raised", "id": "disk /data", "name": "disk", "level": "error", "description": "97% in use", "dropped": 0,
            "node": "nonode",
        }  # fmt: skip
        alarms.clear_alarm(("disk", "/data"), quiet=True)
        assert web.next()[1]["event"] == "cleared"
        assert web.got.empty()


def test_alarms_that_are_up_when_it_starts_are_sent(web):
    keeper = alarms.start_link()
    alarms.set_alarm("printer", "out of paper", quiet=True)
    sender = AlarmSender.start_link(Ways(webhook=web.url), name=alarm_sender.NAME)
    assert web.next()[1]["id"] == "printer"
    stop(sender)
    stop(keeper)


def test_what_fails_is_tried_again(web):
    web.answers = [500, 404, 204]
    with sending(webhook=web.url):
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert [web.next()[0] for _ in range(3)] == [500, 404, 204]


def test_what_goes_on_failing_is_dropped_and_said_without_secrets(web):
    web.answers = [500, 500, 500, 204]
    with lines_of("evergreen.alarms") as lines:
        with sending(webhook=web.url):
            alarms.set_alarm("printer", "out of paper", quiet=True)
            alarms.set_alarm("lamp", "dark", quiet=True)
            assert [web.next()[1]["id"] for _ in range(4)] == ["printer", "printer", "printer", "lamp"]
    assert [level for level, _ in lines] == ["ERROR"]
    assert "alarm printer could not be sent to http://127.0.0.1: it answered 500" in lines[0][1]
    assert "secret" not in lines[0][1]


def test_a_node_without_room_for_a_thread_sends_when_there_is(web):
    with sending(webhook=web.url, send_pause=0.3) as sender:
        before = threading.stack_size(2**46)
        try:
            alarms.set_alarm("printer", "out of paper", quiet=True)
            settle()
        finally:
            threading.stack_size(before)
        assert is_alive(sender)
        assert web.next()[1]["id"] == "printer"


def test_a_server_that_hangs_is_given_up(web):
    web.answers = [0, 204]
    with sending(webhook=web.url, send_timeout=0.1, send_retries=1) as sender:
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert web.next()[1]["id"] == "printer"
        assert is_alive(sender)


def test_of_very_many_the_oldest_are_dropped_and_counted(web):
    web.answers = [0, 204]
    with sending(webhook=web.url):
        for number in range(250):
            alarms.set_alarm(("lamp", number), "dark", quiet=True)
        settle()
        web.go_on.set()
        first, second = web.next()[1], web.next()[1]
        assert (first["id"], first["dropped"]) == ("lamp 0", 0)
        assert second["dropped"] == 150
        while web.next()[1]["id"] != "lamp 249":
            pass


def test_alarms_below_the_level_stay_here(web):
    with sending(webhook=web.url, send_level="error"):
        alarms.set_alarm("lamp", "dark", quiet=True)
        alarms.clear_alarm("lamp", quiet=True)
        alarms.set_alarm("printer", "burns", level=logging.CRITICAL, quiet=True)
        assert web.next()[1]["id"] == "printer"


def test_new_ways_hold_from_now_on(web):
    with sending():
        alarms.set_alarm("lamp", "dark", quiet=True)
        settle()
        alarm_sender.configure(Ways(webhook=web.url))
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert web.next()[1]["id"] == "printer"


def test_it_outlives_a_crash_of_the_alarms(web):
    with sending(webhook=web.url) as sender:
        kernel.trap_exit(True)
        exit(kernel.whereis(alarms.NAME), KILL)
        receive_match(lambda m: m.__class__ is kernel.Exit, 5)
        again = alarms.start_link()
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert web.next()[1]["id"] == "printer"
        assert is_alive(sender)
        stop(again)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_gets_it_as_text(web):
    with sending(apprise=(f"json://127.0.0.1:{web.server.server_port}/",)):
        alarms.set_alarm("printer", "out of paper", quiet=True)
        body = web.next()[1]
        assert (body["title"], body["message"]) == ("nonode: printer", "out of paper")
        alarms.clear_alarm("printer", quiet=True)
        assert web.next()[1]["title"] == "nonode: printer is over"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_url_that_apprise_does_not_know_is_said():
    with lines_of("evergreen.alarms") as lines:
        with sending(apprise=("nonsense",), send_retries=0):
            alarms.set_alarm("printer", "out of paper", quiet=True)
            until(lambda: lines)
    assert "apprise does not know such a URL" in lines[0][1]


def test_a_redirect_is_not_followed_and_is_no_success(web, other):
    """It would be a GET without the alarm, to a place of somebody else's choice."""
    web.answers = [302, 204]
    web.elsewhere = other.url
    with sending(webhook=web.url):
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert [web.next()[0] for _ in range(2)] == [302, 204]
    assert other.got.empty()


def test_an_answer_without_end_is_not_read(web):
    web.is_endless = True
    with sending(webhook=web.url) as sender:
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert web.next()[0] == 204
        until(lambda: not sender.behaviour.urls[web.url].waiting)


def test_name_and_password_in_the_url_are_basic_authentication(web):
    url = web.url.replace("//", "//anna:s%40cret@")
    with lines_of("evergreen.alarms") as lines:
        with sending(webhook=url, send_retries=0):
            alarms.set_alarm("printer", "out of paper", quiet=True)
            web.next()
            assert web.headers[0]["Authorization"] == "Basic YW5uYTpzQGNyZXQ="
            alarm_sender.configure(Ways(webhook="http://anna:s%40cret@127.0.0.1:x/token", send_retries=0))
            alarms.set_alarm("lamp", "dark", quiet=True)
            until(lambda: lines)
    for secret in ("cret", "token", "anna"):
        assert secret not in str(lines)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_way_that_hangs_holds_up_no_other(web, other):
    web.answers = [0]
    with sending(webhook=web.url, apprise=(f"json://127.0.0.1:{other.server.server_port}/",)):
        for number in range(3):
            alarms.set_alarm(("lamp", number), "dark", quiet=True)
        assert [other.next()[1]["title"] for _ in range(3)] == [f"nonode: lamp {n}" for n in range(3)]
        assert web.got.empty()


def test_new_ways_lose_nothing_that_waits_elsewhere(web, other):
    """What was under way to a URL that is gone is not taken for what waits for the new one."""
    web.answers = [0, 204]
    with sending(webhook=web.url):
        alarms.set_alarm("lamp", "dark", quiet=True)
        settle()
        alarm_sender.configure(Ways(webhook=other.url, send_pause=0.01))
        settle()
        other.answers = [500, 204]
        alarms.set_alarm("printer", "out of paper", quiet=True)
        alarms.set_alarm("door", "open", quiet=True)
        web.go_on.set()
        web.next()
        assert [other.next()[1]["id"] for _ in range(3)] == ["printer", "printer", "door"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_that_alarms_do_not_get_there_is_an_alarm_which_goes_the_other_ways(web, other):
    web.answers = [500, 500, 500, 204]
    with lines_of("evergreen.alarms"), sending(
        webhook=web.url, apprise=(f"json://127.0.0.1:{other.server.server_port}/",), send_retries=2
    ):  # fmt: skip
        alarms.set_alarm("lamp", "dark", quiet=True)
        assert other.next()[1]["title"] == "nonode: lamp"
        told = other.next()[1]
        assert told["title"] == "nonode: alarm_sender http://127.0.0.1"
        assert "it answered 500" in told["message"]
        assert ("alarm_sender", "http://127.0.0.1") in {one.id for one in alarms.peek()}
        alarms.set_alarm("printer", "out of paper", quiet=True)
        assert {other.next()[1]["title"] for _ in range(2)} == {
            "nonode: printer", "nonode: alarm_sender http://127.0.0.1 is over",
        }  # fmt: skip
        assert [web.next()[1]["id"] for _ in range(4)] == ["lamp", "lamp", "lamp", "printer"]
        settle()
        assert web.got.empty()


def test_its_alarm_is_over_also_when_it_was_started_anew_meanwhile(web):
    with lines_of("evergreen.alarms"), sending() as first:
        alarms.set_alarm(("alarm_sender", "http://127.0.0.1"), "from its last life", quiet=True)
        stop(first)
        second = AlarmSender.start_link(Ways(webhook=web.url), name=alarm_sender.NAME)
        alarms.set_alarm("lamp", "dark", quiet=True)
        assert web.next()[1]["id"] == "lamp"
        until(lambda: [one.id for one in alarms.peek()] == ["lamp"])
        stop(second)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_apprise_logs_of_urls_is_not_logged():
    with lines_of("") as lines, sending(apprise=("slack://secret",), send_retries=0):
        alarms.set_alarm("printer", "out of paper", quiet=True)
        until(lambda: lines)
    assert [text for _, text in lines] == [
        "alarm printer could not be sent to slack://: apprise does not know such a URL"
    ]


def test_ten_thousand_alarms_at_once(web):
    """Each costs the same however many are up."""
    web.answers = [0, 204]
    with sending(webhook=web.url) as sender:
        before = time.thread_time()
        for number in range(10_000):
            alarms.set_alarm(("lamp", number), "dark", quiet=True)
        settle()
        assert len(sender.behaviour.told) == 10_000
        assert time.thread_time() - before < 2.0  # 20 s when each looks through all the others
        web.go_on.set()


def test_what_is_shown_of_it_has_no_url(web, caplog):
    """URLs are secrets: not in a look, a dump, a report of its end, or a message that waits."""
    with sending(webhook=web.url) as sender:
        seen = snapshot.process(sender)
        assert "http://127.0.0.1" in seen.state
        kernel.unlink(sender)
        kernel.send(sender, kernel.Cast(Ways(webhook=web.url)))
        said = str(snapshot.process(sender)) + repr(Ways(webhook=web.url, apprise=(web.url,)))
        settle()
        kernel.cast(sender, Ways(webhook=web.url, send_level="a mistake"))
        alarms.set_alarm("printer", "out of paper", quiet=True)
        settle()
        assert not is_alive(sender)
    said += str(seen) + caplog.text
    assert "KeyError: 'a mistake'" in said
    assert "secret" not in said
