"""A tree of files with a watcher on it, and what a watcher sees of a node: what runs, and a place to push to."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager

from runtime import kernel
from runtime.code.roots import Roots
from runtime.code.watch import WatchConfig, Watcher
from runtime.kernel import is_alive
from runtime.otp.gen_server import stop
from runtime.testing import until

__all__ = ["QUICK", "Node", "ready", "rest", "sha", "watching"]

QUICK = WatchConfig(quiet=0.03, max_wait=1.0, hold=0.3, git_wait=5.0, look_every=30.0, poll=0.03)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Node:
    """What a watcher sees of a node: what runs, and a place to push to."""

    def __init__(self, base, folders=("apps",)):
        self.base = base
        self.roots = Roots(base, folders)
        self.texts = {}
        self.batches = []
        self.complaints = []
        self.refuse = None
        self.replaced = {}

    def write(self, path, text):
        file = self.base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def load(self, path, text):
        """A module that runs, as it lies on disk."""
        self.write(path, text)
        self.texts[path] = text

    def running(self):
        return {path: sha(text) for path, text in self.texts.items()}

    def push(self, batch):
        self.batches.append(dict(batch))
        if self.refuse is not None:
            raise self.refuse
        for path, text in batch.items():
            if text is None:
                self.texts.pop(path, None)
            else:
                compile(text, path, "exec")
                self.texts[path] = text

    def live(self, path, text):
        until(lambda: self.texts.get(path) == text)


@contextmanager
def watching(node, config=QUICK, applications=()):
    watcher = Watcher.start_link(
        node.roots, config, node.running, node.push, node.complaints.append, lambda: node.replaced,
        applications, name="code_watch",
    )  # fmt: skip
    try:
        ready(watcher)
        yield watcher
    finally:
        if is_alive(watcher):
            stop(watcher)


def ready(watcher):
    """Wait until the watcher has looked for the first time and is idle."""
    until(lambda: watcher.behaviour.first is None and watcher.g is None)


def rest(watcher):
    """Wait until the watcher has dealt with all that events told of so far."""
    kernel.blocking(time.sleep, 0.05)  # events come from a thread of watchdog's
    ready(watcher)
