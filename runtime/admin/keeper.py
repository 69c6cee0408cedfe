"""Keeps the way in: when what lets people in (`admin`: control socket, shells, dashboard) has ended, it is started again.

Theory of operation: `admin` is a temporary child of the node's services, since a way in that cannot be had must not end the
node. So somebody else looks after it: this server, under `observers`, monitors it and adds it again, at once and then after
1, 2, 4 ... 60 seconds, for as long as it takes; while it is not there, the alarm `control` says so, and why. It is no link of
the chain itself: when it ends, the way in stays, and its supervisor starts it again.

    admin ──Down──▶ alarm ──▶ start_child(services) ──▶ alarm over        fails: again, after twice as long
"""

from __future__ import annotations

import logging
from typing import Any, Final

from runtime.kernel import TIMEOUT, CallError, Down, Process, clock, monitor
from runtime.observe import alarms
from runtime.otp import supervisor
from runtime.otp.child_spec import ChildSpec
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import AlreadyStarted, NoReply
from runtime.otp.supervisor_errors import StartChildError

__all__ = ["ALARM", "NAME", "Keeper"]

_log = logging.getLogger("evergreen.admin")
NAME: Final = "admin_keeper"
ALARM: Final = "control"
_FIRST: Final = 1.0
_LONGEST: Final = 60.0
_CALM: Final = 60.0
"""Seconds that it must have lived for the next end of it to be the first one again."""
_GRACE: Final = 0.5
"""Seconds until an end is told of: in an orderly stop of the node, which ends the way in first, this server ends by then."""

# Types


class Keeper(GenServer):
    """Invariant: `ref` is a monitor of the way in, or None, and then a timeout is running."""

    def init(self, services: Process, spec: ChildSpec) -> NoReply:
        self.services = services
        self.spec = spec
        self.ref: Any = None
        self.pause = 0.0
        self.why = ""
        """Why it ended, until that is told."""
        self.since = clock.now()
        # Not in here: its supervisor must not wait for another, which may be waiting for that one to end.
        return NoReply(timeout=0.0)

    def handle_info(self, message: Any) -> NoReply:
        if isinstance(message, Down) and message.ref == self.ref:
            self.ref = None
            if clock.now() - self.since >= _CALM:
                self.pause = 0.0
            self.why = f"{message.reason!r:.300}"
            return NoReply(timeout=_GRACE if self.pause else 0.0)
        if message is TIMEOUT and self.ref is None:
            return self._down(self.why) if self.pause and self.why else self._start()
        return NoReply(timeout=None if self.ref is not None else self.pause)

    # internals

    def _down(self, why: str) -> NoReply:
        text = "nobody gets in: control socket, shells and dashboard have ended"
        alarms.set_alarm(
            ALARM, f"{text} ({why}); they are started again in {self.pause:g} s", level=logging.ERROR
        )
        self.why = ""
        return NoReply(timeout=self.pause)

    def _start(self) -> NoReply:
        pause = min(max(_FIRST, 2 * self.pause), _LONGEST)
        try:
            started = supervisor.start_child(self.services, self.spec)
        except AlreadyStarted as error:
            started, pause = error.pid, self.pause
        except (StartChildError, CallError) as error:
            self.pause = pause
            return self._down(f"{getattr(error, 'reason', error)!s:.500}")
        self.pause, self.why = pause, ""
        self.since = clock.now()
        self.ref = monitor(started)
        alarms.clear_alarm(ALARM)
        return NoReply()
