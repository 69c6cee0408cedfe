"""Supervisors that would give up over a release wait until the code server has taken it back: the tree lives through it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace

import pytest

from runtime import code, kernel
from runtime.code.jobs import CodeEvent, Job
from runtime.code.server import NAME
from runtime.kernel import TIMEOUT, call, is_alive, receive_match
from runtime.otp import proc_lib, reprieve
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.gen_server import GenServer
from runtime.otp.supervisor import RESTARTING, Supervisor, start_child, terminate_child, which_children
from runtime.testing import settle, until
from tests.code.served import NEVER, Place, serving
from tests.observe.observing import lines_of
from tests.support.crashers import reports

GOOD = """
from runtime.otp.gen_server import GenServer
class Worker(GenServer):
    def init(self): begin()
    def handle_call(self, request, sender): return work(request)
    def handle_cast(self, request): work(request)
def begin(): pass
def work(request): return request
"""
DIES_AT_START = GOOD.replace("def begin(): pass", "def begin(): raise LookupError('gone wrong')")
DIES_AT_ONCE = GOOD.replace("begin()\n", "begin(); kernel.cast(kernel.self_(), 1)\n", 1).replace(
    "return request", "raise LookupError('gone wrong')"
)
DIES_AT_ONCE = "from runtime import kernel\n" + DIES_AT_ONCE


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    reprieve._last = None  # what another test has just mended is no excuse in this one
    place.open()
    yield place
    place.close()


@pytest.fixture(autouse=True)
def quiet():
    """The reports of crashes that a test wants need not be printed."""
    logger = logging.getLogger("evergreen.supervisor")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


class Innocent(GenServer):
    """Of other code."""

    def handle_call(self, request, sender):
        return request


@contextmanager
def tree(*specs, strategy="one_for_one", intensity=3):
    kernel.trap_exit(True)
    top = Supervisor.start_link_with(SupFlags(strategy, intensity), specs)
    try:
        yield top
    finally:
        if is_alive(top):
            proc_lib.stop(top)
        settle()


def worker(module, id="worker", **options):
    return ChildSpec(id, (module.Worker.start_link, ()), **options)


def other(id="other"):
    return ChildSpec(id, (Innocent.start_link, ()))


def pid_of(top, id):
    return next(info.pid for info in which_children(top) if info.id == id)


def heard(kind):
    event = receive_match(lambda m: isinstance(m, CodeEvent) and m.kind == kind, 10.0)
    assert event is not TIMEOUT, code.status()
    return event


def runs(top, id="worker"):
    """Wait until the child runs again; return its pid."""
    until(lambda: pid_of(top, id) not in (None, RESTARTING))
    pid = pid_of(top, id)
    assert call(pid, "fine") == "fine"
    return pid


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("bad", [DIES_AT_START, DIES_AT_ONCE], ids=["at start", "at once"])
def test_a_child_that_crashes_whenever_it_is_started(place, crashes, strategy, bad):
    module = place.load(m=GOOD)
    with serving(place), tree(other(), worker(module), strategy=strategy) as top:
        code.subscribe()
        first = pid_of(top, "worker"), pid_of(top, "other")
        with lines_of("evergreen.code") as lines:
            release = code.push(place.sources(m=bad))
            kernel.exit(first[0], "boom")
            event = heard("rolled_back")
            assert runs(top) is not first[0]
        assert (pid_of(top, "other") is first[1]) == (strategy != "one_for_all")
        assert "1 supervisor out of restarts over changed code within" in event.text
        assert (
            f"whose child worker ended too often: LookupError: gone wrong in {'begin' if bad is DIES_AT_START else 'work'} ("
            in event.text
        )
        assert code.releases()[1].result == "bad"
        assert code.status().probation is None
        assert reprieve.pending() is None
        assert [level for level, _ in lines] == ["INFO", "ERROR", "ERROR"]
        assert "out of restarts" in lines[1][1]
        assert lines[2][1].startswith(f"release {release.id} was rolled back to ")
        assert "restarts" not in lines[2][1]  # it has just been said
        # Good code that fails too often is no reason to wait.
        for _ in range(4):
            pid = pid_of(top, "worker")
            kernel.exit(pid, "boom")
            settle()
        assert not is_alive(top)


def test_children_of_a_dynamic_supervisor(place, crashes):
    module = place.load(m=GOOD)
    with serving(place):
        code.subscribe()
        top = DynamicSupervisor.start_link()
        old = [start_child(top, worker(module)) for _ in range(200)]
        code.push(place.sources(m=GOOD.replace("return request", "raise LookupError")))
        for pid in old:
            kernel.cast(pid, "work")
        heard("rolled_back")
        until(lambda: RESTARTING not in [info.pid for info in which_children(top)])
        new = [info.pid for info in which_children(top)]
        assert len(new) == 200
        assert {call(pid, "fine") for pid in new} == {"fine"}
        assert not {*new} & {*old}
        proc_lib.stop(top)


def test_the_failure_climbs(place, crashes):
    """The supervisor below has ended, for it could not start its child; the one above it is asked."""
    module = place.load(m=GOOD)

    def below():
        return Supervisor.start_link_with(SupFlags(intensity=3), [worker(module, "leaf")])

    with serving(place), tree(ChildSpec("below", (below, ()), type="supervisor"), other()) as top:
        code.subscribe()
        code.push(place.sources(m=DIES_AT_START))
        bystander = pid_of(top, "other")
        kernel.exit(pid_of(top, "below"), "kill")
        assert "child below" in heard("rolled_back").text
        until(lambda: pid_of(top, "below") is not RESTARTING)
        assert pid_of(top, "other") is bystander
        assert call(pid_of(pid_of(top, "below"), "leaf"), "fine") == "fine"


def test_who_fails_because_its_call_met_the_changed_code(place, crashes):
    """The crash in changed code is in the reason of the call's failure."""
    module = place.load(m=GOOD)
    module.Worker.start(name="served_worker")

    class Caller(GenServer):
        def handle_cast(self, request):
            call("served_worker", "work")

    with serving(place), tree(ChildSpec("caller", (Caller.start_link, ())), intensity=0) as top:
        code.subscribe()
        code.push(place.sources(m=GOOD.replace("return request", "raise LookupError('gone wrong')")))
        kernel.cast(pid_of(top, "caller"), "go")
        assert "gone wrong in work" in heard("rolled_back").text
        until(lambda: pid_of(top, "caller") is not RESTARTING)
        assert is_alive(top)


