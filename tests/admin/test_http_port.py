"""The admin HTTP port of a real node: who gets in, what it shows, what can be done there."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.http_client import Web
from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.plain, pytest.mark.slow]

LOOKS = ("alarms", "connections", "home", "logs", "processes", "releases", "store", "tree")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("http") / "var", "log.level=info") as made:
        yield made


@pytest.fixture
def web(node: Node) -> Web:
    return Web(node.ready["http_port"], node.directory)


# Who gets in


def test_the_token_is_for_the_nodes_user_alone_and_stays(tmp_path: Path) -> None:
    with Node(tmp_path / "var") as node:
        path = node.directory / "admin.token"
        token = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(token.strip()) >= 32
        path.chmod(0o644)
        assert node.stop() == 0
        node.start()
        assert path.read_text() == token
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_token_is_in_no_file_but_its_own(tmp_path: Path) -> None:
    """The start message may go to a journal that others read."""

    class Told(Node):
        def command(self) -> list[str]:
            return [word for word in super().command() if word != "--json-ready"]

    node = Told(tmp_path / "var")
    node.launch()
    try:
        node.wait(lambda: any("dashboard: http://127.0.0.1:" in line for line in node.lines), 30.0)
        token = (node.directory / "admin.token").read_text().strip()
        node.wait(lambda: any("Ctrl-C" in line for line in node.lines), 10.0)
        assert token not in "\n".join(node.lines)
        assert any(str(node.directory / "admin.token") in line for line in node.lines)
        holding = [
            path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()
        ]
        assert holding == [node.directory / "admin.token"]
    finally:
        node.close()


def test_without_the_token_there_is_nothing_to_see_and_nothing_to_do(web: Web) -> None:
    paths = [f"/api/{kind}/{name}" for kind in ("look", "live") for name in LOOKS]
    for path in [
        *paths,
        "/metrics",
        "/api/look/nothing",
        "/api",
        "/nothing",
        f"/api/look/home?token={web.token}",
    ]:
        for token in (None, "wrong", web.token[:-1], web.token + "x"):
            answer = web.ask(path, token=token)
            assert answer.status == 401, (path, token)
            assert web.token.encode() not in answer.body
    assert (
        web.ask(
            "/api/act/kill", "POST", b'{"who": "alarms"}', token=None, Content_Type="application/json"
        ).status
        == 401
    )
    assert web.ask("/api/look/home", token=None, Cookie=f"token={web.token}").status == 401
    assert web.ask("/api/look/home", token=None, Authorization=f"Basic {web.token}").status == 401


def test_pages_and_health_need_no_token(web: Web) -> None:
    for path in ("/", "/app.js", "/app.css", "/icon.svg", "/healthz", "/readyz"):
        assert web.ask(path, token=None).status == 200, path
        head = web.ask(path, "HEAD", token=None)
        assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "127.0.0.1@evil.example"}, 421),
        ({"Host": "localhost:80:80"}, 421),
        ({"Host": ""}, 421),
    ],
)
def test_another_site_is_refused_even_with_the_token(web: Web, headers: dict[str, str], status: int) -> None:
    """A page elsewhere in the same browser, or a name of its own that it turned to 127.0.0.1."""
    for path in ("/api/look/home", "/metrics", "/api/live/home"):
        assert web.ask(path, **headers).status == status
    body = b'{"who": "alarm_sender"}'
    assert web.ask("/api/act/kill", "POST", body, Content_Type="application/json", **headers).status == status


def test_the_own_page_and_other_names_of_this_machine_are_let_in(web: Web) -> None:
    own = f"http://127.0.0.1:{web.port}"
    assert web.ask("/api/look/store", Origin=own, Sec_Fetch_Site="same-origin").status == 200
    assert (
        web.ask("/api/look/store", Host=f"localhost:{web.port}", Origin=f"http://localhost:{web.port}").status
        == 200
    )
    assert web.ask("/api/look/store", Host="[::1]:7000").status == 200
    # A link to the page from anywhere is no harm: it holds nothing.
    assert web.ask("/", token=None, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_no_answer_opens_itself_to_other_sites(web: Web) -> None:
    answers = [
        web.ask("/"), web.ask("/app.js"), web.ask("/api/look/home"), web.ask("/nothing"), web.ask("/api/look/home", token=None),
        web.ask("/metrics"), web.ask("/api/look/home", Origin="http://evil.example"), web.ask("/healthz"),
        web.ask("/api/act/kill", "OPTIONS", Origin="http://evil.example", Access_Control_Request_Method="POST"),
    ]  # fmt: skip
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert "Set-Cookie" not in answer.headers
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answers[2].headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "get"])
def test_other_methods_are_refused(web: Web, method: str) -> None:
    assert web.ask("/api/look/home", method).status == 405


def test_acts_are_posted_and_looks_are_not(web: Web) -> None:
    assert web.ask("/api/act/kill?who=alarm_sender").status == 405
    assert web.ask("/api/look/home", "POST", b"{}", Content_Type="application/json").status == 405


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fhttp_guard.py", "//etc/passwd", "/app.js/../../http_guard.py",
        "/./app.js", "/app.js/", "/app.js%00.html", "/%61pp.js%0d%0aX: y", "\\app.js", "/..\\..\\http_guard.py", "/pages/app.js", "/index.html",
        "/http_guard.py", "/.token", "/admin.token", "app.js", "*", "file:///etc/passwd", "/é", "/" + "a" * 4000, "//127.0.0.1/app.js",
    ],
)  # fmt: skip
def test_paths_lead_to_the_pages_and_nowhere_else(web: Web, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web.token}\r\nConnection: close\r\n\r\n"
    answer = web.raw(request.encode("latin-1"))
    assert re.match(rb"HTTP/1.1 40[045]", answer), answer[:200]
    assert b"root:" not in answer
    assert b"hmac" not in answer


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 65537",), 413),
        (("Content-Length: 99999999999999999999",), 413),
        (("Transfer-Encoding: chunked",), 411),
        ((), 411),
        (("Content-Length: 2", "Content-Type: text/plain"), 415),
        (("Content-Length: 2", "Content-Type: application/x-www-form-urlencoded"), 415),
        (("Content-Length: -1",), 400),
        (("Content-Length: two",), 400),
    ],
)
def test_bodies_are_small_and_json_and_known_before_they_are_read(
    web: Web, lines: tuple[str, ...], status: int
) -> None:
    head = ["POST /api/act/kill HTTP/1.1", "Host: localhost", f"Authorization: Bearer {web.token}"]
    if not any(line.startswith("Content-Type") for line in lines):
        head.append("Content-Type: application/json")
    answer = web.raw(("\r\n".join([*head, *lines]) + "\r\n\r\n").encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]


def test_a_body_that_is_no_object_is_refused(web: Web) -> None:
    for body in (b"[]", b"{", b"null", b"\xff"):
        answer = web.ask("/api/act/kill", "POST", body, Content_Type="application/json")
        assert answer.status == 400, body
    assert web.ask("/api/look/home", body=b"{}").status == 413


def test_a_head_without_end_is_refused(web: Web) -> None:
    assert web.raw(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    many = b"".join(b"X-%d: y\r\n" % n for n in range(300))
    assert web.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 400 ")
    assert web.ask("/").status == 200


# What it shows


def test_the_page_is_whole_and_needs_nobody_else(web: Web) -> None:
    """No inline script or style, which the policy would stop; no host but this one."""
    page = web.ask("/").body.decode()
    wanted = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert {"/app.js", "/app.css", "/icon.svg"} <= set(wanted)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    seen = set()
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = web.ask(path, token=None)
        assert answer.status == 200, path
        text = answer.body.decode()
        if path.endswith(".js"):
            assert answer.headers["Content-Type"].startswith("text/javascript")
            wanted += [f"/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
            assert "innerHTML" not in text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path


def test_a_page_is_sent_once(web: Web) -> None:
    first = web.ask("/app.js", Accept_Encoding="gzip")
    assert first.headers["Content-Encoding"] == "gzip"
    again = web.ask("/app.js", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", LOOKS)
def test_every_view_is_there(web: Web, name: str) -> None:
    assert isinstance(web.look(name), dict)


def test_processes_are_sorted_filtered_and_bounded(web: Web) -> None:
    rows = web.look("processes", "sort=memory&limit=7")["rows"]
    assert len(rows) == 7
    assert [row["memory"] for row in rows] == sorted((row["memory"] for row in rows), reverse=True)
    assert {row["name"] for row in web.look("processes", "filter=alarm_sender")["rows"]} == {"alarm_sender"}
    for odd in (
        "limit=-1",
        "limit=999999999",
        "limit=x",
        "sort=__class__",
        "filter=%00%ff",
        "reverse=7&" * 50,
    ):
        assert len(web.look("processes", odd)["rows"]) <= 500


def test_a_process_is_shown_whole_or_said_to_be_gone(web: Web) -> None:
    found = web.look("process", "pid=alarms")
    assert found["row"]["name"] == "alarms"
    assert found["links"]
    answer = web.ask("/api/look/process?pid=4000000000")
    assert answer.status == 404
    assert "no living process" in json.loads(answer.body)["text"]
    assert web.ask("/api/look/nothing").status == 404


def test_health_and_metrics(web: Web) -> None:
    assert web.ask("/healthz", token=None).body == b"ok\n"
    assert web.ask("/readyz", token=None).body == b"ok\n"
    answer = web.ask("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert re.search(rb"^evergreen_processes \d", answer.body, re.MULTILINE)


def test_home_comes_with_the_past_and_then_with_news(web: Web) -> None:
    events = web.events("home")
    looks = (data for kind, data in events if kind == "look")
    first = next(looks)
    while not first["samples"]:
        first = next(looks)
    more = next(looks)["samples"]
    assert len(more) == 1
    assert more[0]["time"] > first["samples"][-1]["time"]
    assert {"cpu", "messages", "loop_lag", "run_queue", "memory", "connections"} <= set(more[0])
    events.close()


def test_a_live_view_tells_of_what_changes(node: Node, web: Web) -> None:
    events = web.events("tree")
    looks = (data for kind, data in events if kind == "look")
    before = _place(next(looks)["trees"], "alarm_sender")
    assert web.act("kill", who="alarm_sender")[0] == 200
    after = _place(next(looks)["trees"], "alarm_sender")
    while after["number"] == before["number"]:
        after = _place(next(looks)["trees"], "alarm_sender")
    assert after["status"] == "running"
    events.close()


def test_a_live_view_ends_when_its_process_does(web: Web) -> None:
    number = web.look("processes", "filter=dashboard_history")["rows"][0]["number"]
    events = web.events("process", f"pid={number}")
    assert next(data for kind, data in events if kind == "look")["row"]["number"] == number
    assert web.act("kill", who="dashboard_history")[0] == 200
    assert [kind for kind, _ in events if kind != "head"][-1] == "gone"


def test_who_leaves_a_live_view_leaves_nothing_behind(node: Node, web: Web) -> None:
    for _ in range(30):
        events = web.events("logs", "level=debug")
        assert next(events)
        events.close()
    node.wait(lambda: len(web.look("processes", "filter=dashboard+127")["rows"]) <= 2, 40.0)


# What can be done


def test_acts_do_what_the_shell_does_and_are_logged(node: Node, web: Web) -> None:
    status, answer = web.act("suspend", who="janitor")
    assert (status, answer["kind"]) == (409, "refused")
    assert web.act("suspend", who="janitor", sure=True)[0] == 200
    assert web.look("process", "pid=janitor")["row"]["status"] == "suspended"
    assert web.act("resume", who="janitor")[0] == 200
    assert web.look("process", "pid=janitor")["row"]["status"] == "waiting"
    status, state = web.act("state", who="janitor")
    assert status == 200
    assert "gc_full_every" in state["result"]
    before = web.look("process", "pid=dashboard_history")["row"]["number"]
    assert web.act("restart", who="dashboard_history")[0] == 200
    assert web.look("process", "pid=dashboard_history")["row"]["number"] != before
    for words in ("suspend janitor: ok", "resume janitor: ok", "restart dashboard_history: ok"):
        line = f"dashboard (127.0.0.1): {words}"
        node.wait(lambda line=line: line in node.log_file.read_text(), 10.0)
        assert words in str(web.look("logs"))


def test_what_the_node_needs_is_not_killed_by_a_click(web: Web) -> None:
    for who in ("init", "store", "node_services", "observers"):
        status, answer = web.act("kill", who=who)
        assert (status, answer["kind"]) == (409, "refused"), who
    assert web.ask("/readyz").status == 200


def test_refusals_are_sentences(web: Web) -> None:
    for name, args, words in (
        ("kill", {"who": "nobody"}, "no living process"),
        ("kill", {}, "missing"),
        ("kill", {"who": 7}, "must not be"),
        ("state", {"who": "init"}, "takes no such question"),
        ("log_level", {"level": "loud"}, "no level"),
        (
            "log_level",
            {"level": "info", "module": "a." * 20_000},
            "no logger",
        ),  # one object for each part, for ever
        ("log_level", {"level": "info", "module": "a..b"}, "no logger"),
        ("push", {"bundle": ""}, "no operation"),
        ("shell", {}, "no operation"),
        ("rollback", {}, "no operation"),  # without live code
        ("__class__", {}, "no operation"),
    ):
        status, answer = web.act(name, **args)
        assert status == 409, name
        assert words in answer["text"], (name, answer)


def test_the_port_comes_back_when_its_server_is_killed(node: Node, web: Web) -> None:
    before = web.look("process", "pid=dashboard")["row"]["number"]
    body = b'{"who": "dashboard"}'
    try:
        web.ask("/api/act/kill", "POST", body, Content_Type="application/json")
    except (ConnectionError, OSError):  # it ends the connection it came over
        pass

    def is_back() -> bool:
        try:
            return bool(web.look("process", "pid=dashboard")["row"]["number"] != before)
        except OSError:
            return False

    node.wait(is_back, 10.0)


# Where it is


def test_a_port_that_is_taken_is_a_sentence_at_the_start(web: Web, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.node", "--config", str(ROOT / "etc/node.toml"), "--set", f"node.data_dir={tmp_path}",
         "--set", f"admin.http_port={web.port}", "--set", "chat.native.port=0", "--set", "code.mode=off"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"127.0.0.1:{web.port} (the dashboard) is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_without_a_dashboard(tmp_path: Path) -> None:
    with Node(tmp_path / "var", "admin.http_port=-1") as node:
        assert "http_port" not in node.ready
        assert not (node.directory / "admin.token").exists()


def _place(trees: list[dict], name: str) -> dict:
    for one in trees:
        if one["id"] == name:
            return one
        found = _place(one["children"], name)
        if found:
            return found
    return {}
