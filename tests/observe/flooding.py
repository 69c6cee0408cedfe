"""A protocol that writes a lot to whoever connects, and never minds whether it is read."""

from __future__ import annotations

from runtime.net.framing import Raw
from runtime.net.protocol import Protocol


class Flood(Protocol):
    framing = Raw()

    def connected(self, conn):
        for _ in range(200):
            conn.write_raw(b"x" * 65536)

    def writable(self, conn, is_writable):
        pass
