"""Which node a command means, and how it gets there: the options that all commands share.

--socket PATH, --node HOST:PORT (mutual TLS), else the data directory of etc/node.toml. Paths are meant from where the
user stands; the command runs in the tree's root.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

from runtime.admin.client import Client, TLSFiles

__all__ = ["PATHS", "Unfit", "add_options", "connect", "mean_paths", "start"]

PATHS = ("socket", "config", "certificate", "certificate_key", "authority")

# Types


class Unfit(Exception):
    """The command cannot do what was asked: a sentence."""


# API


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which node."""
    add = parser.add_argument
    add(
        "--socket",
        metavar="PATH",
        help="the node's control socket (default: admin.sock in its data directory)",
    )
    add("--config", metavar="FILE", help="where the data directory is read from (default: etc/node.toml)")
    add("--node", metavar="HOST:PORT", help="a node on another machine, by mutual TLS (its admin.port)")
    add("--certificate", metavar="FILE", help="your certificate, for --node")
    add("--certificate-key", metavar="FILE", help="its key")
    add("--authority", metavar="FILE", help="the authority of the node's certificate")
    add(
        "--server-name",
        metavar="NAME",
        default="",
        help="the name in the node's certificate (default: the host)",
    )


def connect(options: argparse.Namespace) -> Client:
    """Connect as the options say. Raises Unfit, and NotConnected when there is no such node."""
    if not options.node:
        return Client.connect(Path(options.socket) if options.socket else _default_socket(options.config))
    host, _, port = options.node.rpartition(":")
    if not host or not port.isdigit():
        raise Unfit(f"--node wants HOST:PORT, not {options.node!r}; a node on this machine: --socket PATH")
    files = (options.certificate, options.certificate_key, options.authority)
    if not all(files):
        raise Unfit("--node also wants --certificate, --certificate-key (yours) and --authority (the node's)")
    return Client.connect_tls(host.strip("[]"), int(port), TLSFiles(*files, options.server_name))


def mean_paths(options: argparse.Namespace, names: Iterable[str] = PATHS) -> None:
    """Let paths among the options mean what they mean where the user stands."""
    for name in names:
        if getattr(options, name):
            setattr(options, name, str(start() / Path(getattr(options, name)).expanduser()))


def start() -> Path:
    """Return where the user stood when the command was given."""
    return Path(os.environ.get("EVERGREEN_CWD", "."))


# Internals


def _default_socket(named: str | None) -> Path:
    """`named`: the file that the user gave, which must be there; without one, no file means the defaults."""
    config = Path(named or "etc/node.toml")
    try:
        node = tomllib.loads(config.read_text()).get("node", {}) if named or config.exists() else {}
        return Path(node.get("data_dir", "var")) / "admin.sock"
    except FileNotFoundError:
        raise Unfit(
            f"there is no {config}: --config wants a node's settings; or name its socket with --socket PATH"
        ) from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Unfit(f"{config} cannot be read ({error}): name the node's socket with --socket PATH") from None
