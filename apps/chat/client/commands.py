"""The command line: one chat for people, and the same for scripts.

Exit codes: 0 done · 1 the server refused · 2 wrong usage · 3 no connection in time ·
4 the check mark did not come in time (the message stays in the outbox or on its way) ·
5 not registered, or the account is used on another device now · 6 the profile cannot be used ·
130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from apps.chat.client.client import Client, News, Stopped, Waiting
from apps.chat.client.connection import CertificateProblem
from apps.chat.client.profile import Entry, Profile, ProfileBusy, ProfileDamaged, default_directory
from apps.chat.client.events import Failed, LocalProtocolError, State, TooBig
from apps.chat.native.frames import PinSent, Registered, Welcome

from apps.chat.client.options import make_parser
from apps.chat.client.output import MARKS, entry_row, print_json, say, show, show_receipts

__all__ = ["Trouble", "main", "parse_server", "resolve", "stopped_trouble"]

# types

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
NO_CONNECTION: Final = 3
NOT_IN_TIME: Final = 4
NOT_REGISTERED: Final = 5
NO_PROFILE: Final = 6
INTERRUPTED: Final = 130

_SELF: Final = "tools/chat"
"The command as the user has it."
_PIN_TRIES: Final = 5
"As many wrong ones as the server allows unless it is told otherwise ([chat.registration] pin_tries)."
_PIN_VALID: Final = 600.0
_SHOWN: Final = 500
"Characters of a text in the history; --json has the whole."
_SMALL: Final = 4096
"Bytes of a body that any server takes."
_ORDER: Final = {"queued": 0, "accepted": 1, "delivered": 2, "read": 3}


class Trouble(Exception):
    """Something the user should read, with the exit code that tells a script the same."""

    def __init__(self, code: int, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        "the server's code, if it was the server that refused"


# API


def main(arguments: list[str]) -> int:
    """Run one command; return its exit code. Everything for scripts goes to stdout, the rest to stderr."""
    options = make_parser((__doc__ or "").split("\n\n", 1)[1]).parse_args(
        arguments, argparse.Namespace(ca=None, insecure=False)
    )
    # The launcher may have changed the directory; what the user typed is relative to where the user stands.
    here = Path(os.environ.get("EVERGREEN_CWD", "."))
    directory = here / options.profile if getattr(options, "profile", None) else default_directory()
    if options.ca:
        options.ca = str(here / options.ca)
    with contextlib.suppress(AttributeError, ValueError):
        signal.signal(signal.SIGTERM, lambda *_: _raise_interrupt())
    try:
        return _COMMANDS[options.command](options, directory)
    except Trouble as trouble:
        say(f"chat: {trouble}")
        return trouble.code
    except (ProfileBusy, ProfileDamaged) as error:
        say(f"chat: {error}")
        return NO_PROFILE
    except (CertificateProblem, LocalProtocolError) as error:
        say(f"chat: {error}")
        return USAGE
    except (KeyboardInterrupt, EOFError):
        say("")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (chat listen | head): not worth a traceback at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        say(f"chat: {error.filename or directory}: {error.strerror or error}")
        return NO_PROFILE


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


# commands


def _register(options: argparse.Namespace, directory: Path) -> int:
    with _profile(options, directory) as profile:
        if profile.account.key and not options.again:
            raise Trouble(
                USAGE,
                f"this profile is {profile.account.user} already. Register it anew with --again, "
                "or use another --profile DIR",
            )
        _sign_up(options, profile, resolve(profile, options.number))
        say(
            f"You are {profile.account.user} on this device. The key is in {directory} (keep it to yourself)."
        )
        if options.json:
            print_json({"user": profile.account.user, "device": profile.account.device})
    return DONE


def _sign_up(options: argparse.Namespace, profile: Profile, number: str) -> None:
    """Register `number` on this profile: ask for the PIN, have it typed, and log in once."""
    profile.account.user = profile.account.key = profile.account.token = ""
    pin = getattr(options, "pin", None)
    timeout = getattr(options, "timeout", 30.0)
    with _client(options, profile) as client:
        deadline = time.monotonic() + timeout
        _until(client, deadline, lambda news: isinstance(news.event, Welcome))
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


def _send_pin(client: Client, number: str, deadline: float) -> float:
    """Have a PIN sent; return until when it can be typed (monotonic seconds)."""
    client.ask_pin(number)
    try:
        sent = _answer(client, deadline, PinSent, "pin").event
    except Trouble as trouble:
        if trouble.reason != "throttled":
            raise
        # Nothing is lost by that: the one that was sent is good until it is used, or expires.
        if not sys.stdin.isatty():
            again = f"{_SELF} register {number} --pin PIN"
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
        _until(client, deadline, lambda news: isinstance(news.event, Welcome))
    client.register(number, pin.strip(), getattr(options, "device", socket.gethostname()[:64]))
    _answer(client, deadline, Registered, "register")
    _ready(client, deadline)


def _login(options: argparse.Namespace, directory: Path) -> int:
    with _profile(options, directory) as profile:
        if options.key:
            if not options.user:
                raise Trouble(USAGE, "--key needs --user NUMBER")
            profile.new_account(resolve(profile, options.user), "", options.key)
        _need_account(profile)
        with _client(options, profile) as client:
            _ready(client, time.monotonic() + options.timeout)
            limits = client.session.limits
        say(f"Logged in as {profile.account.user} at {profile.account.host}:{profile.account.port}.")
        if options.json:
            print_json({"user": profile.account.user, "window": limits.window if limits else None})
    return DONE


def _send(options: argparse.Namespace, directory: Path) -> int:
    with _profile(options, directory) as profile:
        _need_account(profile)
        to = resolve(profile, options.to)
        # The newline that ends a text from stdin is the shell's, not the writer's.
        text = " ".join(options.text) if options.text != ["-"] else sys.stdin.read().removesuffix("\n")
        if not text:
            raise Trouble(USAGE, "there is nothing to send: give the text, or - to read it from stdin")
        chosen = bytes.fromhex(options.id) if options.id else None
        if chosen is not None and len(chosen) != 16:
            raise Trouble(USAGE, "--id takes 32 hexadecimal digits")
        with _client(options, profile) as client:
            deadline = time.monotonic() + options.timeout
            if len(text.encode()) > (profile.account.max_body or _SMALL):
                _ready(client, deadline)  # only the server knows whether it takes that much (still)
            try:
                entry = client.send(to, text, kind=options.kind, client_id=chosen)
            except TooBig as error:
                raise Trouble(REFUSED, str(error), "too_big") from None
            wanted = _ORDER[options.wait]
            shown = -1
            while True:
                state = entry.state
                if state != "refused" and _ORDER[state] > shown and _ORDER[state] > 0:
                    shown = _ORDER[state]
                    if options.json:
                        print_json(entry_row(profile, entry))
                    else:
                        say(f"{MARKS[state]} {state}")
                if state == "refused":
                    raise Trouble(REFUSED, f"the server refused the message to {to}: {entry.why}")
                if shown >= wanted:
                    return DONE
                if time.monotonic() >= deadline:
                    raise _too_late(client, entry, options)
                _watch(client, client.step(min(1.0, max(0.0, deadline - time.monotonic()))))


def _listen(options: argparse.Namespace, directory: Path) -> int:
    with _profile(options, directory) as profile:
        _need_account(profile)
        end = time.monotonic() + options.for_ if options.for_ is not None else None
        left = options.count if options.count is not None else -1
        with _client(options, profile) as client:
            while left:
                fresh = profile.unshown()
                fresh = fresh[:left] if left > 0 else fresh
                profile.mark_shown(fresh)
                for entry in fresh:
                    show(profile, entry, as_json=options.json)
                left -= len(fresh) if left > 0 else 0
                if options.read and fresh:
                    client.read(fresh)
                if left == 0 or (end is not None and time.monotonic() >= end):
                    break
                news = client.step(min(1.0, end - time.monotonic()) if end is not None else 1.0)
                _watch(client, news)
                if options.receipts:
                    show_receipts(profile, news, as_json=options.json)
            if options.read:
                _settle_reads(client)
        return DONE if left <= 0 else NOT_IN_TIME


def _contacts(options: argparse.Namespace, directory: Path) -> int:
    with Profile(directory, lock=False) as profile:
        match options.action:
            case "add":
                profile.contacts[options.name] = resolve(profile, options.number)
                profile.save_contacts()
                say(f"{options.name} is {profile.contacts[options.name]}")
            case "remove":
                if profile.contacts.pop(options.name, None) is None:
                    raise Trouble(USAGE, f"there is no contact {options.name!r}")
                profile.save_contacts()
            case _:
                _list_contacts(profile, as_json=options.json)
    return DONE


def _list_contacts(profile: Profile, *, as_json: bool) -> None:
    if as_json:
        print_json(profile.contacts)
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table("name", "number", box=None, header_style="bold")
        for name, number in sorted(profile.contacts.items()):
            table.add_row(name, number)
        Console().print(table)
    else:
        for name, number in sorted(profile.contacts.items()):
            print(f"{name:20} {number}")


def _whoami(options: argparse.Namespace, directory: Path) -> int:
    with Profile(directory, lock=False) as profile:
        account = profile.account
        if options.json:
            print_json(
                {
                    "user": account.user or None,
                    "device": account.device or None,
                    "server": f"{account.host}:{account.port}",
                    "profile": str(directory),
                    "unsent": len(profile.outbox),
                    "unshown": len(profile.unshown()),
                }
            )
        else:
            print(account.user or f"nobody yet: {_SELF} register NUMBER")
            print(f"server   {account.host}:{account.port}")
            print(f"profile  {directory}")
            print(f"unsent   {len(profile.outbox)}")
        return DONE if account.key else NOT_REGISTERED


def _history(options: argparse.Namespace, directory: Path) -> int:
    with Profile(directory, lock=False) as profile:
        for entry in profile.entries[-options.count :]:
            show(profile, entry, as_json=options.json, longest=_SHOWN)
    return DONE


def _interactive(options: argparse.Namespace, directory: Path) -> int:
    from apps.chat.client.terminal import Terminal

    with _profile(options, directory) as profile:
        for warning in profile.warnings:
            say(f"chat: {warning}")
        if not profile.account.key:
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise Trouble(
                    NOT_REGISTERED, _WELCOME.format(server=f"{profile.account.host}:{profile.account.port}")
                )
            print("Welcome. Nobody is registered in this profile yet.")
            _first_start(options, profile)
        client = Client(profile, ca=options.ca, insecure=options.insecure)
        try:
            patience = getattr(options, "timeout", 30.0)
            return Terminal(client, patience=patience).run(getattr(options, "with_", None))
        finally:
            client.close()


def _first_start(options: argparse.Namespace, profile: Profile) -> None:
    """Ask for the number until it is one, then register it."""
    while True:
        number = input("Your number, with country code (+33612345678): ").strip()
        if not number:
            raise Trouble(
                NOT_REGISTERED, _WELCOME.format(server=f"{profile.account.host}:{profile.account.port}")
            )
        try:
            _sign_up(options, profile, resolve(profile, number))
            return
        except Trouble as trouble:
            mistyped = trouble.reason == "bad_number" or (trouble.code == USAGE and not trouble.reason)
            if not mistyped:
                raise
            say(f"{trouble} Once more, please.")


_WELCOME: Final = """nobody is registered in this profile yet. Begin with

    tools/chat register +33612345678        (your number; the PIN comes to it)

