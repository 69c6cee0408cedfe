"""Applications: order, start types, phases, environment, and a stop that nothing can hold up."""

import logging

import pytest

from runtime.config import Key, load_files
from runtime.kernel import (
    KILLED, NORMAL, SHUTDOWN, TIMEOUT, Crash, Down, ProcessExit, exit, is_alive, monitor, node, receive, receive_match,
    self_, send, sleep, spawn, trap_exit, unlink, whereis,
)  # fmt: skip
from runtime.observe.log_format import HumanFormatter, headline
from runtime.otp import application, send_request, sys, wait_response
from runtime.otp.application import (
    AlreadyLoaded, AlreadyRunning, Application, NodeEnds, NotLoaded, NotStarted, StartFailed, StillRunning,
)  # fmt: skip
from runtime.otp.application_controller import Stop as StopRequest
from runtime.otp.application_report import (
    ApplicationEnded, ApplicationFailed, ApplicationNotStarted, ApplicationStarted,
)  # fmt: skip
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import Stop
from runtime.otp.supervisor import INFINITY, ChildSpec, Supervisor, SupFlags, which_children
from runtime.testing import settle


class Top(GenServer):
    """Stands for a top supervisor: ends in order, by itself when told, or not at all."""

    def init(self, test, name):
        trap_exit(True)
        self.test, self.app = test, name

    def handle_info(self, message):
        if message == "deadlock":
            sleep(1_000_000)
        return Stop(message)

    def terminate(self, reason):
        send(self.test, ("tree ended", self.app, reason))


class Base(Application):
    """Tells the test process all that happens to it."""

    test = None

    def start(self, start_type, config):
        send(self.test, ("start", self.name, start_type))
        return Top.start_link(self.test, self.name, name=f"{self.name}_top"), "state"

    def start_phase(self, phase, start_type, args):
        send(self.test, ("phase", self.name, phase, args))

    def prep_stop(self, state):
        send(self.test, ("prep_stop", self.name, state))
        return "prepared"

    def stop(self, state):
        send(self.test, ("stop", self.name, state))

    def config_change(self, changed, new, removed):
        send(self.test, ("config_change", self.name, changed, new, removed))


def app(app_name, *needs, **fields):
    return type(
        app_name.title(), (Base,), {"name": app_name, "applications": needs, "test": self_(), **fields}
    )


class boot:
    """A controller within the `with` block; ends everything behind it."""

    def __enter__(self):
        self.pid = application.start_controller(self_())
        return self.pid

    def __exit__(self, *_):
        unlink(self.pid)
        seen = [monitor(self.pid), *(monitor(i.pid) for i in application.which_applications())]
        exit(self.pid, SHUTDOWN)
        left = set(seen)
        while left:
            message = receive(10)
            if type(message) is Down:
                left.discard(message.ref)
            assert message is not None


def events(count):
    return [receive(5) for _ in range(count)]


def running():
    return [info.name for info in application.which_applications()]


def test_start_and_stop_call_back_in_order():
    """OTP application: start, then each start phase; prep_stop, the tree ends, stop."""
    with boot():
        application.load(app("a", start_phases=(("one", 1), ("two", 2))))
        application.start("a")
        assert events(3) == [("start", "a", "normal"), ("phase", "a", "one", 1), ("phase", "a", "two", 2)]
        assert running() == ["a"]
        application.stop("a")
        assert events(3) == [
            ("prep_stop", "a", "state"),
            ("tree ended", "a", SHUTDOWN),
            ("stop", "a", "prepared"),
        ]
        assert running() == []
        application.start("a")
        assert running() == ["a"]


def test_dependency_must_run_first():
    """OTP application:start: {error, {not_started, Dep}}."""
    with boot():
        application.load(app("a"))
        application.load(app("b", "a"))
        with pytest.raises(StartFailed) as caught:
            application.start("b")
        assert isinstance(caught.value.reason, NotStarted)
        assert caught.value.reason.name == "a"
        application.start("a")
        application.start("b")
        assert running() == ["b", "a"]


def test_ensure_all_started_starts_dependencies_once_and_tells_which():
    with boot():
        a = app("a")
        b, c = app("b", a), app("c", a)
        assert application.ensure_all_started(app("d", b, c)) == ["a", "b", "c", "d"]
        assert application.ensure_all_started("d") == []


