"""Random trees under random deaths, against a model of a page: who lives, who is new, who is gone, who ends.

The model knows strategies, restart types, significant children, intensity and escalation, and no processes, messages or monitors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import kernel
from runtime.kernel import check_invariants, is_alive
from runtime.otp import supervisor
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle, virtual_clock
from tests.support.crashers import End, pids, supervised, worker

# ---------------------------------------------------------------- model


@dataclass
class Plan:
    """A spec: of a worker, or of a supervisor when it has flags."""

    restart: str
    flags: SupFlags | None = None
    children: list[Plan] = field(default_factory=list)
    important: bool = False

    def is_significant(self, under: SupFlags) -> bool:
        """Where it may be: a permanent one, or one of a supervisor that never ends of it, is refused."""
        return self.important and self.restart != "permanent" and under.auto_shutdown != "never"

    def spec(self, id: int, under: SupFlags) -> ChildSpec:
        start: Any = (worker, ())
        if self.flags is not None:
            specs = [plan.spec(i, self.flags) for i, plan in enumerate(self.children)]
            start = (Supervisor.start_link_with, (self.flags, specs))
        return ChildSpec(
            id, start, self.restart, type="worker" if self.flags is None else "supervisor",  # type: ignore[arg-type]
            significant=self.is_significant(under),
        )  # fmt: skip


class Node:
    """A child as the model sees it: `up`, and `pid` as last seen, None when it must be a new one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.start()

    def start(self) -> None:
        self.up = True
        self.pid: Any = None
        self.tree = Tree(self.plan.flags, self.plan.children) if self.plan.flags else None


class Tree:
    """A supervisor as the model sees it."""

    def __init__(self, flags: SupFlags, plans: list[Plan]) -> None:
        self.flags = flags
        self.nodes = {i: Node(plan) for i, plan in enumerate(plans)}
        self.restarts: list[float] = []

    def ended(self, id: int, reason: Any, now: float) -> bool:
        """A child has ended by itself. False: this supervisor has, too."""
        node = self.nodes[id]
        failed = reason not in ("normal", "shutdown")
        if node.plan.restart == "permanent" or (node.plan.restart == "transient" and failed):
            self.restarts = [*(t for t in self.restarts if t >= now - self.flags.period), now]
            if len(self.restarts) > self.flags.intensity:
                return False
            group = {
                "one_for_one": [id],
                "one_for_all": list(self.nodes),
                "rest_for_one": list(self.nodes)[list(self.nodes).index(id) :],
            }[self.flags.strategy]
            for one in group:
                if self.nodes[one].plan.restart == "temporary":
                    del self.nodes[one]
                else:
                    self.nodes[one].start()
            return True
        if node.plan.restart == "temporary":
            del self.nodes[id]
        else:
            node.up = False
        if not node.plan.is_significant(self.flags):
            return True
        others = any(n.up and n.plan.is_significant(self.flags) for n in self.nodes.values())
        return self.flags.auto_shutdown == "all_significant" and others

    def living(self) -> Iterator[tuple[list[tuple[Tree, int]], Node]]:
        """Every running child in the tree, with the way to it from the top."""
        for id, node in self.nodes.items():
            if node.up:
                yield [(self, id)], node
                if node.tree is not None:
                    for way, below in node.tree.living():
                        yield [(self, id), *way], below


# ---------------------------------------------------------------- comparison


def compare(tree: Tree, sup: Any) -> None:
    children = list(reversed(supervisor.which_children(sup)))
    assert [c.id for c in children] == list(tree.nodes)
    for child in children:
        node = tree.nodes[child.id]
        assert (child.pid is not None) == node.up, child
        if not node.up:
            continue
        assert is_alive(child.pid)
        if node.pid is not None:
            assert child.pid is node.pid, "a process changed that had no reason to"
        else:
            assert child.pid not in seen
        node.pid = child.pid
        seen.add(child.pid)
        if node.tree is not None:
            compare(node.tree, child.pid)
    sup.behaviour.children._check()


seen: set[Any] = set()

# ---------------------------------------------------------------- the test

flags = st.builds(
    SupFlags,
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.integers(0, 3),
    st.sampled_from([1.0, 5.0]),
    st.sampled_from(["never", "never", "any_significant", "all_significant"]),
)
restarts = st.sampled_from(["permanent", "transient", "temporary"])
workers = st.builds(Plan, restarts, important=st.booleans())
plans = st.recursive(
    workers,
    lambda below: st.builds(Plan, restarts, flags, st.lists(below, max_size=4), st.booleans()),
    max_leaves=8,
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["end", "end", "end", "kill", "terminate", "restart", "delete", "add", "wait"]),
        st.integers(0, 30),
        st.sampled_from(["normal", "shutdown", "boom"]),
    ),
    max_size=25,
)


def test_random_trees() -> None:
    """OTP.md A2, restart, strategies, intensity, auto_shutdown, escalation: together, in any order."""
    check()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(flags, st.lists(plans, max_size=5), steps)
def check(top: SupFlags, children: list[Plan], actions: list[tuple[str, int, str]]) -> None:
    seen.clear()
    with virtual_clock() as clock, supervised(top, [p.spec(i, top) for i, p in enumerate(children)]) as sup:
        tree = Tree(top, children)
        compare(tree, sup)
        for action, number, reason in actions:
            if not act(tree, sup, clock, action, number, reason):
                settle()
                assert not is_alive(sup)
                assert sup.reason == "shutdown"  # type: ignore[attr-defined]
                break
            compare(tree, sup)
            check_invariants()
        check_invariants()
    assert not [pid for pid in seen if is_alive(pid)]
    while kernel.receive(0) is not kernel.TIMEOUT:
        pass


def act(tree: Tree, sup: Any, clock: Any, action: str, number: int, reason: str) -> bool:
    """Do one thing to both, the real one and the model. False: the top must have ended."""
    if action == "wait":
        clock.advance((0.4, 1.1, 6.0)[number % 3])
        return True
    if action in ("end", "kill"):
        living = list(tree.living())
        if not living:
            return True
        way, node = living[number % len(living)]
        if action == "end" and node.tree is None:
            kernel.send(node.pid, End(reason))
        else:
            reason = "killed"
            kernel.exit(node.pid, "kill")
        settle()
        while way:
            above, id = way.pop()
            if above.ended(id, reason, clock.now()):
                return True
            reason = "shutdown"  # that supervisor has ended: how does the next one up take it?
        return False
    if action == "add":
        id = 100 + number
        if id not in tree.nodes:
            plan = Plan(("permanent", "transient", "temporary")[number % 3], important=number % 2 == 0)
            supervisor.start_child(sup, plan.spec(id, tree.flags))
            tree.nodes[id] = Node(plan)
        return True
    if not tree.nodes:
        return True
    id = list(tree.nodes)[number % len(tree.nodes)]
    node = tree.nodes[id]
    if action == "terminate":
        supervisor.terminate_child(sup, id)
        node.up = False
        if node.plan.restart == "temporary":
            del tree.nodes[id]
    elif not node.up and action == "restart":
        supervisor.restart_child(sup, id)
        node.start()
    elif not node.up:
        supervisor.delete_child(sup, id)
        del tree.nodes[id]
    assert len(pids(sup)) == len(tree.nodes)
    return True
