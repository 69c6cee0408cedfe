"""What people type for a server and for each other, as the client needs it. Wrong ones are a Trouble that shows a right one."""

from __future__ import annotations

from apps.chat.client.profile import Profile
from apps.chat.client.trouble import USAGE, Trouble

__all__ = ["parse_server", "resolve"]

# API


def parse_server(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `HOST` or `[V6]:PORT`; the port defaults to 7222."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "7222"
    if not port.isdigit() or not 0 < int(port) < 65536 or not host:
        raise Trouble(USAGE, f"--server {text!r} is not HOST:PORT (for example 127.0.0.1:7222)")
    return host.strip("[]"), int(port)


def resolve(profile: Profile, to: str) -> str:
    """A contact's name, a number as people write it, or a user id -> the user id."""
    if not to.strip():
        raise Trouble(
            USAGE, "there is nobody of no name: give a contact's name, or a number like +33612345678"
        )
    if to in profile.contacts:
        return profile.contacts[to]
    plain = "".join(c for c in to if c not in " -().\u00a0")
    if plain.startswith("00"):
        plain = "+" + plain[2:]
    if plain.startswith("+"):
        if not plain[1:].isdigit() or len(plain) < 7:
            raise Trouble(USAGE, f"{to!r} is not a phone number with its country code, like +33612345678")
        return plain
    if plain.isdigit():
        raise Trouble(USAGE, f"{to!r} has no country code: write it as +… (for example +33612345678)")
    return to
