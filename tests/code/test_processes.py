"""Processes in a release: coming to rest, new states together or not at all, going on in order."""

from __future__ import annotations

from collections import OrderedDict, deque

import gevent
import gevent.event
import pytest

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.journal import Journal
from runtime.code.processes import quiesce
from runtime.kernel import Down, Exit
from runtime.otp import GenServer, sys
from runtime.otp.gen_server import call, cast, enter_loop
from runtime.otp import proc_lib
from runtime.testing import settle

HERE = __name__
UP = {HERE: ("1", "2")}
DOWN = {HERE: ("2", "1")}


class Server(GenServer):
    """Knows what it has been told. "block" waits for `go`."""

    def init(self, *args):
        self.told, self.args = [], args
        self.go = gevent.event.Event()

    def handle_call(self, request, sender):
        if request == "block":
            self.go.wait()
        elif isinstance(request, tuple) and request[0] == "ask":
            return call(request[1], "told")
        self.told.append(request)
        return list(self.told)

    def handle_cast(self, request):
        self.told.append(request)

    handle_info = handle_cast


class Migrating(Server):
    def code_change(self, old_version, extra):
        self.told.append(("changed", old_version, extra))
        if extra is not None:
            extra(self)


class Failed(Exception):
    pass


def release(changed=UP, direction="up", extra=None, limit=2.0, then=None):
    """Do what an engine does; return how many states were brought into form."""
    journal = Journal()

    def commit():
        try:
            count = quiesced.migrate(journal, direction, extra)
            if then is not None:
                then()
        except BaseException:
            journal.roll_back()
            raise
        return count

    with quiesce(changed, limit) as quiesced:
        return quiesced.step(commit)


def end(*pids):
    for pid in pids:
        kernel.exit(pid, "kill")


def later(fn, *args):
    """Run fn in a process; its answer, or what it raised, ends up in the list returned."""
    answer = []

    def run():
        try:
            answer.append(fn(*args))
        except Exception as error:
            answer.append(error)

    kernel.spawn(run)
    return answer


# ------------------------------------------------------------------------------------------------ the new states


def test_each_state_is_brought_into_form_once_with_the_version_it_comes_from():
    pids = [Migrating.start(n) for n in range(3)]
    other = Server.start()
    assert release() == 3, "what has no code_change is not counted"
    for pid in pids:
        assert call(pid, "x") == [("changed", "1", None), "x"]
    assert call(other, "x") == ["x"], "no code_change: the state stays"
    end(*pids, other)


def test_on_the_way_back_it_is_told_where_to():
    pid = Migrating.start()
    assert release(DOWN, "down") == 1
    assert call(pid, "x") == [("changed", ("down", "1"), None), "x"]
    end(pid)


def test_only_processes_of_the_modules_that_change_are_concerned():
    pid = Migrating.start()
    assert release({"another.module": ("1", "2")}) == 0
    assert release({}) == 0
    assert call(pid, "x") == ["x"]
    end(pid)


@pytest.mark.plain
def test_it_works_from_the_main_program():
    pid = kernel.run(Migrating.start)
    assert release() == 1
    assert kernel.run(call, pid, "x") == [("changed", "1", None), "x"]
    kernel.run(end, pid)


class Thing:
    def __init__(self):
        self.parts = []


class Slotted(Server):
    __slots__ = ("_own", "unset")

    def code_change(self, old_version, extra):
        self.told.append("changed")
        self.nested["list"].append(1)
        self.nested["new"] = 1
        self.ordered.move_to_end("a")
        self.names.add("new")
        self.queue.appendleft("new")
        self.bytes += b"new"
        self.inside[0].append("new")
        self.thing.parts.append(1)
        self.thing.more = 1
        self._own = "new"
        self.unset = "set"
        self.added = 1
        del self.args
        self.__dict__ = {**self.__dict__, "number": extra(self.number)}


def filled(number):
    pid = Slotted.start(number)
    server = pid.behaviour
    server.number = number
    server.nested = {"list": []}
    server.nested["self"] = server.nested
    server.ordered = OrderedDict(a=1, b=2)
    server.names = {1}
    server.queue = deque([1], 5)
    server.bytes = bytearray(b"old")
    server.inside = ([],)
    server.thing = Thing()
    server._own = "old"
    return pid


def contents(server):
    return (
        list(server.__dict__), *server.told, list(server.nested), *server.nested["list"], list(server.ordered), set(server.names),
        list(server.queue), bytes(server.bytes), *server.inside[0], *server.thing.__dict__, *server.thing.parts, server._own,
        hasattr(server, "unset"), server.number,
    )  # fmt: skip


