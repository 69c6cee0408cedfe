"""Probation: a release that is worse than what was before takes itself back, says why, and is marked bad."""

from __future__ import annotations

import logging
import re
import signal
import sys
import time
from dataclasses import replace

import pytest

from runtime import code, kernel
from runtime.code.ledger import Ledger
from runtime.code.probation import Limits, Probation, Stage
from runtime.code.roots import Roots
from runtime.kernel import (
    TIMEOUT,
    call,
    receive,
    receive_match,
    sleep,
    spawn,
    spawn_link,
    start_watchdog,
    stop_watchdog,
)
from runtime.observe import alarms
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.gen_server import stop
from runtime.otp.supervisor import Supervisor
from runtime.testing import settle, until
from tests.code.served import NEVER, Place, serving
from tests.observe.observing import lines_of

WORKER = """
from runtime.otp.gen_server import GenServer
class Worker(GenServer):
    def handle_call(self, request, sender): return work(request)
    def handle_cast(self, request): work(request)
"""
GOOD = WORKER + "def work(request): return request\n"
BAD = WORKER + "def work(request): raise LookupError('gone wrong')\n"


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.open()
    yield place
    place.close()


@pytest.fixture
def quiet():
    """Keep the reports of crashes that a test wants off the terminal."""
    logger = logging.getLogger("evergreen")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


def crash(module, times):
    """Let so many processes of the module crash."""
    for _ in range(times):
        pid = module.Worker.start()
        kernel.cast(pid, "work")
        settle()


def rolled_back():
    """Wait for the code server's word that it took a release back."""
    return heard("rolled_back")


def heard(kind):
    event = receive_match(lambda m: isinstance(m, code.CodeEvent) and m.kind == kind, 10.0)
    assert event is not TIMEOUT, code.status()
    return event


def test_a_release_that_crashes_rolls_itself_back(place, crashes):
    module = place.load(m=GOOD)
    with serving(place, replace(NEVER, max_crashes=3)), lines_of("evergreen.code") as lines:
        booted = code.current()
        code.subscribe()
        bad = code.push(place.sources(m=BAD))
        crash(module, 2)
        assert code.current() == bad
        assert code.status().probation["watched"]["crash"] == {
            "now": 2, "before": 0, "limit": 3,
            "last": f"LookupError: gone wrong in work ({place.path('m')}:6)",
        }  # fmt: skip
        crash(module, 1)
        event = rolled_back()
        assert (code.current().id, code.current().by) == (booted.id, "probation")
        assert module.work("fine") == "fine"
        kept = code.releases()[1]
        assert (kept.id, kept.result) == (bad.id, "bad")
        assert "3 crashes in changed code within" in kept.why
        assert f"LookupError: gone wrong in work ({place.path('m')}:6)" in kept.why
        assert kept.why in event.text
        assert code.status().probation is None
    assert [level for level, _ in lines] == ["INFO", "ERROR", "ERROR"]
    assert "is rolled back by itself: 3 crashes" in lines[1][1]


def test_what_crashed_before_may_go_on_crashing(place, crashes):
    """Against the time before: a module that always fails twice a minute is not this release's fault."""
    module = place.load(m=BAD)
    with serving(place, replace(NEVER, max_crashes=2)) as server:
        crash(module, 3)
        release = code.push(place.sources(m=BAD + "X = 1\n"))
        crash(module, 4)
        until(lambda: not server.behaviour.ledger._told)  # the server has looked at them
        status = code.status()
        assert (status.release, status.busy, status.waiting) == (release, "", ())
        code.subscribe()
        crash(module, 1)
        assert "5 crashes in changed code" in (text := rolled_back().text)
        assert re.search(r"\(3 in the \S+ m?s before\)", text)


def test_crashes_of_other_code_do_not_count(place, crashes):
    place.load(other=GOOD)
    module = place.load(m=BAD)
    with serving(place, replace(NEVER, max_crashes=1)):
        release = code.push(place.sources(other=GOOD + "X = 1\n"))
        crash(module, 5)
        assert code.current() == release
        assert code.status().probation["watched"]["crash"]["now"] == 0


