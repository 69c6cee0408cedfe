"""A node: the runtime as a program. `python -m runtime.node --config etc/node.toml` boots it and runs its applications.

Theory of operation: the main program checks the configuration, takes the data directory, and becomes one process, `init`
(`node_init`). That starts the node's services and its applications; then it waits for whoever ends the node:

    SIGTERM, SIGINT      orderly stop: applications last started first (prep_stop, tree, stop), then the services;
                         exit code 0. A second one: out at once.
    SIGHUP               read the configuration and the certificates again; what is wrong changes nothing.
    an application ends  by its start type (permanent here): orderly stop of the rest; exit code 1.
    a service ends       likewise: handles on the store do not outlive it.

Exit codes: 0 stopped as asked; 1 cannot start or go on (one sentence says why); 2 the configuration is wrong.
`current()` is how an application finds its node (`node_handle`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from runtime import certificates, node_init, node_releases
from runtime.certificates import CertificateError
from runtime.code.keys import KeyProblem, allowed_keys
from runtime.config import Config, ConfigErrors
from runtime.node_code import NodeCode, ReleaseLogError
from runtime.node_config import load_node_config
from runtime.node_handle import Node, current
from runtime.node_identity import DataDirectory, DirectoryError
from runtime.node_screen import say

__all__ = ["Node", "current", "main"]

# API


def main(arguments: list[str] | None = None) -> int:
    """Run a node until it is stopped; return the exit code."""
    options = _options(arguments)
    if not options.check:
        os.umask(0o077)
    code: NodeCode | None = None
    directory: DataDirectory | None = None
    try:
        if options.releases:
            return node_releases.show(options.config, options.set)
        if not options.check:
            code = NodeCode.prepare(options.config, options.set, options.release, force=options.force)
        config, classes = load_node_config(options.config, options.set)
        if options.check:
            return _check(options, config)
        data_dir = Path(config.text("node.data_dir")).resolve()
        directory = code.directory if code is not None else None
        directory = directory or DataDirectory.hold(data_dir)
        identity = directory.next_identity(config.text("node.name"), config.integer("cluster.shards"))
        if code is not None:
            code.open(data_dir, config)
        return node_init.run(node_init.Init(options, config, classes, directory, identity, code))
    except KeyboardInterrupt:
        return 130
    except ConfigErrors as found:
        say(f"the configuration has {_count(len(found.errors), 'error')}:")
        for error in found.errors:
            print(f"  {error}", file=sys.stderr)
        if code is not None and code.hint():
            say(code.hint())
        return 2
    except (DirectoryError, ReleaseLogError) as error:
        say(f"cannot start: {error}")
        return 1
    finally:
        if code is not None:
            code.close()
            directory = directory or code.directory
        if directory is not None:
            directory.release()


# Internals

_RELEASES = (
    "A node in push mode starts from its last good release: --releases lists them all, with the node down, "
    "and --release R starts from another one."
)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/run", description="Run a node.", epilog=_RELEASES)
    parser.add_argument(
        "--config", metavar="FILE", default="etc/node.toml", help="settings (default: etc/node.toml)"
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override one: node.name=x"
    )
    parser.add_argument("--check", action="store_true", help="check the settings, name every error, and end")
    parser.add_argument(
        "--json-ready", action="store_true", help="print one line of JSON when ready, no start message"
    )
    parser.add_argument(
        "--release",
        metavar="R",
        default="",
        help="push mode: start from this release (id, #NUMBER), not the last good one",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="with --release: also one that was taken back; it is on probation then",
    )
    parser.add_argument(
        "--releases", action="store_true", help="list the releases of this node, which must not run, and end"
    )
    options = parser.parse_args(arguments)
    if options.force and not options.release:
        parser.error("--force insists on a release that was taken back: it goes with --release R")
    return options


def _check(options: argparse.Namespace, config: Config) -> int:
    own = config.text("node.tls_certificate"), config.text("node.tls_key")
    try:
        if any(own):
            certificates.load(Path(config.text("node.data_dir")) / "certificates", *own)
        if config.text("code.mode") != "off" and (keys := config.text("code.allowed_keys")):
            allowed_keys(Path(keys), Path())
    except (CertificateError, KeyProblem) as error:
        say(str(error))
        return 2
    changed = sum(config.origin(name) != "default" for name in config)
    print(
        f"{options.config}: the configuration is valid ({_count(len(config), 'setting')}, {changed} of them given)"
    )
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


if __name__ == "__main__":
    # As `runtime.node`, not as `__main__`: so is what an application imports.
    from runtime.node import main as run_node

    sys.exit(run_node())
