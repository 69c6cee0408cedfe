"""The connection process of the native protocol: hangs a `Dialogue` on a connection of `runtime.net`.

Here are time, pauses and the wire; what the frames mean is in the dialogue. Frames written in one turn go out as one send.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from apps.chat.native import frames as f
from apps.chat.native.dialogue import ENDED, READY, Dialogue, code_of
from runtime.kernel import Timeout, Timer, cancel_timer, clock, self_, start_timer
from runtime.net.protocol import Protocol

if TYPE_CHECKING:
    from apps.chat.native.door import Door
    from runtime.net.connection import Connection
    from runtime.net.framing import FramingError

__all__ = ["Session"]

_log = logging.getLogger("chat.native")
_TICK: Final = 2.5  # seconds between looks at what is unanswered


class Session(Protocol):
    """One connection. `door` is shared by all of a node."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.framing = door.framing  # type: ignore[misc] # the limit is a setting, one object for all connections
        self.dialogue: Dialogue | None = None
        self.is_ready = False
        self.ticking: Timer | None = None
        self.shaped: Timer | None = None  # paused for a time, because the peer is too fast
        self.is_swamped = False  # paused until answers come

    # callbacks

    def connected(self, conn: Connection) -> None:
        self.dialogue = Dialogue(self.door, self_(), conn.peer[0], clock.now())
        conn.set_idle_timeout(self.door.settings.login_timeout)

    def frames(self, conn: Connection, frames: list[bytes]) -> None:
        dialogue = self.dialogue
        assert dialogue is not None
        dialogue.receive(frames, clock.now())
        self._settle(conn, dialogue)
        if dialogue.wait > 0 and self.shaped is None and dialogue.state is not ENDED:
            conn.pause()
            self.shaped = start_timer(dialogue.wait, self_(), None)

    def info(self, conn: Connection, message: Any) -> None:
        dialogue = self.dialogue
        assert dialogue is not None
        now = clock.now()
        if not dialogue.told(message, now):
            if message.__class__ is not Timeout:
                # As a server without a handle_info: somebody sends to the wrong process, or in a form of another release.
                _log.warning("%r got a message that it does not know: %.200r", self_(), message)
            elif message.ref is self.shaped:
                self.shaped = None
                if not self.is_swamped:
                    conn.resume()
            elif message.ref is self.ticking:
                self.ticking = None
                dialogue.tick(now)
        self._settle(conn, dialogue)

    def bad_frame(self, conn: Connection, error: FramingError, head: bytes) -> None:
        dialogue = self.dialogue
        assert dialogue is not None
        code = code_of(head) or "too_long"
        # `runtime.net` has logged it, with what the peer seems to speak.
        dialogue.fail(code, f.CODES[code] if code == "wrong_protocol" else str(error), is_logged=False)
        self._write(conn, dialogue)

    def draining(self, conn: Connection, seconds: float) -> None:
        dialogue = self.dialogue
        assert dialogue is not None
        # Spread over the node's restart time: not all come back in the same moment.
        dialogue.end("restarting", retry_after=self.door.load.spread(self.door.settings.restart_after))
        self._settle(conn, dialogue)

    def closed(self, conn: Connection, reason: Any) -> None:
        if self.dialogue is not None:
            self.dialogue.lost()
        for timer in (self.ticking, self.shaped):
            if timer is not None:
                cancel_timer(timer)

    # internals

    def _settle(self, conn: Connection, dialogue: Dialogue) -> None:
        """Write what there is to say, and act on the dialogue's state."""
        if dialogue.out:
            self._write(conn, dialogue)
        state = dialogue.state
        if state is ENDED:
            conn.close()
            return
        if state is READY:
            if not self.is_ready:
                self.is_ready = True
                conn.set_idle_timeout(self.door.settings.idle_timeout)
            waiting = dialogue.outbox.waiting if dialogue.outbox is not None else 0
            swamped = waiting >= self.door.settings.unanswered
            if swamped is not self.is_swamped and (swamped or waiting * 2 < self.door.settings.unanswered):
                self.is_swamped = swamped
                if swamped:
                    conn.pause()
                elif self.shaped is None:
                    conn.resume()
        if self.ticking is None and dialogue.is_waiting:
            self.ticking = start_timer(_TICK, self_(), None)

    @staticmethod
    def _write(conn: Connection, dialogue: Dialogue) -> None:
        out, dialogue.out = dialogue.out, []
        conn.write_raw(f.pack(out))