def test_one_that_fails_leaves_all_as_they_were_and_the_same_objects():
    pids = [filled(n) for n in range(20)]
    servers = [pid.behaviour for pid in pids]
    before = [contents(server) for server in servers]
    fields = [server.__dict__ for server in servers]
    inner = [[id(value) for value in d.values()] for d in fields]

    def fail_late(number):
        if number == 17:
            raise Failed("no")
        return number

    with pytest.raises(Refused, match=rf"code_change\('1'\) of {pids[17]!r} raised: Failed: no") as refused:
        release(extra=fail_late)
    assert refused.value.kind == "code_change"
    assert refused.value.module == HERE
    assert refused.value.path == HERE.replace(".", "/") + ".py", "not the whole path: as in all refusals"
    assert [contents(server) for server in servers] == before
    assert all(server.__dict__ is d for server, d in zip(servers, fields, strict=True))
    assert [[id(value) for value in d.values()] for d in fields] == inner
    assert call(pids[17], "x") == ["x"]
    end(*pids)


def test_a_release_that_fails_after_the_migration_takes_the_states_back():
    pid = filled(1)
    server = pid.behaviour
    before = contents(server)

    def then():
        assert "changed" in server.told
        raise Failed

    with pytest.raises(Failed):
        release(extra=lambda number: number, then=then)
    assert contents(server) == before
    end(pid)


def test_containers_stay_the_same_objects_when_all_is_well():
    """What else holds a list of the state, a table of the module perhaps, goes on holding it."""
    pid = filled(1)
    server = pid.behaviour
    nested, told, thing = server.nested, server.told, server.thing
    release(extra=lambda number: number)
    assert (server.nested, server.told, server.thing) == (nested, told, thing)
    assert server.nested is nested
    assert nested["new"] == 1
    assert thing.more == 1
    end(pid)


@pytest.mark.parametrize(
    "wait",
    [
        lambda _: gevent.sleep(0.001),
        lambda s: call(s.args[0], "x"),
        lambda _: kernel.sleep(0.001),
        lambda s: s.go.wait(),
    ],
)
def test_a_code_change_that_waits_is_refused(wait):
    other = kernel.spawn(kernel.receive)
    pid = Migrating.start(other)
    with pytest.raises(Refused, match="tried to wait or call") as refused:
        release(extra=wait)
    assert refused.value.kind == "code_change"
    assert call(pid, "x") == ["x"]
    end(pid, other)


def test_each_module_is_told_its_own_version_bases_first():
    class Derived(Migrating):
        def code_change(self, old_version, extra):
            self.told.append(("derived", old_version))

    Derived.__module__ = "another.module"

    class Inherits(Derived):
        pass

    Inherits.__module__ = "third.module"
    versions = {HERE: ("1", "2"), "another.module": ("a", "b"), "third.module": (None, "new")}
    pid = Inherits.start()
    release(versions)
    assert call(pid, "up") == [("changed", "1", None), ("derived", "a"), "up"]
    release(versions, "down")
    assert call(pid, "down")[3:] == [("derived", ("down", "b")), ("changed", ("down", "2"), None), "down"]
    end(pid)


class Callback(GenServer):
    """Its callbacks are functions of a module, as an object that names it."""

    def init(self, module):
        self.module, self.told = module, []

    def code_modules(self):
        return (self.module,)

    def code_change(self, old_version, extra):
        self.told.append(old_version)


def test_an_object_may_name_the_modules_of_its_callbacks():
    Callback.__module__ = "elsewhere"
    one, two = Callback.start("one"), Callback.start("two")
    assert release({"one": ("1", "2")}) == 1
    assert (one.behaviour.told, two.behaviour.told) == (["1"], [])
    end(one, two)


def test_one_that_has_not_begun_its_init_starts_in_new_code():
    started = later(Migrating.start)
    with quiesce({}, 1):
        pass
    kernel.yield_()  # the starter has spawned it by now; its first message waits
    release()
    settle()
    assert call(started[0], "x")[-1] == "x"
    end(started[0])


# ---------------------------------------------------------------------------------------------- coming to rest


