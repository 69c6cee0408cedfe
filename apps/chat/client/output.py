"""What the commands print: messages and check marks, for people and for scripts."""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any, Final

from apps.chat.client.client import News
from apps.chat.client.profile import Entry, Profile
from apps.chat.native.frames import Receipt

__all__ = ["MARKS", "entry_row", "print_json", "say", "show", "show_receipts"]

MARKS: Final = {
    "queued": "…",
    "accepted": "✓",
    "delivered": "✓✓",
    "read": "✓✓",
    "refused": "✗",
    "received": " ",
}


def entry_row(profile: Profile, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "event": "sent" if entry.mine else "message",
        "to" if entry.mine else "from": entry.with_,
        "kind": entry.kind,
        "message": entry.message or None,
        "time": round(entry.time, 3),
    }
    if entry.mine:
        row["state"] = entry.state
        row["id"] = entry.id.hex()
    if entry.kind == "text":
        row["text"] = entry.text
    else:
        row["body"] = base64.b64encode(entry.body).decode()
    name = profile.name_of(entry.with_)
    if name != entry.with_:
        row["name"] = name
    return row


def show(profile: Profile, entry: Entry, *, as_json: bool, longest: int | None = None) -> None:
    """Print one message; its text is cut after `longest` characters, except in JSON."""
    if as_json:
        print_json(entry_row(profile, entry))
        return
    clock = time.strftime("%H:%M", time.localtime(entry.time))
    who = f"→ {profile.name_of(entry.with_)}" if entry.mine else profile.name_of(entry.with_)
    mark = f" {MARKS[entry.state]}" if entry.mine else ""
    print(f"{clock} {who}: {_safe(_cut(entry.text, longest))}{mark}", flush=True)


def show_receipts(profile: Profile, news: list[News], *, as_json: bool) -> None:
    for item in news:
        if isinstance(item.event, Receipt):
            for message in item.event.messages:
                entry = profile.entry(message)
                if as_json:
                    print_json(
                        {
                            "event": item.event.status,
                            "message": message,
                            "who": item.event.who,
                            "id": entry.id.hex() if entry else None,
                        }
                    )
                else:
                    print(
                        f"{MARKS[item.event.status]} {item.event.status} {profile.name_of(item.event.who)}",
                        flush=True,
                    )


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text)} characters; --json has them all)"


def _safe(text: str) -> str:
    # A message must not move the reader's cursor or retitle the window.
    return "".join(c if c.isprintable() or c == "\t" else " " if c in "\r\n" else "\ufffd" for c in text)


def print_json(row: dict[str, Any]) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