def test_ensure_all_started_stops_again_what_it_started_when_one_fails():
    def broken(self, start_type, config):
        raise ProcessExit("no luck")

    with boot():
        a = app("a")
        with pytest.raises(StartFailed) as caught:
            application.ensure_all_started(app("c", app("b", a, start=broken)))
        assert (caught.value.name, caught.value.reason) == ("b", "no luck")
        assert running() == []


def test_circle_of_dependencies_is_named():
    with boot():
        application.load(app("a", "b"))
        application.load(app("b", "a"))
        with pytest.raises(StartFailed, match="it depends on itself: a -> b -> a"):
            application.ensure_all_started("a")


def test_unknown_and_repeated_requests_are_refused_by_type():
    with boot():
        with pytest.raises(NotLoaded):
            application.start("a")
        with pytest.raises(StartFailed) as caught:
            application.ensure_all_started(app("x", "gone"))
        assert isinstance(caught.value.reason, NotLoaded)
        a = app("a")
        application.load(a)
        with pytest.raises(AlreadyLoaded):
            application.load(a)
        with pytest.raises(NotStarted):
            application.stop("a")
        with pytest.raises(ValueError, match="start_type='forever'"):
            application.start("a", "forever")
        application.start("a")
        with pytest.raises(AlreadyRunning):
            application.start("a")
        with pytest.raises(StillRunning):
            application.unload("a")
        application.stop("a")
        application.unload("a")
        with pytest.raises(NotLoaded):
            application.unload("a")


def bad_return(self, start_type, config):
    return "nonsense"


def raises(self, start_type, config):
    raise LookupError("what")


def phase_raises(self, phase, start_type, args):
    raise LookupError("phase")


@pytest.mark.parametrize(
    "fields", [{"start": raises}, {"start_phase": phase_raises, "start_phases": (("p", 0),)}]
)
def test_exception_in_a_start_is_a_failed_start_and_leaves_nothing(fields):
    with boot():
        application.load(app("a", **fields))
        with pytest.raises(StartFailed) as caught:
            application.start("a")
        assert type(caught.value.reason) is Crash
        assert type(caught.value.reason.exception) is LookupError
        assert whereis("a_top") is None
        assert application.loaded_applications()[0].status == "loaded"


def test_start_that_returns_something_else_is_named():
    with boot():
        application.load(app("a", start=bad_return))
        with pytest.raises(StartFailed) as caught:
            application.start("a")
        assert caught.value.reason == ("bad_return_value", "nonsense")


@pytest.mark.parametrize(
    ("start_type", "reason", "node_ends"),
    [
        ("temporary", NORMAL, False),
        ("temporary", SHUTDOWN, False),
        ("temporary", "boom", False),
        ("transient", NORMAL, False),
        ("transient", SHUTDOWN, True),
        ("transient", "boom", True),
        ("permanent", NORMAL, True),
        ("permanent", SHUTDOWN, True),
    ],
)
def test_end_of_an_application_by_its_start_type(start_type, reason, node_ends):
    """OTP application (run): transient ends the node for all but normal, shutdown included; permanent always."""
    with boot():
        application.load(app("a"))
        application.start("a", start_type)
        send("a_top", reason)
        assert events(3) == [("start", "a", "normal"), ("tree ended", "a", reason), ("stop", "a", "state")]
        if node_ends:
            assert receive(5) == NodeEnds("a", start_type, reason)
        else:
            application.loaded_applications()  # a round trip: everything before it has been handled
            while running():
                sleep(0.001)
        assert running() == []


def test_stop_by_a_caller_never_ends_the_node():
    with boot():
        application.load(app("a"))
        application.start("a", "permanent")
        application.stop("a")
        events(4)
        application.loaded_applications()
        assert receive(0).__class__.__name__ != "NodeEnds"


def test_deadlocked_supervisor_cannot_hang_the_stop():
    """OTP application_SUITE shutdown_deadlock, shutdown_timeout."""
    with boot():
        application.load(app("a"))
        application.start("a")
        top = whereis("a_top")
        send(top, "deadlock")
        application.stop("a", timeout=0.05)
        assert not is_alive(top)
        assert top.reason == KILLED
        assert running() == []


