"""The supervision tree as plain data, read where it lies: no supervisor is asked, so one that hangs is shown like any other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from runtime.kernel import Process, clock, scheduler
from runtime.observe.slices import Breather
from runtime.observe.snapshot_types import TreeNode
from runtime.observe.texts import brief, function_of, is_suspended, pid_text
from runtime.otp.application import CONTROLLER
from runtime.otp.application_controller import Controller
from runtime.otp.dynamic_children import DynamicChildren
from runtime.otp.static_children import StaticChildren
from runtime.otp.supervision import RESTARTING, SupervisorServer, supervisors

__all__ = ["tree"]

# API


def tree(children: int = 100, nodes: int = 5_000, root: Process | None = None) -> list[TreeNode]:
    """Return the trees of this node: its services, each application, and whatever supervisor stands alone.

    At most `children` of each supervisor (a node's `more` counts the others), and `nodes` in all. `root`: only the tree of
    that supervisor. Gives way while it looks.
    """
    walk = _Walk(children, nodes)
    if root is not None:
        return [walk.node(root.name or repr(root), root, "supervisor", "", "running")]
    below: set[Any] = set()
    bosses = supervisors()
    for p in bosses:
        below.update(_children_among(bosses, p.behaviour))
        walk.breather.take()
    tops = {top: name for name, top in _applications()}
    alone = [p for p in bosses if p not in below and p not in tops and p.q is not scheduler.DEADQ]
    found = [walk.node(p.name or repr(p), p, "supervisor", "", "running") for p in alone]
    return found + [walk.node(name, top, "application", "", "running") for top, name in tops.items()]


# Internals


class _Walk:
    def __init__(self, children: int, nodes: int) -> None:
        self.width = max(0, children)
        self.left = nodes
        self.breather = Breather()
        self.path: set[Any] = set()

    def node(self, id_: str, p: Any, type_: str, restart: str, status: str) -> TreeNode:
        self.left -= 1
        self.breather.take()
        is_alive = isinstance(p, Process) and p.q is not scheduler.DEADQ
        if status == "running" and not is_alive:
            status = "stopped"
        if status == "running" and is_suspended(p):
            status = "suspended"
        behaviour = p.behaviour if is_alive else None
        more: dict[str, Any] = {}
        if isinstance(behaviour, SupervisorServer) and p not in self.path:
            self.path.add(p)
            more = self._supervisor(behaviour)
            self.path.discard(p)
        return TreeNode(
            id=id_,
            pid=pid_text(p) if is_alive else None,
            number=p.number if is_alive else 0,
            name=p.name if is_alive else None,
            type=type_,
            restart=restart,
            status=status,
            mailbox=p.mailbox_length if is_alive else 0,
            initial_call=_initial(p) if is_alive else "",
            **more,
        )

    def _supervisor(self, server: SupervisorServer) -> dict[str, Any]:
        engine = server.children
        if engine is None:  # its init has not come that far
            return {}
        shown = []
        total = _count(engine)
        most = min(self.width, max(0, self.left))
        for id_, child, type_, restart, status in islice(_children(server, most), most):
            shown.append(self.node(id_, child, type_, restart, status))
        flags = engine.flags
        strategy = flags.strategy
        if isinstance(engine, DynamicChildren) and strategy != "simple_one_for_one":
            strategy = "dynamic"
        return {
            "strategy": strategy,
            "restarts": engine.intensity.recent(clock.now()),
            "intensity": engine.intensity.intensity,
            "period": engine.intensity.period,
            "children": tuple(shown),
            "more": max(0, total - len(shown)),
        }


def _children_among(bosses: list[Process], server: Any) -> list[Any]:
    """Those of the supervisors that are this one's children, perhaps with others of its children."""
    engine = server.children
    if isinstance(engine, DynamicChildren):
        # Of a hundred thousand children few are supervisors: whichever are fewer are gone through.
        by_pid = engine.by_pid
        return [p for p in bosses if p in by_pid] if len(bosses) < len(by_pid) else list(by_pid)
    return [child.pid for child in list(engine.by_id.values())] if isinstance(engine, StaticChildren) else []


def _children(server: Any, most: int) -> Iterator[tuple[str, Any, str, str, str]]:
    """Yield (id, process, type, restart, status) of the first children, at least `most`, in start order."""
    engine = server.children
    if isinstance(engine, StaticChildren):
        for child in list(engine.by_id.values()):
            spec = child.spec
            status = (
                "restarting" if child.pid is RESTARTING else "running" if child.pid is not None else "stopped"
            )
            id_ = spec.id if isinstance(spec.id, str) else brief(spec.id, 2, 100)
            yield id_, child.pid, spec.type, spec.restart, status
    elif isinstance(engine, DynamicChildren):
        # Only the keys are copied: pairs of a hundred thousand would take 20 ms in one piece. Who has gone since is left out.
        for table, status in ((engine.by_pid, "running"), (engine.restarting, "restarting")):
            for pid in list(islice(table, most)):
                plan = table.get(pid)
                if plan is not None:
                    at = pid if status == "running" else None
                    yield pid_text(pid), at, plan.spec.type, plan.spec.restart, status


def _count(engine: Any) -> int:
    if isinstance(engine, StaticChildren):
        return len(engine.by_id)
    return len(engine.by_pid) + len(engine.restarting)


def _applications() -> list[tuple[str, Process]]:
    p = scheduler.names.get(CONTROLLER)
    controller = p.behaviour if p is not None else None
    if not isinstance(controller, Controller) or not hasattr(controller, "loaded"):
        return []
    found = [(name, controller.loaded[name].top) for name in controller.order if name in controller.loaded]
    found += [(n, one.top) for n, one in controller.loaded.items() if n not in controller.order]
    return [(name, top) for name, top in found if isinstance(top, Process)]


def _initial(p: Process) -> str:
    known = p.pdict.get("$initial_call") if p.pdict else None
    if isinstance(known, str):
        return known
    return function_of(getattr(p.behaviour, "fn", None) or type(p.behaviour))
