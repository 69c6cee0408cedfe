"""The cases of OTP's sys_SUITE about debug options: log, log_to_file, stats, trace, install; on every behaviour."""

from __future__ import annotations

import os
import select
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime import kernel
from runtime.kernel import (
    NORMAL, CallError, Exit, ProcessExit, call, cast, is_alive, receive, reply, self_, send, sleep, spawn, trap_exit,
)  # fmt: skip
from runtime.otp import (
    AlreadyStarted, ChildSpec, DynamicSupervisor, GenServer, NoReply, StartError, Stop, Supervisor, SupFlags, application, event_manager, proc_lib,
    send_request, start_child, state_machine, sys, sys_debug, wait_response, which_children,
)  # fmt: skip
from runtime.otp.gen_server import enter_loop
from runtime.otp.sys import In, NewState, Out
from runtime.testing import settle, until
from tests.support.servers import LeakyVault, Puppet, Vault, running

assert application  # every behaviour is loaded


class Adder(GenServer):
    """State: `total`. A call adds and answers, a cast adds, "later" is answered by the next message."""

    def init(self, total=0):
        self.total = total
        self.waiting = None

    def handle_call(self, request, sender):
        if request == "later":
            self.waiting = sender
            return NoReply()
        if request == "none":
            return None
        self.total += request
        return self.total

    def handle_cast(self, request):
        self.total += request

    def handle_info(self, message):
        if self.waiting is not None:
            reply(self.waiting, message)
            self.waiting = None

    def format_status(self, status):
        return {**status, "state": status["state"]["total"]} if "state" in status else status


@pytest.fixture
def lines(monkeypatch):
    """The lines that trace has printed."""
    printed = []
    monkeypatch.setattr(sys_debug, "print_line", printed.append)
    return printed


# ---------------------------------------------------------------------------------------------------------- 82 log


def test_log():
    """sys_SUITE log: the last 10 events are kept, or as many as asked for; off forgets them."""
    with running(Adder) as pid:
        assert sys.get_log(pid) == []
        sys.log(pid)
        call(pid, 1)
        cast(pid, 2)
        send(pid, "hi")
        me = self_()
        assert sys.get_log(pid) == [
            In("call", 1, me), Out(1, me, 1), In("cast", 2), NewState(3), In("info", "hi"), NewState(3),
        ]  # fmt: skip
        for _ in range(10):
            cast(pid, 1)
        assert len(sys.get_log(pid)) == 10
        assert sys.get_log(pid)[-1] == NewState(13)
        sys.log(pid, 3)
        assert sys.get_log(pid) == [NewState(12), In("cast", 1), NewState(13)]
        sys.log(pid, False)
        assert sys.get_log(pid) == []
        with pytest.raises(ValueError, match="size=-1"):
            sys.log(pid, -1)


def test_log_print(lines):
    """sys:log(Name, print): prints what is kept, from the caller."""
    with running(Adder) as pid:
        sys.log(pid, 2)
        call(pid, 5)
        sys.print_log(pid)
        assert lines == [
            f"*DBG* {pid!r} got call 5 from {self_()!r}",
            f"*DBG* {pid!r} sent 5 to {self_()!r}, new state 5",
        ]


def test_log_of_late_answers():
    """Ours: an answer that is given later is seen at the next turn; a call that failed or timed out is none."""
    with running(Adder) as pid:
        sys.log(pid, 100)
        asked = send_request(pid, "later")
        send(pid, None)
        assert wait_response(asked) is None
        me = self_()
        expected = [In("call", "later", me), NewState(0), In("info", None), Out(None, me, 0)]
        assert sys.get_log(pid) == expected
        assert call(pid, "none") is None
        expected += [In("call", "none", me), Out(None, me, 0)]
        assert sys.get_log(pid) == expected
        asker = spawn(call, pid, "later")
        settle()
        kernel.exit(asker, "kill")
        send(pid, "too late")
        assert [event.__class__ for event in sys.get_log(pid)[6:]] == [In, NewState, In, NewState]
        assert not pid.control.debug.open