def test_a_helper_deep_in_the_traceback_counts(place, crashes):
    place.load(helper="def help(): return 1\n")
    module = place.load(
        m=WORKER + f"from {place.package} import helper\ndef work(request): return helper.help()\n"
    )
    with serving(place, replace(NEVER, max_crashes=1)):
        code.subscribe()
        code.push(place.sources(helper="def help(): return 1 // 0\n"))
        crash(module, 1)
        assert rolled_back()
        assert call(module.Worker.start_link(), "x") == 1
        for pid in [p for p in kernel.processes() if isinstance(p.behaviour, module.Worker)]:
            stop(pid)


def test_the_time_is_up_and_the_release_is_good(place, clock):
    place.load(m="X = 1\n")
    with serving(place, replace(NEVER, probation=60.0)), lines_of("evergreen.code") as lines:
        release = code.push(place.sources(m="X = 2\n"))
        clock.advance(59)
        assert code.current().result == "probation"
        clock.advance(2)
        until(lambda: code.current().result == "good")
        assert code.current().number == release.number
        assert code.status().probation is None
    assert lines[-1] == ("INFO", f"release {release.id} is good: held all limits for 60 s")


def test_confirm_ends_it_early(place, crashes):
    module = place.load(m=GOOD)
    with serving(place, replace(NEVER, max_crashes=1)):
        code.push(place.sources(m=BAD))
        assert code.confirm().result == "good"
        assert code.confirm().result == "good"
        crash(module, 5)
        assert code.current().result == "good"


def test_no_probation_at_all(place, crashes):
    module = place.load(m=GOOD)
    with serving(place, Limits(probation=0.0, max_crashes=1)):
        assert code.push(place.sources(m=BAD)).result == "good"
        crash(module, 5)
        assert code.current().result == "good"


def test_watch_mode_has_its_own_length(place):
    place.load(m="X = 1\n")
    with serving(place, replace(NEVER, probation=60.0, watch_probation=0.0)):
        assert code.push(place.sources(m="X = 2\n"), kind="watch").result == "good"
        assert code.push(place.sources(m="X = 3\n")).result == "probation"


def test_limits_may_change_meanwhile(place, crashes):
    module = place.load(m=GOOD)
    with serving(place, replace(NEVER, max_crashes=10)):
        code.subscribe()
        code.push(place.sources(m=BAD))
        crash(module, 3)
        code.configure(replace(NEVER, max_crashes=2))
        assert rolled_back()


def test_a_release_within_the_probation_of_another_goes_back_before_both(place, crashes):
    """Neither has been found good; and the files of both are watched."""
    module = place.load(n="X = 1\n", m=GOOD)
    with serving(place, replace(NEVER, max_crashes=1)):
        booted = code.current()
        first = code.push(place.sources(m=BAD))
        second = code.push(place.sources(n="X = 2\n"))
        code.subscribe()
        crash(module, 1)
        assert rolled_back()
        assert code.current().id == booted.id
        results = {one.number: one.result for one in code.releases()}
        assert results == {1: "good", first.number: "rolled_back", second.number: "bad", 4: "good"}
        assert sys.modules[f"{place.package}.n"].X == 1


def test_what_followed_within_a_probation_and_held_makes_both_good(place):
    place.load(m="X = 1\n")
    with serving(place):
        code.push(place.sources(m="X = 2\n"))
        code.push(place.sources(m="X = 3\n"))
        code.confirm()
        assert [one.result for one in code.releases()] == ["good", "good", "good"]


def test_a_stage_whose_own_time_is_up_is_good_while_the_next_goes_on(place, crashes, clock):
    """A save every few seconds does not keep the first one of an hour ago on probation."""
    module = place.load(n="X = 1\n", m=GOOD)
    with serving(place, replace(NEVER, max_crashes=1)):
        first = code.push(place.sources(n="X = 2\n"))
        clock.advance(40.0)
        second = code.push(place.sources(m=BAD))
        assert code.status().probation["back_to"] == code.releases()[0].id
        clock.advance(25.0)
        until(lambda: code.releases()[1].result == "good")
        assert code.status().probation["back_to"] == first.id
        assert code.status().probation["files"] == [str(place.base / place.path("m"))]
        code.subscribe()
        crash(module, 1)
        assert rolled_back()
        assert [one.result for one in code.releases()] == ["good", "good", "bad", "good"]
        assert code.current().id == first.id
        assert sys.modules[f"{place.package}.n"].X == 2
        assert second.base == first.id