class Clings(GenServer):
    """Asks somebody while it ends, and waits for ever for the answer."""

    def init(self, ask):
        trap_exit(True)
        self.ask = ask

    def terminate(self, reason):
        self.ask()


def test_shutdown_timeout_of_a_supervisor_and_child_that_wait_for_each_other():
    """OTP application_SUITE shutdown_timeout: supervisor and child deadlocked for good; the stop is not."""
    children = []

    def start(self, start_type, config):
        top = Supervisor.start_link_with(
            SupFlags(),
            [
                ChildSpec("bystander", (Top.start_link, (self.test, "bystander"))),
                ChildSpec(
                    "child", (Clings.start_link, (lambda: which_children("a_top"),)), shutdown=INFINITY
                ),
            ],
            name="a_top",
        )
        children.extend(child.pid for child in which_children(top))
        return top

    with boot():
        application.load(app("a", start=start))
        application.start("a")
        top = whereis("a_top")
        application.stop("a", timeout=0.05)
        assert top.reason == KILLED
        assert running() == []
        # The deadlocked child was inside its terminate; the bystander hears of the kill and ends in order.
        while any(map(is_alive, children)):
            sleep(0.001)
        assert ("tree ended", "bystander", KILLED) in events(3)
        application.start("a")
        application.stop("a", timeout=0.05)


@pytest.mark.parametrize("prep_stop", [False, True])
def test_a_process_that_waits_for_ever_while_it_ends_does_not_outlive_the_limit(prep_stop):
    """OTP application_master kill_all_procs: when an application has ended, so have all processes that it started."""
    stuck = []

    def start(self, start_type, config):
        clings = ChildSpec("stuck", (Clings.start_link, (receive,)), shutdown=INFINITY)
        deep = (Supervisor.start_link_with, (SupFlags(), [clings]))
        top = Supervisor.start_link_with(SupFlags(), [ChildSpec("deep", deep, type="supervisor")])
        stuck.extend(child.pid for child in which_children(which_children(top)[0].pid))
        return top

    more = (
        {"prep_stop": lambda self, state: receive()} if prep_stop else {}
    )  # then it is the controller that kills
    with boot():
        application.load(app("a", start=start, **more))
        application.start("a")
        application.stop("a", timeout=0.05)
        assert not is_alive(stuck[0])
        assert running() == []


@pytest.mark.parametrize("callback", ["prep_stop", "stop"])
def test_a_callback_that_exits_holds_no_stop_up(callback):
    """OTP application_master: prep_stop and stop are called under a catch, which an exit does not pass."""

    def exits(self, state):
        raise ProcessExit("own reason")

    with boot():
        application.load(app("a", **{callback: exits}))
        application.start("a", "transient")
        top = whereis("a_top")
        application.stop("a")
        assert not is_alive(top)
        if callback == "prep_stop":
            assert ("stop", "a", "state") in events(3)  # after the start and the tree's end
        application.start("a", "transient")
        send(whereis("a_top"), NORMAL)  # it ends by itself, in order: none of the node's business
        settle()
        assert running() == []
        assert receive_match(lambda m: isinstance(m, NodeEnds), 0) is TIMEOUT


def test_shutdown_deadlock_with_the_controller_is_none():
    """OTP application_SUITE shutdown_deadlock: a child that asks for the applications while they stop gets an answer."""
    asked = []

    def start(self, start_type, config):
        return Clings.start_link(lambda: asked.append(application.which_applications()))

    with boot():
        application.load(app("a", start=start))
        application.start("a")
        application.stop("a", timeout=60.0)
        assert asked == [[]]  # answered; "a" runs no more


def test_hanging_prep_stop_is_killed_with_its_tree(monkeypatch):
    monkeypatch.setattr("runtime.otp.application_controller.GRACE", 0.05)

    def hang(self, state):
        sleep(1_000_000)

    with boot():
        application.load(app("a", prep_stop=hang))
        application.start("a")
        top = whereis("a_top")
        application.stop("a", timeout=0.05)
        assert not is_alive(top)