def test_who_fails_for_another_reason_gives_up(place, crashes):
    """Its code is not what the release has changed."""
    module = place.load(m=GOOD)
    with serving(place), tree(other(), worker(module), intensity=0) as top:
        release = code.push(place.sources(m=DIES_AT_START))
        kernel.exit(pid_of(top, "other"), "boom")
        settle()
        assert not is_alive(top)
        assert code.current() == release


def test_who_fails_while_the_way_back_is_due_waits_whatever_it_is(place, crashes):
    module = place.load(m=GOOD)
    with serving(place), tree(worker(module), intensity=0) as one, tree(other(), intensity=0) as two:
        code.subscribe()
        code.push(place.sources(m=DIES_AT_START))
        kernel.exit(pid_of(one, "worker"), "boom")
        kernel.exit(pid_of(two, "other"), "boom")
        heard("rolled_back")
        until(lambda: pid_of(two, "other") is not RESTARTING)
        runs(one)
        assert is_alive(two)


def test_who_fails_when_another_limit_has_been_passed_waits_too(place, crashes):
    module = place.load(m=GOOD)
    with serving(place, replace(NEVER, max_crashes=1)), tree(other(), intensity=0) as top:
        gate = kernel.spawn(kernel.receive)
        code.push(place.sources(m=GOOD.replace("return request", "raise LookupError")))
        kernel.spawn(lambda: call(NAME, Job("plan", lambda *_: _wait_for(gate)), timeout=None))
        kernel.cast(module.Worker.start(), "work")
        until(lambda: code.status().waiting == ("rollback",))
        kernel.exit(pid_of(top, "other"), "boom")
        settle()
        assert pid_of(top, "other") is RESTARTING
        kernel.exit(gate, "kill")
        until(lambda: pid_of(top, "other") is not RESTARTING)


def test_without_a_probation_nobody_waits(place, crashes):
    module = place.load(m=GOOD)
    with serving(place), tree(worker(module)) as top:
        code.push(place.sources(m=DIES_AT_START))
        code.confirm()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        assert not is_alive(top)
        assert reprieve.pending() is None


