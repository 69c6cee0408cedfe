"""The exit-signal table, as a pure function: what a signal does to the process that receives it.

This is the whole of Erlang's rule (erlang:exit/2, erlang:link/1, process_flag(trap_exit)), run on OTP 25 and written
down as a table; everything else in the kernel asks here.

| signal                                   | not trapping        | trapping                   |
|------------------------------------------|---------------------|----------------------------|
| exit(pid, normal) by another             | ignored             | message Exit(sender, ...)  |
| exit(self, normal)                       | dies, normal        | message                    |
| exit(pid, any other reason)              | dies with it        | message                    |
| exit(pid, kill)                          | dies, killed        | dies, killed               |
| a linked process ended normal            | ignored             | message                    |
| a linked process ended, any other reason | dies with it        | message                    |
| ... also when that reason is `kill`      | dies, kill          | message                    |

The last row is where copies of this table go wrong: `kill` is special only as the reason of an exit signal that
somebody sends, never as the reason that a link carries.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from .reasons import KILL, KILLED, NORMAL

__all__ = ["Action", "Origin", "decide"]


class Origin(Enum):
    """Where an exit signal comes from."""

    EXIT = "exit"
    """Another process called `exit(pid, reason)`."""
    SELF = "self"
    """The process sent it to itself."""
    LINK = "link"
    """A linked process ended."""


class Action(Enum):
    """What the signal does."""

    IGNORE = "ignore"
    MESSAGE = "message"
    DIE = "die"


def decide(origin: Origin, reason: Any, trapping: bool) -> tuple[Action, Any]:
    """Return what a signal does to its receiver, and the reason that the message or the death carries."""
    word = (
        reason if isinstance(reason, str) else None
    )  # any value may be a reason, and its __eq__ may do anything
    if origin is not Origin.LINK and word == KILL:
        return Action.DIE, KILLED
    if trapping:
        return Action.MESSAGE, reason
    if word == NORMAL and origin is not Origin.SELF:
        return Action.IGNORE, reason
    return Action.DIE, reason
