"""Commands for live code: releases, diff, push, rollback, confirm, lingering."""

from __future__ import annotations

import time
from typing import Any

from runtime import code, kernel
from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.tables import Column, Record, Table, Text, age
from runtime.kernel import CallError

__all__ = ["confirm", "diff", "lingering", "push", "releases", "rollback"]

# API


def releases(n: int = 30) -> Table:
    """Releases of the code, and what became of them.

    `releases(5)`.

    The newest first; `*` is the one that runs.
    """
    rows = here.look().releases(here.rows(n))
    return Table(
        rows,
        (
            Column("is_current", head=" ", show=lambda yes: "*" if yes else "", style=lambda _: "bold green"),
            Column("number", head="#"),
            Column("id"),
            Column("time", show=_when),
            Column("kind"),
            Column("result", style=_style, show=_word),
            Column("by"),
            Column("files", is_right=True),
            Column("note"),
            Column("why"),
        ),
        note="" if rows else "none: live code is off, or has made no release yet",
    )


def diff(a: str | int, b: str | int | None = None) -> Text:
    """What differs from one release to another.

    `diff("#3")`, `diff(3, 4)`.

    From `a` to `b` (that which runs, if not given): lines, as `diff -u`.
    """
    _need_code()
    try:
        found = code.diff(a, b)
    except LookupError as error:
        raise CannotDo(str(error)) from None
    return Text("\n".join(found.values()) or "they have the same files")


def push(*paths: str, note: str = "", force: bool = False) -> Record:
    """Make the node's tree live: save, push.

    `push()`, `push("apps/chat", note="shorter names")`.

    All that differs from what runs, or only these files and folders. Blocks until it is live; then it is on probation, if the configuration says so. All or nothing: what is wrong with it
    is said, and nothing has changed. `force`: also if just this was taken back before. From another machine's tree: tools/push.
    """
    from runtime.admin.push_command import Difference
    from runtime.code.tree import TreeError, read_tree

    _need_code()
    releaser = code.releaser()
    roots = releaser.engine.roots
    try:
        tree = kernel.blocking(read_tree, roots)
    except (TreeError, OSError) as error:
        raise CannotDo(str(error)) from None
    found = Difference(dict(code.current().files), tree, list(paths) or None)
    if not found.new:
        raise CannotDo("nothing differs: the node runs what the tree has")
    return _told(_do(lambda: code.push(found.new, by=_who(), note=note, force=force)))


def rollback(release: str | int | None = None, why: str = "", force: bool = False) -> Record:
    """Go back to an earlier release, states included.

    `rollback()`, `rollback("#3", why="too slow")`.

    By its id or number; not given: to the one before. `force`: also to one that was itself taken back, on probation then.
    """
    _need_code()
    return _told(
        _do(lambda: code.rollback(release, by=_who(), why=why or "asked for in a shell", force=force))
    )


def confirm() -> Record:
    """End the probation now: the release is good.

    `confirm()`.
    """
    _need_code()
    return _told(_do(code.confirm))


def lingering(module: str | None = None) -> Table:
    """Who still runs old code, where, and since when.

    `lingering("apps.chat.domain.users")`.

    `kill` ends one that will not leave.
    """
    _need_code()
    return Table(
        [
            {
                "who": one.who,
                "function": f"{one.module}.{one.function}:{one.line}",
                "version": one.sha[:12],
                "age": one.age,
            }
            for one in code.lingering(module)
        ],
        ("who", "function", "version", Column("age", show=age, is_right=True)),
        note="nobody runs old code" if not code.lingering(module) else "",
    )


# Internals


def _need_code() -> None:
    if here.node().code is None or kernel.whereis("code_server") is None:
        raise CannotDo("live code is off in this node (code.mode): a change takes a restart")


def _do(what: Any) -> Any:
    try:
        return what()
    except (code.Refused, CallError) as error:
        raise CannotDo(str(error)) from None


def _who() -> str:
    from runtime.admin.shell_evaluator import current

    return current().who


def _told(release: Any) -> Record:
    return Record(
        number=release.number, id=release.id, result=release.result, by=release.by, note=release.note,
        took=dict(release.seconds), migrated=release.migrated,
    ).drawn(took=lambda took: ", ".join(f"{name} {age(value)}" for name, value in took.items()))  # fmt: skip


def _when(seconds: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _word(result: Any) -> str:
    return str(result).replace("_", " ")


def _style(result: Any) -> str:
    return {"good": "green", "probation": "yellow", "rolled_back": "red", "refused": "red", "bad": "red"}.get(
        result, ""
    )
