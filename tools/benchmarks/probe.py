"""Run one function of this package in a Python of its own: `python -m tools.benchmarks.probe module:function '{...}'`.

What the function returns is printed as one line of JSON. A server prints its line itself, by `ready`, and stays until
its standard input ends: so it also ends when whoever started it was killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["leave", "main", "median_of", "ready", "timed"]

_PACKAGE = "tools.benchmarks"


def ready(**facts: Any) -> None:
    """Say that the server serves."""
    print(json.dumps({"pid": os.getpid(), **facts}), flush=True)


def leave() -> None:
    """The end of a server whose input ended: at once, nothing of it is worth saving."""
    os._exit(0)


def timed(fn: Callable[[], Any]) -> float:
    """Seconds that the call took."""
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def median_of(measure: Callable[[], float], repeats: int = 3) -> float:
    """Measure once to warm up (code, caches, memory), then take the median of `repeats`."""
    measure()
    return statistics.median(measure() for _ in range(repeats))


def main(arguments: list[str]) -> int:
    name, parameters = arguments
    module, _, function = name.partition(":")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.disable(logging.CRITICAL)  # what a crash costs is measured, not what it costs to write about it
    gc.set_threshold(50_000, 20, 10_000)  # as a node does; for the peers, too
    found = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), function)
    result = found(**json.loads(parameters))
    if result is not None:
        print(json.dumps(result), flush=True)
    sys.stdout.flush()
    os._exit(0)  # no teardown of 100,000 processes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