def test_failing_stop_callbacks_hold_nothing_up():
    def fails(self, state):
        raise LookupError("late")

    with boot():
        application.load(app("a", prep_stop=fails, stop=fails))
        application.start("a")
        application.stop("a")
        assert running() == []


def test_stop_while_starting_ends_the_start():
    def hang(self, start_type, config):
        sleep(1_000_000)

    def starter(test):
        try:
            application.start("a")
        except StartFailed as error:
            send(test, error.reason)

    with boot():
        application.load(app("a", start=hang))
        spawn(starter, self_())
        while application.loaded_applications()[0].status != "starting":
            sleep(0.001)
        application.stop("a")
        assert receive(5) == KILLED
        assert application.loaded_applications()[0].status == "loaded"


def test_stop_all_goes_backwards_within_one_limit():
    with boot():
        application.ensure_all_started(app("c", app("b", app("a"))))
        events(3)
        send("b_top", "deadlock")
        assert application.stop_all(0.2) == ["c", "b", "a"]
        seen = events(8)  # b's tree, killed, says nothing
        assert [name for what, name, _ in seen if what == "stop"] == ["c", "b", "a"]
        assert ("tree ended", "a", SHUTDOWN) in seen


def test_controllers_end_stops_every_application():
    with boot():
        application.ensure_all_started(app("a"))
        top = whereis("a_top")
    assert not is_alive(top)


SCHEMA = (Key("shop.size", int, 1), Key("shop.name", str, "x"), Key("shop.colour", str, "red"))


def settings(tmp_path, text, *overrides):
    (tmp_path / "shop.toml").write_text(text)
    return load_files([(tmp_path / "shop.toml", SCHEMA)], overrides)


def test_environment_precedence(tmp_path):
    """OTP config: set_env over command line over configuration file over the application's own."""
    with boot():
        application.set_env("shop", "shop.colour", "blue")
        shop = app("shop", env={"limit": 7, "shop.size": 0})
        application.load(
            shop, settings(tmp_path, "[shop]\nsize = 2\nname = 'file'\n", "shop.size=3", "shop.colour=x")
        )
        env = application.get_all_env("shop")
        assert (env["limit"], env["shop.size"], env["shop.name"], env["shop.colour"]) == (
            7,
            3,
            "file",
            "blue",
        )
        assert env.origin("shop.size") == "command line"
        application.set_env("shop", "shop.size", 4)
        assert application.get_env("shop", "shop.size") == 4
        assert application.get_env("shop", "none", "default") == "default"
        with pytest.raises(NotLoaded):
            application.get_env("gone", "x")


def test_start_gets_the_settings(tmp_path):
    def start(self, start_type, config):
        send(self.test, config.integer("shop.size"))
        return Top.start_link(self.test, self.name)

    with boot():
        application.load(app("shop", start=start), settings(tmp_path, "[shop]\nsize = 2\n"))
        application.start("shop")
        assert receive(5) == 2


def test_config_change_tells_what_changed(tmp_path):
    """OTP application_SUITE config_change: Changed, New, Removed; only for applications that run and have a change."""
    with boot():
        application.load(app("shop"), {"a": 1, "b": 2})
        application.load(app("idle"), {"a": 1})
        application.start("shop")
        events(1)
        assert application.change_config({"shop": {"b": 3, "c": 4}, "idle": {"a": 2}, "gone": {}}) == {}
        assert receive(5) == ("config_change", "shop", {"b": 3}, {"c": 4}, ["a"])
        assert dict(application.get_all_env("shop")) == {"b": 3, "c": 4}
        assert dict(application.get_all_env("idle")) == {"a": 2}
        application.change_config({"shop": {"b": 3, "c": 4}})
        assert receive(0).__class__ is not tuple


def test_change_config_data_keeps_to_the_precedence():
    """OTP application_SUITE change_config_data: a value that is gone falls back to the application's own; what set_env
    set stays in force and is no change.
    """
    with boot():
        application.load(app("shop", env={"a": 0, "b": 0}), {"a": 1, "b": 1, "c": 1, "d": 1})
        application.set_env("shop", "b", 9)
        application.set_env("shop", "e", 9)
        application.start("shop")
        events(1)
        application.change_config({"shop": {"b": 2, "d": 2, "e": 2}})
        assert receive(5) == ("config_change", "shop", {"a": 0, "d": 2}, {}, ["c"])
        assert dict(application.get_all_env("shop")) == {"a": 0, "b": 9, "d": 2, "e": 9}


