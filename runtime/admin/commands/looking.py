"""Commands that look at processes: tree, ps, top, info, state, stack, messages."""

from __future__ import annotations

from typing import Any

from runtime.admin.commands import here
from runtime.admin.commands.here import CannotDo
from runtime.admin.shell_views import pretty
from runtime.admin.tables import Column, Record, Table, Text, number, size
from runtime.observe import snapshot
from runtime.observe.slices import Breather
from runtime.otp import sys

__all__ = ["info", "messages", "ps", "stack", "state", "top", "tree"]

# API


def tree(who: Any = None, children: int = 20) -> Table:
    """The supervision tree: state, restarts, mailbox.

    `tree("chat")`: only what is below that application, supervisor or process.

    At most `children` of each supervisor are listed. Figures are of the moment; nobody is asked for them.
    """
    found = here.look().tree(children=here.rows(children))
    if who is not None:
        found = [_below(found, who)]
    rows: list[dict[str, Any]] = []
    breather = Breather()
    for node in found:
        _branch(node, "", "", rows, breather)
    return Table(
        rows,
        (
            Column("tree", head="process"),
            Column("pid", show=_number_of),
            Column("type"),
            Column("status", style=_status_style),
            Column("restarts", is_right=True, style=lambda text: "yellow" if text and text[0] != "0" else ""),
            Column("mailbox", style=_mailbox_style),
            Column("runs"),
        ),
    )


def ps(filter: Any = "", n: int = 50, sort: str = "number") -> Table:
    """A list of processes, at most `n`.

    `ps("=waiting", n=10)`, `ps("chat", sort="memory")`.

    `filter`: only those with this text in pid, name, label or function; `=waiting`: those with that status.

    `sort`: number, newest, mailbox, memory, cpu, links, monitors, name, initial_call, current, status.
    """
    _check_sort(sort)
    here.rows(n)
    # ps(42), ps(<42@node>): what is looked for may be pasted, too.
    wanted = filter if isinstance(filter, str) else repr(filter)
    return Table(here.look().processes(n, sort=sort, filter=wanted), _ROW, note=_beyond(n))


def top(
    by: str = "mailbox", n: int = 20, every: float | None = None, seconds: float = 3600.0
) -> Table | None:
    """The processes with the most of something.

    `top(by="memory", n=5)`.

    `by`: mailbox, memory, cpu, links, monitors, monitored_by, or anything else that `ps` sorts by.

    `cpu` is each one's part of the node's time in the last 10 s, in place of Erlang's reductions: sampled 20 times a second,
    so a process that takes less than a percent shows none.

    `every=1`: again and again, until Ctrl-C or for `seconds`.
    """
    _check_sort(by)
    here.rows(n)
    if every is None:
        return Table(here.look().processes(n, sort=by), _ROW, title=_load())
    from runtime.admin.commands.meta import live

    live(lambda: Table(here.look().processes(n, sort=by), _ROW, title=_load()), every=every, seconds=seconds)
    return None


def info(who: Any) -> Record:
    """All that is known of a process, without asking it.

    `info(<42@node>)`, `info("alarms")`, `info(42)`; `info(42).memory`, `info(42)["memory"]`: a field, here in bytes.
    """
    found = _detail(who)
    row = found.row
    shown = Record(
        pid=row.pid, number=row.number, name=row.name, label=row.label, type=row.type, runs=row.initial_call,
        at=row.current, status=row.status, waits_for=row.waits_for, mailbox=row.mailbox,
        memory=row.memory, heap=found.heap, priority=row.priority, parent=row.parent,
        links=list(found.links), monitors=list(found.monitors), monitored_by=list(found.monitored_by),
        traps_exits=found.trap_exit, watermarks=tuple(found.watermarks), senders=list(found.senders),
        dictionary=dict(found.dictionary),
    )  # fmt: skip
    for name in (
        "name",
        "label",
        "waits_for",
        "parent",
        "links",
        "monitors",
        "monitored_by",
        "senders",
        "dictionary",
    ):
        if not shown[name]:
            del shown[name]
    return shown.drawn(mailbox=number, memory=size, heap=size)


def state(who: Any, timeout: float = 5.0) -> Any:
    """The state of a server.

    `state("alarms")`.

    Asked for in a message (sys.get_state), so it comes after what is in its mailbox.

    Of a process that takes no system messages, or does not answer in time: what can be seen from outside, as text.
    """
    from runtime.kernel import CallError

    if here.is_dump():
        return Text(_detail(who).state)
    pid = here.process(who)
    here.seconds(timeout)
    seen = _detail(who)
    if seen.row.type in ("server", "state machine", "supervisor"):
        try:
            return sys.get_state(pid, timeout)
        except CallError as error:
            if error.reason != "timeout":
                raise
            text = f"it does not answer (it is in {seen.row.current}); from outside:\n{seen.state}"
            return Text(text)
    behaviour = pid.behaviour
    return Text(pretty(behaviour)) if not seen.state else Text(seen.state)


