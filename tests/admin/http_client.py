"""A client of the admin HTTP port for tests: with the token, and below that a bare socket for what no client would send."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

__all__ = ["Web"]


class Web:
    """Asks a node on 127.0.0.1. `answer.headers` as http.client has them, `answer.body` bytes."""

    def __init__(self, port: int, data_dir: Path) -> None:
        self.port = port
        self.token = (data_dir / "admin.token").read_text().strip()

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        token: str | None = "",
        **headers: str,
    ) -> Any:
        """`token` "": the node's; None: none. Names of headers with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, sent)
            answer: Any = connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            connection.close()

    def look(self, name: str, query: str = "") -> Any:
        answer = self.ask(f"/api/look/{name}?{query}")
        assert answer.status == 200, (answer.status, answer.body)
        return json.loads(answer.body)

    def act(self, name: str, **args: Any) -> tuple[int, Any]:
        answer = self.ask(
            f"/api/act/{name}", "POST", json.dumps(args).encode(), Content_Type="application/json"
        )
        return answer.status, json.loads(answer.body)

    def events(self, name: str, query: str = "") -> Any:
        """Yield (event, data) of a live view; close the generator to leave."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as link:
            link.sendall(
                f"GET /api/live/{name}?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
            )
            with link.makefile("rb") as stream:
                kind = ""
                for line in stream:
                    if line.startswith(b"event: "):
                        kind = line[7:].decode().strip()
                    elif line.startswith(b"data: "):
                        yield kind, json.loads(line[6:])

    def raw(self, data: bytes, timeout: float = 10.0) -> bytes:
        """Send bytes, and return all that comes until the node closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as link:
            link.sendall(data)
            found = b""
            try:
                while chunk := link.recv(65536):
                    found += chunk
            except ConnectionResetError:  # it closed with bytes of ours unread
                pass
            return found
