"""A watcher in a program that may open no more files: python -m tests.code.short_of_descriptors STORY DIRECTORY."""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime import kernel
from runtime.code.watch import WatchConfig
from runtime.testing import until
from tests.code.watched import Node, watching
from tests.observe.observing import lines_of

SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@contextmanager
def descriptors(more):
    """Only `more` further files can be opened within the block."""
    with suppress(OSError):
        kernel.blocking(os.open, "/no such file", os.O_RDONLY)  # so that what this needs is imported
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, HARD))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))


def no_events(node):
    """The system has no watch to give: said once, in one line, and saves go live all the same."""
    with lines_of("evergreen.code") as lines:
        with descriptors(2), watching(node) as watcher:
            assert watcher.behaviour.polls
            node.write("apps/a.py", "X = 2\n")
            node.live("apps/a.py", "X = 2\n")
    assert len(lines) == 1, lines
    assert "limit of open files; the files are looked at every 0.03 s instead" in lines[0][1], lines


def no_look(node):
    """A folder that cannot be listed just now is not taken for empty: nothing is deleted."""
    with watching(node, WatchConfig(quiet=0.02, hold=0.05, look_every=0.05)):
        node.write("apps/a.py", "X = 2\n")
        with descriptors(0):
            until(lambda: node.complaints)
            kernel.blocking(time.sleep, 0.3)  # it is tried again meanwhile, and not complained about again
        node.live("apps/a.py", "X = 2\n")
    assert len(node.complaints) == 1
    assert "cannot be looked at" in node.complaints[0]
    assert node.batches == [{"apps/a.py": "X = 2\n"}]


def main():
    node = Node(Path(sys.argv[2]))
    node.load("apps/a.py", "X = 1\n")
    kernel.run({"no_events": no_events, "no_look": no_look}[sys.argv[1]], node)
    print("as it should be")


if __name__ == "__main__":
    main()