def test_a_way_back_that_is_refused(place, crashes, caplog):
    """The states cannot be brought down; so the supervisor gives up, as without live code."""
    change = "    def code_change(self, old, extra):\n        if isinstance(old, tuple): raise ValueError('no way back')\n"
    module = place.load(m="__vsn__ = 1\n" + GOOD)
    bystander = module.Worker.start()
    bad = "__vsn__ = 2\n" + DIES_AT_ONCE.replace("    def handle_call", change + "    def handle_call")
    with serving(place), tree(worker(module)) as top:
        code.subscribe()
        code.push(place.sources(m=bad))
        kernel.exit(pid_of(top, "worker"), "boom")
        assert "no way back" in heard("stuck").text
        until(lambda: not is_alive(top))
        assert reprieve.pending() is None
        assert len(reports(caplog, "child_terminated")) == 4  # with its three restarts, and none after that
    kernel.exit(bystander, "kill")


def test_a_server_that_is_busy_with_something_long(place, crashes):
    """The way back is next in the queue; the supervisor answers meanwhile, and goes on when it has been gone."""
    module = place.load(m=GOOD)
    with serving(place) as server, tree(worker(module), other()) as top:
        code.subscribe()
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)
        kernel.spawn(lambda: call(NAME, Job("plan", lambda *_: _wait_for(gate)), timeout=None))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        assert pid_of(top, "worker") is RESTARTING
        until(lambda: code.status().waiting == ("rollback",))
        assert reprieve.pending().spec.id == "worker"
        kernel.exit(gate, "kill")
        heard("rolled_back")
        runs(top)
        assert is_alive(server)


def _wait_for(process):
    """The work of a job that takes until this process ends."""
    ref = kernel.monitor(process)
    receive_match(lambda m: isinstance(m, kernel.Down) and m.ref is ref)


def test_a_server_that_is_busy_for_too_long(place, crashes, clock):
    module = place.load(m=GOOD)
    with serving(place), tree(worker(module)) as top, tree(worker(module)) as late:
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)
        kernel.spawn(lambda: call(NAME, Job("plan", lambda *_: _wait_for(gate)), timeout=None))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        clock.advance(9.5)
        assert is_alive(top)
        clock.advance(1.0)
        assert not is_alive(top)
        kernel.exit(pid_of(late, "worker"), "boom")  # nobody waits for the same way back again
        settle()
        assert not is_alive(late)
        kernel.exit(gate, "kill")
        until(lambda: code.current().kind == "rollback")


def test_a_push_that_comes_in_between_does_not_lose_the_way_back(place, crashes):
    module = place.load(n="X = 1\n", m=GOOD)
    with serving(place), tree(worker(module)) as top:
        code.subscribe()
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)

        def slowly(releaser, limits):
            _wait_for(gate)
            return releaser.push(place.sources(n="X = 2\n"), kind="push", result="probation")

        kernel.spawn(lambda: call(NAME, Job("push", slowly), timeout=None))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        kernel.exit(gate, "kill")
        heard("rolled_back")
        runs(top)
        assert [one.result for one in code.releases()][1:] == ["rolled_back", "bad", "good"]


def test_somebody_goes_back_by_hand_meanwhile(place, crashes):
    module = place.load(m=GOOD)
    with serving(place), tree(worker(module)) as top:
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)

        def slowly(releaser, limits):
            _wait_for(gate)
            return releaser.rollback(by="anna")

        kernel.spawn(lambda: call(NAME, Job("rollback", slowly), timeout=None))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        assert reprieve.pending() is not None
        kernel.exit(gate, "kill")
        runs(top)
        assert reprieve.pending() is None
        assert code.current().by == "anna"


def test_the_code_server_dies_meanwhile_and_the_next_one_goes_back(place, crashes):
    """Its supervisor starts it again; the one that waits is not forgotten."""
    module = place.load(m=GOOD)
    kernel.trap_exit(True)
    with serving(place) as server, tree(worker(module)) as top:
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)
        kernel.spawn(lambda: _asked(Job("plan", lambda *_: _wait_for(gate))))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        kernel.exit(server, "kill")
        settle()
        assert reprieve.on_give_up == []
        assert pid_of(top, "worker") is RESTARTING
        with serving(place):
            runs(top)
            assert code.releases()[1].result == "bad"
        kernel.exit(gate, "kill")


