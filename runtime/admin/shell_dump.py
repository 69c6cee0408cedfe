"""`tools/shell --dump FILE`: the commands that look, on what a crash dump holds instead of a node. All of it is here, nothing
is asked anywhere.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.admin import commands
from runtime.admin.commands import here, meta
from runtime.admin.commands.here import CannotDo
from runtime.admin.connect import Unfit
from runtime.admin.shell_code import CHECKPOINT, Sources, compile_input
from runtime.admin.shell_complete import complete
from runtime.admin.shell_evaluator import left
from runtime.admin.shell_text import HERE
from runtime.admin.shell_views import plain, view

__all__ = ["DumpLink"]


class DumpLink:
    """What `shell_client.ShellLink` is for a node. Raises Unfit for what is no dump."""

    is_node = False
    number = 0
    client: Any = None

    def __init__(self, path: Path) -> None:
        from runtime.observe import crash_dump

        try:
            dump = crash_dump.Dump.open(path)
        except OSError as error:
            raise Unfit(f"{path} cannot be read: {error.strerror or error}") from None
        except ValueError as error:  # it names the file
            raise Unfit(str(error)) from None
        commands.set_look(dump)
        seen = dump.node_summary()
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(dump.time))
        about = f"a dump of {seen.get('node')} (pid {seen.get('pid', 0)}), {when}: {dump.reason.partition(chr(10))[0]}"
        self.hello = {
            "node": seen.get("node", ""), "pid": seen.get("pid", 0), "operations": [], "prompt": "dump", "greeting": about,
        }  # fmt: skip
        self.sources = Sources()
        self.inputs = 0
        self.namespace: dict[str, Any] = {"__name__": "__dump__", "dump": dump, CHECKPOINT: lambda: None}
        for functions in commands.table().values():
            self.namespace |= functions
        self.namespace |= {name: _needs_life(name) for name in commands.in_node()}
        # A pasted <42@node> is what it is: a text by which the dump finds it.
        self.namespace |= {"pid": self._pid, "exit": meta.leave, "quit": meta.leave}

    def evaluate(
        self, code: str, *, width: int = 100, form: str = "screen", on_event: Callable[[Any], None]
    ) -> dict[str, Any]:
        """Evaluate here."""
        self.inputs += 1
        name = f"<dump:{self.inputs}>"
        self.sources.add(name, code)
        try:
            with contextlib.redirect_stdout(_Out(on_event)):
                program = compile_input(code, name)
                if program.body is not None:
                    exec(program.body, self.namespace)  # noqa: S102 - the user's own program
                value = eval(program.last, self.namespace) if program.last is not None else None  # noqa: S307
                return self._shown(value, width, form)
        except SystemExit as error:
            return left(error.code)
        except KeyboardInterrupt:
            return {"kind": "interrupted", "text": "interrupted"}
        except CannotDo as error:
            return {"kind": "error", "text": str(error), "error": "CannotDo"}
        except Exception as error:  # noqa: BLE001 - whatever was typed
            return {"kind": "error", "text": _trace(error, name), "error": type(error).__name__}

    def _pid(self, text: Any) -> str:
        return str(text).replace(f"@{HERE}>", f"@{self.hello['node']}>")

    def _shown(self, value: Any, width: int, form: str) -> dict[str, Any]:
        if form == "json":
            return {"kind": "json", "value": plain(value)}
        if value is None:
            return {"kind": "none"}
        self.namespace["_"] = value
        return view(value, width)

    def complete(self, text: str) -> tuple[int, list[str]]:
        """As ShellLink."""
        return complete(self.namespace, text)


# Internals


def _needs_life(name: str) -> Callable[..., Any]:
    """What stands in the place of a command that needs a living node."""

    def refuse(*_: Any, **__: Any) -> None:
        raise CannotDo(here.not_in_dump(name))

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = here.not_in_dump(name)
    return refuse


class _Out(io.TextIOBase):
    """What is printed, on its way to the screen."""

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self.emit = emit
        self.screen = sys.stdout

    def write(self, text: str) -> int:
        if text:
            with contextlib.redirect_stdout(self.screen):  # where `emit` writes
                self.emit({"stage": "out", "text": text})
        return len(text)


def _trace(error: BaseException, name: str) -> str:
    """The failure as Python tells it, from the typed line on."""
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename != name:
        at = at.tb_next
    return "".join(traceback.format_exception(type(error), error, at, limit=-12)).rstrip()