def test_what_went_wrong_before_the_next_save_counts(place, crashes):
    module = place.load(n="X = 1\n", m=GOOD)
    with serving(place, replace(NEVER, max_crashes=3)):
        code.push(place.sources(m=BAD))
        crash(module, 2)
        code.push(place.sources(n="X = 2\n"))
        code.subscribe()
        crash(module, 1)
        assert "3 crashes in changed code" in rolled_back().text


def test_going_back_into_the_middle_of_a_probation_is_on_probation(place, crashes):
    """What was not found good before is not good because something else was worse."""
    module = place.load(n="X = 1\n", m=GOOD)
    with serving(place, replace(NEVER, max_crashes=2)):
        booted = code.current()
        first = code.push(place.sources(n="X = 2\n"))
        code.push(place.sources(m=BAD))
        crash(module, 1)
        back = code.rollback()
        assert (back.id, back.result) == (first.id, "probation")
        assert [one.result for one in code.releases()] == ["good", "probation", "rolled_back", "probation"]
        assert code.status().probation["back_to"] == booted.id
        assert code.status().probation["watched"]["crash"]["now"] == 0
        code.confirm()
        assert [one.result for one in code.releases()] == ["good", "good", "rolled_back", "good"]
        assert sys.modules[f"{place.package}.n"].X == 2


def test_one_pause_of_the_machine_is_not_a_slow_node(tmp_path, clock):
    ledger = Ledger(Roots(tmp_path, ["apps"]), kernel.self_())
    probation = Probation(ledger, Limits(), None, (Stage(None, frozenset(), clock.now(), 60.0),))
    for number in range(40):
        clock.advance(0.1)
        ledger.lags.append((clock.now(), 30.0 if number == 20 else 0.001))
    assert probation.breach(clock.now()) == ""
    for _ in range(40):
        clock.advance(0.1)
        ledger.lags.append((clock.now(), 0.2))
    assert "timers fire" in probation.breach(clock.now())


def test_more_to_do_is_no_fault_of_changed_code_that_hardly_runs(tmp_path, clock):
    """A crowd that comes after a release makes everybody wait; who can be seen at work is somebody else."""
    ledger = Ledger(Roots(tmp_path, ["apps"]), kernel.self_())
    changed, other = str(tmp_path / "apps/a.py"), str(tmp_path / "apps/b.py")
    probation = Probation(ledger, Limits(), None, (Stage(None, frozenset({changed}), clock.now(), 60.0),))
    for _ in range(100):
        clock.advance(0.1)
        ledger.lags.append((clock.now(), 0.2))
        ledger._tick(frame_in(other))
    assert probation.breach(clock.now()) == ""
    for _ in range(10):
        clock.advance(0.1)
        ledger._tick(frame_in(changed))
    assert "timers fire" in probation.breach(clock.now())


@pytest.mark.parametrize("id_", ["run_queue", "loop_lag"])
def test_an_alarm_of_much_to_do_counts_once_changed_code_is_seen_to_do_more(tmp_path, clock, id_):
    ledger = Ledger(Roots(tmp_path, ["apps"]), kernel.self_())
    changed, other = str(tmp_path / "apps/a.py"), str(tmp_path / "apps/b.py")
    probation = Probation(ledger, Limits(), None, (Stage(None, frozenset({changed}), clock.now(), 60.0),))
    ledger._tick(frame_in(other))
    ledger.alarm(id_, "a crowd has come")
    assert (probation.breach(clock.now()), probation.went_wrong(clock.now())) == (
        "",
        False,
    )  # too early to say
    for _ in range(100):
        clock.advance(0.05)
        ledger._tick(frame_in(other))
    assert (probation.breach(clock.now()), probation.went_wrong(clock.now())) == ("", False)
    for _ in range(10):
        clock.advance(0.05)
        ledger._tick(frame_in(changed))
    assert probation.breach(clock.now()).startswith("1 alarm within")