def test_log_skips_what_is_skipped(clock):
    """Ours: a time-out that was overtaken, and a call whose caller has gone, are no events; a time-out that fires is."""
    with running(Puppet, lambda _: NoReply(timeout=(1.0, "ding"))) as pid:
        sys.log(pid, 100)
        clock.advance(2)
        assert [event.message for event in sys.get_log(pid)[::2]] == ["ding"]
        cast(pid, lambda _: NoReply(timeout=0.0))
        send(pid, "overtakes")
        settle()
        assert [e.message for e in sys.get_log(pid)[4:] if e.__class__ is In] == ["overtakes"]
        kernel.receive_response(send_request(pid, "gone"), 0)
        assert len(sys.get_log(pid)) == 6


# --------------------------------------------------------------------------------------------------- 82 log_to_file


def test_log_to_file(tmp_path):
    """sys_SUITE log_to_file: events become lines of a file, until it is turned off; a new file takes its place."""
    path, other = tmp_path / "events.log", tmp_path / "other.log"
    with running(Adder) as pid:
        sys.log_to_file(pid, path)
        call(pid, 1)
        sys.get_state(pid)  # behind it
        assert path.read_text().splitlines() == [
            f"*DBG* {pid!r} got call 1 from {self_()!r}",
            f"*DBG* {pid!r} sent 1 to {self_()!r}, new state 1",
        ]
        assert path.stat().st_mode & 0o077 == 0
        sys.log_to_file(pid, os.fspath(other))
        call(pid, 2)
        sys.get_state(pid)
        assert len(path.read_text().splitlines()) == len(other.read_text().splitlines()) == 2
        sys.log_to_file(pid, None)
        call(pid, 3)
        assert len(other.read_text().splitlines()) == 2
        assert pid.control is None


def test_log_to_file_that_cannot_be_opened(tmp_path):
    """sys_SUITE log_to_file: {error, open_file}; nothing has changed."""
    with running(Adder) as pid:
        with pytest.raises(OSError, match="nowhere"):
            sys.log_to_file(pid, tmp_path / "nowhere" / "events.log")
        assert pid.control is None
        assert call(pid, 1) == 1


def test_log_to_file_that_fails_later(caplog):
    """Ours: a full disk turns the option off, says so, and does the process no harm."""
    with running(Adder) as pid:
        sys.log_to_file(pid, "/dev/full")
        assert call(pid, 1) == 1
        sys.get_state(pid)
        assert sys.get_status(pid).debug == {}
        assert pid.control is None
    assert "log_to_file" in caplog.text
    assert "No space left" in caplog.text


@pytest.mark.parametrize("how", ["kill", NORMAL, None, "no_debug"])
def test_log_to_file_closes_with_the_process(how, tmp_path):
    """Ours: a killed process leaves no open file behind."""
    path = tmp_path / "events.log"

    def open_here():
        held = []
        for fd in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                held.append(fd.readlink())
        return path in held

    with running(Adder) as pid:
        sys.log_to_file(pid, path)
        call(pid, 1)
        assert open_here()
        if how == "no_debug":
            sys.no_debug(pid)
        else:
            (kernel.exit if how == "kill" else sys.log_to_file if how is None else proc_lib.stop)(pid, how)
        settle()
        assert not open_here()


# --------------------------------------------------------------------------------------------------------- 83 stats


def test_stats(clock):
    """sys_SUITE stats: start and current time, messages in and out, work; none when off; on again is from zero."""
    with running(Puppet) as pid:
        assert sys.get_statistics(pid) is None
        sys.statistics(pid, True)
        for n in range(4):
            call(pid, n)
        send(pid, "x")
        cast(pid, lambda _: sleep(3))
        settle()
        clock.advance(3)
        counted = sys.get_statistics(pid)
        assert (counted.messages_in, counted.messages_out) == (6, 4)
        assert counted.busy == 3
        assert counted.start_time <= counted.current_time
        sys.statistics(pid, True)  # already on: it goes on
        assert sys.get_statistics(pid).messages_in == 6
        assert sys.get_statistics(pid).start_time == counted.start_time
        sys.statistics(pid, False)
        assert sys.get_statistics(pid) is None
        assert pid.control is None
        sys.statistics(pid, True)
        assert sys.get_statistics(pid).messages_in == 0