def stack(who: Any) -> Text:
    """Where a process is: its calls, the innermost last.

    `stack("init")`.

    A server that waits for messages has no stack.
    """
    found = _detail(who)
    if not found.stack:
        return Text(
            f"{found.row.pid} waits for messages, without a stack; the next one goes to {found.row.current}"
        )
    return Text("\n".join(found.stack))


def messages(who: Any, n: int = 20) -> Table:
    """What waits in a mailbox, the oldest first.

    `messages("alarms", n=5)`.

    The heads of the first `n` messages; none is taken out.
    """
    here.rows(n)
    found = here.look().process(who, heads=n) if not here.is_dump() else _detail(who)
    if found is None:
        raise CannotDo(f"there is no living process {who!r}")
    waiting = found.row.mailbox
    rows = [{"n": at, "message": text} for at, text in enumerate(found.messages, 1)][:n]
    note = f"{waiting} in the mailbox" if waiting else "the mailbox is empty"
    if found.senders:
        note += "; most are from " + ", ".join(f"{who} ({count})" for who, count in found.senders[:3])
    return Table(rows, (Column("n"), Column("message")), note=note)


# Internals


def _below(nodes: Any, who: Any) -> Any:
    """The node of an application, a child or a process."""
    wanted = {str(who), repr(who)}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop(0)
        if node.id in wanted or node.name in wanted or node.pid in wanted or str(node.number) in wanted:
            return node
        waiting.extend(node.children)
    raise CannotDo(f"{who!r} is not in the tree (which shows so many children of each: tree(children=1000))")


def _detail(who: Any) -> Any:
    found = here.look().process(who)
    if found is None:
        raise CannotDo(f"there is no living process {who!r}")
    return found


def _check_sort(by: str) -> None:
    sorts = getattr(here.look(), "SORTS", snapshot.SORTS)
    if not isinstance(by, str) or by not in sorts:
        raise CannotDo(f"{by!r} is nothing to sort by: {', '.join(sorts)}")


def _beyond(n: int) -> str:
    total = here.look().node_summary().get("processes", 0)
    return f"of {total:,} processes" if total > n else ""


def _load() -> str:
    seen = here.look().node_summary()
    return (
        f"{seen.get('node')}: {number(seen.get('processes'))} processes, run queue {seen.get('run_queue')}, "
        f"loop {1000 * (seen.get('loop_lag') or 0):.1f} ms late, {size(seen.get('memory'))}, "
        f"{number(seen.get('connections'))} connections, {seen.get('alarms')} alarms"
    )


def _branch(node: Any, lead: str, below: str, rows: list[dict[str, Any]], breather: Breather) -> None:
    breather.take()
    restarts = f"{node.restarts}/{node.intensity}" if node.strategy else ""
    rows.append(
        {
            "tree": lead + str(node.id), "id": node.id, "pid": node.pid, "type": _kind(node), "status": node.status,
            "restarts": restarts, "mailbox": node.mailbox, "runs": node.initial_call, "depth": len(below) // 3,
        }
    )  # fmt: skip
    last = len(node.children) - 1
    for at, child in enumerate(node.children):
        is_last = at == last and not node.more
        lead = below + ("└─ " if is_last else "├─ ")
        _branch(child, lead, below + ("   " if is_last else "│  "), rows, breather)
    if node.more:
        rows.append({"tree": f"{below}└─ … {node.more:,} more"})


def _kind(node: Any) -> str:
    return f"{node.type} ({node.strategy})" if node.strategy else node.type


def _number_of(pid: Any) -> str:
    return "" if pid is None else str(pid)


def _status_style(status: Any) -> str:
    return {
        "running": "",
        "waiting": "dim",
        "restarting": "bold red",
        "stopped": "red",
        "suspended": "yellow",
    }.get(status or "", "")


def _percent(share: Any) -> str:
    return f"{100 * share:.0f} %" if share else ""


def _mailbox_style(length: Any) -> str:
    return "bold red" if (length or 0) >= 10_000 else "yellow" if (length or 0) >= 100 else ""


_ROW = (
    Column("pid"),
    Column("label"),
    Column("status", style=_status_style),
    Column("mailbox", style=_mailbox_style),
    Column("memory", show=size, is_right=True),
    Column(
        "cpu", show=_percent, is_right=True, style=lambda share: "bold yellow" if (share or 0) >= 0.5 else ""
    ),
    Column("type"),
    Column("current", head="at"),
)