def test_a_node_that_is_not_up_for_so_long_has_its_time_before_counted_up(place, crashes, clock):
    """Noisy from its start: three crashes in 20 s are nine in a minute."""
    module = place.load(m=BAD)
    with serving(place, replace(NEVER, max_crashes=3)):
        crash(module, 3)
        clock.advance(20.0)
        code.push(place.sources(m=BAD + "X = 1\n"))
        crash(module, 11)
        clock.advance(0.1)
        settle()
        assert code.current().result == "probation"
        code.subscribe()
        crash(module, 1)
        clock.advance(0.1)
        assert "(3 in the 20.0 s before)" in rolled_back().text


def frame_in(path):
    """A frame of code of that file."""
    found = {}
    exec(compile("import sys\nframe = sys._getframe()", path, "exec"), found)
    return found["frame"]


@pytest.mark.parametrize(
    ("before", "after", "is_slow"),
    [
        ((1, 2), (9, 1), True),  # of ten samples: in changed code, in other managed code
        ((1, 2), (4, 2), False),  # a little more
        ((1, 1), (5, 5), False),  # more work for everybody
        ((0, 0), (9, 0), True),
        ((8, 1), (9, 1), False),  # it always was so
    ],
)
def test_code_that_has_become_slower(tmp_path, clock, before, after, is_slow):
    ledger = Ledger(Roots(tmp_path, ["apps"]), kernel.self_())
    changed, other = str(tmp_path / "apps/a.py"), str(tmp_path / "apps/b.py")
    stacks = {0: frame_in(changed), 1: frame_in(other), 2: frame_in("/usr/lib/idle.py")}

    def samples(shares):
        kinds = [0] * shares[0] + [1] * shares[1]
        for kind in (kinds + [2] * (10 - len(kinds))) * 10:
            clock.advance(0.05)
            ledger._tick(stacks[kind])

    ledger.opened = clock.now()
    samples(before)
    probation = Probation(ledger, Limits(), None, (Stage(None, frozenset({changed}), clock.now(), 60.0),))
    samples(after)
    text = probation.breach(clock.now())
    assert bool(re.match(r"the node is in changed code for (89|90)% of the time", text)) == is_slow, text
    assert is_slow or not text


def test_the_watchdog_samples_whose_code_is_running(place):
    module = place.load(
        m="import time\ndef work():\n    end = time.monotonic() + 0.2\n    while time.monotonic() < end: pass\n"
    )
    start_watchdog(10.0, None)
    try:
        with serving(place) as server:
            module.work()
            samples = list(server.behaviour.ledger.samples)
            assert frozenset({str(place.base / place.path("m"))}) in [stack for _, stack in samples]
        module.work()
        assert kernel.hooks.on_tick == []
    finally:
        stop_watchdog()


def test_a_confirmation_that_comes_too_late_says_so(place, crashes):
    module = place.load(m=GOOD + "from runtime.kernel import receive\ndef wait(): receive()\n__vsn__ = 1\n")
    text = (place.base / place.path("m")).read_text().replace("return request", "1 / 0").replace("= 1", "= 2")
    with serving(place, replace(NEVER, max_crashes=1)):
        code.push(place.sources(m=text))
        place.engine.quiesce = 5.0
        waiting = spawn(module.wait)
        holder = module.Worker.start_link()
        kernel.cast(module.Worker.start(), "work")
        until(lambda: code.status().busy == "rollback" or code.current().kind == "rollback")
        if code.status().busy == "rollback":
            with pytest.raises(code.Refused, match="too late to confirm"):
                code.confirm()
        until(lambda: code.current().kind == "rollback")
        stop(holder)
        kernel.exit(waiting, kernel.KILL)


