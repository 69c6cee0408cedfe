"""The command line: one chat for people, and the same for scripts.

Exit codes: 0 done · 1 the server refused · 2 wrong usage · 3 no connection in time ·
4 the check mark did not come in time (the message stays in the outbox or on its way) ·
5 not registered, or the account is used on another device now · 6 the profile cannot be used ·
130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from apps.chat.client.addresses import resolve
from apps.chat.client.client import Client
from apps.chat.client.connection import CertificateProblem
from apps.chat.client.events import LocalProtocolError, TooBig
from apps.chat.client.options import make_parser
from apps.chat.client.output import MARKS, entry_row, print_json, say, show, show_receipts
from apps.chat.client.profile import Entry, Profile, ProfileBusy, ProfileDamaged, default_directory
from apps.chat.client.registering import WELCOME, first_start, sign_up
from apps.chat.client.running import need_account, open_profile, running_client, wait_ready, watch
from apps.chat.client.trouble import (
    DONE,
    INTERRUPTED,
    NO_CONNECTION,
    NO_PROFILE,
    NOT_IN_TIME,
    NOT_REGISTERED,
    REFUSED,
    SELF,
    USAGE,
    Trouble,
)

__all__ = ["main"]

_SHOWN: Final = 500
"Characters of a text in the history; --json has the whole."
_SMALL: Final = 4096
"Bytes of a body that any server takes."
_ORDER: Final = {"queued": 0, "accepted": 1, "delivered": 2, "read": 3}

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


# commands


def _register(options: argparse.Namespace, directory: Path) -> int:
    with open_profile(options, directory) as profile:
        if profile.account.key and not options.again:
            raise Trouble(
                USAGE,
                f"this profile is {profile.account.user} already. Register it anew with --again, "
                "or use another --profile DIR",
            )
        sign_up(options, profile, resolve(profile, options.number))
        say(
            f"You are {profile.account.user} on this device. The key is in {directory} (keep it to yourself)."
        )
        if options.json:
            print_json({"user": profile.account.user, "device": profile.account.device})
    return DONE


def _login(options: argparse.Namespace, directory: Path) -> int:
    with open_profile(options, directory) as profile:
        if options.key:
            if not options.user:
                raise Trouble(USAGE, "--key needs --user NUMBER")
            profile.new_account(resolve(profile, options.user), "", options.key)
        need_account(profile)
        with running_client(options, profile) as client:
            wait_ready(client, time.monotonic() + options.timeout)
            limits = client.session.limits
        say(f"Logged in as {profile.account.user} at {profile.account.host}:{profile.account.port}.")
        if options.json:
            print_json({"user": profile.account.user, "window": limits.window if limits else None})
    return DONE


def _send(options: argparse.Namespace, directory: Path) -> int:
    with open_profile(options, directory) as profile:
        need_account(profile)
        to = resolve(profile, options.to)
        # The newline that ends a text from stdin is the shell's, not the writer's.
        text = " ".join(options.text) if options.text != ["-"] else sys.stdin.read().removesuffix("\n")
        if not text:
            raise Trouble(USAGE, "there is nothing to send: give the text, or - to read it from stdin")
        chosen = bytes.fromhex(options.id) if options.id else None
        if chosen is not None and len(chosen) != 16:
            raise Trouble(USAGE, "--id takes 32 hexadecimal digits")
        with running_client(options, profile) as client:
            deadline = time.monotonic() + options.timeout
            if len(text.encode()) > (profile.account.max_body or _SMALL):
                wait_ready(client, deadline)  # only the server knows whether it takes that much (still)
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
                watch(client, client.step(min(1.0, max(0.0, deadline - time.monotonic()))))


def _listen(options: argparse.Namespace, directory: Path) -> int:
    with open_profile(options, directory) as profile:
        need_account(profile)
        end = time.monotonic() + options.for_ if options.for_ is not None else None
        left = options.count if options.count is not None else -1
        with running_client(options, profile) as client:
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
                watch(client, news)
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
            print(account.user or f"nobody yet: {SELF} register NUMBER")
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

    with open_profile(options, directory) as profile:
        for warning in profile.warnings:
            say(f"chat: {warning}")
        if not profile.account.key:
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise Trouble(
                    NOT_REGISTERED, WELCOME.format(server=f"{profile.account.host}:{profile.account.port}")
                )
            print("Welcome. Nobody is registered in this profile yet.")
            first_start(options, profile)
        client = Client(profile, ca=options.ca, insecure=options.insecure)
        try:
            patience = getattr(options, "timeout", 30.0)
            return Terminal(client, patience=patience).run(getattr(options, "with_", None))
        finally:
            client.close()


# internals


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