def test_failing_config_change_is_told_and_the_others_get_theirs():
    def fails(self, changed, new, removed):
        raise LookupError("no")

    with boot():
        application.load(app("bad", config_change=fails), {"a": 1})
        application.load(app("good"), {"a": 1})
        application.start("bad")
        application.start("good")
        events(2)
        failed = application.change_config({"bad": {"a": 2}, "good": {"a": 2}})
        assert list(failed) == ["bad"]
        assert receive(5) == ("config_change", "good", {"a": 2}, {}, [])


def test_stop_while_the_start_is_just_done_never_ends_the_node():
    """OTP application:stop never takes the node down: neither when the word of the start's end is still on its way."""
    gate = []

    def stepped(self, start_type, config):
        gate.append(self_())
        receive_match(lambda m: m == "go on")
        return Top.start_link(self.test, self.name)

    def starter(test):
        with pytest.raises(StartFailed):
            application.start("a", "permanent")
        send(test, "told")

    with boot() as controller:
        application.load(app("a", start=stepped))
        spawn(starter, self_())
        settle()
        sys.suspend(controller)  # from now on it takes messages in the order in which they are made here
        while not gate:
            sleep(0.001)
        first = send_request(controller, StopRequest("a", 1.0))
        send(gate[0], "go on")
        settle()
        sys.resume(controller)
        assert wait_response(first, 5) is None
        seen = []
        while (message := receive(0.05)) is not TIMEOUT:
            seen.append(message)
        assert "told" in seen
        assert [m for m in seen if type(m) is NodeEnds] == []
        assert application.loaded_applications()[0].status == "loaded"


def test_an_application_being_stopped_is_no_dependency():
    """OTP application:start: {error, {not_started, Dep}}, also for one on its way down."""

    def linger(self, state):
        send(self.test, "lingering")
        receive_match(lambda m: m == "go on")

    with boot():
        application.load(app("a", prep_stop=linger))
        application.load(app("b", "a"))
        application.start("a")
        spawn(application.stop, "a")
        assert receive_match(lambda m: m == "lingering", 5)
        with pytest.raises(StartFailed) as caught:
            application.start("b")
        assert isinstance(caught.value.reason, NotStarted)
        application.stop("a", 0)


def test_what_was_started_is_stopped_again_even_if_some_of_it_has_ended():
    """OTP ensure_all_started: what went wrong first is what is told."""

    def broken(self, start_type, config):
        application.stop("b")
        raise ProcessExit("no luck")

    with boot():
        a = app("a")
        with pytest.raises(StartFailed) as caught:
            application.ensure_all_started(app("c", app("b", a), start=broken))
        assert (caught.value.name, caught.value.reason) == ("c", "no luck")
        assert running() == []


def test_a_wrong_start_type_is_refused_before_anything_is_loaded():
    """Ours: STYLE, errors: before side effects."""
    with boot():
        with pytest.raises(ValueError, match="start_type"):
            application.ensure_all_started(app("a"), "forever")
        assert application.loaded_applications() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"env": 7},
        {"env": [("a", 1)]},
        {"applications": "a"},
        {"applications": (7,)},
        {"applications": 7},
        {"start_phases": ("one",)},
        {"__init__": lambda self: 1 / 0},
    ],
)
def test_a_class_that_can_be_no_application_hurts_only_its_loader(fields):
    """Ours: the controller never runs a line of an application."""
    with boot() as controller:
        application.ensure_all_started(app("good"))
        with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
            application.load(type("Bad", (Application,), {"name": "bad", **fields}))
        with pytest.raises(TypeError):
            application.load("bad")
        assert is_alive(controller)
        assert running() == ["good"]
        assert len(application.loaded_applications()) == 1


