"""A client of the new protocol, in a program of its own: it writes to itself, with labels, and says what came back.

python -m tests.upgrade.new_client PROFILE HOST PORT CA       with the new tree first on the path; ends when stdin does

Prints a JSON line for each frame {"accepted": label} or {"handed": time}, and at the end the whole account.
"""

from __future__ import annotations

import json
import secrets
import select
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from apps.chat.client.client import Client
from apps.chat.client.profile import Profile
from apps.chat.native.frames import Accepted, Deliver, Receipt, Send

WINDOW = 4
PATIENCE = 20.0


def main(directory: str, host: str, port: str, ca: str) -> None:
    """Write until stdin is closed, then until everything has come back."""
    profile = Profile(Path(directory))
    account = profile.account
    account.host, account.port, account.ca = host, int(port), ca
    client = Client(profile)
    me = account.identity()
    assert me is not None
    counts: dict[str, Counter[Any]] = {"accepted": Counter(), "delivered": Counter(), "receipts": Counter()}
    sent, end = 0, 0.0
    while True:
        if not end and select.select([sys.stdin], [], [], 0)[0]:
            end = time.monotonic() + PATIENCE
        if end and (time.monotonic() > end or counts["receipts"].total() >= sent):
            break
        if client.is_ready and not end and len(client.session.outbox) < WINDOW:
            sent += 1
            message = Send(secrets.token_bytes(16), me.user, "text", b"to myself", f"label {sent}")
            profile.queue(message)
            client.session.send(message)
        for news in client.step(0.02):
            match news.event:
                case Accepted():
                    counts["accepted"][news.event.id] += 1
                    say(accepted=news.event.label)
                case Deliver():
                    counts["delivered"][news.event.message] += 1
                    say(handed=news.event.handed)
                case Receipt(messages=messages, status="delivered"):
                    counts["receipts"].update(messages)
    say(sent=sent, connections=client.connections, **{name: sorted(c.values()) for name, c in counts.items()})
    client.close()
    profile.close()


def say(**words: Any) -> None:
    """One line to whoever started us."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