# --------------------------------------------------------------------------------------------------------- 84 trace


def test_trace(lines):
    """sys_SUITE trace: a printed line per event, with the message, the caller and the new state."""
    with running(Adder) as pid:
        sys.trace(pid, True)
        call(pid, 44)
        cast(pid, 1)
        send(pid, "hi")
        settle()
        sys.trace(pid, False)
        call(pid, 1)
        me = repr(self_())
        assert [line.removeprefix(f"*DBG* {pid!r} ") for line in lines] == [
            f"got call 44 from {me}", f"sent 44 to {me}, new state 44", "got cast 1", "new state 45", "got 'hi'", "new state 45",
        ]  # fmt: skip


def test_trace_prints_to_standard_output(capsys):
    """sys_SUITE trace: on the terminal."""
    with running(Adder) as pid:
        sys.trace(pid, True)
        call(pid, 44)
        assert "got call 44" in capsys.readouterr().out


def test_trace_is_bounded_and_redacted(lines):
    """Ours: no line longer than a screen or two, whatever the state holds; the state as format_status shows it."""
    with running(Vault, "hunter2") as pid, running(LeakyVault, "hunter2") as leaky:
        for one in (pid, leaky):
            sys.trace(one, True)
            call(one, "seen")
            cast(one, "x" * 100_000)
            settle()
    assert lines
    assert all(len(line) < 3_000 and "\n" not in line and "hunter2" not in line for line in lines)


def test_trace_that_cannot_print(monkeypatch, caplog):
    """Ours: a closed terminal turns trace off and does the process no harm."""

    def broken(line):
        raise BrokenPipeError

    monkeypatch.setattr(sys_debug, "print_line", broken)
    with running(Adder) as pid:
        sys.trace(pid, True)
        assert call(pid, 1) == 1
        assert pid.control is None
    assert "trace" in caplog.text


# -------------------------------------------------------------------------------------------------------- 86 install


def collect(events, event, state):
    return (*events, (event, state["total"]))


def test_install():
    """sys_SUITE install: the function gets its own state, each event and the process's state; an id is there once."""
    seen = []

    def note(own, event, state):
        seen.append((own, event.__class__, state["total"]))
        return own + 1

    with running(Adder) as pid:
        sys.install(pid, note, 0)
        sys.install(pid, note, 1_000)
        sys.install(pid, note, 100, id="mine")
        sys.install(pid, note, 2_000, id="mine")
        assert sys.get_status(pid).debug == {"install": (note, "mine")}
        call(pid, 5)
        assert seen == [(0, In, 0), (100, In, 0), (1, Out, 5), (101, Out, 5)]
        seen.clear()
        sys.remove(pid, note)
        sys.remove(pid, "nobody")
        cast(pid, 1)
        settle()
        assert seen == [(102, In, 5), (103, NewState, 6)]
        sys.remove(pid, "mine")
        assert pid.control is None


@pytest.mark.parametrize("how", ["done", ValueError, ProcessExit])
def test_install_is_removed(how, caplog):
    """sys_SUITE install: a function that returns done, raises or exits is removed; the process lives."""
    seen = []

    def once(own, event, state):
        seen.append(event)
        if how == "done":
            return sys.DONE
        raise how("no more")

    with running(Adder) as pid:
        sys.install(pid, once)
        sys.log(pid)
        assert call(pid, 1) == 1
        assert seen == [In("call", 1, self_())]
        assert sys.get_status(pid).debug.keys() == {"log"}
        assert len(sys.get_log(pid)) == 2
    assert ("removed" in caplog.text) is (how != "done")