def test_a_supervisor_that_gives_up_over_changed_code(place, crashes):
    """Restart intensity: one is enough, whatever the other limits are."""
    module = place.load(
        m=GOOD + "def start():\n    from runtime.kernel import spawn_link\n    return Worker.start_link()\n"
    )
    with serving(place):
        code.subscribe()
        trap = spawn(lambda: _tree(module))
        settle()
        code.push(
            place.sources(m=(place.base / place.path("m")).read_text().replace("return request", "1 / 0"))
        )
        for _ in range(3):
            for pid in [p for p in kernel.processes() if isinstance(p.behaviour, module.Worker)]:
                kernel.cast(pid, "work")
            settle()
        event = rolled_back()
        assert "1 supervisor out of restarts over changed code" in event.text
        assert kernel.is_alive(trap)  # it waits: see test_reprieve_of_supervisors
        kernel.exit(trap, kernel.KILL)


def _tree(module):
    specs = [ChildSpec("worker", (module.Worker.start_link, ()))]
    Supervisor.start_link_with(SupFlags(intensity=1, period=60.0), specs)
    receive()


def test_children_that_end_by_changed_code_without_an_exception(place, crashes):
    """An exit that is no exception leaves no traceback; the supervisor knows the child's start function."""
    text = GOOD.replace(
        "def handle_cast(self, request): work(request)", "def handle_cast(self, request): return after()"
    )
    text += "def after(): return None\n"
    module = place.load(m=text)
    with serving(place, replace(NEVER, max_restarts=3)):
        code.subscribe()
        specs = [ChildSpec("worker", (module.Worker.start_link, ()))]
        top = Supervisor.start_link_with(SupFlags(intensity=10, period=60.0), specs)
        bad = "def after():\n    from runtime.otp.outcome import Stop\n    return Stop('fed up')\n"
        code.push(place.sources(m=text.replace("def after(): return None\n", bad)))
        for _ in range(3):
            for pid in [p for p in kernel.processes() if isinstance(p.behaviour, module.Worker)]:
                kernel.cast(pid, "work")
            settle()
        assert "3 children ended by changed code" in rolled_back().text
        stop(top)


def test_errors_that_changed_code_logs(place):
    text = "import logging\nlog = logging.getLogger('served')\ndef work():\n    log.error('cannot %s', 1)\n"
    module = place.load(m="def work(): pass\n")
    with serving(place, replace(NEVER, max_errors=2)), lines_of("served"):
        code.subscribe()
        code.push(place.sources(m=text))
        module.work()
        logging.getLogger("served").propagate = True
        handlers, logging.getLogger().handlers[:] = (
            logging.getLogger().handlers[:],
            [h for h in logging.getLogger().handlers if type(h).__module__.startswith("runtime.code")],
        )
        module.work()
        module.work()
        logging.getLogger().handlers[:] = handlers
        assert "2 errors logged by changed code" in rolled_back().text


def test_a_hog_with_changed_code_on_its_stack(place, crashes):
    module = place.load(m=GOOD)
    hog = (
        WORKER
        + "import time\ndef work(request):\n    end = time.monotonic() + 0.25\n    while time.monotonic() < end: pass\n"
    )
    before = signal.getsignal(signal.SIGALRM)
    start_watchdog(0.05, None)
    try:
        with serving(place, replace(NEVER, max_hogs=1)):
            code.subscribe()
            code.push(place.sources(m=hog))
            pid = module.Worker.start_link()
            kernel.cast(pid, "work")
            text = rolled_back().text
            assert "1 callback of changed code held the node" in text
            assert ".work:" in text
            stop(pid)
    finally:
        stop_watchdog()
    assert signal.getsignal(signal.SIGALRM) == before


def test_a_hog_that_is_killed_for_it_is_one(place, crashes):
    """It is reported when it is noticed, and again when it is ended."""
    module = place.load(m=GOOD)
    hog = WORKER + "import time\ndef work(request):\n    while True: time.monotonic()\n"
    start_watchdog(0.05, 0.3)
    try:
        with serving(place):
            code.push(place.sources(m=hog))
            for count in (1, 2):
                pid = module.Worker.start()
                kernel.cast(pid, "work")
                until(lambda pid=pid: not kernel.is_alive(pid))
                assert code.status().probation["watched"]["hog"]["now"] == count
    finally:
        stop_watchdog()


