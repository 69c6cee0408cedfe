"""One fork of a warm process for each case: quick, apart from each other, and a crash or a hang is the case's own.

`Nursery` starts one interpreter that has loaded the engine and runs nothing. `run("module:function", ...)` forks it; the
child calls the function and its answer, as JSON, comes back. What the child printed comes with it if it dies.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["ROOT", "ChildDied", "Nursery", "engine"]

ROOT = Path(__file__).resolve().parents[2]

OTHER_ENGINE = "EVERGREEN_RELOAD_ADAPTER"
"""An environment variable: the file of another engine's adapter, to run all of this against it."""
WARM = ("gevent", "runtime.kernel", "runtime.otp", "tests.reload.harness")

# ----------------------------------------------------------------------------------------------------------- API


class ChildDied(AssertionError):
    """The child ended without an answer: of a signal, of its time limit, of an exit."""


class Nursery:
    """The warm process. Use as a context manager; `run` one call at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.reload.children"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, function: str, *arguments: Any, limit: float = 40.0) -> Any:
        """Call `function` ("module:name") with `arguments` (JSON) in a fresh fork and return what it returned (JSON).

        Raises ChildDied when it raises, dies or takes longer than `limit` seconds; the text has what it printed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, arguments, limit]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ChildDied("the process that all children are forked from has gone")
        answer = json.loads(line)
        if "died" in answer:
            raise ChildDied(f"{function}: {answer['died']}\n{answer['output']}")
        return answer["value"]

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


def engine() -> Any:
    """A new engine of the adapter that is to be judged."""
    other = os.environ.get(OTHER_ENGINE)
    if other is None:
        return importlib.import_module("tests.reload.adapter").Engine()
    spec = importlib.util.spec_from_file_location("other_adapter", other)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Engine()


# ----------------------------------------------------------------------------------------------------- internals


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    for name in WARM:
        importlib.import_module(name)
    engine()  # whatever the adapter imports is warm too
    gc.set_threshold(50_000, 20, 50)  # a child lives for a second
    for line in requests:
        function, arguments, limit = json.loads(line)
        answers.write(json.dumps(_in_child(function, arguments, limit)).encode() + b"\n")
        answers.flush()


def _in_child(function: str, arguments: list[Any], limit: float) -> dict[str, Any]:
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as printed:
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _be_child(function, arguments, limit, writing, printed.fileno())
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(pid, 0)
        if answer:
            return json.loads(answer)  # type: ignore[no-any-return]
        printed.seek(0)
        code = os.waitstatus_to_exitcode(status)
        why = "took too long" if code == -signal.SIGALRM else f"ended with {code}"
        return {"died": why, "output": printed.read().decode(errors="replace")[-4000:]}


def _be_child(function: str, arguments: list[Any], limit: float, answer: int, output: int) -> None:
    """Never returns: nothing of the parent's may run in the child."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the parent's requests are not the child's to read
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.setitimer(signal.ITIMER_REAL, limit)  # unhandled, it ends the child: also one that spins in C
        module, _, name = function.partition(":")
        value = getattr(importlib.import_module(module), name)(*arguments)
        data = json.dumps({"value": value}).encode()
        while data:
            data = data[os.write(answer, data) :]
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
