"""`tools/shell --dump FILE`: the commands that look, on what a crash dump holds instead of a node. All of it is here, nothing
is asked anywhere.
"""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.admin import commands
from runtime.admin.commands.here import CannotDo
from runtime.admin.connect import Unfit
from runtime.admin.shell_code import CHECKPOINT, Sources, compile_input
from runtime.admin.shell_complete import complete
from runtime.admin.shell_views import plain, view

__all__ = ["DumpLink"]

_LOOKING = ("Processes", "Node", "Code", "Store", "Shell")


class DumpLink:
    """What `shell_client.ShellLink` is for a node. Raises Unfit for what is no dump."""

    number = 0
    client: Any = None

    def __init__(self, path: Path) -> None:
        from runtime.observe import crash_dump

        try:
            dump = crash_dump.Dump.open(path)
        except (OSError, ValueError) as error:
            raise Unfit(f"{path} cannot be read as a crash dump: {error}") from None
        commands.set_look(dump)
        self.hello = {"node": f"dump:{path.name}", "pid": dump.node_summary().get("pid", 0), "operations": []}
        self.sources = Sources()
        self.inputs = 0
        self.namespace: dict[str, Any] = {"__name__": "__dump__", "dump": dump, CHECKPOINT: lambda: None}
        for theme, functions in commands.table().items():
            if theme in _LOOKING:
                self.namespace |= functions

    def evaluate(
        self, code: str, *, width: int = 100, form: str = "screen", on_event: Callable[[Any], None]
    ) -> dict[str, Any]:
        """Evaluate here."""
        self.inputs += 1
        name = f"<dump:{self.inputs}>"
        self.sources.add(name, code)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                program = compile_input(code, name)
                if program.body is not None:
                    exec(program.body, self.namespace)  # noqa: S102 - the user's own program
                value = eval(program.last, self.namespace) if program.last is not None else None  # noqa: S307
        except SystemExit:
            return {"kind": "left", "text": ""}
        except CannotDo as error:
            return {"kind": "error", "text": str(error), "error": "CannotDo"}
        except Exception as error:  # noqa: BLE001 - whatever was typed
            return {"kind": "error", "text": traceback.format_exc(limit=-12), "error": type(error).__name__}
        finally:
            if out.getvalue():
                on_event({"stage": "out", "text": out.getvalue()})
        if form == "json":
            return {"kind": "json", "value": plain(value)}
        if value is None:
            return {"kind": "none"}
        self.namespace["_"] = value
        return view(value, width)

    def complete(self, text: str) -> tuple[int, list[str]]:
        """As ShellLink."""
        return complete(self.namespace, text)
