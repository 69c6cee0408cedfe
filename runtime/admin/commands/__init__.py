"""The commands of the admin shell: ordinary functions by theme, with docstrings that `help()` shows.

    from runtime.admin import commands
    commands.add("Chat", sessions, user, queue, kick)     # an application's own, while it runs
    commands.remove("Chat")

A command returns a plain value, or a Table, Record or Text (`runtime.admin.tables`), which a terminal shows as such and a
program uses as list, dict or string. It raises `CannotDo(sentence)` for what it refuses. It runs in the process of the
shell, may block, and takes what it shows from `runtime.observe.snapshot`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime import kernel, otp
from runtime.admin.commands import acting, here, live_code, looking, meta, node_state, storage, tracing
from runtime.admin.commands.here import CannotDo, set_look, set_node
from runtime.observe import crash_dump, snapshot
from runtime.otp import application, dynamic_supervisor, gen_server, pg, registry, supervisor

__all__ = [
    "IN_DUMP", "MODULES", "CannotDo", "add", "in_node", "namespace", "remove", "set_look", "set_node", "shown", "table", "themes",
]  # fmt: skip

Command = Callable[..., Any]

# API


def add(theme: str, *functions: Command) -> None:
    """Offer further commands, under their own names, in shells attached from now on. Again: in the place of the former."""
    _themes[theme] = {one.__name__: one for one in functions}


def remove(theme: str) -> None:
    """Take a theme out. One that is not there is no error."""
    _themes.pop(theme, None)


def table() -> dict[str, dict[str, Command]]:
    """Return the commands by theme and name."""
    return {theme: dict(functions) for theme, functions in _themes.items()}


def themes() -> list[str]:
    """Return the names of the themes."""
    return list(_themes)


def shown() -> dict[str, dict[str, Command]]:
    """Return the commands that work here: all of them in a node, those that look in a dump."""
    if not here.is_dump():
        return table()
    found = {
        theme: {name: one for name, one in functions.items() if name in IN_DUMP}
        for theme, functions in _themes.items()
    }
    return {theme: functions for theme, functions in found.items() if functions}


def in_node() -> set[str]:
    """Return the names of commands that need a living node: all but IN_DUMP, also those of the dump's own applications."""
    known = {name for functions in _themes.values() for name in functions}
    if here.is_dump():
        known.update(name for names in here.look().commands().values() for name in names)
    return known - IN_DUMP


def namespace() -> dict[str, Any]:
    """Return the names that a new shell begins with: those of the kernel and of the behaviours, modules, and the commands."""
    names: dict[str, Any] = {"__name__": "__shell__", "__doc__": None, **MODULES}
    for room in (otp, kernel):
        names |= {name: getattr(room, name) for name in room.__all__}
    for functions in _themes.values():
        names |= functions
    names |= {"exit": meta.leave, "quit": meta.leave, "input": meta.no_input, "pid": meta.pid}
    node = here.running()
    if node is not None:
        names["this"] = node
    return names


MODULES: dict[str, Any] = {
    "kernel": kernel,
    "otp": otp,
    "supervisor": supervisor,
    "dynamic_supervisor": dynamic_supervisor,
    "gen_server": gen_server,
    "registry": registry,
    "pg": pg,
    "application": application,
    "snapshot": snapshot,
}
"""Modules that a shell has by name, `otp.sys` too, as `sys`."""
IN_DUMP = frozenset({
    "tree", "ps", "top", "info", "state", "stack", "messages", "node", "alarms", "metrics", "applications", "connections",
    "reports", "releases", "store", "help",
})  # fmt: skip
"""The commands that need no living node."""

# Internals

_themes: dict[str, dict[str, Command]] = {}

add(
    "Processes",
    looking.tree,
    looking.ps,
    looking.top,
    looking.info,
    looking.state,
    looking.stack,
    looking.messages,
)
add("Acting", acting.suspend, acting.resume, acting.replace_state, acting.kill, acting.restart)
add("Tracing", tracing.trace)
add(
    "Node", node_state.node, node_state.alarms, node_state.metrics, node_state.applications, node_state.connections,
    node_state.log, node_state.reports, node_state.crashdump,
)  # fmt: skip
add("Code", live_code.releases, live_code.diff, live_code.push, live_code.rollback, live_code.confirm, live_code.lingering)  # fmt: skip
add("Store", storage.store, storage.backup)
add("Shell", meta.help, meta.live, meta.flush)
crash_dump.add("commands", lambda: {theme: list(functions) for theme, functions in table().items()})
