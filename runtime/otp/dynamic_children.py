"""The children of a dynamic supervisor: many, alike, known by pid only, in no order that matters.

Each child is one dictionary entry: pid -> Plan. Temporary children, which are never started again, share one plan
without id and arguments as long as the rest of their specs is alike, so a million of them cost a million entries and
no more. (Keyed by the spec itself, the shared plan would hold the last child's arguments.)

A child whose start fails again moves from `by_pid` to `restarting`, under the pid it last had: that is how it can
still be terminated, and why it still counts for max_children. So does one that is in `hold` until a reprieve is over.

Source: OTP supervisor simple_one_for_one; Elixir DynamicSupervisor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from runtime.kernel import Crash, Pid, is_alive, is_failure, send
from runtime.kernel.clock import now
from runtime.otp.child_process import NotStarted, is_clean_stop, start_process, stop_process, stop_processes
from runtime.otp.child_spec import BadChildSpec, ChildSpec, SupFlags, check_specs, to_spec
from runtime.otp.reports import format_term
from runtime.otp.reprieve import Hold, Reprieve
from runtime.otp.restart_intensity import RestartIntensity
from runtime.otp.supervision import RESTARTING, ChildInfo, Counts, TryAgain
from runtime.otp.supervisor_errors import MaxChildren, NotFound, NotSupported, StartChildError
from runtime.otp.supervisor_report import MAX_RESTARTS, report_failure, report_progress

__all__ = ["DynamicChildren", "Plan", "SimpleChildren"]

# ---------------------------------------------------------------- types


class Plan(NamedTuple):
    """How one child is started again: its spec, and the whole arguments (none for a temporary child)."""

    spec: ChildSpec
    args: tuple[Any, ...] | None


class DynamicChildren:
    """The children of a DynamicSupervisor: each comes with its own spec, whose id is ignored.

    Invariant: no pid is in both `by_pid` and `restarting`.
    """

    def __init__(
        self,
        me: Pid,
        name: Any,
        flags: SupFlags,
        max_children: int | None = None,
        extra_arguments: tuple[Any, ...] = (),
    ) -> None:
        self.me = me
        self.name = name
        self.flags = flags
        self.intensity = RestartIntensity(flags.intensity, flags.period)
        self.hold = Hold(me, name)
        self.max_children = max_children
        self.extra_arguments = extra_arguments
        self.by_pid: dict[Pid, Plan] = {}
        self.restarting: dict[Pid, Plan] = {}
        self._last: Plan | None = None

    def __repr__(self) -> str:
        return f"<dynamic, {len(self.by_pid)} children, {len(self.restarting)} restarting>"

    # ------------------------------------------------------------ API (requests to the supervisor)

    def start_child(self, given: Any) -> Any:
        """Start a child; return what its start function said. A child that ignores is not kept."""
        if self.max_children is not None and len(self.by_pid) + len(self.restarting) >= self.max_children:
            raise MaxChildren(self.max_children)
        plan = self._plan(given)
        spec = plan.spec
        function, _, kwargs = spec.start
        try:
            pid, result = start_process((function, plan.args, kwargs))
        except NotStarted as error:
            raise StartChildError(error.reason, self._offender(spec)) from None
        if pid is not None:
            self.by_pid[pid] = self._lasting(plan)
            report_progress(self.name, pid, spec)
        return result

    def terminate_child(self, pid: Any) -> None:
        """Stop a child and forget it. A dead pid is no error; a living one that is no child is NotFound."""
        if not isinstance(pid, Pid):
            raise NotSupported(pid)
        plan = self.by_pid.pop(pid, None)
        if plan is not None:
            self._stopped(pid, plan.spec, stop_process(pid, plan.spec.shutdown))
            return
        self.hold.drop(pid)
        if self.restarting.pop(pid, None) is None and self._is_stranger(pid):
            raise NotFound(pid)

    def restart_child(self, key: Any) -> Any:
        raise NotSupported(key)

    delete_child = restart_child

    def get_childspec(self, pid: Any) -> ChildSpec:
        plan = (self.by_pid.get(pid) or self.restarting.get(pid)) if isinstance(pid, Pid) else None
        if plan is None:
            raise NotFound(pid)
        return plan.spec

    def which_children(self) -> list[ChildInfo]:
        restarting = [
            ChildInfo(None, RESTARTING, p.spec.type, p.spec.modules or ()) for p in self.restarting.values()
        ]
        running = [
            ChildInfo(None, pid, p.spec.type, p.spec.modules or ())
            for pid, p in reversed(self.by_pid.items())
        ]
        return restarting + running

    def count_children(self) -> Counts:
        active = sum(1 for pid in self.by_pid if is_alive(pid))
        total = len(self.by_pid) + len(self.restarting)
        supervisors = sum(1 for p in self.by_pid.values() if p.spec.type == "supervisor")
        supervisors += sum(1 for p in self.restarting.values() if p.spec.type == "supervisor")
        return Counts(self._specs(total), active, supervisors, total - supervisors)

    # ------------------------------------------------------------ callbacks (of the supervisor's process)

    def exited(self, pid: Pid, reason: Any) -> bool:
        """A linked process ended. False: the supervisor must end, with reason shutdown."""
        plan = self.by_pid.get(pid)
        if plan is None or is_alive(pid):  # alive: it called exit(supervisor, ...), which is not its own end
            return True
        del self.by_pid[pid]
        spec = plan.spec
        failed = is_failure(reason)
        if failed or spec.restart == "permanent":
            report_failure(self.name, "child_terminated", reason, pid, spec)
            if plan.args is not None:  # else it was started as a temporary one, and its arguments are gone
                return self._restart(pid, plan, reason)
        return True

    def try_again(self, attempt: TryAgain) -> bool:
        """The next attempt at a child whose start failed. False: the supervisor must end."""
        plan = self.restarting.pop(attempt.key, None)
        if plan is None:
            return True  # it was terminated meanwhile
        if not attempt.is_free:
            return self._restart(attempt.key, plan, attempt.reason)
        self._start_again(attempt.key, plan)
        return True

    def reprieved(self, reprieve: Reprieve) -> bool:
        """A reprieve is over: start what waited for it. False: nothing was mended, and the supervisor must end."""
        pids: tuple[Any, ...] = self.hold.over()
        if pids and not reprieve.is_mended:
            report_failure(self.name, "shutdown", MAX_RESTARTS, pids[0], self.restarting[pids[0]].spec)
            return False
        if pids:
            self.intensity.forgive()
        for pid in pids:  # one by one, so that others are answered in between
            send(self.me, TryAgain(pid, is_free=True))
        return True

    def stop_all(self) -> None:
        """Stop all children at once. Only for a supervisor that ends: see stop_processes."""
        children = [(pid, plan.spec) for pid, plan in self.by_pid.items()]
        self.by_pid.clear()
        self.restarting.clear()
        failures: dict[Any, list[Any]] = {}

        def ended(pid: Pid, spec: ChildSpec, reason: Any) -> None:
            if not is_clean_stop(spec, reason):
                # One report for all that failed alike, or a stop of thousands drowns the log.
                failures.setdefault(_likeness(spec, reason), [pid, spec, reason, 0])[3] += 1

        stop_processes(children, ended)
        for pid, spec, reason, count in failures.values():
            report_failure(self.name, "shutdown_error", reason, pid, spec, count)

    # ------------------------------------------------------------ internals

    def _plan(self, given: Any) -> Plan:
        spec = given if given.__class__ is ChildSpec else to_spec(given, needs_id=False)
        if spec.significant:
            raise BadChildSpec("significant", True, "False under a dynamic supervisor", spec.id)
        return Plan(spec, self.extra_arguments + spec.start[1])

    def _lasting(self, plan: Plan) -> Plan:
        """What is kept of a plan while its child runs."""
        spec = plan.spec
        if spec.restart != "temporary":
            return plan
        last = self._last
        if last is None or not _are_alike(last.spec, spec):
            last = self._last = Plan(spec.without_args(None), None)
        return last

    def _specs(self, children: int) -> int:
        return children

    def _offender(self, spec: ChildSpec) -> ChildSpec | None:
        return spec

    def _is_stranger(self, pid: Pid) -> bool:
        return True

    def _restart(self, pid: Pid, plan: Plan, reason: Any) -> bool:
        """Start again what was `pid`, and ended, or did not start, with `reason`. False: the budget is spent."""
        if self.intensity.spend(now()):
            self._start_again(pid, plan)
            return True
        if self.hold.take(pid, plan.spec, reason):
            self.restarting[pid] = plan
            return True
        report_failure(self.name, "shutdown", MAX_RESTARTS, pid, plan.spec)
        return False

    def _start_again(self, pid: Pid, plan: Plan) -> None:
        spec = plan.spec
        function, _, kwargs = spec.start
        try:
            new, _ = start_process((function, plan.args, kwargs))
        except NotStarted as error:
            report_failure(self.name, "start_error", error.reason, pid, spec)
            self.restarting[pid] = plan
            TryAgain(pid, error.reason).send_to(self.me)
            return
        if new is not None:
            self.by_pid[new] = plan
            report_progress(self.name, new, spec)

    def _stopped(self, pid: Pid, spec: ChildSpec, reason: Any) -> None:
        if not is_clean_stop(spec, reason):
            report_failure(self.name, "shutdown_error", reason, pid, spec)

    def _check(self) -> None:
        """Check the invariants: for tests."""
        assert not self.by_pid.keys() & self.restarting.keys()
        assert self.hold.keys.keys() <= self.restarting.keys()
        for plan in self.by_pid.values():
            assert (plan.args is None) == (plan.spec.restart == "temporary"), plan


class SimpleChildren(DynamicChildren):
    """The children under simple_one_for_one: one spec for all; start_child brings the last arguments."""

    def __init__(self, me: Pid, name: Any, flags: SupFlags, template: ChildSpec) -> None:
        super().__init__(me, name, flags)
        self.template = template
        self._bare = Plan(template, None)

    def get_childspec(self, key: Any) -> ChildSpec:
        if key == self.template.id or (
            isinstance(key, Pid) and (key in self.by_pid or key in self.restarting)
        ):
            return self.template
        raise NotFound(key)

    def change(self, flags: SupFlags, given: Any) -> tuple[tuple[()], tuple[()]]:
        """Take new flags and the new template (code_change): running children keep their process, and are started
        by the new template when they are restarted. Raises SpecError and leaves everything as it was. Returns ids like
        StaticChildren: none here.
        """
        (template,) = check_specs(given, flags).values()
        for table in (self.by_pid, self.restarting):
            for pid, plan in table.items():
                table[pid] = Plan(template, None if template.restart == "temporary" else plan.args)
        self.template = template
        self._bare = Plan(template, None)
        self.flags = flags
        self.intensity.change(flags.intensity, flags.period)
        return (), ()

    def _plan(self, given: Any) -> Plan:
        if not isinstance(given, (tuple, list)):
            raise BadChildSpec(
                "args", given, "the child's last arguments, in a tuple: one spec serves all children"
            )
        return Plan(self.template, self.template.start[1] + tuple(given))

    def _lasting(self, plan: Plan) -> Plan:
        return self._bare if plan.spec.restart == "temporary" else plan

    def _specs(self, children: int) -> int:
        return 1

    def _offender(self, spec: ChildSpec) -> ChildSpec | None:
        return None

    def _is_stranger(self, pid: Pid) -> bool:
        return is_alive(pid)


# ---------------------------------------------------------------- internals


def _are_alike(bare: ChildSpec, spec: ChildSpec) -> bool:
    return (
        bare.start[0] == spec.start[0]
        and bare.shutdown == spec.shutdown
        and bare.type == spec.type
        and bare.modules == spec.modules
    )


def _likeness(spec: ChildSpec, reason: Any) -> tuple[Any, ...]:
    if isinstance(reason, Crash):
        reason = (reason.error, reason.message)
    if not isinstance(reason, str):  # by its text: any value may be a reason, without hash or equality
        reason = (type(reason), format_term(reason, chars_limit=1000))
    return (spec.restart, spec.shutdown, reason)
