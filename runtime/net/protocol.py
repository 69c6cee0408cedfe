"""What an application hangs on a connection: a class named "module:Class", looked up when a connection opens.

The connection (socket, buffers, limits) outlives the application's code: every callback is looked up on the
object's class at each call, so that live code swaps what happens with bytes and never the bytes' owner.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

from runtime.net.framing import Framing, FramingError, Raw

if TYPE_CHECKING:
    from runtime.net.connection import Connection

__all__ = ["Protocol", "ProtocolNotFound", "resolve"]


# types


class ProtocolNotFound(ValueError):
    """The name of a protocol leads nowhere; the text says where it broke off."""


class Protocol:
    """Callbacks of one connection; one instance each, an ordinary object whose fields are its state.

    All callbacks run in the connection's process, one at a time, and may block (call, receive, sleep): then this
    connection reads no more than its limit, and nobody else waits. An exception in one ends this connection only.
    """

    __slots__ = ()  # so that a protocol may have slots of its own; without them it simply has fields

    framing: ClassVar[Framing] = Raw()
    """How the input is cut; see runtime.net.framing. Read at each use, so live code may replace it."""

    trap_exit: ClassVar[bool] = False
    """True: Exit messages of linked processes come to `info`. False: an abnormal one ends the connection."""

    def connected(self, conn: Connection) -> None:
        """The connection is up (after TLS). Nothing is read before this returns."""

    def frames(self, conn: Connection, frames: list[bytes]) -> None:
        """A batch of whole frames, in order; never empty."""

    def info(self, conn: Connection, message: Any) -> None:
        """Any other message sent to `conn.pid`: casts, calls (`runtime.kernel.Call`), Down, Timeout, anything."""

    def bad_frame(self, conn: Connection, error: FramingError, head: bytes) -> None:
        """The peer broke the framing. Write a last word if there is one; the connection closes after this."""

    def writable(self, conn: Connection, ready: bool) -> None:
        """False: more than `write_high` bytes wait for a slow peer, stop writing. True: below `write_low` again."""

    def draining(self, conn: Connection, seconds: float) -> None:
        """The listener stops: finish and close within `seconds`, then it is done for you. Default: close at once."""
        conn.close("shutdown")

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Bring the fields into the form that this code wants, when a release changed the `__vsn__` of its module.

        `old_version` is the former one; when a release is taken back, the newer code is asked, with ("down", the version
        it goes back to). It runs between two callbacks, in one step of the loop: it cannot wait or call. If it raises,
        the release is refused.
        """

    def closed(self, conn: Connection, reason: Any) -> None:
        """Last callback, called once, whatever the reason, unless the process was killed. Writes are dropped."""


# API


def resolve(name: str | type[Protocol]) -> type[Protocol]:
    """Return the current class for "module:Class" (a class is returned as it is). Raises ProtocolNotFound."""
    if not isinstance(name, str):
        return name
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise ProtocolNotFound(f"a protocol is named 'module:Class', not {name!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ProtocolNotFound(f"protocol {name!r}: {error}") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ProtocolNotFound(f"protocol {name!r}: {module_name} has no class {path}")
    return found