def test_install_what_is_no_function():
    """Ours: refused, nothing changes."""
    with running(Adder) as pid:
        with pytest.raises(TypeError, match="no function"):
            sys.install(pid, "print")
        with pytest.raises(TypeError):
            sys.install(pid, print, id=[])
        assert pid.control is None


def test_no_debug(lines):
    """sys:no_debug/1: all options off, installed functions too; the process has nothing left of them."""
    with running(Adder) as pid:
        sys.trace(pid, True)
        sys.log(pid)
        sys.statistics(pid, True)
        sys.install(pid, collect, ())
        assert sys.get_status(pid).debug.keys() == {"trace", "log", "statistics", "install"}
        sys.no_debug(pid)
        assert sys.get_status(pid).debug == {}
        call(pid, 1)
        assert lines == []
        assert pid.control is None


# --------------------------------------------------------------------------------------- what they go together with


def test_off_costs_nothing():
    """Ours: a process without options has an empty control slot; and on, the server sees what it always sees."""
    with running(Puppet, None, None) as pid:
        assert pid.control is None
        sys.log(pid)
        assert pid.control is not None
        call(pid, lambda server: Stop("never") if server.sender.process is None else 1)
        sys.log(pid, False)
        assert pid.control is None


def test_events_while_suspended():
    """sys_SUITE suspend, log: options are set while suspended; what was held is seen when it is handled, in order."""
    with running(Adder) as pid:
        sys.suspend(pid)
        cast(pid, 1)
        sys.log(pid, 100)
        cast(pid, 2)
        sys.statistics(pid, True)
        assert sys.get_log(pid) == []
        sys.resume(pid)
        assert sys.get_log(pid) == [In("cast", 1), NewState(1), In("cast", 2), NewState(3)]
        assert sys.get_statistics(pid).messages_in == 2
        sys.suspend(pid)
        sys.no_debug(pid)
        assert sys.get_status(pid).status == "suspended"
        sys.resume(pid)
        assert pid.control is None


def test_with_100_000_queued():
    """OTP A4: sys serves a process with a long queue, in order as in OTP: what was queued before it is no event."""
    with running(Adder) as pid:
        for _ in range(100_000):
            cast(pid, 1)
        sys.statistics(pid, True, None)
        assert sys.get_state(pid)["total"] == 100_000
        assert sys.get_statistics(pid).messages_in == 0
        for _ in range(100_000):
            cast(pid, 1)
        assert sys.get_statistics(pid, None).messages_in == 100_000
        sys.suspend(pid)
        for _ in range(100_000):
            cast(pid, 1)
        assert sys.get_status(pid, None).held == 100_000
        sys.log(pid, 1)
        sys.resume(pid)
        assert sys.get_log(pid, None) == [NewState(300_000)]


def test_hibernation_and_time_outs_go_on(clock):
    """gen_server_SUITE hibernate, event time-out: with options on, they work as ever."""
    with running(Puppet, lambda _: NoReply(timeout=(5.0, "ding"), hibernate=True)) as pid:
        sys.log(pid)
        assert sys.get_status(pid).hibernated
        clock.advance(6)
        assert call(pid, "seen") == [("info", "ding")]
        assert not sys.get_status(pid).hibernated
        cast(pid, lambda _: NoReply(timeout=(5.0, "dong"), hibernate=True))
        settle()
        sys.no_debug(pid)
        assert sys.get_status(pid).hibernated
        clock.advance(6)
        assert call(pid, "seen")[-1] == ("info", "dong")
        assert pid.control is None


