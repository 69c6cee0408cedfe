"""Commands of the shell itself: help, live, flush, exit, and what makes a pid of what was pasted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

from runtime import kernel
from runtime.admin import shell_views
from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.tables import Table, Text
from runtime.kernel import NORMAL, TIMEOUT, Pid

__all__ = ["flush", "help", "leave", "live", "no_input", "pid"]

_UNREAD = 256 * 1024
_UNSAID: Any = object()
_IN_DUMP = (
    "This is a dump: what looks works, what acts needs a living node. Python as usual, `dump` is the dump;"
)

# API


def help(what: Any = None) -> Text:
    """The commands by theme.

    `help(top)`, `help("top")`: what one does; `help("chat")`: one theme at length.
    """
    from runtime.admin import commands

    themes = commands.shown()
    if what is None:
        lines = []
        for theme, functions in themes.items():
            lines.append(theme)
            lines += [f"  {_signature(name, one):34} {_first(one)}" for name, one in functions.items()]
        lines += [
            "",
            *(
                [_IN_DUMP]
                if here.is_dump()
                else [
                    "Python, with the names of `runtime`, the modules",
                    f"  {', '.join(commands.MODULES)} and sys (otp.sys),",
                ]
            ),
            "`_` is the last value; pids can be pasted as printed: info(<42@node>).",
            "help(command) tells more. Ctrl-C interrupts, a second one kills what does not give in; Ctrl-D leaves.",
        ]
        return Text("\n".join(lines))
    if isinstance(what, str):
        for functions in themes.values():
            if what in functions:
                return Text(_told(what, functions[what]))
        for theme, functions in themes.items():
            if what.lower() in theme.lower():
                return Text("\n\n".join(_told(name, one) for name, one in functions.items()))
        if what in commands.in_node():
            return Text(here.not_in_dump(what))
        if not here.is_dump() and what in commands.namespace():
            return help(commands.namespace()[what])
        raise CannotDo(f"there is no command and no theme {what!r}; themes: {', '.join(themes)}")
    for functions in themes.values():
        for name, one in functions.items():
            if one is what:
                return Text(_told(name, one))
    text = inspect.getdoc(what) or "it says nothing of itself"
    return Text(_told(getattr(what, "__name__", "?"), what) if callable(what) else text)


def live(what: Callable[[], Any], every: float = 1.0, seconds: float = 3600.0) -> None:
    """Show what a function returns, again and again.

    `live(alarms)`, `live(lambda: ps("user"), every=5)`; until Ctrl-C, or for `seconds`.
    """
    from runtime.admin.shell_evaluator import current

    here.need_life()
    if not callable(what):
        raise CannotDo("what is shown again and again is a function: live(alarms), live(lambda: ps('user'))")
    shell = current()
    every = max(0.1, here.seconds(every))
    ends = kernel.clock.now() + here.seconds(seconds)
    while kernel.clock.now() < ends:
        job = shell.job
        if job is None:
            return
        view = shell_views.view(what(), job.width)
        # One that is not read, over a slow line, is left out rather than queued.
        if shell.unread() < _UNREAD:
            job.emit({"stage": "frame", "view": view})
        kernel.sleep(every)


def flush(n: int = 100) -> Table:
    """Take and show what came to this shell's own mailbox.

    `flush()`.
    """
    here.need_life()
    here.rows(n)
    found: list[dict[str, Any]] = []
    while len(found) < n:
        message = kernel.receive(0)
        if message is TIMEOUT:
            break
        found.append({"message": message})
    return Table(found, ("message",), note="" if found else "no message")


def pid(text: Any) -> Any:
    """The living process of that name or number, or printed like that; what a pasted `<42@node>` becomes."""
    return here.process(text)


def leave(dest: Any = None, reason: Any = _UNSAID) -> Any:
    """Leave the shell (also Ctrl-D), as Python's `exit`: a number is the exit code, a text is said, and the code is 1.

    With a process and a reason: send it an exit signal, as `kernel.exit`.
    """
    # exit(1), exit("bye"): not the process with that number or name.
    if reason is _UNSAID and not isinstance(dest, Pid):
        raise SystemExit(dest)
    kernel.exit(here.process(dest), NORMAL if reason is _UNSAID else reason)


def no_input(prompt: object = "") -> NoReturn:
    """There is no standard input here."""
    raise EOFError("a shell has no standard input: what is typed goes to the prompt")


# Internals


def _signature(name: str, function: Any) -> str:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return f"{name}(...)"
    shown = []
    for one in parameters:
        star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        shown.append(f"{star}{one.name}" + ("=" if one.default is not one.empty else ""))
    text = f"{name}({', '.join(shown)})"
    return text if len(text) <= 34 else f"{name}({', '.join(shown[:2])}, …)"


def _first(function: Any) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")


def _told(name: str, function: Any) -> str:
    try:
        head = f"{name}{inspect.signature(function)}".replace(" -> Any", "")
    except (TypeError, ValueError):
        head = name
    body = inspect.getdoc(function) or "it says nothing of itself"
    return head + "\n" + "\n".join(f"    {line}" if line else "" for line in body.splitlines())
