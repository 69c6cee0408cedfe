"""The code server: one process, `code_server`, through which every release goes, one after the other.

Theory of operation: requests that change code wait in a queue; a worker process does the one whose turn it is (it blocks:
plan, check, quiesce, disk), so the server goes on answering `status`. When it is done, the server says in the log what
happened, answers, tells its subscribers, and puts a release that took effect on probation: from then on `ledger` wakes it
with whatever goes wrong, and the first limit passed puts the way back at the head of the queue.

    push ──▶ queue ──▶ worker ──▶ live ──▶ probation ──▶ found good (time is up, or `confirm`)
                          └─▶ refused          └──▶ a limit is passed ──▶ worker: rolled back, marked bad

A rollback that is itself refused is tried again while the reason may pass (a process is busy); then it is an alarm and a
critical line in the log: the bad release runs on, and somebody has to act.

A child that fails at once, whenever it is started, is sooner at the end of its supervisor's restarts than the way back at
its own. So a supervisor that would give up over changed code asks here first (`runtime.otp.reprieve`): the way back is due
then, and the supervisor waits until it has been gone, or was refused. One that asks while a way back is due may wait as well.

When the server ends, so does the worker: nothing of its release is live, or all of it is. In the latter case the next
server finds out, gives what runs its place in the log, and begins its probation; supervisors that wait, wait for it.

Invariant: at most one worker; `probation` is of the release that runs, or None.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.jobs import Answer, CodeEvent, Finished, Job, Status, Work, way_back
from runtime.code.kinds import users_of
from runtime.code.ledger import ANYWHERE, NOTED, Ledger, misses_process
from runtime.code.probation import Limits, Probation, Stage
from runtime.code.release_log import TOGETHER, Release
from runtime.code.releaser import Done, Releaser
from runtime.code.report_text import live_text, on_trial_text, refused_text, rolled_back_text
from runtime.kernel import Call, Down, Process, Ref, clock
from runtime.observe import alarms
from runtime.observe.alarms import AlarmRaised
from runtime.otp import reprieve
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply
from runtime.otp.reprieve import GiveUp

__all__ = ["NAME", "CodeServer"]

NAME = "code_server"
_log = logging.getLogger("evergreen.code")
_LOOK = 0.5
"""How often a probation is looked at without cause. (seconds)"""
_REPRIEVE = 10.0
"""For how long a supervisor may wait for a rollback at most. (seconds)"""

# Types


class CodeServer(GenServer):
    """Requests: a Job (answered with an Answer when it is done), "status", "confirm", "releaser", ("subscribe", pid),
    ("unsubscribe", pid); Limits as a cast.
    """

    def init(self, releaser: Releaser, limits: Limits, mode: str = "push") -> NoReply:
        self.releaser = releaser
        self.limits = limits
        self.mode = mode
        self.queue: deque[Work] = deque()
        self.work: Work | None = None
        self.probation: Probation | None = None
        self.subscribers: dict[Any, Ref] = {}
        self.is_begun = False
        """It is known what runs, and whether it is on probation."""
        self.is_healing = False
        """The last save was refused: the next good one is said to heal it."""
        self.alarmed = ""
        self.tick: Any = None
        self.soon: Any = None
        self.judged = 0.0
        """When the incidents were last looked at."""
        self.reprieved: Probation | None = None
        """The probation whose way back supervisors were last let wait for: once for each."""
        self.ledger = Ledger(releaser.engine.roots, kernel.self_(), releaser.kinds)
        self.ledger.open()
        reprieve.on_give_up.append(self._may_wait)
        return NoReply(continue_="begin")

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: listen no more, and take the worker along. (From the kernel: must not block.)"""
        if not hasattr(self, "ledger"):
            return
        self.ledger.close()
        reprieve.on_give_up.remove(self._may_wait)
        for timer in (self.tick, self.soon):
            if timer is not None:
                kernel.cancel_timer(timer)
        if self.work is not None and self.work.pid is not None:
            kernel.exit(self.work.pid, kernel.KILL)

    def handle_continue(self, value: Any) -> None:
        """Note what the node has booted with: some tenths of a second at the first start, so that nobody waits for it."""
        if not self.releaser.has_begun:
            kernel.blocking(
                self.releaser.begin, self.limits.first("push" if self.releaser.from_log else "boot")
            )
        else:
            self._noticed(kernel.blocking(self.releaser.reconcile, self.limits.first("push")))
        if kernel.whereis(alarms.NAME) is not None:
            alarms.subscribe()
        if self.releaser.checks and self.releaser.checker is not None and self.releaser.engine.modules:
            self.releaser.checker.start()  # or at the first release, where nothing is managed yet
        self._resume()
        self.is_begun = True
        waits = reprieve.pending()  # for the server before this one, or for this one to have begun
        if waits is not None and not self._may_wait(waits):
            reprieve.end(True)  # for all that is known here, what runs is good: each may try

    def handle_call(self, request: Any, sender: Call) -> Any:
        if request.__class__ is Job:
            self.queue.append(Work(request, sender))
            self._next()
            return NoReply()
        if request == "status":
            return self._status()
        if request == "confirm":
            return self._confirm()
        if request == "releaser":
            return self.releaser
        if isinstance(request, tuple) and request[0] == "subscribe":
            return self._subscribe(request[1])
        if isinstance(request, tuple) and request[0] == "unsubscribe":
            return self._unsubscribe(request[1])
        raise ValueError(f"unknown request {request!r}")

    def handle_cast(self, request: Any) -> None:
        if request.__class__ is not Limits:
            raise ValueError(f"unknown request {request!r}")
        self.limits = request
        if self.probation is not None:
            self.probation.limits = request
            self._judge()

    def handle_info(self, message: Any) -> None:
        kind = message.__class__
        if message == NOTED:
            self.ledger.take()
            if clock.now() >= self.judged + _BRIEF:
                self._judge()
            elif self.soon is None:  # in a storm, one look is for many
                self.soon = kernel.send_after(_BRIEF, kernel.self_(), _SOON)
        elif message == _SOON:
            self.soon = None
            self._judge()
        elif message == _TICK:
            self.tick = None
            self._judge()
        elif kind is Finished:
            self._finished(message.value, message.error)
        elif kind is AlarmRaised:
            self.ledger.alarm(message.id, message.description)
        elif kind is Down:
            self._down(message)
        elif kind is not alarms.AlarmCleared:
            super().handle_info(message)

    # the queue

    def _next(self) -> None:
        while self.work is None and self.queue:
            work = self.queue.popleft()
            if work.job.probation is not None and work.job.probation is not self.probation:
                continue  # another release runs by now
            self.work = work
            work.start(self.releaser, self.limits)

    def _finished(self, value: Any, error: Refused | None) -> None:
        work, self.work = self.work, None
        assert work is not None
        if work.ref is not None:
            kernel.demonitor(work.ref, flush=True)
        self._say_problems()
        if isinstance(value, Done):
            self._live(work.job, value)
        elif work.job.name == _RECONCILE:
            self._noticed(value)
        elif error is not None:
            self._refused(work.job, error)
        if work.sender is not None:
            kernel.reply(work.sender, Answer(value.release if isinstance(value, Done) else value, error))
        self._let_go(value)
        self._next()

    def _let_go(self, value: Any) -> None:
        """Supervisors that wait go on, or give up, unless the way back is still to come."""
        if reprieve.pending() is None or (self.queue and self.queue[0].job.name == _RECONCILE):
            return
        self._judge()
        if not self._goes_back():
            reprieve.end(value is not None)

    def _down(self, down: Down) -> None:
        if self.work is not None and down.ref is self.work.ref:
            # A fault of ours, or somebody killed it. The step is all or nothing; what came of it, the next job finds out.
            self.work.ref = None
            if self.work.job.name != _RECONCILE:
                result = self.limits.first("push")
                job = Job(_RECONCILE, lambda it, _: kernel.blocking(it.reconcile, result))
                self.queue.appendleft(Work(job, None))
            error = Refused(
                f"the {self.work.job.name} ended with {down.reason}", kind="error",
                hint="that is the node's own fault, and its log has the report; --list shows what runs now",
            )  # fmt: skip
            self._finished(None, error)
        else:
            self.subscribers.pop(down.pid, None)

    # what became of it

    def _noticed(self, release: Release | None) -> None:
        """Something runs that is in nobody's books: now it is."""
        self._say_problems()
        if release is not None:
            text = f"release {release} runs: {release.note}; --diff {release.base} {release.id} shows what is in it"
            _log.error("%s", text)
            self.probation = None
            self._tell("live", release, text)
            self._resume()

    def _say_problems(self) -> None:
        problems = self.releaser.log.problems
        while problems:
            _log.error("%s", problems.pop(0))

    def _live(self, job: Job, done: Done) -> None:
        release, report, left = done
        if report is None:
            if job.name == "watch" and self.is_healing:  # what was refused is as it runs again
                self.is_healing = False
                _log.info("mended: the files are as release %s has them, which runs on", release.id)
            return
        before, self.probation = self.probation, None
        if self.alarmed:
            self.alarmed = ""
            self._alarm(None)
        if release.kind == "rollback":
            is_on_trial = release.result == "probation" and not (before and before.until(release.id))
            if before is not None and not is_on_trial:
                self.releaser.kinds.forget(before.since)
                self._went_back(before, release, left)
            text = rolled_back_text(left, release, release.why or f"asked by {release.by or 'hand'}", report)
            if job.probation is None:
                _log.info("%s", text)
            else:  # why has been said, when it began
                _log.error("%s", rolled_back_text(left, release, "", report))
            self._tell("rolled_back", release, text)
            if is_on_trial:  # somebody insisted on one that was taken back before
                self._watch_over(done, before)
            return
        healed = self.is_healing and release.kind == "watch"
        self.is_healing = self.is_healing and not healed
        text = live_text(release, report, healed=healed)
        (_log.warning if report.warnings else _log.info)("%s", text)
        self._tell("live", release, text)
        if release.result == "probation":
            self._watch_over(done, before)

    def _went_back(self, before: Probation, release: Release, left: Release) -> None:
        """What of a probation becomes of a rollback: to before it, or to a release in the middle of it."""
        kept = before.until(release.id) if release.result == "probation" else ()
        for earlier in before.earlier[len(kept) :]:
            self.releaser.judge(earlier, "rolled_back", f"{TOGETHER} {left}")
        if kept:
            now = clock.now()  # what went wrong until now may have been the fault of what was left
            stages = [stage._replace(since=now) for stage in kept]
            last = Stage(release, before.files, now, self.limits.length("push"))
            self.probation = Probation(self.ledger, self.limits, before.back_to, (*stages, last))
            self._arm()

    def _resume(self) -> None:
        """What runs is on probation: begin it, of all releases that have not been found good. The server was restarted, or the
        node was, from a tree that has something else than was found good last.
        """
        release, good = self.releaser.current, self.releaser.log.last_good()
        if release.result == "probation" and good is not None:
            paths = {path for path, name in release.files.items() if good.files.get(path) != name}
            engine = self.releaser.engine
            engine.warm()
            files = frozenset(str(engine.roots.path_of(path)) for path in paths)
            users = self._users(
                [name for name, version in engine.modules.items() if version.relative in paths]
            )
            stages = [
                Stage(one, files, clock.now(), self.limits.length(one.kind), users)
                for one in self.releaser.log.releases()
                if one.result == "probation" and one.number <= release.number
            ]
            self.probation = Probation(self.ledger, self.limits, good, tuple(stages))
            self._arm()
            if release.kind == "boot":
                _log.info("%s", on_trial_text(release, good, sorted(paths), self.probation.length))

    def _watch_over(self, done: Done, before: Probation | None) -> None:
        """Begin the probation of a release; with one that is under way, it becomes one."""
        release, report, left = done
        assert report is not None
        roots, modules = self.releaser.engine.roots, self.releaser.engine.modules
        names = [*report.modules, *report.added]
        files = frozenset(str(roots.path_of(modules[name].relative)) for name in names if name in modules)
        users = self._users([*names, *report.deleted])
        stage = Stage(release, files, report.since, self.limits.length(release.kind), users)
        self.probation = (
            Probation(self.ledger, self.limits, left, (stage,))
            if before is None
            else before.followed_by(stage)
        )
        self._arm()

    def _users(self, names: Iterable[str]) -> frozenset[str]:
        """The files of the modules that import one of these."""
        modules = self.releaser.engine.modules
        return frozenset(modules[name].path for name in users_of(modules, names))

    def _refused(self, job: Job, error: Refused) -> None:
        if job.probation is not None:
            release = job.probation.release
            self.probation = None
            self.alarmed = text = (
                f"release {release.id} is bad ({job.why}), but its rollback was refused: {error}\n"
                "it runs on: push a good release, go back by hand (tools/push --rollback), or restart the node"
            )
            _log.critical("%s", text)
            self._alarm(text)
            self._tell("stuck", release, text)
            return
        if job.name == "plan":
            return  # only asked
        running = self.releaser.current
        what = "not rolled back" if job.name == "rollback" else "not live"
        if job.by and job.name != "watch":
            what += f" (asked by {job.by})"
        text = refused_text(error, running, what=what)
        self.is_healing = self.is_healing or job.name == "watch"
        passes = job.name == "watch" and error.kind == "busy"  # the watcher tries again
        (_log.warning if passes else _log.error)("%s", text)
        self._tell("refused", running, text)

    # probation

    def _judge(self) -> None:
        self.judged = clock.now()
        probation = self.probation
        if probation is None or self._goes_back():
            return
        why = probation.breach(clock.now())
        if why:
            _log.error("release %s is rolled back by itself: %s", probation.release.id, why)
            self.queue.appendleft(Work(way_back(probation, why), None))
            self._next()
        elif probation.is_over(clock.now()):
            self._found_good("passed", f"held all limits for {probation.length:g} s")
        else:
            for earlier in probation.take_good(clock.now()):
                self.releaser.judge(earlier, "good", f"held all limits, followed by {probation.release}")
            self._arm()

    def _goes_back(self) -> bool:
        """Is the release's way back in the queue, or under way?"""
        return self.probation is not None and any(
            work.job.probation is self.probation for work in [*self.queue, self.work] if work
        )

    def _may_wait(self, about: GiveUp) -> float:
        """A supervisor would give up: for how many seconds may it wait for the way back, which is due by that? 0: not at all.

        Called in the supervisor's process.
        """
        if not self.is_begun:  # a start: what runs may be on probation
            return _REPRIEVE
        probation = self.probation
        if probation is None or probation is self.reprieved:
            return 0.0
        if not self._goes_back():
            incident = self.ledger.giving_up(about)
            if misses_process(about.reason) and probation.has_crashed_lately(clock.now()):
                incident = incident._replace(files=incident.files | {ANYWHERE})
            if not probation.breach(clock.now(), incident):
                return 0.0
            self.judged = 0.0  # that it looks at once
            self.ledger.add(incident)
        self.reprieved = probation
        return _REPRIEVE

    def _confirm(self) -> Answer:
        if self.probation is not None:
            if self._goes_back():
                text = f"release {self.probation.release} is being rolled back at this moment: it is too late to confirm it"
                return Answer(None, Refused(text, kind="busy"))
            self._found_good("confirmed", "confirmed")
        return Answer(self.releaser.current, None)

    def _found_good(self, kind: str, why: str) -> None:
        assert self.probation is not None
        probation, self.probation = self.probation, None
        release = self.releaser.judge(probation.release, "good", why)
        for earlier in probation.earlier:
            self.releaser.judge(earlier, "good", f"followed by {release}, which {why}")
        text = f"release {release.id} is good: {why}"
        is_quiet = release.kind in ("watch", "boot") and not probation.went_wrong(clock.now())
        (_log.debug if is_quiet else _log.info)("%s", text)
        self._tell(kind, release, text)

    def _arm(self) -> None:
        if self.tick is None and self.probation is not None:
            wait = min(_LOOK, max(0.001, self.probation.left(clock.now())))
            self.tick = kernel.send_after(wait, kernel.self_(), _TICK)

    # looking and listening

    def _status(self) -> Status:
        return Status(
            self.mode,
            self.releaser.current,
            self.work.job.name if self.work is not None else "",
            tuple(work.job.name for work in self.queue),
            self.probation.shown(clock.now()) if self.probation is not None else None,
            self.alarmed,
        )

    def _subscribe(self, pid: Any) -> None:
        if pid not in self.subscribers:
            self.subscribers[pid] = kernel.monitor(pid)

    def _unsubscribe(self, pid: Any) -> None:
        ref = self.subscribers.pop(pid, None)
        if ref is not None:
            kernel.demonitor(ref, flush=True)

    def _alarm(self, text: str | None) -> None:
        if kernel.whereis(alarms.NAME) is None:
            return
        if text is None:
            alarms.clear_alarm(_STUCK)
        else:
            alarms.set_alarm(_STUCK, text, level=logging.CRITICAL, quiet=True)

    def _tell(self, kind: str, release: Release | None, text: str) -> None:
        for pid in self.subscribers:
            kernel.send(pid, CodeEvent(kind, release, text))


# Internals

_TICK = "code_server_tick"
_SOON = "code_server_soon"
_BRIEF = 0.05
"""The least time between two looks at the incidents. (seconds)"""
_RECONCILE = "reconcile"
_STUCK = "code_rollback_refused"
"""The alarm: a bad release runs, and could not be taken back."""
