"""The admin HTTP port's application: pages, health, metrics, views, acts. Every request passes the guard first.

| path                     | what                                                     | token |
|--------------------------|----------------------------------------------------------|-------|
| `/`, `/app.js`, ...      | the dashboard's files                                    | no    |
| `/healthz`, `/readyz`    | 200 or 503, with reasons                                 | no    |
| `/metrics`               | for Prometheus                                           | yes   |
| `GET /api/look/NAME`     | one look at a view (`http_looks`)                        | yes   |
| `GET /api/live/NAME`     | the view as it changes: server-sent events (`http_live`) | yes   |
| `POST /api/act/NAME`     | an operation (`http_acts`), arguments as a JSON object   | yes   |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from runtime.admin import http_live
from runtime.admin.commands.here import running
from runtime.admin.control import Audit
from runtime.admin.http_acts import act
from runtime.admin.http_guard import HEADERS, Guard, said
from runtime.admin.http_live import encode
from runtime.admin.http_looks import ASKED, LOOKS, NotThere, look
from runtime.admin.http_pages import Page
from runtime.admin.operations import Denied, Operations, Who
from runtime.observe import health, metrics

__all__ = ["Application"]

_STREAMS: Final = 24
"""Open at once; each open page has one."""
_JSON: Final = "application/json; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"

Environ = Mapping[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]

# Types


class Application:
    """A WSGI application. Invariant: `streams` is how many live views are being sent."""

    def __init__(self, guard: Guard, pages: Mapping[str, Page], operations: Operations, audit: Audit) -> None:
        self.guard = guard
        self.pages = pages
        self.operations = operations
        self.audit = audit
        self.streams = 0

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request, in the process of its connection."""
        refusal = self.guard.check(environ)
        if refusal is not None:
            # What was sent with it is not read: the connection ends.
            return _refuse(start, refusal.status, refusal.text, more=[("Connection", "close")])
        path = environ["PATH_INFO"]
        is_open = path in self.pages or path in ("/healthz", "/readyz")
        if self.guard.has_token(environ):
            environ["evergreen.seat"].is_welcome = True
        elif not is_open:
            more = [("WWW-Authenticate", "Bearer")]
            return _refuse(
                start, "401 Unauthorized", "this needs the token of data_dir/admin.token", more=more
            )
        wanted = "POST" if path.startswith("/api/act/") else "GET"
        method = environ["REQUEST_METHOD"]
        if method != wanted and not (method == "HEAD" and is_open):
            more = [("Allow", wanted)]
            return _refuse(start, "405 Method Not Allowed", f"{wanted} is spoken here", more=more)
        return self._route(environ, start, path)

    # internals

    def _route(self, environ: Environ, start: Start, path: str) -> Iterable[bytes]:
        if path in self.pages:
            return _page(self.pages[path], environ, start)
        if path in ("/healthz", "/readyz"):
            return _health(path, environ, start)
        if path == "/metrics":
            return _answer(start, "200 OK", metrics.text(), metrics.CONTENT_TYPE)
        kind, _, name = path.removeprefix("/api/").partition("/")
        if path.startswith("/api/"):
            if kind == "look":
                return self._look(name, environ, start)
            if kind == "live" and name in LOOKS and name not in ASKED:
                return self._live(name, environ, start)
            if kind == "act":
                return self._act(name, environ, start)
        return _refuse(start, "404 Not Found", "there is no such page")

    def _look(self, name: str, environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            found = look(name, _query(environ), {})
        except NotThere as error:
            return _refuse(start, "404 Not Found", str(error))
        return _json(start, "200 OK", found)

    def _live(self, name: str, environ: Environ, start: Start) -> Iterable[bytes]:
        if self.streams >= _STREAMS:
            return _refuse(start, "503 Service Unavailable", f"{_STREAMS} views are open already: close one")
        headers = [*HEADERS, ("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("Connection", "close")]  # fmt: skip
        start("200 OK", headers)
        return self._events(name, _query(environ), environ["evergreen.wait"])

    def _events(self, name: str, query: Mapping[str, str], wait: Callable[[float], bool]) -> Iterator[bytes]:
        self.streams += 1
        try:
            yield from http_live.follow(name, query, wait)
        finally:
            self.streams -= 1

    def _act(self, name: str, environ: Environ, start: Start) -> Iterable[bytes]:
        data = environ["evergreen.body"](int(environ["CONTENT_LENGTH"]))
        try:
            args = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError as error:
            return _refuse(start, "400 Bad Request", f"the arguments cannot be read: {error}", "format")
        except RecursionError:
            return _refuse(start, "400 Bad Request", "the arguments lie too deep in each other", "format")
        who = Who(f"dashboard ({environ.get('REMOTE_ADDR', '?')})", is_local=True)
        try:
            found = act(self.operations, self.audit, name, args, who)
        except Denied as denied:
            return _json(
                start, "409 Conflict", {"kind": denied.kind, "text": str(denied), "more": denied.more}
            )
        return _json(start, "200 OK", {"result": found})


# Internals


def _query(environ: Environ) -> dict[str, str]:
    try:
        return dict(parse_qsl(environ["QUERY_STRING"][:2_000], keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}


def _page(page: Page, environ: Environ, start: Start) -> Iterable[bytes]:
    headers = [*HEADERS, ("Content-Type", page.type), ("ETag", page.tag), ("Cache-Control", "no-cache")]
    if environ.get("HTTP_IF_NONE_MATCH") == page.tag:
        start("304 Not Modified", headers)
        return []
    body = page.content
    headers.append(("Vary", "Accept-Encoding"))
    if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
        body = page.zipped
        headers.append(("Content-Encoding", "gzip"))
    start("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body] if environ["REQUEST_METHOD"] == "GET" else []


def _health(path: str, environ: Environ, start: Start) -> Iterable[bytes]:
    found = health.alive(running()) if path == "/healthz" else health.ready(running())
    status = "200 OK" if found.ok else "503 Service Unavailable"
    return _answer(start, status, "\n".join(found.reasons or ("ok",)) + "\n", body=environ["REQUEST_METHOD"] == "GET")  # fmt: skip


def _json(start: Start, status: str, value: Any) -> Iterable[bytes]:
    return _answer(start, status, encode(value), _JSON)


def _refuse(
    start: Start, status: str, text: str, kind: str = "", *, more: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    """Say no, always in the same form."""
    kind = kind or status.partition(" ")[2].lower()
    return _answer(start, status, said(kind, text), _JSON, more=more)


def _answer(
    start: Start, status: str, content: str | bytes, type_: str = _TEXT, *,
    more: list[tuple[str, str]] | None = None, body: bool = True,
) -> Iterable[bytes]:  # fmt: skip
    data = content.encode() if isinstance(content, str) else content
    headers = [*HEADERS, ("Content-Type", type_), ("Cache-Control", "no-store"), ("Content-Length", str(len(data)))]  # fmt: skip
    start(status, headers + (more or []))
    return [data] if body else []
