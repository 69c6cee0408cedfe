# uplink.py
from collections.abc import Callable

from runtime.otp.state_machine import (
    Call, EventKind, GenStateMachine, Keep, NextState, Postpone, Reply, Result, StateTimeout,
)  # fmt: skip


class Uplink(GenStateMachine):
    """Keeps a connection up: when it is lost, dials after 1, 2, 4, ... at most 30 seconds."""

    def init(self, dial: Callable[[], bool]) -> NextState:
        self.dial = dial
        self.pause = 1.0
        return NextState("down", StateTimeout(0.0, "dial"))

    def down(self, kind: EventKind, content: object) -> Result:
        match kind, content:
            case "state_timeout", "dial":
                if self.dial():
                    self.pause = 1.0
                    return NextState("up")
                pause, self.pause = self.pause, min(2 * self.pause, 30.0)
                return Keep(StateTimeout(pause, "dial"))
            case Call(), ("send", _):
                return Keep(Postpone())  # comes again when the state has changed
            case Call() as asked, "state":
                return Keep(Reply(asked, "down"))
            case "info", "lost":
                pass  # old news
            case _:
                self.unhandled(kind, content)
        return None

    def up(self, kind: EventKind, content: object) -> Result:
        match kind, content:
            case Call() as asked, ("send", text):
                return Keep(Reply(asked, f"sent {text}"))
            case Call() as asked, "state":
                return Keep(Reply(asked, "up"))
            case "info", "lost":
                return NextState("down", StateTimeout(0.0, "dial"))
            case _:
                self.unhandled(kind, content)
        return None