def test_an_alarm_that_nobody_else_has_raised(place):
    keeper = alarms.start_link()
    place.load(m="X = 1\n")
    with serving(place, replace(NEVER, max_alarms=1)):
        code.subscribe()
        code.push(place.sources(m="X = 2\n"))
        alarms.set_alarm(("disk", "/"), "full")  # no release fills a disk
        alarms.set_alarm(("long_message_queue", kernel.self_()), "not of this code")
        alarms.set_alarm(
            ("crash_loop", "others", "child"), "counted as ended children, where it is of changed code"
        )
        alarms.set_alarm(("certificate", "/c.pem"), "ends soon")
        alarms.set_alarm(("alarm_sender", "https://hook"), "somebody else's machine does not answer")
        alarms.set_alarm("dashboard", "another program has its port")
        alarms.set_alarm("control", "nobody gets in")
        settle()
        assert code.status().probation["watched"]["alarm"]["now"] == 0
        alarms.set_alarm("printer", "out of paper")
        assert "1 alarm within" in rolled_back().text
    stop(keeper)


def test_a_release_that_makes_everybody_wait(place):
    module = place.load(m="def work(): pass\n")
    slow = "import time\ndef work(): time.sleep(0.18)\n"
    with serving(place, replace(NEVER, max_lag=0.02)):
        code.subscribe()
        code.push(place.sources(m=slow))

        def traffic():
            while code.current().result == "probation":
                module.work()
                sleep(0.001)

        busy = spawn_link(traffic)
        assert "the node is slow" in rolled_back().text
        until(lambda: not kernel.is_alive(busy))


def test_a_rollback_that_is_refused_is_an_alarm_and_loud(place, crashes):
    """The bad release's code_change cannot bring the state down: it runs on, and somebody has to act."""
    keeper = alarms.start_link()
    old = "__vsn__ = 1\n" + GOOD
    module = place.load(m=old)
    change = "    def code_change(self, old, extra):\n        if isinstance(old, tuple): raise ValueError('no way back')\n"
    bad = "__vsn__ = 2\n" + WORKER + change + "def work(request): raise LookupError\n"
    pid = module.Worker.start_link()
    with serving(place, replace(NEVER, max_crashes=1)), lines_of("evergreen.code") as lines:
        code.subscribe()
        release = code.push(place.sources(m=bad))
        crash(module, 1)
        event = heard("stuck")
        assert "no way back" in event.text
        assert code.releases()[1].result == "bad"
        assert "its rollback was refused" in code.releases()[1].why
        assert code.status().alarmed == event.text
        assert [alarm.id for alarm in alarms.get_alarms()] == ["code_rollback_refused"]
        assert code.current().id == release.id
        code.push(place.sources(m=bad.replace("raise LookupError", "return request")))
        assert code.status().alarmed == ""
        settle()
        assert alarms.get_alarms() == []
    assert [level for level, _ in lines] == ["INFO", "ERROR", "CRITICAL", "INFO"]
    stop(pid)
    stop(keeper)


def test_a_rollback_waits_for_a_busy_process(place, crashes):
    text = "__vsn__ = 1\n" + WORKER + (
        "    def code_change(self, old, extra): pass\n"
        "def work(request):\n    if request == 'block':\n        from runtime.kernel import receive\n        receive()\n    return request\n"
    )  # fmt: skip
    module = place.load(m=text)
    pid = module.Worker.start_link()
    place.engine.quiesce = 0.05
    with serving(place, replace(NEVER, max_crashes=1)):
        code.subscribe()
        code.push(
            place.sources(m=text.replace("__vsn__ = 1", "__vsn__ = 2").replace("return request", "1 / 0"))
        )
        kernel.cast(pid, "block")
        settle()
        crash(module, 1)
        until(lambda: code.status().busy == "rollback")
        kernel.blocking(time.sleep, 0.1)  # the first try has been refused by now
        kernel.unlink(pid)
        kernel.exit(pid, "kill")
        assert rolled_back()
