"""Who gets in at the admin HTTP port: checks that every request passes before anything looks at it, and the answers' headers.

| what comes                                             | answer | why                                                  |
|--------------------------------------------------------|--------|------------------------------------------------------|
| a Host that is not this machine (or `admin.http_names`) | 421    | a name of somebody else's that was turned to 127.0.0.1 |
| an Origin that is not the Host; another site's fetch   | 403    | a page of somebody else's in the same browser        |
| no token, or a wrong one, where one is needed          | 401    | it lies in a file that only the node's user can read |
| a method, a path, a length, a form that is not ours    | 405, 404, 411, 413, 415 | nobody of ours sends it             |

The token comes as `Authorization: Bearer`, never in a cookie: a browser adds no header by itself, so that no other page
can act with it. The page takes it from the link's `#token=…`, which is not sent to anybody.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["HEADERS", "MAX_BODY", "TOKEN", "Guard", "Refusal", "load_token", "said"]

TOKEN: Final = "admin.token"  # noqa: S105 - the name of the file
MAX_BODY: Final = 65_536
"""Bytes of a request's body: names and numbers, no more."""
_HERE: Final = ("127.0.0.1", "localhost", "[::1]")
_MAX_PATH: Final = 200
_FIT: Final = re.compile(r"[\w-]{20,200}", re.ASCII)
"""A token that a header and a link can carry, and nobody guesses; anything else in the file is replaced."""

HEADERS: Final = (
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
"""On every answer. No script and no style in the page itself, nothing from anywhere else, in nobody's frame."""

# Types


class Refusal(NamedTuple):
    """No: an HTTP status with its phrase, and a sentence."""

    status: str
    text: str


class Guard:
    """Checks requests, as WSGI's environ has them. `names`: hosts besides this machine under which the page is reached."""

    def __init__(self, token: str, names: Iterable[str] = ()) -> None:
        self._token = token.encode()
        self._names = frozenset((*_HERE, *(name.lower() for name in names)))

    def check(self, environ: Mapping[str, Any]) -> Refusal | None:
        """Return why a request is refused; None when it may go on. Whether it needs the token is not looked at."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method not in ("GET", "HEAD", "POST"):
            return Refusal("405 Method Not Allowed", f"{method[:20]} is not spoken here")
        if len(path) > _MAX_PATH or not path.startswith("/") or not path.isascii() or not path.isprintable():
            return Refusal("404 Not Found", "there is no such page")
        return self._stranger(environ) or self._body(environ, method)

    def has_token(self, environ: Mapping[str, Any]) -> bool:
        """Tell whether the request carries the token."""
        kind, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode("latin-1", "replace"), self._token
        )

    # internals

    def _stranger(self, environ: Mapping[str, Any]) -> Refusal | None:
        host = environ.get("HTTP_HOST", "")
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name:
            name, port = host, ""
        if name.lower() not in self._names or (port and not (port.isascii() and port.isdigit())):
            return Refusal(
                "421 Misdirected Request", "this is not the host that was asked for (admin.http_names)"
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return Refusal("403 Forbidden", "another site has no business here")
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        # Following a link to the page is no harm: it holds nothing without the token.
        is_visit = environ["REQUEST_METHOD"] == "GET" and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        if site not in ("none", "same-origin") and not (is_visit and environ["PATH_INFO"] == "/"):
            return Refusal("403 Forbidden", "another site has no business here")
        return None

    def _body(self, environ: Mapping[str, Any], method: str) -> Refusal | None:
        length = environ.get("CONTENT_LENGTH", "")
        if environ.get("HTTP_TRANSFER_ENCODING"):
            return Refusal("411 Length Required", "say how long the body is")
        if method != "POST":
            return (
                Refusal("413 Content Too Large", "no body belongs here") if length not in ("", "0") else None
            )
        if not (length.isascii() and length.isdigit()):
            return Refusal("411 Length Required", "say how long the body is")
        if len(length) > 10 or int(length) > MAX_BODY:
            return Refusal("413 Content Too Large", f"{MAX_BODY} bytes are the limit")
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
            return Refusal("415 Unsupported Media Type", "application/json is spoken here")
        return None


# API


def said(kind: str, text: str) -> bytes:
    """Return the body of an answer that says no: `kind` for programs, `text` a sentence."""
    return json.dumps({"kind": kind, "text": text}).encode() + b"\n"


def load_token(data_dir: Path) -> str:
    """Return the token of this data directory, made at the first start. Blocks on the disk; raises OSError."""
    path = data_dir / TOKEN
    try:
        found = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        found = ""
    if not _FIT.fullmatch(found):
        found = secrets.token_urlsafe(24)
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as out:
            out.write(found + "\n")
        aside.replace(path)
    path.chmod(0o600)
    return found