def test_messages_wait_in_order_and_are_handled_in_the_new_form():
    pid = Migrating.start()
    server = pid.behaviour
    watched = kernel.spawn(kernel.receive)
    with quiesce(UP, 1) as quiesced:
        kernel.in_hub(kernel.send, pid, "info")
        cast(pid, "cast")
        answer = later(call, pid, "call")
        kernel.send_after(0, pid, "timer")
        settle()
        kernel.pause(0.01)
        kernel.send(pid, Down(None, watched, "gone"))
        kernel.send(pid, Exit(watched, "gone"))
        settle()
        assert server.told == []
        quiesced.step(lambda: quiesced.migrate(Journal()))
    cast(pid, "newer")
    settle()
    told = pid.behaviour.told
    assert told[0] == ("changed", "1", None)
    assert sorted(told[1:4], key=str) == ["call", "cast", "info"]
    assert told[4:] == ["timer", Down(None, watched, "gone"), Exit(watched, "gone"), "newer"]
    assert answer == [told[: told.index("call") + 1]]
    end(pid, watched)


def test_a_callback_is_finished_before():
    pid = Migrating.start()
    server = pid.behaviour
    answer = later(call, pid, "block")
    settle()
    done = later(release)
    settle()
    assert done == []
    server.go.set()
    kernel.pause(0.05)
    assert answer == [["block"]]
    assert done == [1]
    assert server.told == ["block", ("changed", "1", None)]
    end(pid)


def test_a_callback_that_does_not_end_refuses_the_release_with_its_place():
    pid, idle = Migrating.start(), Migrating.start()
    server = pid.behaviour
    answer = later(call, pid, "block")
    settle()
    cast(idle, "before")
    with pytest.raises(Refused) as refused:
        release(limit=0.05)
    line = Server.handle_call.__code__.co_firstlineno + 2
    assert refused.value.kind == "busy"
    path = HERE.replace(".", "/") + ".py"
    assert (refused.value.path, refused.value.line, refused.value.module) == (path, line, HERE)
    assert f"{pid!r} in {HERE}.Server.handle_call ({path}:{line}), for at least 0." in str(refused.value)
    cast(pid, "after")
    server.go.set()
    gevent.sleep(0)
    settle()
    assert server.told == ["block", "after"]
    assert answer == [["block"]]
    assert idle.behaviour.told == ["before"]
    end(pid, idle)


class Middle(GenServer):
    """Not of the module that changes."""

    def handle_call(self, request, sender):
        return call(request[1], "told")


Middle.__module__ = "not.changed"


class Late(Migrating):
    """Asks others once it may."""

    def handle_call(self, request, sender):
        if isinstance(request, tuple) and request[0] == "late":
            self.go.wait()
            return call(request[1], ("ask", request[2]))
        return super().handle_call(request, sender)


def test_processes_that_wait_for_each_other_come_to_rest():
    """The first asks the second, which is held by then, through one that is not concerned."""
    first, second, middle = Late.start(), Late.start(), Middle.start()
    server = first.behaviour
    cast(second, "before")
    answer = later(call, first, ("late", middle, second))
    settle()
    done = later(release)
    settle()
    kernel.pause(0.01)
    assert done == []
    cast(second, "while held")
    server.go.set()
    kernel.pause(0.1)
    assert answer == [["before", "while held", "told"]]
    assert done == [2]
    assert second.behaviour.told[-1] == ("changed", "1", None)
    end(first, second, middle)


class Pushes(Migrating):
    def handle_call(self, request, sender):
        if request == "push":
            release(limit=60)
        return call(request[1], "push") if isinstance(request, tuple) else None


def test_a_process_cannot_wait_for_a_release_of_itself(crashes):
    """Also through another: it says so at once, not when the time is over."""
    pid, behind = Pushes.start(), Pushes.start()
    with pytest.raises(Exception, match="waits for this release in a callback"):
        call(pid, "push")
    behind.behaviour.__class__ = type("Elsewhere", (Pushes,), {"__module__": "x"})
    end(pid, behind)


def test_those_that_start_meanwhile_take_part():
    """At rest, or in the middle of their init: that is waited for."""
    begun = gevent.event.Event()
    go = gevent.event.Event()

    class Slow(Migrating):
        def init(self):
            super().init()
            begun.set()
            go.wait()

    Slow.__module__ = HERE
    with quiesce(UP, 2) as quiesced:
        quick = Migrating.start()
        started = later(Slow.start)
        begun.wait()
        done = later(quiesced.step, lambda: quiesced.migrate(Journal()))
        settle()
        kernel.pause(0.01)
        assert done == []
        go.set()
        kernel.pause(0.05)
        assert done == [2]
    slow = started[0]
    assert call(slow, "x") == [("changed", "1", None), "x"]
    assert call(quick, "x") == [("changed", "1", None), "x"]
    end(slow, quick)