def _asked(job):
    try:
        call(NAME, job, timeout=None)
    except kernel.CallError:
        pass  # the server was killed


def test_the_code_server_is_of_the_tree_that_would_give_up(place, crashes):
    """Nothing of the group is stopped before the way back has been gone; then all of it is started anew."""
    from runtime.code.server import CodeServer

    module = place.load(m=GOOD)
    place.releaser.begin()
    server = ChildSpec("server", (CodeServer.start_link, (place.releaser, NEVER, "push"), {"name": NAME}))
    with tree(server, worker(module), strategy="one_for_all", intensity=0) as top:
        code.push(place.sources(m=DIES_AT_START))
        first = pid_of(top, "server")
        kernel.exit(pid_of(top, "worker"), "boom")
        runs(top)
        assert pid_of(top, "server") is not first
        assert code.current().kind == "rollback"


def test_a_child_that_is_stopped_meanwhile_stays_so(place, crashes):
    module = place.load(m=GOOD)
    with serving(place), tree(worker(module), other()) as top:
        code.subscribe()
        code.push(place.sources(m=DIES_AT_START))
        gate = kernel.spawn(kernel.receive)
        kernel.spawn(lambda: call(NAME, Job("plan", lambda *_: _wait_for(gate)), timeout=None))
        settle()
        kernel.exit(pid_of(top, "worker"), "boom")
        settle()
        terminate_child(top, "worker")
        kernel.exit(gate, "kill")
        heard("rolled_back")
        settle()
        assert pid_of(top, "worker") is None


def test_the_supervisors_own_module_is_of_the_release(place, crashes):
    """Its flags and specs are asked for anew, down and up, while it waits."""
    text = (
        GOOD
        + "from runtime.otp.supervisor import Supervisor\nfrom runtime.otp.child_spec import ChildSpec, SupFlags\n"
        + "class Top(Supervisor):\n    def init(self): return SupFlags(intensity=3), [ChildSpec('worker', (Worker.start_link, ()))]\n"
    )
    module = place.load(m=text)
    kernel.trap_exit(True)
    with serving(place):
        top = module.Top.start_link()
        bad = text.replace("intensity=3", "intensity=0").replace("def begin(): pass", "def begin(): 1 / 0")
        code.subscribe()
        code.push(place.sources(m=bad))
        kernel.exit(pid_of(top, "worker"), "boom")
        heard("rolled_back")
        runs(top)
        assert top.behaviour.children.flags.intensity == 3
        proc_lib.stop(top)


class Needy(GenServer):
    """Of other code: it cannot do without a process of that name."""

    def init(self, name):
        self.name = name
        kernel.cast(kernel.self_(), "ask")

    def handle_cast(self, request):
        call(self.name, "fine")


def test_who_misses_a_process_that_crashed_by_the_release_waits_too(place, crashes):
    """It gives up before the limit is passed: one crash has been seen, and that is why nobody is there."""
    module = place.load(m=GOOD)
    lone = ChildSpec("worker", (module.Worker.start_link, (), {"name": "shop"}), restart="temporary")
    needy = ChildSpec("needy", (Needy.start_link, ("shop",)))
    with serving(place, replace(NEVER, max_crashes=3)), tree(lone) as below:
        with tree(needy, intensity=2) as top:
            code.subscribe()
            code.push(place.sources(m=GOOD.replace("return request", "raise LookupError")))
            kernel.cast(pid_of(below, "worker"), "work")
            settle()
            kernel.exit(pid_of(top, "needy"), "boom")
            assert "1 supervisor out of restarts over changed code" in heard("rolled_back").text
            assert is_alive(top)


def test_who_misses_a_process_for_another_reason_gives_up(place, crashes):
    place.load(m=GOOD)
    needy = ChildSpec("needy", (Needy.start_link, ("nobody",)))
    with serving(place, replace(NEVER, max_crashes=3)), tree(other()) as top:
        code.push(place.sources(m=GOOD.replace("return request", "return [request][0]")))
        start_child(top, needy)
        until(lambda: not is_alive(top))
        assert code.status().probation is not None
