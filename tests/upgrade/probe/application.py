"""An application beside the chat: a crowd of servers, a pulse that keeps them busy, and what a test wants to know."""

from __future__ import annotations

import gc
import itertools
from typing import Any

from apps.probe import hits
from apps.probe.crowd import Member
from runtime import kernel, node
from runtime.kernel import call, cast, spawn, whereis
from runtime.otp import DynamicSupervisor, GenServer, dynamic_supervisor
from runtime.otp.application import Application
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

CROWD = "probe_crowd"
PULSE = "probe_pulse"


class Probe(Application):
    """What the tests see of the inside."""

    name = "probe"

    def start(self, start_type: str, config: Any) -> Any:
        table = node.current().operations
        for operation in (hits_of, gather, crowd, hold, let_go, objects):
            table.add(operation.__name__, operation)
        top = Supervisor.start_link_with(
            SupFlags(intensity=100),
            [
                ChildSpec(CROWD, (DynamicSupervisor.start_link, (), {"name": CROWD}), type="supervisor"),
                ChildSpec(PULSE, (Pulse.start_link, (), {"name": PULSE})),
            ],
            name="probe_top",
        )
        return top, None


class Pulse(GenServer):
    """Tells a few members something, again and again, and counts how often."""

    def init(self) -> None:
        self.told = self.turns = 0
        self.members: list[Any] = []
        self.turn = itertools.cycle([None])

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "told":
            return self.told
        if request == "stop":
            self.members = []
            return self.told
        self.members = list(request)
        self.turn = itertools.cycle(self.members)
        kernel.start_timer(0.0, kernel.self_(), None)
        return None

    def handle_info(self, message: Any) -> None:
        """A few turns in a row, so that somebody is told something whenever a release gives way; then a rest."""
        if not self.members:
            return
        for member in (*itertools.islice(self.turn, 4), self.members[0], self.members[0]):
            self.told += 1
            cast(member, self.told)
        self.turns += 1
        if self.turns % 100:
            kernel.send(kernel.self_(), None)
        else:
            kernel.start_timer(0.002, kernel.self_(), None)


def hits_of(request: Any) -> dict[str, int]:
    """How often each marker was passed."""
    return dict(hits.PASSED)


def gather(request: Any) -> int:
    """Start `count` members and the pulse; return how many there are."""
    sup = whereis(CROWD)
    spec = ChildSpec("member", (Member.start_link, ()), restart="temporary")
    for n in range(request.arg("count", int)):
        dynamic_supervisor.start_child(sup, spec)
        if n % 100 == 99:
            kernel.yield_()
    members = _members()
    call(PULSE, tuple(members))
    return len(members)


def crowd(request: Any) -> dict[str, Any]:
    """End the pulse; add up what the members have, with the names of what they keep it in."""
    told = call(PULSE, "stop")
    total, forms = 0, {}
    for member in _members():
        state = call(member, "state")
        form = ",".join(sorted(state))
        forms[form] = forms.get(form, 0) + 1
        total += state.get("count", 0) + state.get("total", 0)
    return {"told": told, "total": total, "forms": forms}


def hold(request: Any) -> None:
    """Keep one member in a callback until it is let go."""
    spawn(_hold, _members()[0], request.arg("seconds", float))
    while kernel.whereis("held") is None:
        kernel.sleep(0.01)


def let_go(request: Any) -> None:
    """Let it go."""
    kernel.exit(whereis("held"), kernel.KILL)


def _hold(member: Any, seconds: float) -> None:
    call(member, _Wait(seconds), timeout=None)


class _Wait:
    """A request that waits in the member's own callback."""

    __handed_over__ = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, member: Any) -> None:
        kernel.register("held", kernel.self_())
        kernel.sleep(self.seconds)


def _members() -> list[Any]:
    return [info.pid for info in dynamic_supervisor.which_children(whereis(CROWD))]


def objects(request: Any) -> int:
    """How many objects there are when all garbage is gone."""
    gc.collect()
    return len(gc.get_objects())