The server is {server}; name another with --server HOST:PORT. A development node prints
the PIN on its own terminal."""


# internals: running a client


def _profile(options: argparse.Namespace, directory: Path) -> Profile:
    profile = Profile(directory)
    server = getattr(options, "server", None) or os.environ.get("EVERGREEN_SERVER")
    if server:
        host, port = parse_server(server)
        if (host, port) != (profile.account.host, profile.account.port):
            profile.account.host, profile.account.port = host, port
            profile.account.token = ""  # another server's secret is none of this one's business
    if options.ca:
        profile.account.ca = str(Path(options.ca).absolute())
    return profile


@contextlib.contextmanager
def _client(options: argparse.Namespace, profile: Profile) -> Iterator[Client]:
    client = Client(profile, ca=options.ca, insecure=options.insecure)
    try:
        yield client
    finally:
        client.close()


def _need_account(profile: Profile) -> None:
    if not profile.account.key:
        raise Trouble(NOT_REGISTERED, f"nobody is registered in this profile: {_SELF} register NUMBER")


def _watch(client: Client, news: list[News]) -> None:
    """Tell about the connection on stderr, and stop when the client stopped for good."""
    for item in news:
        if isinstance(item.event, Waiting):
            say(f"{item.event.why}; trying again in {item.event.seconds:.0f} s")
        elif isinstance(item.event, Stopped):
            raise stopped_trouble(client, item.event)


def stopped_trouble(client: Client, event: Stopped) -> Trouble:
    """What to tell, and the exit code, when the client stopped for good."""
    user = client.profile.account.user
    if event.code == "certificate":
        return Trouble(NO_CONNECTION, event.why)
    if event.code == "replaced":
        return Trouble(
            NOT_REGISTERED,
            f"{user} is connected from somewhere else now, so this connection was ended. If that is a copy of "
            f"this profile, use only one of them at a time; if it is another device: {_SELF} register {user} "
            "--again brings the account back here",
        )
    if event.code == "auth_failed":
        return Trouble(
            NOT_REGISTERED,
            f"the server does not know {user} by this key any more (registered on another device?): "
            f"{_SELF} register {user} --again",
        )
    return Trouble(REFUSED, f"the server ended the session: {event.why or event.code} ({event.code})")


def _until(client: Client, deadline: float, found: Callable[[News], bool]) -> News:
    """Step until some news satisfies `found`; Trouble when it is too late or hopeless."""
    why = "no answer from the server"
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Trouble(NO_CONNECTION, f"no connection in time: {why}")
        news = client.step(left)
        for item in news:
            if isinstance(item.event, Waiting):
                why = item.event.why
            if found(item):
                return item
        _watch(client, news)


def _answer(client: Client, deadline: float, wanted: type, what: str) -> News:
    item = _until(
        client,
        deadline,
        lambda n: isinstance(n.event, wanted) or (isinstance(n.event, Failed) and n.event.what == what),
    )
    if isinstance(item.event, Failed):
        raise Trouble(REFUSED, _sentence(item.event), item.event.code)
    return item


def _sentence(event: Failed) -> str:
    seconds = f"{math.ceil(event.retry_after)} s" if event.retry_after else "a while"
    if event.code == "throttled":
        return f"Too many tries, or too soon: the next one is possible in {seconds} (throttled)."
    later = f" Try again in {seconds}." if event.retry_after else ""
    return f"{event.text} ({event.code}).{later}"


def _ready(client: Client, deadline: float) -> None:
    if not client.is_ready:
        _until(client, deadline, lambda _: client.is_ready)


def _ask_for_pin(client: Client, end: float, number: str) -> str:
    """Read the PIN from the terminal or stdin until `end`, keeping the connection alive meanwhile."""
    import select

    print("PIN: ", end="", file=sys.stderr, flush=True)
    typed = b""
    while time.monotonic() < end:
        _watch(client, client.step(0.0))
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
                    USAGE, f"no PIN was given (stdin ended): {_SELF} register {number} --pin PIN", "no_pin"
                )
            print("PIN: ", end="", file=sys.stderr, flush=True)
    raise Trouble(REFUSED, f"the PIN has expired: ask for another with {_SELF} register {number}")


def _settle_reads(client: Client) -> None:
    """Give the read marks a moment to be confirmed; they are on disk if they are not."""
    end = time.monotonic() + 2.0
    while client.profile.reads and client.is_ready and time.monotonic() < end:
        client.step(end - time.monotonic())


def _too_late(client: Client, entry: Entry, options: argparse.Namespace) -> Trouble:
    if entry.state == "queued":
        code = NO_CONNECTION if not client.is_ready else NOT_IN_TIME
        why = "it is kept in the outbox and goes out with the next tools/chat command"
        return Trouble(code, f"not accepted within {options.timeout:g} s; {why} (id {entry.id.hex()})")
    return Trouble(NOT_IN_TIME, f"{entry.state}, but not {options.wait} within {options.timeout:g} s")


# internals

_COMMANDS: Final[dict[str, Callable[[argparse.Namespace, Path], int]]] = {
    "register": _register,
    "login": _login,
    "chat": _interactive,
    "send": _send,
    "listen": _listen,
    "contacts": _contacts,
    "whoami": _whoami,
    "history": _history,
}


def _raise_interrupt() -> None:
    raise KeyboardInterrupt
