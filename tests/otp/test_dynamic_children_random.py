"""Random crowds of children that come and go, in both forms of supervisor, against a model of a page.

The model knows restart types, intensity, places being restarted, and the limit on children, and no processes or messages.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import kernel
from runtime.kernel import check_invariants, is_alive
from runtime.otp import count_children, dynamic_supervisor, supervisor
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.supervisor import Counts, NotFound, StartChildError, Supervisor
from runtime.otp.supervisor_errors import MaxChildren
from runtime.testing import VirtualClock, settle, virtual_clock
from tests.support.crashers import End, Switch, ending, pids

RESTARTS: Any = ("permanent", "transient", "temporary")
PERIOD = 5.0

# ---------------------------------------------------------------- model


class Crowd:
    """The children as the model sees them: the restart type of each, by its pid."""

    def __init__(self, intensity: int, most: int | None) -> None:
        self.intensity = intensity
        self.most = most
        self.members: dict[Any, Any] = {}
        self.restarts: list[float] = []

    def ended(self, pid: Any, reason: str, now: float, works: bool) -> bool | None:
        """A child has ended by itself. True: another one must be in its place; None: the supervisor must have ended.

        A restart that fails is tried again at once, and counts each time: unless it works, the supervisor ends.
        """
        restart = self.members.pop(pid)
        if restart == "temporary" or (restart == "transient" and reason in ("normal", "shutdown")):
            return False
        self.restarts = [*(at for at in self.restarts if at >= now - PERIOD), now]
        return True if works and len(self.restarts) <= self.intensity else None


# ---------------------------------------------------------------- the test

Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "end", "end", "kill", "terminate", "stranger", "broken", "mend", "wait"]),
        st.integers(0, 30),
        st.sampled_from(["normal", "shutdown", "boom"]),
    ),
    max_size=40,
)  # fmt: skip


@pytest.mark.parametrize("form", ["simple_one_for_one", "DynamicSupervisor"])
def test_random_crowds(form: str) -> None:
    """OTP.md A2, supervisor and DynamicSupervisor: restart types, intensity, max_children, in any order."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 3), st.none() | st.integers(0, 4), st.sampled_from(RESTARTS), steps)
    def check(intensity: int, most: int | None, restart: Any, actions: list[Step]) -> None:
        kernel.trap_exit(True)
        with virtual_clock() as clock:
            if form == "DynamicSupervisor":
                game = Game(clock, Crowd(intensity, most), None)
            else:
                game = Game(clock, Crowd(intensity, None), restart)
            with ending(game.sup):
                for action, number, reason in actions:
                    if not getattr(game, action)(number, reason):
                        settle()
                        assert game.sup.reason == "shutdown"
                        break
                    game.compare()
            assert not [pid for pid in game.seen if is_alive(pid)]
        while kernel.receive(0) is not kernel.TIMEOUT:
            pass

    check()


class Game:
    """The real one and the model, and what can be done to both. False: the supervisor must have ended."""

    def __init__(self, clock: VirtualClock, crowd: Crowd, restart: Any) -> None:
        self.clock = clock
        self.crowd = crowd
        self.restart = restart
        """Of all children; None: each has its own."""
        self.switch = Switch()
        self.seen: set[Any] = set()
        self.sup: Any
        if restart is not None:
            one = ChildSpec("one", (self.switch.start, ()), restart)
            self.sup = Supervisor.start_link_with(
                SupFlags("simple_one_for_one", crowd.intensity, PERIOD), [one]
            )
        else:
            self.sup = DynamicSupervisor.start_link(
                max_children=crowd.most, intensity=crowd.intensity, period=PERIOD
            )

    def compare(self) -> None:
        assert set(pids(self.sup)) == set(self.crowd.members)
        n = len(self.crowd.members)
        assert count_children(self.sup) == Counts(1 if self.restart else n, n, 0, n)
        assert all(map(is_alive, self.crowd.members))
        self.sup.behaviour.children._check()
        check_invariants()

    def add(self, number: int, _reason: str) -> bool:
        crowd = self.crowd
        restart = self.restart or RESTARTS[number % 3]
        try:
            if self.restart:
                pid = supervisor.start_child(self.sup, ())
            else:
                pid = dynamic_supervisor.start_child(
                    self.sup, ChildSpec("ignored", (self.switch.start, ()), restart)
                )
        except MaxChildren:
            assert crowd.most is not None
            assert len(crowd.members) >= crowd.most
        except StartChildError:
            assert not self.switch.works
        else:
            assert self.switch.works
            assert crowd.most is None or len(crowd.members) < crowd.most
            crowd.members[pid] = restart
            self.seen.add(pid)
        return True

    def end(self, number: int, reason: str) -> bool:
        pid = self.pick(number)
        if pid is None:
            return True
        if reason == "killed":
            kernel.exit(pid, "kill")
        else:
            kernel.send(pid, End(reason))
        settle()
        replaced = self.crowd.ended(pid, reason, self.clock.now(), self.switch.works)
        if replaced is None:
            return False
        if replaced:
            (new,) = set(pids(self.sup)) - set(self.crowd.members)
            assert new not in self.seen
            self.seen.add(new)
            self.crowd.members[new] = self.last
        return True

    def kill(self, number: int, _reason: str) -> bool:
        return self.end(number, "killed")

    def terminate(self, number: int, _reason: str) -> bool:
        pid = self.pick(number)
        if pid is not None:
            self.stop(pid)
            assert not is_alive(pid)
            del self.crowd.members[pid]
        return True

    def stranger(self, _number: int, _reason: str) -> bool:
        """Somebody else's child; for OTP one that is dead is no error under simple_one_for_one."""
        with pytest.raises(NotFound):
            self.stop(kernel.self_())
        return True

    def stop(self, pid: Any) -> None:
        (supervisor if self.restart else dynamic_supervisor).terminate_child(self.sup, pid)

    def pick(self, number: int) -> Any:
        members = list(self.crowd.members)
        if not members:
            return None
        pid = members[number % len(members)]
        self.last = self.crowd.members[pid]
        return pid

    def wait(self, number: int, _reason: str) -> bool:
        self.clock.advance((0.4, 2.6, 6.0)[number % 3])
        return True

    def mend(self, _number: int, _reason: str) -> bool:
        self.switch.works = True
        return True

    def broken(self, _number: int, _reason: str) -> bool:
        self.switch.works = False
        return True
