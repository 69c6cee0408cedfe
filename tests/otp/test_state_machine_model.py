"""Random events, postponements, inserted events and time-outs on virtual time, against a model of gen_statem's order.

The model is one page of lists: it knows what the documentation says of the order, and no processes, timers or messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runtime.kernel import KILL, cast, exit, is_alive, send
from runtime.kernel import clock as kernel_clock
from runtime.otp import sys
from runtime.otp.state_machine import (
    EventTimeout,
    GenStateMachine,
    Hibernate,
    Keep,
    NamedTimeout,
    NextEvent,
    NextState,
    Postpone,
    Repeat,
    StateTimeout,
)
from runtime.testing import settle, virtual_clock

STATES = ("a", "b", "c")
LIMIT = 3
"""How often one event is obeyed: then it is only noted. So nothing goes on for ever."""

# ------------------------------------------------------------------------------------------------------- plans


@dataclass
class Outcome:
    """What a machine is to return: `to` is a state, "keep", "repeat" or "none"."""

    to: str
    postpone: bool = False
    hibernate: bool = False
    inserted: tuple[tuple[Any, Plan], ...] = ()
    timeouts: tuple[tuple[Any, Any, Plan], ...] = ()
    """Kind; seconds, ("abs", seconds from now), "cancel" or "update"; content."""


@dataclass
class Plan:
    """An event: what comes of it in each state. Its number tells it from all others."""

    by_state: dict[str, Outcome]
    number: int = 0


KINDS = st.sampled_from(["timeout", "state_timeout", ("timeout", "x"), ("timeout", "y")])
TIMES = st.one_of(
    st.sampled_from([0, 0, 0, 1, 2, 3, "cancel", "update"]),
    st.tuples(st.just("abs"), st.sampled_from([-1, 0, 2])),
)


def outcomes(contents: Any) -> Any:
    return st.builds(
        Outcome,
        st.sampled_from([*STATES, *STATES, "keep", "keep", "repeat", "none"]),
        st.booleans(),
        st.booleans(),
        st.lists(st.tuples(st.sampled_from(["internal", "cast", "info"]), contents), max_size=2).map(tuple),
        st.lists(st.tuples(KINDS, TIMES, contents), max_size=4).map(tuple),
    )


LEAVES = st.builds(Plan, st.fixed_dictionaries({s: st.builds(Outcome, st.sampled_from([*STATES, "keep"]), st.booleans()) for s in STATES}))  # fmt: skip
PLANS = st.recursive(
    LEAVES,
    lambda inner: st.builds(Plan, st.fixed_dictionaries({s: outcomes(inner) for s in STATES})),
    max_leaves=8,
)
ENTERS = st.fixed_dictionaries(
    {
        s: st.builds(
            Outcome,
            st.sampled_from(["keep", "none", "repeat"]),
            timeouts=st.lists(st.tuples(KINDS, TIMES, LEAVES), max_size=1).map(tuple),
        )
        for s in STATES
    }
)

# ----------------------------------------------------------------------------------------------- the real machine


class Subject(GenStateMachine):
    def init(self, enters: dict[str, Outcome]) -> Any:
        self.enters = enters
        self.trace: list[Any] = []
        self.times: dict[int, int] = {}
        return NextState("a")

    def react(self, kind: Any, content: Any) -> Any:
        if kind == "enter":
            self.trace.append((self.state, kind, content))
            return self.obey(self.enters[self.state], -1 - STATES.index(self.state))
        self.trace.append((self.state, kind, content.number))
        return self.obey(content.by_state[self.state], content.number)

    def obey(self, outcome: Outcome, number: int) -> Any:
        self.times[number] = self.times.get(number, 0) + 1
        if self.times[number] > LIMIT or outcome.to == "none":
            return None
        actions: list[Any] = [NextEvent(kind, plan) for kind, plan in outcome.inserted]
        actions += [self.timeout(*spec) for spec in outcome.timeouts]
        if outcome.postpone:
            actions.append(Postpone())
        if outcome.hibernate:
            actions.append(Hibernate())
        if outcome.to == "keep":
            return Keep(*actions)
        return Repeat(*actions) if outcome.to == "repeat" else NextState(outcome.to, *actions)

    @staticmethod
    def timeout(kind: Any, time: Any, plan: Plan) -> Any:
        sort, first = (NamedTimeout, (kind[1],)) if isinstance(kind, tuple) else ({"timeout": EventTimeout, "state_timeout": StateTimeout}[kind], ())  # fmt: skip
        if time == "cancel":
            return sort.cancel(*first)
        if time == "update":
            return sort.update(*first, plan)
        if isinstance(time, tuple):
            return sort(*first, kernel_clock.now() + time[1], plan, absolute=True)
        return sort(*first, time, plan)


class ByName(Subject):
    def a(self, kind: Any, content: Any) -> Any:
        return self.react(kind, content)

    b = c = a


class ByNameEnter(ByName):
    state_enter = True


class Handled(Subject):
    def handle_event(self, kind: Any, content: Any, state: Any) -> Any:
        return self.react(kind, content)


class HandledEnter(Handled):
    state_enter = True


# ------------------------------------------------------------------------------------------------------ the model


@dataclass(eq=False)
class Timer:
    kind: Any
    plan: Plan
    due: float


@dataclass
class Model:
    enters: dict[str, Outcome] | None
    state: str = "a"
    now: float = 0.0
    trace: list[Any] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    mailbox: list[Any] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)
    """Events inside: inserted ones and those postponed before."""
    postponed: list[Any] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    """Running or fired, not yet handled, in the order of their start; at most one of a kind."""
    zero: list[Timer] = field(default_factory=list)
    suspended: bool = False
    hibernated: bool = False

    def run(self) -> None:
        while self.mailbox and not self.suspended:
            message = self.mailbox.pop(0)
            if isinstance(message, Timer):
                if message not in self.timers:
                    continue
                self.timers.remove(message)
                message = (message.kind, message.plan)
            self.waiting.append(message)
            self.work_off()

    def work_off(self) -> None:
        while self.waiting or self.zero:
            if self.waiting:
                event = self.waiting.pop(0)
            else:
                timer = self.zero[0]
                self.forget(timer.kind)
                event = (timer.kind, timer.plan)
            self.handle(event)

    def handle(self, event: Any) -> None:
        kind, plan = event
        self.trace.append((self.state, kind, plan.number))
        outcome = self.outcome(plan.by_state[self.state], plan.number)
        old = self.state
        timeouts = list(outcome.timeouts)
        if outcome.to in STATES:
            self.state = outcome.to
        if self.enters is not None and (self.state != old or outcome.to == "repeat"):
            timeouts += self.enter(old)
        self.forget("timeout")
        if outcome.postpone:
            self.postponed.append(event)
        if self.state != old:
            self.waiting = self.postponed + self.waiting
            self.postponed = []
            self.forget("state_timeout")
        self.start(timeouts)
        self.waiting = list(outcome.inserted) + self.waiting
        self.hibernated = outcome.hibernate

    def enter(self, old: str) -> list[Any]:
        timeouts: list[Any] = []
        while True:
            self.trace.append((self.state, "enter", old))
            assert self.enters is not None
            outcome = self.outcome(self.enters[self.state], -1 - STATES.index(self.state))
            timeouts += outcome.timeouts
            if outcome.to != "repeat":
                return timeouts

    def outcome(self, outcome: Outcome, number: int) -> Outcome:
        self.times[number] = self.times.get(number, 0) + 1
        return Outcome("keep") if self.times[number] > LIMIT or outcome.to == "none" else outcome

    def start(self, timeouts: list[Any]) -> None:
        for index, (kind, time, plan) in enumerate(timeouts):
            if any(later[0] == kind for later in timeouts[index + 1 :]):
                continue
            running = [timer for timer in self.timers if timer.kind == kind]
            if time == "update" and running:
                running[0].plan = plan
                continue
            self.forget(kind)
            if time == "cancel":
                continue
            seconds = time[1] if isinstance(time, tuple) else 0 if time == "update" else time
            timer = Timer(kind, plan, self.now + seconds)
            self.timers.append(timer)
            if isinstance(time, tuple) and seconds <= 0:
                timer.due = float("inf")
                self.mailbox.append(timer)
            elif seconds == 0:
                timer.due = float("inf")
                self.zero.append(timer)

    def forget(self, kind: Any) -> None:
        self.timers = [timer for timer in self.timers if timer.kind != kind]
        self.zero = [timer for timer in self.zero if timer.kind != kind]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.due <= end]:
            timer = min(due, key=lambda t: t.due)  # of equal ones the first
            self.now = timer.due
            timer.due = float("inf")
            self.mailbox.append(timer)
            self.run()
        self.now = end


# ------------------------------------------------------------------------------------------------------- the game


class Game(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time = virtual_clock()
        self.clock = self.time.__enter__()
        self.pid: Any = None
        self.number = 0

    @initialize(cls=st.sampled_from([ByName, ByNameEnter, Handled, HandledEnter]), enters=ENTERS)
    def begin(self, cls: Any, enters: dict[str, Outcome]) -> None:
        for outcome in enters.values():
            self.name(outcome)
        self.model = Model(enters if cls.state_enter else None)
        self.pid = cls.start(enters)
        if cls.state_enter:
            self.model.start(self.model.enter("a"))
            self.model.work_off()
            self.model.run()

    def name(self, outcome: Outcome) -> None:
        for *_, plan in (*outcome.inserted, *outcome.timeouts):
            self.name_plan(plan)

    def name_plan(self, plan: Plan) -> None:
        self.number += 1
        plan.number = self.number
        for outcome in plan.by_state.values():
            self.name(outcome)

    @rule(events=st.lists(st.tuples(st.booleans(), PLANS), min_size=1, max_size=3))
    def events(self, events: Any) -> None:
        """Some messages at once."""
        settle()
        for is_cast, plan in events:
            self.name_plan(plan)
            (cast if is_cast else send)(self.pid, plan)
            self.model.mailbox.append(("cast" if is_cast else "info", plan))
        self.model.run()

    @rule(seconds=st.sampled_from([0.5, 1, 2, 3]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.advance(seconds)

    @precondition(lambda self: not self.model.suspended)
    @rule()
    def suspend(self) -> None:
        sys.suspend(self.pid)
        self.model.suspended = True

    @precondition(lambda self: self.model.suspended)
    @rule()
    def resume(self) -> None:
        sys.resume(self.pid)
        self.model.suspended = False
        self.model.run()

    @invariant()
    def same(self) -> None:
        if self.pid is None:
            return
        settle()
        model = self.model
        assert is_alive(self.pid), self.pid.reason
        state, data = sys.get_state(self.pid)
        assert data["trace"] == model.trace
        assert state == model.state
        status = sys.get_status(self.pid)
        assert [(kind, plan.number) for kind, plan in status.more["postponed"]] == [(kind, plan.number) for kind, plan in model.postponed]  # fmt: skip
        assert {kind: plan.number for kind, plan in status.more["timeouts"]} == {
            t.kind: t.plan.number for t in model.timers
        }
        assert status.hibernated == model.hibernated
        assert status.held == len(model.mailbox)

    def teardown(self) -> None:
        if self.pid is not None:
            exit(self.pid, KILL)
            settle()
            assert self.clock._time.pending() == 0
        self.time.__exit__(None, None, None)


def test_random_events_happen_in_the_documented_order() -> None:
    """OTP A2: enter, inserted, postponed oldest first, zero time-outs, mailbox; which time-out outlives what."""
    run_state_machine_as_test(
        Game,
        settings=settings(
            max_examples=80, stateful_step_count=12, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
