"""A real node for tests: a child process with its own data directory and ports.

    with Node(tmp_path / "var") as node:            # starts, waits until it serves
        person = node.register(tmp_path / "anna")   # a client's Profile, registered and logged in once
        node.kill(); node.start()                   # -9, and again on the same directory

Everything the node says on stdout is kept in `lines` and `out_file` (PINs come from there), stderr in `log_file`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apps.chat.client.client import Client, Stopped
from apps.chat.client.profile import Profile
from apps.chat.client.events import Failed, State
from apps.chat.native.frames import PinSent, Registered

__all__ = ["Node", "NodeFailed", "number"]

ROOT = Path(__file__).resolve().parents[2]

_PIN = re.compile(r"PIN for (\S+): (\d+)")

# Limits that protect a node in the world would only slow a test that registers dozens of people from one address.
OPEN = (
    "chat.registration.per_address=1000000",
    "chat.registration.per_prefix=1000000",
)


class NodeFailed(Exception):
    """The node did not come up; the text has its last words."""


def number(n: int) -> str:
    """A valid French mobile number for the n-th person of a test."""
    return f"+336{12000000 + n:08d}"


class Node:
    """A node over successive processes on one data directory."""

    def __init__(
        self, directory: Path, *overrides: str, config: Path | None = None, cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.overrides = overrides
        self.config = config or ROOT / "etc" / "node.toml"
        self.cwd = cwd
        self.environment = dict(environment or {})
        self.lines: list[str] = []
        self.log_file = directory.parent / f"{directory.name}.log"
        self.out_file = directory.parent / f"{directory.name}.out"
        self.ready: dict[str, Any] = {}
        self.starts = 0
        self.process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._port = 0

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def port(self) -> int:
        """The native port; the same over restarts, so that clients find the node again."""
        return self._port

    @property
    def ca(self) -> Path:
        return self.directory / "certificates" / "ca.pem"

    def command(self) -> list[str]:
        settings = [
            f"node.data_dir={self.directory}",
            f"chat.native.port={self._port}",
            "admin.http_port=0",
            "code.mode=off",  # whoever works on apps/ meanwhile must not change what is tested
            "runtime.check_messages=true",  # a message that its sender could still change ends its process
            *OPEN,
            *self.overrides,
        ]
        command = [sys.executable, "-m", "runtime.node", "--config", str(self.config), "--json-ready"]
        for setting in settings:
            command += ["--set", setting]
        return command

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self.starts += 1
        self.ready = {}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.cwd,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def start(self, timeout: float = 30.0) -> None:
        """Start and wait until the node serves. Raises NodeFailed with its last words."""
        self.launch()
        self.wait(lambda: bool(self.ready) or self.process.poll() is not None, timeout)  # type: ignore[union-attr]
        if not self.ready:
            raise NodeFailed(f"no ready line\n{self.last_words()}")
        self._port = int(self.ready["native_port"])

    def wait(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait for a condition over `lines`, `ready` or the process. Raises NodeFailed at `timeout`."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if time.monotonic() > end:
                    raise NodeFailed(f"not in {timeout} s\n{self.last_words()}")
                self._changed.wait(0.05)

    def kill(self) -> None:
        """kill -9 of the node's process, and wait for its end."""
        assert self.process is not None
        self.process.kill()
        self._gone()

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)
        self._gone()
        return self.process.returncode

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def children(self) -> list[int]:
        """The pids of the node's own child processes (the store's writer is one)."""
        path = Path(f"/proc/{self.pid}/task")
        found: list[int] = []
        for task in path.iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
        return found

    def last_words(self) -> str:
        log = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return "\n".join([*self.lines[-20:], "--- stderr", *log.splitlines()[-60:]])

    def pin_for(self, phone: str, after: int = 0, timeout: float = 10.0) -> str:
        """The newest PIN printed for `phone` at or after line `after`."""

        def found() -> str | None:
            for line in reversed(self.lines[after:]):
                match = _PIN.search(line)
                if match and match[1] == phone:
                    return match[2]
            return None

        self.wait(lambda: found() is not None, timeout)
        return found() or ""

    def client(self, directory: Path, **options: Any) -> Client:
        """A client on the profile in `directory`, aimed at this node. Close it with `close_client`."""
        profile = Profile(directory)
        profile.account.host, profile.account.port, profile.account.ca = "127.0.0.1", self.port, str(self.ca)
        return Client(profile, **options)

    def register(self, directory: Path, phone: str, timeout: float = 20.0) -> None:
        """Register `phone` on the profile in `directory`, with the PIN from the console gateway."""
        client = self.client(directory)
        try:
            until(client, lambda: client.session.state is State.GREETED or client.is_ready, timeout)
            mark = len(self.lines)
            client.ask_pin(phone)
            _answer(client, PinSent, timeout)
            client.register(phone, self.pin_for(phone, mark), "test")
            _answer(client, Registered, timeout)
            until(client, lambda: client.is_ready, timeout)
        finally:
            close_client(client)

    # internals

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait(30)
        if self._reader is not None:
            self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.rstrip("\n")
            with self.out_file.open("a") as out:
                out.write(line)
            with self._changed:
                self.lines.append(text)
                if text.startswith("{"):
                    try:
                        row = json.loads(text)
                    except ValueError:
                        row = {}
                    if isinstance(row, dict) and row.get("ready"):
                        self.ready = row
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def until(client: Client, condition: Callable[[], Any], timeout: float = 20.0) -> list[Any]:
    """Step the client until the condition holds; return the events that went by."""
    seen: list[Any] = []
    end = time.monotonic() + timeout
    while not condition():
        if client.stopped is not None:
            raise AssertionError(f"the client stopped: {client.stopped}")
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s; last events: {seen[-10:]}")
        seen += [item.event for item in client.step(0.1)]
    return seen


def close_client(client: Client) -> None:
    """Close a client of `Node.client` and its profile."""
    client.close()
    client.profile.close()


def _answer(client: Client, wanted: type, timeout: float) -> Any:
    found: list[Any] = []
    end = time.monotonic() + timeout
    while not found:
        if time.monotonic() > end or client.stopped is not None:
            raise AssertionError(f"no {wanted.__name__} ({client.stopped})")
        for item in client.step(0.1):
            if isinstance(item.event, wanted):
                found.append(item.event)
            elif isinstance(item.event, (Failed, Stopped)):
                raise AssertionError(f"no {wanted.__name__}: {item.event}")
    return found[0]
