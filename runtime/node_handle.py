"""What a running node offers to its applications: `Node`, and `current`, which finds the one of this program.

The object is made by the process `init` (`node_init`), which fills it as the services start. It is there from before the first
application starts until after the last has stopped; applications ask for it by `runtime.node.current()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.admin.operations import Operations
from runtime.certificates import Certificates
from runtime.config import Config
from runtime.node_identity import Identity
from runtime.node_screen import Door

__all__ = ["Node", "current", "take_place"]

# Types


class Node:
    """What a running node offers to its applications; `current()` returns it.

    `store` is the store's handle (runtime.store.contract.Store), `cluster` the cluster's (runtime.cluster), `config` all
    settings (it is another object after a reload), `certificates` the paths of certificate, key and authority,
    `operations` the table of what can be asked over the control socket, for an application to add to, `code` live code
    (the module runtime.code; None when `code.mode` is off).
    """

    def __init__(self, identity: Identity, config: Config, data_dir: Path) -> None:
        self.name = identity.name
        self.creation = identity.creation
        self.config = config
        self.data_dir = data_dir
        self.certificates: Certificates | None = None
        self.store: Any = None
        self.cluster: Any = None
        self.operations: Operations | None = None
        self.code: Any = None
        self.phase = "starting"
        """starting, serving, stopping."""
        self.doors: list[Door] = []

    def announce(self, name: str, host: str, port: int, speaks: str = "") -> None:
        """Tell where an application listens: for the start message and the ready line (`<name>_port`)."""
        self.doors = [door for door in self.doors if door.name != name] + [Door(name, host, port, speaks)]


# API


def current() -> Node:
    """Return the node that this program runs. Raises RuntimeError outside one."""
    if _current is None:
        raise RuntimeError("no node runs in this program: start one with python -m runtime.node")
    return _current


def take_place(node: Node | None) -> None:
    """Make `node` the current one; None: there is none any more. For `init` alone."""
    global _current
    _current = node


# Internals

_current: Node | None = None
