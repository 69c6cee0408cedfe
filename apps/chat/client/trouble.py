"""What goes wrong for a user of the command line: a sentence to read, and an exit code that tells a script the same.

Whoever gives up knows what was wanted, so the sentence is made there and raised as a Trouble; `commands.main` prints it and
ends with its code. The head of `commands` tells users what the codes mean.
"""

from __future__ import annotations

from typing import Final

from apps.chat.client.client import Client, Stopped

__all__ = [
    "DONE", "INTERRUPTED", "NOT_IN_TIME", "NOT_REGISTERED", "NO_CONNECTION", "NO_PROFILE", "REFUSED", "SELF", "USAGE",
    "Trouble", "stopped_trouble",
]  # fmt: skip

# types

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NO_CONNECTION: Final = 3
NOT_IN_TIME: Final = 4
NOT_REGISTERED: Final = 5
NO_PROFILE: Final = 6
INTERRUPTED: Final = 130

SELF: Final = "tools/chat"
"The command as the user has it."


class Trouble(Exception):
    """Something the user should read, with the exit code that tells a script the same."""

    def __init__(self, code: int, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        "the server's code, if it was the server that refused"


# API


def stopped_trouble(client: Client, event: Stopped) -> Trouble:
    """What to tell, and the exit code, when the client stopped for good."""
    user = client.profile.account.user
    if event.code == "certificate":
        return Trouble(NO_CONNECTION, event.why)
    if event.code == "replaced":
        return Trouble(
            NOT_REGISTERED,
            f"{user} is connected from somewhere else now, so this connection was ended. If that is a copy of "
            f"this profile, use only one of them at a time; if it is another device: {SELF} register {user} "
            "--again brings the account back here",
        )
    if event.code == "auth_failed":
        return Trouble(
            NOT_REGISTERED,
            f"the server does not know {user} by this key any more (registered on another device?): "
            f"{SELF} register {user} --again",
        )
    return Trouble(REFUSED, f"the server ended the session: {event.why or event.code} ({event.code})")
