"""A code server over a tree of modules in a temporary directory, with the real engine and the real release log."""

from __future__ import annotations

import importlib
import itertools
import sys
from contextlib import contextmanager

from runtime.code.check import Checker
from runtime.code.engine import Engine
from runtime.code.probation import Limits
from runtime.code.release_log import ReleaseLog
from runtime.code.releaser import Releaser
from runtime.code.roots import Roots
from runtime.code.server import NAME, CodeServer
from runtime.kernel import is_alive
from runtime.otp.gen_server import stop
from runtime.testing import settle

__all__ = ["NEVER", "Place", "serving"]

NEVER = Limits(
    probation=60.0, watch_probation=60.0, max_crashes=0, max_restarts=0, max_hogs=0, max_alarms=0, max_errors=0,
    max_lag=0.0, max_busy=0.0,
)  # fmt: skip
"""Probations that only time ends."""

_numbers = itertools.count()


class Place:
    """Modules of a package that no other test has: `place.load(m="X = 1")`, `place.push(m="X = 2")`."""

    def __init__(self, base):
        self.base = base
        self.package = f"served{next(_numbers)}"
        (base / self.package).mkdir()
        self.engine = Engine(Roots(base, [self.package]), quiesce=2.0)
        self.log = ReleaseLog.open(base / "log")
        self.releaser = Releaser(self.engine, self.log)

    def write(self, **texts):
        for name, text in texts.items():
            (self.base / self.path(name)).write_text(text)

    def load(self, **texts):
        self.write(**texts)
        return [importlib.import_module(f"{self.package}.{name}") for name in texts][-1]

    def path(self, name):
        return f"{self.package}/{name}.py"

    def sources(self, **texts):
        return {self.path(name): text for name, text in texts.items()}

    def open(self):
        sys.path.insert(0, str(self.base))
        self.engine.install()

    def close(self):
        self.engine.uninstall()
        self.log.close()
        sys.path.remove(str(self.base))
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package]:
            del sys.modules[name]
        importlib.invalidate_caches()


@contextmanager
def serving(place, limits=NEVER, *, check=False, mode="push"):
    """Run a code server; the modules of `place` are loaded by then."""
    if check:
        place.releaser.checker = Checker(place.engine.roots)
        place.releaser.checks = True
    place.releaser.begin()
    server = CodeServer.start_link(place.releaser, limits, mode, name=NAME)
    try:
        yield server
    finally:
        if is_alive(server):
            stop(server)
        if place.releaser.checker is not None:
            place.releaser.checker.stop()
        settle()
