"""A client for as long as one command runs: its profile, its connection, and waiting for what the command wants of it.

A command is a plain program that steps its `Client` until it has what it wants, or until its deadline (seconds of
`time.monotonic`). What happens to the connection meanwhile is told on stderr; what ends the client for good ends the command
as a Trouble.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from apps.chat.client.addresses import parse_server
from apps.chat.client.client import Client, News, Stopped, Waiting
from apps.chat.client.events import Failed
from apps.chat.client.output import say
from apps.chat.client.profile import Profile
from apps.chat.client.trouble import NOT_REGISTERED, NO_CONNECTION, REFUSED, SELF, Trouble, stopped_trouble

__all__ = ["need_account", "open_profile", "running_client", "wait_answer", "wait_for", "wait_ready", "watch"]

# API


def open_profile(options: argparse.Namespace, directory: Path) -> Profile:
    """Open and lock the profile, and note what the command line says of the server."""
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
def running_client(options: argparse.Namespace, profile: Profile) -> Iterator[Client]:
    """Give a client that is closed at the end, however that comes."""
    client = Client(profile, ca=options.ca, insecure=options.insecure)
    try:
        yield client
    finally:
        client.close()


def need_account(profile: Profile) -> None:
    """Raise Trouble unless somebody is registered here."""
    if not profile.account.key:
        raise Trouble(NOT_REGISTERED, f"nobody is registered in this profile: {SELF} register NUMBER")


def watch(client: Client, news: list[News]) -> None:
    """Tell about the connection on stderr, and stop when the client stopped for good."""
    for item in news:
        if isinstance(item.event, Waiting):
            say(f"{item.event.why}; trying again in {item.event.seconds:.0f} s")
        elif isinstance(item.event, Stopped):
            raise stopped_trouble(client, item.event)


def wait_for(client: Client, deadline: float, found: Callable[[News], bool]) -> News:
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
        watch(client, news)


def wait_answer(client: Client, deadline: float, wanted: type, what: str) -> News:
    """Step until the server answers with `wanted`, or refuses `what`: that is a Trouble with its code as reason."""
    item = wait_for(
        client,
        deadline,
        lambda n: isinstance(n.event, wanted) or (isinstance(n.event, Failed) and n.event.what == what),
    )
    if isinstance(item.event, Failed):
        raise Trouble(REFUSED, _sentence(item.event), item.event.code)
    return item


def wait_ready(client: Client, deadline: float) -> None:
    """Step until the client is logged in."""
    if not client.is_ready:
        wait_for(client, deadline, lambda _: client.is_ready)


# internals


def _sentence(event: Failed) -> str:
    seconds = f"{math.ceil(event.retry_after)} s" if event.retry_after else "a while"
    if event.code == "throttled":
        return f"Too many tries, or too soon: the next one is possible in {seconds} (throttled)."
    later = f" Try again in {seconds}." if event.retry_after else ""
    return f"{event.text} ({event.code}).{later}"