@pytest.mark.parametrize("way", ["stop", "crash", "reply"])
def test_end_of_a_process_with_options(way, lines, caplog):
    """Ours: the end is the same with options on: terminate once, one report; a last answer is traced."""
    with running(Puppet, None, self_()) as pid:
        sys.trace(pid, True)
        sys.log(pid)
        if way == "stop":
            proc_lib.stop(pid)
        elif way == "reply":
            assert call(pid, lambda _: Stop(NORMAL, reply="bye")) == "bye"
        else:
            with pytest.raises(CallError):
                call(pid, lambda _: 1 / 0)
        settle()
        assert not is_alive(pid)
        assert receive(0)[0] == "terminate"
        assert receive(0) is kernel.TIMEOUT
        assert len(lines) == {"stop": 0, "reply": 2, "crash": 1}[way]
        reports = [record.name for record in caplog.records if record.levelname == "ERROR"]
        assert reports == (["evergreen.server", "evergreen.crash"] if way == "crash" else [])


def test_killed_while_a_line_is_written(tmp_path, monkeypatch):
    """Ours: killed inside an option that blocks, a process is dead at once; nothing is said in its name any more."""
    with running(Adder) as pid:
        sys.install(pid, lambda *_: sleep(3_600))
        cast(pid, 1)
        settle()
        kernel.exit(pid, "kill")
        settle()
        assert not is_alive(pid)


# ----------------------------------------------------------------------------------------------- on every behaviour


class Light(state_machine.GenStateMachine):
    def init(self):
        return state_machine.NextState("red")

    def red(self, kind, content):
        if kind.__class__ is kernel.Call:
            return state_machine.NextState("green", state_machine.Reply(kind, "went"))
        return None

    def green(self, kind, content):
        if kind.__class__ is kernel.Call:
            return state_machine.NextState("red", state_machine.Reply(kind, "stopped"))
        return None


class Counting(event_manager.EventHandler):
    def init(self):
        self.n = 0

    def handle_call(self, request):
        return self.n

    def handle_event(self, event):
        self.n += 1


class Special:
    """A worked example: a plain loop that is a good citizen of the tree. State: `handled`."""

    def __init__(self, parent):
        self.parent = parent
        self.handled = 0

    def run(self):
        trap_exit(True)
        proc_lib.init_ack()
        while True:
            message = receive()
            if sys.is_system(message):
                sys.handle(message, self, self.parent)
            elif message.__class__ is Exit and message.sender is self.parent:
                self.system_terminate(message.reason)
            elif message.__class__ is kernel.Call:
                sys.debug_event(self, In("call", message.request, message.caller))
                asker = message.caller
                self.handled += 1
                reply(message, self.handled)
                sys.debug_event(self, Out(self.handled, asker, self.handled))
            else:
                sys.debug_event(self, In("info", message))

    def system_get_state(self):
        return self.handled

    def system_replace_state(self, change):
        self.handled = change(self.handled)
        return self.handled

    def system_code_change(self, module, old_version, extra):
        pass

    def system_status(self):
        return {"state": self.handled}

    def system_terminate(self, reason):
        raise ProcessExit(reason)


def special():
    me = self_()
    return proc_lib.start_link(lambda: Special(me).run())


def looped():
    """A GenServer that entered its loop by itself."""

    def run():
        proc_lib.init_ack()
        server = Adder()
        server.init()
        enter_loop(server)

    return proc_lib.start_link(run)


def supervisor():
    return Supervisor.start_link_with(SupFlags(), [ChildSpec("a", (Adder.start_link, ()))])


def manager():
    pid = event_manager.EventManager.start_link()
    event_manager.add_handler(pid, Counting)
    return pid


BEHAVIOURS = {
    "gen_server": (Adder.start_link, lambda pid: call(pid, 1)),
    "enter_loop": (looped, lambda pid: call(pid, 1)),
    "state_machine": (Light.start_link, lambda pid: call(pid, "go")),
    "event_manager": (manager, lambda pid: event_manager.call(pid, Counting, "n")),
    "supervisor": (supervisor, which_children),
    "dynamic_supervisor": (
        DynamicSupervisor.start_link,
        lambda pid: start_child(pid, ChildSpec("a", (Adder.start_link, ()))),
    ),
    "special": (special, lambda pid: call(pid, "x")),
}


