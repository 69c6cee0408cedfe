"""The children of a static supervisor: each has an id, and their order means something.

Theory of operation
-------------------
`by_id` holds every spec the supervisor knows, in start order; `by_pid` those that run. A child is in one of three
states, told by `Child.pid`:

    pid         it runs
    RESTARTING  its start failed and is tried again: a message to ourselves is on its way, so that the supervisor
                answers others between two attempts; each attempt costs one restart of the budget. Or the budget is
                spent and the child is in `hold`, until a reprieve is over
    None        it does not run, and will not by itself

An EXIT from a pid that is not in `by_pid` is nobody's business and is ignored: that is how the EXITs of children that
the supervisor itself has stopped fall away, without a scan of the mailbox for each.

Source: OTP supervisor.erl, restart/2 and restart_multiple_children/3.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from runtime.kernel import Pid, is_alive, is_failure, send
from runtime.kernel.clock import now
from runtime.otp.child_process import NotStarted, is_clean_stop, start_process, stop_process
from runtime.otp.child_spec import ChildSpec, SupFlags, check_significant, check_specs, to_spec
from runtime.otp.outcome import StartError
from runtime.otp.reprieve import Hold, Reprieve
from runtime.otp.restart_intensity import RestartIntensity
from runtime.otp.supervision import RESTARTING, ChildInfo, Counts, TryAgain
from runtime.otp.supervisor_errors import (
    AlreadyPresent,
    ChildAlreadyStarted,
    NotFound,
    Restarting,
    Running,
    StartChildError,
)
from runtime.otp.supervisor_report import MAX_RESTARTS, report_failure, report_progress

__all__ = ["Child", "StaticChildren"]

# ---------------------------------------------------------------- types


class Child:
    """One child of a static supervisor: what it is, and its process."""

    __slots__ = ("pid", "spec")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.pid: Any = None

    def __repr__(self) -> str:
        return f"<child {self.spec.id!r} {self.pid!r}>"


class StaticChildren:
    """The children under one_for_one, one_for_all or rest_for_one.

    Invariants: by_pid[p] is c  =>  c.pid is p and by_id[c.spec.id] is c.
                c.pid is a pid  =>  by_pid[c.pid] is c.
                a temporary child that does not run is in neither.
    """

    def __init__(self, me: Pid, name: Any, flags: SupFlags) -> None:
        self.me = me
        self.name = name
        self.flags = flags
        self.intensity = RestartIntensity(flags.intensity, flags.period)
        self.hold = Hold(me, name)
        self.by_id: dict[Hashable, Child] = {}
        self.by_pid: dict[Pid, Child] = {}

    def __repr__(self) -> str:
        return f"<{self.flags.strategy}, {len(self.by_id)} children, {len(self.by_pid)} running>"

    # ------------------------------------------------------------ API (requests to the supervisor)

    def start_child(self, given: Any) -> Any:
        """Start one more child, as the last; return what its start function said."""
        spec = to_spec(given)
        check_significant(spec, self.flags)
        present = self.by_id.get(spec.id)
        if present is not None:
            if present.pid is RESTARTING:
                raise Restarting(spec.id)
            if present.pid is None:
                raise AlreadyPresent(spec.id)
            raise ChildAlreadyStarted(spec.id, present.pid)
        child = Child(spec)
        try:
            result = self._start(child)
        except NotStarted as error:
            raise StartChildError(error.reason, spec) from None
        if child.pid is not None or spec.restart != "temporary":
            self.by_id[spec.id] = child
        return result

    def terminate_child(self, id_: Hashable) -> None:
        """Stop a child and keep its spec (a temporary one's is dropped). One that does not run: nothing happens."""
        self._stop(self._find(id_))

    def restart_child(self, id_: Hashable) -> Any:
        """Start a child that was terminated or has ended."""
        child = self._find(id_)
        if child.pid is RESTARTING:
            raise Restarting(id_)
        if child.pid is not None:
            raise Running(id_)
        try:
            return self._start(child)
        except NotStarted as error:
            raise StartChildError(error.reason, child.spec) from None

    def delete_child(self, id_: Hashable) -> None:
        """Forget a child that does not run."""
        child = self._find(id_)
        if child.pid is RESTARTING:
            raise Restarting(id_)
        if child.pid is not None:
            raise Running(id_)
        del self.by_id[id_]

    def get_childspec(self, key: Any) -> ChildSpec:
        child = self.by_pid.get(key) if isinstance(key, Pid) else None
        return (child or self._find(key)).spec

    def which_children(self) -> list[ChildInfo]:
        return [
            ChildInfo(c.spec.id, c.pid, c.spec.type, c.spec.modules or ())
            for c in reversed(self.by_id.values())
        ]

    def count_children(self) -> Counts:
        supervisors = sum(1 for c in self.by_id.values() if c.spec.type == "supervisor")
        active = sum(1 for pid in self.by_pid if is_alive(pid))
        return Counts(len(self.by_id), active, supervisors, len(self.by_id) - supervisors)

    # ------------------------------------------------------------ callbacks (of the supervisor's process)

    def start_all(self, specs: Iterable[ChildSpec]) -> None:
        """Start the first children, in order. Raises StartError with failed_to_start_child; then none is left."""
        for spec in specs:
            child = self.by_id[spec.id] = Child(spec)
            try:
                self._start(child)
            except NotStarted as error:
                self._report("start_error", error.reason, child)
                self.stop_all()
                raise StartError(("failed_to_start_child", spec.id, error.reason)) from None
            if child.pid is None and spec.restart == "temporary":
                del self.by_id[spec.id]  # it chose not to run, and it will not be started again

    def exited(self, pid: Pid, reason: Any) -> bool:
        """A linked process ended. False: the supervisor must end, with reason shutdown."""
        child = self.by_pid.get(pid)
        if child is None or is_alive(pid):  # alive: it called exit(supervisor, ...), which is not its own end
            return True
        del self.by_pid[pid]
        child.pid = None
        restart = child.spec.restart
        failed = is_failure(reason)
        if failed or restart == "permanent":
            report_failure(self.name, "child_terminated", reason, pid, child.spec)
            if restart != "temporary":
                return self._restart(child, reason)
        if restart == "temporary":
            del self.by_id[child.spec.id]
        return not self._ends_with(child)

    def try_again(self, attempt: TryAgain) -> bool:
        """The next attempt at a child whose start failed. False: the supervisor must end."""
        child = self.by_id.get(attempt.key)
        if child is None or child.pid is not RESTARTING:
            return True  # terminated, or restarted along with its siblings, since the attempt was planned
        if not attempt.is_free:
            return self._restart(child, attempt.reason)
        self._start_again(child)
        return True

    def reprieved(self, reprieve: Reprieve) -> bool:
        """A reprieve is over: start what waited for it. False: nothing was mended, and the supervisor must end."""
        ids = self.hold.over()
        if ids and not reprieve.is_mended:
            children = [self.by_id[id_] for id_ in ids]
            for child in children:
                child.pid = None
            self._report("shutdown", MAX_RESTARTS, children[0])
            return False
        if ids:
            self.intensity.forgive()
        for id_ in [id_ for id_ in self.by_id if id_ in ids]:
            send(self.me, TryAgain(id_, is_free=True))  # the first one's group takes the others along
        return True

    def stop_all(self) -> None:
        """Stop all children, the last started first, one by one."""
        for child in list(reversed(self.by_id.values())):
            self._stop(child)

    def change(self, flags: SupFlags, given: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Take new flags and specs (code_change): known ids get the new spec and keep their process, new ones are
        not started, vanished ones are kept, as the last. Return the new and the vanished ids. Raises SpecError and
        leaves everything as it was.
        """
        specs = check_specs(given, flags)
        merged: dict[Hashable, Child] = {}
        for id_, spec in specs.items():
            child = self.by_id.get(id_) or Child(spec)
            if child.pid is not None or spec.restart != "temporary":
                merged[id_] = child
        for id_, child in self.by_id.items():
            if id_ not in merged:
                check_significant(child.spec, flags)
                merged[id_] = child
        for id_, child in merged.items():
            if id_ in specs:
                child.spec = specs[id_]
        new = tuple(id_ for id_ in merged if id_ not in self.by_id)
        self.by_id = merged
        self.flags = flags
        self.intensity.change(flags.intensity, flags.period)
        return new, tuple(id_ for id_ in merged if id_ not in specs)

    # ------------------------------------------------------------ internals

    def _find(self, id_: Hashable) -> Child:
        try:
            return self.by_id[id_]
        except (KeyError, TypeError):
            raise NotFound(id_) from None

    def _start(self, child: Child) -> Any:
        """Start a child that does not run. Raises NotStarted. A child may choose not to run: its pid stays None."""
        spec = child.spec
        pid, result = start_process(spec.start)
        if pid is None:
            child.pid = None
            return result
        child.pid = pid
        self.by_pid[pid] = child
        if spec.restart == "temporary":
            # It is never started again, and its arguments may be large.
            child.spec = spec.without_args(spec.id)
        report_progress(self.name, pid, spec)
        return result

    def _stop(self, child: Child) -> None:
        """Stop a child, if it runs; drop it if it is temporary."""
        pid, child.pid = child.pid, None
        self.hold.drop(child.spec.id)
        if pid is not None and pid is not RESTARTING:
            del self.by_pid[pid]
            reason = stop_process(pid, child.spec.shutdown)
            if not is_clean_stop(child.spec, reason):
                report_failure(self.name, "shutdown_error", reason, pid, child.spec)
        if child.spec.restart == "temporary":
            del self.by_id[child.spec.id]

    def _restart(self, child: Child, reason: Any) -> bool:
        """Restart a child that has ended, and by the strategy its siblings. False: the budget is spent.

        `reason`: why it ended, or did not start.
        """
        # In a group, one restart would start the sibling that is held as well, or be repeated with that one's.
        is_held = bool(self.hold.keys) and self.flags.strategy != "one_for_one"
        if is_held or not self.intensity.spend(now()):
            if self.hold.take(child.spec.id, child.spec, reason):
                child.pid = RESTARTING
                return True
            self._report("shutdown", MAX_RESTARTS, child)
            child.pid = None
            return False
        self._start_again(child)
        return True

    def _start_again(self, child: Child) -> None:
        self.hold.drop(child.spec.id)
        if self.flags.strategy != "one_for_one":
            self._restart_group(child)
            return
        try:
            self._start(child)
        except NotStarted as error:
            self._failed(child, error.reason)

    def _restart_group(self, child: Child) -> None:
        """Stop a child's group in reverse order and start it in order, as far as that goes."""
        group = list(self.by_id.values())
        if self.flags.strategy == "rest_for_one":
            group = group[group.index(child) :]
        child.pid = None
        for one in reversed(group):
            self._stop(one)
        for one in group:
            if one.spec.restart == "temporary":
                continue  # dropped by its stop: a bystander is not restarted either
            try:
                self._start(one)
            except NotStarted as error:
                # Those before it run and stay for now; those after it wait for the next attempt, which under
                # one_for_all begins with stopping all, under rest_for_one goes on from here.
                self._failed(one, error.reason)
                break

    def _failed(self, child: Child, reason: Any) -> None:
        self._report("start_error", reason, child)
        child.pid = RESTARTING
        TryAgain(child.spec.id, reason).send_to(self.me)

    def _ends_with(self, child: Child) -> bool:
        """Tell whether the own exit of a child that is not restarted ends the supervisor."""
        if not child.spec.significant:
            return False
        if self.flags.auto_shutdown == "all_significant":
            return not any(c.spec.significant and c.pid is not None for c in self.by_id.values())
        return self.flags.auto_shutdown == "any_significant"

    def _report(self, context: Any, reason: Any, child: Child) -> None:
        report_failure(self.name, context, reason, child.pid, child.spec)

    def _check(self) -> None:
        """Check the invariants: for tests."""
        for pid, child in self.by_pid.items():
            assert child.pid is pid, (pid, child)
            assert self.by_id.get(child.spec.id) is child, child
        for id_, child in self.by_id.items():
            assert child.spec.id == id_, (id_, child)
            assert child.pid is None or child.pid is RESTARTING or self.by_pid.get(child.pid) is child, child
            assert child.spec.restart != "temporary" or child.pid is not None, child
        for id_ in self.hold.keys:
            assert self.by_id[id_].pid is RESTARTING, self.by_id[id_]