def test_stop_all_keeps_to_its_limit_with_callbacks_that_hang(clock):
    """Ours: `timeout` seconds in all, however many applications hang."""

    def hang(self, state):
        sleep(1_000_000)

    def stopper(test):
        send(test, ("stopped", application.stop_all(8.0), clock.now()))

    with boot():
        for name in "abcd":
            application.load(app(name, prep_stop=hang))
            application.start(name)
        before = clock.now()
        spawn(stopper, self_())
        clock.advance(8.0)
        message = receive_match(lambda m: isinstance(m, tuple) and m[0] == "stopped", 0)
        assert message[1] == ["d", "c", "b", "a"]
        assert message[2] - before <= 8.0


def test_progress_and_ends_are_reported(caplog):
    """OTP: a progress report {application, started_at}, an exit report {application, exited, type}."""
    caplog.set_level(logging.INFO, "evergreen.application")

    def reports():
        return [record.report for record in caplog.records if record.name == "evergreen.application"]

    def broken(self, start_type, config):
        raise ProcessExit("no luck")

    with boot():
        application.load(app("a", description="the first"))
        application.load(app("b", start=broken))
        application.start("a", "transient")
        top = whereis("a_top")
        application.stop("a")
        application.start("a")
        send("a_top", "boom")
        receive_match(lambda m: m == ("stop", "a", "state"), 5)
        settle()
        with pytest.raises(StartFailed):
            application.start("b")
    about = {"application": "a", "description": "the first", "node": node()}
    started, stopped, _, failed, not_started = reports()
    assert started == ApplicationStarted(**about, start_type="transient", supervisor=top)
    assert stopped == ApplicationEnded(**about, start_type="transient", reason=NORMAL, asked=True)
    assert failed == ApplicationFailed(**about, start_type="temporary", reason="boom")
    assert (type(not_started), not_started.reason) == (ApplicationNotStarted, "no luck")
    assert headline(failed) == f"application failed: a (temporary) on {node()}: boom"
    record = next(record for record in caplog.records if record.name == "evergreen.application")
    assert (
        HumanFormatter()
        .format(record)
        .endswith(f"evergreen.application: application started: a (transient) on {node()}")
    )


def test_unset_env_takes_back_what_set_env_set():
    """OTP application:unset_env; here, what file and class say counts again."""
    with boot():
        application.load(app("a", env={"k": "class"}), {"f": "file"})
        application.set_env("a", "k", 1)
        application.set_env("a", "f", 2)
        application.unset_env("a", "k")
        application.unset_env("a", "f")
        application.unset_env("a", "never")
        application.unset_env("stranger", "k")
        assert application.get_all_env("a") == {"k": "class", "f": "file"}


def test_ensure_all_started_by_two_at_once():
    """OTP ensure_all_started: already loaded, already started are no errors."""

    def ensure(test):
        send(test, ("ensured", application.ensure_all_started(second)))

    with boot():
        second = app("b", app("a"))
        spawn(ensure, self_())
        spawn(ensure, self_())
        found = [receive_match(lambda m: m[0] == "ensured", 5)[1] for _ in range(2)]
        assert {name for names in found for name in names} == {"a", "b"}
        assert sorted(running()) == ["a", "b"]


def test_the_end_of_a_top_that_is_not_linked_is_noticed():
    """Ours: a start that forgot the link."""

    def loose(self, start_type, config):
        return Top.start(self.test, self.name, name="loose")

    with boot():
        application.load(app("a", start=loose))
        application.start("a", "permanent")
        send("loose", "boom")
        ended = receive_match(lambda m: type(m) is NodeEnds, 5)
        assert (ended.application, ended.reason) == ("a", "boom")
        assert running() == []


def test_callers_mistakes_do_not_reach_the_controller():
    """Ours: STYLE, errors: a caller's mistake is an exception at the call."""
    calls = [
        lambda: application.start(["a"]), lambda: application.stop(["a"]), lambda: application.stop("a", "soon"),
        lambda: application.stop("a", -5), lambda: application.stop("a", float("nan")), lambda: application.unload({}),
        lambda: application.get_env([], "k"), lambda: application.set_env("a", [], 1),
        lambda: application.set_env([], "k", 1), lambda: application.unset_env("a", {}),
    ]  # fmt: skip
    with boot() as controller:
        application.ensure_all_started(app("a"))
        for one in calls:
            with pytest.raises((TypeError, ValueError)):
                one()
        settle()
        assert is_alive(controller)
        assert running() == ["a"]
