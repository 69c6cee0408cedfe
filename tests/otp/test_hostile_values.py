"""Values that cannot be printed or compared, and races at the start: no server or supervisor suffers for them."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.kernel import (
    TIMEOUT,
    CallError,
    Down,
    Exit,
    ProcessExit,
    call,
    cast,
    exit,
    is_alive,
    monitor,
    process_info,
    receive,
    self_,
    sleep,
    spawn,
    trap_exit,
)
from runtime.otp import application, dynamic_supervisor, proc_lib
from runtime.otp.gen_server import GenServer, stop
from runtime.otp.outcome import Fail, Ignore, NoReply, Reply, StartError, Stop
from runtime.otp.supervisor import (
    ChildSpec,
    StartChildError,
    SupFlags,
    Supervisor,
    start_child,
    terminate_child,
)
from runtime.testing import VirtualClock, settle


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no text")


class Incomparable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("no equality")


class Odd(GenServer):
    """Ends with the reason it is told, at whatever moment."""

    def init(self, at_start: Any = None, at_end: Any = None) -> Any:
        trap_exit(at_end is not None)
        self.at_end = at_end
        return at_start

    def handle_cast(self, request: Any) -> Any:
        raise ProcessExit(request)

    def terminate(self, reason: Any) -> None:
        if self.at_end is not None:
            raise ProcessExit(self.at_end)


@pytest.fixture(params=["static", "dynamic"])
def sup(request: Any) -> Any:
    return request.param


def _started(kind: str) -> tuple[Any, Any]:
    trap_exit(True)
    if kind == "static":
        return Supervisor.start_link_with(SupFlags(intensity=100), []), start_child
    return dynamic_supervisor.DynamicSupervisor.start_link(intensity=100), dynamic_supervisor.start_child


@pytest.mark.parametrize(
    "start",
    [
        (lambda: Unprintable(), ()),
        (Odd.start_link, (Stop(Unprintable()),)),
        (Odd.start_link, (Fail(Unprintable()),)),
        (Odd.start_link, (Stop(Incomparable()),)),
    ],
)
def test_a_start_that_fails_with_an_odd_reason_is_an_error_of_that_start(sup: str, start: Any) -> None:
    pid, start_one = _started(sup)
    with pytest.raises(StartChildError) as caught:
        start_one(pid, ChildSpec("odd", start))
    assert str(caught.value)
    assert is_alive(pid)
    stop(pid)


@pytest.mark.parametrize("reason", [Unprintable(), Incomparable()])
def test_a_supervisor_restarts_and_stops_children_with_odd_reasons(sup: str, reason: Any) -> None:
    pid, start_one = _started(sup)
    child = start_one(pid, ChildSpec("odd", (Odd.start_link, (None, reason)), restart="transient"))
    monitor(child)
    cast(child, reason)
    receive(5)
    settle()
    assert is_alive(pid)
    if sup == "static":
        terminate_child(pid, "odd")
        assert is_alive(pid)
    ref = monitor(pid)
    stop(pid)
    while (message := receive(0)) is not TIMEOUT:
        assert not isinstance(message, Down) or message.ref is not ref or message.reason == "normal"


def test_stop_tells_a_reason_that_cannot_be_compared() -> None:
    odd = Incomparable()
    with pytest.raises(CallError) as caught:
        stop(Odd.start(None, odd))
    assert caught.value.reason is odd


def test_a_skipped_request_does_not_end_the_time_out(clock: VirtualClock) -> None:
    """No callback runs for a request whose caller has gone, so none could set the time-out anew."""

    class Ticker(GenServer):
        def init(self) -> Any:
            self.ticks = 0
            return NoReply(timeout=10.0)

        def handle_call(self, request: Any, sender: Any) -> Any:
            sleep(1.0)
            return Reply(None, timeout=10.0)

        def handle_info(self, message: Any) -> Any:
            self.ticks += 1
            return NoReply(timeout=10.0)

    def impatient() -> None:
        with pytest.raises(CallError):
            call(pid, "too slow", 0.1)

    pid = Ticker.start()
    assert pid is not None
    spawn(call, pid, "slow")
    settle()
    spawn(impatient)
    clock.advance(31.5)
    assert pid.behaviour.ticks == 3  # type: ignore[union-attr]
    stop(pid)


def test_start_monitor_sees_the_reason_of_an_end_right_after_the_start() -> None:
    class Short(GenServer):
        def init(self) -> Any:
            return NoReply(continue_=None)

        def handle_continue(self, value: Any) -> Any:
            return Stop("short")

    started = Short.start_monitor()
    assert started is not None
    assert receive(5) == Down(started[1], started[0], "short")

    def short() -> None:
        proc_lib.init_ack()
        raise ProcessExit("short")

    value, ref = proc_lib.start_monitor(short)
    assert receive(5) == Down(ref, value, "short")


@pytest.mark.parametrize("outcome", [Ignore(), Stop("no"), Fail("no")])
def test_start_monitor_that_starts_nothing_leaves_no_monitor_and_no_message(outcome: Any) -> None:
    try:
        assert Odd.start_monitor(outcome) is None
    except StartError as error:
        assert error.reason == "no"
    assert receive(0) is TIMEOUT
    assert process_info(self_(), "monitors") == {"monitors": []}


def test_a_later_stop_does_not_stretch_the_limit_of_an_earlier_one(clock: VirtualClock) -> None:
    class Stuck(application.Application):
        name = "stuck"

        def start(self, start_type: str, config: Any) -> Any:
            return Supervisor.start_link_with(SupFlags(), [])

        def prep_stop(self, state: Any) -> Any:
            while True:
                receive()

    trap_exit(True)
    controller = application.start_controller()
    application.ensure_all_started(Stuck)
    first = spawn(application.stop, "stuck", 1.0)
    settle()
    second = spawn(application.stop, "stuck", 1000.0)
    clock.advance(5.0)
    assert not is_alive(first)
    assert not is_alive(second)
    exit(controller, "kill")
    assert isinstance(receive(5), Exit)
    settle()
