"""The exit-signal table of OTP, as a table, before any process exists."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.kernel.reasons import KILL, KILLED, NORMAL, SHUTDOWN, Shutdown
from runtime.kernel.signals import Action, Origin, decide

BOOM = "boom"
TABLE = [
    # origin, reason, trapping -> action, reason carried
    (Origin.EXIT, NORMAL, False, Action.IGNORE, NORMAL),
    (Origin.EXIT, NORMAL, True, Action.MESSAGE, NORMAL),
    *[(Origin.EXIT, r, False, Action.DIE, r) for r in (SHUTDOWN, Shutdown("x"), BOOM, KILLED)],
    *[(Origin.EXIT, r, True, Action.MESSAGE, r) for r in (SHUTDOWN, Shutdown("x"), BOOM, KILLED)],
    (Origin.EXIT, KILL, False, Action.DIE, KILLED),
    (Origin.EXIT, KILL, True, Action.DIE, KILLED),
    (Origin.LINK, NORMAL, False, Action.IGNORE, NORMAL),
    (Origin.LINK, NORMAL, True, Action.MESSAGE, NORMAL),
    (Origin.LINK, KILL, False, Action.DIE, KILL),
    (Origin.LINK, KILL, True, Action.MESSAGE, KILL),
    (Origin.LINK, KILLED, False, Action.DIE, KILLED),
    (Origin.LINK, KILLED, True, Action.MESSAGE, KILLED),
    (Origin.LINK, BOOM, False, Action.DIE, BOOM),
    (Origin.LINK, BOOM, True, Action.MESSAGE, BOOM),
    (Origin.SELF, NORMAL, False, Action.DIE, NORMAL),
    (Origin.SELF, NORMAL, True, Action.MESSAGE, NORMAL),
    (Origin.SELF, KILL, False, Action.DIE, KILLED),
    (Origin.SELF, KILL, True, Action.DIE, KILLED),
    (Origin.SELF, BOOM, False, Action.DIE, BOOM),
    (Origin.SELF, BOOM, True, Action.MESSAGE, BOOM),
]


@pytest.mark.plain
@pytest.mark.parametrize(("origin", "reason", "trapping", "action", "carried"), TABLE)
def test_exit_signal_table(origin: Origin, reason: Any, trapping: bool, action: Action, carried: Any) -> None:
    """OTP A1, run on OTP 25: what each signal does to a receiver that traps exits and to one that does not."""
    assert decide(origin, reason, trapping) == (action, carried)
