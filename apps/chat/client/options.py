"""The command line's words: options and commands, as argparse wants them."""

from __future__ import annotations

import argparse
import socket


__all__ = ["make_parser"]

# API


def make_parser(epilog: str) -> argparse.ArgumentParser:
    """The parser; the chosen command's name is in `command`."""
    # The common options may stand before or after the command; only the given ones count.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--profile", metavar="DIR", help="keys and history (default: ~/.local/share/evergreen)"
    )
    common.add_argument(
        "--server", metavar="HOST:PORT", help="remembered in the profile (default: 127.0.0.1:7222)"
    )
    common.add_argument(
        "--ca", metavar="FILE", help="certificate authority (default: a development node's own)"
    )
    common.add_argument(
        "--insecure", action="store_true", help="do not check the certificate; only for 127.0.0.1"
    )
    parser = argparse.ArgumentParser(
        prog="tools/chat",
        description="Chat from the terminal. Without a command: the interactive chat.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.set_defaults(command="chat", json=False)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=[common])
        made.set_defaults(command=name)
        return made

    sub = command("register", "register a number on this device (its former device is signed off)")
    sub.add_argument("number", metavar="NUMBER", help="with country code, like +33612345678")
    sub.add_argument("--pin", help="the PIN, if it came already; otherwise one is sent and asked for")
    sub.add_argument("--device", default=socket.gethostname()[:64], help="what to call this device")
    sub.add_argument("--again", action="store_true", help="although this profile has an account")
    _shared(sub, 30.0)
    sub = command("login", "check the login; or take over a key: --user NUMBER --key KEY")
    sub.add_argument("--user")
    sub.add_argument("--key")
    _shared(sub, 30.0)
    sub = command("chat", "the interactive chat")
    sub.add_argument("with_", metavar="WITH", nargs="?", help="contact or number to talk to")
    sub.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="S",
        help="piped: seconds without progress after the end of the input (default %(default)s)",
    )
    sub = command("send", "send one message")
    sub.add_argument("--to", required=True, metavar="WHO", help="contact or number")
    sub.add_argument("text", nargs="+", help="the text, or - for stdin")
    sub.add_argument(
        "--wait", choices=("accepted", "delivered", "read"), default="accepted", help="for which check mark"
    )
    sub.add_argument("--kind", default="text")
    sub.add_argument(
        "--id",
        metavar="HEX",
        help="the client id (32 hex digits): the same one again sends no second message",
    )
    _shared(sub, 30.0)
    sub = command("listen", "print messages as they come")
    sub.add_argument("--count", type=int, metavar="N", help="stop after N messages")
    sub.add_argument("--for", dest="for_", type=float, metavar="S", help="stop after S seconds")
    sub.add_argument("--read", action="store_true", help="tell the senders that they were read")
    sub.add_argument("--receipts", action="store_true", help="print the check marks of sent messages, too")
    sub.add_argument("--json", action="store_true", help="one JSON object per line")
    sub = command("contacts", "names for numbers")
    sub.set_defaults(action="list")
    actions = sub.add_subparsers(metavar="ACTION")
    add = actions.add_parser("add", help="add NAME NUMBER")
    add.add_argument("name")
    add.add_argument("number")
    add.set_defaults(action="add")
    listing = actions.add_parser("list", help="list them")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(action="list")
    remove = actions.add_parser("remove", help="remove NAME")
    remove.add_argument("name")
    remove.set_defaults(action="remove")
    sub = command("whoami", "who this profile is")
    sub.add_argument("--json", action="store_true")
    sub = command("history", "what was said, as far as this device remembers")
    sub.add_argument("--count", type=int, default=50)
    sub.add_argument("--json", action="store_true")
    return parser


def _shared(parser: argparse.ArgumentParser, timeout: float) -> None:
    parser.add_argument(
        "--timeout", type=float, default=timeout, metavar="S", help="seconds to try (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