@contextmanager
def started(name):
    trap_exit(True)
    start, ask = BEHAVIOURS[name]
    pid = start()
    try:
        yield pid, lambda: ask(pid)
    finally:
        if is_alive(pid):
            proc_lib.stop(pid)
        receive(0)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_every_behaviour_has_all_options(name, lines, tmp_path):
    """sys_SUITE log, log_to_file, stats, trace, install: the same on every behaviour, suspended or not."""
    seen = []
    path = tmp_path / "events.log"
    with started(name) as (pid, ask):
        idle = pid.control if name == "state_machine" else None
        sys.trace(pid, True)
        sys.suspend(pid)
        sys.log(pid)
        sys.log_to_file(pid, path)
        sys.statistics(pid, True)
        sys.install(pid, lambda n, event, state: seen.append((n, event)) or n + 1, 0)
        asked = spawn(ask)
        settle()
        assert (lines, seen) == ([], [])
        assert sys.get_status(pid).status == "suspended"
        assert sys.get_status(pid).debug.keys() == {"trace", "log", "log_to_file", "statistics", "install"}
        sys.resume(pid)
        settle()
        events = sys.get_log(pid)
        assert [event.__class__ for event in events] == [In, Out]
        assert (events[0].kind, events[0].sender, events[1].to) == ("call", asked, asked)
        assert [line.split()[2] for line in lines] == ["got", "sent"]
        assert path.read_text().splitlines() == lines
        assert seen == [(0, events[0]), (1, events[1])]
        counted = sys.get_statistics(pid)
        assert (counted.messages_in, counted.messages_out) == (1, 1)
        sys.no_debug(pid)
        ask()
        assert len(lines) == 2
        assert pid.control is idle
        if name == "state_machine":
            assert not pid.control.unusual


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_every_behaviour_changes_code_only_while_suspended(name):
    """sys:change_code/4, on every behaviour: refused while running."""
    with started(name) as (pid, ask):
        with pytest.raises(sys.NotSuspended):
            sys.change_code(pid, "m")
        ask()
        sys.suspend(pid)
        sys.terminate(pid, "enough")
        settle()
        assert pid.reason == "enough"


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_every_behaviour_with_a_long_queue(name):
    """OTP A4: with 100,000 messages queued, sys serves on every behaviour, and in order."""
    with started(name) as (pid, _ask):
        sys.suspend(pid)
        for _ in range(100_000):
            send(pid, Exit(None, "stray"))
        sys.log(pid, 2, None)
        status = sys.get_status(pid, None)
        assert (status.status, status.debug) == ("suspended", {"log": ()})
        sys.no_debug(pid, None)


def test_a_state_machine_shows_state_and_data():
    """sys_SUITE log with gen_statem: the new state is the state's name with the data; time-outs are events too."""
    with started("state_machine") as (pid, ask):
        sys.log(pid)
        ask()
        send(pid, "hm")
        me = self_()
        assert sys.get_log(pid) == [
            In("call", "go", me), Out("went", me, ("green", {})), In("info", "hm"), NewState(("green", {})),
        ]  # fmt: skip


def test_none_wakes_a_hibernated_server():
    """gen_server_SUITE hibernate: any message ends hibernation, also None."""
    with running(Puppet, lambda _: NoReply(hibernate=True)) as pid:
        assert sys.get_status(pid).hibernated
        send(pid, None)
        assert call(pid, "seen") == [("info", None)]
        assert pid.control is None


# ------------------------------------------------------------------------------------------- options at the start


def _open_files(path):
    held = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            held.append(fd.readlink())
    return held.count(path)


class Bulb(state_machine.GenStateMachine):
    """As Adder, for what is tested here: a call of 1 is answered by 1."""

    def init(self, _total=0):
        return state_machine.NextState("on")

    def on(self, kind, content):
        return state_machine.Keep(state_machine.Reply(kind, content))