def test_those_that_end_meanwhile_are_no_hindrance():
    idle, busy, stays = Migrating.start(), Migrating.start(), Migrating.start()
    answer = later(call, busy, "block")
    settle()
    done = later(release)
    settle()
    waiting = later(call, idle, "waits")
    settle()
    end(idle, busy)
    kernel.pause(0.05)
    assert done == [1]
    assert [error.reason for error in (*answer, *waiting)] == ["killed", "killed"]
    end(stays)


def test_a_supervisors_order_to_end_is_obeyed_while_held():
    class Tidy(Migrating):
        def init(self):
            super().init()
            kernel.trap_exit(True)

        def terminate(self, reason):
            ended.append((reason, list(self.told)))

    Tidy.__module__ = HERE
    ended = []
    pid = Tidy.start_link()
    with quiesce(UP, 1) as quiesced:
        cast(pid, "before")
        kernel.unlink(pid)
        kernel.send(pid, Exit(kernel.self_(), "shutdown"))
        settle()
        assert ended == [("shutdown", ["before"])]
        assert quiesced.step(lambda: quiesced.migrate(Journal())) == 0


def test_one_that_was_told_to_end_is_waited_for():
    class Slow(Migrating):
        def init(self):
            super().init()
            kernel.trap_exit(True)

        def terminate(self, reason):
            self.go.wait()

    Slow.__module__ = HERE
    pid = Slow.start_link()
    server = pid.behaviour
    with quiesce(UP, 2) as quiesced:
        kernel.unlink(pid)
        kernel.send(pid, Exit(kernel.self_(), "shutdown"))
        settle()
        done = later(quiesced.step, lambda: quiesced.migrate(Journal()))
        settle()
        kernel.pause(0.01)
        assert done == []
        server.go.set()
        kernel.pause(0.05)
        assert done == [0]


def test_a_suspended_server_is_changed_and_stays_suspended():
    pid = Migrating.start()
    sys.suspend(pid)
    cast(pid, "held")
    settle()
    assert release() == 1
    cast(pid, "later")
    settle()
    assert pid.behaviour.told == [("changed", "1", None)]
    assert sys.get_status(pid).status == "suspended"
    sys.resume(pid)
    settle()
    assert pid.behaviour.told == [("changed", "1", None), "held", "later"]
    end(pid)


def test_one_that_entered_the_loop_is_a_server_like_others():
    begun = []

    def start():
        server = object.__new__(Migrating)
        server.init()
        proc_lib.init_ack()
        begun.append(server)
        enter_loop(server)

    pid = proc_lib.start(start)
    settle()
    with quiesce(UP, 1) as quiesced:
        cast(pid, "held")
        settle()
        assert begun[0].told == []
        assert quiesced.step(lambda: quiesced.migrate(Journal())) == 1
    assert call(pid, "x") == [("changed", "1", None), "held", "x"]
    end(pid)


def test_one_that_enters_the_loop_meanwhile_takes_part():
    go = gevent.event.Event()

    def start():
        server = object.__new__(Migrating)
        server.init()
        go.wait()
        proc_lib.init_ack()
        enter_loop(server)

    started = later(proc_lib.start, start)
    settle()
    with quiesce(UP, 1) as quiesced:
        go.set()
        gevent.sleep(0)
        settle()
        assert quiesced.step(lambda: quiesced.migrate(Journal())) == 1
    assert call(started[0], "x") == [("changed", "1", None), "x"]
    end(started[0])


def test_a_special_process_with_a_loop_of_its_own_is_left_alone():
    pid = kernel.spawn(kernel.receive)
    assert release() == 0
    assert kernel.is_alive(pid)
    end(pid)


def test_a_caller_that_is_killed_leaves_nobody_held():
    busy, idle = Migrating.start(), Migrating.start()
    server = busy.behaviour
    answer = later(call, busy, "block")
    settle()
    pusher = kernel.spawn(release)
    settle()
    kernel.pause(0.01)
    cast(idle, "x")
    kernel.exit(pusher, "kill")
    kernel.pause(0.01)
    assert idle.behaviour.told == ["x"]
    server.go.set()
    kernel.pause(0.01)
    assert answer == [["block"]]
    end(busy, idle)


def test_ten_thousand_states():
    pids = [Migrating.start() for _ in range(10_000)]
    assert release() == 10_000
    assert all(pid.behaviour.told == [("changed", "1", None)] for pid in pids)

    def fail(server, left=[7_000]):
        left[0] -= 1
        if not left[0]:
            raise Failed

    with pytest.raises(Refused):
        release(extra=fail)
    assert all(pid.behaviour.told == [("changed", "1", None)] for pid in pids)
    end(*pids)
