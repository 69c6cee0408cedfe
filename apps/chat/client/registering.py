"""Registering: from a phone number to an account in this profile, by a PIN that somebody types.

The connection is kept alive while the person looks for the PIN, and made anew if it was cut meanwhile. A wrong PIN may be
typed again, as often as the server allows; one that was sent before stays good while no new one can be had.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import time
from typing import Final

from apps.chat.client.addresses import resolve
from apps.chat.client.client import Client
from apps.chat.client.events import State
from apps.chat.client.output import say
from apps.chat.client.profile import Profile
from apps.chat.client.running import running_client, wait_answer, wait_for, wait_ready, watch
from apps.chat.client.trouble import NOT_REGISTERED, REFUSED, SELF, USAGE, Trouble
from apps.chat.native.frames import PinSent, Registered, Welcome

__all__ = ["WELCOME", "first_start", "sign_up"]

WELCOME: Final = """nobody is registered in this profile yet. Begin with

    tools/chat register +33612345678        (your number; the PIN comes to it)

The server is {server}; name another with --server HOST:PORT. A development node prints
the PIN on its own terminal."""
_PIN_TRIES: Final = 5
"As many wrong ones as the server allows unless it is told otherwise ([chat.registration] pin_tries)."
_PIN_VALID: Final = 600.0

# API


def sign_up(options: argparse.Namespace, profile: Profile, number: str) -> None:
    """Register `number` on this profile: ask for the PIN, have it typed, and log in once."""
    profile.account.user = profile.account.key = profile.account.token = ""
    pin = getattr(options, "pin", None)
    timeout = getattr(options, "timeout", 30.0)
    with running_client(options, profile) as client:
        deadline = time.monotonic() + timeout
        wait_for(client, deadline, lambda news: isinstance(news.event, Welcome))
        if pin is not None:
            _give_pin(client, options, number, pin, timeout)
            return
        end = _send_pin(client, number, deadline)
        for tries_left in reversed(range(_PIN_TRIES)):
            try:
                _give_pin(client, options, number, _ask_for_pin(client, end, number), timeout)
                return
            except Trouble as trouble:
                if trouble.reason != "bad_pin" or not tries_left:
                    raise
                say(f"This is not the PIN that was sent to {number} last. Type it again:")


def first_start(options: argparse.Namespace, profile: Profile) -> None:
    """Ask for the number until it is one, then register it."""
    while True:
        number = input("Your number, with country code (+33612345678): ").strip()
        if not number:
            raise Trouble(
                NOT_REGISTERED, WELCOME.format(server=f"{profile.account.host}:{profile.account.port}")
            )
        try:
            sign_up(options, profile, resolve(profile, number))
            return
        except Trouble as trouble:
            mistyped = trouble.reason == "bad_number" or (trouble.code == USAGE and not trouble.reason)
            if not mistyped:
                raise
            say(f"{trouble} Once more, please.")


# internals


def _send_pin(client: Client, number: str, deadline: float) -> float:
    """Have a PIN sent; return until when it can be typed (monotonic seconds)."""
    client.ask_pin(number)
    try:
        sent = wait_answer(client, deadline, PinSent, "pin").event
    except Trouble as trouble:
        if trouble.reason != "throttled":
            raise
        # Nothing is lost by that: the one that was sent is good until it is used, or expires.
        if not sys.stdin.isatty():
            again = f"{SELF} register {number} --pin PIN"
            raise Trouble(
                trouble.code, f"{trouble} The PIN that was sent before still works: {again}", "throttled"
            ) from None
        say(f"{trouble} The PIN that was sent before still works (Ctrl-C: leave).")
        return time.monotonic() + _PIN_VALID
    assert isinstance(sent, PinSent)
    say(f"A PIN is on its way to {number}; it is good for {sent.expires_in / 60:.0f} minutes.")
    say("(A development node prints it on its own terminal.)")
    return time.monotonic() + sent.expires_in


def _give_pin(client: Client, options: argparse.Namespace, number: str, pin: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    if client.session.state is not State.GREETED:  # it was cut while the PIN was on its way
        client.hurry()
        wait_for(client, deadline, lambda news: isinstance(news.event, Welcome))
    client.register(number, pin.strip(), getattr(options, "device", socket.gethostname()[:64]))
    wait_answer(client, deadline, Registered, "register")
    wait_ready(client, deadline)


def _ask_for_pin(client: Client, end: float, number: str) -> str:
    """Read the PIN from the terminal or stdin until `end`, keeping the connection alive meanwhile."""
    print("PIN: ", end="", file=sys.stderr, flush=True)
    typed = b""
    while time.monotonic() < end:
        watch(client, client.step(0.0))
        if select.select([sys.stdin], [], [], 0.2)[0]:
            # Byte by byte: a buffered reader would swallow the next line, and select not know of it.
            byte = os.read(sys.stdin.fileno(), 1)
            typed += byte
            if byte not in (b"", b"\n"):
                continue
            line, typed = typed.decode("utf-8", "replace").strip(), b""
            if line:
                return line[:16]
            if not byte:
                raise Trouble(
                    USAGE, f"no PIN was given (stdin ended): {SELF} register {number} --pin PIN", "no_pin"
                )
            print("PIN: ", end="", file=sys.stderr, flush=True)
    raise Trouble(REFUSED, f"the PIN has expired: ask for another with {SELF} register {number}")