@pytest.mark.parametrize("cls", [Adder, Bulb])
def test_debug_options_at_the_start(cls, lines, tmp_path):
    """OTP gen_server:start {debug, Dbgs}: trace, log, {log, N}, statistics, {log_to_file, F}, {install, F}."""
    seen, path = [], tmp_path / "events.log"

    def watch(count, event, _state):
        seen.append((count, event))
        return count + 1

    debug = [
        "trace", ("log", 3), "statistics", ("log_to_file", path), ("install", watch, 0),
        ("install", lambda *_: sys.DONE, None, "mine"),
    ]  # fmt: skip
    pid = cls.start_link(0, debug=debug)
    assert seen == []
    assert set(sys.get_status(pid).debug) == {"trace", "log", "log_to_file", "statistics", "install"}
    assert sys.get_status(pid).debug["install"] == (watch, "mine")
    assert call(pid, 1) == 1
    assert call(pid, 1) == (2 if cls is Adder else 1)
    assert [event.__class__ for event in sys.get_log(pid)] == [Out, In, Out]
    assert [count for count, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1] == In("call", 1, self_())
    assert sys.get_statistics(pid).messages_in == 2
    assert len(lines) == 4
    assert path.read_text().splitlines() == lines
    assert sys.get_status(pid).debug["install"] == (watch,)
    sys.no_debug(pid)
    assert sys.get_status(pid).debug == {}
    assert call(pid, 1)
    assert len(seen) == 4
    assert _open_files(path) == 0
    proc_lib.stop(pid)


@pytest.mark.parametrize("start", ["start", "start_monitor"])
def test_log_at_the_start_keeps_ten(start):
    """OTP sys: log is {log, 10}; every start form takes debug options."""
    pid = getattr(Adder, start)(0, debug=["log"])
    pid = pid[0] if start == "start_monitor" else pid
    for _ in range(20):
        call(pid, 1)
    assert len(sys.get_log(pid)) == 10
    proc_lib.stop(pid)
    settle()
    while receive(0) is not kernel.TIMEOUT:
        pass


@pytest.mark.parametrize(
    "wrong",
    ["loud", ("log", 0), ("log", True), ("log", "x"), ("install", 7), ("install",), ("log_to_file", 7), ("trace", 1), None, 7],
)  # fmt: skip
def test_a_wrong_debug_option_starts_nothing(wrong, tmp_path):
    """Ours (OTP leaves it out): the starter's error, before there is a process or an open file."""
    path, before = tmp_path / "events.log", set(kernel.processes())
    with pytest.raises(ValueError, match="is no debug option"):
        Adder.start(0, name="adder", debug=[("log_to_file", path), wrong])
    with pytest.raises(OSError, match="No such file"):
        Bulb.start(0, name="adder", debug=[("log_to_file", tmp_path / "nowhere" / "events.log")])
    assert set(kernel.processes()) == before
    assert kernel.whereis("adder") is None
    assert _open_files(path) == 0


def test_a_start_that_fails_leaves_no_file_open(tmp_path, crashes):
    """Ours: neither when the name is taken nor when init fails."""
    path = tmp_path / "events.log"

    class Broken(GenServer):
        def init(self):
            raise ValueError("no")

    trap_exit(True)
    for _ in range(2):
        with pytest.raises(StartError):
            Broken.start(debug=[("log_to_file", path)])
    with running(Adder, name="adder"), pytest.raises(AlreadyStarted):
        Adder.start(name="adder", debug=[("log_to_file", path)])
    settle()
    assert path.exists()
    assert _open_files(path) == 0


def test_killed_while_the_file_is_opened(tmp_path):
    """Ours: a file that is open only after the process is dead is closed again."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def ask(pid):
        with suppress(CallError):
            sys.log_to_file(pid, path)

    with running(Adder) as pid:
        spawn(ask, pid)
        settle()
        kernel.exit(pid, "kill")
        settle()
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # lets the opening go on
        poll = select.poll()
        poll.register(reader, 0)
        until(lambda: poll.poll(0) == [(reader, select.POLLHUP)])  # somebody has opened it, and closed it
        os.close(reader)
