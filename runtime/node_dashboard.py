"""The node's dashboard: what `[admin]` says of the HTTP port, made into child specs for the supervisor `admin`.

Keys: admin.http_port, admin.http_names. The token is in data_dir/admin.token.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from runtime import kernel
from runtime.admin import http_history, http_server
from runtime.admin.control import Audit
from runtime.admin.http_app import Application
from runtime.admin.http_guard import TOKEN, Guard, load_token
from runtime.admin.http_history import History
from runtime.admin.http_pages import Page, load_pages
from runtime.admin.http_server import HttpServer, Place
from runtime.admin.operations import Operations
from runtime.otp.child_spec import ChildSpec
from runtime.otp.outcome import StartError

__all__ = ["Dashboard"]

_USUAL: Final = 7290
"""If it is taken, another one will do, so that a second node on one machine starts without more ado."""

# Types


class Dashboard:
    """A dashboard that is to be started. Raises StartError with an OSError inside when the token cannot be had."""

    def __init__(self, node: Any, operations: Operations, audit: Audit) -> None:
        self._node = node
        found = kernel.blocking(_prepare, node.data_dir)
        if isinstance(found, OSError):
            raise StartError(found)
        self._token, pages = found
        guard = Guard(self._token, node.config.items_of("admin.http_names"))
        port = node.config.integer("admin.http_port")
        # The shipped configuration names the usual port, too: only another one, or --set, says that just that one is meant.
        may_move = port == _USUAL and node.config.origin("admin.http_port") != "command line"
        self._place = Place(port, Application(guard, pages, operations, audit), may_move=may_move)

    def specs(self) -> list[ChildSpec]:
        """Return its processes, for a supervisor."""
        return [
            ChildSpec("dashboard_history", (History.start_link, (), {"name": http_history.NAME})),
            ChildSpec("dashboard", (HttpServer.start_link, (self._place,), {"name": http_server.NAME})),
        ]

    def announce(self) -> None:
        """Say where it is, once it has started; to a person at a terminal with the link that lets in.

        What is no terminal is often a journal or a file that more people may read than the token.
        """
        place = self._place
        page = f"dashboard: http://{place.host}:{place.port}/"
        more = (
            f"#token={self._token}" if sys.stdout.isatty() else f" (its token: {self._node.data_dir / TOKEN})"
        )
        self._node.announce("http", place.host, place.port, page + more)


# Internals


def _prepare(data_dir: Any) -> tuple[str, dict[str, Page]] | OSError:
    """In a thread, which would print what is raised."""
    try:
        return load_token(data_dir), load_pages()
    except OSError as error:
        return error.with_traceback(None)
